#!/usr/bin/env python3
"""An engine for lix.engine.v1 on stdin and stdout, written from the contract alone.

One thread reads and answers what must be answered at once; the main thread runs requests one at a time, in order.
Every request is answered exactly once. See README.md for what this engine does not do.
"""
import collections
import math
import os
import select
import sys
import threading

import engine_pb2 as pb
from database import MAX_OPEN_CURSORS, MAX_PARAMS, MAX_RESULT_BYTES, Database
from failures import Failure, missing
import rows as layout
import sqlite3
import wire

LIMITS = pb.Limits(
    max_frame_bytes=wire.MAX_FRAME_BYTES, max_attachment_bytes=wire.MAX_ATTACHMENT_BYTES, max_sql_bytes=1 << 20,
    max_params=MAX_PARAMS, max_batch_statements=10_000, max_open_cursors=MAX_OPEN_CURSORS, max_inflight=1024,
    max_result_bytes=MAX_RESULT_BYTES)
CAPABILITIES = [pb.CAPABILITY_CURSORS, pb.CAPABILITY_NAMED_PARAMS, pb.CAPABILITY_CANCEL_RUNNING]
MODES = {pb.ROW_MODE_NONE: "NONE", pb.ROW_MODE_CURSOR: "CURSOR"}


class Session:
    """new → ready → closing → closed. Only `receive` runs on the reading thread."""

    def __init__(self, output):
        self._output = output
        self._lock = threading.Condition(threading.RLock())  # everything below, and the order of what is written
        self._life = "new"
        self._state = pb.SessionState()
        self._queue = collections.deque()
        self._waiting = {}  # id: the call's name, for requests without an answer
        self._running = None
        self._event_seq = 0
        self._wanted_events = set()
        self._database = None

    # ---- the reading thread

    def receive(self, message):
        """Queues a request, or answers it at once where that needs no look at the database."""
        with self._lock:
            try:
                if self._accept(message):
                    self._lock.notify()
            except Failure as failure:
                self._respond(message.id, error=failure.error)

    def end(self, failure=None):
        """The stream has ended, or cannot be followed any more. What came before is still run."""
        with self._lock:
            self._queue.append((None, failure, None))
            self._lock.notify()

    def _accept(self, message):
        frame, body = message.frame, message.frame and message.frame.WhichOneof("body")
        if message.id == 0 and body != "request":
            raise Fatal(message.fault or Failure("FRAME_MALFORMED", "a frame with id 0 that is no request"))
        if message.fault:
            raise message.fault
        if message.id == 0:
            raise Failure("FRAME_MALFORMED", "a request with id 0")
        if body in ("response", "event"):
            raise Failure("FRAME_MALFORMED", f"a host does not send a {body}")
        if message.id in self._waiting:
            raise Failure("ID_REUSED", f"request {message.id} still waits for its answer", str(message.id))
        if self._life in ("closing", "closed"):
            raise Failure(self._life.upper(), f"the session is {self._life}")
        call = frame.request.WhichOneof("call") if body else None
        if call == "cancel" and (self._life != "new" or "init" in self._waiting.values()):
            self._respond(message.id, cancel=pb.CancelResponse(outcome=self._cancel(frame.request.cancel.target)))
            return False
        if len(self._waiting) >= LIMITS.max_inflight:
            raise Failure("INFLIGHT", f"{LIMITS.max_inflight} requests wait already", "max_inflight")
        if call == "close":
            self._life = "closing"
        self._waiting[message.id] = call
        self._queue.append((message.id, frame.request, message.attachments))
        return True

    def _cancel(self, target):
        for item in self._queue:
            if item[0] == target:
                if item[1].WhichOneof("call") == "close":
                    return pb.CANCEL_OUTCOME_TOO_LATE
                self._queue.remove(item)
                del self._waiting[target]
                self._respond(target, error=Failure("CANCELLED", "cancelled before it started").error)
                return pb.CANCEL_OUTCOME_DEQUEUED
        if self._running == target and self._waiting.get(target) in ("exec", "exec_batch", "fetch") and self._database:
            self._database.cancelled = True
            return pb.CANCEL_OUTCOME_INTERRUPTED
        return pb.CANCEL_OUTCOME_TOO_LATE

    # ---- the running thread

    def run(self):
        """Until the stream has ended. Returns the exit status."""
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._queue)
                request_id, request, attachments = self._queue.popleft()
                self._running = request_id
                if self._database:
                    self._database.cancelled = False
            if request_id is None:
                if request is not None and self._life != "closed":
                    self._event(closed=pb.ClosedEvent(reason=request.error))
                return 1 if request is not None else 0
            try:
                outcome, sent = self._call(request_id, request, attachments)
            except Failure as failure:
                outcome, sent = {"error": failure.error}, ()
            except MemoryError:
                outcome, sent = {"error": Failure("OUT_OF_MEMORY", "out of memory").error}, ()
            with self._lock:
                self._running = None
                self._finish()
                if "close" in outcome:
                    self._life = "closed"
                del self._waiting[request_id]
                self._respond(request_id, sent, **outcome)

    def fail(self, failure):
        """A defect: what waits is told, then the host is."""
        with self._lock:
            for request_id in self._waiting:
                self._respond(request_id, error=Failure("FAILED", "the engine has failed").error)
            self._event(closed=pb.ClosedEvent(reason=failure.error))

    def _call(self, request_id, request, attachments):
        call = request.WhichOneof("call")
        if call == "close":
            if self._database:
                self._database.close()
            self._database = None
            return {"close": pb.CloseResponse()}, ()
        if self._database is None and call != "init":
            raise Failure("NOT_INITIALIZED", "init comes first")
        if self._database is not None and call == "init":
            raise Failure("ALREADY_INITIALIZED", "the session is open already")
        if request.scope:
            raise missing("SCOPES")
        if call is None:
            raise Failure("CALL_UNKNOWN", "this engine does not know the call")
        if call == "cancel":  # sent while init, which has succeeded meanwhile, was under way
            return {"cancel": pb.CancelResponse(outcome=pb.CANCEL_OUTCOME_TOO_LATE)}, ()
        if call in ("save", "suspend", "resume"):
            raise missing("PERSISTENCE")
        if call == "fetch":
            return self._fetch(request_id, request.fetch), ()
        if call == "export":
            image = self._database.export()
            return {"export": pb.ExportResponse(image_attachment=0, commit_seq=self._database.commit_seq)}, (image,)
        return {call: getattr(self, "_" + call)(getattr(request, call), attachments)}, ()

    def _init(self, init, attachments):
        kind = init.storage.kind
        for wanted in init.required:
            if wanted not in CAPABILITIES:
                name = pb.Capability.Name(wanted) if wanted in pb.Capability.values() else str(wanted)
                raise missing(name.removeprefix("CAPABILITY_"))
        if init.HasField("lix"):
            raise missing("CHANGE_CONTROL")
        if init.events.commit_detail in (pb.COMMIT_DETAIL_KEYS, pb.COMMIT_DETAIL_VALUES):
            raise missing("COMMIT_DETAIL")
        for index, plugin in enumerate(init.plugins):
            known = plugin.format in (pb.PLUGIN_FORMAT_ESM, pb.PLUGIN_FORMAT_WASM, pb.PLUGIN_FORMAT_BUILTIN)
            if not known:
                raise Failure("OPTION_INVALID", "a plugin without a format", f"plugins[{index}].format")
            raise missing(pb.PluginFormat.Name(plugin.format).replace("PLUGIN_FORMAT", "PLUGINS"))
        if kind not in (pb.STORAGE_KIND_UNSPECIFIED, pb.STORAGE_KIND_MEMORY) and not init.storage.or_memory:
            known = kind in pb.StorageKind.values()
            name = pb.StorageKind.Name(kind).removeprefix("STORAGE_KIND_") if known else str(kind)
            raise Failure("STORAGE_UNSUPPORTED", f"this engine has no storage {name}", name)
        seed = init.WhichOneof("seed")
        if init.open_mode == pb.OPEN_MODE_OPEN:
            raise Failure("OPTION_INVALID", "open what is stored, and a seed", "open_mode") if seed else \
                Failure("STORAGE_MISSING", "memory never holds anything")
        image = {None: lambda: None, "image": lambda: init.image,
                 "image_attachment": lambda: attached(attachments, init.image_attachment, seed)}[seed]()
        try:
            database = Database(image)
        except Failure as failure:
            failure.error.subject = seed
            raise
        database.on_commit = lambda: self._event(pb.EVENT_KIND_COMMIT,
                                                 commit=pb.CommitEvent(commit_seq=database.commit_seq))
        self._database, self._wanted_events = database, set(init.events.kinds)
        with self._lock:
            if self._life == "new":  # and no close waits
                self._life = "ready"
        return pb.InitResponse(
            minor=0, engine_name="lix-engine-python", engine_version="1.0.0", sqlite_version=sqlite3.sqlite_version,
            capabilities=CAPABILITIES, storage=pb.STORAGE_KIND_MEMORY, limits=LIMITS)

    def _exec(self, call, attachments, budget=MAX_RESULT_BYTES):
        if call.HasField("param_rows"):
            raise missing("BULK_BIND")
        if len(call.sql.encode()) > LIMITS.max_sql_bytes:
            raise Failure("LIMIT_EXCEEDED", "the SQL text is too long", "max_sql_bytes")
        if len(call.params) + len(call.named) > LIMITS.max_params:
            raise Failure("LIMIT_EXCEEDED", "too many parameters", "max_params")
        result = self._database.run(
            call.sql, lambda statement: bind(call, statement, attachments), MODES.get(call.rows, "ALL"),
            call.max_batch_rows, call.max_batch_bytes, call.timeout_ms, budget)
        return pb.ExecResponse(
            columns=[pb.Column(name=name) for name in result.columns],
            batch=layout.batch(result.rows, len(result.columns)) if result.columns else None,
            cursor=result.cursor, changes=result.changes, last_insert_rowid=result.last_insert_rowid)

    def _exec_batch(self, call, attachments):
        if len(call.statements) > LIMITS.max_batch_statements:
            raise Failure("LIMIT_EXCEEDED", "too many statements", "max_batch_statements")
        for index, statement in enumerate(call.statements):
            if statement.rows == pb.ROW_MODE_CURSOR:
                failure = Failure("OPTION_INVALID", "no cursors in a batch", f"statements[{index}].rows")
                failure.error.batch_index = index
                raise failure
        items, budget = [], MAX_RESULT_BYTES
        for index, statement in enumerate(call.statements):
            try:
                ok = self._exec(statement, attachments, budget)
                budget -= ok.batch.ByteSize()
                items.append(pb.BatchItem(ok=ok))
            except Failure as failure:
                failure.error.batch_index = index
                items.append(pb.BatchItem(error=failure.error))
                if call.on_error != pb.BATCH_ERROR_MODE_CONTINUE or failure.error.reason == "CANCELLED":
                    break
        return pb.ExecBatchResponse(items=items)

    def _fetch(self, request_id, call):
        for left in range((call.credit or 1) - 1, -1, -1):
            batch, done = self._database.fetch(call.cursor)
            outcome = {"fetch": pb.FetchResponse(batch=batch, done=done)}
            if done or not left:
                return outcome
            with self._lock:
                self._respond(request_id, **outcome)

    def _close_cursor(self, call, _):
        self._database.close_cursor(call.cursor)
        return pb.CloseCursorResponse()

    def _control(self, call, _):
        op = call.WhichOneof("op")
        if op is None:
            raise Failure("CALL_UNKNOWN", "this engine does not know the control call")
        raise missing("MANUAL_CLOCK" if op in ("set_clock", "advance_clock") else "FAULTS")

    # ---- what is written

    def _finish(self):
        """The state after the request that just ran."""
        if self._database:
            self._state.in_transaction = self._database.in_transaction
            self._state.commit_seq = self._database.commit_seq
        else:
            self._state.in_transaction = False

    def _respond(self, request_id, attachments=(), **outcome):
        response = pb.Response(state=self._state, **outcome)
        wire.write_message(self._output, pb.Frame(id=request_id, response=response), attachments)

    def _event(self, kind=None, **what):
        with self._lock:
            if kind is None or kind in self._wanted_events:
                self._event_seq += 1
                wire.write_message(self._output, pb.Frame(event=pb.Event(seq=self._event_seq, **what)))


