//! The Redis that is read.

use crate::backup::{DATABASES_MAX, Entry};
use crate::connection::client::Client;
use crate::resp::Reply;
use crate::small_bytes::SmallBytes;
use std::collections::BTreeMap;
use std::io;

/// How many keys a page should have; the source may answer with more or fewer.
const PAGE_KEYS: &[u8] = b"1000";

/// Values that are asked for in one go, in bytes; a larger one goes alone.
const BATCH_BYTES: u64 = 8 << 20;

/// Keys of a type that are named.
const NAMED_MAX: usize = 20;

/// Keys that are no strings, by their type, and those whose values the source itself can't read.
#[derive(Debug, Default)]
pub struct LeftOut {
    others: BTreeMap<String, Keys>,
    unreadable: Keys,
}

#[derive(Debug, Default)]
struct Keys {
    count: u64,
    named: Vec<String>,
}

impl Keys {
    fn add(&mut self, key: String) {
        self.count += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push(key);
        }
    }

    fn names(&self) -> String {
        let more = if self.count > self.named.len() as u64 { ", …" } else { "" };
        format!("{}{more}", self.named.join(", "))
    }
}

impl LeftOut {
    /// How many they are.
    pub fn keys(&self) -> u64 {
        self.no_strings() + self.unreadable.count
    }

    fn no_strings(&self) -> u64 {
        self.others.values().map(|keys| keys.count).sum()
    }

    /// What to tell of them, line by line: how many there are of each kind, and some of them.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let others = self.no_strings();
        if others > 0 {
            lines.push(format!("{others} keys were left out, since they are no strings:"));
        }
        lines.extend(
            self.others
                .iter()
                .map(|(kind, keys)| format!("  {} of type {kind}: {}", keys.count, keys.names())),
        );
        let Keys { count, .. } = self.unreadable;
        if count > 0 {
            lines.push(format!("{count} keys were left out, since the source can't read them:"));
            lines.push(format!("  {}", self.unreadable.names()));
        }
        lines
    }
}

/// Whether an aft says that it has lost a value, or can't read it any more: others of the same
/// store can be read.
fn is_unreadable(reply: &Reply) -> bool {
    let Reply::Error(line) = reply else { return false };
    let line = line.as_bytes();
    line.starts_with(b"ERR a value could not be read from the store")
        || line.starts_with(b"ERR the value of this key is lost in the store")
}

/// A connection to it, and where on it we are.
#[derive(Debug)]
pub struct Source {
    client: Client,
    database: u8,
    only: Option<u32>,
    /// `None` when a database has been read.
    cursor: Option<SmallBytes>,
    /// It says when keys expire, and not only how long they live (7.0 and later).
    tells_time: bool,
    left_out: LeftOut,
}

impl Source {
    /// Reads one database, or all.
    ///
    /// # Errors
    /// The connection failed, here and below, or the server refuses a command.
    pub fn new(mut client: Client, only: Option<u32>) -> io::Result<Self> {
        let tells_time = match client.call(&[b"PEXPIRETIME", b"?"])? {
            Reply::Integer(_) => true,
            Reply::Error(line) if line.as_bytes().starts_with(b"ERR unknown command") => false,
            reply => return Err(client.unexpected(b"PEXPIRETIME", &reply)),
        };
        let left_out = LeftOut::default();
        Ok(Self { client, database: 0, only, cursor: None, tells_time, left_out })
    }

