//! Two nodes and one shared store: who serves, who waits, who is closed out. The same on all stores.

use super::backing::Backing;
use super::client::Client;
use super::proxy::{Proxy, Weather};
use super::resp::Reply;
use super::server::{Options, Server, StartError, Starting, free_port};
use super::stores::{address, impatient, through};
use super::wait::{self, PATIENCE};
use rustix::process::{Signal, kill_process};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Long for a test, short to wait for.
const LEASE: Duration = Duration::from_secs(2);

/// On a store that several are to meet at.
fn node(backing: &Backing) -> Options {
    let mut options = Options::on(backing);
    options.extra.extend(["--store-attempt-timeout-ms", "1000"].map(str::to_owned));
    leased(options)
}

/// The same behind a network that can fail; it gives up soon.
fn node_through(backing: &Backing, proxy: &Proxy) -> Options {
    leased(impatient(through(backing, proxy.addr())))
}

fn leased(mut options: Options) -> Options {
    options.extra.extend(["--lease-ms".to_owned(), LEASE.as_millis().to_string()]);
    options
}

fn with(flag: &str, mut options: Options) -> Options {
    options.extra.push(flag.to_owned());
    options
}

/// The line of a start that was refused.
#[track_caller]
fn why(refused: StartError) -> String {
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let last = refused.stderr.last().expect("it says why").clone();
    assert!(last.starts_with("aft: can't open ") && last.contains("one node at a time"), "{last}");
    last
}

/// A figure of `aft store stats`.
fn stats(backing: &Backing, figure: &str) -> String {
    let words = ["store", "stats", "--store", backing.store()];
    let out = Command::new(env!("CARGO_BIN_EXE_aft")).args(words).output().expect("aft store");
    let text = String::from_utf8(out.stdout).expect("text");
    let line = text.lines().find_map(|line| line.strip_prefix(figure));
    line.unwrap_or_else(|| panic!("no {figure}: {text}")).trim().to_owned()
}

/// One serves; the other says whose the store is, and has drawn no log of its own.
pub(crate) fn of_two_starts_at_once_one_serves(backing: &Backing) {
    let options = node(backing);
    let starts = std::thread::scope(|scope| {
        let starts = [(); 2].map(|()| scope.spawn(|| Server::try_start(&options)));
        starts.map(|start| start.join().expect("a start"))
    });
    let (served, refused): (Vec<_>, Vec<_>) = starts.into_iter().partition(Result::is_ok);
    let mut served: Vec<Server> = served.into_iter().map(|start| start.expect("serves")).collect();
    let [server] = served.as_mut_slice() else { panic!("{} serve", served.len()) };
    let refused = refused.into_iter().next().and_then(Result::err).expect("one is refused");
    assert!(why(refused).contains(&server.addr().to_string()));
    assert_eq!(stats(backing, "starts"), "1");
    assert!(stats(backing, "owner").contains(&server.addr().to_string()));
    // Nor has it harmed the one that is alive.
    assert_eq!(server.client().cmd("SET k v"), Reply::ok());
    let refused = Server::try_start(&options).err().expect("the owner is alive");
    assert!(why(refused).contains("is alive"));
    assert_eq!(server.client().cmd("GET k"), Reply::bulk("v"));
    assert_eq!(stats(backing, "starts"), "1");
    // Who ends in order leaves nothing to wait for.
    assert_eq!(server.terminate().code(), Some(0));
    assert!(stats(backing, "owner").starts_with("nobody"));
    let next = Server::start(&options);
    assert_eq!(next.client().cmd("GET k"), Reply::bulk("v"));
    assert!(!next.said().contains("waiting"), "{}", next.said());
}

/// A start waits for a lease of silence, and finds all that was acknowledged.
pub(crate) fn a_crash_is_followed_after_a_lease(backing: &Backing) {
    let mut first = Server::start(&node(backing));
    assert_eq!(first.client().cmd("SET k v"), Reply::ok());
    first.kill_9();
    let killed = wait::now();
    let second = Server::start(&node(backing));
    let gap = killed.elapsed();
    println!("{}: served {gap:?} after kill -9, lease {LEASE:?}", backing.store());
    assert!(gap >= LEASE, "{gap:?}");
    assert_eq!(second.client().cmd("GET k"), Reply::bulk("v"));
    assert_eq!(second.client().cmd("SET k w"), Reply::ok());
}