class Fatal(Exception):
    """The session is over; the argument says why."""


def bind(call, statement, attachments):
    """Values for parameters 1 to the highest, in order. Everything has its place, or nothing runs."""
    parameters, highest = statement.parameters, statement.highest
    values, numbers = {}, {name: number for number, name in parameters.items() if name}
    for number, value in enumerate(call.params, 1):
        if number > highest:
            raise Failure("PARAM_UNKNOWN", f"there is no parameter {number}", str(number))
        values[number] = (value, parameters.get(number) or str(number))
    named = set()
    for entry in call.named:
        candidates = [entry.name] if entry.name[:1] in (":", "@", "$") else [mark + entry.name for mark in ":@$"]
        number = next((numbers[name] for name in candidates if name in numbers), None)
        if number is None:
            raise Failure("PARAM_UNKNOWN", f"there is no parameter {entry.name}", entry.name)
        if number in named:
            raise Failure("PARAM_INVALID", f"{entry.name} is given twice", entry.name)
        named.add(number)
        values[number] = (entry.value, parameters[number])
    for number in range(1, highest + 1):
        if number not in values:
            name = parameters.get(number) or str(number)
            raise Failure("PARAM_MISSING", f"parameter {name} has no value", name)
    return [python_value(*values[number], attachments) for number in range(1, highest + 1)]


