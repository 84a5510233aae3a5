from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mediawatchd.hashing.fingerprint import HASH_BYTES, MIRROR
from mediawatchd.hashing.signature import SIDE, hashes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pictures = NDArray[np.uint8]


def scenes(count: int = 6, side: int = SIDE, seed: int = 1) -> Pictures:
    """Smooth pictures that have nothing to do with each other."""
    random = np.random.default_rng(seed)
    x = np.linspace(0, np.pi, side)
    waves = [np.cos(np.outer(np.arange(12), x + shift)) for shift in (0, 0.2)]
    strength = random.normal(size=(count, 12, 12)) / (1 + np.hypot(*np.indices((12, 12))))
    pictures = waves[0].T @ strength @ waves[1]
    pictures -= pictures.min(axis=(1, 2), keepdims=True)
    return (40 + 180 * pictures / pictures.max(axis=(1, 2), keepdims=True)).astype(np.uint8)


def bits(one: bytes, other: bytes) -> list[int]:
    differing = np.bitwise_count(np.frombuffer(one, np.uint8) ^ np.frombuffer(other, np.uint8))
    return [int(count) for count in differing.reshape(-1, HASH_BYTES).sum(axis=1)]


def xor(hashed: bytes, mask: bytes) -> bytes:
    return bytes(left ^ right for left, right in zip(hashed, mask * (len(hashed) // len(mask)), strict=True))


def test_a_mirrored_picture_is_an_exclusive_or() -> None:
    noise = np.random.default_rng(2).integers(0, 256, (20, SIDE, SIDE), np.uint8)
    noise[:, :30] = noise[:, :, :17] = noise[:, :, -40:] = 0  # bars, not alike on both sides
    for pictures in (scenes(20), noise):
        _, plain, cropped = hashes(pictures)
        _, mirrored, mirrored_crop = hashes(pictures[:, :, ::-1])
        assert mirrored == xor(plain, MIRROR)
        assert mirrored_crop == xor(cropped, MIRROR)


def test_the_places_of_the_bits() -> None:
    """One cosine at a time, five half waves across and two down: the bit in row 2 and column 5."""
    at = (np.arange(SIDE) + 0.5) / SIDE * np.pi
    picture = (128 + 90 * np.outer(np.cos(2 * at), np.cos(5 * at))).astype(np.uint8)[None]
    _, plain, _ = hashes(picture)
    _, opposite, _ = hashes(255 - picture)
    bit = 16 * 2 + 5
    assert plain[bit // 8] >> (7 - bit % 8) & 1
    assert not opposite[bit // 8] >> (7 - bit % 8) & 1
    assert not (plain[0] | opposite[0]) & 0x80


def test_brightness_and_contrast_change_little() -> None:
    pictures = scenes()
    _, plain, cropped = hashes(pictures)
    _, other, other_crop = hashes((pictures * 0.5 + 60).astype(np.uint8))
    assert max(bits(plain, other)) <= 25
    assert max(bits(cropped, other_crop)) <= 25


def test_unrelated_pictures_lie_far_apart() -> None:
    _, one, _ = hashes(scenes(seed=1))
    _, other, _ = hashes(scenes(seed=2))
    assert min(bits(one, other)) > 75


def test_bars_are_taken_away() -> None:
    inner = scenes(side=100)
    barred = np.full((6, SIDE, SIDE), 3, np.uint8)
    barred[:, 30:130, 10:110] = inner
    assert hashes(barred) == hashes(inner)


def test_a_dark_scene_is_no_bar() -> None:
    pictures = scenes()
    half_dark = pictures.copy()
    half_dark[0, :80] = 0
    assert hashes(half_dark)[1][HASH_BYTES:] == hashes(pictures)[1][HASH_BYTES:]


def test_what_the_cropped_hash_sees() -> None:
    pictures = scenes()
    edge = round(SIDE * 0.05)
    _, _, cropped = hashes(pictures)
    _, inner, _ = hashes(pictures[:, edge:-edge, edge:-edge])
    assert cropped == inner


def test_flat_pictures_are_left_out() -> None:
    pictures = scenes(4)
    pictures[0], pictures[2] = 200, np.random.default_rng(1).integers(15, 20, (SIDE, SIDE))
    kept, plain, cropped = hashes(pictures)
    assert kept == [1, 3]
    assert len(plain) == len(cropped) == 2 * HASH_BYTES


def test_nothing_but_black() -> None:
    assert hashes(np.zeros((3, SIDE, SIDE), np.uint8)) == ([], b"", b"")
