"""Fits one eager fp32 profile for each GPU of NeuSight's kernel tables, from single kernels alone.

    python -m published.fit_kernels KERNELS [--out DIR]        # in benchmarks/

No latency of a whole network is read here: every row of networks (`neusight.py`) is held out. Classes: `mm` from
linear layers, `bmm` from batched products, `ck` from 3x3 convolutions, `ew`, `sm`, `ln` from their own. Three classes
stand in for kernels that were not measured: products with weights kept input-major (`mm_nn`) and 1x1 convolutions
(`c1`) read both matrices along rows as `bmm` does; copies and batch norms stream as `ew`. A kernel whose result the
host waits for (`sync`) takes what a call takes on an idle device, as the tables' own rows do.

Which curves a class has was decided on kernels alone: two random halves of the rows, one for fitting.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median_low

import numpy as np
from numpy.typing import NDArray

from chipwise.codec.records import encode
from chipwise.core.device import Device
from chipwise.core.profile import Curve, Profile, Spread, WorkClass
from chipwise.cost.model import features, rates
from chipwise.devices.known import device
from published.fit import Form, Network, Prior, Problem, Vector
from published.kernels import DEVICES, KINDS, LAUNCH_S, Table, read

SEED = 0
# Enough for a curve; more rows of a kind change coefficients in the third digit.
ROWS_OF_A_KIND = 3000
_PRODUCT = ("m", "n", "k", "tiles", "fill", "panel", "align")
FORM = Form(
    compute={"mm": _PRODUCT, "bmm": _PRODUCT, "ck": ("m", "n", "k", "tiles", "fill")},
    memory={"mm": (), "bmm": (), "ck": (), "ew": ("cache",), "sm": ("cache",), "ln": ("cache",)},
    prior=Prior(share=1.0, curve=1.0, bend=0.15, noise=0.15, huber=1.0),
    start={"launch": LAUNCH_S, "dispatch": 1e-7, "step": 1e-7},
)
# Classes that were not measured, and the one whose kernels read memory alike.
STAND_INS = {"mm_nn": "bmm", "c1": "bmm", "grp": "bmm", "cp": "ew", "bn": "ew", "red": "ew", "cast": "ew", "opt": "ew"}


def main() -> int:
    """Fit all devices; one JSON file each, and the errors on held-out kernels as JSON on stdout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kernels", type=Path, help="folder of NeuSight's kernel tables")
    parser.add_argument("--out", type=Path, help="folder for the profiles")
    options = parser.parse_args()
    found = {}
    for file, name in DEVICES.items():
        found[name] = fitted(device(name), [read(options.kernels, file, kind) for kind in KINDS])
        print(f"{name}: {found[name].errors}", file=sys.stderr)
    for name, fit in found.items():
        others = [other.problem for card, other in found.items() if card != name]
        profile = replace(fit.profile, spread=replace(fit.spread, elsewhere=_elsewhere(fit, others)))
        if options.out:
            where = options.out / f"{profile.name}.json"
            where.write_bytes(encode(profile, pretty=True) + b"\n")
    errors = {name: fit.errors for name, fit in found.items()}
    print(json.dumps({"schema": "chipwise.benchmark/1", "benchmark": "fit_kernels", "errors": errors}))
    return 0


@dataclass(frozen=True)
class Fitted:
    """A profile, what it was fitted to, and by class median and mean error on kernels that a first fit did not see."""

    profile: Profile
    spread: Spread
    problem: Problem
    theta: Vector
    errors: dict[str, tuple[float, float]]


