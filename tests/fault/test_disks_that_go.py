"""Disks that go, come back, are another one, or are covered: real mounts, in a mount namespace of this module.

Times are those of tests.library. The next walk that nobody asks for is hours away.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.disks import Disk, disk, in_memory, own_mounts  # noqa: F401 - a fixture
from tests.library import hashed, metric
from tests.oracle import differences
from tests.running import Running, running
from tests.trees import folder, tree
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

SOON = 60
"""A root that has changed is seen within 10 s; the rest is for a slow machine."""
IMPATIENT = "from mediawatchd.catalog import connection; connection._BUSY_SECONDS /= 20"
"""The writer waits 0.25 s for a lock instead of 5."""
FILMS = {"a.mkv": b"a" * 1000, "films/new/b.mkv": b"b" * 2000, "films/old/c.mp3": b"c" * 3000}
OTHERS = {"a.mkv": b"another a", "films/new/b.mkv": b"b" * 2000, "x.mkv": b"x" * 1000}
"""Of another disk: a file of the same name with other content, one that is the same, and one that is new."""

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.skipif(not os.path.exists("/dev/loop-control"), reason="needs loop devices"),
    pytest.mark.usefixtures("own_mounts"),
]


@pytest.fixture
def usb(tmp_path: Path) -> Iterator[Disk]:
    """A disk with films on it, mounted."""
    with disk(tmp_path / "usb.image", tmp_path / "usb") as made:
        tree(FILMS).under(made.place)
        yield made


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Disk]:
    """Another disk, not mounted."""
    with disk(tmp_path / "other.image", tmp_path / "other") as made:
        tree(OTHERS).under(made.place)
        made.unmount()
        yield made


def wait_until_it_is(state: str, daemon: Running, root: Path) -> None:
    wait_until(lambda: daemon.root(root)["state"] == state, within=SOON, shows=daemon.said)


def below(folder: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the rows that lie below a folder."""
    return [row for row in rows if row["file_path"].startswith(os.fsencode(folder) + b"/")]


def ids_of(daemon: Running, place: Path) -> dict[bytes, int]:
    """The present rows below a folder, by the path below it."""
    rows = below(place, list(daemon.present().values()))
    return {os.path.relpath(row["file_path"], os.fsencode(place)): row["id"] for row in rows}


def is_absent(daemon: Running, name: str) -> bool:
    """Whether a first look has not found the file, and a second one is waited for."""
    with closing(sqlite3.connect(f"file:{daemon.database}?mode=ro", uri=True)) as connection:
        query = "SELECT 1 FROM media_files WHERE name = ? AND absent_ns IS NOT NULL"
        return connection.execute(query, (os.fsencode(name),)).fetchone() is not None


def agrees(daemon: Running, *roots: Path) -> None:
    assert differences(daemon, [os.fsencode(root) for root in roots]) == []


def walks(daemon: Running, root: Path) -> float:
    """Those that ended, but for those of single folders that events asked for."""
    results = ("complete", "cancelled", "failed")
    return sum(metric(daemon, f'mediawatchd_scans_total{{result="{result}",root="{root}"}}') for result in results)


def events_arrive(daemon: Running, root: Path, place: Path) -> None:
    """A file is found though nobody walks."""
    daemon.sync()
    before = walks(daemon, root)
    assert before > 0
    (place / "later.mkv").write_bytes(os.fsencode(place))
    wait_until(lambda: os.fsencode(place / "later.mkv") in daemon.present(), within=SOON)
    assert walks(daemon, root) == before


@pytest.mark.parametrize("lazily", [False, True], ids=["unmounted", "lazily"])
def test_a_disk_that_goes_leaves_its_rows_and_comes_back_under_another_number(
    tmp_path: Path, usb: Disk, lazily: bool
) -> None:
    here = tmp_path / "here"
    tree(FILMS).under(here)
    with running(tmp_path / "daemon", here, usb.place) as daemon:
        daemon.sync()
        before, read, number = daemon.rows(), hashed(daemon), os.stat(usb.place).st_dev
        usb.unmount(lazily=lazily)
        wait_until_it_is("offline", daemon, usb.place)
        assert daemon.sync(walk=True)["offline"] == [str(usb.place)]
        assert daemon.rows() == before
        usb.plug_in_anew()
        usb.mount()
        assert os.stat(usb.place).st_dev != number
        wait_until_it_is("online", daemon, usb.place)
        assert daemon.sync(walk=True)["offline"] == []
        assert daemon.rows() == before
        assert hashed(daemon) == read
        events_arrive(daemon, usb.place, usb.place / "films/old")
        daemon.sync()
        agrees(daemon, here, usb.place)


