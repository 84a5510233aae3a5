"""An upgraded `media_analyzer` database, looked at with plain SQL."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from mediawatchd.catalog import legacy, schema
from mediawatchd.catalog.legacy_values import UNKNOWN_TIME
from mediawatchd.model import FINGERPRINT, PERCEPTUAL_HASH, PROBE, QUICK_HASH
from tests import legacy_catalog
from tests.legacy_catalog import HASHES, NOON_NS, PHASH, file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

NOW = 1_800_000_000


@pytest.fixture
def path(tmp_path: Path) -> bytes:
    return bytes(tmp_path / "old.db")


@contextmanager
def upgraded(
    path: bytes,
    files: Iterable[dict[str, object]],
    *,
    columns: str = HASHES,
    extra: Sequence[str] = (),
    rows: Iterable[tuple[str, Sequence[object]]] = (),
) -> Iterator[sqlite3.Connection]:
    legacy_catalog.write(path, files, columns=columns, extra=extra, rows=rows)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        legacy.upgrade(connection, now=NOW)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        yield connection


def one(connection: sqlite3.Connection, query: str, *values: object) -> Any:
    (row,) = connection.execute(query, values).fetchall()
    return row


def tables(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'legacy%'")
    return {row[0] for row in rows}


def test_everything_known_survives(path: bytes) -> None:
    rows = [
        ("INSERT INTO video_metadata VALUES (9, 7, 'h264', 1920, 1080, '24000/1001')", ()),
        ("INSERT INTO audio_metadata VALUES (9, 7, 'aac', 2, 48000, 'Title', 'Artist')", ()),
        ("INSERT INTO vr_metadata VALUES (9, 7, 'equirectangular', 'top-bottom', 180)", ()),
    ]
    with upgraded(path, [file("/films/a.mkv", id=7)], rows=rows) as db:
        row = one(db, "SELECT * FROM media_files")
        assert (row["id"], row["name"], row["name_is_text"], row["media_type"]) == (7, b"a.mkv", 1, "video")
        assert (row["size"], row["mtime_ns"]) == (1000, NOON_NS)
        assert (row["ctime_ns"], row["inode"], row["links"]) == (None, None, None)
        assert (row["quick_hash"], row["video_phash"]) == (b"\xab" * 32, PHASH)
        assert (row["container_format"], row["duration"], row["bitrate"]) == ("matroska", 60.5, 1_000_000)
        assert row["lacks"] == FINGERPRINT
        assert row["first_seen"] == NOW
        assert row["missing_since"] is None
        assert one(db, "SELECT path FROM directories")[0] == b"/films/"
        assert tuple(one(db, "SELECT * FROM video_metadata"))[:4] == (7, "h264", 1920, 1080)
        assert one(db, "SELECT frame_rate FROM video_metadata")[0] == pytest.approx(23.976, abs=0.001)
        assert tuple(one(db, "SELECT * FROM audio_metadata")) == (7, "aac", 2, 48000, "Title", "Artist", None, None)
        assert tuple(one(db, "SELECT * FROM vr_metadata"))[:4] == (7, "equirectangular", "top-bottom", 180)
        assert one(db, "PRAGMA user_version")[0] == 1
        assert one(db, "PRAGMA application_id")[0] == schema.APPLICATION_ID
        assert tables(db) == set()


def test_the_view_shows_it_once_a_root_covers_it(path: bytes) -> None:
    with upgraded(path, [file("/films/a.mkv")]) as db:
        assert db.execute("SELECT * FROM files").fetchall() == []
        db.execute("INSERT INTO roots (id, path) VALUES (1, CAST('/films/' AS BLOB))")
        db.execute("UPDATE directories SET root_id = 1")
        row = one(db, "SELECT * FROM files")
        assert (row["file_path"], row["root"], row["quick_hash"]) == ("/films/a.mkv", "/films", "ab" * 32)
        assert (row["modified_date"], row["video_phash"]) == (legacy_catalog.NOON, PHASH)


def test_a_version_without_hashes(path: bytes) -> None:
    row = file("/films/a.mkv")
    del row["quick_hash"], row["video_phash"]
    with upgraded(path, [row], columns="") as db:
        assert one(db, "SELECT lacks FROM media_files")[0] == QUICK_HASH | PERCEPTUAL_HASH | FINGERPRINT


@pytest.mark.parametrize(
    ("columns", "lacks"),
    [
        ({}, FINGERPRINT),
        ({"quick_hash": None}, QUICK_HASH | FINGERPRINT),
        ({"quick_hash": "ab" * 16}, QUICK_HASH | FINGERPRINT),
        ({"quick_hash": "AB" * 32}, FINGERPRINT),
        ({"video_phash": None}, PERCEPTUAL_HASH | FINGERPRINT),
        ({"video_phash": "nothing"}, PERCEPTUAL_HASH | FINGERPRINT),
        ({"duration": None, "bitrate": None, "container_format": None}, PROBE | FINGERPRINT),
        ({"duration": None, "bitrate": None}, FINGERPRINT),
        ({"media_type": "audio", "video_phash": None}, 0),
        ({"media_type": "vr", "video_phash": None}, PERCEPTUAL_HASH | FINGERPRINT),
    ],
)
def test_a_row_lacks_only_what_was_not_known(path: bytes, columns: dict[str, object], lacks: int) -> None:
    with upgraded(path, [file("/films/a.mkv", **columns)]) as db:
        assert one(db, "SELECT lacks FROM media_files")[0] == lacks


def test_metadata_rows_are_probe_data_too(path: bytes) -> None:
    bare = {"duration": None, "bitrate": None, "container_format": None}
    rows = [
        ("INSERT INTO video_metadata (file_id, width) VALUES (1, 640)", ()),
        ("INSERT INTO video_metadata (file_id) VALUES (2)", ()),
    ]
    with upgraded(path, [file("/a.mkv", id=1, **bare), file("/b.mkv", id=2, **bare)], rows=rows) as db:
        assert [row[0] & PROBE for row in db.execute("SELECT lacks FROM media_files ORDER BY id")] == [0, PROBE]


def test_an_unknown_time_leaves_the_hash_to_be_confirmed(path: bytes) -> None:
    with upgraded(path, [file("/films/a.mkv", modified_date=None)]) as db:
        row = one(db, "SELECT * FROM media_files")
        assert row["mtime_ns"] == UNKNOWN_TIME
        assert (row["quick_hash"], row["former_quick_hash"]) == (None, b"\xab" * 32)
        assert row["lacks"] == QUICK_HASH | FINGERPRINT
        assert row["video_phash"] == PHASH
        db.execute("INSERT INTO roots (id, path) VALUES (1, CAST('/films/' AS BLOB))")
        db.execute("UPDATE directories SET root_id = 1")
        assert one(db, "SELECT video_phash FROM files")[0] is None


def test_paths_of_all_kinds(path: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    files = [
        file("/films//x/../a.mkv", id=1),
        file(b"/films/\xe9.mkv", id=2),
        file("relative/b.mkv", id=3),
        file("/top.mkv", id=4),
    ]
    rows = [
        (  # surrogate escapes, stored as if they were text
            "INSERT INTO media_files (id, file_path) VALUES (5, CAST(? AS TEXT))",
            ("/films/\udcfc.mkv".encode("utf-8", "surrogatepass"),),
        ),
        ("INSERT INTO media_files (id, file_path) VALUES (6, CAST(? AS TEXT))", (b"/films/\xf6.mkv",)),
    ]
    with upgraded(path, files, rows=rows) as db:
        found = {
            row[0]: (row[1], row[2])
            for row in db.execute(
                "SELECT f.id, CAST(d.path || f.name AS BLOB), f.name_is_text FROM media_files f "
                "JOIN directories d ON d.id = f.directory_id"
            )
        }
    assert found == {
        1: (b"/films/a.mkv", 1),
        2: (b"/films/\xe9.mkv", 0),
        3: (bytes(tmp_path / "relative" / "b.mkv"), 1),
        4: (b"/top.mkv", 1),
        5: (b"/films/\xfc.mkv", 0),
        6: (b"/films/\xf6.mkv", 0),
    }


def test_of_two_rows_of_one_path_the_one_with_more_hashes_is_carried_over(path: bytes) -> None:
    files = [
        file("/films/./a.mkv", id=1, video_phash=None),
        file("/films/a.mkv", id=2),
        file("/films//a.mkv", id=3),
    ]
    with upgraded(path, files) as db:
        assert one(db, "SELECT id, video_phash FROM media_files")["id"] == 2
        # The others are not lost either.
        assert one(db, "SELECT count(*) FROM legacy_media_files")[0] == 3


def test_a_row_without_a_usable_path_is_kept_where_it_was(path: bytes) -> None:
    with upgraded(path, [file("/films/a.mkv", id=1), file("", id=2)]) as db:
        assert one(db, "SELECT id FROM media_files")["id"] == 1
        assert "legacy_media_files" in tables(db)


def test_the_kind_of_a_file_follows_from_its_metadata_when_it_is_not_said(path: bytes) -> None:
    files = [file(f"/films/{number}", id=number, media_type=None) for number in (1, 2, 3)]
    files += [file("/films/4", id=4, media_type="AUDIO"), file("/films/5", id=5, media_type="picture")]
    rows = [
        ("INSERT INTO audio_metadata (file_id, codec) VALUES (1, 'flac'), (2, 'aac'), (5, 'mp3')", ()),
        ("INSERT INTO video_metadata (file_id, width) VALUES (2, 640)", ()),
        ("INSERT INTO vr_metadata (file_id, fov) VALUES (3, 180)", ()),
    ]
    with upgraded(path, files, rows=rows) as db:
        found = {row[0]: (row[1], row[2]) for row in db.execute("SELECT id, media_type, lacks FROM media_files")}
    assert found == {
        1: ("audio", 0),
        2: ("video", FINGERPRINT),
        3: ("vr", FINGERPRINT),
        4: ("audio", 0),
        5: ("audio", 0),
    }


def test_new_files_get_ids_above_all_that_were_ever_given(path: bytes) -> None:
    extra = ["INSERT INTO media_files (id, file_path) VALUES (900, '/gone')", "DELETE FROM media_files WHERE id = 900"]
    with upgraded(path, [file("/films/a.mkv", id=12)], extra=extra) as db:
        directory = one(db, "SELECT id FROM directories")[0]
        new = db.execute(
            "INSERT INTO media_files (directory_id, name, name_is_text, media_type, size, mtime_ns, lacks, first_seen) "
            "VALUES (?, x'61', 1, 'video', 1, 1, 1, 1)",
            (directory,),
        ).lastrowid
        assert new == 901


def test_first_seen_comes_from_the_data(path: bytes) -> None:
    files = [file("/a", id=1, created_at="2024-05-01T12:00:00"), file("/b", id=2), file("/c", id=3)]
    rows = [
        ("INSERT INTO scans (file_id, scan_date) VALUES (2, '2024-05-02'), (2, '2024-05-01'), (1, '2024-06-01')", ())
    ]
    with upgraded(path, files, columns=HASHES + ", created_at TEXT", rows=rows) as db:
        found = dict(tuple(row) for row in db.execute("SELECT id, first_seen FROM media_files"))
        assert found == {1: 1_714_564_800, 2: 1_714_521_600, 3: NOW}
        assert tables(db) == {"legacy_scans"}


def test_columns_that_have_no_place_keep_their_table(path: bytes) -> None:
    rows = [("UPDATE media_files SET rating = 5", ())]
    with upgraded(path, [file("/a", id=1)], columns=HASHES + ", rating INTEGER, unused TEXT", rows=rows) as db:
        assert tuple(one(db, "SELECT id, file_path, rating FROM legacy_media_files")) == (1, "/a", 5)
        assert tables(db) == {"legacy_media_files"}


def test_columns_that_nobody_filled_keep_nothing(path: bytes) -> None:
    with upgraded(path, [file("/a", id=1)], columns=HASHES + ", unused TEXT") as db:
        assert tables(db) == set()


def test_metadata_of_no_file_or_twice_is_kept_where_it_was(path: bytes) -> None:
    rows = [
        ("INSERT INTO video_metadata (file_id, width) VALUES (1, 640), (1, 320)", ()),
        ("INSERT INTO audio_metadata (file_id, codec) VALUES (99, 'mp3')", ()),
        ("INSERT INTO vr_metadata (file_id, fov) VALUES (NULL, 180)", ()),
    ]
    with upgraded(path, [file("/a", id=1)], rows=rows) as db:
        assert one(db, "SELECT width FROM video_metadata")[0] == 640
        assert tables(db) == {"legacy_video_metadata", "legacy_audio_metadata", "legacy_vr_metadata"}


def test_tables_of_somebody_elses_stay_as_they_are(path: bytes) -> None:
    extra = [
        "CREATE TABLE tags (id INTEGER, file_id INTEGER REFERENCES media_files (id) ON DELETE CASCADE, tag)",
        "INSERT INTO tags VALUES (1, 1, 'good')",
        "CREATE TABLE legacy_notes (note TEXT)",
        'CREATE TABLE "odd ""name" (x)',
        "CREATE TABLE jobs (x TEXT)",
        "INSERT INTO jobs VALUES ('cron')",
        "CREATE TABLE history (x TEXT)",
        "CREATE TABLE Files (x TEXT)",
    ]
    with upgraded(path, [file("/a", id=1)], extra=extra) as db:
        assert one(db, "SELECT tag FROM legacy_tags")[0] == "good"
        assert one(db, "SELECT x FROM legacy_jobs")[0] == "cron"
        # What the tags refer to stays with them, and what the catalog deletes does not reach them.
        assert tables(db) == {
            "legacy_tags", "legacy_notes", 'legacy_odd "name', "legacy_jobs", "legacy_history", "legacy_Files",
            "legacy_media_files",
        }  # fmt: skip
        db.execute("DELETE FROM media_files")
        assert one(db, "SELECT count(*) FROM legacy_tags")[0] == 1


def test_views_triggers_and_indexes_in_the_way_are_written_down(path: bytes) -> None:
    extra = [
        "CREATE VIEW files AS SELECT file_path FROM media_files",
        "CREATE VIEW broken AS SELECT x FROM nowhere",
        "CREATE TRIGGER noted AFTER DELETE ON media_files BEGIN INSERT INTO gone VALUES (old.id); END",
        "CREATE TRIGGER hidden INSTEAD OF DELETE ON files BEGIN SELECT 1; END",
        "CREATE TABLE other (x)",
        "CREATE INDEX media_files_quick_hash ON media_files (quick_hash)",
        "CREATE INDEX history_path ON other (x)",
        "CREATE INDEX harmless ON other (x)",
    ]
    with upgraded(path, [file("/a", id=1)], extra=extra) as db:
        kept = {row[0] for row in db.execute("SELECT name FROM legacy_schema")}
        assert kept == {"files", "broken", "noted", "hidden", "media_files_quick_hash", "history_path"}
        assert one(db, "SELECT tbl_name FROM sqlite_master WHERE name = 'harmless'")[0] == "legacy_other"
        # A later version of the schema can still rename things.
        db.execute("ALTER TABLE jobs RENAME TO tasks")


def test_a_full_text_index_goes_with_its_own_tables(path: bytes) -> None:
    extra = [
        "CREATE VIRTUAL TABLE search USING fts5 (file_path, content=media_files, content_rowid=id)",
        "INSERT INTO search (search) VALUES ('rebuild')",
    ]
    with upgraded(path, [file("/a/sunset", id=1)], extra=extra) as db:
        assert one(db, "SELECT count(*) FROM legacy_search_docsize")[0] == 1


def test_names_that_are_taken(path: bytes) -> None:
    extra = ["CREATE TABLE tags (x)", "CREATE TABLE legacy_tags (y)"]
    with upgraded(path, [file("/a", id=1)], extra=extra) as db:
        assert tables(db) == {"legacy_tags", "legacy_tags_"}


def test_directories_hang_together(path: bytes) -> None:
    files = [file("/m/a/b/1"), file("/m/a/2"), file("/m/3"), file("/n/x/4")]
    with upgraded(path, files) as db:
        found = {
            (row[0], row[1])
            for row in db.execute(
                "SELECT d.path, p.path FROM directories d LEFT JOIN directories p ON p.id = d.parent_id"
            )
        }
    assert found == {(b"/m/a/b/", b"/m/a/"), (b"/m/a/", b"/m/"), (b"/m/", None), (b"/n/x/", None)}


def test_nulls_everywhere(path: bytes) -> None:
    rows = [("INSERT INTO media_files (id, file_path) VALUES (1, '/a')", ())]
    with upgraded(path, [], rows=rows) as db:
        row = one(db, "SELECT * FROM media_files")
        assert (row["size"], row["mtime_ns"], row["media_type"]) == (0, UNKNOWN_TIME, "video")


def test_an_empty_one(path: bytes) -> None:
    with upgraded(path, []) as db:
        assert one(db, "SELECT count(*) FROM media_files")[0] == 0


def test_a_failure_leaves_the_old_database(path: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    legacy_catalog.write(path, [file("/a", id=1)])
    before = dump(path)

    def fail(*_: object) -> None:
        raise RuntimeError("stop")

    monkeypatch.setattr(legacy._Upgrade, "_drop", fail)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection, pytest.raises(RuntimeError):
        legacy.upgrade(connection, now=NOW)
    assert dump(path) == before


def dump(path: bytes) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())
