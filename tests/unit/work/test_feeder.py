from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from mediawatchd.catalog import offers
from mediawatchd.model import LIVE, PROBE, QUICK_HASH, SECOND, WALKED
from mediawatchd.work import feeder
from mediawatchd.work.feeder import Feeder
from mediawatchd.work.queue import WorkQueue
from tests.parts import MEDIA, WITHIN, Parts, catalog
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with catalog(tmp_path) as made:
        yield made


class Fed:
    """A feeder over a real catalog that hears of commits, and its queues; `rounds` counts how often it woke."""

    def __init__(self, parts: Parts, capacity: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hashing = WorkQueue(capacity=capacity, busy_limit=100)
        self.probing = WorkQueue(capacity=capacity, busy_limit=100)
        self.rounds = 0
        self.feeder = Feeder(
            database=parts.database,
            clock=parts.database.clock,
            queues={QUICK_HASH: self.hashing, PROBE: self.probing},
            online=lambda: parts.online,
            away=frozenset,
            heart=parts.heartbeats.register("feeder"),
        )
        self._parts = parts
        parts.listeners.append(self._committed)
        asked = offers.next_due_ns

        def counted(*arguments: Any) -> int | None:
            self.rounds += 1
            return asked(*arguments)

        monkeypatch.setattr(feeder.offers, "next_due_ns", counted)

    def _committed(self, committed: Any) -> None:
        for queue in (self.hashing, self.probing):
            queue.release(outcome.file_id for outcome in committed.outcomes)
        self.feeder.wake()

    def is_idle(self) -> bool:
        """The feeder waits."""
        pulses = {pulse.name: pulse.idle for pulse in self._parts.heartbeats.statistics(0)}
        return pulses["feeder"]


@contextmanager
def feeding(parts: Parts, monkeypatch: pytest.MonkeyPatch, *, capacity: int = 100) -> Iterator[Fed]:
    fed = Fed(parts, capacity, monkeypatch)
    fed.feeder.start()
    try:
        yield fed
    finally:
        assert fed.feeder.stop(WITHIN)


def taken(queue: WorkQueue, many: int) -> list[bytes]:
    """The next tasks, when there are so many."""
    wait_until(lambda: queue.statistics().length >= many, within=WITHIN, shows=queue.statistics)
    return [task.path for task in queue.take(many)]


def names(many: int) -> Sequence[bytes]:
    return [b"%04d.mkv" % number for number in range(many)]


def test_what_lacks_its_hash_is_offered_and_what_has_it_is_offered_for_its_probe(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = parts.found(MEDIA, b"a.mkv", b"b.mkv")
    with feeding(parts, monkeypatch) as fed:
        assert taken(fed.hashing, 2) == [b"/media/a.mkv", b"/media/b.mkv"]
        assert fed.probing.statistics().length == 0
        parts.hashed(ids[0])
        assert taken(fed.probing, 1) == [b"/media/a.mkv"]


def test_a_commit_wakes_it(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    with feeding(parts, monkeypatch) as fed:
        wait_until(fed.is_idle, within=WITHIN)
        parts.found(MEDIA, b"a.mkv")
        assert taken(fed.hashing, 1) == [b"/media/a.mkv"]


def test_live_changes_go_before_what_walks_found(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    parts.found(MEDIA, b"walked.mkv", priority=WALKED)
    parts.found(MEDIA, b"live.mkv", priority=LIVE)
    with feeding(parts, monkeypatch) as fed:
        assert taken(fed.hashing, 2) == [b"/media/live.mkv", b"/media/walked.mkv"]


def test_a_fresh_file_overtakes_a_first_scan_that_fills_the_queue(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = parts.found(MEDIA, *names(300))
    with feeding(parts, monkeypatch, capacity=200) as fed:
        assert taken(fed.hashing, 100)[0] == b"/media/0000.mkv"
        parts.found(MEDIA, b"fresh.mkv", priority=LIVE)
        fed.hashing.done(1)
        parts.hashed(*ids[:100])
        assert taken(fed.hashing, 100)[0] == b"/media/fresh.mkv"


def test_more_rows_than_the_queue_holds_are_all_offered_in_turn(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    left = set(parts.found(MEDIA, *names(250)))
    seen: list[int] = []
    with feeding(parts, monkeypatch, capacity=10) as fed:
        while left:
            wait_until(lambda: fed.hashing.statistics().length, within=WITHIN)
            tasks = fed.hashing.take(1000)
            assert len(tasks) <= 10
            seen += [task.file_id for task in tasks]
            left -= {task.file_id for task in tasks}
            fed.hashing.done(tasks[0].filesystem_id)
            parts.hashed(*(task.file_id for task in tasks))
    assert len(seen) == len(set(seen)) == 250


def test_a_file_system_that_hangs_leaves_room_for_the_others(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    parts.found(MEDIA, *names(300))
    with feeding(parts, monkeypatch, capacity=200) as fed:
        wait_until(fed.hashing.saturated, within=WITHIN)
        parts.found(MEDIA + b"disk2/", b"living.mkv", filesystem="uuid:another disk")
        # Nothing of the first disk is ever done or released.
        offered: list[bytes] = []
        while MEDIA + b"disk2/living.mkv" not in offered:
            offered += taken(fed.hashing, 1)


def test_rows_that_came_back_behind_the_cursor_are_found_when_it_starts_over(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = parts.found(MEDIA, *names(30))
    with feeding(parts, monkeypatch, capacity=10) as fed:
        first = fed.hashing
        wait_until(lambda: first.statistics().length >= 5, within=WITHIN)
        tasks = first.take(10)
        first.done(tasks[0].filesystem_id)
        # Their worker found them changed, say: they are offered again as they are.
        first.release(task.file_id for task in tasks)
        fed.feeder.wake()
        offered: set[int] = set()
        while offered != set(ids):
            wait_until(lambda: first.statistics().length, within=WITHIN)
            tasks = first.take(10)
            offered |= {task.file_id for task in tasks}
            first.done(tasks[0].filesystem_id)
            first.release(task.file_id for task in tasks)
            fed.feeder.wake()


def test_it_wakes_when_the_next_row_is_due_and_not_before(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    parts.found(MEDIA, b"a.mkv", settle_ns=SECOND // 5)
    due_ns = parts.row(b"/media/a.mkv")["due_ns"]
    with feeding(parts, monkeypatch) as fed:
        assert taken(fed.hashing, 1) == [b"/media/a.mkv"]
        assert parts.database.clock.now_ns() >= due_ns


def test_an_idle_feeder_does_not_loop(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    # One that is due much later, one held, one on a root that is away: none of them is a reason to look again.
    parts.found(MEDIA, b"held.mkv")
    parts.found(MEDIA, b"later.mkv", settle_ns=3600 * SECOND)
    with feeding(parts, monkeypatch) as fed:
        taken(fed.hashing, 1)
        wait_until(fed.is_idle, within=WITHIN)
        rounds = fed.rounds
        parts.online = frozenset()
        fed.feeder.wake()
        wait_until(lambda: fed.rounds == rounds + 1 and fed.is_idle(), within=WITHIN)
        # A loop would go round many times while this thread does something else for a while.
        for _ in range(20):
            with parts.database.reader() as connection:
                connection.execute("SELECT count(*) FROM media_files").fetchone()
        assert fed.rounds == rounds + 1


def test_roots_that_are_not_online_are_not_offered_until_they_are(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts.configure(MEDIA, b"/more/")
    parts.found(MEDIA, b"away.mkv")
    parts.found(b"/more/", b"there.mkv", root=b"/more/")
    parts.online = frozenset([parts.root_ids[b"/more/"]])
    with feeding(parts, monkeypatch) as fed:
        assert taken(fed.hashing, 1) == [b"/more/there.mkv"]
        wait_until(fed.is_idle, within=WITHIN)
        assert fed.hashing.statistics().held == 1
        parts.online = frozenset(parts.root_ids.values())
        fed.feeder.wake()
        assert taken(fed.hashing, 1) == [b"/media/away.mkv"]


def test_many_rows_on_a_root_that_is_away_do_not_hide_the_others(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    parts.configure(MEDIA, b"/more/")
    parts.found(MEDIA, *names(50))
    parts.found(b"/more/", b"there.mkv", root=b"/more/")
    parts.online = frozenset([parts.root_ids[b"/more/"]])
    with feeding(parts, monkeypatch, capacity=10) as fed:
        assert taken(fed.hashing, 1) == [b"/more/there.mkv"]


def test_what_failed_is_offered_again_when_its_time_has_come(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mediawatchd.catalog.outcomes.FIRST_RETRY_NS", SECOND // 10)
    ids = parts.found(MEDIA, b"a.mkv")
    with feeding(parts, monkeypatch) as fed:
        taken(fed.hashing, 1)
        fed.hashing.done(1)
        parts.failed(*ids)
        assert taken(fed.hashing, 1) == [b"/media/a.mkv"]


def test_it_ends_while_it_waits(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    with feeding(parts, monkeypatch) as fed:
        wait_until(fed.is_idle, within=WITHIN)
