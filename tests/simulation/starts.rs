//! What a start finds that a dead node has left half-way, each as a small story.

use crate::garbage::EAGER;
use crate::losses::{get, open, open_with, opened, put, store};
use crate::owners::{self, Service, Terms};
use crate::store::SimStore;
use aft::config::Succession;
use aft::engine::{EngineOptions, OpenError};
use aft::inspect::{Depth, Moment, inspect};
use aft::layout::{Header, Kind, NodeId, ObjectName};
use aft::storage::{Created, Store, list_all};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::time::sleep;

fn of_log(store: &SimStore, node: NodeId) -> Vec<String> {
    let log = ObjectName::Log(node, 1).to_string();
    let (prefix, _) = log.rsplit_once('/').unwrap();
    store.objects().into_keys().filter(|name| name.starts_with(prefix)).collect()
}

/// Puts an object there that says nothing but what its header says.
async fn leave(store: &SimStore, kind: Kind, node: NodeId, seq: u64, base: (NodeId, u64)) {
    let mut header = Header::new(kind, u128::from(seq) << 64 | u128::from(node), node, seq);
    header.base = base;
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    let name = ObjectName::Log(node, seq).to_string();
    assert_eq!(store.create(&name, bytes.into()).await, Ok(Created::Created), "{name}");
}

/// A group that was under way when its node died arrives behind the seal, and names a base
/// that the next start has deleted, since no group that counts did.
#[tokio::test(start_paused = true)]
async fn what_came_late_behind_a_recorded_end_names_no_base() {
    let store = store();
    for value in ["1", "2"] {
        let (engine, _, run) = open(&store).await;
        put(&engine, "k", value).await;
        run.abort();
    }
    let behind_the_seal = of_log(&store, 1).len() as u64 + 1;
    leave(&store, Kind::Group, 1, behind_the_seal, (1, 7)).await;
    // The third start died when it had closed the second's log. Its seal names no base.
    let behind = of_log(&store, 2).len() as u64 + 1;
    leave(&store, Kind::Seal, 2, behind, (0, 0)).await;
    let inspected = inspect(&store, Depth::Whole, Moment::default(), |_, _| ()).await.unwrap();
    assert_eq!(inspected.faults, Vec::new());

    let (engine, recovered, _run) = open(&store).await;
    assert_eq!(recovered.damages, Vec::<String>::new());
    assert_eq!(get(&engine, "k").await, Ok(Some("2".to_owned())));
}

/// A second start that has replaced the first one's log, and deleted it.
async fn replaced() -> SimStore {
    let store = store();
    let (engine, _, run) = open(&store).await;
    put(&engine, "k", "1").await;
    run.abort();
    let options = EngineOptions { compaction: EAGER, ..EngineOptions::default() };
    let (_, _, run) = open_with(&store, options).await;
    while !of_log(&store, 1).is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    run.abort();
    store
}

/// What a predecessor is deleting was replaced, and need not be there.
#[tokio::test(start_paused = true)]
async fn a_start_goes_on_while_a_dead_nodes_deletes_arrive() {
    let store = replaced().await;
    // Its seal: behind its first group and one of a client.
    store.list_though_gone(&ObjectName::Log(1, 3).to_string());
    let (engine, recovered, _run) = open(&store).await;
    assert_eq!(recovered.damages, Vec::<String>::new());
    assert_eq!(get(&engine, "k").await, Ok(Some("1".to_owned())));
}

/// The end of a log that was replaced is known from the first group of a later one, and no
/// listing has to show that: nothing is created where nothing is left.
#[tokio::test(start_paused = true)]
async fn ends_are_learned_from_logs_that_no_listing_shows() {
    let store = replaced().await;
    let (_, recovered, run) = open(&store).await;
    assert_eq!(recovered.damages, Vec::<String>::new());
    run.abort();
    let (first, second) = (of_log(&store, 1), of_log(&store, 2));
    assert!(first.is_empty() && !second.is_empty());

    store.list_late(Duration::from_secs(3600), |name| second.iter().any(|late| late == name));
    let (engine, recovered, _run) = open(&store).await;
    assert_eq!(recovered.damages, Vec::<String>::new());
    assert_eq!(get(&engine, "k").await, Ok(Some("1".to_owned())));
    assert_eq!(of_log(&store, 1), first);
}

