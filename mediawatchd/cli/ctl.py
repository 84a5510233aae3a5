"""The entry point of mediawatchctl: runs one command, and turns what went wrong into a message and an exit status.

Nothing heavy is imported on the way to `status`: scripts and prompts ask it often.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from io import FileIO, TextIOWrapper

from mediawatchd.cli import arguments
from mediawatchd.cli.console import Console
from mediawatchd.cli.screen import Screen
from mediawatchd.control.client import Client, default_sockets, raw_paths
from mediawatchd.errors import MediawatchdError, Refused

TYPE_CHECKING = False  # as typing has it; importing that costs 5 ms of the 80
if TYPE_CHECKING:
    from typing import Any

FAILED = 1
NOT_RUNNING = 3  # also when it is about to end: a moment later nobody would have answered
INTERRUPTED = 130
_NAMED = 10

# In which module a command is, as the function of its name. Only that module is imported.
MODULES = {
    **dict.fromkeys(("status", "version"), "status"),
    **dict.fromkeys(("scan", "phash", "jobs", "job", "cancel"), "jobs"),
    "files": "files",
    "show": "show",
    **dict.fromkeys(("similar", "dismiss", "undismiss"), "similar"),
    "duplicates": "duplicates",
    "doctor": "doctor",
    "events": "events",
    "log": "log",
    **dict.fromkeys(
        ("sync", "pause", "resume", "reload", "accept-root", "confirm-missing", "forget"),
        "steering",
    ),
}

_STATUS_OF_HTTP = {400: 2, 401: 5, 403: 5, 404: 4, 504: 124}


def main(command_line: list[str] | None = None) -> int:
    """Runs the command line and returns the exit status; only a wrong one leaves by SystemExit(2)."""
    _prepare_streams()
    parsed = arguments.parse(sys.argv[1:] if command_line is None else command_line)
    err = Screen(sys.stderr, environment=os.environ)
    console = Console(
        client=Client(sockets=[parsed.socket] if parsed.socket else default_sockets(os.environ)),
        out=Screen(sys.stdout, environment=os.environ),
        err=err,
        as_json=parsed.json,
        socket=parsed.socket if parsed.socket != os.environ.get("MEDIAWATCHD_SOCKET") else None,
    )
    try:
        module = import_module(f"mediawatchd.cli.{MODULES[parsed.command]}")
        result: int = getattr(module, parsed.command.replace("-", "_"))(console, parsed)
        console.out.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()  # `| head` has what it wanted
        return 0
    except MediawatchdError as error:
        _tell(console, error)
        return exit_status(error)
    except OSError as error:
        _drop_output()
        err.line(f"mediawatchctl: the output cannot be written: {error.strerror}")
        return FAILED
    return result


def exit_status(error: MediawatchdError) -> int:
    """What scripts see of an error."""
    if isinstance(error, Refused):
        return NOT_RUNNING if error.code == "stopping" else _STATUS_OF_HTTP.get(error.status, FAILED)
    return error.exit_status


def _tell(console: Console, error: MediawatchdError) -> None:
    first, *more = str(error).split("\n")
    console.say(f"mediawatchctl: {console.err.shown(first)}")
    for line in more:
        console.say(console.err.shown(line))
    if isinstance(error, Refused):
        for name in error.detail:
            if not name.endswith("_b64"):
                label, texts = name.replace("_", " "), _texts(error.detail, name)
                for text in texts[:_NAMED]:
                    console.say(f"  {label}: {console.err.shown(text)}")
                if len(texts) > _NAMED:
                    console.say(f"  {label}: and {len(texts) - _NAMED:,} more")
    if error.hint:
        console.say(f"hint: {console.err.shown(error.hint)}")


def _texts(detail: dict[str, Any], name: str) -> list[bytes] | list[str]:
    """What a refusal says under `name`: paths byte for byte where they have a twin, a text for each entry of a list."""
    value = detail[name]
    if isinstance(value, list):
        return raw_paths(detail, name) if f"{name}_b64" in detail else [str(each) for each in value]
    if isinstance(value, dict):
        return [", ".join(f"{key} {each}" for key, each in value.items())]
    return [str(value)]


def _prepare_streams() -> None:
    """Makes both streams take any text: letters that they do not have are escaped, a closed stream is emptiness."""
    if sys.stdout is None:
        sys.stdout = _nowhere()
    if sys.stderr is None:
        sys.stderr = _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _nowhere() -> TextIOWrapper:
    return TextIOWrapper(FileIO(os.devnull, "w"), encoding="utf-8")


def _drop_output() -> None:
    """Points standard output away, so that the interpreter does not fail on it once more while it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


if __name__ == "__main__":
    sys.exit(main())
