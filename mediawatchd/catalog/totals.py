"""What each root holds, kept up to date with every row that changes.

Owned by the writer thread. The table `totals` is written in the transaction that changes the rows; readers,
`status` and the metrics read that table. `recount` derives the same numbers from the rows themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediawatchd.model import FINGERPRINT, PROBE, QUICK_HASH

if TYPE_CHECKING:
    import sqlite3

    from mediawatchd.catalog.rows import FileRow
    from mediawatchd.model import MediaType

FIELDS = (
    "files",
    "bytes",
    "videos",
    "audio",
    "quick_hashed",
    "pending_quick_hash",
    "pending_probe",
    "phashed",
    "pending_phash",
    "problems",
    "absent",
    "held",
    "missing",
)
_SUMS = ", ".join(f"coalesce(sum({field}), 0)" for field in FIELDS)
_MISSING = FIELDS.index("missing")


class Totals:
    """One list of counts a root, in the order of FIELDS."""

    def __init__(self) -> None:
        self._counts: dict[int, list[int]] = {}
        self._changed: set[int] = set()

    def load(self, connection: sqlite3.Connection) -> None:
        """Take what is committed; also after a rollback."""
        rows = connection.execute(f"SELECT root_id, {', '.join(FIELDS)} FROM totals")
        self._counts = {row[0]: list(row[1:]) for row in rows}
        self._changed.clear()

    def of(self, root_id: int) -> dict[str, int]:
        return dict(zip(FIELDS, self._of(root_id), strict=True))

    def remembers_missing(self) -> bool:
        """Whether any root has missing rows, among which a new file may be recognised."""
        return any(counts[_MISSING] for counts in self._counts.values())

    def add(self, root_id: int | None, row: FileRow, sign: int) -> None:
        """Count a row in (sign 1) or out (sign -1)."""
        if root_id is None or row.hidden:
            return
        counts = self._of(root_id)
        self._changed.add(root_id)
        if row.missing_since is not None:
            counts[_MISSING] += sign
            return
        audio = row.media_type == "audio"
        counts[0] += sign
        counts[1] += sign * row.size
        counts[3 if audio else 2] += sign
        lacks = row.lacks
        if row.quick_hash is not None:
            counts[4] += sign
        if lacks & QUICK_HASH:
            counts[5] += sign
        if lacks & PROBE:
            counts[6] += sign
        if row.video_phash is not None or not (audio or (lacks | (row.problem_lacks or 0)) & FINGERPRINT):
            counts[7] += sign
        if row.wanted:
            counts[8] += sign
        if row.problem is not None:
            counts[9] += sign
        if row.absent_ns is not None:
            counts[10] += sign
        if row.held:
            counts[11] += sign

    def insert(self, root_id: int, media_type: MediaType, size: int, wanted: int) -> None:
        """Count in a file that nothing is known of."""
        counts = self._of(root_id)
        self._changed.add(root_id)
        audio = media_type == "audio"
        counts[0] += 1
        counts[1] += size
        counts[3 if audio else 2] += 1
        counts[5] += 1
        counts[6] += 1
        counts[8] += wanted != 0

    def quick_hashed(self, root_id: int, files: int) -> None:
        """Count rows that went from lacking the quick hash to having it, and changed in nothing else that counts."""
        counts = self._of(root_id)
        counts[4] += files
        counts[5] -= files
        self._changed.add(root_id)

    def carry(self, connection: sqlite3.Connection, paths: tuple[bytes, bytes], was: int | None, now: int) -> None:
        """Count the rows below a range of directory paths out of one root and into another."""
        if was == now:
            return
        sums = connection.execute(
            f"SELECT {_SUMS} FROM contributions AS c JOIN directories AS d ON d.id = c.directory_id "
            "WHERE d.path >= ? AND d.path < ? AND d.root_id IS ?",
            (*paths, was),
        ).fetchone()
        for root_id, sign in ((was, -1), (now, +1)):
            if root_id is not None:
                self._counts[root_id] = [a + sign * b for a, b in zip(self._of(root_id), sums, strict=True)]
                self._changed.add(root_id)

    def recount(self, connection: sqlite3.Connection, root_id: int) -> None:
        """Count the rows of a root anew: reads all of them."""
        row = connection.execute(f"SELECT {_SUMS} FROM contributions WHERE root_id = ?", (root_id,)).fetchone()
        self._counts[root_id] = list(row)
        self._changed.add(root_id)

    def write(self, connection: sqlite3.Connection) -> None:
        """Store what changed since the last call; belongs into the transaction of those changes."""
        connection.executemany(
            f"INSERT OR REPLACE INTO totals (root_id, {', '.join(FIELDS)}) VALUES (?{', ?' * len(FIELDS)})",
            [(root_id, *self._counts[root_id]) for root_id in self._changed],
        )
        self._changed.clear()

    def _of(self, root_id: int) -> list[int]:
        counts = self._counts.get(root_id)
        if counts is None:
            counts = self._counts[root_id] = [0] * len(FIELDS)
        return counts
