"""The parts list: builds every part, starts them in order, stops them in reverse.

The only module that knows every part. Once all is started the main thread serves: see `serving`.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import threading
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from mediawatchd import config as configuration
from mediawatchd.catalog.database import Database
from mediawatchd.catalog.transaction import get_state, set_state
from mediawatchd.catalog.writer import Committed, Writer
from mediawatchd.control.feed import Feed
from mediawatchd.daemon import settings
from mediawatchd.daemon.condition import Condition
from mediawatchd.daemon.front import Front
from mediawatchd.daemon.housekeeping import Housekeeping
from mediawatchd.daemon.serving import Serving
from mediawatchd.errors import ConfigurationError, Refused
from mediawatchd.model import PHASH
from mediawatchd.similarity.matcher import Matcher
from mediawatchd.telemetry.heartbeat import Heartbeats
from mediawatchd.telemetry.systemd import Systemd
from mediawatchd.watching.mounts import Mounts
from mediawatchd.watching.observer import Observer
from mediawatchd.watching.observers import Observers
from mediawatchd.watching.roots import Roots
from mediawatchd.watching.rules import Rules
from mediawatchd.work.jobs import Jobs
from mediawatchd.work.phash import PhashRun, Standing
from mediawatchd.work.scan import Scan
from mediawatchd.work.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mediawatchd.config import Config
    from mediawatchd.model import Away, Task
    from mediawatchd.telemetry.logs import Counter
    from mediawatchd.watching.mounts import Table
    from mediawatchd.work.queue import WorkQueue

log = logging.getLogger(__name__)

STOP_SECONDS = 5.0
SHORTEST_STOP_SECONDS = 0.2
RELOAD_SECONDS = 5.0
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
        self._paused = False
        self.last_reload = (True, self.started)
        self.messages = messages

        self.systemd = Systemd(environment=environment)
        self.heartbeats = Heartbeats()
        self.database = Database(config.db_path)
        self._serving = Serving(
            systemd=self.systemd,
            heartbeats=self.heartbeats,
            tells_status="NOTIFY_SOCKET" in environment,
            tell_status=self._tell_status,
            keep_house=self._keep_house,
            look=self._tell_hanging,
            reload=self.reload,
        )
        self._parts = ExitStack()
        self._stop_by: float | None = None

    def start(self) -> None:
        """Start everything; what was started is stopped again when a part fails. Catalog first, sources last."""
        _raise_open_files()
        self._serving.listen_to_deaths()
        self._serving.listen_to(signal.SIGHUP)
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
        self._serving.listen_to(signal.SIGTERM, signal.SIGINT)
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
            policy=settings.policy(config),
            heart=self.heartbeats.register("writer"),
            mounts_unchanged=lambda generation, path: not self.mounts.changed_since(generation, path),
            online=self._online,
            away=self._away,
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
        self._condition = Condition(
            database=self.database,
            writer=self.writer,
            roots=self.roots,
            observers=lambda: self.observers,
            heartbeats=self.heartbeats,
        )
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
                    policy=lambda: settings.policy(self.config),
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
        self._housekeeping = Housekeeping(
            writer=self.writer,
            roots=self.roots,
            observers=lambda: self.observers,
            keep_days=lambda: self.config.history.keep_days,
        )
        self.front = Front(
            steering=self,
            database=self.database,
            writer=self.writer,
            roots=self.roots,
            observers=lambda: self.observers,
            jobs=self.jobs,
            feed=self.feed,
            heartbeats=self.heartbeats,
            messages=self.messages,
            adopted_fds=[listener.fd for listener in self.systemd.listen_fds()],
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
        self.roots.configure(config.scan_dirs, self.rules, settings.pace(config), self.observers)
        self._when_stopping(self.roots.stop, STOP_SECONDS / 4)
        self.jobs.start()
        self._when_stopping(self.jobs.stop, STOP_SECONDS / 4)
        self.matcher.start()
        self._when_stopping(self.matcher.stop, STOP_SECONDS / 4)
        self.standing.apply(settings.policy(config))
        self._when_stopping(self.standing.stop, STOP_SECONDS / 4)
        # Who can ask finds everything there.
        self.front.server.start()
        self._when_stopping(self.front.server.stop, STOP_SECONDS / 4)
        self._parts.callback(self.front.sync.stop)
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
            self._housekeeping.count_online_time()
        self._parts.close()

    def run(self) -> int:
        """Serve until a signal or a death; returns the exit status."""
        return self._serving.run()

    def _tell_status(self) -> bool:
        """The line that systemd shows; whether it is about to change by itself."""
        state = self.front.operations.state()
        self.systemd.status(self._condition.headline(state))
        return state in {"scanning", "hashing"}

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
        self.writer.set_policy(settings.policy(config))
        if config.hashing != old.hashing:
            self.workers.stop(STOP_SECONDS)
            self.workers = self._build_workers(config)
            self.workers.start()
            self.standing.apply(settings.policy(config))
        if config.watch.backend != old.watch.backend:
            self.observers.stop(STOP_SECONDS)
            self.observers = self._build_observers(config)
            self.observers.start()
        if settings.watching(config) != settings.watching(old):
            self.roots.configure(config.scan_dirs, self.rules, settings.pace(config), self.observers)
        log.info("The configuration was applied anew")

    def troubles(self) -> list[str]:
        return self._condition.troubles()

    def stuck_threads(self) -> list[str]:
        return self._condition.stuck_threads()

    def is_healthy(self) -> bool:
        return self._serving.is_healthy()

    def metrics(self) -> tuple[bytes, str]:
        return self.front.metrics.render()

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
        self.workers.release(committed.outcomes)
        self.workers.wake()
        self.roots.look(committed.looks)
        self.jobs.committed()
        self.front.sync.committed()
        self.matcher.wake()
        if committed.events:
            self.feed.publish(committed.events)
        self._serving.progressed()

    # The parts below know each other only through these, as one of each pair must be built first.

    def _keep_house(self) -> None:
        self._housekeeping.keep()

    def _tell_hanging(self) -> None:
        self.roots.tell_hanging()

    def _mounts_changed(self, old: Table, new: Table) -> None:
        self.roots.mounts_changed(old, new)

    def _online(self) -> frozenset[int]:
        return self.roots.online()

    def _away(self) -> frozenset[Away]:
        return self.roots.away()

    def current_file(self) -> bytes | None:
        """A file that is being read, for progress."""
        return self.workers.current_file()

    def _withdraw(self, unwanted: Callable[[Task], bool]) -> None:
        self.workers.withdraw(unwanted)

    def _roots_changed(self) -> None:
        self.workers.wake()
        self.front.sync.committed()


def _raise_open_files() -> None:
    """A walk has a descriptor open for each level of a tree; the usual limit of 1,024 is for programs with select."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
