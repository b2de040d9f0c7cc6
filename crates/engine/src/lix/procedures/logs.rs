//! Log entries, tracked in the active version (chapter 23 of the data model).

use lix_engine_protocol::Result;
use serde_json::json;
use std::rc::Rc;

use super::Procedure;
use crate::lix::Lix;
use crate::lix::state::Key;

pub(super) const PROCEDURES: &[Procedure] = &[Procedure {
    name: "lix_create_log",
    columns: "id text, key text, message text, level text",
    writes: true,
    run: |lix, call| {
        let (key, message, level) = call.read(|options| {
            Ok((options.text("key")?, options.text("message")?, options.text("level")?))
        })?;
        let id = lix.create_log(&key, &message, &level)?;
        Ok(vec![vec![id.into(), key.into(), message.into(), level.into()]])
    },
}];

impl Lix {
    fn create_log(self: &Rc<Self>, key: &str, message: &str, level: &str) -> Result<Rc<str>> {
        let version = self.version_or_active(None)?;
        let id = self.ids.nano_id(None);
        let entry = json!({"id": &*id, "key": key, "message": message, "level": level});
        self.insert(&version, Key::own("lix_log", &id), entry)?;
        Ok(id)
    }
}
