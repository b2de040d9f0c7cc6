//! Plugins between a session and its shell: who loads what, who waits, who is blamed.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use lix_engine_core::{
    Attachment, Effect, Event, Manifest, Message, PluginFile, PluginQuery, PluginSource, Plugins,
    Session, SessionOptions,
};
use lix_engine_protocol::proto::{
    Frame, InitRequest, LixOptions, Plugin, PluginFormat, Request, StorageKind, StorageTarget,
    event, frame, init_request, plugin, request, response,
};
use lix_engine_protocol::{Error, Reason};
use prost::Message as _;

use crate::host::TestPlatform;

#[test]
fn without_plugins_the_shell_is_not_asked() {
    let mut life = Life::new(&[PluginFormat::Esm], false);
    life.init(InitRequest::default());
    life.exec("select 1");
    life.shows(&["1: init", "2: exec"]);
}

#[test]
fn everything_waits_for_plugins() {
    let mut life = Life::new(&[PluginFormat::Esm], false);
    life.init(lix(vec![esm("a", "A"), esm("", "B")]));
    life.exec("select 1");
    life.exec("select 2");
    life.shows(&["load a=A =B within 10000 ms"]);
    life.send(1, request::Call::Export(Default::default()));
    life.cancel(2);
    life.close();
    life.exec("select 3");
    life.shows(&["1: IdReused 1", "2: Cancelled ", "4: cancel", "6: Closing "]);
    life.loaded(Ok(&["a", "b"]));
    life.shows(&["connected", "1: init", "3: exec", "dropped", "5: close"]);
}

#[test]
fn loading_can_be_tried_again() {
    let mut life = Life::new(&[PluginFormat::Esm], false);
    life.init(InitRequest { plugin_timeout_ms: 70, ..lix(vec![esm("a", "A")]) });
    life.exec("select 1");
    life.shows(&["load a=A within 70 ms"]);
    life.loaded(Err(Error::new(Reason::PluginLoad, "no").subject("0")));
    life.shows(&["1: PluginLoad a", "2: NotInitialized "]);
    life.init(lix(vec![esm("a", "B")]));
    life.shows(&["load a=B within 10000 ms"]);
    life.loaded(Ok(&["a"]));
    life.exec("select 1");
    life.shows(&["connected", "3: init", "4: exec"]);
}

#[test]
fn storage_is_not_touched_before_plugins_are_there() {
    let mut life = Life::new(&[PluginFormat::Esm], false);
    let storage =
        StorageTarget { kind: StorageKind::File.into(), path: "x".into(), ..Default::default() };
    let init = || InitRequest { storage: Some(storage.clone()), ..lix(vec![esm("a", "A")]) };
    life.init(init());
    life.shows(&["load a=A within 10000 ms"]);
    life.loaded(Ok(&["b"]));
    life.shows(&["dropped", "1: PluginInvalid a"]);
    life.init(init());
    life.loaded(Ok(&["a"]));
    life.shows(&["load a=A within 10000 ms", "open x"]);
    let failed = Error::new(Reason::StorageFailed, "no");
    life.event(Event::StorageOpened(Err(failed)));
    life.shows(&["dropped", "2: StorageFailed "]);
}

#[test]
fn a_plain_database_reads_nothing() {
    let mut life = Life::new(&[PluginFormat::Esm], false);
    life.init(InitRequest { plugins: vec![esm("a", "A")], ..Default::default() });
    life.loaded(Ok(&["a"]));
    life.exec("select 1");
    life.shows(&["load a=A within 10000 ms", "dropped", "1: init", "2: exec"]);
}

#[test]
fn a_session_that_dies_answers_first() {
    let mut life = Life::new(&[PluginFormat::Esm], false);
    life.init(lix(vec![esm("a", "A")]));
    life.exec("select 1");
    life.event(Event::Broken(Error::new(Reason::FrameMalformed, "cut off")));
    life.shows(&["load a=A within 10000 ms", "1: Failed ", "2: Failed ", "closed", "end"]);
    life.loaded(Ok(&["a"]));
    life.shows(&["dropped"]);
}

