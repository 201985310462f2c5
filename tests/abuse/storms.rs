//! Storms of connects, and the ends of what there is: places and file descriptors.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, prlimit};

use crate::common::client::Client;
use crate::common::resp::Reply;
use crate::common::server::{Options, Peer, Server};
use crate::common::temp_dir::TempDir;
use crate::common::wait::{self, PATIENCE};
use crate::support::{MIB, SERVED_WITHIN, aft, info, ping, pong, reset, until_alone};

const STORM: u64 = 10_000;
const REFUSAL: &str = "-ERR max number of clients reached\r\n";

/// Connects, and closes at once, after a PING, or after its answer; whatever comes of it.
fn gust(addr: SocketAddr, n: u64) {
    let Ok(mut client) = Client::connect(addr) else {
        return;
    };
    let kind = n % 3;
    if kind != 0 {
        let _ = client.stream().write_all(b"PING\r\n");
    }
    if kind == 2 {
        let _ = client.read();
    }
    // A reset, so that this machine's ports last.
    reset(client);
}

/// A well-behaved client while `storm` rages: how often it was answered, and how late at most.
fn served_during(served: &mut Client, storm: impl Fn(u64) + Sync) -> (u64, Duration) {
    const THREADS: u64 = 4;
    let (mut answers, mut latest) = (0, Duration::ZERO);
    std::thread::scope(|scope| {
        let storm = &storm;
        let raging: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || (0..STORM / THREADS).for_each(|n| storm(n * THREADS + thread)))
            })
            .collect();
        while !raging.iter().all(|thread| thread.is_finished()) {
            latest = latest.max(ping(served));
            answers += 1;
        }
    });
    (answers, latest)
}

#[test]
fn ten_thousand_connects_starve_nobody_and_leave_nothing() {
    let server = aft(&[]);
    let mut served = server.client();
    assert_eq!(served.cmd("SET k v"), Reply::ok());
    let before = server.memory_bytes("VmRSS");
    let start = wait::now();
    let (answers, latest) = served_during(&mut served, |n| gust(server.addr(), n));
    let rate = STORM as f64 / start.elapsed().as_secs_f64();
    println!("{rate:.0} connects/s; meanwhile {answers} answers, the latest after {latest:?}");
    assert!(answers >= 100, "{answers} answers during the storm");
    assert!(latest < SERVED_WITHIN, "an answer took {latest:?}");
    until_alone(&mut served);
    // Those that were reset in the queue were never accepted.
    assert!(info(&mut served, "total_connections_received") > STORM / 3);
    let grown = server.memory_bytes("VmRSS").saturating_sub(before);
    assert!(grown < 64 * MIB, "{grown} bytes after the storm");
    assert_eq!(served.cmd("GET k"), Reply::bulk("v"));
}

#[test]
fn a_storm_against_a_full_house_is_told_so_and_starves_nobody() {
    const PLACES: u32 = 20;
    for peer in [Peer::Redis, Peer::under_test()] {
        let server = Server::start(&Options { clients_max: Some(PLACES), ..Options::new(peer) });
        let mut inside: Vec<Client> = (0..PLACES).map(|_| server.client()).collect();
        assert!(inside.iter_mut().all(|client| client.cmd("PING") == pong()));
        let refused = AtomicU64::new(0);
        let storm = |n: u64| {
            let mut client = server.client();
            if n % 2 == 1 {
                // What it says may come too late, or make its end a reset.
                let _ = client.stream().write_all(b"PING\r\n");
            }
            let said = client.read_to_close().expect("closed at once");
            let said = String::from_utf8_lossy(&said);
            assert!(said == REFUSAL || (n % 2 == 1 && said.is_empty()), "{peer:?}: {said}");
            refused.fetch_add(1, Ordering::Relaxed);
            reset(client);
        };
        let (answers, latest) = served_during(&mut inside[0], storm);
        println!("{peer:?}: meanwhile {answers} answers, the latest after {latest:?}");
        assert!(answers >= 100 && latest < SERVED_WITHIN, "{peer:?}: {answers}, {latest:?}");
        assert_eq!(refused.into_inner(), STORM);
        assert_eq!(info(&mut inside[1], "rejected_connections"), STORM, "{peer:?}");
        assert!(inside.iter_mut().all(|client| client.cmd("PING") == pong()), "{peer:?}");
        inside.pop();
        wait::until("there is room again", PATIENCE, || {
            let mut client = Client::connect(server.addr()).ok()?;
            (client.call(&["PING"]).ok()? == pong()).then_some(())
        });
    }
}

