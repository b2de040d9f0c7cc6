"""The host library against real engines: the native one as a process and behind a WebSocket, and the one in Python.

    python3 test_lix_engine.py        # needs examples/python-setup.py and `cargo build --bin lix-engine`
"""
import contextlib
import datetime
import gc
import os
import pathlib
import queue
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import unittest

HERE = pathlib.Path(__file__).resolve().parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent.parent / "target")).absolute()
ENGINE = os.environ.get("LIX_ENGINE") or str(TARGET / "debug" / "lix-engine")
SECONDS = 30  # what must happen happens at once; this only bounds a failing test
sys.path.insert(0, str(HERE))
import lix_engine  # noqa: E402


class Native:
    """How a test opens its connections; subclasses reach other engines."""

    def connect(self, *args, **options):
        options.setdefault("engine", ENGINE)
        db = lix_engine.connect(*args, **options)
        self.addCleanup(db.close)
        return db

    def refused(self, kind, code, reason, call, *args, **options):
        """The error of a call that has to fail like this."""
        with self.assertRaises(kind) as caught:
            call(*args, **options)
        self.assertEqual((type(caught.exception), caught.exception.code, caught.exception.reason), (kind, code, reason))
        return caught.exception


class Values(Native, unittest.TestCase):
    def test_every_value_comes_back_as_it_went(self):
        db = self.connect()
        for value in (None, 0, -1, 127, 128, 2**31, 2**53 + 1, 2**63 - 1, -2**63, 0.5, float("inf"), -float("inf"), 5e-324,
                      "", "ä𝄞", "a\0b", b"", b"\0\xff", "x" * 300, b"y" * 70_000):
            with self.subTest(value=value if value is None else str(value)[:20]):
                (came, kind), = db.execute("select ?1, typeof(?1)", (value,))
                self.assertEqual((came, type(came)), (value, type(value)))
        (zero,), = db.execute("select ?", (-0.0,))
        self.assertEqual(str(zero), "-0.0")

    def test_a_column_of_everything(self):
        db = self.connect()
        mixed = [(1,), (None,), ("a",), (b"b",), (2.5,), (300,), ("",), (-70_000,), (b"",)]
        db.execute("create table t (x)")
        db.executemany("insert into t values (?)", mixed)
        self.assertEqual(db.execute("select x from t order by rowid").fetchall(), mixed)

    def test_what_else_can_be_bound(self):
        class Whole:
            def __index__(self):
                return 7

        db = self.connect()
        row, = db.execute("select ?, ?, ?, ?, ?, ?", (
            True, bytearray(b"ab"), memoryview(b"cd"), Whole(), datetime.date(2026, 1, 2),
            datetime.datetime(2026, 1, 2, 3, 4, 5)))
        self.assertEqual(row, (1, b"ab", b"cd", 7, "2026-01-02", "2026-01-02 03:04:05"))

    def test_what_cannot_be_bound_is_refused_before_it_is_sent(self):
        db = self.connect()
        for value in (2**63, -2**63 - 1, float("nan"), "\ud800", object(), {}, [1], 1j):
            error = self.refused(lix_engine.DataError, "INVALID", "PARAM_INVALID", db.execute, "select ?, ?", (1, value))
            self.assertEqual(error.subject, "2")
        self.refused(lix_engine.DataError, "INVALID", "PARAM_INVALID", db.execute, "select ?", "a")

    def test_names(self):
        db = self.connect()
        row, = db.execute("select :a, @b, $c, :a", {"a": 1, "@b": 2, "c": 3})
        self.assertEqual(row, (1, 2, 3, 1))
        error = self.refused(lix_engine.ProgrammingError, "INVALID", "PARAM_MISSING", db.execute, "select :x", {})
        self.assertEqual(error.subject, ":x")

    def test_text_that_is_not_utf8(self):
        for raw_text, expected in (("replace", "a\ufffd"), ("bytes", b"a\xff")):
            (came,), = self.connect(raw_text=raw_text).execute("select cast(x'61ff' as text)")
            self.assertEqual(came, expected)


