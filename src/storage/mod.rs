//! What the engine asks of a store: four verbs over immutable, named objects.
//!
//! An object is written once, whole or not at all; no name is ever overwritten or used
//! again. Everything else (transactions, order, visibility) is the engine's business,
//! so a store may be slow, list late and show a new object late. It must only keep an
//! object that it has acknowledged, and decide each `create` once (promise P9).
//!
//! | module        | what                                                             |
//! |---------------|------------------------------------------------------------------|
//! | [`memory`]    | objects in a map: for tests, and for a server that keeps nothing |
//! | [`embedded`]  | segment files of our own, in a directory of this machine         |
//! | `redis`       | strings in a Redis or a Redis Cluster (cargo feature `redis`)    |
//! | `s3`          | objects in a bucket of S3 (cargo feature `s3`)                   |
//! | `dynamodb`    | items in a table of DynamoDB (cargo feature `dynamodb`)          |
//! | [`resilient`] | retry, deadlines and hedging around any store                    |
//! | [`patient`]   | the same as a store, for who has no engine                       |

#[cfg(feature = "aws")]
mod aws;
#[cfg(any(feature = "redis", feature = "aws"))]
mod claim;
#[cfg(feature = "dynamodb")]
pub mod dynamodb;
pub mod embedded;
#[cfg(any(feature = "redis", feature = "aws"))]
mod fault;
#[cfg(feature = "aws")]
mod landmark;
pub mod memory;
pub mod patient;
#[cfg(feature = "redis")]
pub mod redis;
pub mod resilient;
#[cfg(feature = "s3")]
pub mod s3;

use crate::rope::Rope;
use bytes::Bytes;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// The answer of a store, to be awaited.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// What became of a [`Store::create`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The object is there, durable, with our bytes.
    Created,
    /// The name was taken before; whose bytes it holds, the caller has to read.
    AlreadyExists,
}

/// What a store can take, so that the engine fits itself to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest object it takes, in bytes.
    pub object_bytes_max: u64,
    /// The size in bytes at which a larger group no longer pays.
    pub group_bytes_useful: usize,
    /// How many creates may usefully be under way at once.
    pub creates_in_flight: usize,
    /// To read so many bytes more costs about as much as another read.
    pub read_gap_bytes: u64,
    /// Space comes back oldest first: what lives on among old objects holds back that of all
    /// behind it, so it has to be moved, however large it is.
    pub frees_in_order: bool,
    /// What it has acknowledged every read finds from then on: what isn't found isn't there, and
    /// nobody has to wait for it.
    pub shows_at_once: bool,
    /// Whether what it holds outlives this process. If not, the engine doesn't write
    /// its log there at all: nobody could ever read it.
    pub survives_process: bool,
}

/// Why a verb failed; each kind tells the caller what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// There is no object of that name (or it doesn't show yet).
    NotFound,
    /// Try again: a timeout, a lost connection, a throttle. The work may have been done.
    Unavailable(String),
    /// Try again later: no space is left. The object was not written.
    Full(String),
    /// Don't try again with this object: the store will never take it. It was not written.
    Rejected(String),
    /// Stop the node: the store can't be used by it (permissions, a lost lock).
    Fatal(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("no such object"),
            Self::Unavailable(why) => write!(f, "store unavailable: {why}"),
            Self::Full(why) => write!(f, "no space left in the store: {why}"),
            Self::Rejected(why) => write!(f, "the store refused the object: {why}"),
            Self::Fatal(why) => write!(f, "store unusable: {why}"),
        }
    }
}

impl std::error::Error for StoreError {}

/// At least so many names stand on a page of a listing, if there are as many and they are asked
/// for: S3 gives no more.
pub const LIST_NAMES_MAX: usize = 1000;

/// A durable store of immutable objects.
///
/// Names are made of the bytes `a-z 0-9 /` and are at most 255 bytes long; see
/// `layout.rs` for all that the engine uses.
pub trait Store: Send + Sync + 'static {
    /// What this store can take.
    fn limits(&self) -> Limits;

    /// What of the store itself is known to be unreadable, a line each: objects may be missing.
    fn damage(&self) -> Vec<String> {
        Vec::new()
    }

    /// What the store has twice and of which one is unreadable, a line each. Nothing is missing.
    fn lost_copies(&self) -> Vec<String> {
        Vec::new()
    }

    /// Writes a whole object under a new name, durably, or does nothing.
    ///
    /// Linearizable per name: of all creates of a name, ever, one is [`Created::Created`].
    /// After an error other than [`StoreError::Full`] and [`StoreError::Rejected`] the
    /// object may or may not have been written.
    fn create<'a>(&'a self, name: &'a str, object: Bytes) -> StoreFuture<'a, Created>;

    /// [`Store::create`] of an object that comes in pieces. A store that can write them from
    /// where they are needs no second copy of a large one.
    fn create_in_pieces<'a>(&'a self, name: &'a str, object: Rope) -> StoreFuture<'a, Created> {
        Box::pin(async move { self.create(name, object.to_bytes()).await })
    }

    /// Reads `length` bytes of an object from `offset`, fewer where the object ends
    /// before that (none where it ends before `offset`). `u64::MAX` reads to the end.
    fn read<'a>(&'a self, name: &'a str, offset: u64, length: u64) -> StoreFuture<'a, Bytes>;

    /// The same, if nothing has to be waited for; `None` where something would, or the store can't
    /// tell. A [`Store::read`] of the same that follows is none the slower for it.
    fn read_at_once(&self, _name: &str, _offset: u64, _length: u64) -> Option<Bytes> {
        None
    }

    /// Lists names that start with `prefix` and are greater than `after` (`""` for
    /// all), in ascending byte order, at most `limit`. Fewer than that, and than
    /// [`LIST_NAMES_MAX`], is the end: nobody has to ask for an empty page.
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<String>>;

    /// Deletes objects. A name that isn't there is no error.
    fn delete<'a>(&'a self, names: &'a [String]) -> StoreFuture<'a, ()>;
}

/// All names with a prefix, in order.
///
/// # Errors
/// The store failed.
pub async fn list_all(store: &dyn Store, prefix: &str) -> Result<Vec<String>, StoreError> {
    let mut names: Vec<String> = Vec::new();
    loop {
        let after = names.last().cloned().unwrap_or_default();
        let page = store.list(prefix, &after, LIST_NAMES_MAX).await?;
        if add_page(&mut names, page, prefix, &after)? {
            return Ok(names);
        }
    }
}

/// Adds a page of at most [`LIST_NAMES_MAX`] names behind `after` to those before it; `true` if it is
/// the last: one that is not full. A store that repeats itself would be listed for ever.
fn add_page(
    names: &mut Vec<String>,
    page: Vec<String>,
    prefix: &str,
    after: &str,
) -> Result<bool, StoreError> {
    if let Some(last) = page.last().filter(|last| last.as_str() <= after) {
        return Err(StoreError::Fatal(format!("listing {prefix} goes back to {last}")));
    }
    let is_last = page.len() < LIST_NAMES_MAX;
    names.extend(page);
    Ok(is_last)
}
