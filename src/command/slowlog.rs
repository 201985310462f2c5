//! SLOWLOG: what took long. What gets there is decided in `measure`.

use super::parse::{integer, subcommand_syntax};
use super::{CommandResult, Context};
use crate::resp::Reply;
use crate::server::slowlog::SlowCommand;

/// SLOWLOG GET [count]
pub(super) fn get(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let count = match args[2..] {
        [] => 10,
        [count] => {
            let text = "ERR count should be greater than or equal to -1";
            let count = integer(count).filter(|count| *count >= -1);
            count.ok_or_else(|| Reply::error(text))?
        }
        _ => return Err(subcommand_syntax("SLOWLOG", args[1])),
    };
    // -1 is all of them.
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let slowlog = context.server.slowlog();
    let entries = slowlog.newest_first().iter().take(count);
    Ok(Reply::Array(entries.map(describe).collect()))
}

fn describe(command: &SlowCommand) -> Reply {
    let args = command.args.iter().map(|arg| Reply::bulk(arg.as_slice()));
    Reply::Array(vec![
        Reply::Integer(command.id as i64),
        Reply::Integer(command.wall_s as i64),
        Reply::Integer(command.took.as_micros() as i64),
        Reply::Array(args.collect()),
        Reply::bulk(command.address.as_str()),
        Reply::bulk(command.name.as_slice()),
    ])
}

/// SLOWLOG LEN
pub(super) fn len(context: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    Ok(Reply::Integer(context.server.slowlog().newest_first().len() as i64))
}

/// SLOWLOG RESET
pub(super) fn reset(context: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    context.server.slowlog().clear();
    Ok(Reply::Ok)
}
