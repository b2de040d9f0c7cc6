//! Storage on the operating system's files, and one in memory for test suites.
//!
//! A file is locked as long as it is open, by this process against all others and against itself.
//! What `flush` returned from survives a loss of power; so does the name of a new file.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

use lix_engine_core::{StorageFile, StorageRequest};
use lix_engine_protocol::{Error, Reason, Result};

/// Opens what a session asked for, without waiting. Under a test suite, paths that begin with
/// `memory:` name stores in this process's memory, which survive the death of their session.
pub(crate) fn open(request: &StorageRequest, conformance: bool) -> Result<Box<dyn StorageFile>> {
    match request.path.strip_prefix("memory:").filter(|_| conformance) {
        Some(name) => MemoryFile::open(name, request).map(boxed),
        None => DiskFile::open(request).map(boxed),
    }
}

fn boxed(file: impl StorageFile + 'static) -> Box<dyn StorageFile> {
    Box::new(file)
}

struct DiskFile(File);

impl DiskFile {
    fn open(request: &StorageRequest) -> Result<Self> {
        let path = Path::new(&request.path);
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let opened = match options.open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound && request.create => {
                create(&mut options, path)
            }
            opened => opened,
        };
        let file = opened.map_err(|error| match error.kind() {
            ErrorKind::NotFound if !request.create => missing(request),
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                Error::new(Reason::StorageReadonly, format!("{}: {error}", request.path))
            }
            _ => failed(&request.path, &error),
        })?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(busy(request)),
            Err(TryLockError::Error(error)) => Err(failed(&request.path, &error)),
        }
    }
}

/// A new file, whose name in its directory is as durable as its content.
fn create(options: &mut OpenOptions, path: &Path) -> std::io::Result<File> {
    let file = options.create(true).open(path)?;
    #[cfg(unix)]
    {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(file)
}

impl StorageFile for DiskFile {
    fn len(&mut self) -> Result<u64> {
        self.0.metadata().map(|metadata| metadata.len()).map_err(|error| failed("length", &error))
    }

    fn read(&mut self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let mut read = || -> std::io::Result<usize> {
            self.0.seek(SeekFrom::Start(offset))?;
            let mut done = 0;
            while done < buffer.len() {
                match self.0.read(&mut buffer[done..]) {
                    Ok(0) => break,
                    Ok(count) => done += count,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(done)
        };
        read().map_err(|error| failed("read", &error))
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        let mut write = || {
            self.0.seek(SeekFrom::Start(offset))?;
            self.0.write_all(bytes)
        };
        write().map_err(|error| failed("write", &error))
    }

    fn truncate(&mut self, len: u64) -> Result<()> {
        self.0.set_len(len).map_err(|error| failed("truncate", &error))
    }

    fn flush(&mut self) -> Result<()> {
        self.0.sync_data().map_err(|error| failed("flush", &error))
    }
}

/// Files by name, for a process that serves several sessions. A file that is open is lent out.
struct MemoryFile {
    content: Arc<Mutex<MemoryContent>>,
}

#[derive(Default)]
struct MemoryContent {
    bytes: Vec<u8>,
    is_open: bool,
}

static MEMORY_FILES: LazyLock<Mutex<HashMap<String, Arc<Mutex<MemoryContent>>>>> =
    LazyLock::new(Mutex::default);

impl MemoryFile {
    fn open(name: &str, request: &StorageRequest) -> Result<Self> {
        let mut files = lock(&MEMORY_FILES);
        if !request.create && !files.contains_key(name) {
            return Err(missing(request));
        }
        let content = files.entry(name.to_owned()).or_default().clone();
        if std::mem::replace(&mut lock(&content).is_open, true) {
            return Err(busy(request));
        }
        Ok(Self { content })
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        lock(&self.content).is_open = false;
    }
}

impl StorageFile for MemoryFile {
    fn len(&mut self) -> Result<u64> {
        Ok(lock(&self.content).bytes.len() as u64)
    }

    fn read(&mut self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let content = lock(&self.content);
        let start = content.bytes.len().min(usize::try_from(offset).unwrap_or(usize::MAX));
        let count = buffer.len().min(content.bytes.len() - start);
        buffer[..count].copy_from_slice(&content.bytes[start..start + count]);
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        let mut content = lock(&self.content);
        let start = usize::try_from(offset).expect("memory holds it");
        let end = start + bytes.len();
        if content.bytes.len() < end {
            content.bytes.resize(end, 0);
        }
        content.bytes[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> Result<()> {
        lock(&self.content).bytes.resize(usize::try_from(len).expect("memory holds it"), 0);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A session that panicked has not left a file half-written: every write is one copy.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn missing(request: &StorageRequest) -> Error {
    let message = format!("there is no {}", request.path);
    Error::new(Reason::StorageMissing, message).subject(request.path.clone())
}

fn busy(request: &StorageRequest) -> Error {
    let message = format!("another engine has {} open", request.path);
    Error::new(Reason::StorageBusy, message).subject(request.path.clone())
}

fn failed(what: &str, error: &std::io::Error) -> Error {
    let reason = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Reason::StorageQuota
        }
        _ => Reason::StorageFailed,
    };
    Error::new(reason, format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use lix_engine_protocol::proto::StorageKind;

    use super::*;

    fn request(path: &str, create: bool) -> StorageRequest {
        StorageRequest { kind: StorageKind::File, path: path.into(), create, wait_ms: 0 }
    }

    fn behaves_like_a_file(path: &str) {
        let reason = |result: Result<Box<dyn StorageFile>>| result.err().map(|error| error.reason);
        assert_eq!(reason(open(&request(path, false), true)), Some(Reason::StorageMissing));
        let mut file = open(&request(path, true), true).unwrap();
        assert_eq!(file.len().unwrap(), 0);
        file.write(b"behind a gap", 5).unwrap();
        file.flush().unwrap();
        assert_eq!(reason(open(&request(path, true), true)), Some(Reason::StorageBusy));
        drop(file);

        let mut file = open(&request(path, false), true).unwrap();
        let mut buffer = [9; 32];
        assert_eq!(file.read(&mut buffer, 3).unwrap(), 14);
        assert_eq!(&buffer[..14], b"\0\0behind a gap");
        assert_eq!(file.read(&mut buffer, 100).unwrap(), 0);
        file.truncate(7).unwrap();
        assert_eq!(file.len().unwrap(), 7);
    }

    #[test]
    fn a_file_on_disk() {
        let directory = std::env::temp_dir().join(format!("lix-storage-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        behaves_like_a_file(directory.join("a.lix").to_str().unwrap());
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_file_in_memory() {
        behaves_like_a_file("memory:a.lix");
    }
}
