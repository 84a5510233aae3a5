"""The command that lists what is in the catalog: files.

A short list is one page of the API. A long one comes as a stream: the daemon sorts it once, not once a page, and
neither side ever holds all of it.
"""

from __future__ import annotations

from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Any

from mediawatchd.cli import quantities
from mediawatchd.cli.tables import Cell, Column, Table
from mediawatchd.control.client import path_field, raw_path

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from mediawatchd.cli.console import Console
    from mediawatchd.cli.screen import Screen

    Json = dict[str, Any]

_ON_A_TERMINAL = 100
_PAGE = 1000
_MOST_ASKED = 10_000
"""The largest limit that the API takes; beyond it the stream is left early."""
_SILENCE_SECONDS = 120.0
"""Sorting a million files by size takes the daemon a while before the first comes."""


def files(console: Console, arguments: argparse.Namespace) -> int:
    """Lists files."""
    limit: int | None = arguments.limit or None
    is_cut = arguments.limit is None and console.out.is_terminal and not console.as_json
    if is_cut:
        limit = _ON_A_TERMINAL + 1  # one more tells whether there are more
    found = _found(console, _fields(arguments), limit)
    if console.as_json:
        for item in found:
            console.item(item)
        return 0
    is_more = _print(console, found, most=_ON_A_TERMINAL if is_cut else None)
    if is_more:
        console.say(f"the first {_ON_A_TERMINAL} are shown; --limit 0 shows all")
    return 0


def _found(console: Console, fields: dict[str, str | int], limit: int | None) -> Iterator[Json]:
    if limit is not None and limit <= _PAGE:
        yield from console.client.items("/api/files", fields, limit=limit, page=_PAGE)
        return
    if limit is not None and limit <= _MOST_ASKED:
        fields["limit"] = limit
    with closing(console.client.lines("/api/files", fields, silence_seconds=_SILENCE_SECONDS)) as entries:
        yield from islice(entries, limit)


def _fields(arguments: argparse.Namespace) -> dict[str, str | int]:
    fields: dict[str, str | int] = {}
    for name in ("under", "root"):
        if getattr(arguments, name) is not None:
            fields.update(path_field(name, getattr(arguments, name)))
    for name in ("missing", "problem", "pending"):
        if getattr(arguments, name):
            fields[name] = "true"
    rest = {"media_type": arguments.type, "q": arguments.name, "sort": arguments.sort, "order": arguments.order}
    return fields | {name: value for name, value in rest.items() if value is not None}


def _print(console: Console, found: Iterator[Json], *, most: int | None) -> bool:
    """Prints a table, each page as it arrives; True when there were more than `most`."""
    layout = Table(
        Column("SIZE", right=True, least=10),
        Column("LENGTH", right=True, least=8),
        Column("PICTURE", right=True, least=9),
        Column("CODECS", least=9),
        Column("STATE", least=7),
        Column("PATH", cut=True),
        screen=console.out,
    )
    printed = 0
    while rows := list(islice(found, _PAGE)):
        shown = rows if most is None else rows[: most - printed]
        lines = layout.lines(_row(item, console.out) for item in shown)
        if not printed:
            console.out.line(layout.heading())
        for line in lines:
            console.out.line(line)
        printed += len(shown)
        if len(shown) < len(rows):
            return True
    if not printed:
        console.say("no such files")
    return False


def _row(item: Json, screen: Screen) -> list[Cell]:
    return [
        Cell(quantities.size(item.get("file_size"))),
        Cell(quantities.length(item.get("duration"))),
        Cell(f"{item['width']}x{item['height']}" if item.get("width") and item.get("height") else "-"),
        Cell(codecs(item, screen) or "-"),
        mark(item),
        Cell(screen.shown(raw_path(item, "path"))),
    ]


def mark(item: Json) -> Cell:
    """The mark of a file that is not simply there and known."""
    if item.get("missing_since") is not None:
        return Cell("missing", "yellow")
    if item.get("problem") is not None:
        return Cell("problem", "red")
    if item.get("quick_hash") is None:
        return Cell("pending", "dim")
    return Cell("")


def codecs(item: Json, screen: Screen) -> str:
    return "/".join(screen.shown(item[name]) for name in ("video_codec", "audio_codec") if item.get(name))
