//! Cases for hosts: what a host library is asked to do, and what the scripted engine does meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::case::Loaded;
use crate::case::schema::Case;
use crate::case::schema::case::Level;
use crate::proto;
use crate::suite::{self, Suite};

/// A file below `conformance/host-cases`; those below `pair` are for a host together with an engine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostSuite {
    /// Its path below `host-cases`, with `host/` in front.
    pub suite: String,
    /// Its cases.
    pub cases: Vec<HostCase>,
}

/// One case: a session, opened by the runner unless the steps do it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostCase {
    /// Lower-case letters, digits and dashes.
    pub name: String,
    /// What it shows, for people.
    pub about: String,
    /// The minor it came with; empty is 1.0.
    pub since: String,
    /// REQUIRED if empty.
    pub level: String,
    /// Rules of the manual that it tests.
    pub spec: Vec<String>,
    /// Features of the host without which it does not apply; see [`FEATURES`].
    pub needs: Vec<String>,
    /// What the scripted engine says about itself.
    pub engine: EngineSetup,
    /// Options of the first `open`.
    pub open: Map<String, Json>,
    /// The steps open the session themselves.
    pub no_open: bool,
    /// Budget in milliseconds; 0 is the runner's.
    pub timeout_ms: u32,
    /// What happens.
    pub steps: Vec<HostStep>,
}

/// InitResponse of the scripted engine, as far as cases change it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineSetup {
    /// Announced capabilities without prefix; absent is CURSORS and NAMED_PARAMS.
    pub capabilities: Option<Vec<String>>,
    /// Members of Limits.
    pub limits: Map<String, Json>,
}

/// One step: at most one command, what the engine does after it, and what the host is to report.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostStep {
    /// Why it is here.
    pub about: String,
    /// Open the session with these options.
    pub open: Option<Map<String, Json>>,
    /// Run a statement.
    pub exec: Option<String>,
    /// Run several in one request.
    pub batch: Option<Vec<Json>>,
    /// Iterate a result.
    pub stream: Option<String>,
    /// Export the database.
    pub export: Option<Empty>,
    /// Close the session.
    pub close: Option<Empty>,
    /// Ask for the call with this label to be dropped.
    pub cancel: Option<String>,
    /// Throw the connection away without a word.
    pub drop: Option<Empty>,
    /// exec, stream: values by position.
    pub params: Option<Vec<Json>>,
    /// exec, stream: values by name.
    pub named: Option<Map<String, Json>>,
    /// More members of the command, such as `integers`, `timeout_ms`, `batch_rows`, `take`.
    pub options: Map<String, Json>,
    /// Do not wait for the report; a later step waits under this name.
    pub label: String,
    /// Wait for the report of that step.
    pub wait: String,
    /// What the engine does after the command was given.
    pub engine: Vec<EngineStep>,

    /// Exact rows in order.
    pub rows: Option<Vec<Json>>,
    /// Names of the columns.
    pub columns: Option<Vec<String>>,
    /// Rows changed; null is none reported.
    #[serde(deserialize_with = "present")]
    pub changes: Option<Json>,
    /// The rowid; null is none reported.
    #[serde(deserialize_with = "present")]
    pub last_insert_rowid: Option<Json>,
    /// The call fails like this: `code`, `reason`, `subject`, …, `message_contains`.
    pub error: Option<Map<String, Json>>,
    /// The results of a batch: objects with `rows`, `changes`, `error`, …
    pub results: Option<Vec<Json>>,
    /// The exported bytes in hex.
    pub image: Option<String>,
    /// Members of what `open` reports.
    pub opened: Option<Map<String, Json>>,
    /// The events since the last step that asked, in order, by their members.
    pub events: Option<Vec<Map<String, Json>>>,
}

/// One thing that the scripted engine does; exactly one verb.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineStep {
    /// Wait for the next request, and compare it member by member: a Request in ProtoJSON, values tagged as in cases.
    pub expect: Option<Map<String, Json>>,
    /// With `expect`: a name for `to`.
    pub name: String,
    /// With `expect`: the host may as well not send it; then the steps up to the next `expect` are skipped.
    pub optional: bool,
    /// Answer the request that was expected last, or the one named in `to`.
    pub reply: Option<Map<String, Json>>,
    /// With `reply`: which request.
    pub to: String,
    /// With `reply`: this many times instead of once.
    pub copies: Option<u32>,
    /// With `reply`: the id to answer instead of the request's.
    pub id: Option<u32>,
    /// With `reply`: write only this many bytes of the message, and end the transport.
    pub cut: Option<usize>,
    /// With `reply` and `event`: bytes in hex to add to the frame, such as unknown fields.
    pub append_hex: String,
    /// Send an event: an Event in ProtoJSON; `seq` is filled in.
    pub event: Option<Map<String, Json>>,
    /// Send any frame: a Frame in ProtoJSON.
    pub frame: Option<Map<String, Json>>,
    /// Send a frame of these bytes.
    pub frame_hex: Option<String>,
    /// Write these bytes outside of all framing; byte streams only.
    pub bytes_hex: Option<String>,
    /// End the transport: "END" in order, "DROP" at once.
    pub end: String,
    /// Wait until the host has ended the transport.
    pub ended: bool,
}

