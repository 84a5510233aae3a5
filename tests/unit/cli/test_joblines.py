"""How fast a job gets on, as its looks tell."""

from __future__ import annotations

from mediawatchd.cli.joblines import Rate


def test_a_rate_needs_two_looks_and_forgets_how_it_began() -> None:
    rate = Rate()
    assert rate.after(0, 1_000) is None
    assert rate.after(1, 1_500) == 500
    for second in range(2, 12):
        last = rate.after(second, 1_500 + 10 * (second - 1))
    assert last == 10


def test_a_job_that_gets_on_every_few_seconds_has_a_steady_rate() -> None:
    rate = Rate()
    rates = [rate.after(second, second // 5) for second in range(41)]
    assert rates[5] == 0.2
    assert rates[40] == 0.2
    assert all(0.15 < each <= 0.2 for each in rates[16:] if each is not None)


def test_a_job_that_counts_anew_does_not_run_backwards() -> None:
    rate = Rate()
    rate.after(0, 0)
    rate.after(1, 100)
    assert rate.after(2, 0) is None
    assert rate.after(4, 10) == 5
