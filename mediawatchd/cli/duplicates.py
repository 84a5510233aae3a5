"""The command about exact copies: duplicates. It proposes, and never deletes."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from mediawatchd.cli import quantities
from mediawatchd.cli.copies import hard_links
from mediawatchd.cli.similar import SILENCE_SECONDS, say_cut, shown_at_most
from mediawatchd.control.client import path_field, raw_path, raw_paths
from mediawatchd.errors import Refused

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from mediawatchd.cli.console import Console
    from mediawatchd.cli.screen import Screen

    Json = dict[str, Any]

_LONGEST_COMPARISON_SECONDS = 7 * 86_400.0
"""Large files on a slow disk; whoever waits can end it with Ctrl-C."""


def duplicates(console: Console, arguments: argparse.Namespace) -> int:
    """Lists groups of files with the same content; with `--verify` their bytes are compared first."""
    fields = {} if arguments.path is None else path_field("under", arguments.path)
    most = None if console.as_json else shown_at_most(console, arguments)
    count, copies, freed, verified = 0, 0, 0, 0
    with closing(console.client.lines("/api/duplicates", fields, silence_seconds=SILENCE_SECONDS)) as listed:
        for group in _compared(console, listed) if arguments.verify else listed:
            if console.as_json:
                console.item(group)
                continue
            count += 1
            copies += len(group.get("paths") or [])
            freed += group.get("reclaimable_bytes") or 0
            verified += bool(group.get("verified"))
            if most is None or count <= most:
                for line in _lines(group, console.out):
                    console.out.line(line)
                console.out.line()
    if console.as_json:
        return 0
    if not count:
        console.say("no duplicates")
        return 0
    say_cut(console, count, most)
    console.out.line(
        f"{quantities.counted(count, 'group')} of {quantities.counted(copies, 'path')};"
        f" {quantities.size(freed)} could be reclaimed; {verified:,} of {count:,} compared byte for byte"
    )
    if verified < count and not arguments.verify:
        console.say(f"`{console.command('duplicates', '--verify')}` compares the others before you delete anything")
    return 0


def _compared(console: Console, listed: Iterator[Json]) -> Iterator[Json]:
    """The groups as they are once their bytes were compared. Those that were are not read again."""
    groups = list(listed)  # the list must not stand still for as long as files are read
    waiting = sum(not group.get("verified") for group in groups)
    done = 0
    for group in groups:
        if group.get("verified"):
            yield group
            continue
        done += 1
        size = quantities.size(group.get("file_size"))
        console.say(
            f"comparing {done:,} of {waiting:,}: {quantities.counted(len(group.get('paths') or []), 'path')} of {size}"
        )
        key = {"file_size": group.get("file_size"), "quick_hash": group.get("quick_hash")}
        try:
            answer = console.client.post("/api/duplicates/verify", key, silence_seconds=_LONGEST_COMPARISON_SECONDS)
        except Refused as refusal:
            if refusal.status != 404:
                raise
            continue  # they went meanwhile
        for path in raw_paths(answer, "different"):
            console.say(f"  differs from the others: {console.err.shown(path)}")
        for each in answer.get("uncompared") or []:
            reason = console.err.shown(each.get("reason"))
            console.say(f"  not compared: {console.err.shown(raw_path(each, 'path'))}: {reason}")
        yield from answer.get("groups") or []


def _lines(group: Json, screen: Screen) -> Iterator[str]:
    paths = raw_paths(group, "paths")
    compared = "compared byte for byte" if group.get("verified") else "the same size and quick hash"
    size, freed = quantities.size(group.get("file_size")), quantities.size(group.get("reclaimable_bytes"))
    counted = screen.painted(quantities.counted(len(paths), "path"), "bold")
    yield f"{counted} of {size}, would free {freed}; {compared}"
    kept = raw_path(group, "keep")
    links = hard_links(group)
    of_file = {path: number for number, same in enumerate(links, 1) for path in same}
    away = {raw_path(file, "path") for file in group.get("files") or [] if file.get("offline")}
    for path in paths:
        mark = "keep" if path == kept else ""
        remarks = []
        if path in of_file:
            remarks.append("hard link" if len(links) == 1 else f"hard link of file {of_file[path]}")
        if path in away:
            remarks.append("offline")
        note = f"  ({', '.join(remarks)})" if remarks else ""
        yield f"  {screen.painted(f'{mark:<4}', 'green' if mark else '')}  {screen.shown(path)}{note}"
