"""What a keeper does when a folder is bad, a disk fails or hangs, or a watch fails."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from mediawatchd.watching import keeper, unreadable, visitor
from mediawatchd.watching.observer import WatchState
from tests.kept import Gate, gate, parts, root, told
from tests.parts import WITHIN
from tests.rooted import Rooted, rooted
from tests.trees import folder, size, tree
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["gate", "parts", "root"]


def test_a_disk_that_fails_under_a_walk_is_an_error_and_comes_back(
    parts: Rooted, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "RETRY_SECONDS", 0.01)
    real = visitor.Visitor._list
    failures = iter([True])

    def fail_once(*arguments: object) -> object:
        if next(failures, False):
            raise OSError(5, "Input/output error")
        return real(*arguments)  # type: ignore[arg-type] - handed through

    monkeypatch.setattr(visitor.Visitor, "_list", fail_once)
    assert parts.walk(root) == "error: Input/output error"
    parts.wait_for(root, "online")
    parts.settle(root)
    assert len(parts.present()) == 3
    assert parts.walk(root) is None


def spoil(monkeypatch: pytest.MonkeyPatch, folder: bytes, failures: Iterator[bool] | None = None) -> None:
    """From here on a folder cannot be listed; with `failures` for as long as they last."""
    listed = visitor.Visitor._list

    def fail_there(self: visitor.Visitor, sight: visitor.Sight) -> object:
        if sight.path.endswith(folder) and (failures is None or next(failures, False)):
            raise OSError(5, "Input/output error")
        return listed(self, sight)

    monkeypatch.setattr(visitor.Visitor, "_list", fail_there)


def test_a_bad_folder_does_not_make_the_whole_root_an_error(
    parts: Rooted, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, b"films/")
    assert parts.walk(root + b"films/") == "Input/output error"
    parts.settle(root)
    assert parts.status(root).state == "online"
    assert parts.walk(root) is None
    [told] = parts.status(root).unreadable
    assert (told.path, told.reason) == (root + b"films/", "Input/output error")
    assert len(parts.present()) == 3


def test_a_bad_folder_is_walked_again_until_it_can_be_read(
    parts: Rooted, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was not looked at again before the next walk of the root."""
    monkeypatch.setattr(unreadable, "FIRST_RETRY_SECONDS", 0.01)
    failures = iter([True] * 4)
    spoil(monkeypatch, b"films/", failures)
    tree({"films/new.mkv": size(5)}).under(root)
    assert parts.walk(root) is None
    wait_until(lambda: root + b"films/new.mkv" in parts.present(), within=WITHIN)
    wait_until(lambda: parts.status(root).unreadable == (), within=WITHIN)
    assert next(failures, None) is None


@pytest.mark.parametrize("renamed", [True, False])
def test_a_bad_folder_that_is_renamed_or_deleted_is_not_told_of_any_more(
    parts: Rooted, root: bytes, monkeypatch: pytest.MonkeyPatch, renamed: bool
) -> None:
    """Its old path was named until it was tried again, hours later."""
    spoil(monkeypatch, b"films/deep/")
    tree({"films/deep/d.mkv": size(5)}).under(root)
    assert parts.walk(root) is None
    assert [each.path for each in parts.status(root).unreadable] == [root + b"films/deep/"]
    if renamed:
        os.rename(root + b"films", root + b"cinema")
        parts.roots.dirty(parts.root_ids[root], root, b"cinema", True)
    else:
        shutil.rmtree(root + b"films")
        parts.roots.dirty(parts.root_ids[root], root, b"films", True)
    parts.settle(root)
    assert parts.status(root).unreadable == ()


