"""The commands that look into the catalog: files and show.

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


def show(console: Console, arguments: argparse.Namespace) -> int:
    """Shows one file."""
    item = console.client.get("/api/file", path_field("path", arguments.path))
    if console.as_json:
        console.document(item)
        return 0
    for line in page(item, console.out):
        console.out.line(line)
    return 0


def page(item: Json, screen: Screen) -> list[str]:
    """All there is to say of one file, field by field; what this version does not know is shown as it came."""
    state, size = _state(item), item.get("file_size")
    picture = f"{item.get('width')}x{item.get('height')}" if item.get("width") else None
    said = {
        "state": screen.painted(state.text, state.style) if state.text else "in the catalog",
        "why": _text(item.get("why"), screen),
        "problem": _text(item.get("problem"), screen),
        "missing": f"since {quantities.date(item['missing_since'])}" if item.get("missing_since") else None,
        "type": _text(item.get("media_type"), screen),
        "size": f"{quantities.size(size)} ({quantities.count(size)} bytes)" if size is not None else None,
        "modified": quantities.date(item.get("modified_date")),
        "duration": quantities.length(item.get("duration")) if item.get("duration") is not None else None,
        "picture": picture,
        "codecs": _codecs(item, screen) or None,
        "container": _text(item.get("container_format"), screen),
        "bitrate": quantities.bitrate(item["bitrate"]) if item.get("bitrate") else None,
        "quick hash": item.get("quick_hash"),
        "video phash": item.get("video_phash"),
        "fingerprint": ("yes" if item.get("fingerprint") else "no") if picture else None,
        "first seen": quantities.date(item.get("first_seen")),
        "hashed": quantities.date(item["hashed_at"]) if item.get("hashed_at") else None,
        "root": screen.shown(raw_path(item, "root")),
        "id": str(item.get("id", "-")),
    }
    said.update(_unknown_fields(item, screen))
    lines = [screen.painted(screen.shown(raw_path(item, "path")), "bold")]
    lines += [f"  {label:<13}{text}" for label, text in said.items() if text is not None]
    return lines


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
        Cell(_codecs(item, screen) or "-"),
        _state(item),
        Cell(screen.shown(raw_path(item, "path"))),
    ]


def _state(item: Json) -> Cell:
    """The mark of a file that is not simply there and known."""
    if item.get("missing_since") is not None:
        return Cell("missing", "yellow")
    if item.get("problem") is not None:
        return Cell("problem", "red")
    if item.get("quick_hash") is None:
        return Cell("pending", "dim")
    return Cell("")


def _codecs(item: Json, screen: Screen) -> str:
    return "/".join(screen.shown(item[name]) for name in ("video_codec", "audio_codec") if item.get(name))


def _text(value: Any, screen: Screen) -> str | None:
    if value is None or value == []:
        return None
    if isinstance(value, list):
        return "; ".join(screen.shown(str(part)) for part in value)
    return screen.shown(str(value))


_KNOWN = frozenset(
    {
        *("id", "path", "filename", "root", "file_size", "modified_date", "mtime_ns", "media_type", "why", "problem"),
        *("container_format", "duration", "bitrate", "width", "height", "video_codec", "audio_codec", "quick_hash"),
        *("video_phash", "fingerprint", "first_seen", "hashed_at", "missing_since"),
    }
)


def _unknown_fields(item: Json, screen: Screen) -> Iterator[tuple[str, str]]:
    for name, value in item.items():
        if name in _KNOWN or name.endswith("_b64") or value is None or value in ([], {}):
            continue
        if isinstance(value, dict):
            inner = [f"{key} {_text(each, screen)}" for key, each in value.items() if each is not None]
            yield name.replace("_", " "), ", ".join(inner)
        else:
            yield name.replace("_", " "), _text(value, screen) or ""
