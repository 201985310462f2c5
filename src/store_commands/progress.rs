//! How far it is, for who watches: on a terminal, and nowhere else.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on stderr, if that is a terminal. It goes when this does.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Of a known number of objects.
    pub(crate) fn of_objects() -> Self {
        Self::with("[{bar:25}] {pos} of {len} objects, {eta} left")
    }

    /// Of keys; a total that is not exact is better than none.
    pub(crate) fn of_keys() -> Self {
        Self::with("[{bar:25}] {pos} of {len} keys, {eta} left")
    }

    /// Of bytes, as many as come.
    pub(crate) fn of_bytes(total: Option<u64>) -> Self {
        let progress = match total {
            Some(_) => Self::with("[{bar:25}] {bytes} of {total_bytes}, {eta} left"),
            None => Self::with("{spinner} {bytes}, {bytes_per_sec}"),
        };
        if let Some(total) = total {
            progress.0.set_length(total);
        }
        progress
    }

    fn with(template: &str) -> Self {
        let bar = ProgressBar::new(0);
        // A mistake in a template is no reason to show nothing.
        let style = ProgressStyle::with_template(template);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("##."));
        Self(bar)
    }

    /// So much of so much is done.
    pub(crate) fn show(&self, done: u64, all: u64) {
        self.0.set_length(all);
        self.0.set_position(done);
    }

    /// So much is done.
    pub(crate) fn reach(&self, done: u64) {
        self.0.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
