//! What unit tests of change control start from.

use std::rc::Rc;
use std::sync::Arc;

use super::Lix;
use crate::Platform;
use crate::sqlite::Link;
use crate::vfs::SharedImage;

/// The tables, empty, over an image in memory.
pub(crate) fn bare() -> Rc<Lix> {
    let platform = Arc::new(Standing);
    let link = match Link::open(SharedImage::default(), platform.clone()) {
        Ok(link) => link,
        Err(report) => panic!("{}", report.message),
    };
    let lix = Lix::new(link, platform);
    lix.sql.script(include_str!("tables.sql")).expect("our own tables");
    lix
}

/// Time stands still and chance always throws the same.
pub(crate) struct Standing;

impl Platform for Standing {
    fn unix_ms(&self) -> i64 {
        1_700_000_000_000
    }

    fn monotonic_ms(&self) -> u64 {
        0
    }

    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(4);
    }
}
