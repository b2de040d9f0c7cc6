//! SQL test files in the format of sqllogictest, over the protocol, against any implementation.
//!
//! The crate `sqllogictest` reads the files and compares; here is what it asks: each statement is an ExecRequest on a session
//! with a database in memory, new for every file. Results are printed as SQLite's own sqllogictest prints them, by the
//! type string of the query, so that files made with it can be used as they are: one value a line or one row a line.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use sqllogictest::{
    ColumnType, Condition, Connection, Control, DBOutput, QueryExpect, Record, RecordOutput,
    TestErrorKind,
};

use crate::glob;
use crate::implementation::Config;
use crate::play::{self, Facts};
use crate::proto::{self, Fields as _};
use crate::report::{escape, seconds};
use crate::session::{Session, error_name};
use crate::suite;
use crate::trace::Recorder;
use crate::transport::{self, OpenOptions, Target};
use crate::value::Cell;

/// A file, read and checked: what is to be run of it, in order.
#[derive(Debug)]
pub struct Script {
    /// As it was named.
    pub name: String,
    steps: Vec<Step>,
    /// Records that conditions exclude.
    skipped: usize,
}

#[derive(Clone, Debug)]
struct Step {
    /// `file:line`
    at: String,
    record: Record<Kind>,
}

/// What a file came to. Everything counts records.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The file.
    pub name: String,
    /// As expected.
    pub passed: usize,
    /// What was not: `file:line: …`, over several lines.
    pub failures: Vec<String>,
    /// Excluded by conditions.
    pub skipped: usize,
    /// Behind the one at which the session ended.
    pub not_run: usize,
    /// How long it took.
    pub duration: Duration,
}

impl Outcome {
    /// One line, and what failed below it.
    pub fn human(&self) -> String {
        let mut out = match self.failures.len() {
            0 => format!("ok {} records", self.passed),
            failed => format!("FAILED {failed} of {} records", failed + self.passed),
        };
        if self.skipped > 0 {
            let _ = write!(out, ", {} skipped", self.skipped);
        }
        if self.not_run > 0 {
            let _ = write!(out, ", {} not run", self.not_run);
        }
        let mut out = format!("{}: {out}\n", self.name);
        for failure in self.failures.iter().take(SHOWN_FAILURES) {
            let _ = writeln!(out, "  {}", failure.replace('\n', "\n  "));
        }
        if self.failures.len() > SHOWN_FAILURES {
            let _ = writeln!(out, "  … and {} more", self.failures.len() - SHOWN_FAILURES);
        }
        out
    }
}

/// A test case for each file.
pub fn junit(outcomes: &[Outcome]) -> String {
    let failed = outcomes.iter().filter(|outcome| !outcome.failures.is_empty()).count();
    let time = seconds(outcomes.iter().map(|outcome| outcome.duration.as_millis() as u64).sum());
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"slt\" tests=\"{}\" failures=\"{failed}\" time=\"{time}\">\n",
        outcomes.len()
    );
    for outcome in outcomes {
        let _ = write!(
            out,
            "    <testcase classname=\"slt\" name=\"{}\" time=\"{}\"",
            escape(&outcome.name),
            seconds(outcome.duration.as_millis() as u64)
        );
        match outcome.failures.first() {
            None => out.push_str("/>\n"),
            Some(first) => {
                let _ = writeln!(
                    out,
                    "><failure message=\"{}\">{}</failure></testcase>",
                    escape(first.lines().next().unwrap_or_default()),
                    escape(&outcome.failures.join("\n"))
                );
            }
        }
    }
    out + "  </testsuite>\n</testsuites>\n"
}

/// Why nothing was run.
#[derive(Debug)]
pub enum Refused {
    /// Files that are missing, malformed, or ask for what there is not.
    Files(Vec<String>),
    /// The implementation did not start, or its handshake is wrong.
    NotStarted(String),
}

