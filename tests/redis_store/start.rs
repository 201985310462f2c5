//! What a start says of the Redis.

use crate::common::backing::{Backing, Kind};
use crate::common::resp::Reply;
use crate::common::server::{Options, Server, free_port};
use crate::common::stores::share_a_service;
use crate::common::temp_dir::TempDir;
use crate::common::tls_front::Certificates;
use crate::{at, impatient, inside, refusal};
use std::process::Command;

fn said_of(store: &str) -> (String, String) {
    let mut server = Server::start(&at(store));
    assert_eq!(server.client().cmd("SET k v"), Reply::ok());
    assert_eq!(server.terminate().code(), Some(0));
    let said = server.stdout();
    let line = said.iter().find(|line| line.starts_with("store ")).expect("the store's line");
    (line.clone(), server.said())
}

#[test]
fn says_what_the_settings_of_the_redis_promise() {
    let dir = TempDir::named("promises");
    let backing = Backing::redis(dir.path(), &[]);
    let store = backing.store().to_owned();
    let mut redis = inside(&backing);
    let mut after = |settings: &[&str]| {
        for setting in settings {
            let (name, value) = setting.split_once(' ').expect("a name and a value");
            assert_eq!(redis.run(&["CONFIG", "SET", name, value]), Reply::ok());
        }
        said_of(&store)
    };
    let (line, all) = after(&[]);
    let always = "(appendonly, appendfsync always: what is answered is on its disk)";
    assert_eq!(line, format!("store      {store} {always}"));
    assert!(!all.contains("warning"), "{all}");

    let (line, all) = after(&["appendfsync everysec"]);
    assert!(line.contains("can lose the last second of answered writes"), "{line}");
    assert!(!all.contains("warning"), "{all}");

    let (line, all) = after(&["appendonly no"]);
    assert!(line.contains("keeps nothing on its disk"), "{line}");
    assert!(all.contains("aft: warning: this Redis keeps nothing on its disk"), "{all}");

    let (line, all) = after(&["save 60 1"]);
    assert!(line.contains("snapshots only"), "{line} {all}");
}

#[test]
fn says_when_the_redis_does_not_tell() {
    let dir = TempDir::named("silent");
    let backing = Backing::redis(dir.path(), &[]);
    let mut redis = inside(&backing);
    assert_eq!(redis.cmd("ACL SETUSER aft on >pw ~{aft:* +@all -config"), Reply::ok());
    let address = backing.store().replace("redis://", "redis://aft:pw@");
    let (line, _) = said_of(&address);
    assert!(line.contains("appendfsync is not known, since CONFIG is forbidden"), "{line}");
    assert!(!line.contains("pw"), "{line}");
    assert_eq!(redis.cmd("ACL SETUSER aft -info"), Reply::ok());
    let (line, all) = said_of(&address);
    assert!(line.contains("not known, since INFO is forbidden"), "{line}");
    assert!(all.contains("maxmemory-policy has to be noeviction"), "{all}");
}

/// What docs/stores.md says, to the letter.
#[test]
fn the_user_of_the_docs_has_all_it_needs() {
    let dir = TempDir::named("least");
    let backing = Backing::redis(dir.path(), &[]);
    serves_the_user_of_the_docs(&backing, backing.store(), "");
    serves_the_user_of_the_docs(&backing, &format!("{}/3", backing.store()), "+select");
}

#[test]
fn the_user_of_the_docs_has_all_it_needs_of_a_cluster() {
    let dir = TempDir::named("least-cluster");
    let backing = Backing::start(Kind::RedisCluster, dir.path());
    serves_the_user_of_the_docs(&backing, backing.store(), "+cluster|slots +asking");
}

/// It serves a user with the least permissions, and these.
fn serves_the_user_of_the_docs(backing: &Backing, store: &str, besides: &str) {
    let docs = include_str!("../../docs/stores.md");
    let line = docs.lines().find(|line| line.starts_with("ACL SETUSER aft ")).expect("the line");
    assert!(besides.is_empty() || docs.contains(&format!("`{besides}`")), "{besides}");
    for node in backing.servers().iter() {
        assert_eq!(node.client().cmd(&format!("{line} {besides}")), Reply::ok());
    }
    let address = store.replace("://", "://aft:PASSWORD@");
    let mut server = Server::start(&at(&address));
    let value = "x".repeat(1000);
    for n in 0..50 {
        assert_eq!(server.client().run(&["SET", &format!("k{n}"), &value]), Reply::ok());
    }
    // A start reads, lists, and deletes what it replaces.
    server.kill_9();
    server.restart();
    assert_eq!(server.client().cmd("GET k49"), Reply::bulk(&value));
    assert_eq!(server.client().cmd("GET k49"), Reply::bulk(&value));
    drop(server);
    let verified = verify(&address);
    assert!(verified.ends_with("nothing is wrong\n"), "{verified}");
}

