from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mediawatchd.hashing.fingerprint import HASH_BYTES, MIRROR, Fingerprint, pack
from mediawatchd.similarity.frames import HIGH, KINDS, LOW, MIRROR_KEYS, frames_of, keys, plain_keys

HASHES = st.binary(min_size=HASH_BYTES, max_size=HASH_BYTES)


def with_bit(row: int, column: int) -> bytes:
    bits = np.zeros((16, 16), np.bool_)
    bits[row, column] = True
    return np.packbits(bits).tobytes()


def key_of(hashed: bytes, kind: int) -> int:
    return int(keys(np.frombuffer(hashed, np.uint8)[None], kind)[0])


def in_key(kind: int) -> dict[tuple[int, int], int]:
    """For each bit of a hash its bit in the key, 0 for those that are left out."""
    bits = {(row, column): key_of(with_bit(row, column), kind) for row in range(16) for column in range(16)}
    assert sorted(bit for bit in bits.values() if bit) == [1 << bit for bit in range(64)]
    return bits


def test_a_low_key_has_the_lowest_frequencies_first() -> None:
    highest = [with_bit(0, 1), with_bit(1, 0), with_bit(2, 0), with_bit(1, 1), with_bit(0, 2), with_bit(0, 3)]

    assert [key_of(hashed, LOW) for hashed in highest] == [1 << bit for bit in range(63, 57, -1)]


def test_a_low_key_has_64_of_the_bits_and_not_the_mean_brightness() -> None:
    bits = in_key(LOW)

    assert not bits[0, 0]
    assert all(bits[row, column] for row in range(10) for column in range(10 - row) if row or column)


def test_a_high_key_has_the_highest_frequencies_across() -> None:
    bits = in_key(HIGH)

    assert {place for place, bit in bits.items() if bit} == {
        (row, column) for row in range(16) for column in range(12, 16)
    }


@settings(deadline=None)
@given(HASHES, st.sampled_from(KINDS))
def test_the_key_of_a_mirrored_picture_is_the_key_mirrored(hashed: bytes, kind: int) -> None:
    mirrored = bytes(a ^ b for a, b in zip(hashed, MIRROR, strict=True))

    assert key_of(mirrored, kind) == key_of(hashed, kind) ^ int(MIRROR_KEYS[kind])


@settings(deadline=None)
@given(st.lists(st.lists(HASHES, max_size=40), max_size=6))
def test_keys_read_from_stored_fingerprints_are_those_of_the_plain_hashes(videos: list[list[bytes]]) -> None:
    blobs = [
        pack(Fingerprint(9.0, tuple(range(len(video))), b"".join(video), b"\xff" * HASH_BYTES * len(video)))
        for video in videos
    ]

    found = {
        place: (low, high)
        for places, keys_of_kinds in plain_keys(blobs)
        for place, low, high in zip(places.tolist(), *(own.tolist() for own in keys_of_kinds), strict=True)
    }

    seconds = [[*video[1::2], *video[len(video) - len(video) % 2 :]] for video in videos]
    assert found == {
        place: ([key_of(hashed, LOW) for hashed in video[::2]], [key_of(hashed, HIGH) for hashed in second])
        for place, (video, second) in enumerate(zip(videos, seconds, strict=True))
    }


def test_what_is_no_fingerprint_is_left_out() -> None:
    good = pack(Fingerprint(9.0, (1.0,), b"\x01" * HASH_BYTES, b"\x02" * HASH_BYTES))

    ((places, (low, high)),) = plain_keys(
        [b"", good[:-1], good + b"\0", b"\x02" + good[1:], good[:1] + b"\x02" + good[2:], good]
    )

    assert places.tolist() == [5]
    assert low.tolist() == [[key_of(b"\x01" * HASH_BYTES, LOW)]]
    assert high.tolist() == [[key_of(b"\x01" * HASH_BYTES, HIGH)]]


def test_frames_hold_what_the_fingerprint_holds() -> None:
    frames = frames_of(Fingerprint(9.0, (1.0, 2.0), bytes(range(64)), bytes(range(64, 128))))

    assert frames.times.tolist() == [1.0, 2.0]
    assert frames.plain.shape == frames.cropped.shape == (2, 4)
    assert (frames.plain.tobytes(), frames.cropped.tobytes()) == (bytes(range(64)), bytes(range(64, 128)))
