from __future__ import annotations

import pytest

from tests.wait import wait_until


def test_the_first_true_value_is_given_back() -> None:
    values = iter([None, [], "found", "later"])
    assert wait_until(lambda: next(values), within=5, poll=0) == "found"


def test_the_message_says_what_was_waited_for_and_what_there_was_instead() -> None:
    queue = [1, 2]
    with pytest.raises(AssertionError) as raised:
        wait_until(lambda: queue == [], within=0, shows=lambda: queue)
    assert "queue == []" in str(raised.value)
    assert "gave False" in str(raised.value)
    assert "[1, 2]" in str(raised.value)


def test_a_condition_true_at_the_last_look_counts() -> None:
    assert wait_until(lambda: True, within=0)
