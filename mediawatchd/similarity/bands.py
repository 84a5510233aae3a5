"""Sorted 16-bit bands over 64-bit keys: the ones within a few bits of a key, without looking at all of them.

Two keys that differ in at most seven bits differ in at most one bit in one of their four bands. So everything within
seven bits is found, and of what lies within ten bits, most: in a band with ten differing bits spread by chance over
four bands, none has one bit or less in 26 % of cases, and a copy has several frames to be found by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mediawatchd.similarity.frames import Words

    Positions = NDArray[np.uint32]

_SHIFTS = [np.uint64(shift) for shift in (48, 32, 16, 0)]
_NEAR = np.array([0, *(1 << bit for bit in range(16))], np.intp)
"""XOR with these gives a band value and all that differ from it in one bit."""
_CHUNK = 1 << 20
"""Keys sorted at a time: sorting all of 16 million at once would need 400 MB more."""


class Bands:
    """Immutable; holds `keys` (8 bytes each) and four orders of them (16 bytes together), at most 2**32 keys."""

    def __init__(self, keys: Words) -> None:
        self.keys = keys
        self._bands = [_sorted_by(keys, shift) for shift in _SHIFTS]

    @property
    def bytes_held(self) -> int:
        """The memory of the arrays."""
        return self.keys.nbytes + sum(starts.nbytes + order.nbytes for starts, order in self._bands)

    def near(self, key: np.uint64, radius_bits: int) -> Positions:
        """The positions of the keys within the radius that share a band with `key`, but for one bit; with repeats."""
        pieces: list[Positions] = []
        for shift, (starts, order) in zip(_SHIFTS, self._bands, strict=True):
            values = _NEAR ^ (int(key >> shift) & 0xFFFF)
            ranges = zip(starts[values].tolist(), starts[values + 1].tolist(), strict=True)
            pieces += [order[start:stop] for start, stop in ranges]
        positions = np.concatenate(pieces)
        differing = np.bitwise_count(self.keys.take(positions) ^ key)
        near: Positions = positions[differing <= radius_bits]
        return near


def _sorted_by(keys: Words, shift: np.uint64) -> tuple[NDArray[np.intp], Positions]:
    """Where each band value starts, and the positions of the keys in the order of their band values."""
    chunks = range(0, len(keys), _CHUNK)
    counts = np.zeros(1 << 16, np.intp)
    for first in chunks:
        counts += np.bincount(_band(keys[first : first + _CHUNK], shift), minlength=1 << 16)
    starts = np.concatenate(([0], np.cumsum(counts)))
    order = np.empty(len(keys), np.uint32)
    free = starts[:-1].copy()
    for first in chunks:
        chunk = _band(keys[first : first + _CHUNK], shift)
        counts = np.bincount(chunk, minlength=1 << 16)
        before = np.cumsum(counts) - counts
        by_value = np.argsort(chunk, kind="stable")  # a radix sort for 16-bit numbers
        order[np.repeat(free - before, counts) + np.arange(len(chunk))] = by_value + first
        free += counts
    return starts, order


def _band(keys: Words, shift: np.uint64) -> NDArray[np.uint16]:
    return (keys >> shift).astype(np.uint16)
