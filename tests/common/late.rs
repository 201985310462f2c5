//! An S3 on which listings are late and new objects show late, as much as a store may: a gate before
//! one that is not. Of each name the seed decides how late; who creates it is decided at once.

use super::gate::{self, Verdict};
use super::{seed, wait};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const NOT_FOUND: &str = "<Error><Code>NoSuchKey</Code></Error>";

/// What a listing says of one object is between these.
const ENTRY: [&str; 2] = ["<Contents>", "</Contents>"];

/// When each name was first sent to be created.
#[derive(Clone)]
struct Names {
    seed: u64,
    since: Arc<Mutex<HashMap<String, Instant>>>,
}

impl Names {
    fn created(&self, name: &str) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.entry(name.to_owned()).or_insert_with(wait::now);
    }

    /// Whether it is too early for this name to show in answers of this kind.
    fn hides(&self, name: &str, kind: &str) -> bool {
        let since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.get(name).is_some_and(|since| since.elapsed() < self.lag(name, kind))
    }

    /// Half are there at once, some are seconds late.
    fn lag(&self, name: &str, kind: &str) -> Duration {
        let hash = u64::from(crc32c::crc32c(format!("{}:{kind}:{name}", self.seed).as_bytes()));
        let range_ms = match hash % 8 {
            0..4 => 1,
            4 | 5 => 200,
            6 => 1000,
            _ => 3000,
        };
        Duration::from_millis(hash / 8 % range_ms)
    }

    /// A listing without what it is too early for.
    fn cut(&self, listing: &str) -> String {
        let [begin, end] = ENTRY;
        let mut pieces = listing.split(begin);
        let mut kept = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let key = piece.split("<Key>").nth(1).and_then(|rest| rest.split('<').next());
            let hidden = key.is_some_and(|key| self.hides(key, "listed"));
            match piece.split_once(end) {
                Some((_, rest)) if hidden => kept.push_str(rest),
                _ => kept.extend([begin, piece]),
            }
        }
        kept
    }
}

/// The address of an S3 that is late.
pub(crate) fn before(server: SocketAddr) -> SocketAddr {
    let names = Names { seed: seed::from_env_or(1), since: Arc::default() };
    gate::before(server, move |request| {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        // Behind the bucket.
        let name = path.trim_start_matches('/').split_once('/').map_or("", |(_, name)| name);
        match request.method.as_str() {
            "GET" if query.contains("list-type=2") => {
                let names = names.clone();
                Verdict::PassesChanged(Box::new(move |listing| names.cut(&listing)))
            }
            "GET" | "HEAD" if names.hides(name, "read") => {
                Verdict::Answered(404, "application/xml", NOT_FOUND.to_owned())
            }
            "PUT" | "POST" if !name.is_empty() => {
                names.created(name);
                Verdict::Passes
            }
            _ => Verdict::Passes,
        }
    })
}
