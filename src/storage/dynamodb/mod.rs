//! A table of DynamoDB as the store, or of a server that speaks its protocol.
//!
//! ```text
//! partition key (p)                  sort key (s)             what
//! aft/i/07                           log/0000000001/0…042     head: size, first piece, digest
//! aft/c/log/0000000001/0…042/1       <digest>                 another piece of the object
//! aft/m/07                           log/0000000001/0…042 <digest>   trace of such pieces
//! aft/format                         format                   what this is, and a random id
//! ```
//!
//! An object is cut into pieces of a little less than 4 KB, which is what a read unit reads: so a
//! range costs what it is long. The first one is in the head, an item of its name's shard. The head
//! is written last, unless there is one: so it is what makes the object, whole or not at all, and
//! what decides who was first. And it is what listings find: no index can drift from the objects,
//! since there is none besides them. The others have a partition key each, so an object is not
//! held to the megabyte a second that a partition takes, and a digest of the object in their sort
//! key: pieces of two objects that want the same name never mix.
//!
//! | verb   | what is sent                                                                   |
//! |--------|--------------------------------------------------------------------------------|
//! | create | `BatchWriteItem` of the pieces behind the first, and then `PutItem` of the head, if there is none |
//! | read   | `BatchGetItem` of the pieces that have bytes of the range; before it that of the head, if it is not known |
//! | list   | `Query` of each shard, merged                                                   |
//! | delete | `BatchWriteItem` of the heads; the other pieces follow in the background        |
//!
//! | module   | what                                                     |
//! |----------|----------------------------------------------------------|
//! | `items`  | how objects are laid out                                 |
//! | `table`  | requests, within the limits of the service               |
//! | `check`  | makes the table, and what a start looks at               |
//! | `sweep`  | deletes pieces that belong to no object                  |
//! | `errors` | errors of the service, and what each means to the engine |

mod check;
mod errors;
mod items;
mod sweep;
mod table;

use super::aws::{self, SetUp};
use super::fault::{Fault, in_time};
use super::landmark::Landmark;
use super::{Created, LIST_NAMES_MAX, Limits, Store, StoreError, StoreFuture};
use crate::clock::{Clock, SystemClock};
use crate::config::{DynamoDbAddress, Reads};
use crate::rope::Rope;
use aws_sdk_dynamodb::Client;
use bytes::{Bytes, BytesMut};
use items::{Head, Item, Keys, OF_HEAD, PIECE_BYTES, SHARDS, Trace};
use quick_cache::sync::Cache;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use sweep::{Sweeper, Times, Unfinished};
use table::{Table, WRITES_MAX, side_by_side};

/// So many pieces are read rather than another request is made: together they cost a millionth of
/// a dollar, and who reads what is alive of an object with four dead values between two living
/// ones would make a hundred requests for it.
const GAP_PIECES: u64 = 8;

/// Heads that are remembered, so that a read of a value is one request.
const HEADS_KNOWN: usize = 1 << 14;

/// How a table is used.
#[derive(Debug, Clone, Copy)]
pub struct DynamoDbOptions {
    /// How long one request may take to get a connection.
    pub connect_timeout: Duration,
    /// How long a start tries to reach it.
    pub start_deadline: Duration,
    /// How long after a start to look for what a crash has left; it is no hurry.
    pub sweep_after: Duration,
    /// How old that has to be: younger, it may be a create that is under way.
    pub sweep_age: Duration,
    /// Randomness: what is written by this store is known by it.
    pub entropy: u128,
}

impl Default for DynamoDbOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            start_deadline: Duration::from_secs(10),
            sweep_after: Duration::from_mins(1),
            sweep_age: Duration::from_hours(1),
            entropy: 0,
        }
    }
}

/// A store in a table.
#[derive(Debug, Clone)]
pub struct DynamoDbStore {
    table: Table,
    keys: Keys,
    reads: Reads,
    heads: Arc<Cache<String, Head>>,
    unfinished: Unfinished,
    /// None where nothing is to be written.
    sweeper: Option<Sweeper>,
    warnings: Vec<String>,
    /// What a start has seen, where one has.
    seen: Option<Arc<Landmark>>,
}

/// Makes the table, if there is none, and waits until it can be used; what was done, for a person.
///
/// # Errors
/// `Unavailable` if that takes too long, `Fatal` if it can't be made, or is another one's; the
/// message says what to do.
pub async fn init(
    address: &DynamoDbAddress,
    options: DynamoDbOptions,
) -> Result<String, StoreError> {
    /// A new table takes some seconds; a service that is busy, more.
    const MADE_WITHIN: Duration = Duration::from_mins(5);
    let table = connect(address, options.connect_timeout).await.map_err(StoreError::Fatal)?;
    let made = in_time(options.start_deadline, || check::make_table(&table)).await?;
    in_time(MADE_WITHIN, || check::whether_fit(&table)).await?;
    let table = &address.table;
    Ok(if made {
        format!("made the table {table}: on demand, so what is used is paid for")
    } else {
        format!("the table {table} is there, and has the keys that aft needs: nothing was done")
    })
}

