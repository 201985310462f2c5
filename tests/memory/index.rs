//! What a key takes in memory whose value is in the store.

use crate::common::client::Client;
use crate::common::resp::Reply;
use crate::common::server::Server;
use crate::common::temp_dir::TempDir;
use crate::support::{command, embedded, info, pipeline, value};

/// More than is kept in the index, and little: buffers of values on their way to the store are no
/// part of what is measured.
const VALUE_BYTES: usize = 128;
/// Beyond the key itself.
const ENTRY_BYTES_MAX: u64 = 100;

/// What a process may take for a key beside that, in bytes: what the allocator keeps for itself, the
/// index of groups, and 10 MB by which the figure varies from run to run.
const BESIDE_BYTES_MAX: u64 = 50;

/// Keys of a length.
fn key(number: u64, key_bytes: usize) -> Vec<u8> {
    format!("{number:0key_bytes$}").into_bytes()
}

/// With an expiry each that isn't that of any other, if they have one.
fn set(client: &mut Client, key_bytes: usize, expire: bool, keys: std::ops::Range<u64>) {
    const AT_A_TIME: usize = 1000;
    const FAR_MS: u64 = 33_000_000_000_000;
    for from in keys.step_by(AT_A_TIME) {
        let keys = from..from + AT_A_TIME as u64;
        let set = |n| {
            let (key, value) = (key(n, key_bytes), value(n, 0, VALUE_BYTES));
            let expires_ms = (FAR_MS - n).to_string();
            match expire {
                true => command(&[b"SET", &key, &value, b"PXAT", expires_ms.as_bytes()]),
                false => command(&[b"SET", &key, &value]),
            }
        };
        let replies = pipeline(client, &keys.map(set).collect::<Vec<_>>());
        assert!(replies.iter().all(|reply| *reply == Reply::ok()), "{:?}", replies.last());
    }
}

fn measure(server: &Server, client: &mut Client) -> (u64, u64) {
    assert_eq!(info(client, "cached_values"), 0);
    (server.memory_bytes("VmRSS"), info(client, "used_memory"))
}

/// Also asserted of the types themselves, where they are: `src/engine/index.rs`.
#[test]
fn a_key_without_its_value_is_small() {
    const FIRST: u64 = 50_000;
    const KEYS: u64 = 500_000;
    for (key_bytes, expire) in [(16, false), (40, false), (100, false), (16, true), (40, true)] {
        let dir = TempDir::new();
        let server = embedded(&dir, &["--cache-bytes", "0", "--store-bytes-min", "1gb"]);
        let mut client = server.client();
        // As much traffic as there will be: buffers have their size by then.
        for _ in 0..KEYS / FIRST {
            set(&mut client, key_bytes, expire, 0..FIRST);
        }
        let (resident_before, used_before) = measure(&server, &mut client);
        set(&mut client, key_bytes, expire, FIRST..FIRST + KEYS);
        let (resident, used) = measure(&server, &mut client);
        let each = |bytes: u64, before: u64| bytes.saturating_sub(before) / KEYS;
        let (resident, used) = (each(resident, resident_before), each(used, used_before));
        println!(
            "a key of {key_bytes} bytes ({expire}): {resident} bytes of the process, {used} counted"
        );
        assert!(used <= key_bytes as u64 + ENTRY_BYTES_MAX);
        assert!(resident <= key_bytes as u64 + ENTRY_BYTES_MAX + BESIDE_BYTES_MAX);
        // What is counted is what there is.
        assert!(resident <= used * 3 / 2 && used <= resident * 3 / 2);
    }
}
