//! What every host has to keep, whatever it is asked to do: checked on each frame that it sends.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{DynamicMessage, Value};

use crate::proto::{self, Fields as _};
use crate::wire::Message;

/// The rules of a session, from the engine's side.
#[derive(Default)]
pub struct Legality {
    /// What the host broke.
    pub breaches: Vec<String>,
    /// Waiting for their answers: id and call; with credit, how many are still owed.
    pending: BTreeMap<u32, (String, u64)>,
    cursors: BTreeSet<u32>,
    limits: BTreeMap<String, i128>,
    capabilities: Option<BTreeSet<String>>,
    is_closed: bool,
}

impl Legality {
    /// A new session of a host that broke this before.
    pub fn after(breaches: Vec<String>) -> Legality {
        Legality { breaches, ..Legality::default() }
    }

    /// Looks at a message of the host; the request, if it is one.
    pub fn look(&mut self, message: &Message) -> Option<(u32, DynamicMessage)> {
        let frame = match proto::decode("Frame", &message.frame) {
            Ok(frame) => frame,
            Err(why) => {
                self.breach(format!("bytes that are no frame: {why}"));
                return None;
            }
        };
        let id = frame.int("id") as u32;
        let sizes: Vec<u64> =
            frame.items("attachment_sizes").iter().filter_map(Value::as_u64).collect();
        let actual: Vec<u64> = message.attachments.iter().map(|bytes| bytes.len() as u64).collect();
        if sizes != actual {
            self.breach(format!(
                "frame {id}: attachment_sizes {sizes:?}, attachments of {actual:?} bytes"
            ));
        }
        let Some(request) = frame.msg("request") else {
            self.breach(format!("frame {id} is no request"));
            return None;
        };
        let call = request.which("call").unwrap_or_default();
        if id == 0 {
            self.breach(format!("a request ({call}) with id 0"));
        }
        if call.is_empty() {
            self.breach(format!("request {id} has no call that the manual knows"));
        }
        if self.pending.contains_key(&id) {
            self.breach(format!("id {id} is used again while request {id} waits for its answer"));
        }
        if self.is_closed {
            self.breach(format!("request {id} ({call}) after the answer to close"));
        }
        self.within(id, "max_frame_bytes", message.frame.len() as i128);
        for size in &sizes {
            self.within(id, "max_attachment_bytes", i128::from(*size));
        }
        // A cancel is answered at once and is no load.
        let waiting = self.pending.values().filter(|(call, _)| call != "cancel").count() as i128;
        if call != "cancel" {
            self.within(id, "max_inflight", waiting + 1);
        }
        match (&self.capabilities, call.as_str()) {
            (None, "init") => {}
            (None, _) => self.breach(format!("request {id} ({call}) before init was answered")),
            (Some(_), "init") => self.breach(format!("request {id}: a second init")),
            _ => {}
        }
        let statements: Vec<&DynamicMessage> = match call.as_str() {
            "exec" => request.msg("exec").into_iter().collect(),
            "exec_batch" => request
                .msg("exec_batch")
                .map(|batch| {
                    batch.items("statements").iter().filter_map(Value::as_message).collect()
                })
                .unwrap_or_default(),
            _ => Vec::new(),
        };
        let mut faults = Vec::new();
        for statement in statements {
            self.statement(id, statement, &sizes, &mut faults);
        }
        for (name, wanted) in [("fetch", "fetch"), ("close_cursor", "close_cursor")] {
            if let Some(cursor) = request.msg(name).map(|message| message.int("cursor") as u32)
                && !self.cursors.contains(&cursor)
            {
                faults.push(format!(
                    "request {id} ({wanted}) names cursor {cursor}, which is not open"
                ));
            }
        }
        self.breaches.extend(faults);
        let owed = request.msg("fetch").map_or(1, |fetch| fetch.int("credit").max(1) as u64);
        if let Some(cursor) = request.msg("close_cursor") {
            self.cursors.remove(&(cursor.int("cursor") as u32));
        }
        self.pending.insert(id, (call, owed));
        Some((id, request.clone()))
    }

    fn statement(
        &self,
        id: u32,
        statement: &DynamicMessage,
        sizes: &[u64],
        faults: &mut Vec<String>,
    ) {
        let has = |name: &str| {
            self.capabilities.as_ref().is_none_or(|announced| announced.contains(name))
        };
        if !statement.items("named").is_empty() && !has("NAMED_PARAMS") {
            faults
                .push(format!("request {id} names parameters, and NAMED_PARAMS was not announced"));
        }
        if statement.int("rows") == ROW_MODE_CURSOR && !has("CURSORS") {
            faults.push(format!("request {id} asks for a cursor, and CURSORS was not announced"));
        }
        let named = statement
            .items("named")
            .iter()
            .filter_map(Value::as_message)
            .filter_map(|named| named.msg("value"));
        let values = statement.items("params").iter().filter_map(Value::as_message).chain(named);
        for value in values {
            match value.which("kind").as_deref() {
                None => faults.push(format!("request {id} has a value without kind")),
                Some("blob_attachment") => {
                    let index = value.int("blob_attachment");
                    if index >= sizes.len() as i128 {
                        faults.push(format!(
                            "request {id} names attachment {index} of {}",
                            sizes.len()
                        ));
                    }
                }
                Some(_) => {}
            }
        }
    }

