//! The fields of INFO: those of Redis, but for a list of what aft has no true value for.

use crate::common::resp::Reply;
use std::collections::BTreeSet;

/// About jemalloc and Redis' own tables; its dump and its append-only file; its event loop;
/// what it samples; and replicas.
const LEFT_OUT: &[&str] = &[
    "active_defrag_hits",
    "active_defrag_key_hits",
    "active_defrag_key_misses",
    "active_defrag_misses",
    "allocator_active",
    "allocator_allocated",
    "allocator_frag_bytes",
    "allocator_frag_ratio",
    "allocator_resident",
    "allocator_rss_bytes",
    "allocator_rss_ratio",
    "aof_last_cow_size",
    "aof_rewrites",
    "aof_rewrites_consecutive_failures",
    "atomicvar_api",
    "client_recent_max_input_buffer",
    "client_recent_max_output_buffer",
    "clients_in_timeout_table",
    "configured_hz",
    "current_active_defrag_time",
    "current_cow_peak",
    "current_cow_size",
    "current_cow_size_age",
    "current_eviction_exceeded_time",
    "current_fork_perc",
    "current_save_keys_processed",
    "current_save_keys_total",
    "dump_payload_sanitizations",
    "expire_cycle_cpu_milliseconds",
    "expired_stale_perc",
    "expired_time_cap_reached_count",
    "gcc_version",
    "hz",
    "instantaneous_input_repl_kbps",
    "instantaneous_output_repl_kbps",
    "io_threaded_reads_processed",
    "io_threaded_writes_processed",
    "io_threads_active",
    "lazyfreed_objects",
    "lru_clock",
    "mem_aof_buffer",
    "mem_fragmentation_bytes",
    "mem_not_counted_for_evict",
    "mem_total_replication_buffers",
    "module_fork_in_progress",
    "module_fork_last_cow_size",
    "monotonic_clock",
    "multiplexing_api",
    "process_supervised",
    "rdb_last_cow_size",
    "rdb_last_load_keys_expired",
    "rdb_last_load_keys_loaded",
    "redis_build_id",
    "repl_backlog_size",
    "reply_buffer_expands",
    "reply_buffer_shrinks",
    "rss_overhead_bytes",
    "rss_overhead_ratio",
    "total_active_defrag_time",
    "total_eviction_exceeded_time",
    "total_net_repl_input_bytes",
    "total_net_repl_output_bytes",
    "total_reads_processed",
    "total_writes_processed",
    "unexpected_error_replies",
    "used_cpu_sys_main_thread",
    "used_cpu_user_main_thread",
    "used_memory_dataset",
    "used_memory_dataset_perc",
    "used_memory_functions",
    "used_memory_lua_human",
    "used_memory_overhead",
    "used_memory_peak_perc",
    "used_memory_scripts_eval",
    "used_memory_scripts_human",
    "used_memory_startup",
    "used_memory_vm_eval",
    "used_memory_vm_functions",
    "used_memory_vm_total",
    "used_memory_vm_total_human",
];

/// Of aft outside of its own section.
const OWN: &[&str] = &["aft_version", "client_output_buffer_limit_disconnections"];

/// Names with their sections; those of single commands and errors are compared elsewhere.
fn fields(info: &Reply) -> BTreeSet<(String, String)> {
    let text = info.text().unwrap();
    let mut section = String::new();
    let mut fields = BTreeSet::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("# ") {
            title.clone_into(&mut section);
        } else if let Some((name, _)) = line.split_once(':') {
            let single = ["cmdstat_", "errorstat_", "latency_percentiles_", "db"];
            if section != "Aft" && !single.iter().any(|start| name.starts_with(start)) {
                fields.insert((section.clone(), name.to_owned()));
            }
        }
    }
    fields
}

/// What of INFO differs from the lists above: of Redis and not here, and here only.
pub(crate) fn unexpected(redis: &Reply, aft: &Reply) -> Vec<String> {
    let (theirs, ours) = (fields(redis), fields(aft));
    let wrong = |(section, name): &(String, String)| format!("{section}: {name}");
    let missing = theirs.difference(&ours).filter(|(_, name)| !LEFT_OUT.contains(&name.as_str()));
    let extra = ours.difference(&theirs).filter(|(_, name)| !OWN.contains(&name.as_str()));
    let known =
        |name: &&str| theirs.iter().any(|(_, n)| n == name) && !ours.iter().any(|(_, n)| n == name);
    let stale = LEFT_OUT.iter().filter(|name| !known(name)).map(|name| format!("left out: {name}"));
    missing.map(wrong).chain(extra.map(wrong)).chain(stale).collect()
}
