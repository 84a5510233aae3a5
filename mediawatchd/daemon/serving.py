"""What the main thread does while the daemon serves: it waits for signals, lets systemd know that all is well, and
does what is due. A thread that dies ends the daemon with its cause.
"""

from __future__ import annotations

import logging
import math
import queue
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from mediawatchd.daemon.condition import STUCK_SECONDS
from mediawatchd.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediawatchd.telemetry.heartbeat import Heartbeats
    from mediawatchd.telemetry.systemd import Systemd

log = logging.getLogger(__name__)

HOUSEKEEPING_SECONDS = 3600.0
STATUS_SECONDS = 1.0
LOOK_SECONDS = 30.0
"""How often the main thread looks whether threads are stuck when nothing else wakes it."""


class Serving:
    """Owned by the main thread; `progressed` and `is_healthy` may be called by any.

    `tell_status` shows the line of systemd and says whether it is about to change by itself; `keep_house` is called
    once an hour, `look` each time round, `reload` when SIGHUP comes.
    """

    def __init__(
        self,
        *,
        systemd: Systemd,
        heartbeats: Heartbeats,
        tells_status: bool,
        tell_status: Callable[[], bool],
        keep_house: Callable[[], None],
        look: Callable[[], None],
        reload: Callable[[], None],
    ) -> None:
        self._systemd = systemd
        self._heartbeats = heartbeats
        self._tells_status = tells_status
        self._tell_status = tell_status
        self._keep_house = keep_house
        self._look = look
        self._reload = reload
        self._wake: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._death: str | None = None
        self._stuck: list[str] = []
        self._housekeeping_due = time.monotonic() + HOUSEKEEPING_SECONDS
        self._status_due = 0.0 if tells_status else math.inf
        self._progressed = False

    def listen_to_deaths(self) -> None:
        threading.excepthook = self._thread_died

    def listen_to(self, *signals: signal.Signals) -> None:
        for number in signals:
            signal.signal(number, lambda number, _frame: self._wake.put(signal.Signals(number).name))

    def progressed(self) -> None:
        """Something was committed: the line of systemd may be another. Never blocks."""
        if self._tells_status and not self._progressed:
            self._progressed = True
            self._wake.put("progress")

    def is_healthy(self) -> bool:
        stuck = self._heartbeats.stuck(time.monotonic(), STUCK_SECONDS)
        return self._death is None and all(pulse.tolerated for pulse in stuck)

    def run(self) -> int:
        """Serve until a signal or a death; returns the exit status."""
        watchdog_seconds = self._systemd.watchdog_interval_seconds()
        while True:
            self.look_after(watchdog_seconds)
            due = min(self._housekeeping_due, self._status_due, time.monotonic() + LOOK_SECONDS) - time.monotonic()
            try:
                what = self._wake.get(timeout=max(0.0, min(due, watchdog_seconds or due)))
            except queue.Empty:
                continue
            if what in {"SIGTERM", "SIGINT"}:
                log.info("Stopping signal=%s", what)
                return 0
            if what == "SIGHUP":
                self._apply_configuration()
            if what == "progress":
                self._status_due = min(self._status_due, time.monotonic() + STATUS_SECONDS)
            if what == "death":
                log.critical("A thread died, the daemon ends cause=%s", self._death)
                return 1

    def look_after(self, watchdog_seconds: float | None) -> None:
        """One turn: see whether threads are stuck, tell systemd, and do what is due."""
        stuck = [pulse.name for pulse in self._heartbeats.stuck(time.monotonic(), STUCK_SECONDS) if not pulse.tolerated]
        if stuck and stuck != self._stuck:
            log.error("Threads are stuck threads=%s", ",".join(stuck))
        self._stuck = stuck
        self._look()
        if not stuck and watchdog_seconds is not None:
            self._systemd.watchdog()
        if time.monotonic() >= self._status_due:
            self._progressed = False  # before looking: what is committed from here on wakes this thread again
            is_busy = self._tell_status()
            # What nothing is committed for, such as a watcher that fails, is told with the next ping.
            self._status_due = time.monotonic() + (STATUS_SECONDS if is_busy else watchdog_seconds or math.inf)
        if time.monotonic() >= self._housekeeping_due:
            self._housekeeping_due = time.monotonic() + HOUSEKEEPING_SECONDS
            self._keep_house()

    def _apply_configuration(self) -> None:
        try:
            self._reload()
        except Refused as refusal:
            log.error("The configuration was not applied, the old one stays reason=%s", refusal)

    def _thread_died(self, died: Any) -> None:
        name = died.thread.name if died.thread else "?"
        self._death = f"{name}: {died.exc_value!r}"
        log.critical("A thread died thread=%s", name, exc_info=(died.exc_type, died.exc_value, died.exc_traceback))
        self._wake.put("death")
