//! What follows from commits and is read like state, though nobody stores it: the change sets,
//! elements, edges and authors of commits, and the elements of the work since a checkpoint.
//!
//! Guarantee: the rows are a function of the stored changes alone, so that they are the same after
//! a rebuild, column for column. They are rows of `global`; one that somebody stored under the
//! same key hides the derived one, which is for the reader of levels to see to.

use std::rc::Rc;

use lix_engine_protocol::Result;

use super::state::{Key, StateRow};
use super::{GLOBAL, LIX_FILE, Lix, OWN_PLUGIN};
use crate::sqlite::{Bound, Statement};

/// The schemas that have derived rows.
pub(crate) const SCHEMAS: [&str; 4] = [CHANGE_AUTHOR, CHANGE_SET, ELEMENT, EDGE];

/// Which rows are wanted. None means any; more may come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted<'a> {
    pub(crate) entity_ids: Option<&'a [Rc<str>]>,
    /// Properties that equal these strings.
    pub(crate) properties: &'a [(Rc<str>, Rc<str>)],
}

/// The derived rows of a schema, one per key, ordered by entity id.
pub(crate) fn scan(lix: &Lix, schema_key: &str, wanted: &Wanted<'_>) -> Result<Vec<StateRow>> {
    let mut found = Found::new(schema_key);
    match schema_key {
        CHANGE_SET => {
            for id in wanted.singles("id") {
                change_sets(lix, id, &mut found)?;
            }
        }
        ELEMENT => {
            for (set, change) in wanted.pairs("change_set_id", "change_id") {
                elements(lix, set, change, wanted, &mut found)?;
                let working = match set {
                    Some(set) => WorkingSet::named(lix, set)?,
                    None => WorkingSet::all(lix)?,
                };
                for working in working {
                    working.elements(lix, change, wanted, &mut found)?;
                }
            }
        }
        EDGE => {
            for (parent, child) in wanted.pairs("parent_id", "child_id") {
                edges(lix, parent, child, &mut found)?;
            }
        }
        CHANGE_AUTHOR => {
            for (change, account) in wanted.pairs("change_id", "account_id") {
                authors(lix, change, account, &mut found)?;
            }
        }
        _ => {}
    }
    Ok(found.into_rows())
}

/// The work of a version since its last checkpoint.
pub(super) struct WorkingSet {
    pub(super) version_id: Rc<str>,
    pub(super) commit_id: Rc<str>,
    pub(super) change_set_id: Rc<str>,
}

impl WorkingSet {
    /// Those of all versions that keep one.
    pub(super) fn all(lix: &Lix) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for version in lix.all_versions()? {
            if &*version.id == GLOBAL {
                continue;
            }
            let id = &version.working_commit_id;
            let sql = "select change_set_id from _lix_commit where id = ?1";
            let set = lix.sql.first(sql, &[Bound::Text(id)], |row| row.optional_text(0))?.flatten();
            if let Some(change_set_id) = set {
                let (version_id, commit_id) = (version.id.clone(), id.clone());
                all.push(Self { version_id, commit_id, change_set_id });
            }
        }
        Ok(all)
    }

    /// That of a change set, if it is one.
    fn named(lix: &Lix, change_set_id: &str) -> Result<Vec<Self>> {
        let mut commits = Vec::new();
        let sql = "select id from _lix_commit where change_set_id = ?1 and id is not null";
        lix.sql.each(sql, &[Bound::Text(change_set_id)], |row| {
            commits.push(row.text(0));
            Ok(())
        })?;
        if commits.is_empty() {
            return Ok(Vec::new());
        }
        let mut named = Vec::new();
        for version in lix.all_versions()? {
            if &*version.id != GLOBAL && commits.contains(&version.working_commit_id) {
                let (version_id, commit_id) =
                    (version.id.clone(), version.working_commit_id.clone());
                named.push(Self { version_id, commit_id, change_set_id: change_set_id.into() });
            }
        }
        Ok(named)
    }

    fn elements(
        &self,
        lix: &Lix,
        change: Option<&str>,
        wanted: &Wanted<'_>,
        found: &mut Found,
    ) -> Result<()> {
        let version = Bound::Text(&self.version_id);
        let add = |row: &Statement| {
            let [change, entity, schema, file] = [0, 1, 2, 3].map(|index| row.text(index));
            let snapshot = element(&self.change_set_id, &change, &entity, &schema, &file);
            let untracked: Rc<str> = UNTRACKED.into();
            found.rows.push(Derived {
                first_id: self.change_set_id.clone(),
                second_id: Some(change),
                snapshot,
                created_at: row.text(4),
                change_id: untracked.clone(),
                commit_id: untracked,
                order: i64::MAX,
                untracked: true,
            });
            Ok(())
        };
        match (change, wanted.property("schema_key"), wanted.property("entity_id")) {
            (Some(change), ..) => {
                lix.sql.each(WORKING_BY_CHANGE, &[version, Bound::Text(change)], add)
            }
            (None, Some(schema), Some(entity)) => {
                let params = [version, Bound::Text(schema), Bound::Text(entity)];
                lix.sql.each(WORKING_BY_KEY, &params, add)
            }
            (None, Some(schema), None) => {
                lix.sql.each(WORKING_BY_SCHEMA, &[version, Bound::Text(schema)], add)
            }
            (None, None, Some(entity)) => {
                let mut add = add;
                for schema in lix.changed_schemas()? {
                    let params = [version, Bound::Text(&schema), Bound::Text(entity)];
                    lix.sql.each(WORKING_BY_KEY, &params, &mut add)?;
                }
                Ok(())
            }
            (None, None, None) => lix.sql.each(WORKING, &[version], add),
        }
    }
}

