//! The Redis is killed under load and started again: nothing acknowledged is lost, nothing
//! refused comes back, and aft needs no restart.

use crate::common::backing::{Backing, Kind};
use crate::common::outage;
use crate::common::resp::Reply;
use crate::common::server::{Options, Server};
use crate::common::temp_dir::TempDir;
use crate::common::wait::{self, PATIENCE};
use crate::{impatient, inside};
use std::collections::BTreeSet;

/// However often it was killed between the two.
fn every_object_is_listed_and_nothing_else(backing: &Backing) {
    let texts = |reply: Reply| -> BTreeSet<String> {
        reply.items().iter().filter_map(Reply::text).collect()
    };
    let (mut objects, mut listed) = (BTreeSet::new(), BTreeSet::new());
    for redis in backing.servers().iter() {
        let mut client = redis.client();
        objects.extend(texts(client.cmd("KEYS {aft:*}:o:*")));
        for index in texts(client.cmd("KEYS {aft:*}:index")) {
            let names = texts(client.run(&["ZRANGE", &index, "0", "-1"]));
            let shard = index.strip_suffix("index").expect("an index").to_owned();
            listed.extend(names.iter().map(|name| format!("{shard}o:{name}")));
        }
    }
    assert!(objects.len() > 10, "{objects:?}");
    assert_eq!(listed, objects);
}

#[test]
fn a_short_outage_is_a_delay() {
    let dir = TempDir::named("outage");
    let backing = Backing::redis(dir.path(), &[]);
    outage::a_short_one_is_a_delay(&backing, every_object_is_listed_and_nothing_else);
}

#[test]
fn an_outage_longer_than_every_deadline_refuses_writes_and_ends_by_itself() {
    let dir = TempDir::named("outage");
    let backing = Backing::redis(dir.path(), &[]);
    outage::one_longer_than_every_deadline_refuses_writes_and_ends_by_itself(
        &backing,
        every_object_is_listed_and_nothing_else,
    );
}

#[test]
fn an_outage_of_a_whole_cluster() {
    let dir = TempDir::named("outage");
    let backing = Backing::start(Kind::RedisCluster, dir.path());
    outage::one_longer_than_every_deadline_refuses_writes_and_ends_by_itself(
        &backing,
        every_object_is_listed_and_nothing_else,
    );
}

/// A Redis that keeps nothing comes back empty: aft can't serve what it has acknowledged, says
/// so and ends, before it writes anything there.
#[test]
fn a_redis_that_comes_back_empty_ends_the_node() {
    let dir = TempDir::named("emptied");
    let backing = Backing::redis(dir.path(), &["--appendonly", "no"]);
    let mut server = Server::start(&Options::on(&backing));
    assert_eq!(server.client().cmd("SET k v"), Reply::ok());
    backing.kill_9();
    backing.restart();
    let reply = server.client().cmd("SET k w");
    assert_eq!(reply.error_code().as_deref(), Some("UNCERTAIN"), "{reply:?}");
    assert_eq!(server.wait_for_exit().code(), Some(1));
    let said = server.said();
    assert!(said.contains("does not hold the data that this node has written"), "{said}");
    assert_eq!(crate::keys(&backing), 0);
}

