from __future__ import annotations

import base64
import io
import json
import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.unit.cli.fake_daemon import FakeDaemon, answer, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.cli.conftest import Outcome

SYNCED = {"synced": True, "unsettled": [], "problems": 0, "held": 0, "offline": []}


def test_sync(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("POST", "/api/sync", answer(200, SYNCED))
    assert run("sync") == (0, "in sync\n", "")
    assert daemon.requests[0].body == {"timeout": 60.0, "walk": False}
    run("sync", "--walk", "--timeout", "2.5")
    assert daemon.requests[1].body == {"timeout": 2.5, "walk": True}
    assert json.loads(run("--json", "sync").out) == SYNCED


def test_sync_names_what_it_could_not_wait_for(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    unsettled = [f"/srv/{number}" for number in range(12)]
    body = SYNCED | {"unsettled": unsettled, "problems": 1, "held": 2, "offline": ["/usb\x1b"]}
    body |= {"unreadable": ["/srv/bad"]}
    daemon.on("POST", "/api/sync", answer(200, body))
    outcome = run("sync")
    assert (outcome.status, outcome.out) == (0, "in sync\n")
    assert outcome.err.splitlines() == [
        "offline, so not looked at: /usb\\x1b",
        "could not be read: /srv/bad",
        *[f"changed again meanwhile: /srv/{number}" for number in range(10)],
        "and 2 more that changed again",
        "1 file with a problem: `mediawatchctl files --problem` lists them",
        "2 files held, absent but not believed to be gone: `mediawatchctl status` says more",
    ]


def test_sync_that_takes_too_long(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    late = refusal(504, "timeout", "not in sync after 60 s", "wait", settling=2, open={"queue": 3, "walks": 1})
    daemon.on("POST", "/api/sync", late)
    assert run("sync") == (
        124,
        "",
        "mediawatchctl: not in sync after 60 s\n  settling: 2\n  open: queue 3, walks 1\nhint: wait\n",
    )
    outcome = run("sync", "--json")
    assert outcome.status == 124
    assert json.loads(outcome.out)["synced"] is False
    assert json.loads(outcome.out)["settling"] == 2


def test_sync_while_paused(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("POST", "/api/sync", refusal(409, "paused", "the daemon is paused"))
    assert run("sync", "--json") == (1, "", "mediawatchctl: the daemon is paused\n")


@pytest.mark.parametrize(
    ("command", "path", "said"),
    [("pause", "/api/pause", "paused"), ("resume", "/api/resume", "resumed"), ("reload", "/api/reload", "reloaded")],
)
def test_plain_calls(daemon: FakeDaemon, run: Callable[..., Outcome], command: str, path: str, said: str) -> None:
    daemon.on("POST", path, answer(200, {"status": "ok"}))
    outcome = run(command)
    assert outcome.status == 0
    assert said in outcome.out
    assert run(command, "--json").out == '{"status": "ok"}\n'


def test_reload_that_is_refused_shows_all_mistakes(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on(
        "POST",
        "/api/reload",
        refusal(409, "restart_required", "line 1: a\nline 2: b", "restart the daemon", keys=["db_path", "server"]),
    )
    assert run("reload") == (
        1,
        "",
        "mediawatchctl: line 1: a\nline 2: b\n  keys: db_path\n  keys: server\nhint: restart the daemon\n",
    )


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("accept-root", "/api/roots/accept"),
        ("confirm-missing", "/api/roots/confirm-missing"),
        ("forget", "/api/roots/forget"),
    ],
)
def test_decisions_about_a_root(daemon: FakeDaemon, run: Callable[..., Outcome], command: str, path: str) -> None:
    daemon.on("POST", path, answer(200, {}))
    outcome = run(command, "/srv/films/")
    assert outcome.status == 0
    assert "/srv/films" in outcome.out
    assert daemon.requests[0].body == {"path": "/srv/films"}
    run(command, os.fsdecode(b"/srv/\xff"))
    assert base64.b64decode(daemon.requests[1].body["path_b64"]) == b"/srv/\xff"


class Keyboard(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "calls", "status"), [("yes\n", 1, 0), ("y\n", 0, 1), ("", 0, 1)])
def test_forget_asks_a_person(
    daemon: FakeDaemon,
    run: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    calls: int,
    status: int,
) -> None:
    daemon.on("POST", "/api/roots/forget", answer(200, {}))
    monkeypatch.setattr(sys, "stdin", Keyboard(typed))
    outcome = run("forget", "/srv/old")
    assert outcome.status == status
    assert "/srv/old" in outcome.err
    assert len(daemon.requests) == calls
    assert run("forget", "/srv/old", "--yes").status == 0
