"""Compares a daemon with its disks after random changes, and remembers what the next comparison needs."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.oracle import Witness, differences, media_files, remembered_hashes, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from tests.changes import Changer
    from tests.oracle import Key, Snapshot
    from tests.running import Running


class _Row(NamedTuple):
    """`stamp` is size, mtime and inode."""

    path: bytes
    quick_hash: str | None
    stamp: tuple[int, int, int]
    is_missing: bool


class Judge:
    """`away` is what `differences` takes; so is `ignored`."""

    def __init__(self, daemon: Running, changer: Changer, *, sync: Callable[[], Any] | None = None) -> None:
        self._daemon = daemon
        self._sync = sync or (lambda: daemon.sync(walk=True))
        self._changer = changer
        self._witness = Witness({})
        self._hashes: Counter[str] = Counter()
        self._missing: dict[int, _Row] = {}
        self._found = self._witness, self._hashes, self._missing
        self._since = 0.0

    def look(self) -> None:
        """To be called after each change."""
        self._witness.look([*self._changer.roots, self._changer.outside])

    def before(self) -> Snapshot:
        """What was so at the last check."""
        return self._witness.before

    def is_single(self, path: bytes, key: Key, quick_hash: str) -> bool:
        """Whether a path has held this file only since the last check, and its content was nowhere else."""
        return (
            self._witness.is_single(path, key)
            and self._hashes[quick_hash] == 1
            and (quick_hash not in self._changer.copied)
        )

    def check(self, *, ignored: Collection[bytes] = (), judge_moves: bool = True) -> list[str]:
        """Wait until the daemon has seen everything, then say what is wrong; when nothing is, `next` is to follow."""
        answer = self._sync()
        if answer["unsettled"]:
            return [f"unsettled is {answer['unsettled']}, and nothing changes"]
        return self.differences(ignored=ignored) or [*self._forgotten(ignored, judge_moves=judge_moves)]

    def differences(self, *, ignored: Collection[bytes] = ()) -> list[str]:
        return differences(self._daemon, self._changer.roots, away=self._changer.away, ignored=ignored)

    def next(self) -> None:
        """Everything was right: what comes is compared with this."""
        self._witness, self._hashes, self._missing = self._found
        self._changer.checked()
        self._since = time.time()

    def evidence(self) -> Iterator[str]:
        """What was done since the last check, and what the daemon told of it."""
        yield from ("", "What was done:", *self._changer.log, "", "What was told:")
        with self._catalog() as connection:
            for when, event, former, path, detail in connection.execute(
                "SELECT time, event, former, path, detail FROM history WHERE time > ? ORDER BY seq", (self._since,)
            ):
                yield f"{when:.3f} {event} {(former, path)} {detail}"

    def _forgotten(self, ignored: Collection[bytes], *, judge_moves: bool) -> Iterator[str]:
        """What a move or a deletion must have left."""
        disk = media_files(self._changer.roots, away=self._changer.away, ignored=ignored)
        after = snapshot(self._daemon, disk)
        copied = self._changer.copied
        if judge_moves:
            yield from self._witness.lost_ids(after, self._hashes, copied)
            yield from self._witness.lost_crossings(
                after, self._changer.crossings, self._hashes, copied, away=self._changer.away
            )
        rows = self._rows()
        known = {row.quick_hash for row in rows.values()}
        # One that came back and was then taken for the copy of another has become that one, and whatever that became:
        # a file that was moved across is such a copy, and may have been replaced at once. So is one whose content
        # another row had all along, when that one goes.
        known |= {crossing.quick_hash for crossing in self._changer.crossings}
        known |= {quick_hash for quick_hash, rows_with_it in self._hashes.items() if rows_with_it > 1}
        for file_id, was in self._missing.items():
            row = rows.get(file_id)
            if row is None and was.quick_hash not in known and not self._was_back(was):
                yield f"the missing row {file_id} was forgotten"
            if row is not None and row.is_missing and row.quick_hash != was.quick_hash and not self._was_back(was):
                yield f"the missing row {file_id} had the hash {was.quick_hash}, and now {row.quick_hash}"
        missing = {file_id: row for file_id, row in rows.items() if row.is_missing}
        self._found = Witness(after), remembered_hashes(self._daemon), missing

    def _rows(self) -> dict[int, _Row]:
        """All rows, hidden ones too."""
        with self._catalog() as connection:
            return {
                file_id: _Row(path, quick_hash, (size, mtime_ns, inode), bool(is_missing))
                for file_id, path, quick_hash, size, mtime_ns, inode, is_missing in connection.execute(
                    "SELECT f.id, CAST(d.path || f.name AS BLOB), lower(hex(quick_hash)), size, mtime_ns, f.inode, "
                    "missing_since IS NOT NULL FROM media_files AS f JOIN directories AS d ON d.id = f.directory_id"
                )
            }

    def _was_back(self, missing: _Row) -> bool:
        """Whether a file that was missing came back since the last check, by itself or as a copy: whatever was then
        written to it, or became of it, its row may tell of that."""
        if self._witness.saw(missing.stamp, self._changer.outside):
            return True
        with self._catalog() as connection:
            return bool(
                connection.execute(
                    "SELECT 1 FROM history WHERE time > ? AND event = 'moved' AND CAST(former AS BLOB) = ?",
                    (self._since, missing.path),
                ).fetchall()
            )

    def _catalog(self) -> closing[sqlite3.Connection]:
        return closing(sqlite3.connect(f"file:{self._daemon.database}?mode=ro", uri=True))
