//! What is noted in `log` of writes to files.
//!
//! Guarantee: a note makes no change and no commit: it is an untracked row of `global`.

use std::rc::Rc;

use lix_engine_protocol::Result;
use serde_json::{Value, json};

use crate::lix::state::Key;
use crate::lix::write::{Write, WriteKind};
use crate::lix::{GLOBAL, Lix, OWN_PLUGIN, json};

/// How much a note matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Debug,
    Warn,
}

impl Lix {
    /// Notes something, if notes of this level are wanted.
    pub(super) fn note(self: &Rc<Self>, level: Level, key: &str, message: String) -> Result<()> {
        let level = match level {
            Level::Debug => "debug",
            Level::Warn => "warn",
        };
        let is_wanted = match self.key_value("lix_log_levels")? {
            Some(Value::Array(levels)) => levels
                .iter()
                .filter_map(Value::as_str)
                .any(|wanted| wanted == "*" || wanted == level),
            _ => level != "debug",
        };
        if !is_wanted {
            return Ok(());
        }
        let id = self.ids.nano_id(None);
        let entry = json!({"id": &*id, "key": key, "message": message, "level": level});
        let Value::Object(snapshot) = entry else { unreachable!("it is written as one") };
        self.write(Write {
            kind: WriteKind::Insert,
            version_id: GLOBAL.into(),
            key: Key::own("lix_log", &id),
            plugin_key: OWN_PLUGIN.into(),
            schema_version: "1.0".into(),
            snapshot,
            untracked: true,
        })
    }

    /// A key value as the active version has it.
    pub(super) fn key_value(&self, key: &str) -> Result<Option<Value>> {
        let Some(version_id) = self.active_version_id()? else { return Ok(None) };
        let row = self.get(&version_id, &Key::own("lix_key_value", key))?;
        Ok(row.and_then(|row| json::object(row.snapshot.as_deref()).remove("value")))
    }
}