/// A verb without options: `{}`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

/// What hosts may be able to do; an adapter names its own in its first report.
pub const FEATURES: [&str; 13] = [
    "batch",
    "bigint",
    "bool",
    "cancel",
    "events",
    "export",
    "integers",
    "named",
    "ordered",
    "queue",
    "stream",
    "timeout",
    "undefined",
];

/// Cases by id, and the same as the selection knows them.
pub struct HostCases {
    /// For `run::select`.
    pub loaded: Vec<Loaded>,
    /// By id.
    pub by_id: BTreeMap<String, Arc<HostCase>>,
}

/// Reads every case for hosts. The error lists every fault of every file.
pub fn load_all(suite: &Suite) -> Result<HostCases, String> {
    let root = suite.host_cases();
    let files =
        suite::find(&root, "json").map_err(|error| format!("{}: {error}", root.display()))?;
    let mut all = HostCases { loaded: Vec::new(), by_id: BTreeMap::new() };
    let mut faults = Vec::new();
    for file in files {
        match load(&root, &file) {
            Ok(found) => {
                for (index, case) in found.cases.into_iter().enumerate() {
                    let id = format!("{}/{}", found.suite, case.name);
                    all.loaded.push(loaded(&id, &found.suite, &file, index, &case));
                    all.by_id.insert(id, Arc::new(case));
                }
            }
            Err(found) => {
                faults.extend(found.iter().map(|fault| format!("{}: {fault}", file.display())));
            }
        }
    }
    if faults.is_empty() {
        all.loaded.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(all)
    } else {
        Err(faults.join("\n"))
    }
}

fn load(root: &Path, file: &Path) -> Result<HostSuite, Vec<String>> {
    let text = suite::read_text(file).map_err(|error| vec![error])?;
    let found: HostSuite = serde_json::from_str(&text).map_err(|error| vec![error.to_string()])?;
    let name = file.strip_prefix(root).unwrap_or(file).with_extension("");
    let name = name.to_string_lossy().replace('\\', "/");
    let expected = if name.starts_with(PAIR) { name } else { format!("host/{name}") };
    let mut faults = Vec::new();
    if found.suite != expected {
        faults.push(format!("the suite is named {:?}, its file {expected:?}", found.suite));
    }
    let mut names = BTreeSet::new();
    for case in &found.cases {
        if !names.insert(&case.name) {
            faults.push(format!("two cases are named {:?}", case.name));
        }
        if found.suite.starts_with(PAIR) && case.is_scripted() {
            faults.push(format!("{}: a pair has an engine of its own", case.name));
        }
        faults.extend(check(case).into_iter().map(|fault| format!("{}: {fault}", case.name)));
    }
    if faults.is_empty() { Ok(found) } else { Err(faults) }
}

fn loaded(id: &str, suite: &str, file: &Path, index: usize, case: &HostCase) -> Loaded {
    let level = Level::from_str_name(&case.level).unwrap_or(Level::Required);
    Loaded {
        id: id.to_owned(),
        suite: suite.to_owned(),
        file: Arc::new(PathBuf::from(file)),
        index,
        format: None,
        case: Arc::new(Case {
            name: case.name.clone(),
            since: case.since.clone(),
            level: level as i32,
            spec: case.spec.clone(),
            ..Case::default()
        }),
    }
}

