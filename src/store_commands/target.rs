//! A store that is filled without a node on it.
//!
//! A directory has a lock. A store that others can reach is taken as a start takes it: the logs there
//! are get closed, and nobody else serves it until it is filled, or given up.

use crate::backup::{BackupError, Published, Restore, Restored};
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Succession};
use crate::engine::{Claim, Engine, EngineOptions, OpenError};
use crate::layout::Owner;
use crate::machine;
#[cfg(feature = "dynamodb")]
use crate::storage::dynamodb::{DynamoDbOptions, DynamoDbStore};
use crate::storage::embedded::{EmbeddedOptions, EmbeddedStore};
use crate::storage::patient::PatientStore;
#[cfg(feature = "redis")]
use crate::storage::redis::{RedisOptions, RedisStore};
use crate::storage::resilient::{ResilientStore, RetryPolicy};
#[cfg(feature = "s3")]
use crate::storage::s3::{S3Options, S3Store};
use crate::storage::{Store, StoreError};
use rand::RngExt;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::time::Duration;

/// For so long nobody takes a store from a command that shows no sign of life: as long as it may
/// wait for what it reads, which it can't do and be heard at the same time.
const LEASE: Duration = Duration::from_secs(60);

/// A store that is ours to fill.
pub(super) struct Target {
    store: Arc<dyn Store>,
    /// Of a store that others can reach.
    owner: Option<Arc<Engine>>,
}

impl From<OpenError> for BackupError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Store(error) => Self::Store(error),
            other => Self::Refused(other.to_string()),
        }
    }
}

impl Target {
    /// Opens a store, or makes it; no node may have it. `who` is what others are told of us.
    pub(super) async fn open(
        address: &config::Store,
        who: &str,
        rng: &mut StdRng,
    ) -> Result<Self, BackupError> {
        let store = open(address, rng.random()).await?;
        if !address.is_shared() {
            return Ok(Self { store, owner: None });
        }
        let store = Arc::new(ResilientStore::new(store, RetryPolicy::default(), rng));
        let clock = Arc::new(SystemClock::new());
        let owner = Owner {
            address: format!("nothing, since it is {who}"),
            host: machine::host_name(),
            process: std::process::id(),
            started_ms: clock.wall_ms(),
        };
        let (lease, succession) = (LEASE, Succession::AfterSilence);
        let claim = Claim { owner, lease, succession, stale_reads: false, ready: None };
        let options = EngineOptions::default();
        let opened = Engine::open_shared(Arc::clone(&store), clock, options, claim, rng).await;
        let (owner, _) = opened?;
        Ok(Self { store: Arc::new(PatientStore(store)), owner: Some(owner) })
    }

    /// Begins to fill it.
    pub(super) async fn begin(
        &self,
        replace: bool,
        rng: &mut StdRng,
    ) -> Result<Restore<'_>, BackupError> {
        let now_ms = SystemClock::new().wall_ms();
        let restore = Restore::begin(&*self.store, now_ms, replace, rng).await?;
        self.make_sure().await?;
        Ok(restore)
    }

    /// Carries the work of filling it to its end. Whatever comes of it, the store is given up.
    pub(super) async fn filled_by(
        &self,
        filling: impl Future<Output = Result<Published, BackupError>>,
    ) -> Result<Restored, BackupError> {
        let Some(owner) = &self.owner else {
            return filling.await?.sweep(&*self.store).await;
        };
        let all = async {
            let published = filling.await?;
            self.make_sure().await?;
            published.sweep(&*self.store).await
        };
        let restored = owner.while_owner(all).await;
        owner.give_up().await;
        restored
    }

    /// Whether it is still ours.
    async fn make_sure(&self) -> Result<(), BackupError> {
        match &self.owner {
            Some(owner) => Ok(owner.still_owns().await?),
            None => Ok(()),
        }
    }
}

/// A store, which is made where it is not there.
async fn open(address: &config::Store, entropy: u128) -> Result<Arc<dyn Store>, StoreError> {
    match address {
        config::Store::Embedded { dir } => {
            let entropy = entropy as u64;
            let options = EmbeddedOptions { entropy, ..EmbeddedOptions::default() };
            Ok(Arc::new(EmbeddedStore::open(dir, options)?))
        }
        #[cfg(feature = "redis")]
        config::Store::Redis(address) => {
            let options = RedisOptions { entropy, ..RedisOptions::default() };
            Ok(Arc::new(RedisStore::open(address, options).await?))
        }
        #[cfg(feature = "s3")]
        config::Store::S3(address) => {
            let options = S3Options { entropy, ..S3Options::default() };
            Ok(Arc::new(S3Store::open(address, options).await?))
        }
        #[cfg(feature = "dynamodb")]
        config::Store::DynamoDb(address) => {
            let options = DynamoDbOptions { entropy, ..DynamoDbOptions::default() };
            Ok(Arc::new(DynamoDbStore::open(address, options).await?))
        }
        other => Err(StoreError::Fatal(other.missing_feature())),
    }
}
