from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from mediawatchd.watching import keeper, places, unreadable, visitor, walker
from mediawatchd.watching.filesystems import Identity
from mediawatchd.watching.guard import Verdict
from mediawatchd.watching.mounts import Table
from mediawatchd.watching.observer import WatchState
from tests.parts import WITHIN
from tests.rooted import PACE, Rooted, open_below, rooted
from tests.trees import folder, size, tree
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> bytes:
    return tree({"films/a.mkv": size(10), "films/b.mkv": size(20), "c.mp3": size(30)}).under(tmp_path / "media")


@pytest.fixture
def parts(tmp_path: Path, root: bytes) -> Iterator[Rooted]:
    with rooted(tmp_path, root) as made:
        yield made


class Gate:
    """Holds up the keeper in its next look at a directory, from `shut` to `open`, so long that it looks around then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._may_pass = threading.Event()
        self._may_pass.set()
        self.reached = threading.Event()
        looked = visitor.Visitor._list

        def slow(*arguments: object) -> object:
            if not self._may_pass.is_set():
                self.reached.set()
                assert self._may_pass.wait(WITHIN)
                slice_over = time.monotonic() + walker.SLICE_SECONDS
                wait_until(lambda: time.monotonic() > slice_over, within=WITHIN)
            return looked(*arguments)  # type: ignore[arg-type] - handed through

        monkeypatch.setattr(visitor.Visitor, "_list", slow)
        monkeypatch.setattr(walker, "SLICE_SECONDS", 0.01)

    def shut(self) -> None:
        self.reached.clear()
        self._may_pass.clear()

    def open(self) -> None:
        self._may_pass.set()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    made = Gate(monkeypatch)
    yield made
    made.open()


def test_a_root_is_watched_before_it_is_walked(parts: Rooted, root: bytes) -> None:
    assert parts.observer.calls == [("watch", parts.root_ids[root])]
    assert parts.present() == {root + b"films/a.mkv", root + b"films/b.mkv", root + b"c.mp3"}
    assert parts.status(root).state == "online"
    assert parts.roots.online() == {parts.root_ids[root]}


def test_the_first_walk_waits_for_the_watches(tmp_path: Path, root: bytes) -> None:
    with rooted(tmp_path) as parts:
        parts.observer.is_slow = True
        parts.keep(root)
        assert parts.keeper(root).wait_until_checked(WITHIN)
        parts.settle(root)
        assert parts.present() == set()
        assert parts.keeper(root).is_walking()
        parts.roots.watched(parts.root_ids[root], WatchState("inotify", (), 0, None, None))
        parts.settle(root)
        assert len(parts.present()) == 3
        assert not parts.keeper(root).is_walking()


def test_who_waits_right_after_the_watches_are_set_waits_for_the_first_walk(
    tmp_path: Path, root: bytes, gate: Gate
) -> None:
    # The walk was asked for, but the keeper had not seen that yet: sync said that all was done.
    with rooted(tmp_path) as parts:
        parts.observer.is_slow = True
        parts.keep(root)
        kept = parts.keeper(root)
        parts.settle(root)
        gate.shut()
        parts.roots.watched(kept.root_id, WatchState("inotify", (), 0, None, None))
        assert not kept.wait_until_looked(kept.hints.mark(), 0)
        assert gate.reached.wait(WITHIN)
        assert not kept.wait_until_looked(kept.hints.mark(), 0)
        gate.open()
        parts.settle(root)
        assert len(parts.present()) == 3


def test_who_waits_for_a_hint_waits_for_the_walk_that_it_led_to(parts: Rooted, root: bytes, gate: Gate) -> None:
    kept = parts.keeper(root)
    tree({"new/d.mkv": size(5)}).under(root)
    kept.hints.add(root, b"new")
    mark = kept.hints.mark()
    gate.shut()
    assert gate.reached.wait(WITHIN) or gate.reached.is_set()
    # Younger hints come while the walk of the older one has not ended.
    kept.hints.add(root, b"c.mp3")
    assert not kept.wait_until_looked(mark, 0)
    gate.open()
    parts.settle(root)
    assert root + b"new/d.mkv" in parts.present()


def test_a_hint_brings_a_new_a_changed_and_a_gone_file(parts: Rooted, root: bytes) -> None:
    tree({"films/new.mkv": size(5)}).under(root)
    with open(root + b"c.mp3", "ab") as file:
        file.write(b"more")
    os.unlink(root + b"films/a.mkv")
    for directory, name in ((b"films/", b"new.mkv"), (b"", b"c.mp3"), (b"films/", b"a.mkv")):
        parts.roots.dirty(parts.root_ids[root], root + directory, name, True)
    parts.settle(root)
    assert parts.row(root + b"films/new.mkv")["size"] == 5
    assert parts.row(root + b"c.mp3")["size"] == 34
    wait_until(lambda: parts.missing() == {root + b"films/a.mkv"}, within=WITHIN)


def test_a_folder_that_is_not_there_is_offline_and_comes_back(tmp_path: Path, root: bytes) -> None:
    away = root[:-1] + b".away"
    os.rename(root[:-1], away)
    with rooted(tmp_path, root) as parts:
        status = parts.status(root)
        assert (status.state, status.message) == ("offline", "the folder is not there")
        assert status.hint == "Mount its disk, or correct scan_dirs."
        assert status.next_attempt is not None
        assert parts.observer.calls == []
        assert parts.roots.online() == frozenset()
        os.rename(away, root[:-1])
        parts.keeper(root).check_root()
        parts.settle(root)
        assert parts.status(root).state == "online"
        assert len(parts.present()) == 3


def test_an_offline_root_is_looked_at_again_by_itself(
    tmp_path: Path, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "RETRY_SECONDS", 0.01)
    os.rename(root[:-1], root[:-1] + b".away")
    with rooted(tmp_path, root) as parts:
        os.rename(root[:-1] + b".away", root[:-1])
        parts.wait_for(root, "online")


def test_a_root_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    tree({"media": size(3)}).under(tmp_path)
    with rooted(tmp_path, bytes(tmp_path / "media") + b"/") as parts:
        (status,) = parts.roots.statuses()
        assert (status.state, status.message, status.hint) == ("error", "this is not a folder", "Correct scan_dirs.")


def test_a_root_that_goes_keeps_its_rows_and_is_watched_anew_when_it_is_back(parts: Rooted, root: bytes) -> None:
    root_id = parts.root_ids[root]
    os.rename(root[:-1], root[:-1] + b".away")
    parts.roots.lost(root_id, "root_gone")
    parts.wait_for(root, "offline")
    assert parts.observer.calls[-1] == ("unwatch", root_id)
    assert parts.roots.online() == frozenset()
    parts.settle(root)
    assert len(parts.present()) == 3
    os.rename(root[:-1] + b".away", root[:-1])
    tree({"films/new.mkv": size(5)}).under(root)
    parts.keeper(root).check_root()
    parts.wait_for(root, "online")
    parts.settle(root)
    assert parts.observer.calls[-1] == ("watch", root_id)
    assert len(parts.present()) == 4


def test_a_folder_that_moved_in_is_known_at_once_and_walked_when_it_is_watched(parts: Rooted, root: bytes) -> None:
    hints = parts.keeper(root).hints
    os.rename(root + b"films", root + b"z")
    os.close(os.open(root + b"z/new.mp3", os.O_CREAT))
    before = parts.present()
    hints.add(root, b"films")
    hints.add(root, b"z", closed=True)
    parts.settle(root)
    moved = {path.replace(b"/films/", b"/z/") for path in before}
    assert parts.present() == moved != before
    hints.add(root + b"z/", None, closed=True)
    parts.settle(root)
    assert parts.present() == moved | {root + b"z/new.mp3"}


def test_a_hint_from_a_root_that_has_gone_tells_so(parts: Rooted, root: bytes) -> None:
    os.rename(root[:-1], root[:-1] + b".away")
    parts.roots.dirty(parts.root_ids[root], root, b"c.mp3", False)
    parts.wait_for(root, "offline")
    assert len(parts.present()) == 3


def test_a_root_deleted_and_made_anew_loses_nothing_while_its_disk_cannot_be_told(
    parts: Rooted, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(root)
    os.mkdir(root)
    without_uuid(monkeypatch, parts)
    parts.roots.lost(parts.root_ids[root], "root_gone")
    status = parts.wait_for(root, "offline")
    assert status.message == "the folder is empty: its disk does not seem to be mounted"
    assert len(parts.present()) == 3


def test_another_disk_with_other_files_is_not_touched_until_it_is_accepted(
    parts: Rooted, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.rename(root[:-1], root[:-1] + b".away")
    tree({"other.mkv": size(7)}).under(root)
    identity = Identity("uuid:another", "uuid", "ext4", True, True, False, ())
    monkeypatch.setattr(places, "identify", lambda _fd, _mount: identity)
    parts.keeper(root)._places._by_device.clear()
    parts.keeper(root).check_root()
    status = parts.wait_for(root, "replaced")
    assert status.hint is not None
    assert status.hint.endswith(f"mediawatchctl accept-root {os.fsdecode(root[:-1])}")
    assert parts.walk(root) == f"replaced: {status.message}"
    assert len(parts.present()) == 3
    parts.keeper(root).accept()
    parts.wait_for(root, "online")
    parts.settle(root)
    assert root + b"other.mkv" in parts.present()


def without_uuid(monkeypatch: pytest.MonkeyPatch, parts: Rooted) -> None:
    """From now on file systems are told by something weaker than a UUID, under the same name."""
    real = places.identify
    monkeypatch.setattr(places, "identify", lambda fd, mount: real(fd, mount)._replace(kind="fsid"))
    for each in parts.roots.keepers():
        each._places._by_device.clear()


def test_a_walk_that_cannot_be_made_says_why(parts: Rooted, root: bytes) -> None:
    assert parts.walk(root + b"nowhere/") == "No such file or directory"
    assert parts.walk(root + b"c.mp3/") == "Not a directory"
    assert parts.status(root).state == "online"


def test_the_walk_under_way_ends_for_who_waits_when_the_root_goes(parts: Rooted, root: bytes, gate: Gate) -> None:
    # It was dropped without a word, and the job waited for ever.
    gate.shut()
    request = parts.keeper(root).ask_for_walk(root, "job", is_job=True)
    assert gate.reached.wait(WITHIN)
    os.rename(root[:-1], root[:-1] + b".away")
    parts.keeper(root).check_root()
    gate.open()
    assert request.done.wait(WITHIN)
    assert request.error == "offline: the folder is not there"


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


def test_pause_holds_walks_back_and_lets_hints_through(parts: Rooted, root: bytes) -> None:
    parts.is_paused = True
    request = parts.keeper(root).ask_for_walk(root, "job", is_job=True)
    tree({"films/new.mkv": size(5), "more/d.mkv": size(5)}).under(root)
    parts.roots.dirty(parts.root_ids[root], root + b"films/", b"new.mkv", True)
    parts.roots.dirty(parts.root_ids[root], root + b"more/", None, True)
    parts.settle(root)
    assert {root + b"films/new.mkv", root + b"more/d.mkv"} <= parts.present()
    assert not request.done.is_set()
    parts.is_paused = False
    parts.roots.pause_changed()
    assert request.done.wait(WITHIN)
    assert request.error is None


def test_what_a_pause_held_back_is_waited_for_as_soon_as_it_ends(
    parts: Rooted, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A sync right after a resume asked before the root's thread had woken, and found nothing that was due.
    keeper = parts.keeper(root)
    parts.is_paused = True
    request = keeper.ask_for_walk(root, "reconcile")
    assert keeper.wait_until_looked(request.mark, WITHIN)
    parts.is_paused = False
    with monkeypatch.context() as asleep:
        asleep.setattr(keeper, "wake", lambda: None)
        parts.roots.pause_changed()
        assert not keeper.wait_until_looked(request.mark, 0)
    keeper.wake()
    assert keeper.wait_until_looked(request.mark, WITHIN)
    assert request.done.is_set()


def test_pause_interrupts_a_walk_and_closes_what_it_had_open(parts: Rooted, root: bytes, gate: Gate) -> None:
    gate.shut()
    request = parts.keeper(root).ask_for_walk(root, "job", is_job=True)
    assert gate.reached.wait(WITHIN)
    assert open_below(root)
    parts.is_paused = True
    gate.open()
    wait_until(lambda: not open_below(root), within=WITHIN)
    assert not request.done.is_set()
    parts.is_paused = False
    parts.roots.pause_changed()
    assert request.done.wait(WITHIN)


def test_a_cancelled_walk_ends_and_closes_what_it_had_open(parts: Rooted, root: bytes, gate: Gate) -> None:
    cancelled = threading.Event()
    gate.shut()
    request = parts.keeper(root).ask_for_walk(root, "job", is_job=True, is_cancelled=cancelled.is_set)
    assert gate.reached.wait(WITHIN)
    cancelled.set()
    gate.open()
    assert request.done.wait(WITHIN)
    assert request.error == "cancelled"
    wait_until(lambda: not open_below(root), within=WITHIN)


def test_an_idle_root_has_nothing_open_so_that_it_can_be_unmounted(parts: Rooted, root: bytes) -> None:
    parts.roots.dirty(parts.root_ids[root], root + b"films/", b"a.mkv", True)
    parts.walk(root)
    parts.settle(root)
    assert open_below(root) == []


def test_fresh_files_are_looked_at_during_a_long_walk(parts: Rooted, root: bytes, gate: Gate) -> None:
    tree({f"many/{number}/a.mkv": size(3) for number in range(30)}).under(root)
    gate.shut()
    request = parts.keeper(root).ask_for_walk(root, "job", is_job=True)
    assert gate.reached.wait(WITHIN)
    tree({"fresh.mkv": size(5)}).under(root)
    parts.roots.dirty(parts.root_ids[root], root, b"fresh.mkv", True)
    gate.open()
    assert request.done.wait(WITHIN)
    parts.settle(root)
    assert parts.row(root + b"fresh.mkv")["priority"] == 0


def test_a_walk_is_handed_on_when_the_roots_are_configured_anew(parts: Rooted, root: bytes) -> None:
    parts.is_paused = True
    request = parts.keeper(root).ask_for_walk(root, "job", is_job=True)
    parts.keep(root, ignore=["c.mp3"])
    assert not request.done.is_set()
    parts.is_paused = False
    parts.roots.pause_changed()
    assert request.done.wait(WITHIN)
    assert request.error is None


def test_a_walk_under_way_is_handed_on_too(parts: Rooted, root: bytes, gate: Gate) -> None:
    gate.shut()
    request = parts.keeper(root).ask_for_walk(root, "job", is_job=True)
    assert gate.reached.wait(WITHIN)
    threading.Timer(0.05, gate.open).start()
    parts.keep(root)
    assert request.done.wait(WITHIN)
    assert request.error is None


def test_a_walk_of_a_root_that_left_the_configuration_ends(parts: Rooted, root: bytes, tmp_path: Path) -> None:
    parts.is_paused = True
    request = parts.keeper(root).ask_for_walk(root, "job", is_job=True)
    parts.keep(tree({}).under(tmp_path / "other"))
    assert request.done.wait(WITHIN)
    assert request.error == "the folder lies in no configured root any more"


def test_walks_end_with_the_daemon(tmp_path: Path, root: bytes) -> None:
    with rooted(tmp_path, root) as parts:
        parts.is_paused = True
        kept = parts.keeper(root)
        request = kept.ask_for_walk(root, "job", is_job=True)
    assert request.done.is_set()
    assert request.error == "the daemon is stopping"
    assert kept.ask_for_walk(root, "sync").done.is_set()


def test_a_lost_event_walks_the_whole_root(parts: Rooted, root: bytes) -> None:
    tree({"films/deep/e.mkv": size(5)}).under(root)
    parts.roots.lost(parts.root_ids[root], "overflow")
    parts.settle(root)
    assert root + b"films/deep/e.mkv" in parts.present()


def test_a_root_is_walked_again_when_its_time_has_come(tmp_path: Path, root: bytes) -> None:
    with rooted(tmp_path) as parts:
        parts.keep(root, pace=PACE._replace(interval_seconds=0.05))
        parts.settle(root)
        tree({"films/new.mkv": size(5)}).under(root)
        wait_until(lambda: root + b"films/new.mkv" in parts.present(), within=WITHIN)


def test_a_directory_that_cannot_be_watched_is_walked_often(tmp_path: Path, root: bytes) -> None:
    with rooted(tmp_path) as parts:
        parts.observer.state = WatchState("degraded", (root + b"films/",), 1, "no watches left", "raise the limit")
        parts.keep(root, pace=PACE._replace(network_interval_seconds=0.05))
        parts.settle(root)
        status = parts.status(root)
        assert (status.watch, status.unwatched_directories) == ("degraded", 1)
        assert (status.message, status.hint) == ("no watches left", "raise the limit")
        tree({"films/new.mkv": size(5)}).under(root)
        wait_until(lambda: root + b"films/new.mkv" in parts.present(), within=WITHIN)


def test_hints_outside_the_root_or_in_what_is_ignored_are_passed_over(
    parts: Rooted, root: bytes, tmp_path: Path
) -> None:
    outside = tree({"x.mkv": size(5)}).under(tmp_path / "outside")
    tree({"_UNPACK_film/x.mkv": size(5)}).under(root)
    root_id = parts.root_ids[root]
    for directory, name in (
        (outside, b"x.mkv"),
        (outside, None),
        (root + b"_UNPACK_film/", b"x.mkv"),
        (root, b"_UNPACK_film"),
    ):
        parts.roots.dirty(root_id, directory, name, True)
    parts.settle(root)
    assert len(parts.present()) == 3


def test_a_directory_that_went_takes_its_files_along(parts: Rooted, root: bytes) -> None:
    shutil.rmtree(root + b"films")
    parts.roots.dirty(parts.root_ids[root], root + b"films/", b"a.mkv", False)
    parts.settle(root)
    wait_until(lambda: parts.missing() == {root + b"films/a.mkv", root + b"films/b.mkv"}, within=WITHIN)


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


def test_when_a_root_is_looked_at_next_is_told_in_unix_time(parts: Rooted, root: bytes) -> None:
    now = time.time()
    status = wait_until(lambda: (each := parts.status(root)).next_walk and each, within=WITHIN)
    assert status.next_walk is not None
    assert now + 3600 * 0.7 < status.next_walk < now + 3600 * 1.3
    assert status.next_attempt is None
    os.rename(root[:-1], root[:-1] + b".away")
    parts.keeper(root).check_root()
    status = parts.wait_for(root, "offline")
    assert status.next_walk is None
    assert status.next_attempt is not None
    assert now < status.next_attempt < now + 100


def told(parts: Rooted) -> list[str]:
    """What the history says of roots."""
    parts.flush()
    with parts.database.reader() as connection:
        return [row[0] for row in connection.execute("SELECT detail FROM history WHERE event = 'root' ORDER BY seq")]


def test_what_is_mounted_elsewhere_disturbs_no_walk(parts: Rooted, root: bytes, gate: Gate) -> None:
    # Where containers come and go, a walk that starts over each time would never end.
    gate.shut()
    request = parts.keeper(root).ask_for_walk(root, "job", is_job=True)
    assert gate.reached.wait(WITHIN)
    walked = request.walked
    parts.roots.mounts_changed(parts.mounts.current(), parts.mounts.current())
    gate.open()
    assert request.done.wait(WITHIN)
    assert request.walked is walked


def test_a_root_is_looked_at_again_while_its_watches_are_being_set(
    tmp_path: Path, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The disk may hang in that, which only a look of the keeper's own finds out.
    monkeypatch.setattr(keeper, "RETRY_SECONDS", 0.05)
    looked = []
    judge = keeper.judge

    def counting(*arguments: Any, **named: Any) -> Verdict:
        looked.append(1)
        return judge(*arguments, **named)

    monkeypatch.setattr(keeper, "judge", counting)
    with rooted(tmp_path) as parts:
        parts.observer.is_slow = True
        parts.keep(root)
        wait_until(lambda: len(looked) > 2, within=WITHIN)
        assert parts.observer.calls == [("watch", parts.root_ids[root])]
        assert parts.status(root).next_attempt is None


def test_a_network_mount_is_looked_at_now_and_then(
    tmp_path: Path, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "NETWORK_LOOK_SECONDS", 0.05)
    looked = []

    def remote(*_arguments: Any, **_named: Any) -> Verdict:
        looked.append(1)
        return Verdict("online", mount_id=7, network=True)

    monkeypatch.setattr(keeper, "judge", remote)
    with rooted(tmp_path, root) as parts:
        wait_until(lambda: len(looked) > 3, within=WITHIN)
        assert parts.observer.mounts == {parts.root_ids[root]: 7}


def test_a_root_is_watched_anew_when_something_is_mounted_below(
    tmp_path: Path, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No event tells of a mount, and the watches of what it hides stay silent.
    with rooted(tmp_path, root) as parts:
        watch = ("watch", parts.root_ids[root])
        assert parts.observer.calls == [watch]
        mounted = parts.mounts.current().covering(root)._replace(id=99, point=root + b"films/", type="nfs4")
        monkeypatch.setattr(Table, "below", lambda *_: (mounted,))
        parts.keeper(root).check_root()
        parts.settle(root)
        assert parts.observer.calls == [watch, watch]
        assert parts.observer.mounts == {parts.root_ids[root]: 99}
        parts.keeper(root).check_root()
        parts.settle(root)
        assert parts.observer.calls == [watch, watch]


def test_a_next_attempt_is_told_in_unix_time(tmp_path: Path) -> None:
    away = bytes(tmp_path / "away") + b"/"
    with rooted(tmp_path) as parts:
        parts.keep(away)
        assert parts.keeper(away).wait_until_checked(WITHIN)
        status = parts.status(away)
        assert status.next_attempt is not None
        assert abs(status.next_attempt - time.time() - keeper.RETRY_SECONDS) < WITHIN
