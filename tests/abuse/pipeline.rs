//! A million commands in one burst: all answered, in order, in bounded memory, and others are
//! served meanwhile.

use std::io::{Read, Write};
use std::time::Duration;

use crate::common::client::Client;
use crate::common::resp::{Reply, encode};
use crate::common::server::{Options, Peer, Server};
use crate::common::temp_dir::TempDir;
use crate::support::{MIB, SERVED_WITHIN, aft, info, ping};

const COMMANDS: u64 = 1_000_000;

/// The requests, and their answers.
fn burst() -> (Vec<u8>, Vec<u8>) {
    let (mut requests, mut answers) = (Vec::new(), Vec::new());
    for n in 0..COMMANDS {
        match n % 4 {
            0 => {
                encode(&["INCR", "count"], &mut requests);
                answers.extend(format!(":{}\r\n", n / 4 + 1).bytes());
            }
            1 => {
                encode(&["SET", "last", &n.to_string()], &mut requests);
                answers.extend(b"+OK\r\n");
            }
            2 => {
                encode(&["GET", "last"], &mut requests);
                let last = (n - 1).to_string();
                answers.extend(format!("${}\r\n{last}\r\n", last.len()).bytes());
            }
            _ => {
                requests.extend(b"PING\r\n");
                answers.extend(b"+PONG\r\n");
            }
        }
    }
    (requests, answers)
}

/// Less than the burst: 27 MB of requests, 9 MB of answers.
const GROWTH_MAX: u64 = 16 * MIB;
/// The same, and writes that wait for the disk.
const GROWTH_ON_DISK_MAX: u64 = 96 * MIB;

fn check(server: &Server, growth_max: u64) {
    let (requests, answers) = burst();
    let mut served = server.client();
    let before = server.memory_bytes("VmHWM");
    let (mut to, mut from) = server.client().split().expect("a second handle");
    let (mut pings, mut latest) = (0, Duration::ZERO);
    std::thread::scope(|scope| {
        scope.spawn(move || to.write_all(&requests).expect("all is sent"));
        let reading = scope.spawn(|| {
            let mut said = vec![0; 1 << 16];
            let mut at = 0;
            while at < answers.len() {
                let count = from.read(&mut said).expect("more answers");
                assert!(count > 0, "closed after {at} bytes of {}", answers.len());
                assert!(said[..count] == answers[at..at + count], "wrong after {at} bytes");
                at += count;
            }
        });
        while !reading.is_finished() {
            latest = latest.max(ping(&mut served));
            pings += 1;
        }
    });
    let grown = server.memory_bytes("VmHWM").saturating_sub(before);
    println!("{} MB more; meanwhile {pings} answers, the latest after {latest:?}", grown >> 20);
    assert!(pings >= 100, "{pings} answers to others");
    assert!(latest < SERVED_WITHIN, "another client waited {latest:?}");
    assert!(grown < growth_max, "{grown} bytes for a long pipeline");
    assert_eq!(served.cmd("GET count"), Reply::bulk((COMMANDS / 4).to_string()));
}

#[test]
fn a_million_commands_in_memory() {
    check(&aft(&[]), GROWTH_MAX);
}

#[test]
fn a_million_commands_on_disk() {
    let dir = TempDir::named("burst");
    let options = Options { dir: Some(dir.path().to_owned()), ..Options::new(Peer::Aft) };
    check(&Server::start(&options), GROWTH_ON_DISK_MAX);
}

/// And nothing is read ahead for a client that does not take its answers: what it sends stays
/// in the system's buffers, at its own end.
#[test]
fn a_burst_that_nobody_reads_the_answers_of_is_not_taken_in() {
    let server = aft(&["--output-buffer-bytes-max", "1mb"]);
    let mut served: Client = server.client();
    let before = server.memory_bytes("VmHWM");
    let (requests, _) = burst();
    let deaf = server.client();
    let sent = crate::support::send_all(&deaf, &requests);
    assert_eq!(sent, crate::support::Sent::Closed);
    let grown = server.memory_bytes("VmHWM").saturating_sub(before);
    assert!(grown < 32 * MIB, "{grown} bytes");
    assert_eq!(info(&mut served, "client_output_buffer_limit_disconnections"), 1);
    assert!(ping(&mut served) < SERVED_WITHIN);
}
