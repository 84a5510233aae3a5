"""Rows of `media_files` as values: read, changed by `_replace`, and stored by what differs.

Used by the writer thread only. Whatever changes a row goes through `store`, `insert` or `delete`, so the
totals cannot be forgotten.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.model import PHASH, PROBE, QUICK_HASH, MediaType, Stamp

if TYPE_CHECKING:
    import sqlite3

    from mediawatchd.catalog.totals import Totals


class FileRow(NamedTuple):
    """The columns of `media_files` that decide; what a probe found is written, never read, here."""

    id: int
    directory_id: int
    name: bytes
    media_type: MediaType
    size: int
    mtime_ns: int
    ctime_ns: int | None
    inode: int | None
    links: int | None
    fact_ns: int
    due_ns: int
    priority: int
    lacks: int
    wanted: int
    attempts: int
    quick_hash: bytes | None
    former_quick_hash: bytes | None
    hashed_at: int | None
    video_phash: str | None
    problem: str | None
    problem_reason: str | None
    problem_lacks: int | None
    problem_since: int | None
    first_seen: int
    absent_ns: int | None
    held: int
    missing_since: int | None
    missing_online_ns: int | None
    missing_walks: int | None
    hidden: int

    @property
    def stamp(self) -> Stamp:
        return Stamp(self.size, self.mtime_ns, self.ctime_ns, self.inode, self.links)

    def with_stamp(self, stamp: Stamp) -> FileRow:
        return self._replace(**stamp._asdict())

    def without_problem(self) -> FileRow:
        return self._replace(problem=None, problem_reason=None, problem_lacks=None, problem_since=None)

    def with_kind(self, media_type: MediaType, wanted: int) -> FileRow:
        """The row under a name of this kind. What is known stays; what only a video has follows the kind.

        `wanted` is what is waited for if the kind changes.

        A name says "video" where only the probe knows "vr".
        """
        if (self.media_type == "audio") == (media_type == "audio"):
            return self
        lacks = self.lacks & ~PHASH | everything(media_type) & PHASH
        return self._replace(media_type=media_type, lacks=lacks, wanted=wanted)


COLUMNS = ", ".join(FileRow._fields)


def everything(media_type: MediaType) -> int:
    """The bits of `lacks` of a file that nothing is known of."""
    if media_type == "audio":
        return QUICK_HASH | PROBE
    return QUICK_HASH | PROBE | PHASH


def is_text(name: bytes) -> bool:
    """Whether a name is valid UTF-8, so that other programs may read it as text."""
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def file_by_id(connection: sqlite3.Connection, file_id: int) -> FileRow | None:
    row = connection.execute(f"SELECT {COLUMNS} FROM media_files WHERE id = ?", (file_id,)).fetchone()
    return FileRow._make(row) if row else None


def present_file(connection: sqlite3.Connection, directory_id: int, name: bytes) -> FileRow | None:
    row = connection.execute(
        f"SELECT {COLUMNS} FROM media_files WHERE directory_id = ? AND name = ? AND missing_since IS NULL",
        (directory_id, name),
    ).fetchone()
    return FileRow._make(row) if row else None


def missing_files(connection: sqlite3.Connection, directory_id: int, name: bytes) -> list[FileRow]:
    """The remembered rows of a name, the one that went last first."""
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM media_files WHERE directory_id = ? AND name = ? AND missing_since IS NOT NULL "
        "ORDER BY missing_since DESC, id DESC",
        (directory_id, name),
    )
    return [FileRow._make(row) for row in rows]


@cache
def _update(columns: tuple[str, ...]) -> str:
    return f"UPDATE media_files SET {', '.join(f'{column} = ?' for column in columns)} WHERE id = ?"


def store(
    connection: sqlite3.Connection, totals: Totals, old: FileRow, new: FileRow, roots: tuple[int | None, int | None]
) -> None:
    """Write what differs between `old` and `new`; `roots` are the roots that each counts for."""
    changed = [(field, value) for field, value, was in zip(FileRow._fields, new, old, strict=True) if value != was]
    if not changed:
        return
    columns = tuple(field for field, _ in changed)
    values: list[object] = [value for _, value in changed]
    if "name" in columns:
        columns += ("name_is_text",)
        values.append(is_text(new.name))
    connection.execute(_update(columns), (*values, old.id))
    totals.add(roots[0], old, -1)
    totals.add(roots[1], new, +1)
