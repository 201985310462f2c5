//! `--help`, `--version` and `--print-config`.

use crate::world::World;
use aft::config::SETTINGS;

/// Text without its line breaks and indentation.
fn flowing(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn help_tells_of_each_setting_its_unit_default_range_reason_and_variable() {
    let help = World::args(&["--help"]).printed();
    assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    let help = flowing(&help);
    for setting in SETTINGS {
        let entry = format!(
            "--{} <{}> {} {} [default: ",
            setting.flag(),
            setting.kind.value_name(),
            setting.what,
            setting.why
        );
        assert!(help.contains(&entry), "{entry}\nis not in\n{help}");
        assert!(help.contains(&format!("[env: {}]", setting.variable())));
        assert!(help.contains(setting.group.heading()));
    }
    for part in [
        "--clients-max <CLIENTS> Connections served at once; one more is refused with an error.",
        "[default: 10000] [1 to 4294967295] [env: AFT_CLIENTS_MAX] [CONFIG SET maxclients]",
        "[default: 127.0.0.1:6379] [env: AFT_LISTEN]",
        "[default: none] [env: AFT_REQUIREPASS] [CONFIG SET requirepass]",
        "--durability <always|everysec>",
        "[default: embedded:./aft-data] [env: AFT_STORE]",
        "--bulk-bytes-max <BYTES>",
        "[default: 512mb] [at least 1mb] [env: AFT_BULK_BYTES_MAX] [CONFIG SET proto-max-bulk-len]",
        "--commit-deadline-ms <MS>",
        "[CONFIG SET aft-commit-deadline-ms]",
        "--idle-timeout-s <S>",
        "[default: 4mb] [4kb to 1gb] [env: AFT_GROUP_BYTES_MAX] --blob-bytes-min",
        "--config <FILE>",
        "[env: AFT_CONFIG]",
        "--print-config",
        "A flag wins over the environment, the environment over the file",
    ] {
        assert!(help.contains(part), "{part}\nis not in\n{help}");
    }
    let short = World::args(&["-h"]).printed();
    assert!(short.contains("--help tells more of each, and its default."));
    assert!(short.len() * 2 < World::args(&["--help"]).printed().len());
}

#[test]
fn version() {
    let expected = format!("aft {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(World::args(&["--version"]).printed(), expected);
    assert_eq!(World::args(&["-V"]).printed(), expected);
}

#[test]
fn print_config_shows_values_and_origins() {
    let printed = World::args(&["--print-config", "--databases", "3"])
        .env("AFT_REQUIREPASS", "x")
        .file("group_bytes_max = 8388608")
        .printed();
    for line in [
        "# General",
        "listen = \"127.0.0.1:6379\"                  # by default",
        "requirepass = \"********\"                   # from AFT_REQUIREPASS",
        "databases = 3                              # from the command line",
        "group_bytes_max = \"8mb\"                    # from aft.toml",
        "# Embedded store",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line}\nis not in\n{printed}");
    }
}
