"""What belongs to both kinds of work."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

from mediawatchd.catalog.database import Database
from mediawatchd.config import Hashing
from mediawatchd.hashing.attempt import attempt
from mediawatchd.hashing.decoding import DecodePool
from mediawatchd.model import (
    FINGERPRINT,
    LIVE,
    PHASH,
    PROBE,
    QUICK_HASH,
    Changed,
    Hashed,
    PerceptuallyHashed,
    Probe,
    Probed,
    Stamp,
    Task,
)
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
    works: list[tuple[object, ...]] = []
    monkeypatch.setattr(DecodePool, "submit", lambda _pool, task, *work: works.append((task.lacks, *work)))
    with idle_workers(tmp_path, video_phash=video_phash) as workers:
        workers.decoders.start()
        workers.queues[PHASH].offer([TASK._replace(lacks=FINGERPRINT)])
        wait_until(lambda: works, within=60)
        assert workers.decoders.stop(60)
    assert works == [(FINGERPRINT, attempt, video_phash)]


def test_a_file_that_was_hashed_stays_with_the_worker_that_probes_it(tmp_path: Path) -> None:
    """It was offered to a second one, and the first to end found its task gone: the daemon ended."""
    with idle_workers(tmp_path) as workers:
        for kind in (PROBE, QUICK_HASH):
            assert workers.queues[kind].offer([TASK]) == 1
            assert workers.queues[kind].take(1) == [TASK]
        workers.queues[QUICK_HASH].done(TASK.filesystem_id)
        outcome = Hashed(TASK.file_id, STAMP, bytes(32), 1)
        workers.hashers._deliver([outcome])
        workers.release([outcome])
        assert may_be_offered(workers, QUICK_HASH)
        assert not may_be_offered(workers, PROBE)


def test_the_commit_of_a_probe_leaves_the_hashes_that_wait_for_theirs(tmp_path: Path) -> None:
    """The film was hashed twice when its hashes were there before its probe was committed."""
    with idle_workers(tmp_path) as workers:
        assert workers.queues[PROBE].offer([TASK]) == 1
        assert workers.queues[PROBE].take(1) == [TASK]
        assert workers.queues[PHASH].take_along(TASK)
        probed = Probed(TASK.file_id, STAMP, Probe(None, None, None, None, None, None))
        hashed = PerceptuallyHashed(TASK.file_id, STAMP, PHASH, None, None)
        workers.decoders._deliver(PROBE, [probed])
        workers.decoders._deliver(PHASH, [hashed])
        workers.release([probed])
        assert may_be_offered(workers, PROBE)
        assert not may_be_offered(workers, PHASH)
        workers.release([hashed])
        assert may_be_offered(workers, PHASH)


def test_an_outcome_that_ends_work_of_two_kinds_releases_both(tmp_path: Path) -> None:
    with idle_workers(tmp_path) as workers:
        workers.queues[PROBE].offer([TASK])
        workers.queues[PHASH].take_along(TASK)
        changed = Changed(TASK.file_id, STAMP, TASK.path, None)
        workers.decoders._deliver(PROBE | PHASH, [changed])
        assert not may_be_offered(workers, PHASH)
        workers.release([changed])
        assert may_be_offered(workers, PROBE)
        assert may_be_offered(workers, PHASH)


def may_be_offered(workers: Workers, kind: int) -> bool:
    """As the feeder does it, who has read the row after the last commit."""
    workers.queues[kind].look()
    return workers.queues[kind].offer([TASK]) == 1
