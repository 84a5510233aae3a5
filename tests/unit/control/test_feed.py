from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from mediawatchd.control import feed
from mediawatchd.control.feed import Feed, Listener
from tests.parts import WITHIN, Parts, catalog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Bench:
    """A feed that hears of real commits."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.feed = Feed(database=parts.database)
        parts.listeners.append(lambda committed: self.feed.publish(committed.events))

    def happen(self, *paths: bytes) -> None:
        """Events that are history."""
        self.parts.call(lambda tx: [tx.tell("changed", None, path) for path in paths])

    def happen_unkept(self, *paths: bytes) -> None:
        """Events that are told and not kept: what the first walk of a root adds."""
        root_id = next(iter(self.parts.root_ids.values()))
        self.parts.call(lambda tx: [tx.tell("added", root_id, path) for path in paths])


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with catalog(tmp_path) as parts:
        yield Bench(parts)


def heard(listener: Listener) -> list[str]:
    """All that is there to be heard without waiting."""
    paths: list[str] = []
    while events := listener.next(0):
        paths += [event["path"] for event in events]
    return paths


def test_events_come_as_they_are_committed(bench: Bench) -> None:
    bench.happen(b"/before")
    listener = bench.feed.subscribe(None)
    assert listener.next(0) == []
    bench.happen(b"/a", b"/b")
    bench.happen(b"/c")
    assert heard(listener) == ["/a", "/b", "/c"]


def test_an_event_is_a_line_of_the_contract(bench: Bench) -> None:
    listener = bench.feed.subscribe(None)
    bench.parts.call(lambda tx: tx.tell("moved", None, b"/new", former=b"/old", detail="why"))
    (event,) = listener.next(0)
    assert {name: event[name] for name in ("event", "path", "from", "detail")} == {
        "event": "moved", "path": "/new", "from": "/old", "detail": "why",
    }  # fmt: skip
    assert isinstance(event["seq"], int)
    assert isinstance(event["time"], float)


def test_who_waits_is_woken_by_a_commit(bench: Bench) -> None:
    listener = bench.feed.subscribe(None)
    got: list[str] = []
    waiting = threading.Thread(target=lambda: got.extend(event["path"] for event in listener.next(WITHIN)))
    waiting.start()
    bench.happen(b"/a")
    waiting.join(WITHIN)
    assert got == ["/a"]


def test_each_listener_hears_everything(bench: Bench) -> None:
    one, two = bench.feed.subscribe(None), bench.feed.subscribe(None)
    bench.happen(b"/a")
    assert heard(one) == heard(two) == ["/a"]


def test_the_history_after_a_number_comes_first_then_what_happens(bench: Bench) -> None:
    bench.happen(b"/1", b"/2", b"/3")
    seq = bench.feed.subscribe(0).next(0)[0]["seq"]
    listener = bench.feed.subscribe(seq)
    bench.happen(b"/4")
    assert heard(listener) == ["/2", "/3", "/4"]


def test_nothing_comes_twice_or_is_left_out_when_it_happens_during_the_replay(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediawatchd.catalog.events.ROWS_AT_ONCE", 2)
    bench.happen(*(b"/%d" % number for number in range(5)))
    listener = bench.feed.subscribe(0)
    paths = []
    for number in range(5, 12):
        bench.happen(b"/%d" % number)
        paths += [event["path"] for event in listener.next(0)]
    paths += heard(listener)
    assert paths == [f"/{number}" for number in range(12)]


def test_events_that_are_no_history_are_not_lost_behind_the_replay(bench: Bench) -> None:
    # The replay went on to what was committed meanwhile, and everything before that counted as heard.
    bench.happen(b"/1")
    listener = bench.feed.subscribe(0)
    bench.happen_unkept(b"/first-walk")
    bench.happen(b"/2")
    assert heard(listener) == ["/1", "/first-walk", "/2"]


def test_what_is_committed_as_a_listener_comes_is_heard_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.happen(b"/1")
    read = feed.get_state

    def late(connection: Any, key: str) -> object:
        monkeypatch.undo()
        bench.happen(b"/2")
        return read(connection, key)

    monkeypatch.setattr(feed, "get_state", late)
    listener = bench.feed.subscribe(0)
    bench.happen(b"/3")
    assert heard(listener) == ["/1", "/2", "/3"]


def test_a_number_beyond_the_last_event_hears_what_happens(bench: Bench) -> None:
    bench.happen(b"/1")
    listener = bench.feed.subscribe(10**9)
    bench.happen(b"/2")
    assert heard(listener) == ["/2"]


def test_a_listener_that_lags_is_told_and_costs_no_more_memory(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "BACKLOG", 10)
    slow, quick = bench.feed.subscribe(None), bench.feed.subscribe(None)
    for number in range(11):
        bench.happen(b"/%d" % number)
        assert heard(quick) == [f"/{number}"]
    assert slow.lagged
    assert not quick.lagged
    assert slow.next(WITHIN) == []  # at once: nothing more will come
    bench.happen(b"/more")
    assert slow.next(0) == []
    assert len(slow._backlog) == 0


def test_whether_somebody_listens(bench: Bench) -> None:
    assert not bench.feed.is_listened_to()
    one, two = bench.feed.subscribe(None), bench.feed.subscribe(5)
    one.close()
    assert bench.feed.is_listened_to()
    two.close()
    two.close()
    assert not bench.feed.is_listened_to()
    bench.happen(b"/a")
    assert one.next(0) == []


def test_a_listener_that_lagged_goes_on_from_its_last_event_without_gap_or_repeat(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "BACKLOG", 10)
    slow = bench.feed.subscribe(0)
    bench.happen(b"/a", b"/b")
    first = slow.next(0)
    bench.happen(*(b"/%d" % number for number in range(25)))
    assert slow.lagged
    again = bench.feed.subscribe(first[-1]["seq"])
    bench.happen(b"/last")
    assert [event["path"] for event in first] + heard(again) == [
        "/a",
        "/b",
        *(f"/{each}" for each in range(25)),
        "/last",
    ]
