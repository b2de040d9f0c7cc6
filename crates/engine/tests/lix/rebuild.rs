//! Everything that is computed, computed again: nothing that can be seen may differ (chapter 9).

use std::collections::BTreeMap;

use crate::random::{Random, setting};
use crate::script::Lix;

/// Every public table with all its rows, sorted.
pub(crate) fn dump(lix: &mut Lix) -> BTreeMap<String, Vec<String>> {
    const PLAIN: [&str; 9] = [
        "state_all",
        "state_with_tombstones",
        "state_history",
        "file_history",
        "change",
        "version",
        "version_all",
        "active_version",
        "active_account",
    ];
    let entities = lix.rows(
        "select name from pragma_module_list where name like '%\\_all' escape '\\'
         and name not in ('state_all', 'version_all') order by name",
    );
    let entities = entities.iter().map(|name| name.trim_matches('\'').to_owned());
    let tables = PLAIN.iter().map(|name| (*name).to_owned()).chain(entities);
    tables
        .map(|table| {
            let mut rows = lix.rows(&format!("select * from \"{table}\""));
            rows.sort();
            (table, rows)
        })
        .collect()
}

/// What differs, one line each.
fn difference(
    before: &BTreeMap<String, Vec<String>>,
    after: &BTreeMap<String, Vec<String>>,
) -> Vec<String> {
    let mut lines = Vec::new();
    for (table, rows) in before {
        let now = &after[table];
        if now == rows {
            continue;
        }
        let gone = rows.iter().filter(|row| !now.contains(row)).map(|row| format!("- {row}"));
        let new = now.iter().filter(|row| !rows.contains(row)).map(|row| format!("+ {row}"));
        lines.extend(gone.chain(new).map(|line| format!("{table} {line}")));
        if lines.is_empty() {
            lines.push(format!("{table} has {} rows instead of {}", now.len(), rows.len()));
        }
    }
    lines
}

pub(crate) fn check(lix: &mut Lix, context: &str) {
    let before = dump(lix);
    lix.run("select * from lix_rebuild()");
    let difference = difference(&before, &dump(lix));
    assert!(difference.is_empty(), "{context}:\n{}", difference.join("\n"));
}

#[test]
fn a_new_lix() {
    let mut lix = Lix::new();
    assert!(dump(&mut lix)["state_all"].len() > 40, "there is something to compare");
    check(&mut lix, "new");
}

