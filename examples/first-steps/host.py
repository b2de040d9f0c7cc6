#!/usr/bin/env python3
"""The beginning of a host: open an engine, exec, close. Needs engine_pb2 (protoc --python_out=. engine.proto)."""
import socket, struct, subprocess
import engine_pb2 as pb

PREAMBLE = b"LIXE\r\n\x01\x00"


class Error(Exception):
    """What an engine answered, or what happened to it."""

    def __init__(self, error):
        super().__init__(error.message)
        self.error = error


def problem(code, reason, message):
    return Error(pb.EngineError(code="ERROR_CODE_" + code, reason=reason, message=message))


def gone(message):
    return problem("LIFECYCLE", "TRANSPORT_CLOSED", message)


class Engine:
    def __init__(self, source, sink, end):
        self._source, self._sink, self._end, self._id, self._over = source, sink, end, 0, None
        self._write(PREAMBLE)
        if self._read(len(PREAMBLE)) != PREAMBLE:
            self._fail(gone("this is no engine"))
        self.opened = self._call("init", pb.InitRequest(host_name="tiny"))[0]

    def exec(self, sql, params=()):
        """(names, rows, changes, last_insert_rowid)"""
        request = pb.ExecRequest(sql=sql, params=[value_of(param) for param in params])
        done = self._call("exec", request)[0]
        rows = rows_of(done.batch, len(done.columns))
        changes, rowid = (getattr(done, name) if done.HasField(name) else None for name in ("changes", "last_insert_rowid"))
        return [column.name for column in done.columns], rows, changes, rowid

    def close(self):
        if self._over is None:
            try:
                self._call("close", pb.CloseRequest())
            finally:
                self._over = problem("LIFECYCLE", "CLOSED", "the engine is closed")
                self._end()

    def drop(self):
        self._over = self._over or gone("dropped")
        self._end()

    # Everything below ends the session when it fails: no call may wait for an answer that cannot come.

    def _call(self, call, body):
        if self._over:
            raise self._over
        self._id += 1
        data = pb.Frame(id=self._id, request=pb.Request(**{call: body})).SerializeToString()
        self._write(struct.pack("<I", len(data)) + data)
        while True:
            data = self._read(struct.unpack("<I", self._read(4))[0])
            try:
                frame = pb.Frame.FromString(data)
            except Exception:
                self._fail(problem("PROTOCOL", "FRAME_MALFORMED", "bytes that are no frame"))
            attachments = [self._read(size) for size in frame.attachment_sizes]
            if frame.event.WhichOneof("kind") == "closed":
                self._fail(Error(frame.event.closed.reason))
            if frame.id == self._id and frame.HasField("response"):  # all else is an event that nobody asked for
                break
        outcome = frame.response.WhichOneof("outcome")
        if outcome == "error":
            raise Error(frame.response.error)
        if outcome != call:
            raise problem("PROTOCOL", "FRAME_MALFORMED", f"{outcome} is the answer to {call}")
        return getattr(frame.response, outcome), attachments

    def _write(self, data):
        try:
            self._sink.write(data)
            self._sink.flush()
        except OSError as error:
            self._fail(gone(str(error)))

    def _read(self, size):
        try:
            data = self._source.read(size)
        except OSError as error:
            self._fail(gone(str(error)))
        if len(data) < size:
            self._fail(gone("the engine is gone"))
        return data

    def _fail(self, error):
        self._over = error
        self._end()
        raise error


def value_of(param):
    """A parameter as the protocol has it."""
    if param is None:
        return pb.Value(null=pb.Null())
    if isinstance(param, int) and -1 << 63 <= param < 1 << 63:
        return pb.Value(integer=int(param))
    for kind, field in ((float, "real"), (str, "text"), (bytes, "blob")):
        if isinstance(param, kind):
            return pb.Value(**{field: param})
    raise problem("INVALID", "PARAM_INVALID", f"{param!r} cannot be bound")


def rows_of(batch, width):
    """Columns of bytes back to rows. What does not fit together is refused as a whole."""
    if len(batch.columns) != width:
        raise malformed()
    return [list(row) for row in zip(*(cells_of(column, batch.row_count) for column in batch.columns))]


def cells_of(data, count):
    classes = data.classes if data.classes else bytes([data.uniform]) * count
    ints = Run(data.ints)
    reals, text, blobs, lens = Run(data.reals), Run(data.text), Run(data.blobs), Run(data.lens)
    length = lambda: int.from_bytes(lens.take(data.len_width), "little")
    read = {1: lambda: None, 2: lambda: int.from_bytes(ints.take(data.int_width), "little", signed=True),
            3: lambda: struct.unpack("<d", reals.take(8))[0], 4: lambda: text.take(length()).decode(),
            5: lambda: blobs.take(length()), 6: lambda: blobs.take(length()).decode(errors="replace")}
    if len(classes) != count or not set(classes) <= set(read):
        raise malformed()
    cells = [read[kind]() for kind in classes]
    if any(run.rest() for run in (ints, reals, text, blobs, lens)):
        raise malformed()
    return cells


class Run:
    """Bytes that are taken one after the other."""

    def __init__(self, data):
        self._data, self._at = data, 0

    def take(self, size):
        self._at += size
        if self._at > len(self._data):
            raise malformed()
        return self._data[self._at - size:self._at]

    def rest(self):
        return len(self._data) - self._at


def malformed():
    return problem("PROTOCOL", "BATCH_MALFORMED", "the rows do not fit themselves")


def connect(address):
    """An engine that listens on HOST:PORT."""
    sock = socket.create_connection(address.rsplit(":", 1))
    stream = sock.makefile("rwb")

    def end():
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        sock.close()
    return Engine(stream, stream, end)


def start(command):
    """An engine as a process, by its words."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def end():
        process.stdin.close()
        process.wait()
    return Engine(process.stdout, process.stdin, end)
