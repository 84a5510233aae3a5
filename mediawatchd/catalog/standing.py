"""What is known of one file beyond the list's columns, of a folder as a whole, and where a file stands in the queue.

Runs on the thread of whoever asks, with a read-only connection. Read only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mediawatchd.catalog.directories import below

if TYPE_CHECKING:
    import sqlite3

MOST_AHEAD = 10_000
"""Counting all that waits in a library that has just arrived would take a second; this takes milliseconds."""

_FOLDER = ("files", "bytes", "pending_quick_hash", "pending_probe", "problems", "held", "missing")


def metadata(connection: sqlite3.Connection, file_id: int) -> dict[str, dict[str, Any]]:
    """What the probe found: `video`, `audio` and `vr`, each only if the file has it, and of each what is known."""
    found = {}
    for kind in ("video", "audio", "vr"):
        cursor = connection.execute(f"SELECT * FROM {kind}_metadata WHERE file_id = ?", (file_id,))
        columns = [description[0] for description in cursor.description]
        for row in cursor:
            found[kind] = {
                column: value for column, value in zip(columns, row, strict=True) if column != "file_id" and value
            }
    return found


def folder(connection: sqlite3.Connection, path: bytes) -> dict[str, int] | None:
    """Sums over a present folder and all below it; None when the catalog knows no such folder. Reads all its rows."""
    low, high = below(path)
    directories: int = connection.execute(
        "SELECT count(*) FROM directories WHERE path >= ? AND path < ? AND NOT gone", (low, high)
    ).fetchone()[0]
    if not directories:
        return None
    sums = ", ".join(f"coalesce(sum(c.{field}), 0)" for field in _FOLDER)
    row = connection.execute(
        f"SELECT {sums} FROM directories AS d CROSS JOIN contributions AS c ON c.directory_id = d.id "
        "WHERE d.path >= ? AND d.path < ?",
        (low, high),
    ).fetchone()
    return {"folders": directories - 1, **dict(zip(_FOLDER, row, strict=True))}
