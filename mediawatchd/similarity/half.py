"""Half of the frames of all videos, by one kind of key, and whose they are.

A small library is compared key by key; a large one is sorted into bands, and keys that came since then are a tail that
is compared key by key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mediawatchd.similarity.bands import Bands

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mediawatchd.similarity.bands import Numbers, Owners
    from mediawatchd.similarity.frames import Words

    Ids = NDArray[np.int64]

FEW_KEYS = 1 << 18
"""Up to here all keys are compared: 33 thousand videos of 16 frames, about 35 ms a query for both halves."""
TAIL_KEYS = 1 << 16
"""As many are compared beside sorted bands, about 8 ms a query for both halves, before they are sorted in."""
_BLOCK = 1 << 16
_REMOVED = -1


class Half:
    """Belongs to one thread at a time. Ids are not negative."""

    def __init__(self) -> None:
        self._bands: Bands | None = None
        # One entry for each video in the bands, which know its place here.
        self._ids: Ids = np.empty(0, np.int64)
        # One entry for each key in the tail.
        self._tail_keys: Words = np.empty(0, np.uint64)
        self._tail_ids: Ids = np.empty(0, np.int64)
        self._tail_length = 0

    def __len__(self) -> int:
        """The number of videos."""
        tail = self._tail_ids[: self._tail_length]
        return int((self._ids != _REMOVED).sum()) + len(np.unique(tail[tail != _REMOVED]))

    @property
    def bytes_held(self) -> int:
        """The memory of the arrays."""
        arrays = (self._ids, self._tail_keys, self._tail_ids)
        return sum(array.nbytes for array in arrays) + (self._bands.bytes_held if self._bands else 0)

    def take(self, keys: Words, places: Owners, ids: Ids) -> None:
        """These are all there is from now on; `places` tells of each key which of the ids it belongs to. Takes the
        arrays over.
        """
        if len(keys) > FEW_KEYS:
            self._ids, self._bands = ids, Bands(keys, places)
            keys, places = keys[:0].copy(), places[:0]
        self._tail_keys, self._tail_ids = keys, ids[places]
        self._tail_length = len(keys)

    def add(self, video: int, keys: Words) -> None:
        """An id that is not here. Now and then the tail is sorted in."""
        if self._tail_length + len(keys) > (FEW_KEYS if self._bands is None else TAIL_KEYS):
            self._sort_tail_in()
        end = self._tail_length + len(keys)
        if end > len(self._tail_keys):
            room = 2 * end - len(self._tail_keys)
            self._tail_keys = np.append(self._tail_keys, np.zeros(room, np.uint64))
            self._tail_ids = np.append(self._tail_ids, np.full(room, _REMOVED, np.int64))
        self._tail_keys[self._tail_length : end] = keys
        self._tail_ids[self._tail_length : end] = video
        self._tail_length = end

    def remove(self, video: int) -> None:
        """Nothing happens when the id is not there. The memory is used again when the tail is next sorted in."""
        self._ids[self._ids == video] = _REMOVED
        self._tail_ids[self._tail_ids == video] = _REMOVED

    def near(self, views: Words, radius_bits: int) -> tuple[Numbers, Ids]:
        """Which rows of `views` have a key near to one here, and the id that has it; with few repeats."""
        found = self._in_tail(views, radius_bits)
        if self._bands is not None:
            rows, owners = self._bands.near(views, radius_bits)
            found.append((rows, self._ids[owners]))
        rows = np.concatenate([np.empty(0, np.intp), *(rows for rows, _ in found)])
        ids = np.concatenate([np.empty(0, np.int64), *(ids for _, ids in found)])
        present = ids != _REMOVED
        return rows[present], ids[present]

    def _in_tail(self, views: Words, radius_bits: int) -> list[tuple[Numbers, Ids]]:
        found: list[tuple[Numbers, Ids]] = []
        differing = np.empty(_BLOCK, np.uint64)
        counts = np.empty(_BLOCK, np.uint8)
        # A block of keys stays in the processor's cache while all views are compared with it.
        for first in range(0, self._tail_length, _BLOCK):
            block = self._tail_keys[first : min(first + _BLOCK, self._tail_length)]
            ids = self._tail_ids[first : first + len(block)]
            for number, row in enumerate(views):
                hits = [ids[:0]]
                for key in row:
                    np.bitwise_xor(block, key, out=differing[: len(block)])
                    near = np.bitwise_count(differing[: len(block)], out=counts[: len(block)])
                    if near.min() <= radius_bits:
                        hits.append(ids[near <= radius_bits])
                distinct = np.unique(np.concatenate(hits))
                found.append((np.full(len(distinct), number), distinct))
        return found

    def _sort_tail_in(self) -> None:
        """Removed videos are left out."""
        present = self._tail_ids[: self._tail_length] != _REMOVED
        keys = self._tail_keys[: self._tail_length][present]
        ids, inverse = np.unique(self._tail_ids[: self._tail_length][present], return_inverse=True)
        places = inverse.astype(np.uint32)
        if self._bands is not None:
            # Let go of the orders before new ones are made: both together would be too much.
            keys_before, owners, self._bands = self._bands.keys, self._bands.owners, None
            present = self._ids != _REMOVED
            kept = present[owners]
            new_places = (np.cumsum(present) - 1).astype(np.uint32)
            keys = np.concatenate((keys_before[kept], keys))
            places = np.concatenate((new_places[owners[kept]], places + np.uint32(present.sum())))
            ids = np.concatenate((self._ids[present], ids))
            self._ids = self._ids[:0]
            del keys_before, owners, kept
        self.take(keys, places, ids)
