//! Who is at work (chapter 22 of the data model, 3.3 of the host's).

use std::rc::Rc;

use lix_engine_protocol::Result;
use serde_json::json;

use super::{Procedure, text};
use crate::lix::json;
use crate::lix::state::{Filter, Key, Viewers};
use crate::lix::write::WriteKind;
use crate::lix::{GLOBAL, Lix};

pub(super) const PROCEDURES: &[Procedure] = &[
    Procedure {
        name: "lix_create_account",
        columns: "id text, name text",
        writes: true,
        run: |lix, call| {
            let (id, name, version) = call.read(|options| {
                Ok((
                    options.optional_id("id")?,
                    options.text("name")?,
                    options.optional_id("version")?,
                ))
            })?;
            let id = lix.create_account(id, &name, version)?;
            Ok(vec![vec![id.into(), name.into()]])
        },
    },
    Procedure {
        name: "lix_switch_account",
        columns: "account_id text",
        writes: true,
        run: |lix, call| {
            let to = call.read(|options| options.ids("to"))?;
            let active = lix.switch_account(to)?;
            Ok(active.into_iter().map(|id| vec![id.into()]).collect())
        },
    },
    Procedure {
        name: "lix_use_account",
        columns: "account_id text",
        writes: true,
        run: |lix, call| {
            let (id, name) =
                call.read(|options| Ok((options.text("id")?, options.text("name")?)))?;
            lix.use_account(&id, &name)?;
            Ok(vec![vec![id.into()]])
        },
    },
];

impl Lix {
    fn create_account(
        self: &Rc<Self>,
        id: Option<Rc<str>>,
        name: &str,
        version: Option<Rc<str>>,
    ) -> Result<Rc<str>> {
        let version = self.version_or_active(version)?;
        let id = self.id_or_new(id);
        self.insert(&version, Key::own("lix_account", &id), json!({"id": &*id, "name": name}))?;
        Ok(id)
    }

    /// Makes these the active accounts, and no others; none is nobody. Whether they are accounts is
    /// not looked at: an account may be known to others only.
    fn switch_account(self: &Rc<Self>, to: Vec<Rc<str>>) -> Result<Vec<Rc<str>>> {
        let mut wanted: Vec<Rc<str>> = Vec::new();
        for id in to {
            if !wanted.contains(&id) {
                wanted.push(id);
            }
        }
        self.activate(&wanted)?;
        Ok(wanted)
    }

    /// Creates an account in global unless global has it, and makes it the only active one. The
    /// name of one that is there stays.
    pub(crate) fn use_account(self: &Rc<Self>, id: &str, name: &str) -> Result<()> {
        let key = Key::own("lix_account", id);
        if self.get(GLOBAL, &key)?.is_none() {
            self.insert(GLOBAL, key, json!({"id": id, "name": name}))?;
        }
        self.activate(&[id.into()])
    }

    /// Who is active stays as it is where that is right already: untracked rows are events, too.
    fn activate(self: &Rc<Self>, wanted: &[Rc<str>]) -> Result<()> {
        let mut scan = self.scan(Filter {
            viewers: Viewers::These(vec![GLOBAL.into()]),
            schema_keys: Some(vec!["lix_active_account".into()]),
            ..Filter::default()
        })?;
        let mut active: Vec<Rc<str>> = Vec::new();
        while let Some(row) = scan.next()? {
            let account = json::object(row.snapshot.as_deref());
            let account_id: Rc<str> = text(&account, "account_id").into();
            let is_wanted = wanted.contains(&account_id)
                && *row.key.entity_id == *entity_id(&account_id)
                && row.untracked;
            if is_wanted {
                active.push(account_id);
            } else {
                self.delete(GLOBAL, &row.key)?;
            }
        }
        for id in wanted.iter().filter(|id| !active.contains(id)) {
            let key = Key::own("lix_active_account", &entity_id(id));
            self.write_own(WriteKind::Insert, GLOBAL, key, json!({"account_id": &**id}), true)?;
        }
        Ok(())
    }
}

/// The entity that says that an account is active.
pub(crate) fn entity_id(account_id: &str) -> String {
    format!("active_{account_id}")
}
