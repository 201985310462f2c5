//! Peers that vanish without a word, as a host does that loses its power: only probes can tell.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use crate::common::resp::Reply;
use crate::common::server::{Options, Peer, Server};
use crate::common::wait::{self, PATIENCE};
use crate::support::{aft, pong, with};

/// A network of its own, which can be cut. A process holds it until its input ends.
struct Network(Child);

impl Network {
    fn new() -> Self {
        let mut holder = Command::new("unshare")
            .args(["-rn", "sh", "-c", "ip link set lo up && echo up && exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare (util-linux) is needed to cut a network");
        let stdout = BufReader::new(holder.stdout.take().expect("piped"));
        let line = stdout.lines().next().and_then(Result::ok);
        assert_eq!(line.as_deref(), Some("up"), "user namespaces and iproute2 are needed");
        Self(holder)
    }

    fn through(&self) -> Vec<String> {
        let pid = self.0.id().to_string();
        let words = ["nsenter", "-t", &pid, "-U", "-n", "--preserve-credentials"];
        words.map(str::to_owned).to_vec()
    }

    fn command(&self, words: &[&str]) -> Command {
        let through = self.through();
        let mut command = Command::new(&through[0]);
        command.args(&through[1..]).args(words);
        command
    }

    /// A client that has been served once and stays connected.
    fn client(&self, server: SocketAddr) -> Child {
        let script = format!(
            "exec 3<>/dev/tcp/{}/{}; printf 'PING\\r\\n' >&3; read -r answer <&3; echo \"$answer\"; exec cat",
            server.ip(),
            server.port()
        );
        let mut client = self
            .command(&["bash", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("bash");
        let stdout = BufReader::new(client.stdout.take().expect("piped"));
        let line = stdout.lines().next().and_then(Result::ok).unwrap_or_default();
        assert_eq!(line.trim_end(), "+PONG");
        client
    }

    fn cut(&self) {
        let cut = self.command(&["ip", "link", "set", "lo", "down"]).status();
        assert!(cut.expect("ip (iproute2) is needed").success());
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_peer_that_vanished_is_found_out_and_its_place_is_free_again() {
    let network = Network::new();
    let options = Options { through: network.through(), ..Options::new(Peer::Aft) };
    let server = Server::start(&with(options, &["--tcp-keepalive-s", "1"]));
    let before = server.open_sockets();
    let mut clients: Vec<Child> = (0..20).map(|_| network.client(server.addr())).collect();
    assert_eq!(server.open_sockets(), before + 20);
    network.cut();
    for client in &mut clients {
        // It says goodbye, and nobody hears it.
        client.kill().expect("a child of ours");
        client.wait().expect("a child of ours");
    }
    assert_eq!(server.open_sockets(), before + 20, "the cut is none");
    wait::until("all places are free again", PATIENCE, || {
        (server.open_sockets() == before).then_some(())
    });
}

/// The state of the timers of the server's connections, as the system shows them.
fn keepalive_timers(server: &Server) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("a table of connections");
    let port = format!(":{:04X}", server.addr().port());
    let established = |fields: &[&str]| fields[1].ends_with(&port) && fields[3] == "01";
    let lines = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    // Kind 2 is keepalive.
    lines.filter(|fields| established(fields) && fields[5].starts_with("02:")).count()
}

#[test]
fn probes_are_a_setting_for_new_connections() {
    let server = aft(&[]);
    let mut first = server.client();
    assert_eq!(first.cmd("PING"), pong());
    wait::until("a probe is due", PATIENCE, || (keepalive_timers(&server) == 1).then_some(()));
    assert_eq!(first.cmd("CONFIG SET tcp-keepalive 0"), Reply::ok());
    let mut second = server.client();
    assert_eq!(second.cmd("PING"), pong());
    // That of the first, and no other.
    wait::until("one probe is due", PATIENCE, || (keepalive_timers(&server) == 1).then_some(()));
}
