"""The frames of a fingerprint as arrays, and the 64-bit key that stands for a frame in the search.

Stored fingerprints are read here by the batch: a million of them, one by one, would take half a minute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mediawatchd.hashing.fingerprint import HASH_BYTES, MIRROR, Fingerprint, pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Counts = NDArray[np.int64]
    Seconds = NDArray[np.float64]
    Words = NDArray[np.uint64]

_EMPTY = pack(Fingerprint(0.0, (), b"", b""))
_HEADER_BYTES = len(_EMPTY)
_VERSION = _EMPTY[0]
_PLAIN_AT = 4  # behind the time
_FRAME_BYTES = _PLAIN_AT + 2 * HASH_BYTES

MIRROR_WORDS = np.frombuffer(MIRROR, np.uint64)
"""The four words of a hash XOR these are those of the mirrored picture."""


class Frames(NamedTuple):
    """A fingerprint; `times` in seconds. `plain` and `cropped` hold four 64-bit words a frame."""

    duration_seconds: float
    times: Seconds
    plain: Words
    cropped: Words


def frames_of(fingerprint: Fingerprint) -> Frames:
    """The same as arrays."""
    return Frames(
        fingerprint.duration,
        np.array(fingerprint.times, np.float64),
        np.frombuffer(fingerprint.plain, np.uint64).reshape(-1, HASH_BYTES // 8),
        np.frombuffer(fingerprint.cropped, np.uint64).reshape(-1, HASH_BYTES // 8),
    )


def _zigzag() -> list[tuple[int, int]]:
    """The 64 (row, column) after DC, along the diagonals and from the lowest frequency up, as JPEG orders them."""
    places = [(row, column) for row in range(16) for column in range(16)]
    places.sort(key=lambda at: (sum(at), at[0] if sum(at) % 2 else at[1]))
    return places[1:65]


def _tables() -> dict[int, Words]:
    """For each byte of a hash that holds bits of the key: what each of its 256 values contributes."""
    tables: dict[int, Words] = {}
    values = np.arange(256, dtype=np.uint64)
    for position, (row, column) in enumerate(_zigzag()):
        table = tables.setdefault(2 * row + column // 8, np.zeros(256, np.uint64))
        bit = (values >> np.uint64(7 - column % 8)) & np.uint64(1)
        table |= bit << np.uint64(63 - position)
    return tables


_TABLES = _tables()


def keys(hashes: Bytes) -> Words:
    """One key for each row of 32 bytes: the signs of the 64 lowest frequencies after DC, the lowest first.

    DC is left out, as its bit is always zero. So the key of the mirrored picture is the key XOR `MIRROR_KEY`.
    """
    found = np.zeros(len(hashes), np.uint64)
    part = np.empty(len(hashes), np.uint64)
    for byte, table in _TABLES.items():
        # No byte lies beyond a table: clipping changes nothing, but spares numpy a check that makes it 5 times slower.
        np.take(table, hashes[:, byte], out=part, mode="clip")
        found |= part
    return found


MIRROR_KEY = keys(np.frombuffer(MIRROR, np.uint8)[None])[0]


def plain_keys(blobs: Sequence[bytes]) -> tuple[Words, Counts]:
    """The keys of all plain frames of `blobs` in a row, and how many each blob has; -1: it is no fingerprint."""
    counts = np.array([_count(blob) for blob in blobs], np.int64)
    whole = zip(blobs, counts.tolist(), strict=True)
    bodies = b"".join([blob[_HEADER_BYTES:] for blob, count in whole if count >= 0])
    frames = np.frombuffer(bodies, np.uint8).reshape(-1, _FRAME_BYTES)
    return keys(frames[:, _PLAIN_AT : _PLAIN_AT + HASH_BYTES]), counts


def _count(blob: bytes) -> int:
    """The number of frames, -1 when the length is not as the header says or the version is another."""
    whole = len(blob) >= _HEADER_BYTES and blob[0] == _VERSION
    return blob[1] if whole and len(blob) == _HEADER_BYTES + blob[1] * _FRAME_BYTES else -1
