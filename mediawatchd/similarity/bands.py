"""Sorted 16-bit bands over 64-bit keys: the ones within a few bits of a key, without looking at all of them.

Two keys that differ in at most seven bits differ in at most one bit in one of their four bands. So everything within
seven bits is found, and of what lies within ten bits, most: in a band with ten differing bits spread by chance over
four bands, none has one bit or less in 26 % of cases, and a copy has several frames to be found by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mediawatchd.similarity.frames import Words

    Owners = NDArray[np.uint32]
    Starts = NDArray[np.intp]

_HIGHEST = np.uint64(48)
_OTHERS = [np.uint64(shift) for shift in (32, 16, 0)]
_NEAR = np.array([0, *(1 << bit for bit in range(16))], np.intp)
"""XOR with these gives a band value and all that differ from it in one bit."""
_CHUNK = 1 << 20
"""Keys sorted at a time: sorting all of 16 million at once would need 400 MB more."""


class Bands:
    """Takes both arrays over and sorts them in place: the keys, at most 2**32, and whose each of them is.

    24 bytes for each key. The keys themselves lie in the order of the band with the lowest frequencies. The signs of
    real pictures are most uneven there, so half of what is looked at is found in that band, and lies side by side.
    """

    def __init__(self, keys: Words, owners: Owners) -> None:
        self._starts = _starts(keys, _HIGHEST)
        sorted_keys, sorted_owners = np.empty_like(keys), np.empty_like(owners)
        for targets, sources in _moves(keys, _HIGHEST, self._starts):
            sorted_keys[targets], sorted_owners[targets] = keys[sources], owners[sources]
        keys[:], owners[:] = sorted_keys, sorted_owners
        del sorted_keys, sorted_owners
        self.keys = keys
        self.owners = owners
        self._bands = [(shift, *_ordered(keys, shift)) for shift in _OTHERS]

    @property
    def bytes_held(self) -> int:
        """The memory of the arrays."""
        others = sum(starts.nbytes + order.nbytes for _, starts, order in self._bands)
        return self.keys.nbytes + self.owners.nbytes + self._starts.nbytes + others

    def near(self, key: np.uint64, radius_bits: int) -> Owners:
        """Whose keys lie within the radius and share a band with `key`, but for one bit; with repeats."""
        places = _places(key, _HIGHEST, self._starts)
        keys = np.concatenate([self.keys[place] for place in places])
        owners = np.concatenate([self.owners[place] for place in places])
        positions = np.concatenate(
            [order[place] for shift, starts, order in self._bands for place in _places(key, shift, starts)]
        )
        close = positions[np.bitwise_count(self.keys.take(positions) ^ key) <= radius_bits]
        return np.concatenate((owners[np.bitwise_count(keys ^ key) <= radius_bits], self.owners[close]))


def _places(key: np.uint64, shift: np.uint64, starts: Starts) -> list[slice]:
    """Where the keys stand whose band differs in at most one bit."""
    values = _NEAR ^ (int(key >> shift) & 0xFFFF)
    return [slice(*ends) for ends in zip(starts[values].tolist(), starts[values + 1].tolist(), strict=True)]


def _ordered(keys: Words, shift: np.uint64) -> tuple[Starts, Owners]:
    """Where each band value starts, and the positions of the keys in the order of their band values."""
    starts = _starts(keys, shift)
    order = np.empty(len(keys), np.uint32)
    for targets, sources in _moves(keys, shift, starts):
        order[targets] = sources
    return starts, order


def _starts(keys: Words, shift: np.uint64) -> Starts:
    """Where each band value starts when sorted; one more for the end."""
    counts = np.zeros(1 << 16, np.intp)
    for first in range(0, len(keys), _CHUNK):
        counts += np.bincount(_band(keys[first : first + _CHUNK], shift), minlength=1 << 16)
    return np.concatenate(([0], np.cumsum(counts)))


def _moves(keys: Words, shift: np.uint64, starts: Starts) -> Iterator[tuple[Starts, Starts]]:
    """Where to and where from, a chunk of the keys at a time; `keys` must not change meanwhile."""
    free = starts[:-1].copy()
    for first in range(0, len(keys), _CHUNK):
        chunk = _band(keys[first : first + _CHUNK], shift)
        counts = np.bincount(chunk, minlength=1 << 16)
        before = np.cumsum(counts) - counts
        by_value = np.argsort(chunk, kind="stable")  # a radix sort for 16-bit numbers
        yield np.repeat(free - before, counts) + np.arange(len(chunk)), by_value + first
        free += counts


def _band(keys: Words, shift: np.uint64) -> NDArray[np.uint16]:
    return (keys >> shift).astype(np.uint16)
