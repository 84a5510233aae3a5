"""A pool of decode processes whose outcomes are kept."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from mediawatchd.hashing.decoding import DecodePool
from mediawatchd.hashing.descriptor import stamp_of
from mediawatchd.model import PROBE, Failed, Outcome, Task
from tests.misbehaviour import attempts
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


PATIENCE = 60  # seconds; starting a process takes a few tenths of one on an idle machine


class Decoding:
    """A pool whose outcomes are kept."""

    def __init__(self, folder: Path, **settings: float) -> None:
        self.outcomes: list[Outcome] = []
        self.lasts: list[bool] = []
        self._folder = folder
        chosen = {"workers": 1, "timeout_seconds": PATIENCE, "memory_mb": 512} | settings
        self.pool = DecodePool(deliver=self._deliver, **chosen)
        self.pool.start()

    def _deliver(self, outcome: Outcome, is_last: bool) -> None:
        self.outcomes.append(outcome)
        self.lasts.append(is_last)

    def task(self, number: int, path: bytes | None = None, lacks: int = PROBE) -> Task:
        if path is None:
            path = os.fsencode(self._folder / f"{number}.mkv")
            with open(path, "wb"):
                pass
        stamp = stamp_of(os.lstat(path))
        assert stamp is not None
        return Task(number, path, stamp, "video", lacks, 1, 1, 0)

    def submit(self, task: Task, function: Callable[..., Outcome], *arguments: object) -> Task:
        self.pool.submit(task, function, *arguments)
        return task

    def outcome(self, function: Callable[..., Outcome], *arguments: object, number: int = 1) -> tuple[Task, Outcome]:
        task = self.submit(self.task(number), function, *arguments)
        return task, self.outcome_of(task)

    def outcome_of(self, task: Task) -> Outcome:
        return wait_until(
            lambda: next((o for o in self.outcomes if o.file_id == task.file_id), None),
            within=PATIENCE,
            shows=self.pool.statistics,
        )

    def started(self, task: Task) -> int:
        """Wait until the task is being worked on; the process that does."""
        return wait_until(lambda: attempts(task.path), within=PATIENCE, shows=self.pool.statistics)[-1]


@pytest.fixture
def decoding_with(tmp_path: Path) -> Iterator[Callable[..., Decoding]]:
    made: list[Decoding] = []

    def make(**settings: float) -> Decoding:
        made.append(Decoding(tmp_path, **settings))
        return made[-1]

    yield make
    for one in made:
        assert one.pool.stop(10)


def problem(outcome: Outcome) -> tuple[str, bool]:
    assert isinstance(outcome, Failed), outcome
    return outcome.problem.reason, outcome.final
