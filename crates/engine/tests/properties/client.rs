//! The other side of a session: statements out, rows and commit events in.

use bytes::Bytes;
use lix_engine_core::SessionOptions;
use lix_engine_protocol::proto::{
    CommitDetail, EngineError, EventKind, EventOptions, ExecRequest, InitRequest, LixOptions,
    RowBatch, event, init_request, request, response,
};
use lix_engine_protocol::{Cell, cells};

use crate::host::{Host, Sent};
use crate::model::Id;
use crate::watch::Heard;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Value {
    Null,
    Integer(i64),
    Text(Id),
}

impl Value {
    pub(crate) fn text(&self) -> Id {
        self.option().expect("a text")
    }

    pub(crate) fn option(&self) -> Option<Id> {
        match self {
            Self::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    pub(crate) fn integer(&self) -> i64 {
        match self {
            Self::Integer(value) => *value,
            other => panic!("{other:?} is no integer"),
        }
    }
}

pub(crate) type Row = Vec<Value>;

pub(crate) struct Client {
    pub(crate) host: Host,
    /// Rows of the commits since somebody took them.
    pub(crate) events: Vec<Row>,
    /// The same commits, for whoever keeps results.
    pub(crate) heard: Heard,
    /// Every statement that changed something or was meant to, with its error.
    pub(crate) log: Vec<String>,
}

impl Client {
    /// A lix: a new one, or the one of an image.
    pub(crate) fn open(image: Option<&Bytes>) -> Self {
        let mut host = Host::with(SessionOptions::native());
        let events = EventOptions {
            kinds: vec![EventKind::Commit.into()],
            commit_detail: CommitDetail::Values.into(),
        };
        let init = InitRequest {
            seed: image.map(|_| init_request::Seed::ImageAttachment(0)),
            events: Some(events),
            lix: Some(LixOptions::default()),
            ..Default::default()
        };
        let attachments = image.cloned().into_iter().collect();
        match host.call_with(request::Call::Init(init), attachments).response.outcome {
            Some(response::Outcome::Init(_)) => {}
            other => panic!("init was answered with {other:?}"),
        }
        Self { host, events: Vec::new(), heard: Heard::default(), log: Vec::new() }
    }

    pub(crate) fn export(&mut self) -> Bytes {
        self.host.export()
    }

    /// A statement that is part of the sequence: it may be refused.
    pub(crate) fn attempt(&mut self, sql: &str) -> Result<Vec<Row>, EngineError> {
        let result = self.exec(sql);
        let end = match &result {
            Ok(_) => String::new(),
            Err(error) => {
                format!("  -- {}: {}", error.reason, error.message.lines().next().unwrap_or(""))
            }
        };
        self.log.push(format!("{sql};{end}"));
        result
    }

    /// A statement that only looks.
    pub(crate) fn rows(&mut self, sql: &str) -> Result<Vec<Row>, String> {
        self.exec(sql).map_err(|error| format!("{sql}: {}: {}", error.reason, error.message))
    }

    fn exec(&mut self, sql: &str) -> Result<Vec<Row>, EngineError> {
        // Every statement has its own time.
        let now = self.host.platform.now_ms();
        self.host.platform.set_now_ms(now + 1);
        let exec = ExecRequest { sql: sql.into(), ..Default::default() };
        let (_, mut sent) = self.host.send(request::Call::Exec(exec), vec![]);
        sent.extend(self.host.run());
        let mut outcome = None;
        for sent in sent {
            match sent {
                Sent::Event(event::Kind::Commit(commit)) => {
                    assert!(!commit.truncated, "the events of these small commits are complete");
                    self.heard.hear(&commit);
                    self.events.extend(commit.changes.iter().flat_map(table));
                }
                Sent::Answer(answer) => outcome = answer.response.outcome,
                _ => {}
            }
        }
        match outcome {
            Some(response::Outcome::Exec(exec)) => {
                Ok(exec.batch.as_ref().map(table).unwrap_or_default())
            }
            Some(response::Outcome::Error(error)) => Err(error),
            other => panic!("{sql} was answered with {other:?}"),
        }
    }
}

fn table(batch: &RowBatch) -> Vec<Row> {
    let value = |cell: Cell<'_>| match cell {
        Cell::Null => Value::Null,
        Cell::Integer(value) => Value::Integer(value),
        Cell::Text(text) => Value::Text(text.into()),
        other => panic!("nothing that is asked for is {other:?}"),
    };
    let columns: Vec<Vec<Value>> = cells(batch)
        .map(|column| column.expect("an engine's batch is well formed").map(value).collect())
        .collect();
    let row = |row: usize| columns.iter().map(|column| column[row].clone()).collect();
    (0..batch.row_count as usize).map(row).collect()
}
