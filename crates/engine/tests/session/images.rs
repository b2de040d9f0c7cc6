//! Images: what may be opened, what comes out again, and that no bytes at all can do harm.

use expect_test::expect;
use rusqlite::Connection;

use crate::host::Host;
use crate::script::check;

/// The image that a plain SQLite connection makes of some SQL.
pub(crate) fn database(sql: &str) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let connection = Connection::open(file.path()).unwrap();
    connection.execute_batch(sql).unwrap();
    connection.close().unwrap();
    std::fs::read(file.path()).unwrap()
}

const SMALL: &str = "
    create table t(id integer primary key, name text, data);
    create index by_name on t(name);
    create view v as select name from t;
    with n(i) as (values (1) union all select i + 1 from n where i < 60)
    insert into t select i, 'name ' || i, randomblob(40) from n;";

#[test]
fn an_exported_image_opens_again() {
    check(expect![[r#"
        > .export empty
        image of commit 0
        > create table t(a)
        changes 0, commit 1
        > insert into t values (1)
        changes 1, rowid 1, commit 2
        > .export one
        image of commit 2
        > insert into t values (2)
        changes 1, rowid 2, commit 3
        > .seed one
        > select a from t
        [a]
        1
        1 rows
        > insert into t values (3)
        changes 1, rowid 2, commit 1
        > .export three
        image of commit 1
        > .seed empty
        > select count(*) from sqlite_schema
        [count(*)]
        0
        1 rows
        > create table u(a)
        changes 0, commit 1
        > .seed three
        > select group_concat(a) from t
        [group_concat(a)]
        '1,3'
        1 rows
        > pragma integrity_check
        [integrity_check]
        'ok'
        1 rows
        > .seed one
        > select group_concat(a) from t
        [group_concat(a)]
        '1'
        1 rows
    "#]]);
}

#[test]
fn an_export_is_a_moment_and_not_a_window() {
    let mut host = Host::ready();
    host.exec("create table t(a, b)");
    host.exec("insert into t values (1, zeroblob(100000))");
    let before = host.export();
    let copy = before.to_vec();
    host.exec("update t set a = 2, b = randomblob(100000)");
    host.exec("insert into t values (3, randomblob(300000))");
    let after = host.export();
    assert_eq!(before, copy);
    let rows = |image: &[u8]| Host::seeded(image).unwrap().rows("select a from t");
    assert_eq!(rows(&before), ["1"]);
    assert_eq!(rows(&after), ["2", "3"]);

    // It is a database for everybody, not just for us.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &after).unwrap();
    let plain = Connection::open(file.path()).unwrap();
    let check: String = plain.query_row("pragma integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
}

#[test]
fn an_export_while_a_cursor_reads_and_after_a_rollback() {
    check(expect![[r#"
        > create table t(a)
        changes 0, commit 1
        > insert into t values (1), (2), (3)
        changes 3, rowid 3, commit 2
        > .cursor 1 select a from t
        [a]
        1
        cursor 1
        > .export x
        image of commit 2
        > .fetch 1
        2
        more
        > begin
        ok, in transaction
        > delete from t
        changes 3
        > .export y
        TRANSACTION/IN_TRANSACTION
        > rollback
        ok, out of transaction
        > .export y
        image of commit 2
        > .seed y
        > select group_concat(a) from t
        [group_concat(a)]
        '1,2,3'
        1 rows
    "#]]);
}

#[test]
fn every_page_size_opens() {
    for page_size in [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536] {
        let image = database(&format!("pragma page_size = {page_size}; {SMALL}"));
        let mut host = Host::seeded(&image).unwrap();
        assert_eq!(host.rows("pragma page_size"), [page_size.to_string()]);
        assert_eq!(host.rows("select count(*), sum(id) from t"), ["60 | 1830"]);
        host.exec("insert into t(name, data) values ('new', randomblob(200000))");
        host.exec("begin");
        host.exec("delete from t");
        host.exec("rollback");
        assert_eq!(host.rows("pragma integrity_check"), ["'ok'"]);
        let mut again = Host::seeded(&host.export()).unwrap();
        assert_eq!(again.rows("select count(*) from t"), ["61"]);
    }
}

#[test]
fn a_write_ahead_log_mark_is_no_obstacle() {
    let mut image = database(SMALL);
    for versions in [[2, 2], [1, 2], [2, 1]] {
        image[18..20].copy_from_slice(&versions);
        let mut host =
            Host::seeded(&image).unwrap_or_else(|error| panic!("{versions:?} {error:?}"));
        assert_eq!(host.rows("select count(*) from t"), ["60"]);
        host.exec("delete from t");
        assert_eq!(host.rows("pragma journal_mode"), ["'memory'"]);
        assert_eq!(host.export()[18..20], [1, 1]);
    }
}

#[test]
fn what_is_no_database_is_refused_and_init_can_be_tried_again() {
    let whole = database(SMALL);
    let mut wrong_magic = whole.clone();
    wrong_magic[3] = b'x';
    let mut odd_page = whole.clone();
    odd_page[16..18].copy_from_slice(&3000u16.to_be_bytes());
    let mut host = Host::new();
    for (what, bytes) in [
        ("nothing", &b""[..]),
        ("a byte", b"S"),
        ("text", &b"SQLite format 3, it says".repeat(50)),
        ("zeros", &[0; 8192]),
        ("half a header", &whole[..99]),
        ("a header", &whole[..100]),
        ("another magic", &wrong_magic),
        ("a page size that cannot be", &odd_page),
        ("all but a byte", &whole[..whole.len() - 1]),
    ] {
        let error = host.init(Some(bytes)).expect_err(what);
        assert_eq!(error.reason, "IMAGE_INVALID", "{what}");
        assert_eq!(error.subject, "image_attachment", "{what}");
    }
    assert_eq!(host.try_exec("select 1").unwrap_err().reason, "NOT_INITIALIZED");
    host.init(Some(&whole)).unwrap();
    assert_eq!(host.rows("select count(*) from t"), ["60"]);
}

#[test]
fn cut_off_anywhere_is_refused() {
    let whole = database(SMALL);
    assert!(whole.len() > 10 * 512);
    for end in (0..whole.len()).step_by(512) {
        let error = Host::seeded(&whole[..end]).err().unwrap_or_else(|| panic!("{end} bytes"));
        assert_eq!(error.reason, "IMAGE_INVALID", "{end} bytes");
    }
}

#[test]
fn flipped_bits_never_panic() {
    let whole = database(SMALL);
    // Some bits of every byte of the header, and a bit now and then behind it; the fuzz target
    // goes on from here.
    let header = (0..800).step_by(5).map(|bit| (bit / 8, bit % 8));
    let rest = (100..whole.len()).step_by(151).map(|byte| (byte, byte % 8));
    let mut opened = 0;
    for (byte, bit) in header.chain(rest) {
        let mut image = whole.clone();
        image[byte] ^= 1 << bit;
        match Host::seeded(&image) {
            Err(error) => assert_eq!(error.reason, "IMAGE_INVALID", "byte {byte} bit {bit}"),
            Ok(mut host) => {
                opened += 1;
                use_everything(&mut host);
            }
        }
    }
    assert!(opened > 50, "{opened} opened");
}

/// Any answer is fine as long as there is one.
fn use_everything(host: &mut Host) {
    for sql in [
        "select * from sqlite_schema",
        "select count(*), max(name), total(length(data)) from t",
        "select * from v order by 1",
        "update t set name = name || '!' where id % 3 = 0",
        "insert into t(name, data) values ('x', zeroblob(9000))",
        "delete from t where id % 2",
        "pragma integrity_check(5)",
        "create table more(a)",
        "vacuum",
    ] {
        let _ = host.try_exec(sql);
    }
    assert_eq!(host.rows("select 1"), ["1"]);
}

#[test]
fn names_that_are_not_utf8_do_no_harm() {
    // "zz" is written into the schema as text; here it becomes bytes that no text has.
    let mut image = database("create table t(zzname, b); insert into t values (1, 'zzname')");
    let places: Vec<usize> =
        (0..=image.len() - 6).filter(|&at| &image[at..at + 6] == b"zzname").collect();
    assert!(places.len() >= 2);
    for at in places {
        image[at..at + 2].copy_from_slice(&[0xff, 0xfe]);
    }
    let mut host = Host::seeded(&image).unwrap();
    let exec = host.exec("select * from t");
    assert_eq!(exec.columns[0].name, "\u{fffd}\u{fffd}name");
    assert_eq!(crate::host::rows(&exec), ["1 | raw'fffe6e616d65'"]);
    let error = host.try_exec("select missing from t").unwrap_err();
    assert_eq!(error.reason, "SQL_ERROR");
}

#[test]
fn an_image_may_come_in_the_frame_itself() {
    use lix_engine_protocol::proto::{InitRequest, init_request, request, response};
    let mut host = Host::new();
    let mut init = |seed| {
        let init = InitRequest { seed: Some(seed), ..Default::default() };
        host.call(request::Call::Init(init)).outcome.unwrap()
    };
    let image = |bytes: &[u8]| init_request::Seed::Image(bytes.to_vec().into());
    match init(image(b"no")) {
        response::Outcome::Error(error) => {
            assert_eq!((error.reason.as_str(), error.subject.as_str()), ("IMAGE_INVALID", "image"));
        }
        other => panic!("{other:?}"),
    }
    match init(init_request::Seed::ImageAttachment(0)) {
        response::Outcome::Error(error) => {
            assert_eq!(error.reason, "ATTACHMENT_MISMATCH");
            assert_eq!(error.subject, "image_attachment");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(init(image(&database(SMALL))), response::Outcome::Init(_)));
}
