//! Users: who may log in, and what each may do. How rules are written, and what follows
//! from them for a command, is the affair of the commands.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// The user that every connection begins as.
pub const DEFAULT: &[u8] = b"default";

/// Commands, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandSet([u64; Self::WORDS]);

impl CommandSet {
    const WORDS: usize = 16;
    /// No command's number: set where everything is allowed but for what was taken away,
    /// so that a command of a later version is allowed, too.
    const FUTURE: u16 = (Self::WORDS * 64 - 1) as u16;
    /// None.
    pub const NONE: Self = Self([0; Self::WORDS]);
    /// All there are, and all there will be.
    pub const ALL: Self = Self([u64::MAX; Self::WORDS]);

    /// Whether this command is in it.
    pub fn has(&self, command: u16) -> bool {
        let word = self.0.get(usize::from(command / 64));
        word.is_some_and(|word| word >> (command % 64) & 1 == 1)
    }

    /// Whether commands to come are in it.
    pub fn has_future(&self) -> bool {
        self.has(Self::FUTURE)
    }

    /// Puts a command in or takes it out.
    pub fn set(&mut self, command: u16, allowed: bool) {
        if let Some(word) = self.0.get_mut(usize::from(command / 64)) {
            let bit = 1 << (command % 64);
            *word = if allowed { *word | bit } else { *word & !bit };
        }
    }
}

/// Keys that may be read, written or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPattern {
    /// A glob pattern.
    pub pattern: Vec<u8>,
    /// Whether commands that tell of their values are allowed.
    pub read: bool,
    /// Whether commands that change them are allowed.
    pub write: bool,
}

/// What a user may do: one of several such answers is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// The commands allowed whatever their arguments are.
    pub commands: CommandSet,
    /// All of them, and none was ever taken away.
    pub all_commands: bool,
    /// Commands that are allowed with just these first arguments.
    pub first_args: BTreeMap<u16, Vec<Vec<u8>>>,
    /// Any key.
    pub all_keys: bool,
    /// The keys otherwise.
    pub keys: Vec<KeyPattern>,
    /// Any channel.
    pub all_channels: bool,
    /// The patterns of channels otherwise.
    pub channels: Vec<Vec<u8>>,
}

impl Selector {
    /// Nothing is allowed.
    pub const fn nothing() -> Self {
        Self {
            commands: CommandSet::NONE,
            all_commands: false,
            first_args: BTreeMap::new(),
            all_keys: false,
            keys: Vec::new(),
            all_channels: false,
            channels: Vec::new(),
        }
    }

    /// Everything is allowed.
    pub const fn everything() -> Self {
        Self {
            commands: CommandSet::ALL,
            all_commands: true,
            first_args: BTreeMap::new(),
            all_keys: true,
            keys: Vec::new(),
            all_channels: true,
            channels: Vec::new(),
        }
    }

    fn is_everything(&self) -> bool {
        self.all_commands && self.all_keys && self.all_channels
    }
}

/// The SHA-256 of a password, in hexadecimal digits.
pub type PasswordHash = [u8; 64];

/// The hash of a password.
pub fn hash(password: &[u8]) -> PasswordHash {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = [0; 64];
    for (at, byte) in Sha256::digest(password).iter().enumerate() {
        hex[2 * at] = DIGITS[usize::from(byte >> 4)];
        hex[2 * at + 1] = DIGITS[usize::from(byte & 15)];
    }
    hex
}

/// Whether two hashes are the same, in a time that doesn't tell how much of them is.
fn same(one: &PasswordHash, other: &PasswordHash) -> bool {
    one.iter().zip(other).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
}

/// All that is known of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Whether one can log in with it.
    pub enabled: bool,
    /// Any password will do.
    pub nopass: bool,
    /// Whether RESTORE would check what it is given; `None` until somebody says.
    pub sanitize_payload: Option<bool>,
    /// The passwords, each of which will do.
    pub passwords: Vec<PasswordHash>,
    /// What it may do.
    pub root: Selector,
    /// What it may do besides.
    pub selectors: Vec<Selector>,
}

impl Rules {
    /// Those of a new user: it can't log in, and may do nothing.
    pub const fn new() -> Self {
        Self {
            enabled: false,
            nopass: false,
            sanitize_payload: None,
            passwords: Vec::new(),
            root: Selector::nothing(),
            selectors: Vec::new(),
        }
    }

    /// Those of the default user: everything, without a password.
    pub const fn everything() -> Self {
        Self {
            enabled: true,
            nopass: true,
            sanitize_payload: None,
            passwords: Vec::new(),
            root: Selector::everything(),
            selectors: Vec::new(),
        }
    }

