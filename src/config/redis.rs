//! CONFIG GET and CONFIG SET.

use super::redis_views::{VIEWS, View, ViewSet};
use super::setting::{Change, Setting, redis_choice_refusal};
use super::table::{ORDERS, SETTINGS, Settings};
use crate::glob::glob_match;
use std::fmt;

/// Why CONFIG SET changed nothing; its `Display` is the whole error reply, code first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetError {
    /// No setting has this name.
    Unknown {
        /// The name as it was given.
        name: String,
    },
    /// The setting of this name can't have this value, or can't be changed at all.
    Refused {
        /// The name as it was given.
        name: String,
        /// Why, as Redis words it.
        reason: String,
    },
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name } => {
                write!(f, "ERR Unknown option or number of arguments for CONFIG SET - '{name}'")
            }
            Self::Refused { name, reason } => write!(
                f,
                "ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}"
            ),
        }
    }
}

impl std::error::Error for SetError {}

/// What a name of CONFIG GET and SET stands for.
#[derive(Clone, Copy)]
enum Target {
    Setting(&'static Setting),
    View(&'static View),
}

impl Target {
    fn get(self, settings: &Settings) -> String {
        match self {
            Self::Setting(setting) => setting.tell(settings),
            Self::View(view) => (view.get)(settings),
        }
    }

    /// The setting behind it.
    fn setting_name(self) -> &'static str {
        match self {
            Self::Setting(setting) => setting.name,
            Self::View(view) => view.setting,
        }
    }

    /// Why it can't be changed, whatever the value.
    fn never(self) -> Option<&'static str> {
        match self {
            Self::Setting(setting) if setting.change == Change::Live => None,
            Self::Setting(_) => Some("can't set immutable config"),
            Self::View(view) => match view.set {
                ViewSet::Immutable => Some("can't set immutable config"),
                ViewSet::Protected => Some("can't set protected config"),
                ViewSet::OnlySame(_) | ViewSet::Change(_) => None,
            },
        }
    }

    fn set(self, settings: &mut Settings, text: &str) -> Result<(), String> {
        let view = match self {
            Self::Setting(setting) => {
                let refused = |refusal| setting.kind.redis_refusal(refusal);
                return setting.write(settings, text).map_err(refused);
            }
            Self::View(view) => view,
        };
        match view.set {
            ViewSet::Change(change) => change(settings, text),
            ViewSet::OnlySame(words) => only_same(&(view.get)(settings), words, text),
            // Both were refused by `never` already.
            ViewSet::Immutable | ViewSet::Protected => Ok(()),
        }
    }
}

fn only_same(now: &str, words: &[&str], text: &str) -> Result<(), String> {
    if text.eq_ignore_ascii_case(now) {
        return Ok(());
    }
    let known = words.iter().any(|word| word.eq_ignore_ascii_case(text));
    Err(match words {
        ["yes", "no"] if !known => "argument must be 'yes' or 'no'".to_owned(),
        [_, ..] if !known => redis_choice_refusal(words),
        _ => "can't set immutable config".to_owned(),
    })
}

/// All names, those of Redis first.
fn names() -> impl Iterator<Item = (String, Target)> {
    let shared = SETTINGS.iter().filter_map(|setting| {
        let name = setting.redis?.to_owned();
        Some((name, Target::Setting(setting)))
    });
    let views = VIEWS.iter().map(|view| (view.name.to_owned(), Target::View(view)));
    let own = SETTINGS.iter().map(|setting| (setting.config_name(), Target::Setting(setting)));
    shared.chain(views).chain(own)
}

/// Whether the value of a setting, by a name that CONFIG SET takes, may be shown to nobody
/// who could not set it.
pub fn is_secret(name: &[u8]) -> bool {
    names().any(|(known, target)| {
        matches!(target, Target::Setting(setting) if setting.is_secret())
            && known.as_bytes().eq_ignore_ascii_case(name)
    })
}

/// Whether this is a name of a setting, its own or that of Redis.
pub fn is_name_of(setting: &str, name: &[u8]) -> bool {
    names().any(|(known, target)| {
        target.setting_name() == setting && known.as_bytes().eq_ignore_ascii_case(name)
    })
}

/// Bytes of a client for an error reply, which is one line.
fn one_line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(['\r', '\n'], " ")
}

impl Settings {
    /// CONFIG GET: every name that one of the patterns matches, with its value, each once.
    /// Unknown names give nothing. A pattern without wildcards comes back as it was spelt, as
    /// in Redis. A password is shown: who may ask could as well set it.
    pub fn get(&self, patterns: &[&[u8]]) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for (name, target) in names() {
            let matching = patterns.iter().find_map(|pattern| {
                if pattern.iter().any(|b| b"*?[".contains(b)) {
                    glob_match(pattern, name.as_bytes(), true).then(|| name.clone())
                } else {
                    let same = pattern.eq_ignore_ascii_case(name.as_bytes());
                    same.then(|| one_line(pattern))
                }
            });
            if let Some(name) = matching {
                found.push((name, target.get(self)));
            }
        }
        found
    }

    /// CONFIG SET: changes all of these or, with an error, none.
    ///
    /// The caller answers an odd number of arguments (`ERR syntax error`) and puts what has
    /// changed into effect.
    pub fn set(&mut self, pairs: &[(&[u8], &[u8])]) -> Result<(), SetError> {
        let targets = resolve(pairs)?;
        let mut changed = self.clone();
        for (&(name, value), target) in pairs.iter().zip(&targets) {
            let set = match std::str::from_utf8(value) {
                Ok(text) => target.set(&mut changed, text),
                // What is wrong with it as a number or a choice is said first.
                Err(_) => target
                    .set(&mut changed.clone(), &String::from_utf8_lossy(value))
                    .and(Err("argument must be UTF-8".to_owned())),
            };
            set.map_err(|reason| refused(name, reason))?;
        }
        check_orders(&changed, pairs, &targets)?;
        *self = changed;
        Ok(())
    }
}

fn refused(name: &[u8], reason: impl Into<String>) -> SetError {
    SetError::Refused { name: one_line(name), reason: reason.into() }
}

/// What each name stands for. Redis looks for what is wrong with names before it looks at any
/// value, and so do we.
fn resolve(pairs: &[(&[u8], &[u8])]) -> Result<Vec<Target>, SetError> {
    let mut targets: Vec<Target> = Vec::with_capacity(pairs.len());
    for (name, _) in pairs {
        let known = names().find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name));
        let Some((_, target)) = known else {
            return Err(SetError::Unknown { name: one_line(name) });
        };
        if let Some(reason) = target.never() {
            return Err(refused(name, reason));
        }
        let setting = target.setting_name();
        if targets.iter().any(|earlier| earlier.setting_name() == setting) {
            return Err(refused(name, "duplicate parameter"));
        }
        targets.push(target);
    }
    Ok(targets)
}

fn check_orders(
    changed: &Settings,
    pairs: &[(&[u8], &[u8])],
    targets: &[Target],
) -> Result<(), SetError> {
    for order in ORDERS.iter().filter(|order| !order.holds(changed)) {
        let guilty = targets.iter().position(|target| {
            let setting = target.setting_name();
            setting == order.smaller || setting == order.larger
        });
        // Without one the settings were wrong before; that is not this command's fault.
        if let Some(at) = guilty {
            let (smaller, larger) = (order.smaller, order.larger);
            let (why, names) = (order.why, [smaller, larger].map(|n| n.replace('_', "-")));
            let reason = format!("aft-{} would be above aft-{}: {why}", names[0], names[1]);
            return Err(refused(pairs[at].0, reason));
        }
    }
    Ok(())
}
