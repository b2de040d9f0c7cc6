//! The SQL of `docs/sql-reference.md` runs from top to bottom in one new lix, and gives the rows
//! that the page shows.

#![allow(clippy::result_large_err, reason = "an error of the protocol, not of a hot path")]

#[allow(dead_code, reason = "shared with the tests of the session")]
#[path = "session/host.rs"]
mod host;

use host::Host;
use lix_engine_protocol::proto::{ExecResponse, InitRequest, LixOptions, request, response};
use lix_engine_protocol::{Cell, cells};

#[test]
fn sql_reference() {
    let mut host = Host::new();
    let init = InitRequest { lix: Some(LixOptions::default()), ..Default::default() };
    let answer = host.call(request::Call::Init(init)).outcome;
    assert!(matches!(answer, Some(response::Outcome::Init(_))), "{answer:?}");
    let examples = examples(include_str!("../../../docs/sql-reference.md"));
    assert!(examples.len() > 80, "the page has examples");
    let mut differences = String::new();
    for Example { line, sql, rows } in examples {
        let difference = match (host.try_exec(&sql), rows) {
            (Ok(_), None) => continue,
            (Ok(result), Some(rows)) if shown(&result) == rows => continue,
            (Ok(result), Some(_)) => format!("gives {:?}", shown(&result)),
            (Err(error), _) => format!("{error:?}"),
        };
        differences += &format!("\nsql-reference.md:{line}: {sql}{difference}\n");
    }
    assert!(differences.is_empty(), "{differences}");
}

/// A statement of the page.
struct Example {
    line: usize,
    sql: String,
    /// What the page shows below it, if it shows anything.
    rows: Option<Vec<String>>,
}

/// The statements in blocks of SQL: each ends with a line that ends with a semicolon, and lines
/// with an arrow are its rows.
fn examples(page: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let (mut inside, mut sql) = (false, String::new());
    for (number, line) in page.lines().enumerate() {
        if line.starts_with("```") {
            assert!(sql.is_empty(), "sql-reference.md:{number}: a statement without end");
            inside = line == "```sql";
        } else if let Some(row) = line.strip_prefix("--> ").filter(|_| inside) {
            let example = examples.last_mut().expect("rows follow a statement");
            example.rows.get_or_insert_default().push(row.to_owned());
        } else if inside {
            sql.push_str(line);
            sql.push('\n');
            if line.ends_with(';') {
                let sql = std::mem::take(&mut sql);
                examples.push(Example { line: number + 1, sql, rows: None });
            }
        }
    }
    examples
}

/// Rows in the way of the page.
fn shown(result: &ExecResponse) -> Vec<String> {
    let Some(batch) = &result.batch else { return vec![] };
    let columns: Vec<Vec<String>> = cells(batch)
        .map(|column| column.expect("a sound batch").map(|cell| text(&cell)).collect())
        .collect();
    let row =
        |index: usize| columns.iter().map(|column| column[index].as_str()).collect::<Vec<_>>();
    (0..batch.row_count as usize).map(|index| row(index).join(" | ")).collect()
}

fn text(cell: &Cell<'_>) -> String {
    match cell {
        Cell::Null => "NULL".into(),
        Cell::Integer(value) => value.to_string(),
        Cell::Real(value) => value.to_string(),
        Cell::Text(text) => (*text).to_owned(),
        Cell::Blob(_) | Cell::TextRaw(_) => panic!("the page shows no bytes"),
    }
}
