from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediawatchd.hashing.fingerprint import Fingerprint
from mediawatchd.similarity.score import score
from tests.unit.similarity.videos import changed, cropped, edited, film, fingerprint, mirrored, picture, taken

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.unit.similarity.videos import Film

FILM = [picture("film", number) for number in range(16)]
OTHER = [picture("other", number) for number in range(16)]
ORIGINAL = fingerprint(FILM)


@pytest.mark.parametrize(
    ("bits", "verdict"), [(0, "duplicate"), (60, "duplicate"), (61, "probable"), (75, "probable"), (76, None)]
)
def test_the_mean_of_changed_bits_decides(bits: int, verdict: str | None) -> None:
    copy = fingerprint([changed(frame, bits, number) for number, frame in enumerate(FILM)])

    match = score(ORIGINAL, copy)

    assert (match.verdict, match.distance) == (verdict, bits)


def test_unrelated_videos_do_not_match() -> None:
    match = score(ORIGINAL, fingerprint(OTHER))

    assert match.verdict is None
    assert match.distance > 90


def test_a_mirrored_copy_is_found_to_the_bit() -> None:
    match = score(ORIGINAL, edited(ORIGINAL, mirrored))

    assert match == ("duplicate", 0.0, 16, 0.0, True, False)


@pytest.mark.parametrize("swap", [False, True])
def test_a_cropped_copy_is_found_to_the_bit_from_either_side(swap: bool) -> None:
    pair = [ORIGINAL, fingerprint([cropped(frame) for frame in FILM])]

    assert score(*reversed(pair) if swap else pair) == ("duplicate", 0.0, 16, 0.0, False, True)


@pytest.mark.parametrize("duration", [140.0, 180.0])
def test_a_crop_is_found_in_the_shorter_and_in_the_longer_video(duration: float) -> None:
    times = [duration * (number + 0.5) / 16 for number in range(16)]
    copy = fingerprint([cropped(frame) for frame in FILM], times=times, duration=duration)

    assert score(ORIGINAL, copy)[:2] == ("duplicate", 0.0)


def test_a_copy_cropped_and_mirrored_is_found_to_the_bit() -> None:
    copy = fingerprint([mirrored(cropped(frame)) for frame in FILM])

    assert score(ORIGINAL, copy) == ("duplicate", 0.0, 16, 0.0, True, True)


def test_a_way_of_looking_holds_for_the_whole_pair() -> None:
    """A video with two of three frames cropped and mirrored in turn is no copy, though each frame alone would do."""
    edits: list[Callable[[bytes], bytes]] = [bytes, cropped, mirrored]
    mixed = fingerprint([edits[number % 3](frame) for number, frame in enumerate(FILM)])

    assert score(ORIGINAL, mixed).verdict is None


def test_some_spoiled_frames_do_not_matter() -> None:
    copy = fingerprint([OTHER[number] if number in {0, 5, 9, 15} else frame for number, frame in enumerate(FILM)])

    assert score(ORIGINAL, copy)[:3] == ("duplicate", 0.0, 12)


def test_too_many_spoiled_frames_do() -> None:
    copy = fingerprint([frame if number % 5 in {0, 2} else OTHER[number] for number, frame in enumerate(FILM)])

    assert score(ORIGINAL, copy).verdict is None


@pytest.mark.parametrize(("frames", "verdict"), [(4, "duplicate"), (3, None), (1, None), (0, None)])
def test_small_sets_need_four_frames(frames: int, verdict: str | None) -> None:
    small = fingerprint(FILM[:frames])

    assert score(small, small).verdict == verdict


def test_four_frames_of_three_pictures_are_too_few() -> None:
    small = fingerprint([*FILM[:3], changed(FILM[2], 16)])

    assert score(small, small).verdict is None


def test_four_frames_of_four_pictures_are_enough() -> None:
    small = fingerprint([*FILM[:3], changed(FILM[2], 17)])

    assert score(small, small).verdict == "duplicate"


def test_a_video_that_shows_one_picture_matches_nothing() -> None:
    still = fingerprint([changed(FILM[0], 4, number) for number in range(16)])

    assert score(still, still).verdict is None


def test_frames_that_are_all_like_one_frame_of_the_other_are_no_copy() -> None:
    """A dark scene resembles everything dark: the partners must be distinct, too."""
    one = fingerprint([changed(FILM[0], 30, number) for number in range(8)])
    other = fingerprint([FILM[0], *OTHER])

    assert score(one, other).verdict is None


