//! ACL: users and what they may do, <https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/>.
//!
//! | module       | what                                             |
//! |--------------|--------------------------------------------------|
//! | `rules`      | words of ACL SETUSER, applied to a user           |
//! | `describe`   | the same words, told of a user                    |
//! | `categories` | which commands belong together                    |
//! | `check`      | whether a user may run a command                  |
//! | `file`       | users in a file, as in Redis' `aclfile`           |

mod categories;
mod check;
mod describe;
mod file;
mod rules;

pub(super) use check::{Place, admit, login_denied, may_run};
pub use file::load_at_start;
pub(super) use file::{load, save};

use super::parse::{integer_arg, repeating, subcommand_syntax};
use super::table::{self, by_number};
use super::{CommandResult, Context};
use crate::resp::Reply;
use crate::server::users::{DEFAULT, Denial, Rules, Selector, User};
use check::{Denied, check};
use std::sync::Arc;

/// ACL WHOAMI
pub(super) fn whoami(context: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    Ok(Reply::bulk(&*context.session.user.name))
}

/// ACL USERS
pub(super) fn users(context: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    let users = context.server.users.all();
    Ok(Reply::Array(users.iter().map(|user| Reply::bulk(&*user.name)).collect()))
}

/// ACL LIST
pub(super) fn list(context: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    let users = context.server.users.all();
    Ok(Reply::Array(users.iter().map(|user| Reply::bulk(describe::user(user))).collect()))
}

/// ACL GETUSER name
pub(super) fn getuser(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let Some(user) = context.server.users.get(args[2]) else {
        return Ok(Reply::Null);
    };
    let rules = user.rules();
    let bulks = |items: &mut dyn Iterator<Item = &[u8]>| items.map(Reply::bulk).collect();
    let flags = bulks(&mut describe::flags(&rules).map(str::as_bytes));
    let passwords = bulks(&mut rules.passwords.iter().map(<[u8; 64]>::as_slice));
    let mut fields = vec![
        (Reply::bulk("flags"), Reply::Set(flags)),
        (Reply::bulk("passwords"), Reply::Array(passwords)),
    ];
    fields.extend(selector(&rules.root));
    let others = rules.selectors.iter().map(|other| Reply::Map(selector(other)));
    fields.push((Reply::bulk("selectors"), Reply::Array(others.collect())));
    Ok(Reply::Map(fields))
}

fn selector(selector: &Selector) -> Vec<(Reply, Reply)> {
    vec![
        (Reply::bulk("commands"), Reply::bulk(describe::commands(selector))),
        (Reply::bulk("keys"), Reply::bulk(describe::keys(selector))),
        (Reply::bulk("channels"), Reply::bulk(describe::channels(selector))),
    ]
}

/// ACL SETUSER name [rule …]: all of them, or none.
pub(super) fn setuser(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let name = args[2];
    if rules::has_blanks(name) {
        let text = "ERR Usernames can't contain spaces or null characters";
        return Err(Reply::error(text).into());
    }
    let words = rules::join_selectors(&args[3..]).map_err(|opened| {
        repeating("ERR Unmatched parenthesis in acl selector starting at '", opened, b"'.")
    })?;
    let users = &context.server.users;
    let mut changed = users.get(name).map_or_else(Rules::new, |user| Rules::clone(&user.rules()));
    for word in &words {
        rules::apply(&mut changed, word).map_err(|error| {
            let after = format!("': {}", error.text());
            repeating("ERR Error in ACL SETUSER modifier '", word, after.as_bytes())
        })?;
    }
    users.set(name, changed);
    Ok(Reply::Ok)
}

/// ACL DELUSER name …
pub(super) fn deluser(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let names = &args[2..];
    if names.contains(&DEFAULT) {
        return Err(Reply::error("ERR The 'default' user cannot be removed").into());
    }
    let mut removed = 0;
    for name in names {
        if let Some(user) = context.server.users.remove(name) {
            removed += 1;
            disconnect(context, &user);
        }
    }
    Ok(Reply::Integer(removed))
}