fn verify(store: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aft"));
    let out = command.args(["store", "verify", "--store", store]).output().expect("aft store");
    String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned()
}

#[test]
fn verify_and_stats_look_into_a_redis_and_write_nothing() {
    let dir = TempDir::named("verify");
    let backing = Backing::redis(dir.path(), &[]);
    let nothing = verify(backing.store());
    assert!(nothing.contains("there is no store of aft"), "{nothing}");
    assert_eq!(crate::keys(&backing), 0);

    let mut server = Server::start(&Options::on(&backing));
    assert_eq!(server.client().cmd("MSET a 1 b 2"), Reply::ok());
    assert_eq!(server.terminate().code(), Some(0));
    let keys = crate::keys(&backing);
    let verified = verify(backing.store());
    assert!(verified.ends_with("nothing is wrong\n"), "{verified}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_aft"));
    let stats = command.args(["store", "stats", "--json", "--store", backing.store()]).output();
    let stats = String::from_utf8(stats.expect("aft store").stdout).expect("text");
    assert!(stats.contains("\"keys\":2"), "{stats}");
    assert_eq!(crate::keys(&backing), keys);

    // An object that somebody has deleted is missed.
    let mut redis = inside(&backing);
    let objects = redis.cmd("KEYS *:o:log/*");
    let Reply::Array(objects) = objects else { panic!("{objects:?}") };
    let group = objects.iter().filter_map(Reply::text).min().expect("a group");
    assert_eq!(redis.run(&["DEL", &group]), Reply::Int(1));
    let verified = verify(backing.store());
    assert!(!verified.ends_with("nothing is wrong\n"), "{verified}");
}

/// The index of names has it still: nobody takes an object out of both by accident.
#[test]
fn what_somebody_has_deleted_in_the_redis_is_told_and_the_rest_is_served() {
    const KEYS: usize = 6;
    let dir = TempDir::named("deleted");
    let backing = Backing::redis(dir.path(), &[]);
    let mut server = Server::start(&impatient(Options::on(&backing)));
    for key in 0..KEYS {
        assert_eq!(server.client().cmd(&format!("SET k{key} {key}")), Reply::ok());
    }
    server.kill_9();
    let mut redis = inside(&backing);
    let objects = redis.cmd("KEYS *:o:log/*");
    let Reply::Array(objects) = objects else { panic!("{objects:?}") };
    let mut groups: Vec<String> = objects.iter().filter_map(Reply::text).collect();
    groups.sort_by_key(|group| group.rsplit_once("log/").map(|(_, name)| name.to_owned()));
    let deleted = &groups[groups.len() / 2];
    assert_eq!(redis.run(&["DEL", deleted]), Reply::Int(1));

    for _ in 0..2 {
        let mut options = impatient(Options::on(&backing));
        options.extra.push("--takeover".to_owned());
        let mut server = Server::start(&options);
        let mut client = server.client();
        let values = (0..KEYS).map(|key| (key, client.cmd(&format!("GET k{key}"))));
        let (there, gone): (Vec<_>, Vec<_>) = values.partition(|(_, value)| !value.is_nil());
        assert!(there.iter().all(|(key, value)| *value == Reply::bulk(key.to_string())));
        assert_eq!(gone.len(), 1, "{gone:?}");
        assert_eq!(server.terminate().code(), Some(0));
        let (_, name) = deleted.split_once(":o:").expect("a key");
        assert!(server.said().contains(name), "{}", server.said());
    }
}

#[test]
fn several_share_a_redis_by_prefix_and_by_database() {
    let dir = TempDir::named("shared");
    let backing = Backing::redis(dir.path(), &[]);
    let stores = ["", "?prefix=other", "/3"].map(|rest| format!("{}{rest}", backing.store()));
    share_a_service(&stores);
}

/// The same certificates as those of `tests/tls`.
#[test]
fn over_tls_with_certificates_of_ones_own() {
    let dir = TempDir::named("store-tls");
    let certificates = Certificates::make(dir.path());
    let file = |name| file(&certificates, name);
    let (port, ca) = (free_port(), file("ca.crt"));
    let mut tls = certificates.of_redis(port);
    tls.extend(["--requirepass", "pw"].map(str::to_owned));
    let tls: Vec<&str> = tls.iter().map(String::as_str).collect();
    let _backing = Backing::redis(&dir.path().join("data"), &tls);
    let with_ca = format!("rediss://:pw@localhost:{port}?ca={ca}");
    let with_both = format!("{with_ca}&cert={}&key={}", file("client.crt"), file("client.key"));
    let (line, _) = said_of(&with_both);
    assert!(line.contains("rediss://:********@localhost:"), "{line}");
    // Nobody vouches for it.
    let line = refusal(&at(&format!("rediss://:pw@localhost:{port}")));
    assert!(line.contains("?ca=FILE"), "{line}");
    // It wants to see a certificate, and one that its authority vouches for.
    for store in [with_ca.clone(), with_both.replace("/client.", "/stranger.")] {
        let line = refusal(&at(&store));
        assert!(line.contains("?cert=FILE&key=FILE"), "{line}");
    }
    let line = refusal(&at(&format!("{with_ca}.missing")));
    assert!(line.contains("can't read") && line.contains(".missing"), "{line}");
}

