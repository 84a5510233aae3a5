"""Command line, file and defaults, in that order of precedence, become one `Config`, or a list of all mistakes.

Called by the main thread at the start and for every reload. It reads the one file and nothing else, and changes
nothing: that a root or a folder is not there is for those to say who use it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mediawatchd.errors import ConfigurationError
from mediawatchd.paths import printable

from . import document
from .schema import Config, build, dotted, keys
from .settings import Place, Settings
from .values import Wrong

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_FILE = Path("/etc/mediawatchd/mediawatchd.yaml")

SOCKET_PATH_BYTES = 107
"""The longest path that a Unix socket can have, see unix(7)."""


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What the command line says; it goes before the file. Relative paths start in the working directory.

    `port` 0: no TCP listener.
    """

    scan_dirs: tuple[bytes, ...] = ()
    db_path: bytes | None = None
    socket: bytes | None = None
    port: int | None = None


def load(path: Path | None, *, overrides: CommandLine | None = None, environment: Mapping[str, str]) -> Config:
    """The configuration in force; `path` None means that there is no file.

    Raises ConfigurationError with one line for every mistake.
    """
    config, mistakes = _read(path, overrides or CommandLine(), environment)
    if mistakes:
        raise ConfigurationError("\n".join(mistakes))
    return config


def check(path: Path | None, *, overrides: CommandLine | None = None, environment: Mapping[str, str]) -> list[str]:
    """The mistakes as lines `FILE:LINE: key: what is wrong; hint`, in the order of the file; none when all is well."""
    return _read(path, overrides or CommandLine(), environment)[1]


def restart_required(old: Config, new: Config) -> list[str]:
    """The keys that differ and that only a restart can change, as `server.port`."""
    fixed = [key for key, _ in dotted(keys()) if key.split(".")[0] in {"db_path", "server", "control"}]
    return [key for key in fixed if value_of(old, key) != value_of(new, key)]


def value_of(config: Config, key: str) -> object:
    """What stands under a dotted key."""
    value: object = config
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _read(path: Path | None, overrides: CommandLine, environment: Mapping[str, str]) -> tuple[Config, list[str]]:
    settings = _read_file(path)
    _override(settings, overrides)
    _choose(settings, environment)
    config: Config = build(settings.values)
    _check_overlap(settings)
    _check_extensions(settings, config)
    _check_listeners(settings, config)
    mistakes = sorted(settings.mistakes, key=lambda mistake: mistake.place.line or 0)
    return config, [str(mistake) for mistake in mistakes]


def _read_file(path: Path | None) -> Settings:
    if path is None:
        return Settings(source="command line")
    source = printable(os.fsencode(path))
    try:
        content = path.read_bytes()
    except OSError as error:
        settings = Settings(source=source)
        hint = "name another file with --config, or folders on the command line"
        settings.wrong("", f"cannot be read: {error.strerror}", hint)
        return settings
    return document.read(content, source=source)


def _override(settings: Settings, overrides: CommandLine) -> None:
    if overrides.scan_dirs:
        settings.drop("scan_dirs")
        roots = [(f"scan_dirs[{index}]", path) for index, path in enumerate(overrides.scan_dirs)]
        for key, path in roots:
            _put_path(settings, key, path, slash=True)
        settings.values["scan_dirs"] = tuple(root for _, root in settings.items("scan_dirs"))
    for key, value in (("db_path", overrides.db_path), ("control.socket", overrides.socket)):
        if value is not None:
            settings.drop(key)
            _put_path(settings, key, value)
    if overrides.port is not None:
        settings.drop("server.port")
        settings.places["server.port"] = Place("command line")
        settings.values["server.port"] = overrides.port or None


def _put_path(settings: Settings, key: str, path: bytes, *, slash: bool = False) -> None:
    settings.places[key] = Place("command line")
    if not path:  # an unset variable of a script; abspath would make it the working directory
        settings.wrong(key, "is empty", "give a path")
        return
    absolute = b"/" + os.path.abspath(path).strip(b"/")  # POSIX lets two leading slashes stand
    settings.values[key] = os.path.join(absolute, b"") if slash else absolute


def _choose(settings: Settings, environment: Mapping[str, str]) -> None:
    """Fill in what depends on this machine and was not given."""
    for name, key in dotted(keys()):
        if key.choose and name not in settings.values:
            try:
                settings.values[name] = key.choose(environment)
            except Wrong as wrong:
                settings.wrong(name, wrong.what, wrong.hint)
                settings.values[name] = b""  # never seen outside: there is a mistake


def _check_overlap(settings: Settings) -> None:
    roots = [(key, root) for key, root in settings.items("scan_dirs") if isinstance(root, bytes)]
    for index, (key, root) in enumerate(roots):
        for other_key, other in roots[:index]:
            if root == other:
                relation = "is the same root as"
            elif root.startswith(other):
                relation = "lies inside the root"
            elif other.startswith(root):
                relation = "contains the root"
            else:
                continue
            line = settings.places[other_key].line
            first = f"`{printable(other)}`" + (f" of line {line}" if line else "")
            settings.wrong(
                key, f"`{printable(root)}` {relation} {first}", "a root covers all below it; keep one of them"
            )


def _check_extensions(settings: Settings, config: Config) -> None:
    extensions = config.file_extensions
    for both in sorted({*extensions.video} & {*extensions.audio}):
        given = "file_extensions.audio" in settings.places
        key, other = ("file_extensions.audio", "video") if given else ("file_extensions.video", "audio")
        settings.wrong(key, f"`{both}` is among the {other} extensions too", "keep it in one of the two")


def _check_listeners(settings: Settings, config: Config) -> None:
    server = config.server
    has_secret = config.secret_token is not None or settings.is_wrong("secret_token")
    if server.port is not None and not server.loopback and not has_secret:
        what = f"`{printable(server.host)}` can be reached from other machines, which needs a secret_token"
        settings.wrong("server.host", what, "set secret_token, or leave host at 127.0.0.1")
    length = len(config.control.socket)
    if length > SOCKET_PATH_BYTES:
        what = f"is {length} bytes long; the path of a socket can have {SOCKET_PATH_BYTES}"
        settings.wrong("control.socket", what, "choose a shorter path")
