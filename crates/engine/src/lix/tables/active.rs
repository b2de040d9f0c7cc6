//! `active_version` and `active_account`: which version is shown, and who is at work. Both are
//! untracked rows of `global`.

use std::rc::{Rc, Weak};

use lix_engine_protocol::Result;
use serde_json::{Map, Value};

use super::layout::{Column, Layout, Property, Row};
use super::values::{Kind, invalid};
use super::view::{NewRow, View, Viewer, Writer};
use crate::lix::state::Key;
use crate::lix::write::{Write, WriteKind};
use crate::lix::{GLOBAL, LIX_FILE, Lix, OWN_PLUGIN};

pub(super) fn active_version(lix: &Weak<Lix>) -> View {
    view(lix, &ACTIVE_VERSION)
}

pub(super) fn active_account(lix: &Weak<Lix>) -> View {
    view(lix, &ACTIVE_ACCOUNT)
}

struct Active {
    schema_key: &'static str,
    property: &'static str,
    /// The entity that says so.
    entity_id: fn(&str) -> String,
}

static ACTIVE_VERSION: Active = Active {
    schema_key: "lix_active_version",
    property: "version_id",
    // There is one, so its entity is always the same.
    entity_id: |_| "active".to_owned(),
};

static ACTIVE_ACCOUNT: Active = Active {
    schema_key: "lix_active_account",
    property: "account_id",
    entity_id: |account_id| format!("active_{account_id}"),
};

fn view(lix: &Weak<Lix>, active: &'static Active) -> View {
    let property = Property { name: active.property.into(), kind: Kind::String };
    View {
        lix: lix.clone(),
        layout: Rc::new(Layout::new(vec![property], &COLUMNS, true)),
        viewer: Viewer::Global,
        schema_key: Some(active.schema_key.into()),
        key: vec![],
        tombstones: false,
        writer: Some(Box::new(active)),
    }
}

impl Active {
    fn write(&self, lix: &Rc<Lix>, id: &str) -> Result<()> {
        let key = Key {
            schema_key: self.schema_key.into(),
            entity_id: (self.entity_id)(id).into(),
            file_id: LIX_FILE.into(),
        };
        let is_there = lix.get(GLOBAL, &key)?.is_some();
        let mut snapshot = Map::new();
        snapshot.insert(self.property.to_owned(), Value::from(id));
        lix.write(Write {
            kind: if is_there { WriteKind::Update } else { WriteKind::Insert },
            version_id: GLOBAL.into(),
            key,
            plugin_key: OWN_PLUGIN.into(),
            schema_version: "1.0".into(),
            snapshot,
            untracked: true,
        })
    }
}

impl Writer for &'static Active {
    /// What is active already stays so.
    fn insert(&self, lix: &Rc<Lix>, row: NewRow<'_>) -> Result<()> {
        match row.text(Column::Property(0))?.filter(|id| !id.is_empty()) {
            Some(id) => self.write(lix, &id),
            None => Err(invalid(format!("{} is required", self.property))),
        }
    }

    fn update(&self, lix: &Rc<Lix>, old: Row, row: NewRow<'_>) -> Result<()> {
        if row.given(Column::Property(0)).is_none() {
            return Ok(());
        }
        let key = &old.state.key;
        match row.text(Column::Property(0))?.filter(|id| !id.is_empty()) {
            Some(id) => {
                if *key.entity_id != (self.entity_id)(&id) {
                    lix.delete(GLOBAL, key)?;
                }
                self.write(lix, &id)
            }
            None => Err(invalid(format!("{} is required", self.property))),
        }
    }
}

const COLUMNS: [(&str, Column); 6] = [
    ("lixcol_inherited_from_version_id", Column::InheritedFrom),
    ("lixcol_created_at", Column::CreatedAt),
    ("lixcol_updated_at", Column::UpdatedAt),
    ("lixcol_file_id", Column::FileId),
    ("lixcol_change_id", Column::ChangeId),
    ("lixcol_untracked", Column::Untracked),
];
