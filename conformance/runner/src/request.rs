//! Builds requests and messages from steps.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use prost_reflect::{DynamicMessage, Value};
use serde_json::{Map, Value as Json, json};
use sha2::{Digest as _, Sha256};

use crate::case::schema::{self, Step, bytes::Source, mutation::Op, raw::Content};
use crate::case::{is_fixture, json_of, json_of_list, json_of_struct};
use crate::expr::Vars;
use crate::proto;
use crate::suite;
use crate::value::{Cell, Param, hex, int_from_json, unbase64, unhex, xorshift32};
use crate::wire::Message;

/// A request and what travels beside it.
pub struct Built {
    /// The `Request`.
    pub request: DynamicMessage,
    /// Its attachments.
    pub attachments: Vec<Vec<u8>>,
}

/// What building needs to know.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Variables.
    pub vars: &'a Vars,
    /// Where fixtures are.
    pub dir: &'a Path,
    /// Which fixture plugins there are.
    pub plugins: Option<Plugins<'a>>,
}

/// The fixture plugins of one format.
#[derive(Clone, Copy)]
pub struct Plugins<'a> {
    /// The format.
    pub format: &'a str,
    /// Where modules are.
    pub dir: &'a Path,
}

impl Context<'_> {
    /// The `ExecRequest` of a step.
    fn exec(&self, step: &Step, attachments: &mut Vec<Vec<u8>>) -> Result<Json, String> {
        let sql = match (&step.exec, &step.exec_generated) {
            (Some(sql), _) => self.vars.fill(sql)?,
            (None, Some(parts)) => self.generated_text(parts)?,
            (None, None) => return Err("no SQL".to_owned()),
        };
        let mut exec = Map::new();
        exec.insert("sql".to_owned(), json!(sql));

        let mut params = Vec::new();
        for value in step.params.iter().flat_map(json_of_list) {
            params.push(param(&Param::from_json(&value, self.vars)?, attachments)?);
        }
        if let Some(generated) = &step.params_generated {
            let value = generated.value.as_ref().map(json_of).unwrap_or_default();
            for i in 0..self.count(generated.count.as_ref())? {
                let mut vars = self.vars.clone();
                vars.set_int("i", i);
                params.push(param(&Param::from_json(&value, &vars)?, attachments)?);
            }
        }
        if !params.is_empty() {
            exec.insert("params".to_owned(), json!(params));
        }

        let mut named = Vec::new();
        let mut pairs: Vec<(String, Json)> = Vec::new();
        if let Some(members) = &step.named {
            pairs.extend(members.fields.iter().map(|(name, value)| (name.clone(), json_of(value))));
        }
        for pair in step.named_list.iter().flat_map(json_of_list) {
            match pair.as_array().map(Vec::as_slice) {
                Some([Json::String(name), value]) => pairs.push((name.clone(), value.clone())),
                _ => return Err(format!("named_list has pairs of name and value, not {pair}")),
            }
        }
        for (name, value) in pairs {
            let value = param(&Param::from_json(&value, self.vars)?, attachments)?;
            named.push(json!({ "name": self.vars.fill(&name)?, "value": value }));
        }
        if !named.is_empty() {
            exec.insert("named".to_owned(), json!(named));
        }

        if !step.mode.is_empty() {
            exec.insert("rows".to_owned(), json!(proto::enum_number("RowMode", &step.mode)?));
        }
        for (name, value) in [
            ("max_batch_rows", step.max_batch_rows),
            ("max_batch_bytes", step.max_batch_bytes),
            ("timeout_ms", step.timeout_ms),
        ] {
            if value != 0 {
                exec.insert(name.to_owned(), json!(value));
            }
        }
        if step.report_reads {
            exec.insert("report_reads".to_owned(), json!(true));
        }
        Ok(Json::Object(exec))
    }

    /// The request of a step with a request-like verb; `target_of` resolves the label of a cancel.
    pub fn request(
        &self,
        step: &Step,
        target_of: &dyn Fn(&str) -> Result<u32, String>,
    ) -> Result<Built, String> {
        let mut attachments = Vec::new();
        let call = if step.exec.is_some() || step.exec_generated.is_some() {
            json!({ "exec": self.exec(step, &mut attachments)? })
        } else if let Some(batch) = &step.exec_batch {
            let mut statements = Vec::new();
            self.each_statement(&batch.statements, &mut |context, statement| {
                statements.push(context.exec(statement, &mut attachments)?);
                Ok(())
            })?;
            let mut request = json!({ "statements": statements });
            if !batch.on_error.is_empty() {
                request["on_error"] = json!(proto::enum_number("BatchErrorMode", &batch.on_error)?);
            }
            json!({ "exec_batch": request })
        } else if let Some(fetch) = &step.fetch {
            let mut request = json!({ "cursor": self.uint(&fetch.cursor)? });
            if let Some(credit) = &fetch.credit {
                request["credit"] = json!(self.number(&json_of(credit))?);
            }
            json!({ "fetch": request })
        } else if !step.close_cursor.is_empty() {
            json!({ "close_cursor": { "cursor": self.uint(&step.close_cursor)? } })
        } else if step.export.is_some() {
            json!({ "export": {} })
        } else if step.save.is_some() {
            json!({ "save": {} })
        } else if step.suspend.is_some() {
            json!({ "suspend": {} })
        } else if let Some(resume) = &step.resume {
            json!({ "resume": { "wait_ms": resume.wait_ms } })
        } else if !step.crash_at.is_empty() {
            let point = proto::enum_number("CrashPoint", &step.crash_at)?;
            json!({ "control": { "crash_now": { "point": point } } })
        } else if let Some(cancel) = &step.cancel {
            let target = if cancel.label.is_empty() {
                self.uint(&cancel.target)?
            } else {
                target_of(&self.vars.fill(&cancel.label)?)?
            };
            json!({ "cancel": { "target": target } })
        } else if let Some(close) = &step.close {
            json!({ "close": { "discard_unsaved": close.discard_unsaved } })
        } else if let Some(init) = &step.init {
            json!({ "init": self.init(init, &mut attachments)? })
        } else if let Some(fault) = &step.fault {
            json!({ "control": { "inject_fault": {
                "point": proto::enum_number("FaultPoint", &fault.point)?,
                "count": fault.count,
                "code": proto::enum_number(
                    "ErrorCode",
                    if fault.code.is_empty() { "STORAGE" } else { &fault.code },
                )?,
                "reason": fault.reason,
            } } })
        } else if let Some(request) = &step.request {
            self.fill_all(json_of_struct(request))?
        } else {
            return Err("the step has no request".to_owned());
        };
        let mut request = proto::from_json("Request", &call)?;
        if step.scope != 0 {
            request.set_field_by_name("scope", Value::U32(step.scope));
        }
        Ok(Built { request, attachments })
    }

    /// Calls back for each statement of a batch, repetitions included.
    pub fn each_statement(
        &self,
        statements: &[Step],
        each: &mut dyn FnMut(&Context<'_>, &Step) -> Result<(), String>,
    ) -> Result<(), String> {
        for statement in statements {
            let Some(repeat) = &statement.repeat else {
                each(self, statement)?;
                continue;
            };
            for i in 0..self.number(&json_of(repeat))? {
                let mut vars = self.vars.clone();
                vars.set_int("i", i);
                if !statement.loop_var.is_empty() {
                    vars.set_int(&statement.loop_var, i);
                }
                each(&Context { vars: &vars, ..*self }, statement)?;
            }
        }
        Ok(())
    }

    /// `InitRequest` as ProtoJSON.
    pub fn init(
        &self,
        init: &schema::Init,
        attachments: &mut Vec<Vec<u8>>,
    ) -> Result<Json, String> {
        let numbers = |enum_name: &str, names: &[String]| -> Result<Vec<i32>, String> {
            names.iter().map(|name| proto::enum_number(enum_name, name)).collect()
        };
        let mut out = json!({
            "minor": init.minor,
            "required": numbers("Capability", &init.required)?,
            "host_name": init.host_name.as_deref().unwrap_or(env!("CARGO_PKG_NAME")),
            "host_version": init.host_version.as_deref().unwrap_or(env!("CARGO_PKG_VERSION")),
        });
        if !init.events.is_empty() || !init.commit_detail.is_empty() {
            let mut events = json!({ "kinds": numbers("EventKind", &init.events)? });
            if !init.commit_detail.is_empty() {
                events["commit_detail"] =
                    json!(proto::enum_number("CommitDetail", &init.commit_detail)?);
            }
            out["events"] = events;
        }
        if let Some(storage) = &init.storage {
            let kind = self.vars.fill(&storage.kind)?;
            let kind = kind.as_str();
            out["storage"] = json!({
                "kind": if kind.is_empty() { 0 } else { proto::enum_number("StorageKind", kind)? },
                "path": self.vars.fill(&storage.path)?,
                "wait_ms": storage.wait_ms,
                "or_memory": storage.or_memory,
            });
        }
        if let Some(image) = &init.image {
            let image = self.bytes(image)?;
            if init.image_inline {
                out["image"] = json!(STANDARD.encode(image));
            } else {
                out["image_attachment"] = json!(attachments.len());
                attachments.push(image);
            }
        }
        let mut plugins = Vec::new();
        for plugin in &init.plugins {
            if is_fixture(plugin) {
                plugins.push(self.fixture(plugin, attachments)?);
                continue;
            }
            let format = match plugin.format.as_str() {
                "" => 0,
                name => proto::enum_number("PluginFormat", name)?,
            };
            let mut entry = json!({ "key": plugin.key, "format": format });
            if let Some(code) = &plugin.code {
                let code = self.bytes(code)?;
                if plugin.attach {
                    entry["code_attachment"] = json!(attachments.len());
                    attachments.push(code);
                } else {
                    entry["inline_code"] = json!(STANDARD.encode(code));
                }
            }
            plugins.push(entry);
        }
        if !plugins.is_empty() {
            out["plugins"] = json!(plugins);
        }
        if init.plugin_timeout_ms > 0 {
            out["plugin_timeout_ms"] = json!(init.plugin_timeout_ms);
        }
        if let Some(autosave) = &init.autosave {
            out["autosave"] = json!({
                "disabled": autosave.disabled,
                "debounce_ms": autosave.debounce_ms,
                "max_delay_ms": autosave.max_delay_ms,
            });
        }
        if !init.open_mode.is_empty() {
            out["open_mode"] = json!(proto::enum_number("OpenMode", &init.open_mode)?);
        }
        if let Some(lix) = &init.lix {
            let mut key_values = Vec::new();
            for given in &lix.key_values {
                let value = match &given.value_json {
                    Some(text) => self.vars.fill(text)?,
                    None => given.value.as_ref().map(json_of).unwrap_or_default().to_string(),
                };
                key_values.push(json!({
                    "key": given.key,
                    "value_json": value,
                    "version_id": self.vars.fill(&given.version_id)?,
                    "untracked": given.untracked,
                }));
            }
            out["lix"] = json!({ "key_values": key_values });
        }
        if !init.durability.is_empty() {
            out["durability"] = json!(proto::enum_number("Durability", &init.durability)?);
        }
        Ok(out)
    }

    /// A fixture plugin, as it is asked for in the format that is being tested.
    fn fixture(
        &self,
        plugin: &schema::Plugin,
        attachments: &mut Vec<Vec<u8>>,
    ) -> Result<Json, String> {
        let Some(Plugins { format, dir }) = self.plugins else {
            return Err("fixture plugins need a format".to_owned());
        };
        let name = if plugin.fixture.is_empty() { &plugin.key } else { &plugin.fixture };
        let number = proto::enum_number("PluginFormat", format)?;
        if format == "BUILTIN" {
            if !plugin.key.is_empty() && plugin.key != *name {
                return Err(format!("{name} is not built in under another key"));
            }
            return Ok(json!({ "key": name, "format": number }));
        }
        let path = dir.join(format!("{name}.{}", if format == "WASM" { "wasm" } else { "js" }));
        let code = suite::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut entry = json!({ "key": plugin.key, "format": number });
        if plugin.attach {
            entry["code_attachment"] = json!(attachments.len());
            attachments.push(code);
        } else {
            entry["inline_code"] = json!(STANDARD.encode(code));
        }
        Ok(entry)
    }

    /// A raw message, and the id whose answer it asks for if that can be told.
    pub fn raw(&self, raw: &schema::Raw) -> Result<(Message, Option<u32>), String> {
        let mut attachments = Vec::new();
        for bytes in &raw.attachments {
            attachments.push(self.bytes(bytes)?);
        }
        let mut id = raw.answer_id;
        let mut frame = match &raw.content {
            None => Vec::new(),
            Some(Content::Hex(digits)) => unhex(&self.vars.fill(digits)?)?,
            Some(Content::Bytes(bytes)) => self.bytes(bytes)?,
            Some(Content::Frame(frame)) => {
                let mut json = self.fill_all(json_of_struct(frame))?;
                if json.get("attachment_sizes").is_none() && !attachments.is_empty() {
                    json["attachment_sizes"] =
                        json!(attachments.iter().map(Vec::len).collect::<Vec<_>>());
                }
                let frame = proto::from_json("Frame", &json)?;
                if id.is_none() {
                    id = Some(proto::Fields::int(&frame, "id") as u32);
                }
                proto::encode(&frame)
            }
        };
        frame.extend(unhex(&raw.append_hex)?);
        let frame = mutated(frame, &raw.mutations)?;
        Ok((Message { frame, attachments }, id))
    }

    /// Bytes from wherever they come.
    pub fn bytes(&self, bytes: &schema::Bytes) -> Result<Vec<u8>, String> {
        let source = match &bytes.source {
            None => Vec::new(),
            Some(Source::Hex(digits)) => unhex(&self.vars.fill(digits)?)?,
            Some(Source::Base64(text)) => unbase64(text)?,
            Some(Source::Generated(generated)) => {
                xorshift32(generated.len as usize, generated.seed)
            }
            Some(Source::Text(text)) => self.vars.fill(text)?.into_bytes(),
            Some(Source::Bind(name)) => match self.vars.get(name)? {
                Cell::Blob(bytes) | Cell::Text(bytes) | Cell::TextRaw(bytes) => bytes.clone(),
                other => return Err(format!("{name} is {other}, not bytes")),
            },
            Some(Source::File(file)) => {
                let path = self.dir.join(&file.path);
                let content =
                    suite::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
                let digest = hex(&Sha256::digest(&content));
                if digest != file.sha256 {
                    return Err(format!(
                        "{} has SHA-256 {digest}, not {}",
                        path.display(),
                        file.sha256
                    ));
                }
                content
            }
        };
        let mut out = mutated(source, &bytes.mutations)?;
        if let Some(times) = &bytes.times {
            let times = usize::try_from(self.number(&json_of(times))?)
                .map_err(|_| "times is negative".to_owned())?;
            out = out.repeat(times);
        }
        Ok(out)
    }

    /// A number or an expression.
    pub fn number(&self, json: &Json) -> Result<i128, String> {
        int_from_json(json, self.vars)
    }

    fn generated_text(&self, parts: &schema::SqlParts) -> Result<String, String> {
        let mut out = String::new();
        for part in &parts.parts {
            let Some(repeat) = &part.repeat else {
                out.push_str(&self.vars.fill(&part.text)?);
                continue;
            };
            let count = self.number(&json_of(repeat))?;
            let constant = !part.text.contains("${");
            let mut vars = self.vars.clone();
            for i in 0..count {
                if i > 0 {
                    out.push_str(&part.separator);
                }
                if constant {
                    out.push_str(&part.text);
                } else {
                    vars.set_int("i", i);
                    out.push_str(&vars.fill(&part.text)?);
                }
            }
        }
        Ok(out)
    }

    fn count(&self, count: Option<&prost_types::Value>) -> Result<i128, String> {
        match count {
            Some(count) => self.number(&json_of(count)),
            None => Err("count is missing".to_owned()),
        }
    }

    fn uint(&self, expression: &str) -> Result<u32, String> {
        let value = self.vars.int(expression)?;
        u32::try_from(value).map_err(|_| format!("{expression:?} is {value}, not a uint32"))
    }

    /// Replaces `${…}` in every string.
    fn fill_all(&self, json: Json) -> Result<Json, String> {
        Ok(match json {
            Json::String(text) => Json::String(self.vars.fill(&text)?),
            Json::Array(items) => Json::Array(
                items.into_iter().map(|item| self.fill_all(item)).collect::<Result<_, _>>()?,
            ),
            Json::Object(members) => Json::Object(
                members
                    .into_iter()
                    .map(|(name, value)| Ok((name, self.fill_all(value)?)))
                    .collect::<Result<_, String>>()?,
            ),
            other => other,
        })
    }
}

