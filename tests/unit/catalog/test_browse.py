"""The list of files against a plain sort and filter of the same rows."""

from __future__ import annotations

import contextlib
import itertools
import random
import sqlite3
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest

from mediawatchd.catalog.browse import SORTS, BadCursor, Order, Selection, page, path_fields, stream
from mediawatchd.catalog.events import Period, history
from mediawatchd.model import FINGERPRINT, QUICK_HASH

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOTS = {1: b"/media/", 2: b"/media2/", 3: b"/left/"}
FOLDERS = (b"", b"a/", b"a/b/", b"a.b/", b"a0/", b"50%_off/", b"\xff\xfe/")
NAMES = (
    b"One.mkv",
    b"ONE two.mkv",
    b"50%.mkv",
    b"a_b.mkv",
    b"axb.mkv",
    "Привет.mkv".encode(),
    b"\xff.mkv",
    b"new\nline.mkv",
)


def _catalog(path: Path | str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for name in sorted(each.name for each in resources.files("mediawatchd.catalog.migrations").iterdir()):
        if name.endswith(".sql"):
            connection.executescript(resources.files("mediawatchd.catalog.migrations").joinpath(name).read_text())
    for number, root in ROOTS.items():
        connection.execute(
            "INSERT INTO roots (id, path, configured) VALUES (?, ?, ?)", (number, root, root != b"/left/")
        )
    return connection


def _is_text(raw: bytes) -> bool:
    return raw.decode(errors="ignore").encode() == raw


def _add_directory(connection: sqlite3.Connection, root: int, path: bytes, *, gone: bool = False) -> int:
    cursor = connection.execute(
        "INSERT INTO directories (root_id, path, path_is_text, gone) VALUES (?, ?, ?, ?)",
        (root, path, _is_text(path), gone),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _add_file(connection: sqlite3.Connection, directory: int, name: bytes, **columns: object) -> int:
    values = {
        "directory_id": directory,
        "name": name,
        "name_is_text": _is_text(name),
        "media_type": "video",
        "size": 1,
        "mtime_ns": 1,
        "lacks": 0,
        "first_seen": 1,
        **columns,
    }
    cursor = connection.execute(
        f"INSERT INTO media_files ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})", list(values.values())
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


@pytest.fixture(scope="module")
def template() -> Iterator[sqlite3.Connection]:
    """A small catalog with every kind of row: missing, in a directory that is gone, hidden, of a root that was left."""
    chance = random.Random(7)
    connection = _catalog(":memory:")
    for root, folder in itertools.product(ROOTS, FOLDERS):
        for gone in (False, True):
            directory = _add_directory(connection, root, ROOTS[root] + folder, gone=gone)
            for name in NAMES:
                for missing in (True, True) if gone else (False, True):
                    _add_file(
                        connection,
                        directory,
                        name,
                        media_type=chance.choice(["video", "vr", "audio"]),
                        size=chance.randrange(4),
                        mtime_ns=chance.randrange(4),
                        duration=chance.choice([None, 0.0, 1.5, 1.5, 7.25]),
                        first_seen=chance.randrange(4),
                        lacks=chance.choice([0, QUICK_HASH, FINGERPRINT]),
                        wanted=chance.choice([0, 0, FINGERPRINT]),
                        problem=chance.choice([None, None, "unreadable"]),
                        missing_since=5 if missing else None,
                        hidden=chance.random() < 0.1,
                    )
    yield connection
    connection.close()


@pytest.fixture
def connection(template: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """A copy of the small catalog."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    template.backup(connection)
    yield connection
    connection.close()


def _expected(connection: sqlite3.Connection, order: Order) -> list[tuple[int, bytes, sqlite3.Row]]:
    """Every listed row with its path, sorted in Python."""
    connection.row_factory = sqlite3.Row
    rows = connection.execute(
        "SELECT f.*, d.path FROM media_files f JOIN directories d ON d.id = f.directory_id "
        "WHERE NOT f.hidden AND d.root_id IN (1, 2)"
    ).fetchall()
    connection.row_factory = None

    def key(row: sqlite3.Row) -> tuple[Any, ...]:
        duration = -1 if row["duration"] is None else row["duration"]
        keys = {
            "path": (row["path"], row["name"]),
            "name": (row["name"],),
            "size": (row["size"],),
            "modified": (row["mtime_ns"],),
            "duration": (duration,),
            "first_seen": (row["first_seen"],),
        }
        return (*keys[order.sort], row["id"])

    return [(row["id"], row["path"] + row["name"], row) for row in sorted(rows, key=key, reverse=order.descending)]


def _all_pages(connection: sqlite3.Connection, selection: Selection, order: Order, limit: int) -> list[int]:
    found: list[int] = []
    after = None
    for _ in range(1_000):
        files, after = page(connection, selection, order, limit=limit, after=after)
        assert len(files) <= limit
        found += [file["id"] for file in files]
        if after is None:
            return found
    raise AssertionError("the pages never end")


@pytest.mark.parametrize("missing", [False, True, None])
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", SORTS)
def test_pages_hold_every_selected_file_once_and_in_order(
    connection: sqlite3.Connection, sort: Any, descending: bool, missing: bool | None
) -> None:
    order = Order(sort, descending)
    expected = [
        number
        for number, _, row in _expected(connection, order)
        if missing is None or (row["missing_since"] is not None) == missing
    ]
    assert len(expected) > 90
    for limit in (3, 10_000):
        assert _all_pages(connection, Selection(missing=missing), order, limit) == expected


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", ["path", "size"])
def test_a_stream_holds_the_same_files_as_the_pages(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, sort: Any, descending: bool
) -> None:
    monkeypatch.setattr("mediawatchd.catalog.browse.ROWS_AT_ONCE", 10)
    order = Order(sort, descending)
    expected = [number for number, _, row in _expected(connection, order) if row["missing_since"] is None]

    def streamed(**start: Any) -> list[int]:
        lists = stream(lambda: contextlib.nullcontext(connection), Selection(), order, **start)
        return [file["id"] for files in lists for file in files]

    assert streamed(limit=None, after=None) == expected
    assert streamed(limit=25, after=None) == expected[:25]
    assert streamed(limit=0, after=None) == []
    _, cursor = page(connection, Selection(), order, limit=13, after=None)
    assert streamed(limit=None, after=cursor) == expected[13:]
    assert streamed(limit=5, after=cursor) == expected[13:18]


def _is_pending(row: Any) -> bool:
    """A fingerprint that it lacks is waited for only when somebody wants it."""
    return row["lacks"] == QUICK_HASH or bool(row["wanted"])


SELECTIONS: dict[str, tuple[Selection, Any]] = {
    "under a directory": (Selection(under=b"/media/a"), lambda path, _: path.startswith(b"/media/a/")),
    "under a directory, with a slash": (Selection(under=b"/media/a/"), lambda path, _: path.startswith(b"/media/a/")),
    "under a name that is a pattern elsewhere": (
        Selection(under=b"/media/50%_off"),
        lambda path, _: path.startswith(b"/media/50%_off/"),
    ),
    "under a name that is not text": (
        Selection(under=b"/media/\xff\xfe"),
        lambda path, _: path.startswith(b"/media/\xff\xfe/"),
    ),
    "under a file": (Selection(under=b"/media/a/One.mkv"), lambda path, _: path == b"/media/a/One.mkv"),
    "under everything": (Selection(under=b"/"), lambda path, _: True),
    "under nothing known": (Selection(under=b"/media/a/nothing"), lambda path, _: False),
    "a root": (Selection(root=b"/media2"), lambda path, _: path.startswith(b"/media2/")),
    "a root that was left": (Selection(root=b"/left"), lambda path, _: False),
    "a folder of another root": (Selection(root=b"/media2", under=b"/media/a"), lambda path, _: False),
    "a type": (Selection(media_type="vr"), lambda _, row: row["media_type"] == "vr"),
    "with a problem": (Selection(problem=True), lambda _, row: row["problem"] is not None),
    "without a problem": (Selection(problem=False), lambda _, row: row["problem"] is None),
    "pending": (Selection(pending=True), lambda _, row: _is_pending(row)),
    "not pending": (Selection(pending=False), lambda _, row: not _is_pending(row)),
    "a word in either case": (Selection(q="oNe"), lambda path, _: b"one" in path.split(b"/")[-1].lower()),
    "a word beyond ASCII": (Selection(q="пРИВЕТ"), lambda path, _: "Привет".encode() in path.split(b"/")[-1]),
    "a percent sign": (Selection(q="%"), lambda path, _: b"%" in path.split(b"/")[-1]),
    "an underscore": (Selection(q="a_b"), lambda path, _: b"a_b" in path.split(b"/")[-1]),
    "all at once": (
        Selection(under=b"/media/a", root=b"/media", media_type="audio", problem=False, pending=False, q="MKV"),
        lambda path, row: (
            path.startswith(b"/media/a/")
            and row["media_type"] == "audio"
            and row["problem"] is None
            and not _is_pending(row)
        ),
    ),
}


@pytest.mark.parametrize("name", SELECTIONS)
@pytest.mark.parametrize("sort", ["path", "duration"])
def test_a_selection_holds_what_it_says_and_nothing_else(connection: sqlite3.Connection, sort: Any, name: str) -> None:
    selection, wanted = SELECTIONS[name]
    order = Order(sort)
    expected = [
        number
        for number, path, row in _expected(connection, order)
        if row["missing_since"] is None and wanted(path, row)
    ]
    assert _all_pages(connection, selection, order, 5) == expected


def test_a_page_goes_on_where_the_last_one_ended_though_rows_come_and_go(connection: sqlite3.Connection) -> None:
    first, cursor = page(connection, Selection(), Order(), limit=20, after=None)
    expected = [number for number, _, row in _expected(connection, Order()) if row["missing_since"] is None][20:]
    connection.execute("DELETE FROM media_files WHERE id IN (?, ?)", (first[3]["id"], first[-1]["id"]))
    new = _add_file(connection, _add_directory(connection, 1, b"/media/!/"), b"before all others.mkv")
    rest, _ = page(connection, Selection(), Order(), limit=10_000, after=cursor)
    assert [file["id"] for file in rest] == expected
    assert page(connection, Selection(), Order(), limit=1, after=None)[0][0]["id"] != new  # /media/One.mkv is in front
    assert new in [file["id"] for file in page(connection, Selection(), Order(), limit=20, after=None)[0]]


@pytest.mark.parametrize(
    "cursor", ["", "x", "é", "W10", "bnVsbA", "WyJwYXRoIiwgZmFsc2UsIDEsIDIsIDNd", "W1tb" * 5_000, "e30", "MQ"]
)
def test_what_is_no_cursor_is_refused(connection: sqlite3.Connection, cursor: str) -> None:
    with pytest.raises(BadCursor):
        page(connection, Selection(), Order(), limit=1, after=cursor)


def test_a_cursor_of_another_order_is_refused(connection: sqlite3.Connection) -> None:
    _, cursor = page(connection, Selection(), Order("size"), limit=1, after=None)
    for order in (Order("modified"), Order("size", descending=True)):
        with pytest.raises(BadCursor):
            page(connection, Selection(), order, limit=1, after=cursor)
        with pytest.raises(BadCursor):
            list(stream(lambda: contextlib.nullcontext(connection), Selection(), order, limit=None, after=cursor))


def test_a_file_is_shown_with_the_columns_of_the_view_and_twins() -> None:
    connection = _catalog(":memory:")
    directory = _add_directory(connection, 1, b"/media/a/")
    _add_file(connection, directory, b"b.mkv", size=12, quick_hash=b"\x01" * 32, duration=1.5)
    _add_file(connection, directory, b"\xff.mkv")
    columns = [row[1] for row in connection.execute("PRAGMA table_info(files)")]
    (plain, raw), _ = page(connection, Selection(), Order(), limit=2, after=None)
    connection.close()
    assert set(plain) == set(columns) - {"file_path"} | {"path", "path_b64", "filename_b64", "root_b64"}
    assert (plain["path"], plain["path_b64"], plain["root"]) == ("/media/a/b.mkv", None, "/media")
    assert (plain["file_size"], plain["duration"], plain["quick_hash"]) == (12, 1.5, "01" * 32)
    assert (raw["path"], raw["path_b64"]) == ("/media/a/\ufffd.mkv", "L21lZGlhL2Ev/y5ta3Y=")
    assert (raw["filename"], raw["filename_b64"], raw["root_b64"]) == ("\ufffd.mkv", "/y5ta3Y=", None)


def test_a_path_that_is_text_has_no_twin() -> None:
    assert path_fields("path", "ä".encode()) == {"path": "ä", "path_b64": None}
    assert path_fields("from", None) == {"from": None, "from_b64": None}


def test_the_order_of_paths_needs_no_sorting(connection: sqlite3.Connection) -> None:
    plans: list[str] = []
    connection.set_trace_callback(plans.append)
    _, cursor = page(connection, Selection(under=b"/media/a"), Order(), limit=1, after=None)
    page(connection, Selection(under=b"/media/a"), Order(), limit=1, after=cursor)
    connection.set_trace_callback(None)
    queries = [plan for plan in plans if "CROSS JOIN media_files" in plan]
    assert len(queries) == 6
    for query in queries:
        steps = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}"))
        assert "directories_present (path" in steps
        assert "media_files_present (directory_id=?" in steps
        assert "TEMP B-TREE" not in steps


def test_the_history_in_both_directions(connection: sqlite3.Connection) -> None:
    paths = [b"/media/a", b"/media/a/b", b"/media/a0", b"/media/\xff", None, b"/media/a/c"]
    for seq, path in enumerate(paths, start=1):
        connection.execute(
            "INSERT INTO history (seq, time, event, path) VALUES (?, ?, 'added', ?)", (seq, seq / 2, path)
        )

    def numbers(period: Period, limit: int = 100, after: int | None = None) -> tuple[list[int], int | None]:
        events, onward = history(connection, period, limit=limit, after=after)
        return [event["seq"] for event in events], onward

    assert numbers(Period()) == ([1, 2, 3, 4, 5, 6], None)
    assert numbers(Period(), limit=4) == ([1, 2, 3, 4], 4)
    assert numbers(Period(), limit=4, after=4) == ([5, 6], None)
    assert numbers(Period(newest_first=True), limit=4) == ([6, 5, 4, 3], 3)
    assert numbers(Period(newest_first=True, since=1), limit=4, after=3) == ([2], None)
    assert numbers(Period(since=4)) == ([5, 6], None)
    assert numbers(Period(path=b"/media/a/")) == ([1, 2, 6], None)
    assert numbers(Period(path=b"/media/a", newest_first=True), limit=2) == ([6, 2], 2)
    assert numbers(Period(path=b"/")) == ([1, 2, 3, 4, 6], None)
    events, _ = history(connection, Period(path=b"/media/\xff"), limit=1, after=None)
    assert events == [
        {"seq": 4, "time": 2.0, "event": "added", "path": "/media/\ufffd", "path_b64": "L21lZGlhL/8=", "from": None,
         "from_b64": None, "detail": None}
    ]  # fmt: skip