fn change_sets(lix: &Lix, id: Option<&str>, found: &mut Found) -> Result<()> {
    let add = |row: &Statement| {
        let id = row.text(FIRST);
        let snapshot = Json::new().text("id", &id).null("metadata").end();
        found.push(id, None, snapshot, row);
        Ok(())
    };
    match id {
        Some(id) => lix.sql.each(CHANGE_SETS_BY_ID, &[Bound::Text(id)], add),
        None => lix.sql.each(CHANGE_SETS, &[], add),
    }
}

fn elements(
    lix: &Lix,
    set: Option<&str>,
    change: Option<&str>,
    wanted: &Wanted<'_>,
    found: &mut Found,
) -> Result<()> {
    let add = |row: &Statement| {
        let [set, change, entity, schema, file] =
            [FIRST, SECOND, 6, 7, 8].map(|index| row.text(index));
        // The commit lists the domain change, and that is what the element is known by.
        let snapshot = element(&set, &change, &entity, &schema, &file);
        found.push(set, Some(change.clone()), snapshot, row);
        found.rows.last_mut().expect("just pushed").change_id = change;
        Ok(())
    };
    use Bound::Text as text;
    match (set, change) {
        (Some(set), Some(change)) => {
            lix.sql.each(ELEMENTS_BY_BOTH, &[text(change), text(set)], add)
        }
        (Some(set), None) => lix.sql.each(ELEMENTS_BY_SET, &[text(set)], add),
        (None, Some(change)) => lix.sql.each(ELEMENTS_BY_CHANGE, &[text(change)], add),
        (None, None) => match (wanted.property("schema_key"), wanted.property("entity_id")) {
            (Some(schema), Some(entity)) => {
                lix.sql.each(ELEMENTS_BY_KEY, &[text(schema), text(entity)], add)
            }
            (Some(schema), None) => lix.sql.each(ELEMENTS_BY_SCHEMA, &[text(schema)], add),
            (None, Some(entity)) => {
                let mut add = add;
                for schema in lix.changed_schemas()? {
                    lix.sql.each(ELEMENTS_BY_KEY, &[text(&schema), text(entity)], &mut add)?;
                }
                Ok(())
            }
            (None, None) => lix.sql.each(ELEMENTS, &[], add),
        },
    }
}

fn edges(lix: &Lix, parent: Option<&str>, child: Option<&str>, found: &mut Found) -> Result<()> {
    let add = |row: &Statement| {
        let (parent, child) = (row.text(FIRST), row.text(SECOND));
        let snapshot = Json::new().text("parent_id", &parent).text("child_id", &child).end();
        found.push(parent, Some(child), snapshot, row);
        Ok(())
    };
    match (parent, child) {
        (Some(parent), Some(child)) => {
            lix.sql.each(EDGES_BY_BOTH, &[Bound::Text(child), Bound::Text(parent)], add)
        }
        (None, Some(child)) => lix.sql.each(EDGES_BY_CHILD, &[Bound::Text(child)], add),
        (Some(parent), None) => lix.sql.each(EDGES_BY_PARENT, &[Bound::Text(parent)], add),
        (None, None) => lix.sql.each(EDGES, &[], add),
    }
}

