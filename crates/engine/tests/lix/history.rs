//! History from any commit (chapter 20), and the commits, edges, elements and authors that follow
//! from what was written (chapters 13, 16 and 28.6 to 28.8).

use lix_engine_protocol::Reason;

use crate::script::Lix;

/// Entity, value, depth and commit as seen from a commit.
fn history(lix: &mut Lix, root: &str) -> Vec<String> {
    lix.rows(&format!(
        "select key, value, lixcol_depth, lixcol_commit_id from key_value_history
         where lixcol_root_commit_id = '{root}' and key not like 'lix%'"
    ))
}

fn tip(lix: &mut Lix, version: &str) -> String {
    lix.one(&format!("select commit_id from version where name = '{version}'"))
}

fn working(lix: &mut Lix, version: &str) -> String {
    lix.one(&format!("select working_commit_id from version where name = '{version}'"))
}

fn checkpoint(lix: &mut Lix) -> String {
    lix.one("select id from lix_create_checkpoint()")
}

#[test]
fn a_root_may_be_any_commit() {
    let mut lix = Lix::new();
    let c0 = tip(&mut lix, "main");
    lix.run("insert into key_value(key, value) values ('a', 'v0')");
    let c1 = tip(&mut lix, "main");
    lix.run("update key_value set value = 'v1' where key = 'a'");
    let c2 = tip(&mut lix, "main");
    assert_eq!(history(&mut lix, &c0), [""; 0]);
    assert_eq!(history(&mut lix, &c1), [format!("'a' | 'v0' | 0 | '{c1}'")]);
    let rows = [format!("'a' | 'v1' | 0 | '{c2}'"), format!("'a' | 'v0' | 1 | '{c1}'")];
    assert_eq!(history(&mut lix, &c2), rows);
    assert_eq!(
        lix.rows("select value, lixcol_depth from key_value_history where key = 'a' order by 1, 2"),
        ["'v0' | 0", "'v0' | 1", "'v1' | 0", "'v1' | 0"],
        "without a root from every commit, the working commit too"
    );
}

#[test]
fn a_deletion_shows_nothing_and_hides_nothing_that_lies_deeper() {
    let mut lix = Lix::new();
    lix.run(
        "insert into key_value(key, value) values ('a', 'v0');
         delete from key_value where key = 'a';
         insert into key_value(key, value) values ('a', 'v1')",
    );
    let tip = tip(&mut lix, "main");
    let depths = lix.rows(&format!(
        "select value, lixcol_depth from key_value_history
         where key = 'a' and lixcol_root_commit_id = '{tip}'"
    ));
    assert_eq!(depths, ["'v1' | 0", "'v0' | 2"]);
}

#[test]
fn checkpoints_repeat_and_working_commits_collect() {
    let mut lix = Lix::new();
    lix.run("insert into key_value(key, value) values ('z', 1)");
    let c1 = tip(&mut lix, "main");
    let w1 = working(&mut lix, "main");
    assert_eq!(history(&mut lix, &w1), [format!("'z' | 1 | 0 | '{w1}'")], "the work so far");
    let global = tip(&mut lix, "global");

    let cp = checkpoint(&mut lix);
    assert_eq!(cp, w1);
    assert_eq!(tip(&mut lix, "main"), cp);
    let w2 = working(&mut lix, "main");
    let edges = lix.rows(&format!(
        "select parent_id, child_id from commit_edge where parent_id in ('{c1}', '{cp}') order by parent_id = '{cp}'"
    ));
    assert_eq!(edges, [format!("'{c1}' | '{cp}'"), format!("'{cp}' | '{w2}'")]);
    assert_ne!(tip(&mut lix, "global"), global, "a commit of global says so");
    assert_eq!(
        history(&mut lix, &w2),
        [format!("'z' | 1 | 1 | '{cp}'"), format!("'z' | 1 | 2 | '{c1}'")]
    );

    lix.run("insert into key_value(key, value) values ('later', 2)");
    let c2 = tip(&mut lix, "main");
    let both = [format!("'z' | 1 | 1 | '{cp}'"), format!("'z' | 1 | 2 | '{c1}'")];
    assert_eq!(
        history(&mut lix, &c2),
        [vec![format!("'later' | 2 | 0 | '{c2}'")], both.to_vec()].concat()
    );
    assert_eq!(
        history(&mut lix, &w2),
        [vec![format!("'later' | 2 | 0 | '{w2}'")], both.to_vec()].concat()
    );
    assert_eq!(checkpoint(&mut lix), w2);
    let parents = lix.one(&format!("select parent_commit_ids from \"commit\" where id = '{w2}'"));
    assert_eq!(parents, format!("[\\\"{c2}\\\"]"), "one authoritative list of parents");
}

