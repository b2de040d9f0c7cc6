//! `file_history`: what files were, seen from any commit.

use std::rc::{Rc, Weak};

use lix_engine_protocol::Result;
use serde_json::{Map, Value};

use super::history::{depth_word, estimate, narrow_depth};
use super::layout::declare;
use super::lookup;
use super::values::{show, texts};
use super::view::alive;
use crate::lix::files::{FileState, SCHEMA};
use crate::lix::history::{DepthFilter, HistoryFilter};
use crate::lix::{Lix, json};
use crate::sqlite::vtab::{self, Argument, Cell, Op, Plan, Table};

/// `file_history`.
pub(super) struct FileHistory {
    pub(super) lix: Weak<Lix>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Id,
    Path,
    Data,
    Metadata,
    Hidden,
    EntityId,
    SchemaKey,
    FileId,
    PluginKey,
    ChangeId,
    CommitId,
    SchemaVersion,
    RootCommitId,
    Depth,
}

impl Table for FileHistory {
    fn declaration(&self) -> String {
        let columns = COLUMNS.iter().map(|(name, column)| {
            let declared = match column {
                Column::Data => "blob",
                Column::Metadata => "json text",
                Column::Hidden | Column::Depth => "integer",
                _ => "text",
            };
            (*name, declared)
        });
        declare(columns)
    }

    fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        let chosen = lookup::choose(plan, |constraint| {
            let index = usize::try_from(constraint.column).ok()?;
            let word = match (COLUMNS.get(index)?.1, constraint.op) {
                (Column::Depth, op) => depth_word(op)?,
                (Column::Id | Column::EntityId | Column::FileId, Op::Eq) => "file",
                (Column::RootCommitId, Op::Eq) => "root",
                (Column::CommitId, Op::Eq) => "commit",
                _ => return None,
            };
            Some(word.to_owned())
        });
        estimate(plan, &chosen, if chosen.has("file") { 1_000.0 } else { 1.0 });
        Ok(())
    }

    fn open(&self) -> Box<dyn vtab::Rows> {
        Box::new(Rows { lix: self.lix.clone(), states: vec![].into_iter(), row: None })
    }
}

/// One pass over the history of files.
struct Rows {
    lix: Weak<Lix>,
    states: std::vec::IntoIter<FileState>,
    row: Option<(FileState, Map<String, Value>)>,
}

impl vtab::Rows for Rows {
    fn filter(&mut self, plan: &str, arguments: &[Argument<'_>]) -> Result<()> {
        let lix = alive(&self.lix)?;
        lix.note_any_commit();
        let mut filter = HistoryFilter::default();
        let mut depth = DepthFilter { min: 0, max: u32::MAX };
        for (word, argument) in plan.split_ascii_whitespace().zip(arguments) {
            let values = argument.values()?;
            if let Some(op) = word.strip_prefix("depth") {
                narrow_depth(&mut depth, op, &values);
                continue;
            }
            let texts = texts(values);
            match word {
                "root" => filter.root_commit_ids = texts,
                "file" => filter.file_ids = texts,
                "commit" => filter.commit_ids = texts,
                _ => {}
            }
        }
        filter.depth = Some(depth);
        self.states = lix.file_history(filter)?.into_iter();
        self.next()
    }

    fn next(&mut self) -> Result<()> {
        self.row = self.states.next().map(|state| {
            let content = json::object(state.descriptor.snapshot.as_deref());
            (state, content)
        });
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.row.is_none()
    }

    fn column(&self, index: usize, out: &mut Cell<'_>) -> Result<()> {
        let (Some((state, content)), Some((_, column))) = (&self.row, COLUMNS.get(index)) else {
            return Ok(());
        };
        let change = &*state.descriptor;
        let mut property = |name: &str| {
            if let Some(value) = content.get(name) {
                show(value, out);
            }
        };
        match column {
            Column::Path => property("path"),
            Column::Metadata => property("metadata"),
            Column::Hidden => property("hidden"),
            Column::Id | Column::EntityId => out.text(&change.entity_id),
            Column::FileId => out.text(&change.file_id),
            Column::SchemaKey => out.text(SCHEMA),
            Column::PluginKey => out.text(&change.plugin_key),
            Column::SchemaVersion => out.text(&change.schema_version),
            Column::ChangeId => out.text(&state.change_id),
            Column::CommitId => out.text(&state.commit_id),
            Column::RootCommitId => out.text(&state.root_commit_id),
            Column::Depth => out.integer(state.depth),
            Column::Data => {
                let lix: Rc<Lix> = alive(&self.lix)?;
                return lix.with_file_data_at(state, |data| out.blob(data));
            }
        }
        Ok(())
    }
}

const COLUMNS: [(&str, Column); 14] = [
    ("id", Column::Id),
    ("path", Column::Path),
    ("data", Column::Data),
    ("metadata", Column::Metadata),
    ("hidden", Column::Hidden),
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
