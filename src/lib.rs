//! aft: atomic fault tolerance for serverless functions, behind the Redis protocol.

pub mod clock;
pub mod resp;
pub mod small_bytes;
pub mod storage;
