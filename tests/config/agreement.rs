//! Flags, environment, file and CONFIG SET agree on every value, and on who wins.

use crate::world::World;
use aft::config::{
    Change, ConfigError, Durability, Kind, LogLevel, Origin, SETTINGS, Settings, Store,
    TlsAuthClients,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

/// Values by the names of their settings.
type Values = BTreeMap<&'static str, String>;

fn by_flags(values: &Values) -> World {
    let flag = |(name, value): (&&str, &String)| format!("--{}={value}", name.replace('_', "-"));
    World { args: values.iter().map(flag).collect(), ..World::default() }
}

fn by_environment(values: &Values) -> World {
    let name = |name: &str| format!("AFT_{}", name.to_uppercase());
    World { env: values.iter().map(|(n, v)| (name(n), v.clone())).collect(), ..World::default() }
}

fn by_file(values: &Values) -> World {
    let mut file = String::new();
    for (name, value) in values {
        let number = value.parse::<i64>().is_ok() && *name != "requirepass";
        let value = if number {
            value.clone()
        } else {
            format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
        };
        file.push_str(&format!("{name} = {value}\n"));
    }
    World::default().file(&file)
}

fn value_of(kind: Kind) -> BoxedStrategy<String> {
    match kind {
        Kind::Number { min, max, .. } => (min..=max).prop_map(|n| n.to_string()).boxed(),
        Kind::Bytes { min, max } => {
            let units =
                [("", 1), ("b", 1), ("k", 1000), ("kb", 1 << 10), ("MB", 1 << 20), ("gb", 1 << 30)];
            (min..=max, prop::sample::select(units.to_vec()))
                .prop_map(move |(bytes, (suffix, unit))| match bytes / unit {
                    number if number * unit >= min => format!("{number}{suffix}"),
                    _ => bytes.to_string(),
                })
                .boxed()
        }
        Kind::Choice(words) => prop::sample::select(words).prop_map(str::to_owned).boxed(),
        Kind::Listen => {
            "([a-z][a-z0-9.-]{0,9}|\\[::1\\]|10\\.0\\.0\\.[1-9]):[0-9]{1,4}(, ?db-[0-9]:0)?".boxed()
        }
        Kind::OptionalListen => "([a-z][a-z0-9.-]{0,9}:[0-9]{1,4}(, ?\\[::1\\]:0)?)?".boxed(),
        Kind::File => "(/[ -~]{1,12})?".boxed(),
        Kind::Store => {
            "(embedded:[ -~]{1,12}|memory:|rediss?://[a-z]{1,3}(:7)?(/3)?(\\?prefix=p)?)".boxed()
        }
        Kind::Secret => "[ -~äß☃]{0,12}".boxed(),
    }
}

fn some_values() -> impl Strategy<Value = Values> {
    let each: Vec<_> =
        SETTINGS.iter().map(|setting| prop::option::of(value_of(setting.kind))).collect();
    each.prop_map(|values| {
        let named = SETTINGS.iter().map(|setting| setting.name).zip(values);
        let mut values: Values = named.filter_map(|(n, v)| Some((n, v?))).collect();
        // Values that contradict each other are another test's.
        loop {
            match by_flags(&values).start() {
                Err(ConfigError::Order { smaller, larger, .. }) => {
                    values.remove(smaller.name);
                    values.remove(larger.name);
                }
                Err(ConfigError::Need { .. }) => drop(values.remove("tls_listen")),
                _ => return values,
            }
        }
    })
}

proptest! {
    #[test]
    fn flags_environment_file_and_config_set_agree(values in some_values()) {
        let settings = by_flags(&values).settings();
        prop_assert_eq!(&by_environment(&values).settings(), &settings);
        prop_assert_eq!(&by_file(&values).settings(), &settings);

        // CONFIG SET agrees where it may change anything: it makes of the settings that need
        // a start the ones that don't.
        let live = |name: &str| {
            SETTINGS.iter().any(|s| s.name == name && s.change == Change::Live)
        };
        let (live, fixed): (Values, Values) = values.into_iter().partition(|(n, _)| live(n));
        if let Ok(mut started) = by_flags(&fixed).effective() {
            let pairs: Vec<(String, String)> = live
                .into_iter()
                .map(|(name, value)| (format!("aft-{}", name.replace('_', "-")), value))
                .collect();
            let pairs: Vec<(&[u8], &[u8])> =
                pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
            started.settings.set(&pairs).unwrap();
            prop_assert_eq!(&started.settings, &settings);
        }

        // And what CONFIG GET tells sets the same again.
        let told: Values = SETTINGS
            .iter()
            .map(|s| (s.name, s.read(&settings)))
            .collect();
        for (setting, value) in &told {
            let name = format!("aft-{}", setting.replace('_', "-"));
            prop_assert_eq!(&settings.get(&[name.as_bytes()]), &[(name, value.clone())]);
        }
        prop_assert_eq!(&by_environment(&told).settings(), &settings);
    }

    #[test]
    fn print_config_is_a_file_that_sets_the_same(values in some_values()) {
        let mut values = values;
        values.remove("requirepass");
        let mut world = by_flags(&values);
        let settings = world.settings();
        world.args.push("--print-config".to_owned());
        prop_assert_eq!(World::default().file(&world.printed()).settings(), settings);
    }
}

#[test]
fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
    let default = World::default().effective().unwrap();
    assert_eq!(default.settings, Settings::default());
    assert_eq!(default.origin("clients_max"), &Origin::Default);

    let file = World::default().file("clients_max = 1");
    assert_eq!(file.settings().clients_max, 1);
    let origin = file.effective().unwrap().origin("clients_max").clone();
    assert_eq!(origin, Origin::File("aft.toml".into()));

    let env = file.env("AFT_CLIENTS_MAX", "2");
    assert_eq!(env.settings().clients_max, 2);
    let origin = env.effective().unwrap().origin("clients_max").clone();
    assert_eq!(origin, Origin::Environment("AFT_CLIENTS_MAX".to_owned()));

    let flag = World { args: vec!["--clients-max=3".to_owned()], ..env };
    assert_eq!(flag.settings().clients_max, 3);
    let origin = flag.effective().unwrap().origin("clients_max").clone();
    assert_eq!(origin, Origin::CommandLine);
}

