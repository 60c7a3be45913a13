"""Where each contestant stands, and what is to be expected of it: error and seconds at the rungs to come.

Every kind has two power laws, of errors and of seconds over work, which begin with what the kind's entry says and are
learned from contestants of the kind that were measured at two rungs. So a small trial says what a large one would give
and take, and the next one to run is the one with the largest expected improvement per second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import fmean, pstdev
from typing import TYPE_CHECKING

from chipwise.core.trial import Rung
from chipwise.searching.laws import PowerLaw, expected_gain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.searching.kinds import Kind

SHARES = (1 / 16, 1 / 4, 1.0)
_FEWEST, _FEWEST_A_CLASS = 200, 10  # samples of a rung
# Standard deviations of the logarithm of an error: of a kind nobody has seen here, of knobs within a kind, and for each
# fourfold step that is left to the top.
_TELLING_S = 0.2  # below, a trial's time says more about its fixed costs than about this machine
_NEW_KIND, _NEW_KNOBS, _PER_STEP = 1.0, 0.35, 0.2
# More epochs over the same samples help less than more samples do: of the exponent of a kind's errors, that of epochs.
_EPOCHS_LEARN = 0.4


def ladder(samples: int, classes: int) -> tuple[float, ...]:
    """Shares of the training split that are worth a look, the whole last.

    >>> ladder(54_000, 10), ladder(1_077, 10)
    ((0.0625, 0.25, 1.0), (0.25, 1.0))
    """
    least = max(_FEWEST, _FEWEST_A_CLASS * classes)
    return tuple(share for share in SHARES if share == 1 or share * samples >= least)


def rung_of(share: float, epochs: int | None) -> Rung:
    """How much a trial gets at a share: fewer epochs, too, where it has some.

    >>> rung_of(0.25, 8)
    Rung(share=0.25, epochs=4)
    """
    return Rung(share, None if epochs is None else max(1, round(epochs * math.sqrt(share))))


@dataclass(frozen=True, slots=True)
class Seen:
    """One measurement: the work of the rung (1 at the top), the error there, and the seconds it took."""

    work: float
    error: float
    seconds: float


@dataclass(slots=True)
class Entry:
    """A contestant in the running.

    Attributes:
        number: of its trial in the study.
        kind, model: what it is.
        epochs: that its string asks for.
        usual: it is of the portfolio: good values to begin with.
        next: the rung it would run next; seen: what was measured so far.
    """

    number: int
    kind: Kind
    model: str
    epochs: int | None
    usual: bool = False
    next: int = 0
    seen: list[Seen] = field(default_factory=list)

    def work(self, share: float) -> float:
        """Work at a share, of that at the top."""
        epochs = rung_of(share, self.epochs).epochs
        return share if epochs is None or not self.epochs else share * epochs / self.epochs

    @property
    def effort(self) -> float:
        """Epochs, of the kind's usual ones."""
        usual = self.kind.usual.get("epochs")
        return self.epochs / usual if self.epochs and isinstance(usual, int) else 1.0


@dataclass(slots=True)
class _Known:
    """What is known about a kind: its laws, and logarithms of what its contestants of usual epochs come to."""

    learns: PowerLaw
    grows: PowerLaw
    errors: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


class Forecast:
    """Expectations, which learn from every trial.

    Args:
        shares: of the ladder.
    """

    def __init__(self, shares: Sequence[float]) -> None:
        self._shares = tuple(shares)
        self._known: dict[str, _Known] = {}
        self._pace = [0.0]  # logarithms of measured over expected seconds, the first of them assumed

    def see(self, entry: Entry, seen: Seen) -> None:
        """Take a measurement in."""
        known = self._of(entry.kind)
        for before in entry.seen[-1:]:
            known.learns.see(before.work, seen.work, before.error, seen.error)
            known.grows.see(before.work, seen.work, before.seconds, seen.seconds)
        whole = known.grows.at(seen.seconds, share=seen.work, wanted=1.0) / entry.effort
        if not known.seconds and seen.seconds > _TELLING_S:
            self._pace.append(math.log(whole / entry.kind.seconds))
        known.seconds.append(math.log(whole))
        entry.seen.append(seen)
        known.errors.append(math.log(self.error(entry)[0] / self._practised(entry)))

    def error(self, entry: Entry) -> tuple[float, float]:
        """The error that is expected at the top, and the standard deviation of its logarithm."""
        known = self._of(entry.kind)
        if entry.seen:
            last = entry.seen[-1]
            steps = -math.log(last.work, 4)
            return known.learns.at(last.error, share=last.work, wanted=1.0), _PER_STEP * steps
        if known.errors:
            spread = max(_NEW_KNOBS, pstdev(known.errors))
            return math.exp(fmean(known.errors)) * self._practised(entry), spread
        return entry.kind.error * self._practised(entry), _NEW_KIND

    def _practised(self, entry: Entry) -> float:
        """What its epochs make of an error, against the kind's usual ones."""
        return math.pow(entry.effort, _EPOCHS_LEARN * min(self._of(entry.kind).learns.exponent(), 0.0))

    def seconds(self, entry: Entry, rung: int) -> float:
        """Seconds that are expected at a rung."""
        known, wanted = self._of(entry.kind), entry.work(self._shares[rung])
        if entry.seen:
            last = entry.seen[-1]
            return known.grows.at(last.seconds, share=last.work, wanted=wanted)
        guess = math.log(entry.kind.seconds) + fmean(self._pace)
        whole = math.exp(fmean(known.seconds) if known.seconds else guess)
        return known.grows.at(whole * entry.effort, share=1.0, wanted=wanted)

    def path_s(self, entry: Entry) -> float:
        """Seconds from where it stands to the top."""
        return sum(self.seconds(entry, rung) for rung in range(entry.next, len(self._shares)))

    def _of(self, kind: Kind) -> _Known:
        return self._known.setdefault(kind.name, _Known(PowerLaw(kind.learns), PowerLaw(kind.grows)))

    def improvement(self, entry: Entry, best: float) -> float:
        """Expected improvement over the best error so far."""
        error, spread = self.error(entry)
        return expected_gain(best, error, spread)

    def gain(self, entry: Entry, best: float) -> float:
        """The same, for each second."""
        return self.improvement(entry, best) / max(self.path_s(entry), 1e-3)
