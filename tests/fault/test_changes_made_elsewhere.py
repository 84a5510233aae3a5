"""Changes that another machine makes on a server: inotify tells nothing of them, and nothing claims that it does.

The server is a FUSE file system, and its source is written to behind its back. It is walked every 1.2 s instead of
every 15 minutes: a factor of 750.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.library import metric
from tests.oracle import quick_hash
from tests.running import running
from tests.served import served
from tests.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

WITHIN = 60

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="needs /dev/fuse"),
]


def test_a_change_made_elsewhere_is_found_by_a_walk(tmp_path: Path) -> None:
    source, remote, local = tmp_path / "source", tmp_path / "remote", tmp_path / "local"
    (source / "films").mkdir(parents=True)
    local.mkdir()
    # One stays as it is: when a neighbour mounts something, the server is known again by its files alone.
    for name in ("changed", "deleted", "moved", "kept"):
        (source / "films" / f"{name}.mkv").write_bytes(os.fsencode(name))
    settings = {"reconcile": {"network_interval_minutes": 0.02}}
    with served(source, remote), running(tmp_path / "daemon", remote, local, settings=settings) as daemon:
        daemon.sync()
        films = {os.path.basename(path)[:-4].decode(): row for path, row in daemon.present().items()}
        events = metric(daemon, 'mediawatchd_watch_events_total{type="closed"}')
        (source / "films/changed.mkv").write_bytes(b"changed by another machine")
        (source / "films/deleted.mkv").unlink()
        (source / "films/moved.mkv").rename(source / "moved.mkv")
        (source / "films/new.mkv").write_bytes(b"new")
        expected = {
            os.fsencode(remote / name): quick_hash(os.fsencode(source / name))
            for name in ("films/changed.mkv", "moved.mkv", "films/new.mkv", "films/kept.mkv")
        }
        wait_until(
            lambda: {path: row["quick_hash"] for path, row in daemon.present().items()} == expected,
            within=WITHIN,
            shows=daemon.present,
        )
        assert daemon.present()[os.fsencode(remote / "moved.mkv")]["id"] == films["moved"]["id"]
        assert metric(daemon, 'mediawatchd_watch_events_total{type="closed"}') == events
        told = {root["path"]: root["events_reliable"] for root in daemon.status()["roots"]}
        assert told == {str(remote): False, str(local): True}
