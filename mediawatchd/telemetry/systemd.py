"""What the daemon and systemd say to each other: readiness, status, watchdog, and sockets handed over.

Any thread may call it. Without systemd every call does nothing. A message that cannot be sent is logged and never
raised, and none waits for systemd longer than a second: whether the daemon works does not depend on who listens.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

import sdnotify

from mediawatchd.paths import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

FIRST_FD = 3
"""Where the sockets that systemd hands over begin; SD_LISTEN_FDS_START of sd_listen_fds(3)."""

STATUS_CHARACTERS = 500
"""Systemd ignores messages above 4096 bytes; a path alone can be that long."""


class Listener(NamedTuple):
    """A socket handed over; `name` is the FileDescriptorName= of its .socket unit."""

    name: str
    fd: int


class Timer(Protocol):
    """What calls a function later, as `threading.Timer` does."""

    daemon: bool

    def start(self) -> None: ...


class Systemd:
    """Shared by all threads; messages go out one at a time.

    `environment` is the process's own or a copy of it: sdnotify looks NOTIFY_SOCKET up there by itself.
    """

    def __init__(
        self,
        *,
        environment: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
        timer: Callable[[float, Callable[[], None]], Timer] = threading.Timer,
    ) -> None:
        self._environment = environment
        self._clock = clock
        self._timer = timer
        # Guards the order of messages, and what has been said and is still to say:
        self._lock = threading.Lock()
        self._status = ""
        self._status_sent_at = float("-inf")
        self._status_waiting: str | None = None
        self._failing = False

    def ready(self) -> None:
        """The daemon serves; also the end of a reload."""
        self._send("READY=1")

    def reloading(self) -> None:
        """A reload begins; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """The daemon goes down; to be said before anything is stopped."""
        self._send("STOPPING=1")

    def watchdog(self) -> None:
        """All is well; to be said every `watchdog_interval_seconds`, and not when it is not so."""
        if self.watchdog_interval_seconds() is not None:
            self._send("WATCHDOG=1")

    def watchdog_interval_seconds(self) -> float | None:
        """A third of the time after which systemd takes the daemon for hung; None when it does not watch it."""
        limit_usec = self._number("WATCHDOG_USEC")
        if not limit_usec or self._number("WATCHDOG_PID") not in {None, os.getpid()}:
            return None
        return limit_usec / 1_000_000 / 3

    def status(self, text: str) -> None:
        """The line that `systemctl status` shows. At most one goes out in a second; the last one always does."""
        if not self._environment.get("NOTIFY_SOCKET"):
            return
        with self._lock:
            wait_seconds = self._status_sent_at + 1 - self._clock()
            if wait_seconds <= 0:
                self._send_status_locked(text)
                return
            timer_runs = self._status_waiting is not None
            self._status_waiting = text
            if not timer_runs:
                timer = self._timer(wait_seconds, self._send_waiting_status)
                timer.daemon = True  # a status is no reason to stay alive
                timer.start()

    def _send_waiting_status(self) -> None:
        with self._lock:
            if self._status_waiting is not None:
                self._send_status_locked(self._status_waiting)

    def _send_status_locked(self, text: str) -> None:
        self._status_waiting = None
        if text == self._status:
            return
        self._status = text
        self._status_sent_at = self._clock()
        # A line break in a file name would begin a new field, and systemd refuses a message with a NUL.
        self._send_locked("STATUS=" + printable(text)[:STATUS_CHARACTERS])

    def _send(self, message: str) -> None:
        with self._lock:
            self._send_locked(message)

    def _send_locked(self, message: str) -> None:
        if not self._environment.get("NOTIFY_SOCKET"):
            return
        # sdnotify encodes Latin-1: what it gets are the bytes of UTF-8, one a character.
        encoded = message.encode("utf-8", "replace").decode("latin-1")
        try:
            # A connection for each message, so that it survives a systemd that makes its socket anew. Without
            # `debug` sdnotify keeps errors to itself.
            notifier = sdnotify.SystemdNotifier(debug=True)
            with notifier.socket:
                notifier.socket.settimeout(1)
                notifier.notify(encoded)
        except OSError as error:
            if not self._failing:
                log.warning("systemd cannot be notified error=%s", error)
            self._failing = True
        else:
            self._failing = False

    def listen_fds(self) -> tuple[Listener, ...]:
        """The sockets that systemd opened for this process; programs that it starts do not inherit them."""
        count = self._number("LISTEN_FDS") or 0
        if self._number("LISTEN_PID") != os.getpid():
            return ()
        names = self._environment.get("LISTEN_FDNAMES", "").split(":")
        if len(names) != count:
            names = ["unknown"] * count
        for fd in range(FIRST_FD, FIRST_FD + count):
            os.set_inheritable(fd, False)
        return tuple(Listener(name, FIRST_FD + index) for index, name in enumerate(names))

    def _number(self, name: str) -> int | None:
        value = self._environment.get(name, "")
        return int(value) if value.isdecimal() else None
