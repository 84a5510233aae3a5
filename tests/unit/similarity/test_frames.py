from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mediawatchd.hashing.fingerprint import HASH_BYTES, MIRROR, Fingerprint, pack
from mediawatchd.similarity.frames import MIRROR_KEY, frames_of, keys, plain_keys

HASHES = st.binary(min_size=HASH_BYTES, max_size=HASH_BYTES)


def with_bit(row: int, column: int) -> bytes:
    bits = np.zeros((16, 16), np.bool_)
    bits[row, column] = True
    return np.packbits(bits).tobytes()


def key_of(hashed: bytes) -> int:
    return int(keys(np.frombuffer(hashed, np.uint8)[None])[0])


def test_a_key_has_the_lowest_frequencies_first() -> None:
    highest = [with_bit(0, 1), with_bit(1, 0), with_bit(2, 0), with_bit(1, 1), with_bit(0, 2), with_bit(0, 3)]

    assert [key_of(hashed) for hashed in highest] == [1 << bit for bit in range(63, 57, -1)]


def test_a_key_has_64_of_the_bits_and_not_the_mean_brightness() -> None:
    in_key = {(row, column): key_of(with_bit(row, column)) for row in range(16) for column in range(16)}

    assert sorted(key for key in in_key.values() if key) == [1 << bit for bit in range(64)]
    assert not in_key[0, 0]
    assert all(in_key[row, column] for row in range(10) for column in range(10 - row) if row or column)


@settings(deadline=None)
@given(HASHES)
def test_the_key_of_a_mirrored_picture_is_the_key_mirrored(hashed: bytes) -> None:
    mirrored = bytes(a ^ b for a, b in zip(hashed, MIRROR, strict=True))

    assert key_of(mirrored) == key_of(hashed) ^ int(MIRROR_KEY)


@settings(deadline=None)
@given(st.lists(st.lists(HASHES, max_size=40), max_size=6))
def test_keys_read_from_stored_fingerprints_are_those_of_the_plain_hashes(videos: list[list[bytes]]) -> None:
    blobs = [
        pack(Fingerprint(9.0, tuple(range(len(video))), b"".join(video), b"\xff" * HASH_BYTES * len(video)))
        for video in videos
    ]

    found, counts = plain_keys(blobs)

    assert counts.tolist() == [len(video) for video in videos]
    assert found.tolist() == [key_of(hashed) for video in videos for hashed in video]


def test_what_is_no_fingerprint_is_left_out() -> None:
    good = pack(Fingerprint(9.0, (1.0,), b"\x01" * HASH_BYTES, b"\x02" * HASH_BYTES))

    found, counts = plain_keys([b"", good[:-1], good + b"\0", b"\x02" + good[1:], good])

    assert counts.tolist() == [-1, -1, -1, -1, 1]
    assert found.tolist() == [key_of(b"\x01" * HASH_BYTES)]


def test_frames_hold_what_the_fingerprint_holds() -> None:
    frames = frames_of(Fingerprint(9.0, (1.0, 2.0), bytes(range(64)), bytes(range(64, 128))))

    assert frames.times.tolist() == [1.0, 2.0]
    assert frames.plain.shape == frames.cropped.shape == (2, 4)
    assert (frames.plain.tobytes(), frames.cropped.tobytes()) == (bytes(range(64)), bytes(range(64, 128)))
