"""What the catalog keeps of pairs: only of fingerprints that are still those that were compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mediawatchd.catalog import matching
from mediawatchd.catalog.matching import Matched, Pair
from tests.catalogs import Catalog, file

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION = 3


class Fingerprints:
    """Three videos with fingerprints that nobody has compared."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        catalog.look(b"", file(b"a.mkv", 3_000), file(b"b.mkv", 1_000), file(b"c.mkv", 2_000))
        self.a, self.b, self.c = (catalog.row(name).id for name in (b"a.mkv", b"b.mkv", b"c.mkv"))
        for video in (self.a, self.b, self.c):
            self.put(video, b"looks of %d" % video)

    def put(self, video: int, blob: bytes | None) -> None:
        self.catalog.connection.execute(
            "INSERT OR REPLACE INTO fingerprints (file_id, hashed_at, fingerprint) VALUES (?, 0, ?)", (video, blob)
        )

    def store(self, video: int, *others: int, version: int = VERSION, distance: float = 10) -> int:
        alike = [(a_pair(video, other, distance), b"looks of %d" % other) for other in others]
        found = Matched(video, b"looks of %d" % video, alike)
        stored = self.catalog.run(lambda tx: matching.store(tx, version, [found]))
        assert isinstance(stored, int)
        return stored

    def purge(self, video: int) -> None:
        with self.catalog.transaction() as tx:
            tx.connection.execute("DELETE FROM media_files WHERE id = ?", (video,))
            tx.totals.recount(tx.connection, 1)

    def unmatched(self) -> list[int]:
        return [video for video, _ in matching.unmatched(self.catalog.connection, VERSION, 10)]

    def pairs(self) -> Sequence[tuple[int, int, float]]:
        return self.catalog.connection.execute(
            "SELECT a_id, b_id, distance FROM similar_pairs ORDER BY 1, 2"
        ).fetchall()


def a_pair(one: int, other: int, distance: float = 10) -> Pair:
    a, b = sorted((one, other))
    return Pair(a, b, "duplicate", distance, 16, 1.5, mirrored=False, cropped=True, b_is_part=False)


@pytest.fixture
def videos() -> Fingerprints:
    return Fingerprints(Catalog())


def test_a_video_is_matched_when_its_pairs_are_stored(videos: Fingerprints) -> None:
    assert videos.unmatched() == [videos.a, videos.b, videos.c]
    assert videos.store(videos.b, videos.a) == 1
    assert videos.unmatched() == [videos.a, videos.c]
    assert videos.pairs() == [(videos.a, videos.b, 10)]
    assert [row[0] for row in matching.matched(videos.catalog.connection, VERSION, 0, 10)] == [videos.b]
    columns = "verdict, matched_frames, offset_seconds, mirrored, cropped, b_is_part, smaller_bytes"
    stored = videos.catalog.connection.execute(f"SELECT {columns} FROM similar_pairs").fetchone()
    assert stored == ("duplicate", 16, 1.5, 0, 1, 0, 1_000)


def test_a_fingerprint_that_changed_meanwhile_stays_unmatched(videos: Fingerprints) -> None:
    videos.put(videos.b, b"other looks")
    assert videos.store(videos.b, videos.a) == 0
    assert videos.pairs() == []
    assert videos.b in videos.unmatched()


def test_a_pair_with_a_fingerprint_that_changed_meanwhile_is_left_to_that(videos: Fingerprints) -> None:
    videos.put(videos.a, b"other looks")
    assert videos.store(videos.b, videos.a, videos.c) == 1
    assert videos.pairs() == [(videos.b, videos.c, 10)]
    assert videos.unmatched() == [videos.a, videos.c]


@pytest.mark.parametrize("gone", ["purged", "dropped"])
def test_a_pair_with_a_video_that_went_meanwhile_is_not_stored(videos: Fingerprints, gone: str) -> None:
    if gone == "purged":
        videos.purge(videos.a)
    else:
        videos.put(videos.a, None)
    assert videos.store(videos.b, videos.a) == 0
    assert videos.unmatched() == [videos.c]


def test_pairs_go_with_their_videos(videos: Fingerprints) -> None:
    videos.store(videos.b, videos.a, videos.c)
    videos.purge(videos.a)
    assert videos.pairs() == [(videos.b, videos.c, 10)]
    videos.purge(videos.c)
    assert videos.pairs() == []


def test_another_version_of_the_score_finds_everything_anew(videos: Fingerprints) -> None:
    videos.store(videos.b, videos.a, version=VERSION - 1)
    videos.store(videos.c, videos.b, version=VERSION)
    assert videos.unmatched() == [videos.a, videos.b]
    assert matching.count_unmatched(videos.catalog.connection, VERSION, 10) == 2
    assert matching.count_unmatched(videos.catalog.connection, VERSION, 1) == 1
    videos.store(videos.b, videos.c, distance=20)
    assert videos.pairs() == [(videos.b, videos.c, 20)]


def test_videos_without_a_fingerprint_wait_for_nothing(videos: Fingerprints) -> None:
    videos.put(videos.a, None)
    assert videos.unmatched() == [videos.b, videos.c]
    assert matching.blobs(videos.catalog.connection, [videos.a, videos.b, 99]) == [
        (videos.b, b"looks of %d" % videos.b)
    ]
