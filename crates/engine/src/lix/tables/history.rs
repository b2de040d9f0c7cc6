//! `state_history` and the `…_history` tables: what entities were, seen from any commit.

use std::cell::OnceCell;
use std::rc::{Rc, Weak};

use lix_engine_protocol::Result;
use serde_json::{Map, Value};

use super::entities::Shape;
use super::layout::{Property, declare, optional};
use super::lookup::{self, Chosen, join_keys};
use super::values::{self, Kind, show, texts};
use super::view::alive;
use crate::lix::Lix;
use crate::lix::history::{DepthFilter, HistoryFilter, HistoryRow};
use crate::lix::json;
use crate::sqlite::function::Owned;
use crate::sqlite::vtab::{self, Argument, Cell, Op, Plan, Table};

/// Rows of history, of one schema or of all.
pub(super) struct Histories {
    lix: Weak<Lix>,
    layout: Rc<Layout>,
}

struct Layout {
    schema_key: Option<Rc<str>>,
    properties: Vec<Property>,
    /// The properties that entity ids are made of.
    key: Vec<usize>,
    columns: Vec<(Rc<str>, Column)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    EntityId,
    SchemaKey,
    FileId,
    PluginKey,
    Snapshot,
    SchemaVersion,
    ChangeId,
    CommitId,
    RootCommitId,
    Depth,
    Property(usize),
    /// Hidden: the JSON types of the properties.
    Types,
}

/// `state_history`.
pub(super) fn state_history(lix: &Weak<Lix>) -> Histories {
    let columns = STATE_COLUMNS.iter().map(|(name, column)| (Rc::from(*name), *column)).collect();
    let layout = Layout { schema_key: None, properties: vec![], key: vec![], columns };
    Histories { lix: lix.clone(), layout: Rc::new(layout) }
}

/// `N_history`.
pub(super) fn entity_history(lix: &Weak<Lix>, shape: &Shape) -> Histories {
    let is_text = |part: &usize| shape.properties[*part].kind == Kind::String;
    let key =
        if shape.primary_key.iter().all(is_text) { shape.primary_key.clone() } else { vec![] };
    histories(lix, &shape.schema_key, shape.properties.clone(), key, ENTITY_COLUMNS)
}

/// `version_history`: what versions were called and where they belonged. Their tips are other
/// entities and not shown.
pub(super) fn version_history(lix: &Weak<Lix>) -> Histories {
    let properties = [
        ("id", Kind::String),
        ("name", Kind::String),
        ("commit_id", Kind::String),
        ("working_commit_id", Kind::String),
        ("inherits_from_version_id", Kind::String),
        ("hidden", Kind::Boolean),
    ];
    let properties =
        properties.map(|(name, kind)| Property { name: name.into(), kind }).into_iter().collect();
    histories(lix, &"lix_version_descriptor".into(), properties, vec![0], ENTITY_COLUMNS)
}

fn histories(
    lix: &Weak<Lix>,
    schema_key: &Rc<str>,
    properties: Vec<Property>,
    key: Vec<usize>,
    others: &[(&str, Column)],
) -> Histories {
    let own = properties.iter().enumerate();
    let types = values::are_typed(&properties).then(|| (Rc::from(values::TYPES), Column::Types));
    let columns = own
        .map(|(number, property)| (property.name.clone(), Column::Property(number)))
        .chain(others.iter().map(|(name, column)| (Rc::from(*name), *column)))
        .chain(types)
        .collect();
    let layout = Layout { schema_key: Some(schema_key.clone()), properties, key, columns };
    Histories { lix: lix.clone(), layout: Rc::new(layout) }
}

impl Layout {
    fn column(&self, index: i32) -> Option<Column> {
        Some(self.columns.get(usize::try_from(index).ok()?)?.1)
    }

    /// The word for a column that rows can be found by.
    fn term(&self, column: Column) -> Option<String> {
        Some(match column {
            Column::RootCommitId => "root".to_owned(),
            Column::EntityId => "entity".to_owned(),
            Column::SchemaKey if self.schema_key.is_none() => "schema".to_owned(),
            Column::FileId => "file".to_owned(),
            Column::CommitId => "commit".to_owned(),
            Column::Property(number) if self.key.contains(&number) => number.to_string(),
            _ => return None,
        })
    }
}

