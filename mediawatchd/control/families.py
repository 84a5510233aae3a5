"""The shapes of Prometheus metrics, filled from plain values.

Used by the collector in `metrics`, on the thread of whoever scrapes. A name is given without its prefix, a sample by
the values of its labels. Samples that may come later are filled in as 0: what only appears when it first happens is
missed by `rate` and by every alert.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, TypeVar, cast

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mediawatchd.telemetry.durations import DurationCounts

Labels = TypeVar("Labels", bound=tuple[str, ...])

PREFIX = "mediawatchd_"


def gauge(name: str, text: str, samples: float | Mapping[Labels, float], *labels: str) -> GaugeMetricFamily:
    """What goes up and down. `text` is its help; `samples` a single value when there are no labels."""
    family = GaugeMetricFamily(PREFIX + name, text, labels=labels)
    for values, value in _samples(samples).items():
        family.add_metric(values, value)
    return family


def counter(name: str, text: str, samples: float | Mapping[Labels, float], *labels: str) -> CounterMetricFamily:
    """What only grows, from 0 at the start of the daemon; `name` without `_total`."""
    family = CounterMetricFamily(PREFIX + name, text, labels=labels)
    for values, value in _samples(samples).items():
        family.add_metric(values, value)
    return family


def histogram(name: str, text: str, samples: Mapping[Labels, DurationCounts], *labels: str) -> HistogramMetricFamily:
    """How often something took up to so many seconds."""
    family = HistogramMetricFamily(PREFIX + name, text, labels=labels)
    for values, (bounds, counts, total_seconds) in samples.items():
        names = [*map(floatToGoString, bounds), "+Inf"]
        family.add_metric(values, list(zip(names, accumulate(counts), strict=True)), total_seconds)
    return family


def from_zero(possible: Iterable[Labels], counts: Mapping[Labels, float]) -> dict[Labels, float]:
    """The counts, and 0 for everything else that is possible."""
    return {**dict.fromkeys(possible, 0), **counts}


def _samples(samples: float | Mapping[Labels, float]) -> Mapping[Labels, float]:
    return cast("Mapping[Labels, float]", {(): samples}) if isinstance(samples, int | float) else samples
