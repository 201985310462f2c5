//! A Redis as the store: objects are strings, and an index of their names goes along.
//!
//! ```text
//! {aft:07}:o:log/0000000001/00000000000000000042   string      the object's bytes
//! {aft:07}:index                                   sorted set  the names of all objects of shard 7
//! {aft:00}:format                                  string      what this is, and a random id
//! ```
//!
//! A name belongs to one of sixteen shards, by its checksum. Object and index of a shard stand
//! under one hash tag, so on a Redis Cluster they are on one node, and one `MULTI … EXEC` writes
//! both, or neither: in memory, in the append-only file (which is read up to the last whole
//! transaction) and on replicas. So the index can't drift from the objects, and nothing ever
//! scans the keyspace, which others may use too.
//!
//! | verb   | what is sent, each in one round trip                              |
//! |--------|-------------------------------------------------------------------|
//! | create | `MULTI, ZADD index 0 name, SET object bytes NX, EXEC [, WAIT…]`    |
//! | read   | `GETRANGE`; where that is empty once more, with `EXISTS`           |
//! | list   | `ZRANGEBYLEX` of each shard, merged                               |
//! | delete | `MULTI, ZREM index names…, UNLINK objects…, EXEC`                  |
//!
//! `ZADD` of a name that is there changes nothing, so a create that comes second changes nothing
//! at all; it needs neither `WATCH` nor a script. It stands first: should a key of that name be
//! no sorted set, the error comes whether or not the object is written, and it stops the node.
//!
//! | module  | what                                                                |
//! |---------|---------------------------------------------------------------------|
//! | `keys`  | names and shards                                                    |
//! | `link`  | the connection: made again whenever it is in doubt                  |
//! | `check` | what a start looks at before anything is written                    |
//! | `fault` | errors of the Redis, and what each means for the engine             |

mod check;
mod fault;
mod keys;
mod link;

use super::fault::{Fault, in_time};
use super::{Created, LIST_NAMES_MAX, Limits, Store, StoreError, StoreFuture};
use crate::config::{RedisAddress, YesNo};
use crate::rope::Rope;
use bytes::Bytes;
use check::Findings;
use keys::{Keys, SHARDS};
use link::Link;
use redis::{Cmd, RedisWrite, Value, cmd};
use std::future::poll_fn;
use std::io::Write;
use std::task::Poll;
use std::time::Duration;

/// The longest string of a Redis.
const STRING_BYTES_MAX: u64 = 512 << 20;

/// How a Redis is used.
#[derive(Debug, Clone, Copy)]
pub struct RedisOptions {
    /// Replicas that must have an object before it counts as created.
    pub replicas_min: u64,
    /// Whether it must be on the disk of the Redis first.
    pub fsync: YesNo,
    /// How long one request may take; longer, and a connection is in doubt.
    pub attempt_timeout: Duration,
    /// How long a start tries to reach it.
    pub start_deadline: Duration,
    /// Randomness: what is written by this store is known by it.
    pub entropy: u128,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            replicas_min: 0,
            fsync: YesNo::No,
            attempt_timeout: Duration::from_secs(3),
            start_deadline: Duration::from_secs(10),
            entropy: 0,
        }
    }
}

/// A store in a Redis or a Redis Cluster.
pub struct RedisStore {
    keys: Keys,
    /// Reads have a connection of their own: a large group in front would hold them up.
    reads: Link,
    writes: Link,
    /// What follows each create, and how many must confirm it.
    confirmation: Option<Confirmation>,
    findings: Findings,
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisStore").field("findings", &self.findings).finish_non_exhaustive()
    }
}

/// How often an idle Redis looks whose WAIT is over, with its default of `hz`.
const REDIS_TIMEOUTS_EVERY: Duration = Duration::from_millis(100);

/// Waiting for replicas or the disk.
#[derive(Debug, Clone)]
struct Confirmation {
    command: Cmd,
    fsync: bool,
    replicas_min: u64,
}

