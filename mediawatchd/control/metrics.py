"""What Prometheus is told: one snapshot of every part at each scrape, in its own registry.

Runs on the threads of whoever scrapes. Everything comes from the parts' statistics and from the table of totals,
never from a look at all rows or at a root's files, so a scrape costs milliseconds whatever the library holds. No
path but a root's, no hash and no job's number becomes a label.
"""

from __future__ import annotations

import platform
import time
from itertools import product
from typing import TYPE_CHECKING, Protocol, get_args

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from mediawatchd import __version__
from mediawatchd.catalog import offers
from mediawatchd.catalog import roots as root_rows
from mediawatchd.catalog.database import SQLITE_VERSION
from mediawatchd.catalog.totals import FIELDS
from mediawatchd.control.census import Census
from mediawatchd.control.families import counter, from_zero, gauge, histogram
from mediawatchd.model import PHASH, PROBE, QUICK_HASH, JobKind, Reason, RootState
from mediawatchd.paths import printable, unslashed
from mediawatchd.watching.sink import LOST_REASONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client import Metric

    from mediawatchd.catalog.database import Database
    from mediawatchd.catalog.jobs import JobRow
    from mediawatchd.catalog.writer import Writer, WriterStatistics
    from mediawatchd.config import Config
    from mediawatchd.control.application import Application
    from mediawatchd.telemetry.heartbeat import Heartbeats
    from mediawatchd.telemetry.logs import Counter
    from mediawatchd.watching.observers import Observers
    from mediawatchd.watching.roots import Roots
    from mediawatchd.watching.status import RootStatus
    from mediawatchd.work.jobs import Jobs
    from mediawatchd.work.workers import Workers

STAGES = {QUICK_HASH: "hash", PROBE: "probe", PHASH: "phash"}
"""The stages that work on single files, by their bit of `lacks`."""
MOST_SETTLING = 10_000
"""Counting a library that has just arrived would cost a tenth of a second at each scrape; this costs 6 ms."""
RESULTS = ("hashed", "probed", "phashed", "failed", "changed", "vanished")
WATCHES = ("inotify", "polling", "degraded")
WALK_RESULTS = ("complete", "cancelled", "failed")
JOB_RESULTS = ("done", "failed", "cancelled")
FILE_EVENTS = ("created", "closed", "moved_from", "moved_to", "deleted")
DIRECTORY_EVENTS = ("directory_created", "directory_moved_from", "directory_moved_to", "directory_deleted")


class Steering(Protocol):
    """What only the parts list can tell; `workers` are others after a reload."""

    @property
    def config(self) -> Config: ...
    @property
    def workers(self) -> Workers: ...
    @property
    def last_reload(self) -> tuple[bool, float]: ...
    def is_paused(self) -> bool: ...
    def troubles(self) -> list[str]: ...


