#!/usr/bin/env python3
"""Installs what the Python examples need, into a virtual environment below target/.

    python3 examples/python-setup.py            # prints the interpreter to use

Needs Python 3.11 with venv, and pip's package index. Generates the protobuf code from proto/engine.proto,
so that none is committed and none can be stale. Runs again only when this file or the contract has changed.
"""
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONTRACT = ROOT / "proto" / "engine.proto"
ENVIRONMENT = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute() / "python-examples"
PACKAGES = ["protobuf==7.36.2", "grpcio-tools==1.85.1", "websockets==17.4"]


def main():
    if sys.version_info < (3, 11):
        sys.exit(f"the examples need Python 3.11 or newer, this is {sys.version.split()[0]}")
    python = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = ENVIRONMENT / "made-from"
    made_from = hashlib.sha256(pathlib.Path(__file__).read_bytes() + CONTRACT.read_bytes()).hexdigest()
    made_from += f" {sys.version} {sys.prefix}"
    if not python.exists() or not stamp.exists() or stamp.read_text() != made_from:
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        venv.create(ENVIRONMENT, with_pip=True)
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES)
        site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
        run(python, "-m", "grpc_tools.protoc", f"-I{CONTRACT.parent}", f"--python_out={site}", f"--pyi_out={site}",
            CONTRACT.name)
        stamp.write_text(made_from)
    print(python)


def run(*command):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"failed: {' '.join(str(part) for part in command)}\n{done.stdout}")
    return done.stdout


if __name__ == "__main__":
    main()