/// Ends all connections of a user that is no more.
fn disconnect(context: &mut Context<'_, '_>, user: &Arc<User>) {
    let me = Arc::clone(&context.session.client);
    for client in context.server.connected() {
        if client.state().user == user.name && client.id != me.id {
            client.kill();
        }
    }
    if Arc::ptr_eq(&context.session.user, user) {
        // It may still read what became of it.
        context.session.log_out(context.server);
        context.session.authenticated = false;
        context.session.closing = true;
    }
}

/// ACL CAT [category]
pub(super) fn cat(_: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    match args[2..] {
        [] => {
            let names = categories::all().iter().map(|category| Reply::bulk(category.name));
            Ok(Reply::Array(names.collect()))
        }
        [name] => {
            let category = categories::find(name).ok_or_else(|| {
                let name = &name[..name.len().min(128)];
                repeating("ERR Unknown category '", name, b"'")
            })?;
            let members = category.members.iter().map(|number| by_number(*number));
            Ok(Reply::Array(members.map(|command| Reply::bulk(command.name)).collect()))
        }
        _ => Err(subcommand_syntax("ACL", args[1])),
    }
}

/// ACL GENPASS [bits]
pub(super) fn genpass(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let bits = match args[2..] {
        [] => 256,
        [bits] => integer_arg(bits)?,
        _ => return Err(subcommand_syntax("ACL", args[1])),
    };
    let Some(bits) = usize::try_from(bits).ok().filter(|bits| (1..=4096).contains(bits)) else {
        let text = "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096";
        return Err(Reply::error(text).into());
    };
    let mut digits = String::new();
    while digits.len() < bits.div_ceil(4) {
        digits += &format!("{:032x}", context.server.engine.random());
    }
    digits.truncate(bits.div_ceil(4));
    Ok(Reply::bulk(digits.as_str()))
}

/// ACL DRYRUN name command [argument …]
pub(super) fn dryrun(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let not_found = |what: &str, name| repeating(&format!("ERR {what} '"), name, b"' not found");
    let user = context.server.users.get(args[2]).ok_or_else(|| not_found("User", args[2]))?;
    let args = &args[3..];
    let command = table::asked_for(args).ok_or_else(|| not_found("Command", args[0]))?;
    if !command.takes(args.len()) {
        return Err(super::parse::wrong_arity(command.name).into());
    }
    let why = match check(&user.rules(), command, args) {
        Ok(()) => return Ok(Reply::Ok),
        Err(Denied::Command) => format!("run the '{}' command", command.name).into_bytes(),
        Err(Denied::Key(at)) => [b"access the '", args[at], b"' key"].concat(),
    };
    let text = [b"This user has no permissions to ".as_slice(), &why].concat();
    Ok(Reply::bulk(text))
}

/// ACL LOG [count | RESET]
pub(super) fn log(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let mut denials = context.server.users.denials();
    let count = match args[2..] {
        [] => 10,
        [word] if word.eq_ignore_ascii_case(b"reset") => {
            denials.clear();
            return Ok(Reply::Ok);
        }
        [count] => integer_arg(count)?,
        _ => return Err(subcommand_syntax("ACL", args[1])),
    };
    let now_ms = context.server.wall_ms();
    let newest = denials.iter().take(usize::try_from(count).unwrap_or(0));
    Ok(Reply::Array(newest.map(|denial| describe_denial(denial, now_ms)).collect()))
}

fn describe_denial(denial: &Denial, now_ms: u64) -> Reply {
    let age_s = now_ms.saturating_sub(denial.wall_ms) as f64 / 1000.0;
    Reply::Map(vec![
        (Reply::bulk("count"), Reply::Integer(denial.count as i64)),
        (Reply::bulk("reason"), Reply::bulk(denial.reason)),
        (Reply::bulk("context"), Reply::bulk(denial.context)),
        (Reply::bulk("object"), Reply::bulk(denial.object.as_slice())),
        (Reply::bulk("username"), Reply::bulk(denial.user.as_slice())),
        (Reply::bulk("age-seconds"), Reply::Double(age_s)),
        (Reply::bulk("client-info"), Reply::bulk(denial.client.as_slice())),
    ])
}
