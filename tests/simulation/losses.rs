//! A store that breaks its own promise: it loses an acknowledged object, or its bytes rot.
//! Nothing can bring those back; what is affected is said, the rest is served, and
//! nothing is guessed.

use crate::clock::{SimClock, virtual_now};
use crate::faults::{Faults, Outage, OutageKind};
use crate::mutants::Mutant;
use crate::store::SimStore;
use aft::engine::version::Value;
use aft::engine::{Engine, EngineOptions, Recovered, gate};
use aft::layout::group::verify_object;
use aft::layout::{Commit, Kind, ObjectName};
use aft::storage::Store;
use aft::storage::resilient::{ResilientStore, RetryPolicy};
use aft::transaction::{Finished, Transaction, View};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Too long for the directory: it lies among the values of its group.
const LONG: usize = 100;

pub(crate) fn store() -> SimStore {
    let rng = StdRng::seed_from_u64(1);
    SimStore::new(Faults::calm(), 1, Mutant::Honest, rng)
}

pub(crate) async fn open(store: &SimStore) -> (Arc<Engine>, Recovered, JoinHandle<()>) {
    open_with(store, EngineOptions::default()).await
}

pub(crate) async fn open_with(
    store: &SimStore,
    options: EngineOptions,
) -> (Arc<Engine>, Recovered, JoinHandle<()>) {
    let (engine, recovered) = opened(store, options).await;
    let running = Arc::clone(&engine);
    let run = tokio::spawn(async move {
        running.run().await;
    });
    (engine, recovered, run)
}

/// It does not run yet.
pub(crate) async fn opened(store: &SimStore, options: EngineOptions) -> (Arc<Engine>, Recovered) {
    // Another one at each start: equal nonces would make strangers' objects ours.
    opened_on(Arc::new(store.clone()), store.objects().len() as u64, options).await
}

/// The same on any store.
pub(crate) async fn opened_on(
    store: Arc<dyn Store>,
    seed: u64,
    options: EngineOptions,
) -> (Arc<Engine>, Recovered) {
    let mut rng = StdRng::seed_from_u64(seed);
    let resilient = ResilientStore::new(store, RetryPolicy::default(), &mut rng);
    let clock = Arc::new(SimClock::new(virtual_now(), Arc::default()));
    Engine::open(Arc::new(resilient), clock, options, &mut rng).await.unwrap()
}