def test_a_daemon_that_starts_without_the_disk_leaves_its_rows(tmp_path: Path, usb: Disk) -> None:
    with running(tmp_path / "daemon", usb.place) as daemon:
        daemon.sync()
        before = daemon.rows()
        daemon.kill()
        usb.unmount()
        daemon.start()
        assert daemon.sync(walk=True)["offline"] == [str(usb.place)]
        assert daemon.root(usb.place)["state"] == "offline"
        assert daemon.rows() == before
        usb.mount()
        wait_until_it_is("online", daemon, usb.place)
        daemon.sync()
        assert daemon.rows() == before
        assert hashed(daemon) == 0
        events_arrive(daemon, usb.place, usb.place / "films/old")


def test_a_walk_ends_with_the_disk_that_it_walks(tmp_path: Path, usb: Disk) -> None:
    tree({f"{number}/{below}": folder() for number in range(60) for below in range(50)}).under(usb.place)
    with running(tmp_path / "daemon", usb.place) as daemon:
        daemon.sync()
        before = daemon.rows()
        for _ in range(20):
            job = daemon.post("/api/scan")["job"]
            wait_until(lambda: daemon.root(usb.place)["walking"] not in {None, str(usb.place)}, within=SOON, poll=0)
            with stopped(daemon):
                usb.unmount(lazily=True)
            wait_until_it_is("offline", daemon, usb.place)
            assert daemon.sync(walk=True)["offline"] == [str(usb.place)]
            assert daemon.rows() == before
            ended = daemon.get(f"/api/jobs/{job}/wait", {"timeout": SOON})
            usb.mount()
            wait_until_it_is("online", daemon, usb.place)
            daemon.sync()
            if ended["state"] != "done":
                break  # else the walk had ended before
        assert (ended["state"], ended["error"].partition(":")[0]) == ("failed", "offline")
        assert daemon.rows() == before
        agrees(daemon, usb.place)


def test_what_was_seen_before_the_disk_went_is_not_believed_after_it(tmp_path: Path, usb: Disk) -> None:
    """It is seen twice that a file is gone, and the disk goes before the second look is in the catalog."""
    names = [f"{number}.mkv" for number in range(10)]
    tree(dict.fromkeys(names, b"film")).under(usb.place)
    slower = {"watch": {"settle_seconds": 0.4}}
    with running(tmp_path / "daemon", usb.place, settings=slower, first=IMPATIENT) as daemon:
        daemon.sync()
        for name in names:
            path = usb.place / name
            path.unlink()
            wait_until(lambda name=name: is_absent(daemon, name), within=SOON)
            with daemon.locked():
                if os.fsencode(path) not in daemon.present():
                    continue  # this machine was too slow: it was believed within 0.8 s
                wait_until(lambda: any("locked" in each for each in daemon.status()["troubles"]), within=SOON)
                before = daemon.rows()
                usb.unmount(lazily=True)
            break
        wait_until_it_is("offline", daemon, usb.place)
        wait_until(lambda: not daemon.status()["degraded"], within=SOON)
        assert daemon.sync(walk=True)["offline"] == [str(usb.place)]
        assert daemon.rows() == before
        assert os.fsencode(path) in daemon.present()
        usb.mount()
        wait_until_it_is("online", daemon, usb.place)
        daemon.sync()
        assert os.fsencode(path) not in daemon.present()
        agrees(daemon, usb.place)


