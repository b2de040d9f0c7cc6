//! What plugins may do, and what becomes of those that do what they may not.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lix_engine_core::{Manifest, PluginFile, PluginQuery, PluginSource, Plugins};
use lix_engine_protocol::proto::PluginFormat;
use lix_engine_protocol::{Error, Reason, Result};

use super::realm::{Realm, text};
use super::{GiveUp, globals, load};

#[test]
fn a_plugin_is_the_default_export_or_the_one_named_plugin() {
    let plugins = loaded(&[
        "export default { key: 'first', detectChangesGlob: '*.a', detectChanges: () => [] }",
        "export const plugin = { key: 'second', applyChanges: () => ({ fileData: new Uint8Array() }) }",
    ]);
    let first = Manifest {
        key: "first".into(),
        detect_changes_glob: Some("*.a".into()),
        detects: true,
        applies: false,
    };
    let second = Manifest { key: "second".into(), applies: true, ..Manifest::default() };
    assert_eq!(plugins.manifests(), [first, second]);
}

#[test]
fn bytes_and_descriptors_arrive_as_they_are() {
    let plugins = loaded(&["export default {
        key: 'echo',
        detectChanges({ before, after }) {
            const shown = (file) => file && { ...file, data: [...file.data] }
            const schema = { 'x-lix-key': 's', 'x-lix-version': '1.0' }
            after.data[0] = 9 // its own copy
            return [{ entity_id: 'é\\u0000💯', schema, snapshot_content: { before: shown(before), after: shown(after) } }]
        },
        applyChanges: ({ file, changes }) => ({
            fileData: new Uint8Array([7, ...new TextEncoder().encode(file.path + changes[0].snapshot_content.text), 8]).subarray(1, -1),
        }),
    }"]);
    let descriptor = r#"{"id":"f","path":"/ä.txt","metadata":{"a":1},"hidden":false}"#;
    let (old, new) = (vec![0, 255, 128], vec![1; 3]);
    let file = |data| PluginFile { descriptor, data };
    let changes = plugins.detect_changes(0, Some(file(&old)), file(&new)).unwrap();
    let changes: serde_json::Value = serde_json::from_str(&changes).unwrap();
    let expected = serde_json::json!([[0, "é\0💯", {
        "before": { "id": "f", "path": "/ä.txt", "metadata": { "a": 1 }, "hidden": false, "data": [0, 255, 128] },
        "after": { "id": "f", "path": "/ä.txt", "metadata": { "a": 1 }, "hidden": false, "data": [9, 1, 1] },
    }]]);
    assert_eq!(changes["changes"], expected);
    assert_eq!(new, [1; 3]);

    let changes = r#"{"file_id":"f","plugin_key":"echo","version_id":"v","rows":[["e","s","1.0","t","c",{"text":"💯"}]]}"#;
    let data = plugins.apply_changes(0, descriptor, changes).unwrap();
    assert_eq!(data, "/ä.txt💯".as_bytes());
}

#[test]
fn no_before_and_no_bytes_are_two_things() {
    let plugins = loaded(&["export default { key: 'k', detectChanges({ before, after }) {
        throw new Error(`${before === undefined} ${before?.data.length} ${after.data.length}`)
    } }"]);
    let file = PluginFile { descriptor: DESCRIPTOR, data: &[] };
    let message = |before| plugins.detect_changes(0, before, file).unwrap_err().message;
    assert_eq!(message(None), "true undefined 0");
    assert_eq!(message(Some(file)), "false 0 0");
}

#[test]
fn what_does_not_load_says_where() {
    for (code, place) in [
        ("export default {\n  key: 'k',\n  a: 1 1\n}", "line 3, column 8"),
        ("const a = 1\n\nthrow new Error('no')", "line 3, column 11"),
        ("\nimport x from 'left-pad'\nexport default x", "line 2, column 15"),
        ("import './other.js'", "line 1, column 8"),
        ("export default nowhere", "line 1, column 16"),
    ] {
        let error = refused(&[code]);
        assert_eq!((error.reason, error.subject.as_str()), (Reason::PluginLoad, "0"), "{error}");
        assert!(error.message.contains(place), "{place}: {error}");
    }
    let error = refused(&["import 'left-pad'"]);
    assert!(error.message.contains("\"left-pad\"") && error.message.contains("bundle"), "{error}");
    let error = refused(&["export default await { key: 'k' }"]);
    assert!(error.message.contains("`await`"), "{error}");
    for code in ["throw 'a word'", "throw null", "\0", "export default 1; import('x"] {
        let error = refused(&[code]);
        assert_eq!(error.reason, Reason::PluginLoad, "{error}");
    }
}

#[test]
fn a_plugin_without_what_makes_it_one_is_invalid() {
    for code in [
        "",
        "export const other = { key: 'k' }",
        "export default 7",
        "export default {}",
        "export default { key: '' }",
        "export default { key: 'k', detectChanges: 7 }",
        "export default { get key() { throw new Error('no') } }",
        "export default new Proxy({}, { get() { throw 1 } })",
    ] {
        let error = refused(&[code]);
        assert_eq!(error.reason, Reason::PluginInvalid, "{code}: {error}");
        assert!(["0", "k"].contains(&error.subject.as_str()), "{code}: {error:?}");
    }
}

#[test]
fn an_error_names_the_plugin_that_was_asked_for() {
    let code = |text: &str| text.as_bytes().to_vec();
    let good = code("export default { key: 'good' }");
    for (key, bad, subject) in [
        ("wanted", code("export default {"), "wanted"),
        ("", code("export default {"), "1"),
        ("", vec![b'/', b'/', 0xff], "1"),
    ] {
        let sources = [source("", good.clone()), source(key, bad)];
        let error = load(&sources, PATIENCE, never()).err().unwrap();
        assert_eq!((error.reason, error.subject.as_str()), (Reason::PluginLoad, subject));
    }
}

#[test]
fn what_a_plugin_throws_is_its_failure() {
    for (thrown, words) in [
        ("new Error('boom')", "boom"),
        ("'a word'", "a word"),
        ("undefined", "undefined"),
        ("Object.create(null)", ""),
        ("{ reason: 'ENGINE_DEFECT', message: 'a lie' }", "a lie"),
        ("new Error('lone \\ud800 surrogate')", "lone"),
    ] {
        let error = failure(&format!("throw {thrown}"));
        assert_eq!((error.reason, error.subject.as_str()), (Reason::PluginFailed, "k"), "{thrown}");
        assert!(error.message.contains(words), "{thrown}: {error}");
    }
}

#[test]
fn a_promise_is_not_an_answer() {
    for code in [
        "export default { key: 'k', async detectChanges() { return [] } }",
        "export default { key: 'k', detectChanges: () => Promise.reject(new Error('x')) }",
        "export default { key: 'k', detectChanges: () => import('left-pad') }",
    ] {
        let error = detect(&*loaded(&[code])).unwrap_err();
        assert_eq!((error.reason, error.subject.as_str()), (Reason::PluginAsync, "k"), "{code}");
    }
}

#[test]
fn a_loop_ends_and_the_next_call_works() {
    for endless in [
        "for (;;) {}",
        "try { for (;;) {} } catch {} finally { for (;;) {} }",
        "/^(a+)+$/.test('a'.repeat(64) + 'b')",
        "[1].sort(() => { for (;;) {} })",
        "throw { get message() { for (;;) {} } }",
        "while (true) { try { query.execute() } catch {} }",
        "return { then: 7, get length() { for (;;) {} } }",
        "return new Proxy([], { get() { for (;;) {} } })",
    ] {
        let code = format!(
            "let calls = 0
             export default {{ key: 'k', detectChanges() {{ if (calls++ > 0) return []; {endless} }} }}"
        );
        let plugins = load(&[source("", code.into())], Duration::from_millis(50), never()).unwrap();
        let start = Instant::now();
        let result = detect(&*plugins);
        assert!(start.elapsed() < PATIENCE, "{endless}");
        if !endless.starts_with("return") && !endless.starts_with("[1]") {
            let error = result.unwrap_err();
            let found = (error.reason, error.subject.as_str());
            assert_eq!(found, (Reason::PluginTimeout, "k"), "{endless}: {error}");
        }
        assert_eq!(detect(&*plugins).unwrap(), NOTHING, "{endless}");
    }
}

#[test]
fn a_module_that_never_ends_is_given_up() {
    let sources = [
        source("", "export default { key: 'good' }".into()),
        source("", "for (;;) {} export default { key: 'endless' }".into()),
    ];
    let error = load(&sources, Duration::from_millis(50), never()).err().unwrap();
    assert_eq!((error.reason, error.subject.as_str()), (Reason::PluginTimeout, "1"), "{error}");
}

#[test]
fn a_stack_that_overflows_is_a_failure_and_the_next_call_works() {
    for deep in [
        "const f = () => f() + 1; f()",
        "const f = () => [1].map(f); f()",
        "let a = []; for (let i = 0; i < 1e6; i++) a = [a]; JSON.stringify(a)",
        "JSON.parse('['.repeat(1e6))",
        "new RegExp('('.repeat(1e6))",
        "eval('('.repeat(1e6))",
        "const f = { toString: () => `${f}` }; `${f}`",
    ] {
        // On a thread like those of sessions.
        let code = format!(
            "let calls = 0
             export default {{ key: 'k', detectChanges() {{ if (calls++ > 0) return []; {deep} }} }}"
        );
        let session = crate::serve::spawn(move || {
            let plugins = loaded(&[&code]);
            let error = detect(&*plugins).unwrap_err();
            assert_eq!((error.reason, error.subject.as_str()), (Reason::PluginFailed, "k"));
            assert_eq!(detect(&*plugins).unwrap(), NOTHING);
        });
        session.unwrap().join().unwrap_or_else(|_| panic!("{deep}"));
    }
}

#[test]
fn memory_that_runs_out_is_a_failure_and_the_next_call_works() {
    // Buffers are not touched, so this costs addresses and no memory.
    for hungry in [
        "const all = []; for (;;) all.push(new ArrayBuffer(64 << 20))",
        "new Uint8Array(2 ** 31)",
        "'x'.repeat(2 ** 30 - 1)",
    ] {
        let code = format!(
            "let calls = 0
             export default {{ key: 'k', detectChanges() {{ if (calls++ > 0) return []; {hungry} }} }}"
        );
        let plugins = loaded(&[&code]);
        let error = detect(&*plugins).unwrap_err();
        assert_eq!((error.reason, error.subject.as_str()), (Reason::PluginFailed, "k"), "{hungry}");
        assert_eq!(detect(&*plugins).unwrap(), NOTHING, "{hungry}");
    }
}

#[test]
fn megabytes_of_source_load() {
    let mut code = String::new();
    for index in 0..5_000 {
        let text = "words ".repeat(160);
        code += &format!("export function f{index}(a) {{ return '{text}' + a }}\n");
    }
    assert!(code.len() > 5_000_000);
    code += "export default { key: 'large', detectChanges: () => [] }";
    let start = Instant::now();
    let plugins = loaded(&[&code]);
    println!("5 MB of source: {:?}", start.elapsed());
    assert_eq!(detect(&*plugins).unwrap(), NOTHING);
}

#[test]
fn ten_thousand_changes_there_and_back() {
    let plugins = loaded(&["
        const schema = { 'x-lix-key': 's', 'x-lix-version': '1.0', type: 'object', properties: { value: { type: 'string' } } }
        export default {
            key: 'k',
            detectChanges({ after }) {
                const lines = new TextDecoder().decode(after.data).split('\\n')
                return lines.map((value, index) => ({ entity_id: String(index), schema, snapshot_content: { value } }))
            },
            applyChanges({ changes }) {
                const lines = changes.map(({ snapshot_content }) => snapshot_content.value)
                return { fileData: new TextEncoder().encode(lines.join('\\n')) }
            },
        }"]);
    let data = (0..10_000).map(|line| format!("Zeile {line} 💯")).collect::<Vec<_>>().join("\n");
    let start = Instant::now();
    let after = PluginFile { descriptor: DESCRIPTOR, data: data.as_bytes() };
    let detected = plugins.detect_changes(0, None, after).unwrap();
    println!("10,000 changes detected: {:?}", start.elapsed());
    let detected: serde_json::Value = serde_json::from_str(&detected).unwrap();
    let detected = detected["changes"].as_array().unwrap();
    assert_eq!(detected.len(), 10_000);
    let row = |change: &serde_json::Value| {
        serde_json::json!([change[1], "s", "1.0", "t", "c", change[2]])
    };
    let rows: Vec<_> = detected.iter().map(row).collect();
    let changes =
        serde_json::json!({ "file_id": "f", "plugin_key": "k", "version_id": "v", "rows": rows });
    let changes = changes.to_string();
    let start = Instant::now();
    let applied = plugins.apply_changes(0, DESCRIPTOR, &changes).unwrap();
    println!("10,000 changes applied: {:?}", start.elapsed());
    assert!(applied == data.as_bytes());
}

#[test]
fn a_query_goes_out_and_its_answer_comes_back() {
    let plugins = loaded(&["export default {
        key: 'k',
        detectChanges({ querySync }) {
            const row = querySync('state').where('entity_id', '=', 'é💯').selectAll().executeTakeFirstOrThrow()
            throw new Error(JSON.stringify(row))
        },
    }"]);
    let asked = Rc::new(RefCell::new(String::new()));
    let log = asked.clone();
    plugins.connect(query(move |sql, params| {
        *log.borrow_mut() = format!("{sql} {params}");
        Ok(r#"{"columns":["entity_id","snapshot_content"],"rows":[["é💯","{\"a\":1}"]]}"#.into())
    }));
    let error = detect(&*plugins).unwrap_err();
    assert_eq!(error.message, r#"{"entity_id":"é💯","snapshot_content":{"a":1}}"#);
    assert!(asked.borrow().ends_with(r#"["é💯"]"#), "{}", asked.borrow());
}

#[test]
fn a_query_that_fails_can_be_caught() {
    let plugins = loaded(&["export default {
        key: 'k',
        detectChanges({ querySync, after }) {
            const run = () => querySync('nowhere').selectAll().execute()
            if (after.data.length === 0) run()
            try { run() } catch (error) {
                throw new Error(`caught ${error instanceof Error} ${error.reason} ${error.message}`)
            }
        },
    }"]);
    plugins.connect(query(|_, _| Err(Error::new(Reason::ReadOnly, "plugins only read"))));
    let message = |data| {
        let after = PluginFile { descriptor: DESCRIPTOR, data };
        let error = plugins.detect_changes(0, None, after).unwrap_err();
        assert_eq!((error.reason, error.subject.as_str()), (Reason::PluginFailed, "k"));
        error.message
    };
    assert!(message(b"catch").starts_with("caught true READ_ONLY"), "{}", message(b"catch"));
    assert!(message(b"").contains("plugins only read"), "{}", message(b""));
}

#[test]
fn plugins_call_each_other_through_queries() {
    // The first asks for a file that belongs to the second, which asks in its turn.
    let ask = "querySync('file').selectAll().executeTakeFirst()";
    let codes = [
        format!(
            "export default {{ key: 'outer', detectChanges({{ querySync }}) {{
            throw new Error(JSON.stringify({ask}))
        }} }}"
        ),
        format!(
            "export default {{ key: 'inner', detectChanges({{ querySync, after }}) {{
            if (after.data.length > 0) for (;;) {{}}
            throw new Error(JSON.stringify({ask}))
        }} }}"
        ),
    ];
    let sources = codes.map(|code| source("", code.into()));
    let plugins = load(&sources, Duration::from_millis(500), never()).unwrap();
    let plugins: Rc<dyn Plugins> = plugins.into();
    let answered =
        |words: &str| Ok(serde_json::json!({ "columns": ["data"], "rows": [[words]] }).to_string());
    let (depth, endless) = (Cell::new(0), Rc::new(Cell::new(false)));
    let (inner, is_endless): (Weak<dyn Plugins>, _) = (Rc::downgrade(&plugins), endless.clone());
    plugins.connect(query(move |_, _| {
        depth.set(depth.get() + 1);
        let answer = if depth.get() == 2 {
            answered("the end")
        } else {
            let data: &[u8] = if is_endless.get() { b"loop" } else { b"" };
            let after = PluginFile { descriptor: DESCRIPTOR, data };
            let error = inner.upgrade().unwrap().detect_changes(1, None, after).unwrap_err();
            answered(&format!("{:?} {}", error.reason, error.message))
        };
        depth.set(depth.get() - 1);
        answer
    }));
    let error = detect(&*plugins).unwrap_err();
    assert_eq!(error.subject, "outer");
    assert_eq!(error.message, r#"{"data":"PluginFailed {\"data\":\"the end\"}"}"#);

    // What the inner one takes is taken from the outer one.
    endless.set(true);
    let error = detect(&*plugins).unwrap_err();
    assert_eq!((error.reason, error.subject.as_str()), (Reason::PluginTimeout, "outer"), "{error}");
    endless.set(false);
    assert_eq!(detect(&*plugins).unwrap_err().reason, Reason::PluginFailed);
}

#[test]
fn there_is_no_way_out() {
    for name in [
        "require",
        "process",
        "fetch",
        "XMLHttpRequest",
        "Worker",
        "postMessage",
        "importScripts",
        "document",
        "window",
        "std",
        "os",
        "scriptArgs",
        "print",
        "WebAssembly",
    ] {
        assert_eq!(js(&format!("typeof {name}")), "undefined", "{name}");
    }
    let error = failure("setTimeout(() => {})");
    assert!(error.message.contains("synchronous"), "{error}");
}

#[test]
fn text_is_encoded_and_decoded_as_browsers_do() {
    for (expression, expected) in [
        ("new TextEncoder().encode()", ""),
        ("new TextEncoder().encode('aé€💯\\0')", "97,195,169,226,130,172,240,159,146,175,0"),
        ("new TextEncoder().encode('\\ud800a\\udc00')", "239,191,189,97,239,191,189"),
        ("new TextEncoder().encode(12)", "49,50"),
        (
            "JSON.stringify(new TextEncoder().encodeInto('a€', new Uint8Array(3)))",
            r#"{"read":1,"written":1}"#,
        ),
        (
            "JSON.stringify(new TextEncoder().encodeInto('💯', new Uint8Array(9)))",
            r#"{"read":2,"written":4}"#,
        ),
        ("new TextDecoder().decode()", ""),
        ("new TextDecoder().decode(new Uint8Array([97, 0, 195, 169]))", "a\0é"),
        ("new TextDecoder().decode(new Uint8Array([239, 187, 191, 97]))", "a"),
        (
            "new TextDecoder('utf-8', { ignoreBOM: true }).decode(new Uint8Array([239, 187, 191, 97]))",
            "\u{feff}a",
        ),
        ("new TextDecoder().decode(new Uint8Array([255, 97, 226, 130]))", "\u{fffd}a\u{fffd}"),
        (
            "new TextDecoder().decode(new Uint8Array([240, 159, 146, 65, 237, 160, 128]))",
            "\u{fffd}A\u{fffd}\u{fffd}\u{fffd}",
        ),
        ("new TextDecoder().decode(new Uint8Array([1, 97, 98]).buffer.slice(1))", "ab"),
        (
            "new TextDecoder(' UTF8 ').decode(new DataView(new Uint8Array([1, 97, 98]).buffer, 1, 1))",
            "a",
        ),
        ("new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array([97]))", "a"),
        (
            "thrown(() => new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array([255])))",
            "TypeError",
        ),
        ("thrown(() => new TextDecoder('latin1'))", "RangeError"),
        ("bytewise(new TextDecoder(), 'aé€💯z')", "aé€💯z"),
        ("bytewise(new TextDecoder(), '\\ufeff\\ufeffa')", "\u{feff}a"),
    ] {
        assert_eq!(js(expression), expected, "{expression}");
    }
}

#[test]
fn the_rest_of_a_worker_is_there() {
    for (expression, expected) in [
        ("atob(btoa('abc\\xff'))", "abcÿ"),
        ("thrown(() => btoa('€'))", "InvalidCharacterError"),
        ("typeof performance.now()", "number"),
        ("typeof queueMicrotask", "function"),
        ("self === globalThis", "true"),
        ("typeof console.warn", "function"),
        ("new Set(Array.from({ length: 9 }, () => crypto.randomUUID())).size", "9"),
        (
            "/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(crypto.randomUUID())",
            "true",
        ),
        ("crypto.getRandomValues(new Uint32Array(64).subarray(1)).some((n) => n > 65535)", "true"),
        ("thrown(() => crypto.getRandomValues(new Float64Array(1)))", "TypeMismatchError"),
        ("thrown(() => crypto.getRandomValues(new Uint8Array(65537)))", "QuotaExceededError"),
        (
            "JSON.stringify(structuredClone({ a: [1, { b: null }], c: 'x' }))",
            r#"{"a":[1,{"b":null}],"c":"x"}"#,
        ),
        (
            "(() => { const a = { n: 1n }; a.self = a; const b = structuredClone(a); return b !== a && b.self === b && b.n === 1n })()",
            "true",
        ),
        (
            "structuredClone(new Map([[1, new Set([new Date(5)])]])).get(1).values().next().value.getTime()",
            "5",
        ),
        ("structuredClone(new Uint16Array([1, 2, 3]).subarray(1)).join()", "2,3"),
        ("structuredClone(new RangeError('x')) instanceof RangeError", "true"),
        ("JSON.stringify(structuredClone({ ['__proto__']: 1 }))", r#"{"__proto__":1}"#),
        ("thrown(() => structuredClone(() => {}))", "DataCloneError"),
    ] {
        assert_eq!(js(expression), expected, "{expression}");
    }
}

#[test]
fn decoding_megabytes_is_quick() {
    let code = "export default { key: 'k', applyChanges() {
        const text = 'Straße 💯 '.repeat(1e6)
        const bytes = new TextEncoder().encode(text)
        if (new TextDecoder().decode(bytes) !== text) throw new Error('different')
        return { fileData: bytes }
    } }";
    let plugins = loaded(&[code]);
    let changes = r#"{"file_id":"f","plugin_key":"k","version_id":"v","rows":[]}"#;
    let start = Instant::now();
    let data = plugins.apply_changes(0, DESCRIPTOR, changes).unwrap();
    println!("{} bytes encoded and decoded: {:?}", data.len(), start.elapsed());
    assert_eq!(data.len(), 13_000_000);
}

/// QuickJS ends the process when a heap that is freed has a leak, so this finds places that cannot do
/// without memory.
#[test]
fn memory_that_runs_out_anywhere_leaves_a_heap_that_can_be_freed() {
    for free in (0..STEPS).map(|step| (300_000 + step * 137).to_string()) {
        let plugins = loaded(&["export default { key: 'k', detectChanges({ after }) {
            const left = new ArrayBuffer(2 ** 30 - 1_500_000 - Number(new TextDecoder().decode(after.data)))
            const all = []
            for (;;) all.push({ text: `${all.length}`, f: () => left, m: new Map([[{}, []]]) }, [all, /a(b)/.exec('ab')])
        } }"]);
        let after = PluginFile { descriptor: DESCRIPTOR, data: free.as_bytes() };
        let error = plugins.detect_changes(0, None, after).unwrap_err();
        assert_eq!((error.reason, error.subject.as_str()), (Reason::PluginFailed, "k"), "{error}");
    }
}

fn loaded(codes: &[&str]) -> Box<dyn Plugins> {
    let sources: Vec<_> = codes.iter().map(|code| source("", code.as_bytes().to_vec())).collect();
    load(&sources, PATIENCE, never()).unwrap_or_else(|error| panic!("{error} {}", error.subject))
}

fn refused(codes: &[&str]) -> Error {
    let sources: Vec<_> = codes.iter().map(|code| source("", code.as_bytes().to_vec())).collect();
    load(&sources, PATIENCE, never()).err().expect("it does not load")
}

fn source(key: &str, code: Vec<u8>) -> PluginSource {
    PluginSource { key: key.into(), format: PluginFormat::Esm, code: code.into() }
}

fn detect(plugins: &dyn Plugins) -> Result<String> {
    plugins.detect_changes(0, None, PluginFile { descriptor: DESCRIPTOR, data: &[] })
}

/// What comes of a plugin whose detection is this.
fn failure(body: &str) -> Error {
    let code = format!("export default {{ key: 'k', detectChanges() {{ {body} }} }}");
    detect(&*loaded(&[&code])).unwrap_err()
}

/// What an expression is, as a string.
fn js(expression: &str) -> String {
    let realm = Realm::new(PATIENCE, never()).unwrap();
    let value = realm.run(|ctx| {
        globals::install(&ctx)?;
        let helpers = "
            const thrown = (run) => { try { run(); return 'nothing' } catch (error) { return error.name } }
            const bytewise = (decoder, text) => {
                const parts = [...new TextEncoder().encode(text)].map((byte) => decoder.decode(new Uint8Array([byte]), { stream: true }))
                return parts.join('') + decoder.decode()
            }";
        text(ctx.eval(format!("{helpers}; String({expression})"))?)
    });
    value.unwrap_or_else(|thrown| panic!("{expression}: {thrown:?}"))
}

/// Nothing here is beyond interrupts.
fn never() -> GiveUp {
    Arc::new(|| panic!("given up"))
}

fn query(answer: impl Fn(&str, &str) -> Result<String> + 'static) -> Rc<dyn PluginQuery> {
    struct Query<F>(F);
    impl<F: Fn(&str, &str) -> Result<String>> PluginQuery for Query<F> {
        fn query(&self, sql: &str, params: &str) -> Result<String> {
            (self.0)(sql, params)
        }
    }
    Rc::new(Query(answer))
}

const DESCRIPTOR: &str = r#"{"id":"f","path":"/f","metadata":null,"hidden":false}"#;
const NOTHING: &str = r#"{"schemas":[],"changes":[]}"#;
const STEPS: usize = 50;
const PATIENCE: Duration = Duration::from_secs(10);
