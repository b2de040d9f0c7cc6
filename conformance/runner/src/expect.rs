//! Compares what came with what a step expects.

use serde_json::{Map, Value as Json, json};

use prost_reflect::{DynamicMessage, Value};

use crate::case::schema::{
    ErrorMatch, EventMatch, ImageMatch, InitMatch, ReadsMatch, StateMatch, Step,
};
use crate::case::{json_of, json_of_list, json_of_struct};
use crate::expr::Vars;
use crate::proto::{self, Fields as _};
use crate::session::{Answer, error_name, error_summary, summary};
use crate::trace::shorten;
use crate::value::{Cell, Pattern, hex, int_from_json, unhex};

/// One difference.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The member of the step, such as "rows".
    pub member: &'static str,
    /// What was expected.
    pub expected: String,
    /// What came.
    pub actual: String,
    /// What `--bless` would write instead; `None` where it cannot.
    pub blessed: Option<Json>,
    /// `CODE/REASON` if an error came that nobody expected.
    pub error: Option<String>,
}

impl Difference {
    fn new(member: &'static str, expected: impl ToString, actual: impl ToString) -> Difference {
        Difference {
            member,
            expected: expected.to_string(),
            actual: actual.to_string(),
            blessed: None,
            error: None,
        }
    }

    fn bless(mut self, json: Json) -> Difference {
        self.blessed = Some(json);
        self
    }
}

/// What came for one request, or for one statement of a batch.
#[derive(Default)]
pub struct View<'a> {
    /// The whole response; absent for a statement of a batch.
    pub response: Option<&'a DynamicMessage>,
    /// The error, if that is what came.
    pub error: Option<&'a DynamicMessage>,
    /// `ExecResponse`.
    pub exec: Option<&'a DynamicMessage>,
    /// The batch.
    pub batch: Option<&'a DynamicMessage>,
    /// The rows; for several batches all of them.
    pub rows: Option<Vec<Vec<Cell>>>,
    /// Attachments of the response.
    pub attachments: &'a [Vec<u8>],
    /// A statement of a batch that was not run.
    pub missing: bool,
}

