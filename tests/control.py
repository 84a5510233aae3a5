"""A control server over made-up operations, and clients that behave as told."""

from __future__ import annotations

import contextlib
import http.client
import json
import queue
import socket
import threading
from typing import TYPE_CHECKING, Any

from mediawatchd.control.copies import Reach
from mediawatchd.control.peers import CALLER, Caller, Peer
from mediawatchd.control.server import Server
from mediawatchd.control.streams import LongCalls
from mediawatchd.errors import Refused
from mediawatchd.telemetry.heartbeat import Heartbeats

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mediawatchd.control.application import Application

Json = dict[str, Any]


class Feed:
    """A subscription that a test fills. `next` blocks for the time it is given, as the real one does."""

    def __init__(self) -> None:
        self.events: queue.Queue[Json] = queue.Queue()
        self.lagged = False
        self.closed = threading.Event()
        self.asked = threading.Event()

    def next(self, timeout_seconds: float) -> Sequence[Mapping[str, Any]]:
        self.asked.set()
        with contextlib.suppress(queue.Empty):
            return [self.events.get(timeout=timeout_seconds)]
        return []

    def close(self) -> None:
        self.closed.set()


class FakeOperations:
    """Notes each call with its arguments, and answers with its name; `refusals` are raised instead, by name."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.refusals: dict[str, Exception] = {}
        self.feeds: list[Feed] = []
        self.is_healthy = True
        self.finished = threading.Event()
        self.all_jobs: list[Json] = [{"id": number, "kind": "scan"} for number in range(250, 0, -1)]

    def _note(self, name: str, *arguments: Any) -> Json:
        self.calls.append((name, *arguments))
        if name in self.refusals:
            raise self.refusals[name]
        return {"did": name}

    def version(self) -> Json:
        return self._note("version")

    def status(self) -> Json:
        return self._note("status")

    def doctor(self) -> Json:
        return self._note("doctor")

    def config(self) -> Json:
        return self._note("config")

    def start_scan(self, paths: list[bytes] | None) -> Json:
        return self._note("start_scan", paths)

    def scan_status(self) -> Json:
        return self._note("scan_status")

    def stop_scan(self, job: int | None) -> Json:
        return self._note("stop_scan", job)

    def start_hash(self, paths: list[bytes] | None, force: bool) -> Json:
        return self._note("start_hash", paths, force)

    def hash_status(self) -> Json:
        return self._note("hash_status")

    def stop_hash(self, job: int | None) -> Json:
        return self._note("stop_hash", job)

    def jobs(self) -> list[Json]:
        return self.all_jobs

    def job(self, job: int) -> Json:
        return self._note("job", job)

    def cancel_job(self, job: int) -> Json:
        return self._note("cancel_job", job)

    def wait_job(self, job: int, timeout_seconds: float) -> Json:
        self._note("wait_job", job)
        if not self.finished.wait(timeout_seconds):
            raise Refused(504, "timeout", f"not within {timeout_seconds} s", detail={"job": {"id": job}})
        return {"id": job}

    def file(self, path: bytes) -> Json:
        return self._note("file", path)

    def reach(self) -> Reach:
        return Reach(frozenset([1]), frozenset())

    def dismiss(self, a: bytes, b: bytes) -> Json:
        return self._note("dismiss", a, b)

    def verify(self, key: tuple[int, bytes], is_given_up: Callable[[], bool]) -> Json:
        self._note("verify", key)
        return {"given_up": is_given_up()}

    def undismiss(self, a: bytes, b: bytes) -> Json:
        return self._note("undismiss", a, b)

    def sync(self, timeout_seconds: float, walk: bool) -> Json:
        return self._note("sync", timeout_seconds, walk)

    def pause(self) -> Json:
        return self._note("pause")

    def resume(self) -> Json:
        return self._note("resume")

    def reload(self) -> Json:
        return self._note("reload")

    def accept_root(self, path: bytes) -> Json:
        return self._note("accept_root", path)

    def confirm_missing(self, path: bytes) -> Json:
        return self._note("confirm_missing", path)

    def forget_root(self, path: bytes) -> Json:
        return self._note("forget_root", path)

    def subscribe(self, since: int | None) -> Feed:
        self._note("subscribe", since)
        feed = Feed()
        self.feeds.append(feed)
        return feed

    def metrics(self) -> tuple[bytes, str]:
        return b"up 1\n", "text/plain; version=0.0.4"

    def healthy(self) -> bool:
        return self.is_healthy


class Catalog:
    """A reader over one connection, which a lock lends to one thread at a time. Counts the loans that are out."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.lent = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def __call__(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self.lent += 1
            try:
                yield self.connection
            finally:
                self.lent -= 1


class Answered:
    """An answer that was read whole."""

    def __init__(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.status = status
        self.headers = headers
        self.content = content

    @property
    def json(self) -> Json:
        value = json.loads(self.content)
        assert isinstance(value, dict)
        return value


class Direct:
    """Asks the application without a server between."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self.long_calls = LongCalls(most=3)
        self.gone = False

    def environment(self, *, kind: str = "unix", address: str = "127.0.0.1", hosts: Sequence[str] = ()) -> Json:
        peer = Peer("unix", "", 1000, 77) if kind == "unix" else Peer("tcp", address)
        return {CALLER: Caller(peer, frozenset(hosts), self.long_calls, lambda: self.gone)}

    def ask(self, method: str, target: str, body: Any = None, **options: Any) -> Answered:
        """`body`: bytes as they are, anything else as JSON. `options`: headers, and those of `environment`."""
        from werkzeug.test import Client  # noqa: PLC0415 - only tests that ask directly need it

        headers = {"Host": "localhost", **options.pop("headers", {})}
        if method not in {"GET", "HEAD", "OPTIONS"}:
            headers.setdefault("Content-Type", "application/json")
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        path, _, query = target.partition("?")
        response = Client(self._application.wsgi).open(
            path,
            method=method,
            query_string=query,
            data=content,
            headers={name: value for name, value in headers.items() if value is not None},
            environ_overrides=self.environment(**options),
        )
        try:
            return Answered(response.status_code, response.headers, response.get_data())
        finally:
            response.close()


@contextlib.contextmanager
def serving(application: Application, **options: Any) -> Iterator[Server]:
    """A started server; `options` as for `Server`."""
    usual = {"mode": 0o600, "group": None, "host": "127.0.0.1", "port": 0, "heartbeats": Heartbeats()}
    server = Server(application=application.wsgi, **(usual | options))
    server.start()
    try:
        yield server
    finally:
        server.stop(10)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float = 20) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = connected(self.path, timeout=self.timeout or 20)


def connected(address: Any, timeout: float = 20) -> socket.socket:
    """A plain connection to a Unix socket (a path) or to TCP (host and port)."""
    connection = socket.socket(socket.AF_UNIX if isinstance(address, str | bytes) else socket.AF_INET)
    try:
        connection.settimeout(timeout)
        connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection


def client(address: Any) -> http.client.HTTPConnection:
    if isinstance(address, str):
        return UnixConnection(address)
    return http.client.HTTPConnection(*address, timeout=20)


def ask(address: Any, method: str, target: str, body: bytes | None = None, **headers: str) -> Answered:
    """One request on a connection of its own."""
    connection = client(address)
    try:
        connection.request(method, target, body, headers)
        response = connection.getresponse()
        return Answered(response.status, response.headers, response.read())
    finally:
        connection.close()
