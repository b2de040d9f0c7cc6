#!/usr/bin/env python3
"""What the conformance suite cannot see, because it is gone by then: an engine that nobody listens to ends.

    target/python-examples/bin/python examples/engine-python/test_engine.py
"""
import pathlib
import struct
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))
import engine_pb2 as pb  # noqa: E402
from wire import PREAMBLE  # noqa: E402

ENDLESS = "with recursive n (i) as (select 1 union all select i + 1 from n) select count(*) from n"


def message(request_id, **call):
    frame = pb.Frame(id=request_id, request=pb.Request(**call)).SerializeToString()
    return struct.pack("<I", len(frame)) + frame


class Orphans(unittest.TestCase):
    def setUp(self):
        self.engine = subprocess.Popen([sys.executable, HERE / "engine.py"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE)
        self.addCleanup(self.engine.kill)
        self.engine.stdin.write(PREAMBLE + message(1, init=pb.InitRequest()) +
                                message(2, exec=pb.ExecRequest(sql="select 1")) +
                                message(3, exec=pb.ExecRequest(sql=ENDLESS)))
        self.engine.stdin.flush()
        self.read(len(PREAMBLE))
        for _ in range(2):  # the third request is next, or running
            length, = struct.unpack("<I", self.read(4))
            self.read(length)

    def read(self, length):
        data = self.engine.stdout.read(length)
        self.assertEqual(len(data), length)
        return data

    def test_ends_inside_a_statement_when_the_host_is_gone(self):
        self.engine.stdin.close()
        self.engine.stdout.close()
        self.assertNotEqual(self.engine.wait(timeout=20), 0)

    def test_goes_on_while_somebody_listens(self):
        self.engine.stdin.close()
        with self.assertRaises(subprocess.TimeoutExpired):
            self.engine.wait(timeout=0.5)
        self.engine.stdout.close()
        self.engine.wait(timeout=20)


if __name__ == "__main__":
    unittest.main()
