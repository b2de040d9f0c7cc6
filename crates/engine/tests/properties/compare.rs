//! The lix beside the model: what SQL shows against what should be there. Ids are learned on the
//! way: the first time something is seen it gets the engine's name, from then on it has to keep it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use crate::client::{Client, Row, Value};
use crate::model::{
    Change, Commit, DOC, Entry, Id, KEY_VALUE, Key, Model, NOTE, Own, Version, is_bookkeeping,
};
use crate::random::Random;

type Checked<T = ()> = Result<T, String>;

const SCHEMAS: [&str; 3] = [KEY_VALUE, DOC, NOTE];
const IN_SCHEMAS: &str = "schema_key in ('lix_key_value', 'doc', 'note')";

/// The model of a lix that was just made.
pub(crate) fn read(client: &mut Client) -> Checked<Model> {
    let mut model = Model::default();
    let versions =
        "select id, name, commit_id, working_commit_id, inherits_from_version_id from version";
    let versions = client.rows(versions)?;
    let sql = "select id, parent_commit_ids from commit_all where lixcol_version_id = 'global'";
    let mut numbers: HashMap<Id, usize> = HashMap::new();
    let commits = client.rows(sql)?;
    for row in &commits {
        numbers.insert(row[0].text(), model.commits.len());
        let commit =
            Commit { id: row[0].option(), is_sealed: true, is_given: true, ..Commit::default() };
        model.commits.push(commit);
    }
    for (no, row) in commits.iter().enumerate() {
        let parents = ids(&row[1]).into_iter().map(|id| numbers[&id]);
        model.commits[no].parents = parents.collect();
    }
    for version in &versions {
        let id = version[0].text();
        let rows = client.rows(&format!(
            "select s.schema_key, s.entity_id, s.change_id, s.commit_id, s.snapshot_content
             from state_with_tombstones s
             join change c on c.id = s.change_id and c.schema_key = s.schema_key and c.entity_id = s.entity_id
             where s.version_id = '{id}' and s.inherited_from_version_id is null and s.untracked = 0"
        ))?;
        let mut own = Own::new();
        for row in rows {
            let key = Key { schema: row[0].text(), entity: row[1].text() };
            let change = Change {
                key: key.clone(),
                snapshot: row[4].option(),
                id: row[2].option(),
                is_replaced: false,
            };
            model.changes.push(change);
            own.insert(
                key,
                Entry { change: model.changes.len() - 1, commit: numbers[&row[3].text()] },
            );
        }
        let own = Rc::new(own);
        let (tip, working) = (numbers[&version[2].text()], numbers[&version[3].text()]);
        model.commits[working].is_working = true;
        model.commits[tip].own = Some(own.clone());
        let version = Version {
            name: version[1].text(),
            parent: version[4].option(),
            tip,
            pending: None,
            working,
            last_checkpoint: None,
            base: model.living(&own),
            untracked: Rc::default(),
            start: own.clone(),
            own,
        };
        model.versions.insert(id, version);
    }
    model.active = client.rows("select version_id from active_version")?[0][0].text().to_string();
    let accounts = client.rows("select account_id from active_account order by 1")?;
    model.accounts = accounts.iter().map(|row| row[0].text()).collect();
    for row in client.rows(COUNT_LOG)? {
        model.log.insert(row[0].text(), row[1].integer());
    }
    Ok(model)
}

pub(crate) fn versions(client: &mut Client, model: &mut Model) -> Checked {
    let sql = "select id, name, commit_id, working_commit_id, inherits_from_version_id, lix_active_version_id() from version";
    let rows = client.rows(sql)?;
    let found: Vec<Id> =
        rows.iter().map(|row| row[0].text()).collect::<BTreeSet<_>>().into_iter().collect();
    let known: Vec<Id> = model.versions.keys().cloned().collect();
    if found != known {
        return Err(format!("there are the versions {found:?} instead of {known:?}"));
    }
    for row in rows {
        let Version { name, parent, tip, working, .. } = &model.versions[&row[0].text()];
        let expected = [
            name.clone().into(),
            Value::from(parent.clone()),
            Value::Text(model.active.as_str().into()),
        ];
        let there = [row[1].clone(), row[4].clone(), row[5].clone()];
        if there != expected {
            return Err(format!("version {row:?} instead of {expected:?}"));
        }
        let (tip, working) = (*tip, *working);
        model.name_commit(tip, &row[2].text())?;
        model.name_commit(working, &row[3].text())?;
    }
    Ok(())
}

