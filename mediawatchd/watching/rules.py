"""Which names are media, and which paths are ignored.

`Rules` never changes once made, so every thread and the watcher's process may ask it, and it touches no disk.
A walk asks `media_file` for every name it meets, a million times, so that one is written for speed.

Order as in a .gitignore: the names of unfinished downloads come first, the user's patterns after them, and
the last that matches decides. So a pattern such as `!*.part` brings back what is ignored by default.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_UNFINISHED_SUFFIXES: Final = {
    pattern[1:].encode(): pattern
    for pattern in ("*.part", "*.partial", "*.!qB", "*.!ut", "*.crdownload", "*.aria2", "*.tmp")
}
_SYNCTHING: Final = ".syncthing.*"
_UNPACKING: Final = "_UNPACK_*/"
# While rsync writes film.mkv it is called .film.mkv.Xa3bQ9.
_RSYNC: Final = ".?*." + 6 * "[0-9A-Za-z]"
_RSYNC_NAME: Final = re.compile(rb"\..+\.[0-9A-Za-z]{6}", re.DOTALL)
_UNFINISHED: Final = (*_UNFINISHED_SUFFIXES.values(), _SYNCTHING, _UNPACKING, _RSYNC)


class Extensions(Protocol):
    """The extensions of media files, with or without the leading dot, in any case."""

    @property
    def video(self) -> tuple[str, ...]: ...
    @property
    def audio(self) -> tuple[str, ...]: ...


class Ignored(NamedTuple):
    """The rule that leaves a path out, as it is written; `above`: the folder on the way that it is about, if any."""

    rule: str
    is_built_in: bool
    above: bytes | None


class Rules:
    """Immutable. Paths are relative to the root; that of a directory may end in a slash or not.

    `ignore` holds the user's patterns in .gitignore syntax; ValueError names one that cannot be understood.
    """

    __slots__ = ("_look_closer", "_patterns", "_types")

    def __init__(self, *, extensions: Extensions, ignore: Iterable[str] = ()) -> None:
        self._types: dict[bytes, Literal["video", "audio"]] = {
            **dict.fromkeys(_normalised(extensions.audio), "audio"),
            **dict.fromkeys(_normalised(extensions.video), "video"),
        }
        # The last one that matches decides, so that one is asked first.
        self._patterns = tuple(reversed(tuple(_compile(ignore))))
        unfinished = {suffix[1:].lower() for suffix in _UNFINISHED_SUFFIXES}
        self._look_closer = bool(self._patterns) or not unfinished.isdisjoint(self._types)

    def media_type(self, name: bytes) -> Literal["video", "audio"] | None:
        """Say what a file of this name is, by its extension. A leading dot alone starts no extension."""
        stem, _, extension = name.rpartition(b".")
        return self._types.get(extension.lower()) if stem else None

    def media_file(self, directory: bytes, name: bytes) -> Literal["video", "audio"] | None:
        """Return the media type of a file in `directory` (b"" or ending in a slash) unless it is ignored.

        The same as `media_type` and `ignored`, for a walk.
        """
        stem, _, extension = name.rpartition(b".")
        if not stem or (kind := self._types.get(extension.lower())) is None:
            return None
        # With the extension of a media file, only hidden names can be those of unfinished downloads.
        if (self._look_closer or name[0] == 46) and self._rule(directory + name, False) is not None:
            return None
        return kind

    def ignored(self, relative: bytes, is_directory: bool) -> bool:
        """Say whether a rule is about this very path. For a walk, which does not enter what is ignored."""
        return self._rule(relative, is_directory) is not None

    def ignored_below(self, relative: bytes, is_directory: bool = False) -> bool:
        """Say whether this path or a directory on the way to it is ignored. For a path from elsewhere."""
        return self.which(relative, is_directory) is not None

    def which(self, relative: bytes, is_directory: bool) -> str | None:
        """Return the rule that ignores this path, or the first directory on the way to it, as it is written."""
        found = self.explain(relative, is_directory)
        return None if found is None else found.rule

    def explain(self, relative: bytes, is_directory: bool) -> Ignored | None:
        """Say which rule ignores this path, or the first directory on the way to it; None when it is not ignored."""
        for path, directory in _way_to(relative, is_directory):
            if (rule := self._rule(path, directory)) is not None:
                is_built_in = all(rule != pattern.text for pattern in self._patterns)
                return Ignored(rule, is_built_in, path if len(path) < len(relative.rstrip(b"/")) else None)
        return None

    def fingerprint(self) -> str:
        """Return hex digits that stay the same, over restarts too, until the rules are others."""
        rules = [
            sorted((key.hex(), kind) for key, kind in self._types.items()),
            [pattern.text for pattern in self._patterns],
            _UNFINISHED,
        ]
        return hashlib.sha256(json.dumps(rules).encode()).hexdigest()

    def _rule(self, relative: bytes, is_directory: bool) -> str | None:
        path = relative.rstrip(b"/") if is_directory else relative
        if not path:
            return None  # the root itself
        if self._patterns:
            # A dot in pathspec's expressions matches no newline, and no name holds a zero byte.
            text = path.decode("utf-8", "surrogateescape").replace("\n", "\0")
            for pattern in self._patterns:
                if pattern.matches(text, is_directory):
                    return pattern.text if pattern.ignores else None
        return _unfinished(path.rpartition(b"/")[2], is_directory)


class _Pattern(NamedTuple):
    text: str
    ignores: bool
    directories_only: bool
    regex: re.Pattern[str]

    def matches(self, path: str, is_directory: bool) -> bool:
        """Say whether the pattern is about this very path, written without a slash at its end.

        As git decides, for whom each directory on the way has had its turn before. `GitIgnoreSpec` itself also
        counts a match of such a directory, and takes `extras/**` to be about `extras`.
        """
        if self.directories_only and not is_directory:
            return False
        match = self.regex.search(path)
        # The only group in pathspec's expressions marks the slash behind a directory that matched.
        return match is not None and match.lastgroup is None


def _compile(patterns: Iterable[str]) -> Iterator[_Pattern]:
    for text in patterns:
        line = text if text.endswith("\\ ") else text.rstrip()
        try:
            pattern = GitIgnoreSpecPattern(line.removesuffix("/"))
        except (ValueError, re.error) as error:
            raise ValueError(f"{text!r} is not a pattern as in a .gitignore file") from error
        if pattern.include is not None and pattern.regex is not None:  # None: a comment, or nothing at all
            yield _Pattern(text, pattern.include, line.endswith("/"), pattern.regex)


def _normalised(extensions: tuple[str, ...]) -> Iterator[bytes]:
    for extension in extensions:
        yield extension.removeprefix(".").encode().lower()


def _unfinished(name: bytes, is_directory: bool) -> str | None:
    if (rule := _UNFINISHED_SUFFIXES.get(name[name.rfind(b".") :])) is not None:
        return rule
    if name.startswith(b"."):
        if name.startswith(b".syncthing."):
            return _SYNCTHING
        # Files only: a folder called .config.backup is somebody's own.
        return _RSYNC if not is_directory and _RSYNC_NAME.fullmatch(name) else None
    return _UNPACKING if is_directory and name.startswith(b"_UNPACK_") else None


def _way_to(relative: bytes, is_directory: bool) -> Iterator[tuple[bytes, bool]]:
    """Yield each directory on the way, from the top, and the path itself at last."""
    path = relative.rstrip(b"/") if is_directory else relative
    end = 0
    while (end := path.find(b"/", end + 1)) > 0:
        yield path[:end], True
    yield path, is_directory
