//! CONFIG GET and CONFIG SET. Every text that Redis has too was recorded from redis-server
//! 7.0.15.

use crate::world::World;
use aft::config::{LogLevel, SETTINGS, Settings};

fn started(args: &[&str]) -> Settings {
    World::args(args).settings()
}

fn get(settings: &Settings, patterns: &[&str]) -> Vec<(String, String)> {
    let patterns: Vec<&[u8]> = patterns.iter().map(|p| p.as_bytes()).collect();
    settings.get(&patterns)
}

fn value(settings: &Settings, name: &str) -> String {
    match get(settings, &[name]).as_slice() {
        [(_, value)] => value.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

/// CONFIG SET of names and values in turn: the error's text, or "OK". What failed must have
/// changed nothing.
fn set(settings: &mut Settings, arguments: &[&str]) -> String {
    let pairs: Vec<(&[u8], &[u8])> =
        arguments.chunks(2).map(|pair| (pair[0].as_bytes(), pair[1].as_bytes())).collect();
    let before = settings.clone();
    match settings.set(&pairs) {
        Ok(()) => "OK".to_owned(),
        Err(error) => {
            assert_eq!(*settings, before, "{arguments:?} changed something and failed");
            error.to_string()
        }
    }
}

/// A client may not take the store's password along: it is no setting that clients could set.
#[test]
fn the_password_of_a_store_is_shown_to_nobody() {
    let given = "--store=redis://me:hunter2@cache/3";
    let settings = started(&[given]);
    assert_eq!(value(&settings, "aft-store"), "redis://me:********@cache:6379/3");
    let printed = World::args(&[given, "--print-config"]).printed();
    assert!(printed.contains("store = \"redis://me:********@cache:6379/3\""), "{printed}");
    assert!(!format!("{printed}{settings:?}").contains("hunter2"));
}

#[test]
fn names_of_redis_show_the_settings() {
    let settings = started(&["--listen=10.0.0.1:7000,[::1]:0", "--store=embedded:/data"]);
    let expected = [
        ("maxclients", "10000"),
        ("timeout", "0"),
        ("tcp-keepalive", "300"),
        ("proto-max-bulk-len", "536870912"),
        ("client-query-buffer-limit", "1073741824"),
        (
            "client-output-buffer-limit",
            "normal 1073741824 0 0 slave 1073741824 0 0 pubsub 1073741824 0 0",
        ),
        ("databases", "16"),
        ("requirepass", ""),
        ("port", "7000"),
        ("bind", "10.0.0.1 ::1"),
        ("tls-port", "0"),
        ("tls-cert-file", ""),
        ("tls-key-file", ""),
        ("tls-ca-cert-file", ""),
        ("tls-auth-clients", "yes"),
        ("aclfile", ""),
        ("dir", "/data"),
        ("save", ""),
        ("appendonly", "yes"),
        ("appendfsync", "always"),
        ("maxmemory-clients", "2147483648"),
        ("maxmemory", "0"),
        ("maxmemory-policy", "noeviction"),
        ("loglevel", "notice"),
        ("slowlog-log-slower-than", "10000"),
        ("slowlog-max-len", "128"),
    ];
    for (name, shown) in expected {
        assert_eq!(value(&settings, name), shown, "{name}");
    }
    assert_eq!(get(&settings, &["*"]).len(), expected.len() + SETTINGS.len());

    let memory = started(&["--store=memory:", "--durability=everysec", "--requirepass=x"]);
    for (name, shown) in
        [("dir", ""), ("appendonly", "no"), ("appendfsync", "everysec"), ("requirepass", "x")]
    {
        assert_eq!(value(&memory, name), shown, "{name}");
    }
}

#[test]
fn get_takes_patterns_and_gives_each_name_once() {
    let settings = Settings::default();
    let names = |patterns: &[&str]| -> Vec<String> {
        get(&settings, patterns).into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(
        names(&["max*"]),
        ["maxclients", "maxmemory-clients", "maxmemory", "maxmemory-policy"]
    );
    assert_eq!(names(&["MAX[A-C]*"]), ["maxclients"]);
    assert_eq!(names(&["maxclients", "max?lients", "MAXCLIENTS"]), ["maxclients"]);
    assert_eq!(names(&["MaxClients"]), ["MaxClients"]);
    assert_eq!(
        names(&["aft-*-max"]).len(),
        SETTINGS.iter().filter(|s| s.name.ends_with("_max")).count()
    );
    assert!(names(&["nosuch", "maxcl\\ients", ""]).is_empty());
    assert!(names(&[]).is_empty());
}

#[test]
fn set_changes_what_can_change() {
    let mut settings = Settings::default();
    let changes = [
        ("maxclients", "7", "7"),
        ("TIMEOUT", "60", "60"),
        ("tcp-keepalive", "0", "0"),
        ("proto-max-bulk-len", "1mb", "1048576"),
        ("client-query-buffer-limit", "2MB", "2097152"),
        ("requirepass", "abc\"d", "abc\"d"),
        ("slowlog-log-slower-than", "-1", "-1"),
        ("slowlog-max-len", "0", "0"),
        ("aft-commit-deadline-ms", "4000", "4000"),
        ("aft-multi-bytes-max", "5mb", "5242880"),
        ("aft-log-level", "error", "error"),
        ("save", "", ""),
        ("appendonly", "YES", "yes"),
        ("appendfsync", "always", "always"),
        ("maxmemory", "2gb", "2147483648"),
        ("maxmemory-policy", "noeviction", "noeviction"),
    ];
    for (name, text, shown) in changes {
        assert_eq!(set(&mut settings, &[name, text]), "OK", "{name}");
        assert_eq!(value(&settings, name), shown, "{name}");
    }
    assert_eq!((settings.clients_max, settings.idle_timeout_s), (7, 60));
    assert_eq!(set(&mut settings, &["maxclients", "8", "requirepass", ""]), "OK");
    assert_eq!((settings.clients_max, settings.requirepass), (8, None));
}

#[test]
fn log_levels_are_those_of_redis_from_the_other_end() {
    let mut settings = Settings::default();
    for (word, level) in [
        ("debug", LogLevel::Trace),
        ("verbose", LogLevel::Debug),
        ("notice", LogLevel::Info),
        ("WARNING", LogLevel::Warn),
    ] {
        assert_eq!(set(&mut settings, &["loglevel", word]), "OK");
        assert_eq!(settings.log_level, level);
        assert_eq!(value(&settings, "loglevel"), word.to_lowercase());
    }
}

#[test]
fn set_takes_of_output_buffer_limits_what_it_can_keep() {
    const NAME: &str = "client-output-buffer-limit";
    let mut settings = Settings::default();
    for (text, limit) in [
        ("normal 5mb 0 0", 5 << 20),
        ("", 5 << 20),
        ("slave 256mb 64mb 60", 5 << 20),
        ("pubsub 5mb 0 60", 5 << 20),
        ("NORMAL 0 0 0 replica 0 0 0 pubsub 0 0 0", 0),
        ("normal 1k 0 0 normal 2k 0 0", 2000),
    ] {
        assert_eq!(set(&mut settings, &[NAME, text]), "OK", "{text}");
        assert_eq!(settings.output_buffer_bytes_max, limit, "{text}");
    }
    for (text, reason) in [
        ("normal 0 0", "Wrong number of arguments in buffer limit configuration."),
        ("\"normal\"  1  1 1", "Wrong number of arguments in buffer limit configuration."),
        ("foo 0 0 0", "Invalid client class specified in buffer limit configuration."),
        ("master 0 0 0", "Invalid client class specified in buffer limit configuration."),
        (
            "normal x 0 0",
            "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
        ),
        (
            "normal -1 1kb 3",
            "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
        ),
        (
            "normal 1mb 1kb 3x",
            "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
        ),
        ("normal 1mb 1kb 3", "aft has no soft limits, use 0 0"),
        ("pubsub 1mb 0 0", "aft has one limit for all clients, give pubsub that of normal"),
    ] {
        assert_eq!(
            set(&mut settings, &[NAME, text]),
            format!("ERR CONFIG SET failed (possibly related to argument '{NAME}') - {reason}")
        );
    }
}

#[test]
fn refusals_have_the_texts_of_redis() {
    let cases: &[(&[&str], &str)] = &[
        (&["maxclients", "0"], "argument must be between 1 and 4294967295 inclusive"),
        (&["maxclients", "abc"], "argument couldn't be parsed into an integer"),
        (&["maxclients", ""], "argument couldn't be parsed into an integer"),
        (&["maxclients", "007"], "argument couldn't be parsed into an integer"),
        (&["timeout", "-1"], "argument must be between 0 and 2147483647 inclusive"),
        (&["timeout", "99999999999"], "argument must be between 0 and 2147483647 inclusive"),
        (&["timeout", "+5"], "argument couldn't be parsed into an integer"),
        (&["tcp-keepalive", "3x"], "argument couldn't be parsed into an integer"),
        (
            &["proto-max-bulk-len", "1"],
            "argument must be between 1048576 and 9223372036854775807 inclusive",
        ),
        (
            &["proto-max-bulk-len", "99999999999999999999999"],
            "argument must be between 1048576 and 9223372036854775807 inclusive",
        ),
        (&["proto-max-bulk-len", "1xb"], "argument must be a memory value"),
        (&["proto-max-bulk-len", "-1"], "argument must be a memory value"),
        (
            &["slowlog-log-slower-than", "-2"],
            "argument must be between -1 and 9223372036854775807 inclusive",
        ),
        (
            &["slowlog-max-len", "-1"],
            "argument must be between 0 and 9223372036854775807 inclusive",
        ),
        (
            &["loglevel", "info"],
            "argument(s) must be one of the following: debug, verbose, notice, warning",
        ),
        (
            &["aft-log-level", "notice"],
            "argument(s) must be one of the following: error, warn, info, debug, trace",
        ),
        (
            &["appendfsync", "sometimes"],
            "argument(s) must be one of the following: everysec, always, no",
        ),
        (
            &["maxmemory-policy", "foo"],
            "argument(s) must be one of the following: volatile-lru, volatile-lfu, volatile-random, \
             volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, noeviction",
        ),
        (&["appendonly", "ye"], "argument must be 'yes' or 'no'"),
        (&["databases", "3"], "can't set immutable config"),
        (&["databases", "abc"], "can't set immutable config"),
        (&["port", "0"], "can't set immutable config"),
        (&["aft-listen", "h:1"], "can't set immutable config"),
        (&["appendonly", "no"], "can't set immutable config"),
        (&["appendfsync", "everysec"], "can't set immutable config"),
        (&["maxmemory-policy", "allkeys-lru"], "aft evicts no keys"),
        (&["save", "3600 1"], "can't set immutable config"),
        (&["dir", "/elsewhere"], "can't set protected config"),
        (
            &["aft-commit-deadline-ms", "5"],
            "aft-store-attempt-timeout-ms would be above aft-commit-deadline-ms: a commit would be \
             given up before its first attempt",
        ),
    ];
    for (arguments, reason) in cases {
        let name = arguments[0];
        assert_eq!(
            set(&mut Settings::default(), arguments),
            format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")
        );
    }
}

#[test]
fn certificates_are_read_at_the_start_only() {
    for name in ["tls-port", "tls-cert-file", "tls-key-file", "tls-ca-cert-file"] {
        assert_eq!(
            set(&mut Settings::default(), &[name, "1"]),
            format!(
                "ERR CONFIG SET failed (possibly related to argument '{name}') - \
                 can't set immutable config"
            )
        );
    }
}

#[test]
fn of_several_the_first_wrong_name_counts_and_then_the_first_wrong_value() {
    let unknown = "ERR Unknown option or number of arguments for CONFIG SET - ";
    let failed = |name: &str, reason: &str| {
        format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")
    };
    let duplicate = "duplicate parameter";
    let immutable = "can't set immutable config";
    let cases: &[(&[&str], String)] = &[
        (&["NoSuch", "1"], format!("{unknown}'NoSuch'")),
        (&["bad name\r\nx", "1"], format!("{unknown}'bad name  x'")),
        (&["maxclients", "10", "nosuch", "2"], format!("{unknown}'nosuch'")),
        (&["maxclients", "abc", "nosuch", "2"], format!("{unknown}'nosuch'")),
        (&["nosuch", "1", "databases", "3"], format!("{unknown}'nosuch'")),
        (&["nosuch", "1", "nosuch", "1"], format!("{unknown}'nosuch'")),
        (&["databases", "3", "nosuch", "1"], failed("databases", immutable)),
        (&["maxclients", "abc", "databases", "3"], failed("databases", immutable)),
        (&["maxclients", "1", "MAXCLIENTS", "2"], failed("MAXCLIENTS", duplicate)),
        (&["maxclients", "1", "maxclients", "2", "nosuch", "1"], failed("maxclients", duplicate)),
        (
            &["timeout", "abc", "maxclients", "1", "maxclients", "2"],
            failed("maxclients", duplicate),
        ),
        (&["maxclients", "1", "aft-clients-max", "2"], failed("aft-clients-max", duplicate)),
        (&["aft-log-level", "info", "loglevel", "debug"], failed("loglevel", duplicate)),
        (
            &["maxclients", "100", "timeout", "99999999999"],
            failed("timeout", "argument must be between 0 and 2147483647 inclusive"),
        ),
        (
            &["maxclients", "0", "timeout", "abc"],
            failed("maxclients", "argument must be between 1 and 4294967295 inclusive"),
        ),
    ];
    for (arguments, expected) in cases {
        assert_eq!(&set(&mut Settings::default(), arguments), expected, "{arguments:?}");
    }
    let error = Settings::default().set(&[(b"requirepass", b"\xff")]).unwrap_err();
    assert_eq!(error.to_string(), failed("requirepass", "argument must be UTF-8"));
}
