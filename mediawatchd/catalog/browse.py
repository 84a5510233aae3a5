"""The list of files: what is selected, in which order, page by page.

Runs on the thread of whoever asks, with a read-only connection that is lent for one page at a time. The order of
`path` is that of the catalog, directory by directory and by name within each, because that is what its indexes
hold; the other orders look at every selected row. A page goes on after the last row of the one before, by key and
id, so rows that come and go in between neither repeat nor hide others. Nothing here looks at the disk.
"""

from __future__ import annotations

import base64
import heapq
import itertools
import json
import os
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from mediawatchd.model import PROBE, QUICK_HASH

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from mediawatchd.model import MediaType

    Clause = tuple[str, Sequence[Any]]
    """A condition of a query, and the values of its question marks."""

    Reader = Callable[[], AbstractContextManager[sqlite3.Connection]]
    """Lends a read-only connection; what is read in one loan may be older than what the next one sees."""

Sort = Literal["path", "name", "size", "modified", "duration", "first_seen"]
SORTS: tuple[Sort, ...] = get_args(Sort)

ROWS_AT_ONCE = 1_000
"""How many rows a stream reads in one transaction."""

_KEYS: Mapping[Sort, Sequence[str]] = {
    "path": ("d.path", "f.name", "f.id"),
    "name": ("f.name", "f.id"),
    "size": ("f.size", "f.id"),
    "modified": ("f.mtime_ns", "f.id"),
    "duration": ("coalesce(f.duration, -1.0)", "f.id"),
    "first_seen": ("f.first_seen", "f.id"),
}
_PATH_COLUMNS = {"file_path": "path", "filename": "filename", "root": "root"}
_EVERYTHING: Clause = ("1", ())


class BadCursor(ValueError):
    """A cursor that no page of this order gave out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which files are listed. None does not narrow, except that `missing` None means present and missing ones.

    `under` is a directory or one file, absolute, with or without a slash at its end; so is `root`. `q` is looked
    for in names without regard to case, and nothing in it is a pattern.
    """

    under: bytes | None = None
    root: bytes | None = None
    media_type: MediaType | None = None
    missing: bool | None = False
    problem: bool | None = None
    pending: bool | None = None
    q: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """By what the files are listed; ties are broken by id. Files without a duration come before the shortest."""

    sort: Sort = "path"
    descending: bool = False

    @property
    def beyond(self) -> str:
        return "<" if self.descending else ">"

    @property
    def columns(self) -> str:
        return ", ".join(_KEYS[self.sort])

    @property
    def terms(self) -> str:
        direction = "DESC" if self.descending else "ASC"
        return ", ".join(f"{column} {direction}" for column in _KEYS[self.sort])


def page(
    connection: sqlite3.Connection, selection: Selection, order: Order, *, limit: int, after: str | None
) -> tuple[list[dict[str, Any]], str | None]:
    """At most `limit` files, and the cursor for the next page, None when this was the last.

    Raises BadCursor. In the order of `path` this takes milliseconds however many files there are, unless few of
    them are selected; in any other order it looks at all of them.
    """
    start = None if after is None else _decode_cursor(order, after)
    connection.execute("BEGIN")  # a file that is selected as present must not be shown as missing
    try:
        found = list(itertools.islice(_keys(connection, selection, order, start, limit + 1), limit + 1))
        more = len(found) > limit
        del found[limit:]
        files = _rows(connection, [key[-1] for key in found])
    finally:
        connection.execute("ROLLBACK")
    return files, _encode_cursor(order, found[-1]) if more else None


