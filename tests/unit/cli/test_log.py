from __future__ import annotations

import datetime as dt
import io
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from mediawatchd.cli import moments
from mediawatchd.cli.events import lines
from mediawatchd.cli.screen import Screen
from mediawatchd.cli.show import page
from tests.unit.cli.fake_daemon import FakeDaemon, answer, chunks

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.cli.conftest import Outcome

NOW = dt.datetime(2031, 5, 4, 12, tzinfo=dt.UTC)


def entry(seq: int, **fields: Any) -> dict[str, Any]:
    return {
        "seq": seq,
        "time": 60.0 * seq,
        "event": "added",
        "path": f"/m/{seq}",
        "from": None,
        "detail": None,
    } | fields


def stream(*entries: dict[str, Any]) -> bytes:
    lines = [json.dumps(each).encode() + b"\n" for each in entries]
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(lines)


def test_all_of_it_oldest_first(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/history", stream(entry(1, detail="found by a walk"), entry(2)))
    outcome = run("log")
    assert daemon.requests[0].query == {}
    assert outcome.out.splitlines() == [
        "1970-01-01 00:01:00  added     /m/1  (found by a walk)",
        "1970-01-01 00:02:00  added     /m/2",
    ]


def test_a_limit_takes_the_newest_and_still_prints_them_oldest_first(
    daemon: FakeDaemon, run: Callable[..., Outcome]
) -> None:
    daemon.on("GET", "/api/history", answer(body={"items": [entry(9), entry(8)], "next": "8"}))
    outcome = run("log", "--json", "--limit", "2", "--since", "3", "/m/x\udcff")
    assert daemon.requests[0].query == {"path_b64": "L20veP8=", "since": "3", "order": "desc", "limit": "2"}
    assert [json.loads(line)["seq"] for line in outcome.out.splitlines()] == [8, 9]


def test_nothing_happened(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/history", stream())
    outcome = run("log", "/m")
    assert (outcome.status, outcome.out) == (0, "")
    assert outcome.err.startswith("nothing happened")


def test_a_moment_that_cannot_be_read_is_usage(run: Callable[..., Outcome]) -> None:
    outcome = run("log", "--since", "yesterday")
    assert outcome.status == 2
    assert "a span as 90min, 2h or 3d" in outcome.err


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1200", "1200"),
        ("2h", "2031-05-04T10:00:00+00:00"),
        ("90min", "2031-05-04T10:30:00+00:00"),
        ("3d", "2031-05-01T12:00:00+00:00"),
        ("2031-05-04T12:00:00+02:00", "2031-05-04T10:00:00+00:00"),
        ("2031-05-04T12:00:00Z", "2031-05-04T12:00:00+00:00"),
    ],
)
def test_moments(text: str, meant: str) -> None:
    assert moments.since(text, now=NOW) == meant


@pytest.mark.parametrize("text", ["", "-3", "2 years", "h", "2031-13-01"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - fromisoformat has sentences of its own
        moments.since(text, now=NOW)


def test_long_entries_are_wrapped_below_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    shown = Screen(io.StringIO(), environment={})
    shown.width = 60
    assert lines(entry(1, detail="its folder is gone, found by a walk"), shown) == [
        "1970-01-01 00:01:00  added     /m/1  (its folder is gone,",
        "                               found by a walk)",
    ]


def test_show_keeps_names_of_codecs_and_lines_up_long_labels() -> None:
    item = {"path": "/m/a.wav", "state": "ready", "audio": {"codec": "pcm_s16le"}, "pending_quick_hash": 7, "held": 0}
    told = page(item, Screen(io.StringIO(), environment={}), now_seconds=0.0)
    assert "  audio               codec pcm_s16le" in told
    assert "  pending quick hash  7" in told
    assert not [line for line in told if "held" in line]