/// The files to run: those named, all below the folders named, `.slt` and `.test`.
pub fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>, Refused> {
    let (mut files, mut faults) = (Vec::new(), Vec::new());
    for path in named {
        if suite::exists(path) {
            files.push(path.clone());
            continue;
        }
        let found = ["slt", "test"].map(|extension| suite::find(path, extension));
        let found: Result<Vec<_>, _> = found.into_iter().collect();
        match found {
            Err(error) => faults.push(format!("{}: {error}", path.display())),
            Ok(found) => {
                let found: Vec<PathBuf> = found.into_iter().flatten().collect();
                if found.is_empty() {
                    faults.push(format!("{}: no file *.slt or *.test in it", path.display()));
                }
                files.extend(found);
            }
        }
    }
    if faults.is_empty() { Ok(files) } else { Err(Refused::Files(faults)) }
}

/// Reads files. `labels` are names that `onlyif` and `skipif` know beside `sqlite`; no record may wait longer than `patience`.
pub fn read(
    files: &[PathBuf],
    labels: &[String],
    patience: Duration,
) -> Result<Vec<Script>, Refused> {
    let (mut scripts, mut faults) = (Vec::new(), Vec::new());
    for file in files {
        let mut reader = Reader {
            labels: labels.iter().map(String::as_str).chain([ENGINE]).collect(),
            patience,
            including: Vec::new(),
            steps: Vec::new(),
            skipped: 0,
            is_halted: false,
        };
        match reader.file(file) {
            Ok(()) => scripts.push(Script {
                name: shown_path(file),
                steps: reader.steps,
                skipped: reader.skipped,
            }),
            Err(why) => faults.push(why),
        }
    }
    if faults.is_empty() { Ok(scripts) } else { Err(Refused::Files(faults)) }
}

fn shown_path(path: &Path) -> String {
    path.strip_prefix(suite::EMBEDDED).unwrap_or(path).display().to_string()
}

struct Reader<'a> {
    labels: HashSet<&'a str>,
    patience: Duration,
    /// The files that are being included, outermost first.
    including: Vec<PathBuf>,
    steps: Vec<Step>,
    skipped: usize,
    is_halted: bool,
}

impl Reader<'_> {
    fn file(&mut self, path: &Path) -> Result<(), String> {
        let text = suite::read_text(path)?;
        let name = shown_path(path);
        let records = sqllogictest::parse_with_name::<Kind>(&without_remarks(&text), name.as_str())
            .map_err(|error| format!("{}: {}", line_of(&error.location()), error.kind()))?;
        self.including.push(path.to_path_buf());
        let mut conditions = Vec::new();
        for record in records {
            if self.is_halted {
                break;
            }
            if let Record::Condition(condition) = record {
                conditions.push(condition);
                continue;
            }
            if matches!(record, Record::Comment(_) | Record::Newline | Record::Connection(_)) {
                continue;
            }
            let is_skipped =
                std::mem::take(&mut conditions).iter().any(|condition| self.excludes(condition));
            self.record(record, is_skipped, path)?;
        }
        self.including.pop();
        Ok(())
    }

    fn excludes(&self, condition: &Condition) -> bool {
        match condition {
            Condition::OnlyIf { label } => !self.labels.contains(label.as_str()),
            Condition::SkipIf { label } => self.labels.contains(label.as_str()),
        }
    }

    fn record(
        &mut self,
        mut record: Record<Kind>,
        is_skipped: bool,
        path: &Path,
    ) -> Result<(), String> {
        let counts =
            matches!(record, Record::Statement { .. } | Record::Query { .. } | Record::Let { .. });
        if is_skipped {
            self.skipped += usize::from(counts);
            return Ok(());
        }
        let at = match &mut record {
            Record::Statement { loc, connection, conditions, retry, .. }
            | Record::Query { loc, connection, conditions, retry, .. } => {
                let at = line_of(loc);
                no_connection(connection, &at)?;
                // They have been judged; the parser also hands on those of a halt.
                conditions.clear();
                if let Some(retry) = retry {
                    self.bounded(
                        retry.backoff * u32::try_from(retry.attempts).unwrap_or(u32::MAX),
                        &at,
                    )?;
                }
                at
            }
            Record::Let { loc, connection, conditions, .. } => {
                let at = line_of(loc);
                no_connection(connection, &at)?;
                conditions.clear();
                at
            }
            Record::System { loc, .. } => {
                return Err(format!(
                    "{}: `system` is not supported: files test SQL, and commands are not run",
                    line_of(loc)
                ));
            }
            Record::Sleep { loc, duration } => {
                let at = line_of(loc);
                self.bounded(*duration, &at)?;
                at
            }
            Record::Halt { .. } => {
                self.is_halted = true;
                return Ok(());
            }
            Record::Include { loc, filename } => {
                return self.include(&line_of(loc), filename, path);
            }
            Record::HashThreshold { loc, .. } | Record::Subtest { loc, .. } => line_of(loc),
            Record::Control(
                Control::SortMode(_) | Control::ResultMode(_) | Control::Substitution(_),
            ) => String::new(),
            _ => return Err(format!("{}: a record that is not supported", shown_path(path))),
        };
        self.steps.push(Step { at, record });
        Ok(())
    }

    fn bounded(&self, wait: Duration, at: &str) -> Result<(), String> {
        if wait > self.patience {
            return Err(format!("{at}: waits {wait:?}, longer than a record may (--timeout-ms)"));
        }
        Ok(())
    }

    /// The file named, beside the one that names it; `*` stands for anything in its last part.
    fn include(&mut self, at: &str, name: &str, from: &Path) -> Result<(), String> {
        let complain = |why: String| format!("{at}: include {name}: {why}");
        let path = from.parent().unwrap_or(Path::new("")).join(name);
        let pattern =
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let found = if pattern.contains('*') {
            let dir = path.parent().unwrap_or(Path::new("."));
            let extension = pattern.rsplit_once('.').map_or("slt", |(_, extension)| extension);
            let files = suite::find(dir, extension).map_err(|error| complain(error.to_string()))?;
            let direct = files.into_iter().filter(|file| {
                file.parent() == Some(dir)
                    && file
                        .file_name()
                        .is_some_and(|name| glob::matches(&pattern, &name.to_string_lossy()))
            });
            direct.collect()
        } else {
            vec![path]
        };
        if found.is_empty() {
            return Err(complain("there is no such file".to_owned()));
        }
        for file in found {
            if self.including.contains(&file) || self.including.len() > DEEPEST {
                return Err(complain("a file that includes itself".to_owned()));
            }
            self.file(&file)
                .map_err(|why| if suite::exists(&file) { why } else { complain(why) })?;
        }
        Ok(())
    }
}

