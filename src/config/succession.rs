//! How a start comes after the node that has the store.

/// How a start comes after the owner of a shared store. These are flags and no settings: one that
/// stays in a file or in the environment would be said again by each start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Succession {
    /// When the owner has ended, or has been silent for a lease. One that lives is left alone.
    #[default]
    AfterSilence,
    /// At once (`--takeover`): somebody knows that the owner's process has stopped.
    AtOnce,
    /// As after silence, but a living owner is waited for, however long it lives
    /// (`--wait-for-handover`).
    WhenItEnds,
}
