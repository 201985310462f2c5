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
