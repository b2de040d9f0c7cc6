//! What plugins read from: SQL in the middle of somebody else's statement.
//!
//! Guarantees: a plugin's statement is one SELECT. It changes nothing, neither rows nor
//! transactions nor the connection, and it is over when the plugin has its answer. It sees what the
//! statement that called the plugin has written so far.
//!
//! Each is compiled for itself: what is compiled already may be running right now.

use std::fmt::Write;
use std::rc::{Rc, Weak};

use lix_engine_protocol::{Error, Reason, Result};
use serde_json::Value;

use super::{Lix, json};
use crate::sqlite::{Bound, Prepared, Statement, Stored, start_of_more};
use crate::{PluginQuery, base64};

/// Reads of a lix.
pub(super) struct Query(Weak<Lix>);

impl Query {
    /// The connection must not be kept alive by whoever reads.
    pub(super) fn new(lix: &Rc<Lix>) -> Self {
        Self(Rc::downgrade(lix))
    }
}

impl PluginQuery for Query {
    fn query(&self, sql: &str, params: &str) -> Result<String> {
        let Some(lix) = self.0.upgrade() else {
            return Err(Error::new(Reason::Closed, "the database is closed"));
        };
        let params = match json::parse(params) {
            Ok(Value::Array(params)) => params,
            _ => return Err(Error::new(Reason::ParamInvalid, "parameters are a JSON array")),
        };
        let link = lix.sql.link();
        let _reading = link.reading();
        let mut statement = prepare(&lix, sql)?;
        if lix.notes_reads() && statement.reads_elsewhere() {
            lix.note_any_commit();
        }
        bind(&mut statement, &params)?;

        let names: Vec<String> =
            (0..statement.column_count()).map(|index| statement.column(index).0).collect();
        let mut answer = String::from("{\"columns\":");
        answer.push_str(&Value::from(names.clone()).to_string());
        answer.push_str(",\"rows\":[");
        let mut is_first = true;
        while statement.step()? {
            answer.push_str(if is_first { "[" } else { ",[" });
            is_first = false;
            for index in 0..names.len() {
                if index > 0 {
                    answer.push(',');
                }
                push(statement.cell(index), &mut answer);
            }
            answer.push(']');
            if answer.len() > ANSWER_BYTES {
                let message = format!("a plugin's query found more than {ANSWER_BYTES} bytes");
                return Err(Error::new(Reason::ResultTooLarge, message));
            }
        }
        answer.push_str("]}");
        Ok(answer)
    }
}

fn prepare(lix: &Lix, sql: &str) -> Result<Statement> {
    if sql.len() > SQL_BYTES {
        return Err(Error::limit("max_sql_bytes", SQL_BYTES as u64, sql.len()));
    }
    if sql.contains('\0') {
        return Err(Error::new(Reason::SqlSyntax, "the SQL text contains a NUL byte"));
    }
    let (statement, tail) = match Statement::prepare(lix.sql.link(), sql)? {
        Prepared::Statement { statement, tail } => (statement, tail),
        Prepared::Nothing => {
            return Err(Error::new(Reason::SqlEmpty, "the SQL text holds no statement"));
        }
    };
    if start_of_more(&sql[tail..]).is_some() {
        return Err(Error::new(Reason::SqlMultiple, "a plugin runs one statement at a time"));
    }
    if statement.writes() {
        return Err(Error::new(Reason::ReadOnly, "plugins read; what they return is written"));
    }
    Ok(statement)
}

fn bind(statement: &mut Statement, params: &[Value]) -> Result<()> {
    let count = statement.parameter_count();
    if params.len() != count {
        let (reason, subject) = match params.len() > count {
            true => (Reason::ParamUnknown, count + 1),
            false => (Reason::ParamMissing, params.len() + 1),
        };
        let message = format!("the statement has {count} parameters, {} values came", params.len());
        return Err(Error::new(reason, message).subject(subject.to_string()));
    }
    for (index, param) in params.iter().enumerate() {
        let place = index + 1;
        let blob;
        let bound = match param {
            Value::Null => Bound::Null,
            Value::Bool(value) => Bound::Integer(i64::from(*value)),
            Value::String(text) => Bound::Text(text),
            Value::Number(number) => match number.as_i64() {
                Some(integer) => Bound::Integer(integer),
                None => Bound::Real(number.as_f64().unwrap_or(f64::INFINITY)),
            },
            Value::Array(_) | Value::Object(_) => match spelled(param) {
                Some(Spelled::Integer(integer)) => Bound::Integer(integer),
                Some(Spelled::Blob(bytes)) => {
                    blob = bytes;
                    Bound::Blob(&blob)
                }
                None => {
                    let message = format!("parameter {place}: SQLite has no such values");
                    return Err(
                        Error::new(Reason::ParamInvalid, message).subject(place.to_string())
                    );
                }
            },
        };
        statement.bind(place, bound, true)?;
    }
    Ok(())
}

