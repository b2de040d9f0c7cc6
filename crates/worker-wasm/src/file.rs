//! An open file of JavaScript's as the engine sees it: a `FileSystemSyncAccessHandle`, or anything
//! with its methods.

use js_sys::Object;
use lix_engine_core::StorageFile;
use lix_engine_protocol::{Error, Reason, Result};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// What a `FileSystemSyncAccessHandle` can do.
    pub type SyncFile;

    #[wasm_bindgen(structural, method, catch, js_name = getSize)]
    fn get_size(this: &SyncFile) -> std::result::Result<f64, JsValue>;

    #[wasm_bindgen(structural, method, catch)]
    fn read(this: &SyncFile, into: &mut [u8], at: &At) -> std::result::Result<f64, JsValue>;

    #[wasm_bindgen(structural, method, catch)]
    fn write(this: &SyncFile, from: &[u8], at: &At) -> std::result::Result<f64, JsValue>;

    #[wasm_bindgen(structural, method, catch)]
    fn truncate(this: &SyncFile, size: f64) -> std::result::Result<(), JsValue>;

    #[wasm_bindgen(structural, method, catch)]
    fn flush(this: &SyncFile) -> std::result::Result<(), JsValue>;

    #[wasm_bindgen(structural, method, catch)]
    fn close(this: &SyncFile) -> std::result::Result<(), JsValue>;

    /// `{ at: number }`
    pub type At;

    #[wasm_bindgen(structural, method, setter)]
    fn set_at(this: &At, at: f64);

    type Thrown;

    #[wasm_bindgen(structural, method, getter)]
    fn name(this: &Thrown) -> Option<String>;

    #[wasm_bindgen(structural, method, getter)]
    fn message(this: &Thrown) -> Option<String>;
}

/// The session's file. Dropping it closes it, and JavaScript lets its lock go.
pub(crate) struct OpenFile {
    file: SyncFile,
    // One object for all calls.
    at: At,
}

impl OpenFile {
    pub(crate) fn new(file: SyncFile) -> OpenFile {
        OpenFile { file, at: Object::new().unchecked_into() }
    }
}

impl StorageFile for OpenFile {
    fn len(&mut self) -> Result<u64> {
        self.file.get_size().map(|size| size as u64).map_err(thrown)
    }

    fn read(&mut self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let mut total = 0;
        while total < buffer.len() {
            self.at.set_at((offset + total as u64) as f64);
            match self.file.read(&mut buffer[total..], &self.at).map_err(thrown)? as usize {
                0 => break,
                count => total += count,
            }
        }
        Ok(total)
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        self.at.set_at(offset as f64);
        let written = self.file.write(bytes, &self.at).map_err(thrown)? as usize;
        if written == bytes.len() {
            return Ok(());
        }
        let message = format!("the storage took {written} of {} bytes", bytes.len());
        Err(Error::new(Reason::StorageQuota, message))
    }

    fn truncate(&mut self, len: u64) -> Result<()> {
        self.file.truncate(len as f64).map_err(thrown)
    }

    fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(thrown)
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        // A handle that cannot be closed is gone already.
        let _ = self.file.close();
    }
}

/// What opening a file came to, as JavaScript names it.
pub(crate) fn failure(reason: &str, message: &str, subject: &str) -> Error {
    let known = [
        Reason::StorageMissing,
        Reason::StorageBusy,
        Reason::StorageUnsupported,
        Reason::StorageReadonly,
        Reason::StorageQuota,
        Reason::OptionInvalid,
    ];
    let found = known.into_iter().find(|known| known.as_str() == reason);
    Error::new(found.unwrap_or(Reason::StorageFailed), message).subject(subject)
}

fn thrown(error: JsValue) -> Error {
    if !error.is_object() {
        return Error::new(Reason::StorageFailed, "a file threw something that is no error");
    }
    let error: Thrown = error.unchecked_into();
    let name = error.name().unwrap_or_else(|| "Error".to_owned());
    let message = error.message().unwrap_or_default();
    let reason = match name.as_str() {
        "QuotaExceededError" => Reason::StorageQuota,
        _ => Reason::StorageFailed,
    };
    Error::new(reason, format!("{name}: {message}"))
}