#[test]
fn a_host_that_leaves_is_not_waited_for() {
    let mut life = Life::new(&[PluginFormat::Esm], false);
    life.init(lix(vec![esm("a", "A")]));
    life.session.hang_up();
    life.loaded(Ok(&["a"]));
    life.shows(&["load a=A within 10000 ms", "dropped"]);
    assert!(life.session.is_over());
}

#[test]
fn plugins_nobody_asked_for_are_dropped() {
    let mut life = Life::new(&[PluginFormat::Esm], false);
    life.loaded(Ok(&["a"]));
    life.init(lix(vec![]));
    life.loaded(Ok(&["a"]));
    life.shows(&["dropped", "1: init", "dropped"]);
}

#[test]
fn who_is_blamed() {
    let failed = |subject: &str| Err(Error::new(Reason::PluginLoad, "no").subject(subject));
    let mixed = || {
        let mut life = Life::new(&[PluginFormat::Esm], true);
        life.init(lix(vec![builtin("fx.json"), esm("k", "A"), builtin("fx.lines"), esm("", "B")]));
        life.shows(&["load k=A =B within 10000 ms"]);
        life
    };
    for (given, said) in [("0", "k"), ("k", "k"), ("1", "3"), ("2", "2"), ("else", "else")] {
        let mut life = mixed();
        life.loaded(failed(given));
        life.shows(&[&format!("1: PluginLoad {said}")]);
    }
    for (keys, said) in [
        (&["k", "b"][..], vec!["connected", "1: init"]),
        (&["k"], vec!["dropped", "1: PluginLoad 3"]),
        (&["k", ""], vec!["dropped", "1: PluginInvalid 3"]),
        (&["", "b"], vec!["dropped", "1: PluginInvalid k"]),
        (&["other", "b"], vec!["dropped", "1: PluginInvalid k"]),
        (&["k", "k"], vec!["dropped", "1: PluginDuplicate k"]),
        (&["k", "fx.json"], vec!["dropped", "1: PluginDuplicate fx.json"]),
        (&["k", "lix_own_entity"], vec!["dropped", "1: PluginInvalid lix_own_entity"]),
    ] {
        let mut life = mixed();
        life.loaded(Ok(keys));
        life.shows(&said);
    }
}

#[test]
fn what_is_built_in_is_not_asked_for() {
    let mut life = Life::new(&[], true);
    life.init(lix(vec![builtin("fx.json"), builtin("fx.lines")]));
    life.shows(&["1: init"]);

    let mut life = Life::new(&[], true);
    life.init(lix(vec![builtin("fx.nothing")]));
    life.init(lix(vec![builtin("")]));
    life.init(lix(vec![esm("a", "A")]));
    life.shows(&[
        "1: PluginLoad fx.nothing",
        "2: OptionInvalid plugins[0].key",
        "3: CapabilityMissing PLUGINS_ESM",
    ]);

    // A shell may have plugins of its own, which the suite's go before.
    let mut life = Life::new(&[PluginFormat::Builtin], true);
    life.init(lix(vec![builtin("mine"), builtin("fx.json")]));
    life.loaded(Ok(&["mine"]));
    life.shows(&["load mine= within 10000 ms", "connected", "1: init"]);

    let mut life = Life::new(&[PluginFormat::Builtin], false);
    life.init(lix(vec![builtin("fx.json")]));
    life.shows(&["load fx.json= within 10000 ms"]);

    let mut life = Life::new(&[], false);
    life.init(lix(vec![builtin("fx.json")]));
    life.shows(&["1: CapabilityMissing PLUGINS_BUILTIN"]);
}