fn param(param: &Param, attachments: &mut Vec<Vec<u8>>) -> Result<Json, String> {
    Ok(match &param.cell {
        None => json!({}),
        Some(Cell::Null) => json!({ "null": {} }),
        Some(Cell::Integer(value)) => json!({ "integer": value.to_string() }),
        Some(Cell::Real(value)) if value.is_nan() => json!({ "real": "NaN" }),
        Some(Cell::Real(value)) if value.is_infinite() => {
            json!({ "real": if *value > 0.0 { "Infinity" } else { "-Infinity" } })
        }
        Some(Cell::Real(value)) => json!({ "real": value }),
        Some(Cell::Text(bytes)) => json!({ "text": String::from_utf8_lossy(bytes) }),
        Some(Cell::Blob(bytes)) if param.attach => {
            attachments.push(bytes.clone());
            json!({ "blob_attachment": attachments.len() - 1 })
        }
        Some(Cell::Blob(bytes)) => json!({ "blob": STANDARD.encode(bytes) }),
        Some(Cell::TextRaw(_)) => {
            return Err("text_raw is no parameter; cast a blob to text".to_owned());
        }
    })
}

/// Bytes after mutations.
pub fn mutated(mut bytes: Vec<u8>, mutations: &[schema::Mutation]) -> Result<Vec<u8>, String> {
    for mutation in mutations {
        match &mutation.op {
            None => return Err("an empty mutation".to_owned()),
            Some(Op::Truncate(len)) => bytes.truncate(*len as usize),
            Some(Op::Cut(len)) => bytes.truncate(bytes.len().saturating_sub(*len as usize)),
            Some(Op::Append(digits)) => bytes.extend(unhex(digits)?),
            Some(Op::Flip(flip)) => {
                let len = bytes.len();
                let byte = bytes
                    .get_mut(flip.at as usize)
                    .ok_or_else(|| format!("flip at {} of {len} bytes", flip.at))?;
                let mask = if flip.mask == 0 { 0xff } else { flip.mask };
                *byte ^= u8::try_from(mask).map_err(|_| format!("mask {mask} is no byte"))?;
            }
            Some(Op::Set(set)) => {
                let new = unhex(&set.hex)?;
                let (at, len) = (set.at as usize, bytes.len());
                bytes
                    .get_mut(at..at + new.len())
                    .ok_or_else(|| format!("set at {at} of {len} bytes"))?
                    .copy_from_slice(&new);
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case;

    fn built(step: &str) -> Result<Built, String> {
        let step: Step = case::from_json("Step", &serde_json::from_str(step).unwrap()).unwrap();
        let mut vars = Vars::default();
        vars.set_int("c", 3);
        let context = Context { vars: &vars, dir: Path::new("."), plugins: None };
        context
            .request(&step, &|label| if label == "x" { Ok(70) } else { Err(format!("no {label}")) })
    }

    #[test]
    fn steps_become_requests() {
        for (step, expected) in [
            (
                r#"{"exec":"select ${c}","params":[null,{"int":"5"},{"real":"nan"},{"unset":true}],"mode":"CURSOR","max_batch_rows":2}"#,
                json!({"exec": {"sql": "select 3", "params": [{"null": {}}, {"integer": "5"}, {"real": "NaN"}, {}],
                    "rows": "ROW_MODE_CURSOR", "max_batch_rows": 2}}),
            ),
            (
                r#"{"exec_generated":{"parts":[{"text":"select "},{"text":"${i}","repeat":3,"separator":","}]},"named":{":a":{"text":"x"}}}"#,
                json!({"exec": {"sql": "select 0,1,2", "named": [{"name": ":a", "value": {"text": "x"}}]}}),
            ),
            (
                r#"{"exec_batch":{"statements":[{"exec":"a${i}","repeat":2}],"on_error":"CONTINUE"}}"#,
                json!({"exec_batch": {"statements": [{"sql": "a0"}, {"sql": "a1"}], "on_error": "BATCH_ERROR_MODE_CONTINUE"}}),
            ),
            (
                r#"{"fetch":{"cursor":"${c}","credit":2}}"#,
                json!({"fetch": {"cursor": 3, "credit": 2}}),
            ),
            (r#"{"cancel":{"label":"x"}}"#, json!({"cancel": {"target": 70}})),
            (
                r#"{"request":{"exec":{"sql":"${c}"}},"scope":4}"#,
                json!({"scope": 4, "exec": {"sql": "3"}}),
            ),
        ] {
            assert_eq!(proto::to_json(&built(step).unwrap().request), expected, "{step}");
        }
        assert!(built(r#"{"cancel":{"label":"y"}}"#).is_err());
    }

    #[test]
    fn blobs_travel_as_attachments() {
        let built = built(
            r#"{"exec":"x","params":[{"hex":"01","attach":true},{"hex":"02","attach":true}]}"#,
        )
        .unwrap();
        assert_eq!(built.attachments, [vec![1], vec![2]]);
        assert_eq!(
            proto::to_json(&built.request)["exec"]["params"],
            json!([{"blob_attachment": 0}, {"blob_attachment": 1}])
        );
    }

    #[test]
    fn raw_messages() {
        let raw = |json: Json| {
            let raw: schema::Raw = case::from_json("Raw", &json).unwrap();
            let vars = Vars::default();
            Context { vars: &vars, dir: Path::new("."), plugins: None }.raw(&raw)
        };
        let (message, id) = raw(json!({
            "frame": {"id": 7, "request": {"export": {}}}, "attachments": [{"hex": "0102"}], "append_hex": "f83f01",
        }))
        .unwrap();
        assert_eq!(id, Some(7));
        assert_eq!(crate::wire::attachment_sizes(&message.frame), Some(vec![2]));
        assert_eq!(message.frame[message.frame.len() - 3..], [0xf8, 0x3f, 0x01]);

        let (message, id) =
            raw(json!({"hex": "0807", "mutations": [{"cut": 1}, {"flip": {"at": 0}}]})).unwrap();
        assert_eq!((message.frame, id), (vec![0xf7], None));
        assert!(raw(json!({"hex": "", "mutations": [{"flip": {"at": 0}}]})).is_err());
    }
}
