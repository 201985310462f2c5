//! Keys with a time to live, written and read by one client. The clocks of test and server are
//! one, so the moment of expiry is known within the time between sending and reply.

use rand::RngExt;
use rand::rngs::StdRng;

use crate::anomaly::{Anomaly, Checked, End, Kind, anomaly};
use crate::common::client::Client;
use crate::common::resp::Reply;
use crate::common::wait::wall_ms;

/// A server may round its clock down this much …
const LATE_MS: i64 = 5;
/// … and be ahead this much after a restart: replies never use a time later than the log's
/// `now_through`, and a restart begins there. It must not add up over restarts.
const EARLY_MS: i64 = 250;

const KEYS: usize = 8;

#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) value: String,
    pub(crate) sent: i64,
    /// When it was there at the latest; unknown for the one under way at the crash.
    pub(crate) acked: Option<i64>,
    pub(crate) ttl_ms: i64,
    /// It was seen expired.
    pub(crate) gone: bool,
}

impl Lease {
    fn earliest_end(&self) -> i64 {
        self.sent + self.ttl_ms - EARLY_MS
    }

    fn latest_end(&self) -> i64 {
        self.acked.unwrap_or(self.sent) + self.ttl_ms + LATE_MS
    }
}

/// A read of one key: its value and PTTL, in one MULTI, between two times.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) began: i64,
    pub(crate) ended: i64,
    pub(crate) value: Option<String>,
    pub(crate) pttl: i64,
}

/// One key: the lease that is known to hold, and perhaps one that was not answered.
#[derive(Clone, Default)]
pub(crate) struct Slot {
    pub(crate) known: Option<Lease>,
    pub(crate) pending: Option<Lease>,
}

impl Slot {
    /// The checker.
    pub(crate) fn check(&self, read: &Read) -> Checked {
        match &read.value {
            Some(value) => self.check_visible(value, read),
            None => self.check_missing(read),
        }
    }

    fn check_visible(&self, value: &str, read: &Read) -> Checked {
        let leases = [&self.known, &self.pending];
        let Some(lease) = leases.into_iter().flatten().find(|lease| lease.value == value) else {
            let kind = if value.starts_with("lease") { Kind::LostAck } else { Kind::Phantom };
            return anomaly(kind, format!("an older value: {read:?}, known {:?}", self.known));
        };
        if lease.gone {
            return anomaly(Kind::Resurrected, format!("was expired: {read:?} of {lease:?}"));
        }
        if read.began > lease.latest_end() {
            return anomaly(Kind::Resurrected, format!("past its time: {read:?} of {lease:?}"));
        }
        let least = lease.earliest_end() - read.ended;
        let most = lease.latest_end() - read.began;
        if read.pttl < least.max(0) || read.pttl > most {
            let text = format!("PTTL not within {least}..={most}: {read:?} of {lease:?}");
            return anomaly(Kind::WrongReply, text);
        }
        Ok(())
    }

    fn check_missing(&self, read: &Read) -> Checked {
        let may_be_over = |lease: &Lease| lease.gone || read.ended >= lease.earliest_end();
        match (&self.known, &self.pending) {
            (None, _) => Ok(()),
            (Some(known), pending)
                if may_be_over(known) || pending.as_ref().is_some_and(may_be_over) =>
            {
                Ok(())
            }
            (Some(known), _) => {
                anomaly(Kind::LostAck, format!("gone too early: {known:?} {read:?}"))
            }
        }
    }

    /// What a checked read decides: which lease holds, and whether it is over.
    pub(crate) fn learn(&mut self, read: &Read) {
        let taken = |lease: &Lease| read.value.as_ref() == Some(&lease.value);
        if self.pending.as_ref().is_some_and(taken) {
            self.known = self.pending.take();
        }
        self.pending = None;
        if let (Some(known), None) = (&mut self.known, &read.value) {
            known.gone = true;
        }
    }
}