/// A change may be in many commits; its authors are those of the first one that has any. The later
/// ones only repeat or refer to it.
fn authors(
    lix: &Lix,
    change: Option<&str>,
    account: Option<&str>,
    found: &mut Found,
) -> Result<()> {
    let mut first: Option<(Rc<str>, i64)> = None;
    let add = |row: &Statement| {
        let (change, commit) = (row.text(FIRST), row.integer(ORDER));
        if first.as_ref().is_none_or(|(known, _)| *known != change) {
            first = Some((change.clone(), commit));
        }
        if first.as_ref().is_some_and(|(_, of)| *of == commit) {
            let by = row.text(SECOND);
            if account.is_none_or(|account| account == &*by) {
                let snapshot = Json::new().text("change_id", &change).text("account_id", &by).end();
                found.push(change, Some(by), snapshot, row);
            }
        }
        Ok(())
    };
    match change {
        Some(change) => lix.sql.each(AUTHORS_BY_CHANGE, &[Bound::Text(change)], add),
        None => lix.sql.each(AUTHORS, &[], add),
    }
}

impl<'a> Wanted<'a> {
    fn property(&self, name: &str) -> Option<&'a str> {
        let hint = self.properties.iter().find(|(known, _)| &**known == name);
        hint.map(|(_, value)| &**value)
    }

    /// The ids of schemas whose key is one property.
    fn singles(&self, name: &str) -> Vec<Option<&'a str>> {
        match self.entity_ids {
            Some(ids) => ids.iter().map(|id| Some(&**id)).collect(),
            None => vec![self.property(name)],
        }
    }

    /// The ids of schemas whose key is two properties. They may have a `~` themselves, so every
    /// place where they can be joined is tried.
    fn pairs(&self, first: &str, second: &str) -> Vec<(Option<&'a str>, Option<&'a str>)> {
        let Some(ids) = self.entity_ids else {
            return vec![(self.property(first), self.property(second))];
        };
        let splits = |id: &'a Rc<str>| {
            id.match_indices('~').map(|(at, _)| (Some(&id[..at]), Some(&id[at + 1..])))
        };
        ids.iter().flat_map(splits).collect()
    }
}

/// Rows on their way.
struct Found {
    schema_key: Rc<str>,
    rows: Vec<Derived>,
}

struct Derived {
    first_id: Rc<str>,
    second_id: Option<Rc<str>>,
    snapshot: Rc<str>,
    created_at: Rc<str>,
    change_id: Rc<str>,
    commit_id: Rc<str>,
    /// Of several under one key the least one counts.
    order: i64,
    untracked: bool,
}

impl Found {
    fn new(schema_key: &str) -> Self {
        Self { schema_key: schema_key.into(), rows: Vec::new() }
    }

    /// Adds what follows from a commit, by the columns of [`follows!`].
    fn push(
        &mut self,
        first_id: Rc<str>,
        second_id: Option<Rc<str>>,
        snapshot: Rc<str>,
        row: &Statement,
    ) {
        self.rows.push(Derived {
            first_id,
            second_id,
            snapshot,
            created_at: row.text(CREATED_AT),
            change_id: row.text(CHANGE_ID),
            commit_id: row.text(COMMIT_ID),
            order: row.integer(ORDER),
            untracked: false,
        });
    }

    fn into_rows(self) -> Vec<StateRow> {
        let own: [Rc<str>; 4] = [GLOBAL.into(), LIX_FILE.into(), OWN_PLUGIN.into(), "1.0".into()];
        let [version_id, file_id, plugin_key, schema_version] = own;
        let mut rows: Vec<(i64, StateRow)> = Vec::with_capacity(self.rows.len());
        for derived in self.rows {
            let entity_id = match derived.second_id {
                Some(second) => format!("{}~{second}", derived.first_id).into(),
                None => derived.first_id,
            };
            let row = StateRow {
                key: Key {
                    schema_key: self.schema_key.clone(),
                    entity_id,
                    file_id: file_id.clone(),
                },
                version_id: version_id.clone(),
                inherited_from: None,
                plugin_key: plugin_key.clone(),
                schema_version: schema_version.clone(),
                snapshot: Some(derived.snapshot),
                updated_at: derived.created_at.clone(),
                created_at: derived.created_at,
                change_id: derived.change_id,
                commit_id: derived.commit_id,
                untracked: derived.untracked,
                change_seq: None,
            };
            rows.push((derived.order, row));
        }
        rows.sort_by(|(a_order, a), (b_order, b)| {
            a.key.entity_id.cmp(&b.key.entity_id).then(a_order.cmp(b_order))
        });
        rows.dedup_by(|(_, later), (_, kept)| later.key.entity_id == kept.key.entity_id);
        rows.into_iter().map(|(_, row)| row).collect()
    }
}

