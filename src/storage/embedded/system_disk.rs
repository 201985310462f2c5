//! A directory of the operating system, held by one process at a time.

use super::disk::{Disk, DiskFile, SyncPoint, write_all};
use super::format::{FORMAT_FILE, check_format, is_unfinished, segment_number, store_error};
use crate::storage::StoreError;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const LOCK_FILE: &str = "LOCK";

/// The directory, and the lock on it.
#[derive(Debug)]
pub struct SystemDisk {
    path: PathBuf,
    directory: File,
    /// Locked as long as it is open, also against a fork of this process; the system
    /// unlocks it when the process ends, however that happens.
    _lock: Option<File>,
    /// `FORMAT`, with a shared lock as long as this only looks at the directory: no file in it
    /// is reused meanwhile.
    _look: Option<File>,
    read_only: bool,
}

impl SystemDisk {
    /// Takes a directory, making it if need be. `Fatal`: another process has it, this
    /// process may not write to it, or it was written by another version of aft.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        // 1. A directory that isn't ours to read is not touched at all.
        match fs::read(path.join(FORMAT_FILE)) {
            Ok(contents) => {
                check_format(&contents).map(|_| ()).map_err(|error| about(path, error))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => refuse_foreign(path)?,
            Err(error) => return Err(about(path, store_error("reading FORMAT", &error))),
        }
        // 2. The directory, durable with its name.
        make_directory(path).map_err(|e| about(path, store_error("making the directory", &e)))?;
        let directory = File::open(path)
            .map_err(|error| about(path, store_error("opening the directory", &error)))?;
        // 3. The lock, before anything in it is read: the files are one process's.
        let lock = take_lock(path)?;
        Ok(Self {
            path: path.to_owned(),
            directory,
            _lock: Some(lock),
            _look: None,
            read_only: false,
        })
    }

    /// Takes a directory that holds a store, to be read only: nothing in it changes, not
    /// even what its `LOCK` says. `Fatal` as for [`SystemDisk::open`], or if there is none.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        let disk = Self::open_beside(path)?;
        let lock = match File::open(path.join(LOCK_FILE)) {
            Ok(lock) => Some(locked(path, lock)?),
            // A copy of a directory may come without; then nobody has it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(about(path, store_error("taking LOCK", &error))),
        };
        Ok(Self { _lock: lock, ..disk })
    }

    /// The same without the lock: whoever has it goes on writing.
    pub fn open_beside(path: &Path) -> Result<Self, StoreError> {
        let contents = fs::read(path.join(FORMAT_FILE))
            .map_err(|error| about(path, store_error("no store of aft: reading FORMAT", &error)))?;
        check_format(&contents).map_err(|error| about(path, error))?;
        let directory = File::open(path)
            .map_err(|error| about(path, store_error("opening the directory", &error)))?;
        let look = File::open(path.join(FORMAT_FILE))
            .and_then(|format| format.lock_shared().map(|()| format))
            .map_err(|error| about(path, store_error("locking FORMAT", &error)))?;
        Ok(Self {
            path: path.to_owned(),
            directory,
            _lock: None,
            _look: Some(look),
            read_only: true,
        })
    }
}

/// Refuses a directory without `FORMAT` that holds something else: most likely another
/// program's, and a typing error.
fn refuse_foreign(path: &Path) -> Result<(), StoreError> {
    let failed = |error: io::Error| about(path, store_error("listing the directory", &error));
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        let name = name.to_string_lossy();
        // What a start that died early leaves, and what a file system of its own holds.
        let ours = [LOCK_FILE, "lost+found"].contains(&&*name)
            || is_unfinished(&name)
            || segment_number(&name).is_some();
        if !ours {
            let why = format!("it holds {name} and no store: name an empty or a new directory");
            return Err(about(path, StoreError::Fatal(why)));
        }
    }
    Ok(())
}

/// Says which directory an error is about, and that it can't be used.
fn about(path: &Path, error: StoreError) -> StoreError {
    let why = match error {
        StoreError::Full(why) => return StoreError::Full(format!("{}: {why}", path.display())),
        StoreError::Unavailable(why) | StoreError::Rejected(why) | StoreError::Fatal(why) => why,
        StoreError::NotFound => "not found".to_owned(),
    };
    StoreError::Fatal(format!("{}: {why}", path.display()))
}

/// Makes the directory and those above it, each durable in the one that holds it.
fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        make_directory(parent)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        other => other?,
    }
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn take_lock(path: &Path) -> Result<File, StoreError> {
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path.join(LOCK_FILE))
        .map_err(|error| about(path, store_error("taking LOCK", &error)))?;
    let mut lock = locked(path, lock)?;
    // Only to tell a second process who it is; a full disk is no reason to stop.
    let _ = lock
        .set_len(0)
        .and_then(|()| lock.write_all(format!("{}\n", std::process::id()).as_bytes()));
    Ok(lock)
}

/// Locks the file, or says who has it.
fn locked(path: &Path, mut lock: File) -> Result<File, StoreError> {
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let read = lock.read_to_string(&mut pid);
            let pid = match (read, pid.trim()) {
                (Ok(1..), pid) => format!(" (pid {pid})"),
                _ => String::new(),
            };
            Err(StoreError::Fatal(format!(
                "{} is in use by another aft process{pid}",
                path.display()
            )))
        }
        Err(TryLockError::Error(error)) => Err(about(path, store_error("taking LOCK", &error))),
    }
}

impl Disk for SystemDisk {
    type File = File;

    fn create(&self, name: &str) -> io::Result<File> {
        OpenOptions::new()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(self.path.join(name))
    }

    fn open(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().read(true).write(!self.read_only).open(self.path.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn write_over(&self, file: &File, bytes: &[u8]) -> io::Result<bool> {
        let format = File::open(self.path.join(FORMAT_FILE))?;
        match format.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Who looks from now on finds what says that nothing in it counts yet.
        write_all(file, bytes, 0).map_err(|failure| failure.error)?;
        Ok(true)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // A name that isn't UTF-8 is none of ours.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn sync_directory(&self, _point: SyncPoint) -> io::Result<()> {
        self.directory.sync_all()
    }
}

impl DiskFile for File {
    fn length(&self) -> io::Result<u64> {
        self.metadata().map(|metadata| metadata.len())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }

    #[cfg(target_os = "linux")]
    fn read_at_once(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        use rustix::io::{ReadWriteFlags, preadv2};
        let mut buffers = [io::IoSliceMut::new(buffer)];
        Ok(preadv2(self, &mut buffers, offset, ReadWriteFlags::NOWAIT)?)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn sync(&self, _point: SyncPoint) -> io::Result<()> {
        self.sync_data()
    }
}