impl Confirmation {
    fn new(options: &RedisOptions) -> Option<Self> {
        let RedisOptions { replicas_min, fsync, attempt_timeout, .. } = *options;
        // It has to answer before the attempt is given up, or nobody is told what was missing.
        // (Zero would be for ever.)
        let spare =
            (attempt_timeout / 4).max(REDIS_TIMEOUTS_EVERY * 3 / 2).min(attempt_timeout / 2);
        let patience_ms = (attempt_timeout.saturating_sub(spare).as_millis() as u64).max(1);
        let command = match (fsync, replicas_min) {
            (YesNo::No, 0) => return None,
            (YesNo::No, replicas) => cmd("WAIT").arg(replicas).arg(patience_ms).take(),
            (YesNo::Yes, replicas) => cmd("WAITAOF").arg(1).arg(replicas).arg(patience_ms).take(),
        };
        Some(Self { command, fsync: fsync == YesNo::Yes, replicas_min })
    }

    fn check(&self, reply: Option<Value>) -> Result<(), Fault> {
        if let Some(fault) = reply.as_ref().and_then(error_of) {
            return Err(fault);
        }
        let (on_disk, replicas) = match reply.as_ref() {
            Some(Value::Int(replicas)) => (0, *replicas),
            Some(Value::Array(counts)) => match counts.as_slice() {
                [Value::Int(on_disk), Value::Int(replicas)] => (*on_disk, *replicas),
                _ => (0, 0),
            },
            _ => (0, 0),
        };
        if self.fsync && on_disk < 1 {
            return Err(Fault::Passing("the Redis has not forced it to its disk".to_owned()));
        }
        if u64::try_from(replicas).unwrap_or(0) < self.replicas_min {
            let wanted = self.replicas_min;
            return Err(Fault::Passing(format!("{replicas} of {wanted} replicas have it")));
        }
        Ok(())
    }
}

impl RedisStore {
    /// Opens the store: checks that the Redis can be one, and only then writes the key that says
    /// that this is a store of aft, if it isn't there.
    ///
    /// # Errors
    /// `Unavailable` if it couldn't be reached in time, `Fatal` if it can't be used as it is; the
    /// message says what to do.
    pub async fn open(address: &RedisAddress, options: RedisOptions) -> Result<Self, StoreError> {
        let mut store = Self::new(address, options)?;
        let deadline = options.start_deadline;
        let findings = in_time(deadline, || check::whether_usable(&store, &options)).await?;
        let mark = in_time(deadline, || check::mark(&store, options.entropy)).await?;
        for link in [&mut store.reads, &mut store.writes] {
            link.must_find(store.keys.format(), mark.clone());
        }
        store.findings = findings;
        Ok(store)
    }

    /// Opens what is there for a look: nothing is written.
    ///
    /// # Errors
    /// As of [`RedisStore::open`]; also if there is no store.
    pub async fn look(address: &RedisAddress, options: RedisOptions) -> Result<Self, StoreError> {
        let store = Self::new(address, options)?;
        in_time(options.start_deadline, || check::whether_there(&store)).await?;
        Ok(store)
    }

    fn new(address: &RedisAddress, options: RedisOptions) -> Result<Self, StoreError> {
        let link = || Link::new(address, options.attempt_timeout).map_err(StoreError::Fatal);
        Ok(Self {
            keys: Keys::new(&address.prefix),
            reads: link()?,
            writes: link()?,
            confirmation: Confirmation::new(&options),
            findings: Findings::default(),
        })
    }

    /// What the settings of this Redis promise of a write that it has acknowledged.
    pub fn durability(&self) -> &str {
        &self.findings.durability
    }

    /// What its owner should know.
    pub fn warnings(&self) -> &[String] {
        &self.findings.warnings
    }

    /// Shards in sets that one request may name together: on a cluster each has a node.
    fn shards_together(&self) -> Vec<Vec<usize>> {
        if self.reads.is_cluster() {
            (0..SHARDS).map(|shard| vec![shard]).collect()
        } else {
            vec![(0..SHARDS).collect()]
        }
    }