impl<'a> View<'a> {
    /// The view of a request's answers; the last one decides, rows add up.
    pub fn of(answers: &'a [Answer]) -> View<'a> {
        let Some(last) = answers.last() else {
            return View::default();
        };
        let response = &last.response;
        let exec = response.msg("exec");
        View {
            response: Some(response),
            error: response.msg("error"),
            exec,
            batch: exec.or_else(|| response.msg("fetch")).and_then(|answer| answer.msg("batch")),
            rows: answers.iter().filter_map(|answer| answer.rows.clone()).reduce(
                |mut all, more| {
                    all.extend(more);
                    all
                },
            ),
            attachments: &last.attachments,
            missing: false,
        }
    }

    /// The view of one statement of a batch; `None` if it was not run.
    pub fn of_item(item: Option<&'a DynamicMessage>) -> View<'a> {
        let Some(item) = item else {
            return View { missing: true, ..View::default() };
        };
        let exec = item.msg("ok");
        let batch = exec.and_then(|exec| exec.msg("batch"));
        View {
            error: item.msg("error"),
            exec,
            batch,
            rows: batch.and_then(|batch| crate::batch::decode(batch).ok()),
            ..View::default()
        }
    }

    /// One line about what came.
    pub fn summary(&self) -> String {
        match (self.error, self.response, self.exec) {
            (Some(error), ..) => error_summary(error),
            (None, Some(response), _) => summary(response),
            (None, None, Some(_)) => "exec".to_owned(),
            (None, None, None) if self.missing => "nothing: it was not run".to_owned(),
            (None, None, None) => "no answer".to_owned(),
        }
    }

    /// The part of the answer that a `bind` names.
    pub fn part(&self, path: &str) -> Result<Cell, String> {
        let int = |value: Option<i128>| match value {
            Some(value) => Ok(match i64::try_from(value) {
                Ok(value) => Cell::Integer(value),
                Err(_) => Cell::Text(value.to_string().into_bytes()),
            }),
            None => Err(format!("the answer has no {path}: {}", self.summary())),
        };
        match path {
            "cursor" | "changes" | "last_insert_rowid" => {
                int(self.exec.and_then(|exec| exec.opt_int(path)))
            }
            "state.commit_seq" | "state.saved_seq" => {
                let state = self.response.and_then(|response| response.msg("state"));
                int(state.map(|state| state.int(&path["state.".len()..])))
            }
            "export.commit_seq" => int(self
                .response
                .and_then(|response| response.msg("export"))
                .map(|export| export.int("commit_seq"))),
            "image" => self
                .image()
                .map(|image| Cell::Blob(image.to_vec()))
                .ok_or_else(|| format!("the answer has no image: {}", self.summary())),
            _ => {
                let (row, column) = path
                    .strip_prefix("rows[")
                    .and_then(|rest| rest.strip_suffix(']'))
                    .and_then(|rest| rest.split_once("]["))
                    .and_then(|(row, column)| {
                        Some((row.parse::<usize>().ok()?, column.parse::<usize>().ok()?))
                    })
                    .ok_or_else(|| format!("{path:?} cannot be bound"))?;
                self.rows
                    .as_ref()
                    .and_then(|rows| rows.get(row)?.get(column))
                    .cloned()
                    .ok_or_else(|| format!("the answer has no {path}: {}", self.summary()))
            }
        }
    }

    fn image(&self) -> Option<&[u8]> {
        let export = self.response?.msg("export")?;
        self.attachments.get(export.int("image_attachment") as usize).map(Vec::as_slice)
    }
}

/// Compares an answer with the expectations of a step. `lenient` accepts an error that the step itself does not expect,
/// because alternatives will judge it.
pub fn check(
    step: &Step,
    view: &View<'_>,
    vars: &Vars,
    lenient: bool,
) -> Result<Vec<Difference>, String> {
    let mut found = Vec::new();
    if step.not_run != view.missing {
        let (expected, actual) = if step.not_run {
            ("not to be run".to_owned(), view.summary())
        } else {
            ("to be run".to_owned(), view.summary())
        };
        found.push(Difference::new("not_run", expected, actual));
        return Ok(found);
    }
    match (&step.error, view.error) {
        (Some(wanted), Some(error)) => found.extend(check_error("error", wanted, error, vars)?),
        (Some(wanted), None) => {
            found.push(Difference::new("error", describe_error(wanted), view.summary()));
        }
        (None, Some(error)) if !lenient => {
            let mut difference =
                Difference::new("error", "success", error_summary(error)).bless(error_json(error));
            difference.error = Some(error_name(error));
            found.push(difference);
        }
        _ => {}
    }
    if view.error.is_none() {
        found.extend(check_rows(step, view, vars)?);
        found.extend(check_exec(step, view, vars)?);
        found.extend(check_others(step, view, vars)?);
    }
    if let Some(wanted) = &step.state {
        let state = view.response.and_then(|response| response.msg("state"));
        found.extend(check_state(wanted, state, vars)?);
    }
    if let (Some(wanted), Some(response)) = (&step.response, view.response) {
        let wanted = json_of_struct(wanted);
        let actual = full_json(response);
        if let Some(path) = first_unlike(&wanted, &actual, "response") {
            found.push(Difference::new("response", format!("{wanted} ({path})"), actual));
        }
    }
    Ok(found)
}

/// Compares events with an exact list.
pub fn check_events(
    wanted: &[Json],
    events: &[DynamicMessage],
    vars: &Vars,
) -> Result<Vec<Difference>, String> {
    let mut same = wanted.len() == events.len();
    for (wanted, event) in wanted.iter().zip(events) {
        let wanted: EventMatch = crate::case::from_json("EventMatch", wanted)?;
        same &= event_matches(&wanted, event, vars)?;
    }
    if same {
        return Ok(Vec::new());
    }
    let list = |items: Vec<String>| format!("[{}]", items.join(", "));
    Ok(vec![
        Difference::new(
            "expect_events",
            list(wanted.iter().map(Json::to_string).collect()),
            list(events.iter().map(|event| event_json(event).to_string()).collect()),
        )
        .bless(Json::Array(events.iter().map(event_json).collect())),
    ])
}

/// Compares an error with what is wanted of it.
pub fn check_error(
    member: &'static str,
    wanted: &ErrorMatch,
    error: &DynamicMessage,
    vars: &Vars,
) -> Result<Vec<Difference>, String> {
    let mut faults = Vec::new();
    let code = proto::enum_name("ErrorCode", error.int("code") as i32);
    if !wanted.code.is_empty()
        && proto::enum_number("ErrorCode", &wanted.code)? as i128 != error.int("code")
    {
        faults.push(format!("code {code}"));
    }
    if !wanted.reason.is_empty() && wanted.reason != error.text("reason") {
        faults.push(format!("reason {}", error.text("reason")));
    }
    for (name, value) in
        [("sqlite_code", wanted.sqlite_code), ("sqlite_extended_code", wanted.sqlite_extended_code)]
    {
        if value.is_some_and(|value| i128::from(value) != error.int(name)) {
            faults.push(format!("{name} {}", error.int(name)));
        }
    }
    for (name, value) in [("sql_offset", &wanted.sql_offset), ("batch_index", &wanted.batch_index)]
    {
        let Some(value) = value else { continue };
        let actual = error.opt_int(name);
        let value = match json_of(value) {
            Json::Null => None,
            other => Some(int_from_json(&other, vars)?),
        };
        if value != actual {
            faults.push(format!("{name} {}", or_absent(actual)));
        }
    }
    if let Some(subject) = &wanted.subject
        && vars.fill(subject)? != error.text("subject")
    {
        faults.push(format!("subject {:?}", error.text("subject")));
    }
    if wanted.retryable.is_some_and(|retryable| retryable != error.flag("retryable")) {
        faults.push(format!("retryable {}", error.flag("retryable")));
    }
    if !error.text("message").contains(&vars.fill(&wanted.message_contains)?) {
        faults.push(format!("message {:?}", error.text("message")));
    }
    if faults.is_empty() {
        return Ok(Vec::new());
    }
    let mut difference = Difference::new(
        member,
        describe_error(wanted),
        format!("{} (differs: {})", error_summary(error), faults.join(", ")),
    )
    .bless(error_json(error));
    difference.error = Some(error_name(error));
    Ok(vec![difference])
}

/// A difference that `--bless` cannot write down.
pub fn unlike(
    member: &'static str,
    expected: impl ToString,
    actual: impl ToString,
) -> Vec<Difference> {
    vec![Difference::new(member, expected, actual)]
}

/// Compares facts member by member.
pub fn check_facts(wanted: &Map<String, Json>, actual: &Map<String, Json>) -> Vec<Difference> {
    wanted
        .iter()
        .filter(|(name, value)| actual.get(*name) != Some(value))
        .map(|(name, value)| {
            Difference::new(
                "facts",
                format!("{name}: {value}"),
                match actual.get(name) {
                    Some(value) => format!("{name}: {value}"),
                    None => format!("no such fact among {}", Json::Object(actual.clone())),
                },
            )
        })
        .collect()
}

/// An error as a case would expect it.
pub fn error_json(error: &DynamicMessage) -> Json {
    let mut out = json!({
        "code": proto::enum_name("ErrorCode", error.int("code") as i32),
        "reason": error.text("reason"),
    });
    if error.int("sqlite_extended_code") != 0 {
        out["sqlite_extended_code"] = json!(error.int("sqlite_extended_code") as i64);
    }
    for name in ["sql_offset", "batch_index"] {
        if let Some(value) = error.opt_int(name) {
            out[name] = json!(value as i64);
        }
    }
    if !error.text("subject").is_empty() {
        out["subject"] = json!(error.text("subject"));
    }
    out
}

fn check_rows(step: &Step, view: &View<'_>, vars: &Vars) -> Result<Vec<Difference>, String> {
    let mut found = Vec::new();
    let empty = Vec::new();
    let actual = view.rows.as_ref().unwrap_or(&empty);
    let blessed = || {
        Json::Array(
            actual.iter().map(|row| Json::Array(row.iter().map(Cell::to_json).collect())).collect(),
        )
    };

    if step.rows.is_some() || step.rows_generated.is_some() {
        let mut wanted = Vec::new();
        for row in step.rows.iter().flat_map(json_of_list) {
            wanted.push(pattern_row(&row, vars)?);
        }
        if let Some(generated) = &step.rows_generated {
            let count = generated.count.as_ref().map(json_of).unwrap_or_default();
            let row = Json::Array(generated.row.iter().flat_map(json_of_list).collect());
            let mut vars = vars.clone();
            for i in 0..int_from_json(&count, &vars)? {
                vars.set_int("i", i);
                wanted.push(pattern_row(&row, &vars)?);
            }
        }
        if let Some((expected, came)) = compare_rows(&wanted, actual) {
            found.push(Difference::new("rows", expected, came).bless(blessed()));
        }
    }
    if let Some(rows) = &step.rows_any_order {
        let mut wanted = Vec::new();
        for row in json_of_list(rows) {
            wanted.push(pattern_row(&row, vars)?);
        }
        let mut left: Vec<&Vec<Cell>> = actual.iter().collect();
        wanted.retain(|row| match left.iter().position(|cells| row_matches(row, cells)) {
            Some(at) => {
                left.swap_remove(at);
                false
            }
            None => true,
        });
        if !wanted.is_empty() || !left.is_empty() {
            found.push(
                Difference::new(
                    "rows_any_order",
                    format!("also {}", show_rows(wanted.iter().map(|row| show_row(row)))),
                    format!(
                        "instead {}, {} rows in all",
                        show_rows(left.iter().map(|row| show_row(row))),
                        actual.len()
                    ),
                )
                .bless(blessed()),
            );
        }
    }
    if let Some(count) = &step.row_count {
        let wanted = int_from_json(&json_of(count), vars)?;
        if wanted != actual.len() as i128 {
            found.push(
                Difference::new(
                    "row_count",
                    format!("{wanted} rows"),
                    format!("{} rows", actual.len()),
                )
                .bless(json!(actual.len())),
            );
        }
    }
    Ok(found)
}

fn check_exec(step: &Step, view: &View<'_>, vars: &Vars) -> Result<Vec<Difference>, String> {
    let mut found = Vec::new();
    if let Some(columns) = &step.columns {
        let actual: Vec<&DynamicMessage> = view
            .exec
            .map(|exec| exec.items("columns"))
            .unwrap_or_default()
            .iter()
            .filter_map(Value::as_message)
            .collect();
        let wanted = json_of_list(columns);
        let mut same = wanted.len() == actual.len();
        for (wanted, column) in wanted.iter().zip(&actual) {
            same &= match wanted {
                Json::String(name) => vars.fill(name)? == column.text("name"),
                Json::Object(members) => {
                    let name = members.get("name").and_then(Json::as_str).unwrap_or_default();
                    vars.fill(name)? == column.text("name")
                        && match members.get("decl_type") {
                            None => true,
                            Some(Json::Null) => !column.has_field_by_name("decl_type"),
                            Some(Json::String(text)) => {
                                column.has_field_by_name("decl_type")
                                    && column.text("decl_type") == text
                            }
                            Some(other) => {
                                return Err(format!("decl_type {other} is neither text nor null"));
                            }
                        }
                }
                other => return Err(format!("{other} describes no column")),
            };
        }
        if !same {
            let shown: Vec<Json> = actual
                .iter()
                .map(|column| {
                    let decl_type = column
                        .has_field_by_name("decl_type")
                        .then(|| column.text("decl_type").to_owned());
                    json!({ "name": column.text("name"), "decl_type": decl_type })
                })
                .collect();
            let names = actual.iter().map(|column| json!(column.text("name"))).collect();
            let blessed = if wanted.iter().any(Json::is_object) {
                Json::Array(shown.clone())
            } else {
                Json::Array(names)
            };
            found.push(
                Difference::new(
                    "columns",
                    shorten(&Json::Array(wanted).to_string(), 600),
                    shorten(&Json::Array(shown).to_string(), 600),
                )
                .bless(blessed),
            );
        }
    }
    for (member, wanted) in
        [("changes", &step.changes), ("last_insert_rowid", &step.last_insert_rowid)]
    {
        let Some(wanted) = wanted else { continue };
        let wanted = match json_of(wanted) {
            Json::Null => None,
            other => Some(int_from_json(&other, vars)?),
        };
        let actual = view.exec.and_then(|exec| exec.opt_int(member));
        if wanted != actual {
            found.push(Difference::new(member, or_absent(wanted), or_absent(actual)).bless(
                match actual {
                    Some(value) => json!(value.to_string()),
                    None => Json::Null,
                },
            ));
        }
    }
    if let Some(wanted) = &step.cursor {
        let wanted = match json_of(wanted) {
            Json::Bool(wanted) => wanted,
            Json::Null => false,
            other => return Err(format!("cursor is true, false or null, not {other}")),
        };
        let actual = view.exec.and_then(|exec| exec.opt_int("cursor"));
        if wanted != actual.is_some() {
            found.push(
                Difference::new(
                    "cursor",
                    if wanted { "a cursor" } else { "no cursor" },
                    or_absent(actual),
                )
                .bless(json!(actual.is_some())),
            );
        }
    }
    if let Some(wanted) = &step.reads {
        found.extend(check_reads(
            &json_of(wanted),
            view.exec.and_then(|exec| exec.msg("reads")),
            vars,
        )?);
    }
    if let Some(layout) = &step.layout {
        let wanted = json_of_list(layout);
        let columns: Vec<Json> = view
            .batch
            .map(|batch| batch.items("columns"))
            .unwrap_or_default()
            .iter()
            .filter_map(Value::as_message)
            .map(layout_json)
            .collect();
        let mut same = wanted.len() == columns.len();
        for (wanted, actual) in wanted.iter().zip(&columns) {
            let Json::Object(members) = wanted else {
                return Err(format!("{wanted} describes no column's layout"));
            };
            for (name, value) in members {
                let value = match (name.as_str(), value) {
                    ("ints" | "reals" | "text" | "blobs" | "lens", Json::String(digits)) => {
                        json!(hex(&unhex(digits)?))
                    }
                    _ => value.clone(),
                };
                same &= actual.get(name) == Some(&value);
            }
        }
        if !same {
            found.push(Difference::new(
                "layout",
                Json::Array(wanted),
                shorten(&Json::Array(columns).to_string(), 600),
            ));
        }
    }
    Ok(found)
}

fn check_others(step: &Step, view: &View<'_>, vars: &Vars) -> Result<Vec<Difference>, String> {
    let mut found = Vec::new();
    let Some(response) = view.response else {
        return Ok(found);
    };
    if let Some(wanted) = step.done {
        let actual = response.msg("fetch").map(|fetch| fetch.flag("done"));
        if actual != Some(wanted) {
            found.push(
                Difference::new(
                    "done",
                    wanted,
                    actual.map_or("no fetch".to_owned(), |done| done.to_string()),
                )
                .bless(json!(actual)),
            );
        }
    }
    if !step.outcome.is_empty() {
        let actual = response
            .msg("cancel")
            .map(|cancel| proto::enum_name("CancelOutcome", cancel.int("outcome") as i32));
        if actual.as_ref() != Some(&step.outcome) {
            found.push(
                Difference::new(
                    "outcome",
                    &step.outcome,
                    actual.clone().unwrap_or_else(|| view.summary()),
                )
                .bless(json!(actual)),
            );
        }
    }
    if let Some(wanted) = &step.saved_seq {
        let wanted = int_from_json(&json_of(wanted), vars)?;
        let actual = response.msg("save").map(|save| save.int("saved_seq"));
        if actual != Some(wanted) {
            found.push(Difference::new("saved_seq", wanted, or_absent(actual)));
        }
    }
    if let Some(wanted) = &step.opened {
        found.extend(check_opened(wanted, response.msg("init"), vars)?);
    }
    if let Some(wanted) = &step.image {
        found.extend(check_image(wanted, view, vars)?);
    }
    Ok(found)
}

fn check_state(
    wanted: &StateMatch,
    state: Option<&DynamicMessage>,
    vars: &Vars,
) -> Result<Vec<Difference>, String> {
    let Some(state) = state else {
        return Ok(vec![Difference::new("state", "a state", "none")]);
    };
    let mut wrong = Vec::new();
    if wanted.in_transaction.is_some_and(|flag| flag != state.flag("in_transaction")) {
        wrong.push(format!("in_transaction {}", !state.flag("in_transaction")));
    }
    for (name, value) in [("commit_seq", &wanted.commit_seq), ("saved_seq", &wanted.saved_seq)] {
        if let Some(value) = value {
            let value = int_from_json(&json_of(value), vars)?;
            if value != state.int(name) {
                wrong.push(format!("{name} {value}"));
            }
        }
    }
    if wrong.is_empty() {
        return Ok(Vec::new());
    }
    let mut blessed = json!({ "in_transaction": state.flag("in_transaction") });
    for name in ["commit_seq", "saved_seq"] {
        blessed[name] = json!(state.int(name).to_string());
    }
    Ok(vec![Difference::new("state", wrong.join(", "), &blessed).bless(blessed.clone())])
}

fn check_opened(
    wanted: &InitMatch,
    init: Option<&DynamicMessage>,
    vars: &Vars,
) -> Result<Vec<Difference>, String> {
    let Some(init) = init else {
        return Ok(vec![Difference::new("opened", "an InitResponse", "none")]);
    };
    let capabilities: Vec<i32> =
        init.items("capabilities").iter().filter_map(Value::as_enum_number).collect();
    let mut wrong = Vec::new();
    if wanted.minor.is_some_and(|minor| i128::from(minor) != init.int("minor")) {
        wrong.push(format!("minor {}", wanted.minor.unwrap_or_default()));
    }
    for name in &wanted.capabilities {
        if !capabilities.contains(&proto::enum_number("Capability", name)?) {
            wrong.push(format!("capability {name}"));
        }
    }
    for name in &wanted.no_capabilities {
        if capabilities.contains(&proto::enum_number("Capability", name)?) {
            wrong.push(format!("no capability {name}"));
        }
    }
    let storage = match wanted.storage.as_str() {
        "TEST" => vars.fill("${storage_kind}")?,
        kind => kind.to_owned(),
    };
    if !storage.is_empty()
        && i128::from(proto::enum_number("StorageKind", &storage)?) != init.int("storage")
    {
        wrong.push(format!("storage {storage}"));
    }
    if let Some(version) = &wanted.schema_version
        && version != init.text("schema_version")
    {
        wrong.push(format!("schema_version {version:?}"));
    }
    if wanted.restored.is_some_and(|flag| flag != init.flag("restored")) {
        wrong.push(format!("restored {}", !init.flag("restored")));
    }
    if wanted.complete {
        for name in ["engine_name", "engine_version", "sqlite_version"] {
            if init.text(name).is_empty() {
                wrong.push(format!("a value in {name}"));
            }
        }
        let limits = init.msg("limits");
        for field in proto::message("Limits").fields() {
            if limits.is_none_or(|limits| limits.int(field.name()) == 0) {
                wrong.push(format!("a limit {}", field.name()));
            }
        }
    }
    Ok(if wrong.is_empty() {
        Vec::new()
    } else {
        vec![Difference::new("opened", wrong.join(", "), full_json(init))]
    })
}

fn check_image(
    wanted: &ImageMatch,
    view: &View<'_>,
    vars: &Vars,
) -> Result<Vec<Difference>, String> {
    let Some(image) = view.image() else {
        return Ok(vec![Difference::new("image", "an image", view.summary())]);
    };
    let mut found = Vec::new();
    if wanted.database
        && let Err(why) = sound_header(image)
    {
        found.push(Difference::new("image", "an SQLite database", why));
    }
    if let Some(len) = &wanted.len {
        let len = int_from_json(&json_of(len), vars)?;
        if len != image.len() as i128 {
            found.push(Difference::new(
                "image",
                format!("{len} bytes"),
                format!("{} bytes", image.len()),
            ));
        }
    }
    if let Some(commit_seq) = &wanted.commit_seq {
        let commit_seq = int_from_json(&json_of(commit_seq), vars)?;
        let actual = view
            .response
            .and_then(|response| response.msg("export"))
            .map(|export| export.int("commit_seq"));
        if actual != Some(commit_seq) {
            found.push(Difference::new(
                "image",
                format!("commit_seq {commit_seq}"),
                format!("commit_seq {}", or_absent(actual)),
            ));
        }
    }
    if !wanted.equals.is_empty() {
        match vars.get(&wanted.equals)? {
            Cell::Blob(bytes) if bytes == image => {}
            Cell::Blob(bytes) => found.push(Difference::new(
                "image",
                format!("the {} bytes of {}", bytes.len(), wanted.equals),
                format!("{} other bytes", image.len()),
            )),
            other => return Err(format!("{} is {other}, not an image", wanted.equals)),
        }
    }
    Ok(found)
}

/// What a database header promises about the whole file.
fn sound_header(image: &[u8]) -> Result<(), String> {
    if !image.starts_with(b"SQLite format 3\0") || image.len() < 100 {
        return Err(format!(
            "{} bytes that start with {}",
            image.len(),
            hex(&image[..image.len().min(16)])
        ));
    }
    let page_size = match u16::from_be_bytes([image[16], image[17]]) {
        1 => 65536,
        size => usize::from(size),
    };
    let pages = u32::from_be_bytes([image[28], image[29], image[30], image[31]]) as usize;
    if page_size < 512 || !page_size.is_power_of_two() || pages * page_size != image.len() {
        return Err(format!(
            "{} bytes, though the header says {pages} pages of {page_size}",
            image.len()
        ));
    }
    Ok(())
}

/// What a result depends on, from the side of the commits: which of their rows it has to react to.
fn check_reads(
    wanted: &Json,
    actual: Option<&DynamicMessage>,
    vars: &Vars,
) -> Result<Option<Difference>, String> {
    let differs = |wanted: String| {
        let shown =
            actual.map_or_else(|| "none".to_owned(), |reads| proto::to_json(reads).to_string());
        Ok(Some(Difference::new("reads", wanted, shorten(&shown, 600))))
    };
    if wanted.is_null() {
        return if actual.is_some() { differs("none".to_owned()) } else { Ok(None) };
    }
    let wanted: ReadsMatch = crate::case::from_json("ReadsMatch", wanted)?;
    let Some(reads) = actual else { return differs("what the result depends on".to_owned()) };
    let any_commit = reads.flag("any_commit");
    if let Some(any) = wanted.any_commit
        && any != any_commit
    {
        return differs(format!("any_commit {any}"));
    }
    for (keys, matches) in [(&wanted.depends, true), (&wanted.ignores, false)] {
        for key in keys {
            let mut row = Vec::new();
            for (column, text) in [
                ("schema_key", &key.schema_key),
                ("version_id", &key.version_id),
                ("file_id", &key.file_id),
                ("entity_id", &key.entity_id),
            ] {
                let text = vars.fill(text)?;
                let is_own = column == "file_id" && text.is_empty();
                row.push((column, if is_own { "lix".to_owned() } else { text }));
            }
            let is_matched =
                reads.items("reads").iter().filter_map(Value::as_message).any(|read| {
                    row.iter().all(|(column, text)| {
                        read.text(column).is_empty() || read.text(column) == text
                    })
                });
            if (any_commit || is_matched) != matches {
                let verb = if matches { "a read" } else { "no read" };
                return differs(format!("{verb} of {row:?}"));
            }
        }
    }
    Ok(None)
}

fn event_matches(wanted: &EventMatch, event: &DynamicMessage, vars: &Vars) -> Result<bool, String> {
    if let Some(commit_seq) = &wanted.commit {
        let commit_seq = int_from_json(&json_of(commit_seq), vars)?;
        let Some(commit) = event.msg("commit") else { return Ok(false) };
        return Ok(commit.int("commit_seq") == commit_seq
            && wanted.truncated.is_none_or(|truncated| truncated == commit.flag("truncated"))
            && wanted.any_read.is_none_or(|any_read| any_read == commit.flag("any_read"))
            && match &wanted.rows {
                Some(rows) => commit_rows_match(&json_of_list(rows), commit, vars)?,
                None => true,
            });
    }
    if !wanted.autosave.is_empty() {
        let Some(autosave) = event.msg("autosave") else {
            return Ok(false);
        };
        let mut same = i128::from(proto::enum_number("AutosavePhase", &wanted.autosave)?)
            == autosave.int("phase");
        if let Some(commit_seq) = &wanted.commit_seq {
            same &= int_from_json(&json_of(commit_seq), vars)? == autosave.int("commit_seq");
        }
        if let Some(error) = &wanted.error {
            same &= match autosave.msg("error") {
                Some(actual) => check_error("error", error, actual, vars)?.is_empty(),
                None => false,
            };
        }
        return Ok(same);
    }
    if !wanted.plugin.is_empty() {
        return Ok(event
            .msg("plugin")
            .is_some_and(|plugin| plugin.text("plugin_key") == wanted.plugin));
    }
    Err("an event without a kind is expected".to_owned())
}

/// The columns and rows of a commit event; none if it lists none.
fn commit_rows(commit: &DynamicMessage) -> Option<(Vec<String>, Vec<Vec<Cell>>)> {
    let rows = crate::batch::decode(commit.msg("changes")?).ok()?;
    let name = |column: &Value| column.as_message().map(|column| column.text("name").to_owned());
    Some((commit.items("columns").iter().filter_map(name).collect(), rows))
}

fn commit_rows_match(
    wanted: &[Json],
    commit: &DynamicMessage,
    vars: &Vars,
) -> Result<bool, String> {
    let Some((columns, rows)) = commit_rows(commit) else { return Ok(false) };
    let mut same = wanted.len() == rows.len();
    for (wanted, row) in wanted.iter().zip(&rows) {
        let Json::Object(members) = wanted else {
            return Err(format!("{wanted} is no row of a commit event"));
        };
        for (name, cell) in members {
            let pattern = Pattern::from_json(cell, vars)?;
            let column = columns.iter().position(|column| column == name);
            same &= column.is_some_and(|column| pattern.matches(&row[column]));
        }
    }
    Ok(same)
}

fn event_json(event: &DynamicMessage) -> Json {
    if let Some(commit) = event.msg("commit") {
        let mut json = json!({ "commit": commit.int("commit_seq").to_string() });
        if let Some((columns, rows)) = commit_rows(commit) {
            let row = |cells: &Vec<Cell>| -> Json {
                columns.iter().cloned().zip(cells.iter().map(Cell::to_json)).collect()
            };
            json["rows"] = rows.iter().map(row).collect();
        }
        return json;
    }
    if let Some(autosave) = event.msg("autosave") {
        return json!({
            "autosave": proto::enum_name("AutosavePhase", autosave.int("phase") as i32),
            "commit_seq": autosave.int("commit_seq").to_string(),
        });
    }
    if let Some(plugin) = event.msg("plugin") {
        return json!({ "plugin": plugin.text("plugin_key") });
    }
    proto::to_json(event)
}

fn pattern_row(row: &Json, vars: &Vars) -> Result<Vec<Pattern>, String> {
    match row {
        Json::Array(cells) => cells.iter().map(|cell| Pattern::from_json(cell, vars)).collect(),
        other => Err(format!("{other} is no row")),
    }
}

fn row_matches(wanted: &[Pattern], cells: &[Cell]) -> bool {
    wanted.len() == cells.len()
        && wanted.iter().zip(cells).all(|(wanted, cell)| wanted.matches(cell))
}

/// Expected and actual text if the rows differ: all rows if they are few, otherwise the first that differs.
fn compare_rows(wanted: &[Vec<Pattern>], actual: &[Vec<Cell>]) -> Option<(String, String)> {
    let different =
        wanted.iter().zip(actual).position(|(wanted, cells)| !row_matches(wanted, cells));
    if different.is_none() && wanted.len() == actual.len() {
        return None;
    }
    if wanted.len() <= SHOWN_ROWS && actual.len() <= SHOWN_ROWS {
        return Some((
            show_rows(wanted.iter().map(|row| show_row(row))),
            show_rows(actual.iter().map(|row| show_row(row))),
        ));
    }
    let at = different.unwrap_or(wanted.len().min(actual.len()));
    let nth = |row: Option<String>, len: usize| match row {
        Some(row) => format!("row {at} of {len}: {row}"),
        None => format!("{len} rows"),
    };
    Some((
        nth(wanted.get(at).map(|row| show_row(row)), wanted.len()),
        nth(actual.get(at).map(|row| show_row(row)), actual.len()),
    ))
}

fn show_row<T: ToString>(row: &[T]) -> String {
    let cells: Vec<String> = row.iter().map(T::to_string).collect();
    shorten(&format!("[{}]", cells.join(", ")), 500)
}

fn show_rows(rows: impl Iterator<Item = String>) -> String {
    let rows: Vec<String> = rows.take(SHOWN_ROWS + 1).collect();
    match rows.len() {
        0 => "[]".to_owned(),
        1 => format!("[{}]", rows[0]),
        n if n > SHOWN_ROWS => format!("[{}, …]", rows[..SHOWN_ROWS].join(", ")),
        _ => format!("[{}]", rows.join(", ")),
    }
}

fn layout_json(column: &DynamicMessage) -> Json {
    let class = |number: i32| proto::enum_name("StorageClass", number);
    json!({
        "uniform": class(column.int("uniform") as i32),
        "classes": column.bytes("classes").iter().map(|byte| class(i32::from(*byte))).collect::<Vec<_>>(),
        "int_width": column.int("int_width") as i64,
        "ints": hex(column.bytes("ints")),
        "reals": hex(column.bytes("reals")),
        "text": hex(column.bytes("text")),
        "blobs": hex(column.bytes("blobs")),
        "len_width": column.int("len_width") as i64,
        "lens": hex(column.bytes("lens")),
    })
}

fn describe_error(wanted: &ErrorMatch) -> String {
    let mut parts = vec![format!("{}/{}", wanted.code, wanted.reason)];
    if let Some(code) = wanted.sqlite_extended_code {
        parts.push(format!("sqlite_extended_code {code}"));
    }
    if let Some(code) = wanted.sqlite_code {
        parts.push(format!("sqlite_code {code}"));
    }
    if let Some(offset) = &wanted.sql_offset {
        parts.push(format!("sql_offset {}", json_of(offset)));
    }
    if let Some(index) = &wanted.batch_index {
        parts.push(format!("batch_index {}", json_of(index)));
    }
    if let Some(subject) = &wanted.subject {
        parts.push(format!("subject {subject:?}"));
    }
    if let Some(retryable) = wanted.retryable {
        parts.push(format!("retryable {retryable}"));
    }
    if !wanted.message_contains.is_empty() {
        parts.push(format!("a message with {:?}", wanted.message_contains));
    }
    parts.join(", ")
}

/// ProtoJSON with every field, so that a default can be expected.
fn full_json(message: &DynamicMessage) -> Json {
    let options = prost_reflect::SerializeOptions::new()
        .use_proto_field_name(true)
        .skip_default_fields(false);
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .expect("any message has a ProtoJSON form")
}

/// The path of the first member that is not as wanted; members that are not wanted are not looked at.
fn first_unlike(wanted: &Json, actual: &Json, path: &str) -> Option<String> {
    match (wanted, actual) {
        (Json::Object(wanted), Json::Object(actual)) => wanted.iter().find_map(|(name, value)| {
            let path = format!("{path}.{name}");
            first_unlike(value, actual.get(name).unwrap_or(&Json::Null), &path)
        }),
        (Json::Array(wanted), Json::Array(actual)) if wanted.len() == actual.len() => {
            wanted.iter().zip(actual).enumerate().find_map(|(index, (wanted, actual))| {
                first_unlike(wanted, actual, &format!("{path}[{index}]"))
            })
        }
        (Json::String(text), Json::Number(number)) | (Json::Number(number), Json::String(text))
            if *text == number.to_string() =>
        {
            None
        }
        (wanted, actual) if wanted == actual => None,
        _ => Some(path.to_owned()),
    }
}

fn or_absent(value: Option<i128>) -> String {
    value.map_or("absent".to_owned(), |value| value.to_string())
}

const SHOWN_ROWS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case;

    fn exec_answer(exec: Json) -> Answer {
        let response = proto::from_json(
            "Response",
            &json!({"state": {"in_transaction": true, "commit_seq": "3"}, "exec": exec}),
        )
        .unwrap();
        let rows = response
            .msg("exec")
            .and_then(|exec| exec.msg("batch"))
            .map(|batch| crate::batch::decode(batch).unwrap());
        Answer { response, attachments: Vec::new(), rows }
    }

    /// 1, 2 in column a
    fn two_rows() -> Answer {
        exec_answer(json!({
            "columns": [{"name": "a", "decl_type": "INT"}],
            "batch": {"row_count": 2, "columns": [{"uniform": "STORAGE_CLASS_INTEGER", "int_width": 1, "ints": "AQI="}]},
        }))
    }

    fn differing(answer: &Answer, step: Json) -> Vec<&'static str> {
        let step: Step = case::from_json("Step", &step).unwrap();
        let answers = [answer.clone()];
        check(&step, &View::of(&answers), &Vars::default(), false)
            .unwrap()
            .iter()
            .map(|difference| difference.member)
            .collect()
    }

