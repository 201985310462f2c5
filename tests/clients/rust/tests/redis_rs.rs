//! redis-rs against the server in AFT_BINARY, in both protocols.

use aft_client_tests::{PASSWORD, Server, Way, certificate, in_every_way, is_redis};
use redis::{
    Client, ClientTlsConfig, Commands, Connection, ErrorKind, ExistenceCheck, RedisResult,
    SetExpiry, SetOptions, TlsCertificates, Value,
};

in_every_way! {
    a_url_alone_binds_to_a_transaction,
    auth,
    big_value_and_all_bytes,
    database_at_connect,
    multi,
    pipeline,
    pool_of_50,
    reconnects_after_kill_9_and_the_acknowledged_data_is_there,
    strings_and_errors,
    the_protocol_asked_for,
    watch_conflict_is_retried,
}

fn client(server: &Server, user: &str, way: Way, database: u32) -> Client {
    as_who(Some("client"), server, user, way, database)
}

/// With the certificate of `who`, or none.
fn as_who(who: Option<&str>, server: &Server, user: &str, way: Way, database: u32) -> Client {
    let (scheme, port) = (if way.tls { "rediss" } else { "redis" }, server.port);
    let protocol = way.protocol;
    let url = format!("{scheme}://{user}127.0.0.1:{port}/{database}?protocol=resp{protocol}");
    if !way.tls {
        return Client::open(url).unwrap();
    }
    let read = |name: String| std::fs::read(certificate(&name)).unwrap();
    let own = who.map(|who| ClientTlsConfig {
        client_cert: read(format!("{who}.crt")),
        client_key: read(format!("{who}.key")),
    });
    let certificates = TlsCertificates { client_tls: own, root_cert: Some(read("ca.crt".into())) };
    Client::build_with_tls(url, certificates).unwrap()
}

fn start(way: Way) -> (Server, Client, Connection) {
    let server = Server::new(way.tls);
    let client = client(&server, &format!(":{PASSWORD}@"), way, 0);
    let connection = client.get_connection().unwrap();
    (server, client, connection)
}

fn the_protocol_asked_for(way: Way) {
    let (_server, _, mut c) = start(way);
    let hello: std::collections::HashMap<String, Value> =
        redis::cmd("HELLO").query(&mut c).unwrap();
    assert_eq!(hello["proto"], Value::Int(i64::from(way.protocol)));
}

fn auth(way: Way) {
    let server = Server::new(way.tls);
    for (user, right) in [
        ("", false),
        (":wrong@", false),
        ("x:secret@", false),
        (":secret@", true),
        ("default:secret@", true),
    ] {
        let answer: RedisResult<()> = client(&server, user, way, 0)
            .get_connection()
            .and_then(|mut connection| connection.set("k", "v"));
        match answer {
            Ok(()) => assert!(right, "{user:?} came in"),
            Err(error) if user.is_empty() => assert_eq!(error.code(), Some("NOAUTH"), "{error}"),
            Err(error) => {
                assert!(!right, "{error}");
                // AUTH's refusal is called so; HELLO's is passed on as it is.
                let refused = error.kind() == ErrorKind::AuthenticationFailed;
                assert!(refused || error.code() == Some("WRONGPASS"), "{error}");
            }
        }
    }
}

fn strings_and_errors(way: Way) {
    let (_server, _, mut c) = start(way);
    assert_eq!(c.get::<_, Option<String>>("k").unwrap(), None);
    let seconds = SetOptions::default().with_expiration(SetExpiry::EX(100));
    let () = c.set_options("k", "v", seconds).unwrap();
    let new = SetOptions::default().conditional_set(ExistenceCheck::NX);
    assert_eq!(c.set_options::<_, _, Option<String>>("k", "w", new).unwrap(), None);
    let keep = SetOptions::default().with_expiration(SetExpiry::KEEPTTL).get(true);
    let old: String = c.set_options("k", "w", keep).unwrap();
    assert_eq!(old, "v");
    assert!((96..=100).contains(&c.ttl::<_, i64>("k").unwrap()));
    let () = c.mset(&[("a", 1), ("b", 2)]).unwrap();
    let values: Vec<Option<i64>> = c.mget(&["a", "none", "b"]).unwrap();
    assert_eq!(values, [Some(1), None, Some(2)]);
    assert_eq!(c.incr::<_, _, i64>("a", 41).unwrap(), 42);
    let error = c.incr::<_, _, i64>("k", 1).unwrap_err();
    assert_eq!(error.detail(), Some("value is not an integer or out of range"));
    let error = redis::cmd("NOSUCH").exec(&mut c).unwrap_err();
    assert!(error.detail().unwrap().starts_with("unknown command 'NOSUCH'"), "{error}");
    assert_eq!(c.del::<_, i64>(&["a", "none"]).unwrap(), 1);
    assert_eq!(redis::cmd("DBSIZE").query::<i64>(&mut c).unwrap(), 2);
}

