"""The commands that show the daemon itself: status and version."""

from __future__ import annotations

import time

import mediawatchd
from mediawatchd.cli import joblines, quantities
from mediawatchd.cli.paragraphs import paragraph
from mediawatchd.cli.tables import Cell, Column, Table
from mediawatchd.control.client import NotRunning, raw_path, raw_paths

TYPE_CHECKING = False  # as typing has it; importing that costs 5 ms of the 80
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import Any

    from mediawatchd.cli.console import Console
    from mediawatchd.cli.screen import Screen

    Json = dict[str, Any]

_STATES = {"online": "green", "offline": "yellow", "replaced": "red", "error": "red"}
_WATCHES = {"degraded": "yellow"}


def status(console: Console, _arguments: argparse.Namespace) -> int:
    """Shows what the daemon is doing."""
    answer = console.client.get("/api/status")
    if console.as_json:
        console.document(answer)
        return 0
    for line in page(answer, console.out, now_seconds=time.time()):
        console.out.line(line)
    return 0


def version(console: Console, _arguments: argparse.Namespace) -> int:
    """Shows both versions; without a daemon its own, and then says that there is none."""
    own = mediawatchd.__version__
    try:
        daemon = console.client.get("/api/version")
    except NotRunning:
        if console.as_json:
            console.document({"mediawatchctl": own, "mediawatchd": None})
        else:
            console.out.line(f"mediawatchctl {own}")
        raise
    if console.as_json:
        console.document({"mediawatchctl": own, "mediawatchd": daemon.get("version"), "daemon": daemon})
    else:
        console.out.line(f"mediawatchctl {own}")
        console.out.line(f"mediawatchd   {console.out.shown(str(daemon.get('version', '-')))}")
    return 0


def page(answer: Json, screen: Screen, *, now_seconds: float) -> list[str]:
    """The status as a person reads it: first what the daemon does, then each root, then totals and jobs."""
    parts = [
        screen.painted(f"mediawatchd {screen.shown(str(answer.get('version', '-')))}", "bold"),
        str(answer.get("state", "-")),
        f"up {quantities.length(answer.get('uptime_seconds'))}",
    ]
    if answer.get("degraded"):
        parts.append(screen.painted("degraded", "yellow"))
    lines = ["  ".join(parts), ""]
    roots = answer.get("roots") or []
    lines += _roots(roots, screen, now_seconds) if roots else ["no roots: `scan_dirs` of the configuration is empty"]
    lines += ["", *_totals(answer, screen)]
    if jobs := answer.get("jobs"):
        lines += ["", *(joblines.progress(job, screen) for job in jobs)]
    return lines


def _roots(roots: list[Json], screen: Screen, now_seconds: float) -> list[str]:
    layout = Table(
        Column("ROOT", cut=True),
        Column("STATE"),
        Column("WATCH"),
        Column("FILES", right=True),
        Column("SIZE", right=True),
        Column("LAST WALK", right=True),
        screen=screen,
    )
    rows = layout.lines(_row(root, screen, now_seconds) for root in roots)
    lines = [layout.heading()]
    for row, root in zip(rows, roots, strict=True):
        lines.append(row)
        for note, style in _notes(root, screen, now_seconds):
            lines += paragraph(note, screen, first="    ", style=style)
    return lines


def _row(root: Json, screen: Screen, now_seconds: float) -> list[Cell]:
    state, watch = str(root.get("state", "-")), str(root.get("watch") or "-")
    walked = quantities.unix_seconds(root.get("last_reconcile"))
    return [
        Cell(screen.shown(raw_path(root, "path"))),
        Cell(screen.shown(state), _STATES.get(state, "")),
        Cell(screen.shown(watch), _WATCHES.get(watch, "")) if state == "online" else Cell("-"),
        Cell(quantities.count(root.get("files"))),
        Cell(quantities.size(root.get("bytes"))),
        Cell("never" if walked is None else quantities.age(now_seconds - walked)),
    ]


def _notes(root: Json, screen: Screen, now_seconds: float) -> Iterator[tuple[str, str]]:
    """What is not as it should be with a root, since when, what comes next and what to try; each with its style."""
    is_online = root.get("state") == "online"
    if root.get("message"):
        yield screen.shown(root["message"]), "yellow"
        since = quantities.unix_seconds(root.get("since" if not is_online else "watch_since"))
        again = quantities.unix_seconds(root.get("next_attempt" if not is_online else "next_walk"))
        times = [f"since {quantities.date(since)}"] if since is not None else []
        if again is not None:
            what = "walked" if is_online else "looked at"
            times.append(f"{what} again {quantities.soon(again - now_seconds)}")
        if times:
            yield ", ".join(times), ""
    if root.get("hint"):
        yield f"try: {screen.shown(root['hint'])}", ""
    if root.get("unwatched_directories"):
        unwatched = quantities.counted(root["unwatched_directories"], "directory", "directories")
        yield f"{unwatched} not watched; walks find what changes there", ""
    if root.get("unreadable"):
        yield from _unreadable(root, screen, now_seconds)
    for place in raw_paths(root, "away"):
        yield f"a disk below it is away: {screen.shown(place)}", "yellow"
    if is_online and root.get("events_reliable") is False:
        walk = quantities.unix_seconds(root.get("next_walk"))
        when = "" if walk is None else f", {quantities.soon(walk - now_seconds)}"
        yield f"changes made elsewhere are found by the next walk{when}", ""
    if root.get("held"):
        yield f"{quantities.counted(root['held'], 'file')} held: absent, but too many at once to believe it", "yellow"
    if root.get("missing"):
        yield f"{quantities.counted(root['missing'], 'file')} missing", ""


def _unreadable(root: Json, screen: Screen, now_seconds: float) -> Iterator[tuple[str, str]]:
    first, count = root["unreadable"][0], root.get("unreadable_directories") or 1
    folders = quantities.counted(count, "folder cannot be read", "folders cannot be read")
    name = screen.shown(raw_path(first, "path"))
    yield f"{folders}: {name}: {screen.shown(str(first.get('reason')))}", "yellow"
    since, again = (quantities.unix_seconds(first.get(field)) for field in ("since", "next_attempt"))
    times = [f"since {quantities.date(since)}"] if since is not None else []
    times += [f"walked again {quantities.soon(again - now_seconds)}"] if again is not None else []
    if times:
        yield ", ".join(times), ""


def _totals(answer: Json, screen: Screen) -> list[str]:
    catalog, queue = answer.get("catalog") or {}, answer.get("queue") or {}
    count, counted = quantities.count, quantities.counted

    def number(name: str) -> int:
        return catalog.get(name) or 0

    contents = f"{counted(number('videos'), 'video')}, {count(number('audio'))} audio"
    quick = f"{count(number('quick_hashed'))} quick{_waiting(number('pending_quick_hash'))}"
    perceptual = f"{count(number('phashed'))} perceptual{_waiting(number('pending_phash'))}"
    lines = [
        f"catalog    {counted(number('files'), 'file')}, {quantities.size(number('bytes'))}: {contents}",
        f"hashes     {quick}, {perceptual}",
    ]
    if number("missing") or number("problems"):
        attention = f"{count(number('missing'))} missing, {counted(number('problems'), 'problem')}"
        lines.append(f"attention  {screen.painted(attention, 'yellow')}")
    queued = f"{count(queue.get('length') or 0)} of {count(queue.get('capacity'))}"
    lines.append(f"queue      {queued}, {count(answer.get('settling') or 0)} settling")
    return lines


def _waiting(number: int) -> str:
    return f" ({quantities.count(number)} to do)" if number else ""
