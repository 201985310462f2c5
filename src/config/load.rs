//! Flags, environment and file become one `Settings`.

use super::command_line::{
    self, Asked, CONFIG, CONFIG_VARIABLE, PRINT_CONFIG, TAKEOVER, WAIT_FOR_HANDOVER,
};
use super::error::{ConfigError, Given, Origin};
use super::print;
use super::setting::{Kind, Setting};
use super::succession::Succession;
use super::table::{NEEDS, ORDERS, SETTINGS, Settings};
use super::text::nearest;
use clap::ArgMatches;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

/// What the program was asked to do.
#[derive(Debug)]
pub enum Start {
    /// Serve, with these settings.
    Serve(Box<Effective>),
    /// Print this and end: help, version or the settings.
    Print(String),
}

/// Settings, and where each came from.
#[derive(Clone, Debug)]
pub struct Effective {
    /// Their values.
    pub settings: Settings,
    /// The file that was read, an absolute path.
    pub file: Option<PathBuf>,
    /// How it comes after the node that has the store.
    pub succession: Succession,
    origins: HashMap<&'static str, Origin>,
}

impl Effective {
    /// Where the value of the setting of this name came from.
    pub fn origin(&self, name: &str) -> &Origin {
        self.origins.get(name).unwrap_or(&Origin::Default)
    }

    fn take(
        &mut self,
        setting: &'static Setting,
        text: &OsStr,
        origin: Origin,
    ) -> Result<(), ConfigError> {
        let written = match text.to_str() {
            Some(text) => setting.write(&mut self.settings, text).is_ok(),
            None => false,
        };
        if !written {
            let got = text.to_string_lossy().into_owned();
            return Err(ConfigError::Value { setting, origin, got });
        }
        self.origins.insert(setting.name, origin);
        Ok(())
    }

    fn check_orders(&self) -> Result<(), ConfigError> {
        let Some(broken) = ORDERS.iter().find(|order| !order.holds(&self.settings)) else {
            return Ok(());
        };
        Err(ConfigError::Order {
            smaller: self.given(broken.smaller),
            larger: self.given(broken.larger),
            why: broken.why,
        })
    }

    fn check_needs(&self) -> Result<(), ConfigError> {
        let Some(broken) = NEEDS.iter().find(|need| (need.is_broken)(&self.settings)) else {
            return Ok(());
        };
        let given = self.given(broken.given);
        Err(ConfigError::Need { given, missing: broken.missing, why: broken.why })
    }

    fn given(&self, name: &'static str) -> Box<Given> {
        let setting = SETTINGS.iter().find(|setting| setting.name == name);
        Box::new(Given {
            name,
            value: setting.map_or_else(String::new, |s| s.show(&self.settings)),
            origin: self.origin(name).clone(),
        })
    }
}

