//! The table: all settings, in the order in which they are shown.

use super::setting::{Change, Group, Kind, Need, Order, Setting};
use super::store::Store;
use super::value::{Durability, Listen, LogLevel, Secret, TlsAuthClients, Value, YesNo};
use std::path::PathBuf;

const KIB: i64 = 1 << 10;
const MIB: i64 = 1 << 20;
const GIB: i64 = 1 << 30;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

const fn count(unit: &'static str, min: i64, max: i64) -> Kind {
    Kind::Number { unit, min, max }
}

const fn milliseconds(min: i64, max: i64) -> Kind {
    count("milliseconds", min, max)
}

const fn bytes(min: i64, max: i64) -> Kind {
    Kind::Bytes { min, max }
}

/// Makes of each entry a field of `Settings`, its default and its row of `SETTINGS`.
///
/// An entry is `name: type = default, kind, change, name in Redis, what it is, why;`
macro_rules! settings {
    ($( $group:ident {
        $( $name:ident: $type:ty = $default:expr,
           $kind:expr, $change:ident, $redis:expr,
           $what:literal,
           $why:literal; )+
    } )+) => {
        /// The values of all settings. Every field has its unit last in its name, and its
        /// value is within the limits that the table gives it.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Settings { $( $(
            #[doc = $what]
            #[doc = ""]
            #[doc = $why]
            #[doc = ""]
            #[doc = concat!("Default: `", stringify!($default), "`.")]
            pub $name: $type,
        )+ )+ }

        impl Default for Settings {
            fn default() -> Self {
                Self { $( $( $name: $default, )+ )+ }
            }
        }

        /// The table itself, in the order in which settings are shown.
        pub static SETTINGS: &[Setting] = &[ $( $( Setting {
            name: stringify!($name),
            group: Group::$group,
            kind: $kind,
            change: Change::$change,
            redis: $redis,
            what: $what,
            why: $why,
            read: |settings| settings.$name.to_text(),
            write: |settings, text, kind| {
                settings.$name = Value::parse(text, kind)?;
                Ok(())
            },
        }, )+ )+ ];
    };
}

