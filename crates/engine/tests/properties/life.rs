//! One sequence: what it does to the lix and to the model, and where they are held side by side.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::client::{Client, Row};
use crate::compare;
use crate::events::Listener;
use crate::model::{
    ChangeNo, CommitNo, DOC, GLOBAL, Id, KEY_VALUE, Key, Kind, Model, NOTE, Names, Outcome, Version,
};
use crate::operations::{From, Operation, Parent, TABLES, Through, What};
use crate::random::Random;
use crate::watch::{Watch, query};

/// The lix that all sequences begin with.
pub(crate) struct Start {
    pub(crate) image: Bytes,
    pub(crate) model: Model,
}

impl Start {
    pub(crate) fn new() -> Self {
        let mut client = Client::open(None);
        for schema in SCHEMAS {
            let sql = format!(
                "insert into stored_schema_all (value, lixcol_version_id) values ('{schema}', 'global')"
            );
            client.attempt(&sql).expect("the schemas are good");
        }
        // Ids that do not run out: the platform of the tests knows few.
        let sql = r#"insert into key_value_all (key, value, lixcol_version_id)
                     values ('lix_deterministic_mode', '{"enabled": true}', 'global')"#;
        client.attempt(sql).expect("it is a key value");
        let image = client.export();
        let model = compare::read(&mut client).expect("a new lix can be read");
        Self { image, model }
    }
}

const SCHEMAS: [&str; 2] = [
    r#"{"x-lix-key": "doc", "x-lix-version": "1.0", "x-lix-primary-key": ["id"], "x-lix-unique": [["slug"]],
        "type": "object", "additionalProperties": false, "required": ["id"],
        "properties": {"id": {"type": "string"}, "slug": {"type": ["string", "null"]}}}"#,
    r#"{"x-lix-key": "note", "x-lix-version": "1.0", "x-lix-primary-key": ["id"],
        "x-lix-foreign-keys": [{"properties": ["doc_id"], "references": {"schemaKey": "doc", "properties": ["id"]}}],
        "type": "object", "additionalProperties": false, "required": ["id"],
        "properties": {"id": {"type": "string"}, "doc_id": {"type": ["string", "null"]}}}"#,
];

/// How many queries are looked at after each commit.
const QUERIES: usize = 24;

/// What went wrong, and the statements until then.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) message: String,
    pub(crate) log: Vec<String>,
}

/// Runs a sequence to its end.
pub(crate) fn run(start: &Start, seed: u64, operations: &[Operation]) -> Result<(), Violation> {
    let mut life = Life {
        client: Client::open(Some(&start.image)),
        model: start.model.clone(),
        begun: None,
        savepoints: Vec::new(),
        listener: Listener::new(&start.model),
        watch: None,
        random: Random::new(seed ^ 0x5eed),
        named: 0,
    };
    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| life.run(operations)));
    let result = ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panic: {}", text.unwrap_or("without words")))
    });
    result.map_err(|message| Violation { message, log: std::mem::take(&mut life.client.log) })
}

type Checked<T = ()> = Result<T, String>;

struct Life {
    client: Client,
    model: Model,
    /// What a ROLLBACK goes back to.
    begun: Option<Model>,
    savepoints: Vec<(String, Model)>,
    listener: Listener,
    watch: Option<Watch>,
    random: Random,
    named: usize,
}

impl Life {
    fn run(&mut self, operations: &[Operation]) -> Checked {
        let queries: Vec<String> = (0..QUERIES)
            .map(|_| query(&mut self.random, &[GLOBAL, "v0", "v1", "v2", "v3"]))
            .collect();
        self.watch = Some(Watch::new(&mut self.client.host, queries));
        for operation in operations {
            self.operate(operation)?;
            self.compare()?;
            self.look_again()?;
        }
        if self.is_open() {
            self.commit("commit")?;
            self.look_again()?;
        }
        self.end()
    }

    fn compare(&mut self) -> Checked {
        let Self { client, model, random, .. } = self;
        compare::versions(client, model)?;
        compare::commits(client, model)?;
        compare::state(client, model)?;
        compare::log(client, model)?;
        compare::sample(client, model, random)
    }

    /// Results that no commit matched are what they were.
    fn look_again(&mut self) -> Checked {
        if self.is_open() {
            return Ok(());
        }
        let heard = std::mem::take(&mut self.client.heard);
        let watch = self.watch.as_mut().expect("it is there from the beginning");
        watch.check(&mut self.client.host, &heard)
    }