class Cursors(Native, unittest.TestCase):
    def table(self, rows, **options):
        db = self.connect(**options)
        db.execute("create table t (id integer primary key, name varchar(10), data blob)")
        db.executemany("insert into t (name) values (?)", ([f"n{i}"] for i in range(rows)))
        db.commit()
        return db

    def test_description_and_types(self):
        db = self.table(1)
        cursor = db.execute("select id, name, data, id + 1 as id from t")
        self.assertEqual([column[0] for column in cursor.description], ["id", "name", "data", "id"])
        self.assertEqual([len(column) for column in cursor.description], [7] * 4)
        types = [column[1] for column in cursor.description]
        self.assertTrue(types[0] == lix_engine.NUMBER and types[1] == lix_engine.STRING and types[2] == lix_engine.BINARY)
        self.assertIsNone(types[3])
        self.assertIsNone(db.execute("delete from t").description)

    def test_counts(self):
        db = self.connect()
        self.assertEqual(db.execute("create table t (a integer primary key)").rowcount, 0)
        insert = db.execute("insert into t values (5), (6)")
        self.assertEqual((insert.rowcount, insert.lastrowid), (2, 6))
        self.assertEqual(db.execute("update t set a = a + 10").rowcount, 2)
        select = db.execute("select * from t")
        self.assertEqual((select.rowcount, select.lastrowid), (-1, None))
        self.assertEqual(db.executemany("insert into t values (?)", [[i] for i in range(100, 2600)]).rowcount, 2500)

    def test_fetching(self):
        db = self.table(10)
        cursor = db.execute("select id from t")
        self.assertEqual(cursor.fetchone(), (1,))
        self.assertEqual(cursor.fetchmany(), [(2,)])
        cursor.arraysize = 3
        self.assertEqual(cursor.fetchmany(), [(3,), (4,), (5,)])
        self.assertEqual(cursor.fetchmany(2), [(6,), (7,)])
        self.assertEqual(next(cursor), (8,))
        self.assertEqual(cursor.fetchall(), [(9,), (10,)])
        self.assertEqual((cursor.fetchone(), cursor.fetchmany(5), cursor.fetchall()), (None, [], []))

    def test_fetching_without_a_result(self):
        db = self.connect()
        cursor = db.cursor()
        for fetch in (cursor.fetchone, cursor.fetchall, cursor.fetchmany):
            self.assertRaises(lix_engine.ProgrammingError, fetch)
        cursor.execute("create table t (a)")
        self.assertRaises(lix_engine.ProgrammingError, cursor.fetchone)

    def test_rows_stream_as_they_were(self):
        db = self.table(10, batch_rows=2)
        first, second = db.execute("select id from t order by id"), db.execute("select id from t order by id desc")
        self.assertEqual((first.fetchone(), second.fetchone()), ((1,), (10,)))
        db.execute("update t set id = id + 100")
        db.commit()
        self.assertEqual((first.fetchmany(3), second.fetchmany(2)), ([(2,), (3,), (4,)], [(9,), (8,)]))
        self.assertEqual(len(first.fetchall()) + len(second.fetchall()), 6 + 7)

    def test_a_rollback_ends_streams(self):
        db = self.table(10, batch_rows=2)
        db.execute("insert into t (name) values ('x')")
        cursor = db.execute("select id from t")
        self.assertEqual(cursor.fetchmany(2), [(1,), (2,)])
        db.rollback()
        self.refused(lix_engine.OperationalError, "TRANSACTION", "CURSOR_INVALIDATED", cursor.fetchone)
        self.assertRaises(lix_engine.ProgrammingError, cursor.fetchone)

    def test_a_failure_in_the_middle_of_the_rows(self):
        cursor = self.connect(batch_rows=1).execute("select abs(column1) from (values (1), (2), (-9223372036854775808))")
        self.assertEqual(cursor.fetchone(), (1,))
        with self.assertRaises(lix_engine.ProgrammingError):
            for _ in range(3):
                cursor.fetchone()
        self.assertRaises(lix_engine.ProgrammingError, cursor.fetchone)

    def test_cursors_that_nobody_reads_are_given_up(self):
        db = self.table(10, batch_rows=2)
        reused = db.cursor()
        for _ in range(db.info.limits.max_open_cursors + 1):
            reused.execute("select id from t")
            db.execute("select id from t").close()
            db.execute("select id from t").fetchone()
            gc.collect()

    def test_a_closed_cursor(self):
        db = self.connect()
        with db.execute("select 1") as cursor:
            pass
        for call in (cursor.fetchone, lambda: cursor.execute("select 1"), lambda: cursor.executemany("select 1", [])):
            self.refused(lix_engine.ProgrammingError, "LIFECYCLE", "CLOSED", call)

    def test_returning(self):
        db = self.table(0)
        cursor = db.execute("insert into t (name) values ('a'), ('b') returning id, name")
        self.assertEqual((cursor.fetchall(), cursor.rowcount), ([(1, "a"), (2, "b")], 2))

    def test_executemany_says_which_row(self):
        db = self.table(0)
        rows = [[i] for i in range(1500)] + [[7]] + [[9999]]
        error = self.refused(lix_engine.IntegrityError, "CONSTRAINT", "PRIMARY_KEY",
                             db.executemany, "insert into t (id) values (?)", rows)
        self.assertEqual(error.batch_index, 1500)
        db.rollback()
        self.assertEqual(db.execute("select count(*) from t").fetchone(), (0,))

    def test_executemany_of_large_blobs(self):
        db = self.table(0)
        db.executemany("insert into t (data) values (?)", ([bytes([i]) * 1_000_000] for i in range(20)))
        self.assertEqual(db.execute("select sum(length(data)), hex(substr(max(data), 1, 1)) from t").fetchone(),
                         (20_000_000, "13"))


