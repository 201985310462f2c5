//! The flusher: brings groups to the store, several at a time, acknowledged in order.
//!
//! While creates are under way new transactions gather in the next group, so throughput
//! doesn't depend on the store's latency. On a slow store it pays to wait a little for more that
//! are about to come, see [`Gathering`].
//!
//! What it does when the store doesn't answer, or not as it should:
//!
//! | the store                      | the node                                             |
//! |--------------------------------|------------------------------------------------------|
//! | fails, times out               | repeats the create (in `ResilientStore::create`)      |
//! | … until the commit deadline    | drops what wasn't sent (`NOTCOMMITTED`), says `UNCERTAIN` to what was, refuses new writes, repeats on |
//! | answers again                  | acknowledges the sent groups, takes writes again      |
//! | will never take the object     | seals the name itself, so that it is certain; falls back to the visible state; goes on under a new node id |
//! | has another's object there     | was replaced: pending writes are `UNCERTAIN`, stops   |
//! | acknowledges, a lease too late | believes it once it has made sure that the store is still its own |

use super::Engine;
use super::core::{Core, Departure, Health};
use crate::layout::{Header, Kind, ObjectName};
use crate::storage::StoreError;
use crate::storage::resilient::Decided;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Sleep;

/// Why the engine had to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped(pub String);

/// A group on its way.
struct Flight {
    create: Pin<Box<dyn Future<Output = Decided> + Send>>,
    decided: Option<Decided>,
    name: ObjectName,
    seq: u64,
    nonce: u128,
    sent_at: Duration,
}

/// Runs until the node has to stop.
pub(super) async fn run(engine: &Engine) -> Stopped {
    let limits = engine.store.limits();
    let in_flight_max = match engine.options.groups_in_flight_max {
        0 => limits.creates_in_flight,
        some => some.min(limits.creates_in_flight),
    }
    .max(1);
    let mut flights: VecDeque<Flight> = VecDeque::new();
    let mut alarm = Alarm::new();
    let mut gathering = Gathering::new();
    loop {
        let room = in_flight_max - flights.len();
        let look = engine.with_core(|core| Look::at(core, room, &mut gathering, flights.len()));
        for departure in look.departures {
            flights.push_back(launch(engine, departure, in_flight_max as u32));
        }
        if flights.is_empty() && look.log_is_to_end {
            if let Err(stopped) = roll(engine).await {
                return stopped;
            }
            continue;
        }
        let Some(oldest) = flights.front() else {
            match gathering.began {
                Some(_) => (&mut gathering.sleep).await,
                None => engine.work.notified().await,
            }
            continue;
        };
        let sent_at = oldest.sent_at;
        let due = sent_at + engine.commit_deadline();
        let rings_at = if look.serving { due } else { look.now + REASON_EVERY };
        alarm.set(look.now, rings_at);
        tokio::select! {
            biased;
            decided = first_decided(&mut flights) => {
                gathering.learn(engine.clock.monotonic().saturating_sub(sent_at));
                if let Err(stopped) = land(engine, &mut flights, decided).await {
                    return stopped;
                }
            }
            () = &mut gathering.sleep, if gathering.began.is_some() => {}
            () = engine.work.notified(),
                if gathering.began.is_none() && flights.len() < in_flight_max && look.serving => {}
            () = &mut alarm.sleep => {
                // Whoever changes the setting means those who wait, too.
                if !look.serving {
                    let why = why_unanswered(engine);
                    engine.with_core(|core| core.still_refuses(why));
                } else if engine.clock.monotonic() >= sent_at + engine.commit_deadline() {
                    refuse(engine);
                }
            }
        }
    }
}

/// While writes are refused it is looked so often for what the store says of it by now.
const REASON_EVERY: Duration = Duration::from_secs(1);

/// What a turn needs to know of the state, in one look.
struct Look {
    departures: Vec<Departure>,
    log_is_to_end: bool,
    serving: bool,
    now: Duration,
}

impl Look {
    fn at(core: &mut Core, room: usize, gathering: &mut Gathering, in_flight: usize) -> Self {
        let departing = if gathering.goes_on(core, room, in_flight) { 0 } else { room };
        Self {
            departures: (0..departing).map_while(|_| core.depart()).collect(),
            log_is_to_end: core.log_is_to_end(),
            serving: *core.health() == Health::Serving,
            now: core.monotonic(),
        }
    }
}

/// When a group is acknowledged all who waited for it go on at once, and what they send next comes
/// one after the other. The first of it alone would take a place among the groups that may be under way,
/// and all others would wait until the store has answered, for many times as long as it takes them
/// to come. So while others are under way a group is held as long as it grows.
struct Gathering {
    /// What a group takes lately, from its departure to its turn.
    usual: Duration,
    /// Since when one is held, and how much was pending at the last look, in bytes.
    began: Option<(Duration, usize)>,
    /// Until the next look.
    sleep: Pin<Box<Sleep>>,
}

