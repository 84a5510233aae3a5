"""What belongs to both kinds of work."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

from mediawatchd.catalog.database import Database
from mediawatchd.config import Hashing
from mediawatchd.hashing.decoding import DecodePool, Work
from mediawatchd.model import FINGERPRINT, LIVE, PHASH, PROBE, QUICK_HASH, Hashed, Stamp, Task
from mediawatchd.telemetry.heartbeat import Heartbeats
from mediawatchd.work.workers import Workers
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mediawatchd.model import Outcome

STAMP = Stamp(1, 2, 3, 4, 1)
TASK = Task(19, b"/media/film.mkv", STAMP, "video", QUICK_HASH | PROBE, 1, 1, LIVE)


class Writer:
    """Takes outcomes and never commits them."""

    def outcomes(self, outcomes: Sequence[Outcome]) -> None:
        pass


@contextmanager
def idle_workers(folder: Path, **hashing: bool) -> Iterator[Workers]:
    database = Database(folder / "catalog.db")
    database.open()
    yield Workers(
        settings=Hashing(workers=1, decoders=1, **hashing),
        database=database,
        writer=cast("Any", Writer()),
        online=frozenset,
        away=frozenset,
        heartbeats=Heartbeats(),
    )
    database.close()


@pytest.mark.parametrize("video_phash", [True, False])
def test_exact_frames_are_decoded_only_where_the_string_is_wanted_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, video_phash: bool
) -> None:
    works: list[Work] = []
    monkeypatch.setattr(DecodePool, "submit", lambda _pool, _task, work: works.append(work))
    with idle_workers(tmp_path, video_phash=video_phash) as workers:
        workers.decoders.start()
        workers.queues[PHASH].offer([TASK._replace(lacks=FINGERPRINT)])
        wait_until(lambda: works, within=60)
        assert workers.decoders.stop(60)
    assert [work.arguments for work in works] == [(FINGERPRINT, video_phash)]


def test_a_file_that_was_hashed_stays_with_the_worker_that_probes_it(tmp_path: Path) -> None:
    """It was offered to a second one, and the first to end found its task gone: the daemon ended."""
    with idle_workers(tmp_path) as workers:
        for kind in (PROBE, QUICK_HASH):
            assert workers.queues[kind].offer([TASK]) == 1
            assert workers.queues[kind].take(1) == [TASK]
        workers.queues[QUICK_HASH].done(TASK.filesystem_id)
        workers.hashers._deliver([Hashed(TASK.file_id, STAMP, bytes(32), 1)])
        workers.release([TASK.file_id])
        workers.queues[QUICK_HASH].look()
        assert workers.queues[QUICK_HASH].offer([TASK]) == 1
        assert workers.queues[PROBE].offer([TASK]) == 0
