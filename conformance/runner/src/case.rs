//! Case files: found, read against their schema, and checked for what a schema cannot say.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::Value as Json;

use crate::proto;
use crate::suite;

/// The messages of case.proto, report.proto and host.proto.
#[allow(missing_docs, clippy::large_enum_variant, reason = "the manual is in the .proto")]
pub mod schema {
    include!(concat!(env!("OUT_DIR"), "/lix.conformance.v1.rs"));
}

use schema::{Case, Step, Suite};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(&include_bytes!(concat!(env!("OUT_DIR"), "/conformance.binpb"))[..])
        .expect("the embedded descriptor set is whole")
});

/// One case, ready to run.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// `suite/name`.
    pub id: String,
    /// The suite's name.
    pub suite: String,
    /// The file.
    pub file: Arc<PathBuf>,
    /// Position in the file.
    pub index: usize,
    /// Which fixture plugins it is played with.
    pub format: Option<&'static str>,
    /// The case.
    pub case: Arc<Case>,
}

/// Reads every case below a directory, sorted by id. The error lists every fault of every file.
pub fn load_all(root: &Path) -> Result<Vec<Loaded>, String> {
    let files =
        suite::find(root, "json").map_err(|error| format!("{}: {error}", root.display()))?;
    let mut cases = Vec::new();
    let mut faults = Vec::new();
    for file in files {
        match load(root, &file) {
            Ok(found) => cases.extend(found),
            Err(found) => {
                faults.extend(found.into_iter().map(|fault| format!("{}: {fault}", file.display())))
            }
        }
    }
    if faults.is_empty() {
        cases.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(cases)
    } else {
        Err(faults.join("\n"))
    }
}

/// Reads one file.
pub fn load(root: &Path, file: &Path) -> Result<Vec<Loaded>, Vec<String>> {
    let text = suite::read_text(file).map_err(|error| vec![error])?;
    let suite = parse(&text).map_err(|fault| vec![fault])?;
    let mut faults = Vec::new();
    let raw: Json = serde_json::from_str(&text).map_err(|error| vec![error.to_string()])?;
    check_raw(&raw, file.parent().unwrap_or(root), "", &mut faults);

    let expected = file
        .strip_prefix(root)
        .unwrap_or(file)
        .with_extension("")
        .to_string_lossy()
        .replace('\\', "/");
    if suite.suite != expected {
        faults.push(format!("the suite is named {:?}, its file {expected:?}", suite.suite));
    }
    let mut names = BTreeSet::new();
    for case in &suite.cases {
        if !names.insert(case.name.clone()) {
            faults.push(format!("two cases are named {:?}", case.name));
        }
        faults.extend(check_case(case).into_iter().map(|fault| format!("{}: {fault}", case.name)));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let file = Arc::new(file.to_path_buf());
    Ok(suite
        .cases
        .into_iter()
        .enumerate()
        .map(|(index, case)| Loaded {
            id: format!("{}/{}", suite.suite, case.name),
            suite: suite.suite.clone(),
            file: Arc::clone(&file),
            index,
            format: None,
            case: Arc::new(case),
        })
        .collect())
}

/// Reads the text of a case file against the schema.
pub fn parse(text: &str) -> Result<Suite, String> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let suite = DynamicMessage::deserialize(descriptor("Suite"), &mut deserializer)
        .map_err(|error| error.to_string())?;
    deserializer.end().map_err(|error| error.to_string())?;
    suite.transcode_to().map_err(|error| error.to_string())
}

/// Reads one message of the case schema from JSON that the schema leaves open.
pub fn from_json<T: prost::Message + Default>(name: &str, json: &Json) -> Result<T, String> {
    DynamicMessage::deserialize(descriptor(name), json)
        .map_err(|error| format!("no {name}: {error}"))?
        .transcode_to()
        .map_err(|error| format!("no {name}: {error}"))
}

/// A message of the report schema as ProtoJSON text.
pub fn to_json_text<T: prost::Message>(name: &str, message: &T) -> String {
    let mut dynamic = DynamicMessage::new(descriptor(name));
    dynamic.transcode_from(message).expect("the schema and its generated types agree");
    let options = prost_reflect::SerializeOptions::new().use_proto_field_name(true);
    let json = dynamic
        .serialize_with_options(serde_json::value::Serializer, &options)
        .expect("any message has a ProtoJSON form");
    format!("{json:#}\n")
}

