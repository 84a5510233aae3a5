"""pebble's pool of processes, with patience for one that dies before it is known what it had.

A process says which work it took, and may be dead a moment later. pebble 5 looks for dead processes in one thread and
reads what they said in another; where the first is faster it gives up all processes, with all that they have.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pebble
from pebble.pool.process import PoolManager

if TYPE_CHECKING:
    from multiprocessing.context import SpawnContext

_PATIENCE_SECONDS = 1.0  # with what is in a pipe already; an idle process that was killed had said nothing


class _Manager(PoolManager):
    def find_expired_task(self, worker_id: int) -> Any:
        """The work that a dead process had. Called by pebble's thread that looks for dead processes."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while not self._is_known(worker_id) and time.monotonic() < end:
            time.sleep(0.01)
        return super().find_expired_task(worker_id)

    def _is_known(self, worker_id: int) -> bool:
        return any(task.worker_id == worker_id for task in list(self.task_manager.tasks.values()))


class Processes(pebble.ProcessPool):
    """Takes what pebble's pool takes."""

    def __init__(self, *, context: SpawnContext, **settings: Any) -> None:
        super().__init__(context=context, **settings)
        self._pool_manager = _Manager(self._context, context)
