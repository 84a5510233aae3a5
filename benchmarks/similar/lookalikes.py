"""Videos that look alike and are no copies: what libraries are full of, and what a fingerprint mixes up most easily.

Each of a kind shows something else, in the same setting: other words of the same speaker, another day before the same
camera, another episode behind the same opening. Invented ones are drawn from a number; the others are cut from the
clips.
"""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.similar.copies import WIDTH, encode, join, seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

    Picture = NDArray[np.float64]  # grey, 0 to 255
    Film = Callable[[int, int], Iterator[Picture]]

HEIGHT = 144
RATE = 12
SECONDS = 20
_FRAMES = SECONDS * RATE
_ROWS, _COLUMNS = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)


class Lookalike(NamedTuple):
    """`content` is what no other one shows; of another kind, what shows one of `shows` may rightly be found."""

    kind: str
    content: str
    shows: frozenset[str]
    make: Callable[[Path], None]


def invented(of_each: int) -> list[Lookalike]:
    return [
        Lookalike(kind, f"{kind} {number + 1}", frozenset(), partial(_draw, kind, number))
        for kind in _FILMS
        for number in range(of_each)
    ]


def cut_from(clips: Sequence[Path]) -> list[Lookalike]:
    """Both halves of each clip, and episodes that share an opening, an ending or both."""
    found = []
    for clip in clips:
        half = seconds_of(clip) / 2
        found += [
            Lookalike(
                "halves of one scene", f"{which} half of {clip.name}", frozenset({clip.name}), partial(join, [part])
            )
            for which, part in (("first", (clip, 0.0, half)), ("second", (clip, half, 2 * half)))
        ]
    if len(clips) < 4:
        return found
    opening, ending, *bodies = sorted(clips, key=seconds_of, reverse=True)
    for share in (0.2, 0.35, 0.5):
        for kind, before, after in (
            (f"the same opening, {share:.0%}", opening, None),
            (f"the same ending, {share:.0%}", None, ending),
            (f"the same opening and ending, {share:.0%} in all", opening, ending),
        ):
            for body in bodies[:4]:
                length = seconds_of(body)
                shared = length * share / (1 - share) / (1 + (before is not None and after is not None))
                parts = [(clip, 0.0, shared if clip is not body else length) for clip in (before, body, after) if clip]
                shows = frozenset(clip.name for clip, _, _ in parts)
                found.append(Lookalike(kind, f"{kind}: {body.name}", shows, partial(join, parts)))
    return found


def _draw(kind: str, number: int, path: Path) -> None:
    pictures = _FILMS[kind](number, _FRAMES)
    encode(path, _frames(pictures), Fraction(RATE), "libx264", "preset=ultrafast crf=26")


