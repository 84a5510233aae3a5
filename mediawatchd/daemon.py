"""The parts list: builds every part, starts them in order, stops them in reverse.

The only module that knows every part. The main thread runs `run`: it waits for signals, lets systemd know that all
is well, and once an hour does the housekeeping. A thread that dies ends the daemon with its cause.
"""

from __future__ import annotations

import logging
import math
import os
import queue
import resource
import signal
import threading
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from mediawatchd import config as configuration
from mediawatchd.catalog import missing
from mediawatchd.catalog import roots as root_rows
from mediawatchd.catalog.database import Database
from mediawatchd.catalog.events import forget_before
from mediawatchd.catalog.transaction import Policy, get_state, set_state
from mediawatchd.catalog.writer import Committed, Writer
from mediawatchd.control.application import Application
from mediawatchd.control.doctor import Doctor
from mediawatchd.control.feed import Feed
from mediawatchd.control.headline import headline
from mediawatchd.control.metrics import Metrics
from mediawatchd.control.operations import Operations
from mediawatchd.control.server import Server
from mediawatchd.control.sync import Sync
from mediawatchd.errors import ConfigurationError, Refused
from mediawatchd.model import FINGERPRINT, PHASH, SECOND
from mediawatchd.paths import printable
from mediawatchd.similarity.matcher import Matcher
from mediawatchd.telemetry.heartbeat import Heartbeats
from mediawatchd.telemetry.systemd import Systemd
from mediawatchd.watching.mounts import Mounts
from mediawatchd.watching.observer import Observer
from mediawatchd.watching.observers import Observers
from mediawatchd.watching.roots import Roots
from mediawatchd.watching.rules import Rules
from mediawatchd.watching.timetable import Pace
from mediawatchd.watching.unreadable import unreadable_text
from mediawatchd.work.jobs import Jobs
from mediawatchd.work.phash import PhashRun, Standing
from mediawatchd.work.scan import Scan
from mediawatchd.work.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mediawatchd.config import Config
    from mediawatchd.model import Task
    from mediawatchd.telemetry.logs import Counter
    from mediawatchd.watching.mounts import Table
    from mediawatchd.work.queue import WorkQueue

log = logging.getLogger(__name__)

STOP_SECONDS = 5.0
SHORTEST_STOP_SECONDS = 0.2
RELOAD_SECONDS = 5.0
HOUSEKEEPING_SECONDS = 3600.0
STATUS_SECONDS = 1.0
LOOK_SECONDS = 30.0
"""How often the main thread looks whether threads are stuck when nothing else wakes it."""
STUCK_SECONDS = 40.0
"""A thread that has been silent for so long is stuck: longer than any batch takes to commit."""
OPEN_FILES = 65_536


