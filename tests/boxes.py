"""Boxes put into an mp4 file by hand: what no encoder here writes (spherical video, Dolby Vision, HDR10+)."""

from __future__ import annotations

import struct

_TO_SAMPLE_ENTRY = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
_HEADER = {b"stsd": 16}  # bytes before the first child; 8 for plain boxes
_SAMPLE_ENTRY_HEADER = 86


def box(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content) + 8) + kind + content


def full_box(kind: bytes, content: bytes = b"") -> bytes:
    return box(kind, bytes(4) + content)


STEREO_LEFT_RIGHT = full_box(b"st3d", b"\x02")


def spherical(bounds: tuple[float, float, float, float] | None = None, *, cubemap: bool = False) -> bytes:
    """Google's second scheme; `bounds`: what the picture leaves out at top, bottom, left and right, as shares."""
    if cubemap:
        projection = full_box(b"cbmp", bytes(8))
    else:
        parts = (round(share * 0xFFFFFFFF) for share in bounds or (0, 0, 0, 0))
        projection = full_box(b"equi", struct.pack(">4I", *parts))
    header = full_box(b"prhd", bytes(12))
    return box(b"sv3d", full_box(b"svhd", b"test\0") + box(b"proj", header + projection))


DOLBY_VISION = box(b"dvvC", bytes([1, 0, 8 << 1, 0b00101101, 0x10]) + bytes(19))


def into_picture(mp4: bytes, *boxes: bytes) -> bytes:
    """`mp4`, whose first track is its picture and whose index stands at the end, with boxes about the picture."""
    content = bytearray(mp4)
    sizes_at = []
    start, end = 0, len(content)
    for kind in _TO_SAMPLE_ENTRY:
        start = _find(content, kind, start, end)
        sizes_at.append(start)
        end = start + _size(content, start)
        start += _HEADER.get(kind, 8)
    sizes_at.append(start)  # the sample entry itself
    added = b"".join(boxes)
    at = start + _size(content, start)
    for position in sizes_at:
        struct.pack_into(">I", content, position, _size(content, position) + len(added))
    content[at:at] = added
    return bytes(content)


def into_track(mp4: bytes, added: bytes) -> bytes:
    """`mp4` with a box at the end of its first track."""
    content = bytearray(mp4)
    moov = _find(content, b"moov", 0, len(content))
    trak = _find(content, b"trak", moov + 8, moov + _size(content, moov))
    at = trak + _size(content, trak)
    for position in (moov, trak):
        struct.pack_into(">I", content, position, _size(content, position) + len(added))
    content[at:at] = added
    return bytes(content)


GOOGLE_FIRST_SCHEME = box(
    b"uuid",
    bytes.fromhex("ffcc8263f8554a938814587a02521fdd")
    + b'<?xml version="1.0"?><rdf:SphericalVideo xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
    b'xmlns:GSpherical="http://ns.google.com/videos/1.0/spherical/">'
    b"<GSpherical:Spherical>true</GSpherical:Spherical><GSpherical:Stitched>true</GSpherical:Stitched>"
    b"<GSpherical:StitchingSoftware>test</GSpherical:StitchingSoftware>"
    b"<GSpherical:ProjectionType>equirectangular</GSpherical:ProjectionType>"
    b"<GSpherical:StereoMode>top-bottom</GSpherical:StereoMode></rdf:SphericalVideo>",
)


def _size(content: bytes | bytearray, at: int) -> int:
    return int(struct.unpack_from(">I", content, at)[0])


def _find(content: bytes | bytearray, kind: bytes, start: int, end: int) -> int:
    while start < end:
        if content[start + 4 : start + 8] == kind:
            return start
        start += _size(content, start)
    raise LookupError(kind)
