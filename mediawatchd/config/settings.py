"""What has been said of each key, by whom, and what is wrong with it; between the reading and the finished values."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """Where a thing was said: a file or the command line, and the line from 1 on, None when it has none."""

    source: str
    line: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


class Mistake(NamedTuple):
    """One thing to correct; `key` is dotted, or empty for the file as a whole."""

    place: Place
    key: str
    what: str
    hint: str

    def __str__(self) -> str:
        said = ": ".join(filter(None, (str(self.place), self.key, self.what)))
        return f"{said}; {self.hint}" if self.hint else said


class Settings:
    """Owned by the one call that loads a configuration.

    `values` and `places` are by dotted key and hold the items of lists too, as `scan_dirs[0]`. A key with a
    mistake has a place and no value.
    """

    def __init__(self, *, source: str) -> None:
        self.source = source
        self.values: dict[str, object] = {}
        self.places: dict[str, Place] = {}
        self.mistakes: list[Mistake] = []

    def wrong(self, key: str, what: str, hint: str = "", *, place: Place | None = None) -> None:
        """Note a mistake where the key was given, or at `place`."""
        self.mistakes.append(Mistake(place or self.places.get(key, Place(self.source)), key, what, hint))

    def is_wrong(self, key: str) -> bool:
        return any(mistake.key == key for mistake in self.mistakes)

    def items(self, key: str) -> list[tuple[str, object]]:
        """The items of a list that are right, each with its own key."""
        return [(name, value) for name, value in self.values.items() if name.startswith(f"{key}[")]

    def drop(self, key: str) -> None:
        """Forget what was said of a key, since something that goes before it says otherwise."""
        for name in [name for name in self.places if name == key or name.startswith(f"{key}[")]:
            del self.places[name]
            self.values.pop(name, None)
        self.values.pop(key, None)