/// The Redis is full for a while: writes are refused with its reason, reads go on, and when there
/// is room again writes are taken.
#[test]
fn a_redis_that_is_full_refuses_writes_until_there_is_room() {
    let dir = TempDir::named("no-room");
    let backing = Backing::redis(dir.path(), &[]);
    let server = Server::start(&impatient(Options::on(&backing)));
    let (mut client, mut redis) = (server.client(), inside(&backing));
    assert_eq!(client.cmd("SET k v"), Reply::ok());
    assert_eq!(redis.cmd("CONFIG SET maxmemory 1"), Reply::ok());
    // As many errors as there are writes, however they share a group.
    for line in ["SET k w", "SET l w", "INCR n", "SET k x", "ECHO end"] {
        client.queue(&line.split(' ').collect::<Vec<_>>());
    }
    client.flush().expect("a connection");
    for _ in 0..4 {
        let reply = client.read().expect("a reply");
        assert_eq!(reply.error_code().as_deref(), Some("UNCERTAIN"), "{reply:?}");
    }
    assert_eq!(client.read().expect("a reply"), Reply::bulk("end"));
    let reply = client.cmd("SET k w");
    assert_eq!(reply.error_code().as_deref(), Some("NOTCOMMITTED"), "{reply:?}");
    assert!(format!("{reply:?}").contains("OOM"), "{reply:?}");
    assert_eq!(client.cmd("GET k"), Reply::bulk("v"));
    assert_eq!(redis.cmd("CONFIG SET maxmemory 0"), Reply::ok());
    wait::until("writes are taken again", PATIENCE, || {
        (client.cmd("SET k x") == Reply::ok()).then_some(())
    });
    assert_eq!(client.cmd("GET k"), Reply::bulk("x"));
}

/// It has become a replica, as in a failover: refused until it is a primary again.
#[test]
fn a_redis_that_becomes_a_replica_is_waited_for() {
    let dir = TempDir::named("demoted");
    let backing = Backing::redis(dir.path(), &[]);
    let server = Server::start(&impatient(Options::on(&backing)));
    let (mut client, mut redis) = (server.client(), inside(&backing));
    assert_eq!(client.cmd("SET k v"), Reply::ok());
    assert_eq!(redis.cmd("REPLICAOF 127.0.0.1 1"), Reply::ok());
    assert!(client.cmd("SET k w").is_error());
    let reply = client.cmd("SET k w");
    assert!(format!("{reply:?}").contains("READONLY"), "{reply:?}");
    assert_eq!(redis.cmd("REPLICAOF NO ONE"), Reply::ok());
    wait::until("writes are taken again", PATIENCE, || {
        (client.cmd("SET k x") == Reply::ok()).then_some(())
    });
}

/// Who waits in a transaction uses it, however long that takes: its timeout is for those who are gone.
#[test]
fn a_transaction_is_not_over_while_a_command_in_it_waits_for_the_store() {
    const TIMEOUT_MS: i64 = 300;
    let dir = TempDir::named("waiting");
    let backing = Backing::redis(dir.path(), &[]);
    let mut options = Options::on(&backing);
    options.extra = ["--blob-bytes-min", "64kb"].map(str::to_owned).to_vec();
    let server = Server::start(&options);
    let (mut inside, mut outside) = (server.client(), server.client());
    let begun = inside.cmd(&format!("AFT.BEGIN TIMEOUT {TIMEOUT_MS}"));
    let token = begun.items()[0].text().expect("a token");
    let large = "x".repeat(100 << 10);
    backing.kill_9();
    inside.queue(&["SET", "k", &large]);
    inside.flush().expect("sent");
    wait::until("longer than its timeout", PATIENCE, || {
        let status = outside.run(&["AFT.STATUS", &token]);
        let words = status.items();
        let age = words.iter().position(|word| *word == Reply::bulk("age_ms"));
        let age = words[age.unwrap_or_else(|| panic!("no age: {status:?}")) + 1].int();
        (age > 5 * TIMEOUT_MS).then_some(())
    });
    backing.restart();
    assert_eq!(inside.read().expect("a reply"), Reply::ok());
    let committed = inside.cmd("AFT.COMMIT");
    assert!(!committed.is_error(), "{committed:?}");
    assert_eq!(outside.cmd("GET k"), Reply::bulk(&large));
    // Nobody waits in this one.
    assert!(!inside.cmd(&format!("AFT.BEGIN TIMEOUT {TIMEOUT_MS}")).is_error());
    wait::until("its end", PATIENCE, || (outside.cmd("AFT.LIST").items().is_empty()).then_some(()));
}
