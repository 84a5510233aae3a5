"""A frame as a player shows it: turned as the file asks for.

Runs in decode processes only: it imports PyAV. The same filters as FFmpeg's command inserts by itself, so that a
frame comes out the same to the last pixel.
"""

from __future__ import annotations

import math
import struct
from fractions import Fraction
from typing import TYPE_CHECKING, cast

from av.filter import Graph

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from av.buffer import Buffer
    from av.video.frame import VideoFrame

Filter = tuple[str, str]

_MATRIX = struct.Struct("=9i")


def turning(frame: VideoFrame) -> list[Filter]:
    """The filters that turn `frame` upright; none for most."""
    try:
        matrix = cast("Mapping[str, Buffer]", frame.side_data).get("DISPLAYMATRIX")
    except ValueError:  # side data newer than PyAV
        return []
    if matrix is None:
        return []
    a, b, _, c, d, *_ = _MATRIX.unpack(bytes(matrix))
    across, down = math.hypot(a, c), math.hypot(b, d)
    if not across or not down:
        return []
    clockwise = round(math.degrees(math.atan2(b / down, a / across))) % 360
    if clockwise == 90:
        return [("transpose", "cclock_flip" if c > 0 else "clock")]
    if clockwise == 180:
        return [(flip, "") for flip, wanted in (("hflip", a < 0), ("vflip", d < 0)) if wanted]
    if clockwise == 270:
        return [("transpose", "clock_flip" if c < 0 else "cclock")]
    if clockwise:
        return [("rotate", f"{clockwise}*PI/180")]
    return [("vflip", "")] if d < 0 else []


def filtered(frame: VideoFrame, filters: Sequence[Filter]) -> VideoFrame:
    """The frame after the filters, one after the other."""
    graph = Graph()
    graph.threads = 1
    last = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000))
    for name, arguments in [*filters, ("buffersink", "")]:
        following = graph.add(name, arguments or None)
        last.link_to(following)
        last = following
    graph.configure()
    graph.vpush(frame)
    return graph.vpull()
