"""All that turns offered rows into outcomes: three queues, the feeder, the hash threads and the decode processes.

Built as one, so that a changed `hashing` section is applied by building it anew: the catalog is the queue, nothing
is lost in between.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

from mediawatchd.hashing.decoding import DecodePool
from mediawatchd.model import PHASH, PROBE, QUICK_HASH
from mediawatchd.work.decoders import Decoders
from mediawatchd.work.feeder import Feeder
from mediawatchd.work.hashers import Hashers
from mediawatchd.work.queue import WorkQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from mediawatchd.catalog.database import Database
    from mediawatchd.catalog.writer import Writer
    from mediawatchd.config import Hashing
    from mediawatchd.model import Away, Outcome, Task
    from mediawatchd.telemetry.heartbeat import Heartbeats

HASH_CAPACITY = 4_000
DECODE_CAPACITY = 500
PHASH_CAPACITY = 64
"""A second each: what comes first is to be offered soon."""


class Workers:
    """`queues` is the queue of each kind of work, by its bit of `lacks`. The lock guards what awaits its commit."""

    def __init__(
        self,
        *,
        settings: Hashing,
        database: Database,
        writer: Writer,
        online: Callable[[], frozenset[int]],
        heartbeats: Heartbeats,
        away: Callable[[], Collection[Away]],
    ) -> None:
        self._heartbeats = heartbeats
        hashing = WorkQueue(capacity=HASH_CAPACITY, busy_limit=max(1, settings.workers - 1))
        decoders, decoding = settings.decoders, threading.Condition()
        # A probe is so quick that the next one should be at hand; what takes long waits where it can be overtaken.
        probing = WorkQueue(capacity=DECODE_CAPACITY, busy_limit=2 * decoders, takers=2 * decoders, changed=decoding)
        phashing = WorkQueue(capacity=PHASH_CAPACITY, busy_limit=decoders, takers=decoders, changed=decoding)
        self.queues = {QUICK_HASH: hashing, PROBE: probing, PHASH: phashing}
        self._lock = threading.Lock()
        # Guarded by _lock:
        self._uncommitted: dict[int, dict[int, Outcome]] = {kind: {} for kind in self.queues}
        self._hearts = [
            *(heartbeats.register(f"hash-{number}", tolerated=True) for number in range(settings.workers)),
            heartbeats.register("decode"),
            heartbeats.register("feeder"),
        ]

        def pool(deliver: Callable[[Outcome, bool], None]) -> DecodePool:
            return DecodePool(
                workers=decoders,
                timeout_seconds=settings.decode_timeout_seconds,
                memory_mb=settings.decode_memory_mb,
                deliver=deliver,
            )

        def deliver(kinds: int, outcomes: Sequence[Outcome]) -> None:
            with self._lock:
                for kind, uncommitted in self._uncommitted.items():
                    if kind & kinds:
                        uncommitted.update((outcome.file_id, outcome) for outcome in outcomes)
            writer.outcomes(outcomes)

        self.hashers = Hashers(queue=hashing, deliver=partial(deliver, QUICK_HASH), hearts=self._hearts[:-2])
        self.decoders = Decoders(
            queues={PROBE: probing, PHASH: phashing},
            pool=pool,
            deliver=deliver,
            heart=self._hearts[-2],
            exact=settings.video_phash,
        )
        self._feeder = Feeder(
            database=database,
            clock=database.clock,
            queues=self.queues,
            online=online,
            away=away,
            heart=self._hearts[-1],
        )

    def start(self) -> None:
        self.hashers.start()
        self.decoders.start()
        self._feeder.start()

    def stop(self, timeout_seconds: float) -> bool:
        """False when a thread still hangs on a dead disk."""
        for queue in self.queues.values():
            queue.close()
        ended = [part.stop(timeout_seconds / 3) for part in (self._feeder, self.decoders, self.hashers)]
        for heart in self._hearts:
            self._heartbeats.retire(heart)
        return all(ended)

    def wake(self) -> None:
        """There may be more to offer."""
        self._feeder.wake()

    def release(self, outcomes: Sequence[Outcome]) -> None:
        """These are committed; of the same files others may not be, and work of another kind may still have them."""
        for kind, queue in self.queues.items():
            with self._lock:
                uncommitted = self._uncommitted[kind]
                committed = [each.file_id for each in outcomes if uncommitted.get(each.file_id) is each]
                for file_id in committed:
                    del uncommitted[file_id]
            queue.release(committed)

    def withdraw(self, unwanted: Callable[[Task], bool]) -> None:
        """Hash what is not wanted any more no further, also what is being decoded; what still is, is offered again."""
        self.decoders.withdraw(PHASH, unwanted)
        self._feeder.wake()

    def pause(self, paused: bool) -> None:
        for queue in self.queues.values():
            queue.pause(paused)

    def current_file(self) -> bytes | None:
        """A file that is being read, for progress."""
        return self.hashers.current() or self.decoders.current()
