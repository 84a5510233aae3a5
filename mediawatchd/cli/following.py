"""Waiting for a job, with its progress on standard error.

The wait is a chain of short long-polls, so neither a time-out of one nor a daemon that has no room for another
ends it. A daemon that goes away is waited for: it takes its running jobs up again when it comes back.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

from mediawatchd.cli import joblines
from mediawatchd.control.client import Disconnected, NoAnswer, NotRunning
from mediawatchd.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediawatchd.cli.console import Console
    from mediawatchd.cli.screen import Screen
    from mediawatchd.control.client import Client

    Json = dict[str, Any]

PATIENCE_SECONDS = 60.0
"""How long a daemon that went away is waited for; a restart takes a few seconds."""
_GAP_SECONDS = 5.0
_LONGEST_GAP_SECONDS = 60.0


class Progress(Protocol):
    """Shows how far a job is."""

    def update(self, job: Json) -> None: ...
    def note(self, message: str) -> None: ...
    def close(self) -> None: ...


class Lines:
    """Progress for logs and pipes: a line every 5 s, less often the longer it takes, at least one a minute."""

    def __init__(self, *, screen: Screen, clock: Callable[[], float] = time.monotonic) -> None:
        self._screen = screen
        self._clock = clock
        self._rate = joblines.Rate()
        self._began = clock()
        self._next = self._began

    def update(self, job: Json) -> None:
        now = self._clock()
        rate = self._rate.after(now, job.get("processed") or 0)
        if now < self._next or job.get("state") in joblines.FINISHED:
            return
        self._next = now + min(_LONGEST_GAP_SECONDS, max(_GAP_SECONDS, (now - self._began) / 10))
        self.note(joblines.progress(job, self._screen, rate=rate))

    def note(self, message: str) -> None:
        self._screen.line(message)
        self._screen.flush()

    def close(self) -> None:
        """Nothing to tidy up."""


class Follower:
    """Waits for one job; owned by the thread that waits."""

    def __init__(
        self,
        *,
        client: Client,
        job_id: int,
        look_seconds: int,
        patience_seconds: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._path = f"/api/jobs/{job_id}"
        self._look_seconds = look_seconds
        self._patience_seconds = patience_seconds
        self._clock = clock
        self._sleep = sleep

    def wait_finished(self, progress: Progress) -> Json:
        """Blocks until the job has ended, and returns it.

        Raises what the client raises: at once for the first look, later only when the daemon stayed away.
        """
        job = self._client.get(self._path)
        progress.update(job)
        away_since: float | None = None
        while job.get("state") not in joblines.FINISHED:
            try:
                job = self._next_look()
            except (NotRunning, Disconnected, NoAnswer, Refused) as error:
                if isinstance(error, Refused) and error.status != 503:
                    raise
                if away_since is None:
                    away_since = self._clock()
                    progress.note(f"the daemon went away; waiting up to {self._patience_seconds:.0f} s for its return")
                elif self._clock() - away_since > self._patience_seconds:
                    raise
                self._sleep(0.5)
                continue
            if away_since is not None:
                away_since = None
                progress.note("the daemon is back; the job goes on")
            progress.update(job)
        return job

    def _next_look(self) -> Json:
        """The job as soon as it has ended, or as it is after `look_seconds`."""
        silence_seconds = self._look_seconds + 30.0
        try:
            return self._client.get(
                f"{self._path}/wait", {"timeout": self._look_seconds}, silence_seconds=silence_seconds
            )
        except Refused as refusal:
            if refusal.status not in {503, 504}:
                raise
            if refusal.status == 503:  # no room for one more that waits: look now and then instead
                self._sleep(self._look_seconds)
        return self._client.get(self._path)


def wait_finished(console: Console, job_id: int) -> Json:
    """Blocks until the job has ended, showing progress as the terminal allows. Raises what the client raises."""
    progress = _progress(console.err)
    follower = Follower(client=console.client, job_id=job_id, look_seconds=1 if console.err.can_redraw else 5)
    try:
        return follower.wait_finished(progress)
    finally:
        progress.close()


def _progress(screen: Screen) -> Progress:
    if not screen.can_redraw:
        return Lines(screen=screen)
    from mediawatchd.cli.bar import Bar  # noqa: PLC0415 - rich costs more than all the rest, and only a terminal needs it

    return Bar(screen=screen)