def python_value(value, name, attachments):
    kind = value.WhichOneof("kind")
    if kind is None:
        raise Failure("PARAM_INVALID", f"parameter {name} has no kind", name)
    if kind == "null":
        return None
    if kind == "blob_attachment":
        return attached(attachments, value.blob_attachment, "blob_attachment")
    if kind == "real" and math.isnan(value.real):
        raise Failure("PARAM_INVALID", f"parameter {name} is NaN, which SQLite would store as NULL", name)
    return getattr(value, kind)


def attached(attachments, index, field):
    if index >= len(attachments):
        raise Failure("ATTACHMENT_MISMATCH", f"{field} names attachment {index} of {len(attachments)}", field)
    return attachments[index]


def listen(stream, session, output):
    read(stream, session)
    end_with_the_listener(output)


def read(stream, session):
    try:
        wire.read_preamble(stream)
        while (message := wire.read_message(stream)) is not None:
            session.receive(message)
        session.end()
    except (Failure, Fatal) as reason:
        session.end(reason if isinstance(reason, Failure) else reason.args[0])
    except OSError:
        session.end()  # nobody listens any more
    except Exception as defect:
        sys.excepthook(*sys.exc_info())
        session.end(Failure("ENGINE_DEFECT", f"{type(defect).__name__}: {defect}"))


def end_with_the_listener(output):
    """What was asked for is run to its end although nothing more can arrive, but only while somebody could read it."""
    if hasattr(select, "poll"):
        reader = select.poll()
        reader.register(output, 0)  # that the other end is gone is told unasked
        reader.poll()
        os._exit(1)  # also out of a statement that never ends; the database was in memory


def main():
    output = os.fdopen(os.dup(1), "wb", buffering=1 << 16)
    os.dup2(2, 1)  # whatever prints does not print into the protocol
    session = Session(output)
    status = 1
    try:
        output.write(wire.PREAMBLE)
        output.flush()
        threading.Thread(target=listen, args=(sys.stdin.buffer, session, output), daemon=True).start()
        status = session.run()
    except BrokenPipeError:
        pass  # nobody listens any more
    except Exception as defect:
        sys.excepthook(*sys.exc_info())
        session.fail(Failure("ENGINE_DEFECT", f"{type(defect).__name__}: {defect}"))
    os._exit(status)  # the reading thread may still wait for bytes


if __name__ == "__main__":
    main()
