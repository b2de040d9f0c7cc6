//! SQLite's file system: one database image, scratch files that vanish, nothing else.
//!
//! Every database registers a file system of its own, so that no name leads from one database to
//! another, or to a disk.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rsqlite_vfs::{
    AccessMode, FileKind, LockLevel, OpenOptions, OpenRequest, OpenedFile, OsCallback,
    SQLiteIoMethods, SQLiteVfs, SyncOptions, VfsError, VfsErrorCode, VfsFile, VfsRegistration,
    VfsResult, VfsStore, register_vfs,
};

use crate::Platform;
use crate::image::Image;

/// The only name that can be opened.
pub(crate) const MAIN_FILE: &str = "main.db";

/// A registered file system. Dropping it takes it away from SQLite again.
pub(crate) struct ImageVfs {
    name: String,
    registration: Option<VfsRegistration<Shared>>,
}

impl ImageVfs {
    /// Registers a file system whose only database is `image`.
    pub(crate) fn register(image: SharedImage, platform: Arc<dyn Platform>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let name = format!("lix-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let shared = Shared { image, os: Os(platform) };
        // SAFETY: the default methods of the traits agree with each other; the name is unique in
        // this process; the connection that uses the file system stays on this thread.
        let registration = unsafe { register_vfs::<IoMethods, Vfs>(&name, shared, false) }
            .expect("a fresh name registers");
        Self { name, registration: Some(registration) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for ImageVfs {
    fn drop(&mut self) {
        if let Some(registration) = self.registration.take() {
            // SAFETY: `Database` drops its connection before this field, so no file is open.
            let result = unsafe { registration.unregister() };
            debug_assert!(result.is_ok(), "a registered file system unregisters");
        }
    }
}

/// The image, shared between SQLite's file handle and the engine on one thread.
pub(crate) type SharedImage = Rc<RefCell<Image>>;

pub(crate) struct Shared {
    image: SharedImage,
    os: Os,
}

struct Os(Arc<dyn Platform>);

impl OsCallback for Os {
    /// Nobody else holds a lock, so SQLite has no reason to wait.
    fn sleep(&self, _duration: Duration) {}

    fn random(&self, buffer: &mut [u8]) -> usize {
        self.0.random(buffer);
        buffer.len()
    }

    fn epoch_timestamp_in_ms(&self) -> VfsResult<i64> {
        Ok(self.0.unix_ms())
    }
}

struct Store;

impl VfsStore for Store {
    type File = File;
    type AppData = Shared;

    fn open_file(shared: &Shared, request: OpenRequest<'_>) -> VfsResult<OpenedFile<File>> {
        let image = match request.options.kind() {
            Some(FileKind::MainDb) => match request.filename.map(|name| name.path()) {
                Some(MAIN_FILE) => shared.image.clone(),
                Some(other) => return Err(no_such_file(other)),
                None => SharedImage::default(),
            },
            Some(FileKind::Wal) | None => return Err(no_such_file("write-ahead log")),
            // Journals and temporary databases live as long as their handle.
            Some(_) => SharedImage::default(),
        };
        Ok(OpenedFile { file: File(image), access: request.options.access() })
    }

    fn close_file(_: &Shared, _: Option<&str>, _: File, _: OpenOptions) -> VfsResult<()> {
        Ok(())
    }

    /// No journal outlives its handle, so there is never one to find.
    fn access(_: &Shared, name: &str, _: AccessMode) -> VfsResult<bool> {
        Ok(name == MAIN_FILE)
    }

    fn full_pathname(_: &Shared, name: &str) -> VfsResult<String> {
        Ok(name.to_owned())
    }

    fn delete_file(_: &Shared, _: &str, _: bool) -> VfsResult<()> {
        Ok(())
    }
}

/// A handle. Locks are no-ops: a database has one connection.
struct File(SharedImage);

impl VfsFile for File {
    fn read(&mut self, buffer: &mut [u8], offset: u64) -> VfsResult<usize> {
        Ok(self.0.borrow().read(buffer, offset))
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> VfsResult<()> {
        self.0.borrow_mut().write(bytes, offset);
        Ok(())
    }

    fn truncate(&mut self, size: u64) -> VfsResult<()> {
        self.0.borrow_mut().truncate(size);
        Ok(())
    }

    fn sync(&mut self, _: SyncOptions) -> VfsResult<()> {
        Ok(())
    }

    fn size(&self) -> VfsResult<u64> {
        Ok(self.0.borrow().len())
    }

    fn lock(&mut self, _: LockLevel) -> VfsResult<()> {
        Ok(())
    }

    fn unlock(&mut self, _: LockLevel) -> VfsResult<()> {
        Ok(())
    }

    fn check_reserved_lock(&self) -> VfsResult<bool> {
        Ok(false)
    }
}

struct IoMethods;

impl SQLiteIoMethods for IoMethods {
    type Store = Store;
}

struct Vfs;

impl SQLiteVfs<IoMethods> for Vfs {
    type Os = Os;

    fn os(shared: &Shared) -> &Os {
        &shared.os
    }
}

fn no_such_file(name: &str) -> VfsError {
    VfsError::new(VfsErrorCode::CantOpen, format!("no file can be opened here: {name}").into())
}
