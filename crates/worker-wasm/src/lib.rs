//! The engine as a wasm module. It passes messages between JavaScript and a session and knows
//! neither SQL nor policy; when to deliver a message, how to open a file and what dying means is up
//! to the JavaScript around it.
//!
//! A frame is copied once into wasm and once out of it, into a buffer of exactly its size, which
//! can be transferred. An attachment is copied piece by piece to where it is needed. A file reads
//! into and writes from wasm's memory itself.

mod file;
#[cfg(target_family = "wasm")]
mod memory;
mod plugins;

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use js_sys::{Array, Function, Uint8Array};
use lix_engine_core::{
    Attachment, Effect, Event, Message, Platform, Session, SessionOptions, Snapshot, StorageRequest,
};
use lix_engine_protocol::proto::StorageKind;
use wasm_bindgen::prelude::*;

use file::{OpenFile, SyncFile};
use plugins::{PluginLoader, PluginRuntime};

/// One session and the way out of it.
#[wasm_bindgen]
pub struct Shell {
    session: RefCell<Session>,
    post: Function,
    storage: Option<Storage>,
    plugins: Option<PluginLoader>,
    crash: Option<Function>,
    next_event_seq: Cell<u64>,
}

#[wasm_bindgen]
extern "C" {
    /// Where files are opened; absent in a shell that has only memory.
    pub type Storage;

    /// `"opfs"` or `"file"`.
    #[wasm_bindgen(structural, method, getter)]
    fn kind(this: &Storage) -> String;

    /// Begins to open a file. [`Shell::storage_opened`] or [`Shell::storage_failed`] ends it, later.
    #[wasm_bindgen(structural, method)]
    fn open(this: &Storage, path: String, create: bool, wait_ms: u32);
}

#[wasm_bindgen]
impl Shell {
    /// A session that sends each message by calling `post(frame, attachments)`, and dies by calling
    /// `crash()`.
    #[wasm_bindgen(constructor)]
    pub fn new(
        post: Function,
        conformance: bool,
        storage: Option<Storage>,
        crash: Option<Function>,
        plugins: Option<PluginLoader>,
    ) -> Shell {
        std::panic::set_hook(Box::new(|panic| {
            web_sys::console::error_1(&format!("lix-engine: {panic}").into());
        }));
        let kinds: &'static [StorageKind] =
            match storage.as_ref().map(|storage| storage.kind()).as_deref() {
                Some("opfs") => &[StorageKind::Opfs],
                Some("file") => &[StorageKind::File],
                _ => &[],
            };
        let options = SessionOptions {
            conformance,
            storage: kinds,
            plugins: plugins.as_ref().map_or(&[], PluginLoader::formats),
            ..SessionOptions::worker()
        };
        let session = RefCell::new(Session::new(options, Arc::new(Browser)));
        Shell { session, post, storage, plugins, crash, next_event_seq: Cell::new(1) }
    }

    /// Queues a message without running anything.
    pub fn receive(&self, frame: Vec<u8>, attachments: Vec<Uint8Array>) {
        self.drive(|session, sink| session.receive(message(frame, attachments), sink));
    }

    /// Runs the oldest queued request, or a part of what goes on in the background; `true` while
    /// there is more.
    pub fn step(&self) -> bool {
        self.drive(|session, sink| session.step(sink))
    }

    /// Queues a message and runs everything that waits; `true` if work in the background is left.
    pub fn handle(&self, frame: Vec<u8>, attachments: Vec<Uint8Array>) -> bool {
        self.drive(|session, sink| session.handle(message(frame, attachments), sink))
    }

    /// The file that was asked for. It is the session's until its `close()` is called.
    #[wasm_bindgen(js_name = storageOpened)]
    pub fn storage_opened(&self, file: SyncFile) {
        let file = Box::new(OpenFile::new(file));
        self.drive(|session, sink| session.receive(Event::StorageOpened(Ok(file)), sink));
    }

    /// The file that was asked for cannot be had. An unknown reason is `STORAGE_FAILED`.
    #[wasm_bindgen(js_name = storageFailed)]
    pub fn storage_failed(&self, reason: &str, message: &str, subject: &str) {
        let error = file::failure(reason, message, subject);
        self.drive(|session, sink| session.receive(Event::StorageOpened(Err(error)), sink));
    }

