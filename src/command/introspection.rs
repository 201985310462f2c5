//! COMMAND: the table of commands, as redis-cli and clients want it told.

use super::bits::field::only_reads;
use super::parse::syntax_error;
use super::table::{self, Argument, Command, Keys};
use super::{CommandResult, Context};
use crate::glob::glob_match;
use crate::resp::Reply;

/// COMMAND
pub(super) fn command(_: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    Ok(Reply::Array(table::all().iter().map(describe).collect()))
}

/// COMMAND COUNT
pub(super) fn count(_: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    Ok(Reply::Integer(table::all().len() as i64))
}

/// COMMAND INFO [name …]
pub(super) fn info(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let names = &args[2..];
    if names.is_empty() {
        return command(context, args);
    }
    let found = names.iter().map(|name| {
        let command = table::by_full_name(name);
        command.map_or(Reply::Null, describe)
    });
    Ok(Reply::Array(found.collect()))
}

/// COMMAND DOCS [name …]
pub(super) fn docs(_: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let names = &args[2..];
    Ok(Reply::Map(if names.is_empty() {
        table::all().iter().map(named_docs).collect()
    } else {
        let found = names.iter().filter_map(|name| table::by_full_name(name));
        found.map(named_docs).collect()
    }))
}

/// COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]
pub(super) fn list(_: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let is = |arg: &[u8], word: &str| arg.eq_ignore_ascii_case(word.as_bytes());
    let keep: Box<dyn Fn(&Command) -> bool> = match args[2..] {
        [] => Box::new(|_| true),
        [by, kind, pattern] if is(by, "filterby") && is(kind, "pattern") => {
            Box::new(|command| glob_match(pattern, command.name.as_bytes(), true))
        }
        [by, kind, category] if is(by, "filterby") && is(kind, "aclcat") => {
            Box::new(move |command| command.flags.categories().any(|own| is(category, own)))
        }
        // There are no modules, so nothing is of one.
        [by, kind, _] if is(by, "filterby") && is(kind, "module") => Box::new(|_| false),
        _ => return Err(syntax_error()),
    };
    let kept = table::with_subcommands().filter(|command| keep(command));
    let names = kept.map(|command| Reply::bulk(command.name));
    Ok(Reply::Array(names.collect()))
}

/// COMMAND GETKEYS command argument …
pub(super) fn getkeys(_: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let (_, keys) = find_keys(&args[2..])?;
    Ok(Reply::Array(keys.map(Reply::bulk).collect()))
}

/// COMMAND GETKEYSANDFLAGS command argument …
pub(super) fn getkeysandflags(_: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let (command, keys) = find_keys(&args[2..])?;
    let whole = access(command, &args[2..]);
    let parts = command
        .keys
        .parts
        .iter()
        .flat_map(|part| part.positions(args.len() - 2).map(|_| part.access));
    let with_flags = keys.zip(parts.chain(std::iter::repeat(whole))).map(|(key, access)| {
        let flags = access.iter().map(|flag| Reply::simple(*flag));
        Reply::Array(vec![Reply::bulk(key), Reply::Set(flags.collect())])
    });
    Ok(Reply::Array(with_flags.collect()))
}

type FoundKeys<'a> = (&'static Command, Box<dyn Iterator<Item = &'a [u8]> + 'a>);

fn find_keys<'a>(args: &'a [&'a [u8]]) -> Result<FoundKeys<'a>, Reply> {
    let command =
        table::asked_for(args).ok_or_else(|| Reply::error("ERR Invalid command specified"))?;
    if command.keys.is_none() {
        return Err(Reply::error("ERR The command has no key arguments"));
    }
    if !command.takes(args.len()) {
        let text = "ERR Invalid number of arguments specified for command";
        return Err(Reply::error(text));
    }
    let keys = command.keys.positions(args.len()).map(|at| args[at]);
    Ok((command, Box::new(keys)))
}

/// What a request does to its keys. Of SET and BITFIELD that depends on the arguments.
pub(super) fn access(command: &Command, args: &[&[u8]]) -> &'static [&'static str] {
    let access = command.keys.access;
    if !access.contains(&"variable_flags") {
        return access;
    }
    if command.name == "bitfield" {
        return if only_reads(&args[2..]) {
            &["RO", "access"]
        } else {
            &["RW", "access", "update"]
        };
    }
    let gets = args.iter().skip(3).any(|arg| arg.eq_ignore_ascii_case(b"get"));
    if gets { &["RW", "access", "update"] } else { &["OW", "update"] }
}

