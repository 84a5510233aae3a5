"""Waiting for something to become true, with an end."""

from __future__ import annotations

import inspect
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T], *, within: float, poll: float = 0.01, shows: Callable[[], object] | None = None
) -> T:
    """The first true value of `condition`, asked every `poll` seconds.

    Fails the test after `within` seconds, with the last value and, when given, what `shows` then returns.
    What `condition` raises is not held back.
    """
    end = time.monotonic() + within
    while True:
        over = time.monotonic() >= end  # asked before the last look, so that a late look still counts
        value = condition()
        if value:
            return value
        if over:
            state = f"; there is {shows()!r}" if shows else ""
            raise AssertionError(f"not within {within:g} s: {_words(condition)}; it last gave {value!r}{state}")
        time.sleep(poll)


def _words(condition: Callable[[], object]) -> str:
    """A lambda says nothing by its name, so its source line speaks for it."""
    name = getattr(condition, "__qualname__", repr(condition))
    if "<lambda>" not in name:
        return name
    try:
        return " ".join(inspect.getsource(condition).split())
    except (OSError, TypeError):
        return name
