"""What a root's keeper is to look at: a bounded, merging set of hints.

Hints come from the watcher, from the writer (look again) and from workers, on their threads; the keeper takes them.
Too many names in a directory, or in all, become one hint "walk this directory", too many directories "walk this root":
memory is bounded and nothing is dropped unsaid.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NAMES_PER_DIRECTORY = 1_000
NAMES = 50_000
DIRECTORIES = 10_000
"""At these bounds the hints of a root take some 10 MB."""

Names = dict[bytes, bool]
"""Names to look at, each with whether it was seen closed after writing or moved in."""


class Batch(NamedTuple):
    """Hints that are due. A directory with None is to be walked; `everything` when the whole root is."""

    names: dict[bytes, Names]
    walks: tuple[bytes, ...]
    everything: bool
    mark: int


class Hints:
    """The lock guards all of it. `mark` counts what was ever asked for, so that one can wait for all up to now."""

    def __init__(self, *, wake: Callable[[], None], clock: Callable[[], float]) -> None:
        self._wake = wake
        self._clock = clock
        self._lock = threading.Lock()
        # Guarded by _lock:
        self._now: dict[bytes, Names | None] = {}
        self._later: dict[bytes, tuple[float, Names | None]] = {}
        self._everything = False
        self._mark = 0
        self._names = 0

    def add(self, directory: bytes, name: bytes | None, *, closed: bool = False) -> None:
        """Ask for a look at a name, or with None for a walk of the directory, as soon as possible."""
        with self._lock:
            self._mark += 1
            if self._everything:
                return
            self._now[directory] = self._merge_locked(self._now.get(directory, {}), name, closed)
            if len(self._now) > DIRECTORIES:
                self._names -= _count(self._now.values())
                self._now.clear()
                self._everything = True
        self._wake()

    def add_later(self, directory: bytes, name: bytes | None, delay_seconds: float) -> None:
        """Ask for a look after a while; hints for the same directory are looked at together, when the first is due."""
        with self._lock:
            due = self._clock() + delay_seconds
            known = self._later.get(directory)
            names: Names | None = {}
            if known is not None:
                due, names = min(due, known[0]), known[1]
            self._later[directory] = (due, self._merge_locked(names, name, False))
            if len(self._later) > DIRECTORIES:
                first = min(due for due, _ in self._later.values())
                self._names -= _count(names for _, names in self._later.values())
                self._later = {b"": (first, None)}
        self._wake()

    def take(self) -> Batch:
        """All that is due."""
        with self._lock:
            now = self._clock()
            for directory, (due, names) in list(self._later.items()):
                if due <= now:
                    del self._later[directory]
                    self._names -= _count([names])
                    for name in [None] if names is None else list(names):
                        self._now[directory] = self._merge_locked(self._now.get(directory, {}), name, False)
            taken, self._now = self._now, {}
            self._names -= _count(taken.values())
            everything = self._everything or b"" in taken
            self._everything = False
            taken.pop(b"", None)
            return Batch(
                {directory: names for directory, names in taken.items() if names is not None},
                tuple(directory for directory, names in taken.items() if names is None),
                everything,
                self._mark,
            )

    def due_seconds(self) -> float | None:
        """How long until something is due; None when nothing waits."""
        with self._lock:
            if self._now or self._everything:
                return 0.0
            if not self._later:
                return None
            return max(0.0, min(due for due, _ in self._later.values()) - self._clock())

    def mark(self) -> int:
        with self._lock:
            return self._mark

    def count(self) -> None:
        """Something else was asked for that is to be waited for: see `Keeper.ask_for_walk`."""
        with self._lock:
            self._mark += 1

    def clear(self) -> None:
        """Forget everything: a walk of the whole root follows."""
        with self._lock:
            self._now.clear()
            self._later.clear()
            self._everything = False
            self._names = 0

    def __len__(self) -> int:
        with self._lock:
            return len(self._now) + len(self._later)

    def _merge_locked(self, names: Names | None, name: bytes | None, closed: bool) -> Names | None:
        """The names of a directory with one more; None when the directory is to be walked."""
        if names is None:
            return None
        if name is None or (name not in names and (len(names) >= NAMES_PER_DIRECTORY or self._names >= NAMES)):
            self._names -= len(names)
            return None
        self._names += name not in names
        names[name] = closed or names.get(name, False)
        return names


def _count(directories: Iterable[Names | None]) -> int:
    return sum(len(names) for names in directories if names is not None)
