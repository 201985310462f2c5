//! Credentials that may take longer than the request that needs them.

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider, future};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// A sign-on, a role's session or a program of one's own may take seconds; what takes longer hangs.
const LOADING_MAX: Duration = Duration::from_secs(60);

/// Loads credentials to the end, also when the attempt that asked for them is given up meanwhile:
/// the next one finds them, or waits for the same. (Otherwise each would begin anew, and none come
/// to an end.)
#[derive(Debug)]
pub(super) struct ToTheEnd {
    provider: SharedCredentialsProvider,
    loading: Mutex<Option<JoinHandle<provider::Result>>>,
}

impl ToTheEnd {
    pub(super) fn new(provider: SharedCredentialsProvider) -> Self {
        Self { provider, loading: Mutex::default() }
    }

    async fn load(&self) -> provider::Result {
        let mut loading = self.loading.lock().await;
        let task = loading.get_or_insert_with(|| {
            let provider = self.provider.clone();
            tokio::spawn(async move {
                let loaded = tokio::time::timeout(LOADING_MAX, provider.provide_credentials());
                loaded
                    .await
                    .unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(LOADING_MAX)))
            })
        });
        let loaded = task.await;
        *loading = None;
        loaded.unwrap_or_else(|error| Err(CredentialsError::unhandled(error)))
    }
}

impl ProvideCredentials for ToTheEnd {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.load())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_credential_types::Credentials;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Notify;

    #[derive(Debug, Default)]
    struct Slow {
        asked: AtomicU32,
        go_on: Notify,
    }

    impl ProvideCredentials for Slow {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::new(async {
                self.asked.fetch_add(1, Ordering::Relaxed);
                self.go_on.notified().await;
                Ok(Credentials::new("id", "secret", None, None, "test"))
            })
        }
    }

    #[tokio::test]
    async fn who_asks_again_gets_what_was_asked_for_first() {
        let slow = Arc::new(Slow::default());
        let shared: Arc<dyn ProvideCredentials> = slow.clone();
        let provider = ToTheEnd::new(SharedCredentialsProvider::from(shared));
        for _ in 0..3 {
            let impatient = tokio::time::timeout(Duration::from_millis(5), provider.load());
            assert!(impatient.await.is_err());
        }
        slow.go_on.notify_one();
        assert_eq!(provider.load().await.unwrap().access_key_id(), "id");
        assert_eq!(slow.asked.load(Ordering::Relaxed), 1);
        // What has expired is asked for anew.
        slow.go_on.notify_one();
        provider.load().await.unwrap();
        assert_eq!(slow.asked.load(Ordering::Relaxed), 2);
    }
}
