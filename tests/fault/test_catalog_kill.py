"""Processes that are killed while they have the catalog, and what the next one finds."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from mediawatchd.catalog import schema
from mediawatchd.catalog.database import Database
from mediawatchd.errors import CatalogLocked
from tests import legacy_catalog
from tests.legacy_catalog import file
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = 3_000

OPEN = "import sys; from mediawatchd.catalog.database import Database; db = Database(sys.argv[1]); db.open(); "
HOLD = OPEN + "print('open', flush=True); sys.stdin.read(); db.close()"
WRITE = (
    OPEN + "w = db.writer(); print('open', flush=True)\n"
    "for n in range(1 << 30):\n"
    "    w.execute('BEGIN IMMEDIATE')\n"
    "    for k in range(50):\n"
    "        w.execute('INSERT OR REPLACE INTO state VALUES (?, ?)', (f'fact{k}', db.clock.now_ns()))\n"
    "    w.execute('INSERT OR REPLACE INTO state VALUES (?, ?)', ('clock_ns', db.clock.now_ns()))\n"
    "    w.execute('COMMIT')\n"
)


@pytest.fixture
def path(tmp_path: Path) -> bytes:
    return bytes(tmp_path / "catalog.db")


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def start(processes: list[subprocess.Popen[bytes]], code: str, path: bytes) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    processes.append(process)
    return process


def wait_until_open(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"


def test_a_second_daemon_is_told_who_has_the_catalog(path: bytes, processes: list[subprocess.Popen[bytes]]) -> None:
    first = start(processes, HOLD, path)
    wait_until_open(first)
    with pytest.raises(CatalogLocked, match=f"process {first.pid} since"):
        Database(path).open()
    first.kill()
    first.wait(10)
    database = Database(path)
    database.open()
    database.close()


def test_programs_started_by_a_killed_daemon_do_not_keep_the_lock(
    path: bytes, processes: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    code = (
        OPEN + "import subprocess; child = subprocess.Popen(['sleep', '60'], close_fds=False); "
        "print(child.pid, flush=True); sys.stdin.read()"
    )
    first = start(processes, code, path)
    assert first.stdout is not None
    child = int(first.stdout.readline())
    try:
        first.kill()
        first.wait(10)
        database = Database(path)
        database.open()
        database.close()
    finally:
        os.kill(child, signal.SIGKILL)


def test_of_many_that_start_at_once_one_wins(path: bytes, processes: list[subprocess.Popen[bytes]]) -> None:
    code = OPEN + "print('open', flush=True); import time; time.sleep(60)"
    for _ in range(5):
        start(processes, code, path)
    wait_until(lambda: sum(process.poll() is not None for process in processes) == 4, within=30)
    (winner,) = [process for process in processes if process.poll() is None]
    wait_until_open(winner)


def test_catalog_time_never_goes_back(path: bytes, processes: list[subprocess.Popen[bytes]]) -> None:
    dice = random.Random(1)
    for _ in range(8):
        writer = start(processes, WRITE, path)
        wait_until_open(writer)
        time.sleep(dice.uniform(0.0, 0.1))  # the moment of the kill, not a wait for something
        writer.kill()
        writer.wait(10)
        database = Database(path)
        database.open()
        now_ns = database.clock.now_ns()
        try:
            with database.reader() as reader:
                (latest,) = reader.execute("SELECT max(value) FROM state WHERE key LIKE 'fact%'").fetchone()
            assert latest is None or latest < now_ns
            assert database.notices == []
        finally:
            database.close()


def test_an_upgrade_that_is_killed_leaves_the_old_database_or_the_new_one(
    path: bytes, processes: list[subprocess.Popen[bytes]]
) -> None:
    legacy_catalog.write(
        path, [file(f"/films/{n}.mkv", id=n) for n in range(1, FILES + 1)], columns=legacy_catalog.HASHES
    )
    shutil.copyfile(path, path + b".old")
    dice = random.Random(2)
    longest = took(processes, path)
    outcomes = set()
    for _ in range(20):
        for suffix in (b"", b"-wal", b"-shm", b"-journal", b".lock"):
            if os.path.exists(path + suffix):
                os.unlink(path + suffix)
        shutil.copyfile(path + b".old", path)
        daemon = start(processes, HOLD, path)
        time.sleep(dice.uniform(0.4, 1.1) * longest)  # the moment of the kill, not a wait for something
        daemon.kill()
        daemon.wait(10)
        with closing(sqlite3.connect(path)) as connection:
            new = connection.execute("PRAGMA application_id").fetchone()[0] == schema.APPLICATION_ID
            column = "video_phash" if new else "file_path || quick_hash"
            assert connection.execute(f"SELECT count(DISTINCT id), count({column}) FROM media_files").fetchone() == (
                FILES,
                FILES,
            )
            if not new:
                tables = connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'legacy%'").fetchall()
                assert tables == []
        outcomes.add(new)
        database = Database(path)
        database.open()
        try:
            with database.reader() as reader:
                assert reader.execute(
                    "SELECT count(*), min(id), max(id), count(quick_hash), count(video_phash) FROM media_files"
                ).fetchone() == (FILES, 1, FILES, FILES, FILES)
        finally:
            database.close()
    assert False in outcomes


def took(processes: list[subprocess.Popen[bytes]], path: bytes) -> float:
    """Seconds that an undisturbed upgrade takes, the start of the program included."""
    began = time.monotonic()
    daemon = start(processes, HOLD, path)
    wait_until_open(daemon)
    seconds = time.monotonic() - began
    daemon.communicate(timeout=30)
    return seconds


def test_a_rescue_that_is_killed_goes_on_at_the_next_start(
    path: bytes, processes: list[subprocess.Popen[bytes]]
) -> None:
    legacy_catalog.write(path, [file(f"/films/{n}.mkv", id=n) for n in range(1, FILES + 1)])
    with open(path, "r+b") as content:
        content.seek(os.path.getsize(path) // 2)
        content.write(b"\xff" * 8192)
    # Killed at the worst moment: moved aside, and nothing made yet.
    code = (
        "import os, signal, sys\n"
        "from mediawatchd.catalog import database\n"
        "database.salvage = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)\n"
        "database.Database(sys.argv[1]).open()\n"
    )
    daemon = start(processes, code, path)
    assert daemon.wait(30) == -signal.SIGKILL
    database = Database(path)
    database.open()
    try:
        with database.reader() as reader:
            assert reader.execute("SELECT count(video_phash) > ? FROM media_files", (FILES * 0.8,)).fetchone() == (1,)
    finally:
        database.close()