/// A node that ends when it has just replaced objects by a base: its seal names that, and no group
/// tells of it. The next one does with its first group, so that it is known what was replaced should
/// the base be damaged one day.
#[tokio::test(start_paused = true)]
async fn a_base_that_nobody_has_told_of_is_told_of_by_the_next_start() {
    let store = store();
    let options = EngineOptions { compaction: EAGER, ..EngineOptions::default() };
    let (engine, _, run) = open_with(&store, options).await;
    put(&engine, "k", "1").await;
    run.abort();
    let base = {
        let (engine, _) = opened(&store, options).await;
        let mut running = pin!(engine.run());
        let base = poll_fn(|context| {
            assert!(running.as_mut().poll(context).is_pending());
            let base = engine.with_core(|core| core.base());
            if base == (0, 0) { Poll::Pending } else { Poll::Ready(base) }
        });
        let (node, number) = base.await;
        engine.seal().await;
        assert!(!engine.with_core(|core| core.tells_of_base((node, number))));
        ObjectName::Base(node, number).to_string()
    };
    let (engine, recovered, run) = open(&store).await;
    assert_eq!(recovered.damages, Vec::<String>::new());
    assert_eq!(get(&engine, "k").await, Ok(Some("1".to_owned())));
    while !of_log(&store, 1).is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    run.abort();

    let header = Header::decode(&store.objects()[&base]).unwrap();
    store.rot(&base, header.encoded_bytes() + 5);
    let (_, recovered, _run) = open(&store).await;
    let [words, keys] = recovered.damages.as_slice() else { panic!("{:#?}", recovered.damages) };
    assert!(words.starts_with(&base) && words.contains("is taken from the log"), "{words}");
    assert!(keys.starts_with(&base) && keys.contains("the keys in it are lost"), "{keys}");
    assert_eq!(of_log(&store, 1), Vec::<String>::new());
}

/// Whatever the next version of aft writes into a store in a service, the start that finds it says
/// which object it is, and writes nothing.
#[tokio::test(start_paused = true)]
async fn a_service_that_a_newer_version_has_used_is_refused_and_left_as_it_is() {
    let newer = [
        (ObjectName::Node(1000), Header::new(Kind::Node, 1, 1000, 0)),
        (ObjectName::Log(1000, 1), Header::new(Kind::Group, 1, 1000, 1)),
        (ObjectName::View(1000), Header::new(Kind::View, 1, 0, 1000)),
    ];
    for (name, mut header) in newer {
        let terms =
            Terms { wrong_words: false, listing_lag_ms: 0, stale_reads: false, compacts: false };
        let mut rng = StdRng::seed_from_u64(1);
        let service = Service::new(terms, StdRng::seed_from_u64(2));
        let owner = owners::open(&service, Succession::AfterSilence, 1, &mut rng).await.unwrap();
        owner.seal().await;
        header.format += 1;
        let mut object = Vec::new();
        header.encode(&mut object);
        assert_eq!(service.create(&name.to_string(), object.into()).await, Ok(Created::Created));
        let before = list_all(&service, "").await.unwrap();
        for succession in [Succession::AfterSilence, Succession::AtOnce, Succession::WhenItEnds] {
            let refused = owners::open(&service, succession, 2, &mut rng).await.map(drop);
            let Err(OpenError::Format { name: of, .. }) = refused else { panic!("{refused:?}") };
            assert_eq!(of, name.to_string());
        }
        assert_eq!(list_all(&service, "").await, Ok(before), "{name}");
    }
}
