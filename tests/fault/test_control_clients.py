"""Clients of the control server that behave badly: the others, and `status` first of all, must not notice."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from mediawatchd.control import connection as connection_module
from mediawatchd.control.application import Application
from mediawatchd.control.server import THREADS
from tests.control import Catalog, FakeOperations, ask, client, connected, serving
from tests.unit.catalog.test_browse import _add_directory, _add_file, _catalog
from tests.wait import wait_until

if TYPE_CHECKING:
    import http.client
    from collections.abc import Iterator
    from pathlib import Path

    from mediawatchd.control.server import Server

STREAMS = THREADS // 2


class Setting:
    """A server with both listeners, over a catalog of 3,000 files."""

    def __init__(self, server: Server, operations: FakeOperations, catalog: Catalog) -> None:
        self.operations = operations
        self.catalog = catalog
        self.addresses = server.addresses

    def assert_answers(self) -> None:
        for address in self.addresses:
            assert ask(address, "GET", "/api/status").status == 200


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    operations = FakeOperations()
    catalog = Catalog(_catalog(":memory:"))
    directory = _add_directory(catalog.connection, 1, b"/media/a/")
    for number in range(3_000):
        _add_file(catalog.connection, directory, b"%05d.mkv" % number)
    application = Application(operations=operations, reader=catalog, secret_token=lambda: None)
    with serving(application, socket_path=bytes(tmp_path / "control.sock")) as server:
        yield Setting(server, operations, catalog)
    catalog.connection.close()


@pytest.fixture(params=["unix", "tcp"])
def address(request: pytest.FixtureRequest, setting: Setting) -> Any:
    return setting.addresses[request.param == "tcp"]


def _stream(address: Any, stack: ExitStack) -> http.client.HTTPResponse:
    connection = client(address)
    stack.callback(connection.close)
    connection.request("GET", "/api/events")
    response = connection.getresponse()
    stack.callback(response.close)
    return response


def test_forty_clients_hold_streams_open(setting: Setting, address: Any) -> None:
    with ExitStack() as stack:
        answers = [_stream(address, stack) for _ in range(40)]
        served = [answer for answer in answers if answer.status == 200]
        refused = [answer for answer in answers if answer.status == 503]
        assert (len(served), len(refused)) == (STREAMS, 40 - STREAMS)
        for answer in served:
            assert json.loads(answer.readline())["event"] == "heartbeat"
        for answer in refused:
            assert json.loads(answer.read())["code"] == "too_many_streams"
        setting.assert_answers()
        assert ask(address, "GET", "/api/files?limit=1").json["next"]
        other = next(each for each in setting.addresses if each != address)
        assert _stream(other, stack).status == 200  # each listener has threads of its own
        for feed in setting.operations.feeds:
            feed.events.put({"seq": 1, "event": "added"})
        for answer in served:
            assert json.loads(answer.readline())["event"] == "added"
    for feed in setting.operations.feeds:
        assert feed.closed.wait(10), "the end of a stream was not noticed"
    with ExitStack() as stack:
        wait_until(lambda: _stream(address, stack).status == 200, within=20)


def test_clients_send_half_a_request_and_hang(setting: Setting, address: Any) -> None:
    halves = (
        b"",
        b"GET /api/sta",
        b"GET /api/status HTTP/1.1\r\nHost: localhost\r\n",
        b"POST /api/pause HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
    )
    with ExitStack() as stack:
        for number in range(3 * THREADS):
            hanging = stack.enter_context(connected(address))
            hanging.sendall(halves[number % len(halves)])
        setting.assert_answers()
        threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("control-")]
        assert len(threads) < 10, "a silent client was given a thread"


def test_a_client_never_reads_its_stream(setting: Setting, address: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "SILENCE_SECONDS", 0.5)
    with connected(address) as deaf, ExitStack() as stack:
        deaf.sendall(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        feed = wait_until(lambda: (setting.operations.feeds or [None])[0], within=20)
        other = _stream(address, stack)
        for _ in range(200):
            feed.events.put({"seq": 1, "event": "added", "path": "x" * 100_000})
        assert feed.closed.wait(20), "the stream was not dropped"
        setting.assert_answers()
        setting.operations.feeds[1].events.put({"seq": 1, "event": "added"})
        assert [json.loads(other.readline())["event"] for _ in range(2)] == ["heartbeat", "added"]


def test_clients_never_read_their_lists(setting: Setting, address: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "SILENCE_SECONDS", 0.5)
    request = b"GET /api/files?limit=10000 HTTP/1.1\r\nHost: localhost\r\n"
    with ExitStack() as stack:
        for number in range(THREADS + 8):
            deaf = stack.enter_context(connected(address))
            deaf.sendall(request + (b"Accept: application/x-ndjson\r\n" if number % 2 else b"") + b"\r\n")
        setting.assert_answers()
        # Nobody who does not read holds a connection to the catalog.
        wait_until(lambda: setting.catalog.lent == 0, within=20)


def test_clients_leave_in_the_middle_of_everything(setting: Setting, address: Any) -> None:
    for target in (b"/api/events", b"/api/files?limit=10000", b"/api/jobs/1/wait?timeout=600", b"/api/status"):
        for _ in range(STREAMS + 4):
            with connected(address) as leaving:
                leaving.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % target)
    setting.assert_answers()

    def is_room() -> bool:
        with ExitStack() as stack:
            return _stream(address, stack).status == 200

    wait_until(is_room, within=20)
    for feed in setting.operations.feeds:
        assert feed.closed.wait(10)
