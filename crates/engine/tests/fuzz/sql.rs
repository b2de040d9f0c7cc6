//! SQL that nobody would write: a small grammar over a small schema, then cut and shuffled.

use crate::random::Random;

/// Statements, one a line.
pub(crate) fn script(random: &mut Random) -> String {
    let mut script = String::new();
    for _ in 0..5 + random.below(25) {
        let mut statement = statement(random);
        for _ in 0..random.below(24) / 20 {
            statement = shuffle(random, &statement);
        }
        script.push_str(&statement.replace('\n', " "));
        script.push('\n');
    }
    script
}

fn statement(random: &mut Random) -> String {
    match random.below(20) {
        0..=4 => select(random, 3),
        5..=7 => format!("{}{}", insert(random), tail(random)),
        8 => format!(
            "update{} {} set {} = {} where {}{}",
            or(random),
            table(random),
            column(random),
            expression(random, 2),
            expression(random, 2),
            returning(random)
        ),
        9 => format!(
            "delete from {} where {}{}",
            table(random),
            expression(random, 2),
            returning(random)
        ),
        10 => random
            .pick(&[
                "begin",
                "begin immediate",
                "commit",
                "rollback",
                "end",
                "savepoint s",
                "release s",
                "rollback to s",
            ])
            .into(),
        11 => pragma(random),
        12 => definition(random),
        13 => random
            .pick(&[
                "vacuum",
                "analyze",
                "reindex",
                "vacuum into ''",
                "attach ':memory:' as m",
                "attach '' as m",
                "detach m",
                "create table m.t as select * from main.t",
                "insert into m.t select * from main.t",
            ])
            .into(),
        14 => format!("explain {}{}", random.pick(&["", "query plan "]), insert(random)),
        15 => format!("insert into f(a) values ({})", expression(random, 1)),
        16 => format!(
            "select highlight(f, 0, '[', ']'), rank from f({})",
            random.pick(&[
                "'a'",
                "'a*'",
                "'\"a b\"'",
                "'a OR'",
                "''",
                "'body:a'",
                "null",
                "'a NEAR b'"
            ])
        ),
        17 => format!("values ({}), ({})", expression(random, 2), expression(random, 2)),
        18 => random
            .pick(&[
                "",
                ";",
                "-- comment",
                "/*",
                "select 1; select 2",
                "selec",
                "'",
                "\u{feff}select 1",
                "select 1;\u{feff}",
                "\u{0b}",
                "select \u{feff}1",
                "select 1 /*",
            ])
            .into(),
        _ => select(random, 1),
    }
}

fn select(random: &mut Random, depth: usize) -> String {
    let with = match random.below(5) {
        0 => "with recursive n(i) as (values (1) union all select i + 1 from n) ",
        1 => "with n(i) as (select 1 union select 2) ",
        _ => "with n(i) as (select a from t) ",
    };
    let distinct = random.pick(&["", "", "distinct "]);
    let columns: Vec<String> =
        (0..1 + random.below(3)).map(|_| result_column(random, depth)).collect();
    let mut text =
        format!("{with}select {distinct}{} from {}", columns.join(", "), source(random, depth));
    if random.one_in(2) {
        text += &format!(" where {}", expression(random, depth));
    }
    if random.one_in(4) {
        text += &format!(" group by {}", expression(random, 1));
    }
    if random.one_in(6) && depth > 1 {
        let operator = random.pick(&["union", "union all", "except", "intersect"]);
        text += &format!(
            " {operator} select {}",
            columns.iter().map(|_| "1").collect::<Vec<_>>().join(", ")
        );
    }
    if random.one_in(3) {
        text += &format!(
            " order by {}",
            random.pick(&["1", "2 desc", "a", "b collate nocase", "random()", "1 nulls last"])
        );
    }
    if random.one_in(2) {
        text += &format!(" limit {}", random.below(20));
    }
    text
}

fn result_column(random: &mut Random, depth: usize) -> String {
    match random.below(5) {
        0 => "*".into(),
        1 => format!("{} as {}", expression(random, depth), column(random)),
        2 => format!(
            "{}(a) over (partition by b order by a rows between {} preceding and current row)",
            random.pick(&["sum", "count", "max", "ntile", "lag", "first_value", "group_concat"]),
            random.below(3)
        ),
        _ => expression(random, depth),
    }
}

