"""Whether each long-lived thread still loops, so that systemd restarts a daemon that hangs, and only that one.

A thread beats once a round and declares when it waits for work. Nothing here wakes anything up: a thread that is
blocked in a declared wait counts as alive for as long as it lasts, and who wants to know asks `stuck`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Pulse(NamedTuple):
    """One thread at one moment. `silent_seconds` is 0 in a wait; `tolerated` as given to `Heartbeats.register`."""

    name: str
    silent_seconds: float
    idle: bool
    tolerated: bool


class Heartbeat:
    """Belongs to the thread that it is named after; only that thread beats. Others see it through `Heartbeats`."""

    def __init__(self, *, name: str, tolerated: bool, clock: Callable[[], float]) -> None:
        self.name = name
        self.tolerated = tolerated
        self._clock = clock
        # One attribute, so that readers need no lock: the time of the last beat, None in a wait.
        self._beaten_at: float | None = clock()

    def beat(self) -> None:
        """One more round is done. Costs less than a microsecond and never blocks."""
        self._beaten_at = self._clock()

    @contextlib.contextmanager
    def idle(self) -> Iterator[None]:
        """Around a wait for work that may last for ever. A thread that dies in it is silent from then on."""
        self._beaten_at = None
        try:
            yield
        finally:
            self.beat()

    def pulse(self, now: float) -> Pulse:
        """How long it has been silent at `now`, on the clock it was made with."""
        beaten_at = self._beaten_at
        silent_seconds = 0.0 if beaten_at is None else max(0.0, now - beaten_at)
        return Pulse(self.name, silent_seconds, beaten_at is None, self.tolerated)


class Heartbeats:
    """Shared by all threads. The lock guards which heartbeats there are; each beats without it."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._heartbeats: dict[str, Heartbeat] = {}

    def register(self, name: str, *, tolerated: bool = False) -> Heartbeat:
        """A heartbeat for a thread about to start; the time until its first beat counts.

        `tolerated` threads may hang on a dead disk: that is degraded, not a reason to restart the daemon.
        Raises ValueError when the name is in use.
        """
        heartbeat = Heartbeat(name=name, tolerated=tolerated, clock=self._clock)
        with self._lock:
            if name in self._heartbeats:
                raise ValueError(f"a thread named {name} has a heartbeat already")
            self._heartbeats[name] = heartbeat
        return heartbeat

    def retire(self, heartbeat: Heartbeat) -> None:
        """Its thread ended as planned. One that ends without this becomes stuck, which is meant."""
        with self._lock:
            if self._heartbeats.get(heartbeat.name) is heartbeat:
                del self._heartbeats[heartbeat.name]

    def statistics(self, now: float) -> tuple[Pulse, ...]:
        """Every thread as it is at `now`, by name."""
        with self._lock:
            heartbeats = sorted(self._heartbeats.items())
        return tuple(heartbeat.pulse(now) for _, heartbeat in heartbeats)

    def stuck(self, now: float, limit_seconds: float) -> tuple[Pulse, ...]:
        """The busy threads that have been silent for longer than the limit.

        WATCHDOG=1 is withheld while one of them is not `tolerated`.
        """
        return tuple(pulse for pulse in self.statistics(now) if pulse.silent_seconds > limit_seconds)
