"""Errors become messages and exit statuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mediawatchd.cli import ctl
from mediawatchd.control import client
from mediawatchd.errors import MediawatchdError, Refused
from tests.unit.cli.fake_daemon import FakeDaemon, answer, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.cli.conftest import Outcome


@pytest.mark.parametrize(
    ("error", "status"),
    [
        *[(Refused(http, "x", "x"), status) for http, status in ((400, 2), (401, 5), (403, 5), (404, 4), (504, 124))],
        *[(Refused(http, "x", "x"), 1) for http in (405, 409, 413, 500, 503)],
        (client.NotRunning("x"), 3),
        (client.SocketDenied("x"), 5),
        (client.NoAnswer("x"), 124),
        (client.Disconnected("x"), 3),
        (client.NotADaemon("x"), 1),
    ],
)
def test_exit_statuses(error: MediawatchdError, status: int) -> None:
    assert ctl.exit_status(error) == status


def test_who_asks_a_daemon_that_is_about_to_end_hears_the_same_status_as_a_moment_later() -> None:
    """`events` ended with 1 instead of 3 when its request came between the signal and the end."""
    assert ctl.exit_status(Refused(503, "stopping", "the daemon is shutting down")) == 3


def test_daemon_that_is_not_running(run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = run("status", "--socket", "/nowhere/s")
    assert outcome.status == 3
    assert outcome.out == ""
    assert outcome.err.startswith(
        "mediawatchctl: the daemon is not running; no socket answers:\n  /nowhere/s: does not"
    )
    assert "\nhint: Start it with `systemctl start mediawatchd`" in outcome.err


def test_all_usual_places_are_named(run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDIAWATCHD_SOCKET")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere")
    monkeypatch.setattr(ctl, "default_sockets", lambda environment: [f"{environment['XDG_RUNTIME_DIR']}/s", "/none/t"])
    outcome = run("status")
    assert outcome.status == 3
    assert "/nowhere/s: does not exist\n  /none/t: does not exist" in outcome.err


def test_what_the_daemon_says_cannot_steer_the_terminal(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/status", refusal(500, "x", "bad\x1b[2J", "hint\x9b"))
    assert run("status").err == "mediawatchctl: bad\\x1b[2J\nhint: hint\\x9b\n"


def test_connection_that_breaks(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/status", answer(200, {"version": "1"})[:-3])
    outcome = run("status")
    assert outcome.status == 3
    assert "in the middle of its answer" in outcome.err


def test_interrupt(run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(client.Client, "get", interrupted)
    assert run("status") == (130, "", "")
