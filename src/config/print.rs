//! `--print-config`: the settings in force as a file that would set the same.

use super::load::Effective;
use super::setting::{Kind, Setting};
use super::table::SETTINGS;
use super::text::toml_quote;
use super::value::MASK;

pub(super) fn print(effective: &Effective) -> String {
    let mut text = format!("# aft {}: settings in force\n", env!("CARGO_PKG_VERSION"));
    let mut group = None;
    for setting in SETTINGS {
        if group != Some(setting.group) {
            group = Some(setting.group);
            text.push_str(&format!("\n# {}\n", setting.group.heading()));
        }
        let line = format!("{} = {}", setting.name, value(setting, effective));
        text.push_str(&format!("{line:<42} # {}\n", effective.origin(setting.name)));
    }
    text
}

fn value(setting: &Setting, effective: &Effective) -> String {
    let value = setting.show(&effective.settings);
    match setting.kind {
        Kind::Secret if !value.is_empty() => toml_quote(MASK),
        Kind::Number { .. } | Kind::Bytes { .. } if value.parse::<i64>().is_ok() => value,
        _ => toml_quote(&value),
    }
}