/// Every row that any version shows, and every tombstone.
pub(crate) fn state(client: &mut Client, model: &mut Model) -> Checked {
    let rows = client.rows(&format!(
        "select version_id, schema_key, entity_id, inherited_from_version_id, snapshot_content, untracked, change_id, commit_id
         from state_with_tombstones where {IN_SCHEMAS}"
    ))?;
    let mut found: BTreeMap<(Id, Key), Row> = BTreeMap::new();
    for row in rows {
        let key = Key { schema: row[1].text(), entity: row[2].text() };
        if let Some(other) = found.insert((row[0].text(), key), row[3..].to_vec()) {
            return Err(format!("there are two rows for one entity: {other:?} and {row:?}"));
        }
    }
    let versions: Vec<Id> = model.versions.keys().cloned().collect();
    for version in versions {
        for key in model.keys(&version).into_iter().filter(|key| SCHEMAS.contains(&&*key.schema)) {
            let Some(seen) = model.decides(&version, &key) else { continue };
            let is_own = seen.owner == version;
            if seen.snapshot.is_none() && !is_own {
                continue;
            }
            let row = found.remove(&(version.clone(), key.clone()));
            let Some(row) = row else {
                return Err(format!("{key:?} is missing in version {version}: {seen:?}"));
            };
            let inherited = Value::from((!is_own).then_some(seen.owner));
            let untracked = Value::Integer(seen.entry.is_none().into());
            let expected = [inherited, Value::from(seen.snapshot), untracked];
            if row[..3] != expected {
                return Err(format!(
                    "{key:?} in version {version} is {row:?} instead of {expected:?}"
                ));
            }
            let place = |error: String| format!("{key:?} in version {version}: {error}");
            match seen.entry {
                Some(Entry { change, commit }) => {
                    model.name_change(change, &row[3].text()).map_err(place)?;
                    let id = row[4].text();
                    match (model.commits[commit].is_sealed, &*id) {
                        (false, "pending") => {}
                        (true, _) => model.name_commit(commit, &id).map_err(place)?,
                        (false, _) => {
                            return Err(format!(
                                "{key:?} in version {version} has commit {id} too early"
                            ));
                        }
                    }
                }
                None if row[3..] == ["untracked".into(), "untracked".into()] => {}
                None => {
                    return Err(format!(
                        "{key:?} in version {version} is untracked and has {row:?}"
                    ));
                }
            }
        }
    }
    match found.first_key_value() {
        None => Ok(()),
        Some(((version, key), row)) => {
            Err(format!("{key:?} should not be in version {version}: {row:?}"))
        }
    }
}

/// The commits that came since the last time.
pub(crate) fn commits(client: &mut Client, model: &mut Model) -> Checked {
    let count =
        client.rows("select count(*) from commit_all where lixcol_version_id = 'global'")?;
    let known = model.commits.iter().filter(|commit| commit.is_sealed).count() as i64;
    if count[0][0].integer() != known {
        return Err(format!("there are {:?} commits instead of {known}", count[0][0]));
    }
    // Children tell how their parents are called.
    loop {
        let is_new = |commit: &&Commit| {
            commit.is_sealed && !commit.is_given && !commit.is_known && commit.id.is_some()
        };
        let Some(no) = model.commits.iter().rposition(|commit| is_new(&commit)) else {
            return Ok(());
        };
        let id = model.commits[no].id.clone().unwrap_or_else(|| "".into());
        compare_commit(client, model, no, &id).map_err(|error| format!("commit {id}: {error}"))?;
        model.commits[no].is_known = true;
    }
}

