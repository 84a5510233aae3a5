"""One configuration file as written becomes settings: values, the line of each, and every mistake.

PyYAML parses; this walks its nodes, because only nodes know their lines and show that a key was given twice.
No message repeats a value that could be the secret, so what the parser quotes of the file is left out.
"""

from __future__ import annotations

import re
from difflib import get_close_matches

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from mediawatchd.paths import printable

from .schema import Key, Section, dotted, keys
from .settings import Place, Settings
from .values import Each, Wrong, is_null, shown


def read(content: bytes, *, source: str) -> Settings:
    """All that the bytes of a file say, and all that is wrong with them; an empty file says nothing."""
    settings = Settings(source=source)
    node = _compose(content, settings)
    if node is not None:
        _Reader(settings).section(node, keys(), "")
    return settings


def _compose(content: bytes, settings: Settings) -> Node | None:
    def wrong(line: int | None, what: str, hint: str) -> None:
        settings.wrong("", what, hint, place=Place(settings.source, line))

    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            wrong(line, "the file is UTF-16", "save it as UTF-8")
        else:
            hint = "save the file as UTF-8; write a path that is not UTF-8 as !!binary with its bytes in base64"
            wrong(line, f"byte 0x{content[error.start]:02x} is not UTF-8", hint)
        return None
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        wrong(line, f"control character U+{ord(text[error.position]):04X} is not allowed in YAML", "remove it")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        wrong(mark.line + 1 if mark else None, *_syntax(error))
    except RecursionError:
        wrong(None, "nested too deeply", "check the brackets")
    return None


def _syntax(error: yaml.MarkedYAMLError) -> tuple[str, str]:
    """What the parser found wrong and what to do, without the words of the file that it quotes."""

    def harmless(quoted: re.Match[str]) -> str:
        return quoted[0] if re.fullmatch(r"<[a-z ]*>|\\?.", quoted[0][1:-1]) else "..."

    problem = re.sub(r"'[^']*'|\"[^\"]*\"", harmless, error.problem or error.context or "cannot be parsed")
    if r"'\t'" in problem:
        return "not valid YAML: a tab where only spaces may stand", "indent with spaces"
    if "alias" in f"{error.context} {problem}":
        hint = "put text that begins with * in quotes"
    elif "cannot start any token" in problem:
        hint = "put text that begins with such a sign in quotes"
    else:
        hint = "check indentation, brackets and quotes here and in the lines above"
    return f"not valid YAML: {problem}", hint


class _Reader:
    """Walks the nodes of one file and fills the settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys = [key for key, _ in dotted(keys())]

    def section(self, node: Node, known: Section, prefix: str) -> None:
        """Read the keys below `prefix`, which ends with a dot unless it is empty."""
        if is_null(node):  # all its keys are commented out
            return
        name = prefix.rstrip(".")
        if not isinstance(node, MappingNode):
            hint = f"write one key a line below it, as in `{next(iter(known))}: ...`"
            self._settings.wrong(name, f"is {_kind(node)}, not keys with values", hint, place=self._place(node))
            return
        given: set[str] = set()
        for key_node, value in node.value:
            place = self._place(key_node)
            word = key_node.value if isinstance(key_node, ScalarNode) else ""
            key = prefix + word
            if word not in known:
                self._unknown(word, known, prefix, place)
            elif word in given:
                first = self._settings.places[key].line
                self._settings.wrong(key, f"is given twice, first in line {first}", "keep one of them", place=place)
            else:
                given.add(word)
                self._settings.places[key] = place
                below = known[word]
                if isinstance(below, Key):
                    self._value(value, below, key)
                else:
                    self.section(value, below, f"{key}.")

    def _value(self, node: Node, key: Key, name: str) -> None:
        if is_null(node) and key.choose:
            return  # chosen later, as if the key were not there
        try:
            if is_null(node) and key.nullable:
                self._settings.values[name] = None
            elif isinstance(key.rule, Each):
                self._list(node, key.rule, name)
            else:
                self._settings.values[name] = key.rule(node)
        except Wrong as wrong:
            self._settings.wrong(name, wrong.what, wrong.hint)

    def _list(self, node: Node, rule: Each, name: str) -> None:
        if not isinstance(node, SequenceNode):
            hint = "write [] for none" if is_null(node) else "write [one, two], or one a line after a dash"
            raise Wrong(f"is {shown(node)}, not a list", hint)
        items = []
        for index, item in enumerate(node.value):
            key = f"{name}[{index}]"
            self._settings.places[key] = self._place(item)
            try:
                items.append(rule.rule(item))
                self._settings.values[key] = items[-1]
            except Wrong as wrong:
                self._settings.wrong(key, wrong.what, wrong.hint)
        self._settings.values[name] = tuple(items)

    def _unknown(self, word: str, known: Section, prefix: str, place: Place) -> None:
        near = get_close_matches(word, known, n=1)
        at_home = next((key for key in self._keys if word in (key, key.rpartition(".")[2])), "")
        section, _, last = at_home.rpartition(".")
        # With a space or the colon forgotten, key and value are one word for YAML; the value may be the secret.
        first = re.split(r"[:\s]", word)[0]
        if word.startswith(f"{first}:"):
            hint = "put a space after the colon"
        elif last:
            hint = f"write `{last}` below `{section}`" if section else f"write `{last}` at the top level"
        elif near:
            hint = f"did you mean `{near[0]}`?"
        else:
            hint = f"known here: {', '.join(known)}"
        shown = printable(first) if word == first else f"{printable(first)}..."
        self._settings.wrong((prefix + shown).rstrip("."), "unknown key", hint, place=place)

    def _place(self, node: Node) -> Place:
        return Place(self._settings.source, node.start_mark.line + 1)


def _kind(node: Node) -> str:
    """Never the text itself: a secret whose key went wrong may stand there."""
    return "a list" if isinstance(node, SequenceNode) else "text"