class Transactions(Native, unittest.TestCase):
    def test_a_write_opens_a_transaction(self):
        db = self.connect()
        db.execute("create table t (a)")
        self.assertTrue(db.in_transaction)
        db.commit()
        db.execute("-- a comment\n insert into t values (1)")
        self.assertTrue(db.in_transaction)
        db.rollback()
        self.assertEqual(db.execute("select count(*) from t").fetchone(), (0,))
        db.commit()
        db.rollback()

    def test_reading_does_not(self):
        db = self.connect()
        for sql in ("select 1", "/* c */ values (1)", "with x as (select 1) select * from x", "pragma user_version"):
            db.execute(sql).fetchall()
            self.assertFalse(db.in_transaction, sql)
        db.execute("begin immediate")
        db.execute("rollback")

    def test_a_context_commits_or_rolls_back(self):
        db = self.connect()
        with db:
            db.execute("create table t (a)")
        with self.assertRaises(ZeroDivisionError), db:
            db.execute("insert into t values (1)")
            1 / 0
        with db:
            db.execute("with x as (select 2) insert into t select * from x")
            db.executemany("with x as (select ?1) insert into t select * from x", [[3], [4]])
            self.assertTrue(db.in_transaction)
        self.assertFalse(db.in_transaction)
        self.assertEqual(db.execute("select a from t").fetchall(), [(2,), (3,), (4,)])

    def test_a_commit_that_fails(self):
        db = self.connect()
        db.execute("pragma foreign_keys = on")
        with db:
            db.execute("create table p (a primary key)")
            db.execute("create table c (a references p deferrable initially deferred)")
        db.execute("insert into c values (1)")
        self.refused(lix_engine.IntegrityError, "CONSTRAINT", "FOREIGN_KEY", db.commit)
        self.assertTrue(db.in_transaction)
        db.rollback()
        with self.assertRaises(lix_engine.IntegrityError), db:
            db.execute("insert into c values (1)")
        self.assertFalse(db.in_transaction)

    def test_autocommit(self):
        db = self.connect(autocommit=True)
        db.execute("create table t (a)")
        self.assertEqual((db.in_transaction, db.commit_seq), (False, 1))
        db.autocommit = False
        db.execute("insert into t values (1)")
        self.assertTrue(db.in_transaction)
        db.autocommit = True
        self.assertEqual((db.in_transaction, db.commit_seq), (False, 2))