async fn connect(address: &DynamoDbAddress, connect_timeout: Duration) -> Result<Table, String> {
    let SetUp { config, endpoint } = aws::set_up(&address.aws, "DynamoDB", connect_timeout).await?;
    let mut config = aws_sdk_dynamodb::config::Builder::from(&config);
    if endpoint.is_some() {
        config.set_endpoint_url(endpoint);
    }
    Ok(Table { client: Client::from_conf(config.build()), name: address.table.clone() })
}

impl DynamoDbStore {
    /// Opens the store: checks that the table can be one, and only then writes the item that says
    /// that this is a store of aft, if it isn't there.
    ///
    /// # Errors
    /// `Unavailable` if it couldn't be reached in time, `Fatal` if it can't be used as it is; the
    /// message says what to do.
    pub async fn open(
        address: &DynamoDbAddress,
        options: DynamoDbOptions,
    ) -> Result<Self, StoreError> {
        let mut store = Self::new(address, options).await?;
        let making = || check::make_usable(&store, options.entropy);
        let found = in_time(options.start_deadline, making).await?;
        store.warnings = found.warnings;
        store.seen = Some(Arc::new(Landmark::new(found.format, "table")));
        let times = Times { first: options.sweep_after, age: options.sweep_age };
        let (table, keys) = (store.table.clone(), store.keys.clone());
        store.sweeper = Some(Sweeper::start(table, keys, store.unfinished.clone(), times));
        Ok(store)
    }

    /// Opens what is there for a look: nothing is written.
    ///
    /// # Errors
    /// As of [`DynamoDbStore::open`]; also if there is no store.
    pub async fn look(
        address: &DynamoDbAddress,
        options: DynamoDbOptions,
    ) -> Result<Self, StoreError> {
        let store = Self::new(address, options).await?;
        in_time(options.start_deadline, || check::whether_there(&store)).await?;
        Ok(store)
    }

    async fn new(address: &DynamoDbAddress, options: DynamoDbOptions) -> Result<Self, StoreError> {
        Ok(Self {
            table: connect(address, options.connect_timeout).await.map_err(StoreError::Fatal)?,
            keys: Keys::new(&address.prefix),
            reads: address.reads,
            heads: Arc::new(Cache::new(HEADS_KNOWN)),
            unfinished: Unfinished::default(),
            sweeper: None,
            warnings: Vec::new(),
            seen: None,
        })
    }

    /// What its owner should know.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Sends a request to what the start has seen, and to nothing else.
    async fn ask<T>(&self, request: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        match &self.seen {
            Some(landmark) => landmark.behind(check::look_at_format(self), request).await,
            None => request.await,
        }
    }

    async fn create_once(&self, name: &str, object: Rope) -> Result<Created, Fault> {
        if !is_name(name) {
            return Err(Fault::Object(format!("{name:?} can't be part of a key")));
        }
        aws::check_size(&object)?;
        let head = Head::of(&object);
        let in_pieces = head.pieces() > 1;
        if in_pieces {
            self.put_pieces(name, &object, head).await?;
        }
        let first = object.chunks(PIECE_BYTES).next().unwrap_or_default();
        let item = items::head_item(self.keys.head(name), &head, first);
        let created = self.table.put_if_new(item).await?;
        if created == Created::Created {
            self.heads.insert(name.to_owned(), head);
        } else if in_pieces {
            self.give_way(name, head).await?;
        }
        self.unfinished.end(name, head.digest);
        Ok(created)
    }

    /// Writes the pieces behind the first, and a trace of them; those that are missing, if an
    /// earlier attempt has written others.
    async fn put_pieces(&self, name: &str, object: &Rope, head: Head) -> Result<(), Fault> {
        let written = self.unfinished.begin(name, head.digest);
        let seconds = SystemClock::new().wall_ms() / 1000;
        let trace = Trace { name: name.to_owned(), head, seconds }.item(&self.keys);
        let pieces = (0..).zip(object.chunks(PIECE_BYTES)).skip(1).map(|(number, bytes)| {
            items::with_bytes(self.keys.piece(name, head.digest, number), bytes)
        });
        let mut items = std::iter::once(trace).chain(pieces);
        let batches = std::iter::from_fn(|| {
            let batch: Vec<Item> = items.by_ref().take(WRITES_MAX).collect();
            (!batch.is_empty()).then_some(batch)
        });
        let missing = batches.enumerate().filter(|(batch, _)| !written.contains(batch));
        let (unfinished, name) = (self.unfinished.clone(), name.to_owned());
        let done = move |batch| unfinished.note(&name, head.digest, batch);
        self.table.put(missing, done).await
    }

