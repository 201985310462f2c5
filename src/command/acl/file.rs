//! The file of users: `user name rules …`, a user a line, as in Redis' `aclfile`.
//!
//! It is read at the start and by ACL LOAD, as a whole or not at all, and written by ACL SAVE.

use super::super::CommandResult;
use super::super::Context;
use super::{describe, disconnect, rules};
use crate::resp::Reply;
use crate::server::Server;
use crate::server::users::{DEFAULT, Rules};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

type ByName = BTreeMap<Vec<u8>, Rules>;

/// ACL LOAD: the users are those of the file from now on.
pub(in crate::command) fn load(context: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    let path = path_of(context)?;
    let users = read(&path).map_err(|why| Reply::error(format!("ERR {why}")))?;
    let gone = replace(context.server, users);
    for user in gone {
        disconnect(context, &user);
    }
    Ok(Reply::Ok)
}

/// ACL SAVE
pub(in crate::command) fn save(context: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    let path = path_of(context)?;
    let mut text = Vec::new();
    for user in context.server.users.all() {
        text.extend_from_slice(&describe::user(&user));
        text.push(b'\n');
    }
    write(&path, &text).map_err(|error| {
        tracing::warn!(path = %path.display(), %error, "the file of users could not be written");
        Reply::error(
            "ERR There was an error trying to save the ACLs. Please check the server logs for more information",
        )
    })?;
    Ok(Reply::Ok)
}

/// Reads the file of users, if there is to be one.
///
/// # Errors
/// It can't be read, or not all of it makes sense: the message names the lines.
pub fn load_at_start(server: &Server) -> Result<(), String> {
    let Some(path) = server.settings().acl_file.clone() else {
        return Ok(());
    };
    replace(server, read(&path)?);
    Ok(())
}

fn path_of(context: &Context<'_, '_>) -> Result<PathBuf, Reply> {
    context.settings.acl_file.clone().ok_or_else(|| {
        Reply::error("ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.")
    })
}

/// Makes these users the only ones; those that are no more.
fn replace(server: &Server, mut users: ByName) -> Vec<std::sync::Arc<crate::server::users::User>> {
    // As in Redis: whoever is not in the file has the rules of a new server.
    users.entry(DEFAULT.to_vec()).or_insert_with(Rules::everything);
    let now = server.users.all();
    let gone = now.into_iter().filter(|user| !users.contains_key(&*user.name));
    let gone: Vec<_> = gone.filter_map(|user| server.users.remove(&user.name)).collect();
    for (name, rules) in users {
        server.users.set(&name, rules);
    }
    gone
}

fn read(path: &Path) -> Result<ByName, String> {
    let shown = path.display();
    let text = fs::read(path)
        .map_err(|error| format!("Error loading ACLs, opening file '{shown}': {error}"))?;
    let mut users = ByName::new();
    let mut errors = Vec::new();
    for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if let Err(why) = take_line(line, &mut users) {
            errors.push(format!("{shown}:{}: {why}.", at + 1));
        }
    }
    if errors.is_empty() {
        return Ok(users);
    }
    errors.push(
        "WARNING: ACL errors detected, no change to the previously active ACL rules was performed"
            .to_owned(),
    );
    Err(errors.join(" "))
}

fn take_line(line: &[u8], users: &mut ByName) -> Result<(), String> {
    let words: Vec<&[u8]> =
        line.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).collect();
    let [b"user", name, words @ ..] = words.as_slice() else {
        return Err("should start with user keyword followed by the username".to_owned());
    };
    let shown = String::from_utf8_lossy(name);
    if rules::has_blanks(name) {
        return Err(format!("username '{shown}' contains invalid characters"));
    }
    if users.contains_key(*name) {
        return Err(format!("Duplicate user '{shown}' found"));
    }
    let words = rules::join_selectors(words)
        .map_err(|_| "Unmatched parenthesis in selector definition".to_owned())?;
    let mut made = Rules::new();
    for word in &words {
        // The word itself may be a password.
        rules::apply(&mut made, word).map_err(|error| error.text().to_owned())?;
    }
    users.insert(name.to_vec(), made);
    Ok(())
}

/// Puts the file in its place at once: whoever reads it sees the old one or the new one.
fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    // What stands in it opens doors: for nobody else's eyes.
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}
