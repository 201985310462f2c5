//! The ways in which a connection ends.

use std::net::Shutdown;

use crate::common::client::Client;
use crate::common::resp::{Reply, encode};
use crate::common::wait::{self, PATIENCE};
use crate::world::{Place, await_bytes, send};

#[test]
fn reset_with_the_reply_unread() {
    let place = Place::new();
    place.lose(place.bound(), &["INCR n"]);
    let mut again = place.bound();
    assert_eq!(again.cmd("INCR n"), Reply::Int(1));
    assert_eq!((place.count(), place.repeated()), (1, 1));
    // What comes then is meant.
    assert_eq!(again.cmd("INCR n"), Reply::Int(2));
    again.close(&place);
    assert_eq!(place.bound().cmd("INCR n"), Reply::Int(3));
    assert_eq!(place.repeated(), 1);
}

#[test]
fn an_orderly_close_leaves_nothing() {
    let place = Place::new();
    let mut first = place.bound();
    assert_eq!(first.cmd("INCR n"), Reply::Int(1));
    first.close(&place);
    assert_eq!(place.bound().cmd("INCR n"), Reply::Int(2));
}

#[test]
fn what_was_read_before_a_reset_is_not_lost() {
    let place = Place::new();
    let mut first = place.bound();
    assert_eq!(first.cmd("INCR n"), Reply::Int(1));
    assert_eq!(first.cmd("INCR n"), Reply::Int(2));
    place.lose(first, &["INCR n", "GET n"]);
    let mut again = place.bound();
    assert_eq!(again.all(&["INCR n", "GET n"]), [Reply::Int(3), Reply::bulk("3")]);
    assert_eq!(again.cmd("INCR n"), Reply::Int(4));
}

#[test]
fn closed_before_the_reply_comes() {
    // Whichever comes first, the end or the reply.
    for _ in 0..20 {
        let place = Place::new();
        let mut first = place.bound();
        send(&mut first.client, &["INCR n"]);
        drop(first.client);
        place.gone(first.id);
        assert_eq!(place.bound().cmd("INCR n"), Reply::Int(1));
        assert_eq!(place.count(), 1);
    }
}

#[test]
fn half_closed_and_read_to_the_end() {
    for _ in 0..20 {
        let place = Place::new();
        let mut first = place.bound();
        send(&mut first.client, &["INCR n"]);
        first.client.stream().shutdown(Shutdown::Write).expect("an open connection");
        assert_eq!(first.client.read_to_close().expect("the end"), b":1\r\n");
        drop(first.client);
        place.gone(first.id);
        assert_eq!(place.bound().cmd("INCR n"), Reply::Int(2));
    }
}

/// A client whose TCP takes little: most of a large reply stays with the server.
fn narrow(place: &Place) -> (Client, i64) {
    let socket =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4 << 10).expect("a small buffer");
    socket.connect(&place.server.addr().into()).expect("a connection");
    let mut client = Client::over(socket.into());
    client.run(&["CLIENT", "SETNAME", &format!("aft:{}", place.token)]);
    let id = client.cmd("CLIENT ID").int();
    (client, id)
}

/// Such a client, killed with `bytes` of a reply unread and an INCR behind it.
fn kill_before_it_reads(place: &Place, bytes: usize, is_written: bool) {
    let (mut client, id) = narrow(place);
    assert_eq!(client.run(&["SET", "large", &"x".repeat(bytes)]), Reply::ok());
    send(&mut client, &["GET large", "INCR n"]);
    await_bytes(client.stream());
    let mut other = place.server.client();
    wait::until("it is counted, and written if that can be", PATIENCE, || {
        let list = other.cmd("CLIENT LIST").text().expect("a list");
        let line = list.lines().find(|line| line.contains(&format!("id={id} "))).expect("it");
        let is_all = line.contains(" omem=0 ");
        (line.contains("cmd=incr") && is_all == is_written).then_some(())
    });
    assert_eq!(other.cmd(&format!("CLIENT KILL ID {id}")), Reply::Int(1));
    drop(other);
    // That which asks.
    place.only(1);
}

