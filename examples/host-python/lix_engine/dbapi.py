"""Connections and cursors of DB-API 2.0. Results stream: a batch is asked for when its first row is."""
import json
import os
import re
import threading
import weakref

import engine_pb2 as pb
from . import errors, values
from .session import Session
from .transport import Process, WebSocket

RAW_TEXT = {"replace": lambda raw: raw.decode(errors="replace"), "bytes": bytes}
START = re.compile(r"(?:\s|--[^\n]*\n?|/\*.*?(?:\*/|\Z)|;)*([A-Za-z]*)", re.S)
# What does not open a transaction by itself: reads, what steers transactions, what cannot run inside one.
OUTSIDE = set("SELECT VALUES EXPLAIN PRAGMA BEGIN COMMIT END ROLLBACK SAVEPOINT RELEASE VACUUM ATTACH DETACH".split())
CHUNK_STATEMENTS, CHUNK_BYTES = 1000, 4 << 20


def connect(database=":memory:", *, engine=None, url=None, image=None, mode="open_or_create", durability="relaxed",
            wait_ms=0, autosave=None, lix=None, plugins=(), on_event=None, events=("commit", "autosave", "plugin"),
            commit_detail="summary", autocommit=False, timeout_ms=0, batch_rows=0, raw_text="replace",
            open_timeout=30.0):
    """Opens a database.

    database       a path, or ":memory:"
    engine         the engine's command, as a path or a list; else $LIX_ENGINE, else `lix-engine` in the search path
    url            instead: ws://host:port of a running engine; paths are then paths of that machine
    image          bytes of a SQLite database to start from
    mode           open_or_create, open, create or replace; durability: relaxed or strict
    autosave       False, or {"debounce_ms": …, "max_delay_ms": …}
    lix            True, or a mapping of key values: put the database under change control
    plugins        {key: source of an ECMAScript module}, or keys of built-in ones
    on_event       called with (kind, message) on a thread of its own; commit_detail: summary, keys or values
    autocommit     False: a statement that may write opens a transaction, which commit() or rollback() ends
    timeout_ms     longest run time of each statement; 0: no bound
    raw_text       "replace" or "bytes": what text that is not UTF-8 becomes
    open_timeout   seconds that starting may take

    Raises OperationalError if there is no engine, and what the engine's `init` answers.
    """
    if raw_text not in RAW_TEXT:
        raise errors.ProgrammingError(f"raw_text is {raw_text!r}", "INVALID", "OPTION_INVALID", "raw_text")
    attachments = []
    init = pb.InitRequest(host_name="lix-engine-python-host", host_version="1.0.0",
                          open_mode=number(pb.OpenMode, "OPEN_MODE", mode, "mode"),
                          durability=number(pb.Durability, "DURABILITY", durability, "durability"))
    if on_event:
        init.events.kinds.extend(number(pb.EventKind, "EVENT_KIND", kind, "events") for kind in events)
        init.events.commit_detail = number(pb.CommitDetail, "COMMIT_DETAIL", commit_detail, "commit_detail")
    if database != ":memory:":
        init.storage.CopyFrom(pb.StorageTarget(kind=pb.STORAGE_KIND_FILE, path=os.fspath(database), wait_ms=wait_ms))
    if autosave is not None:
        init.autosave.CopyFrom(pb.AutosavePolicy(**autosave) if autosave else pb.AutosavePolicy(disabled=True))
    if image is not None:
        init.image_attachment = len(attachments)
        attachments.append(bytes(image))
    if lix is not None and lix is not False:
        init.lix.key_values.extend(pb.LixKeyValue(key=key, value_json=json.dumps(value))
                                   for key, value in ({} if lix is True else lix).items())
        init.lix.SetInParent()
    for key in plugins:
        if hasattr(plugins, "keys"):
            init.plugins.add(key=key, format=pb.PLUGIN_FORMAT_ESM, inline_code=plugins[key].encode())
        else:
            init.plugins.add(key=key, format=pb.PLUGIN_FORMAT_BUILTIN)
    if url:
        transport = WebSocket(url, open_timeout)
    else:
        engine = engine or os.environ.get("LIX_ENGINE") or "lix-engine"
        transport = Process([os.fspath(engine), "serve", "--stdio"] if isinstance(engine, (str, os.PathLike))
                            else list(engine))
    session = Session(transport, on_event)
    try:
        response, _ = session.call(attachments, timeout=open_timeout, init=init)
    except TimeoutError:
        why = errors.transport_closed(f"the engine did not answer within {open_timeout} s")
        session.abort(why, grace=0.5)
        raise why from None
    except BaseException:
        session.abort(errors.closed())
        raise
    session.limit(response.init.limits.max_inflight)
    return Connection(session, response.init, transport.pid, autocommit, timeout_ms, batch_rows, RAW_TEXT[raw_text])


