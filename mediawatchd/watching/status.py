"""A root as others see it: what `status` and the metrics show, and the words for it in the history."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.paths import printable

if TYPE_CHECKING:
    from mediawatchd.model import RootState
    from mediawatchd.watching.unreadable import UnreadableDirectory
    from mediawatchd.watching.walk import Walked


class RootStatus(NamedTuple):
    """A snapshot for status and metrics. Points in time are Unix seconds; `walking` is where a walk is.

    `next_attempt` is when a root that is not online is looked at again, `next_walk` when one that is will be walked
    unasked. `events_reliable`: its file system tells of every change. `away`: where disks below it are not mounted.
    """

    id: int
    path: bytes
    state: RootState
    since: float
    message: str | None
    hint: str | None
    next_attempt: float | None
    watch: str
    unwatched_directories: int
    walking: bytes | None
    last_walk: Walked | None
    last_walk_seconds: float | None
    watch_since: float | None = None
    next_walk: float | None = None
    events_reliable: bool = True
    unreadable: tuple[UnreadableDirectory, ...] = ()
    away: tuple[bytes, ...] = ()


def away_text(place: bytes) -> str:
    """What to say of a root below which a disk is not mounted."""
    return f"a disk below it is away: {printable(place.rstrip(b'/'))}"


def told(state: str, reason: str | None) -> str:
    """A state in the history."""
    return state if reason is None else f"{state}: {reason}"


def unix_time(monotonic: float | None) -> float | None:
    """A time to come, on the monotonic clock, as Unix seconds; one that has passed is now."""
    return None if monotonic is None else time.time() + max(0.0, monotonic - time.monotonic())