settings! {
    General {
        listen: Listen = Listen::localhost(6379),
            Kind::Listen, AtStart, None,
            "Addresses to serve; port 0 lets the system pick one.",
            "By default only programs on this machine can connect, since by default there is no password.";
        store: Store = Store::embedded("./aft-data"),
            Kind::Store, AtStart, None,
            "Where data is kept: in a directory, in a Redis, or nowhere (memory: loses all at the end).",
            "A directory needs no other service and survives a crash. A password is better given by the environment or the file, which other users of the machine can't read.";
        durability: Durability = Durability::Always,
            Kind::Choice(Durability::WORDS), AtStart, None,
            "When the embedded store forces a write to the disk: before it is answered, or once a second.",
            "With everysec a crash of the machine can lose the last second of answered writes, so it must be asked for.";
        requirepass: Option<Secret> = None,
            Kind::Secret, Live, Some("requirepass"),
            "Password that clients must give with AUTH or HELLO; empty for none.",
            "Prefer the environment or the file: every user of the machine can read a flag. It is never logged.";
        acl_file: Option<PathBuf> = None,
            Kind::File, AtStart, Some("aclfile"),
            "A file of users and what each may do: `user name rules` a line, as for ACL SETUSER; empty for none.",
            "Users made by ACL SETUSER are gone after a restart, unless ACL SAVE has written them there.";
        log_level: LogLevel = LogLevel::Info,
            Kind::Choice(LogLevel::WORDS), Live, None,
            "The least important messages that are logged.",
            "At info a healthy server writes a few lines per start and none per command.";
        databases: u64 = 16,
            count("databases", 1, 255), AtStart, Some("databases"),
            "Databases that SELECT can choose from.",
            "Sixteen as in Redis, because clients and tests expect them.";
        slowlog_slower_than_us: i64 = 10_000,
            count("microseconds", -1, i64::MAX), Live, Some("slowlog-log-slower-than"),
            "Commands that take longer are kept for SLOWLOG; 0 keeps all, -1 none.",
            "Ten milliseconds as in Redis.";
        slowlog_entries_max: u64 = 128,
            count("entries", 0, i64::MAX), Live, Some("slowlog-max-len"),
            "Entries that SLOWLOG keeps, the newest ones.",
            "As in Redis: enough to see a pattern, and a few kilobytes.";
        shutdown_timeout_ms: u64 = 10_000,
            milliseconds(0, DAY_MS), Live, None,
            "How long an orderly end waits for commits in flight.",
            "After it the server ends like a crash, which loses nothing that was answered; supervisors often kill after 30 s, so it stays below.";
    }
    Connections {
        clients_max: u64 = 10_000,
            count("clients", 1, 4_294_967_295), Live, Some("maxclients"),
            "Connections served at once; one more is refused with an error.",
            "Each costs a file descriptor and buffers, and a refusal is better than running out of either in the middle of a commit.";
        idle_timeout_s: u64 = 0,
            count("seconds", 0, 2_147_483_647), Live, Some("timeout"),
            "Closes a connection that said nothing for so long; 0 for never.",
            "Pools keep idle connections and take a close for an error, so none is closed by default.";
        tcp_keepalive_s: u64 = 300,
            count("seconds", 0, 2_147_483_647), Live, Some("tcp-keepalive"),
            "Probes a silent peer after so long, to find out that it is gone; 0 for never. New connections only.",
            "Without it the connections of a function host that vanished stay for ever.";
        query_buffer_bytes_max: u64 = 1 << 30,
            bytes(MIB, i64::MAX), Live, Some("client-query-buffer-limit"),
            "Unfinished input of one connection; beyond it the connection is closed.",
            "Twice the largest value, so that one fits with the rest of its command.";
        output_buffer_bytes_max: u64 = 1 << 30,
            bytes(0, i64::MAX), Live, None,
            "Replies waiting for a client that does not read them; beyond it the connection is closed; 0 for no limit.",
            "Twice the largest value: one such reply must fit, and a client that stops reading must not take all memory.";
        clients_bytes_max: u64 = 2 << 30,
            bytes(0, i64::MAX), Live, Some("maxmemory-clients"),
            "What all connections together hold: input, replies, MULTI, WATCH; beyond it those with most are closed; 0 for no limit.",
            "Four of the largest values under way at once. A thousand clients within limits of their own would still take all memory.";
        bulk_bytes_max: u64 = 512 << 20,
            bytes(MIB, i64::MAX), Live, Some("proto-max-bulk-len"),
            "The largest key, value or other argument.",
            "As in Redis.";
        multi_bytes_max: u64 = 1 << 30,
            bytes(MIB, i64::MAX), Live, None,
            "Commands queued by one MULTI, in bytes; beyond it EXEC aborts.",
            "Queued commands stay in memory until EXEC, which may never come.";
        multi_commands_max: u64 = 1_000_000,
            count("commands", 1, 4_294_967_295), Live, None,
            "Commands queued by one MULTI; beyond it EXEC aborts.",
            "A small command costs more memory than its bytes, so these are limited too.";
        watched_keys_max: u64 = 100_000,
            count("keys", 1, 4_294_967_295), Live, None,
            "Keys that one connection may WATCH at once.",
            "EXEC looks at each of them inside the one critical section of the server.";
        pipeline_commands_per_turn: u64 = 1024,
            count("commands", 1, 1_000_000), Live, None,
            "Commands of one connection that run before others get their turn.",
            "About a millisecond of small commands: a long pipeline stays fast and nobody waits long behind it.";
    }
    Tls {
        tls_listen: Option<Listen> = None,
            Kind::OptionalListen, AtStart, None,
            "Addresses to serve with TLS, beside those of --listen; empty for none.",
            "Clients can move over one by one, and the plain addresses can stay on this machine.";
        tls_cert_file: Option<PathBuf> = None,
            Kind::File, AtStart, Some("tls-cert-file"),
            "The server's certificate in PEM, followed by those between it and its authority.",
            "Clients check by it that they reached who they meant.";
        tls_key_file: Option<PathBuf> = None,
            Kind::File, AtStart, Some("tls-key-file"),
            "The private key of that certificate in PEM, not encrypted.",
            "An ECDSA key signs many times faster than an RSA key; whoever can read the file can pose as the server.";
        tls_ca_cert_file: Option<PathBuf> = None,
            Kind::File, AtStart, Some("tls-ca-cert-file"),
            "Certificates, in PEM, of the authorities that may vouch for clients.",
            "Only these count, none of the system's: a public authority vouches for anybody.";
        tls_auth_clients: TlsAuthClients = TlsAuthClients::Yes,
            Kind::Choice(TlsAuthClients::WORDS), AtStart, Some("tls-auth-clients"),
            "Whether TLS clients must show a certificate, may (a wrong one is refused), or are not asked.",
            "Required by default, as in Redis: a forgotten --tls-ca-cert-file is then an error and not an open door.";
        tls_handshake_timeout_ms: u64 = 10_000,
            milliseconds(1, DAY_MS), Live, None,
            "How long a client may take for its TLS handshake; then it is disconnected.",
            "A handshake is two round trips, so this is long for any network, and who says nothing takes a place among --clients-max no longer.";
    }
    Transactions {
        transactions_max: u64 = 100_000,
            count("transactions", 1, 4_294_967_295), Live, None,
            "Interactive transactions open at once; one more is refused.",
            "Each holds a snapshot and some hundred bytes, whether or not somebody still works in it.";
        transactions_bytes_max: u64 = GIB as u64,
            bytes(MIB, i64::MAX), Live, None,
            "What all open transactions together hold; beyond it they can't grow and none begins.",
            "Their writes stay in memory until the commit, which may never come, but for values from blob-bytes-min on, which are in the store. As much as the largest single one.";
        transaction_timeout_ms: u64 = 60_000,
            milliseconds(1, 30 * DAY_MS), Live, None,
            "A transaction that nobody has used for so long is aborted, unless AFT.BEGIN said otherwise.",
            "Longer than a function waits for another service, short enough that a crashed one holds nothing for long.";
        transaction_timeout_max_ms: u64 = 900_000,
            milliseconds(1, 30 * DAY_MS), Live, None,
            "The longest such time that AFT.BEGIN may ask for.",
            "What a transaction reads can't be compacted away meanwhile. A function may run for 15 minutes on the usual platforms.";
        outcomes_keep_ms: u64 = DAY_MS as u64,
            milliseconds(1000, 365 * DAY_MS), Live, None,
            "How long it is known what became of a request id or a token.",
            "A retry that comes later runs its functions again. Queues and schedulers give up within a day.";
        outcomes_bytes_max: u64 = GIB as u64,
            bytes(64 * KIB, i64::MAX), Live, None,
            "Memory for what became of requests and tokens; when it is full, new transactions are refused.",
            "None is forgotten before its time, or a retry would double effects. Each takes some 100 bytes, a request its id and result, too.";
        result_bytes_max: u64 = MIB as u64,
            bytes(0, 512 * MIB), Live, None,
            "The largest result of a request or a step.",
            "A retry learns it, so it is kept in memory as long as the outcome. Larger ones belong into a key.";
        resend_window_ms: u64 = 10_000,
            milliseconds(0, DAY_MS), Live, None,
            "How long after a bound connection broke its unread replies are told to who sends the same commands again; 0 for never.",
            "Client libraries connect anew and resend within seconds; who says the same much later means it anew.";
        resend_commands_max: u64 = 10_000,
            count("commands", 1, 1_000_000), Live, None,
            "Commands whose replies may have been lost that are remembered, of one bound connection and of one transaction.",
            "As deep as pipelines usually get. Of one that is deeper nothing is remembered, and a resend of it counts again.";
        resend_bytes_max: u64 = 4 << 20,
            bytes(0, GIB), Live, None,
            "The same in bytes, with their replies.",
            "A bound connection may hold that much as long as it is idle, and a transaction after it.";
    }
    Engine {
        group_bytes_max: u64 = 4 << 20,
            bytes(4 * KIB, GIB), AtStart, None,
            "Transactions that go to the store in one object, in bytes; a larger one goes alone.",
            "Large enough to use a store's bandwidth, small enough that the first one in does not wait long for the last.";
        blob_bytes_min: u64 = 4 << 20,
            bytes(64 * KIB, GIB), AtStart, None,
            "Values from this size on are written to objects of their own, before their transaction commits.",
            "Nobody else waits for them then, and compaction leaves them where they are. Below it the second round trip costs more. At most as much as group-bytes-max.";
        groups_in_flight_max: u64 = 2,
            count("groups", 0, 64), AtStart, None,
            "Groups on their way to the store at once; 0 for what the store says is good.",
            "A second one hides the round trip of the first; more split the same load into smaller, costlier objects.";
        uncommitted_bytes_max: u64 = 256 << 20,
            bytes(MIB, 1024 * GIB), AtStart, None,
            "Writes that run but are not yet acknowledged by the store; beyond it connections wait.",
            "When the store is slow, clients should feel it before memory is full. A larger transaction goes alone.";
        transaction_bytes_max: u64 = 1 << 30,
            bytes(MIB, 1024 * GIB), AtStart, None,
            "Writes of one transaction; beyond it the command fails.",
            "But for large values they stay in memory until the commit. The largest value must fit with room to spare.";
        commit_deadline_ms: u64 = 10_000,
            milliseconds(1, DAY_MS), Live, None,
            "How long a commit may wait for the store; after it the answer is NOTCOMMITTED or UNCERTAIN.",
            "Long enough for a store that restarts, short enough that a function's own limit is not used up by waiting.";
        read_deadline_ms: u64 = 10_000,
            milliseconds(1, DAY_MS), Live, None,
            "How long a read of a value that is not in memory may take; after it the command fails.",
            "As for commits: an error in time, never a wrong nil.";
        store_attempt_timeout_ms: u64 = 3_000,
            milliseconds(1, DAY_MS), AtStart, None,
            "How long one request to the store may take before it is given up and repeated.",
            "Three attempts fit into a deadline; a store of good health answers in a tenth of it.";
        store_hedge_ms: u64 = 1_000,
            milliseconds(0, DAY_MS), AtStart, None,
            "Sends a request to the store a second time if the first has no answer after so long; 0 for never.",
            "Far above a healthy store's slowest answers, so that it adds load only where a request got lost.";
        store_retry_first_ms: u64 = 5,
            milliseconds(1, DAY_MS), AtStart, None,
            "Wait before a failed request to the store is repeated; doubles each time, with jitter.",
            "Most failures are one refused connection and are over at once.";
        store_retry_max_ms: u64 = 1_000,
            milliseconds(1, DAY_MS), AtStart, None,
            "The longest such wait.",
            "A store that comes back should find its requests within a second, but not all of them in one instant.";
        recovery_reads_in_flight: u64 = 64,
            count("reads", 1, 4096), AtStart, None,
            "Objects read from the store at once at the start.",
            "A start is many small reads, and a remote store answers many as fast as one.";
        expired_keys_per_turn: u64 = 200,
            count("keys", 1, 1_000_000), Live, None,
            "Expired keys removed before commands get their turn again.",
            "A million keys that expire at once are then removed in many short steps and not in one long one.";
        cache_bytes: u64 = 256 << 20,
            bytes(0, 1024 * GIB), Live, None,
            "Values that are in the store and kept in memory, too; values of up to 64 bytes are always in memory.",
            "Most requests are for few values. What is not kept is read from the store when somebody asks.";
        memory_bytes_max: u64 = 0,
            bytes(0, i64::MAX), Live, Some("maxmemory"),
            "Memory for all data: the index, what is on its way to the store, and cached values; beyond it writes that need more are refused; 0 for no limit.",
            "Cached values go first; keys and small values can't. What connections hold has a limit of its own, --clients-bytes-max.";
        store_percent_max: u64 = 180,
            count("percent", 110, 10_000), Live, None,
            "The store may take so many percent of what is alive in it; beyond it old objects are compacted.",
            "In the long run each byte written has 1.25 moved, at most, and a third where keys are overwritten at random; less space costs more moving.";
        store_bytes_min: u64 = 64 << 20,
            bytes(0, 1024 * GIB), Live, None,
            "A store up to this size is not compacted for the sake of space.",
            "So little is not worth the work. As Redis rewrites no append-only file below auto-aof-rewrite-min-size.";
        groups_max: u64 = 10_000,
            count("groups", 1, 100_000_000), Live, None,
            "Groups that are not compacted yet; beyond it the oldest are, however much is alive in them.",
            "A start reads each of them, and a remote store takes some milliseconds a read.";
        logs_max: u64 = 16,
            count("logs", 1, 1_000_000), Live, None,
            "Logs of this start and of earlier ones; beyond it the oldest are compacted.",
            "A start asks the store about each of them.";
        compaction_debt_percent_max: u64 = 5,
            count("percent", 1, 1_000_000), Live, None,
            "Debt of compaction, in percent of what the store may take, beyond which writes wait for it; the more the deeper, a command for a second at the most.",
            "Writes that outrun compaction would fill the disk; short waits early are better than a stop later.";
        compaction_step_bytes: u64 = 4 << 20,
            bytes(4 * KIB, GIB), Live, None,
            "Old objects that are replaced by one base, in bytes; of a small store less, a 64th of what it may take.",
            "They are in memory while it is written, and commits share the store with it; smaller bases are more objects.";
    }
    SharedStores {
        lease_ms: u64 = 10_000,
            milliseconds(100, DAY_MS), AtStart, None,
            "For so long after its last sign of life nobody else takes the store over from a node, and for so long it answers.",
            "Longer than most hiccups of a store or a network, short enough to wait for after a crash. With twice --store-attempt-timeout-ms a lost reply does not end it. A node that is idle writes a small object each third of it.";
        stale_reads: YesNo = YesNo::No,
            Kind::Choice(YesNo::WORDS), AtStart, None,
            "Whether reads are answered when the store has not been reached for a lease.",
            "By then another node may have taken over and written: an error is better than an old value. Who has one node for sure may prefer to read on.";
    }
    EmbeddedStore {
        segment_bytes: u64 = 64 << 20,
            bytes(MIB, 4 * GIB), AtStart, None,
            "Size at which the embedded store starts a new file, once it holds 32 times as much; less before, down to a 32nd.",
            "Space comes back a whole file at a time, so smaller is sooner; every file is one to open at the start, so larger is fewer.";
    }
    RedisStore {
        redis_replicas_min: u64 = 0,
            count("replicas", 0, 1000), AtStart, None,
            "Replicas of the Redis that must have a write before it is answered (WAIT); 0 for none.",
            "Without it a failover of the Redis can lose the last writes that were answered; with it each write waits for a replica.";
        redis_fsync: YesNo = YesNo::No,
            Kind::Choice(YesNo::WORDS), AtStart, None,
            "Whether a write waits until the Redis has forced it to its disk (WAITAOF, from Redis 7.2 on); with --redis-replicas-min, on so many replicas too.",
            "A Redis with appendfsync always does so anyway; with everysec each write would wait up to a second.";
    }
}

