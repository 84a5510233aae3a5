"""One listening socket with everything behind it: a thread that takes connections, and threads that answer requests.

cheroot parses and writes the HTTP. Its own loop wakes twice a second for ever, gives a thread to every connection
whether or not it says anything, and cannot be stopped within a time; so the loop and the pool are our own. The loop
sleeps until something happens, and a worker is started when it is first needed.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import selectors
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from cheroot import wsgi

from mediawatchd.control import answers
from mediawatchd.control.application import MOST_BODY_BYTES
from mediawatchd.control.connection import MOST_HEADER_BYTES, Connection, Gateway
from mediawatchd.control.streams import LongCalls
from mediawatchd.control.workers import Workers

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from mediawatchd.control.sockets import Bound
    from mediawatchd.telemetry.heartbeat import Heartbeat, Heartbeats

log = logging.getLogger(__name__)

REQUEST_SECONDS = 60.0
"""How long a connection may take to bring its next request, whole."""
MOST_CONNECTIONS = 256
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class _Http(wsgi.Server):
    """What cheroot's request and connection ask of their server. Its own socket, loop and pool are never started."""

    max_request_header_size = MOST_HEADER_BYTES
    max_request_body_size = MOST_BODY_BYTES
    can_add_keepalive_connection = True
    software = "mediawatchd"

    def __init__(self, *, address: str | tuple[str, int], application: WSGIApplication) -> None:
        super().__init__(address, application, server_name="mediawatchd")
        self.gateway = Gateway

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        log.log(level, "http server said text=%s", msg, exc_info=traceback)


class Listener:
    """Takes over a bound socket, and closes it. `start` and the two parts of stopping belong to one thread."""

    def __init__(
        self,
        *,
        name: str,
        bound: Bound,
        application: WSGIApplication,
        threads: int,
        most_long_calls: int,
        heartbeats: Heartbeats,
    ) -> None:
        self.name = name
        self.long_calls = LongCalls(most=most_long_calls)
        self._bound = bound
        address = bound.socket.getsockname()
        self.address: str | tuple[str, int] = os.fsdecode(address) if bound.kind == "unix" else address[:2]
        self._http = _Http(address=self.address, application=application)
        self._heartbeats = heartbeats
        self._heartbeat: Heartbeat | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._workers = Workers(name=name, most=threads, give_back=self._give_back)
        self._stopping = False
        self._back: deque[Connection] = deque()  # from the workers to the loop
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        # What follows belongs to the loop: connections that wait for a request, the earliest deadline first.
        self._waiting: dict[int, Connection] = {}
        self._selector = selectors.DefaultSelector()

    def start(self) -> None:
        self._heartbeat = self._heartbeats.register(self.name)
        self._thread.start()

    def begin_stop(self) -> None:
        """Takes no more connections, and tells every long call to end. Does not wait."""
        self._stopping = True
        self.long_calls.stop()
        self._wake_up()

    def wait_stopped(self, deadline: float) -> None:
        """Waits until `deadline` on the monotonic clock; a call that has not ended by then loses its connection."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        self._workers.stop(deadline)
        while self._back:
            self._back.popleft().close()
        self._woken.close()
        self._wake.close()
        if self._heartbeat is not None:
            self._heartbeats.retire(self._heartbeat)

    def _run(self) -> None:
        assert self._heartbeat is not None
        self._selector.register(self._bound.socket, selectors.EVENT_READ, self._accept)
        self._selector.register(self._woken, selectors.EVENT_READ, self._take_back)
        try:
            while not self._stopping:
                with self._heartbeat.idle():
                    ready = self._selector.select(self._patience_seconds())
                for key, _ in ready:
                    if isinstance(key.data, Connection):
                        self._receive(key.data)
                    else:
                        key.data()
                self._expire()
        finally:
            self._bound.release()
            self._bound.socket.close()
            for connection in list(self._waiting.values()):
                self._drop(connection)
            self._selector.close()

    def _accept(self) -> None:
        try:
            accepted, _ = self._bound.socket.accept()
        except (BlockingIOError, InterruptedError, ConnectionError):
            return  # it left before it was taken
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            # The connection stays in the backlog: without a pause, or room, this would spin.
            log.warning("a connection cannot be taken listener=%s error=%s", self.name, error)
            if not self._drop_oldest():
                time.sleep(0.1)
            return
        if len(self._waiting) + self._workers.busy >= MOST_CONNECTIONS and not self._drop_oldest():
            _turn_away(accepted)
            return
        try:
            connection = Connection(self._http, accepted, hosts=self._bound.hosts, long_calls=self.long_calls)
        except OSError:  # it left already, and nothing can be said of it any more
            accepted.close()
            return
        self._expect_request(connection)

    def _expect_request(self, connection: Connection) -> None:
        """Waits for the next request of a connection, unless it has come already."""
        if connection.has_request():
            self._workers.submit(connection)
            return
        connection.deadline = time.monotonic() + REQUEST_SECONDS
        self._waiting[connection.socket.fileno()] = connection
        self._selector.register(connection.socket, selectors.EVENT_READ, connection)

    def _receive(self, connection: Connection) -> None:
        # An earlier event of the same round may have dropped it.
        if connection.socket.fileno() not in self._waiting:
            return
        try:
            is_open = connection.receive()
        except OSError:
            is_open = False
        if not is_open:
            self._drop(connection)
        elif connection.has_request():
            self._forget(connection)
            self._workers.submit(connection)

    def _take_back(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)
        while self._back:
            self._expect_request(self._back.popleft())

    def _give_back(self, connection: Connection) -> None:
        """Called by a worker: the connection may bring another request."""
        self._back.append(connection)
        self._wake_up()

    def _wake_up(self) -> None:
        with contextlib.suppress(OSError):  # full: it is being woken already; closed: nobody is there to wake
            self._wake.send(b"\0")

    def _patience_seconds(self) -> float | None:
        first = next(iter(self._waiting.values()), None)
        return None if first is None else max(0.0, first.deadline - time.monotonic())

    def _expire(self) -> None:
        now = time.monotonic()
        while (first := next(iter(self._waiting.values()), None)) is not None and first.deadline <= now:
            self._drop(first)

    def _drop_oldest(self) -> bool:
        first = next(iter(self._waiting.values()), None)
        if first is not None:
            self._drop(first)
        return first is not None

    def _drop(self, connection: Connection) -> None:
        self._forget(connection)
        connection.close()

    def _forget(self, connection: Connection) -> None:
        del self._waiting[connection.socket.fileno()]
        self._selector.unregister(connection.socket)


def _turn_away(accepted: socket.socket) -> None:
    body = answers.http_refusal(503, f"{MOST_CONNECTIONS} connections are open already")
    head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: {answers.JSON}\r\nContent-Length: {len(body)}\r\n"
    with accepted, contextlib.suppress(OSError):
        accepted.setblocking(False)
        accepted.send(f"{head}Connection: close\r\n\r\n".encode() + body)