class Errors(Native, unittest.TestCase):
    def test_kinds(self):
        db = self.connect(autocommit=True)
        db.execute("create table t (a integer primary key, b not null, c check (c > 0))")
        db.execute("insert into t values (1, 1, 1)")
        p, i, o = lix_engine.ProgrammingError, lix_engine.IntegrityError, lix_engine.OperationalError
        for sql, kind, code, reason, extended in (
                ("selec", p, "INVALID", "SQL_SYNTAX", 1), ("", p, "INVALID", "SQL_EMPTY", 0),
                ("select 1; select 2", p, "INVALID", "SQL_MULTIPLE", 0), ("select ?", p, "INVALID", "PARAM_MISSING", 0),
                ("insert into t values (1, 1, 1)", i, "CONSTRAINT", "PRIMARY_KEY", 1555),
                ("insert into t values (2, null, 1)", i, "CONSTRAINT", "NOT_NULL", 1299),
                ("insert into t values (2, 1, 0)", i, "CONSTRAINT", "CHECK", 275),
                ("commit", o, "TRANSACTION", "NO_TRANSACTION", 1)):
            with self.subTest(sql):
                error = self.refused(kind, code, reason, db.execute, sql)
                self.assertEqual((error.sqlite_extended_code, error.sql), (extended, sql))
                self.assertIsInstance(error, db.DatabaseError)
        self.refused(lix_engine.NotSupportedError, "UNIMPLEMENTED", "CAPABILITY_MISSING",
                     lambda: db._session.call(control={"set_clock": {"manual": True}}))

    def test_offsets_count_characters(self):
        error = self.refused(lix_engine.ProgrammingError, "INVALID", "SQL_ERROR", self.connect().execute,
                             "select 'ä𝄞', nope")
        self.assertEqual(error.sql[error.sql_offset:], "nope")

    def test_time_runs_out(self):
        db = self.connect(timeout_ms=50)
        error = self.refused(lix_engine.OperationalError, "INTERRUPTED", "TIMEOUT", db.execute, ENDLESS)
        self.assertTrue(error.retryable)
        self.assertEqual(db.execute("select 1").fetchone(), (1,))

    def test_options_that_are_not(self):
        for options in ({"mode": "maybe"}, {"durability": 1}, {"raw_text": "x"}, {"on_event": print, "events": ["moon"]}):
            self.refused(lix_engine.ProgrammingError, "INVALID", "OPTION_INVALID", self.connect, **options)

    def test_after_close(self):
        db = self.connect()
        cursor = db.execute("select 1")
        db.close()
        db.close()
        for call in (db.cursor, db.commit, db.rollback, db.export, db.save, cursor.fetchone):
            self.refused(lix_engine.ProgrammingError, "LIFECYCLE", "CLOSED", call)


class Storage(Native, unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = pathlib.Path(directory.name) / "notes.lix"

    def test_what_was_committed_is_found_again(self):
        db = self.connect(self.path)
        with db:
            db.execute("create table t (a)")
        db.execute("insert into t values (1)")
        db.close()
        db = self.connect(self.path, mode="open")
        self.assertEqual((db.info.restored, db.execute("select * from t").fetchall()), (True, []))

    def test_strict_survives_a_kill(self):
        db = self.connect(self.path, durability="strict")
        with db:
            db.execute("create table t (a)")
        self.assertEqual(db.saved_seq, db.commit_seq)
        os.kill(db.pid, signal.SIGKILL)
        db = self.connect(self.path, wait_ms=5000)
        self.assertEqual(db.execute("select * from t").fetchall(), [])

    def test_save_and_the_counters(self):
        db = self.connect(self.path, autosave=False, autocommit=True)
        db.execute("create table t (a)")
        self.assertEqual((db.commit_seq, db.saved_seq), (1, 0))
        self.assertEqual((db.save(), db.saved_seq), (1, 1))

    def test_one_at_a_time(self):
        self.connect(self.path)
        error = self.refused(lix_engine.OperationalError, "STORAGE", "STORAGE_BUSY", self.connect, self.path)
        self.assertEqual((error.subject, error.retryable), (str(self.path), True))

    def test_modes(self):
        self.refused(lix_engine.OperationalError, "STORAGE", "STORAGE_MISSING", self.connect, self.path, mode="open")
        self.connect(self.path, mode="create").close()
        self.refused(lix_engine.OperationalError, "STORAGE", "STORAGE_EXISTS", self.connect, self.path, mode="create")

    def test_a_connection_that_is_forgotten_closes(self):
        db = lix_engine.connect(self.path, engine=ENGINE, autosave=False)
        with db:
            db.execute("create table t (a)")
        del db
        gc.collect()
        self.assertEqual(self.connect(self.path).execute("select * from t").fetchall(), [])

    def test_a_program_that_ends_closes(self):
        program = f"""
            import sys; sys.path.insert(0, {str(HERE)!r})
            import lix_engine
            db = lix_engine.connect({str(self.path)!r}, engine={ENGINE!r}, autosave=False)
            with db: db.execute("create table t (a)")
        """
        subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=SECONDS)
        self.assertEqual(self.connect(self.path).execute("select * from t").fetchall(), [])

    def test_images(self):
        db = self.connect()
        with db:
            db.execute("create table t (a)")
            db.execute("insert into t values ('here')")
        image = db.export()
        self.assertTrue(image.startswith(b"SQLite format 3\0"))
        self.assertEqual(self.connect(image=image).execute("select a from t").fetchall(), [("here",)])
        error = self.refused(lix_engine.DatabaseError, "CORRUPT", "IMAGE_INVALID", self.connect, image=image[:1000])
        self.assertEqual(error.subject, "image_attachment")


