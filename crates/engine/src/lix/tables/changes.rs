//! `change`: the log itself. It can be added to, and never altered.

use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use lix_engine_protocol::{Error, Reason, Result};

use super::lookup;
use super::values::{snapshot, text, texts};
use super::view::alive;
use crate::lix::Lix;
use crate::sqlite::vtab::{self, Argument, Cell, Change, Op, Plan, Table, Values};
use crate::sqlite::{Bound, Statement};

/// Every change there is, those of the open transaction too.
pub(super) struct Changes {
    pub(super) lix: Weak<Lix>,
}

impl Table for Changes {
    fn declaration(&self) -> String {
        "create table x(id text, entity_id text, schema_key text, schema_version text, file_id text, \
         plugin_key text, created_at text, snapshot_content json text)"
            .to_owned()
    }

    fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        let chosen = lookup::choose(plan, |constraint| {
            let word = match constraint.column {
                0 => "id",
                1 => "entity",
                2 => "schema",
                4 => "file",
                _ => return None,
            };
            matches!(constraint.op, Op::Eq | Op::Is).then(|| word.to_owned())
        });
        let has = |word| chosen.has(word);
        let rows = match (has("id"), has("entity"), has("schema"), has("file")) {
            (true, ..) => 1.0,
            (_, true, true, _) => 10.0,
            (_, true, false, _) => 100.0,
            (_, _, true, _) => 20_000.0,
            (.., true) => 50_000.0,
            _ => 200_000.0,
        } * chosen.fan_out();
        if has("id") && chosen.lists == 0 {
            plan.set_unique();
        }
        plan.set_cost(10.0 + rows);
        plan.set_rows(rows as i64);
        Ok(())
    }

    fn open(&self) -> Box<dyn vtab::Rows> {
        Box::new(Rows {
            lix: self.lix.clone(),
            source: Source::These(Vec::new().into_iter()),
            page: VecDeque::new(),
        })
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn update(&self, change: Change<'_>) -> Result<()> {
        match change {
            Change::Insert { values } => insert(&*alive(&self.lix)?, values),
            Change::Update { .. } | Change::Delete { .. } => Err(Error::new(
                Reason::ReadOnly,
                "changes are never altered: cannot modify change because it is a view",
            )),
        }
    }
}

/// Adds a change that nobody has made: nothing but the log knows of it.
fn insert(lix: &Lix, values: Values<'_>) -> Result<()> {
    let id = text(values.get(0))?.unwrap_or_else(|| lix.ids.uuid_v7());
    let needed = |index: usize, name: &str| match text(values.get(index))? {
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(Error::new(Reason::NotNull, format!("NOT NULL constraint failed: change.{name}"))),
    };
    let entity_id = needed(1, "entity_id")?;
    let schema_key = needed(2, "schema_key")?;
    let schema_version = needed(3, "schema_version")?;
    let file_id = needed(4, "file_id")?;
    let plugin_key = needed(5, "plugin_key")?;
    let created_at = text(values.get(6))?.unwrap_or_else(|| lix.ids.timestamp());
    if !created_at.ends_with('Z') {
        let message = "CHECK constraint failed: change.created_at must end in 'Z'";
        return Err(Error::new(Reason::Check, message));
    }
    // Checked, and stored as SQLite would store its own JSON: without white space.
    let content = snapshot(values.get(7))?.map(|map| serde_json::Value::Object(map).to_string());
    let taken = lix.sql.first(SEQ_BY_ID, &[Bound::Text(&id)], |_| ())?;
    if taken.is_some() {
        let message = format!("UNIQUE constraint failed: change.id '{id}'");
        return Err(Error::new(Reason::PrimaryKey, message));
    }
    lix.sql.run(
        "insert into _lix_change
             (id, entity_id, schema_key, schema_version, file_id, plugin_key, created_at, snapshot)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        &[
            Bound::Text(&id),
            Bound::Text(&entity_id),
            Bound::Text(&schema_key),
            Bound::Text(&schema_version),
            Bound::Text(&file_id),
            Bound::Text(&plugin_key),
            Bound::Text(&created_at),
            content.as_deref().map_or(Bound::Null, Bound::Text),
        ],
    )
}

/// One pass over the log.
struct Rows {
    lix: Weak<Lix>,
    source: Source,
    page: VecDeque<Row>,
}

/// Which changes are still to come.
enum Source {
    /// These, by number.
    These(std::vec::IntoIter<i64>),
    /// All after one number, up to another: changes made meanwhile do not come.
    Between(i64, i64),
}

struct Row {
    seq: i64,
    cells: [Option<Rc<str>>; 8],
}

