use super::*;
use crate::small_bytes::LARGE_BYTES_MIN;

fn large(byte: u8) -> SmallBytes {
    vec![byte; LARGE_BYTES_MIN + usize::from(byte)].into()
}

/// Appends a reply, and holds it back behind a gate.
fn push(output: &mut Output, reply: &Reply, gate: Option<&Arc<Gate>>) {
    let start = output.end();
    reply.write(Protocol::Resp2, output);
    if let Some(gate) = gate {
        let (gate, end) = (Arc::clone(gate), output.end());
        output.marks.push_back(Mark { gate, start, end, held_from: start, replies: 1 });
    }
}

fn wire(replies: &[Reply]) -> Vec<u8> {
    let mut bytes = Vec::new();
    replies.iter().for_each(|reply| reply.write(Protocol::Resp2, &mut bytes));
    bytes
}

/// Takes what may be written, at most so much at a time.
fn drain(output: &mut Output, step: usize) -> Vec<u8> {
    let mut written = Vec::new();
    loop {
        let before = output.waiting_bytes();
        let pieces = output.sendable().iter().map(|piece| piece.to_vec()).collect::<Vec<_>>();
        let mut pieces = pieces.concat();
        if pieces.is_empty() {
            return written;
        }
        pieces.truncate(step);
        output.wrote(pieces.len());
        assert_eq!(output.waiting_bytes(), before - pieces.len());
        written.extend(pieces);
    }
}

#[test]
fn large_values_stand_where_they_belong_however_they_are_written() {
    let bulks = |bytes: &[u8]| bytes.iter().map(|byte| Reply::Bulk(large(*byte))).collect();
    let replies =
        [Reply::Ok, Reply::Bulk(large(1)), Reply::Array(bulks(&[2; 100])), Reply::bulk("small")];
    for step in [1000, 4096, LARGE_BYTES_MIN + 1, usize::MAX] {
        let mut output = Output::default();
        replies.iter().for_each(|reply| push(&mut output, reply, None));
        assert_eq!(output.waiting_bytes(), wire(&replies).len());
        let first: usize = output.sendable().iter().map(|piece| piece.len()).sum();
        assert!(first < output.waiting_bytes(), "so many pieces go in several calls");
        assert!(drain(&mut output, step) == wire(&replies), "{step} bytes at a time");
        assert!(output.inserted.is_empty() && output.waiting_bytes() == 0);
    }
}

#[test]
fn held_back_values_wait_and_errors_take_their_place() {
    let gate = Arc::new(Gate::default());
    let mut output = Output::default();
    let replies = [1, 2, 3].map(|byte| Reply::Bulk(large(byte)));
    push(&mut output, &replies[0], None);
    push(&mut output, &replies[1], Some(&gate));
    push(&mut output, &replies[2], None);
    assert!(drain(&mut output, 5000) == wire(&replies[..1]));
    output.settle(Protocol::Resp2);
    assert!(output.sendable().is_empty());
    gate.open(Outcome::NotCommitted);
    output.settle(Protocol::Resp2);
    assert!(drain(&mut output, 5000) == wire(&[command::dropped(), replies[2].clone()]));
    assert_eq!(output.waiting_bytes(), 0);
}

#[test]
fn what_came_along_with_a_commit_goes_with_its_reply() {
    let mut output = Output::default();
    push(&mut output, &Reply::Ok, None);
    drain(&mut output, usize::MAX);
    let before = output.end();
    push(&mut output, &Reply::bulk("along"), None);
    let start = output.end();
    assert_eq!(output.held_from(start, None, true), before);
    assert_eq!(output.held_from(start, None, false), start);
    // What has begun to go out goes on.
    push(&mut output, &Reply::Bulk(large(1)), None);
    output.wrote((start - before) as usize + 10);
    let start = output.end();
    assert_eq!(output.held_from(start, None, true), start);
    drain(&mut output, usize::MAX);
    // So does what waits for an earlier group only.
    push(&mut output, &Reply::Ok, None);
    push(&mut output, &Reply::Ok, Some(&Arc::new(Gate::default())));
    let start = output.end();
    assert_eq!(output.held_from(start, None, true), start);
}
