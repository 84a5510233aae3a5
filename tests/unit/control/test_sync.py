"""`sync` over real roots and a real catalog; the watcher and the workers are the test's."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from mediawatchd.control.sync import Sync
from mediawatchd.errors import Refused
from mediawatchd.model import Away
from mediawatchd.watching.observer import WatchState
from tests.parts import WITHIN, a_stamp
from tests.rooted import Rooted, rooted
from tests.trees import size, tree
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Bench:
    def __init__(self, parts: Rooted, root: bytes) -> None:
        self.parts = parts
        self.root = root
        self.is_paused = False
        self.sync = Sync(
            database=parts.database,
            writer=parts.writer,
            observers=lambda: parts.observer,  # type: ignore[arg-type, return-value] - made up
            roots=parts.roots,
        )
        parts.listeners.append(lambda _committed: self.sync.committed())
        self._pool = ThreadPoolExecutor(2)

    def wait(self, timeout_seconds: float = WITHIN, *, walk: bool = False) -> dict[str, Any]:
        return self.sync.wait(timeout_seconds, walk=walk, is_paused=lambda: self.is_paused)

    def waiting(self, *, walk: bool = False) -> Future[dict[str, Any]]:
        """Somebody who waits."""
        return self._pool.submit(self.wait, walk=walk)

    def refused(self, timeout_seconds: float = 0.05, *, walk: bool = False) -> Refused:
        with pytest.raises(Refused) as refused:
            self.wait(timeout_seconds, walk=walk)
        return refused.value

    def finish(self) -> None:
        """Hash and probe everything that waits, as the workers would."""
        lacking = [row["id"] for row in self.parts.rows() if row["missing_since"] is None and row["lacks"] & 1]
        if lacking:
            self.parts.hashed(*lacking)
        probing = [row["id"] for row in self.parts.rows() if row["missing_since"] is None and row["lacks"] & 2]
        if probing:
            self.parts.failed(*probing, reason="decode", lacks=2, final=True)

    def close(self) -> None:
        self._pool.shutdown()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    root = tree({"a.mkv": size(10), "b.mkv": size(20)}).under(tmp_path / "media")
    with rooted(tmp_path, root) as parts:
        made = Bench(parts, root)
        made.finish()
        yield made
        made.close()


def test_all_is_done(bench: Bench) -> None:
    assert bench.wait() == {
        "synced": True, "unsettled": [], "unsettled_b64": [], "problems": 2, "held": 0,
        "offline": [], "offline_b64": [], "unreadable": [], "unreadable_b64": [],
    }  # fmt: skip


def test_a_disk_below_a_root_that_is_away_is_named(bench: Bench) -> None:
    bench.parts.keeper(bench.root)._visitor.away = frozenset({Away(bench.root + b"drive/", 7)})
    assert bench.wait()["offline"] == [os.fsdecode(bench.root + b"drive")]


def test_it_waits_for_hashes_and_probes_of_what_was_there_at_the_call(bench: Bench) -> None:
    tree({"new.mkv": size(5)}).under(bench.root)
    bench.parts.roots.dirty(bench.parts.root_ids[bench.root], bench.root, b"new.mkv", True)
    waiting = bench.waiting()
    wait_until(lambda: bench.root + b"new.mkv" in bench.parts.present(), within=WITHIN)
    assert not waiting.done()
    new = bench.parts.row(bench.root + b"new.mkv")["id"]
    bench.parts.hashed(new)
    assert not waiting.done()
    bench.parts.failed(new, reason="decode", lacks=2, final=True)
    assert waiting.result(WITHIN)["synced"]


def test_what_cannot_be_read_is_counted_and_not_waited_for(bench: Bench) -> None:
    tree({"new.mkv": size(5)}).under(bench.root)
    bench.parts.walk(bench.root)
    bench.parts.failed(bench.parts.row(bench.root + b"new.mkv")["id"])
    assert bench.wait()["problems"] == 3


def test_it_waits_until_an_absence_is_decided(tmp_path: Path) -> None:
    root = tree({"a.mkv": size(10)}).under(tmp_path / "media")
    with rooted(tmp_path, root, settle_seconds=0.1) as parts:
        bench = Bench(parts, root)
        bench.finish()
        os.unlink(root + b"a.mkv")
        parts.roots.dirty(parts.root_ids[root], root, b"a.mkv", False)
        bench.wait()
        assert parts.missing() == {root + b"a.mkv"}
        bench.close()


def test_hold_is_counted_and_not_waited_for(tmp_path: Path) -> None:
    root = tree({f"{number}.mp3": size(1, number) for number in range(60)}).under(tmp_path / "media")
    with rooted(tmp_path, root, hold_share=0.5) as parts:
        bench = Bench(parts, root)
        bench.finish()
        for number in range(55):
            os.unlink(root + b"%d.mp3" % number)
        answer = bench.wait(walk=True)
        assert answer["held"] == 55
        assert parts.missing() == set()
        bench.close()


def test_paused_is_refused_at_once_and_meanwhile(bench: Bench) -> None:
    tree({"new.mkv": size(5)}).under(bench.root)
    bench.parts.walk(bench.root)
    waiting = bench.waiting()
    bench.is_paused = True
    bench.sync.committed()
    with pytest.raises(Refused) as refused:
        waiting.result(WITHIN)
    assert (refused.value.status, refused.value.code) == (409, "paused")
    assert (bench.refused().status, bench.refused().code) == (409, "paused")


def test_a_time_out_says_that_hashing_is_open(bench: Bench) -> None:
    tree({"new.mkv": size(5)}).under(bench.root)
    bench.parts.walk(bench.root)
    refusal = bench.refused(1.0)
    assert (refusal.status, refusal.code) == (504, "timeout")
    assert refusal.detail == {"synced": False, "open": "hashing"}


def test_a_time_out_says_that_the_watcher_is_open(bench: Bench) -> None:
    bench.parts.observer.drained = False
    assert bench.refused(WITHIN).detail == {"synced": False, "open": "watcher"}


def test_a_time_out_says_which_walk_is_open(bench: Bench) -> None:
    bench.parts.is_paused = True  # the keeper's walks only
    refusal = bench.refused(1.0, walk=True)
    assert refusal.detail == {
        "synced": False, "open": "walk", "open_roots": [os.fsdecode(bench.root[:-1])], "open_roots_b64": [None],
    }  # fmt: skip


def test_with_walk_it_finds_what_no_event_told_of(bench: Bench) -> None:
    tree({"unseen.mkv": size(5)}).under(bench.root)
    assert bench.wait()["synced"]
    assert bench.root + b"unseen.mkv" not in bench.parts.present()
    waiting = bench.waiting(walk=True)
    wait_until(lambda: bench.root + b"unseen.mkv" in bench.parts.present(), within=WITHIN)
    bench.finish()
    assert waiting.result(WITHIN)["synced"]


def test_a_root_that_is_polled_is_walked_first(bench: Bench) -> None:
    bench.parts.roots.watched(bench.parts.root_ids[bench.root], WatchState("polling", (bench.root,), 1, None, None))
    tree({"unseen.mkv": size(5)}).under(bench.root)
    waiting = bench.waiting()
    wait_until(lambda: bench.root + b"unseen.mkv" in bench.parts.present(), within=WITHIN)
    bench.finish()
    assert waiting.result(WITHIN)["synced"]


def test_a_walk_after_a_loss_is_waited_for(bench: Bench) -> None:
    tree({"unseen.mkv": size(5)}).under(bench.root)
    bench.parts.roots.lost(bench.parts.root_ids[bench.root], "overflow")
    waiting = bench.waiting()
    wait_until(lambda: bench.root + b"unseen.mkv" in bench.parts.present(), within=WITHIN)
    assert not waiting.done()
    bench.finish()
    assert waiting.result(WITHIN)["synced"]


def test_a_root_that_is_away_is_named_and_not_waited_for(bench: Bench) -> None:
    tree({"new.mkv": size(5)}).under(bench.root)
    bench.parts.walk(bench.root)
    os.rename(bench.root[:-1], bench.root[:-1] + b".away")
    bench.parts.keeper(bench.root).check_root()
    assert bench.wait(walk=True)["offline"] == [os.fsdecode(bench.root[:-1])]


def test_what_changed_again_is_named_and_not_waited_for(bench: Bench) -> None:
    tree({"growing.mkv": size(5), "slow.mkv": size(6)}).under(bench.root)
    bench.parts.walk(bench.root)
    growing, slow = (bench.parts.row(bench.root + name)["id"] for name in (b"growing.mkv", b"slow.mkv"))
    waiting = bench.waiting()
    wait_until(lambda: bench.sync._progress._waiters, within=WITHIN)  # type: ignore[attr-defined] - it waits for rows
    bench.parts.found(bench.root, b"growing.mkv", root=bench.root, stamp=a_stamp(50), settle_ns=10**12)
    assert bench.parts.row(bench.root + b"growing.mkv")["id"] == growing
    bench.parts.hashed(slow)
    bench.parts.failed(slow, reason="decode", lacks=2, final=True)
    assert waiting.result(WITHIN)["unsettled"] == [os.fsdecode(bench.root + b"growing.mkv")]


def test_a_configuration_applied_meanwhile_is_followed(bench: Bench, tmp_path: Path) -> None:
    other = tree({"c.mkv": size(5)}).under(tmp_path / "other")
    bench.parts.is_paused = True
    waiting = bench.waiting(walk=True)
    wait_until(lambda: bench.parts.keeper(bench.root).walks.first_mark(paused=False) is not None, within=WITHIN)
    bench.parts.is_paused = False
    bench.parts.observer.is_slow = True  # nothing but the sync asks for a walk of what is new
    bench.parts.keep(bench.root, other)
    wait_until(lambda: bench.finish() or waiting.done(), within=WITHIN)
    assert waiting.result(WITHIN)["synced"]
    assert not bench.parts.row(other + b"c.mkv")["lacks"] & 3


def test_the_end_of_the_daemon_ends_the_wait(bench: Bench) -> None:
    tree({"new.mkv": size(5)}).under(bench.root)
    bench.parts.walk(bench.root)
    waiting = bench.waiting()
    wait_until(lambda: bench.sync._progress._waiters, within=WITHIN)  # type: ignore[attr-defined] - it waits for rows
    bench.sync.stop()
    with pytest.raises(Refused) as refused:
        waiting.result(WITHIN)
    assert refused.value.code == "stopping"
