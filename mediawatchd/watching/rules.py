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
import warnings
from typing import TYPE_CHECKING, Final, Literal, Protocol

from pathspec import GitIgnoreSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_UNFINISHED_SUFFIXES: Final = {
    pattern[1:].encode(): pattern
    for pattern in ("*.part", "*.partial", "*.!qB", "*.!ut", "*.crdownload", "*.aria2", "*.tmp")
}
_SYNCTHING: Final = ".syncthing.*"
_UNPACKING: Final = "_UNPACK_*/"
# While rsync writes film.mkv it is called .film.mkv.Xa3bQ9. As a pattern this is beyond .gitignore.
_RSYNC: Final = ".NAME.XXXXXX"
_RSYNC_NAME: Final = re.compile(rb"\..+\.[0-9A-Za-z]{6}", re.DOTALL)
_UNFINISHED: Final = (*_UNFINISHED_SUFFIXES.values(), _SYNCTHING, _UNPACKING, _RSYNC)


class Extensions(Protocol):
    """The extensions of media files, with or without the leading dot, in any case."""

    @property
    def video(self) -> tuple[str, ...]: ...
    @property
    def audio(self) -> tuple[str, ...]: ...


class Rules:
    """Immutable. Paths are relative to the root; that of a directory may end in a slash or not.

    `ignore` holds the user's patterns in .gitignore syntax; ValueError lists those that make no sense.
    """

    __slots__ = ("_ignore", "_look_closer", "_spec", "_types")

    def __init__(self, *, extensions: Extensions, ignore: Iterable[str] = ()) -> None:
        self._ignore = tuple(pattern for pattern in ignore if pattern.strip())
        if found := problems(self._ignore):
            raise ValueError("; ".join(found))
        self._types: dict[bytes, Literal["video", "audio"]] = {
            **dict.fromkeys(_normalised(extensions.audio), "audio"),
            **dict.fromkeys(_normalised(extensions.video), "video"),
        }
        self._spec = _compile(self._ignore) if self._ignore else None
        unfinished = {suffix[1:].lower() for suffix in _UNFINISHED_SUFFIXES}
        self._look_closer = self._spec is not None or not unfinished.isdisjoint(self._types)

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
        for path, directory in _way_to(relative, is_directory):
            if (rule := self._rule(path, directory)) is not None:
                return rule
        return None

    def fingerprint(self) -> str:
        """Return hex digits that are the same as long as the rules are, in this version and in later ones."""
        rules = [sorted((key.hex(), kind) for key, kind in self._types.items()), self._ignore, _UNFINISHED]
        return hashlib.sha256(json.dumps(rules).encode()).hexdigest()

    def _rule(self, relative: bytes, is_directory: bool) -> str | None:
        path = relative.rstrip(b"/") if is_directory else relative
        if not path:
            return None  # the root itself
        if self._spec is not None:
            # A dot in pathspec's expressions matches no newline, and no name holds a zero byte.
            text = path.decode("utf-8", "surrogateescape").replace("\n", "\0")
            verdict = self._spec.check_file(text + "/" if is_directory else text)
            if verdict.include is not None:
                return self._ignore[verdict.index] if verdict.include and verdict.index is not None else None
        return _unfinished(path.rpartition(b"/")[2], is_directory)


def problems(patterns: Iterable[str]) -> list[str]:
    """Return a sentence for each pattern that cannot be understood, or can never match; none: all are well."""
    return [f"{pattern!r}: {problem}" for pattern in patterns if (problem := _problem(pattern)) is not None]


def _problem(pattern: str) -> str | None:
    text = pattern.strip()
    if not text or text.startswith("#"):
        return None
    if "\n" in pattern or "\0" in pattern:
        return "a pattern is one line without zero bytes"
    if text.removeprefix("!").startswith(("./", "../", "//")):
        return "matches nothing: patterns start at the root, as in /extras/"
    try:
        with warnings.catch_warnings():
            # Python warns of a set that means something else than in .gitignore, such as [[:alpha:]].
            warnings.simplefilter("error")
            compiled = list(_compile((pattern,)).patterns)
    except (ValueError, re.error, Warning) as error:
        return f"not a .gitignore pattern ({error})"
    if not any(one.include is not None for one in compiled):
        return "matches nothing: is a bracket left open?"
    return None


def _compile(patterns: tuple[str, ...]) -> GitIgnoreSpec:
    # The other back ends of pathspec are used when they happen to be installed, and refuse undecodable names.
    return GitIgnoreSpec.from_lines(patterns, backend="simple")


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
