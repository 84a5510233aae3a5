"""How large the catalog of a library is on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.report import Line, at_most

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMIT = 260.0


def run(state: Path, *, files: int) -> Iterator[Line]:
    """`state` holds a catalog that was closed."""
    size = (state / "catalog.db").stat().st_size
    yield at_most("catalog", size / files, LIMIT, "bytes a file", f"{size / 1e6:.0f} MB, every file probed")