class Lix(Native, unittest.TestCase):
    def test_key_values_and_what_commits_changed(self):
        events = queue.SimpleQueue()
        db = self.connect(lix={"greeting": {"text": "hello"}}, autocommit=True, commit_detail="keys",
                          on_event=lambda *event: events.put(event))
        self.assertEqual(db.info.schema_version, "1")
        self.assertEqual(db.execute("select value ->> 'text' from key_value where key = 'greeting'").fetchone(), ("hello",))
        db.execute("insert into key_value (key, value) values ('n', json('1'))")
        kind, event = events.get(timeout=SECONDS)
        names = [column.name for column in event.columns]
        rows = lix_engine.dbapi.values.rows(event.changes, len(names), bytes)
        self.assertEqual((kind, event.commit_seq), ("commit", 1))
        self.assertIn(("n", "lix_key_value"), [(row[names.index("entity_id")], row[names.index("schema_key")]) for row in rows])

    def test_a_plugin(self):
        source = (HERE.parent.parent / "conformance/fixtures/plugins/fx.lines.js").read_text()
        db = self.connect(lix=True, plugins={"fx.lines": source}, autocommit=True)
        db.execute("insert into file (path, data) values ('/a.lines', ?)", (b"one\ntwo",))
        self.assertEqual(db.execute("select count(*) from state where plugin_key = 'fx.lines'").fetchone(), (2,))


class Events(Native, unittest.TestCase):
    def test_a_listener_may_use_the_connection(self):
        seen = queue.SimpleQueue()
        db = self.connect(autocommit=True, events=["commit"],
                          on_event=lambda kind, event: seen.put((event.commit_seq, db.execute("select 1").fetchone())))
        db.execute("create table t (a)")
        db.execute("select * from t")
        db.execute("insert into t values (1)")
        self.assertEqual([seen.get(timeout=SECONDS) for _ in range(2)], [(1, (1,)), (2, (1,))])


class Threads(Native, unittest.TestCase):
    def test_a_connection_is_shared(self):
        db = self.connect(autocommit=True)
        db.execute("create table t (a)")
        failures = []

        def work(start):
            try:
                for i in range(start, start + 50):
                    db.execute("insert into t values (?)", (i,))
                    assert db.execute("select a from t where a = ?", (i,)).fetchone() == (i,)
            except BaseException as failure:
                failures.append(failure)

        threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
        self.assertEqual((failures, db.execute("select count(*) from t").fetchone()), ([], (400,)))


