"""The listeners with real sockets: how they are bound and left, and the HTTP that they speak."""

from __future__ import annotations

import errno
import grp
import json
import os
import socket
import stat
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from mediawatchd.control import listener
from mediawatchd.control.application import MOST_BODY_BYTES, Application
from mediawatchd.control.connection import MOST_HEADER_BYTES
from mediawatchd.errors import SocketUnavailable
from mediawatchd.telemetry.heartbeat import Heartbeats
from tests.control import Catalog, FakeOperations, ask, client, connected, serving
from tests.unit.catalog.test_browse import _catalog
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mediawatchd.control.server import Server

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def operations() -> FakeOperations:
    return FakeOperations()


@pytest.fixture
def application(operations: FakeOperations) -> Iterator[Application]:
    connection = _catalog(":memory:")
    yield Application(operations=operations, reader=Catalog(connection), secret_token=lambda: None)
    connection.close()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "control.sock")


@pytest.fixture
def server(application: Application, path: str) -> Iterator[Server]:
    with serving(application, socket_path=path.encode()) as server:
        yield server


@pytest.fixture(params=["unix", "tcp"])
def address(request: pytest.FixtureRequest, server: Server) -> Any:
    """Each listener in turn."""
    return server.addresses[request.param == "tcp"]


def _unserved(path: str, application: Application, **options: Any) -> str:
    """The message with which a server refuses to start."""
    with pytest.raises(SocketUnavailable) as caught, serving(application, socket_path=path.encode(), **options):
        pass
    assert caught.value.hint
    return str(caught.value)


# Binding


def test_both_listeners_answer_from_the_same_operations(server: Server, operations: FakeOperations, path: str) -> None:
    assert server.addresses[0] == path
    for address in server.addresses:
        assert ask(address, "GET", "/api/status").json == {"did": "status"}
    assert operations.calls == [("status",), ("status",)]


def test_without_a_port_there_is_no_tcp(application: Application, path: str) -> None:
    with serving(application, socket_path=path.encode(), port=None) as server:
        assert server.addresses == (path,)


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_the_socket_has_its_mode_whatever_the_umask(application: Application, path: str, mode: int) -> None:
    before = os.umask(0o077)
    try:
        with serving(application, socket_path=path.encode(), mode=mode, port=None):
            assert stat.S_IMODE(os.stat(path).st_mode) == mode
    finally:
        os.umask(before)


@pytest.mark.parametrize("as_number", [False, True])
def test_the_socket_has_its_group(application: Application, path: str, as_number: bool) -> None:
    others = [number for number in os.getgroups() if number != os.getegid()]
    group = grp.getgrgid(others[0] if others else os.getegid())
    name = str(group.gr_gid) if as_number else group.gr_name
    with serving(application, socket_path=path.encode(), group=name, port=None):
        assert os.stat(path).st_gid == group.gr_gid


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


def test_the_socket_is_removed_at_the_end(application: Application, path: str) -> None:
    with serving(application, socket_path=path.encode()):
        assert os.path.exists(path)
    assert not os.path.lexists(path)


def test_a_socket_that_somebody_else_put_there_meanwhile_stays(application: Application, path: str) -> None:
    with serving(application, socket_path=path.encode(), port=None):
        os.unlink(path)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(path)
    assert os.path.exists(path)


def test_a_socket_that_nobody_answers_on_is_replaced(application: Application, path: str) -> None:
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(path)
        killed.listen()
    with serving(application, socket_path=path.encode(), port=None):
        assert ask(path, "GET", "/api/status").status == 200


def test_a_socket_that_somebody_answers_on_is_left_alone(server: Server, application: Application, path: str) -> None:
    assert "another program answers" in _unserved(path, application, port=None)
    assert ask(path, "GET", "/api/status").status == 200


def test_a_socket_too_busy_to_answer_is_left_alone(application: Application, path: str) -> None:
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(path)
        busy.listen(0)
        with connected(path):  # the backlog is full now
            assert "belongs to another program" in _unserved(path, application, port=None)
        assert os.path.exists(path)


