"""The listeners with real sockets: the HTTP that they speak, streams, stopping, threads."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from mediawatchd.control import listener
from mediawatchd.control.application import MOST_BODY_BYTES, Application
from mediawatchd.control.connection import MOST_HEADER_BYTES
from mediawatchd.telemetry.heartbeat import Heartbeats
from tests.control import FakeOperations, ask, client, connected, serving
from tests.listening import address, application, operations, path, server
from tests.wait import wait_until

if TYPE_CHECKING:
    import socket

    from mediawatchd.control.server import Server

__all__ = ["address", "application", "operations", "path", "server"]


JSON = {"Content-Type": "application/json"}


def test_mode_and_group_are_set_before_anyone_can_connect(
    application: Application, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    change_mode = os.chmod

    def chmod(target: bytes, mode: int) -> None:
        with pytest.raises(ConnectionRefusedError):
            connected(path)
        seen.append(target)
        change_mode(target, mode)

    monkeypatch.setattr(os, "chmod", chmod)
    with serving(application, socket_path=path.encode(), port=None):
        assert seen == [path.encode()]


# HTTP


def test_one_connection_carries_many_requests(address: Any, operations: FakeOperations) -> None:
    connection = client(address)
    for _ in range(3):
        connection.request("GET", "/api/version")
        response = connection.getresponse()
        response.read()
        assert (response.status, response.version) == (200, 11)
        kept = connection.sock
        connection.request("POST", "/api/scan", json.dumps({"scan_dirs": ["/a"]}), JSON)
        response = connection.getresponse()
        assert json.loads(response.read()) == {"did": "start_scan"}
        connection.request("HEAD", "/api/version")
        response = connection.getresponse()
        assert (response.read(), response.headers["Content-Length"]) == (b"", str(len('{"did": "version"}\n')))
        connection.request("GET", "/api/nothing")
        assert connection.getresponse().read().startswith(b'{"error"')
        assert connection.sock is kept
    connection.close()
    assert len(operations.calls) == 9


def test_requests_sent_in_one_go_are_answered_in_order(address: Any) -> None:
    with connected(address) as connection:
        requests = [f"GET /api/{name} HTTP/1.1\r\nHost: localhost\r\n\r\n" for name in ("version", "status", "config")]
        connection.sendall("".join(requests).encode())
        answers = _read(connection, until=b'"config"}\n')
    assert [answers.find(b'"did": "%s"' % name) > 0 for name in (b"version", b"status", b"config")] == [True] * 3
    assert answers.count(b"200 OK") == 3


def test_a_request_in_pieces_is_put_together(address: Any, operations: FakeOperations) -> None:
    body = b'{"scan_dirs": ["/a"]}'
    head = b"POST /api/scan HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with connected(address) as connection:
        for piece in (b"P", b"OST /api/scan", (head % len(body))[14:], body[:5], body[5:]):
            connection.sendall(piece)
            time.sleep(0.02)  # so that the pieces do not arrive as one
        assert b"202 " in _read(connection, until=b"}\n")
    assert operations.calls == [("start_scan", [b"/a"])]


def test_http_1_0_is_answered_and_closed(address: Any) -> None:
    with connected(address) as connection:
        connection.sendall(b"GET /api/status HTTP/1.0\r\nHost: localhost\r\n\r\n")
        answer = _read(connection)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"chunked" not in answer


def test_a_client_that_asks_before_it_sends_its_body_is_let_go_on(address: Any) -> None:
    with connected(address) as connection:
        connection.sendall(
            b"POST /api/pause HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
        assert b"100 Continue" in _read(connection, until=b"\r\n\r\n")
        connection.sendall(b"{}")
        assert b"200 OK" in _read(connection, until=b"}\n")


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (b"GARBAGE\r\n\r\n", 400, "malformed_request"),
        (b"GET /api/status HTTP/1.1\n\n", 400, "malformed_request"),
        (b"GET /api/status HTTP/2.0\r\n\r\n", 505, "http_version_not_supported"),
        (b"GET /api/status HTTP/1.1\r\nno colon\r\n\r\n", 400, "malformed_request"),
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "malformed_request"),
        (b"CONNECT evil.example:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, "method_not_allowed"),
        (b"POST /api/pause HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n", 400, "malformed_request"),
        (b"POST /api/pause HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n", 400, "malformed_request"),
        (b"POST /api/pause HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1_0\r\n\r\n", 400, "malformed_request"),
        (b"POST /api/pause HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", 411, "length_required"),
        (
            b"POST /api/pause HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (MOST_BODY_BYTES + 1)
            + b"x" * (MOST_BODY_BYTES + 1),
            413,
            "body_too_large",
        ),
        (b"GET /api/status?" + b"x" * MOST_HEADER_BYTES + b" HTTP/1.1\r\n\r\n", 414, "headers_too_large"),
        (b"GET /api/status HTTP/1.1\r\nX: " + b"x" * MOST_HEADER_BYTES + b"\r\n\r\n", 413, "body_too_large"),
    ],
)
def test_what_is_no_proper_request_is_refused_as_json(
    address: Any, request_: bytes, status: int, code: str, operations: FakeOperations
) -> None:
    with connected(address) as connection:
        connection.sendall(request_)
        head, _, body = _read(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"Content-Type: application/json" in head
    assert json.loads(body)["code"] == code
    assert operations.calls == []
    assert ask(address, "GET", "/api/status").status == 200


def test_a_body_far_too_large_still_gets_its_answer(address: Any) -> None:
    answer = ask(address, "POST", "/api/pause", b" " * (2 * 1024 * 1024), **JSON)
    assert (answer.status, answer.json["code"]) == (413, "body_too_large")


def test_the_peer_of_a_unix_connection_is_known_and_logged(
    server: Server, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    ask(path, "POST", "/api/pause", b"", **JSON)
    assert f"listener=unix uid={os.getuid()} pid={os.getpid()}" in caplog.text


def test_a_foreign_host_is_refused_on_tcp_only(server: Server, path: str) -> None:
    assert ask(path, "GET", "/api/status", Host="evil.example").status == 200
    assert ask(server.addresses[1], "GET", "/api/status", Host="evil.example").status == 403
    with connected(server.addresses[1]) as connection:
        connection.sendall(b"GET /api/status HTTP/1.1\r\n\r\n")
        assert b"403 " in _read(connection, until=b"}\n")


# Streams


def test_events_arrive_as_they_happen(address: Any, operations: FakeOperations) -> None:
    with connected(address) as connection:
        connection.sendall(b"GET /api/events?since=4 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b'"seq": 4' in _read(connection, until=b"}\n")
        operations.feeds[0].events.put({"seq": 5, "event": "added", "path": "音楽.mkv"})
        assert '"path": "音楽.mkv"'.encode() in _read(connection, until=b"}\n")
    assert operations.calls == [("subscribe", 4)]
    assert operations.feeds[0].closed.wait(10), "a closed stream is noticed without anything being sent"


def test_a_lagging_client_reads_so_and_its_connection_ends(address: Any, operations: FakeOperations) -> None:
    connection = client(address)
    connection.request("GET", "/api/events")
    response = connection.getresponse()
    operations.feeds[0].lagged = True
    lines = [json.loads(line)["event"] for line in response.read().splitlines()]
    connection.close()
    assert lines == ["heartbeat", "lagged"]
    assert operations.feeds[0].closed.wait(20)


# Stopping


def test_stopping_ends_streams_and_waits_at_once(
    application: Application, path: str, operations: FakeOperations
) -> None:
    with serving(application, socket_path=path.encode()) as server:
        stream, wait, idle = client(path), client(server.addresses[1]), client(path)
        idle.connect()
        stream.request("GET", "/api/events")
        events = stream.getresponse()
        wait.request("GET", "/api/jobs/1/wait?timeout=600")
        wait_until(lambda: ("wait_job", 1) in operations.calls, within=20)
        begun = time.monotonic()
        server.stop(30)
        assert time.monotonic() - begun < 15  # of 30: nothing was waited out
        assert json.loads(wait.getresponse().read())["code"] == "stopping"
        assert [json.loads(line)["event"] for line in events.read().splitlines()] == ["heartbeat"]
        assert idle.sock.recv(1) == b""
        for each in (stream, wait, idle):
            each.close()
    assert operations.feeds[0].closed.is_set()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("control-")]


def test_a_call_that_hangs_does_not_hold_the_end_up(
    application: Application, path: str, operations: FakeOperations, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, released = threading.Event(), threading.Event()

    def hang() -> dict[str, Any]:
        begun.set()
        released.wait(60)
        return {}

    monkeypatch.setattr(operations, "_note", lambda *_: hang())
    with serving(application, socket_path=path.encode()) as server:
        with connected(path) as connection:
            connection.sendall(b"GET /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert begun.wait(20)
            server.stop(1.5)
            assert _read(connection) == b""
        released.set()
        wait_until(lambda: not [t for t in threading.enumerate() if t.name.startswith("control-")], within=20)


def test_stopping_twice_and_stopping_what_never_started_is_nothing(application: Application, path: str) -> None:
    with serving(application, socket_path=path.encode()) as server:
        server.stop(5)
        server.stop(5)


# Threads


def test_threads_are_made_when_needed_and_named_after_their_listener(server: Server, path: str) -> None:
    def names() -> set[str]:
        return {thread.name for thread in threading.enumerate() if thread.name.startswith("control-")}

    assert names() == {"control-unix", "control-tcp"}
    ask(path, "GET", "/api/status")
    assert names() == {"control-unix", "control-tcp", "control-unix-1"}


def test_an_idle_listener_sleeps_and_its_heartbeat_says_so(
    application: Application, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    heartbeats = Heartbeats()
    with serving(application, socket_path=path.encode(), heartbeats=heartbeats):
        ask(path, "GET", "/api/status")
        wait_until(lambda: all(pulse.idle for pulse in heartbeats.statistics(time.monotonic())), within=20)
        assert {pulse.name for pulse in heartbeats.statistics(0)} == {"control-unix", "control-tcp"}
    assert heartbeats.statistics(0) == ()


def test_a_connection_that_brings_no_request_is_closed_in_time(
    server: Server, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "REQUEST_SECONDS", 0.2)
    with connected(path) as silent, connected(path) as half:
        half.sendall(b"GET /api/sta")
        assert silent.recv(1) == b""
        assert half.recv(1) == b""
    assert ask(path, "GET", "/api/status").status == 200


def test_the_longest_waiting_connection_makes_room(server: Server, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "MOST_CONNECTIONS", 3)
    held = [connected(path) for _ in range(3)]
    assert ask(path, "GET", "/api/status").status == 200
    assert held[0].recv(1) == b""
    for each in held:
        each.close()


def test_running_out_of_descriptors_passes(
    server: Server, path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bound = server._listeners[0]._bound.socket
    failures = [OSError(errno.EMFILE, "Too many open files")] * 2

    class Exhausted:
        """The listening socket of a process that has no descriptor left for a while."""

        def accept(self) -> Any:
            if failures:
                raise failures.pop()
            return bound.accept()

        def close(self) -> None:
            bound.close()

        def fileno(self) -> int:
            return bound.fileno()

    monkeypatch.setattr(server._listeners[0], "_bound", server._listeners[0]._bound._replace(socket=Exhausted()))
    assert ask(path, "GET", "/api/status").status == 200
    assert "Too many open files" in caplog.text


def _read(connection: socket.socket, *, until: bytes | None = None) -> bytes:
    """What comes until the connection ends, or until it holds `until`."""
    received = b""
    while until is None or until not in received:
        piece = connection.recv(65_536)
        if not piece:
            break
        received += piece
    return received
