"""Matching over a real catalog of made-up fingerprints: `python -m benchmarks matching --fingerprints N`.

All but a few are matched, as after years of use; then copies arrive one by one, and the daemon's own matcher finds
their originals. The first one has the index built; the others must not. Runs in a process of its own, so that its
memory is nobody else's. The floors, taken in the same run: reading the fingerprints without doing anything with them,
and comparing one key after the other with all keys.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.report import Line, at_most
from mediawatchd.catalog import matching
from mediawatchd.catalog.database import Database
from mediawatchd.catalog.transaction import Policy
from mediawatchd.catalog.writer import Committed, Writer
from mediawatchd.similarity.matcher import SCORE_VERSION, Matcher
from mediawatchd.telemetry.heartbeat import Heartbeats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mediawatchd.catalog.transaction import Transaction

ARRIVALS = 20
LIMIT_MB = 600.0
LIMIT_BUILD_SECONDS = 5.0
LIMIT_QUERY_MILLISECONDS = 40.0
"""All for a million videos of 16 frames."""
_WITHIN_SECONDS = 600.0
_PAGE = 4096
_INSERT_FILE = (
    "INSERT INTO media_files (id, directory_id, name, name_is_text, media_type, size, mtime_ns, lacks, first_seen) "
    "VALUES (?, 1, ?, 1, 'video', ?, 0, 0, 0)"
)


def run(folder: Path, *, videos: int) -> Iterator[Line]:
    path = folder / "catalog.db"
    prepare(path, videos)
    command = [sys.executable, "-m", "benchmarks.matching", str(path), str(videos)]
    output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1]).stdout
    told: dict[str, Any] = json.loads(output)
    of = f"{videos:,} videos of 16 frames"
    yield at_most("memory of the index and all else", told["peak_mb"], LIMIT_MB, "MB", f"peak growth, {of}")
    yield at_most(
        "building the index", told["build_seconds"], LIMIT_BUILD_SECONDS, "CPU s",
        f"beside {told['reading_seconds']:.1f} s for reading the fingerprints alone; {told['first_seconds']:.1f} s on "
        "the clock until the first copy had its pair",
    )  # fmt: skip
    yield at_most(
        "one search", told["query_milliseconds"], LIMIT_QUERY_MILLISECONDS, "CPU ms",
        f"median, mirrored and cropped; all keys one by one: {told['floor_milliseconds']:.0f} ms",
    )  # fmt: skip
    yield Line(
        "a copy that arrives", f"{told['arrival_milliseconds']:.1f} ms", "", None,
        f"from its commit until its pairs are stored; {told['arrival_cpu_milliseconds']:.1f} CPU ms; "
        f"{told['found']} of {ARRIVALS} found, index built {told['built']} time(s)",
    )  # fmt: skip


def prepare(path: Path, videos: int) -> None:
    """A catalog in which that many videos are matched; those that are to arrive have no fingerprint yet."""
    from benchmarks.search import Library  # noqa: PLC0415 - the measured process must not load numpy before its time

    database = Database(bytes(path))
    database.open()
    database.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO roots (id, path) VALUES (1, CAST('/media/' AS BLOB))")
        connection.execute(
            "INSERT INTO directories (id, root_id, path, path_is_text) VALUES (1, 1, CAST('/media/' AS BLOB), 1)"
        )
        library = Library(videos)
        for number, blob in library:
            connection.execute(_INSERT_FILE, (number + 1, b"%d.mkv" % number, number))
            connection.execute("INSERT INTO fingerprints VALUES (?, 0, ?, ?)", (number + 1, blob, SCORE_VERSION))
        for number in range(videos, videos + ARRIVALS):
            connection.execute(_INSERT_FILE, (number + 1, b"%d.mkv" % number, number))


def measure(path: Path, videos: int) -> dict[str, Any]:
    database = Database(bytes(path))
    database.open()
    heartbeats = Heartbeats()
    wake: list[Callable[[], None]] = []

    def committed(_committed: Committed) -> None:
        for call in wake:
            call()

    writer = Writer(
        database=database, clock=database.clock, policy=Policy(0, None, 0, 0),
        heart=heartbeats.register("writer"), mounts_unchanged=lambda _generation, _path: True, online=frozenset,
        away=frozenset, listened=lambda: False, committed=committed,
    )  # fmt: skip
    writer.start()
    matcher = Matcher(database=database, writer=writer, heart=heartbeats.register("matcher"), is_paused=lambda: False)
    builds = _Counted()
    logging.getLogger(Matcher.__module__).addHandler(builds)
    logging.getLogger(Matcher.__module__).setLevel(logging.INFO)
    before_mb = _peak_mb()
    reading_seconds = _reading_seconds(database)
    wake.append(matcher.wake)
    matcher.start()
    try:
        spent = time.process_time()
        first_seconds = _arrive(writer, matcher, videos, 0)
        build_seconds = time.process_time() - spent - reading_seconds
        spent = time.process_time()
        arrivals = [_arrive(writer, matcher, videos, number) for number in range(1, ARRIVALS)]
        arrival_cpu = (time.process_time() - spent) / len(arrivals)
        query = _search_seconds(matcher, videos)
        peak_mb = _peak_mb() - before_mb
        return {
            "reading_seconds": reading_seconds,
            "build_seconds": build_seconds,
            "first_seconds": first_seconds,
            "peak_mb": peak_mb,
            "query_milliseconds": 1000 * query,
            "floor_milliseconds": 1000 * _floor_seconds(videos),
            "arrival_milliseconds": 1000 * statistics.median(arrivals),
            "arrival_cpu_milliseconds": 1000 * arrival_cpu,
            "found": matcher.statistics().pairs,
            "built": builds.records,
        }
    finally:
        matcher.stop(60)
        writer.stop(60)
        database.close()


class _Counted(logging.Handler):
    """The matcher logs each time it has built the index, and nothing else when all is well."""

    records = 0

    def emit(self, _record: logging.LogRecord) -> None:
        self.records += 1


def _arrive(writer: Writer, matcher: Matcher, videos: int, number: int) -> float:
    """Seconds from the commit of a copy's fingerprint until it is matched."""
    import numpy as np  # noqa: PLC0415 - as above

    from benchmarks.search import Library, copy  # noqa: PLC0415
    from mediawatchd.hashing.fingerprint import pack  # noqa: PLC0415

    original = number * 7919 % videos
    edit = ("plain", "mirrored", "cropped")[number % 3]
    blob = pack(copy(Library(videos).fingerprint(original), edit, 30, np.random.default_rng(number)))
    matched = matcher.statistics().matched

    def store(tx: Transaction) -> None:
        tx.connection.execute("INSERT INTO fingerprints VALUES (?, 0, ?, 0)", (videos + number + 1, blob))

    writer.call(store).result(_WITHIN_SECONDS)
    began = time.monotonic()
    while matcher.statistics().matched == matched:
        if time.monotonic() > began + _WITHIN_SECONDS:
            raise TimeoutError("a copy was not matched")
        time.sleep(0.005)  # more often would cost a tenth of what is measured
    return time.monotonic() - began


