//! A planned restart: one process waits for the other to end, and is quick then.

use crate::clock::virtual_now;
use crate::faults::fork;
use crate::owners::{LEASE, Service, Terms, count, open};
use aft::config::Succession;
use aft::engine::gate::Outcome;
use aft::engine::{Engine, OpenError};
use aft::transaction::{Finished, View};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;

type Next = JoinHandle<Result<Arc<Engine>, OpenError>>;

/// A node that serves, and one that waits for it to end.
async fn one_behind_the_other(seed: u64) -> (Service, Arc<Engine>, Next) {
    let terms =
        Terms { wrong_words: false, listing_lag_ms: 0, stale_reads: false, compacts: false };
    let mut rng = StdRng::seed_from_u64(seed);
    let service = Service::new(terms, fork(&mut rng));
    let owner = open(&service, Succession::AfterSilence, 1, &mut rng).await.unwrap();
    let running = Arc::clone(&owner);
    tokio::spawn(async move { running.run().await });
    let (waits_on, mut of_next) = (service.clone(), fork(&mut rng));
    let next =
        tokio::spawn(async move { open(&waits_on, Succession::WhenItEnds, 2, &mut of_next).await });
    (service, owner, next)
}

async fn increments(owner: &Engine, times: u64) {
    for _ in 0..times {
        let (_, written) = owner.with_core(|core| count(core, View::Tip, true));
        let Finished::Done { gate: Some(gate), .. } = written else { panic!("{written:?}") };
        assert_eq!(poll_fn(|context| gate.poll(context)).await, Outcome::Durable);
    }
}

/// Who waits for the owner to end has read what there is by then.
#[tokio::test(start_paused = true)]
async fn a_start_that_has_waited_has_little_left_to_read() {
    const GROUPS: u64 = 300;
    let (service, owner, next) = one_behind_the_other(1).await;
    increments(&owner, GROUPS).await;
    // It looks each second.
    sleep(Duration::from_secs(3)).await;
    let before = service.groups_read.load(Ordering::Relaxed);
    assert!(before >= GROUPS, "{before} reads while it waited");
    assert!(owner.drain().await);
    owner.seal().await;
    let next = next.await.unwrap().unwrap();
    let left = service.groups_read.load(Ordering::Relaxed) - before;
    assert!(left < GROUPS / 10, "{left} reads of groups at the handover");
    assert_eq!(next.with_core(|core| count(core, View::Visible, false)).0, GROUPS);
}

/// From the last acknowledged write of the one to the first of the other, in the middle of many.
#[tokio::test(start_paused = true)]
async fn a_handover_takes_few_round_trips_under_load() {
    /// What a request takes to the store and back, in the mean of the usual ones.
    const ROUND_TRIP: Duration = Duration::from_millis(30);
    /// Its own look for the next view, and what comes behind it one after the other, the write
    /// among it.
    const ROUND_TRIPS_MAX: u32 = 18;
    const GROUPS: u64 = 100;
    let mut gaps = Vec::new();
    for seed in 0..31 {
        let (_, owner, next) = one_behind_the_other(seed).await;
        increments(&owner, GROUPS).await;
        let began = virtual_now();
        owner.seal().await;
        let next = next.await.unwrap().unwrap();
        let running = Arc::clone(&next);
        tokio::spawn(async move { running.run().await });
        increments(&next, 1).await;
        gaps.push(virtual_now() - began);
        assert_eq!(next.with_core(|core| count(core, View::Visible, false)).0, GROUPS + 1);
    }
    gaps.sort_unstable();
    let median = gaps[gaps.len() / 2];
    println!("{median:?} of {gaps:?}");
    assert!(median < ROUND_TRIP * ROUND_TRIPS_MAX, "{median:?} of {gaps:?}");
}

/// An owner that begins another log while it ends, in a task of its own, has given the store away
/// all the same: nobody waits for a sign of life of it. Nor does it take its own last seal for
/// another's.
#[tokio::test(start_paused = true)]
async fn who_hands_over_does_not_take_the_store_back() {
    let terms = Terms { wrong_words: false, listing_lag_ms: 0, stale_reads: false, compacts: true };
    let mut began_another = 0;
    for seed in 0..300 {
        let mut rng = StdRng::seed_from_u64(seed);
        let service = Service::new(terms, fork(&mut rng));
        let owner = open(&service, Succession::AfterSilence, 1, &mut rng).await.unwrap();
        let running = Arc::clone(&owner);
        let running = tokio::spawn(async move { running.run().await });
        increments(&owner, 3 + seed % 7).await;
        assert!(owner.drain().await);
        began_another += u32::from(owner.with_core(|core| core.next_log_is_wanted()));
        owner.seal().await;
        // Whatever it was about to do, and what of that was on its way.
        sleep(LEASE).await;
        assert!(service.newest_view().released, "seed {seed}");
        assert!(!running.is_finished(), "seed {seed}: {:?}", running.await);
    }
    assert!(began_another > 10, "{began_another} began a log as they ended");
}