#[test]
fn what_cannot_be_loaded_is_not_tried() {
    let no_code = Plugin { code: None, ..esm("a", "") };
    let no_text =
        Plugin { code: Some(plugin::Code::InlineCode(Bytes::from_static(b"\xff"))), ..esm("", "") };
    let no_attachment = Plugin { code: Some(plugin::Code::CodeAttachment(1)), ..esm("a", "") };
    for (plugins, said) in [
        (vec![esm("a", "A"), esm("a", "B")], "1: PluginDuplicate a"),
        (vec![esm("a", "A"), no_text], "1: PluginLoad 1"),
        (vec![esm("b", "B"), no_code], "1: OptionInvalid plugins[1].code"),
        (vec![no_attachment], "1: AttachmentMismatch code_attachment"),
        (vec![Plugin { format: 0, ..esm("a", "A") }], "1: OptionInvalid plugins[0].format"),
        (
            vec![Plugin { format: PluginFormat::Wasm.into(), ..esm("a", "A") }],
            "1: CapabilityMissing PLUGINS_WASM",
        ),
    ] {
        let mut life = Life::new(&[PluginFormat::Esm], false);
        life.init(lix(plugins));
        life.shows(&[said]);
    }
}

#[test]
fn attachments_outlive_the_wait() {
    let mut life = Life::new(&[PluginFormat::Esm], false);
    let plugin = Plugin { code: Some(plugin::Code::CodeAttachment(0)), ..esm("a", "") };
    let seed = Some(init_request::Seed::ImageAttachment(1));
    let init = InitRequest { seed, plugins: vec![plugin], ..Default::default() };
    let attachments = vec![Bytes::from_static(b"A"), Bytes::from_static(b"no image")];
    life.send_with(1, request::Call::Init(init), attachments);
    life.shows(&["load a=A within 10000 ms"]);
    life.loaded(Ok(&["a"]));
    life.shows(&["dropped", "1: ImageInvalid image_attachment"]);
}

/// A session, its shell, and what happened between them.
struct Life {
    session: Session,
    last_id: u32,
    log: Log,
}

type Log = Rc<RefCell<Vec<String>>>;

impl Life {
    fn new(plugins: &'static [PluginFormat], conformance: bool) -> Self {
        let storage = &[StorageKind::File];
        let options = SessionOptions { plugins, conformance, storage, ..SessionOptions::native() };
        let session = Session::new(options, Arc::new(TestPlatform::default()));
        Self { session, last_id: 0, log: Log::default() }
    }

    fn init(&mut self, init: InitRequest) {
        self.call(request::Call::Init(init));
    }

    fn exec(&mut self, sql: &str) {
        let exec =
            lix_engine_protocol::proto::ExecRequest { sql: sql.into(), ..Default::default() };
        self.call(request::Call::Exec(exec));
    }

    fn close(&mut self) {
        self.call(request::Call::Close(Default::default()));
    }

    fn cancel(&mut self, target: u32) {
        let cancel = lix_engine_protocol::proto::CancelRequest { target };
        self.call(request::Call::Cancel(cancel));
    }

    fn call(&mut self, call: request::Call) {
        self.last_id += 1;
        self.send(self.last_id, call);
    }

    fn send(&mut self, id: u32, call: request::Call) {
        self.send_with(id, call, vec![]);
    }

    fn send_with(&mut self, id: u32, call: request::Call, attachments: Vec<Bytes>) {
        let frame = Frame {
            id,
            attachment_sizes: attachments.iter().map(|bytes| bytes.len() as u64).collect(),
            body: Some(frame::Body::Request(Request { scope: 0, call: Some(call) })),
        };
        let boxed = |bytes| -> Box<dyn Attachment> { Box::new(bytes) };
        let attachments = attachments.into_iter().map(boxed).collect();
        let frame = frame.encode_to_vec().into();
        self.event(Event::Message(Message { frame, attachments }));
    }

