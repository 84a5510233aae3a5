"""Whether a video is VR, and how it is projected: from what FFmpeg read in the file, else from its name.

Pure functions; run in decode processes. A name must not make an ordinary film VR: `1080p`, `3600`, "Area 180"
and "Movie 360 Degrees" are none, nor is a 3-D film (`SBS`) without a sign of a projection.

How a name is read. It is cut into words at everything that is no letter or digit; case does not matter.
* Words that nothing else uses decide alone: MKX200, RF52, VRCA220, FISHEYE190, 180x180, VR180, 180SBS, ...
* `180`, `360` and `fisheye` are ordinary words. They count beside a word for stereo that is used for
  nothing else in a name (`SBS`, `LR`, `TB`, `3dh`, ...) anywhere in it, or right beside the word `VR`.
* `_180` or `_360` at the very end counts when the picture has a shape and size that VR has: so `trailer_360.mp4`
  in 640x360 stays what it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mediawatchd.model import Vr

if TYPE_CHECKING:
    from collections.abc import Mapping

_LEFT_RIGHT = "left_right"
_TOP_BOTTOM = "top_bottom"
_MONO = "mono"

_STEREO_WORDS = dict.fromkeys(("sbs", "hsbs", "fsbs", "lr", "rl", "3dh"), _LEFT_RIGHT) | dict.fromkeys(
    ("tb", "htb", "bt", "ou", "hou", "3dv"), _TOP_BOTTOM
)
_STEREO = "|".join(_STEREO_WORDS)

_FISHEYE = re.compile(r"mkx(200|220)|vrca(220)|fisheye(180|190|200|220)")
_ANGLES = re.compile(r"(180)x180|(360)x(?:180|360)|vr(180|360)|(180|360)vr")
_ANGLE_AND_STEREO = re.compile(rf"(?P<before>{_STEREO})?(?P<angle>180|360)(?P<after>{_STEREO})?")
_LAST_ANGLE = re.compile(r"_(180|360)$")
_RF52_ANGLE = 190  # the lens that gave the tag its name, Canon's RF 5.2 mm

_PROJECTIONS = {
    "equirectangular": ("equirectangular", 360),
    "half equirectangular": ("half_equirectangular", 180),
    "cubemap": ("cubemap", 360),
    "fisheye": ("fisheye", 180),
    "parametric immersive": ("fisheye", 180),
}
_TILE = re.compile(r"tiled equirectangular .*\[(\d+), \d+, (\d+), \d+\]")
_LENS_ANGLE = re.compile(r"horizontal_field_of_view: (\d+)")


def vr_of(
    side_data: Mapping[str, str], tags: Mapping[str, str], name: str, *, width: int | None, height: int | None
) -> Vr | None:
    """How a video is projected, None when it is not VR.

    `side_data` is FFmpeg's description of the stream's `spherical` and `stereo3d` data, `tags` the stream's
    and the container's, with lower-case keys; `name` is the file's name without folders.
    """
    named = _by_name(name, width, height)
    told = _by_metadata(side_data, tags, width)
    if told is None:
        return named
    projection, field_of_view = told
    stereo_mode = _stereo_of(side_data, tags) or (named.stereo_mode if named else _MONO)
    return Vr(projection, stereo_mode, field_of_view, "metadata")


def _by_metadata(
    side_data: Mapping[str, str], tags: Mapping[str, str], width: int | None
) -> tuple[str, int | None] | None:
    """Projection and field of view as the file itself tells them."""
    spherical = side_data.get("spherical", "")
    if tile := _TILE.match(spherical):
        # The picture is a part of the sphere; the pixels that are left out at the left and right are told.
        left, right = int(tile[1]), int(tile[2])
        angle = round(360 * width / (width + left + right)) if width else None
        half = angle is not None and 170 <= angle <= 200
        return ("half_equirectangular", 180) if half else ("equirectangular", angle)
    for words, (projection, angle) in _PROJECTIONS.items():
        if spherical.startswith(words):
            lens = _LENS_ANGLE.search(side_data.get("stereo3d", "")) if projection == "fisheye" else None
            return projection, int(lens[1]) if lens else angle
    # Google's first scheme; FFmpeg itself reads it in mp4, but leaves it as a tag in Matroska.
    if re.search(r"Spherical>\s*true", tags.get("spherical-video", ""), re.IGNORECASE):
        return "equirectangular", 360
    return None


def _stereo_of(side_data: Mapping[str, str], tags: Mapping[str, str]) -> str | None:
    """The stereo mode as the file itself tells it; None where it says nothing that we have a word for."""
    told = side_data.get("stereo3d") or tags.get("stereo_mode") or ""
    xml = re.search(r"StereoMode>\s*([\w-]+)", tags.get("spherical-video", ""))
    told = re.sub(r"[\W_]+", " ", told or (xml[1] if xml else "")).lower().strip()
    if told.startswith(("side by side", "left right", "right left")):
        return _LEFT_RIGHT
    if told.startswith(("top and bottom", "top bottom", "bottom top")):
        return _TOP_BOTTOM
    return _MONO if told.startswith(("2d", "mono")) else None


def _by_name(name: str, width: int | None, height: int | None) -> Vr | None:
    stem = name.rpartition(".")[0] or name
    words = [word for word in re.split(r"[\W_]+", stem.lower()) if word]
    stereo = next((_STEREO_WORDS[word] for word in words if word in _STEREO_WORDS), None)
    found = _sure(words) or _beside(words, stereo) or _at_the_end(stem, width, height)
    if found is None:
        return None
    projection, field_of_view, joined_stereo = found
    stereo = stereo or joined_stereo or _stereo_by_shape(field_of_view, width, height)
    return Vr(projection, stereo, field_of_view, "name")


def _sure(words: list[str]) -> tuple[str, int, str | None] | None:
    """Words that are VR wherever they stand; the lens before the angle, as in `_180_MKX200`."""
    for word in words:
        if match := _FISHEYE.fullmatch(word):
            return "fisheye", int(match[1] or match[2] or match[3]), None
        if word == "rf52":
            return "fisheye", _RF52_ANGLE, None
    for word in words:
        if match := _ANGLES.fullmatch(word):
            return _flat(int(match[1] or match[2] or match[3] or match[4]))
        match = _ANGLE_AND_STEREO.fullmatch(word)
        if match and (joined := match["before"] or match["after"]):
            return _flat(int(match["angle"]), _STEREO_WORDS[joined])
    return None


def _beside(words: list[str], stereo: str | None) -> tuple[str, int, str | None] | None:
    """Ordinary words made certain by a word for stereo, or by `VR` next to them."""
    for index, word in enumerate(words):
        if word in ("180", "360", "fisheye") and (
            stereo or "vr" in (*words[index - 1 : index], *words[index + 1 :][:1])
        ):
            others = [int(other) for other in words if other in ("180", "360")]
            return ("fisheye", 180, None) if "fisheye" in words else _flat(others[0])
    return None


def _at_the_end(stem: str, width: int | None, height: int | None) -> tuple[str, int, str | None] | None:
    match = _LAST_ANGLE.search(stem)
    if match is None or not width or not height:
        return None
    # Two squares side by side, one on the other, one square, or two of the 2:1 kind; and no small encode.
    shape = width / height
    likely = width >= 1440 and any(abs(shape / known - 1) < 0.04 for known in (0.5, 1, 2, 4))
    return _flat(int(match[1])) if likely else None


def _flat(angle: int, stereo: str | None = None) -> tuple[str, int, str | None]:
    return ("half_equirectangular" if angle == 180 else "equirectangular"), angle, stereo


def _stereo_by_shape(field_of_view: int, width: int | None, height: int | None) -> str:
    """A name without a word for stereo: one eye is square, of a whole sphere twice as wide as high."""
    if not width or not height:
        return _MONO
    eyes = width / height / (2 if field_of_view == 360 else 1)
    if eyes > 1.5:
        return _LEFT_RIGHT
    return _TOP_BOTTOM if eyes < 0.75 else _MONO
