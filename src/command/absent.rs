//! What there is none of: commands that clients send at connect, or that tests send to
//! clean up, about parts of Redis that aft doesn't have (yet).

use super::parse::repeating;
use super::{CommandResult, Context};
use crate::resp::Reply;

/// READONLY, READWRITE, CLUSTER …
pub(super) fn no_cluster(_: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    Err(Reply::error("ERR This instance has cluster support disabled").into())
}

/// MODULE LIST
pub(super) fn empty_array(_: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    Ok(Reply::Array(Vec::new()))
}

/// FUNCTION FLUSH [ASYNC | SYNC]
pub(super) fn function_flush(_: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    match args[2..] {
        [] => Ok(Reply::Ok),
        [option] if is_flush_option(option) => Ok(Reply::Ok),
        [_] => Err(Reply::error("ERR FUNCTION FLUSH only supports SYNC|ASYNC option").into()),
        _ => {
            let before = "ERR unknown subcommand or wrong number of arguments for '";
            Err(repeating(before, args[1], b"'. Try FUNCTION HELP.").into())
        }
    }
}

/// FUNCTION LIST [LIBRARYNAME pattern] [WITHCODE]
pub(super) fn function_list(_: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let (mut with_code, mut named) = (false, false);
    let mut options = args[2..].iter();
    while let Some(option) = options.next() {
        if !with_code && option.eq_ignore_ascii_case(b"withcode") {
            with_code = true;
        } else if !named && option.eq_ignore_ascii_case(b"libraryname") {
            named = true;
            if options.next().is_none() {
                return Err(Reply::error("ERR library name argument was not given").into());
            }
        } else {
            // Redis keeps the line ends at the end of this one, as blanks.
            let option: Vec<u8> =
                option.iter().map(|b| if b"\r\n".contains(b) { b' ' } else { *b }).collect();
            return Err(repeating("ERR Unknown argument ", &option, b"").into());
        }
    }
    Ok(Reply::Array(Vec::new()))
}

/// SCRIPT EXISTS sha1 …
pub(super) fn script_exists(_: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let none = args[2..].iter().map(|_| Reply::Integer(0));
    Ok(Reply::Array(none.collect()))
}

/// SCRIPT FLUSH [ASYNC | SYNC]
pub(super) fn script_flush(_: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    match args[2..] {
        [] => Ok(Reply::Ok),
        [option] if is_flush_option(option) => Ok(Reply::Ok),
        _ => Err(Reply::error("ERR SCRIPT FLUSH only support SYNC|ASYNC option").into()),
    }
}

fn is_flush_option(option: &[u8]) -> bool {
    option.eq_ignore_ascii_case(b"async") || option.eq_ignore_ascii_case(b"sync")
}