fn no_connection(connection: &Connection, at: &str) -> Result<(), String> {
    match connection {
        Connection::Default => Ok(()),
        Connection::Named(name) => Err(format!(
            "{at}: `connection {name}` is not supported: a session is one connection, and a file has one session"
        )),
    }
}

fn line_of(location: &sqllogictest::Location) -> String {
    format!("{}:{}", location.file(), location.line())
}

/// SQLite's files have remarks behind conditions, which the parser does not know.
fn without_remarks(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let is_condition = line.starts_with("onlyif ") || line.starts_with("skipif ");
        out.push_str(match line.split_once(" #") {
            Some((condition, _)) if is_condition => condition.trim_end(),
            _ => line,
        });
        out.push('\n');
    }
    out
}

/// Runs scripts one after the other, each in a session of its own, and tells about each when it is done.
pub fn run(
    config: &Config,
    scripts: &[Script],
    timeout: Duration,
    mut done: impl FnMut(&Outcome),
) -> Result<(Facts, Vec<Outcome>), Refused> {
    std::thread::scope(|scope| {
        let (asks, queue) = channel();
        let (ready, is_ready) = channel();
        // What is connected to an implementation stays on one thread.
        scope.spawn(move || serve(config, timeout, &queue, &ready));
        let facts = is_ready
            .recv()
            .unwrap_or_else(|_| Err("the runner panicked".to_owned()))
            .map_err(|why| Refused::NotStarted(format!("{}: {why}", config.name)))?;
        let mut outcomes = Vec::new();
        for script in scripts {
            let outcome = play_script(script, &asks);
            done(&outcome);
            outcomes.push(outcome);
        }
        Ok((facts, outcomes))
    })
}

