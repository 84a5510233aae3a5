"""The commands that steer the daemon: sync, pause, resume, reload, and what a person decides about a root."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from mediawatchd.cli import quantities
from mediawatchd.control.client import path_field, raw_paths
from mediawatchd.errors import Refused

if TYPE_CHECKING:
    import argparse

    from mediawatchd.cli.console import Console

    Json = dict[str, Any]

_SLOW_SECONDS = 300.0
"""For calls that change many rows before they answer."""
_NAMED = 10


def sync(console: Console, arguments: argparse.Namespace) -> int:
    """Waits until the catalog has caught up with the disk."""
    body = {"timeout": arguments.timeout, "walk": arguments.walk}
    try:
        answer = console.client.post("/api/sync", body, silence_seconds=arguments.timeout + 30)
    except Refused as refusal:
        if refusal.status == 504 and console.as_json:
            console.document({"synced": False, "error": str(refusal), "code": refusal.code, **refusal.detail})
        raise
    if console.as_json:
        console.document(answer)
        return 0
    console.out.line("in sync")
    for line in _exceptions(console, answer):
        console.say(line)
    return 0


def pause(console: Console, _arguments: argparse.Namespace) -> int:
    """Stops hashing and walking."""
    return _post(console, "/api/pause", {}, "paused: files are still watched and recorded, but not hashed")


def resume(console: Console, _arguments: argparse.Namespace) -> int:
    """Ends a pause."""
    return _post(console, "/api/resume", {}, "resumed")


def reload(console: Console, _arguments: argparse.Namespace) -> int:
    """Applies the configuration anew."""
    return _post(console, "/api/reload", {}, "configuration reloaded")


def accept_root(console: Console, arguments: argparse.Namespace) -> int:
    """Accepts what is mounted at a root."""
    return _post(console, "/api/roots/accept", _root(arguments), f"accepted {console.out.shown(arguments.path)}")


def confirm_missing(console: Console, arguments: argparse.Namespace) -> int:
    """Believes that held files are gone."""
    text = f"confirmed: the held files of {console.out.shown(arguments.path)} are missing"
    return _post(console, "/api/roots/confirm-missing", _root(arguments), text)


def forget(console: Console, arguments: argparse.Namespace) -> int:
    """Removes a root's rows. Asks on a terminal: hashes that took days go with them."""
    shown = console.err.shown(arguments.path)
    if not arguments.yes and sys.stdin is not None and sys.stdin.isatty():
        console.say(f"All that is known of the files below {shown} will be removed, with all hashes.")
        console.say("Type yes to go on:")
        if sys.stdin.readline().strip().lower() != "yes":
            console.say("mediawatchctl: nothing was removed")
            return 1
    return _post(console, "/api/roots/forget", _root(arguments), f"forgot {console.out.shown(arguments.path)}")


def _root(arguments: argparse.Namespace) -> dict[str, str]:
    return path_field("path", arguments.path)


def _post(console: Console, path: str, body: Json, done: str) -> int:
    answer = console.client.post(path, body, silence_seconds=_SLOW_SECONDS)
    if console.as_json:
        console.document(answer)
    else:
        console.out.line(done)
    return 0


def _exceptions(console: Console, answer: Json) -> list[str]:
    """What is not as it should be although all is in sync."""
    show = console.err.shown
    lines = [f"offline, so not looked at: {show(path)}" for path in raw_paths(answer, "offline")]
    for name, what, more in (
        ("unreadable", "could not be read", "that could not be read"),
        ("unsettled", "changed again meanwhile", "that changed again"),
    ):
        paths = raw_paths(answer, name)
        lines += [f"{what}: {show(path)}" for path in paths[:_NAMED]]
        if len(paths) > _NAMED:
            lines.append(f"and {len(paths) - _NAMED:,} more {more}")
    if answer.get("problems"):
        lines.append(
            f"{quantities.counted(answer['problems'], 'file')} with a problem:"
            f" `{console.command('files', '--problem')}` lists them"
        )
    if answer.get("held"):
        lines.append(
            f"{quantities.counted(answer['held'], 'file')} held, absent but not believed to be gone:"
            f" `{console.command('status')}` says more"
        )
    return lines
