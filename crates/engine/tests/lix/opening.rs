//! What is opened as a lix, what is not, and what is refused although it looks like one.

use lix_engine_protocol::proto::{
    EngineError, InitRequest, LixOptions, init_request, request, response,
};
use rusqlite::Connection;

use crate::host::{Host, init_request as init};
use crate::script::Lix;

#[test]
fn a_lix_that_somebody_changed_is_refused() {
    for (change, said) in [
        ("drop table _lix_working", "no table _lix_working"),
        ("create table _lix_more (a)", "_lix_more"),
        ("create view _LIX_view as select 1", "_LIX_view"),
        ("create trigger t after insert on _lix_change begin select 1; end", "t is no part"),
        ("delete from _lix_meta where key = 'schema_version'", "version"),
        ("update _lix_meta set value = '2' where key = 'schema_version'", "version 2"),
        ("drop table _lix_meta; create table _lix_meta (a)", "no such column"),
        ("drop table _lix_meta; create view _lix_meta as select 1 as key, 2 as value", "version"),
    ] {
        let image = changed(&Lix::new().host.export(), change);
        for lix in [None, Some(LixOptions::default())] {
            let error = open(&image, lix).err().expect(change);
            assert_eq!((&*error.reason, &*error.subject), ("IMAGE_INVALID", "image"), "{change}");
            assert!(error.message.contains(said), "{change}: {}", error.message);
        }
    }
}

#[test]
fn what_touches_none_of_the_tables_is_welcome() {
    for change in [
        "create table t (a); create trigger r after insert on t begin select 1; end",
        "create table lix (a); create view \"lix_\" as select * from _lix_change",
        "create index i on _lix_change (created_at)",
        "analyze",
    ] {
        let image = changed(&Lix::new().host.export(), change);
        let mut host = open(&image, None).unwrap_or_else(|error| panic!("{change}: {error:?}"));
        host.exec("insert into key_value (key, value) values ('a', 1)");
        assert_eq!(host.rows("select count(*) from commit_edge"), ["1"], "{change}");
    }
}

#[test]
fn a_plain_database_with_such_a_name_is_plain_or_refused() {
    for create in ["create table _lix_x (a)", "create view _Lix_x as select 1"] {
        let image = changed(&Host::ready().export(), create);
        let mut host = open(&image, None).expect("a plain database");
        assert_eq!(host.rows("select count(*) from sqlite_schema"), ["1"]);
        let error = open(&image, Some(LixOptions::default())).err().expect("not ours");
        assert_eq!((&*error.reason, &*error.subject), ("IMAGE_INVALID", "image"));
    }
}

/// The image, after other software had it.
fn changed(image: &[u8], sql: &str) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("changed.sqlite");
    std::fs::write(&path, image).unwrap();
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch(sql).unwrap();
    connection.close().unwrap();
    std::fs::read(&path).unwrap()
}

fn open(image: &[u8], lix: Option<LixOptions>) -> Result<Host, EngineError> {
    let mut host = Host::new();
    let seed = Some(init_request::Seed::Image(image.to_vec().into()));
    match host.call(request::Call::Init(InitRequest { lix, seed, ..init() })).outcome {
        Some(response::Outcome::Init(answer)) => {
            let is_lix = !answer.schema_version.is_empty();
            assert_eq!(host.try_exec("select 1 from version").is_ok(), is_lix);
            Ok(host)
        }
        Some(response::Outcome::Error(error)) => Err(error),
        other => panic!("init was answered with {other:?}"),
    }
}
