"""The commands that start, show and end jobs: scan, phash, jobs, job, cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mediawatchd.cli import following, joblines
from mediawatchd.control.client import paths_field
from mediawatchd.errors import Refused

if TYPE_CHECKING:
    import argparse

    from mediawatchd.cli.console import Console

    Json = dict[str, Any]

FAILED = 1
WITH_ERRORS = 6
INTERRUPTED = 130


def scan(console: Console, arguments: argparse.Namespace) -> int:
    """Starts a scan, or joins the one that runs already when waiting was asked for."""
    return _start(console, arguments, "scan", "/api/scan", {})


def phash(console: Console, arguments: argparse.Namespace) -> int:
    """Starts a phash job, or joins the one that runs already when waiting was asked for."""
    return _start(console, arguments, "phash", "/api/hash", {"force": True} if arguments.force else {})


def _start(console: Console, arguments: argparse.Namespace, kind: str, call: str, body: Json) -> int:
    if arguments.paths:
        body = {**body, **paths_field("scan_dirs", arguments.paths)}
    try:
        started = console.client.post(call, body)
    except Refused as refusal:
        running = _running_job(refusal)
        if running is None:
            raise
        if not arguments.wait:
            return _already_running(console, refusal, kind, running)
        console.say(f"mediawatchctl: {kind} {running} is running already; waiting for that one")
        return _wait(console, running)
    if arguments.wait:
        return _wait(console, started["job"])
    if console.as_json:
        console.document(started)
    else:
        console.out.line(f"{kind} {started['job']} started")
        console.say(f"`{console.command('job', str(started['job']), '--wait')}` waits for its end")
    return 0


def jobs(console: Console, arguments: argparse.Namespace) -> int:
    """Lists jobs, newest first."""
    found = console.client.items("/api/jobs", {}, limit=arguments.limit or None)
    if console.as_json:
        for job in found:
            console.item(job)
        return 0
    lines = joblines.table(found, console.out)
    for line in lines:
        console.out.line(line)
    if not lines:
        console.say("no jobs yet")
    return 0


def job(console: Console, arguments: argparse.Namespace) -> int:
    """Shows a job, or waits for its end."""
    if arguments.wait:
        return _wait(console, arguments.id)
    _show(console, console.client.get(f"/api/jobs/{arguments.id}"))
    return 0


def cancel(console: Console, arguments: argparse.Namespace) -> int:
    """Asks a job to end."""
    answer = console.client.post(f"/api/jobs/{arguments.id}/cancel")
    if console.as_json:
        console.document(answer)
    else:
        console.out.line(f"job {arguments.id} is stopping")
    return 0


def _wait(console: Console, job_id: int) -> int:
    try:
        ended = following.wait_finished(console, job_id)
    except KeyboardInterrupt:
        again, end = console.command("job", str(job_id), "--wait"), console.command("cancel", str(job_id))
        if console.err.is_terminal:
            console.say("")  # below the ^C
        console.say(f"detached; job {job_id} goes on. `{again}` attaches again, `{end}` ends it.")
        return INTERRUPTED
    if console.as_json:
        console.document(ended)
    else:
        console.out.line(joblines.summary(ended, console.out))
    if ended.get("state") != "done":
        return FAILED
    if not ended.get("failed"):
        return 0
    console.say(f"`{console.command('files', '--problem')}` lists the files that could not be processed")
    return WITH_ERRORS


def _show(console: Console, shown: Json) -> None:
    if console.as_json:
        console.document(shown)
        return
    for line in joblines.page(shown, console.out):
        console.out.line(line)


def _running_job(refusal: Refused) -> int | None:
    """The job in whose way a new one would be; None when the refusal is about something else."""
    running = refusal.detail.get("job")
    return running if refusal.status == 409 and isinstance(running, int) else None


def _already_running(console: Console, refusal: Refused, kind: str, running: int) -> int:
    progress = refusal.detail.get("progress")
    shown = {"id": running, "kind": kind, "state": "running", **(progress if isinstance(progress, dict) else {})}
    if console.as_json:
        console.document({"error": str(refusal), "code": refusal.code, **refusal.detail})
    else:
        console.out.line(joblines.progress(shown, console.out))
    console.say(f"mediawatchctl: {kind} {running} is running already")
    console.say(f"hint: `{console.command('job', str(running), '--wait')}` waits for its end")
    return FAILED
