"""Databases of the older `media_analyzer` layout, as values."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FILES = (
    "CREATE TABLE media_files (id INTEGER PRIMARY KEY AUTOINCREMENT, file_path TEXT UNIQUE NOT NULL, filename TEXT, "
    "file_size INTEGER, modified_date TEXT, media_type TEXT, container_format TEXT, duration REAL, bitrate INTEGER"
)
HASHES = ", quick_hash TEXT, video_phash TEXT"
METADATA = {
    "video_metadata": "video_codec TEXT, width INTEGER, height INTEGER, fps TEXT",
    "audio_metadata": "codec TEXT, channels INTEGER, sample_rate INTEGER, title TEXT, artist TEXT",
    "vr_metadata": "projection_type TEXT, stereo_mode TEXT, fov INTEGER",
    "scans": "scan_date TEXT",
}
PHASH = "0123456789abcdef|fedcba9876543210"
NOON = "2024-05-01T12:00:00+00:00"
NOON_NS = 1_714_564_800_000_000_000


def file(path: str | bytes, **columns: object) -> dict[str, object]:
    """A row of a film of 1,000 bytes, everything known; `columns` replace values or add to them."""
    name = os.fsdecode(path).rpartition("/")[2]
    row = {
        "file_path": path,
        "filename": name.encode("utf-8", "replace").decode(),
        "file_size": 1000,
        "modified_date": NOON,
        "media_type": "video",
        "container_format": "matroska",
        "duration": 60.5,
        "bitrate": 1_000_000,
        "quick_hash": "ab" * 32,
        "video_phash": PHASH,
    }
    return row | columns


def write(
    path: bytes,
    files: Iterable[dict[str, object]],
    *,
    columns: str = HASHES,
    extra: Sequence[str] = (),
    rows: Iterable[tuple[str, Sequence[object]]] = (),
) -> None:
    """A database at `path`; `extra` statements and parametrised `rows` come after the files."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"{FILES}{columns})")
        for table, its_columns in METADATA.items():
            connection.execute(
                f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, file_id INTEGER REFERENCES media_files (id) "
                f"ON DELETE CASCADE, {its_columns})"
            )
        for row in files:
            names = ", ".join(row)
            connection.execute(
                f"INSERT INTO media_files ({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values())
            )
        for statement in extra:
            connection.execute(statement)
        for statement, values in rows:
            connection.execute(statement, values)
        connection.commit()