fn element(set: &str, change: &str, entity: &str, schema: &str, file: &str) -> Rc<str> {
    Json::new()
        .text("change_set_id", set)
        .text("change_id", change)
        .text("entity_id", entity)
        .text("schema_key", schema)
        .text("file_id", file)
        .end()
}

/// A JSON object of texts, as it is written.
struct Json(Vec<u8>);

impl Json {
    fn new() -> Self {
        Self(Vec::with_capacity(128))
    }

    fn name(&mut self, name: &str) {
        self.0.extend_from_slice(if self.0.is_empty() { b"{\"" } else { b",\"" });
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn text(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        serde_json::to_writer(&mut self.0, value).expect("text is JSON, and memory takes it");
        self
    }

    fn null(mut self, name: &str) -> Self {
        self.name(name);
        self.0.extend_from_slice(b"null");
        self
    }

    fn end(mut self) -> Rc<str> {
        self.0.push(b'}');
        String::from_utf8(self.0).expect("JSON of texts is text").into()
    }
}

pub(super) const CHANGE_AUTHOR: &str = "lix_change_author";
pub(super) const CHANGE_SET: &str = "lix_change_set";
pub(super) const ELEMENT: &str = "lix_change_set_element";
pub(super) const EDGE: &str = "lix_commit_edge";

const UNTRACKED: &str = "untracked";

/// What every query answers: the two parts of the key, what the row says of the commit that it
/// follows from, and more.
macro_rules! follows {
    ($key:literal, $more:literal, $from:literal, $joins:literal, $where:literal) => {
        concat!(
            "select ",
            $key,
            ", c.id, k.id, c.created_at, c.change_seq",
            $more,
            " from ",
            $from,
            $joins,
            " cross join _lix_change k on k.seq = c.change_seq where c.id is not null ",
            $where
        )
    };
}
const FIRST: usize = 0;
const SECOND: usize = 1;
const COMMIT_ID: usize = 2;
const CHANGE_ID: usize = 3;
const CREATED_AT: usize = 4;
const ORDER: usize = 5;

macro_rules! change_sets {
    ($where:literal) => {
        follows!("c.change_set_id, null", "", "_lix_commit c", "", $where)
    };
}
const CHANGE_SETS: &str = change_sets!("and c.change_set_id is not null");
const CHANGE_SETS_BY_ID: &str = change_sets!("and c.change_set_id = ?1");

/// From commits to their changes, or the other way.
macro_rules! elements {
    (commits, $where:literal) => {
        follows!(
            "c.change_set_id, d.id",
            ", d.entity_id, d.schema_key, d.file_id",
            "_lix_commit c",
            " cross join _lix_commit_change m on m.commit_no = c.no
              cross join _lix_change d on d.seq = m.change_seq",
            $where
        )
    };
    (changes, $where:literal) => {
        follows!(
            "c.change_set_id, d.id",
            ", d.entity_id, d.schema_key, d.file_id",
            "_lix_change d",
            " cross join _lix_commit_change m on m.change_seq = d.seq
              cross join _lix_commit c on c.no = m.commit_no",
            $where
        )
    };
}
const ELEMENTS: &str = elements!(commits, "and c.change_set_id is not null");
const ELEMENTS_BY_SET: &str = elements!(commits, "and c.change_set_id = ?1");
const ELEMENTS_BY_CHANGE: &str =
    elements!(changes, "and c.change_set_id is not null and d.id = ?1");
const ELEMENTS_BY_BOTH: &str = elements!(changes, "and d.id = ?1 and c.change_set_id = ?2");
const ELEMENTS_BY_SCHEMA: &str =
    elements!(changes, "and c.change_set_id is not null and d.schema_key = ?1");
const ELEMENTS_BY_KEY: &str = elements!(
    changes,
    "and c.change_set_id is not null and d.schema_key = ?1 and d.entity_id = ?2"
);

macro_rules! edges {
    (children, $where:literal) => {
        follows!(
            "p.id, c.id",
            "",
            "_lix_commit c",
            " cross join _lix_commit_parent e on e.commit_no = c.no
              cross join _lix_commit p on p.no = e.parent_no",
            $where
        )
    };
    (parents, $where:literal) => {
        follows!(
            "p.id, c.id",
            "",
            "_lix_commit p",
            " cross join _lix_commit_parent e on e.parent_no = p.no
              cross join _lix_commit c on c.no = e.commit_no",
            $where
        )
    };
}
const EDGES: &str = edges!(children, "and p.id is not null");
const EDGES_BY_CHILD: &str = edges!(children, "and p.id is not null and c.id = ?1");
const EDGES_BY_BOTH: &str = edges!(children, "and c.id = ?1 and p.id = ?2");
const EDGES_BY_PARENT: &str = edges!(parents, "and p.id = ?1");

macro_rules! authors {
    (commits, $where:literal) => {
        follows!(
            "d.id, a.account_id",
            "",
            "_lix_commit c",
            " cross join _lix_commit_author a on a.commit_no = c.no
              cross join _lix_commit_change m on m.commit_no = c.no
              cross join _lix_change d on d.seq = m.change_seq",
            $where
        )
    };
    (changes, $where:literal) => {
        follows!(
            "d.id, a.account_id",
            "",
            "_lix_change d",
            " cross join _lix_commit_change m on m.change_seq = d.seq
              cross join _lix_commit c on c.no = m.commit_no
              cross join _lix_commit_author a on a.commit_no = c.no",
            $where
        )
    };
}
const AUTHORS: &str = authors!(commits, "order by d.id, c.change_seq");
const AUTHORS_BY_CHANGE: &str = authors!(changes, "and d.id = ?1 order by c.change_seq");

macro_rules! working {
    ($from:literal, $where:literal) => {
        concat!(
            "select d.id, d.entity_id, d.schema_key, d.file_id, d.created_at, s.commit_no from ", $from,
            " cross join _lix_state s on s.version_id = w.version_id and s.schema_key = w.schema_key
                and s.entity_id = w.entity_id and s.file_id = w.file_id
              cross join _lix_change d on d.seq = s.change_seq
              where w.version_id = ?1 and (s.is_deleted = 0 or w.base_seq is not null) ", $where
        )
    };
}
const WORKING: &str = working!("_lix_working w", "");
const WORKING_BY_SCHEMA: &str = working!("_lix_working w", "and w.schema_key = ?2");
const WORKING_BY_KEY: &str =
    working!("_lix_working w", "and w.schema_key = ?2 and w.entity_id = ?3");
const WORKING_BY_CHANGE: &str = working!(
    "_lix_change n cross join _lix_working w on w.schema_key = n.schema_key and w.entity_id = n.entity_id
       and w.file_id = n.file_id",
    "and n.id = ?2 and d.id = n.id"
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lix::json;
    use crate::lix::testing::Log;

    fn ids(ids: &[&str]) -> Vec<Rc<str>> {
        ids.iter().map(|id| (*id).into()).collect()
    }

    /// `entity change commit` of each row.
    fn show(log: &Log, schema_key: &str, wanted: &Wanted<'_>) -> Vec<String> {
        let rows = scan(&log.lix, schema_key, wanted).unwrap();
        let show =
            |row: StateRow| format!("{} {} {}", row.key.entity_id, row.change_id, row.commit_id);
        rows.into_iter().map(show).collect()
    }

    fn example() -> Log {
        let log = Log::new();
        log.change("b0", "kv/b", Some("{}"));
        log.change("a0", "kv/a", Some("{}"));
        log.commit("c1", &[], &["b0", "a0"], &["ann", "bob"]);
        log.change("a1", "kv/a", None);
        log.commit("c2", &["c1"], &["a1"], &["ann"]);
        // Repeats what is known, as merges and checkpoints do.
        log.commit("c3", &["c2", "elsewhere"], &["b0", "a1"], &["cid"]);
        log
    }

    #[test]
    fn rows_follow_from_commits() {
        let log = example();
        let all = Wanted::default();
        assert_eq!(
            show(&log, CHANGE_SET, &all),
            ["set-c1 of-c1 c1", "set-c2 of-c2 c2", "set-c3 of-c3 c3"]
        );
        assert_eq!(
            show(&log, ELEMENT, &all),
            [
                "set-c1~a0 a0 c1",
                "set-c1~b0 b0 c1",
                "set-c2~a1 a1 c2",
                "set-c3~a1 a1 c3",
                "set-c3~b0 b0 c3"
            ]
        );
        assert_eq!(
            show(&log, EDGE, &all),
            ["c1~c2 of-c2 c2", "c2~c3 of-c3 c3", "elsewhere~c3 of-c3 c3"]
        );
        assert_eq!(
            show(&log, CHANGE_AUTHOR, &all),
            [
                "a0~ann of-c1 c1",
                "a0~bob of-c1 c1",
                "a1~ann of-c2 c2",
                "b0~ann of-c1 c1",
                "b0~bob of-c1 c1"
            ],
            "whoever repeats a change is not its author"
        );
    }

    #[test]
    fn a_row_is_complete() {
        let log = example();
        let wanted = Wanted { entity_ids: Some(&ids(&["set-c2~a1"])), properties: &[] };
        let rows = scan(&log.lix, ELEMENT, &wanted).unwrap();
        let [row] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!(
            row.snapshot.as_deref(),
            Some(
                r#"{"change_set_id":"set-c2","change_id":"a1","entity_id":"a","schema_key":"kv","file_id":"lix"}"#
            )
        );
        let created_at = log.lix.change(5).unwrap().created_at;
        assert_eq!([&row.created_at, &row.updated_at], [&created_at; 2], "the commit's");
        let texts = [&row.version_id, &row.key.file_id, &row.plugin_key, &row.schema_version];
        assert_eq!(texts.map(|text| &**text), ["global", "lix", "lix_own_entity", "1.0"]);
        assert!(row.inherited_from.is_none() && row.change_seq.is_none() && !row.untracked);

        let snapshot = |schema_key: &str, id: &str| {
            let ids = ids(&[id]);
            let wanted = Wanted { entity_ids: Some(&ids), properties: &[] };
            scan(&log.lix, schema_key, &wanted).unwrap()[0].snapshot.clone().unwrap()
        };
        assert_eq!(&*snapshot(CHANGE_SET, "set-c1"), r#"{"id":"set-c1","metadata":null}"#);
        assert_eq!(&*snapshot(EDGE, "c1~c2"), r#"{"parent_id":"c1","child_id":"c2"}"#);
        let author = r#"{"change_id":"a0","account_id":"ann"}"#;
        assert_eq!(&*snapshot(CHANGE_AUTHOR, "a0~ann"), author);
    }

    #[test]
    fn every_way_to_ask_finds_what_is_among_all() {
        let log = example();
        for schema_key in SCHEMAS {
            let all = scan(&log.lix, schema_key, &Wanted::default()).unwrap();
            assert!(all.is_sorted_by(|a, b| a.key < b.key), "{schema_key}");
            for row in &all {
                let one = std::slice::from_ref(&row.key.entity_id);
                let by_id = Wanted { entity_ids: Some(one), properties: &[] };
                let found = scan(&log.lix, schema_key, &by_id).unwrap();
                assert_eq!(format!("{found:?}"), format!("{:?}", [row]));

                let snapshot = json::object(row.snapshot.as_deref());
                let properties: Vec<(Rc<str>, Rc<str>)> = snapshot
                    .iter()
                    .filter_map(|(name, value)| {
                        Some((name.as_str().into(), value.as_str()?.into()))
                    })
                    .collect();
                // Every property alone, and all together.
                let alone = properties.chunks(1).map(<[_]>::to_vec);
                for properties in alone.chain([properties.clone()]) {
                    let wanted = Wanted { entity_ids: None, properties: &properties };
                    let fits = |row: &&StateRow| {
                        let snapshot = json::object(row.snapshot.as_deref());
                        let is = |(name, value): &(Rc<str>, Rc<str>)| {
                            snapshot[&**name].as_str() == Some(&**value)
                        };
                        properties.iter().all(is)
                    };
                    let found = scan(&log.lix, schema_key, &wanted).unwrap();
                    let found: Vec<_> = found.iter().filter(fits).collect();
                    let expected: Vec<_> = all.iter().filter(fits).collect();
                    let context = format!("{schema_key} {properties:?}");
                    assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{context}");
                }
            }
        }
    }

    #[test]
    fn ids_may_be_made_of_what_joins_them() {
        let log = Log::new();
        log.change("~\"b~", "k~v/a\n", Some("{}"));
        log.commit("c~1", &["~"], &["~\"b~"], &["a~"]);
        for (schema_key, id) in [
            (ELEMENT, "set-c~1~~\"b~"),
            (EDGE, "~~c~1"),
            (CHANGE_AUTHOR, "~\"b~~a~"),
            (CHANGE_SET, "set-c~1"),
        ] {
            let ids = ids(&[id, "no~such", "none"]);
            let wanted = Wanted { entity_ids: Some(&ids), properties: &[] };
            let rows = scan(&log.lix, schema_key, &wanted).unwrap();
            assert_eq!(rows.len(), 1, "{schema_key}");
            assert_eq!(&*rows[0].key.entity_id, id);
            let snapshot = rows[0].snapshot.as_deref().unwrap();
            assert!(serde_json::from_str::<serde_json::Value>(snapshot).is_ok(), "{snapshot}");
        }
    }

    #[test]
    fn what_is_pending_or_only_named_has_no_rows() {
        let log = example();
        let count = |schema_key| scan(&log.lix, schema_key, &Wanted::default()).unwrap().len();
        let before = SCHEMAS.map(count);
        log.lix
            .sql
            .script(
                "insert into _lix_commit (no, version_id, change_set_id) values (50, 'main', 'set');
                 insert into _lix_commit_change values (50, 1);
                 insert into _lix_commit_author values (50, 'ann');
                 insert into _lix_commit (no, id, change_set_id) values (51, 'named', 'other');
                 insert into _lix_commit_parent values (50, 0, 1), (51, 0, 50)",
            )
            .unwrap();
        assert_eq!(SCHEMAS.map(count), before);
    }

    #[test]
    fn the_work_since_a_checkpoint_is_untracked() {
        let log = Log::new();
        let old = log.change("a0", "kv/a", Some("{}"));
        log.commit("c1", &[], &["a0"], &[]);
        log.commit("w", &["c1"], &[], &[]);
        let changed = log.change("a1", "kv/a", Some("{}"));
        let removed = log.change("b1", "kv/b", None);
        let come_and_gone = log.change("x1", "kv/x", None);
        log.commit("c2", &["c1"], &["a1", "b1", "x1"], &[]);
        for (key, seq) in [("kv/a", changed), ("kv/b", removed), ("kv/x", come_and_gone)] {
            log.state("main", key, seq, "c2");
        }
        log.version("main", "w", "c1");
        log.work("main", "kv/a", Some(old));
        log.work("main", "kv/b", Some(old));
        log.work("main", "kv/x", None);
        let work = ["set-w~a1 untracked untracked", "set-w~b1 untracked untracked"];
        let set = [("change_set_id".into(), "set-w".into())];
        let of_set = Wanted { entity_ids: None, properties: &set };
        assert_eq!(show(&log, ELEMENT, &of_set), work);
        assert!(scan(&log.lix, ELEMENT, &of_set).unwrap().iter().all(|row| row.untracked));
        let one = ids(&["set-w~b1"]);
        let wanted = Wanted { entity_ids: Some(&one), properties: &[] };
        assert_eq!(show(&log, ELEMENT, &wanted), work[1..]);
        let key = [("schema_key".into(), "kv".into()), ("entity_id".into(), "a".into())];
        let wanted = Wanted { entity_ids: None, properties: &key };
        let of_a = ["set-c1~a0 a0 c1", "set-c2~a1 a1 c2", work[0]];
        assert_eq!(show(&log, ELEMENT, &wanted), of_a);
        let wanted = Wanted { entity_ids: None, properties: &key[1..] };
        assert_eq!(show(&log, ELEMENT, &wanted), of_a);
        let wanted = Wanted { entity_ids: None, properties: &key[..1] };
        assert_eq!(show(&log, ELEMENT, &wanted).len(), 6);
    }

    #[test]
    fn of_two_commits_with_one_set_the_first_speaks() {
        let log = Log::new();
        log.change("a0", "kv/a", Some("{}"));
        log.commit("c1", &[], &["a0"], &[]);
        log.commit("c2", &[], &["a0"], &[]);
        log.lix.sql.script("update _lix_commit set change_set_id = 'same'").unwrap();
        assert_eq!(show(&log, CHANGE_SET, &Wanted::default()), ["same of-c1 c1"]);
        assert_eq!(show(&log, ELEMENT, &Wanted::default()), ["same~a0 a0 c1"]);
    }
}
