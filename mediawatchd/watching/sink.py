"""What watching hands to the daemon: the receiver that the daemon provides, and the observer's figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mediawatchd.watching.unwatched import WatchState


LOST_REASONS = (
    *("overflow", "too_many_hints", "limit", "unmounted"),
    *("root_gone", "watches_gone", "watched_again", "restarted"),
)


class Sink(Protocol):
    """What the daemon does with hints. Called from the observer's thread only; must not block or raise."""

    def dirty(self, root_id: int, directory: bytes, name: bytes | None, closed: bool) -> None:
        """Something may have changed at this name; without a name: anywhere below this directory.

        `closed`: the file was seen closed after writing, or was moved in whole.
        """

    def lost(self, root_id: int, reason: str) -> None:
        """Events of this root may have been lost; the watches stand, so a walk that begins now finds everything.

        `reason` is one of `LOST_REASONS`.
        """

    def watched(self, root_id: int, state: WatchState) -> None:
        """What is watched of the root from now on: after each `watch`, and whenever it changes."""


@dataclass(frozen=True, slots=True)
class ObserverStatistics:
    """A snapshot. `canary_last_seen` is Unix time in seconds; `degraded` says why watching does not work now."""

    alive: bool
    restarts: int
    watches: int
    watches_limit: int | None
    canary_last_seen: float | None
    events: dict[str, int]
    lost: dict[tuple[int, str], int]
    child_pids: tuple[int, ...]
    degraded: str | None
