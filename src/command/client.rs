//! CLIENT: connections, this one and the others.

use super::connection::{is_plain, set_name};
use super::parse::{integer, repeating, syntax_error};
use super::{CommandResult, Context, Stop};
use crate::resp::Reply;
use crate::server::users::Users;
use crate::server::{Client, ClientState};
use crate::session::ReplyMode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// CLIENT ID
pub(super) fn id(context: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    Ok(Reply::Integer(context.session.client.id as i64))
}

/// CLIENT SETNAME name; the empty one takes the name away.
pub(super) fn setname(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    set_name(context, args[2])?;
    Ok(Reply::Ok)
}

/// CLIENT GETNAME
pub(super) fn getname(context: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    let state = context.session.client.state();
    Ok(if state.name.is_empty() { Reply::Null } else { Reply::bulk(state.name.as_slice()) })
}

/// CLIENT SETINFO LIB-NAME name | LIB-VER version, of Redis 7.2.
pub(super) fn setinfo(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let (option, value) = (args[2], args[3]);
    let name = option.eq_ignore_ascii_case(b"lib-name");
    if !name && !option.eq_ignore_ascii_case(b"lib-ver") {
        return Err(repeating("ERR Unrecognized option '", option, b"'").into());
    }
    if !is_plain(value) {
        let after = b" cannot contain spaces, newlines or special characters.";
        return Err(repeating("ERR ", option, after).into());
    }
    let mut state = context.session.client.state();
    let kept = if name { &mut state.lib_name } else { &mut state.lib_version };
    *kept = value.to_vec();
    Ok(Reply::Ok)
}

/// CLIENT GETREDIR: invalidation messages are not tracked, so they go nowhere.
pub(super) fn getredir(_: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    Ok(Reply::Integer(-1))
}

/// CLIENT TRACKINGINFO: what Redis says where tracking is off.
pub(super) fn trackinginfo(_: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    Ok(Reply::Map(vec![
        (Reply::bulk("flags"), Reply::Set(vec![Reply::bulk("off")])),
        (Reply::bulk("redirect"), Reply::Integer(-1)),
        (Reply::bulk("prefixes"), Reply::Array(Vec::new())),
    ]))
}

/// CLIENT NO-EVICT ON | OFF: whether it stays when all connections together hold too much.
pub(super) fn no_evict(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    context.session.client.state().no_evict = on_or_off(args[2])?;
    Ok(Reply::Ok)
}

/// CLIENT NO-TOUCH ON | OFF, of Redis 7.2: no key's age is kept anyway.
pub(super) fn no_touch(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    context.session.client.state().no_touch = on_or_off(args[2])?;
    Ok(Reply::Ok)
}

fn on_or_off(word: &[u8]) -> Result<bool, Stop> {
    if word.eq_ignore_ascii_case(b"on") {
        Ok(true)
    } else if word.eq_ignore_ascii_case(b"off") {
        Ok(false)
    } else {
        Err(syntax_error())
    }
}

/// CLIENT REPLY ON | OFF | SKIP. See [`crate::session::Session::filter_reply`].
pub(super) fn reply(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let mode = &mut context.session.reply_mode;
    if args[2].eq_ignore_ascii_case(b"skip") {
        if *mode != ReplyMode::Off {
            *mode = ReplyMode::SkipNext;
        }
        return Ok(Reply::None);
    }
    if on_or_off(args[2])? {
        *mode = ReplyMode::On;
        Ok(Reply::Ok)
    } else {
        *mode = ReplyMode::Off;
        Ok(Reply::None)
    }
}

/// CLIENT INFO
pub(super) fn info(context: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    let now_ms = context.server.uptime_ms();
    context.session.publish_now(now_ms);
    let mut text = Vec::new();
    describe(&context.session.client, now_ms, &mut text);
    Ok(Reply::text(text))
}

