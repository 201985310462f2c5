//! redis-cli with OpenSSL on the other side: another TLS library than ours.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::common::resp::{Reply, encode};
use crate::common::server::Options;
use crate::common::temp_dir::TempDir;
use crate::world::TlsServer;

fn run(server: &TlsServer, arguments: &[&str], input: &[u8]) -> Output {
    let file = |name| server.certificates.name(name);
    let port = server.addr.port().to_string();
    let mut cli = Command::new("redis-cli")
        .args(["-h", "127.0.0.1", "-p", &port, "--tls", "--cacert", &file("ca.crt")])
        .args(["--cert", &file("client.crt"), "--key", &file("client.key")])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("redis-cli");
    // Small enough for a pipe, or read before anything is printed.
    cli.stdin.take().expect("piped").write_all(input).expect("redis-cli reads");
    cli.wait_with_output().expect("redis-cli ends")
}

fn said(server: &TlsServer, arguments: &[&str], input: &[u8]) -> String {
    let output = run(server, arguments, input);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

#[test]
fn redis_cli_over_tls() {
    let dir = TempDir::named("tls-cli");
    let server = TlsServer::start_with("yes", Options::durable(dir.path()));
    assert_eq!(said(&server, &["PING"], b""), "PONG");
    assert_eq!(said(&server, &["SET", "k", "v"], b""), "OK");
    assert_eq!(said(&server, &["-3", "GET", "k"], b""), "v");
    let big = b"0123456789abcdef".repeat(1 << 19);
    assert_eq!(said(&server, &["-x", "SET", "big"], &big), "OK");
    assert_eq!(said(&server, &["GET", "big"], b"").as_bytes(), big);

    let mut requests = Vec::new();
    for n in 0..20_000 {
        encode(&["INCR", "n"], &mut requests);
        encode(&["SET", &format!("k{n}"), "v"], &mut requests);
    }
    let piped = said(&server, &["--pipe"], &requests);
    assert!(piped.ends_with("errors: 0, replies: 40000"), "{piped}");
    assert_eq!(server.client().cmd("GET n"), Reply::bulk("20000"));
}

#[test]
fn redis_benchmark_over_tls() {
    let server = TlsServer::start("yes");
    let file = |name| server.certificates.name(name);
    let port = server.addr.port().to_string();
    let output = Command::new("redis-benchmark")
        .args(["-p", &port, "--tls", "--cacert", &file("ca.crt")])
        .args(["--cert", &file("client.crt"), "--key", &file("client.key")])
        .args(["-t", "set,get", "-n", "20000", "-c", "20", "-P", "16", "-d", "1000", "--csv"])
        .output()
        .expect("redis-benchmark");
    let shown = String::from_utf8_lossy(&output.stdout);
    println!("{shown}");
    assert!(output.status.success() && shown.contains("\"GET\","), "{output:?}");
}
