"""How listeners are bound and left: the socket's mode and group, what stands in its way, ports, adopted sockets."""

from __future__ import annotations

import grp
import os
import socket
import stat
from typing import TYPE_CHECKING, Any

import pytest

from mediawatchd.errors import SocketUnavailable
from tests.control import FakeOperations, ask, client, connected, serving
from tests.listening import address, application, operations, path, server

if TYPE_CHECKING:
    from pathlib import Path

    from mediawatchd.control.application import Application
    from mediawatchd.control.server import Server

__all__ = ["address", "application", "operations", "path", "server"]


def _unserved(path: str, application: Application, **options: Any) -> str:
    """The message with which a server refuses to start."""
    with pytest.raises(SocketUnavailable) as caught, serving(application, socket_path=path.encode(), **options):
        pass
    assert caught.value.hint
    return str(caught.value)


def test_both_listeners_answer_from_the_same_operations(server: Server, operations: FakeOperations, path: str) -> None:
    assert server.addresses[0] == path
    for each in server.addresses:
        assert ask(each, "GET", "/api/status").json == {"did": "status"}
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
