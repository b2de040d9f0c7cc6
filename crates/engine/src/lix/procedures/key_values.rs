//! Key values, written without looking first (3.4 of the host's reference).

use std::rc::Rc;

use lix_engine_protocol::Result;
use serde_json::json;

use super::Procedure;
use crate::lix::Lix;
use crate::lix::bootstrap::KeyValue;
use crate::lix::json;
use crate::lix::state::Key;
use crate::lix::write::WriteKind;

pub(super) const PROCEDURES: &[Procedure] = &[Procedure {
    name: "lix_set_key_values",
    columns: "key text, changed integer",
    writes: true,
    run: |lix, call| {
        let key_values = call.read(|options| {
            options.objects("key_values", |given| {
                Ok(KeyValue {
                    key: given.id("key")?.to_string(),
                    value: given.value("value")?,
                    version_id: given.optional_id("version")?.map(|id| id.to_string()),
                    untracked: given.optional_flag("untracked")?.unwrap_or(false),
                })
            })
        })?;
        let mut rows = Vec::with_capacity(key_values.len());
        for given in key_values {
            let changed = lix.set_key_value(&given)?;
            rows.push(vec![given.key.into(), changed.into()]);
        }
        Ok(rows)
    },
}];

impl Lix {
    /// Writes a key value, whether or not the key is there. What a version shows already is not
    /// written, so that opening with the same key values again makes no commit.
    pub(crate) fn set_key_value(self: &Rc<Self>, given: &KeyValue) -> Result<bool> {
        let version = self.version_or_active(given.version_id.as_deref().map(Rc::from))?;
        let key = Key::own("lix_key_value", &given.key);
        let there = self.get(&version, &key)?;
        let kind = match there {
            None => WriteKind::Insert,
            Some(row) => {
                let snapshot = json::object(row.snapshot.as_deref());
                if snapshot.get("value") == Some(&given.value) && row.untracked == given.untracked {
                    return Ok(false);
                }
                WriteKind::Update
            }
        };
        let snapshot = json!({"key": given.key, "value": given.value});
        self.write_own(kind, &version, key, snapshot, given.untracked)?;
        Ok(true)
    }
}
