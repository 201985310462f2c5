//! A store that an earlier version has written is read by this one, see tests/upgrades.rs.

use crate::common::backing::Backing;
use crate::common::kept::{restore, upgrade_behind};
use crate::common::temp_dir::TempDir;

#[test]
fn the_store_of_format_6_is_read() {
    let dir = TempDir::named("upgrade");
    let backing = Backing::s3(dir.path());
    restore("s3-format-6", "s3", &backing);
    upgrade_behind("s3-format-6", &backing);
}