/// `google.protobuf.Value` as JSON.
pub fn json_of(value: &prost_types::Value) -> Json {
    use prost_types::value::Kind;
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::NumberValue(number)) => crate::value::tidy_numbers(serde_json::json!(number)),
        Some(Kind::StringValue(text)) => Json::String(text.clone()),
        Some(Kind::BoolValue(flag)) => Json::Bool(*flag),
        Some(Kind::StructValue(members)) => json_of_struct(members),
        Some(Kind::ListValue(items)) => Json::Array(json_of_list(items)),
    }
}

/// `google.protobuf.Struct` as JSON.
pub fn json_of_struct(members: &prost_types::Struct) -> Json {
    Json::Object(
        members.fields.iter().map(|(name, value)| (name.clone(), json_of(value))).collect(),
    )
}

/// `google.protobuf.ListValue` as JSON.
pub fn json_of_list(items: &prost_types::ListValue) -> Vec<Json> {
    items.values.iter().map(json_of).collect()
}

/// The names of the verbs a step has; a good step has at most one.
pub fn verbs(step: &Step) -> Vec<&'static str> {
    let all = [
        ("exec", step.exec.is_some()),
        ("exec_generated", step.exec_generated.is_some()),
        ("exec_batch", step.exec_batch.is_some()),
        ("fetch", step.fetch.is_some()),
        ("close_cursor", !step.close_cursor.is_empty()),
        ("export", step.export.is_some()),
        ("save", step.save.is_some()),
        ("cancel", step.cancel.is_some()),
        ("close", step.close.is_some()),
        ("init", step.init.is_some()),
        ("reopen", step.reopen.is_some()),
        ("crash", step.crash),
        ("advance_ms", step.advance_ms.is_some()),
        ("fault", step.fault.is_some()),
        ("request", step.request.is_some()),
        ("send_raw", step.send_raw.is_some()),
        ("write_bytes", step.write_bytes.is_some()),
        ("end_transport", step.end_transport.is_some()),
        ("concurrently", !step.concurrently.is_empty()),
        ("steps", !step.steps.is_empty()),
        ("bridge", step.bridge.is_some()),
        ("sleep_ms", step.sleep_ms != 0),
        ("crash_at", !step.crash_at.is_empty()),
        ("suspend", step.suspend.is_some()),
        ("resume", step.resume.is_some()),
        ("store", step.store.is_some()),
    ];
    all.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect()
}

/// The directory a case's fixtures are relative to.
pub fn fixture_dir(loaded: &Loaded) -> PathBuf {
    loaded.file.parent().map(Path::to_path_buf).unwrap_or_default()
}

/// The directory of the fixture plugins.
pub fn plugin_dir(loaded: &Loaded) -> PathBuf {
    let depth = loaded.suite.split('/').count();
    let root = loaded.file.ancestors().nth(depth).unwrap_or(Path::new(""));
    root.join("../fixtures/plugins")
}

/// True for a plugin that the suite brings along, in the format that is being tested.
pub fn is_fixture(plugin: &schema::Plugin) -> bool {
    plugin.format.is_empty() && plugin.code.is_none()
}

/// True if the case has such plugins.
pub fn uses_fixtures(case: &Case) -> bool {
    let has =
        |init: &Option<schema::Init>| init.iter().flat_map(|init| &init.plugins).any(is_fixture);
    has(&case.init) || uses(&case.steps, &|step| has(&step.init) || has(&step.reopen))
}

/// Formats of plugins, in the order in which cases are played with them.
pub const FORMATS: [&str; 3] = ["ESM", "WASM", "BUILTIN"];

/// The descriptor of a message of `lix.conformance.v1`.
pub(crate) fn descriptor(name: &str) -> MessageDescriptor {
    POOL.get_message_by_name(&format!("lix.conformance.v1.{name}"))
        .unwrap_or_else(|| panic!("the schema has no message {name}"))
}