def test_another_disk_in_its_place_waits_for_a_person(tmp_path: Path, usb: Disk, other: Disk) -> None:
    place = usb.place
    with running(tmp_path / "daemon", place) as daemon:
        daemon.sync()
        before, ids = daemon.rows(), ids_of(daemon, place)
        usb.unmount()
        other.mount(place)
        wait_until_it_is("replaced", daemon, place)
        assert "accept-root" in daemon.root(place)["hint"]
        (place / "later.mkv").write_bytes(b"later")
        assert daemon.sync(walk=True)["offline"] == [str(place)]
        daemon.kill()
        daemon.start()
        assert daemon.sync(walk=True)["offline"] == [str(place)]
        assert daemon.rows() == before
        daemon.post("/api/roots/accept", {"path": str(place)})
        wait_until_it_is("online", daemon, place)
        daemon.sync()
        agrees(daemon, place)
        # With its hash, for its own disk may come back.
        [gone] = daemon.rows("missing_since IS NOT NULL AND quick_hash IS NOT NULL")
        assert gone["file_path"] == os.fsencode(place / "films/old/c.mp3")
        other.unmount(place=place)
        usb.mount()
        wait_until_it_is("replaced", daemon, place)
        daemon.post("/api/roots/accept", {"path": str(place)})
        wait_until_it_is("online", daemon, place)
        daemon.sync()
        agrees(daemon, place)
        assert ids_of(daemon, place) == ids


@pytest.mark.parametrize(("files", "state"), [({}, "offline"), (OTHERS, "replaced")], ids=["empty", "with files"])
def test_what_is_mounted_over_a_root_hides_its_rows(
    tmp_path: Path, usb: Disk, files: dict[str, bytes], state: str
) -> None:
    with running(tmp_path / "daemon", usb.place) as daemon:
        daemon.sync()
        before, read = daemon.rows(), hashed(daemon)
        with in_memory(usb.place, files):
            wait_until_it_is(state, daemon, usb.place)
            assert daemon.sync(walk=True)["offline"] == [str(usb.place)]
            assert daemon.rows() == before
        wait_until_it_is("online", daemon, usb.place)
        daemon.sync(walk=True)
        assert daemon.rows() == before
        assert hashed(daemon) == read
        events_arrive(daemon, usb.place, usb.place / "films/old")


@pytest.mark.parametrize("files", [{}, {"old/c.mp3": b"another c", "x.mkv": b"x"}], ids=["empty", "with files"])
def test_what_is_mounted_over_a_folder_hides_its_rows_only(tmp_path: Path, usb: Disk, files: dict[str, bytes]) -> None:
    covered = usb.place / "films"
    with running(tmp_path / "daemon", usb.place) as daemon:
        daemon.sync()
        before, read = daemon.rows(), hashed(daemon)
        with in_memory(covered, files):
            daemon.sync(walk=True)
            assert daemon.rows() == before
            for name in files:
                (covered / name).unlink()
            (usb.place / "a.mkv").unlink()
            events_arrive(daemon, usb.place, usb.place)
            daemon.sync(walk=True)
            assert below(covered, daemon.rows()) == below(covered, before)
            assert differences(daemon, [os.fsencode(usb.place)], away=[os.fsencode(covered) + b"/"]) == []
        daemon.sync(walk=True)
        agrees(daemon, usb.place)
        assert below(covered, daemon.rows()) == below(covered, before)
        assert hashed(daemon) == read + 1
        events_arrive(daemon, usb.place, covered / "old")


def test_a_disk_below_a_root_goes_and_the_rest_goes_on(tmp_path: Path) -> None:
    root = tmp_path / "media"
    tree({"a.mkv": b"of the root", "films/b.mkv": b"of the root as well"}).under(root)
    with disk(tmp_path / "drive.image", root / "drive") as drive:
        tree(FILMS).under(drive.place)
        with running(tmp_path / "daemon", root) as daemon:
            daemon.sync()
            before, read = below(drive.place, daemon.rows()), hashed(daemon)
            drive.unmount()
            (root / "films/b.mkv").unlink()
            events_arrive(daemon, root, root)
            daemon.sync(walk=True)
            assert daemon.root(root)["state"] == "online"
            assert daemon.root(root)["away"] == daemon.sync()["offline"] == [str(drive.place)]
            assert daemon.status()["degraded"]
            assert below(drive.place, daemon.rows()) == before
            assert differences(daemon, [os.fsencode(root)], away=[os.fsencode(drive.place) + b"/"]) == []
            drive.plug_in_anew()
            drive.mount()
            daemon.sync()
            assert daemon.root(root)["away"] == []
            assert below(drive.place, daemon.rows()) == before
            assert hashed(daemon) == read + 1
            events_arrive(daemon, root, drive.place / "films/old")
            daemon.sync()
            agrees(daemon, root)


