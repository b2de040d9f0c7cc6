//! One database: its image, its connection, its compiled statements, and the count of what was
//! committed to it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use hashlink::LruCache;
use lix_engine_protocol::proto::{Column, CommitDetail, CommitEvent, LixOptions};
use lix_engine_protocol::{BatchBuilder, EncodedColumns, Error, Reason, Result, encode_columns};

use crate::cursor::Cursors;
use crate::image::Image;
use crate::lix::{self, Lix};
use crate::sqlite::{Link, Prepared, Statement, start_of_more};
use crate::vfs::SharedImage;
use crate::{Attachment, Platform, Plugins, Snapshot};

/// An open database.
pub(crate) struct Database {
    /// Cursors and statements hold on to the link and go first.
    pub(crate) cursors: Cursors,
    statements: LruCache<Box<str>, CompiledStatement>,
    /// The change control, if the database is a lix. Its statements hold on to the link, too.
    pub(crate) lix: Option<Rc<Lix>>,
    pub(crate) link: Rc<Link>,
    platform: Arc<dyn Platform>,
    image: SharedImage,
    commit_seq: u64,
    seen_writes: u64,
    /// A builder whose rows are sent; its memory serves the next answer.
    pub(crate) spare_batch: Option<BatchBuilder>,
    /// The open transaction has changed the schema, so that its rollback changes it again.
    schema_may_revert: bool,
    /// The newest transaction has changed what names mean.
    schema_changed: bool,
}

/// A compiled statement and what is known of it for as long as the schema stands.
pub(crate) struct CompiledStatement {
    pub(crate) statement: Statement,
    pub(crate) columns: EncodedColumns,
    pub(crate) column_count: usize,
    recompilations: i32,
}

impl Database {
    /// A new, empty database: a header page and nothing else, so that it can be exported.
    pub(crate) fn create(platform: Arc<dyn Platform>) -> Result<Self> {
        let database = Self::over(Image::default(), platform)?;
        database.link.run("begin immediate; commit").map_err(Error::from)?;
        Ok(database.starting_here())
    }

    /// A database over a foreign image, which is checked first and never written to.
    pub(crate) fn from_image(source: &dyn Attachment, platform: Arc<dyn Platform>) -> Result<Self> {
        check_header(source)?;
        let mut image = Image::copy_of(source);
        // The write-ahead log of an image stayed where the image came from, and none is kept
        // here: mark the file as one with a rollback journal.
        if source_bytes::<2>(source, FORMAT_VERSIONS).contains(&2) {
            image.write(&[1, 1], FORMAT_VERSIONS);
        }
        let invalid = |error: Error| match error.reason {
            Reason::OutOfMemory => error,
            _ => Error { reason: Reason::ImageInvalid, ..error },
        };
        Self::readable(image, platform).map_err(invalid)
    }

    /// A database over an image that this engine stored.
    pub(crate) fn from_stored(image: Image, platform: Arc<dyn Platform>) -> Result<Self> {
        let damaged = |error: Error| match error.reason {
            Reason::OutOfMemory => error,
            _ => Error { reason: Reason::ImageInvalid, ..error }.subject("storage.path"),
        };
        Self::readable(image, platform).map_err(damaged)
    }

    /// A database whose schema can be read.
    fn readable(image: Image, platform: Arc<dyn Platform>) -> Result<Self> {
        let database = Self::over(image, platform)?;
        database.link.run("select count(*) from sqlite_schema; pragma page_count")?;
        Ok(database.starting_here())
    }

    fn over(image: Image, platform: Arc<dyn Platform>) -> Result<Self> {
        let image: SharedImage = Rc::new(RefCell::new(image));
        let link = Link::open(image.clone(), platform.clone())?;
        // The image is memory: nothing to protect against a crash of the machine, nobody to lock
        // out. Rollback and savepoints still need a journal.
        link.run(
            "pragma journal_mode=memory; pragma synchronous=off; pragma locking_mode=exclusive; pragma cache_size=-4096",
        )?;
        Ok(Self {
            cursors: Cursors::default(),
            statements: LruCache::new(STATEMENT_CACHE_ENTRIES),
            lix: None,
            link,
            platform,
            image,
            commit_seq: 0,
            seen_writes: 0,
            spare_batch: None,
            schema_may_revert: false,
            schema_changed: false,
        })
    }

