//! Whether the system says what of a file it has in memory, so that who reads it needn't wait.

use super::temp_dir::TempDir;
use std::fs::{self, File};

/// Whether it does on the disk of the tests: most file systems do.
pub(crate) fn is_told() -> bool {
    let dir = TempDir::named("at-hand");
    let path = dir.path().join("file");
    fs::write(&path, [1; 100]).expect("a file");
    let file = File::open(&path).expect("the file");
    at_once(&file).is_ok_and(|length| length == 100)
}

#[cfg(target_os = "linux")]
fn at_once(file: &File) -> std::io::Result<usize> {
    use rustix::io::{ReadWriteFlags, preadv2};
    let mut bytes = [0; 100];
    let mut buffers = [std::io::IoSliceMut::new(&mut bytes)];
    Ok(preadv2(file, &mut buffers, 0, ReadWriteFlags::NOWAIT)?)
}

#[cfg(not(target_os = "linux"))]
fn at_once(_: &File) -> std::io::Result<usize> {
    Err(std::io::ErrorKind::Unsupported.into())
}
