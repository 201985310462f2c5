//! What the tests of stores in a service share: settings, starts that are refused, and what is so on
//! all of them.

use super::backing::Backing;
use super::resp::Reply;
use super::server::{Options, Peer, Server, StartError};
use super::tls_front::{self, Certificates};
use super::wait::{self, PATIENCE};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// The server behind a store.
pub(crate) fn address(backing: &Backing) -> SocketAddr {
    backing.servers()[0].addr()
}

/// A start that must fail; the one line that says why.
#[track_caller]
pub(crate) fn refusal(options: &Options) -> String {
    let Err(StartError { code, stdout, stderr }) = Server::try_start(options) else {
        panic!("started with {options:?}")
    };
    assert_eq!(code, Some(1), "{stdout:?} {stderr:?}");
    let [line] = stderr.as_slice() else { panic!("one line is enough: {stderr:#?}") };
    line.clone()
}

/// Settings under which a start or a commit gives up soon.
pub(crate) fn impatient(mut options: Options) -> Options {
    let extra = "--store-attempt-timeout-ms 300 --read-deadline-ms 1500 --commit-deadline-ms 1500 \
                 --store-hedge-ms 0";
    options.extra.extend(extra.split_whitespace().map(str::to_owned));
    options
}

/// The settings of a server on the store of this address.
pub(crate) fn at(store: &str) -> Options {
    let extra = ["--store", store].map(str::to_owned).to_vec();
    Options { extra, ..Options::new(Peer::Aft) }
}

/// The address of the same store, where this server seems to be the one that has it.
pub(crate) fn address_through(backing: &Backing, gate: SocketAddr) -> String {
    backing.store().replace(&address(backing).to_string(), &gate.to_string())
}

/// The settings of a server on that.
pub(crate) fn through(backing: &Backing, gate: SocketAddr) -> Options {
    at(&address_through(backing, gate))
}

/// Nodes on these stores know nothing of each other, also after a crash; they are still there.
pub(crate) fn share_a_service(stores: &[String]) -> Vec<Server> {
    let mut servers: Vec<Server> = stores.iter().map(|store| Server::start(&at(store))).collect();
    for (n, server) in servers.iter_mut().enumerate() {
        assert_eq!(server.client().run(&["SET", "k", &n.to_string()]), Reply::ok());
    }
    for server in &mut servers {
        server.kill_9();
        server.restart();
    }
    for (n, server) in servers.iter().enumerate() {
        assert_eq!(server.client().cmd("GET k"), Reply::bulk(n.to_string()));
        assert_eq!(server.client().cmd("DBSIZE"), Reply::Int(1));
    }
    servers
}

/// A person takes the rights away, and gives them back: a refusal until then, and no restart.
pub(crate) fn rights_go_and_come_back(options: &Options, denied: &AtomicBool) {
    let server = Server::start(options);
    let mut client = server.client();
    assert_eq!(client.cmd("SET k v"), Reply::ok());
    denied.store(true, Ordering::Relaxed);
    assert_eq!(client.cmd("SET k w").error_code().as_deref(), Some("UNCERTAIN"));
    let reply = client.cmd("SET k w");
    assert!(format!("{reply:?}").contains("AccessDenied"), "{reply:?}");
    assert_eq!(client.cmd("GET k"), Reply::bulk("v"));
    denied.store(false, Ordering::Relaxed);
    wait::until("writes are taken again", PATIENCE, || {
        (client.cmd("SET k x") == Reply::ok()).then_some(())
    });
}

/// The service is behind TLS, with a certificate of a private authority: a start says what to do
/// unless it is told of that authority, and is content then.
pub(crate) fn over_tls_with_an_authority_of_ones_own(backing: &Backing, dir: &Path) {
    let certificates = Certificates::make(dir);
    let port = tls_front::before(address(backing), &certificates);
    let plain = format!("http://{}", address(backing));
    let store = backing.store().replace(&plain, &format!("https://localhost:{port}"));
    assert_ne!(store, backing.store());
    let line = refusal(&at(&store));
    assert!(line.contains("certificate") && line.contains("?ca=FILE"), "{line}");
    // Somebody else's authority.
    let stranger = certificates.file("other-ca.crt");
    let line = refusal(&at(&format!("{store}&ca={}", stranger.display())));
    assert!(line.contains("certificate") && line.contains("?ca=FILE"), "{line}");
    let missing = certificates.file("ca.missing");
    let line = refusal(&at(&format!("{store}&ca={}", missing.display())));
    assert!(line.contains("ca.missing"), "{line}");
    let server =
        Server::start(&at(&format!("{store}&ca={}", certificates.file("ca.crt").display())));
    assert_eq!(server.client().cmd("SET k v"), Reply::ok());
    assert_eq!(server.client().cmd("GET k"), Reply::bulk("v"));
}
