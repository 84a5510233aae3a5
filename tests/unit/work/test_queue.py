from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from mediawatchd.model import ASKED, LIVE, QUICK_HASH, WALKED, Stamp, Task
from mediawatchd.work.queue import WorkQueue, take_first
from tests.wait import wait_until

if TYPE_CHECKING:
    from concurrent.futures import Future

WITHIN = 10.0


def task(file_id: int, *, priority: int = WALKED, filesystem: int = 1) -> Task:
    return Task(file_id, b"/a.mkv", Stamp(1, 2, 3, 4, 1), "video", QUICK_HASH, 1, filesystem, priority)


def ids(tasks: list[Task]) -> list[int]:
    return [each.file_id for each in tasks]


@pytest.fixture
def queue() -> WorkQueue:
    return WorkQueue(capacity=5, busy_limit=2)


def taking(queue: WorkQueue, limit: int = 1) -> Future[list[Task]]:
    """Somebody who waits in `take`."""
    asked = threading.Event()

    def take() -> list[Task]:
        asked.set()
        return queue.take(limit)

    pool = ThreadPoolExecutor(1)
    future = pool.submit(take)
    pool.shutdown(wait=False)
    assert asked.wait(WITHIN)
    return future


def test_a_row_that_was_read_before_its_outcome_was_committed_is_not_offered_again(queue: WorkQueue) -> None:
    # After a stall of the writer one file in twenty was hashed twice.
    queue.look()
    read = [task(1), task(2)]
    queue.offer(read)
    assert ids(queue.take(1)) == [1]
    queue.look()
    queue.release([1])
    assert queue.offer(read) == 0
    queue.look()
    assert queue.offer(read) == 1


def test_tasks_come_in_the_order_they_were_offered(queue: WorkQueue) -> None:
    assert queue.offer([task(3), task(1), task(2)]) == 3
    assert ids(queue.take(2)) == [3, 1]
    assert ids(queue.take(2)) == [2]


def test_live_goes_before_walked_and_walked_before_asked(queue: WorkQueue) -> None:
    queue.offer([task(1, priority=ASKED), task(2, priority=WALKED), task(3, priority=LIVE), task(4, priority=LIVE)])
    assert ids(queue.take(5)) == [3, 4, 2, 1]


def test_live_goes_first_across_file_systems(queue: WorkQueue) -> None:
    queue.offer([task(1, filesystem=1), task(2, filesystem=2, priority=LIVE)])
    assert ids(queue.take(1)) == [2]


def test_what_a_taker_gets_lies_on_one_file_system(queue: WorkQueue) -> None:
    queue.offer([task(1, filesystem=1), task(2, filesystem=2), task(3, filesystem=1)])
    assert ids(queue.take(5)) == [1, 3]
    assert ids(queue.take(5)) == [2]


def test_a_file_is_held_until_its_outcome_is_committed(queue: WorkQueue) -> None:
    queue.offer([task(1)])
    assert queue.offer([task(1)]) == 0
    queue.take(1)
    assert queue.offer([task(1)]) == 0
    queue.done(1)
    assert queue.offer([task(1)]) == 0
    queue.release([1, 99])
    queue.look()
    assert queue.offer([task(1)]) == 1
    assert ids(queue.take(9)) == [1]


def test_room_counts_what_is_with_takers_and_what_awaits_its_commit(queue: WorkQueue) -> None:
    assert queue.room() == 5
    queue.offer([task(1), task(2), task(3)])
    assert queue.room() == 2
    queue.take(2)
    queue.done(1)
    assert queue.room() == 2
    queue.release([1, 2])
    assert queue.room() == 4


def test_room_is_never_negative(queue: WorkQueue) -> None:
    queue.offer([task(number) for number in range(8)])
    assert queue.room() == 0


def test_a_file_system_has_only_so_many_takers_at_a_time(queue: WorkQueue) -> None:
    queue.offer([task(1), task(2), task(3), task(4, filesystem=2)])
    assert ids(queue.take(1)) == [1]
    assert ids(queue.take(1)) == [2]
    assert ids(queue.take(1)) == [4]
    third = taking(queue)
    assert not third.done()
    queue.done(2)
    assert not third.done()
    queue.done(1)
    assert ids(third.result(WITHIN)) == [3]


def test_taking_waits_for_an_offer(queue: WorkQueue) -> None:
    waiting = taking(queue)
    assert not waiting.done()
    queue.offer([task(1)])
    assert ids(waiting.result(WITHIN)) == [1]


def test_many_offers_wake_many_takers() -> None:
    queue = WorkQueue(capacity=100, busy_limit=4)
    waiting = [taking(queue) for _ in range(4)]
    queue.offer([task(number) for number in range(4)])
    assert sorted(ids(taken.result(WITHIN))[0] for taken in waiting) == [0, 1, 2, 3]


