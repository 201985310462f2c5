//! fred against the server in AFT_BINARY, in both protocols.

use std::future::Future;
use std::sync::Arc;

use aft_client_tests::{PASSWORD, Server, Way, certificate, in_every_way};
use fred::prelude::*;
use fred::types::config::TlsConnector;
use fred::types::{InfoKind, RespVersion};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

in_every_way! {
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

fn builder(server: &Server, way: Way, change: impl FnOnce(&mut Config)) -> Builder {
    let mut config = Config {
        password: Some(PASSWORD.to_owned()),
        version: if way.protocol == 3 { RespVersion::RESP3 } else { RespVersion::RESP2 },
        server: ServerConfig::new_centralized("127.0.0.1", server.port),
        tls: way.tls.then(|| as_who(Some("client")).into()),
        ..Config::default()
    };
    change(&mut config);
    let mut builder = Builder::from_config(config);
    builder
        .set_policy(ReconnectPolicy::new_constant(200, 100))
        .with_connection_config(|connection| connection.max_command_attempts = 100);
    builder
}

/// With the certificate of `who`, or none.
fn as_who(who: Option<&str>) -> TlsConnector {
    let read = |name: &str| CertificateDer::from_pem_file(certificate(name)).unwrap();
    let mut trusted = RootCertStore::empty();
    trusted.add(read("ca.crt")).unwrap();
    let config = ClientConfig::builder().with_root_certificates(trusted);
    let config = match who {
        Some(who) => {
            let key = PrivateKeyDer::from_pem_file(certificate(&format!("{who}.key"))).unwrap();
            config.with_client_auth_cert(vec![read(&format!("{who}.crt"))], key).unwrap()
        }
        None => config.with_no_client_auth(),
    };
    tokio_rustls::TlsConnector::from(Arc::new(config)).into()
}

async fn connect(server: &Server, way: Way, change: impl FnOnce(&mut Config)) -> Client {
    let client = builder(server, way, change).build().unwrap();
    client.init().await.unwrap();
    client
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let limit = std::time::Duration::from_secs(60);
        tokio::time::timeout(limit, test).await.unwrap();
    });
}

fn the_protocol_asked_for(way: Way) {
    run(async {
        let server = Server::new(way.tls);
        let c = connect(&server, way, |_| {}).await;
        assert_eq!(c.protocol_version() == RespVersion::RESP3, way.protocol == 3);
        let name = format!("resp={}", way.protocol);
        let command = fred::types::CustomCommand::new_static("CLIENT", None, false);
        let info: String = c.custom(command, vec!["INFO"]).await.unwrap();
        assert!(info.split_whitespace().any(|field| field == name), "{info}");
        let server: String = c.info(Some(InfoKind::Server)).await.unwrap();
        assert!(server.contains("redis_version:7.0.15"), "{server}");
    });
}

fn auth(way: Way) {
    run(async {
        let server = Server::new(way.tls);
        for (user, password, right) in [
            (None, None, false),
            (None, Some("wrong"), false),
            (Some("x"), Some(PASSWORD), false),
            (None, Some(PASSWORD), true),
            (Some("default"), Some(PASSWORD), true),
        ] {
            let client = builder(&server, way, |config| {
                config.username = user.map(str::to_owned);
                config.password = password.map(str::to_owned);
                config.fail_fast = true;
            });
            let client = client.build().unwrap();
            let answer = match client.init().await {
                Ok(_) => client.set::<String, _, _>("k", "v", None, None, false).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(answer) => assert!(right && answer == "OK"),
                Err(error) => {
                    assert!(!right, "{error}");
                    assert_eq!(*error.kind(), ErrorKind::Auth, "{error}");
                }
            }
        }
    });
}

fn strings_and_errors(way: Way) {
    run(async {
        let server = Server::new(way.tls);
        let c = connect(&server, way, |_| {}).await;
        assert_eq!(c.get::<Option<String>, _>("k").await.unwrap(), None);
        let seconds = Some(Expiration::EX(100));
        let () = c.set("k", "v", seconds, None, false).await.unwrap();
        let refused: Option<String> =
            c.set("k", "w", None, Some(SetOptions::NX), false).await.unwrap();
        assert_eq!(refused, None);
        let keep = Some(Expiration::KEEPTTL);
        let old: String = c.set("k", "w", keep, None, true).await.unwrap();
        assert_eq!(old, "v");
        assert!((96..=100).contains(&c.ttl::<i64, _>("k").await.unwrap()));
        let () = c.mset(vec![("a", 1), ("b", 2)]).await.unwrap();
        let values: Vec<Option<i64>> = c.mget(vec!["a", "none", "b"]).await.unwrap();
        assert_eq!(values, [Some(1), None, Some(2)]);
        assert_eq!(c.incr_by::<i64, _>("a", 41).await.unwrap(), 42);
        let error = c.incr::<i64, _>("k").await.unwrap_err();
        assert_eq!(error.details(), "ERR value is not an integer or out of range");
        let command = fred::types::CustomCommand::new_static("NOSUCH", None, false);
        let error = c.custom::<(), &str>(command, vec![]).await.unwrap_err();
        assert!(error.details().starts_with("ERR unknown command 'NOSUCH'"), "{error}");
        assert_eq!(c.del::<i64, _>(vec!["a", "none"]).await.unwrap(), 1);
        assert_eq!(c.dbsize::<i64>().await.unwrap(), 2);
    });
}