impl vtab::Rows for Rows {
    fn filter(&mut self, plan: &str, arguments: &[Argument<'_>]) -> Result<()> {
        let lix = alive(&self.lix)?;
        lix.note_any_commit();
        let (mut ids, mut entities, mut schemas, mut files) = (None, None, None, None);
        for (name, argument) in plan.split_ascii_whitespace().zip(arguments) {
            let texts = texts(argument.values()?);
            match name {
                "id" => ids = texts,
                "entity" => entities = texts,
                "schema" => schemas = texts,
                _ => files = texts,
            }
        }
        self.page.clear();
        self.source = match (ids, entities, schemas) {
            (Some(ids), _, _) => Source::These(lix.change_seqs_by_id(&ids)?),
            (None, Some(entities), schemas) => {
                let schemas = match schemas {
                    Some(schemas) => schemas,
                    None => lix.schemas_of_changes()?,
                };
                Source::These(lix.change_seqs_by_entity(&schemas, &entities, files.as_deref())?)
            }
            (None, None, Some(schemas)) => Source::These(lix.change_seqs_by_schema(&schemas)?),
            (None, None, None) => {
                let newest = "select max(seq) from _lix_change";
                let newest = lix.sql.first(newest, &[], |row| row.integer(0))?;
                Source::Between(0, newest.unwrap_or_default())
            }
        };
        self.fill(&lix)
    }

    fn next(&mut self) -> Result<()> {
        self.page.pop_front();
        if self.page.is_empty() { self.fill(&*alive(&self.lix)?) } else { Ok(()) }
    }

    fn is_done(&self) -> bool {
        self.page.is_empty()
    }

    fn column(&self, index: usize, out: &mut Cell<'_>) -> Result<()> {
        if let Some(text) = self.page.front().and_then(|row| row.cells.get(index)?.as_ref()) {
            out.text(text);
        }
        Ok(())
    }

    fn rowid(&self) -> i64 {
        self.page.front().map_or(0, |row| row.seq)
    }
}

impl Rows {
    /// Reads on, if there is more.
    fn fill(&mut self, lix: &Lix) -> Result<()> {
        match &mut self.source {
            Source::These(seqs) => {
                for seq in seqs.by_ref() {
                    let row = lix.sql.first(CHANGE_BY_SEQ, &[Bound::Integer(seq)], Row::read)?;
                    if let Some(row) = row {
                        self.page.push_back(row);
                        break;
                    }
                }
            }
            Source::Between(last, end) => {
                let params = [Bound::Integer(*last), Bound::Integer(*end)];
                lix.sql.each(NEXT_CHANGES, &params, |row| {
                    self.page.push_back(Row::read(row));
                    Ok(())
                })?;
                *last = self.page.back().map_or(*end, |row| row.seq);
            }
        }
        Ok(())
    }
}

impl Row {
    fn read(row: &Statement) -> Self {
        let text = |index| row.optional_text(index);
        Self {
            seq: row.integer(8),
            cells: [text(0), text(1), text(2), text(3), text(4), text(5), text(6), text(7)],
        }
    }
}

/// The numbers of changes, ascending.
impl Lix {
    fn change_seqs_by_id(&self, ids: &[Rc<str>]) -> Result<std::vec::IntoIter<i64>> {
        let mut seqs = Vec::with_capacity(ids.len());
        for id in ids {
            seqs.extend(self.sql.first(SEQ_BY_ID, &[Bound::Text(id)], |row| row.integer(0))?);
        }
        Ok(ascending(seqs))
    }

    fn change_seqs_by_schema(&self, schemas: &[Rc<str>]) -> Result<std::vec::IntoIter<i64>> {
        let mut seqs = Vec::new();
        for schema in schemas {
            let sql = "select seq from _lix_change where schema_key = ?1";
            self.sql.each(sql, &[Bound::Text(schema)], |row| {
                seqs.push(row.integer(0));
                Ok(())
            })?;
        }
        Ok(ascending(seqs))
    }

    fn change_seqs_by_entity(
        &self,
        schemas: &[Rc<str>],
        entities: &[Rc<str>],
        files: Option<&[Rc<str>]>,
    ) -> Result<std::vec::IntoIter<i64>> {
        let mut seqs = Vec::new();
        for schema in schemas {
            for entity in entities {
                let sql =
                    "select seq, file_id from _lix_change where schema_key = ?1 and entity_id = ?2";
                self.sql.each(sql, &[Bound::Text(schema), Bound::Text(entity)], |row| {
                    if files.is_none_or(|files| files.contains(&row.text(1))) {
                        seqs.push(row.integer(0));
                    }
                    Ok(())
                })?;
            }
        }
        Ok(ascending(seqs))
    }

    /// The schema keys in the log, each found with one step in the index.
    fn schemas_of_changes(&self) -> Result<Vec<Rc<str>>> {
        let sql = "with recursive key(name) as (
                       select min(schema_key) from _lix_change
                       union all
                       select (select min(schema_key) from _lix_change where schema_key > name)
                       from key where name is not null
                   )
                   select name from key where name is not null";
        let mut keys = Vec::new();
        self.sql.each(sql, &[], |row| {
            keys.push(row.text(0));
            Ok(())
        })?;
        Ok(keys)
    }
}

fn ascending(mut seqs: Vec<i64>) -> std::vec::IntoIter<i64> {
    seqs.sort_unstable();
    seqs.dedup();
    seqs.into_iter()
}

const SEQ_BY_ID: &str = "select seq from _lix_change where id = ?1";
const CHANGE_BY_SEQ: &str = "select id, entity_id, schema_key, schema_version, file_id, plugin_key, \
                             created_at, snapshot, seq from _lix_change where seq = ?1";
const NEXT_CHANGES: &str = "select id, entity_id, schema_key, schema_version, file_id, plugin_key, \
                            created_at, snapshot, seq from _lix_change \
                            where seq > ?1 and seq <= ?2 order by seq limit 64";
