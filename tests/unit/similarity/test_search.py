from __future__ import annotations

import random
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediawatchd.hashing.fingerprint import Fingerprint, pack
from mediawatchd.similarity import bands, half
from mediawatchd.similarity.bands import Bands
from mediawatchd.similarity.frames import KINDS, keys
from mediawatchd.similarity.search import Index
from tests.unit.similarity.videos import changed, cropped, edited, film, fingerprint, mirrored, picture, taken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VIDEOS = {number: taken(film(number), 160) for number in range(1, 61)}
BLOBS = {number: pack(video) for number, video in VIDEOS.items()}
KEY = st.integers(0, (1 << 64) - 1)


@pytest.fixture(params=["compared", "sorted"], autouse=True)
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each test with a library that is small for the index, and with one that is large for it."""
    if request.param == "sorted":
        monkeypatch.setattr(half, "FEW_KEYS", 50)
        monkeypatch.setattr(half, "TAIL_KEYS", 32)
        monkeypatch.setattr(bands, "_CHUNK", 50)
    return request.param


def near(key: int, other: int, bits: int) -> bool:
    return (key ^ other).bit_count() <= bits


def bands_of(keys: list[int]) -> Bands:
    """Of keys that belong each to its number."""
    return Bands(np.array(keys, np.uint64), np.arange(len(keys), dtype=np.uint32))


def turned(key: int, bits: list[int]) -> int:
    for bit in bits:
        key ^= 1 << bit
    return key


@settings(deadline=None, max_examples=40)
@given(KEY, st.lists(st.lists(st.integers(0, 63), max_size=13, unique=True), max_size=30), st.lists(KEY, max_size=30))
def test_bands_find_all_within_eight_bits_and_nothing_beyond_ten(
    key: int, turns: list[list[int]], others: list[int]
) -> None:
    stored = [*(turned(key, bits) for bits in turns), *others]
    asked = [key ^ 1, key, *others[:2]]

    numbers, owners = bands_of(stored).near(np.array(asked, np.uint64)[:, None], 10)

    found = set(zip(numbers.tolist(), owners.tolist(), strict=True))
    for number, each in enumerate(asked):
        assert {(number, at) for at, other in enumerate(stored) if near(each, other, 8)} <= found
    assert all(near(asked[number], stored[at], 10) for number, at in found)


@pytest.mark.parametrize("band", [range(21), range(21, 42), range(42, 64)], ids=str)
def test_a_band_is_found_by_any_two_bits(band: range) -> None:
    elsewhere = [bit for bit in range(64) if bit not in band][2::6][:8]
    stored = [turned(0, [*bits, *elsewhere]) for bits in combinations(band, 2)]

    _, owners = bands_of(stored).near(np.zeros((1, 1), np.uint64), 10)

    assert sorted(owners.tolist()) == list(range(len(stored)))


def test_bands_find_most_of_what_lies_ten_bits_away() -> None:
    dice = random.Random(1)
    key = dice.getrandbits(64)
    stored = [turned(key, dice.sample(range(64), 10)) for _ in range(1000)]

    _, owners = bands_of(stored).near(np.array([[key]], np.uint64), 10)

    assert 710 < len(set(owners.tolist())) < 800


def test_what_thousands_share_is_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "_CHUNK", 64)
    stored = [5] * 500 + [turned(5, list(range(20)))] * 500
    views = np.array([[turned(5, [1])], [turned(5, list(range(30, 60)))], [5]], np.uint64)
    parts: list[int] = []
    look = Bands._near_in

    def look_and_tell(*arguments: Any) -> Iterator[Any]:
        for part in look(*arguments):
            parts.append(len(part))
            yield part

    monkeypatch.setattr(Bands, "_near_in", look_and_tell)
    rows, owners = bands_of(stored).near(views, 10)

    assert set(zip(rows.tolist(), owners.tolist(), strict=True)) == {(row, at) for row in (0, 2) for at in range(500)}
    assert max(parts) == 64


@pytest.mark.parametrize("edit", [bytes, mirrored], ids=["plain", "mirrored"])
def test_each_video_finds_itself_first(edit: Callable[[bytes], bytes]) -> None:
    index = Index.build(BLOBS.items())

    for number, video in VIDEOS.items():
        assert index.candidates(edited(video, edit))[0] == number


def test_a_cropped_video_is_found_by_the_original() -> None:
    index = Index.build([(7, pack(edited(VIDEOS[7], cropped))), *((n, BLOBS[n]) for n in range(10, 40))])

    assert index.candidates(VIDEOS[7])[0] == 7


def test_one_frame_is_enough() -> None:
    frames = [picture("new", number) for number in range(15)]
    asked = fingerprint([*frames, VIDEOS[9].plain[32:64]])

    assert 9 in Index.build(BLOBS.items()).candidates(asked)


LOW_BITS, HIGH_BITS = (
    np.packbits([[among(row, column) for column in range(16)] for row in range(16)]).tobytes()
    for among in (lambda row, column: row + column <= 10, lambda _, column: column >= 12)
)
"""Masks of a hash: all bits of its low key, and all of its high key."""


@pytest.mark.parametrize("left", [LOW_BITS, HIGH_BITS], ids=["low", "high"])
@pytest.mark.parametrize("frames", [1, 4, 5, 16])
def test_a_copy_is_found_by_the_frequencies_that_an_edit_left(left: bytes, frames: int) -> None:
    """An opaque box spoils the low ones in every frame, a low bitrate the high ones."""

    def spoiled(hashed: bytes) -> bytes:
        each = zip(hashed, picture("spoiled", hashed), left, strict=True)
        return bytes(ours & mask | other & ~mask for ours, other, mask in each)

    video = taken(film("copied"), 160, frames)
    index = Index.build([*BLOBS.items(), (100, pack(video))])

    assert index.candidates(edited(video, spoiled))[:1] == [100]
    assert index.candidates(edited(edited(video, spoiled), mirrored))[:1] == [100]


def test_those_that_agree_in_most_frames_come_first() -> None:
    shared = [VIDEOS[1].plain[at : at + 32] for at in range(0, 512, 32)]
    rows = {
        number: pack(fingerprint([*shared[:alike], *(picture(number, other) for other in range(16 - alike))]))
        for number, alike in ((300, 3), (400, 9), (200, 3), (500, 1))
    }

    assert Index.build([*BLOBS.items(), *rows.items()]).candidates(VIDEOS[1])[:5] == [1, 400, 200, 300, 500]


def test_frames_that_agree_are_counted_and_not_how_often() -> None:
    """Two shared frames are more than one that a video, known or asked for, shows again and again, cropped as plain."""
    one, two = (VIDEOS[1].plain[at : at + 32] for at in (0, 32))
    others = [picture("other", number) for number in range(16)]
    again = fingerprint([one] * 16)
    twice = fingerprint([one, two, one, two, *others[:12]])
    asked = fingerprint([one, two, *others[12:]])
    for first, second in ((100, 200), (200, 100)):
        index = Index.build([*((n, BLOBS[n]) for n in range(30, 60)), (first, pack(again)), (second, pack(twice))])
        assert index.candidates(asked)[:2] == [second, first]
        for repeated in (fingerprint([one] * 14 + [two]), Fingerprint(60.0, asked.times, asked.plain, asked.plain)):
            assert index.candidates(repeated)[:2] == [second, first]


def test_an_added_video_is_found() -> None:
    index = Index.build((number, blob) for number, blob in BLOBS.items() if number % 2)

    for number, blob in BLOBS.items():
        if not number % 2:
            index.add(number, blob)
            assert index.candidates(VIDEOS[number])[:1] == [number]
    assert len(index) == len(VIDEOS)
    assert all(index.candidates(video)[0] == number for number, video in VIDEOS.items())


def test_an_index_can_start_empty() -> None:
    index = Index()
    assert index.candidates(VIDEOS[1]) == []

    for number, blob in BLOBS.items():
        index.add(number, blob)

    assert all(index.candidates(video)[0] == number for number, video in VIDEOS.items())


def test_a_removed_video_is_not_found_and_can_come_back() -> None:
    index = Index.build(BLOBS.items())
    index.add(100, BLOBS[3])

    index.remove(3)
    index.remove(100)
    index.remove(12345)

    assert not {3, 100} & set(index.candidates(VIDEOS[3]))
    assert len(index) == len(VIDEOS) - 1
    index.add(3, BLOBS[3])
    assert index.candidates(VIDEOS[3])[:1] == [3]


def test_what_was_removed_is_left_out_when_the_tail_is_sorted_in() -> None:
    index = Index.build((number, blob) for number, blob in BLOBS.items() if number <= 20)
    for number in (1, 2, 7, 19):
        index.remove(number)

    for number in range(21, 61):
        index.add(number, BLOBS[number])

    found = {number: index.candidates(video)[:1] for number, video in VIDEOS.items()}
    assert all(found[number] == [number] for number in VIDEOS if number not in {1, 2, 7, 19})


def test_a_video_that_is_added_again_has_only_its_new_frames() -> None:
    index = Index.build(BLOBS.items())

    index.add(5, pack(taken(film("new"), 160)))

    assert 5 not in index.candidates(VIDEOS[5])
    assert index.candidates(taken(film("new"), 160))[:1] == [5]
    assert len(index) == len(VIDEOS)


def test_videos_without_content_are_in_no_answer() -> None:
    nothing = Fingerprint(60.0, (), b"", b"")
    index = Index.build([(70, pack(nothing)), *BLOBS.items(), (71, pack(nothing))])
    index.add(72, pack(nothing))

    assert index.candidates(nothing) == []
    assert index.candidates(VIDEOS[60])[:1] == [60]
    assert len(index) == len(VIDEOS)


def test_blobs_of_another_version_are_counted_and_left_out() -> None:
    index = Index.build([(1, BLOBS[1]), (2, b"\x07" + BLOBS[2][1:]), (3, BLOBS[3])])

    assert (len(index), index.unreadable) == (2, 1)
    assert index.candidates(VIDEOS[3])[:1] == [3]
    for blob in (b"", b"\x07" + BLOBS[1][1:], BLOBS[1][:1] + b"\x0f" + BLOBS[1][2:]):
        with pytest.raises(ValueError, match="version"):
            index.add(1, blob)
    assert index.candidates(VIDEOS[1])[:1] == [1]


def test_large_libraries_are_sorted_and_small_ones_compared(size: str) -> None:
    """Sixteen bytes more for each key tell which."""
    assert (Index.build(BLOBS.items()).bytes_held > 16 * 16 * len(BLOBS) + 4 * (1 << 16)) is (size == "sorted")


STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "add", "remove"]), st.integers(1, 20), st.integers(0, 4)), max_size=60
)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 20), STEPS)
def test_the_index_finds_what_looking_at_everything_finds(start: int, steps: list[tuple[str, int, int]]) -> None:
    """Whatever was added and removed: all that share a frame within eight bits, none that shares none within ten."""

    def version(number: int, bits: int) -> Fingerprint:
        # Three families of films, of which the frames come closer and farther.
        story = film(number % 3, scene_seconds=20)
        return taken(lambda seconds: changed(story(seconds), 14 * bits, number, seconds), 160, 1 + number % 6)

    videos = {number: version(number, 1) for number in range(1, start + 1)}
    index = Index.build((number, pack(video)) for number, video in videos.items())
    for step, number, bits in steps:
        if step == "add":
            videos[number] = version(number, bits)
            index.add(number, pack(videos[number]))
        else:
            videos.pop(number, None)
            index.remove(number)

    asked = version(1, 0)
    candidates = index.candidates(asked)

    assert len(index) == len(videos)
    assert len(set(candidates)) == len(candidates)
    assert brute(asked, videos, 8) <= set(candidates) <= brute(asked, videos, 10)


def brute(asked: Fingerprint, videos: dict[int, Fingerprint], bits: int) -> set[int]:
    def keys_of(hashes: bytes, kind: int) -> list[int]:
        return [int(key) for key in keys(np.frombuffer(hashes, np.uint8).reshape(-1, 32), kind)]

    def stored(video: Fingerprint, kind: int) -> list[int]:
        found = keys_of(video.plain, kind)
        return found[kind::2] + found[len(found) - len(found) % 2 :]

    views = [hashes for each in (asked, edited(asked, mirrored)) for hashes in (each.plain, each.cropped)]
    return {
        number
        for number, video in videos.items()
        if any(
            near(key, other, bits)
            for kind in KINDS
            for hashes in views
            for key in keys_of(hashes, kind)
            for other in stored(video, kind)
        )
    }
