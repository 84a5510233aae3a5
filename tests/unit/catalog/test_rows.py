"""Rows of files as values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mediawatchd.catalog.rows import FileRow, everything, file_by_id, is_text, missing_files, present_file, store
from mediawatchd.model import FINGERPRINT, PERCEPTUAL_HASH, PROBE, QUICK_HASH, MediaType, Stamp
from tests.catalogs import file

if TYPE_CHECKING:
    from tests.catalogs import Catalog


@pytest.mark.parametrize(("media_type", "wanted"), [
    ("video", QUICK_HASH | PROBE | PERCEPTUAL_HASH | FINGERPRINT),
    ("vr", QUICK_HASH | PROBE | PERCEPTUAL_HASH | FINGERPRINT),
    ("audio", QUICK_HASH | PROBE),
])  # fmt: skip
def test_what_a_new_file_lacks(media_type: MediaType, wanted: int) -> None:
    assert everything(media_type) == wanted


@pytest.mark.parametrize(("name", "text"), [
    (b"a.mkv", True), ("音楽.mkv".encode(), True), (b"new\nline", True), (b"\xff.mkv", False), (b"\xed\xb2\x80", False)
])  # fmt: skip
def test_a_name_is_text_when_it_is_utf_8(name: bytes, text: bool) -> None:
    assert is_text(name) is text


def test_every_column_that_differs_is_stored_and_only_those(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    catalog.look(b"other/")
    row = catalog.row(b"a.mkv")
    other = row._replace(
        directory_id=catalog.directory_paths()[b"other/"], name=b"\xff.mkv", size=5, mtime_ns=6, ctime_ns=None,
        inode=None, links=None, fact_ns=7, due_ns=8, priority=2, lacks=0, attempts=3, quick_hash=b"q",
        hashed_at=9, video_phash="p", problem="x", problem_reason="io", problem_lacks=1, problem_since=10, absent_ns=11,
    )  # fmt: skip
    statements: list[str] = []
    with catalog.transaction() as tx:
        tx.store(row, other)
        catalog.connection.set_trace_callback(statements.append)
        tx.store(other, other)
        tx.store(other, other._replace(due_ns=99))
        catalog.connection.set_trace_callback(None)
    assert statements == [f"UPDATE media_files SET due_ns = 99 WHERE id = {row.id}"]
    assert catalog.by_id(row.id) == other._replace(due_ns=99)
    assert catalog.value("SELECT name_is_text FROM media_files") == 0


def test_a_row_stored_for_another_root_counts_there(catalog: Catalog) -> None:
    catalog.configure(b"/media/", b"/media2/")
    catalog.look(b"", file(b"a.mkv"))
    catalog.look(b"/media2/")
    row = catalog.row(b"a.mkv")
    directory_id = catalog.directory_paths()[b"/media2/"]
    with catalog.transaction() as tx:
        store(tx.connection, tx.totals, row, row._replace(directory_id=directory_id), (1, 2))
    assert (catalog.counts(1), catalog.counts(2)["files"]) == ({}, 1)


def test_rows_are_found_by_id_and_by_name(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    row = catalog.row(b"a.mkv")
    assert file_by_id(catalog.connection, row.id) == row
    assert file_by_id(catalog.connection, 99) is None
    assert present_file(catalog.connection, row.directory_id, b"a.mkv") == row
    assert present_file(catalog.connection, row.directory_id, b"A.mkv") is None
    assert present_file(catalog.connection, 99, b"a.mkv") is None
    catalog.miss(b"", b"a.mkv")
    assert present_file(catalog.connection, row.directory_id, b"a.mkv") is None


def test_of_the_missing_rows_of_a_name_the_last_one_comes_first(catalog: Catalog) -> None:
    ids = []
    for size in range(3):
        catalog.look(b"", file(b"a.mkv", size))
        ids.append(catalog.row(b"a.mkv").id)
        catalog.miss(b"", b"a.mkv")
        catalog.now += 10
    directory_id = catalog.directory_paths()[b""]
    assert [row.id for row in missing_files(catalog.connection, directory_id, b"a.mkv")] == ids[::-1]


def test_a_stamp_comes_out_of_a_row_as_it_went_in(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    stamp = Stamp(1, 2, None, None, 5)
    assert catalog.row(b"a.mkv").with_stamp(stamp).stamp == stamp


def test_a_row_under_a_name_of_another_kind_wants_what_that_kind_has(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"), file(b"b.flac", media_type="audio"))
    video, audio = catalog.row(b"a.mkv")._replace(lacks=15), catalog.row(b"b.flac")._replace(lacks=0)
    song = video._replace(wanted=FINGERPRINT).with_kind("audio", 0)
    assert (song.media_type, song.lacks, song.wanted) == ("audio", QUICK_HASH | PROBE, 0)
    film = audio.with_kind("video", FINGERPRINT)
    assert (film.lacks, film.wanted) == (PERCEPTUAL_HASH | FINGERPRINT, FINGERPRINT)
    vr: FileRow = video._replace(media_type="vr")
    assert vr.with_kind("video", FINGERPRINT) == vr, "a name says video where only the probe knows vr"
