from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from mediawatchd.catalog.transaction import Look
from mediawatchd.errors import Refused
from mediawatchd.model import SECOND
from tests.parts import WITHIN
from tests.rooted import Rooted, rooted
from tests.trees import size, tree
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def one(tmp_path: Path) -> bytes:
    return tree({"a.mkv": size(10)}).under(tmp_path / "one")


@pytest.fixture
def two(tmp_path: Path) -> bytes:
    return tree({"b.mkv": size(20), "c.mp3": size(30)}).under(tmp_path / "two")


@pytest.fixture
def parts(tmp_path: Path, one: bytes, two: bytes) -> Iterator[Rooted]:
    with rooted(tmp_path, one, two) as made:
        yield made


def test_a_path_is_covered_by_the_root_it_lies_in(parts: Rooted, one: bytes) -> None:
    assert parts.roots.covering(one) is parts.roots.covering(one + b"x/y") is parts.keeper(one)
    assert parts.roots.covering(one[:-1]) is parts.keeper(one)
    assert parts.roots.covering(one[:-1] + b"2/x") is None
    assert parts.roots.covering(b"/etc/passwd") is None


def test_a_root_is_named_with_or_without_its_slash(parts: Rooted, one: bytes) -> None:
    assert parts.roots.named(one) is parts.roots.named(one[:-1])
    for wrong in (one + b"x", b"/", b"/etc"):
        with pytest.raises(Refused) as refused:
            parts.roots.named(wrong)
        assert (refused.value.status, refused.value.code) == (404, "unknown_root")


def test_what_is_online_is_known_of_each(parts: Rooted, one: bytes, two: bytes) -> None:
    assert parts.roots.online() == set(parts.root_ids.values())
    os.rename(one[:-1], one[:-1] + b".away")
    parts.keeper(one).check_root()
    parts.wait_for(one, "offline")
    wait_until(lambda: parts.roots.online() == {parts.root_ids[two]}, within=WITHIN)


def test_what_nobody_has_looked_at_yet_is_within_reach(
    parts: Rooted, one: bytes, two: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A phash job that was taken up again at a start found no root online, and failed; one that ran over a reload was
    # done at once.
    everything = set(parts.root_ids.values())
    os.rename(one[:-1], one[:-1] + b".away")
    parts.keeper(one).check_root()
    parts.wait_for(one, "offline")
    wait_until(lambda: parts.roots.within_reach() == {parts.root_ids[two]}, within=WITHIN)
    with monkeypatch.context() as asleep:
        asleep.setattr(parts.keeper(one), "wake", lambda: None)
        parts.keeper(one).check_root()
        assert parts.roots.online() == {parts.root_ids[two]}
        assert parts.roots.within_reach() == everything
    parts.keeper(one).wake()
    wait_until(lambda: parts.roots.within_reach() == {parts.root_ids[two]}, within=WITHIN)


def test_each_change_of_state_is_told(parts: Rooted, one: bytes) -> None:
    told: list[tuple[bytes | None, str | None]] = []
    parts.listeners.append(
        lambda committed: told.extend((each.path, each.detail) for each in committed.events if each.event == "root")
    )
    os.rename(one[:-1], one[:-1] + b".away")
    parts.keeper(one).check_root()
    wait_until(lambda: told == [(one[:-1], "offline: the folder is not there")], within=WITHIN, shows=lambda: told)
    parts.keeper(one).check_root()  # still away: not news
    parts.settle(one)
    os.rename(one[:-1] + b".away", one[:-1])
    parts.keeper(one).check_root()
    wait_until(lambda: len(told) == 2, within=WITHIN)
    assert told[1] == (one[:-1], "online")


def test_a_later_look_is_made_later_and_an_immediate_one_now(parts: Rooted, one: bytes) -> None:
    tree({"now.mkv": size(1), "later.mkv": size(2)}).under(one)
    root_id = parts.root_ids[one]
    parts.roots.look([Look(root_id, one, b"later.mkv", 3600 * SECOND)])
    parts.settle(one)
    assert one + b"later.mkv" not in parts.present()
    due = parts.keeper(one).hints.due_seconds()
    assert due is not None
    assert due > 3000
    parts.roots.look([Look(root_id, one, b"now.mkv", 0)])
    parts.settle(one)
    assert parts.present() >= {one + b"now.mkv"}


def test_hints_and_looks_for_roots_that_left_are_passed_over(parts: Rooted, one: bytes, two: bytes) -> None:
    gone = parts.root_ids[two]
    parts.keep(one)
    parts.roots.dirty(gone, two, b"b.mkv", True)
    parts.roots.lost(gone, "overflow")
    parts.roots.watched(gone, parts.observer.state)
    parts.roots.look([Look(gone, two, b"b.mkv", 0)])
    parts.settle(one)


def test_a_root_that_left_is_hidden_and_comes_back_with_its_rows(parts: Rooted, one: bytes, two: bytes) -> None:
    before = {row["path"]: row["id"] for row in parts.rows()}
    parts.keep(one)
    parts.settle(one)
    with parts.database.reader() as connection:
        assert set(parts.roots.totals(connection)) == {parts.root_ids[one]}
    assert parts.observer.calls.count(("unwatch", 2)) == 1
    parts.keep(one, two)
    parts.settle(two)
    assert {row["path"]: row["id"] for row in parts.rows()} == before


def test_a_rule_hides_rows_and_its_end_shows_them_again(parts: Rooted, one: bytes, two: bytes) -> None:
    def files() -> int:
        with parts.database.reader() as connection:
            return parts.roots.totals(connection)[parts.root_ids[two]]["files"]

    assert files() == 2
    parts.keep(one, two, ignore=["*.mp3"])
    parts.settle(two)
    assert files() == 1
    parts.keep(one, two)
    parts.settle(two)
    assert files() == 2


def test_walks_of_a_job_are_asked_of_the_roots_they_lie_in(parts: Rooted, one: bytes, two: bytes) -> None:
    requests = parts.roots.walk([one, two, b"/elsewhere/"], bool)
    assert [request.path for request in requests] == [one, two]
    assert all(request.done.wait(WITHIN) and request.error is None for request in requests)


def test_totals_are_zero_for_a_root_of_which_nothing_is_known(tmp_path: Path) -> None:
    empty = tree({}).under(tmp_path / "empty")
    with rooted(tmp_path, empty) as parts, parts.database.reader() as connection:
        (totals,) = parts.roots.totals(connection).values()
    assert set(totals.values()) == {0}