    /// Looks at a message that the engine sends.
    pub fn answered(&mut self, message: &Message) {
        let Ok(frame) = proto::decode("Frame", &message.frame) else { return };
        let Some(response) = frame.msg("response") else { return };
        let id = frame.int("id") as u32;
        if let Some(init) = response.msg("init") {
            let fields = proto::message("Limits");
            if let Some(limits) = init.msg("limits") {
                let all = fields
                    .fields()
                    .map(|field| (field.name().to_owned(), limits.int(field.name())));
                self.limits = all.collect();
            }
            let numbers = init.items("capabilities").iter().filter_map(Value::as_enum_number);
            self.capabilities =
                Some(numbers.map(|number| proto::enum_name("Capability", number)).collect());
        }
        if let Some(cursor) = response.msg("exec").and_then(|exec| exec.opt_int("cursor")) {
            self.cursors.insert(cursor as u32);
        }
        let done = response.msg("fetch").is_none_or(|fetch| fetch.flag("done"));
        if let Some((call, owed)) = self.pending.get_mut(&id) {
            if call == "close" && response.msg("close").is_some() {
                self.is_closed = true;
            }
            *owed -= 1;
            if done || *owed == 0 {
                self.pending.remove(&id);
            }
        }
    }

    fn within(&mut self, id: u32, limit: &str, actual: i128) {
        if let Some(most) = self.limits.get(limit)
            && *most > 0
            && actual > *most
        {
            self.breach(format!("request {id} is beyond {limit}: {actual} of {most}"));
        }
    }

    fn breach(&mut self, what: String) {
        self.breaches.push(what);
    }
}

const ROW_MODE_CURSOR: i128 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    fn message(frame: Json) -> Message {
        Message::of(proto::encode(&proto::from_json("Frame", &frame).unwrap()))
    }

    fn opened() -> Legality {
        let mut legality = Legality::default();
        legality.look(&message(json!({"id": 1, "request": {"init": {}}})));
        legality.answered(&message(json!({"id": 1, "response": {"init": {
            "capabilities": ["CAPABILITY_CURSORS"], "limits": {"max_inflight": 1},
        }}})));
        assert!(legality.breaches.is_empty(), "{:?}", legality.breaches);
        legality
    }

    fn breach(frames: &[Json]) -> String {
        let mut legality = opened();
        for frame in frames {
            legality.look(&message(frame.clone()));
        }
        legality.breaches.join("\n")
    }

    #[test]
    fn each_rule_has_a_complaint() {
        for (frames, expected) in [
            (vec![json!({"id": 0, "request": {"export": {}}})], "with id 0"),
            (vec![json!({"id": 2, "request": {}})], "no call"),
            (vec![json!({"id": 2, "response": {}})], "is no request"),
            (vec![json!({"id": 2, "request": {"init": {}}})], "a second init"),
            (
                vec![json!({"id": 2, "attachment_sizes": [5], "request": {"export": {}}})],
                "attachment_sizes [5]",
            ),
            (vec![json!({"id": 2, "request": {"fetch": {"cursor": 9}}})], "cursor 9"),
            (
                vec![
                    json!({"id": 2, "request": {"exec": {"named": [{"name": "a", "value": {"text": "b"}}]}}}),
                ],
                "NAMED_PARAMS was not announced",
            ),
            (vec![json!({"id": 2, "request": {"exec": {"params": [{}]}}})], "a value without kind"),
            (
                vec![
                    json!({"id": 2, "request": {"export": {}}}),
                    json!({"id": 2, "request": {"cancel": {"target": 2}}}),
                ],
                "id 2 is used again",
            ),
            (
                vec![
                    json!({"id": 2, "request": {"export": {}}}),
                    json!({"id": 3, "request": {"export": {}}}),
                ],
                "beyond max_inflight: 2 of 1",
            ),
        ] {
            let found = breach(&frames);
            assert!(found.contains(expected), "{expected}: {found}");
        }
        assert_eq!(
            breach(&[
                json!({"id": 2, "request": {"export": {}}}),
                json!({"id": 3, "request": {"cancel": {"target": 2}}})
            ]),
            ""
        );
    }

    #[test]
    fn nothing_comes_before_init_or_after_close() {
        let mut legality = Legality::default();
        legality.look(&message(json!({"id": 1, "request": {"export": {}}})));
        assert!(legality.breaches[0].contains("before init"));
        let mut legality = opened();
        legality.look(&message(json!({"id": 2, "request": {"close": {}}})));
        legality.answered(&message(json!({"id": 2, "response": {"close": {}}})));
        legality.look(&message(json!({"id": 3, "request": {"export": {}}})));
        assert!(legality.breaches[0].contains("after the answer to close"));
    }
}
