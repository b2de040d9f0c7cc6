#!/usr/bin/env python3
"""Through this conformance drives host.py: commands on stdin, reports on stdout, one JSON object a line."""
import base64, json, sys
import engine_pb2 as pb
import host


def native(value):
    if value is None:
        return None
    (tag, content), = value.items()
    return {"int": int, "real": float, "text": str, "blob": base64.b64decode, "bool": bool}.get(tag, lambda _: object())(content)


def tagged(value):
    if value is None:
        return None
    if isinstance(value, bytes):
        return {"blob": base64.b64encode(value).decode()}
    return {{int: "int", float: "real", str: "text"}[type(value)]: value if isinstance(value, str) else repr(value)}


class Adapter:
    engine = None

    def hello(self, protocol):
        return {"hello": {"name": "tiny", "version": "0.1", "language": "Python", "features": ["bool", "ordered"]}}

    def open(self, tcp, **_):
        self.engine = host.connect(tcp)
        opened = self.engine.opened
        return {"opened": {"engine_version": opened.engine_version, "sqlite_version": opened.sqlite_version}}

    def exec(self, sql, params=()):
        columns, rows, changes, rowid = self.engine.exec(sql, [native(param) for param in params])
        result = {"columns": columns, "rows": [[tagged(cell) for cell in row] for row in rows]}
        counts = {"changes": changes, "last_insert_rowid": rowid}
        return {"result": result | {name: tagged(count) for name, count in counts.items() if count is not None}}

    def close(self):
        self.engine.close()
        return {"done": {}}

    def drop(self):
        if self.engine:
            self.engine.drop()
        return {"done": {}}


def error_of(error):
    known = error.code in pb.ErrorCode.values()
    report = {"code": pb.ErrorCode.Name(error.code).removeprefix("ERROR_CODE_") if known else str(error.code)}
    for name in ("reason", "message", "retryable", "subject"):
        report[name] = getattr(error, name)
    return report | {field.name: value for field, value in error.ListFields()
                     if field.name in ("sqlite_extended_code", "sql_offset", "batch_index")}


adapter = Adapter()
for line in sys.stdin:
    command = json.loads(line)
    number = command.pop("id")
    (name, options), = command.items()
    try:
        report = getattr(adapter, name)(**options)
    except host.Error as error:
        report = {"error": error_of(error.error)}
    except Exception as error:
        report = {"defect": repr(error)}
    print(json.dumps({"id": number, **report}), flush=True)
