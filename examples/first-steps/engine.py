#!/usr/bin/env python3
"""The beginning of an engine: handshake, exec, close. Needs engine_pb2 (protoc --python_out=. engine.proto)."""
import os, sqlite3, struct, sys
import engine_pb2 as pb

PREAMBLE = b"LIXE\r\n\x01\x00"
LIMITS = pb.Limits(max_frame_bytes=64 << 20, max_attachment_bytes=64 << 20, max_sql_bytes=1 << 20, max_params=32766,
                   max_batch_statements=1000, max_open_cursors=1, max_inflight=1024, max_result_bytes=64 << 20)
source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)  # what prints does not print into the protocol


class Failure(Exception):
    def __init__(self, code, reason, message, subject=""):
        self.error = pb.EngineError(code="ERROR_CODE_" + code, reason=reason, message=message, subject=subject)


def missing(capability):
    return Failure("UNIMPLEMENTED", "CAPABILITY_MISSING", f"this engine has no {capability}", capability)


def read_message():
    """(frame, attachments), or None at the end of the stream."""
    if not (length := source.read(4)):
        return None
    frame = pb.Frame.FromString(source.read(struct.unpack("<I", length)[0]))
    return frame, [source.read(size) for size in frame.attachment_sizes]


def write_frame(frame):
    data = frame.SerializeToString()
    sink.write(struct.pack("<I", len(data)) + data)
    sink.flush()


class Engine:
    db, life, state = None, "new", pb.SessionState()

    def answer(self, request, attachments):
        call = request.WhichOneof("call")
        if self.life == "closed":
            raise Failure("LIFECYCLE", "CLOSED", "the session is closed")
        if call == "close":
            self.life, self.state.in_transaction = "closed", False
            return {"close": pb.CloseResponse()}
        if self.life == "new" and call != "init":
            raise Failure("LIFECYCLE", "NOT_INITIALIZED", "init comes first")
        if self.life == "ready" and call == "init":
            raise Failure("LIFECYCLE", "ALREADY_INITIALIZED", "the session is open already")
        if call not in ("init", "exec"):
            raise Failure("UNIMPLEMENTED", "CALL_UNKNOWN", "not yet")
        return {call: getattr(self, call)(getattr(request, call), attachments)}

    def init(self, call, attachments):
        for wanted in call.required:  # none is announced
            name = pb.Capability.Name(wanted) if wanted in pb.Capability.values() else str(wanted)
            raise missing(name.removeprefix("CAPABILITY_"))
        for plugin in call.plugins:
            raise missing(pb.PluginFormat.Name(plugin.format).replace("PLUGIN_FORMAT", "PLUGINS"))
        if call.HasField("lix"):
            raise missing("CHANGE_CONTROL")
        if call.storage.kind > pb.STORAGE_KIND_MEMORY and not call.storage.or_memory:
            known = call.storage.kind in pb.StorageKind.values()
            name = pb.StorageKind.Name(call.storage.kind).removeprefix("STORAGE_KIND_") if known else str(call.storage.kind)
            raise Failure("STORAGE", "STORAGE_UNSUPPORTED", "memory only", name)
        seed = call.WhichOneof("seed")
        if call.open_mode == pb.OPEN_MODE_OPEN:
            raise Failure("INVALID", "OPTION_INVALID", "open what is stored, and a seed", "open_mode") if seed else \
                Failure("STORAGE", "STORAGE_MISSING", "memory never holds anything")
        # SQLite's memory VFS, so that a second connection can see commits.
        self.db, self.observer = (sqlite3.connect("file:/db?vfs=memdb", uri=True, isolation_level=None) for _ in "ab")
        if seed:
            self.fill(call.image if seed == "image" else attachments[call.image_attachment], seed)
        self.db.text_factory = text
        self.seen = self.version()
        self.life = "ready"
        return pb.InitResponse(engine_name="tiny", engine_version="0.1", sqlite_version=sqlite3.sqlite_version,
                               storage=pb.STORAGE_KIND_MEMORY, limits=LIMITS)

    def fill(self, image, seed):
        source = sqlite3.connect(":memory:")
        try:
            source.deserialize(image)
            source.backup(self.db)
        except (sqlite3.Error, ValueError) as error:
            raise Failure("CORRUPT", "IMAGE_INVALID", str(error), seed)

    def exec(self, call, attachments):
        values = [python_value(value, number, attachments) for number, value in enumerate(call.params, 1)]
        try:
            cursor = self.db.execute(call.sql, values)
            rows = cursor.fetchall()
        except sqlite3.Error as error:
            raise Failure("INVALID", "SQL_ERROR", str(error))
        finally:
            self.look_for_commit()
        if cursor.description is None:
            return pb.ExecResponse(changes=max(cursor.rowcount, 0))
        columns = [column(cells) for cells in zip(*rows)] or [pb.ColumnData() for _ in cursor.description]
        return pb.ExecResponse(columns=[pb.Column(name=name) for name, *_ in cursor.description],
                               batch=pb.RowBatch(row_count=len(rows), columns=columns))

    def look_for_commit(self):
        self.state.in_transaction = self.db.in_transaction
        if not self.db.in_transaction and self.version() != self.seen:
            self.seen = self.version()
            self.state.commit_seq += 1

    def version(self):
        return self.observer.execute("pragma data_version").fetchone()[0]


def python_value(value, number, attachments):
    kind = value.WhichOneof("kind")
    if kind is None or kind == "real" and value.real != value.real:  # NaN, which SQLite would store as NULL
        raise Failure("INVALID", "PARAM_INVALID", "no value that can be bound", str(number))
    if kind == "blob_attachment":
        return attachments[value.blob_attachment]
    return None if kind == "null" else getattr(value, kind)


class Raw(bytes):
    """Text that is not UTF-8."""


def text(data):
    try:
        return data.decode()
    except UnicodeDecodeError:
        return Raw(data)


CLASSES = {type(None): 1, int: 2, float: 3, str: 4, bytes: 5, Raw: 6}


def column(cells):
    """One column: the class of each cell, then a run of bytes for each class."""
    classes, data = [CLASSES[type(cell)] for cell in cells], pb.ColumnData()
    if len(set(classes)) == 1:
        data.uniform = classes[0]
    else:
        data.classes = bytes(classes)
    if ints := [cell for cell in cells if isinstance(cell, int)]:
        data.int_width = next(w for w in (1, 2, 4, 8) if all(-1 << 8 * w - 1 <= i < 1 << 8 * w - 1 for i in ints))
        data.ints = b"".join(i.to_bytes(data.int_width, "little", signed=True) for i in ints)
    data.reals = b"".join(struct.pack("<d", cell) for cell in cells if isinstance(cell, float))
    data.text = b"".join(cell.encode() for cell in cells if isinstance(cell, str))
    data.blobs = b"".join(cell for cell in cells if isinstance(cell, bytes))
    if runs := [cell.encode() if isinstance(cell, str) else cell for cell in cells if isinstance(cell, (str, bytes))]:
        data.len_width = next(w for w in (1, 2, 4) if all(len(run) < 1 << 8 * w for run in runs))
        data.lens = b"".join(len(run).to_bytes(data.len_width, "little") for run in runs)
    return data


engine = Engine()
sink.write(PREAMBLE)
sink.flush()
source.read(len(PREAMBLE))
while message := read_message():
    frame, attachments = message
    try:
        outcome = engine.answer(frame.request, attachments)
    except Failure as failure:
        outcome = {"error": failure.error}
    write_frame(pb.Frame(id=frame.id, response=pb.Response(state=engine.state, **outcome)))
