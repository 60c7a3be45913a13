"""What the page's address says: every choice by its name, and back.

>>> chosen = choices_of("network=lenet5&on=dgx-a100&batch=64&checkpointing=1")
>>> chosen.batch, chosen.techniques
(64, ('checkpointing',))
>>> choices_of(query_of(chosen)) == chosen
True
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any
from urllib.parse import parse_qsl, urlencode

from chipwise.core.errors import unknown_name
from chipwise.core.what_if import ChoiceError

AGAINST = ("rent", "buy", "energy")
LONGEST = 2000  # characters of a query
_SWITCHES = ("pipeline", "compiled", "channels_last", "checkpointing")
_NUMBERS = ("count", "batch", "micro_batches", "zero")
_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Choices:
    """What can be chosen; all but `against` and the techniques are parameters of `what_if`.

    Attributes:
        count: None for one, or for those of the system; link: "" for the usual one.
        precision: "" for what is usual on the device; optimizer: "" likewise.
        pipeline, compiled, channels_last, checkpointing: on or off.
        against: what the time of all devices is drawn against.
    """

    network: str = "resnet50"
    on: str = "GeForce RTX 4090"
    count: int | None = None
    link: str = ""
    phase: str = "training"
    batch: int = 32
    micro_batches: int = 1
    zero: int = 0
    pipeline: bool = False
    precision: str = ""
    compiled: bool = False
    channels_last: bool = False
    checkpointing: bool = False
    optimizer: str = ""
    against: str = "rent"

    @property
    def techniques(self) -> tuple[str, ...]:
        """Those that are on, by the names that `estimate` has for them."""
        switched = [name for name in ("channels_last", "checkpointing") if getattr(self, name)]
        return tuple(filter(None, (*switched, self.optimizer)))


def choices_of(query: str) -> Choices:
    """Read a query; what it does not name is as usual.

    Raises:
        ChoiceError: a name that is no choice or comes twice, or a value that cannot be one.
    """
    if len(query) > LONGEST:
        raise ChoiceError("", f"the address has {len(query)} characters after '?'", hint=f"at most {LONGEST}")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=len(fields(Choices)), errors="strict")
    except ValueError as error:
        raise ChoiceError("", f"the address cannot be read: {error}") from error
    known = {field.name for field in fields(Choices)}
    given: dict[str, Any] = {}
    for name, text in pairs:
        if name not in known:
            raise ChoiceError("", f"there is no choice {name[:40]!r}", hint=f"known: {', '.join(sorted(known))}")
        if name in given:
            raise ChoiceError(name, f"{name} is chosen twice")
        given[name] = _value(name, text)
    return Choices(**given)


def query_of(choices: Choices) -> str:
    """Every choice that is not empty."""
    texts = {name: _text(value) for name, value in asdict(choices).items()}
    return urlencode({name: text for name, text in texts.items() if text})


def _text(value: str | int | bool | None) -> str:
    return "1" if value is True else "" if value is None or value is False else str(value)


def _value(name: str, text: str) -> Any:
    if name in _SWITCHES:
        if text not in ("0", "1"):
            raise ChoiceError(name, f"{name} is {text[:40]!r}", hint="1 for on, 0 for off")
        return text == "1"
    if name in _NUMBERS:
        if name == "count" and not text:
            return None
        if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
            raise ChoiceError(name, f"{name} is {text[:40]!r}", hint="a whole number")
        return int(text)
    if name == "against" and text not in AGAINST:
        raise ChoiceError(
            name, unknown_name("measure", text[:40], AGAINST).message, hint=f"one of {', '.join(AGAINST)}"
        )
    return text