    #[test]
    fn what_is_expected_is_compared() {
        let answer = two_rows();
        for (step, members) in [
            (json!({"rows": [[{"int": "1"}], [{"int": "2"}]]}), vec![]),
            (json!({"rows": [[{"int": "2"}], [{"int": "1"}]]}), vec!["rows"]),
            (json!({"rows": [[{"int": "1"}]]}), vec!["rows"]),
            (json!({"rows": []}), vec!["rows"]),
            (json!({"rows": [[{"int": "1"}], [{"real": "2"}]]}), vec!["rows"]),
            (json!({"rows": [[{"int": "1"}], [{"class": "INTEGER", "reason": "r"}]]}), vec![]),
            (json!({"rows_any_order": [[{"int": "2"}], [{"int": "1"}]]}), vec![]),
            (json!({"rows_any_order": [[{"int": "2"}], [{"int": "2"}]]}), vec!["rows_any_order"]),
            (json!({"rows_generated": {"count": 2, "row": [{"int": "${i+1}"}]}}), vec![]),
            (json!({"rows_generated": {"count": 3, "row": [{"int": "${i+1}"}]}}), vec!["rows"]),
            (json!({"row_count": 2}), vec![]),
            (json!({"row_count": "1+2"}), vec!["row_count"]),
            (json!({"columns": ["a"]}), vec![]),
            (json!({"columns": [{"name": "a", "decl_type": "INT"}]}), vec![]),
            (json!({"columns": [{"name": "a", "decl_type": null}]}), vec!["columns"]),
            (json!({"columns": []}), vec!["columns"]),
            (json!({"changes": null, "last_insert_rowid": null, "cursor": false}), vec![]),
            (json!({"changes": "0"}), vec!["changes"]),
            (json!({"cursor": true}), vec!["cursor"]),
            (json!({"state": {"in_transaction": true, "commit_seq": 3, "saved_seq": "0"}}), vec![]),
            (json!({"state": {"in_transaction": false}}), vec!["state"]),
            (json!({"state": {"commit_seq": "4"}}), vec!["state"]),
            (json!({"error": {"code": "INVALID"}}), vec!["error"]),
            (json!({"layout": [{"uniform": "INTEGER", "int_width": 1, "ints": "01 02"}]}), vec![]),
            (json!({"layout": [{"int_width": 2}]}), vec!["layout"]),
            (
                json!({"response": {"exec": {"batch": {"row_count": 2}}, "state": {"commit_seq": "3"}}}),
                vec![],
            ),
            (json!({"response": {"exec": {"batch": {"row_count": 1}}}}), vec!["response"]),
        ] {
            assert_eq!(differing(&answer, step.clone()), members, "{step}");
        }
        let depends = exec_answer(json!({"reads": {"reads": [
            {"schema_key": "kv", "version_id": "main", "entity_id": "a"},
            {"schema_key": "v", "version_id": "global", "file_id": "lix", "entity_id": "main"},
        ]}}));
        let of = |schema: &str, version: &str, entity: &str| json!([{"schema_key": schema, "version_id": version, "entity_id": entity}]);
        for (reads, members) in [
            (json!({"any_commit": false}), vec![]),
            (json!({"any_commit": true}), vec!["reads"]),
            (Json::Null, vec!["reads"]),
            (json!({"depends": of("kv", "main", "a"), "ignores": of("kv", "main", "b")}), vec![]),
            (
                json!({"depends": of("v", "global", "main"), "ignores": of("kv", "global", "a")}),
                vec![],
            ),
            (json!({"depends": of("kv", "main", "b")}), vec!["reads"]),
            (json!({"ignores": of("v", "global", "main")}), vec!["reads"]),
        ] {
            assert_eq!(differing(&depends, json!({ "reads": reads })), members, "{reads}");
        }
        let any = exec_answer(json!({"reads": {"any_commit": true}}));
        assert!(differing(&any, json!({"reads": {"depends": of("x", "y", "z")}})).is_empty());
        assert_eq!(differing(&any, json!({"reads": {"ignores": of("x", "y", "z")}})), ["reads"]);
        assert!(differing(&two_rows(), json!({ "reads": null })).is_empty());
        assert_eq!(differing(&two_rows(), json!({"reads": {"any_commit": true}})), ["reads"]);
        let write = exec_answer(json!({"changes": "2", "last_insert_rowid": "-7", "cursor": 4}));
        for (step, members) in [
            (
                json!({"changes": 2, "last_insert_rowid": "-7", "cursor": true, "rows": [], "columns": []}),
                vec![],
            ),
            (
                json!({"changes": null, "last_insert_rowid": null}),
                vec!["changes", "last_insert_rowid"],
            ),
        ] {
            assert_eq!(differing(&write, step.clone()), members, "{step}");
        }
    }