    async fn create_once(&self, name: &str, object: Rope) -> Result<Created, StoreError> {
        let (bytes, max) = (object.len() as u64, self.findings.object_bytes_max);
        if bytes > max {
            let why = format!("{bytes} bytes are more than the {max} of a string in this Redis");
            return Err(StoreError::Rejected(why));
        }
        let shard = keys::shard(name);
        let key = self.keys.object(name);
        let mut commands = vec![
            cmd("MULTI"),
            cmd("ZADD").arg(self.keys.index(shard)).arg(0).arg(name).take(),
            set_if_new(&key, &object)?,
        ];
        if let Some(confirmation) = &self.confirmation {
            // WAIT is promised for the writes of this connection only. Should the object be there
            // already, from an earlier one, this write stands behind it. (Redis 7.0 would do
            // without: there any command counts.)
            let nudge = cmd("INCR").arg(self.keys.waited(shard)).take();
            commands.extend([nudge, cmd("EXEC"), confirmation.command.clone()]);
        } else {
            commands.push(cmd("EXEC"));
        }
        let mut replies = self.writes.ask(key, commands).await?;
        let confirmed = self.confirmation.as_ref().map(|wanted| (wanted, replies.pop()));
        let done = executed(replies)?;
        if let Some((wanted, reply)) = confirmed {
            wanted.check(reply)?;
        }
        match done.get(1) {
            Some(Value::Okay) => Ok(Created::Created),
            Some(Value::Nil) => Ok(Created::AlreadyExists),
            other => Err(strange(other)),
        }
    }

    async fn read_once(&self, name: &str, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        let key = self.keys.object(name);
        let start = offset.min(STRING_BYTES_MAX);
        let end = offset.saturating_add(length).min(STRING_BYTES_MAX);
        // An end before the start is Redis' way to ask for nothing.
        let range = cmd("GETRANGE").arg(&key).arg(start).arg(end as i64 - 1).take();
        if start < end {
            match self.reads.ask(key.clone(), vec![range.clone()]).await?.pop() {
                Some(Value::BulkString(bytes)) if !bytes.is_empty() => return Ok(bytes.into()),
                Some(Value::BulkString(_)) => {}
                Some(Value::ServerError(error)) => return Err(Fault::from(&error).into()),
                other => return Err(strange(other.as_ref())),
            }
        }
        // No object, or nothing in that range? Asked at one instant: it may come meanwhile.
        let range = if start < end { range } else { cmd("STRLEN").arg(&key).take() };
        let exists = cmd("EXISTS").arg(&key).take();
        let commands = vec![cmd("MULTI"), exists, range, cmd("EXEC")];
        match executed(self.reads.ask(key, commands).await?)?.as_mut_slice() {
            [Value::Int(0), _] => Err(StoreError::NotFound),
            [Value::Int(_), Value::BulkString(bytes)] => Ok(std::mem::take(bytes).into()),
            [Value::Int(_), Value::Int(_)] => Ok(Bytes::new()),
            other => Err(strange(other.last())),
        }
    }

    async fn list_once(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        // More would keep a Redis from its other work.
        let limit = limit.min(LIST_NAMES_MAX);
        let (from, to) = keys::range(prefix, after);
        let listing = |shard: usize| {
            let index = self.keys.index(shard);
            cmd("ZRANGEBYLEX").arg(index).arg(&from).arg(&to).arg("LIMIT").arg(0).arg(limit).take()
        };
        let requests = self.shards_together().into_iter().map(|shards| {
            let key = self.keys.index(shards[0]);
            self.reads.ask(key, shards.into_iter().map(listing).collect())
        });
        let mut names = Vec::new();
        for replies in all(requests.collect()).await {
            for reply in replies? {
                names.extend(listed(reply)?);
            }
        }
        names.sort_unstable();
        names.truncate(limit);
        Ok(names)
    }

