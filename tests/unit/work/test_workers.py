"""What belongs to both kinds of work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from mediawatchd.catalog.database import Database
from mediawatchd.config import Hashing
from mediawatchd.model import LIVE, PROBE, QUICK_HASH, Hashed, Stamp, Task
from mediawatchd.telemetry.heartbeat import Heartbeats
from mediawatchd.work.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mediawatchd.model import Outcome

STAMP = Stamp(1, 2, 3, 4, 1)
TASK = Task(19, b"/media/film.mkv", STAMP, "video", QUICK_HASH | PROBE, 1, 1, LIVE)


class Writer:
    """Takes outcomes and never commits them."""

    def outcomes(self, outcomes: Sequence[Outcome]) -> None:
        pass


def test_a_file_that_was_hashed_stays_with_the_worker_that_probes_it(tmp_path: Path) -> None:
    """It was offered to a second one, and the first to end found its task gone: the daemon ended."""
    database = Database(tmp_path / "catalog.db")
    database.open()
    workers = Workers(
        settings=Hashing(workers=1, decoders=1),
        database=database,
        writer=cast("Any", Writer()),
        online=frozenset,
        away=frozenset,
        heartbeats=Heartbeats(),
    )
    for kind in (PROBE, QUICK_HASH):
        assert workers.queues[kind].offer([TASK]) == 1
        assert workers.queues[kind].take(1) == [TASK]
    workers.queues[QUICK_HASH].done(TASK.filesystem_id)
    workers.hashers._deliver([Hashed(TASK.file_id, STAMP, bytes(32), 1)])
    workers.release([TASK.file_id])
    workers.queues[QUICK_HASH].look()
    assert workers.queues[QUICK_HASH].offer([TASK]) == 1
    assert workers.queues[PROBE].offer([TASK]) == 0
    database.close()