#[test]
fn the_environment_can_name_the_file_and_a_flag_another() {
    let mut world = World::default().env("AFT_CONFIG", "aft.toml");
    world.file = None;
    assert_eq!(
        world.error(),
        "aft: --config (from AFT_CONFIG): can't read 'aft.toml': no such file"
    );
    let world = World::default().env("AFT_CONFIG", "other.toml").file("databases = 3");
    assert_eq!(world.settings().databases, 3);
}

#[test]
fn typed_values() {
    let settings = World::args(&[
        "--store",
        "memory:",
        "--durability",
        "everysec",
        "--log-level",
        "WARN",
    ])
    .file(
        "listen = ['0.0.0.0:0', '[::1]:7000']\nbulk_bytes_max = '2mb'\nslowlog_slower_than_us = -1",
    )
    .env("AFT_REQUIREPASS", "hunter2")
    .settings();
    assert_eq!(settings.store, Store::Memory);
    assert_eq!(settings.durability, Durability::Everysec);
    assert_eq!(settings.log_level, LogLevel::Warn);
    assert_eq!(settings.bulk_bytes_max, 2 << 20);
    assert_eq!(settings.slowlog_slower_than_us, -1);
    let listen: Vec<(&str, u16)> =
        settings.listen.addresses().iter().map(|a| (a.host.as_str(), a.port)).collect();
    assert_eq!(listen, [("0.0.0.0", 0), ("::1", 7000)]);
    assert!(settings.requirepass.as_ref().unwrap().matches(b"hunter2"));
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn addresses_with_tls_may_be_none_one_or_several() {
    let needed = "tls_cert_file = 'c'\ntls_key_file = 'k'\ntls_auth_clients = 'no'\n";
    for (given, shown) in
        [("''", ""), ("'127.0.0.1:0'", "127.0.0.1:0"), ("['a:1', '[::1]:2']", "a:1,[::1]:2")]
    {
        let settings = World::default().file(&format!("{needed}tls_listen = {given}")).settings();
        let listen = settings.tls_listen.as_ref();
        let told = settings.get(&[b"aft-tls-listen"]);
        assert_eq!(told, [("aft-tls-listen".to_owned(), shown.to_owned())]);
        assert_eq!(listen.is_none(), shown.is_empty());
        let port = listen.map_or(0, |listen| listen.addresses()[0].port).to_string();
        assert_eq!(settings.get(&[b"tls-port"]), [("tls-port".to_owned(), port)]);
        assert_eq!(settings.tls_auth_clients, TlsAuthClients::No);
        assert_eq!(settings.tls_cert_file.as_deref(), Some(Path::new("c")));
    }
    for wrong in ["[]", "'6380'", "'a:1,'"] {
        let error = World::default().file(&format!("tls_listen = {wrong}")).error();
        let allowed = "is not allowed: use host:port, several separated by commas, or an empty \
                       string for none";
        assert!(error.ends_with(allowed), "{error}");
    }
}
