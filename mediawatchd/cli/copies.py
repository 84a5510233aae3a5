"""How files that are copies of each other are shown: each path whole on a line of its own, what it is below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mediawatchd.cli import quantities
from mediawatchd.cli.screen import columns
from mediawatchd.control.client import raw_path, raw_paths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediawatchd.cli.screen import Screen

    Json = dict[str, Any]

_INDENT = " " * 8


class Shown(NamedTuple):
    """One file: the mark before its path, and what is said after its details."""

    mark: str
    file: Json
    remark: str = ""


def file_lines(files: Sequence[Shown], screen: Screen) -> list[str]:
    """Two lines a file, three where the remark does not fit. Details stand below each other, bold where they differ."""
    details = [_details(each.file, screen) for each in files]
    widths = [max(map(columns, column)) for column in zip(*details, strict=True)]
    differing = [len(set(column)) > 1 for column in zip(*details, strict=True)]
    room = None if screen.width is None else screen.width - sum(width + 2 for width in widths if width) - len(_INDENT)
    lines = []
    for each, cells in zip(files, details, strict=True):
        shown = [
            " " * (width - columns(cell)) + screen.painted(cell, "bold" if differs else "")
            for cell, width, differs in zip(cells, widths, differing, strict=True)
            if width
        ]
        fits = room is None or columns(each.remark) <= room
        if each.remark and fits:
            shown.append(each.remark)
        mark = screen.painted(f"{each.mark:<4}", "green" if each.mark else "")
        lines += [f"  {mark}  {screen.shown(raw_path(each.file, 'path'))}", (_INDENT + "  ".join(shown)).rstrip()]
        if not fits:
            lines.append(_INDENT + each.remark)
    return lines


def hard_links(group: Json) -> list[list[bytes]]:
    """For each file with several paths in the group, these."""
    plain = group.get("hard_links") or []
    twins = group.get("hard_links_b64") or [None] * len(plain)
    return [raw_paths({"paths": paths, "paths_b64": b64}, "paths") for paths, b64 in zip(plain, twins, strict=True)]


def _details(item: Json, screen: Screen) -> list[str]:
    picture = f"{item['width']}x{item['height']}" if item.get("width") and item.get("height") else ""
    codecs = "/".join(screen.shown(item[name]) for name in ("video_codec", "audio_codec") if item.get(name))
    away = "missing" if item.get("missing_since") else "offline" if item.get("offline") else ""
    return [
        quantities.size(item.get("file_size")),
        quantities.length(item.get("duration")) if item.get("duration") is not None else "",
        picture,
        quantities.bitrate(item["bitrate"]) if item.get("bitrate") else "",
        codecs,
        away,
    ]
