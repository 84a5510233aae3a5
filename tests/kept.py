"""A root with a keeper, and a gate at which its walks wait."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from mediawatchd.watching import visitor, walker
from tests.parts import WITHIN
from tests.rooted import Rooted, rooted
from tests.trees import size, tree
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> bytes:
    return tree({"films/a.mkv": size(10), "films/b.mkv": size(20), "c.mp3": size(30)}).under(tmp_path / "media")


@pytest.fixture
def parts(tmp_path: Path, root: bytes) -> Iterator[Rooted]:
    with rooted(tmp_path, root) as made:
        yield made


class Gate:
    """Holds up the keeper in its next look at a directory, from `shut` to `open`, so long that it looks around then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._may_pass = threading.Event()
        self._may_pass.set()
        self.reached = threading.Event()
        looked = visitor.Visitor._list

        def slow(*arguments: object) -> object:
            if not self._may_pass.is_set():
                self.reached.set()
                assert self._may_pass.wait(WITHIN)
                slice_over = time.monotonic() + walker.SLICE_SECONDS
                wait_until(lambda: time.monotonic() > slice_over, within=WITHIN)
            return looked(*arguments)  # type: ignore[arg-type] - handed through

        monkeypatch.setattr(visitor.Visitor, "_list", slow)
        monkeypatch.setattr(walker, "SLICE_SECONDS", 0.01)

    def shut(self) -> None:
        self.reached.clear()
        self._may_pass.clear()

    def open(self) -> None:
        self._may_pass.set()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    made = Gate(monkeypatch)
    yield made
    made.open()


def told(parts: Rooted) -> list[str]:
    """What the history says of roots."""
    parts.flush()
    with parts.database.reader() as connection:
        return [row[0] for row in connection.execute("SELECT detail FROM history WHERE event = 'root' ORDER BY seq")]