    /// The plugins that were asked for.
    #[wasm_bindgen(js_name = pluginsLoaded)]
    pub fn plugins_loaded(&self, runtime: PluginRuntime) {
        let plugins = Box::new(plugins::Loaded::new(runtime));
        self.drive(|session, sink| session.receive(Event::PluginsLoaded(Ok(plugins)), sink));
    }

    /// One of the plugins that were asked for cannot be had. The subject is its key or its index.
    #[wasm_bindgen(js_name = pluginsFailed)]
    pub fn plugins_failed(&self, reason: &str, message: &str, subject: &str) {
        let error = plugins::failure(reason, message, subject);
        self.drive(|session, sink| session.receive(Event::PluginsLoaded(Err(error)), sink));
    }

    /// In how many milliseconds `step` must be called although nothing happened.
    #[wasm_bindgen(js_name = deadlineIn)]
    pub fn deadline_in(&self) -> Option<f64> {
        let deadline = self.session.borrow().deadline()?;
        Some(deadline.saturating_sub(Browser.monotonic_ms()) as f64)
    }

    /// The sequence number of the next event. It can be asked for even after a trap.
    #[wasm_bindgen(js_name = nextEventSeq)]
    pub fn next_event_seq(&self) -> u64 {
        self.next_event_seq.get()
    }

    fn drive<T>(&self, run: impl FnOnce(&mut Session, &mut dyn FnMut(Effect)) -> T) -> T {
        let mut session = self.session.borrow_mut();
        let result = run(&mut session, &mut |effect| match effect {
            Effect::Send { frame, attachments } => {
                let attachments: Array = attachments.iter().map(copy_out).collect();
                let frame = Uint8Array::from(frame.as_slice());
                if let Err(error) = self.post.call2(&JsValue::NULL, &frame, &attachments) {
                    wasm_bindgen::throw_val(error);
                }
            }
            Effect::OpenStorage(StorageRequest { path, create, wait_ms, .. }) => {
                let storage =
                    self.storage.as_ref().expect("only kinds that were offered are asked for");
                storage.open(path, create, wait_ms);
            }
            Effect::LoadPlugins { sources, timeout_ms } => {
                let loader =
                    self.plugins.as_ref().expect("only formats that were offered are asked for");
                loader.begin(&sources, timeout_ms);
            }
            Effect::Crash => {
                if let Some(crash) = &self.crash {
                    let _ = crash.call0(&JsValue::NULL);
                }
            }
            // The worker may be ended now; that is the host's to decide.
            Effect::End => {}
        });
        self.next_event_seq.set(session.next_event_seq());
        result
    }
}

fn message(frame: Vec<u8>, attachments: Vec<Uint8Array>) -> Event {
    let attachments = attachments
        .into_iter()
        .map(|attachment| Box::new(Outside(attachment)) as Box<dyn Attachment>)
        .collect();
    Event::Message(Message { frame: frame.into(), attachments })
}

fn copy_out(snapshot: &Snapshot) -> Uint8Array {
    let length = u32::try_from(snapshot.len()).expect("wasm memory is below 4 GiB");
    let whole = Uint8Array::new_with_length(length);
    let mut offset = 0;
    for chunk in snapshot.chunks() {
        let end = offset + chunk.len() as u32;
        whole.subarray(offset, end).copy_from(chunk);
        offset = end;
    }
    whole
}

/// An attachment that stays in JavaScript's memory.
struct Outside(Uint8Array);

impl Attachment for Outside {
    fn len(&self) -> u64 {
        self.0.length().into()
    }

    fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let start = u32::try_from(offset).expect("wasm memory is below 4 GiB");
        self.0.subarray(start, start + len as u32).to_vec()
    }
}

struct Browser;

impl Platform for Browser {
    fn unix_ms(&self) -> i64 {
        js_sys::Date::now() as i64
    }

    fn monotonic_ms(&self) -> u64 {
        performance_now() as u64 + 1
    }

    fn random(&self, buffer: &mut [u8]) {
        // Browsers refuse to fill more at once.
        for piece in buffer.chunks_mut(65_536) {
            get_random_values(piece);
        }
    }
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;

    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn get_random_values(buffer: &mut [u8]);
}
