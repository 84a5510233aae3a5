"""The command line of mediawatchctl: commands, options, and the help that goes with them."""

from __future__ import annotations

import argparse
import math
import os
import sys
from functools import partial

from mediawatchd.cli.console import absolute

TYPE_CHECKING = False  # as typing has it; importing that costs 5 ms of the 80
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

CONFIG = "/etc/mediawatchd/mediawatchd.yaml"
SORTS = ("path", "name", "size", "modified", "duration", "first_seen")

_DESCRIPTION = """\
Asks and steers a running mediawatchd: what it knows of the media files, what it is doing, what it needs.
"""

_EPILOG = """\
exit status:
  0    done
  1    failed: refused by the daemon, or the job failed or was cancelled
  2    usage: a wrong command line, or an argument that the daemon cannot accept
  3    the daemon is not running, or stopped meanwhile
  4    not found
  5    no permission
  6    the job finished, but some files could not be processed
  124  time-out
  130  interrupted with Ctrl-C (a job that was waited for goes on)

environment:
  MEDIAWATCHD_SOCKET  the daemon's socket, like --socket; else the first that answers of
                      $XDG_RUNTIME_DIR/mediawatchd.sock, /run/mediawatchd/mediawatchd.sock, /run/mediawatchd.sock
  NO_COLOR            no colours, if set to anything

Data goes to standard output, messages and progress to standard error. `mediawatchctl COMMAND --help` has an
example for each command.
"""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The namespace of a command line; leaves with status 2 and a message when it is wrong."""
    parser = _parser()
    parsed = parser.parse_args(arguments)
    if parsed.command is None:
        parser.print_help(sys.stderr)
        parser.exit(2)
    return parsed


def _parser() -> argparse.ArgumentParser:
    # Keeps the line breaks of examples. Given no width, argparse would import shutil to find it.
    formatter = partial(argparse.RawDescriptionHelpFormatter, max_help_position=26, width=_help_columns())
    parser = argparse.ArgumentParser(
        prog="mediawatchctl", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=formatter, allow_abbrev=False
    )
    # The same options once more, so that they may also follow the command; absent, they leave the others be.
    again = argparse.ArgumentParser(add_help=False, formatter_class=formatter)
    _add_common(again, socket=argparse.SUPPRESS, as_json=argparse.SUPPRESS)
    _add_common(parser, socket=os.environ.get("MEDIAWATCHD_SOCKET") or None, as_json=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    def add(name: str, summary: str, example: str, *, more: str = "") -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.{more and ' ' + more}",
            epilog=f"example:\n  {example}",
            parents=[again],
            formatter_class=formatter,
            allow_abbrev=False,
        )

    add("status", "show what the daemon is doing and how its roots are", "mediawatchctl --json status | jq .state")
    doctor = add(
        "doctor",
        "check the daemon and what it depends on, and say how to put right what is wrong",
        "mediawatchctl doctor",
        more="Status 1 when there are errors. Without a daemon it checks what it can, and leaves with status 3.",
    )
    doctor.add_argument(
        "--config", metavar="FILE", default=CONFIG, help=f"configuration to check while no daemon runs ({CONFIG})"
    )
    _add_jobs(add)
    _add_catalog(add)
    _add_steering(add)
    add("version", "show the versions of this command and of the daemon", "mediawatchctl version")
    return parser


def _add_jobs(add: Any) -> None:
    scan = add("scan", "compare folders with the catalog, and hash what is new", "mediawatchctl scan --wait /srv/films")
    scan.add_argument("paths", metavar="PATH", nargs="*", type=_path, help="folders inside the roots (all roots)")
    _add_wait(scan)
    phash = add(
        "phash",
        "hash videos perceptually, to find near-duplicates",
        "mediawatchctl phash --wait /srv/films",
        more="What is hashed already is skipped, and so is audio.",
    )
    phash.add_argument(
        "paths", metavar="PATH", nargs="*", type=_path, help="folders and files of the roots (all roots)"
    )
    phash.add_argument("--force", action="store_true", help="hash again what is hashed already")
    _add_wait(phash)
    jobs = add("jobs", "list scans and other jobs, newest first", "mediawatchctl jobs --limit 5")
    jobs.add_argument("--limit", metavar="N", type=_limit, default=20, help="at most N jobs, 0 for all (20)")
    job = add("job", "show one job", "mediawatchctl job 12 --wait")
    job.add_argument("id", metavar="ID", type=int, help="number of the job")
    _add_wait(job)
    cancel = add("cancel", "end a job; what it has done stays", "mediawatchctl cancel 12")
    cancel.add_argument("id", metavar="ID", type=int, help="number of the job")


def _add_catalog(add: Any) -> None:
    files = add("files", "list files of the catalog", "mediawatchctl files --under /srv/films --sort size --order desc")
    files.add_argument("--under", metavar="PATH", type=_path, help="only files inside this folder")
    files.add_argument("--root", metavar="PATH", type=_path, help="only files of this root")
    files.add_argument("--type", choices=("video", "vr", "audio"), help="only files of this type")
    files.add_argument("--missing", action="store_true", help="only files that are gone from the disk")
    files.add_argument("--problem", action="store_true", help="only files that could not be read or understood")
    files.add_argument("--pending", action="store_true", help="only files that wait to be processed")
    files.add_argument("-q", "--name", metavar="TEXT", help="only files with this in their name")
    files.add_argument("--sort", choices=SORTS, help="what to sort by (path)")
    files.add_argument("--order", choices=("asc", "desc"), help="ascending or descending (asc)")
    files.add_argument(
        "--limit", metavar="N", type=_limit, help="at most N files, 0 for all (100 on a terminal, else all)"
    )
    show = add("show", "show what is known of one file, and why it is in its state", "mediawatchctl show films/a.mkv")
    show.add_argument("path", metavar="PATH", type=_path, help="a file inside a root, present or missing")
    _add_copies(add)
    log = add(
        "log",
        "print what happened to the files, and why",
        "mediawatchctl log --since 2h /srv/films",
        more="A file that moved is followed back through its earlier names.",
    )
    log.add_argument("path", metavar="PATH", nargs="?", type=_path, help="a file or folder, now or then (everything)")
    log.add_argument(
        "--since", metavar="WHEN", type=_since, help="from then on: a time, 2h or 3d ago, or after event N"
    )
    log.add_argument("--limit", metavar="N", type=_limit, help="the newest N, 0 for all (100 on a terminal, else all)")
    events = add(
        "events",
        "print what happens to the files, as it happens",
        "mediawatchctl --json events --since 1200",
        more="Ends with Ctrl-C.",
    )
    events.add_argument("--since", metavar="SEQ", type=int, help="begin after the event of this number")


def _add_copies(add: Any) -> None:
    duplicates = add(
        "duplicates",
        "list files with the same content, and which to keep",
        "mediawatchctl duplicates --verify /srv/films",
        more="They have the same size and quick hash; with --verify, the same bytes. Nothing is ever deleted.",
    )
    duplicates.add_argument(
        "path", metavar="PATH", nargs="?", type=_path, help="only groups with a path in this file or folder"
    )
    duplicates.add_argument("--verify", action="store_true", help="compare all bytes first; this reads the files")
    _add_entries(duplicates)
    similar = add(
        "similar",
        "list videos that look alike, with the evidence and which to keep",
        "mediawatchctl similar --groups /srv/films",
        more="What looks alike is known once `phash` has hashed the videos. Nothing is ever deleted.",
    )
    similar.add_argument("path", metavar="PATH", nargs="?", type=_path, help="only what this file or folder is part of")
    similar.add_argument("--groups", action="store_true", help="groups around the copy to keep instead of pairs")
    similar.add_argument("--threshold", metavar="N", type=_bits, help="only pairs at most N of 256 bits apart")
    similar.add_argument("--dismissed", action="store_true", help="the pairs that were dismissed")
    _add_entries(similar)
    for name, summary in (
        ("dismiss", "remember that two files are no copies of each other"),
        ("undismiss", "take a dismissal back"),
    ):
        judged = add(name, summary, f"mediawatchctl {name} films/a.mkv films/b.mkv")
        judged.add_argument("a", metavar="A", type=_path, help="a file")
        judged.add_argument("b", metavar="B", type=_path, help="another file")


def _add_entries(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--limit", metavar="N", type=_limit, help="print at most N, 0 for all (100 on a terminal, else all)"
    )


def _add_steering(add: Any) -> None:
    sync = add(
        "sync",
        "wait until the catalog has everything that was on disk when asked",
        "mv new.mkv /srv/films/ && mediawatchctl sync && mediawatchctl show /srv/films/new.mkv",
    )
    sync.add_argument("--timeout", metavar="S", type=_seconds, default=60.0, help="give up after S seconds (60)")
    sync.add_argument("--walk", action="store_true", help="walk all roots first, trusting no notification")
    add("pause", "stop hashing and walking; watching goes on, also over a restart", "mediawatchctl pause")
    add("resume", "end a pause", "mediawatchctl resume")
    add("reload", "apply the configuration file anew, whole or not at all", "mediawatchctl reload")
    _add_root(add("accept-root", "accept what is now mounted at a replaced root", "mediawatchctl accept-root /srv/nas"))
    _add_root(
        add(
            "confirm-missing",
            "believe that the held files of a root are really gone",
            "mediawatchctl confirm-missing /srv/films",
        )
    )
    forget = add(
        "forget", "remove a root that left the configuration, with all its hashes", "mediawatchctl forget /srv/old"
    )
    _add_root(forget)
    forget.add_argument("--yes", action="store_true", help="do not ask, also on a terminal")


def _add_common(parser: argparse.ArgumentParser, *, socket: Any, as_json: Any) -> None:
    parser.add_argument(
        "--json", action="store_true", default=as_json, help="print one JSON document, or a line of JSON for each entry"
    )
    parser.add_argument("--socket", metavar="PATH", default=socket, help="the daemon's socket")


def _add_wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--wait", action="store_true", help="show progress until the job ends; Ctrl-C detaches")


def _add_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="ROOT", type=_path, help="path of the root")


def _path(text: str) -> bytes:
    if not text:
        raise argparse.ArgumentTypeError("an empty path")
    try:
        return absolute(text)
    except FileNotFoundError:
        raise argparse.ArgumentTypeError("the current folder no longer exists; give an absolute path") from None


def _since(text: str) -> str:
    import datetime as dt  # noqa: PLC0415 - most commands need no dates

    from mediawatchd.cli import moments  # noqa: PLC0415

    try:
        return moments.since(text, now=dt.datetime.now(dt.UTC))
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            "a time as 2031-05-04T12:00, a span as 90min, 2h or 3d, or an event's number"
        ) from None


def _limit(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("a whole number, 0 for no limit")
    return int(text)


def _bits(text: str) -> int:
    if not text.isdecimal() or int(text) > 256:
        raise argparse.ArgumentTypeError("a whole number of bits from 0 to 256")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError("a number of seconds above 0")
    return seconds


def _help_columns() -> int:
    try:
        return max(60, min(120, os.get_terminal_size(sys.stdout.fileno()).columns) - 2)
    except (OSError, AttributeError, ValueError):
        return 100
