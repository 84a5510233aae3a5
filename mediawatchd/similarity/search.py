"""The videos that may be copies of one: a search over one 64-bit key for each plain frame, in memory.

A candidate has at least one frame whose key differs in ten bits or fewer from a key of the asked video, as it is,
mirrored, or cropped. The full score over the blobs decides then. A small library is compared key by key; a large one
is sorted into bands, and videos that came since then are a tail that is compared key by key.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from mediawatchd.similarity.bands import Bands
from mediawatchd.similarity.frames import MIRROR_KEY, frames_of, keys, plain_keys

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from mediawatchd.hashing.fingerprint import Fingerprint
    from mediawatchd.similarity.frames import Words

    Ids = NDArray[np.int64]

RADIUS_BITS = 10
FEW_KEYS = 1 << 19
"""Up to here all keys are compared: 33 thousand videos of 16 frames, about 35 ms a query."""
TAIL_KEYS = 1 << 17
"""As many are compared beside sorted bands, about 8 ms a query, before they are sorted in."""
_BATCH = 4096
_GROWTH = 1 << 20
_BLOCK = 1 << 16
_REMOVED = -1


class Index:
    """Belongs to one thread at a time. For a million videos of 16 frames 395 MB; drop it to release them.

    Ids are not negative. An id that is added again takes the place of the former one.
    """

    def __init__(self) -> None:
        self._bands: Bands | None = None
        # One entry for each video in the bands, which know its place here.
        self._ids: Ids = np.empty(0, np.int64)
        # One entry for each key in the tail.
        self._tail_keys: Words = np.empty(0, np.uint64)
        self._tail_ids: Ids = np.empty(0, np.int64)
        self._tail_length = 0
        self.unreadable = 0
        """How many blobs `build` left out, as they were no fingerprints of this version."""

    @classmethod
    def build(cls, rows: Iterable[tuple[int, bytes]]) -> Index:
        """From (id, blob), each id once. Four to five seconds for a million videos, beside what the rows cost."""
        index = cls()
        ids, counts = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        # Grown in place, which moves pages and no bytes: joined at the end, the keys would be held twice.
        found, length = np.empty(0, np.uint64), 0
        rows = iter(rows)
        while batch := list(islice(rows, _BATCH)):
            batch_keys, batch_counts = plain_keys([blob for _, blob in batch])
            index.unreadable += int((batch_counts < 0).sum())
            some = batch_counts > 0
            ids.append(np.array([video for video, _ in batch], np.int64)[some])
            counts.append(batch_counts[some])
            if length + len(batch_keys) > len(found):
                found.resize(length + len(batch_keys) + _GROWTH, refcheck=False)
            found[length : length + len(batch_keys)] = batch_keys
            length += len(batch_keys)
        found.resize(length, refcheck=False)
        places = np.repeat(np.arange(sum(map(len, ids)), dtype=np.uint32), np.concatenate(counts))
        index._take(found, places, np.concatenate(ids))
        return index

    def __len__(self) -> int:
        """The number of videos with at least one frame."""
        tail = self._tail_ids[: self._tail_length]
        return int((self._ids != _REMOVED).sum()) + len(np.unique(tail[tail != _REMOVED]))

    @property
    def bytes_held(self) -> int:
        """The memory of the arrays."""
        arrays = (self._ids, self._tail_keys, self._tail_ids)
        return sum(array.nbytes for array in arrays) + (self._bands.bytes_held if self._bands else 0)

    def add(self, video: int, blob: bytes) -> None:
        """Raises ValueError for what is no fingerprint.

        Now and then the tail is sorted in: two to five seconds at a million videos, once in 8,000.
        """
        found, (count,) = plain_keys([blob])
        if count < 0:
            raise ValueError("not a fingerprint of this version")
        self.remove(video)
        if self._tail_length + count > (FEW_KEYS if self._bands is None else TAIL_KEYS):
            self._sort_tail_in()
        end = self._tail_length + int(count)
        if end > len(self._tail_keys):
            room = 2 * end - len(self._tail_keys)
            self._tail_keys = np.append(self._tail_keys, np.zeros(room, np.uint64))
            self._tail_ids = np.append(self._tail_ids, np.full(room, _REMOVED, np.int64))
        self._tail_keys[self._tail_length : end] = found
        self._tail_ids[self._tail_length : end] = video
        self._tail_length = end

    def remove(self, video: int) -> None:
        """Nothing happens when the id is not there. The memory is used again when the tail is next sorted in."""
        self._ids[self._ids == video] = _REMOVED
        self._tail_ids[self._tail_ids == video] = _REMOVED

    def candidates(self, fingerprint: Fingerprint) -> list[int]:
        """The ids that are worth a score, the asked one among them if it is there.

        Those that agree in most frames come first, so a caller may stop early at a frame that thousands share.
        """
        frames = frames_of(fingerprint)
        views = np.stack((keys(frames.plain.view(np.uint8)), keys(frames.cropped.view(np.uint8))), axis=1)
        views = np.unique(views, axis=0)
        views = np.concatenate((views, views ^ MIRROR_KEY), axis=1)
        found = [self._in_tail(views)]
        if self._bands is not None:
            for frame in views:
                owners = np.concatenate([self._bands.near(key, RADIUS_BITS) for key in frame])
                found.append(self._ids[np.unique(owners)])
        ids, agreeing = np.unique(np.concatenate(found), return_counts=True)
        order = np.lexsort((ids, -agreeing))
        return [int(video) for video in ids[order] if video != _REMOVED]

    def _in_tail(self, views: Words) -> Ids:
        """For each row of `views` the ids that have a key near to one of its keys; an id at most once a row."""
        found: list[list[Ids]] = [[] for _ in views]
        differing = np.empty(_BLOCK, np.uint64)
        counts = np.empty(_BLOCK, np.uint8)
        # A block of keys stays in the processor's cache while all views are compared with it.
        for first in range(0, self._tail_length, _BLOCK):
            block = self._tail_keys[first : min(first + _BLOCK, self._tail_length)]
            ids = self._tail_ids[first : first + len(block)]
            for hits, frame in zip(found, views, strict=True):
                for key in frame:
                    np.bitwise_xor(block, key, out=differing[: len(block)])
                    near = np.bitwise_count(differing[: len(block)], out=counts[: len(block)])
                    if near.min() <= RADIUS_BITS:
                        hits.append(ids[near <= RADIUS_BITS])
        return np.concatenate([np.empty(0, np.int64), *(np.unique(np.concatenate(hits)) for hits in found if hits)])

    def _take(self, found: Words, places: NDArray[np.uint32], ids: Ids) -> None:
        """These keys are all there is from now on; `places` tells for each which of the ids it belongs to."""
        if len(found) > FEW_KEYS:
            self._ids, self._bands = ids, Bands(found, places)
            found, places = found[:0].copy(), places[:0]
        self._tail_keys, self._tail_ids = found, ids[places]
        self._tail_length = len(found)

    def _sort_tail_in(self) -> None:
        """Removed videos are left out."""
        present = self._tail_ids[: self._tail_length] != _REMOVED
        found = self._tail_keys[: self._tail_length][present]
        ids, inverse = np.unique(self._tail_ids[: self._tail_length][present], return_inverse=True)
        places = inverse.astype(np.uint32)
        if self._bands is not None:
            # Let go of the orders before new ones are made: both together would be too much.
            keys_before, owners, self._bands = self._bands.keys, self._bands.owners, None
            present = self._ids != _REMOVED
            kept = present[owners]
            new_places = (np.cumsum(present) - 1).astype(np.uint32)
            found = np.concatenate((keys_before[kept], found))
            places = np.concatenate((new_places[owners[kept]], places + np.uint32(present.sum())))
            ids = np.concatenate((self._ids[present], ids))
            self._ids = self._ids[:0]
            del keys_before, owners, kept
        self._take(found, places, ids)