fn check(case: &HostCase) -> Vec<String> {
    let mut faults = Vec::new();
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if case.name.is_empty() || !case.name.bytes().all(plain) {
        faults.push("names are lower-case letters, digits and dashes".to_owned());
    }
    if !case.level.is_empty() && Level::from_str_name(&case.level).is_none() {
        faults.push(format!("no level {:?}", case.level));
    }
    for need in &case.needs {
        if !FEATURES.contains(&need.trim_start_matches('!')) {
            faults.push(format!("needs names no feature of hosts: {need:?}"));
        }
    }
    for capability in case.engine.capabilities.iter().flatten() {
        faults.extend(proto::enum_number("Capability", capability).err());
    }
    if case.steps.is_empty() {
        faults.push("there are no steps".to_owned());
    }
    let mut labels = BTreeSet::new();
    for (index, step) in case.steps.iter().enumerate() {
        let mut fault = |what: String| faults.push(format!("steps[{index}]: {what}"));
        let verbs = step.verbs();
        if verbs.len() > 1 {
            fault(format!("several verbs: {}", verbs.join(", ")));
        }
        if verbs.is_empty() && !step.label.is_empty() {
            fault("a label needs a verb".to_owned());
        }
        for known in [&step.wait, step.cancel.as_ref().unwrap_or(&String::new())] {
            if !known.is_empty() && !labels.contains(known) {
                fault(format!("no step before has the label {known:?}"));
            }
        }
        if !step.label.is_empty() && !labels.insert(step.label.clone()) {
            fault(format!("two steps have the label {:?}", step.label));
        }
        if !verbs.is_empty() && !step.wait.is_empty() {
            fault("wait stands for itself".to_owned());
        }
        let judged = step.expects();
        if judged && (!step.label.is_empty() || verbs.is_empty() && step.wait.is_empty()) {
            fault("expectations belong to the step that waits".to_owned());
        }
        if verbs.is_empty()
            && step.wait.is_empty()
            && step.engine.is_empty()
            && step.events.is_none()
        {
            fault("nothing happens".to_owned());
        }
        for (at, engine) in step.engine.iter().enumerate() {
            if engine.verbs() != 1 {
                fault(format!("engine[{at}] has {} verbs", engine.verbs()));
            }
            if !["", "END", "DROP"].contains(&engine.end.as_str()) {
                fault(format!("engine[{at}]: end is END or DROP"));
            }
        }
    }
    faults
}

impl HostCase {
    /// True if it writes bytes that are no message, which a WebSocket does not carry.
    pub fn needs_stream(&self) -> bool {
        let mut steps = self.steps.iter().flat_map(|step| &step.engine);
        steps.any(|step| step.cut.is_some() || step.bytes_hex.is_some())
    }

    fn is_scripted(&self) -> bool {
        let setup = &self.engine;
        setup.capabilities.is_some()
            || !setup.limits.is_empty()
            || self.steps.iter().any(|step| !step.engine.is_empty())
    }
}

/// What ids of cases begin with that are played by a host and an engine together.
pub const PAIR: &str = "pair/";

impl HostStep {
    /// The commands it has.
    pub fn verbs(&self) -> Vec<&'static str> {
        let all = [
            ("open", self.open.is_some()),
            ("exec", self.exec.is_some()),
            ("batch", self.batch.is_some()),
            ("stream", self.stream.is_some()),
            ("export", self.export.is_some()),
            ("close", self.close.is_some()),
            ("cancel", self.cancel.is_some()),
            ("drop", self.drop.is_some()),
        ];
        all.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect()
    }

    fn expects(&self) -> bool {
        self.rows.is_some()
            || self.columns.is_some()
            || self.changes.is_some()
            || self.last_insert_rowid.is_some()
            || self.error.is_some()
            || self.results.is_some()
            || self.image.is_some()
            || self.opened.is_some()
    }
}

impl EngineStep {
    fn verbs(&self) -> usize {
        [
            self.expect.is_some(),
            self.reply.is_some(),
            self.event.is_some(),
            self.frame.is_some(),
            self.frame_hex.is_some(),
            self.bytes_hex.is_some(),
            !self.end.is_empty(),
            self.ended,
        ]
        .into_iter()
        .filter(|set| *set)
        .count()
    }
}

/// Tells a member that is null from one that is not there.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(case: Json) -> Vec<String> {
        check(&serde_json::from_value(case).unwrap())
    }

    #[test]
    fn mistakes_are_named() {
        use serde_json::json;
        for (steps, expected) in [
            (json!([]), "there are no steps"),
            (json!([{"exec": "a", "stream": "b"}]), "several verbs"),
            (json!([{"wait": "x"}]), "no step before has the label"),
            (json!([{"exec": "a", "label": "x", "rows": []}]), "belong to the step that waits"),
            (json!([{"engine": [{}]}]), "has 0 verbs"),
            (json!([{}]), "nothing happens"),
        ] {
            let found = faults(json!({"name": "n", "steps": steps}));
            assert!(found.iter().any(|fault| fault.contains(expected)), "{expected}: {found:?}");
        }
        assert!(faults(json!({"name": "N", "steps": [{"exec": "a"}]}))[0].contains("names are"));
        assert!(serde_json::from_value::<HostCase>(json!({"name": "n", "stepps": []})).is_err());
    }

    #[test]
    fn null_is_an_expectation() {
        let step: HostStep = serde_json::from_str(r#"{"exec": "a", "changes": null}"#).unwrap();
        assert_eq!((step.changes, step.last_insert_rowid), (Some(Json::Null), None));
    }

    #[test]
    fn our_own_cases_are_in_order() {
        let all = load_all(&Suite::embedded()).unwrap();
        assert!(all.loaded.len() > 20);
    }
}