    /// What happened so far was opening, not a commit.
    fn starting_here(mut self) -> Self {
        self.overlook_commit();
        self
    }

    /// Nobody is to hear of the last commit.
    fn overlook_commit(&mut self) {
        self.link.take_committed();
        self.seen_writes = self.image.borrow().writes();
    }

    /// Opens the lix that the content is, or makes it one if that is asked for; `true`: it was made.
    /// Its files are looked into by the plugins, which a plain database leaves alone.
    pub(crate) fn open_lix(
        &mut self,
        options: Option<&LixOptions>,
        plugins: Option<Rc<dyn Plugins>>,
    ) -> Result<bool> {
        let opened = lix::open::open(&self.link, self.platform.clone(), options)?;
        self.overlook_commit();
        let is_new = opened.as_ref().is_some_and(|opened| opened.is_new);
        self.lix = opened.map(|opened| opened.lix);
        if let Some(lix) = &self.lix {
            lix.take_unlisted();
        }
        if let (Some(lix), Some(plugins)) = (&self.lix, plugins) {
            lix.connect(plugins);
        }
        Ok(is_new)
    }

    /// The version of the tables of the lix; empty: it is none.
    pub(crate) fn schema_version(&self) -> &'static str {
        if self.lix.is_some() { lix::open::SCHEMA_VERSION } else { "" }
    }

    /// From here on, commits remember what they wrote until [`Database::commit_event`].
    pub(crate) fn watch_commits(&mut self, detail: CommitDetail) {
        if let Some(lix) = &self.lix {
            lix.wants_events.set(lix::events::has_rows(detail));
        }
    }

    /// What there is to say of the last commit.
    pub(crate) fn commit_event(&mut self, detail: CommitDetail, max_bytes: usize) -> CommitEvent {
        let mut event = CommitEvent { commit_seq: self.commit_seq, ..Default::default() };
        if lix::events::has_rows(detail) {
            let mut list = lix::events::List::new(detail, max_bytes);
            let listed = self.lix.as_ref().map_or(Ok(()), |lix| lix.list_changes(&mut list));
            list.finish(&mut event);
            let unlisted = self.lix.as_ref().is_some_and(|lix| lix.take_unlisted());
            event.any_read = unlisted || std::mem::take(&mut self.schema_changed);
            // The commit stands, whether or not it can be told what is in it.
            event.truncated |= listed.is_err();
        }
        event
    }

    /// Outermost commits that changed something, since the database was opened.
    pub(crate) fn commit_seq(&self) -> u64 {
        self.commit_seq
    }

    /// To be called after every statement; `true` if it completed a commit that changed the file.
    /// `is_alone` says that the statement was a transaction of its own and did not fail.
    pub(crate) fn note_commit(&mut self, is_alone: bool) -> bool {
        let committed = self.link.take_committed();
        if self.link.in_transaction() {
            return false;
        }
        self.schema_may_revert = false;
        // Pages that spilled before a rollback are writes too, so look even without a commit. The
        // commit of a VACUUM goes past the hook.
        let writes = self.image.borrow().writes();
        let changed = (committed || is_alone) && writes != self.seen_writes;
        self.seen_writes = writes;
        self.commit_seq += u64::from(changed);
        self.schema_changed &= changed;
        if changed {
            self.store_ids();
        }
        changed
    }

    /// Writes down which numbers of deterministic mode are used up, if no commit of the lix did.
    fn store_ids(&mut self) {
        let Some(lix) = &self.lix else { return };
        if lix.ids.is_unsaved() && !self.link.in_transaction() {
            // Failing costs nothing but numbers that may come twice; the next commit tries again.
            if lix.store_ids().is_err() {
                let _ = self.link.run("rollback");
            }
            self.overlook_commit();
        }
    }

    /// The file that SQLite writes.
    pub(crate) fn image_mut(&self) -> std::cell::RefMut<'_, Image> {
        self.image.borrow_mut()
    }

    /// The committed content.
    pub(crate) fn export(&mut self) -> Result<Snapshot> {
        if self.link.in_transaction() {
            let message = "a transaction is open; its half would be in the image";
            return Err(Error::new(Reason::InTransaction, message));
        }
        self.store_ids();
        Ok(self.image.borrow().snapshot())
    }

    /// Takes a compiled statement out of the cache, or compiles it.
    pub(crate) fn take_statement(&mut self, sql: &str) -> Result<CompiledStatement> {
        if let Some(compiled) = self.statements.remove(sql) {
            return Ok(compiled);
        }
        if let Some(position) = sql.bytes().position(|byte| byte == 0) {
            let mut error = Error::new(Reason::SqlSyntax, "the SQL text contains a NUL byte");
            error.sql_offset = u32::try_from(position).ok();
            return Err(error);
        }
        match Statement::prepare(&self.link, sql)? {
            Prepared::Nothing => {
                Err(Error::new(Reason::SqlEmpty, "the SQL text holds no statement"))
            }
            Prepared::Statement { statement, tail } => {
                if let Some(second) = start_of_more(&sql[tail..]) {
                    let message = "one exec takes one statement; use execBatch for several";
                    let mut error = Error::new(Reason::SqlMultiple, message);
                    error.sql_offset = u32::try_from(tail + second).ok();
                    return Err(error);
                }
                let mut compiled = CompiledStatement {
                    statement,
                    columns: EncodedColumns::default(),
                    column_count: 0,
                    recompilations: -1,
                };
                compiled.refresh_columns();
                Ok(compiled)
            }
        }
    }

    /// Compiles everything anew from here on if the schema changed, by a statement or because a
    /// rollback took such a statement back: what is known of a compiled statement depends on it.
    pub(crate) fn forget_statements(&mut self, changes_schema: bool) {
        if changes_schema || self.schema_may_revert {
            self.statements.clear();
        }
        self.schema_may_revert |= changes_schema && self.link.in_transaction();
        self.schema_changed |= changes_schema;
    }

    /// Puts a statement back, ready for its next use.
    pub(crate) fn return_statement(&mut self, sql: Box<str>, mut compiled: CompiledStatement) {
        compiled.statement.reset();
        if sql.len() <= CACHED_SQL_BYTES {
            self.statements.insert(sql, compiled);
        }
    }
}