@pytest.mark.parametrize("point", ["stays", "goes"])
def test_what_was_not_hashed_yet_on_a_disk_that_goes_holds_nothing_up(point: str, tmp_path: Path) -> None:
    root = tmp_path / "media"
    tree({"a.mkv": b"of the root"}).under(root)
    with disk(tmp_path / "drive.image", root / "drive") as drive:
        tree(FILMS).under(drive.place)
        with running(tmp_path / "daemon", root) as daemon:
            daemon.sync()
            daemon.post("/api/pause")
            late = drive.place / "films/old/late.mkv"
            late.write_bytes(b"late")
            wait_until(lambda: os.fsencode(late) in daemon.present(), within=SOON)
            drive.unmount()
            if point == "goes":  # as what mounts plugged-in disks for a desktop does
                drive.place.rmdir()
            before, read = below(drive.place, daemon.rows()), hashed(daemon)
            daemon.post("/api/resume")
            (root / "b.mkv").write_bytes(b"of the root as well")
            daemon.sync(walk=True)
            assert below(drive.place, daemon.rows()) == before
            assert hashed(daemon) == read + 1
            assert scanned(daemon, root) == "done"
            assert daemon.get("/api/file", {"path": str(late)})["state"] == "offline"
            assert daemon.said().count("files are known") == 1, "it is looked for again and again"
            drive.mount()
            daemon.sync()
            agrees(daemon, root)
            assert hashed(daemon) == read + 2


def scanned(daemon: Running, root: Path) -> str:
    """How a scan of a root ends."""
    job = daemon.post("/api/scan", {"scan_dirs": [str(root)]})["job"]
    return str(daemon.get(f"/api/jobs/{job}/wait", {"timeout": SOON})["state"])


def test_a_disk_that_is_mounted_at_another_place_brings_its_rows_along(tmp_path: Path) -> None:
    root = tmp_path / "media"
    tree({"a.mkv": b"a"}).under(root)
    with disk(tmp_path / "drive.image", root / "drive") as drive:
        tree(FILMS).under(drive.place)
        with running(tmp_path / "daemon", root) as daemon:
            daemon.sync()
            before, read = ids_of(daemon, drive.place), hashed(daemon)
            drive.unmount()
            daemon.sync(walk=True)
            drive.mount(elsewhere := root / "drives/first")
            daemon.sync(walk=True)
            assert ids_of(daemon, elsewhere) == before
            assert hashed(daemon) == read
            agrees(daemon, root)
            events_arrive(daemon, root, elsewhere / "films/old")
            drive.unmount(place=elsewhere)


def test_a_disk_that_comes_to_another_root_brings_its_rows_along(tmp_path: Path, usb: Disk) -> None:
    root = tmp_path / "media"
    tree({"a.mkv": b"of the root"}).under(root)
    with running(tmp_path / "daemon", root, usb.place) as daemon:
        daemon.sync()
        before, read = ids_of(daemon, usb.place), hashed(daemon)
        usb.unmount()
        wait_until_it_is("offline", daemon, usb.place)
        usb.mount(elsewhere := root / "usb")
        daemon.sync(walk=True)
        assert ids_of(daemon, elsewhere) == before
        assert ids_of(daemon, usb.place) == {}
        assert hashed(daemon) == read
        usb.unmount(place=elsewhere)
        usb.mount()
        wait_until_it_is("online", daemon, usb.place)
        daemon.sync(walk=True)
        assert ids_of(daemon, usb.place) == before
        assert ids_of(daemon, elsewhere) == {}
        assert hashed(daemon) == read
        agrees(daemon, root, usb.place)


@contextmanager
def stopped(daemon: Running) -> Iterator[None]:
    """It stands still; the kernel has seen to that."""
    assert daemon.process is not None
    pid = daemon.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: _stands_still(pid), within=SOON)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _stands_still(pid: int) -> bool:
    return all(
        Path(f"/proc/{pid}/task/{task}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        for task in os.listdir(f"/proc/{pid}/task")
    )
