"""Messages over a process's stdin and stdout, or over a WebSocket.

`receive` returns a Frame and its attachments, or raises: EOFError at the end, an InterfaceError for what is no message.
"""
import collections
import contextlib
import struct
import subprocess
import threading

from google.protobuf.message import DecodeError

import engine_pb2 as pb
from .errors import OperationalError, malformed

PREAMBLE = b"LIXE\r\n\x01\x00"


class Process:
    """An engine of one's own; it ends with the connection."""

    def __init__(self, command):
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                             stderr=subprocess.PIPE, start_new_session=True)  # Ctrl-C is not for it
        except OSError as error:
            raise OperationalError(f"the engine {command[0]!r} does not start: {error}", "INTERNAL",
                                   "WORKER_FAILED") from None
        self.pid = self._process.pid
        self._log = collections.deque(maxlen=20)
        self._logger = threading.Thread(target=self._read_log, daemon=True)
        self._logger.start()
        self._greeted = False
        try:
            self._process.stdin.write(PREAMBLE)
        except BrokenPipeError:
            pass  # it ended at once; receive tells

    def send(self, data, attachments):
        stream = self._process.stdin
        stream.write(struct.pack("<I", len(data)) + data)
        for attachment in attachments:
            stream.write(attachment)
        stream.flush()

    def receive(self):
        if not self._greeted:
            got = self._process.stdout.read(len(PREAMBLE))
            if got and got != PREAMBLE:
                raise malformed(f"this is no engine: its output begins with {got!r}")
            self._greeted = True
        length, = struct.unpack("<I", self._read(4))
        frame = parsed(self._read(length))
        return frame, [self._read(size) for size in frame.attachment_sizes]

    def stop(self, grace=5.0):
        """Ends the input and waits; kills what does not end."""
        try:
            self._process.stdin.close()
        except OSError:
            pass  # it has ended before it read everything
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def dispose(self):
        """After the last receive."""
        self._logger.join(1)
        self._process.stdout.close()
        self._process.stderr.close()

    def last_words(self):
        """What became of the process, for a message."""
        try:
            status = self._process.wait(1)
        except subprocess.TimeoutExpired:
            return "it closed its output and still runs"
        self._logger.join(1)
        return " | ".join([f"exit status {status}", *self._log])

    def _read(self, size):
        data = self._process.stdout.read(size)
        if len(data) < size:
            raise EOFError
        return data

    def _read_log(self):
        for line in self._process.stderr:
            self._log.append(line.decode(errors="replace").rstrip())


class WebSocket:
    """An engine behind a WebSocket server."""

    pid = None

    def __init__(self, url, open_timeout):
        from websockets.sync.client import connect  # only who uses it needs the package
        try:
            self._opened = contextlib.ExitStack()
            self._socket = self._opened.enter_context(connect(url, compression=None, max_size=None, ping_interval=None,
                                                              open_timeout=open_timeout))
        except Exception as error:
            raise OperationalError(f"no connection to {url}: {error}", "LIFECYCLE", "TRANSPORT_CLOSED") from None

    def send(self, data, attachments):
        for message in (data, *attachments):
            self._socket.send(message)

    def receive(self):
        frame = parsed(self._receive())
        attachments = [self._receive() for _ in frame.attachment_sizes]
        if [len(attachment) for attachment in attachments] != list(frame.attachment_sizes):
            raise malformed("attachments of other lengths than announced", "ATTACHMENT_MISMATCH")
        return frame, attachments

    def stop(self, grace=5.0):
        self._socket.close_timeout = grace
        self._opened.close()

    def dispose(self):
        pass

    def last_words(self):
        return "the server closed the connection"

    def _receive(self):
        from websockets.exceptions import ConnectionClosed
        try:
            message = self._socket.recv()
        except ConnectionClosed:
            raise EOFError from None
        if isinstance(message, str):
            raise malformed(f"a text message: {message[:80]!r}")
        return message


def parsed(data):
    try:
        return pb.Frame.FromString(data)
    except DecodeError:
        raise malformed("bytes that are no frame") from None
