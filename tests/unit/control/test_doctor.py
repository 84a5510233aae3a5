"""The daemon's side of the doctor, over a real root and a real catalog: what is broken is found, with its fix."""

from __future__ import annotations

import errno
import os
import threading
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from mediawatchd import config as configuration
from mediawatchd.catalog import health
from mediawatchd.config import CommandLine
from mediawatchd.control import doctor, findings
from mediawatchd.control.doctor import Doctor
from mediawatchd.model import Away
from mediawatchd.watching.observer import WatchState
from mediawatchd.watching.sink import ObserverStatistics
from tests.parts import WITHIN
from tests.rooted import Rooted, rooted
from tests.trees import size, tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEALTHY = ObserverStatistics(
    alive=True, restarts=0, watches=3, watches_limit=None, canary_last_seen=1.0, events={}, lost={}, child_pids=(1,),
    degraded=None,
)  # fmt: skip


class Bench:
    """`clock` is what is added to the wall clock."""

    def __init__(self, parts: Rooted, root: bytes, folder: Path) -> None:
        self.parts, self.root = parts, root
        self.config = configuration.load(
            None, overrides=CommandLine((root,), db_path=bytes(folder / "catalog.db")), environment={}
        )
        self.last_reload = (True, 0.0)
        self.paused = False
        self.stuck: list[str] = []
        self.watcher = HEALTHY
        self.decoder: str | None = None
        self.clock = 0.0
        self.doctor = Doctor(
            steering=self,
            database=parts.database,
            writer=parts.writer,
            roots=parts.roots,
            observers=lambda: SimpleNamespace(statistics=lambda: self.watcher),  # type: ignore[arg-type, return-value]
            addresses=lambda: ["/run/s", ("127.0.0.1", 80)],
            self_test=lambda: self.decoder,
            wall=lambda: time.time() + self.clock,
        )

    def is_paused(self) -> bool:
        return self.paused

    def stuck_threads(self) -> list[str]:
        return self.stuck

    def found(self, check: str) -> list[tuple[str, str, str]]:
        return [
            (each["level"], each["text"], each["fix"])
            for each in self.doctor.examine()["findings"]
            if each["check"] == check
        ]

    def one(self, check: str) -> tuple[str, str, str]:
        (found,) = self.found(check)
        return found


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    socket = findings.Finding("ok", "socket", "it is there")
    monkeypatch.setattr(findings, "control_socket", lambda *_of: socket)
    monkeypatch.setattr(findings, "inotify_limits", lambda _directories: [])
    root = tree({"a.mkv": size(10), "films/b.mkv": size(20)}).under(tmp_path / "media")
    with rooted(tmp_path, root) as parts:
        yield Bench(parts, root, tmp_path)


def test_all_is_well(bench: Bench) -> None:
    answer = bench.doctor.examine()
    assert answer["counts"]["error"] == answer["counts"]["warning"] == 0, answer
    assert {each["check"] for each in answer["findings"]} == {
        *("root", "watcher", "socket", "catalog", "decoder", "clock")
    }


def test_the_worst_comes_first(bench: Bench) -> None:
    bench.paused, bench.decoder = True, "it failed"
    levels = [each["level"] for each in bench.doctor.examine()["findings"]]
    assert levels[:2] == ["error", "warning"]
    assert set(levels[2:]) == {"ok"}


