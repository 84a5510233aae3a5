from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from mediawatchd.catalog import jobs as rows
from mediawatchd.errors import Refused
from mediawatchd.work.jobs import Jobs
from tests.parts import MEDIA, WITHIN, catalog
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mediawatchd.catalog.jobs import JobRow, Scope
    from tests.parts import Parts


class FakeWalked:
    def __init__(self, current: bytes) -> None:
        self.current = current


class FakeWalk:
    """A walk that ends when the test says so."""

    def __init__(self, path: bytes, is_cancelled: Callable[[], bool]) -> None:
        self.path = path
        self.is_cancelled = is_cancelled
        self.done = threading.Event()
        self.error: str | None = None
        self.walked = FakeWalked(path + b"somewhere/")

    def end(self, error: str | None = None) -> None:
        self.error = error
        self.done.set()


class Bench:
    """Jobs over a real catalog, with walks in the hands of the test."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.walks: list[FakeWalk] = []
        self.walked_at_once = False
        self.roots: tuple[bytes, ...] = (MEDIA,)
        self.jobs = Jobs(
            database=parts.database,
            writer=parts.writer,
            clock=parts.database.clock,
            online=lambda: parts.online,
            walk=self._walk,
            current_file=lambda: b"/media/read.mkv",
        )
        parts.listeners.append(lambda _committed: self.jobs.committed())

    def _walk(self, scope: Scope, is_cancelled: Callable[[], bool]) -> list[FakeWalk]:
        walks = [FakeWalk(path, is_cancelled) for path in scope if path.startswith(self.roots)]
        self.walks += walks
        if self.walked_at_once:
            for walk in walks:
                walk.end()
        return walks

    def start(self, *scope: bytes) -> JobRow:
        """A scan that has asked for its walks."""
        asked = len(self.walks)
        row = self.jobs.start_scan(scope or (MEDIA,))
        wait_until(lambda: len(self.walks) > asked, within=WITHIN)
        return row

    def state(self, job: JobRow) -> str:
        return self.jobs.status(job.id).row.state

    def stored(self, job: JobRow) -> JobRow:
        with self.parts.database.reader() as connection:
            row = rows.job(connection, job.id)
        assert row is not None
        return row

    def ended(self, job: JobRow) -> JobRow:
        return self.jobs.wait(job.id, WITHIN).row


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    with catalog(folder) as parts:
        made = Bench(parts)
        made.jobs.start()
        try:
            yield made
        finally:
            assert made.jobs.stop(WITHIN)


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path) as made:
        yield made


def test_starting_a_job_waits_for_a_writer_that_tells_the_jobs_of_each_commit(one: Bench) -> None:
    # It held the lock that the writer takes at each commit, and both stood still.
    starting = ThreadPoolExecutor(1).submit(one.jobs.start_scan, (MEDIA,))
    assert starting.result(WITHIN).state == "queued"


def test_exactly_one_of_many_simultaneous_starts_wins(one: Bench) -> None:
    together = threading.Barrier(8)

    def start(_number: int) -> int | Refused:
        together.wait(WITHIN)
        try:
            return one.jobs.start_scan((MEDIA,)).id
        except Refused as refusal:
            return refusal

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(start, range(8)))
    winners = [answer for answer in answers if isinstance(answer, int)]
    refusals = [answer for answer in answers if isinstance(answer, Refused)]
    assert len(winners) == 1
    assert len(refusals) == 7
    for refusal in refusals:
        assert (refusal.status, refusal.code, refusal.detail["job"]) == (409, "already_running", winners[0])
        assert refusal.detail["progress"]["id"] == winners[0]