def test_a_file_in_the_place_of_the_socket_is_left_alone(application: Application, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    assert "is no socket" in _unserved(str(tmp_path / "precious"), application)
    assert (tmp_path / "precious").read_text() == "x"


def test_what_stands_in_the_way_of_the_socket_is_said(application: Application, tmp_path: Path) -> None:
    assert "at most 107 are possible" in _unserved(str(tmp_path / ("x" * 120)), application)
    assert "No such file" in _unserved(str(tmp_path / "nowhere" / "control.sock"), application)
    assert "no group" in _unserved(str(tmp_path / "control.sock"), application, group="no-such-group")
    assert os.listdir(tmp_path) == []


def test_an_address_in_use_is_refused_and_nothing_is_left_behind(application: Application, path: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"127.0.0.1 port {port}: Address already in use" in _unserved(path, application, port=port)
    assert not os.path.lexists(path)
    assert "no address of this machine" in _unserved(path, application, host="no-such-host.invalid")


def test_a_port_is_free_again_at_once(application: Application, path: str) -> None:
    with serving(application, socket_path=path.encode()) as server:
        port = server.addresses[1][1]
        connection = client(server.addresses[1])
        connection.request("GET", "/api/status")
        connection.getresponse().read()
    connection.close()
    with serving(application, socket_path=path.encode(), port=port) as server:
        assert ask(server.addresses[1], "GET", "/api/status").status == 200


@pytest.mark.parametrize("host", ["::1", "::"])
def test_ipv6_and_both_families_at_once(application: Application, path: str, host: str) -> None:
    if not socket.has_dualstack_ipv6() or not _has_ipv6_loopback():
        pytest.skip("needs IPv6")
    with serving(application, socket_path=path.encode(), host=host) as server:
        port = server.addresses[1][1]
        for address in ("::1", "127.0.0.1") if host == "::" else ("::1",):
            assert ask((address, port), "GET", "/api/status").status == 200
        assert ask(("::1", port), "GET", "/api/status", Host="evil.example").status == 403


def _has_ipv6_loopback() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


def test_adopted_sockets_take_the_place_of_the_configured_ones(application: Application, tmp_path: Path) -> None:
    path, own = str(tmp_path / "adopted.sock"), tmp_path / "own.sock"
    first, second = socket.socket(socket.AF_UNIX), socket.create_server(("127.0.0.1", 0))
    first.bind(path)
    first.listen()
    port = second.getsockname()[1]
    descriptors = [first.detach(), second.detach()]
    with serving(application, socket_path=bytes(own), adopted_fds=descriptors) as server:
        assert server.addresses == (path, ("127.0.0.1", port))
        for address in server.addresses:
            assert ask(address, "GET", "/api/status").status == 200
        assert not any(os.get_inheritable(descriptor) for descriptor in descriptors)
        assert not own.exists()
    assert os.path.exists(path), "systemd goes on listening on it"


def test_an_adopted_unix_socket_leaves_tcp_to_the_configuration(application: Application, path: str) -> None:
    with socket.socket(socket.AF_UNIX) as adopted:
        adopted.bind(path)
        adopted.listen()
        descriptor = os.dup(adopted.fileno())
        with serving(application, socket_path=b"/nowhere/x", adopted_fds=[descriptor]) as server:
            assert ask(path, "GET", "/api/status").status == 200
            assert ask(server.addresses[1], "GET", "/api/status").status == 200


def test_descriptors_that_are_no_listening_sockets_are_refused(
    application: Application, path: str, tmp_path: Path
) -> None:
    with open(tmp_path / "file", "w") as file:
        assert "is no socket" in _unserved(path, application, adopted_fds=[os.dup(file.fileno())])
    for made in (socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)):
        assert "no listening stream socket" in _unserved(path, application, adopted_fds=[made.detach()])


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