fn play_script(script: &Script, asks: &Sender<Asked>) -> Outcome {
    let started = Instant::now();
    let state = Arc::<Mutex<State>>::default();
    let mut outcome =
        Outcome { name: script.name.clone(), skipped: script.skipped, ..Outcome::default() };
    let (asks_of_db, state_of_db) = (asks.clone(), Arc::clone(&state));
    let mut runner = sqllogictest::Runner::new(move || {
        let db = Db { asks: asks_of_db.clone(), state: Arc::clone(&state_of_db) };
        async move { Ok(db) }
    });
    runner.with_validator(either_way);
    runner.with_column_validator(|actual, expected| actual.len() == expected.len());
    let mut results_by_label = HashMap::new();
    if let Err(why) = ask(asks, Ask::Open) {
        outcome.failures.push(format!("{}: no session: {}", script.name, why.text));
        outcome.not_run = script.steps.len();
        return outcome;
    }
    for (index, Step { at, record }) in script.steps.iter().enumerate() {
        let (mut label, mut sql) = (None, String::new());
        let counts = match record {
            Record::Statement { sql: text, .. } | Record::Let { sql: text, .. } => {
                sql.clone_from(text);
                true
            }
            Record::Query { sql: text, expected, .. } => {
                sql.clone_from(text);
                if let QueryExpect::Results { types, label: own, .. } = expected {
                    lock(&state).kinds = Some(types.clone());
                    label = own.clone();
                }
                true
            }
            _ => false,
        };
        let result = runner.run(record.clone());
        let mut faults: Vec<String> = {
            let mut state = lock(&state);
            state.kinds = None;
            state
                .breaches
                .drain(..)
                .map(|breach| format!("the engine breaks a rule: {breach}"))
                .collect()
        };
        match result {
            Ok(RecordOutput::Query { rows, .. }) => {
                if let Some(label) = label {
                    let values: Vec<String> = rows.into_iter().flatten().collect();
                    let (first, earlier) = results_by_label
                        .entry(label.clone())
                        .or_insert_with(|| (at.clone(), values.clone()));
                    if *earlier != values {
                        faults.push(format!(
                            "other results than at {first}, which has the same label {label}"
                        ));
                    }
                }
            }
            Ok(_) => {}
            Err(error) => faults.push(difference(&error.kind())),
        }
        if faults.is_empty() {
            outcome.passed += usize::from(counts);
        } else {
            let sql = sql.lines().map(str::trim).collect::<Vec<_>>().join(" ");
            outcome.failures.push(format!(
                "{at}: {}\n  {}",
                cut(&sql, 200),
                faults.join("\n").replace('\n', "\n  ")
            ));
        }
        if lock(&state).is_gone {
            let rest = script.steps[index + 1..].iter();
            outcome.not_run =
                rest.filter(|step| !matches!(step.record, Record::Control(_))).count();
            break;
        }
    }
    drop(runner);
    if !lock(&state).is_gone
        && let Err(why) = ask(asks, Ask::Close)
    {
        outcome.failures.push(format!("{}: after the last record: {}", script.name, why.text));
    }
    outcome.duration = started.elapsed();
    outcome
}

/// What the engine did, in one to some lines.
fn difference(kind: &TestErrorKind) -> String {
    let named =
        |error: &Arc<dyn std::error::Error + Send + Sync>| match error.downcast_ref::<Failure>() {
            Some(Failure { name, text, .. }) if !name.is_empty() => format!("{name}: {text}"),
            _ => error.to_string(),
        };
    let block = |text: &str| match text.lines().count() {
        0 => "  (nothing)".to_owned(),
        lines => {
            let mut shown: Vec<String> =
                text.lines().take(SHOWN_LINES).map(|line| format!("  {line}")).collect();
            if lines > SHOWN_LINES {
                shown.push(format!("  … and {} more lines", lines - SHOWN_LINES));
            }
            shown.join("\n")
        }
    };
    match kind {
        TestErrorKind::Ok { .. } => "succeeds, and should fail".to_owned(),
        TestErrorKind::Fail { err, .. } => named(err),
        TestErrorKind::ErrorMismatch { err, expected_err, .. } => {
            format!("fails, but not with {expected_err}: {}", named(err))
        }
        TestErrorKind::StatementResultMismatch { expected, actual, .. } => {
            format!("expected {expected} rows, {actual}")
        }
        TestErrorKind::QueryResultMismatch { expected, actual, .. } => {
            format!("expected\n{}\nactual\n{}", block(expected), block(actual))
        }
        TestErrorKind::QueryResultColumnsMismatch { expected, actual, .. } => {
            format!("expected {} columns ({expected}), actual {}", expected.len(), actual.len())
        }
        other => other.to_string(),
    }
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// Results are written one row a line, or, as SQLite does, one value a line. The number of columns has been compared before.
fn either_way(
    normalizer: sqllogictest::Normalizer,
    actual: &[Vec<String>],
    expected: &[String],
) -> bool {
    let values: Vec<Vec<String>> =
        actual.iter().flatten().map(|value| vec![value.clone()]).collect();
    sqllogictest::default_validator(normalizer, actual, expected)
        || sqllogictest::default_validator(normalizer, &values, expected)
}

/// The type of a column in a query's type string, which says how its values are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
    Real,
    /// As the value itself is.
    Any,
}

