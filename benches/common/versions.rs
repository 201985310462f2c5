//! Values of the benchmarks whose clients keep a history: each tells who wrote it. For those that have
//! `history_support`, so not in `mod.rs`.

use crate::Result;
use crate::common::functions::VALUE_BYTES;
use crate::history_support::record::Version;
use crate::requests::value;

/// A value that tells of itself in its first line.
pub(crate) fn value_of(version: &Version) -> Vec<u8> {
    let mut bytes = format!("{version}\n").into_bytes();
    bytes.extend(value(version.number as u64, 0, VALUE_BYTES - bytes.len()));
    bytes
}

/// What it tells; it must be whole.
pub(crate) fn version_in(value: &[u8]) -> Result<Version> {
    let line = value.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let version = Version::parse(&String::from_utf8_lossy(line));
    let version = version.filter(|version| value_of(version) == value);
    version.ok_or_else(|| format!("not as it was written: {}", line.escape_ascii()).into())
}