    /// The root selector, and all others.
    pub fn all_selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.selectors)
    }

    /// Whether one can log in with this password.
    pub fn admit(&self, password: &[u8]) -> bool {
        if !self.enabled || self.nopass {
            return self.enabled;
        }
        let hash = hash(password);
        // All of them, so that the time doesn't tell which one it was.
        self.passwords.iter().fold(false, |right, own| right | same(own, &hash))
    }

    /// Has one password from now on, or takes any without one.
    pub fn set_password(&mut self, password: Option<&[u8]>) {
        self.passwords.clear();
        self.nopass = password.is_none();
        self.passwords.extend(password.map(hash));
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::new()
    }
}

/// A user. Connections hold theirs, and changes reach them at once.
#[derive(Debug)]
pub struct User {
    /// Its name.
    pub name: Arc<[u8]>,
    /// Everything is allowed: what is looked at first, and mostly last.
    unrestricted: AtomicBool,
    rules: RwLock<Arc<Rules>>,
}

impl User {
    fn new(name: &[u8], rules: Rules) -> Arc<Self> {
        let unrestricted = AtomicBool::new(rules.root.is_everything());
        let rules = RwLock::new(Arc::new(rules));
        Arc::new(Self { name: name.into(), unrestricted, rules })
    }

    /// Whether nothing needs to be checked.
    #[inline]
    pub fn is_unrestricted(&self) -> bool {
        self.unrestricted.load(Ordering::Acquire)
    }

    /// What is known of it now.
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes what is known of it.
    pub fn set(&self, rules: Rules) {
        let mut now = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        self.unrestricted.store(rules.root.is_everything(), Ordering::Release);
        *now = Arc::new(rules);
    }
}

/// Something that was refused.
#[derive(Debug, Clone)]
pub struct Denial {
    /// How often in a row, more or less.
    pub count: u64,
    /// `command`, `key` or `auth`.
    pub reason: &'static str,
    /// `toplevel` or `multi`.
    pub context: &'static str,
    /// The command or the key.
    pub object: Vec<u8>,
    /// Who wanted it.
    pub user: Vec<u8>,
    /// When, in milliseconds since the Unix epoch.
    pub wall_ms: u64,
    /// The connection, as CLIENT LIST shows it.
    pub client: Vec<u8>,
}

/// All users, and what they were denied.
#[derive(Debug)]
pub struct Users {
    default: Arc<User>,
    by_name: Mutex<BTreeMap<Vec<u8>, Arc<User>>>,
    denials: Mutex<VecDeque<Denial>>,
}

/// As many denials are kept as Redis keeps by default.
const DENIALS_MAX: usize = 128;

impl Users {
    /// The default user alone, who needs this password if there is one.
    pub fn new(password: Option<&[u8]>) -> Self {
        let mut rules = Rules::everything();
        rules.set_password(password);
        let default = User::new(DEFAULT, rules);
        let by_name = BTreeMap::from([(DEFAULT.to_vec(), Arc::clone(&default))]);
        Self { default, by_name: Mutex::new(by_name), denials: Mutex::default() }
    }

    /// The user that every connection begins as.
    pub fn default_user(&self) -> &Arc<User> {
        &self.default
    }

    /// Whether a connection that never gave a password may run commands.
    pub fn lets_in_anybody(&self) -> bool {
        let rules = self.default.rules();
        rules.enabled && rules.nopass
    }

    /// A user by its name.
    pub fn get(&self, name: &[u8]) -> Option<Arc<User>> {
        self.by_name().get(name).cloned()
    }

    /// All users, by name.
    pub fn all(&self) -> Vec<Arc<User>> {
        self.by_name().values().cloned().collect()
    }

    /// Changes a user, or makes it.
    pub fn set(&self, name: &[u8], rules: Rules) {
        let mut by_name = self.by_name();
        match by_name.get(name) {
            Some(user) => user.set(rules),
            None => {
                by_name.insert(name.to_vec(), User::new(name, rules));
            }
        }
    }

    /// Removes a user; those who are logged in as it may do nothing more.
    pub fn remove(&self, name: &[u8]) -> Option<Arc<User>> {
        let removed = self.by_name().remove(name)?;
        removed.set(Rules::new());
        Some(removed)
    }

    /// Notes a denial. One like a recent one of the last minute counts with that one.
    pub fn denied(&self, denial: Denial) {
        const RECENT: usize = 10;
        const SAME_WITHIN_MS: u64 = 60_000;
        let mut denials = self.denials();
        let like = denials.iter().take(RECENT).position(|earlier| {
            earlier.reason == denial.reason
                && earlier.context == denial.context
                && earlier.object == denial.object
                && earlier.user == denial.user
                && earlier.wall_ms.abs_diff(denial.wall_ms) <= SAME_WITHIN_MS
        });
        let earlier = like.and_then(|at| denials.remove(at));
        let count = denial.count + earlier.map_or(0, |earlier| earlier.count);
        denials.push_front(Denial { count, ..denial });
        denials.truncate(DENIALS_MAX);
    }

    /// What was denied, the newest first.
    pub fn denials(&self) -> MutexGuard<'_, VecDeque<Denial>> {
        self.denials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn by_name(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Arc<User>>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