/// What must hold between two settings.
pub(super) static ORDERS: &[Order] = &[
    Order {
        smaller: "group_bytes_max",
        larger: "uncommitted_bytes_max",
        values: |s| (s.group_bytes_max, s.uncommitted_bytes_max),
        why: "no full group could be committed",
    },
    Order {
        smaller: "store_attempt_timeout_ms",
        larger: "commit_deadline_ms",
        values: |s| (s.store_attempt_timeout_ms, s.commit_deadline_ms),
        why: "a commit would be given up before its first attempt",
    },
    Order {
        smaller: "store_attempt_timeout_ms",
        larger: "read_deadline_ms",
        values: |s| (s.store_attempt_timeout_ms, s.read_deadline_ms),
        why: "a read would be given up before its first attempt",
    },
    Order {
        smaller: "store_attempt_timeout_ms",
        larger: "lease_ms",
        // An embedded store has no lease.
        values: |s| (if s.store.is_shared() { s.store_attempt_timeout_ms } else { 0 }, s.lease_ms),
        why: "the lease would be over before an attempt to prolong it is",
    },
    Order {
        smaller: "transaction_timeout_ms",
        larger: "transaction_timeout_max_ms",
        values: |s| (s.transaction_timeout_ms, s.transaction_timeout_max_ms),
        why: "the usual time would be longer than the longest",
    },
    Order {
        smaller: "store_retry_first_ms",
        larger: "store_retry_max_ms",
        values: |s| (s.store_retry_first_ms, s.store_retry_max_ms),
        why: "the first wait would be longer than the longest",
    },
];

