"""A first scan by the daemon's own parts, in a process of its own: `python -m benchmarks.scan ROOT DATABASE`.

The parts are put together as the daemon does it, but for watching and decoding: nothing is watched, and what a
file says of itself is made up, or with `--no-probes` not asked for at all. So it leaves the catalog of a library
that could not be decoded in the time of a benchmark. Prints the CPU seconds that it took, from the empty catalog to
the closed one and without the imports, the number of files and the XOR of their quick hashes.
"""

from __future__ import annotations

import argparse
import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol, cast

from mediawatchd.catalog.database import Database
from mediawatchd.catalog.transaction import Policy
from mediawatchd.catalog.writer import Committed, Writer
from mediawatchd.config.schema import Config
from mediawatchd.model import PROBE, QUICK_HASH, SECOND, AudioStream, Outcome, Probe, Probed, Task, VideoStream
from mediawatchd.telemetry.heartbeat import Heartbeats
from mediawatchd.watching.mounts import Mounts
from mediawatchd.watching.observer import Observer
from mediawatchd.watching.observers import Observers
from mediawatchd.watching.roots import Roots
from mediawatchd.watching.rules import Rules
from mediawatchd.watching.timetable import Pace
from mediawatchd.work.decoders import Decoders
from mediawatchd.work.feeder import Feeder
from mediawatchd.work.hashers import Hashers
from mediawatchd.work.queue import WorkQueue
from mediawatchd.work.workers import DECODE_CAPACITY, HASH_CAPACITY

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediawatchd.hashing.decoding import DecodePool

SETTLE_SECONDS = 0.2
_PROBE = Probe(
    container_format="matroska",
    duration=2700.0,
    bitrate=6_000_000,
    video=VideoStream(codec="h264", width=1920, height=1080, frame_rate=23.976, rotation=0, bit_depth=8, hdr=None),
    audio=AudioStream(codec="aac", channels=2, sample_rate=48_000),
    vr=None,
)


class _Part(Protocol):
    def start(self) -> None: ...
    def stop(self, timeout_seconds: float) -> bool: ...


class _MadeUp:
    """Takes the place of the decode pool: every file is the same film."""

    def __init__(self, deliver: Callable[[Outcome, bool], None]) -> None:
        self._deliver = deliver

    def start(self) -> None:
        """There is nothing to start."""

    def stop(self, timeout_seconds: float) -> bool:
        return timeout_seconds >= 0

    def submit(self, task: Task, *_work: object) -> None:
        self._deliver(Probed(task.file_id, task.stamp, _PROBE), True)


class Scan:
    """Owned by the main thread."""

    def __init__(self, *, root: bytes, database: Database, probes: bool) -> None:
        config = Config(scan_dirs=(root.rstrip(b"/") + b"/",))
        self._config = config
        heartbeats = Heartbeats()
        self._database = database
        self._mounts = Mounts(on_change=lambda _old, _new: None, heartbeat=heartbeats.register("mounts"))
        self._writer = Writer(
            database=database,
            clock=database.clock,
            policy=Policy(settle_ns=round(SETTLE_SECONDS * SECOND), hold_share=None, hold_files=0, keep_ns=0),
            heart=heartbeats.register("writer"),
            mounts_unchanged=lambda generation, path: not self._mounts.changed_since(generation, path),
            online=self._online,
            away=frozenset,
            listened=lambda: False,
            committed=self._committed,
        )
        self._roots = Roots(
            database=database,
            writer=self._writer,
            mounts=self._mounts,
            heartbeats=heartbeats,
            is_paused=lambda: False,
            changed=self._wake,
        )
        # A polling observer watches nothing and says so at once: the first walk follows.
        self._observers = Observers(
            build=lambda: Observer(canary_directory=b"", backend="polling", sink=self._roots),
        )
        workers = config.hashing.workers
        hashing = WorkQueue(capacity=HASH_CAPACITY, busy_limit=max(1, workers - 1))
        hearts = [heartbeats.register(f"hash-{number}", tolerated=True) for number in range(workers)]
        self._queues = {QUICK_HASH: hashing}
        self._parts: list[_Part] = [Hashers(queue=hashing, deliver=self._writer.outcomes, hearts=hearts)]
        if probes:
            self._queues[PROBE] = WorkQueue(capacity=DECODE_CAPACITY, busy_limit=1, takers=1)
            self._parts.append(
                Decoders(
                    queues={PROBE: self._queues[PROBE]},
                    pool=lambda deliver: cast("DecodePool", _MadeUp(deliver)),
                    deliver=lambda _kind, outcomes: self._writer.outcomes(outcomes),
                    heart=heartbeats.register("decode"),
                )
            )
        self._feeder = Feeder(
            database=database,
            clock=database.clock,
            queues=self._queues,
            online=self._roots.online,
            away=frozenset,
            heart=heartbeats.register("feeder"),
        )
        self._parts.append(self._feeder)

    def run(self) -> None:
        """Walk, hash and store everything; returns when the catalog lacks nothing."""
        with ExitStack() as parts:
            self._writer.start()
            parts.callback(self._writer.stop, 60.0)
            self._mounts.start()
            parts.callback(self._mounts.stop)
            for part in self._parts:
                part.start()
                parts.callback(part.stop, 5.0)
            self._observers.start()
            parts.callback(self._observers.stop, 5.0)
            rules = Rules(extensions=self._config.file_extensions)
            pace = Pace(3600.0, 3600.0, SETTLE_SECONDS)
            self._roots.configure(self._config.scan_dirs, rules, pace, self._observers)
            parts.callback(self._roots.stop, 5.0)
            while not self._is_done():
                time.sleep(0.1)

    def _is_done(self) -> bool:
        if any(keeper.is_walking() for keeper in self._roots.keepers()):
            return False
        with self._database.reader() as connection:
            totals = self._roots.totals(connection)
        fields = ["pending_quick_hash", *(["pending_probe"] if PROBE in self._queues else [])]
        return not any(counts[field] for counts in totals.values() for field in fields)

    def _committed(self, committed: Committed) -> None:
        for queue in self._queues.values():
            queue.release(outcome.file_id for outcome in committed.outcomes)
        self._feeder.wake()
        self._roots.look(committed.looks)

    def _online(self) -> frozenset[int]:
        return self._roots.online()

    def _wake(self) -> None:
        self._feeder.wake()


def _summary(database: Database) -> str:
    """As the floor prints it."""
    files = every = 0
    with database.reader() as connection:
        for (digest,) in connection.execute("SELECT quick_hash FROM media_files"):
            files += 1
            every ^= int.from_bytes(digest, "big")
    return f"{files} {every:064x}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.scan", description=__doc__)
    parser.add_argument("root")
    parser.add_argument("database")
    parser.add_argument("--no-probes", action="store_true")
    arguments = parser.parse_args()
    database = Database(os.fsencode(arguments.database))
    began = time.process_time()
    database.open()
    scan = Scan(root=os.fsencode(arguments.root), database=database, probes=not arguments.no_probes)
    scan.run()
    spent = time.process_time() - began
    summary = _summary(database)
    began = time.process_time()
    database.close()
    print(spent + time.process_time() - began, summary)


if __name__ == "__main__":
    main()