fn source(random: &mut Random, depth: usize) -> String {
    match random.below(8) {
        0..=2 => table(random).into(),
        3 => format!(
            "t {} join (select a as x from u) on x = a",
            random.pick(&["inner", "left", "cross", "full"])
        ),
        4 if depth > 0 => {
            format!("(select 1 as a, 2 as b, 3 as c, * from ({}))", select(random, depth - 1))
        }
        5 => {
            let json =
                random.pick(&["'[1, {\"a\": 2}]'", "'{bad'", "null", "'[]'", "jsonb('[1]')"]);
            format!("(select key as a, value as b, type as c from json_each({json}))")
        }
        _ => {
            let other = random.pick(&[
                "n",
                "sqlite_schema",
                "dbstat",
                "pragma_database_list",
                "pragma_table_info('t')",
                "f('a')",
                "sqlite_sequence",
            ]);
            format!("(select 1 as a, 'b' as b, null as c, * from {other})")
        }
    }
}

fn expression(random: &mut Random, depth: usize) -> String {
    if depth == 0 {
        return literal(random);
    }
    let inner = |random: &mut Random| expression(random, depth - 1);
    match random.below(14) {
        0..=2 => literal(random),
        3..=4 => column(random).into(),
        5..=6 => {
            let operator = random.pick(&[
                "+",
                "-",
                "*",
                "/",
                "%",
                "||",
                "=",
                "<",
                "is",
                "is not",
                "and",
                "or",
                "&",
                "<<",
                "->>",
                "like",
                "glob",
                "is distinct from",
                "between 1 and",
                "in t or",
                "regexp",
            ]);
            format!("({} {operator} {})", inner(random), inner(random))
        }
        7..=9 => {
            let function = random.pick(&[
                "abs",
                "length",
                "typeof",
                "hex",
                "quote",
                "upper",
                "json",
                "json_array",
                "json_valid",
                "sqrt",
                "sign",
                "unhex",
                "trim",
                "count",
                "sum",
                "max",
                "group_concat",
                "json_group_array",
                "zeroblob",
                "char",
                "unicode",
                "date",
                "julianday",
                "sqlite_version",
                "likely",
                "octet_length",
            ]);
            format!("{function}({})", inner(random))
        }
        10 => {
            let function = random.pick(&[
                "coalesce",
                "ifnull",
                "nullif",
                "max",
                "min",
                "substr",
                "instr",
                "json_extract",
                "printf",
                "round",
                "like",
                "iif",
                "strftime",
                "replace",
                "pow",
                "json_set",
            ]);
            format!("{function}({}, {}, {})", inner(random), inner(random), inner(random))
        }
        11 => format!("(select {} from {})", inner(random), table(random)),
        12 => {
            format!("case when {} then {} else {} end", inner(random), inner(random), inner(random))
        }
        _ => format!(
            "cast({} as {})",
            inner(random),
            random.pick(&["integer", "text", "blob", "real", "numeric", "anything"])
        ),
    }
}

fn literal(random: &mut Random) -> String {
    random
        .pick(&[
            "null",
            "0",
            "1",
            "-1",
            "7",
            "9223372036854775807",
            "-9223372036854775808",
            "0.5",
            "1e308",
            "-0.0",
            "''",
            "'a'",
            "'é😀'",
            "'1'",
            "x''",
            "x'00ff'",
            "'[1,2]'",
            "'$.a'",
            "'%d'",
            "true",
            "current_timestamp",
            "'2020-01-01'",
            "cast(x'ff' as text)",
            "0x10",
        ])
        .into()
}

fn column(random: &mut Random) -> &'static str {
    match random.below(20) {
        0 => random.pick(&["missing", "rowid", "t.a", "rank", "x", "new.a"]),
        _ => random.pick(&["a", "b", "c"]),
    }
}

fn table(random: &mut Random) -> &'static str {
    match random.below(10) {
        0 => random.pick(&["extra", "m.t", "temp.extra", "missing", "main.t", "sqlite_schema"]),
        _ => random.pick(&["t", "t", "u", "u", "v", "f"]),
    }
}

fn or(random: &mut Random) -> &'static str {
    random.pick(&["", "", "", " or ignore", " or replace", " or fail", " or abort", " or rollback"])
}

