"""Fits the profiles that are shipped to the fitting half of timm's tables.

    python benchmarks/published/fit_timm.py --tables ../shared/reference/timm [--only NAME ...]

Writes `src/chipwise/devices/profiles/NAME.json`. Rows of held-out families are never read here. Intervals are quantiles
of the errors of a cross-validation by families; the widening on other devices is how much larger errors are on a device
left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import optimize

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

from chipwise.codec.records import encode  # noqa: E402
from chipwise.core.device import Device  # noqa: E402
from chipwise.core.profile import Profile, Spread  # noqa: E402
from chipwise.cost.estimate import difficulty  # noqa: E402
from chipwise.cost.execution import planned  # noqa: E402
from chipwise.cost.model import prices, rates  # noqa: E402
from chipwise.devices.known import device  # noqa: E402
from published.fit import Form, Network, Prior, Problem, Vector  # noqa: E402
from published.split import fold, held_out  # noqa: E402
from published.timm import Table, ops_at, read_table, read_traces  # noqa: E402

SHIPPED = ROOT / "src" / "chipwise" / "devices" / "profiles"
# As timm's file names spell devices.
NAMES = {"4090": "rtx4090", "5090": "rtx5090", "i9_10940x": "i9-10940x", "i7_12700h": "i7-12700h"}
SOURCE = "huggingface/pytorch-image-models, results/ (Apache-2.0): networks of families that are not held out"
FOLDS, COVERAGE = 5, 0.8
# Of an interval on a device that nothing was fitted on, at least: two cards of one maker's say too little.
ELSEWHERE = 1.5

_CONVOLUTION = {
    "c1": ("n", "k", "tiles", "align"),
    "ck": ("n", "k", "tiles", "align"),
    "grp": ("n", "k", "width"),
    "dw": ("k",),
}
_PRODUCTS = {
    **_CONVOLUTION,
    **{f"{kind}l": names for kind, names in _CONVOLUTION.items()},
    "mm": ("n", "k", "tiles", "align"),
    "bmm": ("m", "n", "k"),
    "sdpa": ("n", "k"),
    "fft": (),
}
# What only streams data: a share of bandwidth, and of what multiprocessors can pass through.
_STREAMS = {
    **dict.fromkeys(("ew", "ew2", "ewb", "cp", "cast"), ()),
    **dict.fromkeys(("bn", "ln", "lnc", "gn", "sm"), ("n",)),
    "red": ("shrink",),
}
_DEPTHWISE = {"dw": ("mib", "shrink", "n"), "dwl": ("mib", "shrink", "n")}
_TRAFFIC = {**dict.fromkeys((*_PRODUCTS, *_STREAMS), ("mib",)), **_DEPTHWISE, "opt": ()}
_USUAL = {
    **{
        f"compute.{kind}": share for kind, share in (("mm", 0.95), ("c1", 0.9), ("c1l", 0.9), ("ck", 1.0), ("ckl", 1.0))
    },
    **{f"compute.{kind}": share for kind, share in (("sdpa", 0.7), ("bmm", 0.4))},
    **{f"compute.{kind}": 0.3 for kind in _STREAMS},
}
GPUS = Form(
    {**_PRODUCTS, **_STREAMS},
    _TRAFFIC,
    vector=("dw", "dwl", *_STREAMS),
    tight=("mm", "bmm", "sdpa", "c1", "c1l", "dw", "dwl"),
    # Large batches say little of launches: held near what a kernel takes to start.
    prior=Prior(curve=0.25, stream=0.12, stream_curve=0.12, share=0.4, launch=0.15),
    # Nor of the host: what most of NeuSight's machines take to call a kernel (`fit_kernels`).
    start={"launch": 5e-6, "dispatch": 2.5e-5, **_USUAL},
)
# One image at a time, few rows are left for many cores.
_ROWS = {
    kind: (*(name for name in names if name != "tiles"), *(() if kind in ("bmm", "sdpa", "fft") else ("m",)))
    for kind, names in _PRODUCTS.items()
}
_CACHED = {
    **dict.fromkeys((*_PRODUCTS, *_STREAMS), ("cache",)),
    **dict.fromkeys(("c1", "c1l", "ck", "ckl", "mm"), ("cache", "n", "k")),
    **dict.fromkeys(("dw", "dwl"), ("cache", "shrink", "n")),
    **dict.fromkeys(("bn", "ln", "lnc", "gn", "sm"), ("cache", "n")),
    "red": ("cache", "shrink"),
}
ON_CPU = Form(
    _ROWS,
    _CACHED,
    vector=("dw", "dwl"),
    prior=Prior(curve=0.3, stream=0.3),
    start={"launch": 1e-5, "dispatch": 1e-6},
)


@dataclass(frozen=True)
class Recipe:
    """A profile to fit: how networks are run, and from which tables."""

    like: Profile
    tables: tuple[str, ...]
    form: Form


def _gpu(name: str, *techniques: str, compiled: bool = False, training: bool = False) -> Profile:
    return Profile(
        name=name,
        kind="gpu",
        runtime="torch",
        phase="training" if training else "inference",
        precision="fp16",
        compiled=compiled,
        classes={},
        techniques=("amp", *techniques),
        widths=(2, 4),
        fused=compiled,
        attention="plain" if training else "fused",
        source=SOURCE,
    )


_CPU = Profile(
    "torch-cpu-fp32-compiled", "cpu", "torch", "inference", "fp32", True, {}, widths=(4, 4), fused=True, source=SOURCE
)
_NCHW_3090, _NCHW_4090 = "infer-amp-nchw-pt240-cu124-rtx3090", "infer-amp-nchw-pt240-cu124-rtx4090"
_NHWC_3090, _NHWC_4090 = "infer-amp-nhwc-pt240-cu124-rtx3090", "infer-amp-nhwc-pt240-cu124-rtx4090"
RECIPES = (
    Recipe(_gpu("torch-gpu-amp-rtx3090"), (_NCHW_3090,), GPUS),
    Recipe(_gpu("torch-gpu-amp-nhwc-rtx3090", "channels_last"), (_NHWC_3090,), GPUS),
    Recipe(_gpu("torch-gpu-amp"), (_NCHW_3090, _NCHW_4090, "infer-amp-nchw-pt291-cu128-4090"), GPUS),
    Recipe(_gpu("torch-gpu-amp-nhwc", "channels_last"), (_NHWC_3090, _NHWC_4090), GPUS),
    Recipe(
        _gpu("torch-gpu-amp-compiled", compiled=True),
        (f"{_NCHW_4090}-dynamo", "infer-amp-nchw-pt291-cu128-4090-dynamo"),
        GPUS,
    ),
    Recipe(_gpu("torch-gpu-amp-training", training=True), ("train-amp-nchw-pt112-cu113-rtx3090",), GPUS),
    Recipe(
        _gpu("torch-gpu-amp-nhwc-training", "channels_last", training=True),
        ("train-amp-nhwc-pt112-cu113-rtx3090",),
        GPUS,
    ),
    Recipe(_CPU, ("infer-fp32-nchw-pt240-cpu-i9_10940x-dynamo",), ON_CPU),
)


def main() -> int:
    """Fit what is asked for, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, required=True, help="folder of timm's CSV files and traces")
    parser.add_argument("--only", nargs="*", default=[], help="names of profiles")
    options = parser.parse_args()
    traces = read_traces(options.tables / "op_traces_fp16_bs2.jsonl.gz")
    for recipe in RECIPES:
        if options.only and recipe.like.name not in options.only:
            continue
        profile = fitted(recipe, options.tables, traces)
        (SHIPPED / f"{profile.name}.json").write_bytes(encode(profile, pretty=True) + b"\n")
        print(profile.name, profile.fitted_on, profile.spread, file=sys.stderr)
    return 0


