//! Who may write to a store that several machines can reach: the owner of its newest view.
//!
//! ```text
//!   view/1  blue    is serving ── view/2  blue   (begins another log)
//!                                   └─ silent for a lease ── view/3  green  ── seals, serves
//!   view/4  nobody  (green has ended in order) ──────────── view/5  blue   ── serves
//! ```
//!
//! A view is decided by who creates it first. A start creates the next one before it writes
//! anything else, and then closes the logs there are: so of two starts one writes nothing but a
//! create that failed. The owner creates a further one
//!
//! - when it has drawn the id of a log, its first or another, before it writes there: else that log
//!   might be one that a successor, who has counted the logs, doesn't know of. And before a start
//!   closes the logs below: the node that has been faster may have one of them;
//! - before it believes an acknowledgement that came when its lease was over, and before it serves
//!   then: by then a successor may have compacted the log away, with the seal in it, and what was
//!   created behind it would be in nobody's log;
//! - now and then while it starts: it has no log yet that would grow.
//!
//! So whoever was stopped for any time, anywhere, finds out. When the owner may answer and a start
//! may serve, [`lease`](super::lease) says. An embedded store has its directory's lock and needs
//! none of this.

use super::lease::{Lease, Signs, Verdict, Watch};
use super::recovery::{Listed, OpenError, in_time, refuse_newer};
use super::{Engine, Stopped};
use crate::config::Succession;
use crate::layout::{FormatError, NodeId, ObjectName, Owner, View};
use crate::storage::StoreError;
use crate::storage::resilient::Decided;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How often a start that waits for the owner to end asks for the view that says so: one small
/// read, by its name.
const NEXT_VIEW_EVERY: Duration = Duration::from_millis(50);

/// The pause before a store that did not answer is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What a start on a shared store says of itself.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Who it is.
    pub owner: Owner,
    /// Its lease.
    pub lease: Duration,
    /// How it comes after the owner there is.
    pub succession: Succession,
    /// Whether it answers reads when its lease has run out.
    pub stale_reads: bool,
    /// Whether it could serve, where that is not yet sure: until then the store is left to others.
    pub ready: Option<watch::Receiver<bool>>,
}

/// A start's claim, and what has come of it.
#[derive(Debug)]
pub(super) struct Ownership {
    claim: Claim,
    /// The newest view that is ours; held while the next one is created.
    number: tokio::sync::Mutex<u64>,
    watched: Mutex<Option<Watched>>,
    /// The lease of an owner that was taken for dead on somebody's word.
    spared: Mutex<Option<Duration>>,
    /// From then on what earlier logs hold may be deleted: the monotonic time in milliseconds.
    delete_from_ms: AtomicU64,
    /// The store was given to whoever comes next, or was about to be.
    ended: AtomicBool,
}

/// What a start has seen of the owner before it.
#[derive(Debug, Clone)]
struct Watched {
    watch: Watch,
    /// The newest object of each log.
    known: BTreeMap<NodeId, u64>,
}

/// What a start has learned of the store's owners.
#[derive(Debug, Default)]
struct Learned {
    /// Some owner was seen alive.
    lives: bool,
    /// A view that was just read, whether a listing shows it or not.
    newest: Option<(u64, View)>,
}

/// What came of watching an owner.
enum Ending {
    Silent(Watched),
    /// It is alive, or another owns the store now, or nobody: the view that says so, if it was read.
    Alive(Option<(u64, View)>),
}

impl Ownership {
    pub(super) fn new(claim: Claim) -> Self {
        Self {
            claim,
            number: tokio::sync::Mutex::default(),
            watched: Mutex::default(),
            spared: Mutex::default(),
            delete_from_ms: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        }
    }

    pub(super) fn claim(&self) -> &Claim {
        &self.claim
    }

    fn view(&self, node: NodeId, released: bool) -> View {
        let lease_ms = self.claim.lease.as_millis() as u64;
        View { owner: self.claim.owner.clone(), node, lease_ms, released }
    }

