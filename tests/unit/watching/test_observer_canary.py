"""The probe through all readers, and when the daemon asks for it and gives up."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from mediawatchd.watching.canary import Canary, CanarySchedule

if TYPE_CHECKING:
    from pathlib import Path


class Answers(dict[int, str | None]):
    """What was answered, by ticket."""

    def put(self, ticket: int, problem: str | None) -> None:
        assert ticket not in self
        self[ticket] = problem


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def canary(tmp_path: Path, answers: Answers) -> Canary:
    return Canary(directory=os.fsencode(tmp_path), name=b"canary", answer=answers.put)


def join(canary: Canary, *keys: int) -> None:
    for key in keys:
        canary.enter(key)
        canary.join(key)


def test_a_canary_waits_for_every_reader_and_a_sync_for_every_root(canary: Canary, answers: Answers) -> None:
    join(canary, 1, 2)
    canary.ask(10)
    canary.ask(11, {1, 2})
    first, second = canary.names[1], canary.names[0]
    assert canary.passed(1, first) == 1
    assert answers == {}
    assert canary.passed(2, first) == 1
    assert answers == {10: None}
    # Who asked meanwhile shares the next probe.
    assert canary.passed(2, second) == 2
    assert canary.passed(1, second) == 2
    canary.drained(1, 2)
    assert 11 not in answers
    canary.drained(2, 2)
    assert answers == {10: None, 11: None}


def test_each_probe_closes_the_other_file(canary: Canary, tmp_path: Path) -> None:
    join(canary, 1)
    canary.ask(1)
    assert os.listdir(tmp_path) == ["canary-1"]
    canary.passed(1, b"canary-1")
    canary.ask(2)
    assert sorted(os.listdir(tmp_path)) == ["canary-0", "canary-1"]


def test_a_late_event_of_an_older_probe_passes_nothing(canary: Canary, answers: Answers) -> None:
    join(canary, 1)
    canary.ask(1)
    assert canary.passed(1, None) == 1
    canary.ask(2)
    assert canary.passed(1, b"canary-1") is None
    assert canary.passed(1, b"other") is None
    assert 2 not in answers
    assert canary.passed(1, b"canary-0") == 2
    assert canary.passed(1, b"canary-0") is None
    assert answers == {1: None, 2: None}


def test_without_roots_every_answer_comes_at_once(canary: Canary, answers: Answers) -> None:
    canary.ask(1)
    canary.ask(2, {1, 2})
    assert answers == {1: None, 2: None}


def test_a_sync_waits_for_a_root_that_is_being_set_up(canary: Canary, answers: Answers) -> None:
    canary.enter(1)
    canary.ask(1, {1, 2})
    canary.ask(2)
    assert answers == {2: None}
    missed = canary.join(1)
    canary.drained(1, missed)
    assert answers == {1: None, 2: None}


@pytest.mark.parametrize("leave", [Canary.leave, Canary.expel])
def test_nobody_waits_for_a_root_that_left(canary: Canary, answers: Answers, leave: object) -> None:
    join(canary, 1, 2)
    canary.ask(1, {1, 2})
    canary.ask(2)
    canary.passed(1, b"canary-1")
    canary.drained(1, 1)
    assert callable(leave)
    leave(canary, 2)
    canary.passed(1, b"canary-0")
    assert answers == {1: None, 2: None}


def test_a_root_that_was_expelled_does_not_come_back(canary: Canary, answers: Answers) -> None:
    canary.enter(1)
    canary.expel(1)
    join(canary, 1)
    canary.ask(1, {1, 2})
    assert answers == {1: None}


def test_a_directory_that_cannot_be_written_is_the_answer(tmp_path: Path, answers: Answers) -> None:
    canary = Canary(directory=os.fsencode(tmp_path) + b"/none", name=b"canary", answer=answers.put)
    join(canary, 1)
    canary.ask(1)
    canary.ask(2, {1, 2})
    assert set(answers) == {1, 2}
    assert all("cannot be written" in (problem or "") for problem in answers.values())


def test_the_daemon_asks_once_per_interval_and_gives_up_after_the_time_out() -> None:
    now = 100.0
    schedule = CanarySchedule(interval_seconds=60, timeout_seconds=10, clock=lambda: now)
    assert schedule.due()
    schedule.asked(1)
    assert not schedule.due()
    # The first canary of a child has three times as long.
    assert schedule.wait_seconds() == 30
    now = 129.0
    assert not schedule.overdue()
    assert not schedule.answered(2)
    assert schedule.answered(1)
    assert schedule.wait_seconds() == 60
    now = 188.0
    assert not schedule.due()
    now = 189.0
    assert schedule.due()
    assert not schedule.overdue()
    schedule.asked(2)
    now = 198.0
    assert not schedule.overdue()
    now = 199.0
    assert schedule.overdue()
    assert schedule.wait_seconds() == 0
