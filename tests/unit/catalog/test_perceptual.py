"""Perceptual hashes and fingerprints as they are stored, and what makes them go."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mediawatchd.model import (
    FINGERPRINT,
    PERCEPTUAL_HASH,
    PHASH,
    PROBE,
    QUICK_HASH,
    SECOND,
    Failed,
    Hashed,
    PerceptuallyHashed,
    Problem,
)
from tests.catalogs import POLICY, WALL, file

if TYPE_CHECKING:
    from mediawatchd.catalog.rows import FileRow
    from tests.catalogs import Catalog


@pytest.fixture
def catalog(catalog: Catalog) -> Catalog:
    """Two videos that are hashed in every way, and alike."""
    catalog.look(b"", file(b"a.mkv"), file(b"b.mkv"))
    for name in (b"a.mkv", b"b.mkv"):
        catalog.hash(name)
        catalog.probe(name)
        catalog.phash(name)
    catalog.connection.execute("UPDATE fingerprints SET matched = 1")
    a, b = catalog.row(b"a.mkv").id, catalog.row(b"b.mkv").id
    catalog.connection.execute("INSERT INTO similar_pairs VALUES (?, ?, 'duplicate', 9, 16, 0, 0, 0, 0, 1000)", (a, b))
    return catalog


def stored(catalog: Catalog, name: bytes = b"a.mkv") -> tuple[object, ...] | None:
    """The row of `fingerprints` of a file, without its id."""
    row: tuple[object, ...] | None = catalog.connection.execute(
        "SELECT hashed_at, fingerprint, matched FROM fingerprints WHERE file_id = ?", (catalog.row(name).id,)
    ).fetchone()
    return row


def pairs(catalog: Catalog) -> object:
    return catalog.value("SELECT count(*) FROM similar_pairs")


def want(catalog: Catalog, name: bytes, wanted: int = PHASH) -> FileRow:
    row = catalog.row(name)
    with catalog.transaction() as tx:
        tx.store(row, row._replace(wanted=wanted))
    return catalog.row(name)


KEPT = (WALL + 100, b"print", 1)


def test_both_hashes_are_stored_and_no_longer_waited_for(catalog: Catalog) -> None:
    catalog.look(b"", file(b"c.mkv"))
    catalog.hash(b"c.mkv")
    catalog.probe(b"c.mkv")
    want(catalog, b"c.mkv")
    assert catalog.counts()["pending_phash"] == 1
    tx = catalog.phash(b"c.mkv")
    row = catalog.row(b"c.mkv")
    assert (row.lacks, row.wanted, row.video_phash) == (0, 0, "0123456789abcdef")
    assert stored(catalog, b"c.mkv") == (WALL + 100, b"print", 0)
    assert (catalog.counts()["phashed"], catalog.counts().get("pending_phash")) == (3, None)
    assert (tx.results, [each.file_id for each in tx.outcomes]) == ({"phashed": 1}, [row.id])


def test_nothing_is_a_finished_result_too(catalog: Catalog) -> None:
    row = catalog.row(b"a.mkv")
    catalog.tell(PerceptuallyHashed(row.id, row.stamp, PHASH, None, None))
    assert (catalog.row(b"a.mkv").video_phash, catalog.row(b"a.mkv").lacks) == (None, 0)
    assert stored(catalog) == (WALL + 100, None, 0)
    assert catalog.counts()["phashed"] == 2


def test_what_was_computed_under_another_stamp_is_dropped(catalog: Catalog) -> None:
    row = catalog.row(b"a.mkv")
    catalog.tell(PerceptuallyHashed(row.id, row.stamp._replace(size=5), PHASH, None, b"other"))
    assert stored(catalog) == KEPT


def test_a_new_fingerprint_is_compared_anew(catalog: Catalog) -> None:
    catalog.now = 200
    catalog.phash(b"b.mkv", b"other", lacks=FINGERPRINT)
    assert (stored(catalog, b"b.mkv"), pairs(catalog)) == ((WALL + 200, b"other", 0), 0)
    assert catalog.row(b"b.mkv").video_phash == "0123456789abcdef", "the string was not asked for"


def test_a_string_alone_leaves_the_fingerprint_and_what_it_is_like(catalog: Catalog) -> None:
    catalog.now = 200
    catalog.phash(b"a.mkv", lacks=PERCEPTUAL_HASH)
    assert (stored(catalog), pairs(catalog)) == ((WALL + 200, b"print", 1), 1)


def test_other_content_takes_all_that_the_old_one_looked_like(catalog: Catalog) -> None:
    catalog.look(b"", file(b"b.mkv", 5))
    row = catalog.row(b"b.mkv")
    assert (row.video_phash, stored(catalog, b"b.mkv"), pairs(catalog)) == (None, None, 0)
    assert (row.lacks, row.wanted) == (QUICK_HASH | PROBE | PHASH, 0)
    assert stored(catalog) == KEPT


def test_other_bytes_under_the_same_size_and_time_take_it_too(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv", ctime=2_000))
    catalog.hash(b"a.mkv", "other bytes")
    row = catalog.row(b"a.mkv")
    assert (row.video_phash, stored(catalog), pairs(catalog)) == (None, None, 0)
    assert row.lacks == PROBE | PHASH


@pytest.mark.parametrize("moved", [{"ctime": 2_000}, {"links": 2}, {"inode": 77}])
def test_chmod_hard_link_and_remount_take_nothing(catalog: Catalog, moved: dict[str, int]) -> None:
    catalog.look(b"", file(b"a.mkv", **moved))
    catalog.hash(b"a.mkv")
    row = catalog.row(b"a.mkv")
    assert (row.video_phash, row.lacks, stored(catalog), pairs(catalog)) == ("0123456789abcdef", 0, KEPT, 1)


def test_a_file_that_moves_or_comes_back_keeps_it(catalog: Catalog) -> None:
    catalog.look(b"films/", catalog.moved(b"a.mkv", here=b"c.mkv"))
    assert stored(catalog, b"films/c.mkv") == KEPT
    catalog.miss(b"", b"b.mkv")
    catalog.look(b"", file(b"b.mkv"))
    assert (stored(catalog, b"b.mkv"), pairs(catalog)) == (KEPT, 1)


def test_a_forgotten_file_takes_it_along(catalog: Catalog) -> None:
    catalog.connection.execute("DELETE FROM media_files WHERE id = ?", (catalog.row(b"a.mkv").id,))
    catalog.totals.recount(catalog.connection, 1)
    catalog.run(lambda tx: None)
    assert (catalog.value("SELECT count(*) FROM fingerprints"), pairs(catalog)) == (1, 0)


# Waited for


def fail(catalog: Catalog, name: bytes, lacks: int, *, final: bool) -> FileRow:
    row = catalog.row(name)
    catalog.tell(Failed(row.id, row.stamp, lacks, Problem("decode", "Broken."), final))
    return catalog.row(name)


def test_a_failure_in_the_end_is_waited_for_no_longer(catalog: Catalog) -> None:
    want(catalog, b"a.mkv")
    tried = fail(catalog, b"a.mkv", PHASH, final=False)
    assert (tried.wanted, tried.problem_lacks, tried.due_ns) == (PHASH, PHASH, 160 * SECOND)
    failed = fail(catalog, b"a.mkv", PHASH, final=True)
    assert (failed.wanted, failed.lacks, failed.problem) == (0, 0, "Broken.")
    assert stored(catalog) == KEPT, "it was asked for again, and the file is the same"
    want(catalog, b"a.mkv", FINGERPRINT)
    catalog.phash(b"a.mkv", lacks=FINGERPRINT)
    assert catalog.row(b"a.mkv").problem is None


def test_what_nobody_waits_for_any_more_does_not_fail(catalog: Catalog) -> None:
    assert fail(catalog, b"a.mkv", PHASH, final=True).problem is None


def test_what_cannot_be_probed_is_not_waited_for(catalog: Catalog) -> None:
    catalog.policy = replace(POLICY, phash=FINGERPRINT, phash_all=True)
    catalog.look(b"", file(b"c.mkv"))
    catalog.hash(b"c.mkv")
    failed = fail(catalog, b"c.mkv", PROBE, final=True)
    assert (failed.lacks, failed.wanted) == (PHASH, 0)
    catalog.probe(b"c.mkv")
    assert catalog.row(b"c.mkv").wanted == FINGERPRINT, "somebody had it tried again"


def test_a_failure_that_gives_way_to_another_is_waited_for_again(catalog: Catalog) -> None:
    catalog.policy = replace(POLICY, phash_all=True)
    catalog.look(b"", file(b"c.mkv"))
    catalog.hash(b"c.mkv")
    catalog.probe(b"c.mkv")
    assert fail(catalog, b"c.mkv", PHASH, final=True).wanted == 0
    catalog.look(b"", file(b"c.mkv", ctime=2_000))
    fail(catalog, b"c.mkv", QUICK_HASH, final=False)
    catalog.hash(b"c.mkv")
    row = catalog.row(b"c.mkv")
    assert (row.problem, row.lacks, row.wanted) == (None, PHASH, PHASH)


def test_the_configuration_waits_for_every_new_video(catalog: Catalog) -> None:
    catalog.policy = replace(POLICY, phash=FINGERPRINT, phash_all=True)
    catalog.look(b"", file(b"a.mkv", 5), file(b"c.mkv"), file(b"d.flac", media_type="audio"))
    wanted = [catalog.row(name).wanted for name in (b"a.mkv", b"b.mkv", b"c.mkv", b"d.flac")]
    assert wanted == [FINGERPRINT, 0, FINGERPRINT, 0]
    assert catalog.counts()["pending_phash"] == 2
    catalog.look(b"", catalog.moved(b"d.flac", here=b"d.mkv")._replace(media_type="video"))
    assert catalog.row(b"d.mkv").wanted == FINGERPRINT
    catalog.look(b"", catalog.moved(b"c.mkv", here=b"c.flac")._replace(media_type="audio"))
    assert catalog.row(b"c.flac").wanted == 0


def test_the_configuration_waits_for_what_turns_out_to_be_other_bytes(catalog: Catalog) -> None:
    catalog.policy = replace(POLICY, phash_all=True)
    catalog.look(b"", file(b"a.mkv", ctime=2_000))
    catalog.hash(b"a.mkv", "other bytes")
    assert catalog.row(b"a.mkv").wanted == PHASH


def test_a_file_that_changes_while_it_is_waited_for_still_is(catalog: Catalog) -> None:
    want(catalog, b"a.mkv", FINGERPRINT)
    catalog.look(b"", file(b"a.mkv", 5))
    assert catalog.row(b"a.mkv").wanted == FINGERPRINT


def test_a_missing_file_found_again_waits_for_what_was_wanted_of_its_new_path(catalog: Catalog) -> None:
    catalog.look(b"", file(b"old.mkv"))
    catalog.hash(b"old.mkv", "content")
    former = catalog.row(b"old.mkv")
    catalog.miss(b"", b"old.mkv")
    catalog.look(b"", file(b"new.mkv"))
    row = want(catalog, b"new.mkv", FINGERPRINT)
    catalog.tell(Hashed(row.id, row.stamp, former.quick_hash or b"", 1))
    moved = catalog.row(b"new.mkv")
    assert (moved.id, moved.wanted) == (former.id, FINGERPRINT)