/// An owner that was halted, and meanwhile succeeded, answers nothing old, writes nothing and ends.
fn halted(backing: &Backing, successor: &Options, may_answer: impl Fn(&Reply) -> bool) {
    let mut first = Server::start(&node(backing));
    assert_eq!(first.client().cmd("SET k v"), Reply::ok());
    let (mut reader, mut writer) = (first.client(), first.client());
    assert_eq!(reader.cmd("PING"), Reply::Simple(b"PONG".to_vec()));
    assert_eq!(writer.cmd("PING"), Reply::Simple(b"PONG".to_vec()));
    kill_process(first.pid(), Signal::STOP).expect("it is there");
    let second = Server::start(successor);
    assert_eq!(second.client().cmd("SET k w"), Reply::ok());
    reader.queue(&["GET", "k"]);
    reader.flush().expect("a connection");
    writer.queue(&["SET", "k", "late"]);
    writer.flush().expect("a connection");
    kill_process(first.pid(), Signal::CONT).expect("it is there");
    // Either an answer or the end of the connection; what it may say.
    if let Ok(reply) = reader.read() {
        assert!(may_answer(&reply), "{reply:?}");
    }
    if let Ok(reply) = writer.read() {
        let code = reply.error_code();
        assert!(matches!(code.as_deref(), Some("UNCERTAIN" | "NOTCOMMITTED" | "ERR")), "{reply:?}");
    }
    assert_eq!(first.wait_for_exit().code(), Some(1));
    assert!(first.said().contains("replaced"), "{}", first.said());
    assert_eq!(second.client().cmd("GET k"), Reply::bulk("w"));
}

pub(crate) fn a_halted_owner_is_closed_out_by_takeover(backing: &Backing) {
    // The word was wrong that it has stopped: within its lease it may answer what it knows.
    let old = Reply::bulk("v");
    halted(backing, &with("--takeover", node(backing)), |reply| reply.is_error() || *reply == old);
}

pub(crate) fn a_halted_owner_answers_nothing_old_after_its_lease(backing: &Backing) {
    halted(backing, &node(backing), Reply::is_error);
}

/// What a client that increments a counter of its own was told.
#[derive(Default)]
struct Told {
    done: u64,
    unknown: u64,
    longest_gap: Duration,
}

/// Increments until told to stop, at whichever of the addresses answers.
fn increment(key: &str, addresses: [SocketAddr; 2], stop: &AtomicBool, done: &AtomicU64) -> Told {
    let mut told = Told::default();
    let mut last = wait::now();
    let mut at = 0;
    let mut client: Option<Client> = None;
    while !stop.load(Ordering::Relaxed) {
        let Some(connected) = client.as_mut() else {
            client = Client::connect(addresses[at % 2]).ok();
            if client.is_none() {
                at += 1;
                wait::pause(Duration::from_millis(1));
            }
            continue;
        };
        match connected.call(&["INCR", key]) {
            Ok(Reply::Int(_)) => {
                told.done += 1;
                told.longest_gap = told.longest_gap.max(last.elapsed());
                last = wait::now();
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok(reply) if reply.error_code().as_deref() == Some("NOTCOMMITTED") => client = None,
            Ok(_) | Err(_) => {
                told.unknown += 1;
                client = None;
            }
        }
    }
    told
}

/// The new process waits, the old one gets SIGTERM: nothing acknowledged is lost.
pub(crate) fn a_planned_restart_hands_over_under_load(backing: &Backing) {
    const CLIENTS: usize = 4;
    let mut first = Server::start(&node(backing));
    let port = free_port();
    let addresses = [first.addr(), SocketAddr::from(([127, 0, 0, 1], port))];
    let next = Options { port, ..with("--wait-for-handover", node(backing)) };
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let goes_on = |what| {
        let before = done.load(Ordering::Relaxed);
        let more = || (done.load(Ordering::Relaxed) > before + 100).then_some(());
        wait::until(what, PATIENCE, more);
    };
    let (second, told) = std::thread::scope(|scope| {
        let load = [0; CLIENTS].map(|_| ());
        let clients: Vec<_> = load
            .iter()
            .enumerate()
            .map(|(n, ())| {
                let (stop, done) = (&stop, &done);
                scope.spawn(move || increment(&format!("n{n}"), addresses, stop, done))
            })
            .collect();
        let handed_over = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            goes_on("the first serves");
            let second = scope.spawn(|| Server::start(&next));
            // It looks for longer than a living owner would need to be taken for a dead one.
            wait::pause(LEASE * 3 / 2);
            goes_on("the first still serves");
            assert_eq!(first.terminate().code(), Some(0));
            let second = second.join().expect("a start");
            goes_on("the second serves");
            second
        }));
        stop.store(true, Ordering::Relaxed);
        let told: Vec<Told> = clients.into_iter().map(|c| c.join().expect("a client")).collect();
        (handed_over.unwrap_or_else(|panic| std::panic::resume_unwind(panic)), told)
    });
    let mut client = second.client();
    for (n, told) in told.iter().enumerate() {
        let counted = client.run(&["GET", &format!("n{n}")]).text().expect("a counter");
        let counted: u64 = counted.parse().expect("a number");
        assert!(counted >= told.done, "{counted} of {} that were acknowledged", told.done);
        assert!(
            counted <= told.done + told.unknown,
            "{counted}: {} and {}",
            told.done,
            told.unknown
        );
    }
    let gap = told.iter().map(|told| told.longest_gap).max().unwrap_or_default();
    let recovered = second.stdout().into_iter().find(|line| line.starts_with("recovered"));
    let recovered = recovered.unwrap_or_default();
    println!("{}: a planned restart, longest wait {gap:?}, {recovered}", backing.store());
    assert!(second.said().contains("waiting"), "{}", second.said());
}

