"""One database on the standard library's sqlite3: one statement in, one result out.

What the module does not tell is asked of SQLite in other ways, all of them public: EXPLAIN says whether a statement
writes and what it counts, `changes()` how much, and a second connection's `PRAGMA data_version` whether a commit
changed the database. The database lies in SQLite's memory VFS, so that there can be a second connection.
"""
import collections
import contextlib
import itertools
import sqlite3
import struct
import time

from failures import Failure, from_sqlite
import rows as layout
from sql import Statement

NUMBERS = itertools.count(1)  # each database in the process has a name of its own
MAX_OPEN_CURSORS = 16
MAX_RESULT_BYTES = 64 << 20
MAX_PARAMS = 32766
COUNTED, IS_UPDATE, SETS_ROWID = 0x01, 0x04, 0x20  # OPFLAG_NCHANGE, _ISUPDATE, _LASTROWID in P5


class Database:
    def __init__(self, image=None):
        location = f"file:/lix-{next(NUMBERS)}?vfs=memdb"
        options = dict(uri=True, isolation_level=None, cached_statements=0)
        self._connection = sqlite3.connect(location, **options)
        self._filled = image is not None
        if self._filled:
            self._fill(image)
        self._observer = sqlite3.connect(location, **options)
        self._seen = self._data_version()
        self._connection.text_factory = layout.text
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, MAX_PARAMS)
        self._connection.set_authorizer(authorize)
        self._connection.set_progress_handler(self._is_stopped, 1000)
        self._cursors, self._cursor_ids = {}, 0
        self.commit_seq = 0
        self.on_commit = lambda: None
        self._deadline = self._stopped = None
        self.cancelled = False  # set by another thread

    in_transaction = property(lambda self: self._connection.in_transaction)

    def run(self, text, bind, mode, max_rows=0, max_bytes=0, timeout_ms=0, budget=MAX_RESULT_BYTES):
        """Runs the statement. `bind` turns its parameters into values; `mode` is ALL, NONE or CURSOR."""
        statement = Statement(text)
        self._deadline = time.monotonic() + timeout_ms / 1000 if timeout_ms else None
        self._stopped = None
        was_in_transaction = self.in_transaction
        preparing, done = True, False
        if self.cancelled:
            raise Failure("CANCELLED", "cancelled before it started")
        try:
            plan = self._plan(statement)
            if statement.rest is not None:
                raise Failure("SQL_MULTIPLE", "the text holds more than one statement", sql_offset=statement.rest)
            values = self._in_module_form(statement, bind(statement))
            if plan.writes or plan.rolls_back_to_savepoint:
                self._spool()
            preparing = False
            schema = self._schema_version()
            result = self._step(statement.text, values, plan, Bounds(mode, max_rows, max_bytes, budget))
            if plan.rolls_back or self._schema_version() != schema:
                self._end_cursors(but=result.cursor)
            done = True
            return result
        except sqlite3.Error as error:
            raise from_sqlite(error, preparing, self._stopped) from None
        finally:
            self._deadline = None
            if was_in_transaction and not self.in_transaction and not done:
                self._end_cursors()  # SQLite has rolled back by itself
            self._look_for_commit()

    def fetch(self, cursor_id):
        """The next batch of a cursor, and whether it was the last."""
        cursor = self._cursor(cursor_id)
        if cursor is None:
            raise Failure("CURSOR_INVALIDATED", f"cursor {cursor_id} has ended", str(cursor_id))
        self._stopped = None
        try:
            rows = cursor.batch()
        except sqlite3.Error as error:
            self._cursors.pop(cursor_id).close()
            raise from_sqlite(error, False, self._stopped) from None
        if not cursor.more:
            self._cursors.pop(cursor_id).close()
        return layout.batch(rows, cursor.width), not cursor.more

    def close_cursor(self, cursor_id):
        if self._cursor(cursor_id):
            self._cursors.pop(cursor_id).close()

    def export(self):
        if self.in_transaction:
            raise Failure("IN_TRANSACTION", "export needs the transaction to end first")
        if self._ask("pragma page_count"):
            return self._connection.serialize()
        empty = sqlite3.connect(":memory:")  # nothing was ever created; an image has at least a header
        empty.execute("pragma user_version = 0")
        return empty.serialize()

    def close(self):
        self._end_cursors()
        self._observer.close()
        self._connection.close()

    # ---- a statement

    def _plan(self, statement):
        return Plan(self._connection.execute(statement.explanation(),
                                             self._in_module_form(statement, [None] * statement.highest)).fetchall())

    def _step(self, text, values, plan, bounds):
        before, was_in_transaction = self._connection.total_changes, self.in_transaction
        last_rowid = self._ask("select last_insert_rowid()") if plan.inserts else None
        # A write whose rows turn out to be too many has no effect.
        guarded, ran = plan.counts and plan.has_rows, False
        if guarded:
            self._connection.execute("savepoint lix_engine_statement")
        try:
            result = Result()
            rows = Rows(self._connection.execute(text, values), bounds, keep=guarded)
            result.columns = rows.names if bounds.mode != "NONE" else []
            result.rows = rows.batch()
            if rows.more and len(self._cursors) >= MAX_OPEN_CURSORS:
                rows.close()
                raise Failure("LIMIT_EXCEEDED", f"{MAX_OPEN_CURSORS} cursors are open already", "max_open_cursors")
            if plan.writes:
                changed, rowid = self._connection.execute("select changes(), last_insert_rowid()").fetchone()
            ran = True
            if guarded:
                self._connection.execute("release lix_engine_statement")
        except BaseException as error:
            if guarded and self.in_transaction:
                partly = not ran and isinstance(error, sqlite3.Error) and self._connection.total_changes > before
                self._undo(was_in_transaction, partly)
            raise
        if plan.writes:
            if plan.counts:
                result.changes = changed
            else:  # a view: its triggers did it
                result.changes = self._connection.total_changes - before if plan.runs_triggers else 0
        if plan.inserts and changed and (not plan.may_update or rowid != last_rowid):
            result.last_insert_rowid = rowid
        if rows.more:
            self._cursor_ids += 1
            result.cursor = self._cursor_ids
            self._cursors[result.cursor] = rows
        return result

    def _undo(self, was_in_transaction, partly):
        """Takes a guarded statement back, but for what OR FAIL leaves, if that can be committed."""
        if partly:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("release lix_engine_statement")
                return
        for undo in ("rollback to lix_engine_statement", "release lix_engine_statement") \
                if was_in_transaction else ("rollback",):
            self._connection.execute(undo)

    def _in_module_form(self, statement, values):
        """By name where every parameter has one of its own: newer modules want that."""
        names = [name and name[1:] for _, name in sorted(statement.parameters.items())]
        if names and len(names) == len(values) == len(set(names) - {None}):
            return dict(zip(names, values))
        return values

    # ---- cursors

    def _cursor(self, cursor_id):
        if not 0 < cursor_id <= self._cursor_ids:
            raise Failure("CURSOR_UNKNOWN", f"there never was a cursor {cursor_id}", str(cursor_id))
        return self._cursors.get(cursor_id)

    def _spool(self):
        """Open cursors show the rows as they were: before anything is written they are read to the end."""
        budget = MAX_RESULT_BYTES
        for cursor in self._cursors.values():
            budget -= cursor.spool(budget)

    def _end_cursors(self, but=None):
        for cursor_id in [cursor_id for cursor_id in self._cursors if cursor_id != but]:
            self._cursors.pop(cursor_id).close()

    # ---- what SQLite is asked

    def _is_stopped(self):
        if self.cancelled:
            self._stopped = "CANCELLED"
        elif self._deadline and time.monotonic() >= self._deadline:
            self._stopped = "TIMEOUT"
        return self._stopped is not None

    def _committed(self):
        return self._data_version() != self._seen

    def _look_for_commit(self):
        if not self.in_transaction and self._committed():
            self._seen = self._data_version()
            if self.commit_seq or self._filled or not is_blank(self._connection.serialize()):
                self.commit_seq += 1
                self.on_commit()

    def _data_version(self):
        return self._observer.execute("pragma data_version").fetchone()[0]

    def _schema_version(self):
        """Only cursors care."""
        if self._cursors:
            return self._ask("pragma main.schema_version"), self._ask("pragma temp.schema_version")

    def _ask(self, question):
        return self._connection.execute(question).fetchone()[0]

    # ---- images

    def _fill(self, image):
        """Copies a sound image into the empty database."""
        source = sqlite3.connect(":memory:")
        try:
            check_header(image)
            source.deserialize(image[:18] + b"\1\1" + image[20:])  # not in write-ahead-log mode: there is no log
            source.execute("select count(*) from sqlite_schema").fetchone()
            source.backup(self._connection)
            schema_version, = source.execute("pragma schema_version").fetchone()
            self._connection.execute(f"pragma schema_version = {schema_version}")  # backup counts it up
        except (ValueError, sqlite3.Error) as error:
            self._connection.close()
            code = getattr(error, "sqlite_errorcode", 0)
            raise Failure("OUT_OF_MEMORY" if code == 7 else "IMAGE_INVALID", str(error), sqlite=code) from None
        finally:
            source.close()


