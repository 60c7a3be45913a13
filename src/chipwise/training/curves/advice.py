"""What a curve says to do, in one sentence, by rules on its points and their marks.

>>> from chipwise.core.estimate import Interval
>>> all_wrong = Interval(0.5, 0.6, 0.7)
>>> advice("data", (CurvePoint(1.0, 90, 9, 9, all_wrong, all_wrong, mark="underfits"),))
'Not more data: it learns only 40.0% of what it is shown. Try a larger network, or train longer.'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chipwise.core.curve import CurvePoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.core.curve import CurveKind

_LATE = 0.9  # of all epochs: what is best from there on may not be the best


def advice(kind: CurveKind, points: Sequence[CurvePoint]) -> str:
    """What to do.

    Args:
        kind: what grows.
        points: of one line, the smallest first, marked.
    """
    last = points[-1]
    if last.mark == "underfits":
        shown = 1 - (last.train.mid or 0.0)
        first = {"data": "Not more data: it", "capacity": "The widest still", "epochs": "At the end it"}[kind]
        verb = "learns only" if kind != "epochs" else "has learned only"
        told = f"{first} {verb} {shown:.1%} of what it is shown."
        return f"{told} Try a larger network, or train longer."
    return {"data": _of_data, "capacity": _of_capacity, "epochs": _of_epochs}[kind](points)


def _of_data(points: Sequence[CurvePoint]) -> str:
    last = points[-1]
    if not last.mark:
        return f"Enough data: the errors on what it learned and on what it did not meet at {_error(last)}."
    before = points[-2] if len(points) > 1 else last
    if last.rise is None and before.rise is not None and (before.rise.low or 0.0) > 0:
        gained = f"from {before.samples:,} to {last.samples:,} samples the validation error fell from {_error(before)}"
        return f"More data: {gained} to {_error(last)}, far above the training error."
    return (
        f"Regularise or vary the samples: the validation error, {_error(last)}, is far above the training error, and "
        f"the last samples gained nothing that is certain."
    )


def _of_capacity(points: Sequence[CurvePoint]) -> str:
    enough, last = _enough(points), points[-1]
    spoiled = next((each for each in points if each.mark == "overfits" and each.at > enough.at), None)
    more = "" if spoiled is None else f" From width {spoiled.at:g} on it overfits: regularise, or find more data."
    if enough is last:
        return f"Try wider ones: the widest is certainly the best, at {_error(last)}."
    told = f"Width {enough.at:g} does it, with {enough.parameters:,} parameters: {_error(enough)}"
    return f"{told}{_best(points, enough, 'width')}.{more or _gap(enough)}"


def _of_epochs(points: Sequence[CurvePoint]) -> str:
    enough, last = _enough(points), points[-1]
    if last.mark == "overfits":
        best = next(each for each in points if each.rise is None)
        told = f"after it the validation error rose from {_error(best)} to {_error(last)}"
        return f"Stop at epoch {best.epochs} (--epochs {best.epochs}), or regularise: {told}."
    if enough.epochs > _LATE * last.epochs:
        return f"Train longer: every epoch before the last tenth is certainly worse than the best ({_error(enough)})."
    return f"Epoch {enough.epochs} does it: {_error(enough)}{_best(points, enough, 'epoch')}.{_gap(last)}"


def _best(points: Sequence[CurvePoint], enough: CurvePoint, what: str) -> str:
    """What the best point would add, where it is another."""
    best = next(each for each in points if each.rise is None)
    return "" if best is enough else f"; the best, {what} {best.at:g} with {_error(best)}, is not certainly better"


def _gap(point: CurvePoint) -> str:
    """What to do about a validation error far above the training error."""
    return " The gap that is left asks for more data or regularisation." if point.mark == "gap" else ""


def _enough(points: Sequence[CurvePoint]) -> CurvePoint:
    """The first point that is not certainly worse than the best."""
    return next(each for each in points if each.rise is None or (each.rise.low or 0.0) <= 0)


def _error(point: CurvePoint) -> str:
    return f"{point.validation.mid or 0.0:.1%}"
