//! One seed: a store, and processes that live and die on it, one after the other.

use crate::checker::{self, Violation};
use crate::client::{Client, NOWHERE};
use crate::clock::{SimClock, virtual_now};
use crate::coverage::Coverage;
use crate::faults::{Faults, fork};
use crate::history::{History, Outcome};
use crate::mutants::Mutant;
use crate::order::{self, Order, Stored};
use crate::rest::at_rest;
use crate::store::{KillAt, SimStore};
use aft::clock::Clock;
use aft::engine::core::compaction::CompactionLimits;
use aft::engine::{Engine, EngineOptions};
use aft::layout::CommitId;
use aft::storage::resilient::{ResilientStore, RetryPolicy};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// Everything that was left over has been looked for by then.
const LONGER_THAN_A_SWEEP: Duration = Duration::from_secs(100);

/// What became of transactions is kept longer than any history takes.
pub(crate) const OUTCOMES_KEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// What came of a seed.
pub(crate) struct Run {
    pub(crate) history: History,
    pub(crate) order: Order,
    pub(crate) violation: Option<Violation>,
    pub(crate) coverage: Coverage,
}

impl Run {
    /// Equal for equal runs.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for txn in &self.history.txns {
            format!("{txn:?}").hash(&mut hasher);
        }
        format!("{:?}", self.order.commits).hash(&mut hasher);
        hasher.finish()
    }
}

/// How a process's life is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Killed,
    /// It drains and seals.
    Clean,
}

struct World {
    rng: StdRng,
    began: Instant,
    offset_ms: Arc<AtomicI64>,
    store: SimStore,
    history: Arc<Mutex<History>>,
    coverage: Coverage,
    options: EngineOptions,
    policy: RetryPolicy,
    clients: u32,
    /// The order as the last start has found it: nothing of it may change any more.
    known: Vec<CommitId>,
}

/// Runs a seed.
pub(crate) fn run(seed: u64, mutant: Mutant) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut world = World::draw(seed, mutant);
        let found = world.lives().await;
        world.finish(found)
    })
}

