"""The command that follows what happens to the files: events."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from mediawatchd.cli import quantities
from mediawatchd.cli.paragraphs import paragraph
from mediawatchd.control.client import Disconnected, raw_path

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from mediawatchd.cli.console import Console
    from mediawatchd.cli.screen import Screen

    Json = dict[str, Any]

_SILENCE_SECONDS = 60.0
"""Four heartbeats of the daemon: a stream that is silent for longer is dead."""
_STYLES = {"missing": "yellow", "held": "yellow", "problem": "red", "added": "green", "restored": "green"}


def events(console: Console, arguments: argparse.Namespace) -> int:
    """Prints events until interrupted. Being dropped for reading too slowly is made good by asking again."""
    since: int | None = arguments.since
    while True:
        seen = since
        try:
            for event in _stream(console, since):
                since = event["seq"] if isinstance(event.get("seq"), int) else since
                if event.get("event") not in {None, "heartbeat"}:
                    _print(console, event)
        except Disconnected as error:
            error.hint = f"`{console.command('events', *_since(since))}` goes on from here."
            raise
        if since == seen:
            raise Disconnected("the daemon dropped this stream", hint="The reader of the events is too slow.")


def _stream(console: Console, since: int | None) -> Iterator[Json]:
    """Events and heartbeats, until the daemon says that this reader lags. Raises Disconnected at any other end."""
    fields = {} if since is None else {"since": since}
    with closing(console.client.lines("/api/events", fields, silence_seconds=_SILENCE_SECONDS)) as lines:
        for event in lines:
            if event.get("event") == "lagged":
                return
            yield event
    raise Disconnected("the daemon ended the stream")


def _since(since: int | None) -> list[str]:
    return [] if since is None else ["--since", str(since)]


def _print(console: Console, event: Json) -> None:
    if console.as_json:
        console.item(event)
    else:
        for line in lines(event, console.out):
            console.out.line(line)
    console.out.flush()


def lines(event: Json, screen: Screen) -> list[str]:
    """An event as a line, wrapped: when, what, where, and what more there is to say."""
    kind = str(event.get("event"))
    path, former = raw_path(event, "path"), raw_path(event, "from")
    where = screen.shown(path) if path is not None else ""
    if former is not None:
        where = f"{screen.shown(former)} -> {where}"
    detail = screen.shown(str(event["detail"])) if event.get("detail") else ""
    when, what = quantities.date(event.get("time")), f"{kind:<8}"
    said = f"{where}  ({detail})" if where and detail else where or detail
    first = f"{when}  {screen.painted(what, _STYLES.get(kind, ''))}  "
    return paragraph(said, screen, first=first, label=f"{when}  {what}  ")
