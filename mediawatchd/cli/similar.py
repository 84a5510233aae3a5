"""The commands about similar videos: similar, dismiss and undismiss. They propose, and never delete."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from mediawatchd.cli import quantities
from mediawatchd.cli.copies import Shown, file_lines, hard_links
from mediawatchd.control.client import path_field, raw_path

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from mediawatchd.cli.console import Console
    from mediawatchd.cli.screen import Screen

    Json = dict[str, Any]

ON_A_TERMINAL = 100
SILENCE_SECONDS = 120.0
"""Grouping a million pairs takes the daemon a while before the first comes."""
_BITS = 256


def similar(console: Console, arguments: argparse.Namespace) -> int:
    """Lists pairs or groups of similar videos."""
    fields: dict[str, str | int] = {} if arguments.path is None else dict(path_field("path", arguments.path))
    if arguments.threshold is not None:
        fields["threshold"] = arguments.threshold
    for name in ("groups", "dismissed"):
        if getattr(arguments, name):
            fields[name] = "true"
    with closing(console.client.lines("/api/similar", fields, silence_seconds=SILENCE_SECONDS)) as found:
        if console.as_json:
            for item in found:
                console.item(item)
            return 0
        most = shown_at_most(console, arguments)
        printed = _print_groups if arguments.groups else _print_dismissed if arguments.dismissed else _print_pairs
        printed(console, found, most)
    return 0


def dismiss(console: Console, arguments: argparse.Namespace) -> int:
    """Remembers that two files are no copies of each other."""
    return _judge(
        console, arguments, "dismiss", "dismissed: they are no longer shown as similar", "they were dismissed already"
    )


def undismiss(console: Console, arguments: argparse.Namespace) -> int:
    """Takes that back."""
    return _judge(
        console, arguments, "undismiss", "taken back: they are shown if they are similar", "they were not dismissed"
    )


def shown_at_most(console: Console, arguments: argparse.Namespace) -> int | None:
    """How many entries are printed: all that were asked for, on a terminal the first ones."""
    limit: int | None = arguments.limit
    return ON_A_TERMINAL if limit is None and console.out.is_terminal else limit or None


def _judge(console: Console, arguments: argparse.Namespace, call: str, done: str, known: str) -> int:
    body = {**path_field("a", arguments.a), **path_field("b", arguments.b)}
    answer = console.client.post(f"/api/similar/{call}", body)
    if console.as_json:
        console.document(answer)
    else:
        console.out.line(done if answer.get("changed") else f"nothing changed: {known}")
    return 0


def _print_pairs(console: Console, found: Iterator[Json], most: int | None) -> None:
    """Pairs of exact copies are left out: they would outnumber all others, and `duplicates` groups them."""
    out, count, exact = console.out, 0, 0
    freed: dict[bytes | None, int] = {}
    for pair in found:
        if pair.get("same_bytes"):
            exact += 1
            continue
        count += 1
        other = "b" if raw_path(pair, "keep") == raw_path(pair, "a") else "a"
        freed[raw_path(pair, other)] = pair.get("reclaimable_bytes") or 0
        if most is None or count <= most:
            _print(out, _pair_lines(pair, out))
    if count:
        say_cut(console, count, most)
        size = quantities.size(sum(freed.values()))
        out.line(f"{quantities.counted(count, 'pair')}; up to {size} could be reclaimed")
        console.say(f"`{console.command('similar', '--groups')}` says which to keep of several")
        console.say(f"`{console.command('dismiss', 'A', 'B')}` hides a pair that is none")
    elif not exact:
        console.say(_why_none(console))
    if exact:
        command = console.command("duplicates")
        console.say(f"{quantities.counted(exact, 'pair')} of exact copies not shown: `{command}` groups them")


def _print_dismissed(console: Console, found: Iterator[Json], most: int | None) -> None:
    count = 0
    for count, pair in enumerate(found, 1):
        if most is None or count <= most:
            _print(console.out, _dismissed_lines(pair, console.out))
    say_cut(console, count, most)
    if not count:
        console.say("no pairs were dismissed")


def _print_groups(console: Console, found: Iterator[Json], most: int | None) -> None:
    out, count, videos, freed = console.out, 0, 0, 0
    for count, group in enumerate(found, 1):
        videos += len(group.get("paths") or [])
        freed += group.get("reclaimable_bytes") or 0
        if most is None or count <= most:
            _print(out, _group_lines(group, out))
    if not count:
        console.say(_why_none(console))
        return
    say_cut(console, count, most)
    counted = f"{quantities.counted(count, 'group')} of {quantities.counted(videos, 'video')}"
    out.line(f"{counted}; {quantities.size(freed)} could be reclaimed")


def _print(screen: Screen, lines: Iterator[str]) -> None:
    for line in lines:
        screen.line(line)
    screen.line()


def _pair_lines(pair: Json, screen: Screen) -> Iterator[str]:
    freed = quantities.size(pair.get("reclaimable_bytes"))
    evidence = _evidence(pair, f" of {_BITS} bits apart in {pair.get('matched_frames')} frames")
    yield f"{screen.painted(screen.shown(pair.get('verdict')), 'bold')}, would free {freed}; {evidence}"
    kept = raw_path(pair, "keep")
    shown = []
    for number, file in enumerate(pair.get("files") or []):
        is_kept = raw_path(file, "path") == kept
        remark = screen.shown(pair.get("keep_reason")) if is_kept else ""
        if number == 0 and pair.get("verdict") == "contained":
            remark = f"from {quantities.length(max(0.0, pair.get('offset_seconds') or 0.0))} on in the other"
        shown.append(Shown("keep" if is_kept else "", file, remark))
    yield from file_lines(sorted(shown, key=lambda each: each.mark != "keep"), screen)


def _dismissed_lines(pair: Json, screen: Screen) -> Iterator[str]:
    verdict = f"alike: {screen.shown(pair['verdict'])}, {_evidence(pair)}" if pair.get("verdict") else "not alike"
    yield f"dismissed {quantities.date(pair.get('dismissed_at'))}; {verdict}"
    yield from file_lines([Shown("", file) for file in pair.get("files") or []], screen)


def _group_lines(group: Json, screen: Screen) -> Iterator[str]:
    files = group.get("files") or []
    freed = quantities.size(group.get("reclaimable_bytes"))
    yield f"{screen.painted(quantities.counted(len(files), 'video'), 'bold')}, would free {freed}"
    kept = raw_path(group, "keep")
    linked = {path for paths in hard_links(group) for path in paths}
    shown = []
    for file in files:
        path = raw_path(file, "path")
        words = [screen.shown(group.get("keep_reason"))] if path == kept else []
        if path != kept and file.get("verdict"):
            words = ["same bytes"] if file.get("same_bytes") else [screen.shown(file["verdict"]), _evidence(file)]
        if path in linked:
            words.append("hard link")
        shown.append(Shown("keep" if path == kept else "", file, ", ".join(words)))
    yield from file_lines(shown, screen)


def _evidence(item: Json, unit: str = "") -> str:
    """What the verdict rests on."""
    distance = f"{item.get('distance') or 0:.0f}"
    words = [distance + (unit or (" bit" if distance == "1" else " bits"))]
    return ", ".join(words + [name for name in ("mirrored", "cropped") if item.get(name)])


def say_cut(console: Console, count: int, most: int | None) -> None:
    if most is not None and count > most:
        console.say(f"the first {most:,} of {count:,} are shown; --limit 0 shows all")


def _why_none(console: Console) -> str:
    """Nothing similar may mean that nothing was looked at."""
    catalog = console.client.get("/api/status").get("catalog") or {}
    if not catalog.get("phashed"):
        return f"no video was hashed for this yet: `{console.command('phash')}` does it"
    if catalog.get("pending_match"):
        return f"none yet: {quantities.counted(catalog['pending_match'], 'video')} still to be compared"
    return "no similar videos"
