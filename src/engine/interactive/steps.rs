//! The steps of a request: each a function of its own, with a token of its own.
//!
//! ```text
//!     part:   0 the whole      1 reserve     2 charge      3 charge
//!                              done          stale         begun      <- the newest
//!                              |---- stands -|-- taken back when it is begun again
//! ```
//! Writes lie in one set, in order, whoever made them. So only the newest step can be taken
//! back, and only as long as nobody else has written since it began.

use crate::small_bytes::SmallBytes;

/// One step.
#[derive(Debug)]
pub struct Step {
    /// Its name.
    pub name: SmallBytes,
    /// The part of the token of its present attempt.
    pub part: u32,
    /// Its result, once it is done.
    pub done: Option<Option<SmallBytes>>,
}

/// The steps of a request, oldest first.
#[derive(Debug, Default)]
pub struct Steps {
    steps: Vec<Step>,
    /// The parts given away so far.
    parts: u32,
    /// Somebody else has written since the newest step began.
    mixed: bool,
}

/// What a part of a token is.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// Somebody may work with it.
    Current,
    /// Its step is done.
    Done,
    /// A later attempt has taken its place.
    Stale,
}

/// What beginning a step finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Stepped {
    /// It begins: with this part, and what an earlier attempt wrote is to be taken back.
    Begun {
        /// The part of its token.
        part: u32,
        /// The part of an earlier attempt, if there was one.
        again: Option<u32>,
    },
    /// It had begun before and goes on with this part.
    Open(u32),
    /// It was done, with the part, and this result.
    Done(u32, Option<SmallBytes>),
    /// The step before it is not done.
    TooEarly,
    /// What it wrote can't be taken back.
    Conflict,
}

impl Steps {
    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter()
    }

    /// Whether a step of that name has begun.
    pub fn has(&self, name: &[u8]) -> bool {
        self.steps.iter().any(|step| *step.name == *name)
    }

    /// What a part of a token is now.
    pub fn part(&self, part: u32) -> Part {
        match self.steps.iter().find(|step| step.part == part) {
            _ if part == 0 => Part::Current,
            Some(Step { done: None, .. }) => Part::Current,
            Some(_) => Part::Done,
            None => Part::Stale,
        }
    }

    /// Begins a step, or finds it.
    pub fn begin(&mut self, name: &[u8], after: Option<&[u8]>, resume: bool) -> Stepped {
        let is_done = |name: &[u8]| {
            let mut steps = self.steps.iter();
            steps.any(|step| *step.name == *name && step.done.is_some())
        };
        if after.is_some_and(|after| !is_done(after)) {
            return Stepped::TooEarly;
        }
        let newest = self.steps.len().wrapping_sub(1);
        let found = self.steps.iter().position(|step| *step.name == *name);
        let again = match found.map(|at| (at, &self.steps[at])) {
            Some((_, Step { part, done: Some(result), .. })) => {
                return Stepped::Done(*part, result.clone());
            }
            Some((_, step)) if resume => return Stepped::Open(step.part),
            Some((at, _)) if at != newest || self.mixed => return Stepped::Conflict,
            found => found.map(|(_, step)| step.part),
        };
        self.parts += 1;
        let part = self.parts;
        match found {
            Some(at) => self.steps[at].part = part,
            None => self.steps.push(Step { name: name.into(), part, done: None }),
        }
        self.mixed = false;
        Stepped::Begun { part, again }
    }

    /// Ends a step; `false` if the part is of none. Who says so twice is heard once.
    pub fn end(&mut self, part: u32, result: Option<&[u8]>) -> bool {
        let Some(step) = self.steps.iter_mut().find(|step| step.part == part) else {
            return false;
        };
        step.done.get_or_insert_with(|| result.map(SmallBytes::from));
        true
    }

    /// A part has written.
    pub fn wrote(&mut self, part: u32) {
        self.mixed |= self.steps.last().is_some_and(|newest| newest.part != part);
    }

    /// Whether what the newest step wrote may have to be taken back.
    pub fn newest_is_open(&self) -> bool {
        self.steps.last().is_some_and(|newest| newest.done.is_none())
    }

    /// A step that is not done, other than that of a part.
    pub fn unfinished_beside(&self, part: u32) -> Option<&Step> {
        self.steps.iter().find(|step| step.done.is_none() && step.part != part)
    }

    /// What they take, in bytes.
    pub fn bytes(&self) -> usize {
        let of = |step: &Step| {
            let result = step.done.iter().flatten().map(SmallBytes::heap_bytes).sum::<usize>();
            size_of::<Step>() + step.name.heap_bytes() + result
        };
        self.steps.iter().map(of).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::{Part, Stepped, Steps};

    #[test]
    fn steps_follow_each_other() {
        let mut steps = Steps::default();
        assert_eq!(steps.begin(b"two", Some(b"one"), false), Stepped::TooEarly);
        assert_eq!(steps.begin(b"one", None, false), Stepped::Begun { part: 1, again: None });
        assert_eq!(steps.begin(b"two", Some(b"one"), false), Stepped::TooEarly);
        assert_eq!(steps.begin(b"one", None, true), Stepped::Open(1));
        assert_eq!(steps.begin(b"one", None, false), Stepped::Begun { part: 2, again: Some(1) });
        assert_eq!([0, 1, 2].map(|p| steps.part(p)), [Part::Current, Part::Stale, Part::Current]);
        assert!(!steps.end(1, None), "its attempt was replaced");
        assert!(steps.newest_is_open() && steps.end(2, Some(b"yes")) && steps.end(2, Some(b"no")));
        assert_eq!(steps.part(2), Part::Done);
        assert_eq!(steps.begin(b"one", None, false), Stepped::Done(2, Some("yes".into())));
        assert_eq!(
            steps.begin(b"two", Some(b"one"), false),
            Stepped::Begun { part: 3, again: None }
        );
        assert!(steps.unfinished_beside(3).is_none() && steps.unfinished_beside(2).is_some());
    }

    #[test]
    fn only_the_newest_is_taken_back_and_only_alone() {
        let mut steps = Steps::default();
        let begun = |part, again| Stepped::Begun { part, again };
        assert_eq!(steps.begin(b"left", None, false), begun(1, None));
        assert_eq!(steps.begin(b"right", None, false), begun(2, None));
        assert_eq!(steps.begin(b"left", None, false), Stepped::Conflict);
        steps.wrote(2);
        assert_eq!(steps.begin(b"right", None, false), begun(3, Some(2)));
        steps.wrote(1);
        assert_eq!(steps.begin(b"right", None, false), Stepped::Conflict);
        assert_eq!(steps.begin(b"next", Some(b"left"), false), Stepped::TooEarly);
    }
}
