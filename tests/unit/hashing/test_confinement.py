"""How a decode process runs a piece of work."""

from __future__ import annotations

import gc
import resource
import weakref
from typing import TYPE_CHECKING

import pytest

from mediawatchd.hashing.confinement import run
from mediawatchd.model import PHASH, Changed, Outcome, Stamp, Task

if TYPE_CHECKING:
    from collections.abc import Iterator

TASK = Task(1, b"/a.mkv", Stamp(1, 2, 3, 4, 1), "video", PHASH, 1, 1, 1)


class Knot:
    """Refers to itself, as a container and its streams do to each other."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Nothing is collected but by who asks for it."""
    gc.disable()
    yield
    gc.unfreeze()
    gc.enable()


@pytest.fixture
def cpu_limit() -> Iterator[None]:
    """This process, which runs many tests, may take as much processor time as before."""
    limit = resource.getrlimit(resource.RLIMIT_CPU)
    yield
    resource.setrlimit(resource.RLIMIT_CPU, limit)


@pytest.mark.usefixtures("no_collector", "cpu_limit")
@pytest.mark.parametrize("fails", [False, True])
def test_the_pictures_of_one_file_are_gone_before_the_next(fails: bool) -> None:
    # A dozen films of 4K filled the memory limit, and the thirteenth was told to need too much.
    knots: list[weakref.ref[Knot]] = []

    def work(task: Task) -> Outcome:
        knots.append(weakref.ref(Knot()))
        if fails:
            raise ValueError
        return Changed(task.file_id, task.stamp, task.path, None)

    if fails:
        with pytest.raises(ValueError):  # noqa: PT011 - whatever it raises
            run(work, TASK, (), 60)
    else:
        run(work, TASK, (), 60)
    assert knots[0]() is None
