//! Clients that hold a snapshot for long and read it bit by bit, while what they read is
//! overwritten, expires and is compacted away around them.

use crate::client::{BYTES_MAX, Client, answer, random_key};
use crate::history::{Op, Outcome, Seen, TxnId};
use aft::engine::core::{Fetched, Pin};
use aft::engine::gate::{self, Gate};
use aft::layout::Commit;
use aft::transaction::{Finished, ReadError, SnapshotOver, Transaction};
use rand::RngExt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

/// A snapshot that a client holds.
struct Held {
    id: TxnId,
    pin: Pin,
    since: Duration,
}

/// What came of one try to read a key.
enum Tried {
    Answered(Seen, Option<Arc<Gate>>),
    Failed(Outcome),
}

impl Client {
    /// Takes a snapshot and reads keys from it, one now and then.
    pub(crate) async fn read_pinned(&mut self) {
        // It is what is visible, and that must not be older than what was answered before.
        self.tell_all().await;
        if let Some(gate) = self.watch_waits_for.take() {
            poll_fn(|context| gate.poll(context)).await;
        }
        let reads = self.rng.random_range(2..=8);
        let ops: Vec<Op> = (0..reads).map(|_| Op::Get(random_key(&mut self.rng))).collect();
        let held = self.pin(&ops);
        let longest_ms = [20, 1_000, 3_000][self.rng.random_range(0..3)];
        let mut outcome = Outcome::Done;
        let mut gates = Vec::new();
        for (at, op) in ops.iter().enumerate() {
            let pause = self.rng.random_range(0..=longest_ms);
            self.pause(pause).await;
            match self.read_at(&held, at, *op).await {
                Tried::Answered(seen, gate) => {
                    self.history.lock().unwrap().txn_mut(held.id).seen.push(seen);
                    gates.extend(gate);
                }
                Tried::Failed(failed) => {
                    outcome = failed;
                    break;
                }
            }
        }
        for gate in gates {
            if poll_fn(|context| gate.poll(context)).await != gate::Outcome::Durable {
                outcome = Outcome::Failed;
            }
        }
        if outcome == Outcome::Done {
            self.store.hit("snapshots read bit by bit");
        }
        self.history.lock().unwrap().tell(held.id, outcome);
        if self.rng.random_bool(0.8) {
            self.engine.with_core(|core| core.unpin(held.pin));
        } else {
            self.store.hit("snapshots that were forgotten");
        }
    }

    fn pin(&self, ops: &[Op]) -> Held {
        self.engine.with_core(|core| {
            let mut history = self.history.lock().unwrap();
            let id = history.ask(self.number, self.life, ops.to_vec());
            let (pin, since) = (core.pin(), core.monotonic());
            let tick = history.tick();
            let txn = history.txn_mut(id);
            txn.pinned = Some(tick);
            txn.now_ms = pin.1;
            Held { id, pin, since }
        })
    }

    async fn read_at(&self, held: &Held, at: usize, op: Op) -> Tried {
        /// What was read has moved, or was too large for the cache: never so often.
        const ROUNDS_MAX: usize = 100;
        let mut fetched: Vec<Fetched> = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let tried = self.engine.with_core(|core| {
                core.lend(fetched.clone());
                let tried = match Transaction::begin_pinned(core, held.pin, BYTES_MAX) {
                    Ok(mut transaction) => {
                        let seen = answer(&mut transaction, held.id, at, op);
                        Ok((seen, transaction.finish(&Commit::default())))
                    }
                    Err(SnapshotOver) => Err(core.monotonic().saturating_sub(held.since)),
                };
                core.keep_lent();
                tried
            });
            match tried {
                Ok((Err(ReadError::Lost), _)) => {
                    self.complain("a value of a snapshot is lost");
                    return Tried::Failed(Outcome::Failed);
                }
                Ok((_, Finished::Fetch(missing))) => match self.engine.fetch(&missing).await {
                    Ok(values) => fetched.extend(values),
                    Err(_) => return Tried::Failed(Outcome::Failed),
                },
                Ok((Ok(seen), Finished::Done { gate, .. })) => return Tried::Answered(seen, gate),
                Ok(_) => return Tried::Failed(Outcome::Refused),
                Err(age) => {
                    if age <= self.snapshot_timeout {
                        self.complain("a snapshot was over before its time");
                    }
                    self.store.hit("snapshots read when their time was over");
                    return Tried::Failed(Outcome::Refused);
                }
            }
        }
        self.complain("a value of a snapshot is nowhere");
        Tried::Failed(Outcome::Failed)
    }
}
