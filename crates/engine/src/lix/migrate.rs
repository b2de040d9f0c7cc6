//! An image of the original, made a lix of this engine: its log and its untracked rows are taken
//! over, everything else is computed from them.
//!
//! Guarantee: what was visible is visible afterwards, under the same ids. Tables, views and triggers
//! of users stay; those of the original are gone. Damage is found before anything is taken over.

use std::rc::Rc;

use lix_engine_protocol::{Error, Reason, Result};

use super::Lix;
use super::open::SCHEMA_VERSION;
use super::schemas::builtin;
use crate::sqlite::Bound;

/// Which release wrote the tables of the original that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// The one that is taken over.
    Known,
    /// A later one, with other entities.
    Later,
}

impl Lix {
    /// Whether the database is the original's.
    pub(super) fn original(&self) -> Result<Option<Layout>> {
        let sql = "select lower(name) from sqlite_schema where type = 'table' and sql like '%snapshot\\_id%' escape '\\'
                   and lower(name) in ('internal_change', 'lix_internal_change') order by 1 limit 1";
        let name = self.sql.first(sql, &[], |row| row.text(0))?;
        Ok(name.map(|name| match &*name {
            "internal_change" => Layout::Known,
            _ => Layout::Later,
        }))
    }

    /// Makes it a lix, within a transaction.
    pub(super) fn migrate(self: &Rc<Self>) -> Result<()> {
        self.find_damage()?;
        self.sql.script(include_str!("tables.sql"))?;
        let version = "insert into _lix_meta (key, value) values ('schema_version', ?)";
        self.sql.run(version, &[Bound::Text(SCHEMA_VERSION)])?;
        self.sql.script(include_str!("migrate.sql"))?;
        let has_files =
            "select 1 from sqlite_schema where lower(name) = 'internal_file_data_cache'";
        let has_files = self.sql.first(has_files, &[], |_| ())?.is_some();
        if has_files {
            self.sql.script(FILE_DATA)?;
        }
        self.drop_original()?;
        self.rebuild()?;
        if has_files { self.adopt_written() } else { Ok(()) }
    }

    fn find_damage(&self) -> Result<()> {
        let sql = "
            select 'change ' || c.id from internal_change c left join internal_snapshot s on s.id = c.snapshot_id
              where s.id is null
                or s.content is not null and not (json_valid(s.content, 8) and json_type(s.content) = 'object')
            union all
            select 'untracked row ' || entity_id from internal_state_all_untracked
              where snapshot_content is not null
                and not (json_valid(snapshot_content, 8) and json_type(snapshot_content) = 'object')
            limit 1";
        match self.sql.first(sql, &[], |row| row.text(0))? {
            Some(what) => {
                Err(Error::new(Reason::ImageInvalid, format!("{what} has no valid snapshot")))
            }
            None => Ok(()),
        }
    }

    fn drop_original(&self) -> Result<()> {
        let mut found = Vec::new();
        let sql = "select type, name, iif(rootpage = 0, sql, null) from sqlite_schema
                   where type in ('table', 'view') order by type desc";
        self.sql.each(sql, &[], |row| {
            found.push((row.text(0), row.text(1), row.optional_text(2)));
            Ok(())
        })?;
        for (kind, name, sql) in found {
            let is_view = &*kind == "view";
            if !(if is_view { is_view_of_original(&name) } else { is_table_of_original(&name) }) {
                continue;
            }
            let drop = format!("drop {kind} \"{}\"", name.replace('"', "\"\""));
            match sql.as_deref().filter(|_| !is_view).and_then(module) {
                Some(module) => self.sql.link().drop_of_unknown_module(&drop, module)?,
                None => self.sql.script(&drop)?,
            }
        }
        Ok(())
    }
}

/// What files showed, to be matched with their entities once these are there.
const FILE_DATA: &str =
    "insert or ignore into _lix_file_data (version_id, file_id, plugin_key, fingerprint, data)
  select version_id, file_id, '', '', data from internal_file_data_cache
  where typeof(data) = 'blob' and version_id is not null and file_id is not null";

fn is_table_of_original(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let Some(rest) = name.strip_prefix("internal_") else { return false };
    matches!(rest, "change" | "snapshot" | "transaction_state")
        || rest.starts_with("state_")
        || rest.starts_with("file_") && rest.ends_with("_cache")
}

/// Also those that this engine has as tables which are in no schema, and which a view would hide.
fn is_view_of_original(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let base =
        ["_all", "_history", "_with_tombstones"].iter().find_map(|end| name.strip_suffix(end));
    let base = base.unwrap_or(&name);
    name.starts_with("internal_")
        || ["state", "change", "version"].contains(&base)
        || builtin::ALL.iter().any(|builtin| builtin.view == Some(base))
}

/// The module of a virtual table, by the statement that created it.
fn module(sql: &str) -> Option<&str> {
    let using = sql.to_ascii_lowercase().find(" using ")?;
    sql[using + " using ".len()..].split(['(', ';']).next().map(str::trim)
}
