"""Catalogs whose bytes were changed, cut off or lost while no daemon ran."""

from __future__ import annotations

import os
import random
import re
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from mediawatchd.catalog.database import Database
from mediawatchd.catalog.restore import Remembered, Restore
from mediawatchd.model import FINGERPRINT, PERCEPTUAL_HASH, PROBE, QUICK_HASH
from tests import legacy_catalog
from tests.legacy_catalog import PHASH, file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FILES = 5_000
PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> bytes:
    return bytes(tmp_path / "catalog.db")


@contextmanager
def opened(path: bytes) -> Iterator[Database]:
    database = Database(path)
    database.open()
    try:
        yield database
    finally:
        database.close()


def fill(path: bytes) -> None:
    """FILES films in 50 folders, every second one with a perceptual hash, closed in order."""
    with opened(path) as database:
        writer = database.writer()
        writer.execute("BEGIN")
        restore = Restore(writer)
        restore.insert(
            Remembered(
                number,
                b"/films/%02d/%05d.mkv" % (number % 50, number),
                "video",
                number,
                number * 1000,
                0,
                number.to_bytes(32, "big"),
                None,
                phash(number) if number % 2 else None,
                "matroska",
                1.0,
                1,
                1_700_000_000,
            )
            for number in range(1, FILES + 1)
        )
        restore.finish()
        writer.execute("COMMIT")


def phash(number: int) -> str:
    return "|".join(f"{random.Random(number * 4 + frame).getrandbits(64):016x}" for frame in range(4))


def damage(path: bytes, change: Callable[[bytearray], bytearray]) -> bytes:
    with open(path, "rb") as file:
        content = change(bytearray(file.read()))
    with open(path, "wb") as file:
        file.write(content)
    return bytes(content)


def salvaged(database: Database) -> dict[int, str]:
    with database.reader() as reader:
        return dict(reader.execute("SELECT id, video_phash FROM media_files"))


def asides(path: bytes) -> list[bytes]:
    """The databases that were moved aside, without what belongs to them."""
    return sorted(name for name in os.listdir(os.path.dirname(path)) if b".corrupt-" in name and name.endswith(b"Z"))


