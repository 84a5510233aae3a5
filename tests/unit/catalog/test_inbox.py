"""The writer's queue: who waits for what, and when it ends."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from mediawatchd.catalog.inbox import Inbox
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

WITHIN = 20


class Aside:
    """A function on a thread of its own."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.result: object = None
        self.done = threading.Event()
        self._function = function
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        self.result = self._function()
        self.done.set()

    def answer(self) -> object:
        assert self.done.wait(WITHIN)
        return self.result


def take(inbox: Inbox[str], weight: int = 100) -> list[str] | None:
    return inbox.take(weight=weight, linger_seconds=0, timeout_seconds=0)


def test_what_is_put_is_taken_in_order() -> None:
    inbox: Inbox[str] = Inbox(capacity=10)
    assert inbox.put("a", 1)
    assert inbox.put("b", 2)
    assert inbox.statistics()[:2] == (3, 10)
    assert take(inbox) == ["a", "b"]
    assert inbox.statistics()[:2] == (0, 10)


def test_an_empty_one_gives_nothing_after_the_time_out() -> None:
    assert take(Inbox(capacity=10)) == []


def test_a_batch_ends_when_it_is_heavy_enough() -> None:
    inbox: Inbox[str] = Inbox(capacity=100)
    for name in "abcd":
        inbox.put(name, 5)
    assert take(inbox, weight=8) == ["a", "b"]
    assert take(inbox, weight=8) == ["c", "d"]


def test_a_message_heavier_than_a_batch_is_taken_whole_and_alone() -> None:
    inbox: Inbox[str] = Inbox(capacity=100)
    inbox.put("a", 50)
    inbox.put("b", 1)
    assert take(inbox, weight=8) == ["a"]
    assert take(inbox, weight=8) == ["b"]


def test_who_puts_waits_while_it_is_full() -> None:
    inbox: Inbox[str] = Inbox(capacity=10)
    inbox.put("a", 10)
    late = Aside(lambda: inbox.put("b", 1))
    assert not late.done.wait(0.05)
    assert inbox.statistics()[0] == 10
    assert take(inbox) == ["a"]
    assert late.answer() is True
    assert take(inbox) == ["b"]


def test_all_who_wait_get_their_turn() -> None:
    inbox: Inbox[str] = Inbox(capacity=1)
    waiting = [Aside(lambda name=name: inbox.put(name, 1)) for name in "abcdefgh"]  # type: ignore[misc]  # bound now
    taken: list[str] = []

    def all_taken() -> bool:
        taken.extend(take(inbox) or [])
        return len(taken) == 8

    wait_until(all_taken, within=WITHIN)
    assert [each.answer() for each in waiting] == [True] * 8
    assert sorted(taken) == list("abcdefgh")


def test_what_is_urgent_does_not_wait() -> None:
    inbox: Inbox[str] = Inbox(capacity=10)
    inbox.put("a", 10)
    assert inbox.put("b", 1, urgent=True)
    assert take(inbox) == ["a", "b"]


def test_a_message_heavier_than_the_capacity_is_not_refused() -> None:
    inbox: Inbox[str] = Inbox(capacity=10)
    assert inbox.put("a", 1_000)
    assert take(inbox) == ["a"]


def test_who_takes_is_woken_by_the_first_message() -> None:
    inbox: Inbox[str] = Inbox(capacity=10)
    taker = Aside(lambda: inbox.take(weight=5, linger_seconds=0, timeout_seconds=None))
    assert not taker.done.wait(0.05)
    inbox.put("a", 1)
    assert taker.answer() == ["a"]


def test_who_takes_lingers_until_the_batch_is_full() -> None:
    inbox: Inbox[str] = Inbox(capacity=10)
    taker = Aside(lambda: inbox.take(weight=3, linger_seconds=WITHIN, timeout_seconds=None))
    inbox.put("a", 1)
    inbox.put("b", 1)
    assert not taker.done.wait(0.05)
    inbox.put("c", 1)
    assert taker.answer() == ["a", "b", "c"]


def test_after_closing_nothing_is_accepted_and_the_rest_is_taken() -> None:
    inbox: Inbox[str] = Inbox(capacity=10)
    inbox.put("a", 1)
    inbox.close()
    assert inbox.put("b", 1) is False
    assert inbox.put("c", 1, urgent=True) is False
    assert take(inbox) == ["a"]
    assert take(inbox) is None


def test_closing_ends_every_wait() -> None:
    full: Inbox[str] = Inbox(capacity=1)
    full.put("a", 1)
    putters = [Aside(lambda: full.put("b", 1)) for _ in range(3)]
    empty: Inbox[str] = Inbox(capacity=1)
    taker = Aside(lambda: empty.take(weight=5, linger_seconds=WITHIN, timeout_seconds=None))
    lingering: Inbox[str] = Inbox(capacity=9)
    lingering.put("a", 1)
    lingerer = Aside(lambda: lingering.take(weight=5, linger_seconds=600, timeout_seconds=None))
    assert not any(each.done.wait(0.02) for each in (*putters, taker, lingerer))
    for inbox in (full, empty, lingering):
        inbox.close()
        inbox.close()
    assert [each.answer() for each in putters] == [False] * 3
    assert taker.answer() is None
    assert lingerer.answer() == ["a"]