class Death(Native, unittest.TestCase):
    """Nothing waits for an engine that is not there."""

    def within(self, call, *args, **options):
        """What the call raises, on a thread so that a call that hangs is a failure."""
        result = queue.SimpleQueue()

        def run():
            try:
                call(*args, **options)
                result.put(None)
            except BaseException as error:
                result.put(error)

        threading.Thread(target=run, daemon=True).start()
        return result.get(timeout=SECONDS)

    def fake(self, program, deaf=False):
        """An engine that is this program, after init. `answer(response)` and `send(frame)` are at hand."""
        return [sys.executable, "-c", textwrap.dedent('''
            import os, struct, sys
            import engine_pb2 as pb
            def take():
                return pb.Frame.FromString(sys.stdin.buffer.read(*struct.unpack("<I", sys.stdin.buffer.read(4))))
            def send(**frame):
                data = pb.Frame(**frame).SerializeToString()
                sys.stdout.buffer.write(struct.pack("<I", len(data)) + data); sys.stdout.buffer.flush()
            def answer(**response):
                send(id=take().id, response=dict(state={}, **response))
            sys.stdout.buffer.write(sys.stdin.buffer.read(8)); sys.stdout.buffer.flush()
            LIMITS = dict(max_inflight=9, max_open_cursors=9, max_batch_statements=9)
            init = take()
            if DEAF: os.close(0)
            send(id=init.id, response=dict(state={}, init=dict(limits=LIMITS, capabilities=[pb.CAPABILITY_CURSORS])))
        ''').replace("DEAF", str(deaf)) + textwrap.dedent(program)]

    def test_killed_while_it_works(self):
        db = self.connect()
        waiting = queue.SimpleQueue()
        threading.Thread(target=lambda: waiting.put(self.within(db.execute, ENDLESS)), daemon=True).start()
        while not db._session._waiting:
            pass
        os.kill(db.pid, signal.SIGKILL)
        error = waiting.get(timeout=SECONDS)
        self.assertEqual((type(error), error.reason), (lix_engine.OperationalError, "TRANSPORT_CLOSED"))
        self.assertIn("exit status -9", str(error))
        for call in (lambda: db.execute("select 1"), db.export):
            self.assertEqual(self.within(call).reason, "TRANSPORT_CLOSED")
        with self.assertRaises(ZeroDivisionError), db:
            1 / 0
        db.close()

    def test_there_is_no_engine(self):
        for command, kind, reason in (("/nowhere/engine", lix_engine.OperationalError, "WORKER_FAILED"),
                                      (["true"], lix_engine.OperationalError, "TRANSPORT_CLOSED"),
                                      (["echo", "hello, world"], lix_engine.InterfaceError, "FRAME_MALFORMED"),
                                      (["cat"], lix_engine.InterfaceError, "FRAME_MALFORMED")):
            error = self.within(lix_engine.connect, engine=command)
            self.assertEqual((type(error), error.reason), (kind, reason), command)

    def test_what_it_said_last_is_told(self):
        error = self.within(lix_engine.connect, engine=["sh", "-c", "echo out of luck >&2; exit 3"])
        self.assertIn("exit status 3 | out of luck", str(error))

    def test_it_never_answers(self):
        error = self.within(lix_engine.connect, engine=["sh", "-c", "exec sleep 60 <&- "], open_timeout=0.2)
        self.assertEqual((type(error), error.reason), (lix_engine.OperationalError, "TRANSPORT_CLOSED"))

    def test_odd_engines(self):
        batch = "dict(columns=[dict(name='a')], batch=dict(row_count=1, columns=[dict(uniform=2, int_width=4, ints=b'1')]))"
        for program, reason in (
                ("take(); sys.exit(1)", "TRANSPORT_CLOSED"),
                ("take(); os.write(1, b'\\x05\\0\\0\\0ab'); sys.exit()", "TRANSPORT_CLOSED"),
                ("take(); os.write(1, b'\\x02\\0\\0\\0\\xff\\xff'); take()", "FRAME_MALFORMED"),
                ("take(); send(id=77, response=dict(state={})); take()", "FRAME_MALFORMED"),
                ("answer(export={}); take()", "FRAME_MALFORMED"),
                ("answer(); take()", "FRAME_MALFORMED"),
                (f"answer(exec={batch}); take()", "BATCH_MALFORMED"),
                ("take(); send(event=dict(seq=1, closed=dict(reason=dict(code=12, reason='ENGINE_DEFECT', message='?'))));"
                 "take()", "ENGINE_DEFECT"),
                ("answer(error=dict(code=99, reason='NEWER', message='?'))", "NEWER")):
            with self.subTest(program):
                db = self.connect(engine=self.fake(program))
                error = self.within(lambda: db.execute("select 1").fetchone())
                self.assertIsInstance(error, lix_engine.Error)
                self.assertEqual(error.reason, reason)
                self.assertIsNone(self.within(db._session.abort, lix_engine.errors.closed(), grace=0.5))

    def test_it_takes_nothing_any_more(self):
        db = self.connect(engine=self.fake("import time; time.sleep(600)", deaf=True))
        for _ in range(2):
            error = self.within(db.execute, "select 1")
            self.assertEqual((type(error), error.reason), (lix_engine.OperationalError, "TRANSPORT_CLOSED"))
        self.assertIsNone(self.within(db._session.abort, lix_engine.errors.closed(), grace=0.5))

    def test_what_a_newer_engine_adds_is_ignored(self):
        db = self.connect(engine=self.fake("""
            send(event=dict(seq=1))
            answer(exec=dict(columns=[dict(name='a')], batch=dict(row_count=1, columns=[dict(uniform=2, int_width=8, ints=b'1' * 8)])))
            answer(close={})
        """), on_event=lambda *_: self.fail("an unknown event was told"))
        self.assertEqual(db.execute("select 1").fetchone(), (0x3131313131313131,))


