//! Keys that several clients write: counters (INCR), and pairs written by MSET that must always
//! be equal. With several writers the last one isn't known, but real time orders those that did
//! not overlap: a value that was over before an acknowledged one began can't be the last.

use std::collections::{HashMap, HashSet};
use std::io;
use std::time::Instant;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::anomaly::{Anomaly, Checked, End, Kind, anomaly};
use crate::common::client::Client;
use crate::common::resp::Reply;
use crate::common::wait;

pub(crate) const COUNTERS: usize = 3;
pub(crate) const PAIRS: usize = 3;

/// One write of a pair, or one sight of it.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) pair: usize,
    pub(crate) value: String,
    pub(crate) began: Instant,
    pub(crate) acked: Option<Instant>,
}

/// What one client did or saw in one round.
#[derive(Clone, Default)]
pub(crate) struct Trace {
    pub(crate) attempted: [i64; COUNTERS],
    /// The replies to INCR.
    pub(crate) counted: [Vec<i64>; COUNTERS],
    pub(crate) writes: Vec<Write>,
    /// Readers: the largest count seen, and values seen with the time when they were.
    pub(crate) seen_count: [i64; COUNTERS],
    pub(crate) seen_pairs: Vec<(usize, String, Instant)>,
}

/// What holds when no client is at work, and what the clients did since.
#[derive(Clone, Default)]
pub(crate) struct Shared {
    pub(crate) counts: [i64; COUNTERS],
    pub(crate) pairs: [Option<String>; PAIRS],
    pub(crate) traces: Vec<Trace>,
}

#[derive(Clone, Debug)]
pub(crate) struct SharedSeen {
    pub(crate) counts: [i64; COUNTERS],
    pub(crate) pairs: [(Option<String>, Option<String>); PAIRS],
}

fn counter(n: usize) -> String {
    format!("counter:{n}")
}

fn halves(n: usize) -> [String; 2] {
    [format!("pair:{n}:left"), format!("pair:{n}:right")]
}

/// Writes until the connection ends.
pub(crate) fn work(mut client: Client, mut rng: StdRng, name: &str) -> Result<Trace, Anomaly> {
    let mut trace = Trace::default();
    for n in 0.. {
        let went_on = if rng.random_bool(0.5) {
            count(&mut client, &mut trace, rng.random_range(0..COUNTERS))?
        } else {
            let value = format!("{name}:{n}");
            write_pair(&mut client, &mut trace, rng.random_range(0..PAIRS), value)?
        };
        if !went_on {
            break;
        }
    }
    Ok(trace)
}

fn count(client: &mut Client, trace: &mut Trace, n: usize) -> Result<bool, Anomaly> {
    trace.attempted[n] += 1;
    match client.call(&["INCR", &counter(n)]) {
        Err(_) => Ok(false),
        Ok(Reply::Int(value)) => {
            trace.counted[n].push(value);
            Ok(true)
        }
        Ok(reply) if refused(&reply) => {
            trace.attempted[n] -= 1;
            Ok(false)
        }
        Ok(reply) => anomaly(Kind::WrongReply, format!("INCR: {reply:?}")),
    }
}

fn write_pair(
    client: &mut Client,
    trace: &mut Trace,
    pair: usize,
    value: String,
) -> Result<bool, Anomaly> {
    let [left, right] = halves(pair);
    let mut write = Write { pair, value, began: wait::now(), acked: None };
    let reply = client.call(&["MSET", &left, &write.value, &right, &write.value]);
    write.acked = Some(wait::now());
    match reply {
        Ok(reply) if reply == Reply::ok() => {
            trace.writes.push(write);
            Ok(true)
        }
        Err(_) => {
            trace.writes.push(Write { acked: None, ..write });
            Ok(false)
        }
        Ok(reply) if refused(&reply) => Ok(false),
        Ok(reply) => anomaly(Kind::WrongReply, format!("MSET: {reply:?}")),
    }
}

fn refused(reply: &Reply) -> bool {
    reply.error_code().as_deref() == Some("NOTCOMMITTED")
}

/// Reads until the connection ends. What it is shown must outlast a crash like an own write.
pub(crate) fn watch(mut client: Client) -> Result<Trace, Anomaly> {
    let mut trace = Trace::default();
    loop {
        let Ok(seen) = read_all(&mut client) else {
            return Ok(trace);
        };
        let at = wait::now();
        for (n, count) in seen.counts.into_iter().enumerate() {
            if count < trace.seen_count[n] {
                return anomaly(Kind::Resurrected, format!("counter {n} went back to {count}"));
            }
            trace.seen_count[n] = count;
        }
        for (n, (left, right)) in seen.pairs.into_iter().enumerate() {
            if left != right {
                return anomaly(Kind::Torn, format!("pair {n} is {left:?}, {right:?}"));
            }
            let is_last = |known: &&(usize, String, Instant)| known.0 == n;
            let last = trace.seen_pairs.iter().rev().find(is_last).map(|known| &known.1);
            if left.as_ref() != last {
                trace.seen_pairs.extend(left.map(|value| (n, value, at)));
            }
        }
    }
}

