//! Where an import goes.

use crate::backup::{BackupError, Entry, Restore};
use crate::connection::client::Client;
use crate::resp::Reply;
use crate::small_bytes::LARGE_BYTES_MIN;
use std::io;

/// A store, or a server.
#[derive(Debug)]
pub enum Sink<'r, 's> {
    /// All at the end, or nothing.
    Store(&'r mut Restore<'s>),
    /// Key by key, over those of the same names; others stay.
    Server(Client),
}

impl Sink<'_, '_> {
    /// What follows goes into this database.
    pub(super) fn select(&mut self, database: u32) -> io::Result<()> {
        match self {
            // Entries say it themselves.
            Self::Store(_) => Ok(()),
            Self::Server(client) => client.expect_ok(&[b"SELECT", database.to_string().as_bytes()]),
        }
    }

    pub(super) async fn put(&mut self, entries: Vec<Entry>) -> Result<(), BackupError> {
        match self {
            Self::Store(restore) => {
                for entry in entries {
                    restore.add(entry).await?;
                }
                Ok(())
            }
            Self::Server(client) => Ok(set(client, &entries)?),
        }
    }
}

fn set(client: &mut Client, entries: &[Entry]) -> io::Result<()> {
    for entry in entries {
        let expires_ms = entry.expires_ms.to_string();
        let command: [&[u8]; 5] =
            [b"SET", &entry.key, &entry.value, b"PXAT", expires_ms.as_bytes()];
        let command = if entry.expires_ms == 0 { &command[..3] } else { &command };
        if entry.value.len() < LARGE_BYTES_MIN {
            client.queue(command);
        } else {
            // From where it is: it may be of any size.
            client.send_at_once(command)?;
        }
    }
    client.send()?;
    for _ in entries {
        match client.read()? {
            Reply::Ok => {}
            reply => return Err(client.unexpected(b"SET", &reply)),
        }
    }
    Ok(())
}
