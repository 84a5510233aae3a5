"""A database of the older `media_analyzer` layout, taken over by a running daemon: nothing known is computed again.

What is stored is deliberately not what the files would give, so that anything computed again shows.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests import legacy_catalog
from tests.integration.test_library import quick_hash
from tests.running import Running

if TYPE_CHECKING:
    from pathlib import Path

STORED = "ab" * 32


def modified(path: Path) -> str:
    """As the older program wrote it."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat()


def test_an_older_database_is_taken_over(tmp_path: Path) -> None:
    root = tmp_path / "media"
    (root / "films").mkdir(parents=True)
    same, bare, grown, gone = (root / "films" / name for name in ("same.mkv", "bare.mkv", "grown.mkv", "gone.mkv"))
    for path in (same, bare, grown):
        path.write_bytes(os.urandom(70_000))
        os.utime(path, ns=(1_700_000_000_123_456_789, 1_700_000_000_123_456_789))
    rows = [
        legacy_catalog.file(str(same), id=7, file_size=70_000, modified_date=modified(same), quick_hash=STORED),
        legacy_catalog.file(str(bare), id=8, file_size=70_000, modified_date=modified(bare), quick_hash=None),
        legacy_catalog.file(str(grown), id=9, file_size=69_999, modified_date=modified(grown), quick_hash=STORED),
        legacy_catalog.file(str(gone), id=10, quick_hash=STORED),
        legacy_catalog.file("/elsewhere/film.mkv", id=11, quick_hash=STORED),
    ]
    (tmp_path / "daemon").mkdir()
    daemon = Running(tmp_path / "daemon", [root], {}, [])
    daemon.database.parent.mkdir(parents=True)
    legacy_catalog.write(os.fsencode(daemon.database), rows)
    daemon.start()
    try:
        daemon.sync()
        known = {row["id"]: row for row in daemon.rows()}
        assert sorted(known) == [7, 8, 9, 10], "ids survive, and what lies below no root is hidden"
        assert known[7]["quick_hash"] == STORED
        assert known[7]["video_phash"] == legacy_catalog.PHASH
        assert known[7]["duration"] == 60.5
        assert known[7]["problem"] is None, "it is no video: a new probe would have said so"
        assert known[8]["quick_hash"] == quick_hash(bare)
        assert known[8]["duration"] == 60.5
        assert known[8]["problem"] is None
        assert known[8]["video_phash"] == legacy_catalog.PHASH
        assert known[9]["quick_hash"] == quick_hash(grown)
        assert known[9]["video_phash"] is None
        assert known[10]["missing_since"] is not None
        assert known[10]["quick_hash"] == STORED
        with closing(sqlite3.connect(daemon.database)) as connection:
            [kept] = connection.execute("SELECT lower(hex(quick_hash)) FROM media_files WHERE id = 11").fetchall()
        assert kept == (STORED,)
        daemon.stop()
        daemon.start()
        daemon.sync(walk=True)
        assert {row["id"]: row["quick_hash"] for row in daemon.rows()}[7] == STORED
    finally:
        daemon.stop()