impl ColumnType for Kind {
    fn from_char(value: char) -> Option<Kind> {
        Some(match value {
            'T' => Kind::Text,
            'I' => Kind::Integer,
            'R' => Kind::Real,
            '?' => Kind::Any,
            _ => return None,
        })
    }

    fn to_char(&self) -> char {
        match self {
            Kind::Text => 'T',
            Kind::Integer => 'I',
            Kind::Real => 'R',
            Kind::Any => '?',
        }
    }
}

/// A value as sqllogictest prints it.
fn printed(cell: &Cell, kind: Kind) -> String {
    if matches!(cell, Cell::Null) {
        return "NULL".to_owned();
    }
    match kind {
        Kind::Integer => match cell {
            Cell::Integer(value) => value.to_string(),
            Cell::Real(value) => (*value as i64).to_string(),
            other => leading_number(&bytes_of(other)).0.to_string(),
        },
        Kind::Real => {
            let value = match cell {
                Cell::Integer(value) => *value as f64,
                Cell::Real(value) => *value,
                other => leading_number(&bytes_of(other)).1,
            };
            format!("{value:.3}")
        }
        Kind::Text | Kind::Any => {
            let bytes = bytes_of(cell);
            if bytes.is_empty() {
                return "(empty)".to_owned();
            }
            let text = String::from_utf8_lossy(&bytes);
            text.chars().map(|c| if c.is_control() || c == '\u{fffd}' { '@' } else { c }).collect()
        }
    }
}

fn bytes_of(cell: &Cell) -> Vec<u8> {
    match cell {
        Cell::Text(bytes) | Cell::Blob(bytes) | Cell::TextRaw(bytes) => bytes.clone(),
        Cell::Integer(value) => value.to_string().into_bytes(),
        Cell::Real(value) => real_text(*value).into_bytes(),
        Cell::Null => Vec::new(),
    }
}

/// The number at the beginning of a text as a cast finds it, as integer and as real.
fn leading_number(bytes: &[u8]) -> (i64, f64) {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start();
    let sign = usize::from(text.starts_with(['-', '+']));
    let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
    let whole = sign + digits(sign);
    let integer = match text[..whole].parse::<i128>() {
        Ok(value) => i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX }),
        Err(_) => 0,
    };
    let mut end = whole;
    if text[end..].starts_with('.') {
        end += 1 + digits(end + 1);
    }
    if text[end..].starts_with(['e', 'E']) {
        let sign = end + 1 + usize::from(text[end + 1..].starts_with(['-', '+']));
        if digits(sign) > 0 {
            end = sign + digits(sign);
        }
    }
    (integer, text[..end].parse().unwrap_or(0.0))
}

