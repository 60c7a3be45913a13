r"""Read the text of a Darknet `.cfg`: sections of `key=value` lines, in order, any of them more than once.

As Darknet does (src/parser.c read_cfg, src/option_list.c), white space is dropped wherever it stands, lines that begin
with `#` or `;` are comments, and of a key that is given twice the first counts. Unlike Darknet, whose `atoi` takes
anything for a number, what cannot be read is an error that names its line.

>>> net = parse("[net]\nwidth = 32 # pixels\n[maxpool]\nsize=2\nstride=2")
>>> net.options.integer("width"), net.layers[0].type, net.layers[0].line
(32, 'maxpool', 3)
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from chipwise.core.errors import NetworkError

LIMIT_BYTES = 1_000_000  # the longest cfg in use, EfficientNet-B7's kind, has 60 kB
_MOST_SECTIONS = 4096
_MOST_NUMBERS = 4096  # in one list
_LARGEST = 1_000_000  # of any whole number that a layer is built from
_SPACE = re.compile(r"[ \t\r\n\f\v]+")
_INTEGER = re.compile(r"[+-]?[0-9]{1,10}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,3})?")
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Section:
    """One `[type]` with its options.

    Attributes:
        type: the word between the brackets.
        line: where it stands, from 1.
        options: the text behind each key, without white space, and the line it stands in.
    """

    type: str
    line: int
    options: dict[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """How messages call it."""
        return f"section [{self.type}] (line {self.line})"

    def text(self, key: str, default: str = "") -> str:
        """The text of an option."""
        return self.options[key][0] if key in self.options else default

    def integer(self, key: str, default: int = 0, *, least: int = 0, most: int = _LARGEST) -> int:
        """A whole number from `least` to `most`.

        Raises:
            NetworkError: when it is something else.
        """
        if key not in self.options:
            return default
        given, line = self.options[key]
        value = int(given) if _INTEGER.fullmatch(given) else None
        if value is None or not least <= value <= most:
            raise self._wrong(key, given, line, f"a whole number from {least} to {most}")
        return value

    def number(self, key: str, default: float = 0.0) -> float:
        """A finite number.

        Raises:
            NetworkError: when it is something else.
        """
        return self.numbers(key)[0] if key in self.options else default

    def flag(self, key: str) -> bool:
        """Whether a switch is on: any number but 0."""
        return self.number(key) != 0

    def numbers(self, key: str) -> tuple[float, ...]:
        """The numbers of a list with commas between them; none when the option is not there.

        Raises:
            NetworkError: when one is no finite number, or there are too many.
        """
        given, line = self.options.get(key, ("", self.line))
        parts = [part for part in given.split(",") if part]
        if key in self.options and not 0 < len(parts) <= _MOST_NUMBERS:
            raise self._wrong(key, given, line, f"1 to {_MOST_NUMBERS} numbers with commas between them")
        values = tuple(float(part) if _NUMBER.fullmatch(part) else math.nan for part in parts)
        if not all(map(math.isfinite, values)):
            raise self._wrong(key, given, line, "finite numbers")
        return values

    def integers(self, key: str) -> tuple[int, ...]:
        """The whole numbers of a list with commas between them; none when the option is not there.

        Raises:
            NetworkError: when one is no whole number of at most six digits.
        """
        values = self.numbers(key)
        if any(value != int(value) or abs(value) > _LARGEST for value in values):
            given, line = self.options[key]
            raise self._wrong(key, given, line, f"whole numbers up to {_LARGEST}")
        return tuple(map(int, values))

    def refuse(self, keys: Iterable[str]) -> None:
        """Refuse options that change what a layer computes in a way that is not built here.

        Raises:
            NetworkError: when one of them is there and not 0.
        """
        for key in keys:
            given, line = self.options.get(key, ("0", 0))
            if not _NUMBER.fullmatch(given) or float(given) != 0:
                raise NetworkError(
                    f"{self.title}: the option {key}={shown(given)} (line {line}) is not supported",
                    hint="only layers without it can be built",
                )

    def error(self, problem: str, hint: str = "") -> NetworkError:
        """An error about this section."""
        return NetworkError(f"{self.title} {problem}", hint=hint)

    def _wrong(self, key: str, given: str, line: int, accepted: str) -> NetworkError:
        return NetworkError(f"line {line}: [{self.type}] {key}={shown(given)} cannot be used", hint=f"give {accepted}")


@dataclass(frozen=True, slots=True)
class Cfg:
    """A network's description: the options of `[net]`, and its layers in order."""

    options: Section
    layers: tuple[Section, ...]


def parse(text: str) -> Cfg:
    """Read the text of a cfg file.

    Raises:
        NetworkError: when a line is no section, option or comment, there are too many sections, or `[net]` is not
            the first of them.
    """
    sections: list[Section] = []
    for number, raw in enumerate(text.split("\n"), 1):
        line = _SPACE.sub("", raw)
        if not line or line[0] in "#;":
            continue
        if line[0] == "[":
            sections.append(_header(line, number))
        elif not sections:
            raise NetworkError(f"line {number}: {shown(line)} stands before the first section", hint="begin with [net]")
        else:
            _add_option(sections[-1], line, number)
        if len(sections) > _MOST_SECTIONS:
            raise NetworkError(f"line {number}: more than {_MOST_SECTIONS} sections", hint="no network has that many")
    if not sections or sections[0].type not in ("net", "network"):
        found = f"begins with [{sections[0].type}]" if sections else "has no section"
        raise NetworkError(f"the cfg {found}", hint="the first section must be [net]")
    if len(sections) == 1:
        raise NetworkError("the cfg has no layers", hint="layers follow [net], one section each")
    return Cfg(sections[0], tuple(sections[1:]))


def shown(text: str) -> str:
    """Text of a file, short and printable enough for one line of a message."""
    safe = "".join(char if char.isprintable() else "?" for char in text)
    return safe if len(safe) <= _SHOWN else f"{safe[:_SHOWN]}..."


def _header(line: str, number: int) -> Section:
    name, closed, _ = line[1:].partition("]")
    if not closed or not name:
        raise NetworkError(f"line {number}: {shown(line)} is no section", hint="write [type]")
    return Section(shown(name), number)


def _add_option(section: Section, line: str, number: int) -> None:
    key, equals, value = line.partition("=")
    if not equals or not key:
        raise NetworkError(f"line {number}: {shown(line)} is no option", hint="write key=value, or # before a comment")
    section.options.setdefault(key, (re.split("[#;]", value, maxsplit=1)[0], number))
