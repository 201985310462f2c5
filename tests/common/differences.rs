//! Where aft means to differ from the redis-server it is compared with (7.0.15). Each entry is a
//! decision; anything else that differs is a fault of ours.

pub(crate) struct Difference {
    /// The step in a script: its command begins so …
    pub(crate) command: &'static str,
    /// … and contains this word.
    pub(crate) word: &'static str,
    /// How both replies begin, as scripts print them. Empty: anything.
    pub(crate) redis: &'static str,
    pub(crate) aft: &'static str,
    pub(crate) why: &'static str,
}

pub(crate) const EXPECTED: &[Difference] = &[
    Difference {
        command: "SET",
        word: "IFEQ",
        redis: "-ERR syntax error",
        aft: "",
        why: "SET … IFEQ is of newer servers; 7.0 doesn't know the word",
    },
    Difference {
        command: "EXEC",
        word: "",
        redis: "[-ERR syntax error]",
        aft: "[",
        why: "the same SET … IFEQ, queued alone inside MULTI",
    },
];

/// The reason why these two replies to a step may differ, if there is one.
pub(crate) fn expected(step: &str, redis: &str, aft: &str) -> Option<&'static str> {
    let matches = |d: &&Difference| {
        step.starts_with(d.command)
            && step.contains(d.word)
            && redis.starts_with(d.redis)
            && aft.starts_with(d.aft)
    };
    EXPECTED.iter().find(matches).map(|difference| difference.why)
}
