//! What a start looks at before it trusts a Redis with anything. Nothing is written by that.

use super::keys::SHARDS;
use super::{RedisOptions, RedisStore, STRING_BYTES_MAX, error_of, executed};
use crate::config::YesNo;
use crate::storage::claim;
use crate::storage::fault::Fault;
use redis::{Cmd, Value, cmd};
use std::collections::{BTreeSet, HashMap};

/// The shortest limit of strings to work with: a group's header alone may take a megabyte.
const STRING_BYTES_MIN: u64 = 16 << 20;

/// What was found.
#[derive(Debug, Clone)]
pub(super) struct Findings {
    pub(super) durability: String,
    pub(super) warnings: Vec<String>,
    pub(super) object_bytes_max: u64,
}

impl Default for Findings {
    fn default() -> Self {
        let (durability, warnings) = (String::new(), Vec::new());
        Self { durability, warnings, object_bytes_max: STRING_BYTES_MAX }
    }
}

/// Looks at each server behind the shards.
pub(super) async fn whether_usable(
    store: &RedisStore,
    options: &RedisOptions,
) -> Result<Findings, Fault> {
    let mut findings = Findings::default();
    let (mut durabilities, mut warnings) = (BTreeSet::new(), BTreeSet::new());
    let mut seen = BTreeSet::new();
    for shard in 0..SHARDS {
        let server = Server::ask(store, shard).await?;
        if seen.insert(server.info("run_id").map(str::to_owned)) {
            server.check_role(store.reads.is_cluster())?;
            server.check_eviction(&mut warnings)?;
            server.check_confirmations(options)?;
            durabilities.insert(server.durability(&mut warnings));
            findings.object_bytes_max = findings.object_bytes_max.min(server.string_bytes_max()?);
        }
        probe(store, shard).await?;
        if !store.reads.is_cluster() {
            // All shards are on the one.
            break;
        }
    }
    match options {
        RedisOptions { fsync: YesNo::Yes, .. } => {
            durabilities.insert("each write waits for the disk".to_owned());
        }
        RedisOptions { replicas_min: 1.., .. } => {
            durabilities.insert(format!("each write waits for {} replicas", options.replicas_min));
        }
        RedisOptions { .. } => {}
    }
    findings.durability = Vec::from_iter(durabilities).join("; ");
    findings.warnings = warnings.into_iter().collect();
    look_at_format(store, true).await?;
    Ok(findings)
}

/// Says that this is a store of aft, where nothing says so yet; the value that is there then.
pub(super) async fn mark(store: &RedisStore, entropy: u128) -> Result<Vec<u8>, Fault> {
    let key = store.keys.format();
    let set = cmd("SET").arg(&key).arg(&claim::new(entropy)[..]).arg("NX").take();
    let get = cmd("GET").arg(&key).take();
    let commands = vec![cmd("MULTI"), set, get, cmd("EXEC")];
    match executed(store.writes.ask(key, commands).await?)?.pop() {
        Some(Value::BulkString(value)) => Ok(value),
        other => Err(Fault::Passing(format!("a strange answer: {other:?}"))),
    }
}

/// For who only reads: the store has to be there already.
pub(super) async fn whether_there(store: &RedisStore) -> Result<(), Fault> {
    look_at_format(store, false).await
}

async fn look_at_format(store: &RedisStore, may_be_new: bool) -> Result<(), Fault> {
    let key = store.keys.format();
    let get = cmd("GET").arg(&key).take();
    let reply = store.reads.ask(key.clone(), vec![get]).await?.pop();
    match reply {
        Some(Value::Nil) if may_be_new => Ok(()),
        Some(Value::Nil) => {
            Err(Fault::Refused(format!("there is no store of aft: the key {key} is missing")))
        }
        Some(Value::BulkString(value)) => {
            claim::checked(value.into(), &format!("the key {key}")).map(drop)
        }
        Some(Value::ServerError(error)) => Err(Fault::from(&error)),
        other => Err(Fault::Passing(format!("a strange answer: {other:?}"))),
    }
}