def test_the_same_pictures_in_another_order_are_no_copy() -> None:
    """Two episodes from one studio: alike frame by frame, but which frame resembles which is chance."""
    shuffled = list(FILM)
    random.Random(3).shuffle(shuffled)

    match = score(ORIGINAL, fingerprint(shuffled))

    assert match.verdict is None
    assert match.distance == 0


def test_two_parts_of_one_scene_are_no_copies() -> None:
    """All frames resemble each other, none is the same: the most alike ones lie anywhere."""
    one, other = (fingerprint([changed(FILM[0], 25, part, number) for number in range(16)]) for part in "ab")

    match = score(one, other)

    assert match.verdict is None
    assert match.distance < 60


def setting(*seed: object, steps: int) -> list[bytes]:
    """Sixteen frames of one room, in which so much changes from each frame to the next, and stays so."""
    frames = [FILM[0]]
    for number in range(15):
        frames.append(changed(frames[-1], steps, *seed, number))
    return frames


def noisy(frames: list[bytes], bits: int, *seed: object) -> list[bytes]:
    return [changed(frame, bits, *seed, number) for number, frame in enumerate(frames)]


def test_what_changes_in_the_same_setting_must_be_the_same() -> None:
    """Two lectures at one blackboard: it fills up in both, so frames of the same moment are the most alike."""
    board = setting("board", steps=5)
    one, other = (fingerprint(noisy(board, 26, lecture)) for lecture in "ab")

    match = score(one, other)

    assert match.verdict is None
    assert match.distance < 50


def test_a_logo_and_low_bitrate_do_not_hide_a_copy_of_a_quiet_scene() -> None:
    talk = noisy(setting("talk", steps=6), 8, "talk")
    copy = fingerprint([changed(frame, 10, "codec", number) for number, frame in enumerate(talk)])

    assert score(fingerprint(talk), edited(copy, lambda frame: changed(frame, 40, "logo")))[0] == "duplicate"


def test_a_poor_copy_of_a_dance_in_circles_is_found_though_other_rounds_look_as_much_alike() -> None:
    """The codec, not the moment, decides which of the four rounds is the most alike."""
    poses = [changed(FILM[0], 30, "pose", number) for number in range(4)]
    dance = noisy([poses[number % 4] for number in range(16)], 1, "own")

    assert score(fingerprint(dance), fingerprint(noisy(dance, 32, "codec")))[0] == "duplicate"


def test_the_same_pictures_backwards_are_no_copy() -> None:
    assert score(ORIGINAL, fingerprint(FILM[::-1])).verdict is None


@pytest.mark.parametrize("shared", range(1, 11))
def test_episodes_with_the_same_opening_are_no_copies(shared: int) -> None:
    assert score(fingerprint(FILM), fingerprint(FILM[:shared] + OTHER[shared:])).verdict is None


@pytest.mark.parametrize("shared", range(1, 11))
def test_an_episode_is_not_contained_in_a_longer_one_for_its_opening(shared: int) -> None:
    longer = [picture("longer", number) for number in range(24)]

    opening = fingerprint(FILM[:shared] + longer[shared:], duration=240)

    assert score(fingerprint(FILM, duration=160), opening).verdict is None


@pytest.mark.parametrize("speed", [25 / 23.976, 23.976 / 25, 1.06])
def test_a_copy_at_another_speed_is_a_duplicate(speed: float) -> None:
    story = film("story", scene_seconds=10)

    assert score(taken(story, 3000), taken(lambda seconds: story(seconds * speed), 3000 / speed))[0] == "duplicate"