fn insert(random: &mut Random) -> String {
    match random.below(3) {
        0 => format!(
            "insert{} into t(b, c) values ({}, {})",
            or(random),
            expression(random, 2),
            expression(random, 1)
        ),
        1 => format!(
            "insert{} into u(a, b) values ({}, {})",
            or(random),
            expression(random, 1),
            expression(random, 1)
        ),
        _ => format!("insert into {} {}", table(random), select(random, 1)),
    }
}

fn tail(random: &mut Random) -> String {
    let upsert = random.pick(&[
        "",
        "",
        "",
        " on conflict do nothing",
        " on conflict(b) do update set c = excluded.c",
        " on conflict do update set b = null",
    ]);
    format!("{upsert}{}", returning(random))
}

fn returning(random: &mut Random) -> String {
    match random.below(4) {
        0 => " returning *".into(),
        1 => format!(" returning {}", expression(random, 1)),
        _ => String::new(),
    }
}

fn pragma(random: &mut Random) -> String {
    let value = random.pick(&[
        "on",
        "off",
        "0",
        "1",
        "-4",
        "4096",
        "memory",
        "delete",
        "wal",
        "truncate",
        "off",
        "exclusive",
        "normal",
        "'utf-16'",
        "full",
    ]);
    let name = random.pick(&[
        "foreign_keys",
        "recursive_triggers",
        "cache_size",
        "journal_mode",
        "locking_mode",
        "page_size",
        "auto_vacuum",
        "user_version",
        "application_id",
        "encoding",
        "defer_foreign_keys",
        "query_only",
        "secure_delete",
        "temp_store",
        "synchronous",
        "integrity_check",
        "optimize",
        "schema_version",
        "table_info",
        "writable_schema",
        "cell_size_check",
        "case_sensitive_like",
        "incremental_vacuum",
        "max_page_count",
        "ignore_check_constraints",
        "legacy_alter_table",
        "count_changes",
        "full_column_names",
        "short_column_names",
        "mmap_size",
        "wal_checkpoint",
        "data_version",
        "freelist_count",
        "trusted_schema",
        "analysis_limit",
        "reverse_unordered_selects",
        "hard_heap_limit",
        "automatic_index",
        "cache_spill",
        "read_uncommitted",
        "threads",
        "journal_size_limit",
    ]);
    match random.below(3) {
        0 => format!("pragma {name}"),
        1 => format!("pragma {name}({value})"),
        _ => format!("pragma {name} = {value}"),
    }
}

fn definition(random: &mut Random) -> String {
    let exists = random.pick(&["", "if not exists "]);
    match random.below(12) {
        0 => format!(
            "create table {exists}extra(a, b integer primary key, c generated always as ({}) virtual)",
            expression(random, 1)
        ),
        1 => format!("create temp table {exists}extra(a primary key, b) without rowid"),
        2 => format!("create table extra as {}", select(random, 1)),
        3 => format!("create index {exists}i on t({})", expression(random, 2)),
        4 => format!("create view {exists}w as {}", select(random, 2)),
        5 => format!(
            "create trigger {exists}g {} {} on {} begin {}; end",
            random.pick(&["before", "after", "instead of"]),
            random.pick(&["insert", "update", "delete"]),
            table(random),
            insert(random)
        ),
        6 => format!("alter table {} add column d default {}", table(random), literal(random)),
        7 => format!(
            "alter table {} rename {}",
            table(random),
            random.pick(&["to extra", "column b to bb", "to t"])
        ),
        8 => format!("alter table {} drop column {}", table(random), column(random)),
        9 => format!(
            "drop {} if exists {}",
            random.pick(&["table", "view", "index", "trigger"]),
            random.pick(&["extra", "w", "i", "g", "v", "u_b", "tr"])
        ),
        10 => "create virtual table ft using fts5(a, content = t)".into(),
        _ => "create table s(a integer, b text) strict".into(),
    }
}

/// Drops, doubles or swaps words.
fn shuffle(random: &mut Random, statement: &str) -> String {
    let mut words: Vec<&str> = statement.split(' ').collect();
    let (one, two) = (random.below(words.len()), random.below(words.len()));
    match random.below(4) {
        0 => drop(words.remove(one)),
        1 => words.insert(two, words[one]),
        2 => words.swap(one, two),
        _ => words.truncate(one),
    }
    words.join(" ")
}
