//! MONITOR: a connection that is told of every command.

use super::redact::redacted;
use super::table::{Command, Flags};
use super::{CommandResult, Context};
use crate::config::Settings;
use crate::resp::Reply;
use crate::server::Server;
use crate::session::Session;
use std::sync::atomic::Ordering;

/// MONITOR
pub(super) fn monitor(context: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    if context.in_exec {
        let text = "ERR MONITOR isn't allowed for DENY BLOCKING client";
        return Err(Reply::error(text).into());
    }
    if context.session.monitoring {
        return Ok(Reply::None);
    }
    context.session.monitoring = true;
    context.server.monitors.add(&context.session.client);
    Ok(Reply::Ok)
}

/// Tells those who watch of a command that has run on this database, if it is none that
/// only administrators give.
#[inline]
pub(super) fn tell(
    server: &Server,
    settings: &Settings,
    session: &Session,
    database: u8,
    command: &Command,
    args: &[&[u8]],
) {
    if server.monitors.any() {
        tell_all(server, settings, session, database, command, args);
    }
}

#[cold]
fn tell_all(
    server: &Server,
    settings: &Settings,
    session: &Session,
    database: u8,
    command: &Command,
    args: &[&[u8]],
) {
    if command.flags.has(Flags::ADMIN) {
        return;
    }
    let now_us = server.wall_us();
    let (seconds, us) = (now_us / 1_000_000, now_us % 1_000_000);
    let address = &session.client.address;
    let mut line = format!("+{seconds}.{us:06} [{database} {address}]").into_bytes();
    for arg in redacted(command, args) {
        line.push(b' ');
        quote(arg, &mut line);
    }
    line.extend_from_slice(b"\r\n");
    let ended = server.monitors.tell(&line, settings.output_buffer_bytes_max);
    server.counters.output_limit_closes.fetch_add(ended, Ordering::Relaxed);
}

/// Bytes in quotes, as a C program would have them.
fn quote(bytes: &[u8], line: &mut Vec<u8>) {
    line.push(b'"');
    for byte in bytes {
        match byte {
            b'"' | b'\\' => line.extend([b'\\', *byte]),
            b'\n' => line.extend(b"\\n"),
            b'\r' => line.extend(b"\\r"),
            b'\t' => line.extend(b"\\t"),
            0x07 => line.extend(b"\\a"),
            0x08 => line.extend(b"\\b"),
            b' '..=b'~' => line.push(*byte),
            _ => line.extend(format!("\\x{byte:02x}").bytes()),
        }
    }
    line.push(b'"');
}
