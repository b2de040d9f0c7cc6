//! Random work on several versions, held against the simplest way to say what has to come out:
//! what a version showed at each of its commits is remembered, and differences are looked for row
//! by row.

use std::collections::{BTreeMap, HashMap};

use crate::random::{Random, setting};
use crate::script::Lix;

/// What a version holds itself: change by key, tombstones left out.
type Own = BTreeMap<String, String>;

struct Branches {
    lix: Lix,
    random: Random,
    versions: Vec<String>,
    /// What the version showed whose tip this commit was.
    at: HashMap<String, Own>,
    commits: Vec<String>,
    /// What a version was at its last checkpoint, or where it began.
    checkpoints: HashMap<String, Own>,
    steps: Vec<String>,
}

impl Branches {
    fn new(seed: u64) -> Self {
        let mut lix = Lix::new();
        // The platform of these tests knows too few random ids.
        lix.run(
            r#"insert into key_value_all (key, value, lixcol_version_id)
               values ('lix_deterministic_mode', '{"enabled": true}', 'global')"#,
        );
        let main = lix.main();
        let mut branches = Self {
            lix,
            random: Random::new(seed),
            versions: vec!["global".into(), main.clone()],
            at: HashMap::new(),
            commits: Vec::new(),
            checkpoints: HashMap::from([(main, Own::new())]),
            steps: vec![format!("seed {seed}")],
        };
        branches.remember();
        branches
    }

    fn run(&mut self, sql: String) -> Vec<String> {
        let result = self.lix.host.try_exec(&sql);
        self.steps.push(sql);
        match result {
            Ok(answer) => crate::host::rows(&answer),
            Err(error) => panic!("{error:?} after\n{}", self.steps.join(";\n")),
        }
    }

    fn version(&mut self) -> String {
        let index = self.random.below(self.versions.len());
        self.versions[index].clone()
    }

    fn commit(&mut self) -> String {
        let index = self.random.below(self.commits.len());
        self.commits[index].clone()
    }

    /// Key → change, of what a version holds itself.
    fn own(&mut self, version: &str) -> Own {
        let rows = self.lix.rows(&format!(
            "select entity_id, change_id from state_all where version_id = '{version}'
             and schema_key = 'lix_key_value' and inherited_from_version_id is null"
        ));
        rows.iter()
            .map(|row| row.replace('\'', ""))
            .map(|row| {
                row.split_once(" | ").map(|(key, change)| (key.into(), change.into())).unwrap()
            })
            .collect()
    }

    fn tip(&mut self, version: &str) -> String {
        self.lix.one(&format!("select commit_id from version where id = '{version}'"))
    }

    fn remember(&mut self) {
        for version in self.versions.clone() {
            let tip = self.tip(&version);
            if self.at.contains_key(&tip) && version == "global" {
                continue;
            }
            let own = self.own(&version);
            if !self.at.contains_key(&tip) {
                self.commits.push(tip.clone());
                self.at.insert(tip.clone(), own.clone());
            }
            self.expect(&own, &self.at[&tip], "a version shows what its tip showed");
        }
    }

    #[track_caller]
    fn expect<T: PartialEq + std::fmt::Debug>(&self, found: &T, expected: &T, what: &str) {
        assert!(
            found == expected,
            "{what}:\n  found    {found:?}\n  expected {expected:?}\nafter\n{}",
            self.steps.join(";\n")
        );
    }

    /// Entity, status and changes of every difference, from the rows that both versions show.
    fn naive_diff(&mut self, source: &str, target: &str) -> Vec<String> {
        self.lix.rows(&format!(
            "with s as (select * from state_with_tombstones where version_id = '{source}' and schema_key = 'lix_key_value'),
                  t as (select * from state_all where version_id = '{target}' and schema_key = 'lix_key_value')
             select * from (
               select s.entity_id, t.change_id, s.change_id,
                 case when s.snapshot_content is null then case when t.entity_id is not null then 'removed' end
                      when t.entity_id is null then 'added'
                      when t.change_id <> s.change_id then 'modified' end as status
               from s left join t on t.entity_id = s.entity_id and t.file_id = s.file_id)
             where status is not null order by 1"
        ))
    }

    fn diff(&mut self, source: &str, target: &str, status: &str) -> Vec<String> {
        self.lix.rows(&format!(
            "select entity_id, before_change_id, after_change_id, status
             from lix_version_diff('{{\"source\": \"{source}\", \"target\": \"{target}\"}}')
             where schema_key = 'lix_key_value' and {status} <> 'unchanged' order by 1"
        ))
    }

    fn write(&mut self) {
        let transaction = self.random.one_in(4);
        if transaction {
            self.run("begin".into());
        }
        for _ in 0..=self.random.below(if transaction { 4 } else { 1 }) {
            let version = self.version();
            let key = ["a", "b", "c", "d", "e"][self.random.below(5)];
            if self.random.one_in(3) {
                self.run(format!(
                    "delete from state_all where version_id = '{version}' and entity_id = '{key}' and schema_key = 'lix_key_value'"
                ));
            } else {
                let value = self.random.below(1000);
                self.run(format!(
                    "select * from lix_set_key_values('{{\"key_values\": [{{\"key\": \"{key}\", \"value\": {value}, \"version\": \"{version}\"}}]}}')"
                ));
            }
        }
        if transaction {
            self.run("commit".into());
        }
    }