impl Table for Histories {
    fn declaration(&self) -> String {
        let columns = self.layout.columns.iter().map(|(name, column)| {
            let declared = match column {
                Column::Depth => "integer",
                Column::Snapshot => "json text",
                Column::Property(number) => {
                    values::declared_type(self.layout.properties[*number].kind)
                }
                Column::Types => "text hidden",
                _ => "text",
            };
            (&**name, declared)
        });
        declare(columns)
    }

    fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        let layout = &*self.layout;
        let chosen = lookup::choose(plan, |constraint| {
            let column = layout.column(constraint.column)?;
            Some(match (column, constraint.op) {
                (Column::Depth, op) => depth_word(op)?.to_owned(),
                (column, Op::Eq) => layout.term(column)?,
                _ => return None,
            })
        });
        let has = |word: &str| chosen.has(word);
        let by_key = !layout.key.is_empty() && layout.key.iter().all(|key| has(&key.to_string()));
        let mut fewer = if has("entity") || by_key { 1_000.0 } else { 1.0 };
        fewer *= if layout.schema_key.is_some() || has("schema") { 4.0 } else { 1.0 };
        fewer *= if has("file") { 2.0 } else { 1.0 };
        estimate(plan, &chosen, fewer);
        Ok(())
    }

    fn open(&self) -> Box<dyn vtab::Rows> {
        Box::new(Rows {
            lix: self.lix.clone(),
            layout: self.layout.clone(),
            rows: vec![].into_iter(),
            row: None,
            content: OnceCell::new(),
        })
    }
}

/// One pass over history.
struct Rows {
    lix: Weak<Lix>,
    layout: Rc<Layout>,
    rows: std::vec::IntoIter<HistoryRow>,
    row: Option<HistoryRow>,
    content: OnceCell<Map<String, Value>>,
}

impl vtab::Rows for Rows {
    fn filter(&mut self, plan: &str, arguments: &[Argument<'_>]) -> Result<()> {
        let lix = alive(&self.lix)?;
        lix.note_any_commit();
        let mut filter = HistoryFilter {
            schema_keys: self.layout.schema_key.clone().map(|key| vec![key]),
            ..HistoryFilter::default()
        };
        let mut depth = DepthFilter { min: 0, max: u32::MAX };
        let mut parts = vec![None; self.layout.key.len()];
        for (term, argument) in plan.split_ascii_whitespace().zip(arguments) {
            let values = argument.values()?;
            if let Some(op) = term.strip_prefix("depth") {
                narrow_depth(&mut depth, op, &values);
                continue;
            }
            let texts = texts(values);
            match term {
                "root" => filter.root_commit_ids = texts,
                "entity" => filter.entity_ids = texts,
                "schema" => filter.schema_keys = texts,
                "file" => filter.file_ids = texts,
                "commit" => filter.commit_ids = texts,
                number => {
                    let number = number.parse::<usize>().ok();
                    if let Some(part) = self.layout.key.iter().position(|key| Some(*key) == number)
                    {
                        parts[part] = texts;
                    }
                }
            }
        }
        if filter.entity_ids.is_none()
            && let Some(keys) = parts.into_iter().collect::<Option<Vec<_>>>()
        {
            filter.entity_ids = join_keys(&keys);
        }
        filter.depth = Some(depth);
        self.rows = lix.history(&filter)?.into_iter();
        self.next()
    }

    fn next(&mut self) -> Result<()> {
        self.row = self.rows.next();
        self.content.take();
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.row.is_none()
    }

    fn column(&self, index: usize, out: &mut Cell<'_>) -> Result<()> {
        let (Some(row), Some((_, column))) = (&self.row, self.layout.columns.get(index)) else {
            return Ok(());
        };
        let change = &*row.change;
        match *column {
            Column::EntityId => out.text(&change.entity_id),
            Column::SchemaKey => out.text(&change.schema_key),
            Column::FileId => out.text(&change.file_id),
            Column::PluginKey => out.text(&change.plugin_key),
            Column::Snapshot => optional(out, change.snapshot.as_deref()),
            Column::SchemaVersion => out.text(&change.schema_version),
            Column::ChangeId => out.text(&change.id),
            Column::CommitId => out.text(&row.commit_id),
            Column::RootCommitId => out.text(&row.root_commit_id),
            Column::Depth => out.integer(row.depth),
            Column::Property(number) => {
                let content = self.content.get_or_init(|| json::object(change.snapshot.as_deref()));
                if let Some(value) = content.get(&*self.layout.properties[number].name) {
                    show(value, out);
                }
            }
            Column::Types => {
                let content = self.content.get_or_init(|| json::object(change.snapshot.as_deref()));
                out.text(&values::types(content, &self.layout.properties));
            }
        }
        Ok(())
    }
}

/// The word for a constraint on the depth, which [`narrow_depth`] reads.
pub(super) fn depth_word(op: Op) -> Option<&'static str> {
    Some(match op {
        Op::Eq => "depth=",
        Op::Lt => "depth<",
        Op::Le => "depth<=",
        Op::Gt => "depth>",
        Op::Ge => "depth>=",
        _ => return None,
    })
}