/// Runs a transaction and waits for its group: each has one of its own.
async fn commit(engine: &Engine, work: impl Fn(&mut Transaction<'_>)) -> gate::Outcome {
    let finished = engine.with_core(|core| {
        let mut transaction = Transaction::begin(core, View::Tip, 1 << 20);
        work(&mut transaction);
        transaction.finish(&Commit::default())
    });
    let Finished::Done { gate: Some(gate), .. } = finished else {
        panic!("{finished:?}");
    };
    poll_fn(|context| gate.poll(context)).await
}

/// What becomes of a write.
pub(crate) async fn put_outcome(engine: &Engine, key: &str, value: &str) -> gate::Outcome {
    commit(engine, |transaction| {
        let value = Value::String(value.into());
        transaction.put(0, key.as_bytes(), value, 0);
    })
    .await
}

pub(crate) async fn put(engine: &Engine, key: &str, value: &str) {
    assert_eq!(put_outcome(engine, key, value).await, gate::Outcome::Durable);
}

/// A key's value, fetched if need be.
pub(crate) async fn get(engine: &Engine, key: &str) -> Result<Option<String>, String> {
    let mut fetched = Vec::new();
    loop {
        let (found, finished) = engine.with_core(|core| {
            core.lend(fetched.clone());
            let mut transaction = Transaction::begin(core, View::Visible, 1 << 20);
            let found = transaction.get(0, key.as_bytes());
            let finished = transaction.finish(&Commit::default());
            core.keep_lent();
            (found, finished)
        });
        match (found, finished) {
            (_, Finished::Fetch(missing)) => {
                let values = engine.fetch(&missing).await;
                fetched.extend(values.map_err(|failed| failed.to_string())?);
            }
            (Ok(found), _) => {
                return Ok(found.map(|found| {
                    let Value::String(bytes) = found.value;
                    String::from_utf8(bytes.to_vec()).unwrap()
                }));
            }
            (Err(error), _) => return Err(format!("{error:?}")),
        }
    }
}

/// The first node's groups: 1 is its own, then `a`, `b`, `a` again, and one more.
pub(crate) async fn written(store: &SimStore) {
    let (engine, _, run) = open(store).await;
    put(&engine, "a", "1").await;
    put(&engine, "b", "2").await;
    put(&engine, "a", &"3".repeat(LONG)).await;
    put(&engine, "c", "4").await;
    run.abort();
}

#[tokio::test(start_paused = true)]
async fn a_lost_group_becomes_a_hole_and_the_rest_is_served() {
    for listed in [false, true] {
        a_lost_group(listed).await;
    }
}

async fn a_lost_group(listed: bool) {
    let store = store();
    written(&store).await;
    let lost = ObjectName::Log(1, 3).to_string();
    store.lose(&lost);
    if listed {
        store.list_though_gone(&lost);
    }
    for start in 0..3 {
        let (engine, recovered, run) = open(&store).await;
        let damages = recovered.damages;
        assert!(damages.iter().any(|damage| damage.contains(&lost)));
        assert_eq!(get(&engine, "b").await, Ok(None), "its value is lost");
        assert_eq!(get(&engine, "a").await, Ok(Some("3".repeat(LONG))));
        assert_eq!(get(&engine, "c").await, Ok(Some("4".to_owned())));
        put(&engine, "d", "5").await;
        run.abort();
        let hole = verify_object(&store.objects()[&lost]).unwrap();
        assert_eq!(hole.kind, Kind::Hole);
        assert_eq!(damages.len(), 1, "start {start}: {damages:?}");
    }
}

/// Nothing behind it says that it was acknowledged; that it is listed does.
#[tokio::test(start_paused = true)]
async fn a_lost_group_at_the_end_is_reported_where_it_is_listed() {
    let store = store();
    written(&store).await;
    let lost = ObjectName::Log(1, 5).to_string();
    store.lose(&lost);
    store.list_though_gone(&lost);
    let (engine, recovered, _run) = open(&store).await;
    assert!(recovered.damages.iter().any(|damage| damage.contains(&lost)));
    assert_eq!(get(&engine, "c").await, Ok(None), "its value is lost");
    assert_eq!(get(&engine, "b").await, Ok(Some("2".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_rotten_directory_is_reported_and_the_rest_is_served() {
    let store = store();
    written(&store).await;
    let rotten = ObjectName::Log(1, 3).to_string();
    let header = verify_object(&store.objects()[&rotten]).unwrap();
    store.rot(&rotten, header.encoded_bytes() + 5);
    let before = store.objects()[&rotten].clone();
    let (engine, recovered, _run) = open(&store).await;
    assert_eq!(recovered.damages.len(), 1);
    assert!(recovered.damages[0].contains(&rotten));
    assert_eq!(get(&engine, "b").await, Ok(None));
    assert_eq!(get(&engine, "c").await, Ok(Some("4".to_owned())));
    assert_eq!(store.objects()[&rotten], before, "evidence is left alone");
}

#[tokio::test(start_paused = true)]
async fn a_rotten_value_is_an_error_that_names_the_object() {
    let store = store();
    written(&store).await;
    let rotten = ObjectName::Log(1, 4).to_string();
    let header = verify_object(&store.objects()[&rotten]).unwrap();
    store.rot(&rotten, header.values_offset() as usize + 5);
    let (engine, recovered, _run) = open(&store).await;
    assert_eq!(recovered.damages, Vec::<String>::new());
    let error = get(&engine, "a").await.unwrap_err();
    assert!(error.contains(&rotten), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_expiry_whose_value_is_lost_is_reported_and_not_guessed() {
    let store = store();
    let (engine, _, run) = open(&store).await;
    // Long ones: a short value would be written again with its expiry.
    put(&engine, "a", &"older".repeat(LONG)).await;
    put(&engine, "a", &"lost".repeat(LONG)).await;
    let later = engine.with_core(|core| core.now_ms()) + 1_000_000;
    let expires = |transaction: &mut Transaction<'_>| {
        assert!(transaction.expire(0, b"a", later));
    };
    assert_eq!(commit(&engine, expires).await, gate::Outcome::Durable);
    put(&engine, "b", "1").await;
    run.abort();
    store.lose(&ObjectName::Log(1, 3).to_string());
    let (engine, recovered, _run) = open(&store).await;
    let damages = recovered.damages;
    assert!(damages.iter().any(|d| d.contains("key \"a\"")), "{damages:?}");
    assert_eq!(get(&engine, "a").await, Err("Lost".to_owned()));
    assert_eq!(get(&engine, "b").await, Ok(Some("1".to_owned())));
}

/// The store refuses a group, then falls silent: the deadline holds although the node is
/// busy with closing its own log.
#[tokio::test(start_paused = true)]
async fn a_refusal_before_an_outage_keeps_nobody_waiting() {
    let store = store();
    let (engine, _, _run) = open(&store).await;
    let silent = Outage {
        kind: OutageKind::Silent,
        from: store.now() + Duration::from_millis(1),
        until: store.now() + Duration::from_secs(3_600),
    };
    store.set_faults(Faults {
        rejected: 1.0,
        delay_ms_max: 40,
        outages: vec![silent],
        ..Faults::default()
    });
    let finished = engine.with_core(|core| {
        let mut transaction = Transaction::begin(core, View::Tip, 1 << 20);
        transaction.put(0, b"a", Value::String("1".into()), 0);
        transaction.finish(&Commit::default())
    });
    let Finished::Done { gate: Some(gate), .. } = finished else {
        panic!("{finished:?}");
    };
    let deadline = EngineOptions::default().commit_deadline;
    let told = poll_fn(|context| gate.poll(context));
    let told = tokio::time::timeout(deadline * 2, told).await;
    assert_eq!(told, Ok(gate::Outcome::Uncertain));
    assert_eq!(store.rejected(), 1);
    // The store comes back; the group is certainly gone, and the node goes on.
    store.set_faults(Faults::calm());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(get(&engine, "a").await, Ok(None));
    put(&engine, "a", "2").await;
    assert_eq!(engine.with_core(|core| core.node()), 2);
}
