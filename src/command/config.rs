//! CONFIG: the settings of the running server.

use super::parse::syntax_error;
use super::{CommandResult, Context};
use crate::config::{self, SetError, Settings};
use crate::machine;
use crate::resp::Reply;
use crate::server::users::Rules;
use std::sync::atomic::Ordering;

/// CONFIG GET pattern …
pub(super) fn get(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    // Not `context.settings`: inside EXEC a CONFIG SET may have come before.
    let found = context.server.settings().get(&args[2..]);
    let pairs = found
        .into_iter()
        .map(|(name, value)| (Reply::bulk(name.as_str()), Reply::bulk(value.as_str())));
    Ok(Reply::Map(pairs.collect()))
}

/// CONFIG SET name value …: all of them, or none.
pub(super) fn set(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let (pairs, []) = args[2..].as_chunks::<2>() else {
        return Err(syntax_error());
    };
    let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|[name, value]| (*name, *value)).collect();
    match context.server.change_settings(|settings| change(settings, &pairs)) {
        Ok(()) => {
            context.session.settings_changed = true;
            if pairs.iter().any(|(name, _)| config::is_secret(name)) {
                set_default_password(context);
            }
            Ok(Reply::Ok)
        }
        Err(error) => Err(Reply::error(error.to_string()).into()),
    }
}

fn change(settings: &mut Settings, pairs: &[(&[u8], &[u8])]) -> Result<(), SetError> {
    settings.set(pairs)?;
    let name = pairs.iter().find(|(name, _)| config::is_name_of("clients_max", name));
    let Some((name, _)) = name else {
        return Ok(());
    };
    let fitting = machine::clients_that_fit(settings.clients_max);
    if fitting < settings.clients_max {
        return Err(SetError::Refused {
            name: String::from_utf8_lossy(name).into_owned(),
            reason: format!(
                "The operating system is not able to handle the specified number of clients, \
                 try with {fitting}"
            ),
        });
    }
    Ok(())
}

/// The password of the settings becomes the default user's only one, whatever ACL SETUSER
/// has made of that user before.
fn set_default_password(context: &Context<'_, '_>) {
    let settings = context.server.settings();
    let password = settings.requirepass.as_ref().map(|secret| secret.expose().as_bytes());
    let user = context.server.users.default_user();
    let mut rules = Rules::clone(&user.rules());
    rules.set_password(password);
    user.set(rules);
}

/// CONFIG RESETSTAT
pub(super) fn resetstat(context: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    context.server.counters.reset();
    context.server.engine.expired_keys.store(0, Ordering::Relaxed);
    context.server.readings.clear();
    context.server.statistics().clear();
    Ok(Reply::Ok)
}

/// CONFIG REWRITE: flags, the environment and a file make the settings together, so there
/// is no one file that they could be written back to.
pub(super) fn rewrite(_: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    Err(Reply::error("ERR The server is running without a config file").into())
}
