"""A database of the older `media_analyzer` layout, upgraded in place.

Runs in the thread that opens the database, in one transaction: a kill leaves the old database as it was. Every table
is first renamed to `legacy_NAME`. What the catalog has a place for is then carried over, and a known table is
dropped when nothing in it was left behind; one that has columns or rows for which there is no place, or that a
table of somebody else's refers to, stays whole. Views and triggers cannot follow the tables; their definitions are
kept in `legacy_schema`.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from mediawatchd.catalog import legacy_values, schema
from mediawatchd.catalog.legacy_layout import (
    FILE_COLUMNS,
    MEDIA_TYPES,
    METADATA,
    SCAN_TIME,
    columns,
    file_selection,
    first_seen_column,
    quoted,
    remembered,
    text_as_bytes,
)
from mediawatchd.catalog.legacy_values import UNKNOWN_TIME, rounded_ns
from mediawatchd.catalog.restore import Remembered, Restore
from mediawatchd.catalog.rows import everything
from mediawatchd.model import PROBE

if TYPE_CHECKING:
    from collections.abc import Iterator


def same_time(disk_ns: int, stored_ns: int) -> bool:
    """Whether a file's mtime_ns is the one that a row with an empty ctime_ns stands for, to the microsecond.

    A row whose time is not known contradicts none; such a row has no `quick_hash` but a `former_quick_hash`, so that
    nothing else of it counts before the bytes were compared.
    """
    return stored_ns in (disk_ns, UNKNOWN_TIME) or rounded_ns(disk_ns) == stored_ns


def upgrade(connection: sqlite3.Connection, *, now: int) -> list[str]:
    """Make the database one of version 1; returns what a person should know.

    `now` is Unix seconds, for rows that do not say when they were first seen. Foreign keys must be off, or dropping
    an old table would delete the rows that refer to it.
    """
    with schema.transaction(connection):
        tables = _set_aside(connection)
        schema.apply(connection, 1)
        return _Upgrade(connection, tables, now).run()


def _set_aside(connection: sqlite3.Connection) -> dict[str, str]:
    """Rename every table; returns the new name of each old one (in lower case)."""
    objects = connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite~_%' ESCAPE '~'"
    ).fetchall()
    taken = {name.lower() for _, name, _ in objects}
    ours = _own_names()
    # A view or trigger that no longer fits its tables makes every later ALTER TABLE fail, ours too.
    dropped = [(kind, name, sql) for kind, name, sql in objects if kind in ("trigger", "view")]
    dropped += [(kind, name, sql) for kind, name, sql in objects if kind == "index" and name.lower() in ours]
    for kind, name, _ in sorted(dropped):  # triggers before the views that they may belong to
        connection.execute(f"DROP {kind} {quoted(name)}")
    tables = {}
    rows = connection.execute(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'virtual') "
        "AND name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY name"
    ).fetchall()
    for (name,) in rows:
        tables[name.lower()] = name if name.lower().startswith("legacy_") else _rename(connection, name, taken)
    if dropped:
        keep = _free_name("legacy_schema", taken)
        connection.execute(f"CREATE TABLE {keep} (type TEXT, name TEXT, sql TEXT)")
        connection.executemany(f"INSERT INTO {keep} VALUES (?, ?, ?)", dropped)
    return tables


def _rename(connection: sqlite3.Connection, name: str, taken: set[str]) -> str:
    new = _free_name(f"legacy_{name}", taken)
    try:
        connection.execute(f"ALTER TABLE {quoted(name)} RENAME TO {quoted(new)}")
    except sqlite3.OperationalError as exc:
        if "no such module" not in str(exc):
            raise
        return name  # a virtual table of an extension that is not loaded here
    return new


def _free_name(name: str, taken: set[str]) -> str:
    while name.lower() in taken:
        name += "_"
    taken.add(name.lower())
    return name


def _own_names() -> set[str]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        schema.apply(fresh, 1)
        return {row[0] for row in fresh.execute("SELECT name FROM sqlite_master")}


class _Upgrade:
    """Carries the rows of the renamed tables over, and drops those tables that are then of no more use."""

    def __init__(self, connection: sqlite3.Connection, tables: dict[str, str], now: int) -> None:
        self._connection = connection
        self._tables = tables
        self._now = now
        self._left: set[str] = set()  # known tables of which something could not be carried over

    def run(self) -> list[str]:
        files = self._files()
        for table in METADATA:
            if table in self._tables:
                self._metadata(table)
        self._scan_times()
        self._settle_types()
        self._continue_ids()
        kept = self._drop()
        (carried,) = self._connection.execute("SELECT count(*) FROM media_files").fetchone()
        notices = [f"A media_analyzer database was upgraded: {carried} of {files} files were carried over."]
        if kept:
            notices.append(f"What the catalog has no place for is kept in {', '.join(kept)}.")
        return notices

    def _files(self) -> int:
        source = self._tables["media_files"]
        selection = file_selection(self._connection, source)
        restore = Restore(self._connection)
        with text_as_bytes(self._connection):
            carried = restore.insert(self._remembered(f"{selection} ORDER BY id"))
            (files,) = self._connection.execute(f"SELECT count(*) FROM {quoted(source)}").fetchone()
            if carried < files:
                self._left.add("media_files")
                again = f"{selection} WHERE id NOT IN (SELECT id FROM media_files) ORDER BY id"
                for row in list(self._remembered(again)):
                    self._displace(restore, row)
        restore.finish()
        known = {*FILE_COLUMNS, "filename", first_seen_column(columns(self._connection, source))}
        self._note_unknown_columns("media_files", known)
        return int(files)

    def _remembered(self, query: str) -> Iterator[Remembered]:
        base = os.getcwdb()
        for values in self._connection.execute(query):
            row = remembered(values, base=base, now=self._now)
            if row is not None:
                yield row

    def _displace(self, restore: Restore, row: Remembered) -> None:
        """Of two old rows of one path the one with more hashes is carried over, the first of equals."""
        former = restore.holder(row.path)
        if former is None:
            return
        file_id, *hashes = former
        known = [value is not None for value in hashes]
        if known < [row.video_phash is not None, (row.quick_hash or row.former_quick_hash) is not None]:
            self._connection.execute("DELETE FROM media_files WHERE id = ?", (file_id,))
            restore.insert([row])

    def _metadata(self, table: str) -> None:
        source = self._tables[table]
        present = columns(self._connection, source)
        if "file_id" not in present:
            self._left.add(table)
            return
        fields = [
            (column, name)
            for column in METADATA[table]
            if (name := next((name for name in column.sources if name in present), None)) is not None
        ]
        chosen = ", ".join(["file_id", *(quoted(name) for _, name in fields)])
        names = ", ".join(["file_id", *(column.name for column, _ in fields)])
        # The row may be of a file that is not known, or a second one of its file.
        insert = (
            f"INSERT OR IGNORE INTO {table} ({names}) SELECT {', '.join('?' * (len(fields) + 1))} "
            "WHERE EXISTS (SELECT 1 FROM media_files WHERE id = ?)"
        )
        offered = 0

        def rows() -> Iterator[tuple[object, ...]]:
            nonlocal offered
            for file_id, *values in self._connection.execute(f"SELECT {chosen} FROM {quoted(source)}"):
                converted = [column.convert(value) for (column, _), value in zip(fields, values, strict=True)]
                if any(value is not None for value in converted):
                    offered += 1
                    yield file_id, *converted, file_id

        with text_as_bytes(self._connection):
            if self._connection.executemany(insert, rows()).rowcount < offered:
                self._left.add(table)
        self._note_unknown_columns(table, {"id", "file_id", *(name for _, name in fields)})

    def _scan_times(self) -> None:
        """Files were first seen when they were first scanned, where the files' own rows do not say."""
        if "scans" not in self._tables:
            return
        source = self._tables["scans"]
        present = columns(self._connection, source)
        time_column = next((name for name in SCAN_TIME if name in present), None)
        if "file_id" in present and time_column is not None:
            with text_as_bytes(self._connection):
                rows = self._connection.execute(
                    f"SELECT file_id, min({time_column}) FROM {quoted(source)} GROUP BY file_id"
                )
                updates = (
                    (seconds, file_id, seconds)
                    for file_id, value in rows
                    if (seconds := legacy_values.unix_seconds(value, now=self._now)) is not None
                )
                self._connection.executemany(
                    "UPDATE media_files SET first_seen = ? WHERE id = ? AND first_seen > ?", updates
                )
        # The catalog's own scans are of roots, so there is no place for scans of files.
        self._note_unknown_columns("scans", {"id"})

    def _settle_types(self) -> None:
        """What the rows themselves do not say follows from the metadata they have."""
        execute = self._connection.execute
        execute(
            f"UPDATE media_files SET lacks = lacks & ~{PROBE} WHERE lacks & {PROBE} AND id IN (SELECT file_id FROM "
            "video_metadata UNION ALL SELECT file_id FROM audio_metadata UNION ALL SELECT file_id FROM vr_metadata)"
        )
        source = self._tables["media_files"]
        if "media_type" not in columns(self._connection, source):
            unsaid = "true"
        else:
            known = ", ".join(f"'{kind}'" for kind in MEDIA_TYPES)
            unsaid = (
                f"id IN (SELECT id FROM {quoted(source)} "
                f"WHERE lower(trim(coalesce(CAST(media_type AS TEXT), ''))) NOT IN ({known}))"
            )
        execute(f"UPDATE media_files SET media_type = 'vr' WHERE {unsaid} AND id IN (SELECT file_id FROM vr_metadata)")
        execute(
            f"UPDATE media_files SET media_type = 'audio', lacks = lacks & {everything('audio')} WHERE {unsaid} "
            "AND media_type = 'video' AND id IN (SELECT file_id FROM audio_metadata) "
            "AND id NOT IN (SELECT file_id FROM video_metadata)"
        )

    def _continue_ids(self) -> None:
        """No id that was ever given to a file is given to another one."""
        source = self._tables["media_files"]
        (highest,) = self._connection.execute(
            f"SELECT max(coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = ?), 0), "
            f"coalesce((SELECT max(id) FROM {quoted(source)}), 0))",
            (source,),
        ).fetchone()
        self._connection.execute("DELETE FROM sqlite_sequence WHERE name = 'media_files'")
        self._connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('media_files', ?)", (highest,))

    def _note_unknown_columns(self, table: str, known: set[str]) -> None:
        source = self._tables[table]
        unknown = [column for column in columns(self._connection, source) if column not in known]
        filled = " OR ".join(f"{quoted(column)} IS NOT NULL" for column in unknown) or "false"
        (found,) = self._connection.execute(f"SELECT EXISTS (SELECT 1 FROM {quoted(source)} WHERE {filled})").fetchone()
        if found:
            self._left.add(table)

    def _drop(self) -> list[str]:
        """Returns the names of the tables that stay."""
        known = {"media_files", "scans", *METADATA}
        kept = []
        for table, name in self._tables.items():
            if table not in known or table in self._left or self._is_referred_to(name, known):
                kept.append(name)
            else:
                self._connection.execute(f"DROP TABLE {quoted(name)}")
        return kept

    def _is_referred_to(self, name: str, known: set[str]) -> bool:
        """Whether a table of somebody else's has a foreign key to this one."""
        return any(
            self._connection.execute(
                'SELECT 1 FROM pragma_foreign_key_list(?) WHERE lower("table") = lower(?)', (other, name)
            ).fetchone()
            for table, other in self._tables.items()
            if table not in known
        )
