//! What change control looks like in SQL: every public table, as a virtual one.
//!
//! Guarantee: a table has no rows of its own. It shows what [`Lix::scan`], the log and history say
//! at the moment it is read, and writes through [`Lix::write`] and [`Lix::delete`]. A row is found
//! by its key without looking at others.

mod active;
mod changes;
mod entities;
mod history;
mod key;
mod layout;
mod lookup;
mod state;
mod values;
mod versions;
mod view;

use std::rc::{Rc, Weak};

use lix_engine_protocol::Result;
use serde_json::{Map, Value};

use super::{Lix, procedures};
use crate::sqlite::Link;
use crate::sqlite::vtab::{Table, Transaction};
use changes::Changes;
use entities::Shape;
use versions::Versions;
use view::Viewer;

/// Makes the tables known that every lix has.
pub(crate) fn register(
    lix: &Rc<Lix>,
    link: &Link,
    transaction: &Rc<dyn Transaction>,
) -> Result<()> {
    let lix = &Rc::downgrade(lix);
    let tables: [(&str, Rc<dyn Table>); 10] = [
        ("state", Rc::new(state::state(lix))),
        ("state_all", Rc::new(state::state_all(lix))),
        ("state_with_tombstones", Rc::new(state::state_with_tombstones(lix))),
        ("state_history", Rc::new(history::state_history(lix))),
        ("change", Rc::new(Changes { lix: lix.clone() })),
        ("version", Rc::new(Versions { lix: lix.clone(), is_all: false })),
        ("version_all", Rc::new(Versions { lix: lix.clone(), is_all: true })),
        ("version_history", Rc::new(history::version_history(lix))),
        ("active_version", Rc::new(active::active_version(lix))),
        ("active_account", Rc::new(active::active_account(lix))),
    ];
    for (name, table) in tables {
        link.register_table(name, table, transaction.clone())?;
    }
    for (name, document) in BUILT_IN {
        let document: Map<String, Value> = serde_json::from_str(document).expect("our own schemas");
        let shape = Shape::of(&document, true).expect("our own schemas have primary keys");
        for (name, table) in entity_tables(lix, name, shape) {
            link.register_table(&name, table, transaction.clone())?;
        }
    }
    Ok(())
}

/// Makes the tables of a stored schema known, in place of those of another version of it. A schema
/// without primary key has none, nor has one whose names are taken or cannot be columns.
pub(crate) fn register_stored(
    lix: &Rc<Lix>,
    link: &Link,
    transaction: &Rc<dyn Transaction>,
    document: &Map<String, Value>,
) -> Result<()> {
    let Some(shape) = Shape::of(document, false) else { return Ok(()) };
    let name = shape.schema_key.to_string();
    if !may_be_named(&name) || !shape.is_possible() {
        return Ok(());
    }
    for (name, table) in entity_tables(&Rc::downgrade(lix), &name, shape) {
        link.register_table(&name, table, transaction.clone())?;
    }
    Ok(())
}

/// `N`, `N_all` and `N_history`.
fn entity_tables(lix: &Weak<Lix>, name: &str, shape: Shape) -> [(String, Rc<dyn Table>); 3] {
    let shape = Rc::new(shape);
    // Edges follow from commits.
    let is_writable = name != "commit_edge";
    let table = |viewer| Rc::new(entities::entities(lix, &shape, viewer, is_writable));
    [
        (name.to_owned(), table(Viewer::Active)),
        (format!("{name}_all"), table(Viewer::All)),
        (format!("{name}_history"), Rc::new(history::entity_history(lix, &shape))),
    ]
}

/// A stored schema may call its tables so: nothing of ours or of SQLite's is hidden by them.
fn may_be_named(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let ours = ["state", "change", "version", "active_version", "active_account", "file"];
    let is_ours = |name: &str| {
        ours.contains(&name)
            || BUILT_IN.iter().any(|(built_in, _)| *built_in == name)
            || name == "state_with_tombstones"
            || procedures::all().any(|procedure| procedure.name == name)
    };
    // A name that ends like one of the three tables of a schema could be meant for two schemas.
    let base = name.strip_suffix("_all").or_else(|| name.strip_suffix("_history"));
    !name.is_empty()
        && !name.contains('\0')
        && !is_ours(&name)
        && base.is_none()
        && !["lix_", "_lix_", "sqlite_", "pragma_", "json_", "jsonb_", "fts", "rtree", "dbstat"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

/// Tables of built-in schemas, by their base names.
const BUILT_IN: [(&str, &str); 15] = [
    ("change_set", include_str!("schemas/change_set.json")),
    ("change_set_element", include_str!("schemas/change_set_element.json")),
    ("change_set_label", include_str!("schemas/change_set_label.json")),
    ("commit", include_str!("schemas/commit.json")),
    ("commit_edge", include_str!("schemas/commit_edge.json")),
    ("stored_schema", include_str!("schemas/stored_schema.json")),
    ("account", include_str!("schemas/account.json")),
    ("key_value", include_str!("schemas/key_value.json")),
    ("change_author", include_str!("schemas/change_author.json")),
    ("label", include_str!("schemas/label.json")),
    ("thread", include_str!("schemas/thread.json")),
    ("thread_comment", include_str!("schemas/thread_comment.json")),
    ("entity_label", include_str!("schemas/entity_label.json")),
    ("entity_thread", include_str!("schemas/entity_thread.json")),
    ("log", include_str!("schemas/log.json")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_users_hide_nothing() {
        for name in ["note", "my-schema", "Straße", "commits"] {
            assert!(may_be_named(name), "{name}");
        }
        for name in ["state", "Commit", "key_value_all", "note_history", "json_each", "lix_x", ""] {
            assert!(!may_be_named(name), "{name}");
        }
    }

    #[test]
    fn every_built_in_schema_makes_a_table() {
        for (name, document) in BUILT_IN {
            let document: Map<String, Value> = serde_json::from_str(document).unwrap();
            assert!(Shape::of(&document, true).is_some_and(|shape| shape.is_possible()), "{name}");
        }
    }
}