#[derive(Clone, Default)]
pub(crate) struct Expiries {
    pub(crate) slots: [Slot; KEYS],
}

fn key(n: usize) -> String {
    format!("lease:{n}")
}

impl Expiries {
    /// Sets and reads until the connection ends.
    pub(crate) fn work(&mut self, mut client: Client, mut rng: StdRng, round: u32) -> Checked {
        for n in 0.. {
            let at = rng.random_range(0..KEYS);
            let went_on = if rng.random_bool(0.4) {
                // Even keys live long and must survive, odd ones are over within the round.
                let ttl_ms = if at.is_multiple_of(2) { 600_000 } else { rng.random_range(5..80) };
                self.set(
                    &mut client,
                    at,
                    format!("lease {round}.{n}"),
                    ttl_ms,
                    rng.random_bool(0.3),
                )?
            } else {
                self.look(&mut client, at)?
            };
            if !went_on {
                break;
            }
        }
        Ok(())
    }

    fn set(
        &mut self,
        client: &mut Client,
        at: usize,
        value: String,
        ttl_ms: i64,
        in_two: bool,
    ) -> Result<bool, Anomaly> {
        let lease = Lease { value, sent: wall_ms(), acked: None, ttl_ms, gone: false };
        self.slots[at].pending = Some(lease.clone());
        let reply = if in_two {
            client.queue(&["MULTI"]);
            client.queue(&["SET", &key(at), &lease.value]);
            client.queue(&["PEXPIRE", &key(at), &ttl_ms.to_string()]);
            client.queue(&["EXEC"]);
            let sent = client.flush();
            sent.and_then(|()| (0..3).try_for_each(|_| client.read().map(drop)))
                .and_then(|()| client.read())
        } else {
            client.call(&["SET", &key(at), &lease.value, "PX", &ttl_ms.to_string()])
        };
        let Ok(reply) = reply else { return Ok(false) };
        let done = Reply::Array(vec![Reply::ok(), Reply::Int(1)]);
        if reply == Reply::ok() || reply == done {
            let acked = Some(wall_ms());
            self.slots[at] = Slot { known: Some(Lease { acked, ..lease }), pending: None };
            return Ok(true);
        }
        self.slots[at].pending = None;
        if reply.error_code().as_deref() == Some("NOTCOMMITTED") {
            return Ok(false);
        }
        anomaly(Kind::WrongReply, format!("{lease:?}: {reply:?}"))
    }

    fn look(&mut self, client: &mut Client, at: usize) -> Result<bool, Anomaly> {
        let Some(read) = read(client, at) else {
            return Ok(false);
        };
        self.slots[at].check(&read)?;
        self.slots[at].learn(&read);
        Ok(true)
    }

    /// After a restart: all keys, against what was known when the server ended.
    pub(crate) fn check_all(&mut self, client: &mut Client, end: End, ended: i64) -> Checked {
        for at in 0..KEYS {
            let slot = &mut self.slots[at];
            match end {
                End::Drained => slot.pending = None,
                // It took effect before the crash or never.
                End::Crash => slot.pending.iter_mut().for_each(|p| p.acked = Some(ended)),
            }
            if !self.look(client, at)? {
                return anomaly(Kind::WrongReply, "no reply after the restart");
            }
        }
        Ok(())
    }
}

fn read(client: &mut Client, at: usize) -> Option<Read> {
    let began = wall_ms();
    client.queue(&["MULTI"]);
    client.queue(&["GET", &key(at)]);
    client.queue(&["PTTL", &key(at)]);
    client.queue(&["EXEC"]);
    client.flush().ok()?;
    for _ in 0..3 {
        client.read().ok()?;
    }
    let reply = client.read().ok()?;
    if reply.is_error() {
        return None;
    }
    let items = reply.items();
    Some(Read { began, ended: wall_ms(), value: items[0].text(), pttl: items[1].int() })
}
