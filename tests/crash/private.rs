//! A database that one connection writes, pipelined: SET, MSET, DEL, INCR, MULTI, FLUSHDB. Its
//! commands take effect in order, so after a crash the database must be what some prefix of them
//! makes, at least as long as the answered ones, and the replies are known before they come.

use std::collections::BTreeMap;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::anomaly::{Anomaly, Checked, End, Kind, anomaly};
use crate::common::client::Client;
use crate::common::resp::Reply;

pub(crate) type Data = BTreeMap<String, String>;

const KEYS: u32 = 12;
const DEPTH_MAX: usize = 12;

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Set(String, String),
    Mset(Vec<(String, String)>),
    Del(Vec<String>),
    Incr(String),
    Flush,
    Multi(Vec<Op>),
}

impl Op {
    fn random(rng: &mut StdRng, value: &str, nested: bool) -> Self {
        let key = |rng: &mut StdRng| format!("k{}", rng.random_range(0..KEYS));
        match rng.random_range(0..100) {
            0..35 => Self::Set(key(rng), value.to_owned()),
            35..50 => Self::Mset((0..3).map(|n| (key(rng), format!("{value}.{n}"))).collect()),
            50..75 => Self::Del(vec![key(rng), key(rng)]),
            75..88 => Self::Incr(format!("n{}", rng.random_range(0..2))),
            88..91 => Self::Flush,
            _ if nested => Self::Set(key(rng), value.to_owned()),
            _ => Self::Multi(
                (0..3).map(|n| Self::random(rng, &format!("{value}:{n}"), true)).collect(),
            ),
        }
    }

    fn send(&self, client: &mut Client) {
        match self {
            Self::Set(key, value) => client.queue(&["SET", key, value]),
            Self::Incr(key) => client.queue(&["INCR", key]),
            Self::Flush => client.queue(&["FLUSHDB"]),
            Self::Mset(pairs) => {
                let words = pairs.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]);
                client.queue(&["MSET"].into_iter().chain(words).collect::<Vec<_>>());
            }
            Self::Del(keys) => {
                let words = keys.iter().map(String::as_str);
                client.queue(&["DEL"].into_iter().chain(words).collect::<Vec<_>>());
            }
            Self::Multi(ops) => {
                client.queue(&["MULTI"]);
                ops.iter().for_each(|op| op.send(client));
                client.queue(&["EXEC"]);
            }
        }
    }

    /// Does it to the model and says what the server must answer.
    pub(crate) fn apply(&self, data: &mut Data) -> Reply {
        match self {
            Self::Set(key, value) => {
                data.insert(key.clone(), value.clone());
                Reply::ok()
            }
            Self::Mset(pairs) => {
                data.extend(pairs.iter().cloned());
                Reply::ok()
            }
            Self::Del(keys) => {
                Reply::Int(keys.iter().map(|key| i64::from(data.remove(key).is_some())).sum())
            }
            Self::Incr(key) => {
                let old = data.get(key).map_or(0, |text| text.parse().expect("a counter"));
                data.insert(key.clone(), (old + 1).to_string());
                Reply::Int(old + 1)
            }
            Self::Flush => {
                data.clear();
                Reply::ok()
            }
            Self::Multi(ops) => Reply::Array(ops.iter().map(|op| op.apply(data)).collect()),
        }
    }

    /// QUEUED lines that come before the reply itself.
    fn replies_before(&self) -> usize {
        if let Self::Multi(ops) = self { ops.len() + 1 } else { 0 }
    }
}

/// One database: what holds, and what its writer did since.
#[derive(Clone)]
pub(crate) struct Private {
    pub(crate) db: u32,
    pub(crate) base: Data,
    pub(crate) ops: Vec<Op>,
    /// How many of `ops` are answered.
    pub(crate) acked: usize,
}

impl Private {
    pub(crate) fn new(db: u32) -> Self {
        Self { db, base: Data::new(), ops: Vec::new(), acked: 0 }
    }