impl CompiledStatement {
    /// Names and types of the result columns, read again if SQLite had to compile anew.
    pub(crate) fn refresh_columns(&mut self) {
        let recompilations = self.statement.recompilations();
        if recompilations != self.recompilations {
            self.recompilations = recompilations;
            self.column_count = self.statement.column_count();
            let column = |index| {
                let (name, decl_type) = self.statement.column(index);
                Column { name, decl_type }
            };
            self.columns = encode_columns((0..self.column_count).map(column).collect());
        }
    }
}

/// Refuses what cannot be a complete database before any of it is copied.
fn check_header(source: &dyn Attachment) -> Result<()> {
    let invalid = |message: String| Err(Error::new(Reason::ImageInvalid, message));
    let len = source.len();
    if len < HEADER_BYTES {
        return invalid(format!("{len} bytes are too few for a database"));
    }
    if &source_bytes::<16>(source, 0) != b"SQLite format 3\0" {
        return invalid("the image does not start like a SQLite database".into());
    }
    let page_size = match u64::from(u16::from_be_bytes(source_bytes(source, 16))) {
        1 => 65_536,
        size => size,
    };
    if !page_size.is_power_of_two() || page_size < 512 {
        return invalid(format!("a page size of {page_size} is not possible"));
    }
    // The page count in the header counts only if it was written with the change counter.
    let change_counter = u32::from_be_bytes(source_bytes(source, 24));
    let page_count = u64::from(u32::from_be_bytes(source_bytes(source, 28)));
    let valid_for = u32::from_be_bytes(source_bytes(source, 92));
    let wanted = if change_counter == valid_for { page_count } else { 0 }.max(1) * page_size;
    if len < wanted {
        return invalid(format!("the image is cut off: {len} of {wanted} bytes"));
    }
    Ok(())
}

fn source_bytes<const N: usize>(source: &dyn Attachment, offset: u64) -> [u8; N] {
    source.read(offset, N).try_into().expect("as long as asked for")
}

const HEADER_BYTES: u64 = 100;

/// Where the header says whether the file needs a write-ahead log (2) or not (1), twice.
const FORMAT_VERSIONS: u64 = 18;

/// Enough for every query of an ordinary application.
const STATEMENT_CACHE_ENTRIES: usize = 128;

/// A text longer than this is data in disguise; keeping 128 of them would hurt.
const CACHED_SQL_BYTES: usize = 128 * 1024;