    /// Another object has the name: the pieces of this one are nobody's. (Or it is this one itself,
    /// from an attempt whose answer was lost.)
    async fn give_way(&self, name: &str, head: Head) -> Result<(), Fault> {
        let key = self.keys.head(name);
        let there = self.table.get(vec![key], Some(OF_HEAD), true).await?;
        let there = there.values().next().map(Head::from_item).transpose()?;
        if let (Some(sweeper), true) = (&self.sweeper, there.is_some_and(|there| there != head)) {
            sweeper.remove(vec![Trace { name: name.to_owned(), head, seconds: 0 }]);
        }
        Ok(())
    }

    async fn read_once(
        &self,
        name: &str,
        offset: u64,
        length: u64,
    ) -> Result<Option<Bytes>, Fault> {
        let range = offset..offset.saturating_add(length);
        let mut items = HashMap::new();
        let head = match self.heads.get(name) {
            Some(head) => head,
            None => match self.head(name, &mut items).await? {
                Some(head) => head,
                None => return Ok(None),
            },
        };
        let key = |piece| match piece {
            0 => self.keys.head(name),
            _ => self.keys.piece(name, head.digest, piece),
        };
        let pieces = head.pieces_of(&range);
        self.fetch(pieces.clone().map(key).collect(), &mut items).await?;
        let mut bytes = BytesMut::new();
        for piece in pieces {
            let Some(item) = items::key_of(&key(piece)).and_then(|key| items.get_mut(&key)) else {
                return self.missing(name, piece).await;
            };
            let (of_piece, start) = (items::bytes_of(item), piece * PIECE_BYTES as u64);
            let within = |at: u64| at.saturating_sub(start).min(of_piece.len() as u64) as usize;
            let of_range = within(range.start)..within(range.end);
            if bytes.is_empty() && range.end <= start + PIECE_BYTES as u64 {
                return Ok(Some(of_piece.slice(of_range)));
            }
            bytes.extend_from_slice(&of_piece[of_range]);
        }
        Ok(Some(bytes.freeze()))
    }

    /// A piece of an object that should be there. It may have been deleted meanwhile.
    async fn missing(&self, name: &str, piece: u64) -> Result<Option<Bytes>, Fault> {
        self.heads.remove(name);
        match self.head(name, &mut HashMap::new()).await? {
            None => Ok(None),
            Some(_) => Err(Fault::Passing(format!("piece {piece} of {name} is missing"))),
        }
    }

    /// The head of an object, if there is one; its item is among the items then.
    async fn head(
        &self,
        name: &str,
        items: &mut HashMap<(String, String), Item>,
    ) -> Result<Option<Head>, Fault> {
        self.fetch(vec![self.keys.head(name)], items).await?;
        let head = items.values().next().map(Head::from_item).transpose()?;
        if let Some(head) = head {
            self.heads.insert(name.to_owned(), head);
        }
        Ok(head)
    }

    /// Gets those of the items that are not among the items yet. An item never changes, so what a
    /// copy has is right; what it has not, the one that has all is asked for.
    async fn fetch(
        &self,
        mut keys: Vec<Item>,
        items: &mut HashMap<(String, String), Item>,
    ) -> Result<(), Fault> {
        let rounds: &[bool] = match self.reads {
            Reads::Consistent => &[true],
            Reads::Eventual => &[false, true],
        };
        for consistent in rounds {
            keys.retain(|key| items::key_of(key).is_none_or(|key| !items.contains_key(&key)));
            items.extend(self.table.get(keys.clone(), None, *consistent).await?);
        }
        Ok(())
    }

