"""The frames of a fingerprint as arrays, and the 64-bit keys that stand for a frame in the search.

A key is the signs of 64 of the 256 cosines of a hash, and there are two kinds. The low key, of the lowest frequencies,
outlives what moves and blurs a picture: crops, low bitrates, another moment of the scene. Something opaque in the
picture, as a box or a banner, turns many of its bits, and few of the high key: all that is wide is slow across.

Stored fingerprints are read here by the batch: a million of them, one by one, would take half a minute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mediawatchd.hashing.fingerprint import HASH_BYTES, MIRROR, Fingerprint, pack

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Places = NDArray[np.intp]
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


def _low() -> list[tuple[int, int]]:
    """The 64 (row, column) after DC, along the diagonals and from the lowest frequency up, as JPEG orders them."""
    places = [(row, column) for row in range(16) for column in range(16)]
    places.sort(key=lambda at: (sum(at), at[0] if sum(at) % 2 else at[1]))
    return places[1:65]


def _tables(places: Sequence[tuple[int, int]]) -> dict[int, Words]:
    """For each byte of a hash that holds bits of the key: what each of its 256 values contributes."""
    tables: dict[int, Words] = {}
    values = np.arange(256, dtype=np.uint64)
    for position, (row, column) in enumerate(places):
        table = tables.setdefault(2 * row + column // 8, np.zeros(256, np.uint64))
        bit = (values >> np.uint64(7 - column % 8)) & np.uint64(1)
        table |= bit << np.uint64(63 - position)
    return tables


LOW, HIGH = KINDS = 0, 1
_LOW_TABLES = _tables(_low())
_LAST_COLUMNS = np.uint64(0x0F00_0F00_0F00_0F00)
"""Four of the sixteen columns, in each of the four rows that a word holds."""
_TOGETHER = np.uint64(1 << 40 | 1 << 28 | 1 << 16 | 1 << 4)
"""Times this, the four bits of each of the four rows lie side by side at the top of the word."""


def keys(hashes: Bytes, kind: int) -> Words:
    """One key of this kind for each row of 32 bytes.

    DC is left out, as its bit is always zero. So the key of the mirrored picture is the key XOR `MIRROR_KEYS[kind]`.
    """
    return _low_keys(hashes) if kind == LOW else _high_keys(hashes)


def _low_keys(hashes: Bytes) -> Words:
    found = np.zeros(len(hashes), np.uint64)
    part = np.empty(len(hashes), np.uint64)
    for byte, table in _LOW_TABLES.items():
        # No byte lies beyond a table: clipping changes nothing, but spares numpy a check that makes it 5 times slower.
        np.take(table, hashes[:, byte], out=part, mode="clip")
        found |= part
    return found


def _high_keys(hashes: Bytes) -> Words:
    """The 64 of the highest frequencies across the picture."""
    found = np.zeros(len(hashes), np.uint64)
    for word in np.ascontiguousarray(hashes).view("<u8").T:
        four_rows = word & _LAST_COLUMNS
        four_rows *= _TOGETHER
        four_rows >>= np.uint64(48)
        found <<= np.uint64(16)
        found |= four_rows
    return found


MIRROR_KEYS = [keys(np.frombuffer(MIRROR, np.uint8)[None], kind)[0] for kind in KINDS]


def plain_keys(blobs: Sequence[bytes]) -> Iterator[tuple[Places, list[Words]]]:
    """The keys of the plain frames, for those of the `blobs` at a time that have as many frames: where these stand
    among all, and by kind an array with a row for each. What is no fingerprint is left out.

    Of each two frames the first has its low key there and the second its high one, and a last one without a second
    has both.
    """
    lengths = np.fromiter(map(len, blobs), np.intp, len(blobs))
    for length in np.unique(lengths).tolist():
        count, rest = divmod(length - _HEADER_BYTES, _FRAME_BYTES)
        if count < 0 or rest:
            continue
        places = np.flatnonzero(lengths == length)
        rows = np.frombuffer(b"".join([blobs[place] for place in places.tolist()]), np.uint8).reshape(-1, length)
        good = (rows[:, 0] == _VERSION) & (rows[:, 1] == count)
        if not good.any():
            continue
        if not good.all():
            places, rows = places[good], rows[good]
        frames = rows[:, _HEADER_BYTES:].reshape(len(rows), count, _FRAME_BYTES)
        hashes = frames[:, :, _PLAIN_AT : _PLAIN_AT + HASH_BYTES]
        halves = [hashes[:, LOW::2], hashes[:, HIGH::2]]
        if count % 2:
            halves[HIGH] = np.concatenate((halves[HIGH], hashes[:, -1:]), axis=1)
        found = [keys(half.reshape(-1, HASH_BYTES), kind) for kind, half in zip(KINDS, halves, strict=True)]
        yield places, [own.reshape(len(frames), (count + 1) // 2) for own in found]