fn compare_commit(client: &mut Client, model: &mut Model, no: usize, id: &Id) -> Checked {
    let sql = format!(
        "select change_ids, parent_commit_ids, author_account_ids, change_set_id from commit_all
         where lixcol_version_id = 'global' and id = '{id}'"
    );
    let rows = client.rows(&sql)?;
    let [row] = rows.as_slice() else { return Err("it is missing".into()) };
    let parents = ids(&row[1]);
    let expected = model.commits[no].parents.clone();
    if parents.len() != expected.len() {
        return Err(format!(
            "its parents are {parents:?}, {} of them were expected",
            expected.len()
        ));
    }
    for (parent, id) in expected.iter().zip(&parents) {
        model.name_commit(*parent, id)?;
    }
    let edges = format!(
        "select parent_id from commit_edge_all where lixcol_version_id = 'global' and child_id = '{id}'"
    );
    let edges = set(client.rows(&edges)?);
    if edges != parents.iter().cloned().collect() {
        return Err(format!("its edges are {edges:?}, its parents {parents:?}"));
    }
    let authors: BTreeSet<Id> = ids(&row[2]).into_iter().collect();
    if authors != model.commits[no].authors.iter().cloned().collect() {
        return Err(format!(
            "its authors are {authors:?} instead of {:?}",
            model.commits[no].authors
        ));
    }
    let change_ids = ids(&row[0]);
    let members = format!(
        "select schema_key, entity_id, snapshot_content, id from change where id in ({})",
        quoted(&change_ids)
    );
    let members = client.rows(&members)?;
    if members.len() != change_ids.len() {
        return Err(format!("of its changes {change_ids:?} there are {}", members.len()));
    }
    if !model.commits[no].is_working {
        let elements = format!(
            "select change_id from change_set_element_all where lixcol_version_id = 'global' and change_set_id = '{}'",
            row[3].text()
        );
        let elements = set(client.rows(&elements)?);
        if elements != change_ids.iter().cloned().collect() {
            return Err(format!("its elements are {elements:?}, its changes {change_ids:?}"));
        }
    }
    let mut found: BTreeMap<Key, Row> = BTreeMap::new();
    let mut others: BTreeMap<Id, i64> = BTreeMap::new();
    for member in members {
        let key = Key { schema: member[0].text(), entity: member[1].text() };
        if is_bookkeeping(&key) {
            *others.entry(key.schema).or_default() += 1;
        } else if found.insert(key.clone(), member[2..].to_vec()).is_some() {
            return Err(format!("it has two changes of {key:?}"));
        }
    }
    for change in model.commits[no].members.clone() {
        let Change { key, snapshot, .. } = model.changes[change].clone();
        if is_bookkeeping(&key) {
            *others.entry(key.schema.clone()).or_default() -= 1;
            continue;
        }
        let Some(row) = found.remove(&key) else {
            return Err(format!("it has no change of {key:?}"));
        };
        if SCHEMAS.contains(&&*key.schema) && row[0] != Value::from(snapshot.clone()) {
            return Err(format!("its change of {key:?} is {row:?} instead of {snapshot:?}"));
        }
        model.name_change(change, &row[1].text())?;
    }
    if !found.is_empty() || others.values().any(|count| *count != 0) {
        return Err(format!(
            "it has more changes than it should, or other ones: {found:?}, {others:?}"
        ));
    }
    Ok(())
}

const COUNT_LOG: &str = "select schema_key, count(*) from change group by 1";

/// How many changes were ever made.
pub(crate) fn log(client: &mut Client, model: &Model) -> Checked {
    let mut found: BTreeMap<Id, i64> = BTreeMap::new();
    for row in client.rows(COUNT_LOG)? {
        found.insert(row[0].text(), row[1].integer());
    }
    let mut expected = model.log.clone();
    expected.retain(|_, count| *count != 0);
    match found == expected {
        true => Ok(()),
        false => Err(format!("the log has {found:?} changes instead of {expected:?}")),
    }
}

