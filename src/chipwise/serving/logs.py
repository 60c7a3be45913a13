r"""What a server tells: one JSON document a line on stderr, so that nothing in a request can pass for a line of ours.

>>> import io
>>> stream = io.StringIO()
>>> Log(stream).event("opened", model="a\nb")
>>> stream.getvalue().count("\n"), '"model":"a\\nb"' in stream.getvalue()
(1, True)
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST = 500  # characters of one value
_INVISIBLE = (*range(0x7F, 0xA0), 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))  # JSON lets them be
_CONTROLS = {code: f"\\u{code:04x}" for code in _INVISIBLE}


@dataclass(frozen=True, slots=True)
class Log:
    """Lines on a stream.

    Attributes:
        stream: where they go.
        requests: whether each request gets one.
    """

    stream: TextIO
    requests: bool = False

    def event(self, what: str, **facts: Any) -> None:
        """Write one line: the time (UTC), what happened, and facts about it."""
        now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        line = msgspec.json.encode({"time": now, "event": what, **_short(facts)}).decode()
        self.stream.write(line.translate(_CONTROLS) + "\n")
        self.stream.flush()

    def request(self, **facts: Any) -> None:
        """Write a line on one request, if those are wanted."""
        if self.requests:
            self.event("request", **facts)


def why(refused: str) -> dict[str, str]:
    """The reason of a refusal as a fact; nothing where there was none."""
    return {"refused": refused} if refused else {}


def _short(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value[:_LONGEST] if isinstance(value, str) else value for name, value in facts.items()}
