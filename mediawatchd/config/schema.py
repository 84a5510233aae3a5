"""Every key of the configuration: its type, what it may hold, and its default beside it.

The values are frozen and complete: where the file may say null for "you choose", the choice has been made.
A new key needs a line here and one in `config/mediawatchd.yaml`; nothing else lists the keys.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, cast, get_args, get_type_hints

from .values import (
    Each,
    Rule,
    Wrong,
    absolute_path,
    directory,
    extension,
    file_mode,
    host_name,
    ignore_pattern,
    is_loopback,
    number,
    one_of,
    secret,
    switch,
    text,
    whole_number,
)

T = TypeVar("T")
Environment = Mapping[str, str]


def _chosen_by(choose: Callable[[Environment], T]) -> T:
    """A default that depends on where the daemon runs; null in the file asks for it too."""
    return field(default_factory=lambda: choose(os.environ), metadata={"choose": choose})


def _first(environment: Environment, name: str) -> bytes | None:
    """An absolute folder from the environment; systemd joins several with colons, the first is the main one."""
    folder = environment.get(name, "").split(":")[0]
    return os.fsencode(folder) if folder.startswith("/") else None


def _database(environment: Environment) -> bytes:
    if state := _first(environment, "STATE_DIRECTORY"):
        return os.path.join(state, b"catalog.db")
    state = _first(environment, "XDG_STATE_HOME")
    if state is None:
        home = _first(environment, "HOME")
        if home is None:
            raise Wrong(
                "has no default here: STATE_DIRECTORY, XDG_STATE_HOME and HOME are not set", "give the path of a file"
            )
        state = os.path.join(home, b".local/state")
    return os.path.join(state, b"mediawatchd/catalog.db")


def _socket(environment: Environment) -> bytes:
    folder = _first(environment, "RUNTIME_DIRECTORY") or _first(environment, "XDG_RUNTIME_DIR") or b"/run"
    return os.path.join(folder, b"mediawatchd.sock")


def _cores() -> int:
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True)
class FileExtensions:
    """Which files are media; lower case with the dot. Names are compared without regard to case."""

    video: Annotated[tuple[str, ...], Each(extension)] = (
        *(".mp4", ".mkv", ".avi", ".mov", ".m4v", ".webm", ".wmv", ".flv"),
        *(".mpg", ".mpeg", ".ts", ".m2ts", ".mts", ".vob", ".ogv", ".3gp"),
    )
    audio: Annotated[tuple[str, ...], Each(extension)] = (
        *(".mp3", ".aac", ".flac", ".wav", ".ogg", ".wma"),
        *(".m4a", ".opus", ".aiff", ".ape", ".wv"),
    )


@dataclass(frozen=True, slots=True)
class Hashing:
    """What is computed of each file, and with how much of the machine."""

    workers: Annotated[int, whole_number(1, 64)] = _chosen_by(lambda _: min(4, _cores()))
    decoders: Annotated[int, whole_number(1, 64)] = _chosen_by(lambda _: max(1, _cores() - 1))
    phash: Annotated[bool, switch] = False
    video_phash: Annotated[bool, switch] = True
    decode_timeout_seconds: Annotated[float, number(above=0, at_most=86_400)] = 120
    decode_memory_mb: Annotated[int, whole_number(256, 1_048_576)] = 2048


@dataclass(frozen=True, slots=True)
class Watch:
    """How changes are noticed."""

    settle_seconds: Annotated[float, number(above=0, at_most=3600)] = 5
    backend: Annotated[Literal["auto", "inotify", "polling"], one_of("auto", "inotify", "polling")] = "auto"


@dataclass(frozen=True, slots=True)
class Reconcile:
    """How often the disk is compared with the catalog without being asked."""

    interval_hours: Annotated[float, number(above=0, at_most=8760)] = 6
    network_interval_minutes: Annotated[float, number(above=0, at_most=525_600)] = 15


@dataclass(frozen=True, slots=True)
class Missing:
    """When files that are gone are believed to be gone, and forgotten. `hold_share` None: nothing is held."""

    keep_days: Annotated[float, number(at_least=0, at_most=36_500)] = 7
    hold_share: Annotated[float | None, number(at_least=0, at_most=1)] = 0.5
    hold_files: Annotated[int, whole_number(0, 1_000_000_000)] = 50


@dataclass(frozen=True, slots=True)
class History:
    """How long it is remembered what happened."""

    keep_days: Annotated[float, number(at_least=0, at_most=36_500)] = 90


@dataclass(frozen=True, slots=True)
class Server:
    """The TCP listener. `port` None: there is none."""

    host: Annotated[str, host_name] = "127.0.0.1"
    port: Annotated[int | None, whole_number(1, 65_535)] = 8080

    @property
    def loopback(self) -> bool:
        """Only programs on this machine can reach it."""
        return is_loopback(self.host)


@dataclass(frozen=True, slots=True)
class Control:
    """The Unix socket. `mode` and `group` decide who may use the daemon; `group` is a name or a number as text."""

    socket: Annotated[bytes, absolute_path] = _chosen_by(_socket)
    mode: Annotated[int, file_mode] = 0o660
    group: Annotated[str | None, text] = None


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration. `scan_dirs` are absolute, end with a slash, and none lies inside another;
    symbolic links in them are left as they are, because a disk that is away must not change their names.
    """

    scan_dirs: Annotated[tuple[bytes, ...], Each(directory)] = ()
    db_path: Annotated[bytes, absolute_path] = _chosen_by(_database)
    file_extensions: FileExtensions = FileExtensions()
    ignore: Annotated[tuple[str, ...], Each(ignore_pattern)] = ()
    hashing: Hashing = field(default_factory=Hashing)
    watch: Watch = Watch()
    reconcile: Reconcile = Reconcile()
    missing: Missing = Missing()
    history: History = History()
    server: Server = Server()
    secret_token: Annotated[str | None, secret] = field(default=None, repr=False)
    control: Control = field(default_factory=Control)


class Key(NamedTuple):
    """What may stand under one key: `nullable` when null is a value; `choose` finds the value when null is not one."""

    rule: Rule | Each
    nullable: bool
    choose: Callable[[Environment], object] | None


Section = dict[str, "Key | Section"]


def keys(section: type = Config) -> Section:
    """The keys of a section in order, each with its rule, or with the section below it."""
    types = get_type_hints(section, include_extras=True)
    found: Section = {}
    for item in fields(section):
        hint = types[item.name]
        if is_dataclass(hint):
            found[item.name] = keys(cast("type", hint))
        else:
            kind, rule = get_args(hint)
            found[item.name] = Key(rule, type(None) in get_args(kind), item.metadata.get("choose"))
    return found


def dotted(section: Section, prefix: str = "") -> Iterator[tuple[str, Key]]:
    """All keys below a section as `hashing.workers`."""
    for name, key in section.items():
        if isinstance(key, Key):
            yield prefix + name, key
        else:
            yield from dotted(key, f"{prefix}{name}.")


def build(values: Mapping[str, object], section: type = Config, prefix: str = "") -> Any:
    """The frozen section from values by dotted key; what is not there has its default."""
    types = get_type_hints(section)
    arguments: dict[str, object] = {}
    for item in fields(section):
        if is_dataclass(types[item.name]):
            arguments[item.name] = build(values, cast("type", types[item.name]), f"{prefix}{item.name}.")
        elif prefix + item.name in values:
            arguments[item.name] = values[prefix + item.name]
    return section(**arguments)
