"""A probe that is told before the hashes are made, by processes that crash and hang after it."""

from __future__ import annotations

import contextlib
import pickle
import time
from typing import TYPE_CHECKING

from mediawatchd.model import PHASH, PROBE, Failed, PerceptuallyHashed, Probed
from tests import misbehaviour
from tests.decoding import PATIENCE, Decoding, decoding_with, problem
from tests.misbehaviour import attempts
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["decoding_with"]


def counted(pool: Decoding) -> dict[int, int]:
    """How many durations of each kind were counted."""
    return {kind: sum(durations.counts) for kind, durations in pool.pool.statistics().durations.items()}


def test_a_probe_that_was_told_is_delivered_while_the_file_is_hashed_and_kept(
    decoding_with: Callable[..., Decoding],
) -> None:
    pool = decoding_with()
    task = pool.submit(pool.task(1, lacks=PROBE | PHASH), misbehaviour.tell_and_hang)
    assert pool.outcome_of(task) == Probed(1, task.stamp, misbehaviour.LONGEST)
    assert pool.pool.statistics()[:2] == (0, 1)
    assert pool.lasts == [False]
    assert pool.pool.cancel(lambda task: task.file_id == 1) == [task._replace(lacks=PHASH)]


def test_a_decoder_that_crashes_on_the_pictures_has_told_the_probe_and_is_tried_at_them_alone(
    decoding_with: Callable[..., Decoding],
) -> None:
    pool = decoding_with()
    task = pool.submit(pool.task(1, lacks=PROBE | PHASH), misbehaviour.tell_and_die)
    wait_until(lambda: True in pool.lasts, within=PATIENCE, shows=pool.pool.statistics)
    probed, failed = pool.outcomes
    assert probed == Probed(1, task.stamp, misbehaviour.NOTHING)
    assert (failed.lacks, problem(failed)) == (PHASH, ("crash", True))
    assert len(attempts(task.path)) == 2
    assert counted(pool) == {PROBE: 1, PHASH: 1}


def test_a_crash_before_the_probe_was_told_is_no_attempt_at_the_pictures(
    decoding_with: Callable[..., Decoding],
) -> None:
    pool = decoding_with()
    task = pool.submit(pool.task(1, lacks=PROBE | PHASH), misbehaviour.tell_and_die, 1)
    wait_until(lambda: True in pool.lasts, within=PATIENCE, shows=pool.pool.statistics)
    assert [type(outcome) for outcome in pool.outcomes] == [Probed, Failed]
    assert len(attempts(task.path)) == 3


def test_what_is_told_at_the_end_is_delivered_before_the_end(decoding_with: Callable[..., Decoding]) -> None:
    pool = decoding_with()
    for number in range(1, 9):
        pool.submit(pool.task(number, lacks=PROBE | PHASH), misbehaviour.tell_and_hash)
    wait_until(lambda: pool.lasts.count(True) == 8, within=PATIENCE, shows=pool.pool.statistics)
    assert [type(outcome) for outcome in pool.outcomes] == [Probed, PerceptuallyHashed] * 8
    assert counted(pool) == {PROBE: 8, PHASH: 8}


def test_the_hashes_have_as_much_time_as_the_probe_had(decoding_with: Callable[..., Decoding]) -> None:
    pool = decoding_with(timeout_seconds=3)
    began = time.monotonic()
    pool.submit(pool.task(1, lacks=PROBE | PHASH), misbehaviour.tell_and_hang, 2)
    wait_until(lambda: True in pool.lasts, within=PATIENCE, shows=pool.pool.statistics)
    assert time.monotonic() > began + 5
    assert [type(outcome) for outcome in pool.outcomes] == [Probed, Failed]


def test_what_was_told_of_a_withdrawn_attempt_is_not_taken_for_the_next_one_of_the_file(
    decoding_with: Callable[..., Decoding],
) -> None:
    """It is killed some moments later, and the file may have been given out again, for its probe alone."""
    pool = decoding_with(workers=2)
    task = pool.task(1, lacks=PROBE)
    pool.submit(task, misbehaviour.hang)
    pool.started(task)
    pool.pool.submit(task._replace(file_id=2, lacks=PROBE | PHASH), misbehaviour.tell_and_hang)
    wait_until(lambda: pool.lasts, within=PATIENCE, shows=pool.pool.statistics)
    pool.pool._receiver.sender.send(pickle.dumps(Probed(1, task.stamp, misbehaviour.NOTHING)))
    with contextlib.suppress(AssertionError):
        wait_until(lambda: len(pool.outcomes) > 1, within=0.5)
    assert [outcome.file_id for outcome in pool.outcomes] == [2]


def test_a_decoder_that_hangs_before_the_probe_is_told_has_failed_at_that(
    decoding_with: Callable[..., Decoding],
) -> None:
    pool = decoding_with(timeout_seconds=1)
    failed = pool.outcome_of(pool.submit(pool.task(1, lacks=PROBE | PHASH), misbehaviour.hang))
    assert (failed.lacks, problem(failed)) == (PROBE, ("timeout", True))
