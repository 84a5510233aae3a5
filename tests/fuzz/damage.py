"""Small sound media files of many kinds, and what can be done to their bytes so that decoders stumble.

The damages are those that broke decoders before: what says how long something is says something else, one part
stands in the place of another, a header is of another kind than what follows, and bytes are lost, zero or wrong.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.media import make_audio, make_video

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping
    from pathlib import Path

_EXTREMES = (b"\0\0\0\0", b"\0\0\0\1", b"\1\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff")
_NAMED_PART = re.compile(rb"[A-Za-z][A-Za-z0-9 ]{3}")
_EBML_PART = re.compile(
    rb"\x1a\x45\xdf\xa3|\x18\x53\x80\x67|\x15\x49\xa9\x66|\x16\x54\xae\x6b|\x1f\x43\xb6\x75|\xae|\xe0|\x63\xa2"
)
_HEADER_BYTES = 4096


def originals(folder: Path) -> dict[str, bytes]:
    """A sound file of each kind, by its suffix."""
    sound = {"size": (96, 64), "seconds": 2, "rate": 12}
    kinds = {
        ".mp4": make_video(folder / "a.mp4", codec="libx264", b_frames=2, audio="aac", **sound),
        ".mkv": make_video(folder / "a.mkv", codec="libx265", b_frames=2, audio="libopus", **sound),
        ".webm": make_video(folder / "a.webm", codec="libvpx-vp9", audio="libopus", **sound),
        ".avi": make_video(folder / "a.avi", b_frames=1, audio="libmp3lame", **sound),
        ".ts": make_video(folder / "a.ts", b_frames=2, audio="libmp3lame", **sound),
        ".flv": make_video(folder / "a.flv", audio=None, **sound),
        ".mov": make_video(folder / "a.mov", rotation=90, audio="aac", **sound),
        ".m4v": make_video(folder / "a.m4v", codec="libsvtav1", **sound),
        ".mp3": make_audio(folder / "a.mp3", tags={"title": "One", "artist": "Two"}),
        ".ogg": make_audio(folder / "a.ogg"),
        ".flac": make_audio(folder / "a.flac", tags={"title": "One"}),
    }
    found = {}
    for suffix, path in kinds.items():
        with open(path, "rb") as file:
            found[suffix] = file.read()
    return found


def damaged(chance: random.Random, suffix: str, sound: Mapping[str, bytes]) -> tuple[str, bytes]:
    """The file of one kind after one to three damages, and their names."""
    content = bytearray(sound[suffix])
    other = sound[chance.choice([kind for kind in sound if kind != suffix])]
    names = chance.choices(list(DAMAGES), k=chance.choice([1, 1, 2, 3]))
    for name in names:
        if content:
            content = DAMAGES[name](chance, content, other)
    return "+".join(names), bytes(content)


def _flip(chance: random.Random, content: bytearray, _other: bytes) -> bytearray:
    for _ in range(chance.choice([1, 4, 16, 64])):
        content[_somewhere(chance, content)] ^= 1 << chance.randrange(8)
    return content


def _truncate(chance: random.Random, content: bytearray, _other: bytes) -> bytearray:
    return content[: _somewhere(chance, content)]


def _splice(chance: random.Random, content: bytearray, _other: bytes) -> bytearray:
    """A piece of it stands where another was, or is put in between."""
    start, to = _somewhere(chance, content), _somewhere(chance, content)
    piece = content[start : start + chance.choice([16, 256, 4096])]
    content[to : to + chance.choice([0, len(piece)])] = piece
    return content


def _resize(chance: random.Random, content: bytearray, _other: bytes) -> bytearray:
    """What says how long parts are, before or after their names, says something else."""
    pattern = _EBML_PART if content.startswith(b"\x1a\x45\xdf\xa3") else _NAMED_PART
    parts = list(pattern.finditer(content))
    for part in chance.choices(parts, k=chance.choice([1, 1, 3])) if parts else ():
        at = part.end() if pattern is _EBML_PART or chance.random() < 0.3 else max(0, part.start() - 4)
        content[at : at + 4] = chance.choice([*_EXTREMES, chance.randbytes(4), b"\0\0" + chance.randbytes(2)])
    return content


def _overstate(chance: random.Random, content: bytearray, _other: bytes) -> bytearray:
    """Numbers of the header are as large or as small as can be: sizes of pictures, counts, times."""
    for _ in range(chance.choice([1, 2, 8])):
        at = chance.randrange(min(len(content), _HEADER_BYTES))
        extreme = chance.choice(_EXTREMES)[: chance.choice([2, 4])]
        content[at : at + len(extreme)] = extreme
    return content


def _zero(chance: random.Random, content: bytearray, _other: bytes) -> bytearray:
    at = _somewhere(chance, content)
    length = min(chance.choice([8, 64, 1024, 8192]), len(content) - at)
    content[at : at + length] = bytes(length)
    return content


def _behead(chance: random.Random, content: bytearray, other: bytes) -> bytearray:
    """The header of another kind stands before it, or in the place of its own."""
    length = chance.choice([16, 64, 512, 2048])
    content[: chance.choice([0, length])] = other[:length]
    return content


def _join(chance: random.Random, content: bytearray, other: bytes) -> bytearray:
    return content[: _somewhere(chance, content)] + other[chance.randrange(len(other)) :]


DAMAGES: Mapping[str, Callable[[random.Random, bytearray, bytes], bytearray]] = {
    "flipped": _flip,
    "truncated": _truncate,
    "spliced": _splice,
    "resized": _resize,
    "overstated": _overstate,
    "zeroed": _zero,
    "beheaded": _behead,
    "joined": _join,
}


def _somewhere(chance: random.Random, content: bytearray) -> int:
    """Headers are hit as often as the rest, though they are short."""
    end = len(content) if chance.random() < 0.5 else min(len(content), _HEADER_BYTES)
    return chance.randrange(end)
