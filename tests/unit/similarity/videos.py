"""Made-up videos: a film is a picture for each moment, a fingerprint what sixteen looks at it leave."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from mediawatchd.hashing.fingerprint import HASH_BYTES, MIRROR, Fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Film = Callable[[float], bytes]


def picture(*seed: object) -> bytes:
    """The hash of a picture; pictures with other seeds are unrelated."""
    bits = random.Random(repr(seed)).getrandbits(8 * HASH_BYTES) & ~(1 << (8 * HASH_BYTES - 1))
    return bits.to_bytes(HASH_BYTES, "big")


def changed(hashed: bytes, bits: int, *seed: object) -> bytes:
    """The same with exactly so many bits turned, never the one of the mean brightness."""
    value = int.from_bytes(hashed, "big")
    for bit in random.Random(repr(seed)).sample(range(8 * HASH_BYTES - 1), bits):
        value ^= 1 << bit
    return value.to_bytes(HASH_BYTES, "big")


def mirrored(hashed: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(hashed, MIRROR, strict=True))


def film(name: object, *, scene_seconds: float = 1.0) -> Film:
    return lambda seconds: picture(name, int(seconds // scene_seconds))


def cropped(hashed: bytes) -> bytes:
    """What a crop makes of a picture: the same for each picture each time."""
    return changed(hashed, 110, "crop", hashed)


def fingerprint(
    frames: Iterable[bytes], *, times: Sequence[float] | None = None, duration: float = 160.0
) -> Fingerprint:
    """Of pictures, evenly spread unless `times` are given."""
    frames = list(frames)
    if times is None:
        times = [duration * (number + 0.5) / len(frames) for number in range(len(frames))]
    return Fingerprint(duration, tuple(times), b"".join(frames), b"".join(cropped(frame) for frame in frames))


def taken(film: Film, duration: float, count: int = 16) -> Fingerprint:
    """The fingerprint of a film of that many seconds."""
    times = [duration * (number + 0.5) / count for number in range(count)]
    return fingerprint([film(seconds) for seconds in times], times=times, duration=duration)


def edited(fingerprint: Fingerprint, edit: Callable[[bytes], bytes]) -> Fingerprint:
    """The same with each hash changed."""
    return Fingerprint(
        fingerprint.duration,
        fingerprint.times,
        *(
            b"".join(edit(hashes[at : at + HASH_BYTES]) for at in range(0, len(hashes), HASH_BYTES))
            for hashes in (fingerprint.plain, fingerprint.cropped)
        ),
    )