/// One of the things that cost more to look at.
pub(crate) fn sample(client: &mut Client, model: &mut Model, random: &mut Random) -> Checked {
    let versions: Vec<Id> = model.versions.keys().cloned().collect();
    let version = versions[random.below(versions.len())].clone();
    let other = versions[random.below(versions.len())].clone();
    match random.below(6) {
        0 => working(client, model, &version),
        1 => differences(client, model, &version, &other),
        2 => {
            let tip = model.versions[&version].tip;
            let entity = ["a", "b", "c", "d"][random.below(4)];
            history(client, model, tip, &Key::new(KEY_VALUE, entity))
        }
        3 => entities(client, model),
        4 => by_key(client, model, &version, random),
        _ => Ok(()),
    }
}

/// The collected work of a version, as difference and as elements of its working set.
pub(crate) fn working(client: &mut Client, model: &mut Model, version: &str) -> Checked {
    let sql = format!(
        "select schema_key, entity_id, status, before_change_id, after_change_id, before_commit_id, after_commit_id
         from lix_working_diff('{{\"version\": \"{version}\"}}') where status <> 'unchanged'"
    );
    let mut found: BTreeMap<Key, Row> = BTreeMap::new();
    for row in client.rows(&sql)? {
        found.insert(Key { schema: row[0].text(), entity: row[1].text() }, row[2..].to_vec());
    }
    let (working, checkpoint) =
        (model.versions[version].working, model.versions[version].last_checkpoint);
    let name = |no: usize| Value::from(model.commits[no].id.clone());
    let (working, checkpoint) = (name(working), checkpoint.map_or(Value::Null, name));
    let mut afters = BTreeSet::new();
    for work in model.working_diff(version) {
        let row = found.remove(&work.key);
        let Some(row) = row else {
            return Err(format!("the working diff of {version} has no row for {work:?}"));
        };
        if row[0] != work.status.into() {
            return Err(format!("the working diff of {version} has {row:?} instead of {work:?}"));
        }
        match work.before {
            Some(before) => model.name_change(before, &row[1].text())?,
            None if row[1] == Value::Null => {}
            None => {
                return Err(format!(
                    "the working diff of {version} has {row:?} instead of {work:?}"
                ));
            }
        }
        model.name_change(work.after, &row[2].text())?;
        afters.insert(row[2].text());
        let before = work.before.map_or(Value::Null, |_| checkpoint.clone());
        if row[3..] != [before, working.clone()] {
            return Err(format!(
                "the working diff of {version} has commits {row:?}, not {checkpoint:?} and {working:?}"
            ));
        }
    }
    if let Some((key, row)) = found.first_key_value() {
        return Err(format!("the working diff of {version} has a row for {key:?}: {row:?}"));
    }
    let elements = format!(
        "select change_id from change_set_element_all where lixcol_version_id = 'global' and change_set_id =
         (select change_set_id from commit_all where lixcol_version_id = 'global' and id = '{}')",
        working.text()
    );
    let elements = set(client.rows(&elements)?);
    match elements == afters {
        true => Ok(()),
        false => {
            Err(format!("the working set of {version} has {elements:?} instead of {afters:?}"))
        }
    }
}

fn differences(client: &mut Client, model: &mut Model, source: &str, target: &str) -> Checked {
    if source == target {
        return Ok(());
    }
    let sql = format!(
        "select schema_key, entity_id, status, before_change_id, after_change_id
         from lix_version_diff('{{\"source\": \"{source}\", \"target\": \"{target}\"}}')
         where status <> 'unchanged' and {IN_SCHEMAS}"
    );
    let mut found: BTreeMap<Key, Row> = BTreeMap::new();
    for row in client.rows(&sql)? {
        found.insert(Key { schema: row[0].text(), entity: row[1].text() }, row[2..].to_vec());
    }
    for difference in model.differences(source, target) {
        if !SCHEMAS.contains(&&*difference.key.schema) {
            continue;
        }
        let between = format!("the difference of {source} from {target}");
        let Some(row) = found.remove(&difference.key) else {
            return Err(format!("{between} has no row for {difference:?}"));
        };
        if row[0] != difference.status.into()
            || row[1].option().is_some() != difference.before.is_some()
        {
            return Err(format!("{between} has {row:?} instead of {difference:?}"));
        }
        if let Some(before) = difference.before {
            model.name_change(before.change, &row[1].text())?;
        }
        model.name_change(difference.after.change, &row[2].text())?;
    }
    match found.first_key_value() {
        None => Ok(()),
        Some((key, row)) => {
            Err(format!("{source} and {target} should not differ in {key:?}: {row:?}"))
        }
    }
}