/// What must be there for a setting to be of use.
pub(super) static NEEDS: &[Need] = &[
    Need {
        given: "tls_listen",
        missing: "tls_cert_file",
        is_broken: |s| s.tls_listen.is_some() && s.tls_cert_file.is_none(),
        why: "a server shows a certificate",
    },
    Need {
        given: "tls_listen",
        missing: "tls_key_file",
        is_broken: |s| s.tls_listen.is_some() && s.tls_key_file.is_none(),
        why: "a server proves that its certificate is its own",
    },
    Need {
        given: "tls_auth_clients",
        missing: "tls_ca_cert_file",
        is_broken: |s| {
            let asks = s.tls_auth_clients != TlsAuthClients::No;
            s.tls_listen.is_some() && asks && s.tls_ca_cert_file.is_none()
        },
        why: "clients' certificates are checked by it; with 'no' they need none",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_default_is_allowed_and_reads_back() {
        let defaults = Settings::default();
        for setting in SETTINGS {
            let mut settings = defaults.clone();
            let text = setting.read(&defaults);
            assert_eq!(setting.write(&mut settings, &text), Ok(()), "{}", setting.name);
            let shown = setting.show(&defaults);
            assert_eq!(setting.write(&mut settings, &shown), Ok(()), "{}", setting.name);
            assert_eq!(settings, defaults, "{}", setting.name);
        }
        for order in ORDERS {
            assert!(order.holds(&defaults));
        }
        assert!(NEEDS.iter().all(|need| !(need.is_broken)(&defaults)));
    }

    #[test]
    fn names_are_unique_and_end_in_their_unit() {
        let mut names = HashSet::new();
        for setting in SETTINGS {
            assert!(names.insert(setting.name), "{} twice", setting.name);
            assert!(setting.what.ends_with('.') && setting.why.ends_with('.'), "{}", setting.name);
            let unit = match setting.kind {
                Kind::Bytes { .. } => "bytes",
                Kind::Number { unit: "milliseconds", .. } => "_ms",
                Kind::Number { unit: "microseconds", .. } => "_us",
                Kind::Number { unit: "seconds", .. } => "_s",
                Kind::Number { unit, .. } => unit,
                _ => "",
            };
            assert!(setting.name.contains(unit), "{} is in {unit}", setting.name);
        }
        for order in ORDERS {
            assert!(names.contains(order.smaller) && names.contains(order.larger));
        }
        for need in NEEDS {
            assert!(names.contains(need.given) && names.contains(need.missing));
        }
    }
}
