"""Which observer watches which root, and what all of them say together. The observers are made up."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mediawatchd.watching.observers import Observers
from mediawatchd.watching.sink import ObserverStatistics

if TYPE_CHECKING:
    from collections.abc import Callable

NFS, CIFS = 70, 71


class MadeUp:
    """Remembers the roots that it watches; `hangs` lets no sync pass."""

    def __init__(self) -> None:
        self.roots: set[int] = set()
        self.state = "built"
        self.hangs = False
        self.told = ObserverStatistics(
            alive=True, restarts=1, watches=10, watches_limit=100, canary_last_seen=5.0,
            events={"created": 2}, lost={(1, "overflow"): 1}, child_pids=(1,), degraded=None,
        )  # fmt: skip

    def start(self) -> None:
        self.state = "started"

    def ask_to_stop(self) -> None:
        self.state = "asked to stop"

    def stop(self, timeout_seconds: float) -> None:
        assert self.state == "asked to stop"
        self.state = f"stopped within {timeout_seconds:.0f}"

    def watch(self, root_id: int, path: bytes) -> None:
        self.roots.add(root_id)

    def unwatch(self, root_id: int) -> None:
        self.roots.remove(root_id)

    def sync(self, timeout_seconds: float, answers: Callable[[int], bool]) -> bool:
        return not any(self.hangs and answers(root_id) for root_id in self.roots)

    def statistics(self) -> ObserverStatistics:
        return self.told


@pytest.fixture
def built() -> list[MadeUp]:
    return []


@pytest.fixture
def observers(built: list[MadeUp]) -> Observers:
    def build() -> MadeUp:
        built.append(MadeUp())
        return built[-1]

    made = Observers(build=build)  # type: ignore[arg-type] - made up
    made.start()
    return made


def test_each_network_mount_has_an_observer_of_its_own(observers: Observers, built: list[MadeUp]) -> None:
    for root_id, mount in ((1, None), (2, NFS), (3, None), (4, CIFS), (5, NFS)):
        observers.watch(root_id, b"/r/", mount)
    assert [(each.roots, each.state) for each in built] == [
        ({1, 3}, "started"),
        ({2, 5}, "started"),
        ({4}, "started"),
    ]


def test_an_observer_ends_with_the_last_root_of_its_mount(observers: Observers, built: list[MadeUp]) -> None:
    observers.watch(1, b"/a/", NFS)
    observers.watch(2, b"/b/", NFS)
    observers.unwatch(1)
    observers.unwatch(1)
    assert built[1].state == "started"
    observers.unwatch(2)
    assert built[1].state == "asked to stop"
    # What it counted stays counted; the local one has as much.
    told = observers.statistics()
    assert (told.restarts, told.events, told.lost) == (2, {"created": 4}, {(1, "overflow"): 2})
    assert (told.watches, told.child_pids) == (10, (1,))


def test_a_root_that_is_mounted_anew_changes_its_observer(observers: Observers, built: list[MadeUp]) -> None:
    observers.watch(1, b"/a/", NFS)
    observers.watch(1, b"/a/", CIFS)
    observers.watch(1, b"/a/", CIFS)
    assert [each.state for each in built] == ["started", "asked to stop", "started"]
    observers.watch(1, b"/a/", None)
    assert [each.roots for each in built] == [{1}, set(), set()]


def test_a_sync_passes_all_of_them(observers: Observers, built: list[MadeUp]) -> None:
    observers.watch(1, b"/a/", None)
    observers.watch(2, b"/b/", NFS)
    assert observers.sync(1.0, lambda _root_id: True)
    built[1].hangs = True
    assert not observers.sync(1.0, lambda _root_id: True)
    assert observers.sync(1.0, lambda root_id: root_id != 2)


def test_the_worst_of_them_is_told(observers: Observers, built: list[MadeUp]) -> None:
    observers.watch(1, b"/a/", NFS)
    built[1].told = replace(built[1].told, alive=False, canary_last_seen=3.0, degraded="it ended")
    told = observers.statistics()
    assert (told.alive, told.canary_last_seen, told.degraded) == (False, 3.0, "it ended")
    built[1].told = replace(built[1].told, canary_last_seen=None)
    assert observers.statistics().canary_last_seen is None


def test_a_stop_shares_its_time_and_nothing_is_watched_after_it(observers: Observers, built: list[MadeUp]) -> None:
    observers.watch(1, b"/a/", NFS)
    observers.stop(3.0)
    assert [each.state for each in built] == ["stopped within 3"] * 2
    observers.watch(2, b"/b/", CIFS)
    assert len(built) == 2