pub(crate) fn history(client: &mut Client, model: &mut Model, root: usize, key: &Key) -> Checked {
    let Some(id) = model.commits[root].id.clone() else { return Ok(()) };
    let sql = format!(
        "select depth, commit_id, change_id, snapshot_content from state_history
         where root_commit_id = '{id}' and schema_key = '{}' and entity_id = '{}'",
        key.schema, key.entity
    );
    let found: BTreeSet<Row> = client.rows(&sql)?.into_iter().collect();
    let expected = model.history(root, key);
    let matches = |row: &Row, (depth, change, commits): &(usize, usize, Vec<usize>)| {
        let Change { id: change, snapshot, .. } = &model.changes[*change];
        let is_there = |no: &usize| row[1] == Value::from(model.commits[*no].id.clone());
        row[0] == Value::Integer(*depth as i64)
            && row[2] == Value::from(change.clone())
            && row[3] == Value::from(snapshot.clone())
            && commits.iter().any(is_there)
    };
    let is_there = expected.iter().all(|expected| found.iter().any(|row| matches(row, expected)));
    match found.len() == expected.len() && is_there {
        true => Ok(()),
        false => {
            Err(format!("the history of {key:?} from {id} is {found:?} instead of {expected:?}"))
        }
    }
}

/// The tables of the active version.
fn entities(client: &mut Client, model: &Model) -> Checked {
    for (schema, sql) in [
        (
            KEY_VALUE,
            "select key, json_object('key', key, 'value', value) from key_value where length(key) = 1",
        ),
        (DOC, "select id, json_object('id', id, 'slug', slug) from doc"),
        (NOTE, "select id, json_object('id', id, 'doc_id', doc_id) from note"),
    ] {
        let found: BTreeSet<Row> = client.rows(sql)?.into_iter().collect();
        let keys = model
            .keys(&model.active)
            .into_iter()
            .filter(|key| &*key.schema == schema && key.entity.len() < 3);
        let rows = keys.filter_map(|key| {
            let content = model.shows(&model.active, &key)?.snapshot;
            Some(vec![Value::Text(key.entity.clone()), Value::from(content)])
        });
        let expected: BTreeSet<Row> = rows.collect();
        if found != expected {
            return Err(format!("{schema} has {found:?} instead of {expected:?}"));
        }
    }
    Ok(())
}

/// One row, found without looking at others.
fn by_key(client: &mut Client, model: &Model, version: &str, random: &mut Random) -> Checked {
    let key = match random.below(3) {
        0 => Key::new(DOC, ["d0", "d1"][random.below(2)]),
        _ => Key::new(KEY_VALUE, ["a", "b", "c", "d"][random.below(4)]),
    };
    let sql = format!(
        "select snapshot_content from state_all where version_id = '{version}' and schema_key = '{}' and entity_id = '{}' and file_id = 'lix'",
        key.schema, key.entity
    );
    let found = client.rows(&sql)?;
    let expected: Vec<Row> = model
        .shows(version, &key)
        .into_iter()
        .map(|seen| vec![Value::from(seen.snapshot)])
        .collect();
    match found == expected {
        true => Ok(()),
        false => Err(format!("{sql}: {found:?} instead of {expected:?}")),
    }
}

