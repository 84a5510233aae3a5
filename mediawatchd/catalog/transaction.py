"""One write transaction: what the writer's messages are applied to, and what they leave for others to do.

Lives on the writer thread for the length of one batch. Effects outside the database (events to tell, places
to look at again, tasks that are finished) are collected here and handed over only after the commit.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.catalog.rows import FileRow, store
from mediawatchd.model import PHASH, Event
from mediawatchd.paths import unslashed

if TYPE_CHECKING:
    import sqlite3

    from mediawatchd.catalog.directories import Directories, DirectoryRow
    from mediawatchd.catalog.totals import Totals
    from mediawatchd.model import Away, MediaType, Outcome


@dataclass(frozen=True, slots=True)
class Policy:
    """What the configuration says about settling, missing files and perceptual hashes.

    Times in nanoseconds of catalog time. `phash`: what a video gets, by bits of `lacks`; `phash_all`: unasked.
    """

    settle_ns: int
    hold_share: float | None
    hold_files: int
    keep_ns: int
    phash: int = PHASH
    phash_all: bool = False


class RootRow(NamedTuple):
    id: int
    path: bytes
    configured: int
    filesystem_id: int | None
    online_ns: int
    walks: int
    last_reconcile: int | None


class Look(NamedTuple):
    """A request to look at a path again after `delay_ns`; `name` None means the directory itself."""

    root_id: int
    directory: bytes
    name: bytes | None
    delay_ns: int


@dataclass(slots=True)
class Transaction:
    """`now_ns` is catalog time, `time` Unix seconds; both are taken once a batch."""

    connection: sqlite3.Connection
    totals: Totals
    directories: Directories
    roots: dict[int, RootRow]
    policy: Policy
    now_ns: int
    time: float
    seq: int
    listened: bool
    online: frozenset[int]
    away: frozenset[Away]
    events: list[Event] = field(default_factory=list)
    kept_events: list[Event] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    went: list[tuple[int, int]] = field(default_factory=list)
    holding: list[tuple[bytes, bool]] = field(default_factory=list)
    results: dict[str, int] = field(default_factory=dict)
    failures: Counter[tuple[int, str]] = field(default_factory=Counter)
    walks: Counter[tuple[int, str]] = field(default_factory=Counter)
    hashed_bytes: int = 0
    discovered: int = 0

    def directory(self, row: FileRow) -> DirectoryRow:
        return self.directories.by_id(row.directory_id)

    def path(self, row: FileRow) -> bytes:
        return self.directory(row).path + row.name

    def wants(self, media_type: MediaType) -> int:
        """The bits of `wanted` that the configuration gives a file of this kind."""
        return self.policy.phash if self.policy.phash_all and media_type != "audio" else 0

    def store(self, old: FileRow, new: FileRow) -> None:
        """Write what differs, and keep the totals."""
        was = self.directory(old).root_id
        now = was if new.directory_id == old.directory_id else self.directory(new).root_id
        held = None if was is None or old.held == new.held else self.totals.of(was)["held"]
        store(self.connection, self.totals, old, new, (was, now))
        if was is not None and held is not None:
            self._held_changed(was, held)

    def _held_changed(self, root_id: int, held: int) -> None:
        """Remember that a root, of which `held` files were held, begins or ends to hold any."""
        path = unslashed(self.roots[root_id].path)
        if not held:
            self.holding.append((path, True))
        elif not self.totals.of(root_id)["held"]:
            self.holding.append((path, False))
            self.tell("held", root_id, path, detail="none any more")

    def tell_root(self, root: bytes, detail: str) -> None:
        """Record what happened to a root as a whole."""
        self.tell("root", None, unslashed(root), detail=detail)

    def tell(
        self,
        event: str,
        root_id: int | None,
        path: bytes | None,
        *,
        former: bytes | None = None,
        detail: str | None = None,
    ) -> None:
        """Record an event. What the first walk of a root adds is told to those who listen, but is not history."""
        kept = event != "added" or root_id is None or self.roots[root_id].walks > 0
        if not kept and not self.listened:
            return
        self.seq += 1
        told = Event(self.seq, self.time, event, path, former, detail)
        self.events.append(told)
        if kept:
            self.kept_events.append(told)

    def count(self, result: str, files: int = 1) -> None:
        self.results[result] = self.results.get(result, 0) + files

    def finish(self) -> None:
        """Write what was carried along; the last thing before the commit."""
        self.totals.write(self.connection)
        self.connection.executemany("INSERT INTO history VALUES (?, ?, ?, ?, ?, ?)", self.kept_events)
        set_state(self.connection, "clock_ns", self.now_ns)
        if self.events:
            set_state(self.connection, "event_seq", self.seq)


def get_state(connection: sqlite3.Connection, key: str) -> int | str | bytes | None:
    row = connection.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
    return row[0] if row else None


def set_state(connection: sqlite3.Connection, key: str, value: int | str | bytes | None) -> None:
    connection.execute("INSERT OR REPLACE INTO state (key, value) VALUES (?, ?)", (key, value))
