//! The process around the settings, made up.

use aft::config::{ConfigError, Effective, Settings, Start, start};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;

/// A process as the settings see it.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) args: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    /// The content of `aft.toml`, which `--config aft.toml` names then.
    pub(crate) file: Option<String>,
}

impl World {
    pub(crate) fn args(args: &[&str]) -> Self {
        let args = args.iter().map(ToString::to_string).collect();
        Self { args, ..Self::default() }
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn file(mut self, content: &str) -> Self {
        self.file = Some(content.to_owned());
        self
    }

    pub(crate) fn start(&self) -> Result<Start, ConfigError> {
        let mut args = vec![OsString::from("aft")];
        args.extend(self.args.iter().map(OsString::from));
        if self.file.is_some() {
            args.extend(["--config".into(), "aft.toml".into()]);
        }
        let env = |name: &str| self.env.get(name).map(OsString::from);
        start(args, &env, &|path| match &self.file {
            Some(content) if path == Path::new("aft.toml") => Ok(content.clone()),
            _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
        })
    }

    pub(crate) fn effective(&self) -> Result<Effective, ConfigError> {
        match self.start()? {
            Start::Serve(effective) => Ok(*effective),
            Start::Print(text) => panic!("printed {text}"),
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        self.effective().unwrap().settings
    }

    pub(crate) fn printed(&self) -> String {
        match self.start().unwrap() {
            Start::Print(text) => text,
            Start::Serve(_) => panic!("printed nothing"),
        }
    }

    pub(crate) fn error(&self) -> String {
        self.start().map(|_| ()).unwrap_err().to_string()
    }
}
