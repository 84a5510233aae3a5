"""Long films, cut together from the clips, and copies of them as other encoders and publishers make them.

Nobody decodes the whole of a long film to know it again, and where its keyframes lie is for the encoder to say. So
what matters here is not how a copy was edited, but which of its moments can be had.
"""

from __future__ import annotations

import math
import random
from fractions import Fraction
from typing import TYPE_CHECKING

from benchmarks.similar.copies import WIDTH, encode, frames_in_turn, seconds_of
from benchmarks.similar.edits import Edit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from av.video.frame import VideoFrame

SECONDS = 200
_RATE = 24
_SHOT_SECONDS = 3.5  # the median of today's films
_TWO = "preset=veryfast crf=28 g=48 sc_threshold=0"
_FIVE = "preset=veryfast crf=28 g=120 sc_threshold=0"
_LATER = "trim=start=7 setpts=PTS-STARTPTS"
EDITS = (
    Edit("keyframes at other cuts", options="preset=veryfast crf=34 g=60"),
    Edit("a keyframe each 2 s", options=_TWO),
    Edit("a keyframe each 5 s", options=_FIVE),
    Edit("h265, keyframes at cuts", codec="libx265", options="preset=superfast crf=32 x265-params=log-level=none:"
         "pools=none:frame-threads=1:scenecut=40"),
    Edit("h265, a keyframe each 10 s", codec="libx265", options="preset=ultrafast crf=34 x265-params=log-level=none:"
         "pools=none:frame-threads=1:scenecut=0:keyint=240"),
    Edit("av1, a keyframe each 7 s", codec="libsvtav1", options="preset=12 crf=45 svtav1-params=lp=1", suffix=".mkv"),
    Edit("mpeg4", codec="mpeg4", options="qmin=8 g=250", suffix=".avi"),
    Edit("broadcast", options="preset=veryfast crf=28 g=24 sc_threshold=0", suffix=".ts"),
    Edit("each 2 s, 5 % cropped", "crop=2*trunc(iw*0.475):2*trunc(ih*0.475)", options=_TWO),
    Edit("each 2 s, letterbox, logo", "drawbox=x=iw*0.83:y=ih*0.05:w=iw*0.12:h=ih*0.09:color=white@0.7:t=fill "
         "pad=iw:2*trunc(ih*2/3):0:(oh-ih)/2", options=_TWO),
    Edit("each 5 s, mirrored, 4 % faster", "hflip setpts=PTS/1.0427 fps=24", options=_FIVE),
    Edit("begins 7 s later, keyframes at cuts", _LATER, options="preset=veryfast crf=28"),
    Edit("begins 7 s later, a keyframe each 2 s", _LATER, options=_TWO),
    Edit("middle half", "trim=start={25%}:end={75%} setpts=PTS-STARTPTS", options="preset=veryfast crf=28"),
)  # fmt: skip


def make(clips: Sequence[Path], number: int, film: Path) -> None:
    """Another film for each number."""
    encode(film, _frames(clips, random.Random(number)), Fraction(_RATE), "libx264", "preset=veryfast crf=24")


def _frames(clips: Sequence[Path], dice: random.Random) -> Iterator[VideoFrame]:
    lengths = [seconds_of(clip) for clip in clips]
    count = 0
    while count < SECONDS * _RATE:
        which = dice.choices(range(len(clips)), lengths)[0]
        seconds = min(dice.lognormvariate(math.log(_SHOT_SECONDS), 0.5), lengths[which])
        start = dice.uniform(0, lengths[which] - seconds)
        share = dice.uniform(0.4, 0.9)
        filters = (
            f"crop=iw*{share:.3f}:ih*{share:.3f}:(iw-ow)*{dice.random():.3f}:(ih-oh)*{dice.random():.3f} "
            f"scale={WIDTH}:144 setsar=1 {dice.choice(('null', 'hflip'))}"
        )
        for frame in frames_in_turn([(clips[which], start, start + seconds)], filters):
            frame.pts = count
            count += 1
            yield frame
