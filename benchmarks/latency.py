"""How long after a change on disk its row is committed; settling comes later and is left out."""

from __future__ import annotations

import os
import sqlite3
import statistics
import time
from contextlib import closing
from typing import TYPE_CHECKING

from benchmarks.report import Line, at_most

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.daemon import Daemon

LIMIT_MS = 300.0
CHANGES = 50
_PAUSE_SECONDS = 0.2
_LOOK_SECONDS = 0.002
_LOST_SECONDS = 30.0


def run(daemon: Daemon, root: Path) -> Iterator[Line]:
    folder = root / "latency"
    folder.mkdir()
    daemon.sync()
    waits = []
    with closing(sqlite3.connect(f"file:{daemon.database}?mode=ro", uri=True)) as connection:
        for number in range(CHANGES):
            name = b"%d.mkv" % number
            (folder / os.fsdecode(name)).touch()
            changed = time.monotonic()
            while not connection.execute("SELECT 1 FROM media_files WHERE name = ? AND size = 0", (name,)).fetchone():
                if time.monotonic() > changed + _LOST_SECONDS:
                    raise RuntimeError("a change never reached the catalog")
                time.sleep(_LOOK_SECONDS)
            waits.append(1000 * (time.monotonic() - changed))
            time.sleep(_PAUSE_SECONDS)
    yield at_most(
        "change on disk to committed row", statistics.median(waits), LIMIT_MS, "ms", f"slowest {max(waits):.0f} ms"
    )
