"""The parts that answer: what may be asked, and the listeners on which it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediawatchd.control.application import Application
from mediawatchd.control.doctor import Doctor
from mediawatchd.control.metrics import Metrics
from mediawatchd.control.operations import Operations
from mediawatchd.control.server import Server
from mediawatchd.control.sync import Sync

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mediawatchd.catalog.database import Database
    from mediawatchd.catalog.writer import Writer
    from mediawatchd.control.feed import Feed
    from mediawatchd.daemon.parts import Daemon
    from mediawatchd.telemetry.heartbeat import Heartbeats
    from mediawatchd.telemetry.logs import Counter
    from mediawatchd.watching.observers import Observers
    from mediawatchd.watching.roots import Roots
    from mediawatchd.work.jobs import Jobs


class Front:
    """Built when all that it asks is built. `steering` and `observers` are asked each time: a reload changes them."""

    def __init__(
        self,
        *,
        steering: Daemon,
        database: Database,
        writer: Writer,
        roots: Roots,
        observers: Callable[[], Observers],
        jobs: Jobs,
        feed: Feed,
        heartbeats: Heartbeats,
        messages: Counter,
        adopted_fds: Sequence[int],
    ) -> None:
        config = steering.config
        self.sync = Sync(database=database, writer=writer, observers=observers, roots=roots)
        self.operations = Operations(
            steering=steering,
            database=database,
            writer=writer,
            roots=roots,
            jobs=jobs,
            sync=self.sync,
            feed=feed,
            doctor=Doctor(
                steering=steering,
                database=database,
                writer=writer,
                roots=roots,
                observers=observers,
                addresses=lambda: self.server.addresses,
            ),
        )
        self.application = Application(
            operations=self.operations, reader=database.reader, secret_token=lambda: steering.config.secret_token
        )
        self.server = Server(
            application=self.application.wsgi,
            socket_path=config.control.socket,
            mode=config.control.mode,
            group=config.control.group,
            host=config.server.host,
            port=config.server.port,
            heartbeats=heartbeats,
            adopted_fds=adopted_fds,
        )
        self.metrics = Metrics(
            steering=steering,
            database=database,
            writer=writer,
            observers=observers,
            roots=roots,
            jobs=jobs,
            application=self.application,
            heartbeats=heartbeats,
            messages=messages,
        )
