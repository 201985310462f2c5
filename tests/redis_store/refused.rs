//! Starts that are refused: the line says what to do, and the Redis is as it was.

use crate::common::backing::{Backing, Kind};
use crate::common::resp::Reply;
use crate::common::server::{Options, Peer, Server};
use crate::common::temp_dir::TempDir;
use crate::{at, impatient, inside, keys, refusal};
use std::net::TcpListener;

/// Starts, is refused, and has left nothing.
#[track_caller]
fn refused(backing: &Backing, options: &Options, words: &[&str]) {
    let before = keys(backing);
    let line = refusal(options);
    assert!(line.starts_with("aft: redis"), "{line}");
    for word in words {
        assert!(line.contains(word), "{word:?} is not in {line}");
    }
    assert_eq!(keys(backing), before, "{line}");
}

fn plain(dir: &TempDir, extra: &[&str]) -> Backing {
    Backing::redis(dir.path(), extra)
}

#[test]
fn wrong_credentials() {
    let dir = TempDir::named("credentials");
    let backing = plain(&dir, &[]);
    let mut redis = inside(&backing);
    assert_eq!(redis.cmd("CONFIG SET requirepass right"), Reply::ok());
    let with = |credentials: &str| {
        at(&backing.store().replace("redis://", &format!("redis://{credentials}")))
    };
    for credentials in ["", ":wrong@", "nobody:right@"] {
        let line = refusal(&with(credentials));
        assert!(line.contains("redis://user:password@host"), "{line}");
        assert!(!line.contains("wrong@") && !line.contains("right@"), "{line}");
    }
    assert_eq!(redis.cmd("DBSIZE"), Reply::Int(0));
    let server = Server::start(&with(":right@"));
    assert_eq!(server.client().cmd("SET k v"), Reply::ok());
    assert!(!server.said().contains("right"), "{}", server.said());
}

#[test]
fn wrong_credentials_for_a_cluster() {
    let dir = TempDir::named("cluster-credentials");
    let backing = Backing::start(Kind::RedisCluster, dir.path());
    for node in backing.servers().iter() {
        assert_eq!(node.client().cmd("CONFIG SET requirepass right"), Reply::ok());
    }
    for credentials in ["", ":wrong@", "nobody:right@"] {
        let line = refusal(&at(&backing.store().replace("://", &format!("://{credentials}"))));
        assert!(line.contains("redis://user:password@host"), "{line}");
        assert!(!line.contains("wrong@") && !line.contains("right@"), "{line}");
    }
}

#[test]
fn a_user_who_may_not_write() {
    let dir = TempDir::named("read-only-user");
    let backing = plain(&dir, &[]);
    let mut redis = inside(&backing);
    for (rules, missing) in [
        ("~{aft:* +@all -@write", "NOPERM"),
        ("~{aft:* +@all -unlink", "NOPERM"),
        ("~other:* +@all", "NOPERM"),
    ] {
        let user = format!("ACL SETUSER aft reset on >pw {rules}");
        assert_eq!(redis.cmd(&user), Reply::ok());
        let options = at(&backing.store().replace("redis://", "redis://aft:pw@"));
        refused(&backing, &options, &[missing, "docs/stores.md"]);
    }
}

#[test]
fn a_redis_that_evicts() {
    let dir = TempDir::named("evicts");
    let backing = plain(&dir, &["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let words = ["maxmemory-policy allkeys-lru", "CONFIG SET maxmemory-policy noeviction"];
    refused(&backing, &Options::on(&backing), &words);
    let mut redis = inside(&backing);
    assert_eq!(redis.cmd("CONFIG SET maxmemory 0"), Reply::ok());
    let server = Server::start(&Options::on(&backing));
    let said = server.said();
    assert!(said.contains("warning: maxmemory-policy of this Redis is allkeys-lru"), "{said}");
}

#[test]
fn a_replica() {
    let dir = TempDir::named("replica");
    let backing = plain(&dir, &[]);
    let addr = backing.servers()[0].addr();
    let of = ["--replicaof", &addr.ip().to_string(), &addr.port().to_string()].map(str::to_owned);
    let replica = Backing::redis(&dir.path().join("replica"), &of.each_ref().map(String::as_str));
    let primary = addr.to_string();
    refused(&replica, &impatient(Options::on(&replica)), &["is a replica", &primary]);
}

#[test]
fn a_full_redis() {
    let dir = TempDir::named("full");
    let backing = plain(&dir, &["--maxmemory", "1"]);
    refused(&backing, &Options::on(&backing), &["OOM", "maxmemory"]);
}

#[test]
fn one_that_wants_more_replicas() {
    let dir = TempDir::named("noreplicas");
    let backing = plain(&dir, &["--min-replicas-to-write", "1"]);
    let options = impatient(Options::on(&backing));
    refused(&backing, &options, &["NOREPLICAS", "min-replicas-to-write"]);
}

#[test]
fn strings_that_are_too_short() {
    let dir = TempDir::named("short");
    let backing = plain(&dir, &["--proto-max-bulk-len", "15mb"]);
    refused(&backing, &Options::on(&backing), &["proto-max-bulk-len", "16777216"]);
}

#[test]
fn keys_of_somebody_else() {
    let dir = TempDir::named("foreign");
    let backing = plain(&dir, &[]);
    let mut redis = inside(&backing);
    for shard in 0..16 {
        assert_eq!(redis.cmd(&format!("LPUSH {{aft:{shard:02}}}:index mine")), Reply::Int(1));
    }
    refused(&backing, &Options::on(&backing), &["WRONGTYPE", "?prefix="]);
    assert_eq!(redis.cmd("FLUSHALL"), Reply::ok());
    assert_eq!(redis.run(&["SET", "{aft:00}:format", "aft 2 of tomorrow"]), Reply::ok());
    refused(&backing, &Options::on(&backing), &["a newer version", "aft 2 of tomorrow"]);
}

#[test]
fn what_is_no_redis_or_not_there() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let addr = taken.local_addr().expect("its address");
    // It takes connections and says nothing.
    let line = refusal(&impatient(at(&format!("redis://{addr}"))));
    assert!(line.contains("no connection in time") || line.contains("does not answer"), "{line}");
    drop(taken);
    let line = refusal(&impatient(at(&format!("redis://{addr}"))));
    assert!(line.contains("refused"), "{line}");

    let aft = Server::start(&Options { peer: Peer::Aft, ..Options::memory() });
    let line = refusal(&at(&format!("redis://{}", aft.addr())));
    assert!(line.contains("this is an aft"), "{line}");

    let dir = TempDir::named("no-cluster");
    let backing = plain(&dir, &[]);
    let store = backing.store().replace("redis://", "redis-cluster://");
    let line = refusal(&impatient(at(&store)));
    assert!(line.contains("this is no Redis Cluster: use redis://"), "{line}");
}