    /// The shell's answer: plugins with these keys, or an error.
    fn loaded(&mut self, result: Result<&[&str], Error>) {
        let log = self.log.clone();
        let result = result.map(|keys| -> Box<dyn Plugins> {
            let manifest = |key: &&str| Manifest { key: (*key).into(), ..Default::default() };
            Box::new(Fake { manifests: keys.iter().map(manifest).collect(), log })
        });
        self.event(Event::PluginsLoaded(result));
    }

    fn event(&mut self, event: Event) {
        let log = self.log.clone();
        let mut sink = |effect: Effect| {
            let said = describe(effect);
            log.borrow_mut().push(said);
        };
        self.session.receive(event, &mut sink);
        while self.session.step(&mut sink) {}
    }

    /// What happened since this was asked last.
    fn shows(&mut self, expected: &[&str]) {
        let log = std::mem::take(&mut *self.log.borrow_mut());
        assert_eq!(log, expected);
    }
}

fn describe(effect: Effect) -> String {
    let frame = match effect {
        Effect::Send { frame, .. } => Frame::decode(frame.as_slice()).expect("a frame"),
        Effect::LoadPlugins { sources, timeout_ms } => {
            let source = |PluginSource { key, code, .. }: &PluginSource| {
                format!(" {key}={}", String::from_utf8_lossy(code))
            };
            let sources: String = sources.iter().map(source).collect();
            return format!("load{sources} within {timeout_ms} ms");
        }
        Effect::OpenStorage(request) => return format!("open {}", request.path),
        Effect::End => return "end".into(),
        Effect::Crash => return "crash".into(),
    };
    let id = frame.id;
    match frame.body {
        Some(frame::Body::Response(response)) => match response.outcome {
            Some(response::Outcome::Error(error)) => {
                let reason = Reason::ALL.iter().find(|reason| reason.as_str() == error.reason);
                format!("{id}: {:?} {}", reason.expect("a reason"), error.subject)
            }
            Some(response::Outcome::Init(_)) => format!("{id}: init"),
            Some(response::Outcome::Exec(_)) => format!("{id}: exec"),
            Some(response::Outcome::Close(_)) => format!("{id}: close"),
            Some(response::Outcome::Cancel(_)) => format!("{id}: cancel"),
            other => format!("{id}: {other:?}"),
        },
        Some(frame::Body::Event(sent)) => match sent.kind {
            Some(event::Kind::Closed(_)) => "closed".into(),
            other => format!("{other:?}"),
        },
        other => panic!("an engine sends answers and events, not {other:?}"),
    }
}

/// What a shell loaded.
struct Fake {
    manifests: Vec<Manifest>,
    log: Log,
}

impl Plugins for Fake {
    fn manifests(&self) -> &[Manifest] {
        &self.manifests
    }

    fn connect(&self, _query: Rc<dyn PluginQuery>) {
        self.log.borrow_mut().push("connected".into());
    }

    fn detect_changes(
        &self,
        _plugin: usize,
        _before: Option<PluginFile<'_>>,
        _after: PluginFile<'_>,
    ) -> Result<String, Error> {
        unreachable!("no file is written")
    }

    fn apply_changes(&self, _: usize, _: &str, _: &str) -> Result<Vec<u8>, Error> {
        unreachable!("no file is read")
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.log.borrow_mut().push("dropped".into());
    }
}

fn lix(plugins: Vec<Plugin>) -> InitRequest {
    InitRequest { lix: Some(LixOptions::default()), plugins, ..Default::default() }
}

fn esm(key: &str, code: &str) -> Plugin {
    let code = Bytes::copy_from_slice(code.as_bytes());
    Plugin {
        key: key.into(),
        format: PluginFormat::Esm.into(),
        code: Some(plugin::Code::InlineCode(code)),
    }
}

fn builtin(key: &str) -> Plugin {
    Plugin { key: key.into(), format: PluginFormat::Builtin.into(), code: None }
}
