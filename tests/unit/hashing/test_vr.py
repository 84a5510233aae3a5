from __future__ import annotations

import pytest

from mediawatchd.hashing.vr import vr_of
from mediawatchd.model import Vr

HALF, WHOLE = "half_equirectangular", "equirectangular"


def named(name: str, width: int | None = None, height: int | None = None) -> Vr | None:
    return vr_of({}, {}, name, width=width, height=height)


@pytest.mark.parametrize(
    ("name", "projection", "stereo_mode", "field_of_view"),
    [
        ("Canyon_180_180x180_3dh_LR.mp4", HALF, "left_right", 180),
        ("Canyon_180x180_3dh.mp4", HALF, "left_right", 180),
        ("Canyon_360x180_3dv.mp4", WHOLE, "top_bottom", 360),
        ("canyon.180.sbs.mkv", HALF, "left_right", 180),
        ("Canyon LR 180.mp4", HALF, "left_right", 180),
        ("Canyon_LR_180", HALF, "left_right", 180),
        ("Canyon_TB_360.mp4", WHOLE, "top_bottom", 360),
        ("Canyon_360_OU.webm", WHOLE, "top_bottom", 360),
        ("Canyon-180SBS.mp4", HALF, "left_right", 180),
        ("Canyon-TB360.mp4", WHOLE, "top_bottom", 360),
        ("Canyon VR180.mp4", HALF, "mono", 180),
        ("Canyon 360VR.mp4", WHOLE, "mono", 360),
        ("Canyon VR 360.mp4", WHOLE, "mono", 360),
        ("Canyon [180 VR].mp4", HALF, "mono", 180),
        ("Canyon_MKX200.mp4", "fisheye", "mono", 200),
        ("Canyon_LR_180_MKX200.mp4", "fisheye", "left_right", 200),
        ("Canyon_mkx220_sbs.mp4", "fisheye", "left_right", 220),
        ("Canyon_RF52.mp4", "fisheye", "mono", 190),
        ("Canyon_VRCA220_LR.mp4", "fisheye", "left_right", 220),
        ("Canyon_FISHEYE190.mp4", "fisheye", "mono", 190),
        ("Canyon_fisheye_LR.mp4", "fisheye", "left_right", 180),
        ("\N{CJK UNIFIED IDEOGRAPH-97F3}_180_SBS.mp4", HALF, "left_right", 180),
        ("bad\udcff_180_SBS.mp4", HALF, "left_right", 180),
    ],
)
def test_names_that_are_vr(name: str, projection: str, stereo_mode: str, field_of_view: int) -> None:
    assert named(name) == Vr(projection, stereo_mode, field_of_view, "name")


@pytest.mark.parametrize(
    "name",
    [
        "Movie 360 Degrees.mkv",
        "Area.180.mkv",
        "360.mkv",
        "180.mp4",
        "The 180 (2019) 1080p.mkv",
        "Film.1080p.3600kbps.mkv",
        "Film.2160p.x265.mkv",
        "Clip.360p.mp4",
        "Film.3D.SBS.1080p.mkv",
        "Film (2012) 3D HSBS.mkv",
        "Film.3D.OU.mkv",
        "Film TB.mkv",
        "VR.mkv",
        "The Lawnmower VR Story.mkv",
        "A Fisheye Lens Review.mp4",
        "Turn180Around.mp4",
        "Room1800_SBS.mp4",
        "MKX2000.mkv",
        "xMKX200.mkv",
        "RF520.mkv",
        "VR 2016 - Part 180.mkv",
        "1180x180.mp4",
        "\N{LATIN SMALL LETTER A WITH DIAERESIS}180_notes.mkv",
        "",
        ".mkv",
    ],
)
def test_names_that_are_not_vr(name: str) -> None:
    assert named(name) is None
    assert named(name, 3840, 1920) is None


@pytest.mark.parametrize(
    ("name", "width", "height", "expected"),
    [
        ("canyon_360.mp4", 3840, 1920, Vr(WHOLE, "mono", 360, "name")),
        ("canyon_360.mp4", 4096, 4096, Vr(WHOLE, "top_bottom", 360, "name")),
        ("canyon_180.mp4", 5400, 2700, Vr(HALF, "left_right", 180, "name")),
        ("canyon_180.mp4", 2700, 2700, Vr(HALF, "mono", 180, "name")),
        ("trailer_360.mp4", 640, 360, None),
        ("trailer_360.mp4", 720, 360, None),
        ("trailer_360.mp4", 1920, 1080, None),
        ("trailer_360.mp4", None, None, None),
        ("trailer.360.mp4", 3840, 1920, None),
        ("trailer_1360.mp4", 3840, 1920, None),
    ],
)
def test_an_angle_at_the_end_needs_the_picture_of_a_sphere(
    name: str, width: int | None, height: int | None, expected: Vr | None
) -> None:
    assert named(name, width, height) == expected


