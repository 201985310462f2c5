//! Nanoseconds for one request and one reply on the wire, in a pipeline.
//!
//! `cargo bench --bench resp`. Each figure is the fastest of several rounds: noise
//! only ever adds.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]
#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::hint::black_box;
use std::time::Instant;

use aft::resp::{Decoded, Decoder, Protocol, Reply};
use redis_protocol::resp2;

const REQUESTS: usize = 10_000;
const ROUNDS: usize = 50;

/// Runs `work` on `REQUESTS` things, several times.
fn measure(name: &str, mut work: impl FnMut()) {
    let mut best_ns = f64::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        work();
        best_ns = best_ns.min(start.elapsed().as_nanos() as f64 / REQUESTS as f64);
    }
    println!("{name:<44} {best_ns:>8.1} ns");
}

/// Decodes a pipeline and gives each request's arguments to `use_args`.
fn decode(pipeline: &[u8], mut use_args: impl FnMut(aft::resp::Args<'_>)) {
    let mut decoder = Decoder::default();
    let mut rest = black_box(pipeline);
    while let Ok(Decoded::Request { consumed }) = decoder.decode(rest, true) {
        use_args(decoder.args(rest));
        rest = &rest[consumed..];
    }
    assert!(rest.is_empty());
}

fn requests() {
    let set = b"*3\r\n$3\r\nSET\r\n$8\r\nkey:1234\r\n$16\r\n0123456789abcdef\r\n";
    let pipeline = set.repeat(REQUESTS);
    measure("SET, its arguments as slices", || {
        decode(&pipeline, |args| {
            black_box(args.to_slices());
        });
    });
    measure("SET, its arguments one by one", || {
        decode(&pipeline, |args| {
            black_box((&args[0], &args[1], &args[2]));
        });
    });
    measure("SET, redis-protocol, borrowing ranges", || {
        let mut rest = black_box(&pipeline[..]);
        while let Some((frame, consumed)) = resp2::decode::decode_range(rest).unwrap() {
            black_box(frame);
            rest = &rest[consumed..];
        }
    });
    measure("SET, redis-protocol, copied arguments", || {
        let mut rest = black_box(&pipeline[..]);
        while let Some((frame, consumed)) = resp2::decode::decode(rest).unwrap() {
            black_box(frame);
            rest = &rest[consumed..];
        }
    });
    let inline = b"SET key:1234 0123456789abcdef\r\n".repeat(REQUESTS);
    measure("SET, inline", || {
        decode(&inline, |args| {
            black_box(args.len());
        });
    });
}

fn replies() {
    let mut out = Vec::with_capacity(1 << 20);
    let mut write = |name: &str, reply: Reply| {
        measure(name, || {
            out.clear();
            for _ in 0..REQUESTS {
                black_box(&reply).write(Protocol::Resp2, black_box(&mut out));
            }
        });
    };
    write("reply OK", Reply::Ok);
    write("reply of 16 bytes", Reply::bulk(b"0123456789abcdef"));
    write("reply 7", Reply::Integer(7));
    write("reply 1234567890", Reply::Integer(1234567890));
    write("reply 12.34", Reply::Double(12.34));
}

fn main() {
    requests();
    replies();
}