class Plan:
    """What EXPLAIN says about a statement."""

    def __init__(self, operations):
        own = operations  # without the programs of triggers and foreign keys, which follow it
        for at, operation in enumerate(operations[1:], 1):
            if operation[0] <= operations[at - 1][0]:
                own = operations[:at]
                break
        self.writes = any(name in ("JournalMode", "Vacuum", "Checkpoint") or name == "Transaction" and p2
                          for _, name, _, p2, *_ in operations)
        self.counts = self.inserts = self.may_update = False
        for _, name, p1, p2, p3, _, p5, *_ in own:
            self.counts |= (name in ("Insert", "IdxInsert") and bool(p5 & COUNTED) or name == "VUpdate"
                            or name == "Delete" and bool(p2 & COUNTED) or name == "Clear" and p3 != 0)
            self.inserts |= name == "Insert" and p5 & SETS_ROWID != 0 or name == "VUpdate" and p1 != 0
            self.may_update |= name == "Insert" and p5 & IS_UPDATE != 0
        self.runs_triggers = any(operation[1] == "Program" for operation in own)
        self.has_rows = any(operation[1] == "ResultRow" for operation in own)
        self.rolls_back = any(name == "AutoCommit" and p2 for _, name, _, p2, *_ in own)
        self.rolls_back_to_savepoint = any(name == "Savepoint" and p1 == 2 for _, name, p1, *_ in own)


