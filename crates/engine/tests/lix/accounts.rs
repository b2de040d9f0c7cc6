//! Who is at work: chapter 22.

use crate::script::Lix;

#[test]
fn active_accounts_come_and_go() {
    let mut lix = Lix::new();
    assert_eq!(lix.one("select count(*) from active_account"), "1");
    let entities = "select entity_id from state_all where schema_key = 'lix_active_account' and version_id = 'global' order by 1";
    lix.run("update active_account set account_id = 'ada'");
    assert_eq!(lix.rows(entities), ["'active_ada'"], "the entity goes with the account");
    lix.run("insert into active_account(account_id) values ('ben'), ('ada')");
    assert_eq!(lix.rows(entities), ["'active_ada'", "'active_ben'"]);
    assert_eq!(
        lix.rows(
            "select account_id, lixcol_untracked, lixcol_file_id from active_account order by 1"
        ),
        ["'ada' | 1 | 'lix'", "'ben' | 1 | 'lix'"]
    );
    lix.run("insert into key_value(key, value) values ('k', 1)");
    assert_eq!(
        lix.rows(
            "select account_id from change_author
             where change_id = (select lixcol_change_id from key_value where key = 'k') order by 1"
        ),
        ["'ada'", "'ben'"]
    );
    lix.run("delete from active_account where account_id = 'ben'");
    assert_eq!(lix.rows("select account_id from active_account"), ["'ada'"]);
}
