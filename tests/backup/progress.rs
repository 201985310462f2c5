//! How far it is, which whoever sits at a terminal sees, and nobody else.

use crate::common::program::{aft, on_a_terminal};
use crate::common::server::{Options, Peer, Server};
use crate::common::temp_dir::TempDir;
use crate::tool::{fill, serve, store_of, text};

/// Who types the words sees a bar that counts these; a script that runs them does not.
#[track_caller]
fn has_a_bar(words: &[&str], counted: &str) {
    let seen = on_a_terminal(words);
    assert!(seen.contains("] ") && seen.contains(counted), "{seen:?}");
    let run = aft(words);
    let told = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && !told.contains("] ") && !told.contains('\r'), "{run:?}");
}

#[test]
fn a_bar_is_shown_on_a_terminal_and_nowhere_else() {
    let [from, to, imported] = ["from", "to", "imported"].map(TempDir::named);
    let (server, mut client) = serve(from.path());
    fill(&mut client);
    let file = from.path().join("dump");
    let (of, [to, imported]) =
        (store_of(from.path()), [&to, &imported].map(|dir| store_of(dir.path())));
    let source = format!("redis://{}", server.addr());
    let target = Server::start(&Options::new(Peer::Aft));
    let running = format!("redis://{}", target.addr());

    has_a_bar(&["store", "dump", "--store", &of, "--output", text(&file)], " objects, ");
    let load = ["store", "load", "--replace", "--store", &to, "--input", text(&file)];
    has_a_bar(&load, "iB of ");
    has_a_bar(&["import", &source, "--replace", "--store", &imported], " keys, ");
    has_a_bar(&["import", &source, "--to", &running], " keys, ");
    assert_eq!(target.client().cmd("DBSIZE"), client.cmd("DBSIZE"));
}