/// An element of COMMAND INFO.
fn describe(command: &Command) -> Reply {
    let flags = command.flags.names().map(Reply::simple);
    let categories = command.flags.categories();
    let categories = categories.map(|category| Reply::simple(format!("@{category}")));
    let tips = command.tips.iter().map(|tip| Reply::bulk(*tip));
    let keys = &command.keys;
    Reply::Array(vec![
        Reply::bulk(command.name),
        Reply::Integer(command.arity.into()),
        Reply::Set(flags.collect()),
        Reply::Integer(keys.first.into()),
        Reply::Integer(keys.last.into()),
        Reply::Integer(keys.step.into()),
        Reply::Set(categories.collect()),
        Reply::Set(tips.collect()),
        Reply::Set(keys.each_part().iter().filter_map(key_spec).collect()),
        Reply::Set(command.subcommands.iter().map(describe).collect()),
    ])
}

fn key_spec(keys: &Keys) -> Option<Reply> {
    if keys.is_none() {
        return None;
    }
    let number = |key: &str, value: i32| (Reply::bulk(key), Reply::Integer(value.into()));
    let access = keys.access.iter().map(|flag| Reply::simple(*flag));
    // Counted from the first key, unless from the end.
    let last = if keys.last > 0 { keys.last - keys.first } else { keys.last };
    let range = vec![number("lastkey", last), number("keystep", keys.step), number("limit", 0)];
    let mut spec = Vec::new();
    spec.extend(keys.notes.map(|notes| text("notes", notes)));
    spec.push((Reply::bulk("flags"), Reply::Set(access.collect())));
    spec.push(found_by("begin_search", "index", vec![number("index", keys.first)]));
    spec.push(found_by("find_keys", "range", range));
    Some(Reply::Map(spec))
}

fn found_by(what: &str, kind: &str, spec: Vec<(Reply, Reply)>) -> (Reply, Reply) {
    let how = vec![text("type", kind), (Reply::bulk("spec"), Reply::Map(spec))];
    (Reply::bulk(what), Reply::Map(how))
}

fn text(key: &str, value: &str) -> (Reply, Reply) {
    (Reply::bulk(key), Reply::bulk(value))
}

/// An element of COMMAND DOCS, by its name.
fn named_docs(command: &Command) -> (Reply, Reply) {
    let mut docs = vec![
        text("summary", command.summary),
        text("since", command.since),
        text("group", command.group),
    ];
    if !command.complexity.is_empty() {
        docs.push(text("complexity", command.complexity));
    }
    if command.system {
        docs.push((Reply::bulk("doc_flags"), Reply::Set(vec![Reply::simple("syscmd")])));
    }
    if let Some((since, replaced_by)) = command.deprecated {
        let flags = vec![Reply::simple("deprecated")];
        docs.push((Reply::bulk("doc_flags"), Reply::Set(flags)));
        docs.push(text("deprecated_since", since));
        docs.push(text("replaced_by", replaced_by));
    }
    docs.extend(arguments(command.arguments));
    if !command.subcommands.is_empty() {
        let subcommands = command.subcommands.iter().map(named_docs);
        docs.push((Reply::bulk("subcommands"), Reply::Map(subcommands.collect())));
    }
    (Reply::bulk(command.name), Reply::Map(docs))
}

fn arguments(arguments: &[Argument]) -> Option<(Reply, Reply)> {
    let described: Vec<Reply> = arguments.iter().map(argument).collect();
    (!described.is_empty()).then(|| (Reply::bulk("arguments"), Reply::Array(described)))
}

fn argument(argument: &Argument) -> Reply {
    let mut docs = vec![text("name", argument.name), text("type", argument.kind.name())];
    if argument.kind == table::Kind::Key {
        docs.push((Reply::bulk("key_spec_index"), Reply::Integer(argument.key_part.into())));
    }
    docs.extend(argument.token.map(|token| text("token", token)));
    docs.extend(argument.since.map(|since| text("since", since)));
    docs.extend(argument.deprecated_since.map(|since| text("deprecated_since", since)));
    let flags = [
        ("optional", argument.optional),
        ("multiple", argument.multiple),
        ("multiple_token", argument.multiple_token),
    ];
    let flags: Vec<Reply> =
        flags.into_iter().filter(|(_, set)| *set).map(|(name, _)| Reply::simple(name)).collect();
    if !flags.is_empty() {
        docs.push((Reply::bulk("flags"), Reply::Set(flags)));
    }
    docs.extend(arguments(argument.arguments));
    Reply::Map(docs)
}