#[test]
fn killed_with_the_reply_unwritten() {
    const LARGE: usize = 32 << 20;
    let place = Place::with(&["--resend-bytes-max", "100mb"], "");
    kill_before_it_reads(&place, LARGE, false);
    let replies = place.bound().all(&["GET large", "INCR n"]);
    assert_eq!(replies[0].text().expect("a value").len(), LARGE);
    assert_eq!((&replies[1], place.count(), place.repeated()), (&Reply::Int(1), 1, 2));
}

#[test]
fn killed_with_the_reply_written_and_not_acknowledged() {
    const LARGE: usize = 100 << 10;
    let place = Place::new();
    kill_before_it_reads(&place, LARGE, true);
    let replies = place.bound().all(&["GET large", "INCR n"]);
    assert_eq!(replies[0].text().expect("a value").len(), LARGE);
    assert_eq!((&replies[1], place.count(), place.repeated()), (&Reply::Int(1), 1, 2));
}

#[test]
fn killed_with_the_reply_acknowledged() {
    let place = Place::new();
    let mut first = place.bound();
    assert_eq!(first.cmd("INCR n"), Reply::Int(1));
    let kill = format!("CLIENT KILL ID {}", first.id);
    assert_eq!(place.server.client().cmd(&kill), Reply::Int(1));
    assert_eq!(first.client.read_to_close().expect("the end"), b"");
    place.only(1);
    assert_eq!(place.bound().cmd("INCR n"), Reply::Int(2));
}

#[test]
fn a_half_sent_command_has_no_reply_to_lose() {
    let place = Place::new();
    let mut first = place.bound();
    let (mut bytes, mut half) = (Vec::new(), Vec::new());
    encode(&["INCR", "n"], &mut bytes);
    encode(&["INCR", "m"], &mut half);
    bytes.extend_from_slice(&half[..half.len() - 1]);
    first.client.send_raw(&bytes).expect("an open connection");
    await_bytes(first.client.stream());
    drop(first.client);
    place.gone(first.id);
    let replies = place.bound().all(&["INCR n", "INCR m", "INCR m"]);
    assert_eq!(replies, [1, 1, 2].map(Reply::Int));
}

#[test]
fn only_bound_connections_are_told_again() {
    let place = Place::new();
    let plain = place.server.client();
    let lose = |mut client: Client, commands: &[&str]| {
        let id = client.cmd("CLIENT ID").int();
        send(&mut client, commands);
        await_bytes(client.stream());
        drop(client);
        place.gone(id);
    };
    lose(plain, &["INCR plain"]);
    assert_eq!(place.server.client().cmd("INCR plain"), Reply::Int(2));
    // Whoever joins by a command has to do it again himself, and knows what he does.
    let mut joined = place.server.client();
    joined.cmd(&format!("AFT.JOIN {}", place.token));
    lose(joined, &["INCR n"]);
    assert_eq!(place.bound().cmd("INCR n"), Reply::Int(2));
    assert_eq!(place.repeated(), 0);
}

#[test]
fn the_window_is_a_setting() {
    let place = Place::with(&["--resend-window-ms", "0"], "");
    place.lose(place.bound(), &["INCR n"]);
    assert_eq!(place.bound().cmd("INCR n"), Reply::Int(2));
    let place = Place::with(&["--resend-window-ms", "1"], "");
    place.lose(place.bound(), &["INCR n"]);
    let mut clock = place.server.client();
    let lost_at = clock.cmd("TIME");
    wait::until("a second passes", PATIENCE, || {
        (clock.cmd("TIME").items()[0] != lost_at.items()[0]).then_some(())
    });
    // Less than the window may have passed where the second was about to turn.
    wait::until("more than a millisecond passes", PATIENCE, || {
        let microseconds = clock.cmd("TIME").items()[1].text().expect("a number");
        (microseconds.parse::<u32>().expect("a number") > 2_000).then_some(())
    });
    assert_eq!(place.bound().cmd("INCR n"), Reply::Int(2));
}