/// Tells SQLite what a look into history costs: what it asks for makes the rows so many times fewer,
/// beside where it starts, which commit it wants and how deep it goes.
pub(super) fn estimate(plan: &mut Plan<'_>, chosen: &Chosen, fewer: f64) {
    let mut rows = if chosen.has("root") { 10_000.0 } else { 1_000_000.0 };
    rows /= fewer;
    rows /= if chosen.has("commit") { 20.0 } else { 1.0 };
    rows /= if chosen.words.iter().any(|word| word.starts_with("depth")) { 4.0 } else { 1.0 };
    rows *= chosen.fan_out();
    let rows = rows.max(1.0);
    // The graph is walked, whatever is found there.
    plan.set_cost(100.0 + rows * 5.0);
    plan.set_rows(rows as i64);
}

/// What a comparison leaves of the depths. Values that are not integers are left to SQLite.
pub(super) fn narrow_depth(depth: &mut DepthFilter, op: &str, values: &[Owned]) {
    let [Owned::Integer(value)] = values else { return };
    let clamp = |value: i64| u32::try_from(value.max(0)).unwrap_or(u32::MAX);
    let value = *value;
    match op {
        "=" if value < 0 => depth.min = u32::MAX,
        "=" => (depth.min, depth.max) = (depth.min.max(clamp(value)), depth.max.min(clamp(value))),
        "<" => depth.max = depth.max.min(clamp(value.saturating_sub(1))),
        "<=" => depth.max = depth.max.min(clamp(value)),
        ">" => depth.min = depth.min.max(clamp(value.saturating_add(1))),
        ">=" => depth.min = depth.min.max(clamp(value)),
        _ => {}
    }
}

const STATE_COLUMNS: &[(&str, Column)] = &[
    ("entity_id", Column::EntityId),
    ("schema_key", Column::SchemaKey),
    ("file_id", Column::FileId),
    ("plugin_key", Column::PluginKey),
    ("snapshot_content", Column::Snapshot),
    ("schema_version", Column::SchemaVersion),
    ("change_id", Column::ChangeId),
    ("commit_id", Column::CommitId),
    ("root_commit_id", Column::RootCommitId),
    ("depth", Column::Depth),
];

const ENTITY_COLUMNS: &[(&str, Column)] = &[
    ("lixcol_entity_id", Column::EntityId),
    ("lixcol_schema_key", Column::SchemaKey),
    ("lixcol_plugin_key", Column::PluginKey),
    ("lixcol_file_id", Column::FileId),
    ("lixcol_change_id", Column::ChangeId),
    ("lixcol_commit_id", Column::CommitId),
    ("lixcol_schema_version", Column::SchemaVersion),
    ("lixcol_root_commit_id", Column::RootCommitId),
    ("lixcol_depth", Column::Depth),
];
