"""The watching thread's queue, and what could not be watched."""

from __future__ import annotations

import errno
import time

from mediawatchd.watching import limits
from mediawatchd.watching.turns import Add, Check, Drop, Gone, Probe, Rebuild, Retry, Turns
from mediawatchd.watching.unwatched import NAMED_LIMIT, Unwatched


def taken(turns: Turns) -> list[object]:
    turns.put(Gone())
    result = []
    while (turn := turns.wait_next(None)) != Gone():
        result.append(turn)
    return result


def test_turns_come_in_order() -> None:
    turns = Turns()
    order = [Add(b"/a/", "directory_created", closed=False), Drop(b"/a/"), Probe(1)]
    for turn in order:
        turns.put(turn)
    assert taken(turns) == order


def test_too_many_directories_become_one_pass_over_the_root_and_probes_keep_their_place() -> None:
    turns = Turns(limit=4)
    for number in range(3):
        turns.put(Drop(b"/%d/" % number))
    turns.put(Probe(1))
    turns.put(Drop(b"/3/"))
    turns.put(Probe(2))
    turns.put(Drop(b"/4/"))
    assert taken(turns) == [Probe(1), Rebuild("too_many_hints"), Probe(2), Drop(b"/4/")]


def test_a_pass_that_waits_is_enough_for_further_losses() -> None:
    turns = Turns()
    turns.put(Rebuild("overflow"))
    turns.put(Rebuild("overflow"))
    assert taken(turns) == [Rebuild("overflow")]


def test_probes_and_directories_without_end_do_not_pile_up_behind_a_disk_that_hangs() -> None:
    """A probe a minute waited for each day on which the disk did not answer."""
    turns = Turns(limit=4)
    for number in range(100):
        turns.put(Probe(number))
        turns.put(Probe(1000 + number))
        turns.put(Check())
        turns.put(Check())
        turns.put(Drop(b"/%d/" % number))
    waiting = taken(turns)
    assert len(waiting) < 10
    assert Probe(1099) in waiting
    assert Rebuild("too_many_hints") in waiting


def test_a_retry_that_is_due_comes_before_what_waits() -> None:
    turns = Turns()
    turns.put(Probe(1))
    assert turns.wait_next(time.monotonic()) == Retry()
    assert turns.wait_next(time.monotonic() + 60) == Probe(1)


def test_once_stopped_nothing_waits() -> None:
    turns = Turns()
    turns.put(Probe(1))
    turns.stop()
    assert turns.wait_next(None) is None
    assert turns.wait_stopped(60)


def test_what_is_told_is_told_once_and_names_all_that_is_not_watched() -> None:
    unwatched = Unwatched(b"/r/")
    first = unwatched.state(watched=3)
    assert first is not None
    assert (first.kind, first.unwatched, first.message) == ("inotify", (), None)
    assert unwatched.state(watched=4) is None
    unwatched.add(b"/r/a/", errno.ENOSPC, 5)
    unwatched.add(b"/r/b/", errno.EACCES, 1)
    second = unwatched.state(watched=4)
    assert second is not None
    assert (second.kind, second.unwatched, second.unwatched_count) == ("degraded", (b"/r/a/", b"/r/b/"), 6)
    assert unwatched.newly_limited()
    assert not unwatched.newly_limited()
    assert unwatched.drop(b"/r/a/")
    third = unwatched.state(watched=4)
    assert third is not None
    assert (third.kind, third.unwatched_count) == ("inotify", 1)
    assert not unwatched.newly_limited()


def test_too_many_unwatched_directories_are_covered_by_the_root() -> None:
    unwatched = Unwatched(b"/r/")
    for number in range(NAMED_LIMIT + 2):
        unwatched.add(b"/r/%d/" % number, errno.ENOSPC, 1)
    state = unwatched.state(watched=0)
    assert state is not None
    assert (state.unwatched, state.unwatched_count) == ((b"/r/",), NAMED_LIMIT + 2)


def test_the_advised_limit_is_above_what_is_wanted_and_what_there_is() -> None:
    limit = limits.watches_limit()
    assert limit is not None
    name, _, advised = limits.watches_hint(3_000_000).partition("=")
    assert name.startswith("sysctl ")
    assert int(advised) > max(limit, 3_000_000)


def test_the_lost_and_found_of_a_disk_is_no_directory_that_is_missed() -> None:
    # Every root that is an ext4 disk would be degraded for good under a user that is not root.
    unwatched = Unwatched(b"/r/")
    unwatched.add(b"/r/lost+found/", errno.EACCES, 1)
    assert not unwatched
    unwatched.add(b"/r/lost+found/", errno.ENOSPC, 1)
    assert unwatched.directories() == [b"/r/lost+found/"]
