"""The Python host under test: commands on stdin, reports on stdout, one JSON object a line (conformance/host-adapters.md).

    conformance run --impl examples/host-python/impl.json
"""
import base64
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lix_engine  # noqa: E402 (it lies beside this file)

# DB-API makes one call at a time, so there is nothing to queue or to cancel, and a statement has no time limit of its own.
FEATURES = ["bool", "events", "export", "named", "ordered", "stream"]


class Host:
    def __init__(self):
        self.db = None

    def hello(self, **_):
        return {"hello": {"name": "lix_engine (Python)", "version": "1.0.0", "language": "Python", "features": FEATURES}}

    def open(self, *, command, events=(), **_):
        listener = tell if events else None
        self.db = lix_engine.connect(engine=command, autocommit=True, on_event=listener, events=tuple(events))
        return {"opened": {}}

    def exec(self, *, sql, params=(), named=None):
        cursor = self.db.execute(sql, natives(params, named))
        rows = [[value_of(cell) for cell in row] for row in cursor.fetchall()] if cursor.description else []
        result = {"rows": rows, "columns": [column[0] for column in cursor.description or ()]}
        # -1 is DB-API's word for "none".
        if cursor.rowcount >= 0:
            result["changes"] = value_of(cursor.rowcount)
        if cursor.lastrowid is not None:
            result["last_insert_rowid"] = value_of(cursor.lastrowid)
        return {"result": result}

    def stream(self, *, sql, params=(), named=None, batch_rows=0, take=None):
        rows = []
        try:
            cursor = self.db.cursor()
            if batch_rows:
                cursor.arraysize = batch_rows
            with cursor:
                cursor.execute(sql, natives(params, named))
                for row in cursor if take != 0 else ():
                    rows.append([value_of(cell) for cell in row])
                    if take is not None and len(rows) >= take:
                        break
        except lix_engine.Error as error:
            return {"rows": rows, "error": error_of(error)}
        return {"rows": rows}

    def export(self):
        return {"image": base64.b64encode(self.db.export()).decode()}

    def close(self):
        self.db.close()
        return {"done": {}}

    def drop(self):
        # A connection has no other way to go than to be closed; the runner has left already, or will.
        if self.db:
            self.db._session.abort(lix_engine.errors.transport_closed("dropped"), grace=0.5)
        return {"done": {}}


def natives(params, named):
    if named is not None:
        return {name: native(value) for name, value in named.items()}
    return [native(value) for value in params]


def native(value):
    """What Python has for a tagged value."""
    if value is None:
        return None
    (tag, content), = value.items()
    return {"int": lambda: int(content), "real": lambda: float(content), "text": lambda: content, "bool": lambda: content,
            "blob": lambda: base64.b64decode(content), "text_raw": lambda: base64.b64decode(content),
            "unsupported": object}[tag]()


def value_of(value):
    """A Python value, named by its own type."""
    if value is None:
        return None
    if isinstance(value, bool):
        return {"bool": value}
    if isinstance(value, int):
        return {"int": str(value)}
    if isinstance(value, float):
        return {"real": repr(value)}
    if isinstance(value, str):
        return {"text": value}
    return {"blob": base64.b64encode(value).decode()}


def error_of(error):
    report = {name: getattr(error, name, None)
              for name in ("code", "reason", "subject", "retryable", "sqlite_extended_code", "sql_offset", "batch_index")}
    return {"message": str(error), **{name: value for name, value in report.items() if value is not None}}


def tell(kind, message):
    event = {"kind": kind}
    if kind == "commit":
        event["commit_seq"] = str(message.commit_seq)
    report({"event": event})


def report(line):
    # One write, because events come from a thread of their own.
    os.write(1, (json.dumps(line) + "\n").encode())


def main():
    host = Host()
    for line in sys.stdin:
        command = json.loads(line)
        number = command.pop("id")
        (name, options), = command.items()
        try:
            outcome = getattr(host, name)(**options)
        except lix_engine.Error as error:
            outcome = {"error": error_of(error)}
        except Exception as error:  # noqa: BLE001 (whatever else it throws is what the runner wants to know)
            outcome = {"defect": repr(error)}
        report({"id": number, **outcome})


main()
