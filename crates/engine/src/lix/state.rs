//! What a version sees: one row per key, found by walking the version's levels.
//!
//! Guarantee: whoever asks gets exactly one row for a key in a version, and a row that was written
//! a moment ago in the same transaction is that row. A scan shows the rows of the moment at which
//! it began: what is written meanwhile waits until it has read the rest.
//!
//! A level is a version and what it holds itself: its untracked rows, the rows of its line, and
//! those of the layers on which the line is based. The first place that has anything under a key
//! decides; a tombstone there hides everything behind it.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::{Rc, Weak};

use lix_engine_protocol::Result;

use super::derived::{self, Wanted};
use super::sql::OwnRunning;
use super::versions::{Layer, Level};
use super::{GLOBAL, LIX_FILE, Lix, Places};
use crate::sqlite::{Bound, Statement};

/// What names a row within a version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) schema_key: Rc<str>,
    pub(crate) entity_id: Rc<str>,
    pub(crate) file_id: Rc<str>,
}

/// A row of state as one version sees it.
#[derive(Clone, Debug)]
pub(crate) struct StateRow {
    pub(crate) key: Key,
    /// The version that looks.
    pub(crate) version_id: Rc<str>,
    /// The version that holds the row, if it is another one.
    pub(crate) inherited_from: Option<Rc<str>>,
    pub(crate) plugin_key: Rc<str>,
    pub(crate) schema_version: Rc<str>,
    /// JSON text; none: a tombstone.
    pub(crate) snapshot: Option<Rc<str>>,
    pub(crate) created_at: Rc<str>,
    pub(crate) updated_at: Rc<str>,
    /// The winning change, or `untracked`.
    pub(crate) change_id: Rc<str>,
    /// The commit that made it the winner, `pending` or `untracked`.
    pub(crate) commit_id: Rc<str>,
    pub(crate) untracked: bool,
    /// `_lix_change.seq` of the winning change; none for untracked and derived rows.
    pub(crate) change_seq: Option<i64>,
}

/// Which versions look.
#[derive(Clone, Debug, Default)]
pub(crate) enum Viewers {
    /// Every version there is.
    #[default]
    All,
    /// These; unknown ones see nothing.
    These(Vec<Rc<str>>),
}

/// Which rows are wanted. An empty list means no row, none means any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) viewers: Viewers,
    pub(crate) schema_keys: Option<Vec<Rc<str>>>,
    pub(crate) entity_ids: Option<Vec<Rc<str>>>,
    pub(crate) file_ids: Option<Vec<Rc<str>>>,
    /// Properties that equal these strings, as a hint: more rows may come, so check them.
    pub(crate) properties: Vec<(Rc<str>, Rc<str>)>,
    /// Tombstones too, at the level that owns them.
    pub(crate) tombstones: bool,
    /// Only rows that the viewing version holds itself.
    pub(crate) own_only: bool,
}

impl Filter {
    /// The files whose rows are found by an index: that of the engine's own entities is not in it.
    fn indexed_files(&self) -> Option<&[Rc<str>]> {
        self.file_ids.as_deref().filter(|ids| ids.iter().all(|id| &**id != LIX_FILE))
    }
}

/// A version's own tracked row, wherever in its layers it lies.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    pub(crate) change_seq: i64,
    pub(crate) commit_no: i64,
    /// Of the row: the first change since the key was last absent.
    pub(crate) created_at: Rc<str>,
    /// As stored: none where it is the change's.
    pub(crate) stored_created_at: Option<Rc<str>>,
    pub(crate) is_deleted: bool,
    /// It lies on the version's own line and not in a layer below.
    pub(crate) is_on_line: bool,
}

/// A version's own tracked rows of one file, by schema and entity.
pub(super) type OwnOfFile = HashMap<(Rc<str>, Rc<str>), Own>;

/// Rows, one after the other, in no promised order.
pub(crate) struct Scan {
    inner: Rc<RefCell<ScanInner>>,
}