/// What holds in every lix (29.5 of the data model), and everything that was only sampled.
pub(crate) fn invariants(client: &mut Client, model: &mut Model) -> Checked {
    for commit in &mut model.commits {
        commit.is_known = false;
    }
    versions(client, model)?;
    commits(client, model)?;
    state(client, model)?;
    // What a deleted version did last may be out of sight.
    let ends = model.versions.values().flat_map(|version| [version.tip, version.working]);
    let mut next: Vec<usize> = ends.collect();
    let mut reached = BTreeSet::new();
    while let Some(no) = next.pop() {
        if reached.insert(no) {
            next.extend(&model.commits[no].parents);
        }
    }
    let is_unnamed = |no: &usize| !model.commits[*no].is_given && !model.commits[*no].is_known;
    if let Some(no) = reached.into_iter().find(is_unnamed) {
        return Err(format!("nothing leads to commit {no} with {:?}", model.commits[no].members));
    }
    let ids: Vec<Id> = model.versions.keys().cloned().collect();
    for id in ids {
        working(client, model, &id)?;
        let tip = model.versions[&id].tip;
        for entity in ["a", "b"] {
            history(client, model, tip, &Key::new(KEY_VALUE, entity))?;
        }
    }
    for (what, sql) in [
        (
            "live rows whose change is not in the log",
            "select * from state_all where change_id <> 'untracked' and change_id not in (select id from change)",
        ),
        (
            "commits that are no tip, no working commit and nobody's parent",
            "select id from commit_all where lixcol_version_id = 'global'
             and id not in (select commit_id from version) and id not in (select working_commit_id from version)
             and id not in (select parent_id from commit_edge_all where lixcol_version_id = 'global')",
        ),
        ("open commits after the transaction", "select * from state_with_tombstones where commit_id = 'pending'"),
    ] {
        let rows = client.rows(sql)?;
        let may_be = what.starts_with("commits") && model.has_deleted;
        if !rows.is_empty() && !may_be {
            return Err(format!("{what}: {rows:?}"));
        }
    }
    Ok(())
}

/// Every public table with all its rows.
pub(crate) fn dump(client: &mut Client) -> Checked<BTreeMap<&'static str, BTreeSet<Row>>> {
    let mut tables = BTreeMap::new();
    for table in TABLES {
        let rows = client.rows(&format!("select * from \"{table}\""))?;
        let count = rows.len();
        let rows: BTreeSet<Row> = rows.into_iter().collect();
        if rows.len() != count {
            return Err(format!("{table} has {} rows twice", count - rows.len()));
        }
        tables.insert(table, rows);
    }
    Ok(tables)
}

pub(crate) fn same(
    when: &str,
    before: &BTreeMap<&'static str, BTreeSet<Row>>,
    after: &BTreeMap<&'static str, BTreeSet<Row>>,
) -> Checked {
    for (table, rows) in before {
        let now = &after[table];
        if rows != now {
            let gone: Vec<_> = rows.difference(now).take(3).collect();
            let new: Vec<_> = now.difference(rows).take(3).collect();
            return Err(format!("{when}, {table} has lost {gone:#?} and got {new:#?}"));
        }
    }
    Ok(())
}

/// Entity tables follow from `state`; those of commits and their sets are computed in other ways.
const TABLES: [&str; 11] = [
    "state_with_tombstones",
    "state_history",
    "change",
    "version",
    "version_all",
    "active_version",
    "active_account",
    "commit",
    "commit_edge",
    "change_set",
    "key_value_all",
];

impl From<Option<Id>> for Value {
    fn from(text: Option<Id>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }
}

impl From<Id> for Value {
    fn from(text: Id) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

fn set(rows: Vec<Row>) -> BTreeSet<Id> {
    rows.into_iter().map(|row| row[0].text()).collect()
}

/// A JSON list of texts.
fn ids(list: &Value) -> Vec<Id> {
    let list = list.option().and_then(|text| serde_json::from_str::<Vec<String>>(&text).ok());
    list.unwrap_or_default().into_iter().map(Id::from).collect()
}

fn quoted(ids: &[Id]) -> String {
    ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(", ")
}