    async fn list_once(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<String>, Fault> {
        let limit = limit.min(LIST_NAMES_MAX);
        // No name has bytes below '/' or above 'z'.
        let from = if after < prefix { prefix.to_owned() } else { format!("{after}!") };
        let to = format!("{prefix}~");
        if limit == 0 || from > to {
            return Ok(Vec::new());
        }
        let mut shards: Vec<Shard> = (0..SHARDS).map(|shard| Shard::new(shard, &from)).collect();
        // Few shards have many more than the others.
        let share = limit.div_ceil(SHARDS);
        let share = share + 3 * share.isqrt();
        loop {
            // Behind the first end of what is known of a shard, names may be missing.
            let horizon = shards.iter().filter(|shard| shard.more).map(|shard| &shard.from).min();
            let horizon = horizon.cloned();
            let known = |name: &&String| horizon.as_ref().is_none_or(|horizon| *name < horizon);
            let names = shards.iter().flat_map(|shard| &shard.names).filter(known);
            if horizon.is_none() || names.clone().count() >= limit {
                let mut names: Vec<String> = names.cloned().collect();
                names.sort_unstable();
                names.truncate(limit);
                return Ok(names);
            }
            let (short, enough): (Vec<_>, Vec<_>) = shards
                .into_iter()
                .partition(|shard| shard.more && Some(&shard.from) == horizon.as_ref());
            let requests = short.into_iter().map(|shard| {
                let (store, to) = (self.clone(), to.clone());
                async move { shard.go_on(&store, &to, share).await }
            });
            shards = side_by_side(requests).await?;
            shards.extend(enough);
        }
    }

    async fn delete_once(&self, names: &[String]) -> Result<(), Fault> {
        // A name that can't be part of a key was never created.
        let names = names.iter().filter(|name| is_name(name));
        let mut keys: Vec<Item> = names.map(|name| self.keys.head(name)).collect();
        keys.sort_unstable_by_key(items::key_of);
        keys.dedup();
        let heads = self.table.get(keys, Some(OF_HEAD), true).await?;
        let mut traces = Vec::new();
        for ((_, name), item) in &heads {
            let head = Head::from_item(item)?;
            self.heads.remove(name);
            if head.pieces() > 1 {
                traces.push(Trace { name: name.clone(), head, seconds: 0 });
            }
        }
        let keys = heads.keys().map(|(_, name)| self.keys.head(name)).collect();
        self.table.delete(keys).await?;
        if let Some(sweeper) = &self.sweeper {
            sweeper.remove(traces);
        }
        Ok(())
    }
}

/// What a listing knows of a shard.
struct Shard {
    shard: usize,
    names: Vec<String>,
    /// Where to go on.
    from: String,
    more: bool,
}

impl Shard {
    fn new(shard: usize, from: &str) -> Self {
        // A sort key is not empty.
        let from = if from.is_empty() { items::EVERYTHING.0 } else { from };
        Self { shard, names: Vec::new(), from: from.to_owned(), more: true }
    }

    async fn go_on(mut self, store: &DynamoDbStore, to: &str, limit: usize) -> Result<Self, Fault> {
        let partition = store.keys.heads(self.shard);
        let range = (self.from.as_str(), to);
        let (items, more) = store.table.query(partition, range, limit, Some(OF_HEAD)).await?;
        for item in items {
            let head = Head::from_item(&item)?;
            if let Some(name) = item.get(items::SORT).and_then(|name| name.as_s().ok()) {
                store.heads.insert(name.clone(), head);
                self.names.push(name.clone());
            }
        }
        if let Some(last) = self.names.last() {
            self.from = format!("{last}!");
        }
        self.more = more;
        Ok(self)
    }
}

/// Whether an object can have this name; no key is empty.
fn is_name(name: &str) -> bool {
    !name.is_empty() && aws::is_plain(name)
}

impl Store for DynamoDbStore {
    fn limits(&self) -> Limits {
        Limits {
            object_bytes_max: aws::OBJECT_BYTES_MAX,
            // A thousand write units: more of them are no more use in one object.
            group_bytes_useful: 1 << 20,
            creates_in_flight: 8,
            // Each piece is paid for.
            read_gap_bytes: GAP_PIECES * PIECE_BYTES as u64,
            frees_in_order: false,
            shows_at_once: false,
            survives_process: true,
        }
    }

    fn create<'a>(&'a self, name: &'a str, object: Bytes) -> StoreFuture<'a, Created> {
        self.create_in_pieces(name, object.into())
    }

    fn create_in_pieces<'a>(&'a self, name: &'a str, object: Rope) -> StoreFuture<'a, Created> {
        Box::pin(async move { Ok(self.ask(self.create_once(name, object)).await?) })
    }

    fn read<'a>(&'a self, name: &'a str, offset: u64, length: u64) -> StoreFuture<'a, Bytes> {
        Box::pin(async move {
            if !is_name(name) {
                return Err(StoreError::NotFound);
            }
            let found = self.ask(self.read_once(name, offset, length)).await?;
            found.ok_or(StoreError::NotFound)
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<String>> {
        Box::pin(async move { Ok(self.ask(self.list_once(prefix, after, limit)).await?) })
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> StoreFuture<'a, ()> {
        Box::pin(async move { Ok(self.ask(self.delete_once(names)).await?) })
    }
}