/// A real as SQLite makes a text of it: 15 digits, and always a point.
fn real_text(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:.14e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("that is the format");
    let exponent: i32 = exponent.parse().expect("it is a number");
    let pointed = |text: &str| {
        let text = text.trim_end_matches('0');
        if text.ends_with('.') { format!("{text}0") } else { text.to_owned() }
    };
    if (-4..=14).contains(&exponent) {
        let places = usize::try_from(14 - exponent).expect("at most 18");
        let plain = format!("{value:.places$}");
        return pointed(&if plain.contains('.') { plain } else { format!("{plain}.") });
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", pointed(mantissa), exponent.abs())
}

/// What the two threads share beside questions and answers.
#[derive(Default)]
struct State {
    /// The type string of the query that comes next.
    kinds: Option<Vec<Kind>>,
    breaches: Vec<String>,
    /// The session is over.
    is_gone: bool,
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().expect("no holder panics")
}

/// The database as the crate sees it.
struct Db {
    asks: Sender<Asked>,
    state: Arc<Mutex<State>>,
}

impl sqllogictest::DB for Db {
    type Error = Failure;
    type ColumnType = Kind;

    fn run(&mut self, sql: &str) -> Result<DBOutput<Kind>, Failure> {
        let answer = ask(&self.asks, Ask::Exec(sql.to_owned()));
        let mut state = lock(&self.state);
        let answer = match answer {
            Ok(answer) => answer,
            Err(failure) => {
                state.is_gone = failure.is_end;
                state.breaches.extend(failure.breaches.iter().cloned());
                return Err(failure);
            }
        };
        state.breaches.extend(answer.breaches);
        if answer.columns == 0 {
            return Ok(DBOutput::StatementComplete(answer.changes));
        }
        let types = match state.kinds.take() {
            Some(kinds) if kinds.len() == answer.columns => kinds,
            _ => vec![Kind::Any; answer.columns],
        };
        let row = |cells: Vec<Cell>| {
            cells.iter().zip(&types).map(|(cell, kind)| printed(cell, *kind)).collect()
        };
        let rows = answer.rows.into_iter().map(row).collect();
        Ok(DBOutput::Rows { types, rows })
    }

    fn engine_name(&self) -> &str {
        ENGINE
    }
}

/// Why a statement has no result.
#[derive(Clone, Debug, Default)]
struct Failure {
    /// `CODE/REASON` of an error from the engine.
    name: String,
    text: String,
    breaches: Vec<String>,
    /// Nothing more can be asked of the session.
    is_end: bool,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

enum Ask {
    Open,
    Exec(String),
    Close,
}

/// A question, and where its answer goes.
type Asked = (Ask, Sender<Result<Answered, Failure>>);

#[derive(Default)]
struct Answered {
    columns: usize,
    rows: Vec<Vec<Cell>>,
    changes: u64,
    breaches: Vec<String>,
}

fn ask(asks: &Sender<Asked>, what: Ask) -> Result<Answered, Failure> {
    let (answer, answered) = channel();
    let gone = || Failure {
        text: "the runner has lost the engine".to_owned(),
        is_end: true,
        ..Failure::default()
    };
    asks.send((what, answer)).map_err(|_| gone())?;
    answered.recv().unwrap_or_else(|_| Err(gone()))
}

/// Owns the implementation: tells whether it starts, then answers questions until nobody can ask any more.
fn serve(
    config: &Config,
    timeout: Duration,
    asks: &Receiver<Asked>,
    ready: &Sender<Result<Facts, String>>,
) {
    let started = transport::target(config).and_then(|mut target| {
        play::probe(&mut *target, config.start_timeout).map(|facts| (target, facts))
    });
    let mut target = match started {
        Ok((target, facts)) => {
            let _ = ready.send(Ok(facts));
            target
        }
        Err(why) => {
            let _ = ready.send(Err(why));
            return;
        }
    };
    let mut session = None;
    for (what, answer) in asks {
        let deadline = Instant::now() + timeout;
        let answered = match (what, &mut session) {
            (Ask::Open, slot) => {
                // The one before is let go of first.
                *slot = None;
                open(&mut *target, deadline.max(Instant::now() + config.start_timeout)).map(
                    |opened| {
                        *slot = Some(opened);
                        Answered::default()
                    },
                )
            }
            (_, None) => Err(Failure {
                text: "there is no session".to_owned(),
                is_end: true,
                ..Failure::default()
            }),
            (Ask::Exec(sql), Some(session)) => {
                call(session, &json!({ "exec": { "sql": sql } }), timeout)
            }
            (Ask::Close, Some(open)) => {
                let answered = call(open, &json!({ "close": {} }), timeout);
                open.finish(GRACE);
                session = None;
                answered
            }
        };
        if matches!(&answered, Err(failure) if failure.is_end) {
            session = None;
            target.restart();
        }
        let _ = answer.send(answered);
    }
}

fn open(target: &mut dyn Target, deadline: Instant) -> Result<Session, Failure> {
    let end = |text: String| Failure { text, is_end: true, ..Failure::default() };
    let link = target.connect(&OpenOptions::default(), deadline).map_err(end)?;
    let mut session = Session::new(link, Recorder::new("slt", None));
    let init =
        json!({ "init": { "minor": play::HIGHEST_MINOR, "host_name": env!("CARGO_PKG_NAME") } });
    let left = deadline.saturating_duration_since(Instant::now());
    call(&mut session, &init, left).map_err(|failure| Failure { is_end: true, ..failure })?;
    Ok(session)
}

/// Sends a request and waits for its answer.
fn call(
    session: &mut Session,
    request: &serde_json::Value,
    timeout: Duration,
) -> Result<Answered, Failure> {
    let ours = |text: String| Failure { text, is_end: true, ..Failure::default() };
    let request = proto::from_json("Request", request).map_err(ours)?;
    let token = session.send(request, Vec::new(), None).map_err(ours)?;
    let answers = session.wait(token, Instant::now() + timeout);
    session.take_events();
    let mut breaches = std::mem::take(&mut session.breaches);
    let answer = match answers {
        Ok(answers) => answers.into_iter().next_back().expect("an answer came"),
        Err(stop) => {
            let mut text = play::describe(&stop, session);
            // Bytes that are no message are a breach and the end at once; once is enough.
            breaches.retain(|breach| *breach != text);
            let stderr = session.link.stderr();
            if !stderr.trim().is_empty() {
                let _ = write!(text, "\nstderr: {}", stderr.trim());
            }
            return Err(Failure { text, breaches, is_end: true, ..Failure::default() });
        }
    };
    let response = &answer.response;
    if let Some(error) = response.msg("error") {
        return Err(Failure {
            name: error_name(error),
            text: error.text("message").to_owned(),
            breaches,
            is_end: false,
        });
    }
    let exec = response.msg("exec");
    Ok(Answered {
        columns: exec.map_or(0, |exec| exec.items("columns").len()),
        rows: answer.rows.unwrap_or_default(),
        changes: exec.and_then(|exec| exec.opt_int("changes")).map_or(0, |changes| changes as u64),
        breaches,
    })
}

/// What conditions call the engine: SQLite is what every implementation runs.
const ENGINE: &str = "sqlite";
/// How long the end of a session may take to be noticed.
const GRACE: Duration = Duration::from_secs(2);
const DEEPEST: usize = 16;
const SHOWN_FAILURES: usize = 10;
const SHOWN_LINES: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_printed_by_the_type_string() {
        let text = |text: &str| Cell::Text(text.as_bytes().to_vec());
        for (cell, kind, expected) in [
            (Cell::Null, Kind::Integer, "NULL"),
            (Cell::Integer(-5), Kind::Integer, "-5"),
            (Cell::Real(2.9), Kind::Integer, "2"),
            (text("12ab"), Kind::Integer, "12"),
            (text("ab"), Kind::Integer, "0"),
            (text("99999999999999999999"), Kind::Integer, "9223372036854775807"),
            (Cell::Integer(3), Kind::Real, "3.000"),
            (Cell::Real(0.0005), Kind::Real, "0.001"),
            (Cell::Real(f64::NEG_INFINITY), Kind::Real, "-inf"),
            (text(" -1.5e2x"), Kind::Real, "-150.000"),
            (text("1e"), Kind::Real, "1.000"),
            (text(""), Kind::Text, "(empty)"),
            (text("a\nb"), Kind::Text, "a@b"),
            (text("ä"), Kind::Text, "ä"),
            (Cell::Blob(vec![65, 0]), Kind::Text, "A@"),
            (Cell::Integer(7), Kind::Text, "7"),
            (Cell::Real(7.0), Kind::Any, "7.0"),
        ] {
            assert_eq!(printed(&cell, kind), expected, "{cell:?} as {kind:?}");
        }
    }

    #[test]
    fn reals_are_texts_as_sqlite_makes_them() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.5, "-0.5"),
            (1.0 / 3.0, "0.333333333333333"),
            (1e14, "100000000000000.0"),
            (1e15, "1.0e+15"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.00001, "1.0e-05"),
            (123_456.789, "123456.789"),
            (f64::INFINITY, "Inf"),
        ] {
            assert_eq!(real_text(value), expected);
        }
    }

    #[test]
    fn remarks_behind_conditions_are_dropped() {
        assert_eq!(
            without_remarks("onlyif mysql # DIV\nselect 'a #'"),
            "onlyif mysql\nselect 'a #'\n"
        );
    }
}
