"""/metrics."""

from __future__ import annotations

from typing import Any


class Metrics:
    def __init__(self, *, daemon: Any) -> None:
        self._daemon = daemon

    def render(self) -> tuple[bytes, str]:
        return b"", "text/plain"
