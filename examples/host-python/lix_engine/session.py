"""Requests and their answers. No call stays unanswered: whatever ends the session rejects all that wait."""
import collections
import concurrent.futures
import copy
import math
import queue
import threading
import time

import engine_pb2 as pb
from .errors import closed, from_engine, malformed, transport_closed


class Session:
    """May be used from several threads at once."""

    def __init__(self, transport, on_event=None):
        self._transport = transport
        self._lock = threading.Lock()  # everything below but _events, and the order of what is sent
        self._waiting = {}  # id: (future, name of the call)
        self._last_id = 0
        self._ended = None  # the error of every later call
        self._given_up = collections.deque()  # cursors that nobody reads any more
        self._places = threading.BoundedSemaphore(1024)
        self.state = pb.SessionState()
        self._events = queue.SimpleQueue() if on_event else None
        if on_event:
            threading.Thread(target=self._tell, args=(self._events, on_event), daemon=True).start()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    alive = property(lambda self: self._ended is None)

    def limit(self, max_inflight):
        self._places = threading.BoundedSemaphore(max_inflight)

    def send(self, attachments=(), **call):
        """Sends a request. The future gives the response and its attachments."""
        name, = call
        places = self._places
        places.acquire()
        future = concurrent.futures.Future()
        future.add_done_callback(lambda _: places.release())
        with self._lock:
            if self._ended:
                future.set_exception(copy.copy(self._ended))
                return future
            try:
                while self._given_up:
                    self._write("close_cursor", concurrent.futures.Future(), (),
                                dict(close_cursor=pb.CloseCursorRequest(cursor=self._given_up.popleft())))
                self._write(name, future, attachments, call)
                return future
            except Exception:
                interrupt = None
            except BaseException as interruption:
                interrupt = interruption
        if interrupt:  # nobody knows how much of the message has been written
            self._end(transport_closed("interrupted while a request was sent"))
            raise interrupt
        # The engine takes nothing any more. What it said last may still be on its way and is the better reason.
        self._reader.join(2)
        self._end(transport_closed("the engine takes no more requests"))
        return future

    def call(self, attachments=(), timeout=None, sql=None, **call):
        """Sends a request and waits. An interrupt from the keyboard cancels it."""
        future = self.send(attachments, **call)
        try:
            response, attached = _result(future, timeout)
        except KeyboardInterrupt:
            self.send(cancel=pb.CancelRequest(target=future.request_id))
            raise
        if response.WhichOneof("outcome") == "error":
            raise from_engine(response.error, sql)
        return response, attached

    def interrupt(self):
        """Asks the engine to stop whatever waits for its answer."""
        with self._lock:
            targets = [request_id for request_id, (_, name) in self._waiting.items()
                       if name in ("exec", "exec_batch", "fetch")]
        for target in targets:
            self.send(cancel=pb.CancelRequest(target=target))

    def give_up_cursor(self, cursor):
        """Closes it with the next request. Takes no lock, so that a finalizer can call it."""
        self._given_up.append(cursor)

    def close(self, timeout, **options):
        """Ends the session in order. Raises if the engine could not save; it is closed all the same."""
        try:
            if self.alive:
                self.call(timeout=timeout, close=pb.CloseRequest(**options))
        except TimeoutError:
            raise transport_closed(f"the engine did not close within {timeout} s") from None
        finally:
            self.abort(closed())

    def abort(self, why, grace=5.0):
        self._end(why)
        self._transport.stop(grace)
        if threading.current_thread() is not self._reader:
            self._reader.join(5)
        self._transport.dispose()

    def _write(self, name, future, attachments, call):
        while True:  # an id that is free
            self._last_id = self._last_id % 0xFFFFFFFF + 1
            if self._last_id not in self._waiting:
                break
        future.request_id = self._last_id
        self._waiting[self._last_id] = (future, name)
        frame = pb.Frame(id=self._last_id, attachment_sizes=map(len, attachments), request=pb.Request(**call))
        self._transport.send(frame.SerializeToString(), attachments)

    # ---- the reading thread

    def _read(self):
        try:
            while True:
                frame, attachments = self._transport.receive()
                self._take(frame, attachments)
        except EOFError:
            self._end(transport_closed(f"the engine is gone: {self._transport.last_words()}"))
        except Exception as error:
            self._end(error)

    def _take(self, frame, attachments):
        body = frame.WhichOneof("body")
        if body == "event":
            self._event(frame.event)
        elif body == "response":
            with self._lock:
                future, name = self._waiting.pop(frame.id, (None, None))
                if future:
                    self.state = frame.response.state
            if future is None:
                raise malformed(f"an answer to request {frame.id}, which does not wait")
            outcome = frame.response.WhichOneof("outcome")
            if outcome not in (name, "error"):
                future.set_exception(malformed(f"the answer to {name} is {outcome}"))
            else:
                future.set_result((frame.response, attachments))
        elif frame.id or body:
            raise malformed(f"the engine sent a {body or 'frame without content'}")

    def _event(self, event):
        kind = event.WhichOneof("kind")
        if kind == "closed":
            self._end(from_engine(event.closed.reason))
        if self._events and kind:
            self._events.put((kind, getattr(event, kind)))

    def _end(self, why):
        with self._lock:
            if self._ended is None:
                self._ended = why
            waiting, self._waiting = self._waiting, {}
        for future, _ in waiting.values():
            future.set_exception(copy.copy(why))
        if self._events:
            self._events.put(None)

    @staticmethod
    def _tell(events, on_event):
        """On a thread of its own, so that a listener may use the connection."""
        while (event := events.get()) is not None:
            on_event(*event)


def _result(future, timeout):
    """Waits a second at a time: a Ctrl-C that comes just before Python begins to wait is noticed when it wakes up."""
    end = math.inf if timeout is None else time.monotonic() + timeout
    while True:
        left = end - time.monotonic()
        try:
            return future.result(max(0, min(1, left)))
        except TimeoutError:
            if left <= 1:
                raise
