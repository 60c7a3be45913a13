"""Let answers draw themselves, in a notebook and when printed.

The nouns in `core` may not know `show`, so the first verb that is called teaches them. Importing chipwise does not: the
records cost 30 ms that `--help` need not pay.
"""

from __future__ import annotations

from functools import cache, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


def drawn(verb: Callable[P, R]) -> Callable[P, R]:
    """Make a verb's answers draw themselves (`_repr_html_`, `print`)."""

    @wraps(verb)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        _teach()
        return verb(*args, **kwargs)

    return call


@cache
def _teach() -> None:
    from chipwise.core import report
    from chipwise.core.estimation import Estimation
    from chipwise.core.plan import Manifest, Plan

    answers = {kind for kind in vars(report).values() if isinstance(kind, type) and hasattr(kind, "schema")}
    not_answers = {report.Report}  # what a page is drawn from
    for kind in (answers | {Estimation, Plan, Manifest}) - not_answers:
        setattr(kind, "_repr_html_", _as_html)  # noqa: B010  mypy does not let a method be assigned
        setattr(kind, "__str__", _as_text)  # noqa: B010  as above


def _as_html(record: Any) -> str:
    from chipwise.show.notebook import repr_html

    return repr_html(_shown(record))


def _as_text(record: Any) -> str:
    from chipwise.show.notebook import text

    return text(_shown(record))


def _shown(record: Any) -> Any:
    from chipwise.core.plan import Plan

    return record.manifest if isinstance(record, Plan) else record
