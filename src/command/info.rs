//! INFO: the state of the server in lines `name:value`, as monitoring and clients read them.
//!
//! The names are those of Redis where it has them, and of those the ones that somebody
//! reads; what has no counterpart in aft is left out rather than made up, unless a client
//! would stumble (`loading`, `rdb_…`).

use super::connection::REDIS_VERSION;
use super::{CommandResult, Context, table};
use crate::config::Store;
use crate::engine::core::{Core, Health};
use crate::machine;
use crate::resp::Reply;
use crate::server::statistics::Tally;
use std::fmt::{Display, Write};
use std::sync::atomic::{AtomicU64, Ordering};

/// What a section writes.
struct Lines<'t>(&'t mut String);

impl Lines<'_> {
    fn line(&mut self, name: &str, value: impl Display) -> &mut Self {
        // A String takes everything.
        let _ = write!(self.0, "{name}:{value}\r\n");
        self
    }

    fn count(&mut self, name: &str, counter: &AtomicU64) -> &mut Self {
        self.line(name, counter.load(Ordering::Relaxed))
    }

    /// A number of bytes, and again for people.
    fn bytes(&mut self, name: &str, bytes: u64) -> &mut Self {
        self.line(name, bytes).line(&format!("{name}_human"), human(bytes))
    }

    /// Fields of Redis that are always the same here.
    fn fixed(&mut self, lines: &[(&str, &str)]) -> &mut Self {
        for (name, value) in lines {
            self.line(name, value);
        }
        self
    }
}