    /// Databases with keys, and how many.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn databases(&mut self) -> io::Result<Vec<(u32, u64)>> {
        let info = match self.client.call(&[b"INFO", b"keyspace"])? {
            Reply::Bulk(info) => String::from_utf8_lossy(&info).into_owned(),
            reply => return Err(self.client.unexpected(b"INFO", &reply)),
        };
        let databases = info.lines().filter_map(|line| {
            let (number, rest) = line.strip_prefix("db")?.split_once(":keys=")?;
            Some((number.parse().ok()?, rest.split(',').next()?.trim().parse().ok()?))
        });
        let wanted = |(number, _): &(u32, u64)| self.only.is_none_or(|only| only == *number);
        Ok(databases.filter(wanted).collect())
    }

    /// Begins with a database.
    ///
    /// # Errors
    /// As for [`Self::new`], or no node can have such a database.
    pub fn select(&mut self, database: u32) -> io::Result<()> {
        self.database = u8::try_from(database)
            .ok()
            .filter(|_| database < DATABASES_MAX)
            .ok_or_else(|| io::Error::other(format!("aft has no database {database}")))?;
        self.client.expect_ok(&[b"SELECT", database.to_string().as_bytes()])?;
        self.cursor = Some(SmallBytes::from("0"));
        Ok(())
    }

    /// Some more keys of the database; `None` when there are none.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn page(&mut self) -> io::Result<Option<Vec<SmallBytes>>> {
        let Some(cursor) = self.cursor.take() else {
            return Ok(None);
        };
        let reply = self.client.call(&[b"SCAN", &cursor, b"COUNT", PAGE_KEYS])?;
        let Reply::Array(parts) = &reply else {
            return Err(self.client.unexpected(b"SCAN", &reply));
        };
        let [Reply::Bulk(next), Reply::Array(keys)] = &parts[..] else {
            return Err(self.client.unexpected(b"SCAN", &reply));
        };
        self.cursor = (**next != *b"0").then(|| next.clone());
        let mut page = Vec::with_capacity(keys.len());
        for key in keys {
            match key {
                Reply::Bulk(key) => page.push(key.clone()),
                _ => return Err(self.client.unexpected(b"SCAN", &reply)),
            }
        }
        Ok(Some(page))
    }

    /// The strings among some keys, as many at a time as fit.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn batches(&mut self, page: Vec<SmallBytes>) -> io::Result<Vec<Vec<SmallBytes>>> {
        page.iter().for_each(|key| self.client.queue(&[b"STRLEN", key]));
        self.client.send()?;
        let mut batches: Vec<Vec<SmallBytes>> = Vec::new();
        let mut others = Vec::new();
        let mut room = 0;
        for key in page {
            let length = match self.client.read()? {
                Reply::Integer(length) => length.unsigned_abs() + key.len() as u64,
                Reply::Error(line) if line.as_bytes().starts_with(b"WRONGTYPE") => {
                    others.push(key);
                    continue;
                }
                reply if is_unreadable(&reply) => {
                    let shown = self.shown(&key);
                    self.left_out.unreadable.add(shown);
                    continue;
                }
                reply => return Err(self.client.unexpected(b"STRLEN", &reply)),
            };
            match batches.last_mut().filter(|_| length <= room) {
                Some(batch) => {
                    batch.push(key);
                    room -= length;
                }
                None => {
                    batches.push(vec![key]);
                    room = BATCH_BYTES.saturating_sub(length);
                }
            }
        }
        self.leave_out(&others)?;
        Ok(batches)
    }

    fn leave_out(&mut self, keys: &[SmallBytes]) -> io::Result<()> {
        keys.iter().for_each(|key| self.client.queue(&[b"TYPE", key]));
        self.client.send()?;
        for key in keys {
            match self.client.read()? {
                // Gone, or another by now; it was no string when it was looked at.
                Reply::Simple(kind) => {
                    let kind = String::from_utf8_lossy(kind.as_bytes()).into_owned();
                    let shown = self.shown(key);
                    self.left_out.others.entry(kind).or_default().add(shown);
                }
                reply => return Err(self.client.unexpected(b"TYPE", &reply)),
            }
        }
        Ok(())
    }

    fn shown(&self, key: &[u8]) -> String {
        format!("{}:{}", self.database, key.escape_ascii())
    }

    /// Values and expiries, as they are together at one moment; keys that are gone are left out,
    /// and those that the source can't read are noted.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn fetch(&mut self, keys: &[SmallBytes]) -> io::Result<Vec<Entry>> {
        if let Some(entries) = self.fetch_together(keys)? {
            return Ok(entries);
        }
        // Each by itself: one of them, at least, can't be read.
        let mut entries = Vec::with_capacity(keys.len());
        for key in keys {
            match self.fetch_together(std::slice::from_ref(key))? {
                Some(entry) => entries.extend(entry),
                None => {
                    let shown = self.shown(key);
                    self.left_out.unreadable.add(shown);
                }
            }
        }
        Ok(entries)
    }

    /// The same in one go; `None` if there is a value that the source can't read.
    fn fetch_together(&mut self, keys: &[SmallBytes]) -> io::Result<Option<Vec<Entry>>> {
        /// A server may be held up between telling the time and what is left to a key.
        const ATTEMPTS: usize = 5;
        for attempt in 1.. {
            let Some((from_ms, to_ms, replies)) = self.ask(keys)? else {
                break;
            };
            if to_ms.saturating_sub(from_ms) <= 1 || attempt == ATTEMPTS {
                return self.entries(keys, from_ms, replies).map(Some);
            }
        }
        Ok(None)
    }

    /// The time before and after what is asked of expiries, unless they are times themselves; and
    /// the expiries, then the values. `None` if there is one that the source can't read.
    fn ask(&mut self, keys: &[SmallBytes]) -> io::Result<Option<(u64, u64, Vec<Reply>)>> {
        let expiry: &[u8] = if self.tells_time { b"PEXPIRETIME" } else { b"PTTL" };
        self.client.queue(&[b"MULTI"]);
        self.client.queue(&[b"TIME"]);
        keys.iter().for_each(|key| self.client.queue(&[expiry, key]));
        self.client.queue(&[b"TIME"]);
        keys.iter().for_each(|key| self.client.queue(&[b"GET", key]));
        self.client.queue(&[b"EXEC"]);
        self.client.send()?;
        let mut refused = None;
        for _ in 0..2 * keys.len() + 3 {
            if let reply @ Reply::Error(_) = self.client.read()? {
                refused.get_or_insert(reply);
            }
        }
        let mut replies = match (self.client.read()?, refused) {
            (Reply::Array(replies), None) if replies.iter().any(is_unreadable) => return Ok(None),
            (reply, None) if is_unreadable(&reply) => return Ok(None),
            (Reply::Array(replies), None) if replies.len() == 2 * keys.len() + 2 => replies,
            (reply, refused) => {
                return Err(self.client.unexpected(b"MULTI", &refused.unwrap_or(reply)));
            }
        };
        let times = (replies.remove(keys.len() + 1), replies.remove(0));
        match (wall_ms(&times.1), wall_ms(&times.0)) {
            _ if self.tells_time => Ok(Some((0, 0, replies))),
            (Some(from_ms), Some(to_ms)) => Ok(Some((from_ms, to_ms, replies))),
            _ => Err(self.client.unexpected(b"TIME", &Reply::Null)),
        }
    }

    fn entries(
        &mut self,
        keys: &[SmallBytes],
        now_ms: u64,
        mut expiries: Vec<Reply>,
    ) -> io::Result<Vec<Entry>> {
        let values = expiries.split_off(keys.len());
        let mut entries = Vec::with_capacity(keys.len());
        for ((key, expiry), value) in keys.iter().zip(expiries).zip(values) {
            let value = match value {
                Reply::Bulk(value) => value,
                Reply::Null => continue,
                Reply::Error(line) if line.as_bytes().starts_with(b"WRONGTYPE") => {
                    self.leave_out(std::slice::from_ref(key))?;
                    continue;
                }
                reply => return Err(self.client.unexpected(b"GET", &reply)),
            };
            let expires_ms = match expiry {
                Reply::Integer(-1) => 0,
                // Over in this millisecond.
                Reply::Integer(ms) => u64::try_from(ms).unwrap_or(0).saturating_add(now_ms).max(1),
                reply => return Err(self.client.unexpected(b"PEXPIRETIME", &reply)),
            };
            let key = key.to_vec();
            entries.push(Entry { database: self.database, key, expires_ms, value });
        }
        Ok(entries)
    }

    /// What was left out, of all that was looked at.
    pub fn left_out(&self) -> &LeftOut {
        &self.left_out
    }

    /// The same, for good.
    pub fn take_left_out(&mut self) -> LeftOut {
        std::mem::take(&mut self.left_out)
    }
}

/// The source's own clock: it is what its expiries are measured with.
fn wall_ms(time: &Reply) -> Option<u64> {
    let Reply::Array(parts) = time else { return None };
    let [Reply::Bulk(seconds), Reply::Bulk(micros)] = &parts[..] else { return None };
    Some(number(seconds)?.saturating_mul(1000).saturating_add(number(micros)? / 1000))
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
