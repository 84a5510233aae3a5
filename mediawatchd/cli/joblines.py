"""Jobs as text: a line of progress, a summary, a table, a page. Pure functions over a job of the API."""

from __future__ import annotations

from collections import deque

from mediawatchd.cli import quantities
from mediawatchd.cli.screen import columns
from mediawatchd.cli.tables import Cell, Column, Table
from mediawatchd.control.client import raw_path, raw_paths

TYPE_CHECKING = False  # as typing has it; importing that costs 5 ms of the 80
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from mediawatchd.cli.screen import Screen

    Json = dict[str, Any]

FINISHED = frozenset({"done", "failed", "cancelled"})
_STYLES = {"done": "green", "failed": "red", "cancelled": "yellow", "running": "bold", "stopping": "yellow"}


class Rate:
    """Files a second over the last ten looks that saw a job get on; owned by the thread that looks.

    A job of films gets on every few seconds, one over a large library is counted as seldom.
    """

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque(maxlen=10)

    def after(self, now_seconds: float, processed: int) -> float | None:
        """Takes one more look into account; None until there are two that differ in time."""
        if self._looks and processed < self._looks[-1][1]:
            self._looks.clear()  # the daemon came back, and counts anew
        if not self._looks or processed > self._looks[-1][1]:
            self._looks.append((now_seconds, processed))
        first_seconds, first = self._looks[0]
        return (processed - first) / (now_seconds - first_seconds) if now_seconds > first_seconds else None


def name(job: Json) -> str:
    """What a person calls the job: `scan 12`."""
    return f"{job.get('kind', 'job')} {job.get('id', '?')}"


def done_of_total(job: Json) -> str:
    """`1,204 of 58,233 files`; the total is known only once the walk has ended."""
    processed, total = job.get("processed") or 0, job.get("total")
    if total is None:
        return f"{quantities.counted(processed, 'file')} so far"
    return f"{processed:,} of {quantities.counted(total, 'file')}"


def numbers(job: Json, *, rate: float | None) -> str:
    """How far the job is: done, share, rate, time left, as far as they are known."""
    parts = [done_of_total(job)]
    if job.get("percent") is not None:
        parts.append(quantities.percent(job["percent"]))
    if rate is not None:
        parts.append(quantities.rate(rate))
    if job.get("eta_seconds") is not None:
        parts.append(f"{quantities.length(job['eta_seconds'])} left")
    if job.get("state") != "running":
        parts.append(str(job.get("state")))
    return ", ".join(parts)


def progress(job: Json, screen: Screen, *, rate: float | None = None) -> str:
    """One line on how far the job is; of the current file as much as fits."""
    line = f"{name(job)}: {numbers(job, rate=rate)}"
    current = raw_path(job, "current_file")
    if not current:
        return line
    line += ", at "
    shown = screen.shown(current)
    return line + (shown if screen.width is None else screen.end_of(shown, screen.width - columns(line)))


def summary(job: Json, screen: Screen) -> str:
    """One line on how the job ended."""
    parts = [done_of_total(job), _results(job)]
    if (took := _took_seconds(job)) is not None:
        parts.append(f"in {quantities.length(took)}")
    error = f": {screen.shown(job['error'])}" if job.get("error") else ""
    state = screen.painted(str(job.get("state")), _STYLES.get(str(job.get("state")), ""))
    return f"{name(job)} {state}: {', '.join(parts)}{error}"


def page(job: Json, screen: Screen) -> list[str]:
    """All there is to say of one job."""
    state = str(job.get("state"))
    lines = [f"{screen.painted(name(job), 'bold')}: {screen.painted(state, _STYLES.get(state, ''))}"]

    def add(label: str, text: str) -> None:
        lines.append(f"  {label:<11}{text}")

    add("scope", scope(job, screen))
    share = f" ({quantities.percent(job['percent'])})" if job.get("percent") is not None else ""
    read = f", {quantities.size(job['bytes_done'])} read" if job.get("bytes_done") else ""
    add("processed", done_of_total(job) + share + read)
    add("results", _results(job))
    if job.get("eta_seconds") is not None:
        add("left", quantities.length(job["eta_seconds"]))
    if (current := raw_path(job, "current_file")) is not None:
        add("at", screen.shown(current))
    add("started", quantities.date(job.get("started")))
    if job.get("finished") is not None:
        add("finished", f"{quantities.date(job['finished'])}, after {quantities.length(_took_seconds(job))}")
    if job.get("error"):
        add("error", screen.painted(screen.shown(job["error"]), "red"))
    return lines


def table(jobs: Iterable[Json], screen: Screen) -> list[str]:
    """A heading and a line for each job; nothing at all for no jobs."""
    layout = Table(
        Column("JOB", right=True),
        Column("KIND"),
        Column("STATE"),
        Column("FILES", right=True),
        Column("DONE", right=True),
        Column("FAILED", right=True),
        Column("LEFT", right=True),
        Column("STARTED"),
        Column("SCOPE", cut=True),
        screen=screen,
    )
    lines = layout.lines(_row(job, screen) for job in jobs)
    return [layout.heading(), *lines] if lines else []


def scope(job: Json, screen: Screen) -> str:
    """The folders of a job."""
    return ", ".join(screen.shown(path) for path in raw_paths(job, "scope")) or "all roots"


def _row(job: Json, screen: Screen) -> list[Cell]:
    state, failed = str(job.get("state")), job.get("failed") or 0
    return [
        Cell(str(job.get("id", "?"))),
        Cell(str(job.get("kind"))),
        Cell(state, _STYLES.get(state, "")),
        Cell(quantities.count(job.get("processed"))),
        Cell(quantities.percent(job.get("percent"))),
        Cell(quantities.count(failed), "red" if failed else ""),
        Cell(quantities.length(job.get("eta_seconds"))),
        Cell(quantities.date(job.get("started"))),
        Cell(scope(job, screen)),
    ]


def _results(job: Json) -> str:
    return ", ".join(f"{quantities.count(job.get(field) or 0)} {field}" for field in ("written", "skipped", "failed"))


def _took_seconds(job: Json) -> float | None:
    started, finished = quantities.unix_seconds(job.get("started")), quantities.unix_seconds(job.get("finished"))
    return None if started is None or finished is None else finished - started