    /// Writes until the connection ends.
    pub(crate) fn work(&mut self, mut client: Client, mut rng: StdRng, round: u32) -> Checked {
        let Ok(_) = client.call(&["SELECT", &self.db.to_string()]) else {
            return Ok(());
        };
        let mut data = self.base.clone();
        loop {
            let depth = rng.random_range(1..=DEPTH_MAX);
            let first = self.ops.len();
            for n in first..first + depth {
                let op = Op::random(&mut rng, &format!("{round}.{n}"), false);
                op.send(&mut client);
                self.ops.push(op);
            }
            if client.flush().is_err() {
                return Ok(());
            }
            for n in first..first + depth {
                if !self.take_reply(&mut client, n, &mut data)? {
                    return Ok(());
                }
            }
        }
    }

    fn take_reply(
        &mut self,
        client: &mut Client,
        n: usize,
        data: &mut Data,
    ) -> Result<bool, Anomaly> {
        let op = self.ops[n].clone();
        for _ in 0..op.replies_before() {
            if client.read().is_err() {
                return Ok(false);
            }
        }
        let Ok(reply) = client.read() else {
            return Ok(false);
        };
        if reply.error_code().as_deref() == Some("NOTCOMMITTED") {
            // All after it in the pipeline fail too; the rest is not of interest.
            self.ops.truncate(n);
            return Ok(false);
        }
        let expected = op.apply(data);
        if reply != expected {
            return anomaly(Kind::WrongReply, format!("{op:?}: {reply:?}, not {expected:?}"));
        }
        self.acked = n + 1;
        Ok(true)
    }

    pub(crate) fn observe(&self, client: &mut Client) -> Result<Data, Anomaly> {
        assert_eq!(client.run(&["SELECT", &self.db.to_string()]), Reply::ok());
        let keys: Vec<String> =
            (0..KEYS).map(|n| format!("k{n}")).chain((0..2).map(|n| format!("n{n}"))).collect();
        let words = keys.iter().map(String::as_str);
        let values = client.run(&["MGET"].into_iter().chain(words).collect::<Vec<_>>());
        let size = client.cmd("DBSIZE").int();
        assert_eq!(client.cmd("SELECT 0"), Reply::ok());
        let present = keys.into_iter().zip(values.items());
        let data: Data = present.filter_map(|(key, value)| Some((key, value.text()?))).collect();
        if usize::try_from(size) != Ok(data.len()) {
            let (db, known) = (self.db, data.len());
            return anomaly(Kind::Phantom, format!("db {db}: DBSIZE {size} for {known} keys"));
        }
        Ok(data)
    }

    /// The checker.
    pub(crate) fn check(&self, seen: &Data, end: End) -> Checked {
        let mut data = self.base.clone();
        let mut history = vec![data.clone()];
        for op in &self.ops {
            op.apply(&mut data);
            history.push(data.clone());
        }
        let last = if end == End::Drained { self.acked } else { self.ops.len() };
        let allowed = &history[self.acked..=last];
        if allowed.contains(seen) {
            return Ok(());
        }
        if history[last..].contains(seen) {
            let text = format!("done and not answered; {}", self.describe(seen));
            return anomaly(Kind::Phantom, text);
        }
        for key in history.iter().flat_map(Data::keys).chain(seen.keys()) {
            let value = seen.get(key);
            if allowed.iter().any(|data| data.get(key) == value) {
                continue;
            }
            let before = history.iter().any(|data| data.get(key) == value);
            let gone = allowed.iter().all(|data| !data.contains_key(key));
            let kind = match value {
                None => Kind::LostAck,
                Some(_) if before && gone => Kind::Resurrected,
                Some(_) if before => Kind::LostAck,
                Some(_) => Kind::Phantom,
            };
            return anomaly(kind, format!("{key} is {value:?}; {}", self.describe(seen)));
        }
        anomaly(Kind::Torn, self.describe(seen))
    }

    fn describe(&self, seen: &Data) -> String {
        let near = &self.ops[self.acked.saturating_sub(6)..];
        let (db, acked) = (self.db, self.acked.min(6));
        format!("db {db} is {seen:?}; the last operations, {acked} of them answered: {near:#?}")
    }

    pub(crate) fn settle(&mut self, seen: Data) {
        *self = Self { base: seen, ..Self::new(self.db) };
    }
}
