"""The control server: the API on a Unix socket and on TCP, each with threads of its own.

Started and stopped by the thread that runs the daemon. Sockets that systemd handed over take the place of those that
the configuration asks for, each of its own kind.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mediawatchd.control.listener import Listener
from mediawatchd.control.sockets import Bound, adopt, bind_tcp, bind_unix

if TYPE_CHECKING:
    from collections.abc import Sequence
    from wsgiref.types import WSGIApplication

    from mediawatchd.telemetry.heartbeat import Heartbeats

THREADS = 32
"""For each listener. A thread is made when it is first needed, so the rest costs nothing."""


class Server:
    """`threads`: the most for each listener, at least 2. `mode`, `group`: of the Unix socket. `port` None: no TCP."""

    def __init__(
        self,
        *,
        application: WSGIApplication,
        socket_path: bytes,
        mode: int,
        group: str | None,
        host: str,
        port: int | None,
        heartbeats: Heartbeats,
        adopted_fds: Sequence[int] = (),
        threads: int = THREADS,
    ) -> None:
        self._application = application
        self._socket_path = socket_path
        self._mode = mode
        self._group = group
        self._host = host
        self._port = port
        self._heartbeats = heartbeats
        self._adopted_fds = adopted_fds
        self._threads = threads
        self._listeners: list[Listener] = []

    @property
    def addresses(self) -> tuple[str | tuple[str, int], ...]:
        """Where it listens: the paths of Unix sockets, and hosts with ports."""
        return tuple(listener.address for listener in self._listeners)

    def start(self) -> None:
        """Binds everything before anything is answered. Raises SocketUnavailable, and then listens nowhere."""
        bound: list[Bound] = []
        try:
            bound += map(adopt, self._adopted_fds)
            kinds = {each.kind for each in bound}
            if "unix" not in kinds:
                bound.append(bind_unix(self._socket_path, mode=self._mode, group=self._group))
            if "tcp" not in kinds and self._port is not None:
                bound.append(bind_tcp(self._host, self._port))
        except BaseException:
            for each in bound:
                each.release()
                each.socket.close()
            raise
        for number, each in enumerate(bound):
            # systemd may hand over several of a kind.
            is_first = each.kind not in {earlier.kind for earlier in bound[:number]}
            listener = Listener(
                name=f"control-{each.kind}" if is_first else f"control-{each.kind}-{number}",
                bound=each,
                application=self._application,
                threads=self._threads,
                # The other half is for calls that answer at once, even when some of those wait for a full disk.
                most_long_calls=self._threads // 2,
                heartbeats=self._heartbeats,
            )
            listener.start()
            self._listeners.append(listener)

    def stop(self, timeout_seconds: float) -> None:
        """Ends every stream at once, gives other calls a moment, and closes. Does nothing when it is not running."""
        deadline = time.monotonic() + timeout_seconds
        for listener in self._listeners:
            listener.begin_stop()
        for listener in self._listeners:
            listener.wait_stopped(deadline)
        self._listeners.clear()