    fn watched(&self) -> Option<Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes this process the owner of the store, or says why it can't be. Until it is, nothing
    /// is written. What is there by then has been listed.
    pub(super) async fn take(&self, engine: &Engine) -> Result<Listed, OpenError> {
        // Only to refuse what is of a newer format before anything is written.
        Listed::of(engine).await?;
        let mut learned = Learned::default();
        loop {
            match self.try_to_take(engine, &mut learned).await {
                Ok(Some(listed)) => return Ok(listed),
                Ok(None) => {}
                // Who waits for an owner has as much time as that one, which goes on in an outage.
                // If the last create has come to be, we wait for ourselves now: for a lease.
                Err(OpenError::Store(StoreError::Unavailable(why))) if self.waits() => {
                    tracing::warn!(%why, "the store can't be looked at: it is waited for");
                    sleep(AGAIN_AFTER).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether an owner that lives is waited for.
    fn waits(&self) -> bool {
        self.claim.succession == Succession::WhenItEnds
    }

    /// Takes the store if it is free; `None` says to look again.
    async fn try_to_take(
        &self,
        engine: &Engine,
        learned: &mut Learned,
    ) -> Result<Option<Listed>, OpenError> {
        let newest = match learned.newest.take() {
            None => newest_view(engine).await?,
            read => read,
        };
        let (number, watched) = match newest {
            None => (0, None),
            Some((number, view)) if view.released => (number, None),
            Some((number, view)) if self.claim.succession == Succession::AtOnce => {
                self.spare_logs_of(&view);
                (number, None)
            }
            Some((_, view)) if !self.waits() && learned.lives => {
                return Err(OpenError::Owned(Box::new(view.owner)));
            }
            Some((number, view)) => {
                if !learned.lives {
                    tracing::info!(owner = %view.owner, "waiting for a sign of the store's owner");
                }
                match self.watch(engine, number, &view).await? {
                    Ending::Silent(watched) => (number, Some(watched)),
                    // It is no longer what it was.
                    Ending::Alive(newest) => {
                        *learned = Learned { lives: true, newest };
                        return Ok(None);
                    }
                }
            }
        };
        if self.could_not_serve().await {
            return Ok(None);
        }
        *self.number.lock().await = number;
        // Listings may be late in any case, so this one need not wait for the view.
        let taking = in_time(engine, self.create(engine, 0, false));
        let (taken, listed) = tokio::join!(taking, Listed::of(engine));
        match taken?? {
            None => {
                *self.watched.lock().unwrap_or_else(PoisonError::into_inner) = watched;
                listed.map(Some)
            }
            // Another start was faster, or no listing has shown that view yet. It is looked at as any.
            Some((number, winner)) => {
                learned.newest = match winner {
                    Some(view) => Some(newest_unlisted(engine, (number, view)).await?),
                    // It has gone since: listings know of newer ones.
                    None => None,
                };
                Ok(None)
            }
        }
    }

    /// Returns when this process could serve; `true` if that had to be waited for, so that what is
    /// known of the owner may be old.
    async fn could_not_serve(&self) -> bool {
        let Some(mut ready) = self.claim.ready.clone() else { return false };
        if *ready.borrow() {
            return false;
        }
        tracing::warn!(
            "the store is free, but this node could not serve: it leaves it alone until it can"
        );
        // Nobody will say it any more: then it is not waited for.
        let _ = ready.wait_for(|ready| *ready).await;
        true
    }

    /// If the word was wrong that the owner has stopped, it has to find its log sealed: for as
    /// long as it may believe the store.
    fn spare_logs_of(&self, view: &View) {
        let lease = Duration::from_millis(view.lease_ms);
        *self.spared.lock().unwrap_or_else(PoisonError::into_inner) = Some(lease);
        self.delete_from_ms.store(u64::MAX, Ordering::Relaxed);
    }

    /// Whether what earlier logs hold may be deleted.
    pub(super) fn may_delete(&self, now: Duration) -> bool {
        now.as_millis() as u64 >= self.delete_from_ms.load(Ordering::Relaxed)
    }

    /// Watches the owner of a view until something can be concluded. Who waits for it to end looks
    /// for the next view besides, whatever listings and reads of groups are under way.
    async fn watch(&self, engine: &Engine, number: u64, view: &View) -> Result<Ending, OpenError> {
        let next = async {
            loop {
                sleep(NEXT_VIEW_EVERY).await;
                if let Some(view) = read_view(engine, number + 1).await? {
                    return Ok(Ending::Alive(Some((number + 1, view))));
                }
            }
        };
        tokio::select! {
            biased;
            next = next, if self.waits() => next,
            ending = self.watch_signs(engine, number, view) => ending,
        }
    }

    async fn watch_signs(
        &self,
        engine: &Engine,
        number: u64,
        view: &View,
    ) -> Result<Ending, OpenError> {
        let mut known = BTreeMap::new();
        look(engine, &mut known).await?;
        let newest = |known: &BTreeMap<NodeId, u64>| {
            known.last_key_value().map_or((0, 0), |(&node, &seq)| (node, seq))
        };
        if let Some((&node, &seq)) = known.last_key_value() {
            refuse_newer(engine, ObjectName::Log(node, seq)).await?;
        }
        let signs = Signs { view: number, newest: newest(&known) };
        let lease = Duration::from_millis(view.lease_ms);
        let mut watch = Watch::begin(lease, signs, engine.clock.monotonic());
        loop {
            sleep(watch.look_every()).await;
            if self.waits() {
                engine.warm.read_ahead(engine).await;
            }
            let began = engine.clock.monotonic();
            let (newest_number, groups) =
                tokio::join!(newest_number(engine, number), look(engine, &mut known));
            if newest_number? != number {
                return Ok(Ending::Alive(None));
            }
            let groups = groups?;
            let signs = Signs { view: number, newest: newest(&known) };
            match watch.look(signs, began, engine.clock.monotonic()) {
                Verdict::Silent => return Ok(Ending::Silent(Watched { watch, known })),
                Verdict::Alive if self.claim.succession == Succession::AfterSilence => {
                    return Ok(Ending::Alive(None));
                }
                Verdict::Alive | Verdict::Wait => {}
            }
            if self.waits() {
                engine.warm.read(engine, groups).await;
            }
        }
    }

    /// Creates the next view, which says that the store is ours, or nobody's. `Some` if somebody
    /// else was first: the number of that one, and what it says if it is there still. Once it was to
    /// be nobody's this process takes it back no more.
    async fn create(
        &self,
        engine: &Engine,
        node: NodeId,
        released: bool,
    ) -> Result<Option<(u64, Option<View>)>, OpenError> {
        let mut newest = self.number.lock().await;
        if released {
            self.ended.store(true, Ordering::Relaxed);
        } else if self.ended.load(Ordering::Relaxed) {
            drop(newest);
            return std::future::pending().await;
        }
        let number = *newest + 1;
        let nonce = engine.nonce();
        let view = self.view(node, released);
        let object = view.encode(number, nonce, engine.clock.wall_ms());
        let name = ObjectName::View(number).text();
        let winner = match engine.store.create(&name, Bytes::from(object), nonce).await {
            Decided::Theirs(_) => Some(number),
            Decided::Rejected(why) | Decided::Fatal(why) => {
                return Err(StoreError::Fatal(why).into());
            }
            Decided::Ours if released => None,
            // The name may have been free because newer ones have been there for long.
            Decided::Ours => {
                Some(surely_newest(engine, number).await?).filter(|newest| *newest > number)
            }
        };
        if let Some(winner) = winner {
            return Ok(Some((winner, read_view(engine, winner).await?)));
        }
        *newest = number;
        Ok(None)
    }

    /// Says once more that the store is ours, with a new log or to find out whether it is.
    pub(super) async fn renew(&self, engine: &Engine, node: NodeId) -> Result<(), OpenError> {
        let sent_at = engine.clock.monotonic();
        match self.create(engine, node, false).await? {
            None => {
                engine.with_core(|core| core.owns_since(sent_at));
                Ok(())
            }
            Some((_, theirs)) => Err(OpenError::Outrun(Box::new(theirs.unwrap_or_default().owner))),
        }
    }

    /// The log is sealed: whoever starts next need not wait.
    pub(super) async fn release(&self, engine: &Engine, node: NodeId) {
        let released = self.create(engine, node, true).await;
        tracing::debug!(?released, "released the store");
    }

    /// Does what a start has to do, and shows meanwhile that it lives.
    pub(super) async fn while_starting<T, E: From<OpenError>>(
        &self,
        engine: &Engine,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let mut work = std::pin::pin!(work);
        loop {
            if let Ok(done) = timeout(self.claim.lease / 3, &mut work).await {
                return done;
            }
            // Both go on: the work may be about to create a view, too.
            let mut renewed = std::pin::pin!(in_time(engine, self.renew(engine, 0)));
            tokio::select! {
                biased;
                renewed = &mut renewed => renewed.map_err(OpenError::from)??,
                done = &mut work => {
                    renewed.await.map_err(OpenError::from)??;
                    return done;
                }
            }
        }
    }

    /// The logs there are have been closed, and `ends` is where this start has found those that
    /// nobody had closed before. Returns when the owner before has surely stopped to answer.
    pub(super) async fn wait_for_silence(&self, engine: &Engine, ends: &BTreeMap<NodeId, u64>) {
        let now = engine.clock.monotonic();
        if let Some(lease) = *self.spared.lock().unwrap_or_else(PoisonError::into_inner) {
            let until_ms = (now + lease).as_millis() as u64;
            self.delete_from_ms.store(until_ms, Ordering::Relaxed);
        }
        let Some(Watched { watch, known }) = self.watched() else { return };
        let unseen = |(node, end): (&NodeId, &u64)| {
            *end > 0 && known.get(node).is_none_or(|known| known < end)
        };
        let serve_at = watch.may_serve_at(!ends.iter().any(unseen), now);
        sleep(serve_at.saturating_sub(now)).await;
    }
}

/// For who fills a shared store: opened, and never run, an engine holds it.
impl Engine {
    /// Does work on the store, and keeps it ours meanwhile.
    ///
    /// # Errors
    /// The work failed, or somebody else has taken the store.
    pub async fn while_owner<T, E: From<OpenError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        match &self.ownership {
            Some(ownership) => ownership.while_starting(self, work).await,
            None => work.await,
        }
    }

    /// Makes sure that the store is ours, and so all that has been written until now.
    ///
    /// # Errors
    /// It is not, or that can't be told.
    pub async fn still_owns(&self) -> Result<(), OpenError> {
        in_time(self, self.renew(0)).await?
    }

    /// Gives the store up: whoever starts next need not wait.
    pub async fn give_up(&self) {
        if let Some(ownership) = &self.ownership {
            // Without an answer it is given up all the same, a lease later.
            let _ = in_time(self, ownership.release(self, 0)).await;
        }
    }
}

/// Sees to it that the log of an idle node grows.
pub(super) async fn show_life(engine: &Engine) -> Stopped {
    let length = engine.ownership.as_ref().map_or(Duration::MAX, |own| own.claim.lease);
    loop {
        sleep(Lease::look_every(length)).await;
        engine.with_core(|core| core.show_life());
    }
}

/// The newest objects of all logs, given those that are known; what is new of them.
async fn look(
    engine: &Engine,
    known: &mut BTreeMap<NodeId, u64>,
) -> Result<Vec<ObjectName>, StoreError> {
    let after = known.last_key_value().map(|(&node, &seq)| ObjectName::Log(node, seq).text());
    let listed = engine.store.list_after(ObjectName::LOGS, after.unwrap_or_default()).await?;
    let names: Vec<ObjectName> = listed.iter().filter_map(|name| name.parse().ok()).collect();
    for name in &names {
        if let ObjectName::Log(node, seq) = name {
            known.insert(*node, *seq);
        }
    }
    Ok(names)
}

/// The number of the newest view, which is `number` at least.
async fn newest_number(engine: &Engine, number: u64) -> Result<u64, StoreError> {
    let after = ObjectName::View(number).text();
    let listed = engine.store.list_after(ObjectName::VIEWS, after).await?;
    Ok(numbers(&listed).last().unwrap_or(number))
}

/// The same, however long the store takes: an owner that can't tell whether it still is one goes
/// on asking, as it goes on creating. (A start gives up in its own time.)
async fn surely_newest(engine: &Engine, number: u64) -> Result<u64, StoreError> {
    loop {
        match newest_number(engine, number).await {
            Err(StoreError::Unavailable(why)) => {
                tracing::warn!(%why, "can't tell yet who owns the store");
                sleep(AGAIN_AFTER).await;
            }
            known => return known,
        }
    }
}

/// The numbers of the views among these names.
pub(super) fn numbers(names: &[String]) -> impl Iterator<Item = u64> {
    names.iter().filter_map(|name| match name.parse() {
        Ok(ObjectName::View(number)) => Some(number),
        _ => None,
    })
}

/// The newest view that a listing shows, if there is one.
async fn newest_view(engine: &Engine) -> Result<Option<(u64, View)>, OpenError> {
    loop {
        let listed = engine.store.list(ObjectName::VIEWS).await?;
        let Some(number) = numbers(&listed).last() else { return Ok(None) };
        if let Some(view) = read_view(engine, number).await? {
            return Ok(Some((number, view)));
        }
        // A newer one has come since, and this one has gone.
        sleep(Duration::from_millis(10)).await;
    }
}

/// The newest of those that follow a view without a gap, listed or not.
async fn newest_unlisted(
    engine: &Engine,
    mut newest: (u64, View),
) -> Result<(u64, View), OpenError> {
    while let Some(next) = read_view(engine, newest.0 + 1).await? {
        newest = (newest.0 + 1, next);
    }
    Ok(newest)
}

/// What a view says; `None` if it is gone. One that can't be read is somebody's all the same.
async fn read_view(engine: &Engine, number: u64) -> Result<Option<View>, OpenError> {
    let name = ObjectName::View(number);
    match engine.store.try_read(&name.text(), 0, u64::MAX).await {
        Err(StoreError::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
        Ok(object) => match View::decode(number, &object) {
            Ok(view) => Ok(Some(view)),
            Err(error @ FormatError::Newer(_)) => {
                Err(OpenError::Format { name: name.text(), error })
            }
            Err(error) => {
                tracing::error!(%name, %error, "can't tell who owns the store");
                let address = format!("an address that can't be read in {name}");
                let owner = Owner { address, ..Owner::default() };
                let claim = engine.ownership.as_ref().map(Ownership::claim);
                let lease_ms = claim.map_or(0, |claim| claim.lease.as_millis() as u64);
                Ok(Some(View { owner, lease_ms, ..View::default() }))
            }
        },
    }
}
