"""Tables of plain text: aligned by what a terminal shows, not by counting characters.

One column may be cut to the width of the screen; without a width nothing is cut, so that what reads the
output of a pipe finds whole paths.
"""

from __future__ import annotations

from mediawatchd.cli.screen import columns

TYPE_CHECKING = False  # as typing has it; importing that costs 5 ms of the 80
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mediawatchd.cli.screen import Screen

_GAP = "  "
_LEAST_CUT = 16


class Column:
    """A heading, and how the cells below it stand; `least` keeps pages of one list under the same heading."""

    __slots__ = ("cut", "heading", "least", "right")

    def __init__(self, heading: str, *, right: bool = False, least: int = 0, cut: bool = False) -> None:
        self.heading = heading
        self.right = right
        self.least = least
        self.cut = cut


class Cell:
    """A text, already safe to show, and its style."""

    __slots__ = ("style", "text")

    def __init__(self, text: str, style: str = "") -> None:
        self.text = text
        self.style = style


class Table:
    """Turns rows into lines. Column widths are fixed by the first rows it is given and can only grow."""

    def __init__(self, *layout: Column, screen: Screen) -> None:
        self._layout = layout
        self._screen = screen
        self._widths = [max(column.least, columns(column.heading)) for column in layout]

    def lines(self, rows: Iterable[Sequence[Cell]]) -> list[str]:
        """A line for each row."""
        rows = list(rows)
        for row in rows:
            self._widths = [max(width, columns(cell.text)) for width, cell in zip(self._widths, row, strict=True)]
        return [self._line(row) for row in rows]

    def heading(self) -> str:
        """The line above; right only after the rows below it were measured."""
        return self._line([Cell(column.heading, "bold") for column in self._layout])

    def _line(self, row: Sequence[Cell]) -> str:
        cells = []
        last = len(row) - 1
        for position, (column, cell) in enumerate(zip(self._layout, row, strict=True)):
            width = self._room(position) if column.cut else self._widths[position]
            text = self._screen.end_of(cell.text, width) if column.cut else cell.text
            blanks = " " * (width - columns(text))
            painted = self._screen.painted(text, cell.style)
            cells.append(blanks + painted if column.right else painted if position == last else painted + blanks)
        return _GAP.join(cells).rstrip()

    def _room(self, position: int) -> int:
        """The width of the column that can be cut: its own, or what the others leave of the screen."""
        own = self._widths[position]
        if self._screen.width is None:
            return own
        others = sum(self._widths) - own + len(_GAP) * (len(self._widths) - 1)
        return max(_LEAST_CUT, min(own, self._screen.width - others))