#[test]
fn versions_merges_and_checkpoints() {
    let mut lix = Lix::new();
    let main = lix.main();
    lix.run(
        r#"insert into key_value(key, value) values ('a', '"base"'), ('gone', '1');
           insert into key_value_all(key, value, lixcol_version_id) values ('g', '1', 'global');
           select * from lix_create_version('{"id": "draft", "name": "Draft"}');
           insert into key_value_all(key, value, lixcol_version_id) values ('b', '1', 'draft');
           update key_value_all set value = '"draft"' where key = 'a' and lixcol_version_id = 'draft';
           delete from key_value_all where key = 'gone' and lixcol_version_id = 'draft';
           update key_value set value = '"main"' where key = 'a'"#,
    );
    check(&mut lix, "versions");
    lix.run(r#"select * from lix_merge_version('{"source": "draft"}')"#);
    check(&mut lix, "merge");
    lix.run(
        "select * from lix_create_checkpoint();
         update key_value set value = '\"later\"' where key = 'a';
         delete from key_value where key = 'b';
         select * from lix_create_version('{\"id\": \"twig\", \"from\": \"draft\"}');
         insert into key_value_all(key, value, lixcol_version_id) values ('t', '1', 'twig')",
    );
    check(&mut lix, "checkpoint");
    lix.run("select * from lix_create_checkpoint()");
    check(&mut lix, "second checkpoint");
    let first = lix.one(
        "select id from commit_all where lixcol_version_id = 'global' and json_array_length(change_ids) = 2 limit 1",
    );
    lix.run(&format!("select * from lix_transition('{{\"to\": \"{first}\"}}')"));
    check(&mut lix, "transition");
    lix.run(&format!(
        "update version set name = 'renamed' where id = 'draft';
         delete from version where id = 'twig';
         select * from lix_create_version('{{\"id\": \"from-old\", \"from_commit\": \"{first}\"}}');
         select * from lix_merge_version('{{\"source\": \"{main}\", \"target\": \"from-old\"}}')"
    ));
    check(&mut lix, "more versions");
}

#[test]
fn what_a_transaction_wrote_twice() {
    let mut lix = Lix::with_draft();
    lix.run(
        "insert into key_value(key, value) values ('old', '1');
         begin;
         insert into key_value(key, value) values ('new', '1');
         update key_value set value = '2' where key = 'new';
         insert into key_value(key, value) values ('short', '1');
         delete from key_value where key = 'short';
         delete from key_value where key = 'old';
         insert into key_value(key, value) values ('old', '2');
         insert into key_value_all(key, value, lixcol_version_id) values ('d', '1', 'draft');
         select * from lix_create_version('{\"id\": \"inside\", \"from\": \"draft\"}');
         insert into key_value_all(key, value, lixcol_version_id) values ('i', '1', 'inside');
         update key_value_all set value = '2' where key = 'd' and lixcol_version_id = 'draft'",
    );
    let _ = lix.host.try_exec("update key_value_all set value = '3' where key = 'd'");
    lix.run(
        "savepoint s;
         insert into key_value(key, value) values ('undone', '1');
         select * from lix_create_version('{\"id\": \"undone\"}');
         rollback to s;
         insert into key_value(key, value) values ('kept', '1');
         commit",
    );
    check(&mut lix, "transaction");
}

#[test]
fn several_checkpoints_of_one_transaction() {
    let mut lix = Lix::new();
    lix.run(
        "begin;
         insert into key_value(key, value) values ('a', 1);
         select * from lix_create_checkpoint();
         select * from lix_create_version('{\"id\": \"between\"}');
         insert into key_value(key, value) values ('b', 1);
         select * from lix_create_checkpoint();
         delete from key_value where key = 'a';
         select * from lix_create_checkpoint();
         commit",
    );
    let work = "select count(*) from change_set_element where lixcol_untracked = 1";
    assert_eq!(lix.one(work), "0");
    let seen =
        "select key from key_value_all where lixcol_version_id = 'between' and key in ('a', 'b')";
    assert_eq!(lix.rows(seen), ["'a'"]);
    check(&mut lix, "checkpoints");
    assert_eq!(lix.one(work), "0");
}

/// No version made the first commit of main: it was there when the version came. Another version
/// that merges it did not write its changes either.
#[test]
fn a_merge_of_what_the_lix_began_with() {
    let mut lix = Lix::with_key_value("a", "1");
    let main = lix.main();
    lix.run(&format!(
        "insert into commit_all(id, change_set_id, lixcol_version_id) values ('nothing', 's', 'global');
         select * from lix_create_version('{{\"id\": \"empty\", \"from_commit\": \"nothing\"}}');
         insert into key_value(key, value) values ('b', '2');
         select * from lix_merge_version('{{\"source\": \"{main}\", \"target\": \"empty\"}}')"
    ));
    let keys = "select key from key_value_all where lixcol_version_id = 'empty' and key < 'l'
                and lixcol_inherited_from_version_id is null";
    assert_eq!(lix.rows(keys), ["'a'", "'b'"]);
    check(&mut lix, "merged");
}

#[test]
fn a_change_put_in_by_hand_stays_without_effect() {
    let mut lix = Lix::new();
    lix.run(
        r#"insert into change(entity_id, schema_key, schema_version, file_id, plugin_key, snapshot_content)
           values ('a', 'lix_key_value', '1.0', 'lix', 'lix_own_entity', '{"key": "a", "value": 1}')"#,
    );
    check(&mut lix, "by hand");
    assert_eq!(lix.rows("select * from key_value where key = 'a'"), [""; 0]);
}

#[test]
fn an_image_that_is_opened_again() {
    let mut lix = Lix::with_draft();
    lix.run("insert into key_value(key, value) values ('a', '1')");
    let before = dump(&mut lix);
    let image = lix.host.export();
    let mut again = Lix { host: crate::host::Host::seeded(&image).unwrap() };
    let found = difference(&before, &dump(&mut again));
    assert!(found.is_empty(), "{}", found.join("\n"));
    check(&mut again, "opened again");
}

/// Random work on many versions, then a rebuild, more work, and a rebuild again. A few sequences, with
/// commits that people wrote by hand; `cargo xtask properties` does the many.
/// `LIX_REBUILD_SEQUENCES` and `LIX_REBUILD_SEED` choose how many and which.
#[test]
fn random_work() {
    let first = setting("LIX_REBUILD_SEED", 1);
    for seed in first..first + setting("LIX_REBUILD_SEQUENCES", 3) {
        let mut work = Work::new(seed);
        for round in 0..3 {
            for _ in 0..25 {
                work.step();
            }
            work.end_transaction();
            let before = dump(&mut work.lix);
            work.lix.run("select * from lix_rebuild()");
            let difference = difference(&before, &dump(&mut work.lix));
            assert!(
                difference.is_empty(),
                "LIX_REBUILD_SEED={seed}, round {round}:\n{}\n\n{}",
                work.log.join("\n"),
                difference.join("\n")
            );
        }
    }
}

struct Work {
    lix: Lix,
    random: Random,
    versions: Vec<String>,
    next: usize,
    is_open: bool,
    log: Vec<String>,
}

impl Work {
    fn new(seed: u64) -> Self {
        let mut lix = Lix::new();
        let versions = vec!["global".to_owned(), lix.main()];
        let random = Random::new(seed);
        Self { lix, random, versions, next: 0, is_open: false, log: Vec::new() }
    }

    /// Runs a statement that may be refused, but only for a reason.
    fn attempt(&mut self, sql: String) -> bool {
        let result = self.lix.host.try_exec(&sql);
        let outcome = match &result {
            Ok(_) => String::new(),
            Err(error) => format!("  -- {}: {}", error.reason, error.message),
        };
        self.log.push(format!("{sql};{outcome}"));
        let is_expected = result.as_ref().err().is_none_or(|error| {
            matches!(
                error.reason.as_str(),
                "VALIDATION"
                    | "PRIMARY_KEY"
                    | "UNIQUE"
                    | "FOREIGN_KEY"
                    | "OPTION_INVALID"
                    | "VERSION_UNKNOWN"
            )
        });
        assert!(is_expected, "{}", self.log.join("\n"));
        result.is_ok()
    }

    fn version(&mut self) -> String {
        let index = self.random.below(self.versions.len());
        self.versions[index].clone()
    }

    /// Any commit, also a working commit or one that somebody wrote by hand.
    fn commit(&mut self) -> String {
        let ids =
            self.lix.rows("select distinct id from commit_all order by lixcol_created_at, id");
        ids[self.random.below(ids.len())].trim_matches('\'').to_owned()
    }

    fn end_transaction(&mut self) {
        if self.is_open {
            self.is_open = false;
            self.attempt("commit".into());
        }
    }

    fn step(&mut self) {
        let key = ["a", "b", "c", "d"][self.random.below(4)];
        let version = self.version();
        self.next += 1;
        let number = self.next;
        match self.random.below(30) {
            0..=8 => {
                let untracked = u8::from(self.random.one_in(6));
                let insert = format!(
                    "insert into key_value_all(key, value, lixcol_version_id, lixcol_untracked)
                     values ('{key}', {number}, '{version}', {untracked})"
                );
                if self.random.one_in(2) || !self.attempt(insert) {
                    self.attempt(format!(
                        "update key_value_all set value = {number}, lixcol_untracked = {untracked}
                         where key = '{key}' and lixcol_version_id = '{version}'"
                    ));
                }
            }
            9..=12 => {
                self.attempt(format!(
                    "delete from key_value_all where key = '{key}' and lixcol_version_id = '{version}'"
                ));
            }
            13..=14 => {
                let id = format!("v{number}");
                let from = if self.random.one_in(3) {
                    format!("\"from_commit\": \"{}\"", self.commit())
                } else {
                    format!("\"from\": \"{version}\"")
                };
                let parent = match self.random.below(3) {
                    0 => "null".to_owned(),
                    1 => "\"global\"".to_owned(),
                    _ => format!("\"{}\"", self.version()),
                };
                if self.attempt(format!(
                    "select * from lix_create_version('{{\"id\": \"{id}\", {from}, \"inherits_from\": {parent}}}')"
                )) {
                    self.versions.push(id);
                }
            }
            15..=16 => {
                let target = self.version();
                self.attempt(format!(
                    "select * from lix_merge_version('{{\"source\": \"{version}\", \"target\": \"{target}\"}}')"
                ));
            }
            17 => {
                let to = self.commit();
                self.attempt(format!(
                    "select * from lix_transition('{{\"to\": \"{to}\", \"version\": \"{version}\"}}')"
                ));
            }
            18..=19 => {
                self.attempt("select * from lix_create_checkpoint()".into());
            }
            20..=21 => {
                self.attempt(format!("update active_version set version_id = '{version}'"));
            }
            22 => match self.random.below(3) {
                0 => {
                    self.attempt(format!(
                        "update version set name = 'n{number}' where id = '{version}'"
                    ));
                }
                1 => {
                    let parent = self.version();
                    self.attempt(format!(
                        "update version set inherits_from_version_id = '{parent}' where id = '{version}'"
                    ));
                }
                _ => {
                    self.attempt(format!("delete from version where id = '{version}' and name <> 'main' and id <> 'global'"));
                }
            },
            23 => {
                self.attempt(format!(
                    "select * from lix_create_account('{{\"id\": \"acc{number}\", \"name\": \"n\"}}')"
                ));
                self.attempt(format!(
                    "select * from lix_switch_account('{{\"to\": [\"acc{number}\"]}}')"
                ));
            }
            24 => {
                let (parent, other) = (self.commit(), self.commit());
                self.attempt(format!(
                    "insert into commit_all(id, change_set_id, parent_commit_ids, lixcol_version_id)
                     values ('u{number}', 'us{number}', '[\"{parent}\"]', '{version}')"
                ));
                self.attempt(format!(
                    "update commit_all set parent_commit_ids = '[\"{other}\", \"{parent}\"]'
                     where id like 'u%' and lixcol_version_id = '{version}' and lixcol_untracked = 0"
                ));
            }
            25 => {
                let change = "select id from change where schema_key = 'lix_key_value' order by id desc limit 1";
                self.attempt(format!(
                    "select * from lix_create_change_set((select json_object('id', 's{number}', 'version', 'global', 'elements',
                       json_array(json_object('change_id', id, 'entity_id', entity_id, 'schema_key', schema_key, 'file_id', file_id)))
                     from change where id = ({change})))"
                ));
                self.attempt(format!(
                    "select * from lix_apply_change_set('{{\"id\": \"s{number}\"}}')"
                ));
            }
            26..=27 => {
                if self.is_open {
                    let end = if self.random.one_in(4) { "rollback" } else { "commit" };
                    self.is_open = false;
                    self.attempt(end.into());
                } else {
                    self.is_open = true;
                    self.attempt("begin".into());
                }
            }
            _ => {
                if self.is_open {
                    self.attempt("savepoint s".into());
                    for _ in 0..self.random.below(4) {
                        self.attempt(format!(
                            "insert into key_value_all(key, value, lixcol_version_id) values ('{key}{number}', 1, '{version}')"
                        ));
                    }
                    self.attempt("rollback to s".into());
                    self.attempt("release s".into());
                }
            }
        }
    }
}