def test_a_name_without_stereo_takes_it_from_the_shape() -> None:
    assert named("Canyon_MKX200.mp4", 5760, 2880) == Vr("fisheye", "left_right", 200, "name")


@pytest.mark.parametrize(
    ("spherical", "projection", "field_of_view"),
    [
        ("equirectangular ", WHOLE, 360),
        ("equirectangular (10.000000/0.000000/0.000000) ", WHOLE, 360),
        ("half equirectangular ", HALF, 180),
        ("tiled equirectangular [1920, 0, 1920, 0] ", HALF, 180),
        ("tiled equirectangular (1.000000/0.000000/0.000000) [960, 0, 960, 0] ", WHOLE, 240),
        ("cubemap [pad 0] ", "cubemap", 360),
        ("fisheye ", "fisheye", 180),
    ],
)
def test_what_the_file_tells(spherical: str, projection: str, field_of_view: int) -> None:
    found = vr_of({"spherical": spherical}, {}, "film.mp4", width=3840, height=1920)
    assert found == Vr(projection, "mono", field_of_view, "metadata")


@pytest.mark.parametrize(
    ("stereo3d", "tags", "stereo_mode"),
    [
        ("side by side, view: packed, primary eye: none", {}, "left_right"),
        ("top and bottom, view: packed, primary eye: none", {}, "top_bottom"),
        ("2D, view: packed, primary eye: none", {}, "mono"),
        (None, {"stereo_mode": "left_right"}, "left_right"),
        (None, {"stereo_mode": "bottom_top"}, "top_bottom"),
        (None, {}, "mono"),
    ],
)
def test_the_stereo_mode_that_the_file_tells(stereo3d: str | None, tags: dict[str, str], stereo_mode: str) -> None:
    side_data = {"spherical": "equirectangular "} | ({"stereo3d": stereo3d} if stereo3d else {})
    found = vr_of(side_data, tags, "film.mp4", width=3840, height=1920)
    assert found is not None
    assert found.stereo_mode == stereo_mode


def test_the_name_completes_what_the_file_leaves_open_but_does_not_overrule_it() -> None:
    equirectangular = {"spherical": "equirectangular "}
    found = vr_of(equirectangular, {}, "canyon_180_LR.mp4", width=3840, height=1920)
    assert found == Vr(WHOLE, "left_right", 360, "metadata")
    told = equirectangular | {"stereo3d": "2D"}
    assert vr_of(told, {}, "canyon_180_LR.mp4", width=3840, height=1920) == Vr(WHOLE, "mono", 360, "metadata")


def test_the_angle_of_a_fisheye_lens() -> None:
    side_data = {"spherical": "fisheye ", "stereo3d": "side by side, view: packed, horizontal_field_of_view: 190.000"}
    found = vr_of(side_data, {}, "film.mp4", width=3840, height=1920)
    assert found == Vr("fisheye", "left_right", 190, "metadata")


def test_googles_first_scheme_as_a_tag() -> None:
    xml = (
        '<rdf:SphericalVideo xmlns:GSpherical="http://ns.google.com/videos/1.0/spherical/">'
        "<GSpherical:Spherical>true</GSpherical:Spherical>"
        "<GSpherical:StereoMode>top-bottom</GSpherical:StereoMode></rdf:SphericalVideo>"
    )
    found = vr_of({}, {"spherical-video": xml}, "film.mkv", width=3840, height=3840)
    assert found == Vr(WHOLE, "top_bottom", 360, "metadata")


@pytest.mark.parametrize(
    "side_data",
    [
        {"stereo3d": "side by side, view: packed, primary eye: none"},
        {"spherical": "rectilinear "},
        {"spherical": "unknown "},
    ],
)
def test_a_three_dimensional_film_is_not_vr(side_data: dict[str, str]) -> None:
    assert vr_of(side_data, {}, "film.3D.SBS.mkv", width=3840, height=1080) is None