class Readme(unittest.TestCase):
    def test_its_example_runs(self):
        program = (HERE / "notes.py").read_text()
        self.assertIn(f"```python\n{program}```", (HERE / "README.md").read_text())
        environment = {**os.environ, "PYTHONPATH": str(HERE), "LIX_ENGINE": ENGINE}
        with tempfile.TemporaryDirectory() as directory:
            printed = subprocess.run([sys.executable, HERE / "notes.py"], cwd=directory, env=environment, check=True,
                                     timeout=SECONDS, capture_output=True, text=True).stdout
        self.assertEqual(printed, "1 milk\n2 bread\nCONSTRAINT PRIMARY_KEY\n")


class Server:
    """One native WebSocket server for the class."""

    @classmethod
    def setUpClass(cls):
        cls.server = subprocess.Popen([ENGINE, "serve", "--ws", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True)
        line = cls.server.stderr.readline()
        cls.url = line.split("listening on ")[1].strip()
        cls.server_log = threading.Thread(target=cls.server.stderr.read, daemon=True)
        cls.server_log.start()

    @classmethod
    def tearDownClass(cls):
        cls.server.kill()
        cls.server.wait()
        cls.server_log.join(SECONDS)
        cls.server.stderr.close()

    def connect(self, *args, **options):
        return Native.connect(self, *args, url=self.url, **options)


class ValuesByWebSocket(Server, Values):
    pass


class CursorsByWebSocket(Server, Cursors):
    pass


class DeathOfAServer(Server, Native, unittest.TestCase):
    within = Death.within

    def test_killed(self):
        db = self.connect()
        self.server.kill()
        error = self.within(db.execute, "select 1")
        self.assertEqual((type(error), error.reason), (lix_engine.OperationalError, "TRANSPORT_CLOSED"))
        error = self.within(lix_engine.connect, url=self.url)
        self.assertEqual((type(error), error.reason), (lix_engine.OperationalError, "TRANSPORT_CLOSED"))


class Other:
    """The engine of examples/engine-python: another team's, as it were."""

    def connect(self, *args, **options):
        options["engine"] = [sys.executable, str(HERE.parent / "engine-python" / "engine.py")]
        return Native.connect(self, *args, **options)


class ValuesOfAnother(Other, Values):
    pass


class CursorsOfAnother(Other, Cursors):
    test_description_and_types = None  # it has no declared types, see its known failures


class TransactionsOfAnother(Other, Transactions):
    pass


class InterruptionOfAnother(Other, Native, unittest.TestCase):
    """It can be told to stop while it runs."""

    within = Death.within

    def test_from_another_thread(self):
        db = self.connect(batch_rows=1, autocommit=True)
        stream = db.execute("values (1), (2), (3)")
        stopped = queue.SimpleQueue()
        threading.Thread(target=lambda: stopped.put(self.within(db.execute, ENDLESS)), daemon=True).start()
        while not db._session._waiting:
            pass
        db.interrupt()
        error = stopped.get(timeout=SECONDS)
        self.assertEqual((type(error), error.reason), (lix_engine.OperationalError, "CANCELLED"))
        self.assertEqual(stream.fetchall(), [(1,), (2,), (3,)])

    def test_from_the_keyboard(self):
        program = f"""
            import os, signal, sys, threading; sys.path.insert(0, {str(HERE)!r})
            import lix_engine
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has children in the background ignore it
            db = lix_engine.connect(autocommit=True,
                                    engine=[sys.executable, {str(HERE.parent / "engine-python" / "engine.py")!r}])
            main = threading.get_ident()
            def press():
                while not db._session._waiting: pass
                while sys._current_frames()[main].f_code.co_name != "wait": pass  # for the answer
                os.killpg(os.getpgid(0), signal.SIGINT)  # as a terminal does
            threading.Thread(target=press).start()
            try: db.execute({ENDLESS!r})
            except KeyboardInterrupt: print(db.execute("select 'still here'").fetchone())
        """
        printed = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=SECONDS,
                                 capture_output=True, text=True, start_new_session=True).stdout
        self.assertEqual(printed, "('still here',)\n")


ENDLESS = "with recursive n (i) as (select 1 union all select i + 1 from n) select count(*) from n"

if __name__ == "__main__":
    unittest.main()
