//! A live Redis' strings, with their expiries, into a store or another server.
//!
//! The source is asked, page by page: SCAN for keys; STRLEN, which tells strings from the rest
//! and how much of them fits into one go; then value and expiry in one MULTI, so that they
//! belong together. Every key is taken as it was at some moment of the import. Keys that are
//! made, deleted or renamed meanwhile may be taken or not: that is what SCAN promises. Who
//! needs one moment for all stops the writers.

mod sink;
mod source;

pub use sink::Sink;
pub use source::{LeftOut, Source};

use crate::backup::{BackupError, Entry};

/// What an import has done.
#[derive(Debug, Default)]
pub struct Imported {
    /// Keys that were read.
    pub keys: u64,
    /// Databases that hold any.
    pub databases: usize,
    /// What is no string, and what the source could not read.
    pub left_out: LeftOut,
}

/// Copies all strings of a source. `progress` is told how many keys of about how many.
///
/// # Errors
/// Either side failed, or refused something. What a server was given stays there; a store is
/// as it was, until what was restored is published.
pub async fn import(
    source: &mut Source,
    sink: &mut Sink<'_, '_>,
    mut progress: impl FnMut(u64, u64),
) -> Result<Imported, BackupError> {
    let databases = source.databases()?;
    let all: u64 = databases.iter().map(|(_, keys)| keys).sum();
    let mut imported = Imported { databases: databases.len(), ..Imported::default() };
    for (database, _) in databases {
        source.select(database)?;
        sink.select(database)?;
        while let Some(page) = source.page()? {
            for batch in source.batches(page)? {
                let entries: Vec<Entry> = source.fetch(&batch)?;
                imported.keys += entries.len() as u64;
                sink.put(entries).await?;
                progress(imported.keys + source.left_out().keys(), all);
            }
        }
    }
    imported.left_out = source.take_left_out();
    Ok(imported)
}
