//! What the server tells of times and of bytes is true, as far as it can be told from outside.

use crate::common::client::Client;
use crate::common::resp::Reply;
use crate::common::server::{Options, Peer, Server};
use crate::common::wait::{self, PATIENCE, until};

const MIB: u64 = 1 << 20;

/// A number in a text of `name=value` or `name:value`.
fn number(text: &str, name: &str) -> u64 {
    let mut words = text.split_whitespace();
    let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix([':', '=']));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// What CLIENT LIST says of a connection.
fn line(client: &mut Client, id: i64) -> String {
    client.cmd(&format!("CLIENT LIST ID {id}")).text().expect("a line")
}

fn peers() -> [(Peer, Server); 2] {
    [Peer::Aft, Peer::Redis].map(|peer| (peer, Server::start(&Options::new(peer))))
}

#[test]
fn times_are_those_of_the_clock() {
    let is_now = |ms: u64| (ms as i64).abs_diff(wait::wall_ms()) < 60_000;
    for (peer, server) in peers() {
        let (mut client, mut silent) = (server.client(), server.client());
        let id = silent.cmd("CLIENT ID").int();
        let info = client.cmd("INFO server").text().expect("a text");
        assert!(is_now(number(&info, "server_time_usec") / 1000), "{peer:?}: {info}");
        let time = client.cmd("TIME");
        let seconds = time.items()[0].text().and_then(|text| text.parse::<u64>().ok());
        assert!(is_now(seconds.expect("seconds") * 1000), "{peer:?}: {time:?}");
        assert_eq!(client.cmd("CONFIG SET slowlog-log-slower-than 0"), Reply::ok());
        let entry = client.cmd("SLOWLOG GET 1").items()[0].clone();
        assert!(is_now(entry.items()[1].int() as u64 * 1000), "{peer:?}: {entry:?}");
        // Both grow where nothing is said.
        until("a second is over", PATIENCE, || {
            let line = line(&mut client, id);
            (number(&line, "age") > 0 && number(&line, "idle") > 0).then_some(())
        });
        let info = client.cmd("INFO server").text().expect("a text");
        assert!((1..300).contains(&number(&info, "uptime_in_seconds")), "{peer:?}: {info}");
        assert_eq!(number(&info, "uptime_in_days"), 0, "{peer:?}");
        let own = client.cmd("CLIENT INFO").text().expect("a line");
        assert!(number(&own, "age") > 0 && number(&own, "idle") == 0, "{peer:?}: {own}");
    }
}

#[test]
fn bytes_are_those_that_were_sent() {
    let value = "v".repeat(32 * MIB as usize);
    for (peer, server) in peers() {
        let (mut client, mut other) = (server.client(), server.client());
        let id = other.cmd("CLIENT ID").int();
        let mut totals = || {
            let info = client.cmd("INFO stats").text().expect("a text");
            ["total_net_input_bytes", "total_net_output_bytes"].map(|name| number(&info, name))
        };
        let before = totals();
        assert_eq!(other.run(&["SET", "k", &value]), Reply::ok());
        let after = totals();
        let grown = [after[0] - before[0], after[1] - before[1]];
        assert!(grown[0] >= 32 * MIB && grown[1] < MIB, "{peer:?}: {grown:?}");
        // What is asked for and not read waits there.
        other.queue(&["GET", "k"]);
        other.flush().expect("an open connection");
        until("a reply that nobody reads", PATIENCE, || {
            (number(&line(&mut client, id), "omem") > MIB).then_some(())
        });
        assert_eq!(other.read().expect("a reply"), Reply::bulk(&value));
        until("all is read", PATIENCE, || {
            (number(&line(&mut client, id), "omem") == 0).then_some(())
        });
    }
}

/// Half a request behind a whole one.
#[test]
fn what_is_no_whole_request_is_told_of() {
    for (peer, server) in peers() {
        let (mut client, mut other) = (server.client(), server.client());
        let id = other.cmd("CLIENT ID").int();
        let half = format!("PING\r\n*2\r\n$3\r\nGET\r\n$1000\r\n{}", "k".repeat(500));
        other.send_raw(half.as_bytes()).expect("an open connection");
        assert_eq!(other.read().expect("a reply"), Reply::Simple(b"PONG".to_vec()));
        until("half a request", PATIENCE, || {
            (500..600).contains(&number(&line(&mut client, id), "qbuf")).then_some(())
        });
        let list = line(&mut client, id);
        assert!(number(&list, "tot-mem") >= 500, "{peer:?}: {list}");
    }
}