impl Gathering {
    /// A group that has not grown for so long leaves.
    const LOOK_EVERY: Duration = Duration::from_millis(1);
    /// It is held for this share of what a group takes, at the most: where that is less than it takes
    /// to look a few times, the store is fast, and nothing is held.
    const SHARE: u32 = 4;
    const SHORTEST: Duration = Duration::from_millis(4);

    fn new() -> Self {
        let sleep = Box::pin(tokio::time::sleep(Duration::ZERO));
        Self { usual: Duration::ZERO, began: None, sleep }
    }

    /// A group has taken so long.
    fn learn(&mut self, took: Duration) {
        self.usual = (self.usual * 7 + took) / 8;
    }

    /// Whether what waits to be sent is held for now.
    fn goes_on(&mut self, core: &Core, room: usize, in_flight: usize) -> bool {
        let (now, pending) = (core.monotonic(), core.pending_bytes());
        let longest = self.usual / Self::SHARE;
        let still = match self.began {
            // It may have been dropped meanwhile.
            _ if room == 0 || !core.has_unsent() => false,
            None => in_flight > 0 && longest >= Self::SHORTEST,
            Some(_) if !self.sleep.is_elapsed() => return true,
            // What was acknowledged meanwhile is pending no more: there will be an answer to that.
            Some((since, seen)) => pending != seen && now < since + longest,
        };
        if !still {
            self.began = None;
            return false;
        }
        let since = self.began.map_or(now, |(since, _)| since);
        self.began = Some((since, pending));
        self.sleep.set(tokio::time::sleep(Self::LOOK_EVERY));
        true
    }
}

/// A timer for the deadline of whatever group is the oldest. Almost all are in time, so it is
/// not set for each: it may ring early, and is then set to what has become due.
struct Alarm {
    sleep: Pin<Box<Sleep>>,
    rings_at: Duration,
}

impl Alarm {
    fn new() -> Self {
        Self { sleep: Box::pin(tokio::time::sleep(Duration::ZERO)), rings_at: Duration::MAX }
    }

    /// Sees to it that it rings at `due` or before.
    fn set(&mut self, now: Duration, due: Duration) {
        if self.sleep.is_elapsed() || self.rings_at > due {
            self.sleep.set(tokio::time::sleep(due.saturating_sub(now)));
            self.rings_at = due;
        }
    }
}

/// Sends a group.
fn launch(engine: &Engine, departure: Departure, window: u32) -> Flight {
    let Departure { seq, node, builder, sent_at, .. } = departure;
    let nonce = engine.nonce();
    let mut header = Header::new(Kind::Group, nonce, node, seq);
    header.acked_through = departure.acked_through;
    header.window = window;
    header.largest_commit = departure.largest_commit;
    header.wall_ms = engine.clock.wall_ms();
    header.now_through_ms = departure.now_through_ms;
    header.oldest_snapshot = departure.oldest_snapshot;
    header.base = departure.base;
    let (_, object) = builder.finish(header);
    let name = ObjectName::Log(node, seq);
    let store = Arc::clone(&engine.store);
    let create = async move { store.create(&name.text(), object, nonce).await };
    Flight { create: Box::pin(create), decided: None, name, seq, nonce, sent_at }
}

/// Sends the first group of a log, before anything is served.
pub(super) async fn send_first(engine: &Engine, departure: Departure) -> Result<(), StoreError> {
    let flight = launch(engine, departure, engine.store.limits().creates_in_flight as u32);
    match flight.create.await {
        Decided::Ours => Ok(()),
        Decided::Theirs(_) => Err(StoreError::Fatal(format!(
            "{} was taken by another node: is this store used twice?",
            flight.name
        ))),
        Decided::Rejected(why) | Decided::Fatal(why) => Err(StoreError::Fatal(why)),
    }
}

/// Polls all flights; answers when the fate of the oldest is known. The others keep
/// theirs until it is their turn: groups are acknowledged strictly in sequence.
async fn first_decided(flights: &mut VecDeque<Flight>) -> Decided {
    poll_fn(|context| {
        for flight in flights.iter_mut().filter(|flight| flight.decided.is_none()) {
            if let Poll::Ready(decided) = flight.create.as_mut().poll(context) {
                flight.decided = Some(decided);
            }
        }
        match flights.front_mut().and_then(|oldest| oldest.decided.take()) {
            Some(decided) => Poll::Ready(decided),
            None => Poll::Pending,
        }
    })
    .await
}

/// Draws the consequences of the oldest group's fate.
async fn land(
    engine: &Engine,
    flights: &mut VecDeque<Flight>,
    decided: Decided,
) -> Result<(), Stopped> {
    let Some(flight) = flights.pop_front() else {
        return Ok(());
    };
    match decided {
        Decided::Ours => {
            believe(engine).await?;
            acknowledge(engine, flights);
            Ok(())
        }
        Decided::Rejected(why) => seal_own(engine, flights, flight, why).await,
        Decided::Theirs(header) => Err(fence(
            engine,
            format!(
                "{} was taken by another node ({:?}): this node was replaced",
                flight.name, header.kind
            ),
        )),
        Decided::Fatal(why) => Err(fence(engine, why)),
    }
}