/// Reads the settings.
///
/// `args` begins with the name of the program, as the system gives it. `env` looks up an
/// environment variable. Variables that no setting has are not looked for, on purpose: where
/// a service is called `aft`, Kubernetes itself sets `AFT_PORT` and others in every container.
/// `read_file` reads the file that `--config` names, and is not called without one.
pub fn start(
    args: impl IntoIterator<Item = OsString>,
    env: &dyn Fn(&str) -> Option<OsString>,
    read_file: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Start, ConfigError> {
    let matches = match command_line::parse(args)? {
        Asked::Text(text) => return Ok(Start::Print(text)),
        Asked::Matches(matches) => matches,
    };
    let mut effective = Effective {
        settings: Settings::default(),
        file: None,
        succession: succession(&matches),
        origins: HashMap::new(),
    };
    // From the weakest to the strongest: each overwrites what it gives.
    if let Some((path, origin)) = config_file(&matches, env) {
        let file = read_file(&path).map_err(|error| ConfigError::File {
            origin,
            path: path.clone(),
            reason: error.to_string(),
        })?;
        take_file(&mut effective, &path, &file)?;
        effective.file = Some(std::path::absolute(&path).unwrap_or(path));
    }
    for setting in SETTINGS {
        let variable = setting.variable();
        if let Some(text) = env(&variable) {
            effective.take(setting, &text, Origin::Environment(variable))?;
        }
        if let Some(text) = matches.get_one::<OsString>(setting.name) {
            effective.take(setting, text, Origin::CommandLine)?;
        }
    }
    effective.check_orders()?;
    effective.check_needs()?;
    if matches.get_flag(PRINT_CONFIG) {
        return Ok(Start::Print(print::print(&effective)));
    }
    Ok(Start::Serve(Box::new(effective)))
}

fn succession(matches: &ArgMatches) -> Succession {
    match (matches.get_flag(TAKEOVER), matches.get_flag(WAIT_FOR_HANDOVER)) {
        (true, _) => Succession::AtOnce,
        (_, true) => Succession::WhenItEnds,
        _ => Succession::AfterSilence,
    }
}

fn config_file(
    matches: &ArgMatches,
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Option<(PathBuf, Origin)> {
    if let Some(path) = matches.get_one::<OsString>(CONFIG) {
        return Some((path.into(), Origin::CommandLine));
    }
    let path = env(CONFIG_VARIABLE)?;
    Some((path.into(), Origin::Environment(CONFIG_VARIABLE.to_owned())))
}

fn take_file(effective: &mut Effective, path: &Path, file: &str) -> Result<(), ConfigError> {
    let table: toml::Table = file.parse().map_err(|error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start);
        let before = file.get(..at).unwrap_or(file);
        ConfigError::Syntax {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            reason: error.message().to_owned(),
        }
    })?;
    for (key, value) in &table {
        let Some(setting) = SETTINGS.iter().find(|setting| setting.name == key) else {
            return Err(ConfigError::UnknownKey {
                path: path.to_owned(),
                key: key.clone(),
                nearest: nearest_setting(key),
            });
        };
        let origin = Origin::File(path.to_owned());
        let text = text_of(value, &setting.kind).map_err(|got| ConfigError::Value {
            setting,
            origin: origin.clone(),
            got,
        })?;
        effective.take(setting, OsStr::new(&text), origin)?;
    }
    Ok(())
}

/// The setting that was probably meant. Whoever comes from Redis writes its names.
fn nearest_setting(key: &str) -> &'static str {
    let dashed = key.to_lowercase().replace('_', "-");
    let of_redis = SETTINGS.iter().find(|setting| setting.redis == Some(&dashed));
    let names = SETTINGS.iter().map(|setting| setting.name);
    match of_redis {
        Some(setting) => setting.name,
        None => nearest(&dashed.replace('-', "_"), names).unwrap_or_default(),
    }
}

/// The text that a flag would have for this value, or what to call it in an error.
fn text_of(value: &toml::Value, kind: &Kind) -> Result<String, String> {
    match (value, kind) {
        (toml::Value::String(text), _) => Ok(text.clone()),
        // A password without quotes would lose leading zeros, and much else.
        (_, Kind::Secret) => Err(String::new()),
        (toml::Value::Array(addresses), Kind::Listen | Kind::OptionalListen)
            if !addresses.is_empty() =>
        {
            let texts: Result<Vec<String>, String> =
                addresses.iter().map(|address| text_of(address, kind)).collect();
            Ok(texts?.join(","))
        }
        (toml::Value::Integer(number), _) => Ok(number.to_string()),
        (toml::Value::Float(number), _) => Ok(number.to_string()),
        (toml::Value::Boolean(flag), _) => Ok(flag.to_string()),
        (toml::Value::Datetime(_), _) => Err("a date".to_owned()),
        (toml::Value::Array(_), _) => Err("a list".to_owned()),
        (toml::Value::Table(_), _) => Err("a table".to_owned()),
    }
}
