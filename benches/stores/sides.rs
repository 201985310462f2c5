//! Who is measured on a slow store.

use std::path::Path;

use crate::Result;
use crate::clouds::Cloud;
use crate::control::Host;
use crate::options::{self, Options};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// With its defaults: two groups may be under way.
    Aft,
    /// With as many of them as the store is good for.
    AftAllInFlight,
    Layout,
}

impl Who {
    pub(crate) const ALL: [Self; 3] = [Self::Aft, Self::AftAllInFlight, Self::Layout];

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Aft => "aft",
            Self::AftAllInFlight => "aft, `--groups-in-flight-max=0`",
            Self::Layout => "AFT's layout",
        }
    }

    /// Starts it, on a store of its own.
    pub(crate) async fn start(self, options: &Options, cloud: Cloud, data: &Path) -> Result<Host> {
        let settings: &[&str] = match self {
            Self::Aft => &[],
            Self::AftAllInFlight => &["--groups-in-flight-max=0"],
            Self::Layout => return Host::start("layout", options::serve_layout(cloud), data).await,
        };
        Host::start("aft", options.serve_aft(cloud, settings), data).await
    }
}
