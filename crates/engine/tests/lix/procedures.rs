//! Procedures: chapters 16 to 19, 22, 23 and 26.2, by what they leave in the tables.

use lix_engine_protocol::Reason;

use crate::script::Lix;

impl Lix {
    /// The rows of a procedure's call.
    fn call(&mut self, procedure: &str, options: &str) -> Vec<String> {
        self.rows(&format!("select * from lix_{procedure}('{options}')"))
    }

    fn tip(&mut self, version: &str) -> String {
        self.one(&format!("select commit_id from version where '{version}' in (id, name)"))
    }

    /// What a version has of key values, own or inherited.
    fn key_values(&mut self, version: &str) -> String {
        self.rows(&format!(
            "select key || '=' || value from key_value_all
             where lixcol_version_id = (select id from version where '{version}' in (id, name))
               and key not like 'lix~_%' escape '~' order by key"
        ))
        .join(" ")
        .replace('\'', "")
    }

    fn set(&mut self, version: &str, key: &str, value: &str) {
        self.run(&format!(
            "select * from lix_set_key_values(json_object('key_values', json_array(json_object(
               'key', '{key}', 'value', '{value}',
               'version', (select id from version where '{version}' in (id, name))))))"
        ));
    }

    fn remove(&mut self, version: &str, key: &str) {
        self.run(&format!(
            "delete from key_value_all where key = '{key}'
             and lixcol_version_id = (select id from version where '{version}' in (id, name))"
        ));
    }

    /// What a diff reports of key values, without what is unchanged.
    fn changed(&mut self, diff: &str) -> String {
        self.rows(&format!(
            "select entity_id || ' ' || status from {diff}
             where status <> 'unchanged' and schema_key = 'lix_key_value' order by 1"
        ))
        .join(", ")
        .replace('\'', "")
    }

    /// The commits on which a version's tip stands, by their parents.
    fn parents(&mut self, commit: &str) -> Vec<String> {
        let sql = format!(
            "select p.value from \"commit\" c, json_each(c.parent_commit_ids) p where c.id = '{commit}' order by p.key"
        );
        self.rows(&sql).iter().map(|id| id.replace('\'', "")).collect()
    }
}

mod calls {
    use super::*;

    #[test]
    fn an_argument_may_be_left_out_where_nothing_is_required() {
        let mut lix = Lix::new();
        for call in ["lix_working_diff", "lix_working_diff()", "lix_working_diff('{}')"] {
            lix.run(&format!("select * from {call}"));
        }
        lix.fails(
            "select * from lix_switch_version",
            Reason::OptionInvalid,
            "option to is missing",
        );
        lix.fails("select * from lix_working_diff(null)", Reason::OptionInvalid, "not NULL");
        lix.fails("select * from lix_working_diff(1)", Reason::OptionInvalid, "JSON object");
        lix.fails("select * from lix_working_diff('[]')", Reason::OptionInvalid, "JSON object");
        lix.fails(
            "select * from lix_create_checkpoint('{\"to\": 1}')",
            Reason::OptionInvalid,
            "option to is unknown; there are no options",
        );
    }

    #[test]
    fn an_argument_can_come_from_a_table_and_runs_once_per_row() {
        let mut lix = Lix::new();
        assert_eq!(
            lix.rows(
                "select l.name from json_each('[\"x\", \"y\"]') j,
                   lix_create_label(json_object('name', j.value)) l"
            ),
            ["'x'", "'y'"]
        );
        assert_eq!(
            lix.rows(
                "select name from label where lixcol_inherited_from_version_id is null order by 1"
            ),
            ["'x'", "'y'"]
        );
    }

    #[test]
    fn a_call_that_fails_leaves_nothing() {
        let mut lix = Lix::new();
        let before = lix.one("select count(*) from change");
        let tip = lix.tip("global");
        // The thread is written before its comment turns out to be none.
        let call = r#"select * from lix_create_thread('{"id": "t", "comments": [{"body": {"type": "nope"}}]}')"#;
        lix.fails(call, Reason::SchemaMismatch, "lix_thread_comment");
        lix.run("begin");
        lix.set("main", "kept", "1");
        lix.fails(call, Reason::SchemaMismatch, "lix_thread_comment");
        assert_eq!(lix.rows("select * from thread"), [""; 0]);
        lix.run("commit");
        assert_eq!(lix.key_values("main"), "kept=1");
        assert_eq!(lix.one(&format!("select count(*) - {before} from change")), "3");
        assert_eq!(lix.tip("global"), tip);
    }

    #[test]
    fn a_call_explained_is_not_made() {
        let mut lix = Lix::new();
        lix.run("explain select * from lix_create_label('{\"name\": \"x\"}')");
        lix.run("explain query plan select * from lix_create_label('{\"name\": \"x\"}')");
        assert_eq!(lix.rows("select * from label where name = 'x'"), [""; 0]);
    }