impl World {
    fn draw(seed: u64, mutant: Mutant) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let faults = Faults::draw(&mut rng);
        let mut coverage = Coverage::default();
        coverage.add("outages", faults.outages.len() as u64);
        let options = EngineOptions {
            databases: usize::from(crate::history::DATABASES),
            group_bytes_max: [60, 400, 4 << 20][rng.random_range(0..3)],
            blob_bytes_min: [1, 80, 4 << 20][rng.random_range(0..3)],
            blob_chunk_bytes: [9, 50, 8 << 20][rng.random_range(0..3)],
            groups_in_flight_max: rng.random_range(0..=4),
            commit_deadline: Duration::from_millis(
                [150, 1_000, 3_000, 10_000][rng.random_range(0..4)],
            ),
            opening_took: Duration::ZERO,
            recovery_reads_in_flight: [1, 3, 64][rng.random_range(0..3)],
            recovery_share_bits: rng.random_range(0..3),
            outcomes_keep: OUTCOMES_KEEP,
            expired_keys_per_turn: [1, 200][rng.random_range(0..2)],
            cache_bytes: [0, 200, 1 << 20][rng.random_range(0..3)],
            memory_bytes_max: [0, 1, 200 << 10][rng.random_range(0..3)],
            compaction: draw_compaction(&mut rng),
        };
        let policy = RetryPolicy {
            attempt_timeout: Duration::from_millis([100, 1_000, 3_000][rng.random_range(0..3)]),
            hedge_after: Duration::from_millis([30, 300, 1_000][rng.random_range(0..3)]),
            ..RetryPolicy::default()
        };
        let creates_in_flight = rng.random_range(1..=4);
        let store = SimStore::new(faults, creates_in_flight, mutant, fork(&mut rng));
        Self {
            began: virtual_now(),
            offset_ms: Arc::default(),
            store,
            history: Arc::default(),
            coverage,
            options: mutant.shows_with(options),
            policy,
            clients: rng.random_range(1..=5),
            known: Vec::new(),
            rng,
        }
    }

    async fn lives(&mut self) -> Result<(), Violation> {
        let lives = self.rng.random_range(2..=5);
        for life in 1..=lives {
            self.turn_the_clock();
            self.live(life, false).await?;
        }
        // The last start finds a store that works, and must find everything.
        self.store.set_faults(Faults::calm());
        self.turn_the_clock();
        self.live(lives + 1, true).await
    }

    fn turn_the_clock(&mut self) {
        let by = [0, 0, 10_000, 3_600_000][self.rng.random_range(0..4)];
        let by = self.rng.random_range(-by..=by);
        self.offset_ms.fetch_add(by, Ordering::Relaxed);
        if by != 0 {
            self.coverage.hit(if by < 0 {
                "clock set back between starts"
            } else {
                "clock set forward"
            });
        }
    }

    /// From a process's start to its death.
    async fn live(&mut self, life: u32, last: bool) -> Result<(), Violation> {
        let (end, kill_at) = self.draw_end(last);
        let store = self.store.connect(life, kill_at);
        let clock = Arc::new(SimClock::new(self.began, Arc::clone(&self.offset_ms)));
        let mut tasks = JoinSet::new();
        let patience = if last { 600_000 } else { 30_000 };
        let opened = tokio::select! {
            biased;
            () = store.killed() => None,
            opened = self.open(&store, &clock) => Some(opened),
            () = sleep(Duration::from_millis(patience)) => None,
        };
        let ended = match opened {
            None => {
                self.coverage.hit("kills during recovery");
                Ok(())
            }
            Some(Err(error)) if last => Err(Violation::new("NeverOpens", error)),
            Some(Err(_)) => {
                self.coverage.hit("opens that failed");
                Ok(())
            }
            Some(Ok(engine)) => {
                self.coverage.hit("lives");
                self.recovered(&store)?;
                store.serves();
                let ended = self.serve(&engine, &store, &clock, life, end, last, &mut tasks);
                ended.await
            }
        };
        store.disarm();
        tasks.shutdown().await;
        ended
    }

    fn draw_end(&mut self, last: bool) -> (End, Option<KillAt>) {
        if last {
            return (End::Clean, None);
        }
        let end = if self.rng.random_bool(0.5) { End::Killed } else { End::Clean };
        let kill_at = self.rng.random_bool(0.6).then(|| {
            let of_compaction = self.rng.random_bool(0.2);
            let most = [12, 60, 400][self.rng.random_range(0..3)];
            KillAt {
                requests: self.rng.random_range(0..if of_compaction { 12 } else { most }),
                of_compaction,
                after_work: self.rng.random_bool(0.5),
            }
        });
        (end, kill_at)
    }

    async fn open(
        &mut self,
        store: &SimStore,
        clock: &Arc<SimClock>,
    ) -> Result<Arc<Engine>, String> {
        let mut rng = fork(&mut self.rng);
        let resilient = ResilientStore::new(Arc::new(store.clone()), self.policy, &mut rng);
        let clock: Arc<dyn Clock> = Arc::<SimClock>::clone(clock);
        let opened = Engine::open(Arc::new(resilient), clock, self.options, &mut rng);
        let (engine, recovered) = opened.await.map_err(|error| error.to_string())?;
        let mut history = self.history.lock().unwrap();
        history.complaints.extend(recovered.damages);
        Ok(engine)
    }

    /// A start has closed all logs before its own: from now on the order only grows.
    fn recovered(&mut self, store: &SimStore) -> Result<(), Violation> {
        let order = order::read(&store.objects_ever())?;
        let ids: Vec<CommitId> = order.commits.iter().map(|commit| commit.id).collect();
        if !ids.starts_with(&self.known) {
            return Err(Violation::new(
                "OrderRewritten",
                format!("was {:?}\n  is {ids:?}", self.known),
            ));
        }
        self.known = ids;
        Ok(())
    }

    #[allow(clippy::too_many_arguments)] // All that a life is made of.
    async fn serve(
        &mut self,
        engine: &Arc<Engine>,
        store: &SimStore,
        clock: &Arc<SimClock>,
        life: u32,
        end: End,
        last: bool,
        tasks: &mut JoinSet<()>,
    ) -> Result<(), Violation> {
        let node = engine.with_core(|core| core.node());
        let (stops, mut stopped) = oneshot::channel();
        let running = Arc::clone(engine);
        tasks.spawn(async move {
            let _ = stops.send(running.run().await);
        });
        // The last one may find a store at rest.
        let stop = Arc::new(AtomicBool::new(last && self.rng.random_bool(0.5)));
        let mut clients = self.connect_clients(engine, store, clock, life, &stop);
        let longest = [300, 3_000, 8_000][self.rng.random_range(0..3)];
        let lasts = self.rng.random_range(0..=longest);
        self.may_jump_while_running(tasks, lasts);
        let idle = !last && self.rng.random_bool(0.05);
        let sealing = AtomicBool::new(false);
        let full_life = async {
            sleep(Duration::from_millis(lasts)).await;
            if last || idle {
                stop.store(true, Ordering::Relaxed);
            }
            if idle {
                sleep(LONGER_THAN_A_SWEEP).await;
                store.hit("lives longer than a sweep");
            }
            if last {
                answered(engine, store, &mut clients).await?;
                at_rest(engine, store, LONGER_THAN_A_SWEEP).await?;
            }
            if end == End::Clean {
                stop.store(true, Ordering::Relaxed);
                shut_down(engine, store, &mut clients, &sealing).await?;
            } else {
                store.dies();
            }
            Ok(end)
        };
        let ended = tokio::select! {
            biased;
            () = store.killed() => Ok(End::Killed),
            why = &mut stopped => {
                // Only a store that refuses, or its own seal, can make a node stop here.
                if store.rejected() == 0 && !sealing.load(Ordering::Relaxed) {
                    let what = format!("life {life}: {why:?}");
                    Err(Violation::new("StoppedWithoutCause", what))
                } else {
                    self.coverage.hit("nodes that had to stop");
                    Ok(End::Killed)
                }
            }
            ended = full_life => ended,
        };
        clients.shutdown().await;
        self.coverage.hit(match ended {
            Ok(End::Clean) => "clean shutdowns",
            _ => "kills",
        });
        if engine.with_core(|core| core.node()) != node {
            self.coverage.hit("own seals after a rejection");
        }
        ended.map(|_| ())
    }

    /// One client reads everything once, the others do as they like.
    fn connect_clients(
        &mut self,
        engine: &Arc<Engine>,
        store: &SimStore,
        clock: &Arc<SimClock>,
        life: u32,
        stop: &Arc<AtomicBool>,
    ) -> JoinSet<()> {
        let mut clients = JoinSet::new();
        for number in 0..=self.clients {
            let client = Client::new(
                number,
                life,
                Arc::clone(engine),
                store.clone(),
                Arc::clone(clock),
                Arc::clone(&self.history),
                Arc::clone(stop),
                fork(&mut self.rng),
            );
            if number == 0 {
                clients.spawn(client.audit());
            } else {
                clients.spawn(client.run());
            }
        }
        clients
    }

    fn may_jump_while_running(&mut self, tasks: &mut JoinSet<()>, lasts: u64) {
        if !self.rng.random_bool(0.2) {
            return;
        }
        let offset_ms = Arc::clone(&self.offset_ms);
        let at = self.rng.random_range(0..=lasts);
        let by = self.rng.random_range(-20_000..=20_000);
        if by < 0 {
            self.coverage.hit("clock set back while running");
        }
        tasks.spawn(async move {
            sleep(Duration::from_millis(at)).await;
            offset_ms.fetch_add(by, Ordering::Relaxed);
        });
    }

    /// Reads the store and holds the history against it.
    fn finish(mut self, found: Result<(), Violation>) -> Run {
        let history = std::mem::take(&mut *self.history.lock().unwrap());
        let read = order::read(&self.store.objects_ever());
        let order = read.as_ref().cloned().unwrap_or_default();
        self.coverage.merge(&self.store.coverage());
        let complained = match history.complaints.first() {
            Some(complaint) => {
                let name = if complaint.ends_with(NOWHERE) { "ValueNowhere" } else { "Complaint" };
                Err(Violation::new(name, complaint.clone()))
            }
            None => Ok(()),
        };
        // What the checker finds says more than that something went wrong on the way.
        let checked = read
            .and_then(|order| {
                if order.commits.iter().map(|c| c.id).zip(&self.known).any(|(a, b)| a != *b) {
                    return Err(Violation::new("OrderRewritten", "after the last start"));
                }
                let checker = checker::check(&history.txns, &order.commits)?;
                self.coverage
                    .add("expired keys seen after a restart", checker.expired_across_lives);
                Ok(())
            })
            .and(complained)
            .and(match order.holes {
                0 => Ok(()),
                holes => Err(Violation::new("HoleWithoutLoss", holes.to_string())),
            })
            .and(found);
        self.count_outcomes(&history, &order);
        Run { violation: checked.err(), history, order, coverage: self.coverage }
    }

    fn count_outcomes(&mut self, history: &History, order: &Order) {
        let committed: std::collections::BTreeSet<u64> =
            order.commits.iter().map(|commit| commit.txn).collect();
        for txn in &history.txns {
            let (flushed, writes) = crate::model::effects(txn);
            let wrote = !(flushed.is_empty() && writes.is_empty());
            let coverage = &mut self.coverage;
            match (txn.outcome, committed.contains(&txn.id)) {
                (Outcome::Done, _) => coverage.hit("told done"),
                (Outcome::NotCommitted, _) => coverage.hit("told NOTCOMMITTED"),
                (Outcome::Refused, _) => coverage.hit("told refused"),
                (Outcome::Failed, _) => coverage.hit("told failed"),
                (Outcome::Uncertain, _) => coverage.hit("told UNCERTAIN"),
                (Outcome::NoReply, _) => {}
            }
            match (txn.outcome, committed.contains(&txn.id)) {
                (Outcome::Uncertain, true) => coverage.hit("uncertain, yet committed"),
                (Outcome::Uncertain, false) if wrote => {
                    coverage.hit("uncertain, and never committed");
                }
                (Outcome::NoReply, true) => coverage.hit("unanswered, yet committed"),
                (Outcome::NoReply, false) if wrote => {
                    coverage.hit("unanswered, and never committed");
                }
                _ => {}
            }
        }
        let commits = &order.commits;
        let flushes = commits.iter().flat_map(|commit| &commit.writes);
        let flushes = flushes.filter(|write| matches!(write, Stored::Flush(_)));
        self.coverage.add("flushes in the order", flushes.count() as u64);
        self.coverage.add("commits in the order", commits.len() as u64);
        self.coverage.add("seals", order.seals);
        self.coverage.add("groups of several transactions", order.shared_groups);
    }
}