    fn end(&mut self) -> Checked {
        let before = compare::dump(&mut self.client)?;
        self.client.attempt("select * from lix_rebuild()").map_err(|error| error.message)?;
        compare::same("after a rebuild", &before, &compare::dump(&mut self.client)?)?;
        self.compare()?;
        let image = self.client.export();
        let log = std::mem::take(&mut self.client.log);
        self.client = Client::open(Some(&image));
        self.client.log = log;
        compare::same("opened again", &before, &compare::dump(&mut self.client)?)?;
        compare::invariants(&mut self.client, &mut self.model)
    }

    fn is_open(&self) -> bool {
        self.begun.is_some() || !self.savepoints.is_empty()
    }

    /// Runs a statement here and there, and holds the outcomes side by side.
    fn step(
        &mut self,
        sql: &str,
        predict: impl FnOnce(&mut Model, &mut Client, &[Row]) -> Outcome,
    ) -> Checked<bool> {
        let result = self.client.attempt(sql);
        let mut model = self.model.clone();
        let rows = result.as_deref().unwrap_or_default();
        let predicted = predict(&mut model, &mut self.client, rows);
        match (result, predicted) {
            (Ok(_), Ok(())) => {
                self.model = model;
                if !self.is_open() {
                    self.committed()?;
                }
                Ok(true)
            }
            (Err(error), Err(reason)) if error.reason == reason => {
                if !self.client.events.is_empty() {
                    return Err(format!("{sql} was refused and told of: {:?}", self.client.events));
                }
                Ok(false)
            }
            (Ok(_), Err(reason)) => Err(format!("{sql} succeeded instead of {reason}")),
            (Err(error), predicted) => Err(format!(
                "{sql} ended in {}: {} instead of {predicted:?}",
                error.reason, error.message
            )),
        }
    }

    /// The outermost transaction is over.
    fn committed(&mut self) -> Checked {
        self.model.seal_all();
        let events = std::mem::take(&mut self.client.events);
        self.listener.hear(&self.model, &events)
    }

    fn commit(&mut self, sql: &str) -> Checked {
        (self.begun, self.savepoints) = (None, Vec::new());
        self.step(sql, |_, _, _| Ok(())).map(drop)
    }

    fn version(&self, at: usize) -> Id {
        let ids: Vec<&Id> = self.model.versions.keys().collect();
        ids[at % ids.len()].clone()
    }

    /// Rarely one that there is not.
    fn version_or_nobody(&self, at: usize) -> Id {
        match at % 16 {
            0 => "nobody".into(),
            _ => self.version(at / 16),
        }
    }

    fn place(&self, at: usize) -> Option<(CommitNo, Id)> {
        let mut places = self.model.places();
        places.retain(|no| self.model.commits[*no].id.is_some());
        let no = *places.get(at % places.len().max(1))?;
        Some((no, self.model.commits[no].id.clone()?))
    }

    fn parent(&self, parent: Parent) -> Option<Id> {
        match parent {
            Parent::Global => Some(GLOBAL.into()),
            Parent::Nobody => None,
            Parent::Version(at) => Some(self.version(at)),
            Parent::Unknown => Some("nobody".into()),
        }
    }

    fn name(&mut self, prefix: &str) -> String {
        self.named += 1;
        format!("{prefix}{}", self.named)
    }

