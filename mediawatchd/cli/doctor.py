"""The command that looks for what is wrong, and says how to put it right: doctor."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import mediawatchd
from mediawatchd.cli import quantities
from mediawatchd.cli.paragraphs import paragraph
from mediawatchd.control.client import Disconnected, NoAnswer, NotRunning, SocketDenied
from mediawatchd.control.findings import LEVELS, Finding, access, inotify_limits
from mediawatchd.paths import printable, unslashed

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from mediawatchd.cli.console import Console
    from mediawatchd.cli.screen import Screen

    Json = dict[str, Any]

_STYLES = {"error": "red", "warning": "yellow", "ok": "green"}
_PATIENCE_SECONDS = 60.0
"""The daemon decodes a clip and looks through the catalog, each with a limit of its own."""


def doctor(console: Console, arguments: argparse.Namespace) -> int:
    """Prints what is found, the worst first. Status 1 when there are errors, that of the failure without a daemon."""
    try:
        answer = console.client.get("/api/doctor", silence_seconds=_PATIENCE_SECONDS)
    except (NotRunning, SocketDenied, Disconnected, NoAnswer) as error:
        found, status = [*_unreachable(error), *_here(arguments.config)], error.exit_status
        daemon = None
    else:
        daemon = answer.get("version")
        found = [*_versions(str(daemon)), *(_finding(each) for each in answer.get("findings") or [])]
        status = int(any(finding.level == "error" for finding in found))
    found.sort(key=lambda finding: LEVELS.index(finding.level))
    counts = {level: sum(finding.level == level for finding in found) for level in LEVELS}
    if console.as_json:
        console.document({"version": daemon, "counts": counts, "findings": [each._asdict() for each in found]})
        return status
    for line in page(found, console.out):
        console.out.line(line)
    console.out.line()
    console.out.line(_summary(counts, is_running=daemon is not None))
    return status


def page(found: list[Finding], screen: Screen) -> list[str]:
    """A finding a line, wrapped, and below it what to do."""
    width = max((len(finding.check) for finding in found), default=0)
    lines = []
    for finding in found:
        mark = f"{finding.level:<8}"
        painted = screen.painted(mark, _STYLES[finding.level])
        check = f"{screen.shown(finding.check):<{width}}"
        lines += paragraph(screen.shown(finding.text), screen, first=f"{painted}{check}  ", label=f"{mark}{check}  ")
        if finding.fix:
            lines += paragraph(screen.shown(finding.fix), screen, first=f"{'':<{len(mark) + width}}  fix: ")
    return lines


def _summary(counts: dict[str, int], *, is_running: bool) -> str:
    errors, warnings = (quantities.counted(counts[level], level) for level in ("error", "warning"))
    where = "" if is_running else "; the daemon was not asked, so what only it knows was not checked"
    if not counts["error"] and not counts["warning"]:
        return f"all is well: {quantities.counted(counts['ok'], 'check')}{where}"
    return f"{errors}, {warnings}, {counts['ok']} ok{where}"


def _finding(entry: Json) -> Finding:
    level = entry.get("level")
    return Finding(
        level if level in LEVELS else "warning",
        str(entry.get("check", "-")),
        str(entry.get("text", "")),
        str(entry.get("fix") or ""),
    )


def _versions(daemon: str) -> Iterator[Finding]:
    own = mediawatchd.__version__
    if daemon == own:
        yield Finding("ok", "version", f"daemon and mediawatchctl are both {own}")
    else:
        text = f"the daemon is {daemon} and this mediawatchctl is {own}: one of them was not replaced"
        yield Finding("warning", "version", text, "sudo systemctl restart mediawatchd")


def _unreachable(error: Exception) -> Iterator[Finding]:
    text = " ".join(line.strip() for line in str(error).split("\n"))
    yield Finding("error", "daemon", text, str(getattr(error, "hint", "")))


def _here(file: str) -> Iterator[Finding]:
    """What can be checked from this side, as this user."""
    from pathlib import Path  # noqa: PLC0415 - the configuration is heavy, and only read while no daemon runs

    from mediawatchd import config as configuration  # noqa: PLC0415
    from mediawatchd.errors import ConfigurationError  # noqa: PLC0415

    try:
        config = configuration.load(Path(file), environment=os.environ)
    except ConfigurationError as error:
        yield Finding("error", "config", " ".join(str(error).split("\n")), error.hint or "mediawatchd --check-config")
        yield from inotify_limits(0)
        return
    if config.scan_dirs:
        yield Finding("ok", "config", f"{file} is valid")
    else:
        yield Finding("error", "config", f"{file} names no folders", "Name your folders under scan_dirs.")
    for root in config.scan_dirs:
        folder = unslashed(root)
        yield access(folder) or Finding("ok", "root", f"{printable(folder)} can be listed by this user")
    yield from inotify_limits(len(config.scan_dirs))