/// Processor time of a process, in hundredths of a second.
fn processor_ticks(server: &Server) -> u64 {
    let path = format!("/proc/{}/stat", server.pid().as_raw_nonzero());
    let stat = std::fs::read_to_string(path).expect("the server's statistics");
    let after_name = stat.rsplit(')').next().expect("fields");
    let fields: Vec<u64> = after_name.split(' ').filter_map(|field| field.parse().ok()).collect();
    // Of the numbers behind the name and the state: user and system time.
    fields[10] + fields[11]
}

#[test]
fn without_file_descriptors_new_clients_wait_and_the_others_are_served() {
    let dir = TempDir::named("descriptors");
    let options = Options { dir: Some(dir.path().to_owned()), ..Options::new(Peer::Aft) };
    let server = Server::start(&options);
    let mut served = server.client();
    assert_eq!(served.cmd("SET k v"), Reply::ok());
    let files = format!("/proc/{}/fd", server.pid().as_raw_nonzero());
    let open = std::fs::read_dir(files).expect("the server's files").count() as u64;
    let limit = Rlimit { current: Some(open + 10), maximum: Some(open + 1_000) };
    prlimit(Some(server.pid()), Resource::Nofile, limit).expect("a limit below the one it has");

    let clients: Vec<Client> = (0..60).map(|_| server.client()).collect();
    for client in &clients {
        client.stream().write_all(b"INCR n\r\n").expect("an open connection");
    }
    wait::until("no more can be accepted", PATIENCE, || {
        server.said().contains("can't accept connections").then_some(())
    });
    let busy = processor_ticks(&server);
    let start = wait::now();
    // Not for something to happen: a second in which nothing should.
    wait::pause(Duration::from_secs(1));
    let share = (processor_ticks(&server) - busy) as f64 / 100.0 / start.elapsed().as_secs_f64();
    println!("{:.1} % of a processor while nobody can be accepted", share * 100.0);
    assert!(share < 0.25, "it spins: {share} of a processor");
    // Those inside are served, writes too.
    for n in 0..50 {
        assert!(ping(&mut served) < SERVED_WITHIN);
        assert_eq!(served.run(&["SET", "k", &n.to_string()]), Reply::ok());
    }
    let warnings = server.said().matches("can't accept connections").count();
    assert!(warnings <= 3, "{warnings} warnings of one thing");

    // Each that leaves lets one of the waiting in, to the last.
    let served_one = |mut client: Client| {
        assert!(matches!(client.read().expect("a reply"), Reply::Int(_)));
    };
    clients.into_iter().for_each(served_one);
    assert_eq!(served.cmd("GET n"), Reply::bulk("60"));
    until_alone(&mut served);
}

#[test]
fn more_clients_than_files_are_refused_as_by_redis() {
    const FILES: u64 = 1_500;
    // In a namespace of its own nobody may raise the limit, whoever runs the test.
    let through = ["unshare", "-r", "prlimit", "--nofile=1500:1500"].map(str::to_owned).to_vec();
    // Redis sets aside 32 for itself, aft 128.
    for (peer, set_aside) in [(Peer::Redis, 32), (Peer::under_test(), 128)] {
        let options = Options { through: through.clone(), ..Options::new(peer) };
        let server = Server::start(&options);
        let mut client = server.client();
        let fitting = (FILES - set_aside).to_string();
        let now = |client: &mut Client| client.cmd("CONFIG GET maxclients");
        let shown = |value: &str| Reply::Array(["maxclients", value].map(Reply::bulk).to_vec());
        assert_eq!(now(&mut client), shown(&fitting), "{peer:?}: as much as fits");
        assert_eq!(client.cmd("CONFIG SET maxclients 100"), Reply::ok());
        let text = format!(
            "ERR CONFIG SET failed (possibly related to argument 'maxclients') - The operating \
             system is not able to handle the specified number of clients, try with {fitting}"
        );
        let refused = Reply::Error(text.into_bytes());
        assert_eq!(client.cmd("CONFIG SET maxclients 5000"), refused, "{peer:?}");
        let both = client.cmd("CONFIG SET timeout 77 maxclients 5000");
        assert_eq!(both, refused, "{peer:?}");
        assert_eq!(now(&mut client), shown("100"), "{peer:?}: as it was");
        let timeout = Reply::Array(["timeout", "0"].map(Reply::bulk).to_vec());
        assert_eq!(client.cmd("CONFIG GET timeout"), timeout, "{peer:?}: all or none");
        let accepted = client.cmd(&format!("CONFIG SET maxclients {fitting}"));
        assert_eq!(accepted, Reply::ok(), "{peer:?}");
    }
}