fn check_case(case: &Case) -> Vec<String> {
    let mut faults = Vec::new();
    let well_named = !case.name.is_empty()
        && case
            .name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !well_named {
        faults.push("names are lower-case letters, digits and dashes".to_owned());
    }
    for need in &case.needs {
        let name = need.strip_prefix('!').unwrap_or(need);
        if name.parse::<i32>().is_ok() || proto::enum_number("Capability", name).is_err() {
            faults.push(format!("needs names no capability: {need:?}"));
        }
    }
    for transport in &case.transports {
        let name = transport.strip_prefix('!').unwrap_or(transport);
        if !["stdio", "tcp", "ws", "browser", "stream", "message"].contains(&name) {
            faults.push(format!("unknown transport {transport:?}"));
        }
    }
    for wanted in &case.store {
        let name = wanted.strip_prefix('!').unwrap_or(wanted);
        if !["OPFS", "FILE", "bytes"].contains(&name) {
            faults.push(format!("store names no kind of storage: {wanted:?}"));
        }
    }
    for format in &case.formats {
        if !FORMATS.contains(&&**format) {
            faults.push(format!("formats names no format of plugins: {format:?}"));
        }
    }
    if (!case.formats.is_empty() || case.interrupts) && !uses_fixtures(case) {
        faults.push("formats and interrupts are about fixture plugins".to_owned());
    }
    if case.init.is_some() && case.no_init {
        faults.push("init and no_init exclude each other".to_owned());
    }
    if case.steps.is_empty() {
        faults.push("there are no steps".to_owned());
    }
    if uses(&case.steps, &|step| step.store.is_some())
        && !case.store.iter().any(|wanted| wanted == "bytes")
    {
        faults.push("the verb store needs \"store\": [\"bytes\"]".to_owned());
    }
    if let Some(init) = &case.init {
        faults.extend(check_init(init).into_iter().map(|fault| format!("init: {fault}")));
    }
    check_steps(&case.steps, "steps", Place::Sequence, &mut faults);
    faults
}

/// What the schema leaves open: values have known tags, and fixtures are there.
fn check_raw(json: &Json, dir: &Path, member: &str, faults: &mut Vec<String>) {
    match json {
        Json::Object(members) => {
            if let (Some(Json::String(path)), Some(Json::String(digest)), 2) =
                (members.get("path"), members.get("sha256"), members.len())
            {
                if !suite::exists(&dir.join(path)) {
                    faults.push(format!("there is no fixture {path:?} beside the file"));
                }
                if digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    faults.push(format!("{digest:?} of {path:?} is no SHA-256"));
                }
            }
            // Messages as ProtoJSON have their own forms.
            let own = |name: &str| ["request", "response", "frame"].contains(&name);
            for (name, value) in members.iter().filter(|(name, _)| !own(name)) {
                check_raw(value, dir, name, faults);
            }
        }
        Json::Array(items) => {
            let is_row =
                |item: &Json| ["rows", "rows_any_order"].contains(&member) && item.is_array();
            for item in items {
                if member == "params" {
                    faults.extend(tag_fault(item));
                } else if is_row(item) {
                    faults.extend(item.as_array().into_iter().flatten().filter_map(tag_fault));
                }
                check_raw(item, dir, "", faults);
            }
        }
        _ => {}
    }
}

fn tag_fault(value: &Json) -> Option<String> {
    match value {
        Json::Null => None,
        Json::Object(members) => members
            .keys()
            .find(|tag| !crate::value::TAGS.contains(&tag.as_str()))
            .map(|tag| format!("unknown tag {tag:?} in {value}")),
        _ => Some(format!("{value} is no tagged value, such as {{\"int\": \"5\"}}")),
    }
}

fn check_init(init: &schema::Init) -> Vec<String> {
    let named = |enum_name: &str, name: &str| match name {
        "" => None,
        name => proto::enum_number(enum_name, name).err(),
    };
    let mut faults = Vec::new();
    faults.extend(named("OpenMode", &init.open_mode));
    faults.extend(named("Durability", &init.durability));
    for given in init.lix.iter().flat_map(|lix| &lix.key_values) {
        if given.value.is_some() == given.value_json.is_some() {
            faults.push(format!("the key value {:?} has one value or value_json", given.key));
        }
    }
    if let Some(storage) = &init.storage
        && storage.kind != "TEST"
        && !storage.kind.contains("${")
    {
        faults.extend(named("StorageKind", &storage.kind));
    }
    faults
}

/// True if a step, or one inside of it, is like that.
pub fn uses(steps: &[Step], like: &dyn Fn(&Step) -> bool) -> bool {
    steps.iter().any(|step| like(step) || uses(&step.steps, like) || uses(&step.concurrently, like))
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Sequence,
    Concurrent,
    Batch,
    Expectation,
}

fn check_steps(steps: &[Step], path: &str, place: Place, faults: &mut Vec<String>) {
    for (index, step) in steps.iter().enumerate() {
        check_step(step, &format!("{path}[{index}]"), place, faults);
    }
}

