//! Names of Redis that are not one setting of aft under another name.

use super::setting::redis_choice_refusal;
use super::store::Store;
use super::table::Settings;
use super::text::parse_size;
use super::value::LogLevel;

/// What CONFIG SET does with a name.
pub(super) enum ViewSet {
    /// Nothing can change it.
    Immutable,
    /// As in Redis, nothing can change it from a connection.
    Protected,
    /// One of these words (any text if there are none), but only the one it has: scripts
    /// that make sure of what is so anyway go on working, and nobody is told that something
    /// changed that did not.
    OnlySame(&'static [&'static str]),
    /// Changes settings.
    Change(fn(&mut Settings, &str) -> Result<(), String>),
}

/// A name of Redis.
pub(super) struct View {
    pub(super) name: &'static str,
    /// The setting that it shows a side of, itself if there is none: to set both at once is a
    /// duplicate.
    pub(super) setting: &'static str,
    pub(super) get: fn(&Settings) -> String,
    pub(super) set: ViewSet,
}

pub(super) static VIEWS: &[View] = &[
    View {
        name: "port",
        setting: "listen",
        get: |s| s.listen.addresses().first().map_or(0, |a| a.port).to_string(),
        set: ViewSet::Immutable,
    },
    View {
        name: "bind",
        setting: "listen",
        get: |s| {
            let hosts = s.listen.addresses().iter().map(|a| a.host.as_str());
            hosts.collect::<Vec<_>>().join(" ")
        },
        set: ViewSet::Immutable,
    },
    View {
        name: "tls-port",
        setting: "tls_listen",
        get: |s| {
            let first = s.tls_listen.as_ref().and_then(|listen| listen.addresses().first());
            first.map_or(0, |a| a.port).to_string()
        },
        set: ViewSet::Immutable,
    },
    View {
        name: "dir",
        setting: "store",
        get: |s| match &s.store {
            Store::Embedded { dir } => dir.display().to_string(),
            Store::Memory | Store::Redis(_) | Store::S3(_) | Store::DynamoDb(_) => String::new(),
        },
        set: ViewSet::Protected,
    },
    // There are no snapshots: what is acknowledged is in the store.
    View { name: "save", setting: "save", get: |_| String::new(), set: ViewSet::OnlySame(&[]) },
    View {
        name: "appendonly",
        setting: "store",
        get: |s| (if s.store.keeps() { "yes" } else { "no" }).to_owned(),
        set: ViewSet::OnlySame(&["yes", "no"]),
    },
    View {
        name: "appendfsync",
        setting: "durability",
        get: |s| s.durability.word().to_owned(),
        set: ViewSet::OnlySame(&["everysec", "always", "no"]),
    },
    View {
        name: "maxmemory-policy",
        setting: "maxmemory-policy",
        get: |_| NO_EVICTION.to_owned(),
        set: ViewSet::Change(|_, text| refuse_eviction(text)),
    },
    View {
        name: "loglevel",
        setting: "log_level",
        get: |s| redis_log_level(s.log_level).to_owned(),
        set: ViewSet::Change(set_log_level),
    },
    View {
        name: "client-output-buffer-limit",
        setting: "output_buffer_bytes_max",
        get: |s| {
            let max = s.output_buffer_bytes_max;
            format!("normal {max} 0 0 slave {max} 0 0 pubsub {max} 0 0")
        },
        set: ViewSet::Change(set_output_buffer_limit),
    },
];

const NO_EVICTION: &str = "noeviction";

/// A store that drops what it has acknowledged is none.
fn refuse_eviction(text: &str) -> Result<(), String> {
    #[rustfmt::skip] // As many as fit into a line.
    const POLICIES: &[&str] = &[
        "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
        "allkeys-lru", "allkeys-lfu", "allkeys-random", NO_EVICTION,
    ];
    if text.eq_ignore_ascii_case(NO_EVICTION) {
        Ok(())
    } else if POLICIES.iter().any(|policy| policy.eq_ignore_ascii_case(text)) {
        Err("aft evicts no keys".to_owned())
    } else {
        Err(redis_choice_refusal(POLICIES))
    }
}

/// Redis counts from the other end: its debug is the one that tells all.
fn redis_log_level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error | LogLevel::Warn => "warning",
        LogLevel::Info => "notice",
        LogLevel::Debug => "verbose",
        LogLevel::Trace => "debug",
    }
}

fn set_log_level(settings: &mut Settings, text: &str) -> Result<(), String> {
    settings.log_level = match text.to_ascii_lowercase().as_str() {
        "debug" => LogLevel::Trace,
        "verbose" => LogLevel::Debug,
        "notice" => LogLevel::Info,
        "warning" => LogLevel::Warn,
        _ => {
            let words = ["debug", "verbose", "notice", "warning"];
            return Err(redis_choice_refusal(&words));
        }
    };
    Ok(())
}

/// `class hard soft soft-seconds`, any number of times.
///
/// aft has one hard limit for every connection, so of what Redis' syntax can say it takes
/// what it can keep: `normal` sets the limit, `pubsub` must agree with it, replicas there are
/// none to limit. Anything else is an error rather than a limit that is not kept.
fn set_output_buffer_limit(settings: &mut Settings, text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    let words: Vec<&str> = text.split(' ').collect();
    let (limits, []) = words.as_chunks::<4>() else {
        return Err("Wrong number of arguments in buffer limit configuration.".to_owned());
    };
    let mut pubsub = Vec::new();
    for [class, hard, soft, soft_seconds] in limits {
        let class = class.to_ascii_lowercase();
        if !["normal", "slave", "replica", "pubsub"].contains(&class.as_str()) {
            return Err("Invalid client class specified in buffer limit configuration.".to_owned());
        }
        let Some((hard, soft)) = read_limit(hard, soft, soft_seconds) else {
            return Err(
                "Error in hard, soft or soft_seconds setting in buffer limit configuration."
                    .to_owned(),
            );
        };
        let kept = class == "normal" || class == "pubsub";
        if kept && soft != 0 {
            return Err("aft has no soft limits, use 0 0".to_owned());
        }
        match class.as_str() {
            "normal" => settings.output_buffer_bytes_max = hard,
            "pubsub" => pubsub.push(hard),
            _ => {}
        }
    }
    if pubsub.iter().any(|&hard| hard != settings.output_buffer_bytes_max) {
        return Err("aft has one limit for all clients, give pubsub that of normal".to_owned());
    }
    Ok(())
}

/// The hard and the soft limit, a soft one only if it is in force.
fn read_limit(hard: &str, soft: &str, soft_seconds: &str) -> Option<(u64, u64)> {
    let size = |text| parse_size(text).ok().and_then(|n| u64::try_from(n).ok());
    let (hard, soft) = (size(hard)?, size(soft)?);
    let _: u32 = soft_seconds.parse().ok()?;
    Some((hard, soft))
}