class Metrics(Collector):
    """Any thread may call it, several at once; it holds nothing that changes."""

    def __init__(
        self,
        *,
        steering: Steering,
        database: Database,
        writer: Writer,
        observers: Callable[[], Observers],
        roots: Roots,
        jobs: Jobs,
        application: Application,
        heartbeats: Heartbeats,
        messages: Counter,
    ) -> None:
        self._steering = steering
        self._database = database
        self._writer = writer
        self._observers = observers
        self._roots = roots
        self._jobs = jobs
        self._application = application
        self._heartbeats = heartbeats
        self._messages = messages
        self._census = Census(reader=database.reader, commits=lambda: sum(writer.statistics().writes.counts))
        self._registry = CollectorRegistry()
        self._registry.register(self)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)

    def render(self) -> tuple[bytes, str]:
        """The text of a scrape, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not scrape, as the parts have not started yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All metrics, as they are now."""
        statuses = self._roots.statuses()
        labels = _root_labels(statuses)
        with self._database.reader() as connection:
            totals = self._roots.totals(connection)
            reconciled = {row.id: row.last_reconcile for row in root_rows.load_roots(connection).values()}
            settling = offers.settling(connection, self._database.clock.now_ns(), look_at=MOST_SETTLING)
        writer = self._writer.statistics()
        yield from self._daemon()
        yield from _states(statuses, labels)
        yield from _totals(totals, labels)
        yield from self._walks(statuses, labels, reconciled, writer)
        yield from self._watching(statuses, labels)
        yield gauge("settling_files", f"Files that are left alone until they stop changing, up to {MOST_SETTLING}.",
                    settling)  # fmt: skip
        yield from _files(writer)
        yield from self._stages(writer)
        yield from self._threads()
        yield from self._catalog(writer)
        yield from self._copies()
        yield from self._asked()

    def _daemon(self) -> Iterator[Metric]:
        steering = self._steering
        versions = (__version__, platform.python_version(), SQLITE_VERSION)
        successful, succeeded_at = steering.last_reload
        yield gauge(
            "build_info", "Always 1; the versions are its labels.", {versions: 1}, "version", "python", "sqlite"
        )
        yield gauge("degraded", "1 while something does not work as it should; the status says what.",
                    bool(steering.troubles()))  # fmt: skip
        yield gauge("paused", "1 while hashing and walks are paused.", steering.is_paused())
        yield gauge("config_last_reload_successful", "Whether the last reload of the configuration succeeded (1).",
                    successful)  # fmt: skip
        yield gauge("config_last_reload_success_timestamp_seconds",
                    "When the configuration in use was loaded.", succeeded_at)  # fmt: skip
        levels = {(level,): count for level, count in self._messages.counts().items()}
        yield counter("log_messages", "Messages logged.", levels, "level")

    def _walks(
        self,
        statuses: Iterable[RootStatus],
        labels: Mapping[int, str],
        reconciled: Mapping[int, int | None],
        writer: WriterStatistics,
    ) -> Iterator[Metric]:
        ended = dict.fromkeys(product(labels.values(), WALK_RESULTS), 0)
        for (root_id, result), walks in writer.walks.items():
            if root_id in labels:
                ended[labels[root_id], result if result in WALK_RESULTS else "failed"] += walks
        walking = {
            (labels[each.root_id],): each.is_walking() for each in self._roots.keepers() if each.root_id in labels
        }
        last = {(label,): reconciled.get(root_id) or 0 for root_id, label in labels.items()}
        seconds = {(labels[each.id],): each.last_walk_seconds or 0 for each in statuses}
        yield counter("scans", "Walks of a root or a folder of it that ended, but for those that events asked for.",
                      ended, "root", "result")  # fmt: skip
        yield gauge("scan_in_progress", "1 while a root is walked, or about to be.", walking, "root")
        yield gauge("last_scan_success_timestamp_seconds", "When the last complete walk of the root ended; 0: never.",
                    last, "root")  # fmt: skip
        yield gauge("last_scan_duration_seconds", "How long the last walk took; 0: none since the start.",
                    seconds, "root")  # fmt: skip

    def _watching(self, statuses: Iterable[RootStatus], labels: Mapping[int, str]) -> Iterator[Metric]:
        watcher = self._observers().statistics()
        events = from_zero(
            ((event,) for event in (*FILE_EVENTS, *DIRECTORY_EVENTS)),
            {(event,): count for event, count in watcher.events.items()},
        )
        lost = from_zero(
            product(labels.values(), LOST_REASONS),
            {(labels[root_id], why): count for (root_id, why), count in watcher.lost.items() if root_id in labels},
        )
        yield counter("watch_events", "Events that the kernel reported.", events, "type")
        yield counter("watch_lost", "How often events may have been lost, so that the root was walked.",
                      lost, "root", "reason")  # fmt: skip
        yield gauge("watches", "Directories watched by inotify.", watcher.watches)
        yield gauge("watches_limit", "How many watches the kernel allows (fs.inotify.max_user_watches); 0: unknown.",
                    watcher.watches_limit or 0)  # fmt: skip
        yield gauge("unwatched_directories", "Directories that are walked now and then as they cannot be watched.",
                    {(labels[each.id],): each.unwatched_directories for each in statuses}, "root")  # fmt: skip
        yield gauge("unreadable_directories", "Directories that could not be read, and are tried again.",
                    {(labels[each.id],): len(each.unreadable) for each in statuses}, "root")  # fmt: skip
        yield gauge("canary_last_seen_timestamp_seconds", "When the watcher last proved that it sees; 0: never.",
                    watcher.canary_last_seen or 0)  # fmt: skip
        yield counter("watcher_restarts", "How often the watcher's process was replaced.", watcher.restarts)

    def _stages(self, writer: WriterStatistics) -> Iterator[Metric]:
        workers = self._steering.workers
        decoding = workers.decoders.pool().statistics()
        queues = {stage: workers.queues[bit].statistics() for bit, stage in STAGES.items()}
        lengths = {(stage,): each.length for stage, each in queues.items()} | {("db",): writer.queued}
        capacities = {(stage,): each.capacity for stage, each in queues.items()} | {("db",): writer.capacity}
        oldest = {(stage,): _timestamp(each.oldest) for stage, each in queues.items()}
        yield gauge("queue_length", "Files that wait for a worker; for db: facts and outcomes to be written.",
                    lengths, "queue")  # fmt: skip
        yield gauge("queue_capacity", "How much a queue takes; the catalog keeps the rest.", capacities, "queue")
        yield gauge("queue_oldest_item_timestamp_seconds", "Since when the oldest item waits; 0: there is none.",
                    oldest | {("db",): _timestamp(writer.oldest)}, "queue")  # fmt: skip
        yield histogram("queue_wait_seconds", "How long files waited for a worker.",
                        {(stage,): each.waits for stage, each in queues.items()}, "queue")  # fmt: skip
        durations = {
            ("stat",): self._roots.durations(),
            ("hash",): workers.hashers.durations(),
            ("probe",): decoding.durations[PROBE],
            ("phash",): decoding.durations[PHASH],
            ("db",): writer.waits,
        }
        yield histogram("stage_duration_seconds", "How long a stage took: stat for a directory, hash, probe and phash "
                        "for a file, db for a batch from the first try to its commit.", durations, "stage")  # fmt: skip
        hashing = self._steering.config.hashing
        busy = {("hash",): queues["hash"].busy, ("decode",): decoding.running}
        yield gauge("workers", "Hash threads, and decode processes at most.",
                    {("hash",): hashing.workers, ("decode",): hashing.decoders}, "pool")  # fmt: skip
        yield gauge("workers_busy", "Workers that have a file.", busy, "pool")

    def _threads(self) -> Iterator[Metric]:
        now = time.monotonic()
        beats = {(pulse.name,): _timestamp(now - pulse.silent_seconds) for pulse in self._heartbeats.statistics(now)}
        yield gauge("worker_heartbeat_timestamp_seconds", "When a thread was last known to get on; one that waits for "
                    "work gets on.", beats, "worker")  # fmt: skip

    def _catalog(self, writer: WriterStatistics) -> Iterator[Metric]:
        sizes = {(file,): size for file, size in self._database.sizes().items()}
        yield gauge("db_up", "Whether the catalog can be written (1) or is tried again (0).", writer.trouble is None)
        yield histogram("db_write_duration_seconds", "How long transactions took.", {(): writer.writes})
        yield gauge("db_size_bytes", "Size on disk of the database and the files beside it.", sizes, "file")
        yield counter("db_dropped_items", "Findings that could not be written; their files are found again.",
                      writer.dropped)  # fmt: skip

    def _copies(self) -> Iterator[Metric]:
        counts = self._census.counts()
        yield gauge("duplicate_groups", "Groups of copies, counted now and then; none until that is done once.",
                    {(kind,): copies.groups for kind, copies in counts.items()}, "kind")  # fmt: skip
        yield gauge("duplicate_bytes", "What removing all but one copy of each group would free.",
                    {(kind,): copies.reclaimable_bytes for kind, copies in counts.items()}, "kind")  # fmt: skip

    def _asked(self) -> Iterator[Metric]:
        running = [job.row for job in self._jobs.running()]
        kinds = get_args(JobKind)
        progress = {(kind,): _progress(row for row in running if row.kind == kind) for kind in kinds}
        requests = {(route, str(code)): count for (route, code), count in self._application.requests().items()}
        yield counter("jobs", "Jobs that ended.", from_zero(product(kinds, JOB_RESULTS), self._jobs.ended()),
                      "kind", "result")  # fmt: skip
        yield gauge("job_progress_ratio", "How far the running jobs are, from 0 to 1; 0: none runs.",
                    progress, "kind")  # fmt: skip
        yield counter("control_requests", "Requests answered.", from_zero([("/metrics", "200")], requests),
                      "route", "code")  # fmt: skip


