"""What is done to a video to make a copy of it that should be found."""

from __future__ import annotations

import re
from typing import NamedTuple

SHORTEST_SECONDS = 4.0
"""No copy is cut down to less: the fingerprint of a few pictures says nothing."""


class Edit(NamedTuple):
    """`filters` in FFmpeg's words, separated by spaces, as are the encoder's `options`. In them {25%} stands for the
    moment after that part of the duration, {25%|4} for the same, but so early or late that at least 4 seconds lie
    between it and its like at the other end. `codec` "copy": the packets are taken over as they are.
    """

    name: str
    filters: str = "null"
    codec: str = "libx264"
    options: str = "preset=ultrafast crf=30"
    suffix: str = ".mp4"

    def filters_for(self, seconds: float) -> str:
        """With moments as seconds, for a video of that length."""

        def moment(found: re.Match[str]) -> str:
            share, least = int(found[1]) / 100, float(found[2] or 0)
            early = min(share, 1 - share) * seconds
            early = max(0.0, min(early, (seconds - least) / 2)) if least else early
            return f"{early if share < 0.5 else seconds - early:.3f}"

        return re.sub(r"\{(\d+)%(?:\|(\d+))?\}", moment, self.filters)


EDITS = (
    Edit("remuxed", codec="copy", suffix=".mkv"),
    Edit("h264 at low bitrate", options="preset=veryfast crf=42"),
    Edit(
        "h265 at low bitrate",
        codec="libx265",
        options="preset=ultrafast crf=42 x265-params=log-level=none:pools=none:frame-threads=1",
    ),
    Edit(
        "vp9 at low bitrate",
        codec="libvpx-vp9",
        options="deadline=realtime cpu-used=8 b=80k",
        suffix=".webm",
    ),
    Edit(
        "av1 at low bitrate",
        codec="libsvtav1",
        options="preset=12 crf=58 svtav1-params=lp=1",
        suffix=".mkv",
    ),
    Edit("mpeg4 at low bitrate", codec="mpeg4", options="qmin=25", suffix=".avi"),
    Edit("keyframes elsewhere", options="preset=ultrafast crf=32 g=12 bf=2", suffix=".mkv"),
    Edit("scaled to 128", "scale=128:-2"),
    Edit("stretched to 4:3", "scale=320:240"),
    Edit("letterbox", "pad=iw:2*trunc(ih*2/3):0:(oh-ih)/2"),
    Edit("pillarbox", "pad=2*trunc(iw*2/3):ih:(ow-iw)/2:0"),
    Edit("bars on all sides", "pad=2*trunc(iw*5/8):2*trunc(ih*5/8):(ow-iw)/2:(oh-ih)/2"),
    Edit("5 % cropped", "crop=2*trunc(iw*0.475):2*trunc(ih*0.475)"),
    Edit("5 % cropped on each side", "crop=2*trunc(iw*0.45):2*trunc(ih*0.45)"),
    Edit("logo", "drawbox=x=iw*0.83:y=ih*0.05:w=iw*0.12:h=ih*0.09:color=white@0.7:t=fill"),
    Edit("white box", "drawbox=x=iw*0.78:y=ih*0.05:w=iw*0.17:h=ih*0.13:color=white:t=fill"),
    Edit("subtitles", "drawbox=x=iw*0.2:y=ih*0.82:w=iw*0.6:h=ih*0.09:color=white:t=fill:enable='lt(mod(t,3),2)'"),
    Edit("brighter", "lutyuv=y=val+40"),
    Edit("darker", "lutyuv=y=16+(val-16)*0.55"),
    Edit("more contrast", "lutyuv=y=128+(val-128)*1.4"),
    Edit("grey", "lutyuv=u=128:v=128"),
    Edit("15 frames a second", "fps=15"),
    Edit("first 10 % gone", "trim=start={10%} setpts=PTS-STARTPTS"),
    Edit("last 10 % gone", "trim=end={90%}"),
    Edit("first second gone", "trim=start=1 setpts=PTS-STARTPTS"),
    Edit("two seconds of black first", "tpad=start_duration=2:color=black"),
    Edit("mirrored", "hflip"),
    Edit("5 % faster", "setpts=PTS/1.05 fps=24"),
    Edit(
        "several at once",
        "crop=2*trunc(iw*0.475):2*trunc(ih*0.475) lutyuv=y=val+25 scale=240:-2 fps=20 "
        "trim=start=0.7 setpts=PTS-STARTPTS",
        options="preset=veryfast crf=36",
    ),
    Edit("mirrored, letterbox, darker", "hflip lutyuv=y=16+(val-16)*0.7 pad=iw:2*trunc(ih*2/3):0:(oh-ih)/2"),
    Edit(
        "middle half",
        f"trim=start={{25%|{SHORTEST_SECONDS:.0f}}}:end={{75%|{SHORTEST_SECONDS:.0f}}} setpts=PTS-STARTPTS",
    ),
)

FEW = tuple(
    edit
    for edit in EDITS
    if edit.name
    in {
        "h264 at low bitrate",
        "letterbox",
        "5 % cropped",
        "darker",
        "15 frames a second",
        "first 10 % gone",
        "mirrored",
    }
)
"""For invented videos, of which there are many."""
