"""A library from its first scan on: what is found, what is known of it, and that nothing is done twice."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from tests.running import running

if TYPE_CHECKING:
    from pathlib import Path


def quick_hash(path: Path) -> str:
    """The contract, written a second time."""
    data = path.read_bytes()
    tail = data[max(65_536, len(data) - 65_536) :]
    return hashlib.sha256(len(data).to_bytes(8, "little") + data[:65_536] + tail).hexdigest()


def test_files_are_found_hashed_and_forgotten(tmp_path: Path) -> None:
    root = tmp_path / "media"
    (root / "films").mkdir(parents=True)
    for name, size in [("a.mkv", 3), ("b.mp4", 70_000), ("c.avi", 200_000), ("d.flac", 65_536)]:
        (root / "films" / name).write_bytes(os.urandom(size))
    (root / "films" / "notes.txt").write_text("not media")
    with running(tmp_path / "daemon", root) as daemon:
        daemon.sync()
        present = daemon.present()
        files = {os.fsencode(path): quick_hash(path) for path in root.rglob("*.*") if path.suffix != ".txt"}
        assert {path: row["quick_hash"] for path, row in present.items()} == files
        (root / "films" / "a.mkv").unlink()
        (root / "films" / "new.mkv").write_bytes(b"x" * 100_000)
        daemon.sync()
        present = daemon.present()
        assert os.fsencode(root / "films" / "new.mkv") in present
        assert os.fsencode(root / "films" / "a.mkv") not in present
        [gone] = daemon.rows("missing_since IS NOT NULL")
        assert gone["file_path"] == os.fsencode(root / "films" / "a.mkv")
        assert daemon.stop() == 0


def test_a_folder_renamed_to_an_ignored_name_while_the_daemon_was_down_leaves_the_library(tmp_path: Path) -> None:
    root = tmp_path / "media"
    (root / "show").mkdir(parents=True)
    (root / "show" / "a.mkv").write_bytes(b"x" * 1000)
    with running(tmp_path / "daemon", root, settings={"missing": {"hold_share": None}}) as daemon:
        daemon.sync()
        [before] = daemon.rows()
        assert daemon.stop() == 0
        (root / "show").rename(root / "_UNPACK_show")
        daemon.start()
        daemon.sync()
        assert daemon.present() == {}
        (root / "_UNPACK_show").rename(root / "show")
        daemon.sync()
        [after] = daemon.present().values()
        assert (after["id"], after["quick_hash"]) == (before["id"], before["quick_hash"])
