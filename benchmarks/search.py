"""The search for near-duplicates among many made-up fingerprints: `python -m benchmarks.search [--videos N]`.

Copies are planted: fingerprints with so many bits of each frame turned, at random, some mirrored, some cropped, and
some with most of their frames replaced. Bits of real edits turn more often in the higher frequencies, which the keys
leave out, so finding these is the harder task. One video in a hundred begins with a frame that all of those share,
as the logo of a studio. Prints JSON lines; the CPU seconds are those of this one thread.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import time
from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from mediawatchd.hashing.fingerprint import HASH_BYTES, MIRROR, Fingerprint, pack
from mediawatchd.similarity.search import Index

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Hashes = NDArray[np.uint8]  # (frames, HASH_BYTES)

FRAMES = 16
_AT_ONCE = 1024
_TIMES = tuple(600 * (number + 0.5) / FRAMES for number in range(FRAMES))
_HEADER = pack(Fingerprint(600.0, (), b"", b""))
_LOGO = np.random.default_rng(0).integers(0, 256, HASH_BYTES, np.uint8)


class Library:
    """Fingerprints made when they are asked for, the same for the same number."""

    def __init__(self, videos: int) -> None:
        self._videos = videos

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        for first in range(0, self._videos, _AT_ONCE):
            blobs = [_HEADER[:1] + bytes([FRAMES]) + _HEADER[2:] + frames.tobytes() for frames in _made(first)]
            yield from zip(range(first, min(first + _AT_ONCE, self._videos)), blobs, strict=False)

    def fingerprint(self, number: int) -> Fingerprint:
        frames = _made(number // _AT_ONCE * _AT_ONCE)[number % _AT_ONCE]
        return Fingerprint(600.0, _TIMES, frames["plain"].tobytes(), frames["cropped"].tobytes())


def _made(first: int) -> np.ndarray[tuple[int, ...], np.dtype[np.void]]:
    """The frames of so many videos."""
    layout = np.dtype([("time", "<f4"), ("plain", "u1", HASH_BYTES), ("cropped", "u1", HASH_BYTES)])
    dice = np.random.default_rng(first)
    frames = np.frombuffer(dice.bytes(_AT_ONCE * FRAMES * layout.itemsize), layout).reshape(_AT_ONCE, FRAMES).copy()
    frames["time"] = _TIMES
    frames["plain"][::100, 0] = _LOGO
    return frames


def turned(hashes: bytes, bits: int, dice: np.random.Generator) -> bytes:
    """The hashes with `bits` of each 256 turned on average."""
    flips = dice.random((len(hashes) // HASH_BYTES, 8 * HASH_BYTES)) < bits / (8 * HASH_BYTES)
    return (np.frombuffer(hashes, np.uint8) ^ np.packbits(flips)).tobytes()


def copy(original: Fingerprint, edit: str, bits: int, dice: np.random.Generator) -> Fingerprint:
    plain = original.cropped if edit == "uncropped" else original.plain
    plain = turned(plain, bits, dice)
    cropped = turned(original.cropped, bits, dice)
    if edit == "mirrored":
        plain, cropped = (bytes(a ^ b for a, b in zip(each, MIRROR * FRAMES, strict=True)) for each in (plain, cropped))
    if edit == "cropped":
        # What is asked for is whole, what is known is its middle.
        plain, cropped = dice.bytes(len(plain)), plain
    if edit == "quarter":
        kept = slice(4 * HASH_BYTES, 8 * HASH_BYTES)
        plain = dice.bytes(kept.start) + plain[kept] + dice.bytes(8 * HASH_BYTES)
    return Fingerprint(original.duration, original.times, plain, cropped)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=50, help="of each kind of copy")
    arguments = parser.parse_args()
    library = Library(arguments.videos)
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    began = time.process_time()
    deque(library, maxlen=0)
    made = time.process_time()
    index = Index.build(library)
    say(
        videos=len(index),
        build_cpu_seconds=time.process_time() - made - (made - began),
        beside_cpu_seconds_for_making_them=made - began,
        index_mb=index.bytes_held / 1e6,
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000 - before_mb,
    )
    dice, choose = np.random.default_rng(1), random.Random(1)
    for edit in ("plain", "mirrored", "cropped", "quarter"):
        for bits in (20, 30, 40, 50, 60):
            ask(
                index, library, edit, bits, [choose.randrange(arguments.videos) for _ in range(arguments.queries)], dice
            )
    began = time.process_time()
    for number in range(1000):
        index.add(arguments.videos + number, pack(library.fingerprint(0))) if number == 0 else index.add(
            arguments.videos + number, pack(copy(library.fingerprint(0), "plain", 128, dice))
        )
    say(add_milliseconds=time.process_time() - began)


def ask(index: Index, library: Library, edit: str, bits: int, numbers: list[int], dice: np.random.Generator) -> None:
    found, candidates, spent = 0, 0, []
    for number in numbers:
        original = library.fingerprint(number)
        asked = copy(original, edit, bits, dice)
        began = time.process_time()
        ids = index.candidates(asked)
        spent.append(time.process_time() - began)
        found += number in ids
        candidates += len(ids)
    say(
        copy=edit,
        turned_bits=bits,
        found_percent=100 * found / len(numbers),
        candidates=candidates / len(numbers),
        query_milliseconds=1000 * float(np.median(spent)),
        slowest_milliseconds=1000 * max(spent),
    )


def say(**figures: object) -> None:
    print(json.dumps({name: round(value, 2) if isinstance(value, float) else value for name, value in figures.items()}))


if __name__ == "__main__":
    main()
