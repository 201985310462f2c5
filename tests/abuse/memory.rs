//! Memory: what one connection may hold is bounded, and so is what all of them hold together.

use std::net::Shutdown;

use crate::common::client::{Client, is_closed};
use crate::common::resp::{Reply, encode};
use crate::common::server::{Options, Peer, Server};
use crate::common::wait::{self, PATIENCE};
use crate::support::{
    MIB, SERVED_WITHIN, Sent, aft, info, ping, send, send_all, until_alone, with,
};

const CLIENTS: usize = 60;
const EACH: usize = 4 << 20;
const LIMIT: u64 = 32 * MIB;
/// The limit, the request under way, copies while buffers grow, and what the allocator keeps.
/// All that the clients try to leave there is 240 MB.
const GROWTH_MAX: u64 = LIMIT + 64 * MIB;

/// What each of many clients leaves in the server's memory.
fn leave(kind: Kind, client: &Client) -> Sent {
    let mut bytes = Vec::new();
    match kind {
        Kind::HalfARequest => {
            encode(&[b"SET".to_vec(), b"k".to_vec(), vec![b'v'; EACH]], &mut bytes);
            bytes.truncate(bytes.len() - 2);
        }
        Kind::ManyArguments => {
            let count = EACH / 14;
            bytes.extend(format!("*{count}\r\n").bytes());
            bytes.extend(b"$0\r\n\r\n".repeat(count - 1));
        }
        Kind::Queued => {
            bytes.extend(b"MULTI\r\n");
            for _ in 0..EACH >> 16 {
                encode(&[b"SET".to_vec(), b"k".to_vec(), vec![b'v'; 1 << 16]], &mut bytes);
            }
        }
        Kind::Watched => {
            for n in 0..EACH >> 16 {
                let key = [n.to_string().into_bytes(), vec![b'k'; 1 << 16]].concat();
                encode(&[b"WATCH".to_vec(), key], &mut bytes);
            }
        }
        Kind::Unread => {
            for _ in 0..2 * EACH / (1 << 20) + 8 {
                encode(&["GET", "big"], &mut bytes);
            }
        }
    }
    send_all(client, &bytes)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    HalfARequest,
    ManyArguments,
    Queued,
    Watched,
    Unread,
}

fn together(kind: Kind) {
    let server = aft(&["--clients-bytes-max", "32mb"]);
    let mut served = server.client();
    assert_eq!(served.run(&["SET", "big", &"v".repeat(1 << 20)]), Reply::ok());
    let before = server.memory_bytes("VmHWM");
    let clients: Vec<Client> = (0..CLIENTS).map(|_| server.client()).collect();
    for client in &clients {
        leave(kind, client);
        assert!(ping(&mut served) < SERVED_WITHIN);
        assert!(info(&mut served, "mem_clients_normal") <= LIMIT);
    }
    wait::until("some had to go", PATIENCE, || {
        (info(&mut served, "evicted_clients") >= CLIENTS as u64 / 2).then_some(())
    });
    let grown = server.memory_bytes("VmHWM").saturating_sub(before);
    let evicted = info(&mut served, "evicted_clients");
    println!("{kind:?}: {} MB more, {evicted} of {CLIENTS} evicted", grown >> 20);
    assert!(grown < GROWTH_MAX, "{kind:?}: {grown} bytes");
    drop(clients);
    until_alone(&mut served);
}

#[test]
fn half_requests_of_many_clients_together_are_bounded() {
    together(Kind::HalfARequest);
}

#[test]
fn arguments_of_half_requests_count_too() {
    together(Kind::ManyArguments);
}

#[test]
fn queues_of_many_multis_together_are_bounded() {
    together(Kind::Queued);
}

#[test]
fn watched_keys_of_many_clients_together_are_bounded() {
    together(Kind::Watched);
}

#[test]
fn unread_replies_of_many_clients_together_are_bounded() {
    together(Kind::Unread);
}

/// The one that holds most goes, unless it was told that it may stay.
#[test]
fn the_largest_goes_first_and_who_may_stay_stays() {
    let server = aft(&["--clients-bytes-max", "7680kb"]);
    let mut served = server.client();
    let half = |client: &mut Client, megabytes: usize| {
        let mut bytes = Vec::new();
        encode(&[b"SET".to_vec(), b"k".to_vec(), vec![b'v'; megabytes << 20]], &mut bytes);
        bytes.truncate(bytes.len() - 2);
        send_all(client, &bytes)
    };
    let until_held = |served: &mut Client, megabytes: u64| {
        wait::until("it is held", PATIENCE, || {
            (info(served, "mem_clients_normal") >= megabytes * MIB).then_some(())
        });
    };
    let (mut stays, mut small, mut large) = (server.client(), server.client(), server.client());
    assert_eq!(stays.cmd("CLIENT NO-EVICT ON"), Reply::ok());
    half(&mut stays, 4);
    until_held(&mut served, 4);
    half(&mut small, 1);
    until_held(&mut served, 5);
    half(&mut large, 2);
    until_held(&mut served, 7);
    let mut last = server.client();
    half(&mut last, 1);
    wait::until("one had to go", PATIENCE, || {
        (info(&mut served, "evicted_clients") == 1).then_some(())
    });
    large.stream().set_nonblocking(false).expect("a socket");
    assert_eq!(large.read_to_close().expect("the largest is closed"), b"");
    for client in [&mut stays, &mut small, &mut last] {
        client.stream().set_nonblocking(false).expect("a socket");
        client.send_raw(b"\r\n").expect("an open connection");
        assert_eq!(client.read().expect("a reply"), Reply::ok());
    }
    // As in Redis it can be switched off.
    assert_eq!(served.cmd("CONFIG SET maxmemory-clients 0"), Reply::ok());
    let mut free = server.client();
    half(&mut free, 20);
    until_held(&mut served, 20);
    drop(free);
    drop((stays, small, last));
    until_alone(&mut served);
}