def test_a_longer_opening_moves_the_offset() -> None:
    story = film("story", scene_seconds=12)
    longer = taken(lambda seconds: story(seconds - 20) if seconds >= 20 else picture("opening", seconds // 9), 180)

    match = score(taken(story, 160), longer)

    assert match.verdict == "duplicate"
    assert match.offset_seconds == pytest.approx(20, abs=6)


def test_half_a_film_is_contained_at_its_offset() -> None:
    story = film("story", scene_seconds=30)
    part = taken(lambda seconds: story(seconds + 200), 300)
    whole = taken(story, 600, 32)

    match = score(part, whole)

    assert match.verdict == "contained"
    assert match.offset_seconds == pytest.approx(200, abs=600 / 32)
    assert score(whole, part) == match._replace(offset_seconds=-match.offset_seconds)


def looked_at(shots: Film, keyframes: Sequence[float], exact: Sequence[float], *, duration: float) -> Fingerprint:
    """A long film known by some keyframes, and by exact frames beside them."""
    times = sorted({*keyframes, *exact})
    return fingerprint([shots(seconds) for seconds in times], times=times, duration=duration)


EXACT = [600 * number / 15 for number in (3, 5, 6, 8, 9, 11, 12)]
AT_CUTS = [middle + 4.0 * number for middle in (120, 240, 360, 480) for number in range(-3, 3)]
EACH_TWO_SECONDS = [seconds + 1.0 for seconds in AT_CUTS]


@pytest.mark.parametrize("bits", [0, 40])
def test_a_long_film_whose_keyframes_lie_elsewhere_was_missed(bits: int) -> None:
    """Two thirds of what is known of each are other shots, so the mean says nothing; the same moments say all."""
    shots = film("long", scene_seconds=0.5)
    original = looked_at(shots, AT_CUTS, EXACT, duration=600.0)
    copy = edited(
        looked_at(shots, EACH_TWO_SECONDS, EXACT, duration=600.0), lambda hashed: changed(hashed, bits, hashed)
    )

    match = score(original, copy)

    assert match.verdict == "duplicate"
    assert (match.distance, match.matched_frames, match.offset_seconds) == (bits, len(EXACT), 0)


def test_a_long_film_that_begins_later_is_known_by_the_keyframes_at_its_cuts() -> None:
    shots = film("long", scene_seconds=4.0)
    original = looked_at(shots, AT_CUTS, EXACT, duration=600.0)
    later = looked_at(
        lambda seconds: shots(seconds + 8), [seconds - 8 for seconds in AT_CUTS if seconds >= 116],
        [593 * number / 15 for number in (3, 5, 6, 8, 9, 11, 12)], duration=592.0,
    )  # fmt: skip

    match = score(original, later)

    assert (match.verdict, match.offset_seconds) == ("duplicate", -8)


@pytest.mark.parametrize(("moments", "verdict"), [(6, "duplicate"), (5, None)])
def test_a_few_moments_may_be_alike_by_chance(moments: int, verdict: str | None) -> None:
    """Four were, of two lectures at one blackboard, one of them without its beginning."""
    shots, exact = film("long", scene_seconds=0.5), EXACT[:moments]
    original = looked_at(shots, AT_CUTS, exact, duration=600.0)
    copy = looked_at(shots, EACH_TWO_SECONDS, exact, duration=600.0)

    assert score(original, copy).verdict == verdict


def test_two_films_that_share_some_shots_at_the_same_moments_are_no_copies() -> None:
    """What lies between them at the same moments says otherwise."""
    shots, others = film("one", scene_seconds=4.0), film("another", scene_seconds=4.0)
    shared = {EXACT[number] for number in (0, 2, 4, 6)}
    original = looked_at(shots, AT_CUTS, EXACT, duration=600.0)
    other = looked_at(lambda seconds: (shots if seconds in shared else others)(seconds), AT_CUTS, EXACT, duration=600.0)

    assert score(original, other).verdict is None


@pytest.mark.parametrize(("shared", "verdict"), [({1, 3}, None), ({0, 1, 2, 3}, "duplicate")])
def test_films_that_share_two_breaks_are_no_copies(shared: set[int], verdict: str | None) -> None:
    """Known by keyframes of four places, two of which were enough: the others count as much as the time between."""
    shots, others = film("one", scene_seconds=4.0), film("another", scene_seconds=4.0)

    def second(seconds: float) -> bytes:
        place = min(range(4), key=lambda number: abs(seconds - 120 * (number + 1)))
        return (shots if place in shared else others)(seconds)

    original = looked_at(shots, AT_CUTS, [], duration=600.0)

    assert score(original, looked_at(second, AT_CUTS, [], duration=600.0)).verdict == verdict


def test_a_copy_of_the_whole_does_not_begin_in_the_middle() -> None:
    """Two shows in one setting were alike when one was moved by minutes, to where another break lay."""
    shots = film("show", scene_seconds=4.0)
    original = looked_at(shots, AT_CUTS, [], duration=600.0)
    moved = looked_at(lambda seconds: shots(seconds + 120), AT_CUTS, [], duration=600.0)

    assert score(original, moved).verdict is None


def test_films_of_one_setting_are_no_copies_for_a_few_moments() -> None:
    """All pictures of both are near each other, and none of what changes is the same."""
    setting = picture("setting")

    def day(name: str) -> Film:
        return lambda seconds: changed(setting, 40, name, seconds)

    one = looked_at(day("Monday"), AT_CUTS, EXACT, duration=600.0)
    other = looked_at(day("Tuesday"), EACH_TWO_SECONDS, EXACT, duration=600.0)

    assert score(one, other).verdict is None


def test_a_long_film_that_begins_later_and_has_its_keyframes_at_fixed_distances_was_missed() -> None:
    """The two have no moment in common, but some frames are of one shot, all of them on one line of time."""
    shots = film("long", scene_seconds=3.5)

    def moment(seconds: float) -> bytes:
        return changed(shots(seconds), 40, shots(seconds), seconds)

    original = looked_at(moment, EACH_TWO_SECONDS, EXACT, duration=600.0)
    later = looked_at(
        lambda seconds: moment(seconds + 7), [seconds + 1.9 for seconds in EACH_TWO_SECONDS],
        [593 * number / 15 for number in (3, 5, 6, 8, 9, 11, 12)], duration=593.0,
    )  # fmt: skip

    match = score(original, later)

    assert match.verdict == "probable"
    assert match.offset_seconds == pytest.approx(-7, abs=1)


@pytest.mark.parametrize("settings", [2, 3, 4, 6])
def test_shows_that_come_back_to_the_same_settings_are_no_copies(settings: int) -> None:
    """Somewhere on each line of time some of them meet, but they meet everywhere else as well."""
    pictures = [changed(picture("studio"), 90, "setting", number) for number in range(settings)]

    def show(name: int) -> Fingerprint:
        def shots(seconds: float) -> bytes:
            setting = random.Random(repr((name, int(seconds // 3.5)))).randrange(settings)
            return changed(pictures[setting], 10, name, seconds)

        return looked_at(shots, AT_CUTS if name % 2 else EACH_TWO_SECONDS, EXACT, duration=600.0)

    shows = [show(number) for number in range(16)]

    assert {score(one, other).verdict for one, other in itertools.combinations(shows, 2)} == {None}


@pytest.mark.parametrize("frames", [6, 8, 12])
@pytest.mark.parametrize("settings", [2, 10])
def test_a_small_set_of_a_few_settings_is_its_own_copy(frames: int, settings: int) -> None:
    """By chance any frame agrees with half of the others, but the most alike one lies at its own time."""
    pictures = [changed(picture("studio"), 90, "setting", number) for number in range(settings)]
    found = []
    for name in range(10):
        dice = random.Random(name)
        shown = [changed(pictures[dice.randrange(settings)], 10, name, number) for number in range(frames)]
        found.append(score(fingerprint(shown), fingerprint(shown)).verdict)

    assert found == ["duplicate"] * 10


@pytest.mark.parametrize(("frames", "pictures"), [(8, 5), (8, 8), (5, 5)])
def test_a_coarse_set_of_slides_is_a_copy_of_a_fine_one(frames: int, pictures: int) -> None:
    """Several fine frames lie near each coarse one, and are of one slide: they do not agree one by one."""

    def slide(seconds: float) -> bytes:
        return picture("slide", int(seconds * pictures / 120))

    assert score(taken(slide, 120.0, 18), taken(slide, 120.0, frames)).verdict == "duplicate"


def test_a_video_without_content_matches_nothing() -> None:
    nothing = Fingerprint(60.0, (), b"", b"")

    assert score(nothing, nothing).verdict is None
    assert score(nothing, ORIGINAL).verdict is None


def test_a_duration_that_is_wrong_does_not_hide_a_copy() -> None:
    untold = fingerprint(FILM, times=ORIGINAL.times, duration=0.0)

    assert score(untold, ORIGINAL).verdict == "duplicate"


FINGERPRINTS = st.builds(
    lambda scenes, first, count, duration, bits, mirror: edited(
        taken(
            lambda seconds: changed(film("story", scene_seconds=scenes)(seconds + first), bits, seconds),
            duration,
            count,
        ),
        mirrored if mirror else bytes,
    ),
    st.sampled_from([5, 20, 1000]),
    st.sampled_from([0, 3, 50, 10_000]),
    st.integers(1, 20),
    st.sampled_from([60.0, 100.0, 110.0]),
    st.integers(0, 80),
    st.booleans(),
)


@settings(deadline=None)
@given(FINGERPRINTS, FINGERPRINTS)
def test_the_order_of_two_videos_changes_only_the_sign_of_the_offset(a: Fingerprint, b: Fingerprint) -> None:
    one, other = score(a, b), score(b, a)

    assert one == other._replace(offset_seconds=0.0 - other.offset_seconds)


@settings(deadline=None)
@given(FINGERPRINTS, FINGERPRINTS)
def test_mirroring_both_changes_nothing_and_mirroring_one_only_the_flag(a: Fingerprint, b: Fingerprint) -> None:
    plain, both, one = score(a, b), score(edited(a, mirrored), edited(b, mirrored)), score(edited(a, mirrored), b)

    assert both == plain
    assert one.distance == plain.distance


def test_pairs_of_unrelated_films_stay_apart() -> None:
    films = [taken(film(number), 160) for number in range(40)]

    assert not [pair for pair in itertools.combinations(films, 2) if score(*pair).verdict]
