"""Sentences on a screen: wrapped at words to its width, with what they belong to in front."""

from __future__ import annotations

from mediawatchd.cli.screen import columns

TYPE_CHECKING = False  # as typing has it; importing that costs 5 ms of the 80
if TYPE_CHECKING:
    from mediawatchd.cli.screen import Screen


def paragraph(text: str, screen: Screen, *, first: str = "", label: str = "", style: str = "") -> list[str]:
    """`text`, safe to show already, behind `first` (shown width: that of `label`, default itself), wrapped.

    A word that is longer than the screen, such as a path, stays whole: it may be wanted for copying.
    """
    indent = columns(label or first)
    room = None if screen.width is None else max(20, screen.width - indent)
    lines: list[str] = []
    for word in text.split(" "):
        if lines and (room is None or columns(lines[-1]) + 1 + columns(word) <= room):
            lines[-1] += " " + word
        else:
            lines.append(word)
    return [
        (" " * indent if number else first) + screen.painted(line, style) for number, line in enumerate(lines or [""])
    ]
