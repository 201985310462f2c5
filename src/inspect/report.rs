//! The findings, for people and for programs.

use super::{Fault, Inspection, SHOWN_MAX};
use std::fmt::Write;

/// What is wrong, as text.
pub fn verification_text(found: &Inspection) -> String {
    let mut out = String::new();
    for fault in &found.faults {
        let _ = writeln!(out, "{}: {}", fault.object, fault.what);
        let _ = writeln!(out, "    affects {}", fault.affects);
        for key in &fault.keys {
            let _ = writeln!(out, "    key {key}");
        }
        let more = fault.keys_total - fault.keys.len() as u64;
        if more > 0 {
            let _ = writeln!(out, "    and {more} more keys");
        }
    }
    for name in &found.leftovers {
        let _ = writeln!(out, "{name}: left over, harmless: a start without damage deletes it");
    }
    if found.leftovers_total > found.leftovers.len() as u64 {
        let more = found.leftovers_total - found.leftovers.len() as u64;
        let _ = writeln!(out, "and {more} more left over");
    }
    let verdict = match found.faults.len() {
        0 => "nothing is wrong".to_owned(),
        1 => "1 fault".to_owned(),
        count => format!("{count} faults"),
    };
    let Inspection { objects, bytes, keys, .. } = found;
    let _ = writeln!(out, "{objects} objects, {bytes} bytes, {keys} keys: {verdict}");
    out
}

/// What is wrong, as JSON.
pub fn verification_json(found: &Inspection) -> String {
    let faults = found.faults.iter().map(fault_json).collect::<Vec<_>>().join(",");
    format!(
        "{{\"objects\":{},\"bytes\":{},\"keys\":{},\"faults\":[{faults}],\"leftovers\":{},\"leftovers_total\":{}}}\n",
        found.objects,
        found.bytes,
        found.keys,
        strings_json(&found.leftovers),
        found.leftovers_total,
    )
}

fn fault_json(fault: &Fault) -> String {
    format!(
        "{{\"object\":{},\"what\":{},\"affects\":{},\"keys\":{},\"keys_total\":{}}}",
        string_json(&fault.object),
        string_json(&fault.what),
        string_json(&fault.affects),
        strings_json(&fault.keys),
        fault.keys_total,
    )
}

/// The names and figures of `aft store stats`. A node would compact what is beyond `allowed` bytes.
fn statistics(found: &Inspection, allowed: u64) -> [(&'static str, u64); 19] {
    [
        ("objects", found.objects),
        ("bytes", found.bytes),
        ("groups", found.groups),
        ("bases", found.bases),
        ("blobs", found.blobs),
        ("logs", found.logs),
        ("starts", found.starts),
        ("keys", found.keys),
        ("outcomes", found.outcomes),
        ("live_bytes", found.live_bytes),
        ("dead_bytes", found.counting_bytes.saturating_sub(found.live_bytes)),
        ("compaction_debt_bytes", found.counting_bytes.saturating_sub(allowed)),
        ("oldest_snapshot_ms", found.oldest_snapshot_ms),
        ("oldest_snapshot_age_ms", found.oldest_snapshot_age_ms),
        ("last_start_ms", found.last_start_ms),
        ("last_recovery_ms", found.last_recovery_ms),
        ("start_reads_bytes", found.start_bytes),
        ("leftovers", found.leftovers_total),
        ("faults", found.faults.len() as u64),
    ]
}

/// How large the store is and what is in it, as text; beyond `allowed` bytes a node would compact
/// it.
pub fn statistics_text(found: &Inspection, allowed: u64) -> String {
    let mut out = String::new();
    for (name, figure) in statistics(found, allowed) {
        let _ = writeln!(out, "{name:<22} {figure}");
    }
    if let Some(owner) = &found.owner {
        let _ = writeln!(out, "{:<22} {owner}", "owner");
    }
    for (name, bytes) in &found.largest {
        let _ = writeln!(out, "{:<22} {bytes} {name}", "large object");
    }
    if !found.faults.is_empty() {
        let _ = writeln!(out, "something is wrong: aft store verify says what");
    }
    out
}

/// The same as JSON.
pub fn statistics_json(found: &Inspection, allowed: u64) -> String {
    let figures = statistics(found, allowed).map(|(name, figure)| format!("\"{name}\":{figure}"));
    let largest = found
        .largest
        .iter()
        .map(|(name, bytes)| format!("{{\"object\":{},\"bytes\":{bytes}}}", string_json(name)));
    let largest = largest.collect::<Vec<_>>().join(",");
    let owner = found.owner.as_ref().map_or("null".to_owned(), |owner| string_json(owner));
    format!("{{{},\"owner\":{owner},\"largest\":[{largest}]}}\n", figures.join(","))
}

fn strings_json(strings: &[String]) -> String {
    debug_assert!(strings.len() <= SHOWN_MAX);
    let strings = strings.iter().map(|string| string_json(string)).collect::<Vec<_>>();
    format!("[{}]", strings.join(","))
}

/// A string as JSON.
pub fn string_json(string: &str) -> String {
    let mut out = String::from("\"");
    for c in string.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
