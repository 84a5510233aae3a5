"""What a person sees of a path."""

import pytest

from mediawatchd.paths import printable


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (b"/srv/films/a b.mkv", "/srv/films/a b.mkv"),
        ("/音楽/カフェ\u3000é.mkv".encode(), "/音楽/カフェ\u3000é.mkv"),
        ("👨‍👩‍👧.mkv".encode(), "👨‍👩‍👧.mkv"),
        (b"/caf\xe9\xff.mkv", "/caf\\xe9\\xff.mkv"),
        (b"a\nb\rc\td\0e\x1b[2Jf\x7f", "a\\nb\\rc\\td\\x00e\\x1b[2Jf\\x7f"),
        ("a\x85b\u2028c\u202ed".encode(), "a\\x85b\\u2028c\\u202ed"),
        (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),
        ("caf\udce9\ud800", "caf\\xe9\\ud800"),
    ],
)
def test_a_path_is_shown_on_one_line_with_nothing_hidden(path: bytes | str, shown: str) -> None:
    assert printable(path) == shown
    assert printable(path).encode("utf-8").decode("utf-8") == shown
