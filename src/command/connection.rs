//! The connection itself: <https://redis.io/docs/latest/commands/?group=connection>.

use super::parse::{integer, integer_arg, not_an_integer, syntax_error, wrong_arity};
use super::{CommandResult, Context, Stop, transactions};
use crate::resp::{Protocol, Reply};
use crate::session::ReplyMode;

/// The version of Redis whose behaviour clients may expect.
pub(super) const REDIS_VERSION: &str = "7.0.15";

/// PING [message]
pub(super) fn ping(_: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    match args {
        [_] => Ok(Reply::Pong),
        [_, message] => Ok(Reply::bulk(*message)),
        _ => Err(wrong_arity("ping").into()),
    }
}

/// ECHO message
pub(super) fn echo(_: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    Ok(Reply::bulk(args[1]))
}

/// SELECT index
pub(super) fn select(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let index = integer_arg(args[1])?;
    // Redis reads it as a C int.
    let index = i32::try_from(index).map_err(|_| not_an_integer())?;
    let database = u8::try_from(index)
        .ok()
        .filter(|db| *db < context.transaction.databases());
    let database = database.ok_or_else(|| Reply::error("ERR DB index is out of range"))?;
    context.session.database = database;
    context.session.client.state().database = database;
    Ok(Reply::Ok)
}

/// AUTH [username] password
pub(super) fn auth(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    match args {
        [_, password] => {
            if context.settings.requirepass.is_none() {
                let text = "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?";
                return Err(Reply::error(text).into());
            }
            authenticate(context, b"default", password)
        }
        [_, user, password] => authenticate(context, user, password),
        _ => Err(syntax_error()),
    }
}

fn authenticate(context: &mut Context<'_, '_>, user: &[u8], password: &[u8]) -> CommandResult {
    // Without a password set, the default user takes any, as in Redis.
    let right = user == b"default"
        && context
            .settings
            .requirepass
            .as_ref()
            .is_none_or(|secret| secret.matches(password));
    if !right {
        let text = "WRONGPASS invalid username-password pair or user is disabled.";
        return Err(Reply::error(text).into());
    }
    context.session.authenticated = true;
    Ok(Reply::Ok)
}

/// HELLO [protover [AUTH user password] [SETNAME name]]
pub(super) fn hello(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let protocol = match args.get(1) {
        None => None,
        Some(version) => Some(parse_protocol(version)?),
    };
    let options = HelloOptions::parse(args.get(2..).unwrap_or_default())?;
    if let Some((user, password)) = options.auth {
        authenticate(context, user, password)?;
    }
    if !context.session.authenticated {
        let text = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time";
        return Err(Reply::error(text).into());
    }
    if let Some(name) = options.name {
        set_name(context, name)?;
    }
    if let Some(protocol) = protocol {
        context.session.protocol = protocol;
        let version = if protocol == Protocol::Resp3 { 3 } else { 2 };
        context.session.client.state().protocol = version;
    }
    let version = if context.session.protocol == Protocol::Resp3 {
        3
    } else {
        2
    };
    let text = |key: &str, value: &str| (Reply::bulk(key), Reply::bulk(value));
    Ok(Reply::Map(vec![
        text("server", "redis"),
        text("version", REDIS_VERSION),
        (Reply::bulk("proto"), Reply::Integer(version)),
        (
            Reply::bulk("id"),
            Reply::Integer(context.session.client.id as i64),
        ),
        text("mode", "standalone"),
        text("role", "master"),
        (Reply::bulk("modules"), Reply::Array(Vec::new())),
    ]))
}

fn parse_protocol(version: &[u8]) -> Result<Protocol, Stop> {
    match integer(version) {
        Some(2) => Ok(Protocol::Resp2),
        Some(3) => Ok(Protocol::Resp3),
        Some(_) => Err(Reply::error("NOPROTO unsupported protocol version").into()),
        None => Err(Reply::error("ERR Protocol version is not an integer or out of range").into()),
    }
}

#[derive(Default)]
struct HelloOptions<'a> {
    auth: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

impl<'a> HelloOptions<'a> {
    fn parse(mut args: &[&'a [u8]]) -> Result<Self, Stop> {
        let mut options = Self::default();
        while let Some(option) = args.first() {
            if option.eq_ignore_ascii_case(b"auth") && args.len() >= 3 {
                options.auth = Some((args[1], args[2]));
                args = &args[3..];
            } else if option.eq_ignore_ascii_case(b"setname") && args.len() >= 2 {
                options.name = Some(args[1]);
                args = &args[2..];
            } else {
                let option = String::from_utf8_lossy(option);
                let text = format!("ERR Syntax error in HELLO option '{option}'");
                return Err(Reply::error(text).into());
            }
        }
        Ok(options)
    }
}

/// Names a connection; blanks and line ends would break CLIENT LIST.
pub(super) fn set_name(context: &mut Context<'_, '_>, name: &[u8]) -> Result<(), Stop> {
    if !name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        let text = "ERR Client names cannot contain spaces, newlines or special characters.";
        return Err(Reply::error(text).into());
    }
    context.session.client.state().name = name.to_vec();
    Ok(())
}

/// QUIT
pub(super) fn quit(context: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    context.session.closing = true;
    Ok(Reply::Ok)
}

/// RESET
pub(super) fn reset(context: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    transactions::unwatch_all(context);
    let session = &mut *context.session;
    session.multi = None;
    session.database = 0;
    session.protocol = Protocol::Resp2;
    session.reply_mode = ReplyMode::On;
    session.authenticated = context.settings.requirepass.is_none();
    let mut state = session.client.state();
    state.name.clear();
    state.database = 0;
    state.protocol = 2;
    state.no_evict = false;
    state.no_touch = false;
    drop(state);
    Ok(Reply::simple("RESET"))
}