def _progress(rows: Iterable[JobRow]) -> float:
    counted = [row for row in rows if row.total]
    total = sum(row.total or 0 for row in counted)
    return sum(row.processed for row in counted) / total if total else 0


def _root_labels(statuses: Iterable[RootStatus]) -> dict[int, str]:
    """The label of each root. Prometheus refuses a scrape in which two are alike."""
    labels: dict[int, str] = {}
    for status in statuses:
        label = printable(unslashed(status.path))
        labels[status.id] = label if label not in labels.values() else f"{label} ({status.id})"
    return labels


def _states(statuses: Iterable[RootStatus], labels: Mapping[int, str]) -> Iterator[Metric]:
    up = {(labels[each.id],): each.state == "online" for each in statuses}
    states = {(labels[each.id], state): each.state == state for each in statuses for state in get_args(RootState)}
    yield gauge("root_up", "Whether the root is there (1) or not (0).", up, "root")
    yield gauge("root_state", "1 for the state that the root is in.", states, "root", "state")
    since = {(labels[each.id],): each.since for each in statuses}
    yield gauge("root_state_since_timestamp_seconds", "Since when the root is in its state.", since, "root")
    watches = {(labels[each.id], watch): each.watch == watch for each in statuses for watch in WATCHES}
    yield gauge("root_watch", "1 for the way in which changes of the root are seen.", watches, "root", "watch")


