"""A picture of how far apart videos are: copies, lookalikes and strangers, and where the product draws its lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from PIL import Image, ImageDraw, ImageFont

from benchmarks.similar.hashing import CLIP, FILM
from mediawatchd.similarity.score import DUPLICATE_BITS, PROBABLE_BITS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.similar.findings import Findings, Pair

_MOST_BITS = 144
_BIN_BITS = 2
_WIDTH, _LEFT, _RIGHT = 1200, 90, 30
_TOP, _PANEL, _PLOT = 96, 190, 130
_INK, _PALE, _LINE = "#222222", "#888888", "#c0392b"


class _Panel(NamedTuple):
    title: str
    pairs: Sequence[Pair]
    alike: str
    """The colour of pairs that are taken for alike."""
    other: str


def draw(findings: Findings, path: Path) -> None:
    """Write a PNG: for each sort of pairs a histogram of their distances, scaled to its own highest bar."""
    panels = (
        _Panel("copies of the clips", [p for p in findings.copies if p.a.source.kind == CLIP], "#1e8449", "#e74c3c"),
        _Panel("copies of long films", [p for p in findings.copies if p.a.source.kind == FILM], "#1e8449", "#e74c3c"),
        _Panel(
            "copies of lookalikes",
            [p for p in findings.copies if p.a.source.kind not in {CLIP, FILM}],
            "#1e8449",
            "#e74c3c",
        ),
        _Panel("lookalikes: no copies", [p for p in findings.others if p.lookalikes], "#e74c3c", "#aab7c4"),
        _Panel("strangers", [p for p in findings.others if not p.lookalikes], "#e74c3c", "#aab7c4"),
    )
    image = Image.new("RGB", (_WIDTH, _TOP + _PANEL * len(panels) + 40), "white")
    canvas = ImageDraw.Draw(image)
    canvas.text((_LEFT, 14), "How far apart videos are, in bits of 256 a frame", _INK, ImageFont.load_default(24))
    canvas.text(
        (_LEFT, 50),
        "green: copies that are found; grey: others that are not told to be alike; red: what is missed, or mistaken",
        _PALE,
        ImageFont.load_default(15),
    )
    for number, panel in enumerate(panels):
        _draw_panel(canvas, panel, _TOP + _PANEL * number)
    bottom = _TOP + _PANEL * len(panels)
    for bits, name in ((DUPLICATE_BITS, "duplicate"), (PROBABLE_BITS, "probable")):
        for y in range(_TOP - 6, bottom - 10, 8):
            canvas.line((_x(bits), y, _x(bits), y + 4), _LINE)
        canvas.text((_x(bits) - 4, _TOP - 8), f"{name} to {bits:.0f}", _LINE, ImageFont.load_default(13), "rm")
    image.save(path)


def _x(bits: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * min(bits, _MOST_BITS) / _MOST_BITS


def _draw_panel(canvas: ImageDraw.ImageDraw, panel: _Panel, top: int) -> None:
    bins = [[0, 0] for _ in range(_MOST_BITS // _BIN_BITS)]
    for pair in panel.pairs:
        bins[min(int(pair.match.distance / _BIN_BITS), len(bins) - 1)][pair.alike] += 1
    highest = max((sum(both) for both in bins), default=0)
    floor = top + _PANEL - 30
    for number, (other, alike) in enumerate(bins):
        y = float(floor)
        for count, colour in ((alike, panel.alike), (other, panel.other)):
            if count:
                # A single pair among thousands must still be seen.
                height = max(2.0, _PLOT * count / highest)
                left, right = _x(number * _BIN_BITS), _x((number + 1) * _BIN_BITS)
                canvas.rectangle((left + 1, y - height, right - 1, y), colour)
                y -= height
    canvas.line((_LEFT, floor, _WIDTH - _RIGHT, floor), _INK)
    for bits in range(0, _MOST_BITS + 1, 12):
        canvas.line((_x(bits), floor, _x(bits), floor + 4), _INK)
        canvas.text((_x(bits), floor + 6), str(bits), _INK, ImageFont.load_default(12), "ma")
    canvas.text((_LEFT - 8, floor - _PLOT), f"{highest:,}", _PALE, ImageFont.load_default(12), "rm")
    alike = sum(pair.alike for pair in panel.pairs)
    title = f"{panel.title}: {len(panel.pairs):,} pairs, {alike:,} told to be alike"
    canvas.text((_WIDTH - _RIGHT, top + 8), title, _INK, ImageFont.load_default(16), "ra")