def number(enum, prefix, name, subject):
    try:
        return enum.Value(f"{prefix}_{name.upper()}")
    except (ValueError, AttributeError):
        raise errors.ProgrammingError(f"{subject} is {name!r}", "INVALID", "OPTION_INVALID", subject) from None


class Connection:
    """One database. As a context manager it commits, or rolls back after an exception; it does not close."""

    Warning, Error, InterfaceError, DatabaseError = \
        errors.Warning, errors.Error, errors.InterfaceError, errors.DatabaseError
    DataError, OperationalError, IntegrityError, InternalError, ProgrammingError, NotSupportedError = (
        errors.DataError, errors.OperationalError, errors.IntegrityError, errors.InternalError,
        errors.ProgrammingError, errors.NotSupportedError)

    def __init__(self, session, info, pid, autocommit, timeout_ms, batch_rows, raw_text):
        self.info = info  # the InitResponse: versions, capabilities, limits
        self.pid = pid  # of the engine's process, if it is ours
        self.timeout_ms = timeout_ms
        self._session, self._autocommit, self._raw_text = session, autocommit, raw_text
        self._streams = pb.CAPABILITY_CURSORS in info.capabilities
        self._names = pb.CAPABILITY_NAMED_PARAMS in info.capabilities
        self._batch_rows = batch_rows
        self._lock = threading.RLock()  # a statement and the BEGIN before it stay together
        self._finish = weakref.finalize(self, session.close, 5)  # also when the program ends

    # ---- DB-API

    def cursor(self):
        self._open()
        return Cursor(self)

    def commit(self):
        """Ends the open transaction, if there is one."""
        with self._lock:
            self._open()
            if self.in_transaction:
                self._session.call(exec=pb.ExecRequest(sql="commit"))

    def rollback(self):
        with self._lock:
            self._open()
            if self.in_transaction:
                self._session.call(exec=pb.ExecRequest(sql="rollback"))

    def close(self, discard_unsaved=False):
        """Rolls back, saves, and lets the engine go. Raises if the save failed. Closing twice is fine."""
        if self._finish.detach():
            self._session.close(None, discard_unsaved=discard_unsaved)

    # ---- beyond DB-API

    def execute(self, sql, parameters=()):
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql, rows):
        return self.cursor().executemany(sql, rows)

    def export(self):
        """The database as the bytes of a SQLite file."""
        self._open()
        response, attachments = self._session.call(export=pb.ExportRequest())
        return attachments[response.export.image_attachment]

    def save(self):
        """Persists everything now; the number of the newest commit that is safe."""
        self._open()
        return self._session.call(save=pb.SaveRequest())[0].save.saved_seq

    def interrupt(self):
        """From another thread: what waits fails with INTERRUPTED/CANCELLED. What runs already goes on, unless the
        engine has the capability CANCEL_RUNNING."""
        self._open()
        self._session.interrupt()

    @property
    def autocommit(self):
        return self._autocommit

    @autocommit.setter
    def autocommit(self, on):
        if on:
            self.commit()
        self._autocommit = bool(on)

    @property
    def in_transaction(self):
        return self._session.state.in_transaction

    @property
    def commit_seq(self):
        return self._session.state.commit_seq

    @property
    def saved_seq(self):
        return self._session.state.saved_seq

    @property
    def capabilities(self):
        return {pb.Capability.Name(known).removeprefix("CAPABILITY_") for known in self.info.capabilities
                if known in pb.Capability.values()}

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            try:
                self.commit()
            except errors.Error:
                if self._session.alive:
                    self.rollback()
                raise
        elif self._finish.alive and self._session.alive:
            self.rollback()

    # ---- for cursors

    def _open(self):
        if not self._finish.alive:
            raise errors.closed()

    def _run(self, sql, attachments, **call):
        """Sends the call, after a BEGIN if that is due. Without the BEGIN it must not run, so its answer comes first."""
        with self._lock:
            self._open()
            word = START.match(sql)[1].upper()
            begins = not self._autocommit and not self.in_transaction and word not in OUTSIDE
            if begins:
                self._session.call(exec=pb.ExecRequest(sql="begin"))
            response, _ = self._session.call(attachments, sql=sql, **call)
            if begins and word == "WITH" and "exec" in call and not response.exec.HasField("changes"):
                self._session.call(exec=pb.ExecRequest(sql="commit"))  # it only read
            return response