/// Every command that is going to be needed, in forms that change nothing: what is not allowed,
/// or not possible on this server, shows now.
async fn probe(store: &RedisStore, shard: usize) -> Result<(), Fault> {
    let (absent, index) = (store.keys.absent(shard), store.keys.index(shard));
    let mut commands = vec![
        cmd("MULTI"),
        cmd("ZADD").arg(&index).arg("XX").arg(0).arg("absent").take(),
        cmd("ZREM").arg(&index).arg("absent").take(),
        cmd("ZRANGEBYLEX").arg(&index).arg("-").arg("+").arg("LIMIT").arg(0).arg(1).take(),
        cmd("SET").arg(&absent).arg("").arg("XX").take(),
        cmd("GETRANGE").arg(&absent).arg(0).arg(0).take(),
        cmd("STRLEN").arg(&absent).take(),
        cmd("EXISTS").arg(&absent).take(),
        cmd("UNLINK").arg(&absent).take(),
        cmd("EXEC"),
    ];
    let confirmations = store.confirmation.as_ref().map(|wanted| wanted.command.clone());
    commands.extend(confirmations);
    let mut replies = store.writes.ask(absent, commands).await?;
    if let Some(wanted) = &store.confirmation {
        wanted.check(replies.pop())?;
    }
    executed(replies).map(drop)
}

/// What a server says of itself.
struct Server {
    info: HashMap<String, String>,
    /// `None` if CONFIG is forbidden.
    config: Option<HashMap<String, String>>,
}

impl Server {
    async fn ask(store: &RedisStore, shard: usize) -> Result<Self, Fault> {
        /// One by one: a Redis before 7.0 takes no more.
        const CONFIG: [&str; 3] = ["appendfsync", "save", "proto-max-bulk-len"];
        let get = |name: &&str| cmd("CONFIG").arg("GET").arg(*name).take();
        let commands: Vec<Cmd> = [cmd("INFO")].into_iter().chain(CONFIG.iter().map(get)).collect();
        let mut replies = store.reads.ask(store.keys.index(shard), commands).await?.into_iter();
        let info = match replies.next() {
            Some(Value::ServerError(error)) if error.code() != "NOPERM" => {
                return Err(Fault::from(&error));
            }
            Some(Value::BulkString(text)) => parse_info(&String::from_utf8_lossy(&text)),
            _ => HashMap::new(),
        };
        let mut config = Some(HashMap::new());
        for reply in replies {
            match (&mut config, reply) {
                (_, reply) if error_of(&reply).is_some() => config = None,
                (Some(config), reply) => {
                    config.extend(
                        redis::from_redis_value::<HashMap<_, _>>(reply).unwrap_or_default(),
                    );
                }
                (None, _) => {}
            }
        }
        Ok(Self { info, config })
    }

    fn info(&self, name: &str) -> Option<&str> {
        self.info.get(name).map(String::as_str)
    }

    fn config(&self, name: &str) -> Option<&str> {
        self.config.as_ref()?.get(name).map(String::as_str)
    }

    /// It is what the address says, and can be written to.
    fn check_role(&self, as_cluster: bool) -> Result<(), Fault> {
        let refused = |why: &str| Err(Fault::Refused(why.to_owned()));
        if self.info.contains_key("aft_version") {
            return refused("this is an aft, not a Redis: name the Redis that it is to use");
        }
        match (self.info("redis_mode"), as_cluster) {
            (Some("cluster"), false) => {
                return refused("this is a node of a Redis Cluster: use redis-cluster://");
            }
            (Some("standalone"), true) => {
                return refused("this is no Redis Cluster: use redis://");
            }
            (Some("sentinel"), _) => {
                return refused("this is a Sentinel: name the primary that it watches");
            }
            _ => {}
        }
        if self.info("role") == Some("slave") {
            let host = self.info("master_host").unwrap_or("unknown");
            let port = self.info("master_port").unwrap_or("unknown");
            return Err(Fault::Refused(format!(
                "this Redis is a replica, which can't be written: name its primary, {host}:{port}"
            )));
        }
        Ok(())
    }

