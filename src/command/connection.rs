//! The connection itself: <https://redis.io/docs/latest/commands/?group=connection>.

use super::parse::{database_arg, integer, repeating, syntax_error, wrong_arity};
use super::{CommandResult, Context, Stop, acl, inside, transactions};
use crate::resp::{Protocol, Reply};
use crate::server::users;
use crate::session::Session;

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
    context.session.database = database_arg(context, args[1])?;
    Ok(Reply::Ok)
}

/// AUTH [username] password
pub(super) fn auth(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    match args {
        [_, password] => {
            if context.server.users.default_user().rules().nopass {
                let text = "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?";
                return Err(Reply::error(text).into());
            }
            authenticate(context, args, users::DEFAULT, password)
        }
        [_, user, password] => authenticate(context, args, user, password),
        _ => Err(syntax_error()),
    }
}

fn authenticate(
    context: &mut Context<'_, '_>,
    args: &[&[u8]],
    name: &[u8],
    password: &[u8],
) -> CommandResult {
    let (name, token) = inside::user_and_token(&context.server.users, name);
    match context.server.users.get(name) {
        Some(user) if user.rules().admit(password) => {
            context.session.log_in(user);
            inside::bind_by_user(context.session, token);
            Ok(Reply::Ok)
        }
        _ => {
            acl::login_denied(context.server, context.session, args[0], name, context.in_exec);
            let text = "WRONGPASS invalid username-password pair or user is disabled.";
            Err(Reply::error(text).into())
        }
    }
}

/// HELLO [protover [AUTH user password] [SETNAME name]]
///
/// The options take effect one after the other, so one may have before another fails.
pub(super) fn hello(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let protocol = match args.get(1) {
        None => None,
        Some(version) => Some(parse_protocol(version)?),
    };
    let mut options = args.get(2..).unwrap_or_default();
    while let Some(option) = options.first() {
        if option.eq_ignore_ascii_case(b"auth") && options.len() >= 3 {
            authenticate(context, args, options[1], options[2])?;
            options = &options[3..];
        } else if option.eq_ignore_ascii_case(b"setname") && options.len() >= 2 {
            set_name(context, options[1])?;
            options = &options[2..];
        } else {
            return Err(repeating("ERR Syntax error in HELLO option '", option, b"'").into());
        }
    }
    // Redis asks nobody in again who needs no password any more, but for this.
    if !context.session.authenticated {
        let text = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time";
        return Err(Reply::error(text).into());
    }
    if let Some(protocol) = protocol {
        context.session.protocol = protocol;
    }
    Ok(greeting(context.session))
}

fn greeting(session: &Session) -> Reply {
    let text = |key: &str, value: &str| (Reply::bulk(key), Reply::bulk(value));
    let number = |key: &str, value: i64| (Reply::bulk(key), Reply::Integer(value));
    Reply::Map(vec![
        text("server", "redis"),
        text("version", REDIS_VERSION),
        number("proto", i64::from(session.protocol.version())),
        number("id", session.client.id as i64),
        text("mode", "standalone"),
        text("role", "master"),
        (Reply::bulk("modules"), Reply::Array(Vec::new())),
    ])
}

fn parse_protocol(version: &[u8]) -> Result<Protocol, Stop> {
    match integer(version) {
        Some(2) => Ok(Protocol::Resp2),
        Some(3) => Ok(Protocol::Resp3),
        Some(_) => Err(Reply::error("NOPROTO unsupported protocol version").into()),
        None => Err(Reply::error("ERR Protocol version is not an integer or out of range").into()),
    }
}

/// Names a connection; blanks and line ends would break CLIENT LIST.
pub(super) fn set_name(context: &mut Context<'_, '_>, name: &[u8]) -> Result<(), Stop> {
    if !is_plain(name) {
        let text = "ERR Client names cannot contain spaces, newlines or special characters.";
        return Err(Reply::error(text).into());
    }
    context.session.client.state().name = name.to_vec();
    inside::bind_by_name(context.session, name);
    Ok(())
}

/// Whether a name can stand in CLIENT LIST, between blanks and line ends.
pub(super) fn is_plain(name: &[u8]) -> bool {
    name.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

/// QUIT
pub(super) fn quit(context: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    context.session.closing = true;
    // Nothing follows the reply, not even the line that a monitor would get about this.
    context.server.monitors.remove(&context.session.client);
    Ok(Reply::Ok)
}

/// RESET
pub(super) fn reset(context: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    transactions::unwatch_all(context);
    let session = &mut *context.session;
    session.multi = None;
    session.database = 0;
    session.protocol = Protocol::Resp2;
    session.reply_mode = session.reply_mode.reset();
    session.log_out(context.server);
    if std::mem::take(&mut session.monitoring) {
        context.server.monitors.remove(&session.client);
        session.monitored = true;
    }
    session.client.state().name.clear();
    Ok(Reply::simple("RESET"))
}