fn check_step(step: &Step, path: &str, place: Place, faults: &mut Vec<String>) {
    let mut fault = |what: String| faults.push(format!("{path}: {what}"));
    let verbs = verbs(step);
    if verbs.len() > 1 {
        fault(format!("several verbs: {}", verbs.join(", ")));
    }
    let allowed = match place {
        Place::Sequence => true,
        Place::Concurrent => verbs.iter().all(|verb| {
            ![
                "reopen",
                "crash",
                "advance_ms",
                "concurrently",
                "end_transport",
                "sleep_ms",
                "bridge",
                "write_bytes",
                "store",
            ]
            .contains(verb)
        }),
        Place::Batch => verbs.iter().all(|verb| ["exec", "exec_generated"].contains(verb)),
        Place::Expectation => verbs.is_empty(),
    };
    if !allowed {
        fault(format!("the verb {} cannot stand here", verbs.join(", ")));
    }
    if verbs.is_empty() && matches!(place, Place::Concurrent | Place::Batch) {
        fault("there is no verb".to_owned());
    }
    if place == Place::Sequence && verbs.is_empty() {
        let expects = step.expect_events.is_some()
            || step.closed.is_some()
            || step.transport_ends.is_some()
            || step.exit_code.is_some()
            || step.facts.is_some()
            || !step.storage_writes.is_empty()
            || !step.set.is_empty();
        if !expects {
            fault("neither a verb nor anything that can be expected without one".to_owned());
        }
    }
    if !step.mode.is_empty()
        && let Err(why) = proto::enum_number("RowMode", &step.mode)
    {
        fault(why);
    }
    if !step.outcome.is_empty()
        && let Err(why) = proto::enum_number("CancelOutcome", &step.outcome)
    {
        fault(why);
    }
    if !step.crash_at.is_empty()
        && let Err(why) = proto::enum_number("CrashPoint", &step.crash_at)
    {
        fault(why);
    }
    if let Some(of) = &step.fault
        && let Err(why) = proto::enum_number("FaultPoint", &of.point)
    {
        fault(why);
    }
    for init in step.init.iter().chain(&step.reopen) {
        check_init(init).into_iter().for_each(&mut fault);
    }
    if !["", "none", "some"].contains(&step.storage_writes.as_str()) {
        fault(format!("storage_writes is none or some, not {:?}", step.storage_writes));
    }
    if step.tab && step.on.is_empty() {
        fault("tab needs a session's name in on".to_owned());
    }
    for error in step.error.iter().chain(&step.closed) {
        if !error.code.is_empty()
            && let Err(why) = proto::enum_number("ErrorCode", &error.code)
        {
            fault(why);
        }
    }
    if let Some(reads) = step.reads.as_ref().map(json_of).filter(|reads| !reads.is_null())
        && let Err(why) = from_json::<schema::ReadsMatch>("ReadsMatch", &reads)
    {
        fault(why);
    }
    if let Some(events) = &step.expect_events {
        for event in json_of_list(events) {
            if let Err(why) = from_json::<schema::EventMatch>("EventMatch", &event) {
                fault(why);
            }
        }
    }
    if let Some(batches) = &step.batches {
        for batch in json_of_list(batches) {
            match from_json::<Step>("Step", &batch) {
                Ok(batch) => {
                    check_step(&batch, &format!("{path}.batches"), Place::Expectation, faults)
                }
                Err(why) => faults.push(format!("{path}: {why}")),
            }
        }
    }
    if let Some(one_of) = &step.one_of {
        if one_of.reason.trim().is_empty() {
            faults.push(format!("{path}: one_of needs a reason"));
        }
        if one_of.options.len() < 2 {
            faults.push(format!("{path}: one_of needs two options"));
        }
        check_steps(&one_of.options, &format!("{path}.one_of.options"), Place::Expectation, faults);
    }
    for (label, answer) in &step.answers {
        check_step(answer, &format!("{path}.answers[{label:?}]"), Place::Expectation, faults);
    }
    if let Some(batch) = &step.exec_batch {
        check_steps(
            &batch.statements,
            &format!("{path}.exec_batch.statements"),
            Place::Batch,
            faults,
        );
    }
    check_steps(&step.concurrently, &format!("{path}.concurrently"), Place::Concurrent, faults);
    check_steps(&step.steps, &format!("{path}.steps"), place, faults);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(case: &str) -> Vec<String> {
        match parse(&format!(r#"{{"suite":"s","cases":[{case}]}}"#)) {
            Ok(suite) => check_case(&suite.cases[0]),
            Err(fault) => vec![fault],
        }
    }

    fn step_faults(step: &str) -> Vec<String> {
        faults(&format!(r#"{{"name":"n","steps":[{step}]}}"#))
    }

    #[test]
    fn the_example_of_the_design_is_a_case() {
        let case = r#"{
          "name": "inner-release-does-not-save", "since": "1.0", "level": "REQUIRED",
          "needs": ["PERSISTENCE", "AUTOSAVE", "MANUAL_CLOCK"], "spec": ["8.commit_seq"],
          "init": { "storage": { "kind": "TEST" }, "autosave": { "debounce_ms": 300, "max_delay_ms": 2000 }, "events": ["AUTOSAVE"] },
          "steps": [
            { "exec": "create table t (x)" },
            { "advance_ms": 300, "expect_events": [{ "autosave": "SCHEDULED", "commit_seq": 1 }, { "autosave": "STARTED" }] },
            { "exec": "insert into t values (?)", "params": [{ "int": "9007199254740993" }], "changes": 1 },
            { "exec": "release s", "state": { "in_transaction": true, "commit_seq": 1 } },
            { "advance_ms": 0, "expect_events": [] },
            { "crash": true },
            { "reopen": {} },
            { "exec": "select x from t", "rows": [[{ "int": "9007199254740993" }, null]], "changes": null }
          ]
        }"#;
        assert_eq!(faults(case), Vec::<String>::new());
    }

    #[test]
    fn empty_lists_and_nulls_are_expectations() {
        let suite = parse(
            r#"{"suite":"s","cases":[{"name":"n","steps":[{"exec":"x","rows":[],"changes":null},{"exec":"x"}]}]}"#,
        )
        .unwrap();
        let steps = &suite.cases[0].steps;
        assert_eq!(steps[0].rows.as_ref().map(|rows| rows.values.len()), Some(0));
        assert_eq!(steps[0].changes.as_ref().map(json_of), Some(Json::Null));
        assert!(steps[1].rows.is_none() && steps[1].changes.is_none());
    }

    #[test]
    fn mistakes_are_found_when_loading() {
        for (step, expected) in [
            (r#"{"exec":"x","row":[]}"#, "row"),
            (r#"{"exec":"x","export":{}}"#, "several verbs"),
            (r#"{}"#, "neither a verb"),
            (r#"{"exec":"x","error":{"code":"NOPE"}}"#, "NOPE"),
            (r#"{"exec":"x","mode":"SOME"}"#, "SOME"),
            (r#"{"crash_at":"NEVER"}"#, "NEVER"),
            (r#"{"fault":{"point":"HERE","count":1}}"#, "HERE"),
            (r#"{"reopen":{"durability":"SOFT"}}"#, "SOFT"),
            (r#"{"reopen":{"storage":{"kind":"CLOUD"}}}"#, "CLOUD"),
            (r#"{"exec":"x","storage_writes":"3"}"#, "none or some"),
            (r#"{"store":{"missing":true}}"#, "needs \"store\""),
            (r#"{"exec":"x","tab":true}"#, "needs a session's name"),
            (r#"{"exec":"x","expect_events":[{"comit":1}]}"#, "comit"),
            (r#"{"exec":"x","one_of":{"options":[{},{}]}}"#, "needs a reason"),
            (
                r#"{"exec":"x","one_of":{"reason":"r","options":[{"exec":"y"},{}]}}"#,
                "cannot stand here",
            ),
            (r#"{"exec_batch":{"statements":[{"export":{}}]}}"#, "cannot stand here"),
            (r#"{"concurrently":[{"crash":true}]}"#, "cannot stand here"),
        ] {
            let found = step_faults(step).join("; ");
            assert!(found.contains(expected), "{step}: {found}");
        }
        for (case, expected) in [
            (r#"{"name":"A b","steps":[{"exec":"x"}]}"#, "lower-case"),
            (r#"{"name":"n","needs":["CURSER"],"steps":[{"exec":"x"}]}"#, "CURSER"),
            (r#"{"name":"n","transports":["pigeon"],"steps":[{"exec":"x"}]}"#, "pigeon"),
            (r#"{"name":"n"}"#, "no steps"),
        ] {
            let found = faults(case).join("; ");
            assert!(found.contains(expected), "{case}: {found}");
        }
    }
}