    #[test]
    fn errors_are_compared_member_by_member() {
        let error = json!({"code": "ERROR_CODE_CONSTRAINT", "reason": "UNIQUE", "message": "t.x is taken",
            "sqlite_code": 19, "sqlite_extended_code": 2067, "batch_index": 0, "subject": "s"});
        let answer = Answer {
            response: proto::from_json("Response", &json!({"error": error})).unwrap(),
            attachments: Vec::new(),
            rows: None,
        };
        for (wanted, same) in [
            (json!({"code": "CONSTRAINT", "reason": "UNIQUE"}), true),
            (json!({"code": "INVALID"}), false),
            (json!({"reason": "CHECK"}), false),
            (json!({"sqlite_code": 19, "sqlite_extended_code": 2067, "batch_index": 0}), true),
            (json!({"sqlite_extended_code": 19}), false),
            (json!({"sql_offset": null, "subject": "s", "retryable": false}), true),
            (json!({"sql_offset": 0}), false),
            (json!({"batch_index": null}), false),
            (json!({"subject": ""}), false),
            (json!({"retryable": true}), false),
            (json!({"message_contains": "t.x"}), true),
            (json!({"message_contains": "t.y"}), false),
        ] {
            let members = differing(&answer, json!({"error": wanted.clone()}));
            assert_eq!(members.is_empty(), same, "{wanted}");
        }
        assert_eq!(differing(&answer, json!({})), ["error"], "an error nobody expects");
    }

