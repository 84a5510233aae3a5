"""The walks of a keeper: asked for, due, paused, cancelled, handed on."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

from mediawatchd.watching import keeper
from mediawatchd.watching.observer import WatchState
from tests.kept import Gate, gate, parts, root
from tests.parts import WITHIN
from tests.rooted import PACE, Rooted, open_below, rooted
from tests.trees import size, tree
from tests.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

__all__ = ["gate", "parts", "root"]


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


def test_a_next_attempt_is_told_in_unix_time(tmp_path: Path) -> None:
    away = bytes(tmp_path / "away") + b"/"
    with rooted(tmp_path) as parts:
        parts.keep(away)
        assert parts.keeper(away).wait_until_checked(WITHIN)
        status = parts.status(away)
        assert status.next_attempt is not None
        assert abs(status.next_attempt - time.time() - keeper.RETRY_SECONDS) < WITHIN