/// A claim alone takes no memory, however large and however often.
#[test]
fn claims_cost_nothing() {
    let server = aft(&[]);
    let mut served = server.client();
    let before = server.memory_bytes("VmRSS");
    let address_space = server.memory_bytes("VmSize");
    let clients: Vec<Client> = (0..500).map(|_| server.client()).collect();
    for client in &clients {
        assert_eq!(send_all(client, b"*2147483647\r\n$536870912\r\nx"), Sent::All);
    }
    let sent = 500 * 26;
    wait::until("all is read", PATIENCE, || {
        (info(&mut served, "total_net_input_bytes") >= sent).then_some(())
    });
    let grown = server.memory_bytes("VmRSS").saturating_sub(before);
    let claimed = server.memory_bytes("VmSize").saturating_sub(address_space);
    println!("{} KB, {} MB of addresses for 500 claims", grown >> 10, claimed >> 20);
    assert!(grown < 16 * MIB, "{grown} bytes for claims");
    assert!(claimed < 512 * MIB, "{claimed} bytes of addresses for claims of 250 GB");
}

/// One request that is longer than the limit on one connection's input is closed, before it is
/// there. Redis says nothing; we say why.
#[test]
fn one_long_request_is_refused_as_by_redis() {
    for peer in [Peer::Redis, Peer::under_test()] {
        let settings: &[&str] = match peer {
            Peer::Aft => &["--query-buffer-bytes-max", "1mb"],
            Peer::Redis | Peer::MiniStack | Peer::Moto => &["--client-query-buffer-limit", "1mb"],
        };
        let server = Server::start(&with(Options::new(peer), settings));
        let mut client = server.client();
        let mut request = Vec::new();
        encode(&[b"SET".to_vec(), b"k".to_vec(), vec![b'v'; 3 << 20]], &mut request);
        wait::until("it is closed", PATIENCE, || {
            (send(&client, &request) == Sent::Closed).then_some(())
        });
        let said = match client.read_to_close() {
            Ok(said) => said,
            Err(error) => panic!("{peer:?}: {error}"),
        };
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.is_empty() || said == "-ERR Protocol error: too big request\r\n", "{said}");
        let mut other = server.client();
        assert_eq!(other.cmd("GET k"), Reply::NullBulk, "{peer:?}");
        let value = "v".repeat(500_000);
        assert_eq!(other.run(&["SET", "k", &value]), Reply::ok(), "{peer:?}");
    }
}

/// What follows a command that waits for ever is listened to only as far as it takes to notice
/// that the client goes.
#[test]
fn who_waits_and_goes_on_sending_is_not_listened_to_for_ever() {
    const HELD_MAX: u64 = 5 * MIB;
    let server = aft(&[]);
    let mut served = server.client();
    let waiting = server.client();
    assert_eq!(send_all(&waiting, b"WAIT 1 0\r\n"), Sent::All);
    let pings = b"PING\r\n".repeat(64 << 10);
    let sent_max = 64 * MIB / pings.len() as u64;
    let mut refused = 0;
    for _ in 0..sent_max {
        // Not at once, and not after others have had many turns.
        let mut at = 0;
        refused = 0;
        while at < pings.len() && refused < 100 {
            refused += 1;
            let left = match send(&waiting, &pings[at..]) {
                Sent::All => 0,
                Sent::Stuck(left) => left,
                Sent::Closed => panic!("closed"),
            };
            if pings.len() - left > at {
                refused = 0;
            }
            at = pings.len() - left;
            assert!(ping(&mut served) < SERVED_WITHIN);
        }
        let held = info(&mut served, "mem_clients_normal");
        assert!(held < HELD_MAX, "{held} bytes of one that waits");
        if refused > 0 {
            break;
        }
    }
    assert!(refused > 0, "all of it was taken");
}

/// A client that asks and never reads, alone: its own limit ends it.
#[test]
fn who_never_reads_is_closed_at_its_own_limit() {
    let server = aft(&["--output-buffer-bytes-max", "4mb"]);
    let mut served = server.client();
    assert_eq!(served.run(&["SET", "big", &"v".repeat(1 << 20)]), Reply::ok());
    let before = server.memory_bytes("VmHWM");
    let mut deaf = server.client();
    let gets = b"GET big\r\n".repeat(1_000);
    wait::until("it is closed", PATIENCE, || {
        assert!(ping(&mut served) < SERVED_WITHIN);
        (send(&deaf, &gets) == Sent::Closed).then_some(())
    });
    let grown = server.memory_bytes("VmHWM").saturating_sub(before);
    println!("{} MB for one that never reads", grown >> 20);
    assert!(grown < 32 * MIB, "{grown} bytes for one that never reads");
    assert_eq!(info(&mut served, "client_output_buffer_limit_disconnections"), 1);
    let _ = deaf.stream().shutdown(Shutdown::Both);
    assert!(deaf.read().is_err_and(|error| is_closed(&error)) || deaf.read().is_ok());
}
