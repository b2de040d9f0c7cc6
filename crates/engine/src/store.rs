//! Saves of a database image in a storage file.

use lix_engine_protocol::Result;

use crate::image::Image;
use crate::{Platform, StorageFile};

/// A file and what is known of it.
pub(crate) struct Store {
    file: Option<Box<dyn StorageFile>>,
}

/// A save that is under way.
pub(crate) struct Save {}

impl Store {
    /// Looks at what the file holds and writes nothing. No image: nothing was ever saved in it.
    pub(crate) fn open(
        file: Box<dyn StorageFile>,
        _platform: &dyn Platform,
    ) -> Result<(Self, Option<Image>)> {
        Ok((Self { file: Some(file) }, None))
    }

    /// A store that takes the place of whatever the file holds, also if that cannot be opened. It
    /// is kept until the first save has succeeded.
    pub(crate) fn replace(file: Box<dyn StorageFile>, _platform: &dyn Platform) -> Result<Self> {
        Ok(Self { file: Some(file) })
    }

    /// Starts a save of the image as it is now, which must be the committed state.
    pub(crate) fn begin(&mut self, _image: &mut Image) -> Save {
        Save {}
    }

    /// Writes about so many bytes more; `true` once the save is stored. After an error the save is
    /// given to [`Store::abandon`].
    pub(crate) fn step(&mut self, _save: &mut Save, _budget: usize) -> Result<bool> {
        Ok(true)
    }

    /// Gives a save up: what it was to store counts as changed again.
    pub(crate) fn abandon(&mut self, _save: Save, _image: &mut Image) {}

    /// Makes the file ready to be put away, so that any later damage to it is noticed.
    pub(crate) fn seal(&mut self) -> Result<()> {
        Ok(())
    }

    /// Lets the file go. Saves fail until [`Store::resume`].
    pub(crate) fn release(&mut self) {
        self.file = None;
    }

    /// Takes the file again; `false` if somebody else has saved to it meanwhile, and nothing may be
    /// saved any more.
    pub(crate) fn resume(&mut self, file: Box<dyn StorageFile>) -> Result<bool> {
        self.file = Some(file);
        Ok(true)
    }
}

impl Save {
    /// How many bytes it has written so far.
    pub(crate) fn bytes_written(&self) -> u64 {
        0
    }
}
