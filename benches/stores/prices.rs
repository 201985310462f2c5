//! What requests to a store are counted as, and what that costs: on demand, in us-east-1.

/// Dollars for a million of each.
pub(crate) const S3_PUT: f64 = 5.0;
pub(crate) const S3_GET: f64 = 0.40;
pub(crate) const DYNAMODB_WRITE_UNIT: f64 = 0.625;
pub(crate) const DYNAMODB_READ_UNIT: f64 = 0.125;

/// A transaction of DynamoDB is counted so many times.
pub(crate) const TRANSACTIONAL: u64 = 2;

/// A write unit of DynamoDB writes so many bytes of one item, begun ones count whole.
const WRITE_UNIT_BYTES: u64 = 1 << 10;
/// The same of a read unit, of consistent reads.
const READ_UNIT_BYTES: u64 = 4 << 10;

/// How aft's adapter cuts objects into items: so many bytes of an object in each.
const PIECE_BYTES: u64 = 3904;
/// Beside its bytes: the keys of an item and what else is in it, with names of the usual length.
const HEAD_BYTES: u64 = 86;
const PIECE_KEY_BYTES: u64 = 80;
/// Items of one BatchWriteItem.
const BATCH_ITEMS: u64 = 25;

/// Write units of an item.
pub(crate) fn write_units(item_bytes: u64) -> u64 {
    item_bytes.div_ceil(WRITE_UNIT_BYTES).max(1)
}

/// Requests that write an object into a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DynamoDbWrites {
    pub(crate) write_units: u64,
    /// BatchWriteItem of the pieces behind the first, all at once, before the PutItem of the head.
    pub(crate) batches: u64,
}

/// What aft's adapter sends for an object of this size: a head with the first piece, and if there
/// are more an item for each, and one that says that there are.
pub(crate) fn dynamodb_create(object_bytes: u64) -> DynamoDbWrites {
    let head = write_units(HEAD_BYTES + object_bytes.min(PIECE_BYTES));
    let rest = object_bytes.saturating_sub(PIECE_BYTES);
    if rest == 0 {
        return DynamoDbWrites { write_units: head, batches: 0 };
    }
    let (whole, last) = (rest / PIECE_BYTES, rest % PIECE_BYTES);
    let of_last = if last == 0 { 0 } else { write_units(PIECE_KEY_BYTES + last) };
    let pieces = whole + u64::from(last > 0);
    let trace = 1;
    DynamoDbWrites {
        write_units: head + whole * write_units(PIECE_KEY_BYTES + PIECE_BYTES) + of_last + trace,
        batches: (pieces + trace).div_ceil(BATCH_ITEMS),
    }
}

/// Read units of a range of an object: the pieces that have bytes of it.
pub(crate) fn dynamodb_read(offset: u64, bytes: u64) -> u64 {
    let pieces = (offset + bytes).div_ceil(PIECE_BYTES).saturating_sub(offset / PIECE_BYTES);
    pieces.max(1) * (PIECE_BYTES + HEAD_BYTES).div_ceil(READ_UNIT_BYTES)
}

/// To delete an object costs what it cost to write, and a look at its head.
pub(crate) fn dynamodb_delete(object_bytes: u64) -> (u64, u64) {
    (dynamodb_create(object_bytes).write_units, dynamodb_read(0, object_bytes.min(PIECE_BYTES)))
}
