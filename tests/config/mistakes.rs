//! Every mistake explains itself, in exactly these words.

use crate::world::World;
use aft::config::start;
use std::ffi::OsString;

const STORES: &str = "use 'embedded:DIR', 'memory:', 'redis://HOST:PORT', \
                      'redis-cluster://HOST:PORT,HOST:PORT' (rediss and rediss-cluster with TLS), \
                      's3://BUCKET/PREFIX' or 'dynamodb://TABLE'";

#[test]
fn a_wrong_value_names_itself_its_origin_and_what_is_allowed() {
    let host = "use host:port, such as 127.0.0.1:6379 or [::1]:6379, several separated by commas";
    let cases = [
        (
            World::default().env("AFT_DURABILITY", "sometimes"),
            "--durability (from AFT_DURABILITY): 'sometimes' is not allowed: use 'always' or 'everysec'"
                .to_owned(),
        ),
        (
            World::args(&["--log-level=loud"]),
            "--log-level (from the command line): 'loud' is not allowed: use 'error', 'warn', 'info', \
             'debug' or 'trace'"
                .to_owned(),
        ),
        (
            World::args(&["--clients-max", "-5"]),
            "--clients-max (from the command line): '-5' is not allowed: use a whole number of \
             clients, 1 to 4294967295"
                .to_owned(),
        ),
        (
            World::default().file("clients_max = true"),
            "--clients-max (from aft.toml): 'true' is not allowed: use a whole number of clients, \
             1 to 4294967295"
                .to_owned(),
        ),
        (
            World::default().env("AFT_COMMIT_DEADLINE_MS", "10s"),
            "--commit-deadline-ms (from AFT_COMMIT_DEADLINE_MS): '10s' is not allowed: use a whole \
             number of milliseconds, 1 to 86400000"
                .to_owned(),
        ),
        (
            World::args(&["--store=s3:bucket"]),
            format!("--store (from the command line): 's3:bucket' is not allowed: {STORES}"),
        ),
        (
            World::args(&["--store=redis://me:hunter2@[::1"]),
            "--store (from the command line): 'redis://me:********@[::1' is not allowed: a Redis is \
             at HOST or HOST:PORT, such as 127.0.0.1:6379 or [::1]:6379"
                .to_owned(),
        ),
        (
            World::default().file("store = { dir = 'x' }"),
            format!("--store (from aft.toml): 'a table' is not allowed: {STORES}"),
        ),
        (
            World::default().file("listen = []"),
            format!("--listen (from aft.toml): 'a list' is not allowed: {host}"),
        ),
        (
            World::default().file("databases = 1979-05-27"),
            "--databases (from aft.toml): 'a date' is not allowed: use a whole number of databases, \
             1 to 255"
                .to_owned(),
        ),
    ];
    for (world, expected) in cases {
        assert_eq!(world.error(), format!("aft: {expected}"));
    }
}

#[test]
fn a_wrong_size_says_how_sizes_are_written() {
    let sizes = "(1k is 1000 bytes, 1kb is 1024; also m, mb, g, gb)";
    let cases = [
        (
            World::default().env("AFT_OUTPUT_BUFFER_BYTES_MAX", ""),
            format!(
                "--output-buffer-bytes-max (from AFT_OUTPUT_BUFFER_BYTES_MAX): '' is not allowed: use \
                 a size, at least 0 {sizes}"
            ),
        ),
        (
            World::default().file("group_bytes_max = '1kb'"),
            format!(
                "--group-bytes-max (from aft.toml): '1kb' is not allowed: use a size, 4kb to 1gb \
                 {sizes}"
            ),
        ),
        (
            World::default().file("bulk_bytes_max = 1.5"),
            format!(
                "--bulk-bytes-max (from aft.toml): '1.5' is not allowed: use a size, at least 1mb \
                 {sizes}"
            ),
        ),
    ];
    for (world, expected) in cases {
        assert_eq!(world.error(), format!("aft: {expected}"));
    }
}

#[test]
fn a_wrong_address_or_store_says_what_one_looks_like() {
    let host = "use host:port, such as 127.0.0.1:6379 or [::1]:6379, several separated by commas";
    for listen in
        ["6379", ":6379", "localhost", "h:70000", "h:+1", "::1:6379", "[::x]:1", "a b:1", "a:1,"]
    {
        assert_eq!(
            World::default().env("AFT_LISTEN", listen).error(),
            format!("aft: --listen (from AFT_LISTEN): '{listen}' is not allowed: {host}")
        );
    }
    for store in ["embedded:", "memory:x", "memory", "embedded", ""] {
        assert_eq!(
            World::default().env("AFT_STORE", store).error(),
            format!("aft: --store (from AFT_STORE): '{store}' is not allowed: {STORES}")
        );
    }
}

#[test]
fn a_value_that_is_not_the_strongest_is_checked_too() {
    let world = World::args(&["--databases=4"]).env("AFT_DATABASES", "many");
    assert_eq!(
        world.error(),
        "aft: --databases (from AFT_DATABASES): 'many' is not allowed: use a whole number of databases, \
         1 to 255"
    );
}