    fn operate(&mut self, operation: &Operation) -> Checked {
        match operation {
            Operation::Insert { what, through, at, values, untracked } => {
                let target = Target::of(self, *through, *at);
                let rows: Vec<(Key, String)> = values
                    .iter()
                    .enumerate()
                    .map(|(more, value)| {
                        let what = What { entity: what.entity + more, ..*what };
                        (what.key(), what.content(*value))
                    })
                    .collect();
                let sql = target.insert(&rows, *untracked);
                self.step(&sql, |model, _, _| {
                    for (key, content) in &rows {
                        model.write(Kind::Insert, &target.version, key, content, *untracked)?;
                    }
                    Ok(())
                })?;
            }
            Operation::Update { what, through, at, value, untracked } => {
                let target = Target::of(self, *through, *at);
                let (key, content) = (what.key(), what.content(*value));
                let sql = target.update(what, *value, *untracked);
                self.step(&sql, |model, _, _| {
                    update(model, &target.version, &key, &content, *untracked)
                })?;
            }
            Operation::Delete { what, through, at } => {
                let target = Target::of(self, *through, *at);
                let sql = target.delete(what);
                self.step(&sql, |model, _, _| model.delete(&target.version, &what.key()))?;
            }
            Operation::UpdateEverywhere { what, value } => {
                let (key, content) = (what.key(), what.content(*value));
                let sql = format!(
                    "update state_all set snapshot_content = '{content}' where entity_id = '{}' and schema_key = '{}'",
                    key.entity, key.schema
                );
                self.step(&sql, |model, _, _| {
                    let ids: Vec<Id> = model.versions.keys().cloned().collect();
                    let showing = ids.into_iter().filter(|id| model.shows(id, &key).is_some());
                    for id in showing.collect::<Vec<_>>() {
                        update(model, &id, &key, &content, None)?;
                    }
                    Ok(())
                })?;
            }
            Operation::DeleteEverywhere { what } => {
                let key = what.key();
                let sql = format!(
                    "delete from state_all where entity_id = '{}' and schema_key = '{}'",
                    key.entity, key.schema
                );
                // Which untracked rows are uncovered before they are deleted too is not defined.
                let has_untracked = |version: &Version| version.untracked.contains_key(&key);
                if &*key.schema != DOC && !self.model.versions.values().any(has_untracked) {
                    self.step(&sql, |model, _, _| model.delete_everywhere(&key))?;
                }
            }
            Operation::Move { what, at, to } => {
                let version = self.version(*at);
                let target = What { entity: *to, ..*what };
                let (from, to) = (what.key(), target.key());
                let (table, id) = (what.table_name(), what.id_column());
                let sql = format!(
                    "update {table}_all set {id} = '{}' where {id} = '{}' and lixcol_version_id = '{version}'",
                    to.entity, from.entity
                );
                self.step(&sql, |model, _, _| {
                    let Some(seen) = model.shows(&version, &from) else { return Ok(()) };
                    let untracked = seen.entry.is_none();
                    let content = seen.snapshot.expect("it is shown");
                    if from == to {
                        return model.write(Kind::Update, &version, &to, &content, untracked);
                    }
                    model.delete(&version, &from)?;
                    let old = format!("\"{id}\":\"{}\"", from.entity);
                    let content = content.replace(&old, &format!("\"{id}\":\"{}\"", to.entity));
                    model.write(Kind::Insert, &version, &to, &content, untracked)
                })?;
            }
            Operation::WriteToNobody { what } => {
                let target = Target { through: Through::All, version: "nobody".into() };
                let sql = target.insert(&[(what.key(), what.content(0))], false);
                self.step(&sql, |_, _, _| Err("VERSION_UNKNOWN"))?;
            }
            Operation::CreateVersion { from, parent, again } => {
                self.create_version(*from, *parent, *again)?;
            }
            Operation::Switch { to, by_update } => {
                let to = self.version_or_nobody(*to);
                let (sql, refused) = match by_update {
                    true => {
                        (format!("update active_version set version_id = '{to}'"), "FOREIGN_KEY")
                    }
                    false => (
                        format!("select * from lix_switch_version('{{\"to\": \"{to}\"}}')"),
                        "VERSION_UNKNOWN",
                    ),
                };
                self.step(&sql, |model, _, _| model.switch(&to, refused))?;
            }
            Operation::Merge { source, target } => {
                let (source, target) = (self.version_or_nobody(*source), self.version(*target));
                let sql = format!(
                    "select commit_id is not null from lix_merge_version('{{\"source\": \"{source}\", \"target\": \"{target}\"}}')"
                );
                let mut merges = None;
                let mut merged = None;
                self.step(&sql, |model, _, rows| {
                    merged = rows.first().map(|row| row[0].integer() != 0);
                    merges = Some(model.merge(&source, &target)?);
                    Ok(())
                })?;
                if merged.is_some() && merged != merges {
                    return Err(format!("{sql}: {merged:?} instead of {merges:?}"));
                }
            }
            Operation::Transition { version, to, by_update } => {
                let version = self.version(*version);
                let Some((to, id)) = self.place(*to) else { return Ok(()) };
                if self.model.would_lose_what_it_needs(&version, to) {
                    return Ok(());
                }
                let sql = match by_update {
                    true => format!("update version set commit_id = '{id}' where id = '{version}'"),
                    false => format!(
                        "select id is not null from lix_transition('{{\"to\": \"{id}\", \"version\": \"{version}\"}}')"
                    ),
                };
                self.step(&sql, |model, _, _| {
                    match *by_update && model.versions[&version].tip == to {
                        true => Ok(()),
                        false => model.transition(&version, to),
                    }
                })?;
            }
            Operation::Checkpoint => {
                self.step("select id from lix_create_checkpoint()", |model, client, rows| {
                    let names = match rows {
                        [row] => {
                            let checkpoint = row[0].text();
                            let working = "select working_commit_id from version where id = lix_active_version_id()";
                            let mapping = format!("select lixcol_entity_id from entity_label_all where entity_id = '{checkpoint}' and lixcol_version_id = 'global'");
                            let working = first(client, working);
                            Names { label_mapping: first(client, &mapping), ..names(client, &working) }
                        }
                        _ => Names::default(),
                    };
                    model.checkpoint(&names).map(drop)
                })?;
            }
            Operation::Rename { version } => {
                let (version, name) = (self.version(*version), self.name("name "));
                let sql = format!("update version set name = '{name}' where id = '{version}'");
                self.step(&sql, |model, _, _| model.update_version(&version, Some(&name), None))?;
            }
            Operation::Inherit { version, from } => {
                let (version, parent) = (self.version(*version), self.parent(*from));
                if &*version == GLOBAL {
                    return Ok(());
                }
                let to = parent.as_ref().map_or("null".into(), |parent| format!("'{parent}'"));
                let sql = format!(
                    "update version set inherits_from_version_id = {to} where id = '{version}'"
                );
                self.step(&sql, |model, _, _| {
                    model.update_version(&version, None, Some(parent.as_deref()))
                })?;
            }
            Operation::DeleteVersion { version } => {
                let version = self.version(*version);
                if &*version == GLOBAL {
                    return Ok(());
                }
                let sql = format!("delete from version where id = '{version}'");
                self.step(&sql, |model, _, _| model.delete_version(&version))?;
            }
            Operation::Apply { changes } => self.apply(changes)?,
            Operation::Accounts { number } => {
                let accounts: Vec<Id> =
                    ["ada", "bea", "cid"][..*number].iter().map(|id| (*id).into()).collect();
                let list: Vec<String> = accounts.iter().map(|id| format!("\"{id}\"")).collect();
                let sql = format!(
                    "select * from lix_switch_account('{{\"to\": [{}]}}')",
                    list.join(", ")
                );
                self.step(&sql, |model, _, _| {
                    model.accounts = accounts;
                    Ok(())
                })?;
            }
            Operation::Begin => {
                if !self.is_open() {
                    self.begun = Some(self.model.clone());
                    self.step("begin", |_, _, _| Ok(()))?;
                }
            }
            Operation::Commit => {
                if self.is_open() {
                    self.commit("commit")?;
                }
            }
            Operation::Rollback => {
                if self.is_open() {
                    let first = self.savepoints.first().map(|(_, model)| model.clone());
                    let back = self.begun.take().or(first).expect("a transaction is open");
                    self.savepoints.clear();
                    self.model = back;
                    self.step("rollback", |_, _, _| Ok(()))?;
                }
            }
            Operation::Savepoint => {
                let name = self.name("s");
                self.savepoints.push((name.clone(), self.model.clone()));
                self.step(&format!("savepoint {name}"), |_, _, _| Ok(()))?;
            }
            Operation::Release { number } => {
                if let Some(at) = number.checked_rem(self.savepoints.len()) {
                    let name = self.savepoints[at].0.clone();
                    self.savepoints.truncate(at);
                    self.step(&format!("release {name}"), |_, _, _| Ok(()))?;
                }
            }
            Operation::RollbackTo { number } => {
                if let Some(at) = number.checked_rem(self.savepoints.len()) {
                    let (name, model) = self.savepoints[at].clone();
                    self.savepoints.truncate(at + 1);
                    self.model = model;
                    self.step(&format!("rollback to {name}"), |_, _, _| Ok(()))?;
                }
            }
            Operation::Rebuild => {
                self.step("select * from lix_rebuild()", |model, _, _| {
                    model.seal_all();
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    fn create_version(&mut self, from: From, parent: Parent, again: Option<usize>) -> Checked {
        let id = match again.filter(|_| !self.is_open()) {
            Some(at) => format!("v{}", at % 4),
            None => self.name("v"),
        };
        let parent = self.parent(parent);
        let (from, option) = match from {
            From::Tip(at) => {
                let from = self.version_or_nobody(at);
                (Ok(from.clone()), format!("\"from\": \"{from}\""))
            }
            From::Commit(at) => {
                let Some((no, from)) = self.place(at) else { return Ok(()) };
                (Err(no), format!("\"from_commit\": \"{from}\""))
            }
        };
        let inherits = parent.as_ref().map_or("null".into(), |parent| format!("\"{parent}\""));
        let sql = format!(
            "select working_commit_id from lix_create_version('{{\"id\": \"{id}\", \"name\": \"{id}\", {option}, \"inherits_from\": {inherits}}}')"
        );
        self.step(&sql, |model, client, rows| {
            let names = rows.first().map(|row| names(client, &row[0].text())).unwrap_or_default();
            model.create_version(&id, from.as_deref().map_err(|no| *no), parent.as_deref(), &names)
        })
        .map(drop)
    }

    fn apply(&mut self, wanted: &[usize]) -> Checked {
        let known = |no: &ChangeNo| {
            let change = &self.model.changes[*no];
            let is_user = [KEY_VALUE, DOC, NOTE].contains(&&*change.key.schema);
            change.id.is_some() && !change.is_replaced && is_user && change.key.entity.len() < 3
        };
        let pool: Vec<ChangeNo> = (0..self.model.changes.len()).filter(known).collect();
        if pool.is_empty() {
            return Ok(());
        }
        let mut keys = BTreeSet::new();
        let mut changes: Vec<ChangeNo> = wanted.iter().map(|at| pool[at % pool.len()]).collect();
        changes.retain(|change| keys.insert(self.model.changes[*change].key.clone()));
        let elements: Vec<String> = changes
            .iter()
            .map(|change| {
                let change = &self.model.changes[*change];
                format!(
                    "{{\"change_id\": \"{}\", \"entity_id\": \"{}\", \"schema_key\": \"{}\", \"file_id\": \"lix\"}}",
                    change.id.as_ref().expect("it is known"),
                    change.key.entity,
                    change.key.schema,
                )
            })
            .collect();
        let id = self.name("set");
        let sql = format!(
            "select id from lix_create_change_set('{{\"id\": \"{id}\", \"version\": \"global\", \"elements\": [{}]}}')",
            elements.join(", ")
        );
        self.step(&sql, |model, _, _| {
            model.create_change_set(&id, &changes);
            Ok(())
        })?;
        let sql = format!(
            "select commit_id is not null from lix_apply_change_set('{{\"id\": \"{id}\"}}')"
        );
        let (mut applied, mut applies) = (None, None);
        self.step(&sql, |model, _, rows| {
            applied = rows.first().map(|row| row[0].integer() != 0);
            applies = Some(model.apply_change_set(&changes)?);
            Ok(())
        })?;
        match applied == applies {
            true => Ok(()),
            false => Err(format!("{sql}: {applied:?} instead of {applies:?}")),
        }
    }
}

fn update(
    model: &mut Model,
    version: &str,
    key: &Key,
    content: &str,
    untracked: Option<bool>,
) -> Outcome {
    let Some(seen) = model.shows(version, key) else { return Ok(()) };
    let untracked = untracked.unwrap_or(seen.entry.is_none());
    model.write(Kind::Update, version, key, content, untracked)
}

fn first(client: &mut Client, sql: &str) -> String {
    let rows = client.rows(sql).unwrap_or_else(|error| panic!("{error}"));
    rows.first().and_then(|row| row[0].option()).map(|id| id.to_string()).unwrap_or_default()
}

/// What a working commit and its set are called.
fn names(client: &mut Client, working: &str) -> Names {
    let sql = format!(
        "select change_set_id from commit_all where id = '{working}' and lixcol_version_id = 'global'"
    );
    Names {
        working_commit: working.to_owned(),
        change_set: first(client, &sql),
        ..Names::default()
    }
}

impl What {
    fn table_name(&self) -> &'static str {
        ["key_value", "doc", "note"][self.table % TABLES]
    }

    fn id_column(&self) -> &'static str {
        ["key", "id", "id"][self.table % TABLES]
    }

    fn value_column(&self) -> &'static str {
        ["value", "slug", "doc_id"][self.table % TABLES]
    }

    fn key(&self) -> Key {
        let number = self.entity % 4;
        match self.table % TABLES {
            0 => Key::new(KEY_VALUE, ["a", "b", "c", "d"][number]),
            1 => Key::new(DOC, ["d0", "d1", "d2", "d3"][number]),
            _ => Key::new(NOTE, ["n0", "n1", "n2", "n3"][number]),
        }
    }

    /// A value as SQL and as JSON.
    fn value(&self, value: usize) -> (String, String) {
        match (self.table % TABLES, value % 4) {
            (0, _) => (value.to_string(), value.to_string()),
            (1, 3) | (2, 3) => ("null".into(), "null".into()),
            (1, number) => (format!("'s{number}'"), format!("\"s{number}\"")),
            (_, number) => (format!("'d{number}'"), format!("\"d{number}\"")),
        }
    }

    fn content(&self, value: usize) -> String {
        let json = self.value(value).1;
        format!(
            "{{\"{}\":\"{}\",\"{}\":{json}}}",
            self.id_column(),
            self.key().entity,
            self.value_column()
        )
    }
}

/// Where a write goes.
struct Target {
    through: Through,
    version: Id,
}

impl Target {
    fn of(life: &Life, through: Through, at: usize) -> Self {
        let version = match through {
            Through::All | Through::StateAll => life.version(at),
            Through::Active | Through::State => life.model.active.as_str().into(),
        };
        Self { through, version }
    }

    fn insert(&self, rows: &[(Key, String)], untracked: bool) -> String {
        let untracked = u8::from(untracked);
        let Self { through, version } = self;
        let schema = &rows[0].0.schema;
        let table = if &**schema == KEY_VALUE { "key_value" } else { schema };
        let (id, value) = match table {
            "key_value" => ("key", "value"),
            "doc" => ("id", "slug"),
            _ => ("id", "doc_id"),
        };
        let (head, tail) = match through {
            Through::All => (
                format!("{table}_all ({id}, {value}, lixcol_untracked, lixcol_version_id)"),
                format!("{untracked}, '{version}'"),
            ),
            Through::Active => (format!("{table} ({id}, {value}, lixcol_untracked)"), untracked.to_string()),
            Through::StateAll => (
                "state_all (entity_id, snapshot_content, schema_key, schema_version, file_id, plugin_key, untracked, version_id)".into(),
                format!("'{schema}', '1.0', 'lix', 'lix_own_entity', {untracked}, '{version}'"),
            ),
            Through::State => (
                "state (entity_id, snapshot_content, schema_key, schema_version, file_id, plugin_key, untracked)".into(),
                format!("'{schema}', '1.0', 'lix', 'lix_own_entity', {untracked}"),
            ),
        };
        let rows: Vec<String> = rows
            .iter()
            .map(|(key, content)| match through {
                Through::All | Through::Active => {
                    let value =
                        content.rsplit_once(':').expect("a property").1.trim_end_matches('}');
                    format!("('{}', {}, {tail})", key.entity, value.replace('"', "'"))
                }
                _ => format!("('{}', '{content}', {tail})", key.entity),
            })
            .collect();
        format!("insert into {head} values {}", rows.join(", "))
    }

    fn update(&self, what: &What, value: usize, untracked: Option<bool>) -> String {
        let (sql, _) = what.value(value);
        let content = what.content(value);
        let flag = |column: &str| {
            untracked.map_or(String::new(), |flag| format!(", {column} = {}", u8::from(flag)))
        };
        match self.through {
            Through::All | Through::Active => format!(
                "update {} set {} = {sql}{} where {}",
                self.table(what),
                what.value_column(),
                flag("lixcol_untracked"),
                self.condition(what)
            ),
            _ => format!(
                "update {} set snapshot_content = '{content}'{} where {}",
                self.table(what),
                flag("untracked"),
                self.condition(what)
            ),
        }
    }

    fn delete(&self, what: &What) -> String {
        format!("delete from {} where {}", self.table(what), self.condition(what))
    }

    fn table(&self, what: &What) -> String {
        match self.through {
            Through::All => format!("{}_all", what.table_name()),
            Through::Active => what.table_name().into(),
            Through::StateAll => "state_all".into(),
            Through::State => "state".into(),
        }
    }

    fn condition(&self, what: &What) -> String {
        let (key, version) = (what.key(), &self.version);
        let (id, of) = (what.id_column(), &key.entity);
        let row = format!("entity_id = '{of}' and schema_key = '{}'", key.schema);
        match self.through {
            Through::All => format!("{id} = '{of}' and lixcol_version_id = '{version}'"),
            Through::Active => format!("{id} = '{of}'"),
            Through::StateAll => format!("{row} and version_id = '{version}'"),
            Through::State => row,
        }
    }
}
