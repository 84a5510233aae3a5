"""A disk or server that is there and fails in parts: a FUSE file system that refuses some calls, or never answers them.

The first attempt after a failure is made after 0.25 s instead of 60: a factor of 240. Nothing is cached by the server,
so what its source shows is what the daemon sees.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from tests.library import metric
from tests.oracle import quick_hash
from tests.running import running
from tests.served import NEVER, served
from tests.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

WITHIN = 60
SOON = """
from mediawatchd.catalog import outcomes
from mediawatchd.watching import unreadable
outcomes.FIRST_RETRY_NS //= 240
unreadable.FIRST_RETRY_SECONDS /= 240
"""

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="needs /dev/fuse"),
]


@pytest.mark.parametrize(
    ("number", "calls"),
    [(errno.EIO, ("list",)), (errno.ESTALE, ()), (errno.EACCES, ("enter",)), (errno.EIO, ("stat",))],
)
def test_a_folder_that_cannot_be_read_keeps_its_rows_and_is_walked_again(
    tmp_path: Path, number: int, calls: tuple[str, ...]
) -> None:
    source, remote = tmp_path / "source", tmp_path / "remote"
    for name in ("bad/1.mp3", "bad/2.mp3", "bad/below/3.mp3", "good/4.mp3"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(os.fsencode(name))
    with served(source, remote) as server, running(tmp_path / "daemon", remote, first=SOON) as daemon:
        daemon.sync()
        before = daemon.present()
        assert len(before) == 4
        server.refuse("bad", number, *calls)
        (source / "bad/1.mp3").unlink()
        (source / "bad/below/3.mp3").write_bytes(b"other bytes")
        for name in ("bad/5.mp3", "good/6.mp3"):
            (source / name).write_bytes(os.fsencode(name))
        for _ in range(3):
            answer = daemon.sync(walk=True)
            assert (answer["offline"], answer["unreadable"]) == ([], [str(remote / "bad")])
        after = daemon.present()
        assert after.pop(os.fsencode(remote / "good/6.mp3"))["quick_hash"] == quick_hash(bytes(source / "good/6.mp3"))
        assert after == before
        [root] = daemon.status()["roots"]
        assert (root["state"], root["unreadable_directories"]) == ("online", 1)
        [told] = root["unreadable"]
        assert (told["path"], told["reason"]) == (str(remote / "bad"), os.strerror(number))
        assert metric(daemon, f'mediawatchd_unreadable_directories{{root="{remote}"}}') == 1
        shown = daemon.get("/api/file", {"path": str(remote / "bad/1.mp3")})
        assert (shown["state"], shown["since"]) == ("unreadable", told["since"])
        server.allow()
        # No walk is due for a quarter of an hour.
        expected = {
            bytes(remote / path.relative_to(source)): quick_hash(bytes(path)) for path in source.glob("**/*.mp3")
        }
        wait_until(
            lambda: {path: row["quick_hash"] for path, row in daemon.present().items()} == expected,
            within=WITHIN,
            shows=daemon.present,
        )
        wait_until(lambda: daemon.status()["roots"][0]["unreadable"] == [], within=WITHIN)
        assert daemon.get("/api/file", {"path": str(remote / "bad/2.mp3")})["state"] != "unreadable"


def test_a_file_that_cannot_be_read_has_a_problem_and_is_tried_again(tmp_path: Path) -> None:
    source, remote = tmp_path / "source", tmp_path / "remote"
    source.mkdir()
    for name in ("bad.mp3", "good.mp3"):
        (source / name).write_bytes(os.fsencode(name) * 10_000)
    with served(source, remote) as server:
        server.refuse("bad.mp3", errno.EIO, "read")
        with running(tmp_path / "daemon", remote, first=SOON) as daemon:
            bad, good = (os.fsencode(remote / name) for name in ("bad.mp3", "good.mp3"))
            assert daemon.sync()["problems"] > 0
            assert daemon.present()[good]["quick_hash"] == quick_hash(os.fsencode(source / "good.mp3"))
            assert daemon.present()[bad]["quick_hash"] is None
            assert "EIO" in daemon.present()[bad]["problem"]
            told = daemon.get("/api/file", {"path": os.fsdecode(bad)})
            assert (told["state"], told["next"]) == ("problem", "It is tried again.")
            assert told["next_at"] >= told["since"]  # in whole seconds, of which an attempt takes a quarter here
            # Twice more at least, so that it is not the first look that heals it.
            failed = 'mediawatchd_files_processed_total{result="failed"}'
            failures = metric(daemon, failed)
            wait_until(lambda: metric(daemon, failed) >= failures + 2, within=WITHIN)
            server.allow()
            wait_until(lambda: daemon.present()[bad]["quick_hash"], within=WITHIN)
            assert daemon.present()[bad]["quick_hash"] == quick_hash(os.fsencode(source / "bad.mp3"))
            wait_until(lambda: "EIO" not in (daemon.present()[bad]["problem"] or ""), within=WITHIN)


def test_reads_that_never_end_stall_their_own_disk_only(tmp_path: Path) -> None:
    """More such files than there are threads; that disk shows its folders all the while."""
    source, remote, local = tmp_path / "source", tmp_path / "remote", tmp_path / "local"
    source.mkdir()
    local.mkdir()
    for number in range(60):
        (source / f"{number}.mp3").write_bytes(b"%d" % number)
    settings = {"hashing": {"workers": 3}}
    with served(source, remote) as server:
        server.refuse("", NEVER, "read")
        with running(tmp_path / "daemon", local, remote, settings=settings) as daemon:
            wait_until(lambda: len(daemon.present()) == 60, within=WITHIN)
            wait_until(lambda: metric(daemon, 'mediawatchd_workers_busy{pool="hash"}') == 2, within=WITHIN)
            for number in range(40):
                (local / f"{number}.mp3").write_bytes(b"here %d" % number)
            wait_until(lambda: len(daemon.rows("quick_hash IS NOT NULL")) == 40, within=WITHIN)
            assert daemon.status()["catalog"]["pending_quick_hash"] == 60
            assert daemon.stop() == 0
        assert "Traceback" not in daemon.log.read_text()
        server.allow()
        daemon.start()
        daemon.sync()
        assert {path: row["quick_hash"] for path, row in daemon.present().items()} == {
            path: quick_hash(path) for path in daemon.present()
        }
        assert len(daemon.present()) == 100
        assert daemon.stop() == 0
