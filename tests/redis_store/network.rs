//! A network between aft and its Redis that delays, cuts, and loses replies after the work was
//! done.

use crate::common::backing::Backing;
use crate::common::load::{Progress, Writes, under_load};
use crate::common::proxy::{Proxy, Weather};
use crate::common::resp::Reply;
use crate::common::server::Server;
use crate::common::temp_dir::TempDir;
use crate::common::wait::{self, PATIENCE};
use crate::{at, impatient};
use aft::config::Store;
use aft::layout::{Header, Kind};
use aft::storage::redis::{RedisOptions, RedisStore};
use aft::storage::resilient::{Decided, ResilientStore, RetryPolicy};
use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::time::Duration;

struct World {
    server: Server,
    proxy: Proxy,
    _backing: Backing,
    _dir: TempDir,
}

impl World {
    fn start() -> Self {
        let dir = TempDir::named("network");
        let backing = Backing::redis(dir.path(), &[]);
        let proxy = Proxy::start(backing.servers()[0].addr());
        let server = Server::start(&impatient(at(&format!("redis://{}", proxy.addr()))));
        Self { server, proxy, _backing: backing, _dir: dir }
    }

    fn check(&mut self, writes: &[Writes]) {
        assert!(self.server.is_running());
        writes.iter().for_each(|writes| writes.check(&mut self.server.client()));
        self.server.kill_9();
        self.server.restart();
        writes.iter().for_each(|writes| writes.check(&mut self.server.client()));
    }
}

fn more_are_done(progress: &Progress) {
    let before = progress.done();
    wait::until("writes are acknowledged", PATIENCE, || {
        (progress.done() > before + 20).then_some(())
    });
}

fn some_are_refused(progress: &Progress) {
    let before = progress.refused();
    wait::until("writes are refused", PATIENCE, || {
        (progress.refused() > before + 20).then_some(())
    });
}

fn in_weather(weather: Weather, lasts: impl Fn(&Progress, &Proxy)) {
    let mut world = World::start();
    let writes = under_load(world.server.addr(), |progress| {
        for _ in 0..3 {
            more_are_done(progress);
            world.proxy.set(weather);
            lasts(progress, &world.proxy);
            world.proxy.set(Weather::Fair);
        }
        more_are_done(progress);
    });
    world.check(&writes);
}

fn a_reply_is_lost(proxy: &Proxy, before: u64) {
    wait::until("a reply is lost", PATIENCE, || (proxy.replies_lost() > before).then_some(()));
}

#[test]
fn delays_are_delays() {
    in_weather(Weather::Slow(Duration::from_millis(30)), |progress, _| more_are_done(progress));
}

/// Once to the Redis and back, whatever the group holds: two would take twice as long.
#[test]
fn a_group_takes_one_round_trip() {
    /// Each way.
    const PAUSE: Duration = Duration::from_millis(50);
    let world = World::start();
    let mut client = world.server.client();
    assert_eq!(client.cmd("SET k v"), Reply::ok());
    world.proxy.set(Weather::Slow(PAUSE));
    let waits = [(); 5].map(|()| {
        let asked = wait::now();
        assert_eq!(client.cmd("MSET a 1 b 2 c 3"), Reply::ok());
        asked.elapsed()
    });
    let shortest = waits.into_iter().min().expect("some");
    assert!(shortest >= PAUSE * 2 && shortest < PAUSE * 4, "{waits:?}");
}

#[test]
fn cut_connections_come_back() {
    in_weather(Weather::Cut, |_, _| ());
    in_weather(Weather::Cut, |progress, _| some_are_refused(progress));
}

#[test]
fn a_reply_lost_with_its_connection_is_asked_for_again() {
    in_weather(Weather::CutAtReply, |_, proxy| a_reply_is_lost(proxy, proxy.replies_lost()));
    in_weather(Weather::CutAtReply, |progress, _| some_are_refused(progress));
}

/// The connection is there and says nothing, for ever: TCP would take minutes to notice.
#[test]
fn a_connection_that_has_fallen_silent_is_given_up() {
    in_weather(Weather::Silent, |_, proxy| a_reply_is_lost(proxy, proxy.replies_lost()));
    in_weather(Weather::Silent, |progress, _| some_are_refused(progress));
}

/// The verbs themselves, each with its reply lost on the wire after the work was done.
#[test]
fn each_verb_survives_a_lost_reply() {
    let dir = TempDir::named("lost");
    let backing = Backing::redis(dir.path(), &[]);
    let proxy = Proxy::start(backing.servers()[0].addr());
    let store = format!("redis://{}", proxy.addr());
    let Ok(Store::Redis(address)) = store.parse() else { panic!("{store}") };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let store = RedisStore::open(&address, RedisOptions::default()).await.expect("a store");
        let rng = &mut StdRng::seed_from_u64(1);
        let store = ResilientStore::new(Arc::new(store), RetryPolicy::default(), rng);
        let mut object = Vec::new();
        Header::new(Kind::Seal, 7, 1, 1).encode(&mut object);
        let object = Bytes::from(object);
        let name = "log/1".to_owned();
        let created = losing(&proxy, store.create(&name, object.clone(), 7)).await;
        assert_eq!(created, Decided::Ours);
        assert_eq!(losing(&proxy, store.read(&name, 0, u64::MAX)).await, Ok(object));
        let names = [name];
        assert_eq!(losing(&proxy, store.list("log/")).await.expect("names"), names);
        assert_eq!(losing(&proxy, store.delete(&names)).await, Ok(()));
        assert_eq!(store.list("log/").await, Ok(Vec::new()));
    });
}

/// Does it while replies are lost, until one was.
async fn losing<T>(proxy: &Proxy, work: impl Future<Output = T>) -> T {
    let before = proxy.replies_lost();
    proxy.set(Weather::CutAtReply);
    let lost = async {
        while proxy.replies_lost() == before {
            tokio::task::yield_now().await;
        }
        proxy.set(Weather::Fair);
    };
    tokio::join!(work, lost).0
}
