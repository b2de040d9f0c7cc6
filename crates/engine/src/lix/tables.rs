//! What change control looks like in SQL: every public table, as a virtual one.
//!
//! Guarantee: a table has no rows of its own. It shows what [`Lix::scan`], the log and history say
//! at the moment it is read, and writes through [`Lix::write`] and [`Lix::delete`]. A row is found
//! by its key without looking at others.

mod active;
mod changes;
mod entities;
mod file_history;
mod files;
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
use serde_json::Value;

use super::schemas::builtin::{self, Builtin, ViewKind};
use super::{Lix, json};
use crate::sqlite::Link;
use crate::sqlite::vtab::{Table, Transaction};
use changes::Changes;
use entities::Shape;
use file_history::FileHistory;
use files::Files;
use versions::Versions;
use view::Viewer;

/// Makes the tables known that every lix has.
pub(crate) fn register(
    lix: &Rc<Lix>,
    link: &Link,
    transaction: &Rc<dyn Transaction>,
) -> Result<()> {
    let lix = &Rc::downgrade(lix);
    let tables: [(&str, Rc<dyn Table>); 13] = [
        ("state", Rc::new(state::state(lix))),
        ("state_all", Rc::new(state::state_all(lix))),
        ("state_with_tombstones", Rc::new(state::state_with_tombstones(lix))),
        ("state_history", Rc::new(history::state_history(lix))),
        ("change", Rc::new(Changes { lix: lix.clone() })),
        ("version", Rc::new(Versions { lix: lix.clone(), is_all: false })),
        ("version_all", Rc::new(Versions { lix: lix.clone(), is_all: true })),
        ("version_history", Rc::new(history::version_history(lix))),
        ("file", Rc::new(Files { lix: lix.clone(), is_all: false })),
        ("file_all", Rc::new(Files { lix: lix.clone(), is_all: true })),
        ("file_history", Rc::new(FileHistory { lix: lix.clone() })),
        ("active_version", Rc::new(active::active_version(lix))),
        ("active_account", Rc::new(active::active_account(lix))),
    ];
    for (name, table) in tables {
        link.register_table(name, table, transaction.clone())?;
    }
    for builtin in generated() {
        for (name, table) in entity_tables(lix, builtin.view.unwrap_or_default(), shape(builtin)) {
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
    document: &Value,
) -> Result<()> {
    let Some(shape) = Shape::of(document, None) else { return Ok(()) };
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
    let is_writable = shape.builtin.is_none_or(|builtin| builtin.kind != ViewKind::ReadOnly);
    let table = |viewer| Rc::new(entities::entities(lix, &shape, viewer, is_writable));
    [
        (name.to_owned(), table(Viewer::Active)),
        (format!("{name}_all"), table(Viewer::All)),
        (format!("{name}_history"), Rc::new(history::entity_history(lix, &shape))),
    ]
}

/// The built-in schemas whose tables are made of nothing but the schema.
fn generated() -> impl Iterator<Item = &'static Builtin> {
    builtin::ALL.iter().filter(|builtin| builtin.kind != ViewKind::Special)
}

fn shape(builtin: &'static Builtin) -> Shape {
    let document = json::parse(builtin.document).expect("our own schemas are JSON");
    Shape::of(&document, Some(builtin)).expect("our own schemas have primary keys")
}

/// A stored schema may call its tables so: nothing of ours or of SQLite's is hidden by them.
fn may_be_named(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_ours = ["state", "state_with_tombstones", "change", "version"].contains(&&*name)
        || builtin::ALL.iter().any(|builtin| builtin.view == Some(&*name))
        || OTHERS.iter().any(|prefix| name.starts_with(prefix));
    // A name that ends like one of the three tables of a schema could be meant for two schemas.
    let is_ambiguous = name.ends_with("_all") || name.ends_with("_history");
    !name.is_empty() && !name.contains('\0') && !is_ours && !is_ambiguous
}

/// How names begin that are procedures, tables of the file, or SQLite's own.
const OTHERS: [&str; 9] =
    ["lix_", "_lix_", "sqlite_", "pragma_", "json_", "jsonb_", "fts", "rtree", "dbstat"];

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
        assert_eq!(generated().count(), 15);
        for builtin in generated() {
            assert!(shape(builtin).is_possible(), "{}", builtin.key);
            assert!(!may_be_named(builtin.view.unwrap()), "{}", builtin.key);
        }
    }
}
