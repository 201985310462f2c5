//! What the tests of this directory share.

use crate::common::backing::Backing;
use crate::common::client::Client;
pub(crate) use crate::common::client::{info, info_text};
use crate::common::resp::Reply;
use crate::common::server::{Options, Peer, Server};
use crate::common::temp_dir::TempDir;

pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;

/// An aft on a directory of its own, with further settings. It forces nothing to the disk at
/// once: these tests are about memory.
pub(crate) fn embedded(dir: &TempDir, settings: &[&str]) -> Server {
    let options =
        Options { dir: Some(dir.path().to_owned()), durability: "everysec", ..memory(settings) };
    Server::start(&options)
}

pub(crate) fn on(backing: &Backing, settings: &[&str]) -> Server {
    Server::start(&Options { backing: Some(backing.clone()), ..memory(settings) })
}

pub(crate) fn memory(settings: &[&str]) -> Options {
    let extra = settings.iter().map(|&word| word.to_owned()).collect();
    Options { extra, ..Options::new(Peer::Aft) }
}

/// The value of a key after so many overwrites: every byte depends on both, so that no value can
/// be taken for another one, and no part for another part.
pub(crate) fn value(key: u64, generation: u64, length: usize) -> Vec<u8> {
    let seed = (key << 32 | generation) + 1;
    let words =
        (1..).flat_map(|n: u64| (seed * n).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    words.take(length).collect()
}

pub(crate) fn name(key: u64) -> Vec<u8> {
    format!("key:{key:012}").into_bytes()
}

/// Sends commands in one go, and reads their replies.
pub(crate) fn pipeline(client: &mut Client, commands: &[Vec<Vec<u8>>]) -> Vec<Reply> {
    commands.iter().for_each(|command| client.queue(command));
    client.flush().expect("an open connection");
    commands.iter().map(|_| client.read().expect("a reply")).collect()
}

pub(crate) fn command(words: &[&[u8]]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.to_vec()).collect()
}