def _reading_seconds(database: Database) -> float:
    began = time.process_time()
    after = 0
    while True:
        with database.reader() as connection:
            rows = matching.matched(connection, SCORE_VERSION, after, _PAGE)
        if not rows:
            return time.process_time() - began
        after = rows[-1][0]


def _search_seconds(matcher: Matcher, videos: int) -> float:
    """One search in the index; the median of some."""
    import numpy as np  # noqa: PLC0415 - as above

    from benchmarks.search import Library, copy  # noqa: PLC0415

    index = matcher._index  # noqa: SLF001 - the product asks it only together with all else
    assert index is not None
    library, dice = Library(videos), np.random.default_rng(1)
    spent = []
    for number in range(ARRIVALS):
        asked = copy(library.fingerprint(number * 104_729 % videos), "mirrored", 30, dice)
        began = time.process_time()
        index.candidates(asked)
        spent.append(time.process_time() - began)
    return statistics.median(spent)


def _floor_seconds(videos: int) -> float:
    """As many keys as a search asks for, each compared with all keys."""
    import numpy as np  # noqa: PLC0415 - as above

    from benchmarks.search import FRAMES  # noqa: PLC0415

    dice = np.random.default_rng(1)
    keys = dice.integers(0, 1 << 63, FRAMES * videos, np.uint64)
    began = time.process_time()
    for _ in range(3):
        np.bitwise_count(keys ^ dice.integers(0, 1 << 63, dtype=np.uint64)).min()
    return 4 * FRAMES * (time.process_time() - began) / 3


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    os.nice(5)
    print(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]))))
