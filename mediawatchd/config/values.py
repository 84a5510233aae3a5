"""What one value of the configuration file may be: each rule turns a YAML node into a value, or says what is wrong.

Rules look at the node as it was written, not at what YAML 1.1 makes of it: 010, 12:30 and 1_000 are refused
as numbers instead of being read as 8, 750 and 1000, and 0660 is a file mode.
"""

from __future__ import annotations

import binascii
import ipaddress
import math
import re
import warnings
from collections.abc import Callable
from difflib import get_close_matches
from typing import NamedTuple

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from mediawatchd.paths import printable

YAML = "tag:yaml.org,2002:"

Rule = Callable[[Node], object]


class Each(NamedTuple):
    """A list, each item of which follows `rule`."""

    rule: Rule


class Wrong(ValueError):
    """A value that cannot be used: what is wrong with it, and what to write instead."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


def is_null(node: Node) -> bool:
    return bool(node.tag == YAML + "null")


def shown(node: Node) -> str:
    """What stands there, short enough for one line of an error message."""
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        return "a list"
    if is_null(node):
        return "empty"
    if node.start_mark.line != node.end_mark.line:
        # A following line that is indented too far becomes part of the value; it may be the secret.
        return "text over several lines"
    value = printable(node.value)
    return f"`{value}`" if len(value) <= 60 else f"`{value[:57]}...`"


def text(node: Node) -> str:
    """Text that may be used as a name: not empty, no NUL, no half of a surrogate pair."""
    if not node.tag.startswith(YAML):
        raise Wrong(f"{printable(node.tag)} is a YAML tag, not text", "put text that begins with ! in quotes")
    if node.tag != YAML + "str":
        raise Wrong(
            f"is {shown(node)}, not text", "put it in quotes" if isinstance(node, ScalarNode) and node.value else ""
        )
    value: str = node.value
    if not value:
        raise Wrong("is empty")
    if "\0" in value:
        raise Wrong("holds a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Wrong(
            "holds half of a surrogate pair", "write a name that is not UTF-8 as !!binary with its bytes in base64"
        ) from None
    return value


def secret(node: Node) -> str:
    """A secret is never shown, whatever is wrong with it."""
    if node.tag != YAML + "str":
        raise Wrong("is not text", "put it in quotes")
    value: str = node.value
    if not re.fullmatch(r"[!-~]+", value):
        raise Wrong(
            "is empty" if not value else "has characters that cannot be sent in an HTTP header",
            "use letters, digits and signs without spaces, as from `openssl rand -hex 32`",
        )
    return value


def switch(node: Node) -> bool:
    if node.tag != YAML + "bool":
        raise Wrong(f"is {shown(node)}, not true or false", "write true or false without quotes")
    return node.value.lower() in {"true", "yes", "on"}


def _plain(node: Node) -> str:
    """A scalar without quotes, as it was written."""
    return node.value if isinstance(node, ScalarNode) and node.style is None else ""


def whole_number(least: int, most: int) -> Callable[[Node], int]:
    def read(node: Node) -> int:
        if not re.fullmatch(r"[-+]?(0|[1-9][0-9]{0,17})", _plain(node)):
            raise Wrong(f"is {shown(node)}, not a whole number", "write digits only, without quotes or leading zeros")
        value = int(node.value)
        if not least <= value <= most:
            raise Wrong(f"is {value}, not between {least} and {most}")
        return value

    return read


def number(
    *, at_least: float = -math.inf, above: float = -math.inf, at_most: float = math.inf
) -> Callable[[Node], float]:
    def read(node: Node) -> float:
        if not re.fullmatch(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?", _plain(node)):
            raise Wrong(f"is {shown(node)}, not a number", "write a number such as 1.5, without quotes or unit")
        value = float(node.value)
        if not (above < value <= at_most and value >= at_least):
            least = f"above {above:g}" if above > -math.inf else f"{at_least:g} or more"
            raise Wrong(f"is {printable(node.value)}; it must be {least}, and at most {at_most:g}")
        return value

    return read


def one_of(*choices: str) -> Callable[[Node], str]:
    def read(node: Node) -> str:
        if isinstance(node, ScalarNode) and node.value in choices:
            return str(node.value)
        near = get_close_matches(node.value, choices, n=1) if isinstance(node, ScalarNode) else []
        raise Wrong(f"is {shown(node)}, not one of {', '.join(choices)}", f"did you mean `{near[0]}`?" if near else "")

    return read


def file_mode(node: Node) -> int:
    """Octal as in chmod. 660 without the leading zero is refused: it could mean the decimal number."""
    if not isinstance(node, ScalarNode) or not re.fullmatch(r"0o?[0-7]{3}", node.value):
        raise Wrong(f"is {shown(node)}, not a file mode", "write it in octal with a leading zero, as in 0660")
    return int(node.value.replace("o", ""), 8)


def extension(node: Node) -> str:
    """In lower case, as far as it is ASCII: names are bytes, and bytes know no other."""
    value = text(node)
    if not value.startswith("."):
        raise Wrong(f"is {shown(node)}, without its dot", f"did you mean `.{printable(value.lstrip('*.'))}`?")
    if not re.fullmatch(r"\.[^./\s]+", value):
        raise Wrong(f"is {shown(node)}, not a file extension", "write one dot and what follows it, as in .mkv")
    return value.encode().lower().decode()


def ignore_pattern(node: Node) -> str:
    value = text(node)
    problem = ignore_problem(value)
    if problem:
        raise Wrong(f"is {shown(node)}, {problem}", "see gitignore(5)")
    return value


def ignore_problem(pattern: str) -> str | None:
    """Why a line of .gitignore syntax cannot be used or can never match; None when all is well."""
    # The only one here that needs pathspec, which takes longer to import than all the rest together.
    from pathspec import GitIgnoreSpec  # noqa: PLC0415

    if not pattern.strip() or pattern.startswith("#"):
        return None
    if "\n" in pattern:
        return "more than one line"
    if pattern.strip().removeprefix("!").startswith(("./", "../", "//")):
        return "which matches nothing: patterns start at the root, as in /extras/"
    try:
        with warnings.catch_warnings():
            # Python warns of a set that means something else than in .gitignore, such as [[:alpha:]].
            warnings.simplefilter("error")
            compiled = GitIgnoreSpec.from_lines([pattern], backend="simple").patterns
    except (ValueError, re.error, Warning):
        return "not a pattern as in a .gitignore file"
    if all(one.include is None for one in compiled):
        return "which matches nothing: is a bracket left open?"
    return None


def absolute_path(node: Node) -> bytes:
    """The path of a file: text, or `!!binary` for a name that is not UTF-8. The file need not be there."""
    path = _path(node)
    if path.endswith(b"/"):
        raise Wrong(f"is {shown(node)}, which names a folder", "name a file in it")
    return path


def directory(node: Node) -> bytes:
    """The path of a folder, with a slash at its end. The folder need not be there."""
    return _path(node).rstrip(b"/") + b"/"


def _path(node: Node) -> bytes:
    """A full path without doubled slashes and single dots; a slash at its end stays.

    `..` is refused, since what it means depends on symbolic links.
    """
    if node.tag == YAML + "binary":
        try:
            path = binascii.a2b_base64("".join(node.value.split()), strict_mode=True)
        except ValueError:
            raise Wrong("is marked !!binary but is not base64") from None
    else:
        path = text(node).encode()
    if not path.startswith(b"/"):
        hint = "~ is not expanded; " if path.startswith(b"~") else ""
        raise Wrong(f"is {shown(node)}, not a full path", f"{hint}write the path from / on")
    if b"\0" in path:
        raise Wrong("holds a NUL character")
    parts = [part for part in path.split(b"/") if part not in {b"", b"."}]
    if b".." in parts:
        raise Wrong(f"is {shown(node)}", "write the path without ..")
    slash = b"/" if parts and path.endswith((b"/", b"/.")) else b""
    return b"/" + b"/".join(parts) + slash


def host_name(node: Node) -> str:
    value = text(node)
    if value.startswith("[") or "://" in value:
        raise Wrong(f"is {shown(node)}, not a host name or address", "write it without brackets, scheme and port")
    label = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
    if _address(value) is None and (
        len(value) > 253 or re.fullmatch(r"[0-9.]+", value) or not re.fullmatch(rf"{label}(\.{label})*\.?", value)
    ):
        raise Wrong(f"is {shown(node)}, not a host name or address", "write an address such as 127.0.0.1 or ::1")
    return value


def is_loopback(host: str) -> bool:
    address = _address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
