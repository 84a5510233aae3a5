from __future__ import annotations

import pytest

from mediawatchd.watching import hints
from mediawatchd.watching.hints import Hints


class Bench:
    def __init__(self) -> None:
        self.now = 100.0
        self.woken = 0
        self.hints = Hints(wake=self._wake, clock=lambda: self.now)

    def _wake(self) -> None:
        self.woken += 1


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_hints_of_a_directory_are_taken_together(bench: Bench) -> None:
    bench.hints.add(b"/m/a/", b"1.mkv", closed=True)
    bench.hints.add(b"/m/a/", b"2.mkv")
    bench.hints.add(b"/m/b/", b"3.mkv")
    batch = bench.hints.take()
    assert batch.names == {b"/m/a/": {b"1.mkv": True, b"2.mkv": False}, b"/m/b/": {b"3.mkv": False}}
    assert (batch.walks, batch.everything) == ((), False)
    assert bench.woken == 3
    assert bench.hints.take().names == {}


def test_a_name_stays_closed_when_another_hint_follows(bench: Bench) -> None:
    bench.hints.add(b"/m/", b"a.mkv", closed=True)
    bench.hints.add(b"/m/", b"a.mkv")
    assert bench.hints.take().names == {b"/m/": {b"a.mkv": True}}


def test_the_directory_itself_means_a_walk_whatever_names_come_with_it(bench: Bench) -> None:
    bench.hints.add(b"/m/a/", b"1.mkv")
    bench.hints.add(b"/m/a/", None)
    bench.hints.add(b"/m/a/", b"2.mkv")
    batch = bench.hints.take()
    assert (batch.names, batch.walks) == ({}, (b"/m/a/",))


def test_too_many_names_become_a_walk_of_their_directory(bench: Bench) -> None:
    for number in range(hints.NAMES_PER_DIRECTORY):
        bench.hints.add(b"/m/", b"%d.mkv" % number)
    assert bench.hints.take().walks == ()
    for number in range(hints.NAMES_PER_DIRECTORY + 1):
        bench.hints.add(b"/m/", b"%d.mkv" % number)
    batch = bench.hints.take()
    assert (batch.names, batch.walks, batch.everything) == ({}, (b"/m/",), False)


def test_too_many_directories_become_a_walk_of_the_root(bench: Bench) -> None:
    for number in range(hints.DIRECTORIES + 1):
        bench.hints.add(b"/m/%d/" % number, b"a.mkv")
    assert len(bench.hints) == 0  # memory is bounded
    bench.hints.add(b"/m/more/", b"a.mkv")
    assert bench.hints.due_seconds() == 0.0
    batch = bench.hints.take()
    assert batch.everything
    assert (batch.names, batch.walks) == ({}, ())
    assert not bench.hints.take().everything


def test_every_hint_counts_also_those_that_are_swallowed(bench: Bench) -> None:
    assert bench.hints.mark() == 0
    for number in range(hints.DIRECTORIES + 5):
        bench.hints.add(b"/m/%d/" % number, b"a.mkv")
    assert bench.hints.mark() == hints.DIRECTORIES + 5
    assert bench.hints.take().mark == hints.DIRECTORIES + 5
    bench.hints.count()
    assert bench.hints.mark() == hints.DIRECTORIES + 6


def test_a_later_look_is_due_after_its_time(bench: Bench) -> None:
    bench.hints.add_later(b"/m/", b"a.mkv", 10.0)
    assert bench.hints.due_seconds() == 10.0
    bench.now += 9.5
    assert bench.hints.due_seconds() == 0.5
    assert bench.hints.take().names == {}
    bench.now += 0.5
    assert bench.hints.take().names == {b"/m/": {b"a.mkv": False}}
    assert bench.hints.due_seconds() is None


def test_later_looks_at_a_directory_are_made_together_when_the_first_is_due(bench: Bench) -> None:
    bench.hints.add_later(b"/m/", b"a.mkv", 10.0)
    bench.hints.add_later(b"/m/", b"b.mkv", 2.0)
    bench.hints.add_later(b"/other/", None, 30.0)
    bench.now += 2.0
    assert bench.hints.take().names == {b"/m/": {b"a.mkv": False, b"b.mkv": False}}
    bench.now += 28.0
    assert bench.hints.take().walks == (b"/other/",)


def test_a_later_look_that_meets_a_fresh_hint_keeps_that_it_was_closed(bench: Bench) -> None:
    bench.hints.add_later(b"/m/", b"a.mkv", 1.0)
    bench.hints.add(b"/m/", b"a.mkv", closed=True)
    bench.now += 1.0
    assert bench.hints.take().names == {b"/m/": {b"a.mkv": True}}


def test_too_many_later_looks_become_a_walk_of_the_root_when_the_first_is_due(bench: Bench) -> None:
    for number in range(hints.DIRECTORIES + 1):
        bench.hints.add_later(b"/m/%d/" % number, b"a.mkv", 5.0 + number)
    assert len(bench.hints) == 1
    assert not bench.hints.take().everything
    bench.now += 5.0
    assert bench.hints.take().everything


def test_fresh_hints_are_due_at_once_and_none_is_no_time(bench: Bench) -> None:
    assert bench.hints.due_seconds() is None
    bench.hints.add_later(b"/m/", b"a.mkv", 60.0)
    bench.hints.add(b"/m/b/", b"x.mkv")
    assert bench.hints.due_seconds() == 0.0


def test_an_overdue_look_is_not_a_negative_wait(bench: Bench) -> None:
    bench.hints.add_later(b"/m/", b"a.mkv", 1.0)
    bench.now += 50.0
    assert bench.hints.due_seconds() == 0.0


def test_all_can_be_forgotten_but_not_that_it_came(bench: Bench) -> None:
    bench.hints.add(b"/m/", b"a.mkv")
    bench.hints.add_later(b"/m/", b"b.mkv", 0.0)
    bench.hints.clear()
    batch = bench.hints.take()
    assert (batch.names, batch.walks, batch.everything, batch.mark) == ({}, (), False, 1)


def test_too_many_names_in_all_become_walks_of_their_directories(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "NAMES", 6)
    for directory in (b"/m/a/", b"/m/b/"):
        for number in range(3):
            bench.hints.add(directory, b"%d.mkv" % number)
    bench.hints.add(b"/m/a/", b"3.mkv")
    # What the walk freed is for others.
    bench.hints.add(b"/m/c/", b"1.mkv")
    bench.hints.add_later(b"/m/d/", b"1.mkv", 1.0)
    bench.hints.add_later(b"/m/d/", b"2.mkv", 1.0)
    bench.hints.add_later(b"/m/d/", b"3.mkv", 1.0)
    batch = bench.hints.take()
    assert (set(batch.names), batch.walks) == ({b"/m/b/", b"/m/c/"}, (b"/m/a/",))
    bench.now += 1.0
    assert bench.hints.take().walks == (b"/m/d/",)
    # Nothing is counted that is not there any more.
    for number in range(6):
        bench.hints.add_later(b"/m/a/", b"%d.mkv" % number, 1.0)
    bench.now += 1.0
    assert len(bench.hints.take().names[b"/m/a/"]) == 6
    bench.hints.add(b"/m/a/", b"1.mkv")
    bench.hints.clear()
    for number in range(6):
        bench.hints.add(b"/m/a/", b"%d.mkv" % number)
    assert len(bench.hints.take().names[b"/m/a/"]) == 6