def test_a_root_that_is_away(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    os.rename(bench.root[:-1], bench.root[:-1] + b".away")
    bench.parts.keeper(bench.root).check_root()
    bench.parts.wait_for(bench.root, "offline")
    level, text, fix = bench.one("root")
    assert (level, fix) == ("error", "Mount its disk, or correct scan_dirs.")
    assert text == f"{os.fsdecode(bench.root[:-1])} is offline: the folder is not there"
    monkeypatch.setattr(findings, "mount_fix", lambda _path: "sudo mount /mnt")
    assert bench.one("root")[2] == "sudo mount /mnt"


def test_a_root_that_may_not_be_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    denied = findings.Finding("error", "root", "it may not be listed", "setfacl")
    monkeypatch.setattr(findings, "access", lambda _path: denied)
    assert bench.one("root") == ("error", "it may not be listed", "setfacl")


def test_a_file_that_may_not_be_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    opening = os.open

    def refuse(path: Any, *arguments: Any, **more: Any) -> int:
        if isinstance(path, bytes) and path.endswith(b".mkv"):
            raise PermissionError(13, "Permission denied")
        return opening(path, *arguments, **more)

    monkeypatch.setattr(os, "open", refuse)
    level, text, fix = bench.one("root")
    assert (level, text.endswith(".mkv may not be read")) == ("error", True)
    assert fix.startswith("sudo setfacl -R -m u:")


def test_a_root_whose_disk_hangs_holds_nobody_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(doctor, "DISK_SECONDS", 0.05)
    monkeypatch.setattr(findings, "access", lambda _path: gate.wait(WITHIN) and None)
    try:
        assert "has not answered for 0.05 s" in bench.one("root")[1]
    finally:
        gate.set()


def test_a_watch_that_fails_and_files_that_are_held(bench: Bench) -> None:
    state = WatchState("degraded", (bench.root,), 3, "3 directories are not watched", "sysctl x=1")
    bench.parts.roots.watched(bench.parts.root_ids[bench.root], state)
    bench.parts.call(lambda tx: tx.connection.execute("UPDATE media_files SET held = 1, absent_ns = 1"))
    bench.parts.call(lambda tx: tx.totals.recount(tx.connection, 1))
    found = bench.found("root")
    assert [(level, fix) for level, _, fix in found] == [
        ("warning", f"If they are really gone: mediawatchctl confirm-missing {os.fsdecode(bench.root[:-1])}"),
        ("warning", "sudo sysctl x=1"),
    ]


def test_a_folder_that_cannot_be_read(bench: Bench) -> None:
    bench.parts.keeper(bench.root)._unreadable.failed(bench.root + b"bad/", OSError(errno.EIO, "Input/output error"))
    level, text, fix = bench.one("root")
    assert (level, fix.split(" ", 1)[0]) == ("warning", "Check")
    assert text.endswith("media/bad cannot be read: Input/output error")


def test_a_disk_below_a_root_that_is_away(bench: Bench) -> None:
    bench.parts.keeper(bench.root)._visitor.away = frozenset({Away(bench.root + b"drive/", 7)})
    level, text, fix = bench.one("root")
    assert (level, fix) == ("warning", "Mount it; its files stay as they are.")
    place = os.fsdecode(bench.root + b"drive")
    assert text == f"{os.fsdecode(bench.root[:-1])}: a disk below it is away: {place}"


def test_the_watcher(bench: Bench) -> None:
    assert bench.one("watcher")[:2] == ("ok", "3 directories are watched")
    bench.watcher = replace(HEALTHY, canary_last_seen=None)
    assert bench.one("watcher")[0] == "warning"
    bench.watcher = replace(HEALTHY, degraded="it is started again")
    assert bench.one("watcher")[:2] == ("error", "it is started again")


def test_the_catalog(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bench.one("catalog")[0] == "ok"
    bench.parts.database.notices.append("it was damaged and moved aside")
    monkeypatch.setattr(bench.parts.database, "sizes", lambda: {"db": 1, "wal": 1 << 30, "shm": 0})
    monkeypatch.setattr(os, "statvfs", lambda _path: SimpleNamespace(f_bavail=1, f_frsize=4096))
    monkeypatch.setattr(bench.parts.writer, "statistics", lambda: SimpleNamespace(trouble="the disk is full"))
    found = bench.found("catalog")
    assert [(level, text.partition(":")[0]) for level, text, _ in found] == [
        ("error", "the disk is full"),
        ("error", "only 0.0 MiB are free where the catalog lies"),
        ("warning", "at the start"),
        ("warning", "its journal has grown to 1,024.0 MiB"),
    ]
    assert found[0][2].endswith(f"df -h {os.fsdecode(os.path.dirname(bench.config.db_path))}")


def test_a_damaged_catalog(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = health.Health("Page 7 is never used", False, 0, {}, None, None)
    monkeypatch.setattr(health, "examine", lambda *_connection, **_limits: bad)
    level, text, fix = bench.one("catalog")
    assert (level, text.endswith("is damaged: Page 7 is never used")) == ("error", True)
    assert fix.startswith("sudo systemctl restart mediawatchd")


def test_files_with_problems_and_dates_in_the_future(bench: Bench) -> None:
    first, second = (row["id"] for row in bench.parts.rows())
    bench.parts.failed(first, reason="decode", final=True)
    bench.parts.failed(second, reason="permission")
    ahead = round((time.time() + 900_000) * 1e9)
    bench.parts.call(lambda tx: tx.connection.execute("UPDATE media_files SET mtime_ns = ? WHERE id = 1", (ahead,)))
    (denied, broken) = bench.found("files")
    assert denied[:2] == ("error", "1 file may not be read")
    assert broken[0] == "warning"
    assert broken[2] == "mediawatchctl files --problem"
    assert [found[:2] for found in bench.found("clock")] == [
        ("warning", "1 file of a date in the future"),
        ("ok", "it runs evenly"),
    ]


def test_the_clock(bench: Bench) -> None:
    bench.clock = 3600.0
    assert bench.one("clock")[:2] == ("warning", "the clock was set by +3600 s since the daemon started")
    bench.clock = -time.time()
    level, text, fix = bench.one("clock")
    assert (level, text, fix) == (
        "error",
        "the clock shows 1970-01-01: it was not set",
        "sudo timedatectl set-ntp true",
    )


def test_a_history_of_the_future(bench: Bench) -> None:
    ahead = time.time() + 7200
    bench.parts.call(
        lambda tx: tx.connection.execute("INSERT INTO history VALUES (999, ?, 'job', NULL, NULL, '')", (ahead,))
    )
    assert "events of the future" in bench.one("clock")[1]


def test_the_decoder_and_the_daemon(bench: Bench) -> None:
    bench.decoder = "decoding a tiny clip failed"
    assert bench.one("decoder")[:2] == ("error", "decoding a tiny clip failed")
    bench.paused, bench.last_reload, bench.stuck = True, (False, 0.0), ["the thread hash-1 has been at one file"]
    assert [(level, fix) for level, _, fix in bench.found("daemon")] == [
        ("error", "Check the disk it waits for: its root says more."),
        ("error", "mediawatchd --check-config"),
        ("warning", "mediawatchctl resume"),
    ]


def test_a_check_of_the_catalog_that_takes_too_long_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_STEPS", 1)
    with bench.parts.database.reader() as connection:
        found = health.examine(connection, now=time.time(), limit_seconds=-1.0)
        assert (found.damage, found.is_partial, found.future_files) == (None, True, None)
        assert connection.execute("SELECT count(*) FROM media_files").fetchone()[0] == 2