def _frames(pictures: Iterator[Picture]) -> Iterator[VideoFrame]:
    for number, picture in enumerate(pictures):
        grey = np.clip(16 + picture * 219 / 255, 16, 235).astype(np.uint8)
        planes = np.concatenate((grey, np.full((HEIGHT // 2, WIDTH), 128, np.uint8)))
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, RATE)
        yield frame


def _cloud(*seed: int, mean: float = 120, deviation: float = 45) -> Picture:
    """A still scene: noise whose strength falls with frequency, as in pictures of the world."""
    dice = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(HEIGHT)[:, None] * HEIGHT, np.fft.rfftfreq(WIDTH)[None] * WIDTH)
    spectrum = np.fft.rfft2(dice.standard_normal((HEIGHT, WIDTH))) / np.maximum(frequency, 1) ** 1.2
    spectrum[0, 0] = 0
    scene = np.fft.irfft2(spectrum, (HEIGHT, WIDTH))
    cloud: Picture = mean + deviation * scene / scene.std()
    return cloud


def _walk(dice: np.random.Generator, frames: int, reach: float, seconds: float) -> Picture:
    """A position for each frame that wanders about, within `reach`, and forgets itself in some seconds."""
    slow = dice.standard_normal(frames + 8 * RATE)
    window = np.hanning(max(3, int(seconds * RATE)))
    path = np.convolve(slow, window / np.sqrt((window**2).sum()), "same")
    walked: Picture = np.clip(path[:frames] * reach / 2, -reach, reach)
    return walked


def _disc(picture: Picture, x: float, y: float, across: float, down: float, grey: float) -> None:
    picture[((_COLUMNS - x) / across) ** 2 + ((_ROWS - y) / down) ** 2 < 1] = grey


def _text(lines: Sequence[str], size: int, x: int, y: int, *, black_on_white: bool = False) -> Picture:
    image = Image.new("L", (WIDTH, HEIGHT), 255 if black_on_white else 0)
    font = ImageFont.load_default(size)
    for number, line in enumerate(lines):
        ImageDraw.Draw(image).text((x, y + number * size * 1.3), line, 0 if black_on_white else 255, font)
    return np.asarray(image, np.float64)


def _words(dice: np.random.Generator, letters: int) -> str:
    made = dice.choice(list("aaeeiioutnrsldhcmpgbfkvw   "), letters)
    return "".join(made).strip().capitalize()


def _talking_head(number: int, frames: int) -> Iterator[Picture]:
    """One speaker, one framing; other movements, and another shirt."""
    dice, room = np.random.default_rng((1, number)), _cloud(1, deviation=30)
    x, y = 128 + _walk(dice, frames, 9, 3), 62 + _walk(dice, frames, 4, 2)
    mouth, shirt = np.abs(_walk(dice, frames, 7, 0.3)), dice.uniform(20, 110)
    for frame in range(frames):
        picture = room.copy()
        _disc(picture, 128 + (x[frame] - 128) / 3, 150, 70, 48, shirt)
        _disc(picture, x[frame], y[frame], 27, 36, 190)
        _disc(picture, x[frame], y[frame] - 24, 29, 17, 40)
        for side in (-10, 10):
            _disc(picture, x[frame] + side, y[frame] - 4, 4, 2.5, 30)
        _disc(picture, x[frame], y[frame] + 19, 8, 1.5 + mouth[frame], 60)
        yield picture


def _static_camera(number: int, frames: int) -> Iterator[Picture]:
    """One street; other cars and people, and other light."""
    dice, street = np.random.default_rng((2, number)), _cloud(2)
    light, drift = dice.uniform(0.75, 1.2), _walk(dice, frames, 0.06, 8)
    things = dice.uniform((0, 0.45, 6, 5, -14, 0), (1, 0.95, 26, 18, 14, 255), (9, 6))
    for frame in range(frames):
        picture = street * (light + drift[frame])
        for at, lane, across, down, speed, grey in things:
            x = (at * 400 + speed * frame / RATE * 2) % 400 - 70
            _disc(picture, x, lane * HEIGHT, across, down, grey)
        yield picture


def _title_cards(number: int, frames: int) -> Iterator[Picture]:
    """White words on black, two seconds each; other words."""
    dice = np.random.default_rng((3, number))
    for _ in range(frames // (2 * RATE)):
        size = int(dice.integers(14, 20))
        card = _text([_words(dice, int(dice.integers(8, 20))) for _ in range(dice.integers(1, 4))], size, 40, 45)
        for _ in range(2 * RATE):
            yield card


def _slides(number: int, frames: int) -> Iterator[Picture]:
    """One template with a speaker in the corner; other slides."""
    dice, template = np.random.default_rng((4, number)), np.random.default_rng(4)
    x, y = 226 + _walk(dice, frames, 3, 2), 120 + _walk(dice, frames, 2, 2)
    banner = template.uniform(30, 90)
    for frame in range(frames):
        if frame % (3 * RATE) == 0:
            lines = [_words(dice, int(dice.integers(12, 26))) for _ in range(dice.integers(3, 7))]
            slide = _text(lines, 11, 14, 36, black_on_white=True)
            slide[:24] = banner + _text([_words(dice, 16)], 14, 14, 4)[:24] * 0.6
            slide[136:] = banner
            slide[96:, 200:] = 90
        picture = slide.copy()
        _disc(picture, x[frame], y[frame], 11, 15, 190)
        yield picture


def _dark_film(number: int, frames: int) -> Iterator[Picture]:
    """Night scenes: little but noise above black, and a lamp or two."""
    dice = np.random.default_rng((5, number))
    for frame in range(frames):
        if frame % (3 * RATE) == 0:
            scene = _cloud(5, number, frame, mean=6, deviation=7)
            x, y, speed = dice.uniform((20, 20, -5), (236, 124, 5))
        picture = scene + dice.standard_normal((HEIGHT, WIDTH)) * 3
        _disc(picture, x + speed * (frame % (3 * RATE)) / RATE, y, 6, 6, 70)
        yield np.maximum(picture, 0)


def _game(number: int, frames: int) -> Iterator[Picture]:
    """One game's frame of gauges and map around other scenes."""
    dice, frame_of = np.random.default_rng((6, number)), _cloud(6, deviation=60)
    panel = (_ROWS > 104) | (_COLUMNS < 28) | ((_COLUMNS > 196) & (_ROWS < 50))
    for frame in range(frames):
        if frame % (4 * RATE) == 0:
            scene, pan = _cloud(6, number, frame), dice.uniform(-6, 6)
        yield np.where(panel, frame_of, np.roll(scene, int(pan * frame / RATE), axis=1))


def _credits(number: int, frames: int) -> Iterator[Picture]:
    """Names that scroll up over black; other names."""
    dice = np.random.default_rng((7, number))
    lines = [f"{_words(dice, 9):>14}   {_words(dice, 14)}" for _ in range(60)]
    for frame in range(frames):
        yield _text(lines, 11, 50, HEIGHT - int(frame * 24 / RATE))


def _blackboard(number: int, frames: int) -> Iterator[Picture]:
    """One room and one blackboard, on which line after line is written, by a lecturer who walks before it."""
    dice, room = np.random.default_rng((8, number)), _cloud(8, mean=70, deviation=12)
    x, lines = 128 + _walk(dice, frames, 90, 4), [_words(dice, 30) for _ in range(7)]
    for frame in range(frames):
        written = frame * 7 / frames
        shown = [*lines[: int(written)], lines[int(written)][: int(30 * (written % 1))]]
        picture = room + _text(shown, 10, 24, 12) * 0.6
        _disc(picture, x[frame], 130, 16, 40, 30)
        _disc(picture, x[frame], 84, 8, 11, 160)
        yield picture


def _talk_show(number: int, frames: int) -> Iterator[Picture]:
    """Two guests and a still camera for each, between which is cut; another talk."""
    dice, rooms = np.random.default_rng((9, number)), [_cloud(9, camera, deviation=30) for camera in range(2)]
    sway, mouth = [_walk(dice, frames, 4, 2) for _ in rooms], np.abs(_walk(dice, frames, 5, 0.3))
    camera = until = 0
    for frame in range(frames):
        if frame == until:
            camera, until = 1 - camera, until + int(RATE * dice.lognormal(0.8, 0.5)) + 1
        picture, x = rooms[camera].copy(), 80 + 90 * camera + sway[camera][frame]
        _disc(picture, x, 150, 60, 50, 40 + 60 * camera)
        _disc(picture, x, 64, 25, 34, 190)
        _disc(picture, x, 82, 8, 1.5 + mouth[frame], 60)
        yield picture


_FILMS: dict[str, Film] = {
    "talking head": _talking_head,
    "static camera": _static_camera,
    "title cards": _title_cards,
    "slides with a speaker": _slides,
    "dark film": _dark_film,
    "game": _game,
    "scrolling credits": _credits,
    "blackboard": _blackboard,
    "talk show": _talk_show,
}
