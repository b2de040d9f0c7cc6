"""A host in ten lines: the engine as a process, frames on its stdin and stdout.

    cargo build --bin lix-engine && pip install protobuf && python examples/host.py
"""
import struct, subprocess
from google.protobuf import descriptor_pb2, message_factory

contract = descriptor_pb2.FileDescriptorSet.FromString(open("proto/images/engine-1.0.binpb", "rb").read())
Frame = message_factory.GetMessages(contract.file)["lix.engine.v1.Frame"]
engine = subprocess.Popen(["target/debug/lix-engine", "serve", "--stdio"], stdin=-1, stdout=-1)
engine.stdin.write(b"LIXE\r\n\x01\x00")
assert engine.stdout.read(8) == b"LIXE\r\n\x01\x00"

def call(**request):
    frame = Frame(id=1, request=request).SerializeToString()
    engine.stdin.write(struct.pack("<I", len(frame)) + frame)
    engine.stdin.flush()
    return Frame.FromString(engine.stdout.read(*struct.unpack("<I", engine.stdout.read(4)))).response

print(call(init={}).init.sqlite_version)
print(call(exec={"sql": "select 6 * 7"}).exec.batch.columns[0].ints)  # b'*': one byte, 42
print(call(exec={"sql": "selec"}).error.reason)
call(close={})