def card(name: str) -> Device:
    """The device of a table, as its file name spells it."""
    return device(NAMES.get(name, name))


def fitted(recipe: Recipe, folder: Path, traces: Mapping[str, list[object]]) -> Profile:
    """Fit one profile, and calibrate its spread."""
    networks: list[Network] = []
    machines: list[str] = []
    for name in recipe.tables:
        table = read_table(folder / f"benchmark-{name}.csv")
        own = _networks(table, recipe.like, traces)
        networks += own
        machines += [card(table.device).name] * len(own)
    problem = Problem(networks, recipe.form)
    everything = np.ones(len(networks), dtype=bool)
    theta = problem.fit(everything, steps=300)
    wrong = _crossed(problem)
    print(recipe.like.name, f"cross-validated median error {np.median(np.abs(np.expm1(wrong))):.3f}", file=sys.stderr)
    profile = problem.profile(theta, recipe.like)
    hard = _difficulties(networks, profile)
    spread = _spread(wrong, hard)
    devices = tuple(dict.fromkeys(machines))
    elsewhere = _elsewhere(problem, theta, np.array(machines), spread, hard) if len(devices) > 1 else ELSEWHERE
    return replace(
        profile,
        spread=replace(spread, elsewhere=elsewhere),
        devices=devices,
        fitted_on=f"{len(networks)} rows of {', '.join(recipe.tables)}",
    )


