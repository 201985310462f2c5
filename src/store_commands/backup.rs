//! `aft store dump` and `aft store load`.

use super::progress::Progress;
use super::target::Target;
use super::{Beside, INPUT, OUTPUT, REPLACE, STORE, open};
use crate::backup::format::{DumpReader, Item};
use crate::backup::{BackupError, Dumped, Restored, dump as dump_store};
use crate::clock::{Clock, SystemClock};
use crate::config;
use clap::ArgMatches;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::any::Any;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, BufWriter, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

const BUFFER_BYTES: usize = 1 << 20;

/// Writes what is in a store to a file or to stdout.
pub(super) fn dump(matches: &ArgMatches) -> Result<(), BackupError> {
    let store: &config::Store = store_of(matches)?;
    let output = matches.get_one::<PathBuf>(OUTPUT).filter(|path| path.as_os_str() != "-");
    let dumped = match output {
        Some(path) => dump_to_file(store, path)?,
        None if io::stdout().is_terminal() => {
            return Err(refused(
                "a dump is not for a terminal: name a file with --output, or use a pipe",
            ));
        }
        None => {
            let stdout = io::stdout().lock();
            write_dump(store, BufWriter::with_capacity(BUFFER_BYTES, stdout))
                .map_err(|error| about("stdout", error))?
        }
    };
    eprintln!("dumped {} keys, {} bytes", dumped.keys, dumped.bytes);
    Ok(())
}

/// The file has its name when the dump is whole and durable, and not before.
fn dump_to_file(store: &config::Store, path: &Path) -> Result<Dumped, BackupError> {
    // A pipe or a device is written to, and never replaced.
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        let shown = path.display().to_string();
        return OpenOptions::new()
            .write(true)
            .open(path)
            .map_err(BackupError::from)
            .and_then(|pipe| write_dump(store, BufWriter::with_capacity(BUFFER_BYTES, pipe)))
            .map_err(|error| about(&shown, error));
    }
    let unfinished = path.with_added_extension("unfinished");
    let shown = unfinished.display().to_string();
    let failed = |error: io::Error| about(&shown, error.into());
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&unfinished);
    let file = file.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(refused(&format!("{shown} is being written by another dump")));
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let written = file
        .set_len(0)
        .map_err(BackupError::from)
        .and_then(|()| write_dump(store, BufWriter::with_capacity(BUFFER_BYTES, &file)))
        .and_then(|dumped| {
            file.sync_all()?;
            fs::rename(&unfinished, path)?;
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
            Ok(dumped)
        });
    written.map_err(|error| {
        // Half a dump is of no use, and may fill the disk.
        let _ = fs::remove_file(&unfinished);
        about(&shown, error)
    })
}

fn write_dump(store: &config::Store, out: impl Write) -> Result<Dumped, BackupError> {
    let now_ms = SystemClock::new().wall_ms();
    let version = env!("CARGO_PKG_VERSION");
    let about = format!("writer=aft {version}\ncreated_ms={now_ms}\n");
    let progress = Progress::of_objects();
    let open = async || open(store, Beside::ANode).await;
    let show = |done, all| progress.show(done, all);
    runtime()?.block_on(dump_store(open, out, &about, now_ms, show))
}

/// Fills a store with a dump from a file or from stdin.
pub(super) fn load(matches: &ArgMatches) -> Result<(), BackupError> {
    let store: &config::Store = store_of(matches)?;
    let replace = matches.get_flag(REPLACE);
    let input = matches.get_one::<PathBuf>(INPUT).filter(|path| path.as_os_str() != "-");
    let loaded = match input {
        Some(path) => {
            let shown = path.display().to_string();
            let file = File::open(path).map_err(|error| about(&shown, error.into()))?;
            let length = file.metadata().ok().filter(fs::Metadata::is_file).map(|of| of.len());
            read_dump(store, replace, file, length).map_err(|error| about_dump(&shown, error))?
        }
        None if io::stdin().is_terminal() => {
            return Err(refused("no dump is given: name a file with --input, or use a pipe"));
        }
        None => {
            let stdin = io::stdin().lock();
            read_dump(store, replace, stdin, None).map_err(|error| about_dump("stdin", error))?
        }
    };
    eprintln!("loaded {} keys{}", loaded.keys, expired(&loaded));
    Ok(())
}

/// What a summary says of keys that had expired.
pub(crate) fn expired(restored: &Restored) -> String {
    match restored.expired {
        0 => String::new(),
        keys => format!("; {keys} had expired"),
    }
}

fn read_dump(
    store: &config::Store,
    replace: bool,
    input: impl Read,
    length: Option<u64>,
) -> Result<Restored, BackupError> {
    // What is no dump is refused before a store is touched or made.
    let mut dump = DumpReader::new(BufReader::with_capacity(BUFFER_BYTES, input))?;
    let mut rng = rng()?;
    let progress = Progress::of_bytes(length);
    runtime()?.block_on(async {
        let target = Target::open(store, "aft store load", &mut rng).await?;
        let loading = async {
            let mut restore = target.begin(replace, &mut rng).await?;
            loop {
                match dump.next_item()? {
                    Item::Entry(entry) => restore.add(entry).await?,
                    Item::Again => restore.again(),
                    Item::End(_) => return restore.publish().await,
                }
                progress.reach(dump.bytes());
            }
        };
        target.filled_by(loading).await
    })
}

/// A generator that nobody can guess.
pub(crate) fn rng() -> Result<StdRng, BackupError> {
    StdRng::try_from_rng(&mut rand::rngs::SysRng)
        .map_err(|error| refused(&format!("the system gives no randomness: {error}")))
}

/// Where a command's own steps run.
pub(crate) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn store_of<T: Any + Clone + Send + Sync>(matches: &ArgMatches) -> Result<&T, BackupError> {
    matches.get_one(STORE).ok_or_else(|| refused("no store is named"))
}

fn refused(why: &str) -> BackupError {
    BackupError::Refused(why.to_owned())
}

/// Says which file has failed.
fn about(file: &str, error: BackupError) -> BackupError {
    match error {
        BackupError::Io(error) => {
            BackupError::Io(io::Error::new(error.kind(), format!("{file}: {error}")))
        }
        error => error,
    }
}

/// Says which dump has failed or is damaged.
fn about_dump(file: &str, error: BackupError) -> BackupError {
    match error {
        BackupError::Damaged(what) => {
            BackupError::Damaged(format!("{file}: {what}; nothing was loaded"))
        }
        error => about(file, error),
    }
}