    async fn delete_once(&self, names: &[String]) -> Result<(), StoreError> {
        let mut requests = Vec::new();
        for shards in self.shards_together() {
            let here = |name: &&String| shards.contains(&keys::shard(name));
            let doomed: Vec<&String> = names.iter().filter(here).collect();
            let objects: Vec<String> = doomed.iter().map(|name| self.keys.object(name)).collect();
            let Some(key) = objects.first().cloned() else {
                continue;
            };
            let mut commands = vec![cmd("MULTI")];
            commands.extend(
                doomed.into_iter().map(|name| {
                    cmd("ZREM").arg(self.keys.index(keys::shard(name))).arg(name).take()
                }),
            );
            commands.extend([cmd("UNLINK").arg(objects).take(), cmd("EXEC")]);
            requests.push(self.writes.ask(key, commands));
        }
        for replies in all(requests).await {
            executed(replies?)?;
        }
        Ok(())
    }
}

impl Store for RedisStore {
    fn limits(&self) -> Limits {
        Limits {
            object_bytes_max: self.findings.object_bytes_max,
            group_bytes_useful: 4 << 20,
            creates_in_flight: 4,
            // A whole object is one answer, and seldom large beside the way there.
            read_gap_bytes: u64::MAX,
            frees_in_order: false,
            shows_at_once: false,
            survives_process: true,
        }
    }

    fn create<'a>(&'a self, name: &'a str, object: Bytes) -> StoreFuture<'a, Created> {
        Box::pin(self.create_once(name, object.into()))
    }

    fn create_in_pieces<'a>(&'a self, name: &'a str, object: Rope) -> StoreFuture<'a, Created> {
        Box::pin(self.create_once(name, object))
    }

    fn read<'a>(&'a self, name: &'a str, offset: u64, length: u64) -> StoreFuture<'a, Bytes> {
        Box::pin(self.read_once(name, offset, length))
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<String>> {
        Box::pin(self.list_once(prefix, after, limit))
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> StoreFuture<'a, ()> {
        Box::pin(self.delete_once(names))
    }
}

/// The pieces become one argument as they are written into the command.
fn set_if_new(key: &str, object: &Rope) -> Result<Cmd, StoreError> {
    let mut set = Cmd::with_capacity(4, key.len() + object.len() + "SETNX".len());
    set.arg("SET").arg(key);
    let mut value = set.writer_for_next_arg();
    for piece in object.pieces() {
        value.write_all(piece).map_err(|error| StoreError::Unavailable(error.to_string()))?;
    }
    drop(value);
    Ok(set.arg("NX").take())
}

/// What the commands of a transaction answered, from the replies to `MULTI … EXEC`.
fn executed(mut replies: Vec<Value>) -> Result<Vec<Value>, Fault> {
    // The first error is the reason; EXEC only says that there was one.
    if let Some(fault) = replies.iter().find_map(error_of) {
        return Err(fault);
    }
    match replies.pop() {
        Some(Value::Array(done)) => match done.iter().find_map(error_of) {
            Some(fault) => Err(fault),
            None => Ok(done),
        },
        other => Err(Fault::Passing(format!("EXEC answered {other:?}"))),
    }
}

fn error_of(reply: &Value) -> Option<Fault> {
    match reply {
        Value::ServerError(error) => Some(error.into()),
        _ => None,
    }
}

fn listed(reply: Value) -> Result<Vec<String>, StoreError> {
    if let Some(fault) = error_of(&reply) {
        return Err(fault.into());
    }
    redis::from_redis_value(reply)
        .map_err(|error| StoreError::Fatal(format!("the index holds what is no name: {error}")))
}

fn strange(reply: Option<&Value>) -> StoreError {
    StoreError::Unavailable(format!("a strange answer: {reply:?}"))
}

/// All of them side by side, in order.
async fn all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    poll_fn(|context| {
        for (future, output) in running.iter_mut().filter(|(_, output)| output.is_none()) {
            if let Poll::Ready(ready) = future.as_mut().poll(context) {
                *output = Some(ready);
            }
        }
        let done = running.iter().all(|(_, output)| output.is_some());
        if done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    running.into_iter().filter_map(|(_, output)| output).collect()
}
