"""Compares each new fingerprint with all others, as it arrives, and hands the pairs to the writer.

The catalog is the queue here too: a fingerprint is unmatched until its pairs are stored, in one transaction, so a
kill loses no pair. Each video is compared with those that were matched before it and then becomes one of them: of
two videos the later one finds the pair, and none is looked for twice. The index of all fingerprints is built when
something is unmatched, takes new ones without being built anew, and is dropped when nothing comes for a while.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import wait
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.catalog import matching
from mediawatchd.catalog.matching import Matched, Pair
from mediawatchd.hashing.fingerprint import Fingerprint, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mediawatchd.catalog.database import Database
    from mediawatchd.catalog.writer import Writer
    from mediawatchd.similarity.search import Index
    from mediawatchd.telemetry.heartbeat import Heartbeat

log = logging.getLogger(__name__)

SCORE_VERSION = 5
"""Raised when `score` gives other answers or `search` meets other pairs: then all is compared anew, video by video."""
IDLE_SECONDS = 300.0
"""How long the index stays when nothing comes. Building it for a million videos takes some seconds."""
MOST_SCORED = 1_000
"""Of a video's candidates, those that agree in most frames: thousands may share the frame of a studio's logo."""
_AT_ONCE = 64
_READ_AT_ONCE = 4_096
_SCORED_AT_ONCE = 64
_BATCH_SECONDS = 1.0
_LOOK_SECONDS = 0.2
_FEWEST_FRAMES = 4
"""Videos of which less is known are like no other, see `score`."""


class MatcherStatistics(NamedTuple):
    """`videos` and `bytes_held` are those of the index, 0 without one; `matched` and `pairs` count from the start."""

    videos: int
    bytes_held: int
    matched: int
    pairs: int


class _Stopping(Exception):
    pass


class Matcher:
    """Thread `matcher`; owns the index."""

    def __init__(
        self,
        *,
        database: Database,
        writer: Writer,
        heart: Heartbeat,
        is_paused: Callable[[], bool],
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._database = database
        self._writer = writer
        self._heart = heart
        self._is_paused = is_paused
        self._idle_seconds = idle_seconds
        self._thread = threading.Thread(target=self._run, name="matcher", daemon=True)
        self._woken = threading.Event()
        self._stopping = False
        self._index: Index | None = None
        self._drop_at = 0.0
        self._statistics = MatcherStatistics(0, 0, 0, 0)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_seconds: float) -> bool:
        """What is not stored yet is found again after the next start."""
        self._stopping = True
        self._woken.set()
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def wake(self) -> None:
        """Something was committed, or a pause ended."""
        self._woken.set()

    def statistics(self) -> MatcherStatistics:
        return self._statistics

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._heart.beat()
                self._woken.clear()
                if self._match_some():
                    self._drop_at = time.monotonic() + self._idle_seconds
                    continue
                if self._index is not None and time.monotonic() >= self._drop_at:
                    self._index = None
                    self._tell(0, 0)
                with self._heart.idle():
                    self._woken.wait(None if self._index is None else max(0.0, self._drop_at - time.monotonic()))
        except _Stopping:
            pass

    def _match_some(self) -> bool:
        """Match what is unmatched, up to a batch; False when there was nothing to do."""
        if self._is_paused():
            return False
        with self._database.reader() as connection:
            waiting = matching.unmatched(connection, SCORE_VERSION, _AT_ONCE)
        if not waiting:
            return False
        index = self._index = self._index or self._build()
        until = time.monotonic() + _BATCH_SECONDS
        found: list[Matched] = []
        for file_id, blob in waiting:
            found.append(Matched(file_id, blob, self._alike(index, file_id, blob)))
            if time.monotonic() > until:
                break
        pairs = self._store(found)
        self._tell(len(found), pairs)
        return True

    def _build(self) -> Index:
        """The index of all that is matched. The first use of numpy in the daemon."""
        from mediawatchd.similarity.search import Index  # noqa: PLC0415 - numpy costs 25 MB, and many need none

        began = time.monotonic()
        index = Index.build(self._matched())
        log.info("Fingerprints can be searched videos=%d seconds=%.1f", len(index), time.monotonic() - began)
        return index

    def _matched(self) -> Iterator[tuple[int, bytes]]:
        after = 0
        while True:
            self._check()
            # A loan for each page: a transaction that stays open keeps the WAL from being emptied.
            with self._database.reader() as connection:
                rows = matching.matched(connection, SCORE_VERSION, after, _READ_AT_ONCE)
            if not rows:
                return
            yield from rows
            after = rows[-1][0]

    def _alike(self, index: Index, file_id: int, blob: bytes) -> list[tuple[Pair, bytes]]:
        """What a video is like of what the index holds, which holds it too from now on."""
        try:
            fingerprint = unpack(blob)
            alike = list(self._pairs(index, file_id, fingerprint))
            index.add(file_id, blob)
        except _Stopping:
            raise
        except Exception:  # one fingerprint must not keep all others from being matched
            log.exception("A video could not be compared file=%d", file_id)
            return []
        return alike

    def _pairs(self, index: Index, file_id: int, fingerprint: Fingerprint) -> Iterator[tuple[Pair, bytes]]:
        if len(fingerprint.times) < _FEWEST_FRAMES:
            return
        others = iter(index.candidates(fingerprint)[:MOST_SCORED])
        while some := list(islice(others, _SCORED_AT_ONCE)):
            with self._database.reader() as connection:
                rows = matching.blobs(connection, (other for other in some if other != file_id))
            for other, blob in rows:
                self._check()
                pair = _pair((file_id, fingerprint), (other, unpack(blob)))
                if pair is not None:
                    yield pair, blob

    def _store(self, found: Sequence[Matched]) -> int:
        future = self._writer.call(lambda tx: matching.store(tx, SCORE_VERSION, found))
        with self._heart.idle():  # a full disk may take long
            while not wait([future], _LOOK_SECONDS).done:
                if self._stopping:
                    raise _Stopping
        return future.result()

    def _check(self) -> None:
        self._heart.beat()
        if self._stopping:
            raise _Stopping

    def _tell(self, matched: int, pairs: int) -> None:
        index, known = self._index, self._statistics
        self._statistics = MatcherStatistics(
            0 if index is None else len(index),
            0 if index is None else index.bytes_held,
            known.matched + matched,
            known.pairs + pairs,
        )


def _pair(one: tuple[int, Fingerprint], other: tuple[int, Fingerprint]) -> Pair | None:
    """What the score says of two videos, in the order of their ids; None when they are not alike."""
    from mediawatchd.similarity.score import score  # noqa: PLC0415 - as above

    (a_id, a), (b_id, b) = sorted((one, other), key=lambda video: video[0])
    match = score(a, b)
    if match.verdict is None:
        return None
    return Pair(
        a_id,
        b_id,
        match.verdict,
        match.distance,
        match.matched_frames,
        match.offset_seconds,
        match.mirrored,
        match.cropped,
        b_is_part=_length(b) < _length(a),
    )


def _length(fingerprint: Fingerprint) -> float:
    return max(fingerprint.duration, fingerprint.times[-1])
