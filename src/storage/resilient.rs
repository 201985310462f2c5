//! One wrapper for retry, deadline, hedging and counting, around any store.
//!
//! Adapters try once and say what happened; whether to try again, how often and how long
//! is decided here and nowhere else.

use super::{Created, LIST_NAMES_MAX, Limits, Store, StoreError, add_page};
use crate::layout::{FormatError, Header};
use crate::rope::Rope;
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Sleep, sleep, timeout};

/// When to try again, and when not any more.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// How long one attempt may take before it counts as lost, beside the time that its bytes take
    /// on a slow network.
    pub attempt_timeout: Duration,
    /// After how long an attempt is slow enough to start a second one beside it, in the same way.
    pub hedge_after: Duration,
    /// The pause after the first failure; it doubles with each further one, with jitter.
    pub retry_first: Duration,
    /// The longest pause between two attempts.
    pub retry_max: Duration,
    /// How long a read is repeated before its caller gets an error.
    pub read_deadline: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempt_timeout: Duration::from_secs(3),
            hedge_after: Duration::from_secs(1),
            retry_first: Duration::from_millis(5),
            retry_max: Duration::from_secs(1),
            read_deadline: Duration::from_secs(10),
        }
    }
}

/// How long a slow network takes for so many bytes. An attempt has that time on top: one that is
/// given up because of its size would be given up each time it is repeated.
pub fn time_to_carry(bytes: u64) -> Duration {
    const SLOW_BYTES_PER_SECOND: u64 = 8 << 20;
    /// Of an object that is read to its end, whose size is not known: few are larger, and a reply
    /// that was lost should not be waited for much longer.
    const UNKNOWN_BYTES: u64 = 16 << 20;
    let bytes = if bytes == u64::MAX { UNKNOWN_BYTES } else { bytes };
    Duration::from_millis(bytes.saturating_mul(1000) / SLOW_BYTES_PER_SECOND)
}

/// What became of a name, for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    /// Our object stands under it.
    Ours,
    /// Another object does; this is its header.
    Theirs(Box<Header>),
    /// The store will never take this object; the name is free.
    Rejected(String),
    /// The store can't be used by this node any more.
    Fatal(String),
}

/// How the store was used, since start.
#[derive(Debug, Default)]
pub struct StoreMetrics {
    /// Creates attempted.
    pub creates: AtomicU64,
    /// Reads attempted.
    pub reads: AtomicU64,
    /// Attempts that failed or timed out, of any verb.
    pub failures: AtomicU64,
    /// Bytes of created objects.
    pub bytes_created: AtomicU64,
}

/// A store that tries again.
pub struct ResilientStore {
    store: Arc<dyn Store>,
    policy: RetryPolicy,
    read_deadline_ms: AtomicU64,
    jitter: Mutex<StdRng>,
    last_failure: Mutex<Option<String>>,
    metrics: StoreMetrics,
}

impl std::fmt::Debug for ResilientStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResilientStore").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// Doubling pauses between attempts.
struct Backoff<'s> {
    store: &'s ResilientStore,
    next: Duration,
}

impl Backoff<'_> {
    async fn pause(&mut self) {
        let jitter = {
            let mut rng = self.store.jitter.lock().unwrap_or_else(PoisonError::into_inner);
            rng.random_range(0.5..1.0)
        };
        tokio::time::sleep(self.next.mul_f64(jitter)).await;
        self.next = (self.next * 2).min(self.store.policy.retry_max);
    }
}

impl ResilientStore {
    /// Wraps `store`; `rng` draws the jitter.
    pub fn new(store: Arc<dyn Store>, policy: RetryPolicy, rng: &mut impl Rng) -> Self {
        Self {
            store,
            policy,
            read_deadline_ms: AtomicU64::new(policy.read_deadline.as_millis() as u64),
            jitter: Mutex::new(StdRng::from_rng(rng)),
            last_failure: Mutex::new(None),
            metrics: StoreMetrics::default(),
        }
    }

    /// What the store can take.
    pub fn limits(&self) -> Limits {
        self.store.limits()
    }

    /// How long reads are repeated.
    pub fn read_deadline(&self) -> Duration {
        Duration::from_millis(self.read_deadline_ms.load(Ordering::Relaxed))
    }

    /// From now on reads are repeated for so long.
    pub fn set_read_deadline(&self, deadline: Duration) {
        self.read_deadline_ms.store(deadline.as_millis() as u64, Ordering::Relaxed);
    }

    /// How the store was used.
    pub fn metrics(&self) -> &StoreMetrics {
        &self.metrics
    }

