"""The videos that may be copies of one: a search over one 64-bit key for each plain frame, in memory.

A candidate has at least one frame whose key differs in ten bits or fewer from a key of the asked video, as it is,
mirrored, or cropped. The full score over the blobs decides then. Of each two frames one has the low key and the other
the high one (see `frames`), and every frame of the asked video asks for both.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from mediawatchd.similarity.frames import KINDS, MIRROR_KEYS, frames_of, keys, plain_keys
from mediawatchd.similarity.half import Half

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mediawatchd.hashing.fingerprint import Fingerprint

RADIUS_BITS = 10
_BATCH = 1024
_GROWTH = 1 << 19


class Index:
    """Belongs to one thread at a time. For a million videos of 16 frames 403 MB; drop it to release them.

    Ids are not negative. An id that is added again takes the place of the former one.
    """

    def __init__(self) -> None:
        self._halves = [Half() for _ in KINDS]
        self.unreadable = 0
        """How many blobs `build` left out, as they were no fingerprints of this version."""

    @classmethod
    def build(cls, rows: Iterable[tuple[int, bytes]]) -> Index:
        """From (id, blob), each id once. Four to five seconds for a million videos, beside what the rows cost."""
        index = cls()
        ids, counts = [np.empty(0, np.int64)], [np.empty(0, np.intp)]
        # Grown in place, which moves pages and no bytes: joined at the end, the keys would be held twice.
        found, length = [np.empty(0, np.uint64) for _ in KINDS], 0
        rows, read, kept = iter(rows), 0, 0
        while batch := list(islice(rows, _BATCH)):
            videos = np.array([video for video, _ in batch], np.int64)
            read += len(batch)
            for which, alike in plain_keys([blob for _, blob in batch]):
                kept += len(which)
                if alike[0].size:
                    ids.append(videos[which])
                    counts.append(np.full(len(which), alike[0].shape[1]))
                end = length + alike[0].size
                for own, new in zip(found, alike, strict=True):
                    if end > len(own):
                        own.resize(end + _GROWTH, refcheck=False)
                    own[length:end] = new.ravel()
                length = end
        index.unreadable = read - kept
        videos = np.concatenate(ids)
        for half, own in zip(index._halves, found, strict=True):
            own.resize(length, refcheck=False)
            places = np.repeat(np.arange(len(videos), dtype=np.uint32), np.concatenate(counts))
            half.take(own, places, videos.copy())
        return index

    def __len__(self) -> int:
        """The number of videos with at least one frame."""
        return len(self._halves[0])

    @property
    def bytes_held(self) -> int:
        """The memory of the arrays."""
        return sum(half.bytes_held for half in self._halves)

    def add(self, video: int, blob: bytes) -> None:
        """Raises ValueError for what is no fingerprint.

        Now and then it takes longer, see `Half`: some seconds at a million videos, once in 8,000.
        """
        for _, found in plain_keys([blob]):
            for half, own in zip(self._halves, found, strict=True):
                half.remove(video)
                half.add(video, own.ravel())
            return
        raise ValueError("not a fingerprint of this version")

    def remove(self, video: int) -> None:
        """Nothing happens when the id is not there."""
        for half in self._halves:
            half.remove(video)

    def candidates(self, fingerprint: Fingerprint) -> list[int]:
        """The ids that are worth a score, the asked one among them if it is there.

        Those that agree in most frames come first, so a caller may stop early at a frame that thousands share.
        """
        frames = frames_of(fingerprint)
        hashes = [side.view(np.uint8) for side in (frames.plain, frames.cropped)]
        views = np.unique(np.stack([keys(side, kind) for kind in KINDS for side in hashes], axis=1), axis=0)
        found = []
        for kind, own in zip(KINDS, np.split(views, len(KINDS), axis=1), strict=True):
            both_ways = np.concatenate((own, own ^ MIRROR_KEYS[kind]), axis=1)
            rows, ids = self._halves[kind].near(both_ways, RADIUS_BITS)
            found.append(ids * len(views) + rows)
        agreements = np.unique(np.concatenate(found))
        ids, agreeing = np.unique(agreements // max(1, len(views)), return_counts=True)
        return [int(video) for video in ids[np.lexsort((ids, -agreeing))]]
