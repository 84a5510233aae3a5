"""The fingerprint of a video: what near-duplicates are found by, and the form in which the catalog keeps it.

A set of frames, each with its time and two hashes of 256 bits: one of the whole picture, one of its middle. How
they are made stands in `signature`; this module is loaded by the daemon too, so it imports neither PyAV nor numpy.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

HASH_BYTES = 32
"""Bytes of one hash: bit 16 * down + across, the most significant bit of the first byte first, is the sign of the
cosine with so many half waves across and down the picture."""

MIRROR = bytes([0b01010101]) * HASH_BYTES
"""The hash of a picture as in a mirror is its hash XOR this: cosines with an odd number of half waves change sign."""

_VERSION = 1
_MOST_FRAMES = 255  # their number has one byte
_HEADER = struct.Struct("<BBxxd")
_FRAME = struct.Struct(f"<f{HASH_BYTES}s{HASH_BYTES}s")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Frame by frame in the order of time: `times` in seconds since the start, `plain` the hashes of the whole
    picture and `cropped` those of its middle, one after the other. `duration` in seconds.

    Without frames it stands for a video without content, all black or all of one colour, which is like no other.
    """

    duration: float
    times: tuple[float, ...]
    plain: bytes
    cropped: bytes


def pack(fingerprint: Fingerprint) -> bytes:
    """As the catalog keeps it, little-endian: version, number of frames, two zero bytes and the duration; then for
    each frame its time as a 32-bit float, the plain and the cropped hash.

    Raises ValueError for one that could not be unpacked again.
    """
    size = len(fingerprint.times) * HASH_BYTES
    if not len(fingerprint.plain) == len(fingerprint.cropped) == size <= _MOST_FRAMES * HASH_BYTES:
        raise ValueError("not as many hashes as times, or too many")
    parts = [_HEADER.pack(_VERSION, len(fingerprint.times), fingerprint.duration)]
    for number, time in enumerate(fingerprint.times):
        at = slice(number * HASH_BYTES, (number + 1) * HASH_BYTES)
        parts.append(_FRAME.pack(time, fingerprint.plain[at], fingerprint.cropped[at]))
    return b"".join(parts)


def unpack(blob: bytes) -> Fingerprint:
    """The fingerprint in `blob`; times come back rounded to 32-bit floats. Raises ValueError for anything else."""
    if len(blob) < _HEADER.size or blob[0] != _VERSION or blob[2:4] != bytes(2):
        raise ValueError("not a fingerprint of version 1")
    _, count, duration = _HEADER.unpack_from(blob)
    if len(blob) != _HEADER.size + count * _FRAME.size:
        raise ValueError(f"{len(blob)} bytes are no fingerprint of {count} frames")
    frames = list(_FRAME.iter_unpack(blob[_HEADER.size :]))
    times = tuple(time for time, _, _ in frames)
    if not all(0 <= seconds < math.inf for seconds in (duration, *times)):
        raise ValueError("a fingerprint with a time that is none")
    return Fingerprint(
        duration, times, b"".join(plain for _, plain, _ in frames), b"".join(cropped for _, _, cropped in frames)
    )
