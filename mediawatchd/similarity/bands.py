"""Sorted bands over 64-bit keys: the ones within a few bits of a key, without looking at all of them.

Two keys that differ in at most eight bits differ in at most two bits in one of their three bands. So everything
within eight bits is found, and of what lies within ten bits, most: of ten differing bits spread by chance over three
bands, each has three or more in 25 % of cases, and a copy has several frames to be found by.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mediawatchd.similarity.frames import Words

    Owners = NDArray[np.uint32]
    Numbers = NDArray[np.intp]

_WIDTHS = (22, 21, 21)
"""Bits of each band, from the highest of a key down."""
_HALF_BITS = np.uint64(32)
"""Of a number that holds two: below, a position or an owner; above, the value of a band or a row."""
_CHUNK = 1 << 20
"""Keys numbered at a time, and keys compared: millions may lie in one band value, as of a logo that films share."""


class _Band(NamedTuple):
    """`starts` is where each value of the band stands when sorted, and one more for the end; `order` holds the
    positions of the keys in that order, None when the keys lie in it themselves."""

    shift: np.uint64
    width: int
    starts: Owners
    order: Owners | None

    @property
    def bytes_held(self) -> int:
        return self.starts.nbytes + (0 if self.order is None else self.order.nbytes)


class Bands:
    """Takes both arrays over and sorts them in place: the keys, fewer than 2**32, and whose each of them is.

    20 bytes for each key and 34 MB. The keys themselves lie in the order of the band with the lowest frequencies. The
    signs of real pictures are most uneven there, so most of what is looked at is found in that band, side by side.
    """

    def __init__(self, keys: Words, owners: Owners) -> None:
        first, *others = zip(_shifts(), _WIDTHS, strict=True)
        room = np.empty_like(keys)
        starts, order = _sorted(keys, *first, room)
        # To where there is room already: faster than `keys[order]`, which makes two arrays more.
        places = order.astype(np.intp)
        keys[:] = keys.take(places, out=room, mode="clip")
        owners[:] = owners.take(places, out=room.view(np.uint32)[: len(owners)], mode="clip")
        del places, order
        self.keys = keys
        self.owners = owners
        self._bands = [
            _Band(*first, starts, None),
            *(_Band(*each, *_sorted(self.keys, *each, room)) for each in others),
        ]

    @property
    def bytes_held(self) -> int:
        """The memory of the arrays."""
        return self.keys.nbytes + self.owners.nbytes + sum(band.bytes_held for band in self._bands)

    def near(self, views: Words, radius_bits: int) -> tuple[Numbers, Owners]:
        """Which rows of `views` have a key within the radius of one that shares a band with it but for two bits, and
        whose that is; with few repeats."""
        found = [pairs for band in self._bands for pairs in self._near_in(band, views, radius_bits)]
        pairs = np.concatenate([np.empty(0, np.uint64), *found])
        return (pairs >> _HALF_BITS).astype(np.intp), pairs.astype(np.uint32)

    def _near_in(self, band: _Band, views: Words, radius_bits: int) -> Iterator[Words]:
        """The same for one band, a part at a time: row and owner in one number."""
        near, keys = _NEAR[band.width], views.ravel()
        values = (_values(keys, band.shift, band.width)[:, None] ^ near).ravel()
        numbers = np.repeat(np.arange(len(keys)), len(near))
        starts = band.starts[values].astype(np.intp)
        counts = band.starts[values + np.uint64(1)] - starts
        ends = np.cumsum(counts)
        begins = ends - counts
        total = int(counts.sum())
        for low in range(0, total, _CHUNK):
            high = min(low + _CHUNK, total)
            first, last = np.searchsorted(ends, (low, high - 1), side="right")
            some = slice(first, last + 1)
            few = np.minimum(ends[some], high) - np.maximum(begins[some], low)
            places = np.repeat(starts[some] - begins[some], few) + np.arange(low, high)
            positions = places if band.order is None else band.order[places]
            asked = np.repeat(numbers[some], few)
            close = np.bitwise_count(self.keys[positions] ^ keys[asked]) <= radius_bits
            rows = (asked[close] // views.shape[1]).astype(np.uint64)
            # All frames of a fixed camera are near to all others: each pair is held once.
            pairs = rows << _HALF_BITS | self.owners[positions[close]]
            pairs.sort()
            yield pairs[np.append(True, pairs[1:] != pairs[:-1])[: len(pairs)]]


def _shifts() -> list[np.uint64]:
    return [np.uint64(sum(_WIDTHS[number + 1 :])) for number in range(len(_WIDTHS))]


def _within_two_bits(width: int) -> Words:
    """XOR with these gives a value of so many bits and all that differ from it in one or two."""
    bits = [1 << bit for bit in range(width)]
    return np.array([0, *bits, *(one | other for one, other in combinations(bits, 2))], np.uint64)


_NEAR = {width: _within_two_bits(width) for width in _WIDTHS}


def _sorted(keys: Words, shift: np.uint64, width: int, room: Words) -> tuple[Owners, Owners]:
    """Where each value of a band starts, and the positions of the keys in the order of their values; `room` for as
    many is written over."""
    # Sorted as one number, the value and below it the position: much faster than an order asked for of numpy.
    values = _values(keys, shift, width, room)
    values <<= _HALF_BITS
    for first in range(0, len(keys), _CHUNK):
        chunk = values[first : first + _CHUNK]
        chunk |= np.arange(first, first + len(chunk), dtype=np.uint64)
    values.sort()
    order = values.astype(np.uint32)
    values >>= _HALF_BITS
    starts = np.zeros((1 << width) + 1, np.uint32)
    counts = np.bincount(values.view(np.int64), minlength=1 << width).astype(np.uint32)
    np.cumsum(counts, out=starts[1:])
    return starts, order


def _values(keys: Words, shift: np.uint64, width: int, room: Words | None = None) -> Words:
    values = np.right_shift(keys, shift, out=room)
    values &= np.uint64((1 << width) - 1)
    return values