def _networks(table: Table, like: Profile, traces: Mapping[str, list[object]]) -> list[Network]:
    machine = rates(card(table.device), like)
    return [
        Network(planned(ops_at(traces[row.key], row.batch), like), machine, row.measured_s, group=row.model)
        for row in table.rows
        if row.key in traces and not held_out(row.model)
    ]


def _crossed(problem: Problem) -> Vector:
    """log(measured / predicted) of each row by coefficients that its family had no part in, not even as their start."""
    folds = np.array([fold(network.group, FOLDS) for network in problem.networks])
    wrong = np.zeros(len(folds))
    for number in range(FOLDS):
        other = problem.fit(folds != number, steps=200)
        wrong[folds == number] = (problem.measured - problem.predict(other))[folds == number]
    return wrong


def _difficulties(networks: Sequence[Network], profile: Profile) -> list[dict[str, float]]:
    return [difficulty(each.ops, prices(each.ops, each.rates, profile)) for each in networks]


def _widths(spread: Spread, hard: Sequence[Mapping[str, float]]) -> Vector:
    return np.array([1 + sum(spread.difficulty.get(name, 0) * share for name, share in each.items()) for each in hard])


def _spread(wrong: Vector, hard: Sequence[Mapping[str, float]]) -> Spread:
    """Quantiles of the errors over how hard each row is; the weights of difficulties fit the errors' size."""
    names = list(hard[0])
    shares = np.array([[1.0, *(each[name] for name in names)] for each in hard])
    size = np.minimum(np.abs(wrong), np.quantile(np.abs(wrong), 0.95))
    weights, _ = optimize.nnls(shares, size)
    first = max(weights[0], 0.25 * float(np.mean(size)))
    spread = Spread(
        0, 0, COVERAGE, {name: round(float(w / first), 4) for name, w in zip(names, weights[1:], strict=True)}
    )
    scaled = wrong / _widths(spread, hard)
    low, high = np.quantile(scaled, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return replace(spread, low=round(float(low), 4), high=round(float(high), 4))


def _elsewhere(
    problem: Problem,
    theta: Vector,
    machines: np.typing.NDArray[np.str_],
    spread: Spread,
    hard: Sequence[Mapping[str, float]],
) -> float:
    """How much wider intervals must be to cover rows of a device that was left out."""
    widths = _widths(spread, hard)
    needed: list[float] = []
    for name in dict.fromkeys(machines):
        other = problem.fit(machines != name, theta, steps=80)
        wrong = ((problem.measured - problem.predict(other)) / widths)[machines == name]
        needed += list(np.maximum(wrong / spread.high, wrong / spread.low))
    return round(max(ELSEWHERE, float(np.quantile(needed, COVERAGE))), 3)


if __name__ == "__main__":
    sys.exit(main())