    #[test]
    fn parts_can_be_bound() {
        let answers = [two_rows()];
        let view = View::of(&answers);
        assert_eq!(view.part("rows[1][0]"), Ok(Cell::Integer(2)));
        assert_eq!(view.part("state.commit_seq"), Ok(Cell::Integer(3)));
        for path in ["rows[2][0]", "changes", "image", "rows", "nonsense"] {
            assert!(view.part(path).is_err(), "{path}");
        }
    }

    #[test]
    fn events_are_an_exact_list() {
        let commit = |n: u64| {
            proto::from_json("Event", &json!({"seq": "1", "commit": {"commit_seq": n.to_string()}}))
                .unwrap()
        };
        let same = |wanted: Json, events: &[DynamicMessage]| {
            check_events(wanted.as_array().unwrap(), events, &Vars::default()).unwrap().is_empty()
        };
        assert!(same(json!([]), &[]));
        assert!(same(json!([{"commit": "1"}, {"commit": 2}]), &[commit(1), commit(2)]));
        assert!(!same(json!([{"commit": "1"}]), &[commit(1), commit(2)]));
        assert!(!same(json!([{"commit": "2"}, {"commit": "1"}]), &[commit(1), commit(2)]));
        assert!(!same(json!([{"autosave": "SAVED"}]), &[commit(1)]));
        assert!(!same(json!([{"commit": 1, "rows": []}]), &[commit(1)]), "nothing is listed");
        let listing = proto::from_json(
            "Event",
            &json!({"commit": {"commit_seq": "1", "columns": [{"name": "a"}, {"name": "b"}], "changes": {
                "row_count": 1,
                "columns": [{"uniform": 4, "text": "eA==", "len_width": 1, "lens": "AQ=="}, {"uniform": 1}],
            }}}),
        )
        .unwrap();
        let lists =
            |rows: Json| same(json!([{"commit": 1, "rows": rows}]), std::slice::from_ref(&listing));
        assert!(lists(json!([{"a": {"text": "x"}, "b": null}])) && lists(json!([{}])));
        assert!(!lists(json!([{"a": {"text": "y"}}])) && !lists(json!([{"c": null}])));
        assert!(!lists(json!([])) && !lists(json!([{}, {}])));
    }

    #[test]
    fn a_header_has_to_fit_its_file() {
        let mut image = vec![0_u8; 8192];
        image[..16].copy_from_slice(b"SQLite format 3\0");
        image[16..18].copy_from_slice(&4096_u16.to_be_bytes());
        image[28..32].copy_from_slice(&2_u32.to_be_bytes());
        assert_eq!(sound_header(&image), Ok(()));
        assert!(sound_header(&image[..8191]).is_err());
        assert!(sound_header(&image[1..]).is_err());
    }
}
