"""What a benchmark has found, as lines of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Line(NamedTuple):
    """One figure. `met` None: it could not be measured, or is told without a target."""

    what: str
    measured: str
    target: str = ""
    met: bool | None = None
    detail: str = ""


def at_most(what: str, value: float, limit: float, unit: str, detail: str = "") -> Line:
    """A figure with a target that it must not exceed."""
    return Line(what, f"{value:,.2f} {unit}", f"<= {limit:,g} {unit}", value <= limit, detail)


def table(lines: Sequence[Line]) -> str:
    """All lines, aligned."""
    rows = [("", "measured", "target", "", ""), *map(_cells, lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]).rstrip()
        for row in rows
    )


def _cells(line: Line) -> tuple[str, ...]:
    met = "" if line.met is None else "met" if line.met else "MISSED"
    return line.what, line.measured, line.target, met, line.detail
