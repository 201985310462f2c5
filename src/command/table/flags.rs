//! What is true of a command, and of its keys, as bits with the names that COMMAND INFO gives them.

/// What is true of a command, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// It writes, or reads to write: it runs on the tip.
    pub const WRITE: Self = Self(1);
    /// It reads data.
    pub const READ: Self = Self(1 << 1);
    /// It reads or writes data.
    pub const DATA: Self = Self::WRITE.and(Self::READ);
    /// It may need memory that it doesn't free.
    pub const DENY_OOM: Self = Self(1 << 2);
    /// It is for those who run the server.
    pub const ADMIN: Self = Self(1 << 3);
    /// Scripts may not call it.
    pub const NO_SCRIPT: Self = Self(1 << 4);
    /// Redis runs it while it loads its data; aft serves nobody before that is done.
    pub const LOADING: Self = Self(1 << 5);
    /// Redis runs it on a replica that lost its master.
    pub const STALE: Self = Self(1 << 6);
    /// SLOWLOG keeps what it ran instead of it.
    pub const SKIP_SLOWLOG: Self = Self(1 << 7);
    /// Its cost doesn't grow with the data.
    pub const FAST: Self = Self(1 << 8);
    /// It may come before AUTH.
    pub const NO_AUTH: Self = Self(1 << 9);
    /// It is refused inside MULTI.
    pub const NO_MULTI: Self = Self(1 << 10);
    /// Redis runs it while a script runs too long.
    pub const ALLOW_BUSY: Self = Self(1 << 11);
    /// It runs at once inside MULTI instead of being queued.
    pub const RUNS_IN_MULTI: Self = Self(1 << 12);
    /// It is EXEC.
    pub const EXEC: Self = Self(1 << 13);
    /// It belongs to the ACL category of keys of any type.
    pub const KEYSPACE: Self = Self(1 << 14);
    /// It belongs to that of strings.
    pub const STRING: Self = Self(1 << 15);
    /// It belongs to that of what could do harm.
    pub const DANGEROUS: Self = Self(1 << 16);
    /// It belongs to that of connections.
    pub const CONNECTION: Self = Self(1 << 17);
    /// It belongs to that of transactions.
    pub const TRANSACTION: Self = Self(1 << 18);
    /// It belongs to that of scripts.
    pub const SCRIPTING: Self = Self(1 << 19);
    /// It belongs to that of bits in strings.
    pub const BITMAP: Self = Self(1 << 20);
    /// It is AFT.COMMIT.
    pub const COMMIT: Self = Self(1 << 21);

    /// Both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any of `other` is set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The names of those that COMMAND INFO shows, in its order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        const NAMES: [(Flags, &str); 12] = [
            (Flags::WRITE, "write"),
            (Flags::READ, "readonly"),
            (Flags::DENY_OOM, "denyoom"),
            (Flags::ADMIN, "admin"),
            (Flags::NO_SCRIPT, "noscript"),
            (Flags::LOADING, "loading"),
            (Flags::STALE, "stale"),
            (Flags::SKIP_SLOWLOG, "skip_slowlog"),
            (Flags::FAST, "fast"),
            (Flags::NO_AUTH, "no_auth"),
            (Flags::NO_MULTI, "no_multi"),
            (Flags::ALLOW_BUSY, "allow_busy"),
        ];
        let shown = NAMES.into_iter().filter(move |(flag, _)| self.has(*flag));
        shown.map(|(_, name)| name)
    }

    /// Its ACL categories, in the order of COMMAND INFO.
    pub fn categories(self) -> impl Iterator<Item = &'static str> {
        const NAMES: [(Flags, &str); 11] = [
            (Flags::KEYSPACE, "keyspace"),
            (Flags::READ, "read"),
            (Flags::WRITE, "write"),
            (Flags::STRING, "string"),
            (Flags::BITMAP, "bitmap"),
            (Flags::ADMIN, "admin"),
            (Flags::FAST, "fast"),
            (Flags::NONE, "slow"),
            (Flags::DANGEROUS.and(Flags::ADMIN), "dangerous"),
            (Flags::CONNECTION, "connection"),
            (Flags::TRANSACTION, "transaction"),
        ];
        let belongs = move |flag: Flags| match flag {
            Flags::NONE => !self.has(Flags::FAST),
            _ => self.has(flag),
        };
        let shown = NAMES.into_iter().filter(move |(flag, _)| belongs(*flag));
        let scripting = self.has(Flags::SCRIPTING).then_some("scripting");
        shown.map(|(_, name)| name).chain(scripting)
    }
}

/// Which arguments are keys: the first and the last (negative from the end), and the step
/// from one to the next. All 0 where none are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keys {
    /// Index of the first key.
    pub first: i32,
    /// Index of the last key.
    pub last: i32,
    /// From one to the next.
    pub step: i32,
    /// What is done to them, as COMMAND INFO names it.
    pub access: &'static [&'static str],
    /// What else there is to say.
    pub notes: Option<&'static str>,
    /// Where not the same is done to all of them: each part by itself.
    pub parts: &'static [Keys],
}

impl Keys {
    pub(super) const NONE: Self = Self::at(0, 0, 0, &[]);

    /// The first argument.
    pub(super) const fn one(access: &'static [&'static str]) -> Self {
        Self::at(1, 1, 1, access)
    }

    /// All arguments.
    pub(super) const fn all(access: &'static [&'static str]) -> Self {
        Self::at(1, -1, 1, access)
    }

    /// Every other argument.
    pub(super) const fn pairs(access: &'static [&'static str]) -> Self {
        Self::at(1, -1, 2, access)
    }

    pub(super) const fn at(
        first: i32,
        last: i32,
        step: i32,
        access: &'static [&'static str],
    ) -> Self {
        Self { first, last, step, access, notes: None, parts: &[] }
    }

    /// Of several parts.
    pub(super) const fn parts(mut self, parts: &'static [Keys]) -> Self {
        self.parts = parts;
        self
    }

    /// Each part, or all of it if the same is done to all.
    pub fn each_part(&self) -> &[Keys] {
        if self.parts.is_empty() { std::slice::from_ref(self) } else { self.parts }
    }

    pub(super) const fn notes(mut self, notes: &'static str) -> Self {
        self.notes = Some(notes);
        self
    }

    /// Whether there are none.
    pub const fn is_none(&self) -> bool {
        self.first == 0
    }

    /// Where the keys are among `count` arguments, the command's name included.
    pub fn positions(&self, count: usize) -> impl Iterator<Item = usize> + use<> {
        let last = match usize::try_from(self.last) {
            Ok(last) => last,
            Err(_) => count.saturating_sub(self.last.unsigned_abs() as usize),
        };
        let last = last.min(count.saturating_sub(1));
        let first = self.first.unsigned_abs() as usize;
        let some = if self.is_none() { 0 } else { last + 1 };
        (first..some).step_by(self.step.unsigned_abs().max(1) as usize)
    }
}
