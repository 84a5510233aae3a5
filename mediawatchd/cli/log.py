"""The command that tells what happened: log."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from mediawatchd.cli.events import lines
from mediawatchd.control.client import path_field

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from mediawatchd.cli.console import Console

    Json = dict[str, Any]

_ON_A_TERMINAL = 100
_PAGE = 1000
_SILENCE_SECONDS = 120.0


def log(console: Console, arguments: argparse.Namespace) -> int:
    """Prints the history, oldest first; of a limited one its newest entries."""
    fields: dict[str, str | int] = {}
    if arguments.path is not None:
        fields.update(path_field("path", arguments.path))
    if arguments.since is not None:
        fields["since"] = arguments.since
    limit: int | None = arguments.limit or None
    is_cut = arguments.limit is None and console.out.is_terminal and not console.as_json
    if is_cut:
        limit = _ON_A_TERMINAL + 1  # one more tells whether there are more
    if limit is None:
        with closing(console.client.lines("/api/history", fields, silence_seconds=_SILENCE_SECONDS)) as entries:
            printed = _print(console, entries)
    else:
        newest = list(console.client.items("/api/history", {**fields, "order": "desc"}, limit=limit, page=_PAGE))
        is_more = is_cut and len(newest) == limit
        printed = _print(console, reversed(newest[:_ON_A_TERMINAL] if is_more else newest))
        if is_more:
            console.say(f"the newest {_ON_A_TERMINAL} are shown; --limit 0 shows all")
    if not printed and not console.as_json:
        console.say("nothing happened; what the first walk of a root found is not part of the history")
    return 0


def _print(console: Console, entries: Iterable[Json]) -> bool:
    printed = False
    for entry in entries:
        printed = True
        if console.as_json:
            console.item(entry)
        else:
            for line in lines(entry, console.out):
                console.out.line(line)
    return printed
