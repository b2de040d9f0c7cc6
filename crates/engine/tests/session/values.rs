//! Values on their way in and out: every bit survives.

use expect_test::expect;

use crate::host::Host;
use crate::script::check;

#[test]
fn every_class_comes_back_as_it_went_in() {
    check(expect![[r#"
        > select ?1, typeof(?1) <- null
        [?1 | typeof(?1)]
        NULL | 'null'
        1 rows
        > select ?1, typeof(?1) <- 9223372036854775807
        [?1 | typeof(?1)]
        9223372036854775807 | 'integer'
        1 rows
        > select ?1, typeof(?1) <- -9223372036854775808
        [?1 | typeof(?1)]
        -9223372036854775808 | 'integer'
        1 rows
        > select ?1, typeof(?1) <- 0
        [?1 | typeof(?1)]
        0 | 'integer'
        1 rows
        > select ?1, typeof(?1) <- 1.5
        [?1 | typeof(?1)]
        1.5 | 'real'
        1 rows
        > select ?1, typeof(?1) <- 1e300
        [?1 | typeof(?1)]
        1e300 | 'real'
        1 rows
        > select ?1, typeof(?1) <- -0.0
        [?1 | typeof(?1)]
        -0.0 | 'real'
        1 rows
        > select ?1, typeof(?1) <- inf
        [?1 | typeof(?1)]
        inf | 'real'
        1 rows
        > select ?1, typeof(?1) <- -inf
        [?1 | typeof(?1)]
        -inf | 'real'
        1 rows
        > select ?1, typeof(?1), length(?1) <- ''
        [?1 | typeof(?1) | length(?1)]
        '' | 'text' | 0
        1 rows
        > select ?1, typeof(?1), length(?1) <- 'it''s'
        [?1 | typeof(?1) | length(?1)]
        'it''s' | 'text' | 5
        1 rows
        > select ?1, typeof(?1), octet_length(?1) <- 'a\0b'
        [?1 | typeof(?1) | octet_length(?1)]
        'a\0b' | 'text' | 3
        1 rows
        > select ?1, typeof(?1), octet_length(?1) <- 'é😀'
        [?1 | typeof(?1) | octet_length(?1)]
        'é😀' | 'text' | 6
        1 rows
        > select ?1, typeof(?1), length(?1) <- x''
        [?1 | typeof(?1) | length(?1)]
        x'' | 'blob' | 0
        1 rows
        > select ?1, typeof(?1), length(?1) <- x'00ff'
        [?1 | typeof(?1) | length(?1)]
        x'00ff' | 'blob' | 2
        1 rows
        > select ?1, typeof(?1), length(?1) <- @x''
        [?1 | typeof(?1) | length(?1)]
        x'' | 'blob' | 0
        1 rows
        > select ?1, ?2 <- @x'0102', @x'03'
        [?1 | ?2]
        x'0102' | x'03'
        1 rows
        > select cast(x'ff41' as text), cast(x'610062' as text)
        [cast(x'ff41' as text) | cast(x'610062' as text)]
        raw'ff41' | 'a\0b'
        1 rows
        > select 0.1 + 0.2, 1e999, -1e999, 9007199254740993
        [0.1 + 0.2 | 1e999 | -1e999 | 9007199254740993]
        0.30000000000000004 | inf | -inf | 9007199254740993
        1 rows
    "#]]);
}

#[test]
fn affinity_is_sqlites_matter() {
    check(expect![[r#"
        > create table t(i integer, r real, t text, b blob, n numeric)
        changes 0, commit 1
        > insert into t values (?1, ?1, ?1, ?1, ?1) <- '12'
        changes 1, rowid 1, commit 2
        > insert into t values (?1, ?1, ?1, ?1, ?1) <- 3.0
        changes 1, rowid 2, commit 3
        > insert into t values (?1, ?1, ?1, ?1, ?1) <- x'31'
        changes 1, rowid 3, commit 4
        > select * from t
        [i INTEGER | r REAL | t TEXT | b BLOB | n numeric]
        12 | 12.0 | '12' | '12' | 12
        3 | 3.0 | '3.0' | 3.0 | 3
        x'31' | x'31' | x'31' | x'31' | x'31'
        3 rows
        > create table s(i integer) strict
        changes 0, commit 5
        > insert into s values ('x')
        CONSTRAINT/SCHEMA_MISMATCH sqlite 3091: cannot store TEXT value in INTEGER column s.i
    "#]]);
}

#[test]
fn numbers_choose_their_width_at_the_borders() {
    // The host compares each width with the cells, so the borders are all there is to say.
    let mut host = Host::ready();
    for bits in [7, 8, 15, 16, 31, 32, 62] {
        for offset in [-1, 0] {
            let edge = (1i64 << bits) + offset;
            for value in [edge, -edge, -edge - 1] {
                let sql = format!("select {value} union all select 0");
                assert_eq!(host.rows(&sql), [value.to_string(), "0".into()]);
            }
        }
    }
    for len in [0, 1, 255, 256, 65_535, 65_536] {
        let rows = host.rows(&format!("select length(replace(hex(zeroblob({len})), '00', 'a'))"));
        assert_eq!(rows, [len.to_string()]);
        host.exec(&format!("select zeroblob({len}), 'x'"));
    }
}

#[test]
fn databases_in_utf16_speak_utf8() {
    // A new database is UTF-8 already, so the image comes from a plain connection.
    let image = crate::images::database(
        "pragma encoding = 'UTF-16le';
         create table t(s);
         insert into t values ('é😀'), (char(65, 0, 66)), ('');",
    );
    let mut host = Host::seeded(&image).unwrap();
    assert_eq!(host.rows("pragma encoding"), ["'UTF-16le'"]);
    assert_eq!(host.rows("select s from t"), ["'é😀'", "'A\\0B'", "''"]);
    assert_eq!(host.rows("select cast(x'00d8' as text) is not null"), ["1"]);
    host.exec("select cast(x'00d841' as text)");
}
