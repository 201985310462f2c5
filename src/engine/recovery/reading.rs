//! Reading objects of logs, many at a time, in order.

use super::super::Engine;
use super::OpenError;
use crate::layout::{FormatError, Header, NodeId, ObjectName};
use bytes::Bytes;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// An object as far as recovery needs it.
pub(super) enum Object {
    /// Header and directory are as they were written; the bytes may end behind them.
    Sound(Header, Bytes),
    /// It exists, but its bytes are not what was written.
    Damaged(FormatError),
}

/// Reads header and directory of an object.
pub(super) async fn read_object(engine: &Engine, name: ObjectName) -> Result<Object, OpenError> {
    /// Covers header and directory of most groups in one read.
    const FIRST_READ: u64 = 64 << 10;
    let text = name.to_string();
    let mut bytes = engine.store.read(&text, 0, FIRST_READ).await?;
    loop {
        let sound = Header::peek_bytes(&bytes).and_then(|length| {
            if length > bytes.len() {
                return Ok((None, length as u64));
            }
            let header = Header::decode(&bytes)?;
            let wanted = header.values_offset();
            Ok((Some(header), wanted))
        });
        let (header, wanted) = match sound {
            Ok(sound) => sound,
            Err(error) => return Ok(Object::Damaged(error)),
        };
        if wanted <= bytes.len() as u64 {
            let Some(header) = header else {
                return Ok(Object::Damaged(FormatError::Length("header")));
            };
            return Ok(match check_identity(&header, name) {
                Ok(()) => Object::Sound(header, bytes),
                Err(error) => Object::Damaged(error),
            });
        }
        let longer = engine.store.read(&text, 0, wanted).await?;
        if (longer.len() as u64) < wanted {
            return Ok(Object::Damaged(FormatError::Length("directory")));
        }
        bytes = longer;
    }
}

/// Two objects that were swapped are each whole, but not what their names say.
fn check_identity(header: &Header, name: ObjectName) -> Result<(), FormatError> {
    let expected = match name {
        ObjectName::Node(node) => (node, 0),
        ObjectName::Log(node, n) | ObjectName::Blob(node, n) | ObjectName::Base(node, n) => {
            (node, n)
        }
        ObjectName::View(n) => (0, n),
    };
    if (header.node, header.number) == expected {
        Ok(())
    } else {
        Err(FormatError::Field("name in the header"))
    }
}

/// An object being read, and what came of it.
struct Read<'e> {
    node: NodeId,
    seq: u64,
    reading: Reading<'e>,
    done: Option<Result<Object, OpenError>>,
}

type Reading<'e> = Pin<Box<dyn Future<Output = Result<Object, OpenError>> + Send + 'e>>;

/// Reads objects of logs, many at a time, and hands them out in order.
pub(super) struct ReadAhead<'e, I> {
    engine: &'e Engine,
    names: I,
    reading: VecDeque<Read<'e>>,
}

impl<'e, I: Iterator<Item = (NodeId, u64)>> ReadAhead<'e, I> {
    pub(super) fn new(engine: &'e Engine, names: I) -> Self {
        Self { engine, names, reading: VecDeque::new() }
    }

    pub(super) async fn next(&mut self) -> Result<Option<(NodeId, u64, Object)>, OpenError> {
        while self.reading.len() < self.engine.options.recovery_reads_in_flight.max(1) {
            let Some((node, seq)) = self.names.next() else {
                break;
            };
            let reading = Box::pin(read_object(self.engine, ObjectName::Log(node, seq)));
            self.reading.push_back(Read { node, seq, reading, done: None });
        }
        poll_fn(|context| {
            for read in self.reading.iter_mut().filter(|read| read.done.is_none()) {
                if let Poll::Ready(object) = read.reading.as_mut().poll(context) {
                    read.done = Some(object);
                }
            }
            match self.reading.front() {
                Some(Read { done: None, .. }) => Poll::Pending,
                _ => Poll::Ready(()),
            }
        })
        .await;
        match self.reading.pop_front() {
            Some(Read { node, seq, done: Some(object), .. }) => Ok(Some((node, seq, object?))),
            _ => Ok(None),
        }
    }
}
