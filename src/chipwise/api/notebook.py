"""Let answers draw themselves, in a notebook and when printed.

The nouns in `core` may not know `show`, so a verb that answers with one teaches it. Importing chipwise does not: the
records cost 30 ms that `--help` need not pay.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


def drawn(verb: Callable[P, R]) -> Callable[P, R]:
    """Make a verb's answers draw themselves (`_repr_html_`, `print`, and `repr` in one line)."""

    @wraps(verb)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        answer = verb(*args, **kwargs)
        _teach(type(answer))
        return answer

    return call


def _teach(kind: type) -> None:
    if kind.__module__.startswith("chipwise.core."):
        setattr(kind, "_repr_html_", _as_html)  # noqa: B010  mypy does not let a method be assigned
        setattr(kind, "__str__", _as_text)  # noqa: B010  as above
        setattr(kind, "__repr__", _in_short)  # noqa: B010  as above


def _as_html(record: Any) -> str:
    from chipwise.views.notebook import repr_html

    return repr_html(_shown(record))


def _as_text(record: Any) -> str:
    from chipwise.views.notebook import text

    return text(_shown(record))


def _in_short(record: Any) -> str:
    """The first line of an answer: all fields of one with its layers would fill pages."""
    return f"<{type(record).__name__}: {_as_text(record).partition(chr(10))[0].strip()}>"


def _shown(record: Any) -> Any:
    from chipwise.core.plan import Plan

    return record.manifest if isinstance(record, Plan) else record