class Bounds:
    def __init__(self, mode, max_rows, max_bytes, budget):
        self.mode, self.budget = mode, budget
        self.rows = (max_rows or 4096) if mode == "CURSOR" else 1 << 62
        self.bytes = (max_bytes or 256 << 10) if mode == "CURSOR" else 1 << 62


class Rows:
    """The rows of a running statement, or of one that was read to its end and kept. Looks one row ahead."""

    def __init__(self, running, bounds, keep):
        self.names = [name for name, *_ in running.description or []]
        self.width, self.more = len(self.names), False
        self._running, self._bounds = running, bounds
        self._kept, self._kept_bytes, self._failed = collections.deque(), 0, None
        if keep or bounds.mode != "CURSOR":
            try:
                self.spool(bounds.budget)
            except BaseException:
                running.close()
                raise
        self._next = self._step()

    def batch(self):
        if self._failed:
            raise self._failed
        rows, size = [], layout.overhead(self.width)
        while self._next is not None and len(rows) < self._bounds.rows:
            size += layout.row_bytes(self._next)
            if rows and size > self._bounds.bytes:
                break
            rows.append(self._next)
            try:
                self._next = self._step()
            except sqlite3.Error as error:
                if len(rows) < self._bounds.rows:
                    raise
                self._next, self._failed = None, error  # met ahead of its time: a whole batch goes first
        self.more = self._next is not None or self._failed is not None
        return rows

    def spool(self, budget):
        """Reads what is left into memory; says how much is there. If that is too much, nothing is lost."""
        while self._running is not None:
            row = self._running.fetchone()
            if row is None:
                self._running = None
            elif self._bounds.mode != "NONE":
                self._kept.append(row)
                self._kept_bytes += layout.row_bytes(row)
                if self._kept_bytes > budget:
                    raise too_large(self.more)
        return self._kept_bytes

    def close(self):
        if self._running is not None:
            self._running.close()

    def _step(self):
        if self._kept:
            self._kept_bytes -= layout.row_bytes(self._kept[0])
            return self._kept.popleft()
        return self._running and self._running.fetchone()


class Result:
    columns, rows, changes, last_insert_rowid, cursor = (), (), None, None, None


def too_large(spooling):
    return Failure("CURSOR_SPOOL_LIMIT", "the rows of open cursors are too many to keep; read or close them first",
                   "max_result_bytes") if spooling else \
        Failure("RESULT_TOO_LARGE", "the result is too large for one answer; read it with a cursor",
                "max_result_bytes")


def authorize(action, first, second, *_):
    """The database is in memory and stays there; and no pointers are handed out."""
    if action == sqlite3.SQLITE_ATTACH and first not in ("", ":memory:"):  # also VACUUM INTO
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and second in ("fts3_tokenizer", "load_extension"):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def is_blank(image):
    """A first page that a transaction without any change has made: no schema, version, application id."""
    return all(image[at:at + 4] == bytes(4) for at in (40, 48, 60, 68))


def check_header(image):
    if len(image) < 512 or image[:16] != b"SQLite format 3\0":
        raise ValueError("no SQLite header")
    if max(image[18:20]) > 2:
        raise ValueError("a format that is newer than SQLite's")
    page = struct.unpack(">H", image[16:18])[0]
    page = 65536 if page == 1 else page
    if page < 512 or page & (page - 1):
        raise ValueError(f"a page size of {page} bytes")
    changed, pages, valid_for = (struct.unpack(">I", image[at:at + 4])[0] for at in (24, 28, 92))
    if len(image) < page or changed == valid_for and len(image) < pages * page:
        raise ValueError(f"cut off: {len(image)} bytes of {pages * page}")