/// Values that JSON has no words for.
enum Spelled {
    Integer(i64),
    Blob(Vec<u8>),
}

fn spelled(param: &Value) -> Option<Spelled> {
    let object = param.as_object().filter(|object| object.len() == 1)?;
    let (name, text) = object.iter().next()?;
    match &**name {
        "integer" => text.as_str()?.parse().ok().map(Spelled::Integer),
        "base64" => base64::decode(text.as_str()?).map(Spelled::Blob),
        _ => None,
    }
}

fn push(cell: Stored<'_>, answer: &mut String) {
    let written = match cell {
        Stored::Null => write!(answer, "null"),
        Stored::Integer(value) if value.unsigned_abs() > SAFE_INTEGER => {
            write!(answer, "{{\"integer\":\"{value}\"}}")
        }
        Stored::Integer(value) => write!(answer, "{value}"),
        // What a reader of JSON takes for infinite.
        Stored::Real(value) if value.is_infinite() => {
            write!(answer, "{}1e999", if value < 0.0 { "-" } else { "" })
        }
        Stored::Real(value) => write!(answer, "{}", Value::from(value)),
        Stored::Text(bytes) => {
            write!(answer, "{}", Value::from(String::from_utf8_lossy(bytes)))
        }
        Stored::Blob(bytes) => write!(answer, "{{\"base64\":\"{}\"}}", base64::encode(bytes)),
    };
    written.expect("a text grows");
}