struct Section {
    title: &'static str,
    write: fn(&Context<'_, '_>, &mut Lines<'_>),
    /// Whether INFO without arguments has it.
    default: bool,
}

#[rustfmt::skip] // One section, one row.
static SECTIONS: &[Section] = &[
    Section { title: "Server", write: server, default: true },
    Section { title: "Clients", write: clients, default: true },
    Section { title: "Memory", write: memory, default: true },
    Section { title: "Persistence", write: persistence, default: true },
    Section { title: "Stats", write: stats, default: true },
    Section { title: "Replication", write: replication, default: true },
    Section { title: "CPU", write: processor, default: true },
    Section { title: "Modules", write: |_, _| (), default: true },
    Section { title: "Commandstats", write: commands, default: false },
    Section { title: "Errorstats", write: errors, default: true },
    Section { title: "Latencystats", write: latencies, default: false },
    Section { title: "Cluster", write: cluster, default: true },
    Section { title: "Keyspace", write: keyspace, default: true },
    Section { title: "Aft", write: aft, default: true },
];

/// INFO [section …]
pub(super) fn info(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let asked = &args[1..];
    let is = |arg: &&[u8], word: &str| arg.eq_ignore_ascii_case(word.as_bytes());
    let any = |word: &str| asked.iter().any(|arg| is(arg, word));
    let all = any("all") || any("everything");
    let default = asked.is_empty() || any("default");
    let mut text = String::new();
    for section in SECTIONS {
        if !(all || (default && section.default) || any(section.title)) {
            continue;
        }
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        let _ = write!(text, "# {}\r\n", section.title);
        (section.write)(context, &mut Lines(&mut text));
    }
    Ok(Reply::text(text.as_str()))
}

fn server(context: &Context<'_, '_>, lines: &mut Lines<'_>) {
    let server = context.server;
    let uptime_s = server.uptime_ms() / 1000;
    let executable = std::env::current_exe().unwrap_or_default();
    lines
        .line("redis_version", REDIS_VERSION)
        .line("aft_version", env!("CARGO_PKG_VERSION"))
        .fixed(&[("redis_git_sha1", "00000000"), ("redis_git_dirty", "0")])
        .line("redis_mode", "standalone")
        .line("os", machine::operating_system())
        .line("arch_bits", usize::BITS)
        .line("process_id", std::process::id())
        .line("run_id", &server.run_id)
        .line("tcp_port", server.port)
        .line("server_time_usec", server.wall_ms() * 1000)
        .line("uptime_in_seconds", uptime_s)
        .line("uptime_in_days", uptime_s / (24 * 60 * 60))
        .line("executable", executable.display())
        .line("config_file", server.config_file().display());
}

fn clients(context: &Context<'_, '_>, lines: &mut Lines<'_>) {
    let connected = context.server.connected();
    let blocked = connected.iter().filter(|client| client.state().blocked);
    lines
        .line("connected_clients", context.server.connected_count())
        .line("cluster_connections", 0)
        .line("maxclients", context.settings.clients_max)
        .line("blocked_clients", blocked.count())
        .line("tracking_clients", 0);
}

fn memory(context: &Context<'_, '_>, lines: &mut Lines<'_>) {
    let memory = context.server.memory();
    let core = context.transaction.core();
    let used = core.used_bytes();
    lines
        .bytes("used_memory", used)
        .bytes("used_memory_rss", memory.resident)
        .bytes("used_memory_peak", memory.peak)
        .bytes("total_system_memory", machine::memory_of_machine())
        .bytes("maxmemory", context.settings.memory_bytes_max)
        .line("maxmemory_policy", "noeviction")
        .line("mem_clients_normal", context.server.held.bytes())
        .line("mem_allocator", "mimalloc")
        .line("mem_fragmentation_ratio", format_args!("{:.2}", ratio(memory.resident, used)))
        .fixed(&[
            ("used_memory_lua", "0"),
            ("used_memory_scripts", "0"),
            ("number_of_cached_scripts", "0"),
            ("number_of_functions", "0"),
            ("number_of_libraries", "0"),
            ("mem_replication_backlog", "0"),
            ("mem_clients_slaves", "0"),
            ("mem_cluster_links", "0"),
            ("active_defrag_running", "0"),
            ("lazyfree_pending_objects", "0"),
        ]);
}

fn persistence(context: &Context<'_, '_>, lines: &mut Lines<'_>) {
    let kept = context.settings.store.keeps();
    let refusing = *context.transaction.core().health() != Health::Serving;
    lines
        // Nobody is served before the data is there.
        .fixed(&[("loading", "0"), ("async_loading", "0")])
        .fixed(&[
            ("rdb_changes_since_last_save", "0"),
            ("rdb_bgsave_in_progress", "0"),
            ("rdb_last_save_time", "0"),
            ("rdb_last_bgsave_status", "ok"),
            ("rdb_last_bgsave_time_sec", "-1"),
            ("rdb_current_bgsave_time_sec", "-1"),
            ("rdb_saves", "0"),
        ])
        .line("aof_enabled", u8::from(kept))
        .fixed(&[
            ("aof_rewrite_in_progress", "0"),
            ("aof_rewrite_scheduled", "0"),
            ("aof_last_rewrite_time_sec", "-1"),
            ("aof_current_rewrite_time_sec", "-1"),
            ("aof_last_bgrewrite_status", "ok"),
        ])
        .line("aof_last_write_status", if refusing { "err" } else { "ok" });
}

fn stats(context: &Context<'_, '_>, lines: &mut Lines<'_>) {
    let counters = &context.server.counters;
    let rates = context.server.readings.rates();
    let kib = |bytes: f64| format!("{:.2}", bytes / 1024.0);
    lines
        .count("total_connections_received", &counters.connections)
        .count("total_commands_processed", &counters.commands)
        .line("instantaneous_ops_per_sec", rates.commands as u64)
        .count("total_net_input_bytes", &counters.bytes_in)
        .count("total_net_output_bytes", &counters.bytes_out)
        .line("instantaneous_input_kbps", kib(rates.bytes_in))
        .line("instantaneous_output_kbps", kib(rates.bytes_out))
        .count("rejected_connections", &counters.rejected_connections)
        .count("expired_keys", &context.server.engine.expired_keys)
        .line("evicted_keys", 0)
        .count("evicted_clients", &counters.evicted_clients)
        .count("keyspace_hits", &counters.hits)
        .count("keyspace_misses", &counters.misses)
        .fixed(&[
            ("sync_full", "0"),
            ("sync_partial_ok", "0"),
            ("sync_partial_err", "0"),
            ("pubsub_channels", "0"),
            ("pubsub_patterns", "0"),
            ("pubsubshard_channels", "0"),
            ("latest_fork_usec", "0"),
            ("total_forks", "0"),
            ("migrate_cached_sockets", "0"),
            ("slave_expires_tracked_keys", "0"),
            ("tracking_total_keys", "0"),
            ("tracking_total_items", "0"),
            ("tracking_total_prefixes", "0"),
        ])
        .count("total_error_replies", &counters.errors)
        .count("client_output_buffer_limit_disconnections", &counters.output_limit_closes);
}

fn replication(context: &Context<'_, '_>, lines: &mut Lines<'_>) {
    lines
        .fixed(&[
            ("role", "master"),
            ("connected_slaves", "0"),
            ("master_failover_state", "no-failover"),
        ])
        .line("master_replid", &context.server.run_id)
        .line("master_replid2", "0".repeat(40))
        .fixed(&[
            ("master_repl_offset", "0"),
            ("second_repl_offset", "-1"),
            ("repl_backlog_active", "0"),
            ("repl_backlog_first_byte_offset", "0"),
            ("repl_backlog_histlen", "0"),
        ]);
}

fn processor(_: &Context<'_, '_>, lines: &mut Lines<'_>) {
    let (system, user) = machine::processor_seconds();
    lines
        .line("used_cpu_sys", format_args!("{system:.6}"))
        .line("used_cpu_user", format_args!("{user:.6}"))
        .fixed(&[("used_cpu_sys_children", "0.000000"), ("used_cpu_user_children", "0.000000")]);
}

fn errors(context: &Context<'_, '_>, lines: &mut Lines<'_>) {
    for (code, count) in context.server.counters.errors_by_code() {
        lines.line(&format!("errorstat_{code}"), format_args!("count={count}"));
    }
}

fn commands(context: &Context<'_, '_>, lines: &mut Lines<'_>) {
    let statistics = context.server.statistics();
    for command in table::with_subcommands() {
        let Some(tally) = statistics.of(command.number) else {
            continue;
        };
        let Tally { calls, rejected, failed, .. } = *tally;
        if calls == 0 && rejected == 0 && failed == 0 {
            continue;
        }
        let usec = tally.took.as_micros();
        let each = tally.took.as_secs_f64() * 1e6 / calls.max(1) as f64;
        let counts = format_args!(
            "calls={calls},usec={usec},usec_per_call={each:.2},\
             rejected_calls={rejected},failed_calls={failed}"
        );
        lines.line(&format!("cmdstat_{}", command.name), counts);
    }
}

/// The percentiles that Redis shows by default.
const PERCENTILES: [(&str, f64); 3] = [("p50", 50.0), ("p99", 99.0), ("p99.9", 99.9)];

fn latencies(context: &Context<'_, '_>, lines: &mut Lines<'_>) {
    let statistics = context.server.statistics();
    for command in table::with_subcommands() {
        let shown: Option<Vec<String>> = statistics.of(command.number).and_then(|tally| {
            let percentile = |(name, percent): &(&str, f64)| {
                let us = tally.percentile_ns(*percent)? as f64 / 1000.0;
                Some(format!("{name}={us:.3}"))
            };
            PERCENTILES.iter().map(percentile).collect()
        });
        if let Some(shown) = shown {
            let name = format!("latency_percentiles_usec_{}", command.name);
            lines.line(&name, shown.join(","));
        }
    }
}

fn cluster(_: &Context<'_, '_>, lines: &mut Lines<'_>) {
    lines.line("cluster_enabled", 0);
}

fn keyspace(context: &Context<'_, '_>, lines: &mut Lines<'_>) {
    let core = context.transaction.core();
    for number in 0..core.databases() {
        let keys = core.live_keys(number, core.visible());
        let expires = core.expiring_keys(number, core.visible());
        if keys > 0 || expires > 0 {
            let name = format!("db{number}");
            let ttl_ms = core.mean_ttl_ms(number, core.visible());
            lines.line(&name, format_args!("keys={keys},expires={expires},avg_ttl={ttl_ms}"));
        }
    }
}

fn aft(context: &Context<'_, '_>, lines: &mut Lines<'_>) {
    let (server, settings) = (context.server, context.settings);
    let core = context.transaction.core();
    let store = server.engine.store();
    let metrics = store.metrics();
    let (health, why) = health(core);
    let durability = match settings.store {
        Store::Embedded { .. } | Store::Memory => settings.durability.word(),
        // Its own settings decide; the start has told them.
        Store::Redis(_) | Store::S3(_) | Store::DynamoDb(_) => "of-the-store",
    };
    lines
        .line("store", settings.store.kind())
        .line("durability", durability)
        .line("node", core.node())
        .line("health", health)
        .line("health_reason", one_line(&why))
        .line("acknowledged_position", core.visible().position)
        .line("pending_groups", core.open_position() - core.visible().position - 1)
        .line("pending_bytes", core.pending_bytes())
        .count("groups_created", &metrics.creates)
        .count("store_bytes_created", &metrics.bytes_created)
        .count("store_reads", &metrics.reads)
        .count("store_failures", &metrics.failures)
        .line("store_last_failure", one_line(&store.last_failure().unwrap_or_default()));
    space(context, lines);
    let interactive = core.interactive();
    lines
        .line("open_transactions", interactive.registry.len())
        .line("open_transactions_bytes", interactive.registry.bytes())
        .line("outcomes", interactive.outcomes.len())
        .line("outcomes_bytes", interactive.outcomes.bytes())
        .count("replies_repeated", &server.counters.replies_repeated);
    match core.oldest_pin() {
        Some((position, since_ms)) => lines
            .line("oldest_pin_position", position)
            .line("oldest_pin_age_ms", core.now_ms().saturating_sub(since_ms)),
        None => lines.fixed(&[("oldest_pin_position", ""), ("oldest_pin_age_ms", "0")]),
    };
    if let Some(recovered) = server.recovered() {
        lines
            .line("recovered_keys", recovered.keys)
            .line("recovered_groups", recovered.groups)
            .line("recovered_bases", recovered.bases)
            .line("recovery_ms", recovered.took.as_millis())
            .line("damages", recovered.damages.len());
        for (at, damage) in recovered.damages.iter().take(DAMAGES_SHOWN_MAX).enumerate() {
            lines.line(&format!("damage_{at}"), one_line(damage));
        }
    }
}

/// What is in the store, what of it is alive, and what is done about the rest.
fn space(context: &Context<'_, '_>, lines: &mut Lines<'_>) {
    let core = context.transaction.core();
    let (ledger, live) = (core.ledger(), core.live());
    let compaction = context.server.engine.compaction();
    let limits = context.server.engine.compaction_limits();
    let dead_bytes = ledger.bytes().saturating_sub(core.live_bytes());
    lines
        .line("store_bytes", ledger.bytes())
        .line("live_bytes", live.bytes)
        .line("dead_bytes", dead_bytes)
        .line("live_keys", live.keys)
        .line("groups", ledger.count().groups)
        .line("bases", ledger.count().bases)
        .line("blobs", ledger.blobs().len())
        .line("blobs_unnamed_bytes", ledger.blobs().unnamed_bytes())
        .line("logs", ledger.logs())
        .line("replaced_objects", ledger.replaced())
        .line("compaction_debt_bytes", core.compaction_debt_bytes(&limits))
        .line("compaction_bases_written", compaction.bases)
        .line("compaction_objects_replaced", compaction.objects)
        .line("compaction_bytes_written", compaction.bytes_written)
        .line("write_pressure_percent", core.write_pressure_percent().unwrap_or(0))
        .count("delayed_writes", &context.server.engine.delayed_writes)
        .line("compaction_failure", one_line(&compaction.failure))
        .line("cached_values", core.cached_values())
        .line("cached_bytes", core.cached_bytes())
        .line("cache_bytes_max", core.cache_bytes_max())
        .count("value_fetches", &context.server.counters.fetches);
}

/// More are in the log.
const DAMAGES_SHOWN_MAX: usize = 20;

fn health(core: &Core) -> (&'static str, String) {
    let silenced = core.silenced_for();
    match core.health() {
        Health::Serving | Health::Refusing(_) if silenced.is_some() => {
            let ms = silenced.unwrap_or_default().as_millis();
            ("silent", format!("the store has not answered for {ms} ms, longer than the lease"))
        }
        Health::Serving => ("serving", String::new()),
        Health::Refusing(why) => ("refusing", why.clone()),
        Health::Fenced(why) => ("fenced", why.clone()),
    }
}

fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}

fn ratio(bytes: u64, of: u64) -> f64 {
    bytes as f64 / of.max(1) as f64
}

/// A number of bytes as Redis shows it to people.
fn human(bytes: u64) -> String {
    let scaled = |shift: u32| bytes as f64 / (1u64 << shift) as f64;
    match bytes {
        0..0x400 => format!("{bytes}B"),
        0x400..0x10_0000 => format!("{:.2}K", scaled(10)),
        0x10_0000..0x4000_0000 => format!("{:.2}M", scaled(20)),
        0x4000_0000..0x100_0000_0000 => format!("{:.2}G", scaled(30)),
        _ => format!("{:.2}T", scaled(40)),
    }
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn sizes_are_shown_as_by_redis() {
        assert_eq!(human(0), "0B");
        assert_eq!(human(1023), "1023B");
        assert_eq!(human(990_392), "967.18K");
        assert_eq!(human(7_110_656), "6.78M");
        assert_eq!(human(25_276_510_208), "23.54G");
        assert_eq!(human(1 << 41), "2.00T");
    }
}