#[test]
fn a_cluster_serves_and_says_so() {
    let dir = TempDir::named("cluster");
    let backing = Backing::start(Kind::RedisCluster, dir.path());
    let mut server = Server::start(&Options::on(&backing));
    assert_eq!(server.client().cmd("SET k v"), Reply::ok());
    server.kill_9();
    server.restart();
    assert_eq!(server.client().cmd("GET k"), Reply::bulk("v"));
    let info = server.client().cmd("INFO aft").text().expect("text");
    assert!(info.contains("store:redis-cluster\r\n"), "{info}");
    // One node of it, taken for the whole.
    let node = backing.servers()[0].addr();
    let line = refusal(&at(&format!("redis://{node}")));
    assert!(line.contains("use redis-cluster://"), "{line}");
}

/// The nodes that the cluster itself names are reached in the same way as those of the address.
#[test]
fn a_cluster_over_tls_with_certificates_of_ones_own() {
    let dir = TempDir::named("tls-cluster");
    let certificates = Certificates::make(dir.path());
    let backing = Backing::tls_cluster(&dir.path().join("data"), &certificates);
    for node in backing.servers().iter() {
        assert_eq!(node.client().cmd("CONFIG SET requirepass pw"), Reply::ok());
    }
    let password = |address: &str| address.replace("rediss-cluster://", "rediss-cluster://:pw@");
    let store = password(backing.store());
    let mut server = Server::start(&at(&store));
    let key = |n: u32| format!("k{n}");
    for n in 0..50 {
        assert_eq!(server.client().run(&["SET", &key(n), &n.to_string()]), Reply::ok());
    }
    server.kill_9();
    server.restart();
    for n in 0..50 {
        assert_eq!(server.client().run(&["GET", &key(n)]), Reply::bulk(n.to_string()));
    }
    assert!(server.said().contains("rediss-cluster://:********@127.0.0.1:"), "{}", server.said());
    for node in backing.servers().iter() {
        let mut client = node.client();
        assert_eq!(client.cmd("AUTH pw"), Reply::ok());
        assert!(client.cmd("DBSIZE").int() > 0, "each has a share of it");
        // We are the only one whose connection is not over TLS.
        let list = client.cmd("CLIENT LIST").text().expect("text");
        let plain = format!("laddr={} ", node.addr());
        let (plain, tls): (Vec<_>, Vec<_>) = list.lines().partition(|line| line.contains(&plain));
        assert!(plain.len() == 1 && !tls.is_empty(), "{list}");
    }
    drop(server);
    let first_node = backing.store().split(',').next().expect("a node");
    let options = backing.store().split_once('?').expect("options").1;
    let one = password(&format!("{first_node}?{options}"));
    let server = Server::start(&Options { takeover: true, ..at(&one) });
    assert_eq!(server.client().cmd("GET k49"), Reply::bulk("49"));
    drop(server);

    let refused = |store: String| {
        let line = refusal(&at(&store));
        assert!(line.starts_with("aft: rediss-cluster://:********@"), "{line}");
        line
    };
    let [ca, other_ca] = ["ca.crt", "other-ca.crt"].map(|name| file(&certificates, name));
    let without = store.replace(&format!("?{options}"), "");
    for store in [
        // Nobody vouches for it, or the wrong one does.
        without.clone(),
        store.replace(&ca, &other_ca),
        // It wants to see a certificate, and one that its authority vouches for.
        format!("{without}?ca={ca}"),
        store.replace("/client.", "/stranger."),
    ] {
        let line = refused(store);
        assert!(line.contains("?ca=FILE") && line.contains("?cert=FILE&key=FILE"), "{line}");
    }
    let line = refused(store.replace(":pw@", ":other@"));
    assert!(line.contains("redis://user:password@host"), "{line}");
    let line = refused(store.replace(&ca, &format!("{ca}.missing")));
    assert!(line.contains("can't read") && line.contains("ca.crt.missing"), "{line}");
}

fn file(certificates: &Certificates<'_>, name: &str) -> String {
    certificates.file(name).display().to_string()
}