/// CLIENT LIST [TYPE type | ID id …]
pub(super) fn list(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let now_ms = context.server.uptime_ms();
    context.session.publish_now(now_ms);
    let mut clients = context.server.connected();
    // One that was killed may not have noticed; in Redis it would be gone.
    clients.retain(|client| !client.killed.load(Ordering::Acquire));
    match args[2..] {
        [] => {}
        [word, name] if word.eq_ignore_ascii_case(b"type") => {
            if !Type::parse(name)?.is_served() {
                clients.clear();
            }
        }
        [word, ref ids @ ..] if word.eq_ignore_ascii_case(b"id") && !ids.is_empty() => {
            clients = by_ids(&clients, ids)?;
        }
        _ => return Err(syntax_error()),
    }
    let mut text = Vec::new();
    for client in clients {
        describe(&client, now_ms, &mut text);
    }
    Ok(Reply::text(text))
}

/// In the order asked for; one asked for twice comes twice.
fn by_ids(clients: &[Arc<Client>], ids: &[&[u8]]) -> Result<Vec<Arc<Client>>, Stop> {
    let mut found = Vec::new();
    for id in ids {
        let id = integer(id).ok_or_else(|| Reply::error("ERR Invalid client ID"))?;
        let client = clients.iter().find(|client| client.id as i64 == id);
        found.extend(client.cloned());
    }
    Ok(found)
}

/// What Redis sorts connections into.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Normal,
    /// A master, a replica or a subscriber, of which there are none.
    Other,
}

impl Type {
    fn parse(name: &[u8]) -> Result<Self, Stop> {
        match name.to_ascii_lowercase().as_slice() {
            b"normal" => Ok(Self::Normal),
            b"slave" | b"replica" | b"pubsub" | b"master" => Ok(Self::Other),
            _ => Err(repeating("ERR Unknown client type '", name, b"'").into()),
        }
    }

    fn is_served(self) -> bool {
        self == Self::Normal
    }
}

/// Whom CLIENT KILL means: those to whom everything given applies.
#[derive(Default)]
struct Filter<'a> {
    id: Option<i64>,
    address: Option<&'a [u8]>,
    local_address: Option<&'a [u8]>,
    kind: Option<Type>,
    user: Option<&'a [u8]>,
    age_s_min: Option<u64>,
    skip_me: bool,
}