fn database_at_connect(way: Way) {
    run(async {
        let server = Server::new(way.tls);
        let c = connect(&server, way, |_| {}).await;
        let other = connect(&server, way, |config| config.database = Some(3)).await;
        let () = other.set("k", "3", None, None, false).await.unwrap();
        assert_eq!(c.get::<Option<String>, _>("k").await.unwrap(), None);
    });
}

fn pipeline(way: Way) {
    run(async {
        let server = Server::new(way.tls);
        let c = connect(&server, way, |_| {}).await;
        let pipeline = c.pipeline();
        for n in 0..1000 {
            let () = pipeline.set(format!("k{n}"), n, None, None, false).await.unwrap();
            let () = pipeline.get(format!("k{n}")).await.unwrap();
        }
        let replies: Vec<String> = pipeline.all().await.unwrap();
        let expected: Vec<String> =
            (0..1000).flat_map(|n| ["OK".to_owned(), n.to_string()]).collect();
        assert_eq!(replies, expected);
    });
}

fn multi(way: Way) {
    run(async {
        let server = Server::new(way.tls);
        let c = connect(&server, way, |_| {}).await;
        let multi = c.multi();
        let () = multi.set("a", 1, None, None, false).await.unwrap();
        let () = multi.incr("a").await.unwrap();
        let () = multi.get("a").await.unwrap();
        let () = multi.get("none").await.unwrap();
        let replies: (String, i64, i64, Option<i64>) = multi.exec(true).await.unwrap();
        assert_eq!(replies, ("OK".to_owned(), 2, 2, None));
    });
}

fn watch_conflict_is_retried(way: Way) {
    run(async {
        let server = Server::new(way.tls);
        let c = connect(&server, way, |_| {}).await;
        let other = connect(&server, way, |_| {}).await;
        let () = c.set("k", 1, None, None, false).await.unwrap();
        let mut seen = Vec::new();
        loop {
            let () = c.watch("k").await.unwrap();
            let value: i64 = c.get("k").await.unwrap();
            seen.push(value);
            if seen.len() == 1 {
                let () = other.set("k", 10, None, None, false).await.unwrap();
            }
            let multi = c.multi();
            let () = multi.set("k", value * 2, None, None, false).await.unwrap();
            let done: Value = multi.exec(true).await.unwrap();
            if !done.is_null() {
                break;
            }
        }
        assert_eq!(seen, [1, 10]);
        assert_eq!(c.get::<i64, _>("k").await.unwrap(), 20);
    });
}

fn pool_of_50(way: Way) {
    run(async {
        let server = Server::new(way.tls);
        let pool = builder(&server, way, |_| {}).build_pool(50).unwrap();
        pool.init().await.unwrap();
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move {
                    let mut counts = Vec::new();
                    for _ in 0..20 {
                        counts.push(pool.incr::<i64, _>("n").await.unwrap());
                    }
                    counts
                })
            })
            .collect();
        let mut counts = Vec::new();
        for task in tasks {
            counts.extend(task.await.unwrap());
        }
        counts.sort();
        assert_eq!(counts, (1..=2000).collect::<Vec<_>>());
    });
}

fn big_value_and_all_bytes(way: Way) {
    run(async {
        let server = Server::new(way.tls);
        let c = connect(&server, way, |_| {}).await;
        let key: Vec<u8> = (0..=255).collect();
        let big = key.repeat((8 << 20) / 256);
        let () = c.set(key.as_slice(), big.as_slice(), None, None, false).await.unwrap();
        let got: fred::bytes::Bytes = c.get(key.as_slice()).await.unwrap();
        assert!(got == big);
    });
}

fn reconnects_after_kill_9_and_the_acknowledged_data_is_there(way: Way) {
    run(async {
        let mut server = Server::new(way.tls);
        let c = connect(&server, way, |_| {}).await;
        let keys: Vec<String> = (0..100).map(|n| format!("k{n}")).collect();
        for key in &keys {
            let () = c.set(key, key, None, None, false).await.unwrap();
        }
        server.kill();
        let values = tokio::spawn({
            let (c, keys) = (c.clone(), keys.clone());
            async move { c.mget::<Vec<String>, _>(keys).await } // waits for the connection that comes
        });
        server.start_again();
        assert_eq!(values.await.unwrap().unwrap(), keys);
        let () = c.set("again", "yes", None, None, false).await.unwrap();
    });
}

#[test]
fn who_has_no_certificate_of_ours_is_refused() {
    run(async {
        let way = Way { protocol: 3, tls: true };
        let server = Server::new(way.tls);
        for who in [None, Some("stranger")] {
            let client = builder(&server, way, |config| {
                config.tls = Some(as_who(who).into());
                config.fail_fast = true;
            });
            let client = client.build().unwrap();
            let answer = match client.init().await {
                Ok(_) => client.set::<(), _, _>("k", "v", None, None, false).await,
                Err(error) => Err(error),
            };
            let error = answer.unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::IO, "{who:?} {error}");
        }
    });
}
