//! Writes that wait for replicas (WAIT) or the disk (WAITAOF).

use crate::common::backing::Backing;
use crate::common::resp::Reply;
use crate::common::server::{Options, Server};
use crate::common::temp_dir::TempDir;
use crate::common::wait::{self, PATIENCE};
use crate::{impatient, inside, refusal};
use rustix::process::{Signal, kill_process};

fn with(backing: &Backing, settings: &[&str]) -> Options {
    let mut options = impatient(Options::on(backing));
    options.extra.extend(settings.iter().map(|word| (*word).to_owned()));
    options
}

#[test]
fn a_write_waits_for_a_replica_as_long_as_there_is_none() {
    let dir = TempDir::named("wait");
    let primary = Backing::redis(&dir.path().join("primary"), &[]);
    let options = with(&primary, &["--redis-replicas-min", "1"]);
    let line = refusal(&options);
    assert!(line.contains("--redis-replicas-min is 1, and this Redis has 0"), "{line}");
    assert_eq!(crate::keys(&primary), 0);

    let addr = primary.servers()[0].addr();
    let port = addr.port().to_string();
    let of = ["--replicaof", "127.0.0.1", &port];
    let replica = Backing::redis(&dir.path().join("replica"), &of);
    let linked = || {
        wait::until("the replica is in step", PATIENCE, || {
            let info = inside(&replica).cmd("INFO replication").text()?;
            info.contains("master_link_status:up").then_some(())
        });
    };
    linked();
    let mut server = Server::start(&options);
    let said = server.said();
    assert!(said.contains("each write waits for 1 replicas"), "{said}");
    let mut client = server.client();
    assert_eq!(client.cmd("SET k v"), Reply::ok());

    // On the primary it is done; it counts when the replica has it.
    replica.kill_9();
    let reply = client.cmd("SET k w");
    assert_eq!(reply.error_code().as_deref(), Some("UNCERTAIN"), "{reply:?}");
    assert_eq!(client.cmd("GET k"), Reply::bulk("v"));
    let reply = client.cmd("SET k x");
    assert_eq!(reply.error_code().as_deref(), Some("NOTCOMMITTED"), "{reply:?}");
    // What it says is how things stand, not how they stood when writes were refused first.
    let mut says = |why: &str| {
        wait::until(why, PATIENCE, || {
            format!("{:?}", client.cmd("SET k x")).contains(why).then_some(())
        });
    };
    says("0 of 1 replicas have it");
    primary.kill_9();
    says("Connection refused");
    primary.restart();
    says("0 of 1 replicas have it");
    replica.restart();
    linked();
    wait::until("writes are taken again", PATIENCE, || {
        (client.cmd("SET l y") == Reply::ok()).then_some(())
    });
    assert_eq!(client.cmd("GET k"), Reply::bulk("w"), "what was under way has come through");
    server.kill_9();
    server.restart();
    assert_eq!(server.client().cmd("GET l"), Reply::bulk("y"));
}

/// A replica that is linked and does not follow. What has been written on one connection is asked
/// for again on the next, which has written nothing there: it must not count as confirmed.
#[test]
fn a_write_that_is_found_on_another_connection_waits_too() {
    let dir = TempDir::named("wait-again");
    let primary = Backing::redis(&dir.path().join("primary"), &[]);
    let port = primary.servers()[0].addr().port().to_string();
    let of = ["--replicaof", "127.0.0.1", &port];
    let replica = Backing::redis(&dir.path().join("replica"), &of);
    wait::until("the replica is in step", PATIENCE, || {
        let info = inside(&replica).cmd("INFO replication").text()?;
        info.contains("master_link_status:up").then_some(())
    });
    let server = Server::start(&with(&primary, &["--redis-replicas-min", "1"]));
    let mut client = server.client();
    assert_eq!(client.cmd("SET k v"), Reply::ok());

    let stopped = replica.servers()[0].pid();
    kill_process(stopped, Signal::STOP).expect("a replica");
    let (mut redis, before) = (inside(&primary), crate::keys(&primary));
    client.queue(&["SET", "k", "w"]);
    client.flush().expect("a connection");
    wait::until("the primary has it", PATIENCE, || (crate::keys(&primary) > before).then_some(()));
    assert!(redis.cmd("CLIENT KILL TYPE normal SKIPME yes").int() > 0);
    let reply = client.read().expect("a reply");
    assert_eq!(reply.error_code().as_deref(), Some("UNCERTAIN"), "{reply:?}");

    kill_process(stopped, Signal::CONT).expect("a replica");
    wait::until("writes are taken again", PATIENCE, || {
        (client.cmd("SET l y") == Reply::ok()).then_some(())
    });
    assert_eq!(client.cmd("GET k"), Reply::bulk("w"));
}

/// The redis-server of the tests is 7.0, which has no WAITAOF.
#[test]
fn waiting_for_the_disk_needs_a_redis_that_can() {
    let dir = TempDir::named("waitaof");
    let backing = Backing::redis(dir.path(), &[]);
    let line = refusal(&with(&backing, &["--redis-fsync", "yes"]));
    assert!(line.contains("WAITAOF") && line.contains("7.2"), "{line}");
    assert_eq!(crate::keys(&backing), 0);
}