def test_each_task_is_handed_out_once() -> None:
    queue = WorkQueue(capacity=2000, busy_limit=8)
    queue.offer([task(number, filesystem=number % 3) for number in range(2000)])
    taken: list[int] = []

    def work() -> None:
        while tasks := queue.take(7):
            taken.extend(ids(tasks))
            queue.done(tasks[0].filesystem_id)

    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(work)
        wait_until(lambda: len(taken) >= 2000, within=WITHIN)
        queue.close()
    assert sorted(taken) == list(range(2000))


def test_while_paused_nothing_is_handed_out(queue: WorkQueue) -> None:
    queue.pause(True)
    queue.offer([task(1)])
    waiting = taking(queue)
    assert not waiting.done()
    assert queue.statistics().length == 1
    queue.pause(False)
    assert ids(waiting.result(WITHIN)) == [1]


def test_closing_wakes_all_and_hands_out_nothing_more(queue: WorkQueue) -> None:
    waiting = [taking(queue) for _ in range(3)]
    queue.close()
    assert [taken.result(WITHIN) for taken in waiting] == [[], [], []]
    queue.offer([task(1)])
    assert queue.take(1) == []


def test_closing_wakes_who_waits_in_a_pause(queue: WorkQueue) -> None:
    queue.pause(True)
    waiting = taking(queue)
    queue.close()
    assert waiting.result(WITHIN) == []


def test_statistics(queue: WorkQueue) -> None:
    queue.offer([task(1), task(2), task(3)])
    queue.take(2)
    assert queue.statistics()[:4] == (1, 5, 3, 1)
    queue.done(1)
    queue.release([1])
    assert queue.statistics()[:4] == (1, 5, 2, 0)


def test_no_more_than_its_takers_are_at_work_whatever_the_file_systems() -> None:
    queue = WorkQueue(capacity=5, busy_limit=2, takers=2)
    queue.offer([task(1, filesystem=1), task(2, filesystem=2), task(3, filesystem=3)])
    assert [ids(queue.take(1)), ids(queue.take(1))] == [[1], [2]]
    waiting = taking(queue)
    assert not waiting.done()
    queue.done(2)
    assert ids(waiting.result(WITHIN)) == [3]


def test_of_queues_with_the_same_takers_the_first_goes_first() -> None:
    changed = threading.Condition()
    first, second = (WorkQueue(capacity=5, busy_limit=1, changed=changed) for _ in range(2))
    second.offer([task(11), task(12)])
    first.offer([task(1), task(2)])
    assert take_first([first, second], 1) == (first, [task(1)])
    assert take_first([first, second], 1) == (second, [task(11)]), "the first has nothing that may be taken now"
    first.done(1)
    assert take_first([first, second], 1) == (first, [task(2)])


def test_who_waits_for_several_queues_hears_of_each_and_of_their_end() -> None:
    changed = threading.Condition()
    first, second = (WorkQueue(capacity=5, busy_limit=1, changed=changed) for _ in range(2))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(take_first, [first, second], 1)
        second.offer([task(11)])
        assert waiting.result(WITHIN)[1] == [task(11)]
        waiting = pool.submit(take_first, [first, second], 1)
        second.close()
        assert waiting.result(WITHIN)[1] == []


def test_what_another_queue_handed_out_is_taken_along_if_it_might_be_taken_here() -> None:
    queue = WorkQueue(capacity=5, busy_limit=2, takers=2)
    assert queue.take_along(task(1))
    assert not queue.take_along(task(1))
    assert (queue.statistics().held, queue.statistics().busy, queue.is_empty()) == (1, 1, True)
    assert queue.offer([task(1)]) == 0
    queue.offer([task(2, filesystem=2)])
    assert not queue.take_along(task(3)), "another waits"
    assert ids(queue.take(1)) == [2]
    assert not queue.take_along(task(3)), "nobody is free"
    queue.done(1)
    queue.pause(True)
    assert not queue.take_along(task(3))
    queue.pause(False)
    assert queue.take_along(task(3))
    queue.release([1])
    assert queue.room() == 3


def test_what_is_withdrawn_leaves_its_place_and_may_be_offered_again(queue: WorkQueue) -> None:
    queue.offer([task(1), task(2, filesystem=2), task(3), task(4, priority=LIVE)])
    queue.withdraw(lambda task: task.file_id in {2, 3, 9})
    assert (queue.statistics().length, queue.statistics().held, queue.room()) == (2, 2, 3)
    assert queue.saturated() == frozenset([1])
    assert queue.offer([task(3), task(1)]) == 1
    assert ids(queue.take(5)) == [4, 1, 3]