def fitted(card: Device, tables: list[Table]) -> Fitted:
    """Fit a half of the kernels for the errors, then all of them for the profile."""
    chosen = np.random.default_rng(SEED)
    blank = _blank(card, tables)
    peaks = rates(card, blank)
    networks = []
    for table in tables:
        picked = chosen.permutation(len(table.kernels))[:ROWS_OF_A_KIND]
        kernels = [table.kernels[index] for index in picked]
        networks += [Network([each.op], peaks, each.device_s, group=each.op.kind) for each in kernels]
    problem = Problem(networks, FORM)
    fitting = chosen.random(len(networks)) < 0.5
    first, theta = problem.fit(fitting), problem.fit(np.ones(len(networks), bool))
    low, high = _bounds(problem, first, ~fitting)
    profile = problem.profile(theta, blank)
    seen = {kind: [features(each.ops[0], peaks) for each in networks if each.group == kind] for kind in FORM.memory}
    classes = {name: _inside(each, seen.get(name, [])) for name, each in profile.classes.items()}
    classes |= {name: classes[other] for name, other in STAND_INS.items()}
    classes["sync"] = replace(classes["ew"], launch=round(blank.dispatch_s / LAUNCH_S, 3))
    profile = replace(profile, classes=classes, launch_s=LAUNCH_S, dispatch_s=blank.dispatch_s, step_s=0.0)
    return Fitted(profile, Spread(round(low, 4), round(high, 4)), problem, theta, _errors(problem, first, ~fitting))


def _inside(shares: WorkClass, seen: list[dict[str, float]]) -> WorkClass:
    """Curves over what was measured alone, so that they are flat beyond it."""

    def cut(name: str, curve: Curve) -> Curve:
        values = [each[name] for each in seen]
        low, high = min(values), max(values)
        at = (low, *(knot for knot in curve.at if low < knot < high), high)
        return Curve(tuple(round(each, 4) for each in at), tuple(round(curve(each), 5) for each in at))

    if not seen:
        return shares
    return replace(
        shares,
        compute_curves={name: cut(name, curve) for name, curve in shares.compute_curves.items()},
        memory_curves={name: cut(name, curve) for name, curve in shares.memory_curves.items()},
    )


def _blank(card: Device, tables: list[Table]) -> Profile:
    floors = {table.kind: table.floor_s for table in tables}
    kernels = sum(len(table.kernels) for table in tables)
    return Profile(
        name=f"torch-eager-fp32-{card.name.lower().replace(' ', '-')}",
        kind="gpu",
        runtime="torch",
        phase="inference",
        precision="fp32",
        compiled=False,
        classes={},
        # An elementwise call on an idle device: the host's part of it is not more than this.
        dispatch_s=float(f"{min(floors['add'], floors['tanh']):.4g}"),
        step_s=0.0,
        widths=(4, 4),
        attention="plain",
        devices=(card.name,),
        fitted_on=f"{kernels} single kernels of PyTorch 2.1 in fp32 without TF32, none of a whole network",
        source="github.com/sitar-lab/NeuSight@6945927d9a, scripts/asplos/data (MIT)",
    )


def _bounds(problem: Problem, theta: Vector, rows: NDArray[np.bool_]) -> tuple[float, float]:
    """Between which logarithms four fifths of the seconds of products lie off.

    They are a network's bounds too, as if all of its kernels were off alike: wide rather than narrow.
    """
    products = rows & np.isin([each.group for each in problem.networks], ("mm", "bmm"))
    off = (problem.measured - problem.predict(theta))[products]
    order = np.argsort(off)
    share = np.cumsum(np.exp(problem.measured[products][order]))
    low, high = (float(off[order][np.searchsorted(share, part * share[-1])]) for part in (0.1, 0.9))
    return low, high


def _elsewhere(fit: Fitted, others: list[Problem]) -> float:
    """How many times wider bounds are on the kernels of the other devices.

    The lower median of them: two of the five are cards of 70 and 75 W, which are far from most others.
    """
    own = max(-fit.spread.low, fit.spread.high)
    far = [_bounds(other, fit.theta, np.ones(len(other.networks), bool)) for other in others]
    return round(max(1.0, median_low(max(-low, high) for low, high in far) / own), 3)


def _errors(problem: Problem, theta: Vector, rows: NDArray[np.bool_]) -> dict[str, tuple[float, float]]:
    off = np.abs(np.expm1(problem.predict(theta) - problem.measured))
    groups = np.array([each.group for each in problem.networks])
    found = {}
    for group in sorted({each.group for each in problem.networks}):
        wrong = off[rows & (groups == group)]
        found[group] = (round(float(np.median(wrong)), 4), round(float(np.mean(wrong)), 4))
    return found


if __name__ == "__main__":
    sys.exit(main())