/// Makes sure that what the store acknowledges counts. When our lease is over somebody may have
/// closed our log, and compacted it away with the seal in it: then the store takes again what no
/// log holds.
async fn believe(engine: &Engine) -> Result<(), Stopped> {
    let (holds, node) = engine.with_core(|core| (core.lease_holds(), core.node()));
    if holds {
        return Ok(());
    }
    match patiently(engine, engine.renew(node)).await {
        Ok(()) => Ok(()),
        Err(error) => Err(fence(engine, format!("this node was replaced: {error}"))),
    }
}

fn acknowledge(engine: &Engine, flights: &mut VecDeque<Flight>) {
    let (recovered, compaction_is_called) = engine.with_core(|core| {
        core.acknowledge();
        let refusing = matches!(core.health(), Health::Refusing(_));
        core.serve();
        (refusing, core.compaction_is_called())
    });
    if compaction_is_called {
        engine.compaction_called.notify_one();
    }
    if recovered {
        tracing::warn!("the store answers again: writes are taken again");
        // The others' time of grace begins anew: they were stuck behind the same outage.
        let now = engine.clock.monotonic();
        flights.iter_mut().for_each(|flight| flight.sent_at = now);
    }
}

fn why_unanswered(engine: &Engine) -> String {
    engine.store.last_failure().unwrap_or_else(|| "no answer".to_owned())
}

/// The commit deadline has passed.
fn refuse(engine: &Engine) {
    let why = why_unanswered(engine);
    tracing::error!(%why, "the store did not acknowledge in time: writes are refused until it does");
    engine.with_core(|core| core.refuse(why));
}

/// The store will never take this group. To make that certain the node puts a seal in its
/// place, ends its log there and goes on with a new one.
async fn seal_own(
    engine: &Engine,
    flights: &mut VecDeque<Flight>,
    refused: Flight,
    why: String,
) -> Result<(), Stopped> {
    tracing::error!(name = %refused.name, %why, "the store refused a group");
    let seal = engine.with_core(|core| engine.own_seal(core, refused.seq));
    match patiently(engine, engine.create_marker(&refused.name.text(), seal)).await {
        Decided::Ours => {}
        // An earlier attempt had arrived after all.
        Decided::Theirs(header) if header.nonce == refused.nonce => {
            believe(engine).await?;
            acknowledge(engine, flights);
            return Ok(());
        }
        Decided::Theirs(_) => {
            return Err(fence(engine, format!("{} was taken by another node", refused.name)));
        }
        Decided::Rejected(why) | Decided::Fatal(why) => return Err(fence(engine, why)),
    }
    // Whoever was replaced, and stood still for so long that the name had become free again, does
    // not know what the new owner found there.
    believe(engine).await?;
    // Whatever of these arrives still lies behind the seal: it never counts.
    flights.clear();
    let next = patiently(engine, engine.next_log()).await;
    engine.with_core(|core| {
        core.restart_as(next);
        core.serve();
    });
    Ok(())
}

/// Closes the log behind all that is acknowledged and goes on in the next, so that it can be
/// compacted. Commits wait for as long as the seal takes.
async fn roll(engine: &Engine) -> Result<(), Stopped> {
    let seal = engine.with_core(|core| engine.own_seal(core, core.next_acked_seq()));
    let name = ObjectName::Log(seal.node, seal.number).to_string();
    match patiently(engine, engine.create_marker(&name, seal)).await {
        Decided::Ours => {}
        // The log goes on; whoever wants it closed asks again.
        Decided::Rejected(why) => {
            tracing::warn!(%name, %why, "the log could not be closed");
            engine.with_core(|core| {
                core.give_up_rolling();
                core.serve();
            });
            return Ok(());
        }
        // The node ends, and its last seal was faster: there is no other log to go on in.
        Decided::Theirs(_) if engine.with_core(|core| core.is_closed()) => {
            std::future::pending().await
        }
        Decided::Theirs(_) => {
            return Err(fence(engine, format!("{name} was taken by another node")));
        }
        Decided::Fatal(why) => return Err(fence(engine, why)),
    }
    let next = engine.next_log().await;
    engine.with_core(|core| {
        core.roll_to(next);
        core.serve();
    });
    engine.rolled.notify_one();
    Ok(())
}

/// Waits for what a log of our own needs; those who wait with us get their answer when the
/// commit deadline has passed, and not only when the store is back.
async fn patiently<T>(engine: &Engine, needed: impl Future<Output = T>) -> T {
    let mut needed = std::pin::pin!(needed);
    match tokio::time::timeout(engine.commit_deadline(), &mut needed).await {
        Ok(done) => done,
        Err(_) => {
            refuse(engine);
            needed.await
        }
    }
}

pub(super) fn fence(engine: &Engine, why: String) -> Stopped {
    tracing::error!(%why, "this node can't go on");
    engine.with_core(|core| core.fence(why.clone()));
    Stopped(why)
}