def test_a_hint_in_a_folder_that_cannot_be_read_is_not_forgotten(
    parts: Rooted, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unreadable, "FIRST_RETRY_SECONDS", 0.01)
    tree({"films/new.mkv": size(5)}).under(root)
    look = os.stat
    failures = iter([True])

    def failing(path: Any, **named: Any) -> os.stat_result:
        if path == b"new.mkv" and next(failures, False):
            raise OSError(errno.EIO, "the disk is bad")
        return look(path, **named)

    monkeypatch.setattr(visitor.os, "stat", failing)
    parts.roots.dirty(parts.root_ids[root], root + b"films/", b"new.mkv", True)
    wait_until(lambda: root + b"films/new.mkv" in parts.present(), within=WITHIN)
    assert next(failures, None) is None


def test_one_root_that_hangs_stalls_no_other(tmp_path: Path, root: bytes, gate: Gate) -> None:
    other = tree({"a.mkv": folder()}).under(tmp_path / "other")
    with rooted(tmp_path, root, other) as parts:
        gate.shut()
        request = parts.keeper(root).ask_for_walk(root, "job", is_job=True)
        assert gate.reached.wait(WITHIN)
        tree({"new.mkv": size(4)}).under(other)
        parts.roots.dirty(parts.root_ids[other], other, b"new.mkv", True)
        parts.settle(other)
        assert other + b"new.mkv" in parts.present()
        assert not request.done.is_set()
        gate.open()


def test_a_root_that_hangs_is_an_error_that_says_so(
    parts: Rooted, root: bytes, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediawatchd.watching.roots.HANGING_SECONDS", 0.0)
    gate.shut()
    parts.keeper(root).ask_for_walk(root, "job", is_job=True)
    assert gate.reached.wait(WITHIN)
    (status,) = wait_until(lambda: [each for each in parts.roots.statuses() if each.state == "error"], within=WITHIN)
    assert status.message == "the disk does not answer"
    gate.open()
    parts.settle(root)
    monkeypatch.setattr("mediawatchd.watching.roots.HANGING_SECONDS", 30.0)
    assert parts.roots.statuses()[0].state == "online"


def test_a_root_that_hangs_is_told_once_when_it_begins_and_once_when_it_ends(
    parts: Rooted, root: bytes, gate: Gate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mediawatchd.watching.roots.HANGING_SECONDS", 0.0)
    gate.shut()
    parts.keeper(root).ask_for_walk(root, "job", is_job=True)
    assert gate.reached.wait(WITHIN)
    wait_until(lambda: parts.roots.statuses()[0].state == "error", within=WITHIN)
    with caplog.at_level("INFO"):
        parts.roots.tell_hanging()
        parts.roots.tell_hanging()
        gate.open()
        parts.settle(root)
        monkeypatch.setattr("mediawatchd.watching.roots.HANGING_SECONDS", 30.0)
        parts.roots.tell_hanging()
        parts.roots.tell_hanging()
    assert [record.levelname for record in caplog.records if record.name.endswith("roots")] == ["WARNING", "INFO"]
    assert told(parts)[-2:] == ["error: the disk does not answer", "the disk answers again"]


def test_a_watch_that_fails_is_told_once_and_its_end_too(
    parts: Rooted, root: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    def watched(kind: str, directories: int, message: str | None) -> None:
        parts.roots.watched(parts.root_ids[root], WatchState(kind, (root,), directories, message, "sysctl x=1"))
        parts.settle(root)
        parts.keeper(root).ask_for_walk(root, "job", is_job=True).done.wait(WITHIN)

    before = parts.status(root)
    with caplog.at_level("INFO"):
        watched("degraded", 3, "3 directories are not watched")
        since = parts.status(root).watch_since
        watched("degraded", 4, "4 directories are not watched")
        assert parts.status(root).watch_since == since
        watched("inotify", 0, None)
    parts.flush()
    assert told(parts)[-2:] == ["watch degraded: 3 directories are not watched", "watch inotify"]
    assert [record.levelname for record in caplog.records if record.name.endswith("watching.watch")] == [
        "WARNING",
        "INFO",
    ]
    assert "hint=sysctl x=1" in caplog.text
    assert (before.state, before.watch) == ("online", "inotify")
