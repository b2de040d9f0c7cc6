//! The engine as a wasm module. It passes messages between JavaScript and a session and knows
//! neither SQL nor policy; when to deliver a message is up to the JavaScript around it.
//!
//! A frame is copied once into wasm and once out of it, into a buffer of exactly its size, which
//! can be transferred. An attachment is copied piece by piece to where it is needed.

#[cfg(target_family = "wasm")]
mod memory;

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use js_sys::{Array, Function, Uint8Array};
use lix_engine_core::{
    Attachment, Effect, Event, Message, Platform, Session, SessionOptions, Snapshot,
};
use wasm_bindgen::prelude::*;

/// One session and the way out of it.
#[wasm_bindgen]
pub struct Shell {
    session: RefCell<Session>,
    post: Function,
    next_event_seq: Cell<u64>,
}

#[wasm_bindgen]
impl Shell {
    /// A session that sends each message by calling `post(frame, attachments)`.
    #[wasm_bindgen(constructor)]
    pub fn new(post: Function, conformance: bool) -> Shell {
        std::panic::set_hook(Box::new(|panic| {
            web_sys::console::error_1(&format!("lix-engine: {panic}").into());
        }));
        let options = SessionOptions { conformance, ..SessionOptions::worker() };
        let session = RefCell::new(Session::new(options, Arc::new(Browser)));
        Shell { session, post, next_event_seq: Cell::new(1) }
    }

    /// Queues a message without running anything.
    pub fn receive(&self, frame: Vec<u8>, attachments: Vec<Uint8Array>) {
        self.drive(|session, sink| session.receive(message(frame, attachments), sink));
    }

    /// Runs the oldest queued request; `true` while more wait.
    pub fn step(&self) -> bool {
        self.drive(|session, sink| session.step(sink))
    }

    /// Queues a message and runs everything that waits.
    pub fn handle(&self, frame: Vec<u8>, attachments: Vec<Uint8Array>) {
        self.drive(|session, sink| session.handle(message(frame, attachments), sink));
    }

    /// The sequence number of the next event. It can be asked for even after a trap.
    #[wasm_bindgen(js_name = nextEventSeq)]
    pub fn next_event_seq(&self) -> u64 {
        self.next_event_seq.get()
    }

    fn drive<T>(&self, run: impl FnOnce(&mut Session, &mut dyn FnMut(Effect)) -> T) -> T {
        let mut session = self.session.borrow_mut();
        let result = run(&mut session, &mut |effect| {
            // After `End` the worker may be ended; that is the host's to decide.
            if let Effect::Send { frame, attachments } = effect {
                let attachments: Array = attachments.iter().map(copy_out).collect();
                let frame = Uint8Array::from(frame.as_slice());
                if let Err(error) = self.post.call2(&JsValue::NULL, &frame, &attachments) {
                    wasm_bindgen::throw_val(error);
                }
            }
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