/// A supervisor that starts the next process on the same port before the old one has ended.
pub(crate) fn a_planned_restart_keeps_its_port(backing: &Backing) {
    let port = free_port();
    let mut first = Server::start(&Options { port, ..node(backing) });
    assert_eq!(first.client().cmd("SET k v"), Reply::ok());
    let next = Options { port, ..with("--wait-for-handover", node(backing)) };
    let second = std::thread::scope(|scope| {
        let second = scope.spawn(|| Server::start(&next));
        wait::pause(LEASE / 4);
        assert_eq!(first.terminate().code(), Some(0));
        second.join().expect("a start")
    });
    assert_eq!(second.addr(), first.addr());
    assert_eq!(second.client().cmd("GET k"), Reply::bulk("v"));
}

fn wait_until_it_says(starting: &Starting, what: &str) {
    wait::until(what, PATIENCE, || starting.said().contains(what).then_some(()));
}

/// Somebody else has the port: the store is left to whoever can serve it, until the port is free.
pub(crate) fn a_successor_without_a_port_leaves_the_store_alone(backing: &Backing) {
    let mut first = Server::start(&node(backing));
    assert_eq!(first.client().cmd("SET k v"), Reply::ok());
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = taken.local_addr().expect("its address").port();
    let next = Server::begin(&Options { port, ..with("--wait-for-handover", node(backing)) });
    wait_until_it_says(&next, "waiting for a sign of the store's owner");
    assert_eq!(first.terminate().code(), Some(0));
    wait_until_it_says(&next, "this node could not serve");
    assert!(stats(backing, "owner").starts_with("nobody"));
    drop(taken);
    let next = next.served().expect("a start");
    assert_eq!(next.addr().port(), port);
    assert_eq!(next.client().cmd("GET k"), Reply::bulk("v"));
}

/// The store is away for longer than a start waits for an answer: who waits for a handover has to
/// be there when it comes.
pub(crate) fn a_successor_waits_through_an_outage(backing: &Backing) {
    let mut first = Server::start(&node(backing));
    assert_eq!(first.client().cmd("SET k v"), Reply::ok());
    let proxy = Proxy::start(address(backing));
    let next = Server::begin(&with("--wait-for-handover", node_through(backing, &proxy)));
    wait_until_it_says(&next, "waiting for a sign of the store's owner");
    proxy.set(Weather::Cut);
    wait_until_it_says(&next, "it is waited for");
    assert_eq!(first.client().cmd("SET k w"), Reply::ok());
    proxy.set(Weather::Fair);
    assert_eq!(first.terminate().code(), Some(0));
    let next = next.served().expect("a start");
    assert_eq!(next.client().cmd("GET k"), Reply::bulk("w"));
}

/// The store is away for longer than a lease: nothing is read that may be old, and when it is
/// back all goes on by itself.
pub(crate) fn reads_end_with_the_lease_and_begin_again(backing: &Backing) {
    let proxy = Proxy::start(address(backing));
    let options = node_through(backing, &proxy);
    let server = Server::start(&options);
    let mut client = server.client();
    assert_eq!(client.cmd("SET k v"), Reply::ok());
    proxy.set(Weather::Cut);
    let reply = wait::until("reads end", PATIENCE, || {
        let reply = client.cmd("GET k");
        if reply == Reply::bulk("v") { None } else { Some(reply) }
    });
    assert_eq!(reply.error_code().as_deref(), Some("NOLEASE"), "{reply:?}");
    assert_eq!(client.cmd("SET k w").error_code().as_deref(), Some("NOTCOMMITTED"));
    assert_eq!(client.cmd("MULTI"), Reply::ok());
    assert_eq!(client.cmd("GET k").error_code().as_deref(), Some("NOLEASE"));
    assert_eq!(client.cmd("EXEC").error_code().as_deref(), Some("EXECABORT"));
    assert!(client.cmd("INFO aft").text().expect("text").contains("health:silent"));
    assert_eq!(client.cmd("PING"), Reply::Simple(b"PONG".to_vec()));
    proxy.set(Weather::Fair);
    wait::until("reads begin again", PATIENCE, || {
        (client.cmd("GET k") == Reply::bulk("v")).then_some(())
    });
    assert_eq!(client.cmd("SET k w"), Reply::ok());
}

/// Who is sure of being alone may read on.
pub(crate) fn stale_reads_are_a_setting(backing: &Backing) {
    let proxy = Proxy::start(address(backing));
    let mut options = node_through(backing, &proxy);
    options.extra.extend(["--stale-reads", "yes"].map(str::to_owned));
    let server = Server::start(&options);
    let mut client = server.client();
    assert_eq!(client.cmd("SET k v"), Reply::ok());
    proxy.set(Weather::Cut);
    let cut = wait::now();
    while cut.elapsed() < LEASE * 2 {
        assert_eq!(client.cmd("GET k"), Reply::bulk("v"));
        wait::pause(Duration::from_millis(50));
    }
    proxy.set(Weather::Fair);
    wait::until("writes are taken again", PATIENCE, || {
        (client.cmd("SET k w") == Reply::ok()).then_some(())
    });
}
