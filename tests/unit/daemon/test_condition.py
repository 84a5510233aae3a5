"""What the daemon says of itself when something is not as it should be."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

from mediawatchd.daemon.condition import Condition
from mediawatchd.model import Away
from mediawatchd.telemetry.heartbeat import Heartbeats
from tests.rooted import rooted
from tests.trees import size, tree

if TYPE_CHECKING:
    from pathlib import Path


def test_a_disk_below_a_root_that_is_away_is_a_trouble(tmp_path: Path) -> None:
    root = tree({"a.mkv": size(10)}).under(tmp_path / "media")
    with rooted(tmp_path, root) as parts:
        condition = Condition(
            database=parts.database,
            writer=parts.writer,
            roots=parts.roots,
            observers=lambda: SimpleNamespace(statistics=lambda: SimpleNamespace(degraded=None)),  # type: ignore[arg-type, return-value]
            heartbeats=Heartbeats(),
        )
        assert condition.troubles() == []
        parts.keeper(root)._visitor.away = frozenset({Away(root + b"drive/", 7)})
        (trouble,) = condition.troubles()
        assert trouble == f"{os.fsdecode(root)[:-1]}: a disk below it is away: {os.fsdecode(root)}drive"
