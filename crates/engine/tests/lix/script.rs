//! A lix to test with: statements, the rows they answer, the errors they end in.

use lix_engine_protocol::Reason;
use lix_engine_protocol::proto::{InitRequest, LixKeyValue, LixOptions, request, response};

use crate::host::{Host, init_request};

/// A session with a new lix.
pub(crate) struct Lix {
    pub(crate) host: Host,
}

impl Lix {
    pub(crate) fn new() -> Self {
        Self::with(LixOptions::default())
    }

    /// A new lix with a key value in main.
    pub(crate) fn with_key_value(key: &str, value_json: &str) -> Self {
        let given =
            LixKeyValue { key: key.into(), value_json: value_json.into(), ..Default::default() };
        Self::with(LixOptions { key_values: vec![given] })
    }

    fn with(options: LixOptions) -> Self {
        let mut host = Host::new();
        let init = InitRequest { lix: Some(options), ..init_request() };
        match host.call(request::Call::Init(init)).outcome {
            Some(response::Outcome::Init(_)) => Self { host },
            other => panic!("init was answered with {other:?}"),
        }
    }

    /// A new lix with another version.
    pub(crate) fn with_draft() -> Self {
        let mut lix = Self::new();
        lix.run("select id from lix_create_version('{\"id\": \"draft\", \"name\": \"Draft\"}')");
        lix
    }

    /// Runs statements that have to succeed, one after the other.
    pub(crate) fn run(&mut self, sql: &str) {
        for statement in sql.split(";\n").map(str::trim).filter(|sql| !sql.is_empty()) {
            self.host.exec(statement);
        }
    }

    /// The rows of a query: cells as SQL literals, joined.
    pub(crate) fn rows(&mut self, sql: &str) -> Vec<String> {
        self.host.rows(sql)
    }

    /// The one cell of a query, text without its quotes.
    pub(crate) fn one(&mut self, sql: &str) -> String {
        let rows = self.rows(sql);
        let [cell] = rows.as_slice() else { panic!("{sql}: {rows:?}") };
        match cell.strip_prefix('\'').and_then(|cell| cell.strip_suffix('\'')) {
            Some(text) => text.to_owned(),
            None => cell.clone(),
        }
    }

    /// A statement that has to fail in one way, and what the message has to say.
    pub(crate) fn fails(&mut self, sql: &str, reason: Reason, fragment: &str) {
        match self.host.try_exec(sql) {
            Err(error) => {
                assert_eq!(error.reason, reason.as_str(), "{sql}: {error:?}");
                assert!(error.message.contains(fragment), "{sql}: {}", error.message);
            }
            Ok(answer) => panic!("{sql} succeeded: {answer:?}"),
        }
    }

    /// The id of the version that a new lix begins with.
    pub(crate) fn main(&mut self) -> String {
        self.one("select id from version where name = 'main'")
    }

    /// How SQLite reads the tables of a query, one line per loop.
    pub(crate) fn plan(&mut self, sql: &str) -> Vec<String> {
        let rows = self.rows(&format!("explain query plan {sql}"));
        let detail = |row: &String| row.rsplit(" | ").next().unwrap_or_default().to_owned();
        rows.iter().map(detail).collect()
    }
}
