"""A crossover as a record, for golden tables: a device that overtakes, one that always is faster, one that never is."""

from __future__ import annotations

from chipwise.core.crossover import Crossing, Crossover, CrossoverLine, CrossoverPoint, Parts
from chipwise.core.estimate import Interval
from chipwise.core.measure import Timing

_PARAMETERS = (9_706, 316_327, 9_998_575)
_SIZE = 60_000


def _parts(step_s: float, launch: float) -> Parts:
    rest = 0.98 - launch
    return Parts(launch * step_s, 0.02 * step_s, 0.75 * rest * step_s, 0.25 * rest * step_s)


def _points(steps: tuple[float, ...], measured: int, launches: tuple[float, ...] = ()) -> tuple[CrossoverPoint, ...]:
    made = []
    for place, (parameters, step_s) in enumerate(zip(_PARAMETERS, steps, strict=True)):
        done = place < measured
        times = Interval(0.9 * step_s, step_s, 1.3 * step_s, None if done or measured else 0.8)
        made.append(
            CrossoverPoint(
                parameters, 12 * 10**place, times, done,
                parts=_parts(step_s, launches[place]) if launches else None,
                epoch_s=times.times(_SIZE / 64),
                timing=Timing(5, (0.9 * step_s, step_s, 1.3 * step_s)) if done else None,
                foretold_s=times.times(1.12) if done and place else None,
                fits=None if not launches else step_s < 1,
            )
        )  # fmt: skip
    return tuple(made)


def crossover() -> Crossover:
    launches = (0.96, 0.7, 0.1)
    steps = (718e-6, 719e-6, 834e-6)
    card = _points(steps, 0, launches)
    return Crossover(
        net="mlp",
        batch=64,
        precision="fp32",
        optimizer="adamw",
        data_size=_SIZE,
        lines=(
            CrossoverLine("here", True, _points((350e-6, 2.1e-3, 81.0), 2), "measured"),
            CrossoverLine("Example Card 3090", False, card, "profile example"),
            CrossoverLine("H100 SXM5 80GB", False, _points((300e-6, 310e-6, 700e-6), 0, launches), "profile example"),
            CrossoverLine("Old Card", False, _points((2e-3, 9e-3, 99.0), 0, launches), "profile example"),
        ),
        crossings=(
            Crossing(
                "Example Card 3090", "here", "at", Interval(None, 61_234.0, 152_000.0), 718e-6, _parts(718e-6, 0.81),
                _parts(718e-6, 0.96),
            ),
            Crossing(
                "H100 SXM5 80GB", "here", "always", Interval(None, None, 44_000.0), 300e-6, _parts(300e-6, 0.96),
                _parts(300e-6, 0.96),
            ),
            Crossing(
                "Old Card", "here", "never", Interval(7.7e6, None, None), 99.0, _parts(99.0, 0.1), _parts(2e-3, 0.96)
            ),
        ),
        complete=False,
        notes=("H100 SXM5 80GB was not measured: its data sheet stands for it",),
    )  # fmt: skip


RECORDS = {"crossover": crossover}