def stream(
    reader: Reader, selection: Selection, order: Order, *, limit: int | None, after: str | None
) -> Generator[list[dict[str, Any]]]:
    """All files selected, or the first `limit`, in lists; no transaction is open between two of them.

    Raises BadCursor before the first list. In the order of `path` each list is a page. Any other order is settled
    once, at eight bytes a file, and the files are then shown as they have become.
    """
    if order.sort == "path":
        while limit is None or limit > 0:
            wanted = ROWS_AT_ONCE if limit is None else min(limit, ROWS_AT_ONCE)
            with reader() as connection:
                files, after = page(connection, selection, order, limit=wanted, after=after)
            yield files
            if after is None:
                return
            limit = None if limit is None else limit - wanted
    else:
        start = None if after is None else _decode_cursor(order, after)
        with reader() as connection:
            ids = array("q", (key[-1] for key in _keys(connection, selection, order, start, limit)))
        for first in range(0, len(ids), ROWS_AT_ONCE):
            with reader() as connection:
                files = _rows(connection, ids[first : first + ROWS_AT_ONCE])
            yield files


def file_at(connection: sqlite3.Connection, path: bytes) -> dict[str, Any] | None:
    """The file of a path, the present one before those that were there once; None when there never was any."""
    file_id = id_at(connection, path)
    return None if file_id is None else _rows(connection, [file_id])[0]


def id_at(connection: sqlite3.Connection, path: bytes) -> int | None:
    folder, slash, name = path.rpartition(b"/")
    row = connection.execute(
        "SELECT f.id FROM directories AS d JOIN media_files AS f ON f.directory_id = d.id "
        "JOIN roots AS r ON r.id = d.root_id "
        "WHERE d.path = ? AND f.name = ? AND r.configured AND NOT f.hidden "
        "ORDER BY f.missing_since IS NOT NULL, f.missing_since DESC LIMIT 1",
        (folder + slash, name),
    ).fetchone()
    return row[0] if row else None


def file_fields(columns: Iterable[str], row: Iterable[Any]) -> dict[str, Any]:
    """A row of the view `files` as it is shown: `path` for `file_path`, and a twin for each path."""
    shown: dict[str, Any] = {}
    for column, value in zip(columns, row, strict=True):
        if column in _PATH_COLUMNS:
            shown |= path_fields(_PATH_COLUMNS[column], value)
        else:
            shown[column] = value
    return shown


def path_fields(name: str, path: bytes | str | None) -> dict[str, str | None]:
    """A path as the field `name` and its twin: the raw bytes in base64, or None when the path is valid UTF-8."""
    if path is None or isinstance(path, str):
        return {name: path, f"{name}_b64": None}
    try:
        return {name: path.decode(), f"{name}_b64": None}
    except UnicodeDecodeError:
        return {name: path.decode(errors="replace"), f"{name}_b64": base64.b64encode(path).decode()}


def _rows(connection: sqlite3.Connection, ids: Sequence[int]) -> list[dict[str, Any]]:
    # CROSS JOIN keeps the order of the ids, and makes SQLite look each of them up instead of reading the whole view.
    cursor = connection.execute(
        "SELECT files.* FROM json_each(?) AS wanted CROSS JOIN files ON files.id = wanted.value ORDER BY wanted.key",
        (json.dumps(list(ids)),),
    )
    columns = [description[0] for description in cursor.description]
    return [file_fields(columns, row) for row in cursor]


def _keys(
    connection: sqlite3.Connection,
    selection: Selection,
    order: Order,
    start: Sequence[Any] | None,
    limit: int | None,
) -> Iterator[Sequence[Any]]:
    """Key and id of the selected rows beyond `start`, in order.

    The alternatives are queries of their own, merged: with OR between them SQLite would use no index.
    """
    if selection.q is not None:
        connection.create_function("name_has_q", 1, _finder(selection.q), deterministic=True)
    narrowing = list(_narrowing(selection))
    queries = []
    for clauses in itertools.product(_places(selection), _presence(selection), _onward(order, start)):
        conditions = [*clauses, *narrowing]
        # Directories first, whatever the planner would guess: their index and that of their files give the order.
        sql = (
            f"SELECT {order.columns} FROM directories AS d CROSS JOIN media_files AS f ON f.directory_id = d.id "
            f"WHERE {' AND '.join(text for text, _ in conditions)} ORDER BY {order.terms} LIMIT ?"
        )
        values = [value for _, bound in conditions for value in bound]
        queries.append(connection.execute(sql, [*values, -1 if limit is None else limit]))
    return heapq.merge(*(map(tuple, rows) for rows in queries), reverse=order.descending)


