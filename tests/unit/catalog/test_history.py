"""The history of a path: what happened there, and to what stands there now under its earlier names."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from mediawatchd.catalog import missing
from mediawatchd.catalog.events import MOST_NAMES, Period, forget_before, history, stream
from mediawatchd.model import LIVE, QUICK_HASH, SANE_TIME, WALKED, Failed, Problem
from tests.catalogs import WALL, Catalog, file


@pytest.fixture
def catalog() -> Catalog:
    """A root that was walked before, so that what is added is history."""
    catalog = Catalog()
    catalog.run(lambda tx: tx.connection.execute("UPDATE roots SET walks = 1"))
    catalog.configure(b"/media/")
    return catalog


def told(catalog: Catalog, path: bytes | None = None, **period: object) -> list[tuple[object, ...]]:
    """Event, former path and path (below the root) and cause, oldest first."""
    events, onward = history(
        catalog.connection, Period(path=path, **period), limit=1_000, after=None  # type: ignore[arg-type]
    )  # fmt: skip
    assert onward is None

    def short(text: str | None) -> str | None:
        return None if text is None else text.removeprefix("/media/")

    return [(event["event"], short(event["from"]), short(event["path"]), event["detail"]) for event in events]


def test_what_was_told_before_the_clock_was_set_is_forgotten_with_what_was_told_around_it(catalog: Catalog) -> None:
    """The first look at the clock after it was set forgot all of it: 56 years old."""
    times = [SANE_TIME, SANE_TIME + 1, 60.0, 61.0, SANE_TIME + 100, SANE_TIME + 200]
    for seq, when in enumerate(times, start=1):
        catalog.connection.execute("INSERT INTO history (seq, time, event) VALUES (?, ?, 'added')", (seq, when))

    def left(before: float) -> list[int]:
        catalog.run(lambda tx: forget_before(tx, before))
        return [seq for (seq,) in catalog.connection.execute("SELECT seq FROM history ORDER BY seq")]

    assert left(SANE_TIME) == [1, 2, 3, 4, 5, 6]
    assert left(SANE_TIME + 50) == [3, 4, 5, 6]
    assert left(SANE_TIME + 150) == [6]
    assert left(SANE_TIME + 1000) == []


def test_a_boot_with_an_old_date_takes_no_history_of_late_along(catalog: Catalog) -> None:
    # A board without a clock starts with the date of its system's build.
    cut = SANE_TIME + 1_000
    for seq, when in enumerate((cut - 500, cut + 10, cut - 400, cut + 20), 1):
        catalog.connection.execute("INSERT INTO history (seq, time, event) VALUES (?, ?, 'added')", (seq, when))
    catalog.run(lambda tx: forget_before(tx, cut))
    assert [seq for (seq,) in catalog.connection.execute("SELECT seq FROM history ORDER BY seq")] == [2, 3, 4]


def put(catalog: Catalog, *events: tuple[str, bytes | None, bytes]) -> None:
    """Events as they are stored, numbered from 1."""
    for seq, (event, former, path) in enumerate(events, start=1):
        catalog.connection.execute(
            "INSERT INTO history (seq, time, event, path, former) VALUES (?, ?, ?, ?, ?)",
            (seq, WALL + seq, event, path, former),
        )


def numbers(catalog: Catalog, path: bytes) -> list[int]:
    pages = stream(lambda: nullcontext(catalog.connection), Period(path=path), limit=None, after=None)
    return [event["seq"] for page in pages for event in page]


def test_every_event_of_a_file_says_why(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    catalog.hash(b"a.mkv", "first")
    catalog.observe(catalog.report(b"", file(b"a.mkv", size=2_000), priority=WALKED))
    row = catalog.row(b"a.mkv")
    catalog.tell(Failed(row.id, row.stamp, QUICK_HASH, Problem("io", "It cannot be read."), final=False))
    catalog.miss(b"", b"a.mkv")
    catalog.observe(catalog.report(b"", file(b"a.mkv", size=2_000), priority=LIVE))
    assert told(catalog, b"/media/a.mkv") == [
        ("added", None, "a.mkv", "reported by the kernel"),
        ("changed", None, "a.mkv", "other size or time, found by a walk"),
        ("problem", None, "a.mkv", "It cannot be read."),
        ("missing", None, "a.mkv", "deleted"),
        ("restored", None, "a.mkv", "back at its path"),
    ]


def test_why_files_went_or_moved(catalog: Catalog) -> None:
    for name in (b"inode.mkv", b"over.mkv", b"content.mkv"):
        catalog.look(b"", file(name, size=len(name) * 100, inode=len(name)))
        catalog.hash(name, name)
    catalog.look(b"", catalog.moved(b"inode.mkv", here=b"over.mkv"))
    catalog.miss(b"", b"content.mkv")
    catalog.look(b"", file(b"copied.mkv", size=len(b"content.mkv") * 100, inode=99, mtime=5))
    catalog.hash(b"copied.mkv", b"content.mkv")
    assert [line for line in told(catalog) if line[0] != "added"] == [
        ("moved", "inode.mkv", "over.mkv", "known by its inode"),
        ("missing", None, "over.mkv", "overwritten"),
        ("missing", None, "content.mkv", "deleted"),
        ("moved", "content.mkv", "copied.mkv", "known by its content"),
    ]


def test_held_deletions_are_told_of_each_folder_and_of_their_end(
    catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    names = [b"%03d.mkv" % number for number in range(60)]
    catalog.look(b"films/", *(file(name) for name in names))
    catalog.look(b"series/", *(file(name, inode=7) for name in names[:3]))
    since = int(str(catalog.value("SELECT max(seq) FROM history")))
    catalog.miss(b"films/", *names)
    catalog.miss(b"series/", *names[:3])
    assert told(catalog, since=since) == [
        ("held", None, "films/", "60 files gone at once"),
        ("held", None, "series/", "3 files gone at once"),
    ]
    catalog.look(b"films/", *(file(name) for name in names))
    with caplog.at_level("INFO"):
        catalog.look(b"films/", *(file(name) for name in names))
        assert not told(catalog, since=since)[2:], "some are held still"
        catalog.run(lambda tx: missing.confirm(tx, 1))
    assert told(catalog, since=since)[2:] == [
        *(("missing", None, f"series/{name.decode()}", "confirmed by a person") for name in names[:2]),
        ("held", None, "/media", "none any more"),
        ("missing", None, f"series/{names[2].decode()}", "confirmed by a person"),
    ]
    assert [record.message.partition(" root=")[0] for record in caplog.records] == [
        "Deletions are held until a person confirms them or the files are back",
        "No deletions are held any more",
    ]


def test_the_log_of_a_moved_file_shows_what_happened_under_its_old_names(catalog: Catalog) -> None:
    put(
        catalog,
        ("added", None, b"/media/new/a.mkv"),
        ("changed", None, b"/media/new/a.mkv"),
        ("added", None, b"/media/new/other.mkv"),
        ("moved", b"/media/new/", b"/media/films/"),
        ("changed", None, b"/media/films/a.mkv"),
        ("added", None, b"/media/new/a.mkv"),  # another one, under the name that was free
        ("moved", b"/media/films/a.mkv", b"/media/b.mkv"),
        ("problem", None, b"/media/b.mkv"),
    )
    assert numbers(catalog, b"/media/b.mkv") == [1, 2, 4, 5, 7, 8]
    assert numbers(catalog, b"/media/films/a.mkv") == [1, 2, 4, 5, 7], "and where it went"
    assert numbers(catalog, b"/media/new/a.mkv") == [1, 2, 4, 6]
    assert numbers(catalog, b"/media/films") == [1, 2, 3, 4, 5, 7]
    assert numbers(catalog, b"/") == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_file_that_was_born_in_a_moved_folder_has_no_earlier_name(catalog: Catalog) -> None:
    put(
        catalog,
        ("added", None, b"/media/new/a.mkv"),
        ("missing", None, b"/media/new/a.mkv"),
        ("moved", b"/media/new/", b"/media/films/"),
        ("added", None, b"/media/films/a.mkv"),
    )
    assert numbers(catalog, b"/media/films/a.mkv") == [3, 4]


def test_a_file_that_went_to_and_fro_ends_its_log(catalog: Catalog) -> None:
    here, there = b"/media/a", b"/media/b"
    put(catalog, *(("moved", *((here, there) if turn % 2 else (there, here))) for turn in range(3 * MOST_NAMES)))
    assert numbers(catalog, here) == list(range(1, 3 * MOST_NAMES + 1))


def test_a_time_in_place_of_a_number(catalog: Catalog) -> None:
    put(catalog, ("added", None, b"/media/a"), ("added", None, b"/media/b"))
    assert told(catalog, since_time=WALL + 2.0) == [("added", None, "b", None)]


def test_the_history_of_a_path_reads_indexes_only(catalog: Catalog) -> None:
    plans: list[str] = []
    catalog.connection.set_trace_callback(plans.append)
    told(catalog, b"/media/films/a.mkv")
    catalog.connection.set_trace_callback(None)
    for query in plans:
        steps = [row[3] for row in catalog.connection.execute(f"EXPLAIN QUERY PLAN {query}")]
        assert not [step for step in steps if step.startswith("SCAN")], (query, steps)