#[cfg(unix)]
#[test]
fn what_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let value = OsString::from_vec(b"memory:\xff".to_vec());
    let env = |name: &str| (name == "AFT_STORE").then(|| value.clone());
    let error = start(["aft".into()], &env, &|_| unreachable!()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("aft: --store (from AFT_STORE): 'memory:\u{fffd}' is not allowed: {STORES}")
    );
}

#[test]
fn a_value_cannot_break_the_line() {
    let world = World::default().env("AFT_STORE", "s4:\n\u{1b}[2J");
    assert_eq!(
        world.error(),
        format!("aft: --store (from AFT_STORE): 's4:\u{fffd}\u{fffd}[2J' is not allowed: {STORES}")
    );
    let world = World::default().file("\"a\\nb\" = 1");
    assert!(!world.error().contains('\n'));
}

#[test]
fn settings_that_contradict_each_other() {
    let cases = [
        (
            World::default()
                .env("AFT_GROUP_BYTES_MAX", "64mb")
                .file("uncommitted_bytes_max = '32mb'"),
            "--group-bytes-max (from AFT_GROUP_BYTES_MAX): '64mb' is above the '32mb' of \
             --uncommitted-bytes-max (from aft.toml): no full group could be committed",
        ),
        (
            World::args(&["--commit-deadline-ms=2999"]),
            "--store-attempt-timeout-ms (by default): '3000' is above the '2999' of \
             --commit-deadline-ms (from the command line): a commit would be given up before its first \
             attempt",
        ),
        (
            World::args(&["--read-deadline-ms=2999"]),
            "--store-attempt-timeout-ms (by default): '3000' is above the '2999' of \
             --read-deadline-ms (from the command line): a read would be given up before its first \
             attempt",
        ),
        (
            World::args(&["--store=redis://127.0.0.1", "--lease-ms=2999"]),
            "--store-attempt-timeout-ms (by default): '3000' is above the '2999' of --lease-ms (from the \
             command line): the lease would be over before an attempt to prolong it is",
        ),
        (
            World::args(&["--store-retry-first-ms=1001"]),
            "--store-retry-first-ms (from the command line): '1001' is above the '1000' of \
             --store-retry-max-ms (by default): the first wait would be longer than the longest",
        ),
    ];
    for (world, expected) in cases {
        assert_eq!(world.error(), format!("aft: {expected}"));
    }
}

#[test]
fn names_that_no_setting_has() {
    let keys = [
        ("clients_mx", "clients_max"),
        ("clients-max", "clients_max"),
        ("maxclients", "clients_max"),
        ("proto-max-bulk-len", "bulk_bytes_max"),
        ("client_query_buffer_limit", "query_buffer_bytes_max"),
        ("durabilty", "durability"),
        ("commit_deadline", "commit_deadline_ms"),
    ];
    for (key, nearest) in keys {
        assert_eq!(
            World::default().file(&format!("{key} = 1")).error(),
            format!("aft: aft.toml: '{key}' is not a setting: did you mean '{nearest}'?")
        );
    }
    let flags = [
        ("--clients-mx=1", "--clients-mx is not a flag: did you mean --clients-max?"),
        ("--confg", "--confg is not a flag: did you mean --config?"),
        ("--maxstore=x", "--maxstore is not a flag: did you mean --store?"),
        ("memory:", "'memory:' is not understood: every setting is a --flag"),
        ("-x", "'-x' is not understood: every setting is a --flag"),
    ];
    for (flag, expected) in flags {
        assert_eq!(
            World::args(&[flag]).error(),
            format!("aft: {expected}; aft --help lists all settings")
        );
    }
}

#[test]
fn flags_without_or_with_too_many_values() {
    assert_eq!(
        World::args(&["--store"]).error(),
        "aft: a value is required for '--store <embedded:DIR|redis://HOST|memory:>' but none was supplied; \
         aft --help lists all settings"
    );
    assert_eq!(
        World::args(&["--databases=1", "--databases=2"]).error(),
        "aft: the argument '--databases <DATABASES>' cannot be used multiple times; \
         aft --help lists all settings"
    );
}

#[test]
fn files_that_cannot_be_read() {
    assert_eq!(
        World::args(&["--config", "nowhere.toml"]).error(),
        "aft: --config (from the command line): can't read 'nowhere.toml': no such file"
    );
    assert_eq!(
        World::default().file("databases = 3\n\nlisten = \n").error(),
        "aft: aft.toml, line 3: string values must be quoted, expected literal string"
    );
    assert_eq!(
        World::default().file("databases = 3\ndatabases = 4\n").error(),
        "aft: aft.toml, line 2: duplicate key"
    );
}

#[test]
fn no_error_and_no_output_shows_a_password() {
    let mask = "is not allowed: use a string in quotes, of UTF-8 and without the mask that \
                --print-config shows";
    assert_eq!(
        World::default().file("requirepass = 8412").error(),
        format!("aft: --requirepass (from aft.toml): '********' {mask}")
    );
    assert_eq!(
        World::args(&["--requirepass=********"]).error(),
        format!("aft: --requirepass (from the command line): '********' {mask}")
    );
    let unquoted = World::default().file("requirepass = hunter2\n").error();
    assert!(unquoted.starts_with("aft: aft.toml, line 1: "), "{unquoted}");
    let world = World::args(&["--print-config"]).env("AFT_REQUIREPASS", "hunter2");
    for text in [unquoted, world.printed()] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}