    fn create(&mut self) {
        let id = format!("v{}", self.versions.len());
        let parent = match self.random.below(4) {
            0 => "null".into(),
            1 => format!("\"{}\"", self.version()),
            _ => "\"global\"".into(),
        };
        let commit = match self.random.one_in(2) {
            true => self.commit(),
            false => {
                let version = self.version();
                self.tip(&version)
            }
        };
        self.run(format!(
            "select * from lix_create_version('{{\"id\": \"{id}\", \"from_commit\": \"{commit}\", \"inherits_from\": {parent}}}')"
        ));
        let own = self.own(&id);
        self.expect(&own, &self.at[&commit], "a new version shows its commit");
        self.checkpoints.insert(id.clone(), own);
        self.versions.push(id);
    }

    fn merge(&mut self) {
        let (source, target) = (self.version(), self.version());
        let differences = self.naive_diff(&source, &target);
        let found = self.diff(&source, &target, "status");
        self.expect(&found, &differences, "differences");
        let whole = self.diff(&source, &target, "(status || '')");
        self.expect(&whole, &differences, "differences, from all rows");
        let merge = format!(
            "select * from lix_merge_version('{{\"source\": \"{source}\", \"target\": \"{target}\"}}')"
        );
        let merged = self.run(merge.clone());
        let is_nothing = merged == ["NULL"];
        // Other entities than key values may differ, where a version does not inherit them.
        let misses_something = is_nothing && !differences.is_empty();
        self.expect(&misses_something, &false, "a merge of differences");
        let left = self.naive_diff(&source, &target);
        self.expect(&left, &Vec::new(), "differences after the merge");
        let again = self.run(merge);
        self.expect(&again, &vec!["NULL".into()], "the second merge");
    }

    fn transition(&mut self) {
        let (version, to) = (self.version(), self.commit());
        self.run(format!(
            "select * from lix_transition('{{\"to\": \"{to}\", \"version\": \"{version}\"}}')"
        ));
        let own = self.own(&version);
        self.expect(&own, &self.at[&to], "a version is what it was");
    }

    fn checkpoint(&mut self) {
        let version = self.version();
        self.run(format!("select * from lix_switch_version('{{\"to\": \"{version}\"}}')"));
        self.run("select * from lix_create_checkpoint()".into());
        let own = self.own(&version);
        if version != "global" {
            self.checkpoints.insert(version, own);
        }
    }

    /// The working diff of a version, against what it was.
    fn check_work(&mut self, version: &str) {
        let Some(before) = self.checkpoints.get(version).cloned() else { return };
        let now = self.own(version);
        let found = self.lix.rows(&format!(
            "select entity_id || ' ' || status from lix_working_diff('{{\"version\": \"{version}\"}}')
             where status <> 'unchanged' and schema_key = 'lix_key_value' order by 1"
        ));
        let found: Vec<String> = found.iter().map(|row| row.replace('\'', "")).collect();
        let mut expected = Vec::new();
        for key in before.keys().chain(now.keys().filter(|key| !before.contains_key(*key))) {
            let status = match (before.get(key), now.get(key)) {
                (Some(_), None) => "removed",
                (None, Some(_)) => "added",
                (Some(before), Some(now)) if before != now => "modified",
                _ => continue,
            };
            expected.push(format!("{key} {status}"));
        }
        expected.sort();
        self.expect(&found, &expected, &format!("work of {version}"));
    }

    fn step(&mut self) {
        match self.random.below(12) {
            0 if self.versions.len() < 7 => self.create(),
            1 | 2 => self.merge(),
            3 => self.transition(),
            4 => self.checkpoint(),
            5 => {
                // What is rolled back leaves nothing.
                self.run("begin".into());
                let (count, steps) = (self.versions.len(), self.random.below(3));
                for _ in 0..=steps {
                    match self.random.below(3) {
                        0 => {
                            let (source, target) = (self.version(), self.version());
                            self.run(format!(
                                "select * from lix_merge_version('{{\"source\": \"{source}\", \"target\": \"{target}\"}}')"
                            ));
                        }
                        1 => {
                            self.run(format!(
                                "select * from lix_create_version('{{\"id\": \"v{count}\"}}')"
                            ));
                            break;
                        }
                        _ => {
                            self.run("select * from lix_create_checkpoint()".into());
                        }
                    }
                }
                self.run("rollback".into());
            }
            _ => self.write(),
        }
        self.remember();
        let version = self.version();
        self.check_work(&version);
    }
}

#[test]
fn versions_show_what_they_should() {
    let (from, count) = (setting("LIX_SEED", 0), setting("LIX_SEQUENCES", 12));
    for seed in from..from + count {
        let mut branches = Branches::new(seed);
        for _ in 0..30 {
            branches.step();
        }
        // Everything again, from the changes.
        let before: Vec<Own> =
            branches.versions.clone().iter().map(|version| branches.own(version)).collect();
        branches.run("select * from lix_rebuild()".into());
        let after: Vec<Own> =
            branches.versions.clone().iter().map(|version| branches.own(version)).collect();
        branches.expect(&after, &before, "a rebuild");
        for version in branches.versions.clone() {
            branches.check_work(&version);
        }
    }
}
