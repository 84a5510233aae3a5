"""The command that explains one path: show."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from mediawatchd.cli import quantities
from mediawatchd.cli.files import codecs, mark
from mediawatchd.cli.paragraphs import paragraph
from mediawatchd.control.client import path_field, raw_path
from mediawatchd.errors import Refused

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from mediawatchd.cli.console import Console
    from mediawatchd.cli.screen import Screen

    Json = dict[str, Any]


_STYLES = {
    **dict.fromkeys(("missing", "held", "absent", "offline", "paused", "unreadable"), "yellow"),
    **dict.fromkeys(("ready", "folder"), "green"),
    "problem": "red",
}
_LABEL = 13


def show(console: Console, arguments: argparse.Namespace) -> int:
    """Shows one file or folder; of what is not in the catalog the refusal says why, as JSON too."""
    try:
        item = console.client.get("/api/file", path_field("path", arguments.path))
    except Refused as refusal:
        if refusal.status == 404 and refusal.detail:
            if console.as_json:
                console.document({"error": str(refusal), "code": refusal.code, "hint": refusal.hint, **refusal.detail})
            refusal.detail = {}  # the sentence says it all
        raise
    if console.as_json:
        console.document(item)
        return 0
    for line in page(item, console.out, now_seconds=time.time()):
        console.out.line(line)
    return 0


def page(item: Json, screen: Screen, *, now_seconds: float) -> list[str]:
    """All there is to say of one file or folder, field by field; what this version does not know is shown as it came.

    First how it stands and what comes next, then what it is.
    """
    size = item.get("file_size", item.get("bytes"))
    picture = f"{item.get('width')}x{item.get('height')}" if item.get("width") else None
    said = {
        "why": _text(item.get("why"), screen),
        "since": quantities.moment(item.get("since"), now_seconds),
        "next": _following(item, screen, now_seconds),
        "problem": _text(item.get("problem"), screen),
        "missing": f"since {quantities.date(item['missing_since'])}" if item.get("missing_since") else None,
        "type": _text(item.get("media_type"), screen),
        "size": f"{quantities.size(size)} ({quantities.count(size)} bytes)" if size is not None else None,
        "modified": quantities.date(item["modified_date"]) if item.get("modified_date") else None,
        "duration": quantities.length(item.get("duration")) if item.get("duration") is not None else None,
        "picture": picture,
        "codecs": codecs(item, screen) or None,
        "container": _text(item.get("container_format"), screen),
        "bitrate": quantities.bitrate(item["bitrate"]) if item.get("bitrate") else None,
        "quick hash": item.get("quick_hash"),
        "video phash": item.get("video_phash"),
        "fingerprint": ("yes" if item.get("fingerprint") else "no") if picture else None,
        "first seen": quantities.date(item["first_seen"]) if item.get("first_seen") else None,
        "hashed": quantities.date(item["hashed_at"]) if item.get("hashed_at") else None,
        "root": screen.shown(raw_path(item, "root")),
        "id": str(item["id"]) if item.get("id") is not None else None,
    }
    said.update(_unknown_fields(item, screen))
    state = screen.shown(str(item.get("state") or mark(item).text or "in the catalog"))
    width = max(_LABEL, *(len(label) + 2 for label, text in said.items() if text is not None))
    lines = [screen.painted(screen.shown(raw_path(item, "path")), "bold")]
    lines.append(f"  {'state':<{width}}{screen.painted(state, _STYLES.get(state, ''))}")
    for label, text in said.items():
        if text is not None:
            lines += paragraph(text, screen, first=f"  {label:<{width}}")
    return lines


def _text(value: Any, screen: Screen) -> str | None:
    if value is None or value == []:
        return None
    if isinstance(value, list):
        return "; ".join(screen.shown(str(part)) for part in value)
    return screen.shown(str(value))


_KNOWN = frozenset(
    {
        *("id", "path", "filename", "root", "file_size", "modified_date", "mtime_ns", "media_type", "problem"),
        *("state", "why", "since", "next", "next_at", "bytes"),
        *("container_format", "duration", "bitrate", "width", "height", "video_codec", "audio_codec", "quick_hash"),
        *("video_phash", "fingerprint", "first_seen", "hashed_at", "missing_since"),
    }
)


def _following(item: Json, screen: Screen, now_seconds: float) -> str | None:
    """What comes next, and when."""
    text, when = _text(item.get("next"), screen), quantities.moment(item.get("next_at"), now_seconds)
    return f"{when}: {text}" if text and when else text or when


def _label(name: str) -> str:
    return name.replace("_", " ")


def _unknown_fields(item: Json, screen: Screen) -> Iterator[tuple[str, str]]:
    for name, value in item.items():
        if name in _KNOWN or name.endswith("_b64") or value in (None, 0, [], {}):
            continue
        if isinstance(value, dict):
            inner = [f"{_label(key)} {_text(each, screen)}" for key, each in value.items() if each is not None]
            yield _label(name), ", ".join(inner)
        else:
            yield _label(name), _text(value, screen) or ""