class Daemon:
    """Owned by the main thread, but for what `Steering` asks of it, which any thread may call."""

    def __init__(
        self, *, config: Config, load: Callable[[], Config], environment: Mapping[str, str], messages: Counter
    ) -> None:
        self.config = config
        self.rules = Rules(extensions=config.file_extensions, ignore=config.ignore)
        self.started = time.time()
        self.is_ready = False
        self._load = load
        self._reloading = threading.Lock()
        self._wake: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._death: str | None = None
        self._paused = False
        self._stuck: list[str] = []
        self._housekeeping_due = time.monotonic() + HOUSEKEEPING_SECONDS
        self._housekept = time.monotonic()
        self._tells_status = "NOTIFY_SOCKET" in environment
        self._status_due = 0.0 if self._tells_status else math.inf
        self._progressed = False
        self.last_reload = (True, self.started)
        self.messages = messages

        self.systemd = Systemd(environment=environment)
        self.heartbeats = Heartbeats()
        self.database = Database(config.db_path)
        self._parts = ExitStack()
        self._stop_by: float | None = None

    def start(self) -> None:
        """Start everything; what was started is stopped again when a part fails. Catalog first, sources last."""
        _raise_open_files()
        threading.excepthook = self._thread_died
        self._listen_to(signal.SIGHUP)
        try:
            self._start()
        except BaseException:
            self._parts.close()
            raise

    def _start(self) -> None:
        config = self.config
        self.systemd.status("opening the catalog")
        self.database.open()
        self._parts.callback(self.database.close)
        # Until here they end the process at once: looking through a large catalog may take a while.
        self._listen_to(signal.SIGTERM, signal.SIGINT)
        with self.database.reader() as connection:
            self._paused = bool(get_state(connection, "paused"))

        self.mounts = Mounts(
            on_change=self._mounts_changed,
            heartbeat=self.heartbeats.register("mounts"),
        )
        self.feed = Feed(database=self.database)
        self.writer = Writer(
            database=self.database,
            clock=self.database.clock,
            policy=_policy(config),
            heart=self.heartbeats.register("writer"),
            mounts_unchanged=lambda generation, path: not self.mounts.changed_since(generation, path),
            online=self._online,
            listened=self.feed.is_listened_to,
            committed=self._committed,
        )
        self.roots = Roots(
            database=self.database,
            writer=self.writer,
            mounts=self.mounts,
            heartbeats=self.heartbeats,
            is_paused=self.is_paused,
            changed=self._roots_changed,
        )
        self.observers = self._build_observers(config)
        self.workers = self._build_workers(config)
        self.jobs = Jobs(
            database=self.database,
            writer=self.writer,
            errands={
                "scan": partial(
                    Scan,
                    database=self.database,
                    writer=self.writer,
                    within_reach=self.roots.within_reach,
                    away=self.roots.away,
                    walk=self.roots.walk,
                    current_file=self.current_file,
                ),
                "phash": partial(
                    PhashRun,
                    database=self.database,
                    writer=self.writer,
                    policy=lambda: _policy(self.config),
                    within_reach=self.roots.within_reach,
                    away=self.roots.away,
                    withdraw=self._withdraw,
                    current_file=lambda: self.workers.decoders.current(PHASH) or self.current_file(),
                ),
            },
        )
        self.matcher = Matcher(
            database=self.database,
            writer=self.writer,
            heart=self.heartbeats.register("matcher"),
            is_paused=self.is_paused,
        )
        self.standing = Standing(database=self.database, writer=self.writer, withdraw=self._withdraw)
        self.sync = Sync(database=self.database, writer=self.writer, observers=lambda: self.observers, roots=self.roots)
        self.operations = Operations(
            steering=self,
            database=self.database,
            writer=self.writer,
            roots=self.roots,
            jobs=self.jobs,
            sync=self.sync,
            feed=self.feed,
            doctor=Doctor(
                steering=self,
                database=self.database,
                writer=self.writer,
                roots=self.roots,
                observers=lambda: self.observers,
                addresses=lambda: self.server.addresses,
            ),
        )
        self.application = Application(
            operations=self.operations, reader=self.database.reader, secret_token=lambda: self.config.secret_token
        )
        self.server = Server(
            application=self.application.wsgi,
            socket_path=config.control.socket,
            mode=config.control.mode,
            group=config.control.group,
            host=config.server.host,
            port=config.server.port,
            heartbeats=self.heartbeats,
            adopted_fds=[listener.fd for listener in self.systemd.listen_fds()],
        )
        self._metrics = Metrics(
            steering=self,
            database=self.database,
            writer=self.writer,
            observers=lambda: self.observers,
            roots=self.roots,
            jobs=self.jobs,
            application=self.application,
            heartbeats=self.heartbeats,
            messages=self.messages,
        )

        # The catalog before anyone who speaks to it; the writer before anyone who has something to say.
        self.writer.start()
        self._when_stopping(self.writer.stop, STOP_SECONDS)
        self.mounts.start()
        self._parts.callback(self.mounts.stop)
        self.workers.start()
        self._when_stopping(self._stop_workers, STOP_SECONDS / 2)
        # Asked for before there are roots, so that the first of them is watched at once.
        self.observers.start()
        self._when_stopping(self._stop_observers, STOP_SECONDS / 4)
        self.roots.configure(config.scan_dirs, self.rules, _pace(config), self.observers)
        self._when_stopping(self.roots.stop, STOP_SECONDS / 4)
        self.jobs.start()
        self._when_stopping(self.jobs.stop, STOP_SECONDS / 4)
        self.matcher.start()
        self._when_stopping(self.matcher.stop, STOP_SECONDS / 4)
        self.standing.apply(_policy(config))
        self._when_stopping(self.standing.stop, STOP_SECONDS / 4)
        # Who can ask finds everything there.
        self.server.start()
        self._when_stopping(self.server.stop, STOP_SECONDS / 4)
        self._parts.callback(self.sync.stop)
        self.is_ready = True
        self.systemd.ready()

    def _when_stopping(self, stop: Callable[[float], object], seconds: float) -> None:
        """Have a part stopped, in the seconds given or what is left until the one deadline of all parts."""

        def stop_in_time() -> None:
            self._stop_by = self._stop_by or time.monotonic() + STOP_SECONDS
            stop(max(SHORTEST_STOP_SECONDS, min(seconds, self._stop_by - time.monotonic())))

        self._parts.callback(stop_in_time)

    # Those that a reload may have replaced.

    def _stop_workers(self, seconds: float) -> None:
        self.workers.stop(seconds)

    def _stop_observers(self, seconds: float) -> None:
        self.observers.stop(seconds)

    def stop(self) -> None:
        """Stop everything in reverse; a thread stuck on a dead disk does not hold it up."""
        self.systemd.stopping()
        self.is_ready = False
        if not self._paused:
            self._count_online_time()
        self._parts.close()

    def run(self) -> int:
        """Serve until a signal or a death; returns the exit status."""
        watchdog_seconds = self.systemd.watchdog_interval_seconds()
        while True:
            self._look_after(watchdog_seconds)
            due = min(self._housekeeping_due, self._status_due, time.monotonic() + LOOK_SECONDS) - time.monotonic()
            try:
                what = self._wake.get(timeout=max(0.0, min(due, watchdog_seconds or due)))
            except queue.Empty:
                continue
            if what in {"SIGTERM", "SIGINT"}:
                log.info("Stopping signal=%s", what)
                return 0
            if what == "SIGHUP":
                self._reload_by_signal()
            if what == "progress":
                self._status_due = min(self._status_due, time.monotonic() + STATUS_SECONDS)
            if what == "death":
                log.critical("A thread died, the daemon ends cause=%s", self._death)
                return 1

    def _listen_to(self, *signals: signal.Signals) -> None:
        for number in signals:
            signal.signal(number, lambda number, _frame: self._wake.put(signal.Signals(number).name))

    def _look_after(self, watchdog_seconds: float | None) -> None:
        stuck = [pulse.name for pulse in self.heartbeats.stuck(time.monotonic(), STUCK_SECONDS) if not pulse.tolerated]
        if stuck and stuck != self._stuck:
            log.error("Threads are stuck threads=%s", ",".join(stuck))
        self._stuck = stuck
        self.roots.tell_hanging()
        if not stuck and watchdog_seconds is not None:
            self.systemd.watchdog()
        if time.monotonic() >= self._status_due:
            is_busy = self._tell_status()
            # What nothing is committed for, such as a watcher that fails, is told with the next ping.
            self._status_due = time.monotonic() + (STATUS_SECONDS if is_busy else watchdog_seconds or math.inf)
        if time.monotonic() >= self._housekeeping_due:
            self._keep_house()

    def _tell_status(self) -> bool:
        """The line that systemd shows; whether it is about to change by itself."""
        self._progressed = False  # before looking: what is committed from here on wakes this thread again
        state = self.operations.state()
        try:
            with self.database.reader() as connection:
                totals = self.roots.totals(connection)
            self.systemd.status(headline(state, self.roots.statuses(), totals, self.troubles()))
        except Exception as error:  # noqa: BLE001 - a line of text is no reason to end
            self.systemd.status(f"{state}; the catalog cannot be read: {error}")
        return state in {"scanning", "hashing"}

    def _keep_house(self) -> None:
        """Hourly: what is missing for long enough is forgotten, and so is old history."""
        self._housekeeping_due = time.monotonic() + HOUSEKEEPING_SECONDS
        self._count_online_time()
        oldest = time.time() - 86_400 * self.config.history.keep_days
        self.writer.call(missing.purge)
        self.writer.call(lambda tx: forget_before(tx, oldest))
        self.observers.check_watch_count()

    def _count_online_time(self) -> None:
        now = time.monotonic()
        online, elapsed = list(self.roots.online()), round((now - self._housekept) * SECOND)
        self._housekept = now
        self.writer.call(lambda tx: root_rows.add_online(tx, online, elapsed))

    # What `Operations` asks for, on any thread.

    @property
    def queues(self) -> Mapping[int, WorkQueue]:
        return self.workers.queues

    def is_paused(self) -> bool:
        return self._paused

    def pause(self, paused: bool) -> None:
        """Stop hashing and walks, or go on; survives a restart."""
        self.writer.ask(lambda tx: set_state(tx.connection, "paused", int(paused)))
        self._paused = paused
        self.workers.pause(paused)
        self.workers.wake()
        self.roots.pause_changed()
        self.matcher.wake()

    def reload(self) -> None:
        """Apply the configuration anew, whole or not at all. Raises Refused with every mistake in it."""
        with self._reloading:
            self.systemd.reloading()
            try:
                self._reload()
            except BaseException:
                self.last_reload = (False, self.last_reload[1])
                raise
            else:
                self.last_reload = (True, time.time())
            finally:
                self.systemd.ready()

    def _reload(self) -> None:
        try:
            config = self._load()
        except ConfigurationError as error:
            raise Refused(400, "bad_configuration", str(error), hint=error.hint) from None
        if keys := configuration.restart_required(self.config, config):
            raise Refused(
                409,
                "restart_required",
                f"a restart is needed to change {', '.join(keys)}",
                hint="Restart the daemon, or take that change back.",
                detail={"keys": keys},
            )
        # Nobody watches while the roots are configured in the catalog: when it cannot be written, nothing begins.
        self.writer.ask(lambda _tx: None, RELOAD_SECONDS)
        old, self.config = self.config, config
        self.rules = Rules(extensions=config.file_extensions, ignore=config.ignore)
        self.writer.set_policy(_policy(config))
        if config.hashing != old.hashing:
            self.workers.stop(STOP_SECONDS)
            self.workers = self._build_workers(config)
            self.workers.start()
            self.standing.apply(_policy(config))
        if config.watch.backend != old.watch.backend:
            self.observers.stop(STOP_SECONDS)
            self.observers = self._build_observers(config)
            self.observers.start()
        if _watching(config) != _watching(old):
            self.roots.configure(config.scan_dirs, self.rules, _pace(config), self.observers)
        log.info("The configuration was applied anew")

    def _reload_by_signal(self) -> None:
        try:
            self.reload()
        except Refused as refusal:
            log.error("The configuration was not applied, the old one stays reason=%s", refusal)

    def troubles(self) -> list[str]:
        """Why the daemon is degraded, as sentences; empty when it is not."""
        troubles = []
        writer = self.writer.statistics()
        if writer.trouble is not None:
            troubles.append(writer.trouble)
        watcher = self.observers.statistics()
        if watcher.degraded is not None:
            troubles.append(watcher.degraded)
        troubles += [
            f"{printable(status.path)}: {status.message or status.watch}"
            for status in self.roots.statuses()
            if status.state in {"error", "replaced"}
            # Polling because somebody chose it says nothing; for want of anything better it says why.
            or (status.state == "online" and (status.watch == "degraded" or status.message is not None))
        ]
        troubles += [
            f"{printable(status.path)}: {unreadable_text(status.unreadable)}"
            for status in self.roots.statuses()
            if status.unreadable
        ]
        return troubles + self.stuck_threads()

    def stuck_threads(self) -> list[str]:
        return [
            f"the thread {pulse.name} has been at one file for {pulse.silent_seconds:.0f} s"
            for pulse in self.heartbeats.stuck(time.monotonic(), STUCK_SECONDS)
        ]

    def is_healthy(self) -> bool:
        stuck = self.heartbeats.stuck(time.monotonic(), STUCK_SECONDS)
        return self._death is None and all(pulse.tolerated for pulse in stuck)

    def metrics(self) -> tuple[bytes, str]:
        return self._metrics.render()

    def _build_observers(self, config: Config) -> Observers:
        def build() -> Observer:
            return Observer(
                canary_directory=os.path.join(os.path.dirname(config.db_path), b"canary"),
                backend=config.watch.backend,
                sink=self.roots,
            )

        return Observers(build=build)

    def _build_workers(self, config: Config) -> Workers:
        workers = Workers(
            settings=config.hashing,
            database=self.database,
            writer=self.writer,
            online=self.roots.online,
            away=self.roots.away,
            heartbeats=self.heartbeats,
        )
        workers.pause(self._paused)
        return workers

    def _committed(self, committed: Committed) -> None:
        """On the writer's thread, after each batch; nothing here may block."""
        self.workers.release(committed.released)
        self.workers.wake()
        self.roots.look(committed.looks)
        self.jobs.committed()
        self.sync.committed()
        self.matcher.wake()
        if committed.events:
            self.feed.publish(committed.events)
        if self._tells_status and not self._progressed:
            self._progressed = True
            self._wake.put("progress")

    # The parts below know each other only through these, as one of each pair must be built first.

    def _mounts_changed(self, old: Table, new: Table) -> None:
        self.roots.mounts_changed(old, new)

    def _online(self) -> frozenset[int]:
        return self.roots.online()

    def current_file(self) -> bytes | None:
        """A file that is being read, for progress."""
        return self.workers.current_file()

    def _withdraw(self, unwanted: Callable[[Task], bool]) -> None:
        self.workers.withdraw(unwanted)

    def _roots_changed(self) -> None:
        self.workers.wake()
        self.sync.committed()

    def _thread_died(self, died: Any) -> None:
        name = died.thread.name if died.thread else "?"
        self._death = f"{name}: {died.exc_value!r}"
        log.critical("A thread died thread=%s", name, exc_info=(died.exc_type, died.exc_value, died.exc_traceback))
        self._wake.put("death")


def _policy(config: Config) -> Policy:
    return Policy(
        settle_ns=round(config.watch.settle_seconds * SECOND),
        hold_share=config.missing.hold_share,
        hold_files=config.missing.hold_files,
        keep_ns=round(config.missing.keep_days * 86_400 * SECOND),
        phash=PHASH if config.hashing.video_phash else FINGERPRINT,
        phash_all=config.hashing.phash,
    )


def _pace(config: Config) -> Pace:
    return Pace(
        interval_seconds=config.reconcile.interval_hours * 3600,
        network_interval_seconds=config.reconcile.network_interval_minutes * 60,
        settle_seconds=config.watch.settle_seconds,
    )


def _watching(config: Config) -> tuple[object, ...]:
    """All that the keepers are built from."""
    return config.scan_dirs, config.file_extensions, config.ignore, config.watch, config.reconcile


def _raise_open_files() -> None:
    """A walk has a descriptor open for each level of a tree; the usual limit of 1,024 is for programs with select."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
