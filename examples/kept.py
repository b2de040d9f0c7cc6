"""A database that outlives its process: stored in a file, found again after a kill.

    cargo build --bin lix-engine && pip install protobuf && python examples/kept.py
"""
import os, struct, subprocess, tempfile
from google.protobuf import descriptor_pb2, message_factory

contract = descriptor_pb2.FileDescriptorSet.FromString(open("proto/images/engine-1.0.binpb", "rb").read())
Frame = message_factory.GetMessages(contract.file)["lix.engine.v1.Frame"]

class Engine:
    def __init__(self):
        self.process = subprocess.Popen(["target/debug/lix-engine", "serve", "--stdio"], stdin=-1, stdout=-1)
        self.process.stdin.write(b"LIXE\r\n\x01\x00")
        assert self.process.stdout.read(8) == b"LIXE\r\n\x01\x00"

    def call(self, **request):
        frame = Frame(id=1, request=request).SerializeToString()
        self.process.stdin.write(struct.pack("<I", len(frame)) + frame)
        self.process.stdin.flush()
        size = struct.unpack("<I", self.process.stdout.read(4))[0]
        response = Frame.FromString(self.process.stdout.read(size)).response
        assert not response.HasField("error"), response.error
        return response

# StorageKind and Durability of the contract.
FILE, STRICT = {"kind": 3, "path": os.path.join(tempfile.mkdtemp(), "visits.lix")}, 2

# A process is killed; another one finds what it was told is stored.
first = Engine()
first.call(init={"storage": FILE, "durability": STRICT})
first.call(exec={"sql": "create table if not exists visit (at text)"})
first.call(exec={"sql": "insert into visit values (datetime())"})
first.process.kill()

second = Engine()
second.call(init={"storage": dict(FILE, wait_ms=1000)})
print(second.call(exec={"sql": "select count(*) from visit"}).exec.batch.columns[0].ints)  # b'\x01'
second.call(close={})