def overwritten(content: bytearray) -> bytearray:
    """Half of the pages in the middle third, as by a disk that failed there."""
    pages = len(content) // PAGE
    for page in range(pages // 3, 2 * pages // 3, 2):
        content[page * PAGE : (page + 1) * PAGE] = random.Random(page).randbytes(PAGE)
    return content


def test_pages_overwritten_in_the_middle(path: bytes) -> None:
    fill(path)
    content = damage(path, overwritten)
    with opened(path) as database:
        kept = salvaged(database)
        assert all(hashes == phash(number) and number % 2 for number, hashes in kept.items())
        assert len(kept) > FILES / 2 * 0.4
        with database.reader() as reader:
            row = reader.execute(
                "SELECT CAST(d.path || f.name AS BLOB), size, mtime_ns, ctime_ns, f.inode, links, quick_hash, "
                "former_quick_hash, lacks, missing_since, root_id, first_seen "
                "FROM media_files f JOIN directories d ON d.id = f.directory_id ORDER BY f.id LIMIT 1"
            ).fetchone()
        number = min(kept)
        assert row == (
            b"/films/%02d/%05d.mkv" % (number % 50, number), number, number * 1000, None, None, None, None,
            number.to_bytes(32, "big"), QUICK_HASH | PROBE | FINGERPRINT, None, None, 1_700_000_000,
        )  # fmt: skip
        (aside,) = asides(path)
        assert re.fullmatch(rb"catalog\.db\.corrupt-\d{4}-\d\d-\d\dT\d{6}Z", aside)
        with open(os.path.join(os.path.dirname(path), aside), "rb") as file:
            assert file.read() == content
        assert any(os.fsdecode(aside) in notice and "damaged" in notice for notice in database.notices)
        assert any(f"{len(kept)} perceptual hashes" in notice for notice in database.notices)
    with opened(path) as database:
        assert database.notices == []
        assert salvaged(database) == kept


def test_every_readable_row_is_found_around_one_bad_page(path: bytes) -> None:
    fill(path)
    with closing(sqlite3.connect(path)) as connection:
        leaves = connection.execute(
            "SELECT pageno, ncell FROM dbstat WHERE name = 'media_files' AND pagetype = 'leaf'"
        ).fetchall()
    page, cells = leaves[len(leaves) // 2]

    def one_page(content: bytearray) -> bytearray:
        content[(page - 1) * PAGE : page * PAGE] = bytes(PAGE)
        return content

    damage(path, one_page)
    with opened(path) as database:
        assert FILES / 2 - len(salvaged(database)) <= (cells + 1) / 2


def test_fingerprints_are_salvaged_with_their_rows(path: bytes) -> None:
    fill(path)
    with opened(path) as database:
        database.writer().executemany(
            "INSERT INTO fingerprints (file_id, hashed_at, fingerprint, matched) VALUES (?, 7, ?, 1)",
            [(number, b"print of %d" % number) for number in range(2, FILES, 4)],
        )
    damage(path, overwritten)
    with opened(path) as database, database.reader() as reader:
        rows = reader.execute(
            "SELECT f.id, video_phash, lacks, g.hashed_at, fingerprint, matched FROM media_files AS f "
            "LEFT JOIN fingerprints AS g ON g.file_id = f.id"
        ).fetchall()
        (orphans,) = reader.execute(
            "SELECT count(*) FROM fingerprints WHERE file_id NOT IN (SELECT id FROM media_files)"
        ).fetchone()
    kept = [row for row in rows if row[4] is not None]
    assert len(kept) > FILES / 4 * 0.3
    rest = QUICK_HASH | PROBE | PERCEPTUAL_HASH
    assert kept == [(row[0], None, rest, 7, b"print of %d" % row[0], 0) for row in kept]
    assert all(row[1] is not None for row in rows if row[4] is None)
    assert orphans == 0


def test_what_a_person_dismissed_is_salvaged_with_both_rows(path: bytes) -> None:
    fill(path)
    with opened(path) as database:
        database.writer().executemany(
            "INSERT INTO dismissed_pairs VALUES (?, ?, 7)", [(number, number + 2) for number in range(1, FILES - 1, 2)]
        )
    damage(path, overwritten)
    with opened(path) as database, database.reader() as reader:
        pairs = reader.execute("SELECT a_id, b_id, dismissed_at FROM dismissed_pairs").fetchall()
        known = {row[0] for row in reader.execute("SELECT id FROM media_files")}
    of_known = [(number, number + 2, 7) for number in range(1, FILES - 1, 2) if {number, number + 2} <= known]
    assert set(pairs) <= set(of_known)
    assert len(pairs) > 0.3 * len(of_known) > 0


def test_missing_rows_are_salvaged_after_the_present_ones(path: bytes) -> None:
    fill(path)
    with opened(path) as database:
        writer = database.writer()
        writer.execute("UPDATE media_files SET missing_since = 1 WHERE id IN (1, 3)")
        writer.execute(
            "UPDATE media_files SET (directory_id, name) = (SELECT directory_id, name FROM media_files WHERE id = 3) "
            "WHERE id = 4999"
        )
    damage(path, overwritten)
    with opened(path) as database:
        kept = salvaged(database)
        assert (1 in kept, 3 in kept, 4999 in kept) == (True, False, True)


def test_an_index_that_does_not_fit_its_table(path: bytes) -> None:
    fill(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = replace(sql, 'problem IS NOT NULL', 'problem IS NULL') "
            "WHERE name = 'media_files_problem'"
        )
    with opened(path) as database:
        assert len(asides(path)) == 1
        assert len(salvaged(database)) == FILES / 2


def truncated(content: bytearray) -> bytearray:
    return content[: len(content) // 2 // PAGE * PAGE]


def cut_inside_a_page(content: bytearray) -> bytearray:
    return content[: len(content) // 2 + 777]


@pytest.mark.parametrize("change", [truncated, cut_inside_a_page])
def test_cut_off(path: bytes, change: Callable[[bytearray], bytearray]) -> None:
    fill(path)
    damage(path, change)
    with opened(path) as database:
        assert len(asides(path)) == 1
        kept = salvaged(database)
        assert kept
        assert all(hashes == phash(number) for number, hashes in kept.items())


def header(content: bytearray) -> bytearray:
    content[:100] = random.Random(1).randbytes(100)
    return content


def first_page(content: bytearray) -> bytearray:
    content[100:PAGE] = bytes(PAGE - 100)
    return content


def no_database(_: bytearray) -> bytearray:
    return bytearray(b"These are not the pages that you are looking for.\n" * 2000)


def two_bytes(_: bytearray) -> bytearray:
    return bytearray(b"SQ")


def all_zero(content: bytearray) -> bytearray:
    return bytearray(len(content))


@pytest.mark.parametrize("change", [header, first_page, no_database, two_bytes, all_zero])
def test_beyond_reading(path: bytes, change: Callable[[bytearray], bytearray]) -> None:
    fill(path)
    content = damage(path, change)
    with opened(path) as database:
        (aside,) = asides(path)
        with open(os.path.join(os.path.dirname(path), aside), "rb") as file:
            assert file.read() == content
        assert "damaged" in database.notices[0]
        database.writer().execute("INSERT INTO state VALUES ('key', 1)")


def test_an_empty_file_is_a_new_catalog_and_said_so(path: bytes) -> None:
    fill(path)
    damage(path, lambda _: bytearray())
    with opened(path) as database:
        assert asides(path) == []
        assert len(database.notices) == 1
        assert salvaged(database) == {}


def test_a_wal_without_its_database_is_not_read_into_a_new_one(path: bytes) -> None:
    with opened(path) as database:
        database.writer().execute("INSERT INTO state VALUES ('key', 1)")
        with open(path + b"-wal", "rb") as file:
            wal = file.read()
    os.unlink(path)
    with open(path + b"-wal", "wb") as file:
        file.write(wal)
    with opened(path) as database, database.reader() as reader:
        assert reader.execute("SELECT * FROM state WHERE key = 'key'").fetchall() == []


def test_damage_behind_an_unchanged_date_is_found_after_the_writer_met_it(path: bytes) -> None:
    fill(path)
    status = os.stat(path)
    damage(path, overwritten)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with opened(path) as database:
        assert database.notices == []  # nobody can know yet
        with pytest.raises(sqlite3.DatabaseError):
            database.writer().execute("SELECT sum(length(video_phash)) FROM media_files").fetchall()
        database.suspect()
    with opened(path) as database:
        assert "damaged" in database.notices[0]


def test_the_damaged_one_takes_its_wal_along(path: bytes, tmp_path: Path) -> None:
    fill(path)
    other = bytes(tmp_path / "killed.db")
    with opened(path) as database:
        database.writer().execute("UPDATE media_files SET video_phash = ? WHERE id = 1", (PHASH,))
        for suffix in (b"", b"-wal"):  # as a kill would leave it
            with open(path + suffix, "rb") as source, open(other + suffix, "wb") as copy:
                copy.write(source.read())
    damage(other, overwritten)
    with opened(other) as database:
        assert salvaged(database)[1] == PHASH
        (aside,) = asides(other)
        assert os.path.getsize(os.path.join(os.path.dirname(other), aside + b"-wal")) > 0


def test_a_legacy_database(path: bytes) -> None:
    legacy_catalog.write(path, [file(f"/films/{number}.mkv", id=number) for number in range(1, 2000)])
    damage(path, overwritten)
    with opened(path) as database:
        kept = salvaged(database)
        assert len(kept) > 300
        assert set(kept.values()) == {PHASH}
        assert len(asides(path)) == 1


def test_a_legacy_database_that_breaks_its_own_rules_is_not_damaged(path: bytes) -> None:
    legacy_catalog.write(
        path, [file("/a", id=1)], columns=legacy_catalog.HASHES + ", rating INTEGER CHECK (rating < 5)"
    )
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("UPDATE media_files SET rating = 9")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = replace(sql, 'filename TEXT', 'filename TEXT NOT NULL') "
            "WHERE name = 'media_files'"
        )
        connection.execute("UPDATE media_files SET filename = NULL")
    with opened(path) as database:
        assert "upgraded" in database.notices[0]


def test_a_name_in_the_schema_that_is_not_text_any_more(path: bytes) -> None:
    fill(path)
    damage(path, lambda content: overwritten(content.replace(b"CREATE TABLE jobs", b"CREATE T\xb4BLE jobs")))
    with opened(path) as database:
        assert asides(path)
        assert "damaged" in database.notices[0]
        assert all(hashes == phash(number) for number, hashes in salvaged(database).items())


@pytest.mark.parametrize("seed", range(30))
def test_any_damage_ends_in_a_working_catalog(path: bytes, seed: int) -> None:
    dice = random.Random(seed)
    fill(path)
    unseen = 0
    """Digits of a hash that may have become other digits, which nobody can see."""

    def anywhere(content: bytearray) -> bytearray:
        nonlocal unseen
        for _ in range(dice.choice([1, 5, 50])):
            at = dice.randrange(len(content))
            if 18 <= at < 20 or 56 <= at < 72:  # another version's or another program's header is refused
                continue
            blot = dice.randbytes(dice.choice([1, 16, 500, 3 * PAGE]))
            unseen += len(blot) == 1 and blot in b"0123456789abcdef"
            if at >= 100:
                content[at : at + len(blot)] = blot
        return content

    damage(path, anywhere)
    with opened(path) as database:
        writer = database.writer()
        if asides(path):
            of_odd = [(number, hashes) for number, hashes in salvaged(database).items() if number % 2]
            assert sum(hashes != phash(number) for number, hashes in of_odd) <= unseen
            assert writer.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        writer.execute("INSERT INTO state VALUES ('key', 1)")