fn a_url_alone_binds_to_a_transaction(way: Way) {
    if is_redis() {
        return;
    }
    let (server, _, mut runner) = start(way);
    let (token, _, _): (String, String, Option<String>) =
        redis::cmd("AFT.BEGIN").query(&mut runner).unwrap();
    let _: () = redis::cmd("AFT.LEAVE").query(&mut runner).unwrap();
    let bound = client(&server, &format!("default~{token}:{PASSWORD}@"), way, 0);
    let mut bound = bound.get_connection().unwrap();
    assert_eq!(bound.incr::<_, _, i64>("k", 1), Ok(1));
    assert_eq!(runner.get::<_, Option<i64>>("k"), Ok(None));
    let _: String = redis::cmd("AFT.COMMIT").arg(token).query(&mut runner).unwrap();
    assert_eq!(runner.get::<_, Option<i64>>("k"), Ok(Some(1)));
    let refused = bound.incr::<_, _, i64>("k", 1).unwrap_err();
    assert_eq!(refused.code(), Some("NOTXN"), "{refused}");
}

fn database_at_connect(way: Way) {
    let (server, _, mut c) = start(way);
    let mut other = client(&server, ":secret@", way, 3).get_connection().unwrap();
    let () = other.set("k", "3").unwrap();
    assert_eq!(c.get::<_, Option<String>>("k").unwrap(), None);
}

fn pipeline(way: Way) {
    let (_server, _, mut c) = start(way);
    let mut pipe = redis::pipe();
    for n in 0..1000 {
        pipe.set(format!("k{n}"), n).ignore().get(format!("k{n}"));
    }
    let values: Vec<i64> = pipe.query(&mut c).unwrap();
    assert_eq!(values, (0..1000).collect::<Vec<_>>());
}

fn multi(way: Way) {
    let (_server, _, mut c) = start(way);
    let values: (String, i64, i64, Option<i64>) =
        redis::pipe().atomic().set("a", 1).incr("a", 1).get("a").get("none").query(&mut c).unwrap();
    assert_eq!(values, ("OK".to_owned(), 2, 2, None));

    let () = c.set("s", "text").unwrap();
    let error =
        redis::pipe().atomic().set("a", 5).incr("s", 1).set("b", 6).exec(&mut c).unwrap_err();
    assert!(error.to_string().contains("not an integer"), "{error}"); // the others stand
    assert_eq!(c.mget::<_, Vec<i64>>(&["a", "b"]).unwrap(), [5, 6]);
}

fn watch_conflict_is_retried(way: Way) {
    let (_server, client, mut c) = start(way);
    let mut other = client.get_connection().unwrap();
    let () = c.set("k", 1).unwrap();
    let mut seen = Vec::new();
    let (answer,): (String,) = redis::transaction(&mut c, &["k"], |c, pipe| {
        let value: i64 = c.get("k")?;
        seen.push(value);
        if seen.len() == 1 {
            let () = other.set("k", 10)?;
        }
        pipe.set("k", value * 2).query(c)
    })
    .unwrap();
    assert_eq!(answer, "OK");
    assert_eq!(seen, [1, 10]);
    assert_eq!(c.get::<_, i64>("k").unwrap(), 20);
}

fn pool_of_50(way: Way) {
    let (_server, client, mut c) = start(way);
    let pool = r2d2::Pool::builder().max_size(50).build(client).unwrap();
    assert_eq!(pool.state().connections, 50);
    let threads: Vec<_> = (0..100)
        .map(|_| {
            let pool = pool.clone();
            std::thread::spawn(move || {
                let count = |_| pool.get().unwrap().incr("n", 1).unwrap();
                (0..20).map(count).collect::<Vec<i64>>()
            })
        })
        .collect();
    let mut counts: Vec<i64> =
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    counts.sort();
    assert_eq!(counts, (1..=2000).collect::<Vec<_>>());
    assert_eq!(c.get::<_, i64>("n").unwrap(), 2000);
}

fn big_value_and_all_bytes(way: Way) {
    let (_server, _, mut c) = start(way);
    let key: Vec<u8> = (0..=255).collect();
    let big = key.repeat((8 << 20) / 256);
    let () = c.set(&key, &big).unwrap();
    assert!(c.get::<_, Vec<u8>>(&key).unwrap() == big);
}

/// The connection manager answers what was in flight with an error and connects again behind it.
fn reconnects_after_kill_9_and_the_acknowledged_data_is_there(way: Way) {
    let (mut server, client, _) = start(way);
    let keys: Vec<String> = (0..100).map(|n| format!("k{n}")).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use redis::AsyncCommands;
        let short = redis::aio::ConnectionManagerConfig::new()
            .set_max_delay(std::time::Duration::from_millis(100));
        let mut manager = client.get_connection_manager_with_config(short).await.unwrap();
        for key in &keys {
            let () = manager.set(key, key).await.unwrap();
        }
        server.kill();
        let broken: RedisResult<String> = manager.get("k0").await;
        assert!(broken.unwrap_err().is_unrecoverable_error());
        server.start_again();
        let values = async {
            loop {
                match manager.mget::<_, Vec<String>>(&keys).await {
                    Ok(values) => break values,
                    Err(error) => assert!(error.is_unrecoverable_error(), "{error}"),
                }
            }
        };
        let limit = std::time::Duration::from_secs(20);
        assert_eq!(tokio::time::timeout(limit, values).await.unwrap(), keys);
    });
}

#[test]
fn who_has_no_certificate_of_ours_is_refused() {
    let way = Way { protocol: 3, tls: true };
    let server = Server::new(way.tls);
    for who in [None, Some("stranger")] {
        let answer: RedisResult<()> = as_who(who, &server, ":secret@", way, 0)
            .get_connection()
            .and_then(|mut connection| connection.set("k", "v"));
        assert!(answer.unwrap_err().is_io_error(), "{who:?}");
    }
}
