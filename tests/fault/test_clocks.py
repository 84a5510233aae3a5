"""The wall clock is wrong, and is set while the daemon runs: nothing waits for it, and nothing is deleted by it.

The daemon's wall clock is shifted by as many seconds as a file says, on this disk with its true times. It keeps house
every 0.5 s instead of every hour: a factor of 7,200. Roots are walked every 1.4 s: a factor of 15,000.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.library import metric
from tests.oracle import differences
from tests.running import Running, running
from tests.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

WITHIN = 60
YEAR = 365.25 * 86_400
SETTINGS: dict[str, Any] = {
    "missing": {"hold_share": None, "keep_days": 1},
    "reconcile": {"interval_hours": 0.0004},
}
SHIFTED = """
import datetime, sys, time
now, now_ns = time.time, time.time_ns
def shift():
    with open({file!r}) as file:
        return float(file.read())
time.time = lambda: now() + shift()
time.time_ns = lambda: now_ns() + round(shift() * 1e9)
class Shifted(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)
datetime.datetime = Shifted
if sys.orig_argv[1:3] == ["-m", "mediawatchd"]:
    from mediawatchd.daemon import serving
    serving.HOUSEKEEPING_SECONDS = 0.5
"""


class Clock:
    """The wall clock of the daemons to come that run `first`."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.first = SHIFTED.format(file=os.fspath(self._file))
        self.shift(0)

    def shift(self, seconds: float) -> None:
        written = self._file.with_suffix(".new")
        written.write_text(str(seconds))
        written.rename(self._file)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "media"
    path.mkdir()
    return path


def make(root: Path, *numbers: int) -> None:
    for number in numbers:
        (root / f"{number}.mp3").write_bytes(b"%d" % number)


def missing(daemon: Running) -> set[str]:
    return {os.path.basename(row["file_path"]).decode() for row in daemon.rows("missing_since IS NOT NULL")}


def went(daemon: Running) -> set[str]:
    """What the history says to have gone."""
    items = daemon.get("/api/history", {"limit": 1000})["items"]
    return {os.path.basename(item["path"]) for item in items if item["event"] == "missing"}


def wait_until_house_was_kept(daemon: Running, times: int = 2) -> None:
    for _ in range(times):
        before = online_ns(daemon)
        wait_until(lambda before=before: online_ns(daemon) > before, within=WITHIN)


def online_ns(daemon: Running) -> int:
    with closing(sqlite3.connect(f"file:{daemon.database}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT sum(online_ns) FROM roots").fetchone()[0])


def check(daemon: Running, root: Path) -> None:
    daemon.sync(walk=True)
    assert differences(daemon, [os.fsencode(root)]) == []
    assert daemon.status()["settling"] == 0


def test_a_clock_of_1970_at_boot_deletes_nothing_and_keeps_nothing_waiting(
    tmp_path: Path, root: Path, clock: Clock
) -> None:
    make(root, *range(5))
    with running(tmp_path / "daemon", root, settings=SETTINGS, first=clock.first) as daemon:
        daemon.sync()
        (root / "0.mp3").unlink()
        check(daemon, root)
        assert missing(daemon) == {"0.mp3"}
        daemon.stop()
        clock.shift(60 - time.time())
        daemon.start()
        make(root, 5)
        (root / "1.mp3").unlink()
        check(daemon, root)
        assert {row["hashed_at"][:4] for row in daemon.rows() if row["file_path"].endswith(b"5.mp3")} == {"1970"}
        wait_until_house_was_kept(daemon)
        assert missing(daemon) == {"0.mp3", "1.mp3"}
        clock.shift(0)
        make(root, 6)
        (root / "2.mp3").unlink()
        check(daemon, root)
        check(daemon, root)
        wait_until_house_was_kept(daemon)
        assert missing(daemon) == went(daemon) == {"0.mp3", "1.mp3", "2.mp3"}
        assert daemon.process is not None
        # That what is old enough is forgotten here at all.
        daemon.configure([root], {**SETTINGS, "missing": {"hold_share": None, "keep_days": 0}})
        daemon.post("/api/reload")
        wait_until(lambda: not missing(daemon), within=WITHIN)


def test_settling_and_timers_go_on_when_the_clock_is_set(tmp_path: Path, root: Path, clock: Clock) -> None:
    make(root, *range(5))
    with running(tmp_path / "daemon", root, settings=SETTINGS, first=clock.first) as daemon:
        daemon.sync()
        for number, years in enumerate([10, -30, 0]):
            clock.shift(years * YEAR)
            walks = metric(daemon, f'mediawatchd_scans_total{{result="complete",root="{root}"}}')
            make(root, 10 + number)
            (root / f"{number}.mp3").unlink()
            wait_until(lambda number=number: f"{number}.mp3" in missing(daemon), within=WITHIN)
            wait_until(
                lambda number=number: (daemon.present().get(os.fsencode(root / f"{10 + number}.mp3")) or {}).get(
                    "quick_hash"
                ),
                within=WITHIN,
            )
            wait_until(
                lambda walks=walks: (
                    metric(daemon, f'mediawatchd_scans_total{{result="complete",root="{root}"}}') >= walks + 2
                ),
                within=WITHIN,
            )
            wait_until_house_was_kept(daemon)
            check(daemon, root)
        assert missing(daemon) == {f"{number}.mp3" for number in range(3)}
        assert daemon.status()["degraded"] is False