#[test]
fn both_sides_of_a_merge_are_history() {
    let mut lix = Lix::new();
    lix.run("insert into key_value(key, value) values ('a', 'base')");
    let c1 = tip(&mut lix, "main");
    lix.run(
        "select * from lix_create_version('{\"id\": \"draft\", \"name\": \"Draft\"}');
         update key_value_all set value = 'A1' where key = 'a' and lixcol_version_id = 'draft';
         insert into key_value(key, value) values ('b', 1)",
    );
    let (c2, ca) = (tip(&mut lix, "main"), tip(&mut lix, "Draft"));
    let global = tip(&mut lix, "global");
    lix.run("select * from lix_merge_version('{\"source\": \"draft\"}')");
    let merge = tip(&mut lix, "main");
    assert_eq!((tip(&mut lix, "Draft"), tip(&mut lix, "global")), (ca.clone(), global));
    assert_eq!(
        history(&mut lix, &merge),
        [
            format!("'a' | 'A1' | 0 | '{merge}'"),
            format!("'a' | 'A1' | 1 | '{ca}'"),
            format!("'a' | 'base' | 2 | '{c1}'"),
            format!("'b' | 1 | 1 | '{c2}'"),
        ]
    );
    assert_eq!(
        lix.rows(&format!(
            "select json_extract(parent_commit_ids, '$[0]'), json_extract(parent_commit_ids, '$[1]'),
                    (select count(*) from commit_edge where child_id = '{merge}')
             from \"commit\" where id = '{merge}'"
        )),
        [format!("'{c2}' | '{ca}' | 2")]
    );
    let change = lix.one("select lixcol_change_id from key_value where key = 'a'");
    assert_eq!(
        lix.rows(&format!(
            "select s.lixcol_commit_id = '{merge}', e.change_id = '{change}', a.lixcol_commit_id = '{ca}'
             from key_value s, change_set_element e, change_author a
             where s.key = 'a' and a.change_id = '{change}'
               and e.change_set_id = (select change_set_id from \"commit\" where id = '{merge}')"
        )),
        ["1 | 1 | 1"],
        "the merge refers to the change; its author wrote it where it was written"
    );
}

#[test]
fn what_was_there_before_a_quick_merge_is_not_lost() {
    // The commit before the branch is a parent of the merge, and so is the branch's only commit.
    let mut lix = Lix::new();
    lix.run(
        "insert into key_value(key, value) values ('a', 'light');
         select * from lix_create_version('{\"id\": \"draft\"}');
         update key_value_all set value = 'dark' where key = 'a' and lixcol_version_id = 'draft';
         select * from lix_merge_version('{\"source\": \"draft\"}')",
    );
    let root = tip(&mut lix, "main");
    let rows = lix.rows(&format!(
        "select value, lixcol_depth from key_value_history
         where key = 'a' and lixcol_root_commit_id = '{root}' order by 2, 1"
    ));
    assert_eq!(rows, ["'dark' | 0", "'dark' | 1", "'light' | 1"]);
}

#[test]
fn a_depth_is_that_of_the_shortest_way() {
    // A commit reached over ways of different length is one row, not one for each way.
    let mut lix = Lix::new();
    lix.run(
        "insert into key_value(key, value) values ('a', 1);
         select * from lix_create_version('{\"id\": \"draft\", \"name\": \"Draft\"}')",
    );
    let c1 = tip(&mut lix, "main");
    lix.run(
        "insert into key_value_all(key, value, lixcol_version_id) values ('d1', 1, 'draft');
         insert into key_value_all(key, value, lixcol_version_id) values ('d2', 1, 'draft');
         insert into key_value_all(key, value, lixcol_version_id) values ('d3', 1, 'draft');
         insert into key_value(key, value) values ('m', 1);
         select * from lix_merge_version('{\"source\": \"draft\"}')",
    );
    let root = tip(&mut lix, "main");
    assert_eq!(
        lix.rows(&format!(
            "select lixcol_depth, lixcol_commit_id from key_value_history
             where key = 'a' and lixcol_root_commit_id = '{root}'"
        )),
        [format!("2 | '{c1}'")]
    );
}

#[test]
fn what_is_untracked_or_staged_has_no_history() {
    let mut lix = Lix::new();
    let rows = |lix: &mut Lix| lix.rows("select key from key_value_history where key like 'x%'");
    lix.run("insert into key_value(key, value, lixcol_untracked) values ('x1', 1, 1)");
    assert_eq!(rows(&mut lix), [""; 0]);
    lix.run("begin");
    lix.run("insert into key_value(key, value) values ('x2', 1)");
    assert_eq!(rows(&mut lix), [""; 0]);
    lix.run("rollback");
    assert_eq!(rows(&mut lix), [""; 0]);
    lix.run("insert into key_value(key, value) values ('x2', 1)");
    assert_eq!(rows(&mut lix).len(), 2, "from the commit and from the working commit");
}

#[test]
fn a_rollback_takes_edges_back() {
    let mut lix = Lix::new();
    lix.run("insert into key_value(key, value) values ('a', 1)");
    let c1 = tip(&mut lix, "main");
    let ancestors = |lix: &mut Lix, id: &str| {
        lix.rows(&format!("select id, depth from lix_commit_ancestors('{{\"id\": \"{id}\", \"include_self\": true}}')"))
    };
    let before = ancestors(&mut lix, &c1);
    lix.run("begin");
    lix.run(&format!(
        "insert into \"commit\"(id, change_set_id, parent_commit_ids) values ('u', 'su', '[\"{c1}\"]')"
    ));
    assert_eq!(ancestors(&mut lix, "u").len(), before.len() + 1);
    lix.run("savepoint s");
    lix.run("update \"commit\" set parent_commit_ids = '[]' where id = 'u'");
    assert_eq!(ancestors(&mut lix, "u").len(), 1);
    lix.run("rollback to s");
    assert_eq!(ancestors(&mut lix, "u").len(), before.len() + 1);
    lix.run("rollback");
    assert_eq!(ancestors(&mut lix, &c1), before);
    let descendants = format!("select id from lix_commit_descendants('{{\"id\": \"{c1}\"}}')");
    assert_eq!(lix.rows(&descendants), [""; 0]);
}

#[test]
fn rewriting_parents_takes_the_old_edges_away() {
    let mut lix = Lix::new();
    let edges = "select parent_id, child_id from commit_edge where child_id = 'u3' order by 1";
    lix.run(
        r#"insert into "commit"(id, change_set_id) values ('u1', 's1'), ('u2', 's2');
           insert into "commit"(id, change_set_id, parent_commit_ids) values ('u3', 's3', '["u1"]')"#,
    );
    assert_eq!(lix.rows(edges), ["'u1' | 'u3'"]);
    lix.run(r#"update "commit" set parent_commit_ids = '["u2"]' where id = 'u3'"#);
    assert_eq!(lix.rows(edges), ["'u2' | 'u3'"]);
    assert_eq!(
        lix.rows("select id, metadata from change_set where id in ('s1', 's3') order by 1"),
        ["'s1' | NULL", "'s3' | NULL"]
    );
}

#[test]
fn cycles_and_self_edges_are_refused() {
    let mut lix = Lix::new();
    lix.run(
        r#"insert into "commit"(id, change_set_id) values ('u1', 's1');
           insert into "commit"(id, change_set_id, parent_commit_ids) values ('u2', 's2', '["u1"]')"#,
    );
    lix.fails(
        r#"update "commit" set parent_commit_ids = '["u2"]' where id = 'u1'"#,
        Reason::Validation,
        "Cycle detected in commit graph! The edge from parent 'u2' to child 'u1'",
    );
    lix.fails(
        r#"insert into "commit"(id, change_set_id, parent_commit_ids) values ('u3', 's3', '["u3"]')"#,
        Reason::Validation,
        "Self-referencing edges are not allowed: parent_id cannot equal child_id",
    );
    assert_eq!(
        lix.rows("select parent_id from commit_edge where child_id in ('u1', 'u3')"),
        [""; 0]
    );
}

#[test]
fn a_long_history_of_one_entity_reads_its_own_rows() {
    let mut lix = Lix::new();
    lix.run("insert into key_value(key, value) values ('a', 0), ('other', 0)");
    lix.run("begin");
    for number in 0..200 {
        lix.run(&format!("insert into key_value(key, value) values ('k{number}', {number})"));
    }
    lix.run("commit");
    for number in 1..=100 {
        lix.run(&format!("update key_value set value = {number} where key = 'a'"));
        lix.run(&format!("update key_value set value = {number} where key = 'other'"));
    }
    let root = tip(&mut lix, "main");
    let rows = lix.rows(&format!(
        "select value, lixcol_depth from key_value_history
         where key = 'a' and lixcol_root_commit_id = '{root}'"
    ));
    let mut expected: Vec<String> =
        (1..=100).rev().map(|n| format!("{n} | {}", 201 - 2 * n)).collect();
    expected.push("0 | 201".into());
    assert_eq!(rows, expected);
}
