"""Files that are still being written when the daemon comes to read them: a hash is of bytes that stayed the same.

The settle time is 0.5 s here instead of 5 s: a factor of 10. A file that was not seen closed settles for 3 s.
"""

from __future__ import annotations

import os
import random
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.library import Library, library
from tests.oracle import differences
from tests.running import running
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SETTLE_SECONDS = 0.5


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    settings = {"watch": {"settle_seconds": SETTLE_SECONDS}}
    with library(tmp_path_factory.mktemp("read"), settings=settings) as made:
        yield made


def during(work: Callable[[], None], look: Callable[[], None]) -> None:
    """Look again and again while some work is done by another thread."""
    worker = threading.Thread(target=work)
    worker.start()
    while worker.is_alive():
        look()
        worker.join(0.05)


def test_a_slow_download_is_hashed_once_at_its_end(lib: Library) -> None:
    folder = lib.folder("download")
    path = folder / "film.mkv"
    hashed, seen = lib.hashed(), []

    def download() -> None:
        with path.open("wb") as file:
            for _ in range(60):
                file.write(os.urandom(5_000))
                file.flush()
                time.sleep(0.1)

    during(download, lambda: seen.append(lib.hashed() - hashed))
    lib.sync()
    assert set(seen) == {0}
    assert lib.hashed() - hashed == 1


def test_a_download_that_stalls_is_hashed_again_when_it_goes_on(lib: Library) -> None:
    folder = lib.folder("stalled")
    path = folder / "film.mkv"
    with path.open("wb") as file:
        file.write(b"half")
        file.flush()
        wait_until(lambda: lib.ids(folder) and lib.row(path)["quick_hash"], within=60)
        file.write(b" and the other half")
    lib.sync()


def test_a_preallocated_file_is_not_hashed_while_it_is_filled_in_any_order(lib: Library) -> None:
    """As torrents are: the size is that of the end from the beginning."""
    folder = lib.folder("preallocated")
    path = folder / "film.mkv"
    pieces = list(range(40))
    random.Random(1).shuffle(pieces)
    hashed, seen = lib.hashed(), []

    def fill() -> None:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 40 * 5_000)
            for piece in pieces:
                os.pwrite(file.fileno(), os.urandom(5_000), piece * 5_000)
                time.sleep(0.1)

    during(fill, lambda: seen.append(lib.hashed() - hashed))
    lib.sync()
    assert set(seen) == {0}
    assert lib.hashed() - hashed == 1


def test_rsync_over_an_existing_file_hashes_it_once_more(lib: Library) -> None:
    folder = lib.folder("rsync")
    path = folder / "film.mkv"
    path.write_bytes(os.urandom(100_000))
    lib.sync()
    ids, hashed = lib.ids(folder), lib.hashed()
    unfinished = folder / ".film.mkv.a1B2c3"
    with unfinished.open("wb") as file:
        for _ in range(10):
            file.write(os.urandom(10_000))
            file.flush()
            time.sleep(0.05)
    unfinished.rename(path)
    lib.sync()
    assert lib.ids(folder) == ids
    assert lib.hashed() - hashed == 1
    assert [event for event, _ in lib.events(folder, "added", "changed", "missing")] == ["added", "changed"]


def test_a_file_that_changes_while_it_is_hashed_is_hashed_again(lib: Library) -> None:
    """Written to without a pause that would let it settle, by processes that close it each time."""
    folder = lib.folder("restless")
    paths = [folder / f"{number}.mkv" for number in range(20)]
    end = time.monotonic() + 3

    def write() -> None:
        content = random.Random(2)
        while time.monotonic() < end:
            for path in paths:
                path.write_bytes(content.randbytes(200_000))
                time.sleep(content.choice([0, 0.05, 0.1]))

    during(write, lambda: None)
    lib.sync()
    assert len(lib.ids(folder)) == 20


@pytest.mark.parametrize("year", [1970, 2099, 2400])
def test_times_of_any_year_settle(lib: Library, year: int) -> None:
    folder = lib.folder(f"year_{year}")
    seconds = (year - 1970) * 31_556_952
    for number in range(3):
        path = folder / f"{number}.mkv"
        path.write_bytes(b"%d %d" % (year, number))
        os.utime(path, (seconds, seconds))
    lib.daemon.sync()
    assert len(lib.ids(folder)) == 3
    hashed = lib.hashed()
    lib.daemon.sync(walk=True)
    assert lib.hashed() == hashed
    assert all(row["quick_hash"] for row in lib.daemon.rows())


@pytest.mark.needs_root
def test_a_monotonic_clock_that_begins_anew_holds_nothing_up(tmp_path: Path) -> None:
    """As after a reboot: the run before was in a time namespace a year ahead, with files that had not settled yet."""
    root = tmp_path / "media"
    root.mkdir()
    settings = {"watch": {"settle_seconds": SETTLE_SECONDS}}
    ahead = ["unshare", "-T", "--monotonic", "31536000"]
    with running(tmp_path / "daemon", root, settings=settings, command=ahead) as daemon:
        for number in range(3):
            (root / f"{number}.mkv").write_bytes(b"%d" % number)
        daemon.sync()
        (root / "0.mkv").unlink()
        (root / "3.mkv").write_bytes(b"new")
        wait_until(lambda: len(daemon.present()) == 4, within=30)
        daemon.kill()
    with running(tmp_path / "daemon", root, settings=settings) as daemon:
        daemon.sync()
        assert differences(daemon, [os.fsencode(root)]) == []
        assert len(daemon.rows()) == 4
        (root / "1.mkv").unlink()
        daemon.sync()
        assert differences(daemon, [os.fsencode(root)]) == []