impl<'a> Filter<'a> {
    fn parse(users: &Users, args: &[&'a [u8]]) -> Result<Self, Stop> {
        let mut filter = Self { skip_me: true, ..Self::default() };
        for pair in args.chunks(2) {
            let [option, value] = *pair else {
                return Err(syntax_error());
            };
            filter.add(users, option, value)?;
        }
        Ok(filter)
    }

    fn add(&mut self, users: &Users, option: &[u8], value: &'a [u8]) -> Result<(), Stop> {
        match option.to_ascii_lowercase().as_slice() {
            b"id" => {
                let id = integer(value).filter(|id| *id > 0);
                let text = "ERR client-id should be greater than 0";
                self.id = Some(id.ok_or_else(|| Reply::error(text))?);
            }
            b"type" => self.kind = Some(Type::parse(value)?),
            b"addr" => self.address = Some(value),
            b"laddr" => self.local_address = Some(value),
            b"user" if users.get(value).is_some() => self.user = Some(value),
            b"user" => return Err(repeating("ERR No such user '", value, b"'").into()),
            b"skipme" if value.eq_ignore_ascii_case(b"yes") => self.skip_me = true,
            b"skipme" if value.eq_ignore_ascii_case(b"no") => self.skip_me = false,
            b"maxage" => {
                let text = "ERR maxage is not an integer or out of range";
                let age_s = integer(value).ok_or_else(|| Reply::error(text))?;
                let age_s = u64::try_from(age_s).ok().filter(|age_s| *age_s > 0);
                let text = "ERR maxage should be greater than 0";
                self.age_s_min = Some(age_s.ok_or_else(|| Reply::error(text))?);
            }
            _ => return Err(syntax_error()),
        }
        Ok(())
    }

    fn applies(&self, client: &Client, me: &Client, now_ms: u64) -> bool {
        let age_s = now_ms.saturating_sub(client.since_ms) / 1000;
        self.id.is_none_or(|id| client.id as i64 == id)
            && self.address.is_none_or(|a| client.address.as_bytes() == a)
            && self.local_address.is_none_or(|a| client.local_address.as_bytes() == a)
            && self.kind.is_none_or(Type::is_served)
            && self.user.is_none_or(|user| *client.state().user == *user)
            && self.age_s_min.is_none_or(|min| age_s >= min)
            && !(self.skip_me && client.id == me.id)
    }
}

/// CLIENT KILL address, or CLIENT KILL option value …
pub(super) fn kill(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let old_form = args.len() == 3;
    let filter = if old_form {
        Filter { address: Some(args[2]), ..Filter::default() }
    } else {
        Filter::parse(&context.server.users, &args[2..])?
    };
    let now_ms = context.server.uptime_ms();
    let me = Arc::clone(&context.session.client);
    let mut killed = 0;
    for client in context.server.connected() {
        // Not yet gone, but dead already: in Redis it would be gone.
        let dead = client.killed.load(Ordering::Acquire);
        if dead || !filter.applies(&client, &me, now_ms) {
            continue;
        }
        killed += 1;
        if client.id == me.id {
            // It may still read that it worked.
            context.session.closing = true;
        } else {
            client.kill();
        }
    }
    match (old_form, killed) {
        (false, _) => Ok(Reply::Integer(killed)),
        (true, 0) => Err(Reply::error("ERR No such client").into()),
        (true, _) => Ok(Reply::Ok),
    }
}

/// A line of CLIENT LIST, with the fields of Redis 7.0 and those of 7.2 at the end.
pub(super) fn describe(client: &Client, now_ms: u64, text: &mut Vec<u8>) {
    let state = client.state().clone();
    let age_s = now_ms.saturating_sub(client.since_ms) / 1000;
    let idle_s = now_ms.saturating_sub(client.last_ms.load(Ordering::Relaxed)) / 1000;
    let (address, local_address) = (&client.address, &client.local_address);
    let start = format!("id={} addr={address} laddr={local_address} fd=-1 name=", client.id);
    text.extend(start.bytes());
    text.extend(&state.name);
    let flags = flags(&state);
    let ClientState {
        database,
        input_bytes: input,
        queued_bytes,
        last_command: command,
        user,
        protocol,
        ..
    } = state;
    let output = client.output_bytes.load(Ordering::Relaxed) as usize;
    let queued = state.queued.map_or(-1, |queued| queued as i64);
    let memory = input + output + queued_bytes;
    let middle = format!(
        " age={age_s} idle={idle_s} flags={flags} db={database} sub=0 psub=0 ssub=0 \
         multi={queued} qbuf={input} qbuf-free=0 argv-mem=0 multi-mem={queued_bytes} rbs=0 rbp=0 \
         obl={output} oll=0 omem={output} tot-mem={memory} events=r cmd={command} user="
    );
    text.extend(middle.bytes());
    text.extend(&*user);
    let end = format!(" redir=-1 resp={protocol} lib-name=");
    text.extend(end.bytes());
    text.extend(&state.lib_name);
    text.extend(b" lib-ver=");
    text.extend(&state.lib_version);
    text.push(b'\n');
}

fn flags(state: &ClientState) -> String {
    let flags: String = [
        ('O', state.monitoring),
        ('x', state.queued.is_some()),
        ('b', state.blocked),
        ('e', state.no_evict),
        ('T', state.no_touch),
    ]
    .into_iter()
    .filter_map(|(letter, set)| set.then_some(letter))
    .collect();
    if flags.is_empty() { "N".to_owned() } else { flags }
}