    /// Why the last failed attempt failed, for messages.
    pub fn last_failure(&self) -> Option<String> {
        self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Creates an object and repeats it until its fate is known, however long that takes.
    /// `nonce` is the one in the object's header.
    pub async fn create(&self, name: &str, object: impl Into<Rope>, nonce: u128) -> Decided {
        let object = object.into();
        self.metrics.bytes_created.fetch_add(object.len() as u64, Ordering::Relaxed);
        let mut backoff = self.backoff();
        loop {
            match self.hedged_create(name, &object).await {
                Ok(Created::Created) => return Decided::Ours,
                Ok(Created::AlreadyExists) => match self.header(name).await {
                    Ok(header) if header.nonce == nonce => return Decided::Ours,
                    Ok(header) => return Decided::Theirs(Box::new(header)),
                    Err(HeaderError::Format(error)) => {
                        return Decided::Fatal(format!("{name} is taken: {error}"));
                    }
                    Err(HeaderError::Store(StoreError::Fatal(why))) => return Decided::Fatal(why),
                    Err(HeaderError::Store(error)) => self.note(&error),
                },
                Err(StoreError::Rejected(why)) => return Decided::Rejected(why),
                Err(StoreError::Fatal(why)) => return Decided::Fatal(why),
                Err(error) => self.note(&error),
            }
            backoff.pause().await;
        }
    }

    /// What of the store itself is known to be unreadable.
    pub fn damage(&self) -> Vec<String> {
        self.store.damage()
    }

    /// Reads a range of an object that is known to exist. [`StoreError::NotFound`] is
    /// tried again too (it may show late), until the deadline: unless the store shows all at once.
    pub async fn read(&self, name: &str, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        if let Some(bytes) = self.read_at_once(name, offset, length) {
            return Ok(bytes);
        }
        let may_show_late = !self.limits().shows_at_once;
        self.persist(|| self.store.read(name, offset, length), length, may_show_late).await
    }

    /// Reads a range of an object that may well not exist.
    pub async fn try_read(
        &self,
        name: &str,
        offset: u64,
        length: u64,
    ) -> Result<Bytes, StoreError> {
        match self.read_at_once(name, offset, length) {
            Some(bytes) => Ok(bytes),
            None => self.try_read_later(name, offset, length).await,
        }
    }

    /// The same of what can be had without waiting, if the store knows.
    pub fn read_at_once(&self, name: &str, offset: u64, length: u64) -> Option<Bytes> {
        let bytes = self.store.read_at_once(name, offset, length)?;
        self.metrics.reads.fetch_add(1, Ordering::Relaxed);
        Some(bytes)
    }

    /// [`ResilientStore::try_read`] of what was not to be had [at once](ResilientStore::read_at_once).
    pub async fn try_read_later(
        &self,
        name: &str,
        offset: u64,
        length: u64,
    ) -> Result<Bytes, StoreError> {
        self.persist(|| self.store.read(name, offset, length), length, false).await
    }

    /// All names with a prefix, in order.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.list_after(prefix, String::new()).await
    }

