"""What the oracle of the random tests must not call wrong."""

from __future__ import annotations

from collections import Counter

from tests.oracle import Crossing, Key, Seen, Witness

THERE, HERE = Key((1, 10), 500, 7), Key((2, 20), 500, 7)


def lost(*, away: list[bytes]) -> list[str]:
    """Of a file that went from one disk to another and has a new row there."""
    witness = Witness({b"/usb/a.mkv": Seen(THERE, 1, 5, "hash")})
    after = {b"/media/a.mkv": Seen(HERE, 1, 6, "hash")}
    return witness.lost_crossings(after, [Crossing("hash", THERE, HERE)], Counter(hash=1), away=away)


def test_a_row_stays_with_the_disk_that_went_before_the_move_was_seen() -> None:
    assert lost(away=[b"/usb/"]) == []
    assert len(lost(away=[b"/usb2/"])) == 1
