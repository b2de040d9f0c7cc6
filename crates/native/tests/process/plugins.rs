//! Plugins as a host meets them: code in `init`, errors in its answer.

use lix_engine_proto::{
    Capability, EngineError, Frame, InitRequest, LixOptions, Plugin, PluginFormat, plugin, request,
    response,
};

use crate::engine::{Engine, Message, PREAMBLE, exec, first_ints, framed, init, request};

#[test]
fn modules_are_announced_and_load() {
    let mut engine = Session::start();
    let answer = engine.call(&init(1), &[]);
    let Some(response::Outcome::Init(init)) = &answer.response().outcome else {
        panic!("{answer:?}")
    };
    assert!(init.capabilities.contains(&(Capability::PluginsEsm as i32)), "{init:?}");
    drop(engine);

    let inline = inline("export default { key: 'first' }");
    let attached = Plugin {
        key: "second".into(),
        code: Some(plugin::Code::CodeAttachment(0)),
        ..inline.clone()
    };
    let text =
        "\u{feff}export const plugin = { key: 'second' }//".to_owned() + &"x".repeat(6_000_000);
    let init = Frame { attachment_sizes: vec![text.len() as u64], ..with(1, &[inline, attached]) };
    let mut engine = Session::start();
    assert_eq!(engine.call(&init, &[text.as_bytes()]).verdict(), "ok");
    assert_eq!(engine.call(&exec(2, "select 1"), &[]).verdict(), "ok");
}

#[test]
fn a_plugin_that_cannot_be_is_named_and_init_may_be_tried_again() {
    let mut engine = Session::start();
    let good = inline("export default { key: 'good' }");
    for (code, reason, words) in [
        ("export default {\n  key: }", "PLUGIN_LOAD", "line 2, column 8"),
        ("import 'left-pad'", "PLUGIN_LOAD", "left-pad"),
        ("export default await 1", "PLUGIN_LOAD", "await"),
        ("const f = () => f(); f()", "PLUGIN_LOAD", "stack"),
        ("const all = []; for (;;) all.push(new ArrayBuffer(1 << 28))", "PLUGIN_LOAD", "memory"),
        ("export const other = {}", "PLUGIN_INVALID", "other"),
        ("for (;;) {}", "PLUGIN_TIMEOUT", "200 ms"),
    ] {
        let error = engine.error(&with(1, &[good.clone(), inline(code)]));
        assert_eq!((error.reason.as_str(), error.subject.as_str()), (reason, "1"), "{error:?}");
        assert!(error.message.contains(words), "{error:?}");
    }
    let error = engine.error(&with(1, &[good.clone(), good.clone()]));
    assert_eq!((error.reason.as_str(), error.subject.as_str()), ("PLUGIN_DUPLICATE", "good"));
    let error = engine.error(&with(1, &[Plugin { key: "better".into(), ..good.clone() }]));
    assert_eq!((error.reason.as_str(), error.subject.as_str()), ("PLUGIN_INVALID", "better"));
    assert_eq!(engine.call(&with(1, &[good]), &[]).verdict(), "ok");
}

#[test]
fn a_plugin_that_no_interrupt_reaches_ends_the_process() {
    let mut engine = Session::start();
    engine.0.send(&framed(&with(1, &[inline(UNSTOPPABLE)]), &[]));
    // The input stays open: it is not the host that ends this.
    let rest = engine.0.rest();
    let end = engine.0.wait();
    assert_eq!((rest.len(), end.status.code()), (0, Some(1)));
    assert!(end.stderr.contains("does not come back"), "{}", end.stderr);
}

#[test]
fn a_file_becomes_entities_and_entities_a_file() {
    let mut engine = Session::start();
    assert_eq!(engine.call(&lix(1, &[inline(LINES)]), &[]).verdict(), "ok");
    let mut run = |id, sql: &str| engine.call(&exec(id, sql), &[]);
    let insert = "insert into file (id, path, data) values ('f', '/a.lines', x'6f6e650a74776f')";
    assert_eq!(run(2, insert).verdict(), "ok");
    let count = "select count(*) from state where plugin_key = 'lines' and file_id = 'f'";
    assert_eq!(first_ints(&run(3, count).frame).as_ref(), [2]);
    // Changed where only entities are: the file follows.
    let update = "update state set snapshot_content = '{\"text\":\"TWO\"}' where plugin_key = 'lines' and entity_id = '1'";
    assert_eq!(run(4, update).verdict(), "ok");
    let is_new = "select data = x'6f6e650a54574f' from file where id = 'f'";
    assert_eq!(first_ints(&run(5, is_new).frame).as_ref(), [1]);

    // What fails leaves nothing behind, and the next statement works.
    for (id, data, reason) in [
        (10, "throw", "PLUGIN_FAILED"),
        (20, "loop", "PLUGIN_TIMEOUT"),
        (30, "async", "PLUGIN_ASYNC"),
    ] {
        let update = format!("update file set data = cast('{data}' as blob) where id = 'f'");
        let answer = run(id, &update);
        assert_eq!(answer.verdict(), reason, "{answer:?}");
        assert_eq!(first_ints(&run(id + 1, is_new).frame).as_ref(), [1]);
    }
    let update = "update file set data = cast('three' as blob) where id = 'f'";
    assert_eq!(run(40, update).verdict(), "ok");
    assert_eq!(first_ints(&run(41, count).frame).as_ref(), [1]);
}

