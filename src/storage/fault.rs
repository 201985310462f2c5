//! What goes wrong with a store on a network, by what has to happen before it can go well.

use super::StoreError;
use std::time::Duration;

/// An error of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// Time: a lost connection, a service that starts. The work may have been done.
    Passing(String),
    /// Room: nothing was written.
    Full(String),
    /// A person: credentials, permissions. A start is refused; a node that runs tries again,
    /// since it can still answer reads and the person may be at it.
    Refused(String),
    /// Another object: this one the service will never take.
    #[cfg_attr(not(feature = "aws"), expect(dead_code, reason = "a Redis takes any"))]
    Object(String),
    /// What is there is not aft's alone: the node stops.
    Foreign(String),
}

#[cfg(all(test, feature = "aws"))]
impl Fault {
    /// What it is about, in a word.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Passing(_) => "passing",
            Self::Full(_) => "full",
            Self::Refused(_) => "refused",
            Self::Object(_) => "object",
            Self::Foreign(_) => "foreign",
        }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Passing(why) | Fault::Refused(why) => Self::Unavailable(why),
            Fault::Full(why) => Self::Full(why),
            Fault::Object(why) => Self::Rejected(why),
            Fault::Foreign(why) => Self::Fatal(why),
        }
    }
}

/// Tries a step of a start again as long as what went wrong may pass by itself: a service that
/// starts beside us, or loads its data.
pub(super) async fn in_time<T, F: Future<Output = Result<T, Fault>>>(
    deadline: Duration,
    step: impl Fn() -> F,
) -> Result<T, StoreError> {
    const AGAIN_AFTER: Duration = Duration::from_millis(100);
    let mut last = "it does not answer".to_owned();
    let repeated = async {
        loop {
            match step().await {
                Ok(done) => return Ok(done),
                Err(Fault::Passing(why)) => last = why,
                Err(
                    Fault::Full(why)
                    | Fault::Refused(why)
                    | Fault::Object(why)
                    | Fault::Foreign(why),
                ) => return Err(StoreError::Fatal(why)),
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    };
    match tokio::time::timeout(deadline, repeated).await {
        Ok(done) => done,
        Err(_) => Err(StoreError::Unavailable(last)),
    }
}