/// Stores so small that something is compacted all the time, and some where nothing is.
fn draw_compaction(rng: &mut StdRng) -> CompactionLimits {
    CompactionLimits {
        store_percent_max: [110, 200, 400][rng.random_range(0..3)],
        store_bytes_min: [0, 2_000, 1 << 30][rng.random_range(0..3)],
        groups_max: [1, 5, 1_000][rng.random_range(0..3)],
        logs_max: [1, 3, 1_000][rng.random_range(0..3)],
        debt_percent_max: 20,
        step_bytes: [500, 3_000, 1 << 20][rng.random_range(0..3)],
    }
}

/// Waits for the clients' last replies, and drains; how long it would have waited.
async fn answered(
    engine: &Engine,
    store: &SimStore,
    clients: &mut JoinSet<()>,
) -> Result<Duration, Violation> {
    // Once the store works again, everybody gets an answer.
    let patience = store.quiet_in() + Duration::from_secs(300);
    let answered = timeout(patience, async {
        while let Some(client) = clients.join_next().await {
            client.map_err(|error| Violation::new("ClientPanicked", error.to_string()))?;
        }
        engine.drain().await;
        Ok(patience)
    });
    let nobody = |_| Err(Violation::new("NoAnswer", "a reply or the drain never came"));
    answered.await.unwrap_or_else(nobody)
}

/// Waits for the clients' last replies, drains and seals.
async fn shut_down(
    engine: &Arc<Engine>,
    store: &SimStore,
    clients: &mut JoinSet<()>,
    sealing: &AtomicBool,
) -> Result<(), Violation> {
    let patience = answered(engine, store, clients).await?;
    // Whatever the engine still wants to write meets the seal from now on.
    sealing.store(true, Ordering::Relaxed);
    timeout(patience, engine.seal())
        .await
        .map_err(|_| Violation::new("NoAnswer", "the seal never came"))
}