pub(crate) fn observe(client: &mut Client) -> SharedSeen {
    read_all(client).expect("a server that is up")
}

fn read_all(client: &mut Client) -> io::Result<SharedSeen> {
    let mut args = vec!["MGET".to_owned()];
    args.extend((0..COUNTERS).map(counter));
    args.extend((0..PAIRS).flat_map(halves));
    let reply = client.call(&args)?;
    if reply.is_error() {
        return Err(io::Error::other(format!("{reply:?}")));
    }
    let (counts, pairs) = reply.items().split_at(COUNTERS);
    let count = |n: usize| counts[n].text().map_or(0, |text| text.parse().expect("a count"));
    let pair = |n: usize| (pairs[2 * n].text(), pairs[2 * n + 1].text());
    Ok(SharedSeen { counts: std::array::from_fn(count), pairs: std::array::from_fn(pair) })
}

impl Shared {
    pub(crate) fn check(&self, seen: &SharedSeen, end: End) -> Checked {
        for n in 0..COUNTERS {
            self.check_counter(n, seen.counts[n], end)?;
        }
        for (n, (left, right)) in seen.pairs.iter().enumerate() {
            if left != right {
                return anomaly(Kind::Torn, format!("pair {n} is {left:?}, {right:?}"));
            }
            self.check_pair(n, left.as_ref(), end)?;
        }
        Ok(())
    }

    fn check_counter(&self, n: usize, last: i64, end: End) -> Checked {
        let replies: Vec<i64> =
            self.traces.iter().flat_map(|trace| &trace.counted[n]).copied().collect();
        let acked = i64::try_from(replies.len()).expect("a count");
        let attempted: i64 = self.traces.iter().map(|trace| trace.attempted[n]).sum();
        let most = if end == End::Drained { acked } else { attempted };
        let distinct: HashSet<i64> = replies.iter().copied().collect();
        if distinct.len() < replies.len() {
            return anomaly(Kind::WrongReply, format!("counter {n}: two INCR got the same count"));
        }
        let shown = self.traces.iter().map(|trace| trace.seen_count[n]);
        let shown = shown.chain(replies).max().unwrap_or(0);
        let base = self.counts[n];
        if last < (base + acked).max(shown) {
            let text = format!("counter {n} is {last}: it was {base} + {acked}, shown {shown}");
            return anomaly(Kind::LostAck, text);
        }
        if last > base + most {
            let text = format!("counter {n} is {last}: {base} and at most {most} more");
            return anomaly(Kind::Phantom, text);
        }
        Ok(())
    }

    fn check_pair(&self, n: usize, last: Option<&String>, end: End) -> Checked {
        let ends = self.known_ends(n);
        let writes = || self.traces.iter().flat_map(|trace| &trace.writes).filter(|w| w.pair == n);
        // When the value that is there was over at the latest: before the load for the old one.
        let over = match writes().find(|write| Some(&write.value) == last) {
            Some(write) => match (ends.get(write.value.as_str()), end) {
                (Some(&over), _) => Some(over),
                (None, End::Crash) => return Ok(()),
                (None, End::Drained) => {
                    return anomaly(Kind::Phantom, format!("not answered, yet there: {write:?}"));
                }
            },
            None if last == self.pairs[n].as_ref() => None,
            None => return anomaly(Kind::Phantom, format!("pair {n} is {last:?}")),
        };
        let later = writes().find(|write| {
            ends.contains_key(write.value.as_str()) && over.is_none_or(|over| write.began > over)
        });
        match later {
            Some(write) => {
                let text = format!("pair {n} is {last:?}, older than the known {write:?}");
                anomaly(Kind::LostAck, text)
            }
            None => Ok(()),
        }
    }

    /// When each value was surely written: its reply, or the first time that a reader had it.
    fn known_ends(&self, pair: usize) -> HashMap<&str, Instant> {
        let mut ends: HashMap<&str, Instant> = HashMap::new();
        for trace in &self.traces {
            let acked = trace.writes.iter().filter(|write| write.pair == pair);
            let acked = acked.filter_map(|write| Some((write.value.as_str(), write.acked?)));
            let seen = trace.seen_pairs.iter().filter(|(n, ..)| *n == pair);
            let seen = seen.map(|(_, value, at)| (value.as_str(), *at));
            for (value, at) in acked.chain(seen) {
                let end = ends.entry(value).or_insert(at);
                *end = at.min(*end);
            }
        }
        ends
    }

    /// What was seen after a restart is what holds.
    pub(crate) fn settle(&mut self, seen: SharedSeen) {
        let pairs = seen.pairs.map(|(left, _)| left);
        *self = Self { counts: seen.counts, pairs, traces: Vec::new() };
    }
}
