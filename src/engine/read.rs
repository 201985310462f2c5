//! Reading objects, many at a time, in order.

use super::Engine;
use super::in_order::InOrder;
use super::recovery::OpenError;
use crate::layout::{FormatError, Header, ObjectName};
use crate::storage::StoreError;
use bytes::Bytes;

/// An object that was read.
pub(super) enum Object {
    /// Header and directory are whole; the bytes may end behind them.
    Sound(Header, Bytes),
    /// It exists, but its bytes are not what was written.
    Damaged(FormatError),
}

/// Covers header and directory of most groups in one read.
const FIRST_READ: u64 = 64 << 10;

/// About so many bytes are read ahead, by the size of the object that came last: as much as a
/// store with 30 ms a read brings at 500 MB/s. More would only be in memory for longer.
const READ_AHEAD_BYTES_MAX: usize = 16 << 20;

/// But so many objects at least.
const IN_FLIGHT_MIN: usize = 2;

/// How much of an object is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Directory,
    Whole,
}

impl Part {
    /// How much that is, from the object's beginning.
    fn bytes(self, header: &Header) -> u64 {
        match self {
            Self::Directory => header.values_offset(),
            Self::Whole => header.object_bytes(),
        }
    }
}

/// Reads header and directory of an object.
pub(super) async fn read_object(engine: &Engine, name: ObjectName) -> Result<Object, OpenError> {
    read_part(engine, name, Part::Directory, FIRST_READ).await
}

/// `first`: what is read before it is known how much is wanted, in bytes.
async fn read_part(
    engine: &Engine,
    name: ObjectName,
    part: Part,
    first: u64,
) -> Result<Object, OpenError> {
    let text = name.to_string();
    let first = if part == Part::Whole { u64::MAX } else { first };
    let warm = (part == Part::Directory).then(|| engine.warm.get(name)).flatten();
    let mut bytes = match warm {
        Some(directory) => directory,
        None => engine.store.read(&text, 0, first).await?,
    };
    loop {
        let sound = Header::peek_bytes(&bytes).and_then(|length| {
            if length > bytes.len() {
                return Ok((None, length as u64));
            }
            let header = Header::decode(&bytes)?;
            let wanted = part.bytes(&header);
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
            return Ok(match header.check_name(name) {
                Ok(()) => Object::Sound(header, bytes),
                Err(error) => Object::Damaged(error),
            });
        }
        let longer = engine.store.read(&text, 0, wanted).await?;
        if (longer.len() as u64) < wanted {
            return Ok(Object::Damaged(FormatError::Length("object")));
        }
        bytes = longer;
    }
}

/// An object that is to be read, and how long its directory is known to be; 0 if it isn't.
type Wanted = (ObjectName, u64);

/// Reads objects, many at a time, and hands them out in order. One that isn't there is damaged: it has
/// been listed, or is named by others.
pub(super) struct ReadAhead<'e> {
    engine: &'e Engine,
    wanted: Box<dyn Iterator<Item = Wanted> + Send + 'e>,
    part: Part,
    in_flight_max: usize,
    /// What was wanted of the object that came last.
    wanted_bytes: usize,
    reading: InOrder<'e, Result<(ObjectName, Object), OpenError>>,
}

impl<'e> ReadAhead<'e> {
    /// Headers and directories.
    pub(super) fn new(
        engine: &'e Engine,
        names: impl Iterator<Item = ObjectName> + Send + 'e,
    ) -> Self {
        let in_flight_max = engine.options.recovery_reads_in_flight.max(1);
        let wanted = Box::new(names.map(|name| (name, 0)));
        let (part, reading) = (Part::Directory, InOrder::default());
        Self { engine, wanted, part, in_flight_max, wanted_bytes: 0, reading }
    }

    /// Objects of which some values are going to be moved: as whole objects, unless the store
    /// reads parts of them as well. Fewer at a time, since they are held until it is their turn.
    pub(super) fn for_moving(
        engine: &'e Engine,
        wanted: impl Iterator<Item = Wanted> + Send + 'e,
    ) -> Self {
        /// All that a step takes of small ones, and little beside what clients may ask for.
        const IN_FLIGHT_MAX: usize = 16;
        let in_flight_max = engine.options.recovery_reads_in_flight.clamp(1, IN_FLIGHT_MAX);
        let in_parts = engine.store.limits().read_gap_bytes <= FIRST_READ;
        let part = if in_parts { Part::Directory } else { Part::Whole };
        let (wanted, reading) = (Box::new(wanted), InOrder::default());
        Self { engine, wanted, part, in_flight_max, wanted_bytes: 0, reading }
    }

    pub(super) async fn next(&mut self) -> Result<Option<(ObjectName, Object)>, OpenError> {
        let fit = READ_AHEAD_BYTES_MAX / self.wanted_bytes.max(1);
        while self.reading.len() < self.in_flight_max.min(fit.max(IN_FLIGHT_MIN)) {
            let Some((name, directory_bytes)) = self.wanted.next() else {
                break;
            };
            let (engine, part) = (self.engine, self.part);
            // The next one is likely to be about as long.
            let likely = (self.wanted_bytes + self.wanted_bytes / 4) as u64;
            let known = Some(directory_bytes).filter(|bytes| *bytes > 0);
            // Of what is good at small reads no more than is wanted.
            let first = match (part, known) {
                (Part::Directory, Some(exactly)) => exactly,
                _ => FIRST_READ.max(known.unwrap_or(likely)),
            };
            self.reading.push(async move {
                match read_part(engine, name, part, first).await {
                    // Somebody else has deleted it, or the store has lost it.
                    Err(OpenError::Store(StoreError::NotFound)) => {
                        Ok((name, Object::Damaged(FormatError::Missing)))
                    }
                    object => Ok((name, object?)),
                }
            });
        }
        let read = self.reading.next().await.transpose()?;
        if let Some((_, Object::Sound(header, _))) = &read {
            self.wanted_bytes = self.part.bytes(header) as usize;
        }
        Ok(read)
    }
}