/// Beyond it, not every integer is a number of JavaScript.
const SAFE_INTEGER: u64 = 1 << 53;
const SQL_BYTES: usize = 1024 * 1024;
const ANSWER_BYTES: usize = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lix_engine_protocol::proto::LixOptions;

    use super::super::{open, testing};
    use super::*;
    use crate::sqlite::Link;
    use crate::sqlite::function::Owned;
    use crate::vfs::SharedImage;

    /// A lix whose SQL function `ask(sql, params)` asks as a plugin would: from the inside of a
    /// statement.
    fn lix() -> Rc<Lix> {
        let platform = Arc::new(testing::Standing);
        let Ok(link) = Link::open(SharedImage::default(), platform.clone()) else {
            panic!("memory can be opened");
        };
        let opened = open::open(&link, platform, Some(&LixOptions::default())).expect("a new lix");
        let lix = opened.expect("a lix was asked for").lix;
        let query = Query::new(&lix);
        let ask = move |arguments: &[Stored<'_>]| {
            let [Stored::Text(sql), Stored::Text(params)] = arguments else { panic!("two texts") };
            let text = |bytes| std::str::from_utf8(bytes).expect("UTF-8");
            query.query(text(sql), text(params)).map(|answer| Owned::Text(answer.into()))
        };
        link.register_function("ask", 2, false, Rc::new(ask)).expect("a name that is free");
        lix
    }

    fn query(lix: &Rc<Lix>, sql: &str, params: &str) -> std::result::Result<String, Reason> {
        Query::new(lix).query(sql, params).map_err(|error| error.reason)
    }

    fn user(lix: &Rc<Lix>, sql: &str) -> Vec<String> {
        let Ok(Prepared::Statement { mut statement, .. }) = Statement::prepare(lix.sql.link(), sql)
        else {
            panic!("{sql} can be compiled");
        };
        let mut rows = Vec::new();
        while statement.step().map_err(Error::from).expect("it runs") {
            rows.push(match statement.cell(0) {
                Stored::Integer(value) => value.to_string(),
                _ => statement.text(0).to_string(),
            });
        }
        rows
    }

    #[test]
    fn values_come_as_json() {
        let sql = "select 1 as a, 9007199254740993 as b, -0.5 as c, 2.0 as d, cast(x'78002279' as text) as e,
                   x'00ff' as f, null as f, 9e999 as g";
        let answer = query(&lix(), sql, "[]").expect("a query");
        let expected = r#"{"columns":["a","b","c","d","e","f","f","g"],"rows":[[1,{"integer":"9007199254740993"},-0.5,2.0,"x\u0000\"y","#;
        assert!(answer.starts_with(expected), "{answer}");
        assert!(answer.ends_with(r#"{"base64":"AP8="},null,1e999]]}"#), "{answer}");
        assert_eq!(
            query(&lix(), "select 1 as one where 0", "[]").as_deref(),
            Ok(r#"{"columns":["one"],"rows":[]}"#)
        );
    }

    #[test]
    fn values_go_in_as_json() {
        let params =
            r#"[null, true, "t", 7, 0.5, {"integer": "9007199254740993"}, {"base64": "AP8="}]"#;
        let sql = "select quote(?) || quote(?) || quote(?) || quote(?) || quote(?) || quote(?) || quote(?) as q";
        assert_eq!(
            query(&lix(), sql, params).as_deref(),
            Ok(r#"{"columns":["q"],"rows":[["NULL1't'70.59007199254740993X'00FF'"]]}"#)
        );
        for (params, reason) in [
            ("[]", Reason::ParamMissing),
            ("[1, 2]", Reason::ParamUnknown),
            ("[[]]", Reason::ParamInvalid),
            (r#"[{"integer": 1}]"#, Reason::ParamInvalid),
            (r#"[{"base64": "?"}]"#, Reason::ParamInvalid),
            ("{}", Reason::ParamInvalid),
            ("", Reason::ParamInvalid),
        ] {
            assert_eq!(query(&lix(), "select ?", params), Err(reason), "{params}");
        }
    }

    #[test]
    fn nothing_but_reading_is_allowed() {
        let lix = lix();
        user(&lix, "create table t (x)");
        let before = user(&lix, "select count(*) from sqlite_schema");
        for sql in [
            "insert into t values (1)",
            "insert into key_value (key, value) values ('k', 'v')",
            "update t set x = 1",
            "delete from t",
            "create table u (x)",
            "create temp table u (x)",
            "drop table t",
            "alter table t rename to u",
            "begin",
            "begin immediate",
            "commit",
            "rollback",
            "savepoint s",
            "release s",
            "attach ':memory:' as other",
            "detach main",
            "pragma foreign_keys = off",
            "pragma user_version",
            "vacuum",
            "analyze",
            "reindex",
            "select * from lix_create_version('{\"name\": \"v\"}')",
        ] {
            assert_eq!(query(&lix, sql, "[]"), Err(Reason::ReadOnly), "{sql}");
        }
        assert_eq!(user(&lix, "select count(*) from sqlite_schema"), before);
        assert!(user(&lix, "select x from t").is_empty());
        assert_eq!(user(&lix, "select count(*) from version where name = 'v'"), ["0"]);
        // Users may do again what they may.
        user(&lix, "insert into t values (1)");
    }

    #[test]
    fn one_statement_at_a_time() {
        let lix = lix();
        for (sql, reason) in [
            ("", Reason::SqlEmpty),
            (" ; -- nothing", Reason::SqlEmpty),
            ("select 1; select 2", Reason::SqlMultiple),
            ("selec 1", Reason::SqlSyntax),
            ("select 1 \0", Reason::SqlSyntax),
            ("select * from nowhere", Reason::SqlError),
        ] {
            assert_eq!(query(&lix, sql, "[]"), Err(reason), "{sql}");
        }
        assert!(query(&lix, "select 1; -- that is all", "[]").is_ok());
        let long = format!("select '{}'", "x".repeat(SQL_BYTES));
        assert_eq!(query(&lix, &long, "[]"), Err(Reason::LimitExceeded));
    }

    #[test]
    fn questions_come_from_within_statements() {
        let lix = lix();
        user(&lix, "begin");
        user(&lix, "insert into key_value (key, value) values ('a', '1')");
        // In the middle of a scan of the same table, by the same text, and again within that.
        let sql = "select ask('select ask(''select count(*) as n from key_value where key = ?'', ''[\"a\"]'') as n', '[]') from key_value where key = 'a'";
        let inner = r#"{"columns":["n"],"rows":[[1]]}"#;
        let outer = format!(r#"{{"columns":["n"],"rows":[[{}]]}}"#, Value::from(inner));
        assert_eq!(user(&lix, sql), [outer]);
        // A write goes on after its question, and one that is refused leaves the transaction open.
        user(&lix, "update key_value set value = ask('select 1 as one', '[]') where key = 'a'");
        assert_eq!(
            user(&lix, "select value ->> '$.rows[0][0]' from key_value where key = 'a'"),
            ["1"]
        );
        let Ok(Prepared::Statement { mut statement, .. }) =
            Statement::prepare(lix.sql.link(), "select ask('commit', '[]')")
        else {
            panic!("it can be compiled");
        };
        let error = statement.step().map_err(Error::from).expect_err("plugins do not commit");
        assert_eq!(error.reason, Reason::ReadOnly);
        drop(statement);
        assert!(lix.sql.link().in_transaction());
        user(&lix, "rollback");
        assert_eq!(user(&lix, "select count(*) from key_value where key = 'a'"), ["0"]);
    }

    #[test]
    fn answers_have_an_end() {
        let sql = "with recursive n(i) as (select 1 union all select i + 1 from n)
                   select hex(zeroblob(500000)) from n";
        assert_eq!(query(&lix(), sql, "[]"), Err(Reason::ResultTooLarge));
    }

    #[test]
    fn nobody_reads_what_is_closed() {
        let lix = lix();
        let query = Query::new(&lix);
        drop(lix);
        let error = query.query("select 1", "[]").expect_err("it is closed");
        assert_eq!(error.reason, Reason::Closed);
    }
}