    /// All names with a prefix behind `after`, in order.
    pub async fn list_after(&self, prefix: &str, after: String) -> Result<Vec<String>, StoreError> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let after = names.last().unwrap_or(&after).clone();
            let page = self.list_page(prefix, &after, LIST_NAMES_MAX).await?;
            if add_page(&mut names, page, prefix, &after)? {
                return Ok(names);
            }
        }
    }

    /// Some names with a prefix behind `after`, in order, see [`Store::list`].
    pub async fn list_page(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        self.persist(|| self.store.list(prefix, after, limit), 0, false).await
    }

    /// Deletes objects.
    pub async fn delete(&self, names: &[String]) -> Result<(), StoreError> {
        self.persist(|| self.store.delete(names), 0, false).await
    }

    /// The header of an object that is known to exist.
    pub async fn header(&self, name: &str) -> Result<Header, HeaderError> {
        /// Enough for all headers that don't list very many other logs.
        const FIRST_READ: u64 = 4096;
        let bytes = self.read(name, 0, FIRST_READ).await?;
        let length = Header::peek_bytes(&bytes)?;
        let bytes =
            if length > bytes.len() { self.read(name, 0, length as u64).await? } else { bytes };
        Ok(Header::decode(&bytes)?)
    }

    /// One attempt, and a second beside it once the first is slow.
    async fn hedged_create(&self, name: &str, object: &Rope) -> Result<Created, StoreError> {
        let carried = time_to_carry(object.len() as u64);
        let attempt = || {
            self.metrics.creates.fetch_add(1, Ordering::Relaxed);
            self.store.create_in_pieces(name, object.clone())
        };
        let patience = self.policy.attempt_timeout.saturating_add(carried);
        let hedge_after = self.policy.hedge_after.saturating_add(carried).min(patience);
        // Until it is slow it has one timer, and not one for each of the two times.
        let mut first = attempt();
        if let Ok(result) = timeout(hedge_after, &mut first).await {
            return result;
        }
        if hedge_after == patience {
            return Err(no_answer(patience));
        }
        let mut first = std::pin::pin!(async move {
            let rest = patience.saturating_sub(hedge_after);
            timeout(rest, first).await.unwrap_or_else(|_| Err(no_answer(patience)))
        });
        let mut second = std::pin::pin!(self.once(attempt(), carried));
        // Whichever succeeds first; a failure waits for the other's word.
        tokio::select! {
            // Not by chance: a seed of the simulation replays exactly.
            biased;
            result = &mut first => if result.is_ok() { result } else { second.await },
            result = &mut second => if result.is_ok() { result } else { first.await },
        }
    }

    async fn persist<'a, T>(
        &'a self,
        attempt: impl Fn() -> super::StoreFuture<'a, T>,
        bytes_max: u64,
        may_show_late: bool,
    ) -> Result<T, StoreError> {
        let (deadline, patience) = (self.read_deadline(), self.patience(time_to_carry(bytes_max)));
        let over = sleep(deadline);
        // Nearly always that is the answer: it takes one timer, and not two.
        match self.read_once(attempt(), patience.min(deadline), may_show_late).await {
            Ok(decided) => decided,
            // Boxed: it is seldom, and every read's future would be larger by it.
            Err(last) => Box::pin(self.repeat(attempt, patience, may_show_late, over, last)).await,
        }
    }

    /// Tries again until it is over; then the last error is told.
    async fn repeat<'a, T>(
        &'a self,
        attempt: impl Fn() -> super::StoreFuture<'a, T>,
        patience: Duration,
        may_show_late: bool,
        over: Sleep,
        mut last: StoreError,
    ) -> Result<T, StoreError> {
        let mut backoff = self.backoff();
        let repeat = async {
            loop {
                backoff.pause().await;
                match self.read_once(attempt(), patience, may_show_late).await {
                    Ok(decided) => return decided,
                    Err(error) => last = error,
                }
            }
        };
        tokio::select! {
            biased;
            decided = repeat => decided,
            () = over => Err(last),
        }
    }

    /// One attempt; an error is worth another.
    async fn read_once<T>(
        &self,
        attempt: super::StoreFuture<'_, T>,
        patience: Duration,
        may_show_late: bool,
    ) -> Result<Result<T, StoreError>, StoreError> {
        self.metrics.reads.fetch_add(1, Ordering::Relaxed);
        match within(patience, attempt).await {
            Err(StoreError::NotFound) if !may_show_late => Ok(Err(StoreError::NotFound)),
            Err(error @ (StoreError::Rejected(_) | StoreError::Fatal(_))) => Ok(Err(error)),
            Err(error) => {
                self.note(&error);
                Err(error)
            }
            answer => Ok(answer),
        }
    }

    /// How long an attempt may take whose bytes take so long on their way.
    fn patience(&self, carried: Duration) -> Duration {
        self.policy.attempt_timeout.saturating_add(carried)
    }

    async fn once<T>(
        &self,
        attempt: super::StoreFuture<'_, T>,
        carried: Duration,
    ) -> Result<T, StoreError> {
        within(self.patience(carried), attempt).await
    }

    fn note(&self, error: &StoreError) {
        self.metrics.failures.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(%error, "a store attempt failed");
        let mut last = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(error.to_string());
    }

    fn backoff(&self) -> Backoff<'_> {
        Backoff { store: self, next: self.policy.retry_first }
    }
}

async fn within<T>(
    patience: Duration,
    attempt: super::StoreFuture<'_, T>,
) -> Result<T, StoreError> {
    timeout(patience, attempt).await.unwrap_or_else(|_| Err(no_answer(patience)))
}

fn no_answer(patience: Duration) -> StoreError {
    StoreError::Unavailable(format!("no answer within {} ms", patience.as_millis()))
}

/// Why the header of an object couldn't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderError {
    /// The store didn't give it.
    Store(StoreError),
    /// What it gave is no header of ours.
    Format(FormatError),
}

impl From<StoreError> for HeaderError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<FormatError> for HeaderError {
    fn from(error: FormatError) -> Self {
        Self::Format(error)
    }
}

impl std::fmt::Display for HeaderError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Format(error) => error.fmt(f),
        }
    }
}
