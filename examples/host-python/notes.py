import contextlib
import lix_engine

with contextlib.closing(lix_engine.connect("notes.lix")) as db:
    with db:  # commits at the end, rolls back after an exception
        db.execute("create table if not exists note (id integer primary key, body text)")
        db.executemany("insert into note (body) values (?)", [("milk",), ("bread",)])
    for id, body in db.execute("select id, body from note"):  # streams
        print(id, body)
    try:
        db.execute("insert into note (id) values (:id)", {"id": 1})
    except lix_engine.IntegrityError as error:
        print(error.code, error.reason)  # CONSTRAINT PRIMARY_KEY
        db.rollback()