/// What a scan has still to read.
pub(crate) struct ScanInner {
    lix: Weak<Lix>,
    filter: Filter,
    viewers: VecDeque<Rc<str>>,
    /// Of the current viewer.
    levels: Option<Rc<[Level]>>,
    schema_keys: VecDeque<Rc<str>>,
    /// Of the current schema, if it is read part by part.
    parts: VecDeque<Part>,
    merge: Option<Merge>,
    /// Read ahead because somebody is about to write.
    ready: VecDeque<StateRow>,
    is_done: bool,
}

impl Scan {
    /// The next row.
    pub(crate) fn next(&mut self) -> Result<Option<StateRow>> {
        let mut inner = self.inner.borrow_mut();
        match inner.ready.pop_front() {
            Some(row) => Ok(Some(row)),
            None => inner.advance(),
        }
    }
}

impl Lix {
    /// The live row of a key, as a version sees it. An unknown version sees nothing.
    pub(crate) fn get(&self, version_id: &str, key: &Key) -> Result<Option<StateRow>> {
        let row = self.find(version_id, key)?;
        Ok(row.filter(|row| row.snapshot.is_some()))
    }

    /// What decides about a key in a version: a row or a tombstone, at whatever level.
    pub(crate) fn find(&self, version_id: &str, key: &Key) -> Result<Option<StateRow>> {
        let levels = self.levels(version_id)?;
        self.note_levels(version_id, &levels)?;
        for (depth, level) in levels.iter().enumerate() {
            if let Some(row) = self.find_in_level(version_id, depth, level, key)? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// The row or tombstone that a version holds itself.
    pub(crate) fn find_own(&self, version_id: &str, key: &Key) -> Result<Option<StateRow>> {
        let levels = self.levels(version_id)?;
        self.note_levels(version_id, &levels)?;
        match levels.first() {
            Some(level) => self.find_in_level(version_id, 0, level, key),
            None => Ok(None),
        }
    }

    /// The change that decides about a key in a version's own tracked rows.
    pub(crate) fn tracked(&self, version_id: &str, key: &Key) -> Result<Option<(i64, bool)>> {
        Ok(self.own(version_id, key)?.map(|own| (own.change_seq, own.is_deleted)))
    }

    /// A version's own tracked row of a key.
    pub(crate) fn own(&self, version_id: &str, key: &Key) -> Result<Option<Own>> {
        let levels = self.levels(version_id)?;
        let unknown;
        let layers = match levels.first() {
            Some(level) => &level.layers,
            None => {
                unknown = self.layers(version_id)?;
                &unknown
            }
        };
        for (depth, layer) in layers.iter().enumerate() {
            if depth > 0 && !is_shared(&key.schema_key) {
                break;
            }
            let found = self.in_layer(layer, key, |row| {
                let stored_created_at = row.optional_text(STORED_CREATED_AT);
                Own {
                    change_seq: row.integer(CHANGE_SEQ),
                    commit_no: row.integer(COMMIT_NO),
                    created_at: stored_created_at
                        .clone()
                        .unwrap_or_else(|| row.text(CHANGE_CREATED_AT)),
                    stored_created_at,
                    is_deleted: row.integer(IS_DELETED) != 0,
                    is_on_line: depth == 0,
                }
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// A version's own tracked rows of a file, by schema and entity.
    pub(super) fn own_of_file(&self, version_id: &str, file_id: &str) -> Result<OwnOfFile> {
        let mut found = OwnOfFile::new();
        for (depth, layer) in self.layers(version_id)?.iter().enumerate() {
            let text = [Bound::Text(&layer.line), Bound::Text(file_id)];
            let mut add = |row: &Statement| {
                let key = (row.text(0), row.text(1));
                found.entry(key).or_insert_with(|| {
                    let stored_created_at = row.optional_text(4);
                    Own {
                        change_seq: row.integer(2),
                        commit_no: row.integer(3),
                        created_at: stored_created_at.clone().unwrap_or_else(|| row.text(6)),
                        stored_created_at,
                        is_deleted: row.integer(5) != 0,
                        is_on_line: depth == 0,
                    }
                });
                Ok(())
            };
            if depth == 0 {
                self.sql.each(OWN_OF_FILE, &text, add)?;
            } else {
                let [line, file] = text;
                let params = [line, file, Bound::Integer(layer.until)];
                self.sql.each(OWN_OF_FILE_UNTIL, &params, &mut add)?;
                self.sql.each(OWN_OF_FILE_PAST, &params, add)?;
            }
        }
        Ok(found)
    }

    /// Whether a version sees nothing under an entity id, in any file, and nothing there hides
    /// anything.
    pub(crate) fn is_absent(&self, version_id: &str, key: &Key) -> Result<bool> {
        for level in self.levels(version_id)?.iter() {
            if self.has_untracked(&level.version_id, &key.schema_key)?
                || (&*level.version_id == GLOBAL && derived::SCHEMAS.contains(&&*key.schema_key))
            {
                return Ok(false);
            }
            for layer in &level.layers {
                let params = [
                    Bound::Text(&layer.line),
                    Bound::Text(&key.schema_key),
                    Bound::Text(&key.entity_id),
                ];
                let sql = "select 1 from _lix_state where version_id = ?1 and schema_key = ?2 and entity_id = ?3";
                if self.sql.first(sql, &params, |_| ())?.is_some() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// All rows that match.
    pub(crate) fn scan(self: &Rc<Self>, filter: Filter) -> Result<Scan> {
        self.note_filter(&filter)?;
        let viewers: VecDeque<Rc<str>> = match &filter.viewers {
            Viewers::All => self.all_versions()?.iter().map(|version| version.id.clone()).collect(),
            Viewers::These(ids) => distinct(ids).into(),
        };
        let inner = ScanInner {
            lix: Rc::downgrade(self),
            filter,
            viewers,
            levels: None,
            schema_keys: VecDeque::new(),
            parts: VecDeque::new(),
            merge: None,
            ready: VecDeque::new(),
            is_done: false,
        };
        let inner = Rc::new(RefCell::new(inner));
        let mut scans = self.scans.borrow_mut();
        if scans.len() >= 16 {
            scans.retain(|scan| scan.strong_count() > 0);
        }
        scans.push(Rc::downgrade(&inner));
        Ok(Scan { inner })
    }

    /// Lets the scans that are under way read the rest before something is written.
    pub(crate) fn drain_scans(&self) -> Result<()> {
        if self.scans.borrow().is_empty() {
            return Ok(());
        }
        for scan in self.scans.take() {
            // One that is borrowed is the one that writes, by way of a function; it goes on.
            let Some(inner) = scan.upgrade() else { continue };
            let Ok(mut inner) = inner.try_borrow_mut() else { continue };
            while let Some(row) = inner.advance()? {
                inner.ready.push_back(row);
            }
        }
        Ok(())
    }

    fn find_in_level(
        &self,
        viewer: &str,
        depth: usize,
        level: &Level,
        key: &Key,
    ) -> Result<Option<StateRow>> {
        self.note_key(&level.version_id, key);
        let inherited_from = (depth > 0).then(|| level.version_id.clone());
        let viewer: Rc<str> = if depth == 0 { level.version_id.clone() } else { Rc::from(viewer) };
        if self.has_untracked(&level.version_id, &key.schema_key)? {
            let found = self.sql.first(
                UNTRACKED_ROW,
                &[
                    Bound::Text(&level.version_id),
                    Bound::Text(&key.schema_key),
                    Bound::Text(&key.entity_id),
                    Bound::Text(&key.file_id),
                ],
                |row| untracked_row(row, &key.schema_key, &viewer, &inherited_from),
            )?;
            if found.is_some() {
                return Ok(found);
            }
        }
        for (below, layer) in level.layers.iter().enumerate() {
            if below > 0 && !is_shared(&key.schema_key) {
                break;
            }
            let found = self.in_layer(layer, key, |row| {
                (
                    tracked_row(row, &key.schema_key, &viewer, &inherited_from),
                    row.integer(COMMIT_NO),
                )
            })?;
            if let Some((mut row, commit_no)) = found {
                row.commit_id = self.commit_name(commit_no)?;
                return Ok(Some(row));
            }
        }
        if &*level.version_id == GLOBAL && derived::SCHEMAS.contains(&&*key.schema_key) {
            let wanted =
                Wanted { entity_ids: Some(std::slice::from_ref(&key.entity_id)), properties: &[] };
            let found = derived::scan(self, &key.schema_key, &wanted)?
                .into_iter()
                .find(|row| row.key.file_id == key.file_id);
            return Ok(found.map(|row| StateRow { version_id: viewer, inherited_from, ..row }));
        }
        Ok(None)
    }

    /// The row of a key in a layer, given to a reader.
    fn in_layer<T>(
        &self,
        layer: &Layer,
        key: &Key,
        read: impl Fn(&Statement) -> T,
    ) -> Result<Option<T>> {
        let text = [
            Bound::Text(&layer.line),
            Bound::Text(&key.schema_key),
            Bound::Text(&key.entity_id),
            Bound::Text(&key.file_id),
        ];
        let [line, schema, entity, file] = text;
        if layer.until == i64::MAX {
            return self.sql.first(STATE_ROW, &text, read);
        }
        let params = [line, schema, entity, file, Bound::Integer(layer.until)];
        match self.sql.first(STATE_ROW_UNTIL, &params, &read)? {
            Some(found) => Ok(Some(found)),
            None => self.sql.first(PAST_ROW, &params, &read),
        }
    }

    /// A commit's id for readers.
    pub(crate) fn commit_name(&self, no: i64) -> Result<Rc<str>> {
        if let Some((known, name)) = &*self.last_commit.borrow()
            && *known == no
        {
            return Ok(name.clone());
        }
        match self.commit_id(no)? {
            Some(id) => {
                self.last_commit.replace(Some((no, id.clone())));
                Ok(id)
            }
            None => Ok(PENDING.into()),
        }
    }

    /// Whether a version may hold untracked rows of a schema.
    pub(crate) fn has_untracked(&self, version_id: &str, schema_key: &str) -> Result<bool> {
        if self.untracked.borrow().is_none() {
            let mut found = Places::new();
            let versions = "select min(version_id) from _lix_untracked where version_id > ?1";
            for version_id in self.distinct(versions, &[])? {
                let schemas = self.distinct(UNTRACKED_SCHEMAS, &[&version_id])?;
                found.insert(version_id, schemas.into_iter().collect());
            }
            self.untracked.replace(Some(found));
        }
        let untracked = self.untracked.borrow();
        let places = untracked.as_ref().expect("loaded above");
        Ok(places.get(version_id).is_some_and(|schemas| schemas.contains(schema_key)))
    }

    /// A version holds untracked rows of a schema from now on.
    pub(crate) fn note_untracked(&self, version_id: &Rc<str>, schema_key: &Rc<str>) {
        if let Some(places) = &mut *self.untracked.borrow_mut() {
            places.entry(version_id.clone()).or_default().insert(schema_key.clone());
        }
    }

    /// The schemas of which a level holds rows.
    fn schema_keys_of(
        &self,
        level: &Level,
        into: &mut std::collections::BTreeSet<Rc<str>>,
    ) -> Result<()> {
        into.extend(self.distinct(UNTRACKED_SCHEMAS, &[&level.version_id])?);
        for layer in &level.layers {
            into.extend(self.distinct(STATE_SCHEMAS, &[&layer.line])?);
            into.extend(self.distinct(PAST_SCHEMAS, &[&layer.line])?);
        }
        if &*level.version_id == GLOBAL {
            into.extend(derived::SCHEMAS.iter().map(|key| Rc::from(*key)));
        }
        Ok(())
    }
}

impl Lix {
    /// The schemas of which a level holds rows of files; not those that belong to no file.
    fn schema_keys_of_files(
        &self,
        level: &Level,
        files: &[Rc<str>],
        into: &mut std::collections::BTreeSet<Rc<str>>,
    ) -> Result<()> {
        for file in files {
            into.extend(self.distinct(UNTRACKED_SCHEMAS_OF_FILE, &[&level.version_id, file])?);
            for (below, layer) in level.layers.iter().enumerate() {
                into.extend(self.distinct(STATE_SCHEMAS_OF_FILE, &[&layer.line, file])?);
                if below > 0 {
                    into.extend(self.distinct(PAST_SCHEMAS_OF_FILE, &[&layer.line, file])?);
                }
            }
        }
        Ok(())
    }
}

impl ScanInner {
    /// The next row from the tables.
    fn advance(&mut self) -> Result<Option<StateRow>> {
        if self.is_done {
            return Ok(None);
        }
        let Some(lix) = self.lix.upgrade() else { return Ok(None) };
        loop {
            if let Some(merge) = &mut self.merge {
                match merge.next(&lix, &self.filter)? {
                    Some(row) => return Ok(Some(row)),
                    None => self.merge = None,
                }
            }
            if !self.next_unit(&lix)? {
                self.is_done = true;
                return Ok(None);
            }
        }
    }

    /// Sets up the next run of rows: one viewer, one schema, one part.
    fn next_unit(&mut self, lix: &Rc<Lix>) -> Result<bool> {
        loop {
            let Some(levels) = &self.levels else {
                let Some(viewer) = self.viewers.pop_front() else { return Ok(false) };
                let levels = lix.levels(&viewer)?;
                let looks_at = if self.filter.own_only { 1 } else { levels.len() };
                self.schema_keys = match &self.filter.schema_keys {
                    Some(keys) => distinct(keys).into(),
                    None => {
                        let mut keys = std::collections::BTreeSet::new();
                        for level in levels.iter().take(looks_at) {
                            match self.filter.indexed_files() {
                                Some(files) => lix.schema_keys_of_files(level, files, &mut keys)?,
                                None => lix.schema_keys_of(level, &mut keys)?,
                            }
                        }
                        keys.into_iter().collect()
                    }
                };
                if !levels.is_empty() {
                    self.levels = Some(levels);
                    self.parts = self.all_parts();
                }
                continue;
            };
            let Some(schema_key) = self.schema_keys.front().cloned() else {
                self.levels = None;
                continue;
            };
            let Some(part) = self.parts.pop_front() else {
                self.schema_keys.pop_front();
                self.parts = self.all_parts();
                continue;
            };
            let levels = levels.clone();
            self.merge = Some(Merge::new(lix, levels, schema_key, &part, &self.filter)?);
            return Ok(true);
        }
    }

    /// In which parts the rows of each schema are read.
    fn all_parts(&self) -> VecDeque<Part> {
        match (&self.filter.entity_ids, self.filter.indexed_files()) {
            (Some(ids), _) => distinct(ids).into_iter().map(Part::Entity).collect(),
            (None, Some(ids)) => distinct(ids).into_iter().map(Part::File).collect(),
            (None, None) => VecDeque::from([Part::All]),
        }
    }
}

/// Rows of one schema that are read together.
enum Part {
    All,
    Entity(Rc<str>),
    File(Rc<str>),
}

/// One viewer's rows of one schema: the sources of all levels, merged by key.
struct Merge {
    schema_key: Rc<str>,
    viewer: Rc<str>,
    /// The one that decides comes first.
    sources: Vec<Source>,
}

/// Rows of one place, ordered by entity and file.
struct Source {
    rows: SourceRows,
    /// None: the viewer's own.
    inherited_from: Option<Rc<str>>,
    /// The key of the current row; none: no more rows.
    current: Option<(Rc<str>, Rc<str>)>,
}

enum SourceRows {
    Untracked(OwnRunning),
    Tracked(OwnRunning),
    Derived(VecDeque<StateRow>),
}

impl Merge {
    fn new(
        lix: &Rc<Lix>,
        levels: Rc<[Level]>,
        schema_key: Rc<str>,
        part: &Part,
        filter: &Filter,
    ) -> Result<Self> {
        let (entity_id, number, narrow) = match part {
            Part::All => (None, 0, None),
            Part::Entity(id) => (Some(id), 1, Some(id)),
            Part::File(id) => (None, 2, Some(id)),
        };
        let viewer = levels[0].version_id.clone();
        let mut sources = Vec::new();
        let looks_at = if filter.own_only { 1 } else { levels.len() };
        for (depth, level) in levels.iter().take(looks_at).enumerate() {
            let inherited_from = (depth > 0).then(|| level.version_id.clone());
            let mut add = |rows: SourceRows| -> Result<()> {
                let mut source =
                    Source { rows, inherited_from: inherited_from.clone(), current: None };
                source.advance()?;
                if source.current.is_some() {
                    sources.push(source);
                }
                Ok(())
            };
            let start = |sql: [&'static str; 3], line: &str, until: Option<i64>| {
                let mut params = vec![Bound::Text(line), Bound::Text(&schema_key)];
                params.extend(until.map(Bound::Integer));
                params.extend(narrow.map(|id| Bound::Text(id)));
                OwnRunning::start(lix, sql[number], &params)
            };
            if lix.has_untracked(&level.version_id, &schema_key)? {
                add(SourceRows::Untracked(start(UNTRACKED_ROWS, &level.version_id, None)?))?;
            }
            for (below, layer) in level.layers.iter().enumerate() {
                if below == 0 {
                    add(SourceRows::Tracked(start(STATE_ROWS, &layer.line, None)?))?;
                } else if is_shared(&schema_key) {
                    let until = Some(layer.until);
                    add(SourceRows::Tracked(start(STATE_ROWS_UNTIL, &layer.line, until)?))?;
                    add(SourceRows::Tracked(start(PAST_ROWS, &layer.line, until)?))?;
                }
            }
            if &*level.version_id == GLOBAL
                && derived::SCHEMAS.contains(&&*schema_key)
                && !matches!(part, Part::File(_))
            {
                let wanted = Wanted {
                    entity_ids: entity_id.map(std::slice::from_ref),
                    properties: &filter.properties,
                };
                let rows = derived::scan(lix, &schema_key, &wanted)?;
                add(SourceRows::Derived(rows.into()))?;
            }
        }
        Ok(Self { schema_key, viewer, sources })
    }

    fn next(&mut self, lix: &Lix, filter: &Filter) -> Result<Option<StateRow>> {
        loop {
            // The smallest key; of several sources that have it, the first.
            let mut winner: Option<usize> = None;
            for (index, source) in self.sources.iter().enumerate() {
                let Some(key) = &source.current else { continue };
                if winner.is_none_or(|best| Some(key) < self.sources[best].current.as_ref()) {
                    winner = Some(index);
                }
            }
            let Some(winner) = winner else { return Ok(None) };
            let source = &self.sources[winner];
            let (entity_id, file_id) = source.current.clone().expect("it won");
            let wants_file = filter.file_ids.as_ref().is_none_or(|ids| ids.contains(&file_id));
            let row = if wants_file { self.row(lix, source, filter)? } else { None };
            for source in &mut self.sources {
                if source.current.as_ref().is_some_and(|key| key.0 == entity_id && key.1 == file_id)
                {
                    source.advance()?;
                }
            }
            if row.is_some() {
                return Ok(row);
            }
        }
    }

    /// The winner's row, if it is to be shown.
    fn row(&self, lix: &Lix, source: &Source, filter: &Filter) -> Result<Option<StateRow>> {
        let row = match &source.rows {
            SourceRows::Untracked(running) => {
                untracked_row(running.row(), &self.schema_key, &self.viewer, &source.inherited_from)
            }
            SourceRows::Tracked(running) => {
                let row = running.row();
                if row.integer(IS_DELETED) != 0
                    && (!filter.tombstones || source.inherited_from.is_some())
                {
                    return Ok(None);
                }
                let commit_id = lix.commit_name(row.integer(COMMIT_NO))?;
                let from = &source.inherited_from;
                StateRow { commit_id, ..tracked_row(row, &self.schema_key, &self.viewer, from) }
            }
            SourceRows::Derived(rows) => StateRow {
                version_id: self.viewer.clone(),
                inherited_from: source.inherited_from.clone(),
                ..rows.front().expect("it has a key").clone()
            },
        };
        let is_shown =
            row.snapshot.is_some() || (filter.tombstones && source.inherited_from.is_none());
        Ok(is_shown.then_some(row))
    }
}

impl Source {
    fn advance(&mut self) -> Result<()> {
        self.current = match &mut self.rows {
            SourceRows::Untracked(running) | SourceRows::Tracked(running) => {
                let has_row = running.step()?;
                has_row.then(|| (running.row().text(ENTITY_ID), running.row().text(FILE_ID)))
            }
            SourceRows::Derived(rows) => {
                if self.current.is_some() {
                    rows.pop_front();
                }
                rows.front().map(|row| (row.key.entity_id.clone(), row.key.file_id.clone()))
            }
        };
        Ok(())
    }
}

fn untracked_row(
    row: &Statement,
    schema_key: &Rc<str>,
    viewer: &Rc<str>,
    inherited_from: &Option<Rc<str>>,
) -> StateRow {
    StateRow {
        key: Key {
            schema_key: schema_key.clone(),
            entity_id: row.text(ENTITY_ID),
            file_id: row.text(FILE_ID),
        },
        version_id: viewer.clone(),
        inherited_from: inherited_from.clone(),
        plugin_key: row.text(2),
        schema_version: row.text(3),
        created_at: row.text(4),
        updated_at: row.text(5),
        snapshot: row.optional_text(6),
        change_id: UNTRACKED.into(),
        commit_id: UNTRACKED.into(),
        untracked: true,
        change_seq: None,
    }
}

/// Without the commit's name, which takes another look.
fn tracked_row(
    row: &Statement,
    schema_key: &Rc<str>,
    viewer: &Rc<str>,
    inherited_from: &Option<Rc<str>>,
) -> StateRow {
    let updated_at = row.text(CHANGE_CREATED_AT);
    StateRow {
        key: Key {
            schema_key: schema_key.clone(),
            entity_id: row.text(ENTITY_ID),
            file_id: row.text(FILE_ID),
        },
        version_id: viewer.clone(),
        inherited_from: inherited_from.clone(),
        plugin_key: row.text(7),
        schema_version: row.text(8),
        created_at: row.optional_text(STORED_CREATED_AT).unwrap_or_else(|| updated_at.clone()),
        updated_at,
        snapshot: row.optional_text(10),
        change_id: row.text(6),
        commit_id: PENDING.into(),
        untracked: false,
        change_seq: Some(row.integer(CHANGE_SEQ)),
    }
}

fn distinct(ids: &[Rc<str>]) -> Vec<Rc<str>> {
    let mut ids = ids.to_vec();
    ids.sort();
    ids.dedup();
    ids
}

/// Whether rows of a schema are shared by versions that start at the same commit. What says how
/// versions and commits are is not: it belongs to the version that holds it.
pub(crate) fn is_shared(schema_key: &str) -> bool {
    !matches!(schema_key, "lix_version_descriptor" | "lix_version_tip" | "lix_commit")
}

/// `change_id` and `commit_id` of untracked rows.
pub(crate) const UNTRACKED: &str = "untracked";
/// `commit_id` of rows whose transaction is open.
pub(crate) const PENDING: &str = "pending";

const ENTITY_ID: usize = 0;
const FILE_ID: usize = 1;
const CHANGE_SEQ: usize = 2;
const COMMIT_NO: usize = 3;
const STORED_CREATED_AT: usize = 4;
const IS_DELETED: usize = 5;
const CHANGE_CREATED_AT: usize = 9;

const UNTRACKED_SCHEMAS: &str =
    "select min(schema_key) from _lix_untracked where schema_key > ?1 and version_id = ?2";
const STATE_SCHEMAS: &str =
    "select min(schema_key) from _lix_state where schema_key > ?1 and version_id = ?2";
const PAST_SCHEMAS: &str =
    "select min(schema_key) from _lix_state_past where schema_key > ?1 and version_id = ?2";

macro_rules! own_of_file {
    ($from:literal, $where:literal) => {
        concat!(
            "select s.schema_key, s.entity_id, s.change_seq, s.commit_no, s.created_at, s.is_deleted, c.created_at
             from ",
            $from,
            " cross join _lix_change c on c.seq = s.change_seq
             where s.version_id = ?1 and s.file_id = ?2 and s.file_id <> 'lix' ",
            $where,
        )
    };
}

const OWN_OF_FILE: &str = own_of_file!("_lix_state s indexed by _lix_state_file", "");
const OWN_OF_FILE_UNTIL: &str =
    own_of_file!("_lix_state s indexed by _lix_state_file", "and s.commit_no <= ?3");
const OWN_OF_FILE_PAST: &str = own_of_file!(
    "_lix_state_past s indexed by _lix_state_past_file",
    "and s.commit_no <= ?3 and s.until_no > ?3"
);

/// The next schema of which there are rows of a file, from a table.
macro_rules! schemas_of_file {
    ($table:literal) => {
        concat!(
            "select min(schema_key) from ",
            $table,
            " where schema_key > ?1 and version_id = ?2 and file_id = ?3 and file_id <> 'lix'",
        )
    };
}

const UNTRACKED_SCHEMAS_OF_FILE: &str = schemas_of_file!("_lix_untracked");
const STATE_SCHEMAS_OF_FILE: &str = schemas_of_file!("_lix_state");
const PAST_SCHEMAS_OF_FILE: &str = schemas_of_file!("_lix_state_past");

macro_rules! untracked {
    ($where:literal) => {
        untracked!("", $where)
    };
    ($index:literal, $where:literal) => {
        concat!(
            "select entity_id, file_id, plugin_key, schema_version, created_at, updated_at, snapshot \
             from _lix_untracked ",
            $index,
            " where version_id = ?1 and schema_key = ?2 ",
            $where,
        )
    };
}

macro_rules! tracked {
    ($table:literal, $where:literal) => {
        tracked!($table, "", $where)
    };
    ($table:literal, $index:literal, $where:literal) => {
        concat!(
            "select s.entity_id, s.file_id, s.change_seq, s.commit_no, s.created_at, s.is_deleted, \
             c.id, c.plugin_key, c.schema_version, c.created_at, c.snapshot from ",
            $table,
            " s ",
            $index,
            " cross join _lix_change c on c.seq = s.change_seq \
             where s.version_id = ?1 and s.schema_key = ?2 ",
            $where,
        )
    };
}

const UNTRACKED_ROW: &str = untracked!("and entity_id = ?3 and file_id = ?4");
/// Of a schema: all rows, those of an entity, those of a file.
const UNTRACKED_ROWS: [&str; 3] = [
    untracked!("order by entity_id, file_id"),
    untracked!("and entity_id = ?3 order by file_id"),
    untracked!(
        "indexed by _lix_untracked_file",
        "and file_id = ?3 and file_id <> 'lix' order by entity_id"
    ),
];

const STATE_ROW: &str = tracked!("_lix_state", "and s.entity_id = ?3 and s.file_id = ?4");
const STATE_ROW_UNTIL: &str =
    tracked!("_lix_state", "and s.entity_id = ?3 and s.file_id = ?4 and s.commit_no <= ?5");
const PAST_ROW: &str = tracked!(
    "_lix_state_past",
    "and s.entity_id = ?3 and s.file_id = ?4 and s.until_no > ?5 and s.commit_no <= ?5"
);
const STATE_ROWS: [&str; 3] = [
    tracked!("_lix_state", "order by s.entity_id, s.file_id"),
    tracked!("_lix_state", "and s.entity_id = ?3 order by s.file_id"),
    tracked!(
        "_lix_state",
        "indexed by _lix_state_file",
        "and s.file_id = ?3 and s.file_id <> 'lix' order by s.entity_id"
    ),
];
const STATE_ROWS_UNTIL: [&str; 3] = [
    tracked!("_lix_state", "and s.commit_no <= ?3 order by s.entity_id, s.file_id"),
    tracked!("_lix_state", "and s.commit_no <= ?3 and s.entity_id = ?4 order by s.file_id"),
    tracked!(
        "_lix_state",
        "indexed by _lix_state_file",
        "and s.commit_no <= ?3 and s.file_id = ?4 and s.file_id <> 'lix' order by s.entity_id"
    ),
];
const PAST_ROWS: [&str; 3] = [
    tracked!(
        "_lix_state_past",
        "and s.commit_no <= ?3 and s.until_no > ?3 order by s.entity_id, s.file_id"
    ),
    tracked!(
        "_lix_state_past",
        "and s.commit_no <= ?3 and s.until_no > ?3 and s.entity_id = ?4 order by s.file_id"
    ),
    tracked!(
        "_lix_state_past",
        "indexed by _lix_state_past_file",
        "and s.commit_no <= ?3 and s.until_no > ?3 and s.file_id = ?4 and s.file_id <> 'lix' order by s.entity_id"
    ),
];