def _totals(totals: Mapping[int, Mapping[str, int]], labels: Mapping[int, str]) -> Iterator[Metric]:
    none = dict.fromkeys(FIELDS, 0)
    known = {root_id: totals.get(root_id, none) for root_id in labels}

    def of(field: str) -> dict[tuple[str, ...], float]:
        return {(labels[root_id],): each[field] for root_id, each in known.items()}

    yield gauge("root_files", "Media files that are there.", of("files"), "root")
    yield gauge("root_bytes", "Their size in all.", of("bytes"), "root")
    yield gauge("root_missing_files", "Files that are gone and still remembered.", of("missing"), "root")
    yield gauge("root_held_files", "Files that are absent, too many at once to believe; see confirm-missing.",
                of("held"), "root")  # fmt: skip
    yield gauge("root_problem_files", "Files that could not be read or understood.", of("problems"), "root")
    pending = {
        ("quick_hash",): sum(each["pending_quick_hash"] for each in known.values()),
        ("probe",): sum(each["pending_probe"] for each in known.values()),
        ("phash",): sum(each["pending_phash"] for each in known.values()),
    }
    yield gauge("pending_files", "Files that lack something that is still to be computed.", pending, "kind")


def _files(writer: WriterStatistics) -> Iterator[Metric]:
    results = from_zero(((result,) for result in RESULTS), {(key,): count for key, count in writer.results.items()})
    failures = from_zero(
        product(STAGES.values(), get_args(Reason)),
        {(STAGES[bit], reason): count for (bit, reason), count in writer.failures.items() if bit in STAGES},
    )
    yield counter("files_discovered", "Files that were new to the catalog.", writer.discovered)
    yield counter("files_processed", "Attempts at files that ended.", results, "result")
    yield counter("hashed_bytes", "Bytes read for quick hashes.", writer.hashed_bytes)
    yield counter("processing_errors", "Attempts at files that failed.", failures, "stage", "reason")


def _timestamp(monotonic: float | None) -> float:
    """A time on the monotonic clock as Unix seconds; 0 for none."""
    return 0 if monotonic is None else time.time() - (time.monotonic() - monotonic)