    #[test]
    fn rolling_back_takes_calls_back() {
        let mut lix = Lix::new();
        lix.set("main", "a", "1");
        let (main, global) = (lix.tip("main"), lix.tip("global"));
        lix.run("savepoint s");
        lix.call("create_version", r#"{"id": "draft"}"#);
        lix.set("draft", "a", "2");
        lix.call("merge_version", r#"{"source": "draft"}"#);
        lix.call("create_checkpoint", "{}");
        assert_eq!(lix.key_values("main"), "a=2");
        lix.run("rollback to s");
        assert_eq!(lix.key_values("main"), "a=1");
        assert_eq!((lix.tip("main"), lix.tip("global")), (main, global));
        lix.run("release s");
        assert_eq!(lix.rows("select id from version where id = 'draft'"), [""; 0]);
        assert_eq!(lix.changed("lix_working_diff()"), "a added");
        lix.call("create_version", r#"{"id": "draft"}"#);
        assert_eq!(lix.key_values("draft"), "a=1");
    }
}

mod versions {
    use super::*;

    #[test]
    fn a_new_version_is_one_commit_of_four_changes_on_global() {
        let mut lix = Lix::new();
        lix.set("main", "a", "1");
        let (main, global) = (lix.tip("main"), lix.tip("global"));
        let changes = lix.one("select count(*) from change");
        assert_eq!(
            lix.rows(
                r#"select id, name, inherits_from_version_id, hidden from lix_create_version('{"id": "draft", "name": "Draft"}')"#
            ),
            ["'draft' | 'Draft' | 'global' | 0"]
        );
        let made = lix.tip("global");
        assert_ne!(made, global);
        assert_eq!(lix.parents(&made), [global]);
        assert_eq!(
            lix.rows(&format!(
                "select x.schema_key from \"commit\" c, json_each(c.change_ids) m join change x on x.id = m.value
                 where c.id = '{made}' order by 1"
            )),
            ["'lix_change_set'", "'lix_commit'", "'lix_version_descriptor'", "'lix_version_tip'"]
        );
        assert_eq!(lix.one(&format!("select count(*) - {changes} from change")), "6");
        assert_eq!((lix.tip("main"), lix.tip("draft")), (main.clone(), main));
        assert_eq!(
            lix.rows(
                "select key, value, lixcol_inherited_from_version_id from key_value_all
                 where lixcol_version_id = 'draft' and key = 'a'"
            ),
            ["'a' | '1' | NULL"],
            "as a row of its own"
        );
        assert_eq!(
            lix.rows(
                "select c.change_ids, c.parent_commit_ids from version v join \"commit\" c on c.id = v.working_commit_id
                 where v.id = 'draft'"
            ),
            ["'[]' | '[]'"]
        );
    }

    #[test]
    fn it_shows_the_commit_it_starts_from() {
        let mut lix = Lix::new();
        lix.set("main", "a", "1");
        lix.set("main", "gone", "1");
        let then = lix.tip("main");
        lix.set("main", "a", "2");
        lix.set("main", "b", "1");
        lix.remove("main", "gone");
        lix.call("create_version", &format!(r#"{{"id": "old", "from_commit": "{then}"}}"#));
        lix.call("create_version", r#"{"id": "new"}"#);
        lix.call("create_version", r#"{"id": "of-old", "from": "old"}"#);
        assert_eq!(lix.key_values("old"), "a=1 gone=1");
        assert_eq!(lix.key_values("new"), "a=2 b=1");
        assert_eq!(lix.key_values("of-old"), "a=1 gone=1");
        lix.set("old", "a", "9");
        lix.set("main", "b", "2");
        assert_eq!(lix.key_values("of-old"), "a=1 gone=1");
        assert_eq!(lix.key_values("new"), "a=2 b=1");
        assert_eq!(lix.tip("of-old"), then);
    }

    #[test]
    fn it_inherits_what_it_is_told_to() {
        let mut lix = Lix::new();
        lix.set("global", "g", "1");
        lix.call("create_version", r#"{"id": "alone", "inherits_from": null}"#);
        lix.call("create_version", r#"{"id": "parent"}"#);
        lix.call("create_version", r#"{"id": "child", "inherits_from": "parent"}"#);
        lix.set("parent", "p", "1");
        lix.remove("parent", "g");
        assert_eq!(lix.key_values("alone"), "");
        assert_eq!(lix.key_values("child"), "p=1");
        assert_eq!(lix.key_values("main"), "g=1");
        assert_eq!(
            lix.rows("select id, inherits_from_version_id from version where id in ('alone', 'child') order by 1"),
            ["'alone' | NULL", "'child' | 'parent'"]
        );
    }

    #[test]
    fn what_is_wrong_with_a_new_version() {
        let mut lix = Lix::with_draft();
        let before = lix.one("select count(*) from change");
        for (options, reason, message) in [
            (
                r#"{"from": "nope"}"#,
                Reason::VersionUnknown,
                "Version with id 'nope' does not exist",
            ),
            (r#"{"inherits_from": "nope"}"#, Reason::VersionUnknown, "'nope'"),
            (
                r#"{"from_commit": "nope"}"#,
                Reason::OptionInvalid,
                "Commit with id 'nope' does not exist",
            ),
            (
                r#"{"from": "draft", "from_commit": "x"}"#,
                Reason::OptionInvalid,
                "together with from",
            ),
            (r#"{"id": "draft"}"#, Reason::PrimaryKey, "Primary key constraint violation"),
            (r#"{"id": ""}"#, Reason::OptionInvalid, "non-empty"),
        ] {
            lix.fails(&format!("select * from lix_create_version('{options}')"), reason, message);
        }
        assert_eq!(lix.one("select count(*) from change"), before);
    }

    #[test]
    fn an_id_that_is_used_again_goes_in_no_circles() {
        let mut lix = Lix::new();
        lix.call("create_version", r#"{"id": "b"}"#);
        lix.set("b", "k", "b");
        lix.call("create_version", r#"{"id": "a", "from": "b"}"#);
        lix.run("delete from version where id = 'b'");
        assert_eq!(lix.key_values("a"), "k=b");
        lix.set("a", "l", "a");
        lix.call("create_version", r#"{"id": "b", "from": "a"}"#);
        assert_eq!(lix.key_values("b"), "k=b l=a");
        lix.set("b", "k", "new");
        assert_eq!(
            lix.changed(r#"lix_version_diff('{"source": "b", "target": "a"}')"#),
            "k modified"
        );
        lix.call("merge_version", r#"{"source": "b", "target": "a"}"#);
        assert_eq!(lix.key_values("a"), "k=new l=a");
    }

    #[test]
    fn switching_makes_no_commit() {
        let mut lix = Lix::with_draft();
        let global = lix.tip("global");
        let changes = lix.one("select count(*) from change");
        lix.set("draft", "a", "1");
        assert_eq!(lix.rows("select value from key_value where key = 'a'"), [""; 0]);
        assert_eq!(lix.call("switch_version", r#"{"to": "draft"}"#), ["'draft'"]);
        assert_eq!(lix.one("select lix_active_version_id()"), "draft");
        assert_eq!(lix.one("select value from key_value where key = 'a'"), "1");
        lix.fails(
            "select * from lix_switch_version('{\"to\": \"nope\"}')",
            Reason::VersionUnknown,
            "Version with id 'nope' does not exist",
        );
        assert_eq!(lix.tip("global"), global);
        assert_eq!(lix.one(&format!("select count(*) - {changes} from change")), "3");
    }
}

mod merge {
    use super::*;

    /// main has a, b, c; draft starts there, changes a, deletes b, adds d.
    fn forked() -> Lix {
        let mut lix = Lix::new();
        for key in ["a", "b", "c"] {
            lix.set("main", key, "base");
        }
        lix.call("create_version", r#"{"id": "draft", "name": "draft"}"#);
        lix.set("draft", "a", "draft");
        lix.remove("draft", "b");
        lix.set("draft", "d", "draft");
        lix
    }

    #[test]
    fn takes_the_changes_of_the_source() {
        let mut lix = forked();
        lix.set("main", "e", "main");
        let (main, draft, global) = (lix.tip("main"), lix.tip("draft"), lix.tip("global"));
        assert_eq!(
            lix.changed(r#"lix_version_diff('{"source": "draft"}')"#),
            "a modified, b removed, d added"
        );
        let commit = lix.call("merge_version", r#"{"source": "draft"}"#).join("").replace('\'', "");
        assert_eq!(lix.key_values("main"), "a=draft c=base d=draft e=main");
        assert_eq!(lix.key_values("draft"), "a=draft c=base d=draft");
        assert_eq!(lix.tip("main"), commit);
        assert_eq!(lix.parents(&commit), [main, draft.clone()]);
        assert_eq!((lix.tip("draft"), lix.tip("global")), (draft, global));
        assert_eq!(
            lix.rows(&format!(
                "select m.entity_id, m.change_id = d.change_id, m.commit_id = '{commit}'
                 from state m join state_all d on d.entity_id = m.entity_id and d.version_id = 'draft'
                 where m.schema_key = 'lix_key_value' and m.entity_id in ('a', 'c', 'd') order by 1"
            )),
            ["'a' | 1 | 1", "'c' | 1 | 0", "'d' | 1 | 1"]
        );
        // Two that exist already and one deletion; whoever made them is their author.
        assert_eq!(
            lix.rows(&format!(
                "select json_array_length(change_ids), author_account_ids from \"commit\" where id = '{commit}'"
            )),
            ["3 | '[]'"]
        );
        assert_eq!(lix.changed(r#"lix_version_diff('{"source": "draft"}')"#), "");
    }

    #[test]
    fn again_or_with_itself_does_nothing() {
        let mut lix = forked();
        lix.call("merge_version", r#"{"source": "draft"}"#);
        let (main, changes) = (lix.tip("main"), lix.one("select count(*) from change"));
        assert_eq!(lix.call("merge_version", r#"{"source": "draft"}"#), ["NULL"]);
        assert_eq!(
            lix.call("merge_version", r#"{"source": "draft", "target": "draft"}"#),
            ["NULL"]
        );
        assert_eq!(lix.tip("main"), main);
        assert_eq!(lix.one("select count(*) from change"), changes);
        lix.fails(
            "select * from lix_merge_version('{\"source\": \"nope\", \"target\": \"nope\"}')",
            Reason::VersionUnknown,
            "'nope'",
        );
    }

    #[test]
    fn back_and_forth() {
        let mut lix = forked();
        lix.call("merge_version", r#"{"source": "draft"}"#);
        lix.set("main", "a", "main");
        lix.run("select * from lix_merge_version(json_object('source', lix_active_version_id(), 'target', 'draft'))");
        assert_eq!(lix.key_values("draft"), lix.key_values("main"));
        assert_eq!(lix.key_values("draft"), "a=main c=base d=draft");
        lix.remove("draft", "a");
        lix.call("merge_version", r#"{"source": "draft"}"#);
        assert_eq!(lix.key_values("main"), "c=base d=draft");
    }

    #[test]
    fn counts_as_work_and_commits_by_itself() {
        let mut lix = forked();
        lix.call("create_checkpoint", "{}");
        assert_eq!(lix.changed("lix_working_diff()"), "");
        lix.call("merge_version", r#"{"source": "draft"}"#);
        assert_eq!(lix.changed("lix_working_diff()"), "a modified, b removed, d added");
    }

    #[test]
    fn inside_a_transaction_of_both_versions() {
        let mut lix = forked();
        lix.run("begin");
        lix.set("draft", "x", "open");
        lix.set("main", "y", "open");
        let commit = lix.call("merge_version", r#"{"source": "draft"}"#).join("").replace('\'', "");
        lix.set("main", "z", "after");
        lix.run("commit");
        assert_eq!(lix.key_values("main"), "a=draft c=base d=draft x=open y=open z=after");
        let tip = lix.tip("main");
        assert_eq!(lix.parents(&tip), [commit]);
        assert_eq!(lix.rows("select 1 from state_all where commit_id = 'pending'"), [""; 0]);
    }

    #[test]
    fn untracked_rows_take_no_part() {
        let mut lix = forked();
        let mut untracked = |version: &str, key: &str| {
            lix.run(&format!(
                "select * from lix_set_key_values(json_object('key_values', json_array(json_object(
                   'key', '{key}', 'value', 'untracked', 'untracked', json('true'),
                   'version', (select id from version where '{version}' in (id, name))))))"
            ));
        };
        untracked("draft", "u");
        untracked("draft", "a");
        untracked("draft", "c");
        untracked("main", "d");
        untracked("main", "c");
        assert_eq!(
            lix.changed(r#"lix_version_diff('{"source": "draft"}')"#),
            "a modified, b removed, d added"
        );
        lix.call("merge_version", r#"{"source": "draft"}"#);
        assert_eq!(
            lix.key_values("main"),
            "a=draft c=untracked d=draft",
            "what lies under the source's; the target's give way where the merge writes"
        );
        assert_eq!(lix.call("merge_version", r#"{"source": "draft"}"#), ["NULL"]);
    }

    #[test]
    fn a_deletion_of_what_the_target_does_not_have_is_none() {
        let mut lix = forked();
        lix.remove("main", "b");
        lix.set("draft", "short", "1");
        lix.remove("draft", "short");
        assert_eq!(
            lix.changed(r#"lix_version_diff('{"source": "draft"}')"#),
            "a modified, d added"
        );
    }

    #[test]
    fn what_the_source_never_knew_stays() {
        let mut lix = Lix::new();
        lix.set("main", "a", "1");
        lix.call("create_version", r#"{"id": "draft", "name": "draft"}"#);
        lix.set("main", "b", "1");
        assert_eq!(lix.call("merge_version", r#"{"source": "draft"}"#), ["NULL"]);
        assert_eq!(lix.key_values("main"), "a=1 b=1");
    }

    #[test]
    fn inherited_rows_take_part() {
        let mut lix = Lix::new();
        lix.set("global", "theme", "light");
        lix.call("create_version", r#"{"id": "draft", "name": "draft"}"#);
        lix.remove("draft", "theme");
        assert_eq!(lix.key_values("draft"), "");
        lix.call("merge_version", r#"{"source": "draft"}"#);
        assert_eq!(lix.key_values("main"), "");
        assert_eq!(lix.key_values("global"), "theme=light");

        lix.call("create_version", r#"{"id": "parent", "name": "parent"}"#);
        lix.set("parent", "p", "1");
        lix.call(
            "create_version",
            r#"{"id": "child", "inherits_from": "parent", "from": "draft"}"#,
        );
        lix.call("merge_version", r#"{"source": "child"}"#);
        assert_eq!(lix.key_values("main"), "p=1");
        lix.set("parent", "p", "2");
        assert_eq!(lix.key_values("main"), "p=1", "a row of its own now");
    }

    #[test]
    fn into_a_version_without_parent() {
        let mut lix = Lix::new();
        lix.set("main", "a", "1");
        lix.set("global", "g", "1");
        let first = lix.one("select c.id from \"commit\" c join version v on v.id = 'global' where c.id = v.commit_id");
        lix.call("create_version", r#"{"id": "alone", "name": "alone", "inherits_from": null}"#);
        lix.remove("alone", "a");
        assert_ne!(first, "");
        lix.run("select * from lix_merge_version(json_object('source', lix_active_version_id(), 'target', 'alone'))");
        assert_eq!(lix.key_values("alone"), "a=1 g=1");
        assert_eq!(
            lix.rows(
                "select distinct schema_key from state_all where version_id = 'alone'
                 and schema_key in ('lix_commit', 'lix_version_tip', 'lix_version_descriptor')"
            ),
            [""; 0],
            "versions and commits stay where they are"
        );
    }
}

mod diff {
    use super::*;

    #[test]
    fn has_a_row_for_what_either_shows() {
        let mut lix = Lix::new();
        let main = lix.main();
        lix.set("main", "same", "1");
        lix.set("main", "other", "1");
        lix.set("main", "gone", "1");
        lix.call("create_version", r#"{"id": "draft"}"#);
        lix.set("draft", "other", "2");
        lix.remove("draft", "gone");
        lix.set("draft", "new", "1");
        lix.set("main", "late", "1");
        let change = |version: &str, key: &str| {
            format!(
                "(select change_id from state_with_tombstones where version_id = '{version}' and entity_id = '{key}')"
            )
        };
        let rows = |lix: &mut Lix, key: &str, before: &str, after: &str| {
            lix.rows(&format!(
                "select status, before_version_id = {before}, after_version_id = {after},
                        before_change_id = {}, after_change_id = {}
                 from lix_version_diff('{{\"source\": \"draft\"}}')
                 where entity_id = '{key}' and schema_key = 'lix_key_value' and file_id = 'lix'",
                change(before.trim_matches('\''), key),
                change(after.trim_matches('\''), key)
            ))
        };
        let main = format!("'{main}'");
        assert_eq!(rows(&mut lix, "same", &main, "'draft'"), ["'unchanged' | 1 | 1 | 1 | 1"]);
        assert_eq!(rows(&mut lix, "other", &main, "'draft'"), ["'modified' | 1 | 1 | 1 | 1"]);
        assert_eq!(rows(&mut lix, "gone", &main, "'draft'"), ["'removed' | 1 | 1 | 1 | 1"]);
        assert_eq!(rows(&mut lix, "new", &main, "'draft'"), ["'added' | NULL | 1 | NULL | 1"]);
        assert_eq!(rows(&mut lix, "late", &main, &main), ["'unchanged' | 1 | 1 | 1 | 1"]);
        assert_eq!(
            lix.one("select count(*) from lix_version_diff('{\"source\": \"draft\"}')"),
            lix.one(
                "select count(*) from (select entity_id, schema_key, file_id from state_all
                     where untracked = 0 and version_id in ('draft', lix_active_version_id()) group by 1, 2, 3)"
            ),
        );
        assert_eq!(
            lix.one("select count(*) from lix_version_diff('{\"source\": \"draft\", \"target\": \"draft\"}') where status <> 'unchanged'"),
            "0"
        );
    }

    #[test]
    fn asking_for_a_status_gives_what_filtering_gives() {
        let mut lix = Lix::new();
        lix.set("main", "a", "1");
        lix.call("create_version", r#"{"id": "draft"}"#);
        lix.set("draft", "a", "2");
        lix.set("draft", "b", "2");
        let count = |lix: &mut Lix, term: &str| {
            lix.one(&format!(
                "select count(*) from lix_version_diff('{{\"source\": \"draft\"}}') where {term}"
            ))
        };
        for (term, whole) in [
            ("status <> 'unchanged'", "status || '' <> 'unchanged'"),
            ("status = 'added'", "status || '' = 'added'"),
            ("status is not 'unchanged'", "status || '' is not 'unchanged'"),
            ("status = 'unchanged'", "status || '' = 'unchanged'"),
            ("status <> 'added'", "status || '' <> 'added'"),
            ("status in ('added', 'modified')", "status || '' in ('added', 'modified')"),
            ("status in ('unchanged', 'modified')", "status || '' in ('unchanged', 'modified')"),
            ("status = null", "status || '' = null"),
            ("status is null", "status || '' is null"),
            ("status = 'UNCHANGED' collate nocase", "status || '' = 'unchanged'"),
            ("status <> 'unchanged' and status <> 'added'", "status || '' = 'modified'"),
            ("status not in ('unchanged', 'added')", "status || '' = 'modified'"),
            ("status < 'n'", "status || '' < 'n'"),
            ("status in (select 'unchanged')", "status || '' = 'unchanged'"),
            (
                "(status = 'added' or status = 'unchanged')",
                "status || '' in ('added', 'unchanged')",
            ),
        ] {
            assert_eq!(count(&mut lix, term), count(&mut lix, whole), "{term}");
        }
        assert_ne!(count(&mut lix, "status = 'unchanged'"), "0");
    }
}

mod transition {
    use super::*;

    #[test]
    fn restores_what_was() {
        let mut lix = Lix::new();
        lix.set("main", "a", "1");
        lix.set("main", "gone", "1");
        let then = lix.tip("main");
        lix.set("main", "a", "2");
        lix.set("main", "b", "1");
        lix.remove("main", "gone");
        let old = lix.tip("main");
        let rows = lix.call("transition", &format!(r#"{{"to": "{then}"}}"#));
        let now = lix.tip("main");
        assert_eq!(
            rows,
            [format!(
                "'{now}' | '{}'",
                lix.one(&format!("select change_set_id from \"commit\" where id = '{now}'"))
            )]
        );
        assert_eq!(lix.parents(&now), [old.clone(), then.clone()]);
        assert_eq!(lix.key_values("main"), "a=1 gone=1");
        // a and gone as they were, and a deletion: what did not change is not in it.
        assert_eq!(
            lix.one(&format!(
                "select json_array_length(change_ids) from \"commit\" where id = '{now}'"
            )),
            "3"
        );
        // The way back is another one.
        lix.call("transition", &format!(r#"{{"to": "{old}"}}"#));
        assert_eq!(lix.key_values("main"), "a=2 b=1");
        let tip = lix.tip("main");
        let changes = lix.one("select count(*) from change");
        assert_eq!(lix.call("transition", &format!(r#"{{"to": "{tip}"}}"#)).len(), 1);
        assert_eq!((lix.tip("main"), lix.one("select count(*) from change")), (tip, changes));
    }

    #[test]
    fn to_a_commit_of_another_line() {
        let mut lix = Lix::new();
        lix.set("main", "a", "1");
        lix.call("create_version", r#"{"id": "draft"}"#);
        lix.set("draft", "a", "2");
        lix.set("draft", "d", "1");
        lix.set("main", "m", "1");
        let draft = lix.tip("draft");
        lix.call("transition", &format!(r#"{{"to": "{draft}"}}"#));
        assert_eq!(lix.key_values("main"), "a=2 d=1");
        let main = lix.tip("main");
        lix.call("transition", &format!(r#"{{"to": "{main}", "version": "draft"}}"#));
        assert_eq!(lix.key_values("draft"), "a=2 d=1");
    }

    #[test]
    fn setting_the_tip_of_a_version_is_one() {
        let mut lix = Lix::new();
        lix.set("main", "a", "1");
        let then = lix.tip("main");
        lix.set("main", "a", "2");
        let old = lix.tip("main");
        lix.run(&format!("update version set commit_id = '{then}' where name = 'main'"));
        assert_eq!(lix.key_values("main"), "a=1");
        let now = lix.tip("main");
        assert_eq!(lix.parents(&now), [old, then]);
    }

    #[test]
    fn to_the_very_beginning_and_over_a_checkpoint() {
        let mut lix = Lix::new();
        let first = lix.tip("main");
        lix.set("main", "a", "1");
        lix.call("create_checkpoint", "{}");
        let checkpoint = lix.tip("main");
        lix.set("main", "a", "2");
        lix.set("main", "b", "2");
        lix.call("transition", &format!(r#"{{"to": "{checkpoint}"}}"#));
        assert_eq!(lix.key_values("main"), "a=1");
        assert_eq!(
            lix.changed("lix_working_diff()"),
            "",
            "nothing is different from the checkpoint"
        );
        lix.call("transition", &format!(r#"{{"to": "{first}"}}"#));
        assert_eq!(lix.key_values("main"), "");
        assert_eq!(lix.changed("lix_working_diff()"), "a removed");
    }

    #[test]
    fn of_global_unmakes_no_versions() {
        let mut lix = Lix::new();
        lix.set("global", "g", "1");
        let then = lix.tip("global");
        lix.set("global", "g", "2");
        lix.call("create_version", r#"{"id": "draft"}"#);
        lix.set("main", "a", "1");
        lix.call("create_checkpoint", "{}");
        let main = lix.tip("main");
        lix.call("transition", &format!(r#"{{"to": "{then}", "version": "global"}}"#));
        assert_eq!(lix.key_values("global"), "g=1");
        assert_eq!(lix.rows("select id from version where id = 'draft'"), ["'draft'"]);
        assert_eq!(lix.tip("main"), main);
        lix.set("draft", "d", "1");
        lix.set("main", "a", "2");
        lix.call("create_checkpoint", "{}");
    }

    #[test]
    fn what_is_wrong() {
        let mut lix = Lix::new();
        lix.fails(
            "select * from lix_transition('{\"to\": \"nope\"}')",
            Reason::OptionInvalid,
            "Commit with id 'nope' does not exist",
        );
        let tip = lix.tip("main");
        lix.fails(
            &format!(
                "select * from lix_transition('{{\"to\": \"{tip}\", \"version\": \"nope\"}}')"
            ),
            Reason::VersionUnknown,
            "Version with id 'nope' does not exist",
        );
    }
}

mod checkpoints {
    use super::*;

    fn working(lix: &mut Lix) -> String {
        lix.one("select working_commit_id from version where name = 'main'")
    }

    #[test]
    fn close_what_was_collected() {
        let mut lix = Lix::new();
        lix.set("main", "a", "1");
        lix.set("main", "a", "2");
        lix.set("main", "b", "1");
        lix.set("main", "c", "1");
        lix.remove("main", "c");
        let (tip, open, global) = (lix.tip("main"), working(&mut lix), lix.tip("global"));
        let row = lix.call("create_checkpoint", "{}");
        let set = lix.one(&format!("select change_set_id from \"commit\" where id = '{open}'"));
        assert_eq!(row, [format!("'{open}' | '{set}'")]);
        assert_eq!(lix.tip("main"), open);
        assert_eq!(lix.parents(&open), [tip]);
        let next = working(&mut lix);
        assert_eq!(lix.parents(&next), std::slice::from_ref(&open));
        let global_tip = lix.tip("global");
        assert_eq!(lix.parents(&global_tip), [global]);
        assert_eq!(
            lix.rows(&format!(
                "select x.entity_id, x.snapshot_content ->> 'value' from \"commit\" c, json_each(c.change_ids) m
                 join change x on x.id = m.value where c.id = '{open}' order by 1"
            )),
            ["'a' | '2'", "'b' | '1'"],
            "the last change of each; what came and went is not in it"
        );
        assert_eq!(
            lix.rows(&format!(
                "select entity_id from change_set_element where change_set_id = '{set}' and lixcol_untracked = 0 order by 1"
            )),
            ["'a'", "'b'"]
        );
        assert_eq!(
            lix.rows(&format!(
                "select l.name from entity_label e join label l on l.id = e.label_id
                 where e.entity_id = '{open}' and e.schema_key = 'lix_commit' and e.file_id = 'lix'"
            )),
            ["'checkpoint'"]
        );
        // Rows stay attributed to the commits that made them.
        assert_ne!(lix.one("select commit_id from state where entity_id = 'a'"), open);
        lix.set("main", "d", "1");
        let after = lix.tip("main");
        assert_eq!(lix.parents(&after), [open]);
    }

    #[test]
    fn everything_about_one_is_in_one_commit_of_global() {
        let mut lix = Lix::new();
        lix.set("main", "a", "1");
        let (global, commits) = (lix.tip("global"), lix.one("select count(*) from \"commit\""));
        lix.call("create_checkpoint", "{}");
        let made = lix.tip("global");
        assert_eq!(lix.parents(&made), [global]);
        // The commit of global, and the next working commit.
        assert_eq!(lix.one(&format!("select count(*) - {commits} from \"commit\"")), "2");
        let schemas = lix.rows(&format!(
            "select distinct x.schema_key from \"commit\" c, json_each(c.change_ids) m join change x on x.id = m.value
             where c.id = '{made}' order by 1"
        ));
        for schema in ["lix_change_set", "lix_commit", "lix_entity_label", "lix_version_descriptor"]
        {
            assert!(schemas.contains(&format!("'{schema}'")), "{schema} in {schemas:?}");
        }
        assert_eq!(
            lix.rows(
                "select json_type(snapshot_content, '$.hidden') from state_all
                 where schema_key = 'lix_version_descriptor' and version_id = 'global' order by 1"
            ),
            ["'false'", "'true'"],
            "booleans stay booleans"
        );
    }

    #[test]
    fn nothing_to_close_is_the_tip() {
        let mut lix = Lix::new();
        let tip = lix.tip("main");
        let before = lix.one("select count(*) from change");
        assert!(lix.call("create_checkpoint", "{}")[0].starts_with(&format!("'{tip}'")));
        lix.set("main", "a", "1");
        lix.remove("main", "a");
        let tip = lix.tip("main");
        assert!(lix.call("create_checkpoint", "{}")[0].starts_with(&format!("'{tip}'")));
        lix.set("main", "a", "1");
        lix.call("create_checkpoint", "{}");
        let (tip, changes) = (lix.tip("main"), lix.one("select count(*) from change"));
        assert_ne!(changes, before);
        assert!(lix.call("create_checkpoint", "{}")[0].starts_with(&format!("'{tip}'")));
        assert_eq!(lix.one("select count(*) from change"), changes);
    }

    #[test]
    fn the_working_diff_compares_with_the_state_at_the_last_one() {
        let mut lix = Lix::new();
        lix.set("main", "one", "1");
        assert_eq!(lix.changed("lix_working_diff()"), "one added");
        lix.call("create_checkpoint", "{}");
        lix.set("main", "two", "1");
        lix.call("create_checkpoint", "{}");
        for key in ["x", "y", "z"] {
            lix.set("main", key, "1");
        }
        lix.set("main", "one", "2");
        lix.remove("main", "two");
        lix.remove("main", "z");
        assert_eq!(
            lix.changed("lix_working_diff()"),
            "one modified, two removed, x added, y added"
        );
        let checkpoint = lix.one(
            "select p.parent_id from commit_edge p join version v on v.working_commit_id = p.child_id where v.name = 'main'",
        );
        let open = working(&mut lix);
        assert_eq!(
            lix.rows(
                "select entity_id, before_version_id, after_version_id, before_commit_id, after_commit_id
                 from lix_working_diff() where entity_id in ('one', 'two', 'x') order by 1"
            ),
            [
                format!("'one' | NULL | NULL | '{checkpoint}' | '{open}'"),
                format!("'two' | NULL | NULL | '{checkpoint}' | '{open}'"),
                format!("'x' | NULL | NULL | NULL | '{open}'"),
            ]
        );
        assert_eq!(
            lix.rows(
                "select d.entity_id, b.snapshot_content ->> 'value', a.snapshot_content is null
                 from lix_working_diff() d left join change b on b.id = d.before_change_id
                 join change a on a.id = d.after_change_id where d.entity_id in ('one', 'two') order by 1"
            ),
            ["'one' | '1' | 0", "'two' | '1' | 1"]
        );
    }

    #[test]
    fn what_did_not_change_is_listed_as_such() {
        let mut lix = Lix::new();
        lix.set("global", "inherited", "1");
        lix.set("main", "a", "1");
        lix.call("create_checkpoint", "{}");
        lix.run("select * from lix_set_key_values('{\"key_values\": [{\"key\": \"u\", \"value\": 1, \"untracked\": true}]}')");
        lix.set("main", "b", "1");
        assert_eq!(
            lix.rows("select entity_id, status, before_change_id = after_change_id from lix_working_diff() order by 1"),
            ["'a' | 'unchanged' | 1", "'b' | 'added' | NULL"]
        );
    }

    #[test]
    fn of_another_version() {
        let mut lix = Lix::new();
        lix.set("main", "a", "1");
        lix.call("create_version", r#"{"id": "draft"}"#);
        lix.set("draft", "a", "2");
        assert_eq!(lix.changed("lix_working_diff('{\"version\": \"draft\"}')"), "a modified");
        assert_eq!(lix.changed("lix_working_diff()"), "a added");
        lix.fails(
            "select * from lix_working_diff('{\"version\": \"nope\"}')",
            Reason::VersionUnknown,
            "'nope'",
        );
    }

    #[test]
    fn a_branch_from_one_has_everything_before_it() {
        let mut lix = Lix::new();
        lix.set("main", "a", "1");
        lix.set("main", "b", "1");
        let checkpoint = lix.call("create_checkpoint", "{}")[0][1..37].to_owned();
        lix.call("create_version", r#"{"id": "now"}"#);
        lix.set("main", "a", "2");
        lix.call("create_version", &format!(r#"{{"id": "then", "from_commit": "{checkpoint}"}}"#));
        assert_eq!(lix.key_values("now"), "a=1 b=1");
        assert_eq!(lix.key_values("then"), "a=1 b=1");
        assert_eq!(lix.tip("then"), checkpoint);
    }

    #[test]
    fn inside_a_transaction() {
        let mut lix = Lix::new();
        lix.run("begin");
        lix.set("main", "a", "1");
        lix.call("create_checkpoint", "{}");
        lix.set("main", "a", "2");
        lix.call("create_checkpoint", "{}");
        lix.set("main", "b", "2");
        lix.run("commit");
        assert_eq!(lix.changed("lix_working_diff()"), "b added");
        assert_eq!(
            lix.one("select count(*) from entity_label_all where lixcol_version_id = 'global'"),
            "2"
        );
        assert_eq!(lix.rows("select 1 from state_all where commit_id = 'pending'"), [""; 0]);
    }
}

mod graph {
    use super::*;

    #[test]
    fn ancestors_and_descendants() {
        let mut lix = Lix::new();
        let first = lix.tip("main");
        lix.set("main", "a", "1");
        let second = lix.tip("main");
        lix.set("main", "a", "2");
        let third = lix.tip("main");
        let rows = |lix: &mut Lix, what: &str, id: &str, more: &str| {
            let call = format!(r#"lix_commit_{what}('{{"id": "{id}"{more}}}')"#);
            lix.rows(&format!("select depth, id from {call} order by depth, id"))
                .join(", ")
                .replace('\'', "")
        };
        assert_eq!(rows(&mut lix, "ancestors", &third, ""), format!("1 | {second}, 2 | {first}"));
        assert_eq!(rows(&mut lix, "ancestors", &third, ", \"depth\": 1"), format!("1 | {second}"));
        assert_eq!(
            rows(&mut lix, "ancestors", &third, ", \"include_self\": true, \"depth\": 0"),
            format!("0 | {third}")
        );
        assert_eq!(rows(&mut lix, "descendants", &first, ""), format!("1 | {second}, 2 | {third}"));
        assert_eq!(rows(&mut lix, "descendants", &third, ""), "");
        lix.fails(
            "select * from lix_commit_ancestors('{\"id\": \"nope\"}')",
            Reason::OptionInvalid,
            "Commit with id 'nope' does not exist",
        );
    }
}

mod change_sets {
    use super::*;

    #[test]
    fn made_of_changes_and_applied_elsewhere() {
        let mut lix = Lix::new();
        lix.call("create_version", r#"{"id": "draft"}"#);
        lix.set("draft", "a", "picked");
        lix.set("draft", "b", "left");
        lix.run(
            "select * from lix_create_change_set(json_object('id', 'pick', 'version', 'global', 'metadata', json('{\"why\": 1}'),
               'elements', json((select json_group_array(json_object('change_id', change_id, 'entity_id', entity_id,
                  'schema_key', schema_key, 'file_id', file_id)) from state_all where version_id = 'draft' and entity_id = 'a')),
               'labels', json((select json_array(id) from label where name = 'checkpoint'))))",
        );
        assert_eq!(
            lix.rows("select metadata from change_set where id = 'pick'"),
            [r#"'{\"why\":1}'"#]
        );
        assert_eq!(
            lix.one("select count(*) from change_set_label where change_set_id = 'pick'"),
            "1"
        );
        let tip = lix.tip("main");
        let commit = lix.call("apply_change_set", r#"{"id": "pick"}"#).join("").replace('\'', "");
        assert_eq!(lix.tip("main"), commit);
        assert_eq!(lix.parents(&commit), [tip]);
        assert_eq!(lix.key_values("main"), "a=picked");
        assert_eq!(
            lix.rows("select s.change_id = d.change_id from state s join state_all d
                      on d.entity_id = s.entity_id and d.version_id = 'draft' where s.entity_id = 'a'"),
            ["1"]
        );
        assert_eq!(lix.call("apply_change_set", r#"{"id": "pick"}"#), ["NULL"]);
        assert_eq!(
            lix.rows("select * from key_value where key = 'lix_skip_file_handlers'"),
            [""; 0]
        );
        lix.fails(
            "select * from lix_apply_change_set('{\"id\": \"nope\"}')",
            Reason::OptionInvalid,
            "Change set with id 'nope' does not exist",
        );
    }

    #[test]
    fn of_a_commit_with_a_deletion() {
        let mut lix = Lix::new();
        lix.set("main", "a", "1");
        lix.call("create_version", r#"{"id": "draft"}"#);
        lix.run("begin");
        lix.remove("draft", "a");
        lix.set("draft", "b", "1");
        lix.run("commit");
        let tip = lix.tip("draft");
        let set = lix.one(&format!("select change_set_id from \"commit\" where id = '{tip}'"));
        lix.call("apply_change_set", &format!(r#"{{"id": "{set}"}}"#));
        assert_eq!(lix.key_values("main"), "b=1");
    }

    #[test]
    fn elements_have_to_exist() {
        let mut lix = Lix::new();
        lix.fails(
            r#"select * from lix_create_change_set('{"elements": [{"change_id": "nope", "entity_id": "a",
               "schema_key": "lix_key_value", "file_id": "lix"}]}')"#,
            Reason::ForeignKey,
            "Foreign key constraint violation",
        );
        lix.fails(
            r#"select * from lix_create_change_set('{"labels": ["nope"]}')"#,
            Reason::ForeignKey,
            "Foreign key constraint violation",
        );
        lix.fails(
            r#"select * from lix_create_change_set('{"elements": [{"change_id": "x"}]}')"#,
            Reason::OptionInvalid,
            "option elements[0].entity_id is missing",
        );
        assert_eq!(lix.one("select count(*) from change_set"), "4");
    }
}

mod accounts {
    use super::*;

    fn active(lix: &mut Lix) -> String {
        lix.rows("select account_id from active_account order by 1").join(" ").replace('\'', "")
    }

    #[test]
    fn become_the_active_ones() {
        let mut lix = Lix::new();
        lix.call("create_account", r#"{"id": "ada", "name": "Ada", "version": "global"}"#);
        lix.call("create_account", r#"{"id": "bob", "name": "Bob"}"#);
        assert_eq!(
            lix.call("switch_account", r#"{"to": ["bob", "ada", "bob"]}"#),
            ["'bob'", "'ada'"]
        );
        assert_eq!(active(&mut lix), "ada bob");
        lix.set("main", "a", "1");
        let authors = "select account_id from change_author where change_id =
                         (select change_id from state where entity_id = 'a') order by 1";
        assert_eq!(lix.rows(authors), ["'ada'", "'bob'"]);
        assert_eq!(lix.call("switch_account", r#"{"to": []}"#), [""; 0]);
        assert_eq!(active(&mut lix), "");
        lix.set("main", "a", "2");
        assert_eq!(lix.rows(authors), [""; 0]);
        let tip = lix.tip("main");
        assert_eq!(
            lix.rows(&format!("select author_account_ids from \"commit\" where id = '{tip}'")),
            ["'[]'"]
        );
    }

    #[test]
    fn of_a_host_are_made_once() {
        let mut lix = Lix::new();
        let commits = lix.one("select count(*) from \"commit\"");
        assert_eq!(lix.call("use_account", r#"{"id": "ada", "name": "Ada"}"#), ["'ada'"]);
        assert_eq!(active(&mut lix), "ada");
        let changes = lix.one("select count(*) from change");
        assert_eq!(lix.call("use_account", r#"{"id": "ada", "name": "Other"}"#), ["'ada'"]);
        assert_eq!(lix.one("select count(*) from change"), changes);
        assert_eq!(lix.one(&format!("select count(*) - {commits} from \"commit\"")), "1");
        assert_eq!(
            lix.rows("select name, lixcol_inherited_from_version_id from account where id = 'ada'"),
            ["'Ada' | 'global'"]
        );
        let before = lix.one("select count(*) from change");
        lix.fails(
            r#"select * from lix_use_account('{"id": "", "name": ""}')"#,
            Reason::Validation,
            "Missing required fields for state mutation",
        );
        assert_eq!(lix.one("select count(*) from change"), before);
        assert_eq!(active(&mut lix), "ada");
    }
}

mod labels_threads_logs {
    use super::*;

    #[test]
    fn an_entity_carries_a_label_of_its_own_version() {
        let mut lix = Lix::new();
        lix.set("main", "a", "1");
        lix.call("create_label", r#"{"id": "seen", "name": "seen"}"#);
        let link = r#"{"entity_id": "a", "schema_key": "lix_key_value", "file_id": "lix", "label_id": "seen"}"#;
        let row = ["'a' | 'lix_key_value' | 'lix' | 'seen'"];
        assert_eq!(lix.call("create_entity_label", link), row);
        let changes = lix.one("select count(*) from change");
        assert_eq!(lix.call("create_entity_label", link), row);
        assert_eq!(lix.one("select count(*) from change"), changes);
        assert_eq!(
            lix.rows("select lixcol_entity_id from entity_label where label_id = 'seen'"),
            ["'a~lix_key_value~lix~seen'"]
        );
        assert_eq!(lix.call("delete_entity_label", link), row);
        assert_eq!(lix.call("delete_entity_label", link), [""; 0]);
        lix.fails(
            "select * from lix_create_entity_label(json_object('entity_id', 'a', 'schema_key', 'lix_key_value',
               'file_id', 'lix', 'label_id', (select id from label where name = 'checkpoint')))",
            Reason::ForeignKey,
            "Note: Foreign key constraints only validate entities that exist in the version context",
        );
    }

    const BODY: &str = r#"{"type": "zettel_doc", "content": []}"#;

    #[test]
    fn comments_answer_each_other() {
        let mut lix = Lix::new();
        lix.set("global", "a", "1");
        let thread = lix.rows(&format!(
            r#"select id, metadata, json_array_length(comments), comments ->> '$[1].parent_id' = comments ->> '$[0].id',
                      comments ->> '$[0].parent_id'
               from lix_create_thread('{{"id": "t", "metadata": {{"x": 1}}, "comments": [{{"body": {BODY}}}, {{"body": {BODY}}}],
                 "entity": {{"entity_id": "a", "schema_key": "lix_key_value", "file_id": "lix"}}}}')"#
        ));
        assert_eq!(thread, [r#"'t' | '{\"x\":1}' | 2 | 1 | NULL"#]);
        assert_eq!(
            lix.rows("select lixcol_version_id, entity_id from entity_thread_all where thread_id = 't' and lixcol_inherited_from_version_id is null"),
            ["'global' | 'a'"]
        );
        let last = lix.one("select id from thread_comment c where parent_id is not null");
        lix.host.platform.set_now_ms(1_000);
        let comment = |more: &str| format!(r#"{{"thread_id": "t", "body": {BODY}{more}}}"#);
        let row = lix.call("create_thread_comment", &comment(r#", "id": "c3""#));
        assert_eq!(
            row,
            [format!(r#"'c3' | 't' | '{last}' | '{{\"type\":\"zettel_doc\",\"content\":[]}}'"#)]
        );
        lix.host.platform.set_now_ms(2_000);
        lix.call("create_thread_comment", &comment(r#", "id": "top", "parent_id": null"#));
        lix.host.platform.set_now_ms(3_000);
        lix.call("create_thread_comment", &comment(r#", "id": "c4", "parent_id": "c3""#));
        lix.host.platform.set_now_ms(4_000);
        lix.call("create_thread_comment", &comment(r#", "id": "c5""#));
        assert_eq!(
            lix.rows("select id, parent_id from thread_comment where length(id) < 4 order by 1"),
            [
                "'c3' | '".to_owned() + &last + "'",
                "'c4' | 'c3'".into(),
                "'c5' | 'c4'".into(),
                "'top' | NULL".into()
            ]
        );
        assert_eq!(
            lix.rows("select distinct lixcol_version_id from thread_comment_all where lixcol_inherited_from_version_id is null"),
            ["'global'"],
            "where the thread is"
        );
    }

    #[test]
    fn logs_are_tracked_in_the_active_version() {
        let mut lix = Lix::new();
        let tip = lix.tip("main");
        assert_eq!(
            lix.rows("select length(id), key, message, level from lix_create_log('{\"key\": \"k\", \"message\": \"m\", \"level\": \"odd\"}')"),
            ["21 | 'k' | 'm' | 'odd'"]
        );
        assert_ne!(lix.tip("main"), tip);
        assert_eq!(
            lix.rows("select key, lixcol_inherited_from_version_id, lixcol_untracked from log"),
            ["'k' | NULL | 0"]
        );
    }
}

mod key_values {
    use super::*;

    #[test]
    fn are_written_only_where_they_differ() {
        let mut lix = Lix::new();
        lix.set("global", "inherited", "g");
        let mut set = |items: &str| {
            let rows = lix.call("set_key_values", &format!(r#"{{"key_values": [{items}]}}"#));
            rows.join(", ").replace('\'', "")
        };
        let all = r#"{"key": "n", "value": {"a": [1]}}, {"key": "u", "value": true, "untracked": true},
                     {"key": "nothing", "value": null}, {"key": "inherited", "value": "g"}"#;
        assert_eq!(set(all), "n | 1, u | 1, nothing | 1, inherited | 0");
        assert_eq!(set(all), "n | 0, u | 0, nothing | 0, inherited | 0");
        assert_eq!(
            set(r#"{"key": "inherited", "value": "own"}, {"key": "u", "value": true}"#),
            "inherited | 1, u | 1"
        );
        assert_eq!(
            lix.rows(
                "select key, value, lixcol_untracked, lixcol_inherited_from_version_id from key_value
                 where key in ('n', 'u', 'nothing', 'inherited') order by 1"
            ),
            [
                "'inherited' | 'own' | 0 | NULL",
                "'n' | '{\\\"a\\\":[1]}' | 0 | NULL",
                "'nothing' | NULL | 0 | NULL",
                "'u' | 1 | 0 | NULL"
            ]
        );
        assert_eq!(lix.key_values("global"), "inherited=g");
        lix.fails(
            r#"select * from lix_set_key_values('{"key_values": [{"key": "a", "value": 1}, {"key": "a", "value": 1, "version": "nope"}]}')"#,
            Reason::VersionUnknown,
            "Version with id 'nope' does not exist",
        );
        assert_eq!(lix.rows("select * from key_value where key = 'a'"), [""; 0]);
    }
}