class Cursor:
    """Runs one statement at a time and streams its rows as tuples."""

    arraysize = 1

    def __init__(self, connection):
        self.connection = connection
        self.description, self.rowcount, self.lastrowid = None, -1, None
        self._rows, self._remote, self._closed = None, None, False

    def execute(self, sql, parameters=()):
        """Returns the cursor. A mapping binds by name, with or without the prefix."""
        self._begin_statement()
        attachments = []
        request = pb.ExecRequest(
            sql=encodable(sql), rows=pb.ROW_MODE_CURSOR if self.connection._streams else pb.ROW_MODE_ALL,
            max_batch_rows=self.connection._batch_rows, timeout_ms=self.connection.timeout_ms)
        self._bind(request, parameters, attachments)
        answer = self.connection._run(sql, attachments, exec=request).exec
        if answer.columns:
            self.description = tuple((column.name, column.decl_type if column.HasField("decl_type") else None, None,
                                      None, None, None, None) for column in answer.columns)
            self._remote = answer.cursor if answer.HasField("cursor") else None
            self._rows = self._decoded(answer.batch)
        if answer.HasField("changes"):
            self.rowcount = answer.changes
        self.lastrowid = answer.last_insert_rowid if answer.HasField("last_insert_rowid") else None
        return self

    def executemany(self, sql, rows):
        """Runs the statement once per row, many in one exchange. Rows that it returns are dropped.

        An error has the position of its row in `batch_index`; earlier rows stay, in the transaction if there is one.
        """
        self._begin_statement()
        changed, chunk, attachments, size, first = 0, [], [], 0, 0
        most = min(CHUNK_STATEMENTS, self.connection.info.limits.max_batch_statements)
        for parameters in rows:
            request = pb.ExecRequest(sql=encodable(sql), rows=pb.ROW_MODE_NONE, timeout_ms=self.connection.timeout_ms)
            before = len(attachments)
            self._bind(request, parameters, attachments)
            chunk.append(request)
            size += request.ByteSize() + sum(map(len, attachments[before:]))
            if len(chunk) >= most or size >= CHUNK_BYTES:
                changed += self._run_batch(sql, chunk, attachments, first)
                first += len(chunk)
                chunk, attachments, size = [], [], 0
        if chunk:
            changed += self._run_batch(sql, chunk, attachments, first)
        self.rowcount = changed
        return self

    def _bind(self, request, parameters, attachments):
        values.bind(request, parameters, attachments)
        if request.named and not self.connection._names:
            raise errors.NotSupportedError("this engine has no named parameters; pass a sequence of values",
                                           "UNIMPLEMENTED", "CAPABILITY_MISSING", "NAMED_PARAMS")

    def fetchone(self):
        rows = self._result()
        return next(rows, None)

    def fetchmany(self, size=None):
        rows = self._result()
        return [row for _, row in zip(range(self.arraysize if size is None else size), rows)]

    def fetchall(self):
        return list(self._result())

    def close(self):
        """Gives up what was not read."""
        if not self._closed:
            self._give_up()
            self._closed = True

    def setinputsizes(self, sizes):
        """Nothing: SQLite's values know their sizes."""

    def setoutputsize(self, size, column=None):
        """Nothing, for the same reason."""

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._result())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        if getattr(self, "_remote", None) is not None:
            self._give_up()

    # ----

    def _begin_statement(self):
        if self._closed:
            raise errors.closed("the cursor is closed")
        self.connection._open()
        self._give_up()
        self.description, self.rowcount, self.lastrowid = None, -1, None

    def _give_up(self):
        remote, self._remote, self._rows = self._remote, None, None
        if remote is not None:
            self.connection._session.give_up_cursor(remote)

    def _result(self):
        if self._closed:
            raise errors.closed("the cursor is closed")
        self.connection._open()
        if self._rows is None:
            raise errors.ProgrammingError("there is no result to fetch from", "INVALID", "NO_RESULT")
        return self._rows

    def _decoded(self, batch):
        """All rows, from this batch on."""
        width = len(self.description)
        try:
            while True:
                yield from values.rows(batch, width, self.connection._raw_text)
                if self._remote is None:
                    return
                response, _ = self.connection._session.call(fetch=pb.FetchRequest(cursor=self._remote, credit=1))
                batch = response.fetch.batch
                if response.fetch.done:
                    self._remote = None
        except errors.Error:
            self._give_up()  # a failure is not the end of the rows: fetching again raises
            raise

    def _run_batch(self, sql, chunk, attachments, first):
        answer = self.connection._run(sql, attachments, exec_batch=pb.ExecBatchRequest(statements=chunk)).exec_batch
        for item in answer.items:
            if item.HasField("error"):
                item.error.batch_index += first
                raise errors.from_engine(item.error, sql)
        return sum(item.ok.changes for item in answer.items)


def encodable(sql):
    try:
        sql.encode()
        return sql
    except (UnicodeEncodeError, AttributeError):
        raise errors.ProgrammingError("the SQL is no text that can be UTF-8", "INVALID", "PARAM_INVALID",
                                      "sql") from None