def _places(selection: Selection) -> list[Clause]:
    """Where the files may lie; no file lies in two of these."""
    if selection.under is None:
        return [_EVERYTHING]
    folder = selection.under.rstrip(b"/") + b"/"
    parent, name = os.path.split(folder[:-1])
    below = _below(folder)
    return [below, ("d.path = ? AND f.name = ?", (parent.rstrip(b"/") + b"/", name))] if name else [below]


def _presence(selection: Selection) -> list[Clause]:
    # A directory that is gone is remembered only for missing files. The wording is that of the partial indexes.
    present: list[Clause] = [("NOT d.gone AND f.missing_since IS NULL", ())]
    missing: list[Clause] = [
        ("NOT d.gone AND f.missing_since IS NOT NULL", ()),
        ("d.gone AND f.missing_since IS NOT NULL", ()),
    ]
    return present + missing if selection.missing is None else missing if selection.missing else present


def _onward(order: Order, start: Sequence[Any] | None) -> list[Clause]:
    if start is None:
        return [_EVERYTHING]
    if order.sort == "path":
        # The rest of the directory where the last page ended, and then the directories beyond it.
        directory, *rest = start
        return [
            (f"d.path = ? AND (f.name, f.id) {order.beyond} (?, ?)", (directory, *rest)),
            (f"d.path {order.beyond} ?", (directory,)),
        ]
    return [(f"({order.columns}) {order.beyond} (?, ?)", start)]


def _narrowing(selection: Selection) -> Iterator[Clause]:
    yield ("NOT f.hidden", ())
    if selection.root is None:
        yield ("d.root_id IN (SELECT id FROM roots WHERE configured)", ())
    else:
        root = selection.root.rstrip(b"/") + b"/"
        yield ("d.root_id IN (SELECT id FROM roots WHERE configured AND path = ?)", (root,))
        yield _below(root)
    if selection.media_type is not None:
        yield ("f.media_type = ?", (selection.media_type,))
    if selection.problem is not None:
        yield (f"f.problem IS {'NOT ' * selection.problem}NULL", ())
    if selection.pending is not None:
        yield (f"(f.lacks & ? | f.wanted) {'<>' if selection.pending else '='} 0", (QUICK_HASH | PROBE,))
    if selection.q is not None:
        yield ("name_has_q(f.name)", ())


def _below(folder: bytes) -> Clause:
    """The directory and all below it; `0` is the byte after the slash."""
    return ("d.path >= ? AND d.path < ?", (folder, folder[:-1] + b"0"))


def _finder(q: str) -> Callable[[bytes], bool]:
    wanted = q.casefold()
    return lambda name: wanted in name.decode(errors="replace").casefold()


def _encode_cursor(order: Order, key: Sequence[Any]) -> str:
    # Names are bytes; Latin-1 carries each byte through JSON as one character.
    shown = [part.decode("latin-1") if isinstance(part, bytes) else part for part in key]
    return base64.urlsafe_b64encode(json.dumps([order.sort, order.descending, *shown]).encode()).decode().rstrip("=")


def _decode_cursor(order: Order, cursor: str) -> tuple[Any, ...]:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        content = json.loads(base64.b64decode(padded, b"-_", validate=True))
        sort, descending, *shown = content
        key = tuple(part.encode("latin-1") if isinstance(part, str) else part for part in shown)
    except (ValueError, TypeError, RecursionError):
        raise BadCursor("this is no cursor of a list") from None
    if (sort, descending) != (order.sort, order.descending):
        raise BadCursor("this cursor belongs to a list in another order")
    if [type(part) for part in key] != _cursor_types(order) or not all(map(_storable, key)):
        raise BadCursor("this is no cursor of a list")
    return key


def _cursor_types(order: Order) -> list[type]:
    keys: Mapping[Sort, list[type]] = {"path": [bytes, bytes], "name": [bytes], "duration": [float]}
    return [*keys.get(order.sort, [int]), int]


def _storable(part: bytes | float) -> bool:
    return not isinstance(part, int) or -(1 << 63) <= part < 1 << 63
