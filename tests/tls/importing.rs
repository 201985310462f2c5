//! `aft import` from a server that speaks TLS.

use std::process::{Command, Output};

use crate::common::resp::Reply;
use crate::common::server::{Options, Peer, Server};
use crate::world::TlsServer;

fn import(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aft")).arg("import").args(words).output().expect("aft")
}

#[test]
fn a_server_with_tls_is_imported_from_if_it_is_who_it_says() {
    let source = TlsServer::start("no");
    source.client_as(None).cmd("SET k v");
    let target = Server::start(&Options { peer: Peer::Aft, ..Options::memory() });
    let to = format!("redis://{}", target.addr());
    let from = format!("rediss://{}", source.addr);
    let authorities = source.certificates.name("ca.crt");
    let stranger = import(&[&from, "--to", &to]);
    let said = String::from_utf8_lossy(&stranger.stderr);
    assert_eq!(stranger.status.code(), Some(2), "{said}");
    assert!(said.contains(&from), "{said}");
    let known = import(&[&from, "--to", &to, "--tls-ca-cert-file", &authorities]);
    assert!(known.status.success(), "{known:?}");
    assert_eq!(target.client().cmd("GET k"), Reply::bulk("v"));
    let no_file = import(&[&from, "--to", &to, "--tls-ca-cert-file", "no/such/file"]);
    assert_eq!(no_file.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&no_file.stderr).contains("no/such/file"), "{no_file:?}");
}

#[test]
fn tools_show_a_certificate_to_a_server_that_asks_for_one() {
    let server = TlsServer::start("yes");
    server.client_as(Some("client")).cmd("SET k v");
    let file = |name: &str| server.certificates.name(name);
    let url = format!("rediss://{}", server.addr);
    let trust = ["--tls-ca-cert-file", &file("ca.crt")].map(str::to_owned);
    let identity = |certificate: &str, key: &str| {
        let files = ["--tls-cert-file", &file(certificate), "--tls-key-file", &file(key)];
        [&trust[..], &files.map(str::to_owned)].concat()
    };
    let aft = |words: &[&str], trust: &[String]| {
        let aft = Command::new(env!("CARGO_BIN_EXE_aft")).args(words).args(trust).output();
        aft.expect("aft")
    };
    let target = Server::start(&Options { peer: Peer::Aft, ..Options::memory() });
    let to = format!("redis://{}", target.addr());
    let tools = [
        &["txn", "list", "--url", &url, "--json"][..],
        &["import", &url, "--to", &to],
        &["run", "--url", &url, "--request", "r", "--attempts", "1"],
    ];
    for words in tools {
        let command: &[&str] = if words[0] == "run" { &["--", "echo", "done"] } else { &[] };
        let with = |trust: &[String]| {
            let command = command.iter().map(|word| (*word).to_owned());
            aft(words, &trust.iter().cloned().chain(command).collect::<Vec<_>>())
        };
        let known = with(&identity("client.crt", "client.key"));
        assert!(known.status.success(), "{words:?}: {known:?}");
        let unknown = with(&trust);
        assert!(!unknown.status.success(), "{words:?}: {unknown:?}");
        let foreign = with(&identity("client.crt", "server.key"));
        let said = String::from_utf8_lossy(&foreign.stderr);
        assert!(!foreign.status.success() && said.contains("does not belong"), "{said}");
        let half = with(
            &trust
                .iter()
                .cloned()
                .chain(identity("client.crt", "x")[2..4].iter().cloned())
                .collect::<Vec<_>>(),
        );
        assert!(String::from_utf8_lossy(&half.stderr).contains("--tls-key-file"), "{half:?}");
    }
    assert_eq!(target.client().cmd("GET k"), Reply::bulk("v"));
}
