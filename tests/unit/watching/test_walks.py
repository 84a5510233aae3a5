from __future__ import annotations

import pytest

from mediawatchd.watching import walks
from mediawatchd.watching.walks import HINT, WalkRequest, Walks


class Bench:
    def __init__(self) -> None:
        self.woken = 0
        self.walks = Walks(root=b"/m/", wake=self._wake)

    def _wake(self) -> None:
        self.woken += 1

    def paths(self, *, paused: bool = False) -> list[bytes]:
        """All that wait, in the order they are taken."""
        taken = []
        while (request := self.walks.take(paused=paused)) is not None:
            taken.append(request.path)
        return taken


@pytest.fixture
def bench() -> Bench:
    return Bench()


def job(path: bytes) -> WalkRequest:
    return WalkRequest(path, "job", is_job=True)


def test_walks_are_taken_one_at_a_time_in_turn(bench: Bench) -> None:
    bench.walks.ask(WalkRequest(b"/m/", "start"))
    bench.walks.ask(WalkRequest(b"/m/a/", "unwatched"))
    assert bench.woken == 2
    assert bench.paths() == [b"/m/", b"/m/a/"]


def test_what_a_person_or_a_hint_asked_for_goes_first(bench: Bench) -> None:
    bench.walks.ask(WalkRequest(b"/m/", "periodic"))
    bench.walks.ask(job(b"/m/a/"))
    assert bench.paths() == [b"/m/a/", b"/m/"]
    bench.walks.ask(WalkRequest(b"/m/", "periodic"))
    bench.walks.ask(WalkRequest(b"/m/b/", HINT))
    assert bench.paths() == [b"/m/b/", b"/m/"]


def test_a_walk_that_waits_serves_all_who_ask_for_it_but_a_job_has_its_own(bench: Bench) -> None:
    first = bench.walks.ask(WalkRequest(b"/m/", "periodic", 5))
    assert bench.walks.ask(WalkRequest(b"/m/", "sync", 9)) is first
    assert first.mark == 5
    persons = job(b"/m/")
    assert bench.walks.ask(persons) is persons
    assert bench.walks.ask(job(b"/m/")) is not persons
    assert bench.paths() == [b"/m/", b"/m/", b"/m/"]


def test_nobody_is_served_by_a_job_that_may_be_cancelled(bench: Bench) -> None:
    persons = bench.walks.ask(job(b"/m/"))
    assert bench.walks.ask(WalkRequest(b"/m/", "sync")) is not persons


def test_while_paused_only_hinted_walks_are_made(bench: Bench) -> None:
    bench.walks.ask(job(b"/m/"))
    bench.walks.ask(WalkRequest(b"/m/a/", HINT))
    assert bench.paths(paused=True) == [b"/m/a/"]
    assert bench.paths() == [b"/m/"]


def test_a_walk_that_was_put_back_comes_first(bench: Bench) -> None:
    bench.walks.ask(WalkRequest(b"/m/", "periodic"))
    interrupted = job(b"/m/a/")
    bench.walks.put_back(interrupted)
    assert bench.walks.take(paused=False) is interrupted
    assert not interrupted.done.is_set()


def test_refusing_ends_all_with_the_reason(bench: Bench) -> None:
    requests = [bench.walks.ask(job(b"/m/")), bench.walks.ask(WalkRequest(b"/m/a/", HINT))]
    bench.walks.refuse("offline: gone")
    assert all(request.done.is_set() and request.error == "offline: gone" for request in requests)
    assert bench.paths() == []
    later = bench.walks.ask(job(b"/m/"))
    assert not later.done.is_set()


def test_what_waits_at_the_end_is_handed_over_and_what_comes_later_is_ended(bench: Bench) -> None:
    waiting = bench.walks.ask(job(b"/m/"))
    assert bench.walks.close() == [waiting]
    assert not waiting.done.is_set()
    late, put_back = bench.walks.ask(job(b"/m/")), job(b"/m/a/")
    bench.walks.put_back(put_back)
    for request in (late, put_back):
        assert request.done.is_set()
        assert request.error == "the root is no longer looked after"
    assert bench.paths() == []


def test_the_oldest_mark_is_that_of_what_can_be_waited_for(bench: Bench) -> None:
    assert bench.walks.first_mark(paused=False) is None
    bench.walks.ask(WalkRequest(b"/m/", "periodic", 3))
    bench.walks.ask(WalkRequest(b"/m/a/", HINT, 7))
    assert bench.walks.first_mark(paused=False) == 3
    assert bench.walks.first_mark(paused=True) == 7


def test_too_many_hinted_walks_become_one_of_the_root(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walks, "HINTED", 3)
    waiting = [bench.walks.ask(WalkRequest(b"/m/%d/" % number, HINT, 10 + number)) for number in range(3)]
    bench.walks.ask(job(b"/m/a/"))
    # One that waits already is no new one.
    assert bench.walks.ask(WalkRequest(b"/m/1/", HINT, 14)) is waiting[1]
    whole = bench.walks.ask(WalkRequest(b"/m/3/", HINT, 15))
    assert (whole.path, whole.cause, whole.mark) == (b"/m/", "too_many_hints", 10)
    assert all(each.done.is_set() for each in waiting)
    assert bench.walks.first_mark(paused=False) == 0
    assert bench.paths() == [b"/m/a/", b"/m/"]


def test_hints_without_end_ask_for_one_walk_of_the_root(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thousand of them asked for one more: a tree of 100,000 new folders was walked for an hour."""
    monkeypatch.setattr(walks, "HINTED", 3)
    periodic = bench.walks.ask(WalkRequest(b"/m/", "periodic", 50))
    for number in range(40):
        bench.walks.ask(WalkRequest(b"/m/%d/" % number, HINT, 10 + number))
    # Who waits for the oldest of them waits for that walk.
    assert periodic.mark == 10
    assert len(bench.paths()) <= 4