    /// It never throws away what it has taken.
    fn check_eviction(&self, warnings: &mut BTreeSet<String>) -> Result<(), Fault> {
        let Some(policy) = self.info("maxmemory_policy") else {
            warnings.insert(
                "whether this Redis evicts keys is not known, since INFO is forbidden: its \
                 maxmemory-policy has to be noeviction"
                    .to_owned(),
            );
            return Ok(());
        };
        if policy == "noeviction" {
            return Ok(());
        }
        if self.info("maxmemory").is_none_or(|bytes| bytes != "0") {
            return Err(Fault::Refused(format!(
                "this Redis evicts keys when its memory is full (maxmemory-policy {policy}), and \
                 with them data that was acknowledged: run CONFIG SET maxmemory-policy noeviction \
                 on it, and put that into its configuration"
            )));
        }
        warnings.insert(format!(
            "maxmemory-policy of this Redis is {policy}: as soon as somebody sets its maxmemory, \
             it throws away data; set the policy to noeviction"
        ));
        Ok(())
    }

    /// How long a string it takes; less than groups need is refused.
    fn string_bytes_max(&self) -> Result<u64, Fault> {
        let bytes_max = self.config("proto-max-bulk-len").and_then(|max| max.parse().ok());
        let bytes_max = bytes_max.unwrap_or(STRING_BYTES_MAX);
        if bytes_max < STRING_BYTES_MIN {
            return Err(Fault::Refused(format!(
                "this Redis takes strings of {bytes_max} bytes only: aft needs a \
                 proto-max-bulk-len of at least {STRING_BYTES_MIN}"
            )));
        }
        Ok(bytes_max)
    }

    /// It can do what each write is to wait for.
    fn check_confirmations(&self, options: &RedisOptions) -> Result<(), Fault> {
        if options.fsync == YesNo::Yes {
            let version = self.info("redis_version").unwrap_or_default();
            let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
            let version_is = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
            if version_is != (0, 0) && version_is < (7, 2) {
                return Err(Fault::Refused(format!(
                    "--redis-fsync needs WAITAOF, which this Redis {version} does not have (from \
                     7.2 on); appendfsync always does the same for all its clients"
                )));
            }
            if self.info("aof_enabled") == Some("0") {
                return Err(Fault::Refused(
                    "--redis-fsync needs an append-only file: run CONFIG SET appendonly yes on \
                     this Redis, and put that into its configuration"
                        .to_owned(),
                ));
            }
        }
        let replicas = self.info("connected_slaves").and_then(|count| count.parse::<u64>().ok());
        match replicas {
            Some(replicas) if replicas < options.replicas_min => Err(Fault::Passing(format!(
                "--redis-replicas-min is {}, and this Redis has {replicas}",
                options.replicas_min
            ))),
            _ => Ok(()),
        }
    }

    /// What a crash of it, or of its machine, can take away.
    fn durability(&self, warnings: &mut BTreeSet<String>) -> String {
        let lost =
            |what: &str| format!("a crash of its machine can lose {what} of answered writes");
        match (self.info("aof_enabled"), self.config("appendfsync"), self.config("save")) {
            (Some("1"), Some("always"), _) => {
                "appendonly, appendfsync always: what is answered is on its disk".to_owned()
            }
            (Some("1"), Some("everysec"), _) => {
                format!("appendonly, appendfsync everysec: {}", lost("the last second"))
            }
            (Some("1"), Some(other), _) => {
                format!("appendonly, appendfsync {other}: {}", lost("what its system kept back"))
            }
            (Some("1"), None, _) => {
                "appendonly; appendfsync is not known, since CONFIG is forbidden".to_owned()
            }
            (Some(_), _, Some("")) => {
                warnings.insert(
                    "this Redis keeps nothing on its disk: when it ends, all data is lost; run \
                     CONFIG SET appendonly yes on it, and put that into its configuration"
                        .to_owned(),
                );
                "no appendonly, no snapshots: it keeps nothing on its disk".to_owned()
            }
            (Some(_), _, Some(save)) => {
                warnings.insert(format!(
                    "this Redis only saves snapshots (save {save}): a crash of it loses what was \
                     answered since the last one; run CONFIG SET appendonly yes on it, and put \
                     that into its configuration"
                ));
                format!("snapshots only (save {save})")
            }
            (Some(_), _, None) => {
                warnings.insert(
                    "this Redis has no append-only file: a crash of it loses what was answered \
                     since its last snapshot, if it makes any (CONFIG is forbidden)"
                        .to_owned(),
                );
                "no appendonly; snapshots are not known, since CONFIG is forbidden".to_owned()
            }
            (None, ..) => "not known, since INFO is forbidden".to_owned(),
        }
    }
}

fn parse_info(text: &str) -> HashMap<String, String> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}
