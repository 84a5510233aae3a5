"""The `media_analyzer` layout: what its tables and columns were called, and what they are in the catalog.

Pure functions and names; nothing here writes. Columns differ between its versions, so each is looked for under all the
names it had.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.catalog import legacy_values as values
from mediawatchd.catalog.legacy_values import UNKNOWN_TIME, Value
from mediawatchd.catalog.restore import Remembered
from mediawatchd.catalog.rows import everything
from mediawatchd.model import PERCEPTUAL_HASH, PROBE, QUICK_HASH

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    from mediawatchd.model import MediaType

FILE_COLUMNS = (
    "id",
    "file_path",
    "media_type",
    "file_size",
    "modified_date",
    "quick_hash",
    "video_phash",
    "container_format",
    "duration",
    "bitrate",
)
MEDIA_TYPES: tuple[MediaType, ...] = ("video", "vr", "audio")
_KINDS: dict[Value, MediaType] = {kind.encode(): kind for kind in MEDIA_TYPES}
_FIRST_SEEN = ("first_seen", "created_at", "added_at", "date_added", "indexed_at", "scanned_at", "scan_date")
SCAN_TIME = ("scan_date", "scan_time", "scanned_at", "started_at", "created_at", "timestamp")


class Column(NamedTuple):
    """A column of the catalog, the names that it had, and how a value becomes ours."""

    name: str
    sources: tuple[str, ...]
    convert: Callable[[Value], object]


METADATA = {
    "video_metadata": (
        Column("codec", ("codec", "video_codec", "codec_name"), values.text),
        Column("width", ("width",), values.integer),
        Column("height", ("height",), values.integer),
        Column("frame_rate", ("frame_rate", "fps", "framerate"), values.real),
        Column("rotation", ("rotation",), values.integer),
        Column("bit_depth", ("bit_depth",), values.integer),
        Column("hdr", ("hdr", "hdr_format"), values.dynamic_range),
    ),
    "audio_metadata": (
        Column("codec", ("codec", "audio_codec", "codec_name"), values.text),
        Column("channels", ("channels",), values.integer),
        Column("sample_rate", ("sample_rate",), values.integer),
        Column("title", ("title",), values.text),
        Column("artist", ("artist",), values.text),
        Column("album", ("album",), values.text),
        Column("track", ("track", "track_number"), values.text),
    ),
    "vr_metadata": (
        Column("projection", ("projection", "projection_type"), values.text),
        Column("stereo_mode", ("stereo_mode",), values.text),
        Column("field_of_view", ("field_of_view", "fov"), values.integer),
        Column("source", ("source",), values.text),
    ),
}


def is_legacy(connection: sqlite3.Connection) -> bool:
    """Whether there is a `media_files` as `media_analyzer` had it."""
    return {"id", "file_path"} <= set(columns(connection, "media_files"))


def remembered(row: tuple[Value, ...], *, base: bytes, now: int) -> Remembered | None:
    """A row of the old `media_files`, selected by `file_selection`; None where there is no telling which file it is."""
    file_id, path, media_type, size, modified, quick, phash, container, duration, bitrate, first_seen = row
    place = values.path_bytes(path, base)
    if place is None or not isinstance(file_id, int):
        return None
    kind = _KINDS.get(media_type) or _KINDS.get((values.text(media_type) or "").strip().lower().encode(), "video")
    mtime_ns = values.mtime_ns(modified)
    quick_hash, video_phash = values.quick_hash(quick), values.perceptual_hash(phash)
    probe = (values.text(container), values.real(duration), values.integer(bitrate))
    lacks = everything(kind)
    verified = mtime_ns != UNKNOWN_TIME
    if quick_hash is not None and verified:
        lacks &= ~QUICK_HASH
    if video_phash is not None:
        lacks &= ~PERCEPTUAL_HASH
    if probe != (None, None, None):
        lacks &= ~PROBE
    return Remembered(
        file_id,
        place,
        kind,
        max(0, values.integer(size) or 0),
        mtime_ns,
        lacks,
        quick_hash if verified else None,
        None if verified else quick_hash,
        video_phash,
        *probe,
        values.unix_seconds(first_seen, now=now) or now,
    )


def file_selection(connection: sqlite3.Connection, table: str) -> str:
    """SELECT ... FROM the old `media_files`, under the name it now has, with NULL for what that version had not."""
    present = columns(connection, table)
    chosen = [column if column in present else "NULL" for column in FILE_COLUMNS]
    return f"SELECT {', '.join([*chosen, first_seen_column(present)])} FROM {quoted(table)}"


def first_seen_column(present: list[str]) -> str:
    """The column that says since when a file has been known, or NULL."""
    return next((column for column in _FIRST_SEEN if column in present), "NULL")


@contextmanager
def text_as_bytes(connection: sqlite3.Connection) -> Iterator[None]:
    """While it lasts, text is read as it is stored: old text need not be valid UTF-8."""
    connection.text_factory = bytes
    try:
        yield
    finally:
        connection.text_factory = str


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def columns(connection: sqlite3.Connection, table: str) -> list[str]:
    """Names in lower case; empty when there is no such table."""
    return [row[0].lower() for row in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))]
