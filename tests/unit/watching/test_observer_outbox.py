"""The child's outbox: what is sent, in which order, and what becomes of too much."""

from __future__ import annotations

from typing import Any

import pytest

from mediawatchd.watching.outbox import Outbox
from mediawatchd.watching.unwatched import WatchState

STATE = WatchState("inotify", (b"/a/\xff/",), 1, "message", "hint")


def name(outbox: Outbox, directory: bytes, name: bytes, *, closed: bool = True, key: int = 1) -> None:
    outbox.name(key, directory, name, event="closed" if closed else "created", closed=closed)


def hints(outbox: Outbox) -> list[Any]:
    return [message for message in outbox.take() if message[0] != "counts"]


def test_the_names_of_a_directory_travel_together_and_the_last_word_counts() -> None:
    outbox = Outbox()
    name(outbox, b"/a/", b"\xff.mkv", closed=False)
    name(outbox, b"/a/", b"2.mkv", closed=True)
    name(outbox, b"/a/", b"\xff.mkv", closed=True)
    name(outbox, b"/a/", b"2.mkv", closed=False)
    assert hints(outbox) == [["names", 1, "/a/", [["\xff.mkv", True], ["2.mkv", False]]]]
    assert hints(outbox) == []


def test_a_walk_swallows_the_names_of_its_directory() -> None:
    outbox = Outbox()
    name(outbox, b"/a/", b"1")
    outbox.walk(1, b"/a/", event="directory_created", closed=True)
    name(outbox, b"/a/", b"2")
    assert hints(outbox) == [["walk", 1, "/a/", True]]


def test_too_many_names_of_a_directory_become_a_walk_of_it() -> None:
    outbox = Outbox(names_per_directory=3)
    for number in range(4):
        name(outbox, b"/a/", b"%d" % number)
    name(outbox, b"/b/", b"1")
    assert hints(outbox) == [["walk", 1, "/a/", False], ["names", 1, "/b/", [["1", True]]]]


def test_too_many_names_in_all_become_walks_until_they_are_sent() -> None:
    outbox = Outbox(names=2)
    for directory in (b"/a/", b"/b/", b"/c/"):
        name(outbox, directory, b"1")
    assert hints(outbox) == [
        ["names", 1, "/a/", [["1", True]]],
        ["names", 1, "/b/", [["1", True]]],
        ["walk", 1, "/c/", False],
    ]
    name(outbox, b"/c/", b"1")
    assert hints(outbox) == [["names", 1, "/c/", [["1", True]]]]


def test_what_collapsed_makes_room_for_other_names() -> None:
    outbox = Outbox(names=2, names_per_directory=2)
    for number in range(3):
        name(outbox, b"/a/", b"%d" % number)
    name(outbox, b"/b/", b"1")
    assert hints(outbox) == [["walk", 1, "/a/", False], ["names", 1, "/b/", [["1", True]]]]


def test_too_many_directories_become_one_loss_of_that_root_alone() -> None:
    outbox = Outbox(directories=2)
    for number in range(5):
        name(outbox, b"/%d/" % number, b"1")
    name(outbox, b"/other/", b"1", key=2)
    assert hints(outbox) == [["names", 2, "/other/", [["1", True]]], ["lost", 1, "too_many_hints"]]
    name(outbox, b"/1/", b"1")
    assert hints(outbox) == [["names", 1, "/1/", [["1", True]]]]


def test_answers_come_after_everything_that_was_put_before() -> None:
    outbox = Outbox()
    outbox.answer(5, None)
    outbox.lost(1, "overflow")
    outbox.lost(1, "overflow")
    outbox.watches(1, 3)
    outbox.watches(2, 4)
    outbox.state(1, STATE)
    name(outbox, b"/a/", b"1")
    assert [message[0] for message in outbox.take()] == ["names", "state", "lost", "counts", "answer"]
    outbox.watches(1, 2)
    outbox.state(1, STATE)
    assert outbox.take() == [
        ["state", 1, "inotify", ["/a/\xff/"], 1, "message", "hint"],
        ["counts", {"closed": 1}, 6],
    ]


def test_nothing_more_is_said_of_a_root_that_is_forgotten() -> None:
    outbox = Outbox(names=1)
    name(outbox, b"/a/", b"1")
    outbox.lost(1, "overflow")
    outbox.state(1, STATE)
    outbox.forget(1)
    assert hints(outbox) == []
    name(outbox, b"/b/", b"1", key=2)
    assert hints(outbox) == [["names", 2, "/b/", [["1", True]]]]


@pytest.mark.parametrize("what", ["name", "walk", "lost", "state", "answer"])
def test_whatever_is_put_ends_the_wait(what: str) -> None:
    outbox = Outbox()
    match what:
        case "name":
            name(outbox, b"/a/", b"1")
        case "walk":
            outbox.walk(1, b"/a/", event="directory_created", closed=False)
        case "lost":
            outbox.lost(1, "overflow")
        case "state":
            outbox.state(1, STATE)
        case "answer":
            outbox.answer(1, None)
    outbox.wait_filled()