#[test]
fn a_plugin_reads_what_its_own_statement_wrote() {
    let mut engine = Session::start();
    assert_eq!(engine.call(&lix(1, &[inline(LINES)]), &[]).verdict(), "ok");
    // Its result for the second row tells what the first row's file has become.
    let insert = "insert into file (id, path, data) values \
        ('f', '/a.lines', cast('x' as blob)), ('g', '/b.lines', cast('read f' as blob))";
    let answer = engine.call(&exec(2, insert), &[]);
    assert_eq!(answer.verdict(), "ok", "{answer:?}");
    let seen = "select snapshot_content ->> 'text' = '/a.lines x' from state where file_id = 'g' and plugin_key = 'lines'";
    assert_eq!(first_ints(&engine.call(&exec(3, seen), &[]).frame).as_ref(), [1]);
}

#[test]
fn what_a_plugin_logs_goes_to_stderr() {
    let mut engine = Session::start();
    let code = "console.log('ä', { a: 1 }); export default { key: 'k' }";
    assert_eq!(engine.call(&with(1, &[inline(code)]), &[]).verdict(), "ok");
    let (rest, end) = engine.0.finish();
    assert_eq!((rest.len(), end.stderr.as_str()), (0, "lix-engine: plugin: ä {\"a\":1}\n"));
    assert!(end.status.success());
}

/// On stdio, past the handshake.
struct Session(Engine);

impl Session {
    fn start() -> Self {
        let mut engine = Engine::stdio();
        engine.preamble();
        engine.send(PREAMBLE);
        Self(engine)
    }

    fn call(&mut self, frame: &Frame, attachments: &[&[u8]]) -> Message {
        self.0.send(&framed(frame, attachments));
        self.0.message()
    }

    fn error(&mut self, frame: &Frame) -> EngineError {
        let answer = self.call(frame, &[]);
        match &answer.response().outcome {
            Some(response::Outcome::Error(error)) => error.clone(),
            other => panic!("{other:?}"),
        }
    }
}

fn lix(id: u32, plugins: &[Plugin]) -> Frame {
    let plugins = plugins.to_vec();
    let lix = Some(LixOptions::default());
    let init = InitRequest { plugins, lix, plugin_timeout_ms: 1000, ..Default::default() };
    request(id, request::Call::Init(init))
}

/// Lines by number, and some words that mean trouble.
const LINES: &str = r#"
const schema = {
    "x-lix-key": "line", "x-lix-version": "1.0", type: "object", additionalProperties: false,
    properties: { text: { type: "string" } }, required: ["text"],
}
export default {
    key: "lines",
    detectChangesGlob: "*.lines",
    detectChanges({ before, after, querySync }) {
        const split = (file) => file ? new TextDecoder().decode(file.data).split("\n") : []
        const [old, now] = [split(before), split(after)]
        if (now[0] === "throw") throw new Error("thrown")
        if (now[0] === "loop") for (;;) {}
        if (now[0] === "async") return Promise.resolve([])
        if (now[0] === "read f") {
            const file = querySync("file").where("id", "=", "f").select(["path", "data"]).executeTakeFirstOrThrow()
            now[0] = `${file.path} ${new TextDecoder().decode(file.data)}`
        }
        const changes = now.map((text, index) => ({ entity_id: `${index}`, schema, snapshot_content: { text } }))
        for (let index = now.length; index < old.length; index++) {
            changes.push({ entity_id: `${index}`, schema, snapshot_content: null })
        }
        return changes.filter(({ snapshot_content }, index) => snapshot_content?.text !== old[index])
    },
    applyChanges({ changes }) {
        const lines = changes.toSorted((a, b) => a.entity_id - b.entity_id).map((change) => change.snapshot_content.text)
        return { fileData: new TextEncoder().encode(lines.join("\n")) }
    },
}
"#;

/// One built-in function that runs for years.
pub(crate) const UNSTOPPABLE: &str = "Array.prototype.reverse.call({ length: 2 ** 53 - 1 })";

pub(crate) fn inline(code: &str) -> Plugin {
    Plugin {
        key: String::new(),
        format: PluginFormat::Esm.into(),
        code: Some(plugin::Code::InlineCode(code.as_bytes().to_vec().into())),
    }
}

pub(crate) fn with(id: u32, plugins: &[Plugin]) -> Frame {
    let plugins = plugins.to_vec();
    request(
        id,
        request::Call::Init(InitRequest { plugins, plugin_timeout_ms: 200, ..Default::default() }),
    )
}
