"""Finds a profile's coefficients: the formula of `chipwise.cost.model` with its gradient, over many networks at once.

Every share is exp(sum of coefficients times known features), so the logarithm of a network's time is a smooth function
of the coefficients. They are found by L-BFGS on a Huber loss of log(predicted / measured) with Gaussian priors: shares
near plausible ones, curves near 0 and without kinks. Only rows of the fitting half may come here (`published.split`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, sparse

from chipwise.core.profile import Curve, Profile, WorkClass
from chipwise.cost.model import STREAM_FLOPS, Rates, features
from chipwise.cost.ops import PRODUCTS, Op

Vector = NDArray[np.float64]

HOST_SHARPNESS = 4.0
# Knots of curves by feature, log2.
KNOTS: dict[str, tuple[float, ...]] = {
    "m": (4, 6, 8, 10, 12, 14, 16, 18),
    "n": (0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),
    "k": (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13),
    "width": (4, 6, 8, 10, 12),
    "tiles": (-6, -4, -2, 0, 2, 4, 6, 8),
    "align": (0, 1, 2, 3),
    "mib": (-8, -6, -4, -2, 0, 2, 4, 6, 8, 10),
    "cache": (-8, -6, -4, -2, 0, 2, 4, 6, 8),
    "shrink": (-3, -1, 0, 1, 2, 3, 5),
    "fill": (-3, -2, -1, -0.5, 0),
    "panel": (-6, -4, -2, -1, 0, 1, 2, 3, 4, 6, 8),
    "resident": (-4, -2, -1, 0, 1, 2, 4),
}


@dataclass(frozen=True)
class Prior:
    """Standard deviations of coefficients around their usual values."""

    share: float = 0.5
    memory: float = 0.3
    stream: float = 0.15
    curve: float = 0.3
    stream_curve: float = 0.15
    bend: float = 0.1
    sharpness: float = 0.7
    launch: float = 0.7
    noise: float = 0.05
    huber: float = 2.0


@dataclass(frozen=True)
class Form:
    """Which curves a profile has: by class, features of compute and of memory.

    `tight` names products whose share of bandwidth is held as near its usual value as that of streams.
    """

    compute: Mapping[str, tuple[str, ...]]
    memory: Mapping[str, tuple[str, ...]]
    vector: tuple[str, ...] = ("dw",)
    launches: tuple[str, ...] = ()
    tight: tuple[str, ...] = ()
    prior: Prior = Prior()
    start: Mapping[str, float] = field(default_factory=dict)


@dataclass
class Network:
    """One measured row, ready to fit: operations under a profile on a device."""

    ops: Sequence[Op]
    rates: Rates
    measured_s: float
    weight: float = 1.0
    group: str = ""


class _Columns:
    """Names of coefficients in their order, with prior mean and deviation of each."""

    def __init__(self) -> None:
        self.at: dict[tuple[str, ...], int] = {}
        self.mean: list[float] = []
        self.deviation: list[float] = []

    def add(self, key: tuple[str, ...], mean: float, deviation: float) -> int:
        self.at[key] = len(self.mean)
        self.mean.append(mean)
        self.deviation.append(deviation)
        return self.at[key]


class Problem:
    """Networks as matrices, so that a prediction of all is a few products."""

    def __init__(self, networks: Sequence[Network], form: Form) -> None:
        self.networks = networks
        self.form = form
        self.columns = _columns(form)
        self.bends = _bends(self.columns)
        self.measured = np.log([each.measured_s for each in networks])
        self.weights = np.array([each.weight for each in networks])
        self._build()

    def _build(self) -> None:
        compute, memory, launch, sharpness = _Entries(), _Entries(), _Entries(), _Entries()
        numbers: list[tuple[float, float, float, float, float]] = []
        owner: list[int] = []
        resident: list[float] = []
        for row, network in enumerate(self.networks):
            weight_bytes = sum(op.weight_bytes for op in network.ops)
            resident.append(math.log2(max(weight_bytes, 1.0) / network.rates.cache_bytes))
            alike = Counter(replace(op, layer="") for op in network.ops)
            for op, count in alike.items():
                index = len(owner)
                owner.append(row)
                known = features(op, network.rates)
                kind = op.kind if op.kind in self.form.memory else "ew"
                priced = kind in self.form.compute
                product = op.kind in PRODUCTS
                work = op.flops if product else STREAM_FLOPS * (op.read_bytes + op.write_bytes)
                vector = kind in self.form.vector or not product
                peak = network.rates.vector if vector else network.rates.matrix
                numbers.append(
                    (
                        work / peak if priced else 0.0,
                        (op.read_bytes + op.write_bytes) / network.rates.bandwidth,
                        op.weight_bytes / network.rates.bandwidth,
                        float(op.launches),
                        float(count),
                    )
                )
                if priced:
                    compute.row(index, self._entries("compute", kind, self.form.compute[kind], known))
                    sharpness.row(index, [(self.columns.at["sharpness", kind], 1.0)])
                memory.row(index, self._entries("memory", kind, self.form.memory[kind], known))
                if ("launch", kind) in self.columns.at:
                    launch.row(index, [(self.columns.at["launch", kind], 1.0)])
        size, width = len(owner), len(self.columns.mean)
        self.flops_s, self.moved_s, self.weights_s, self.launches, self.count = np.array(numbers).T
        self.owner = np.array(owner)
        self.compute = compute.matrix(size, width)
        self.memory = memory.matrix(size, width)
        self.launch = launch.matrix(size, width)
        self.sharpness = sharpness.matrix(size, width)
        kept = _Entries()
        for row, at in enumerate(resident):
            kept.row(row, self._entries("memory", "weights", ("resident",), {"resident": at}))
        self.kept = kept.matrix(len(self.networks), width)

    def _entries(
        self, part: str, kind: str, names: Sequence[str], known: Mapping[str, float]
    ) -> list[tuple[int, float]]:
        found = [(self.columns.at[part, kind], 1.0)]
        for name in names:
            first = self.columns.at[part, kind, name, "0"]
            for knot, share in _weights(KNOTS[name], known[name]):
                found.append((first + knot, share))
        return found

    def predict(self, theta: Vector) -> Vector:
        """Logarithm of seconds of every network."""
        return self._forward(theta)[0]

    def _forward(self, theta: Vector) -> tuple[Vector, dict[str, Vector]]:
        at = self.columns.at
        compute = self.flops_s * np.exp(-(self.compute @ theta))
        kept = np.exp(-(self.kept @ theta))
        moved, weights = self.moved_s * np.exp(-(self.memory @ theta)), self.weights_s * kept[self.owner]
        memory = moved + weights
        power = 1.0 + np.exp(self.sharpness @ theta)
        high, low = np.maximum(compute, memory), np.minimum(compute, memory)
        ratio = (low / np.maximum(high, 1e-30)) ** power
        soft = high * (1 + ratio) ** (1 / power)
        launch = self.launches * np.exp(theta[at["launch",]] + self.launch @ theta)
        number = len(self.networks)
        device = np.bincount(self.owner, self.count * (soft + launch), number)
        host = np.bincount(self.owner, self.count * self.launches, number) * np.exp(theta[at["dispatch",]])
        both = (device**HOST_SHARPNESS + host**HOST_SHARPNESS) ** (1 / HOST_SHARPNESS)
        step = np.exp(theta[at["step",]])
        parts = {
            "compute": compute, "moved": moved, "weights": weights, "memory": memory, "soft": soft, "launch": launch,
            "device": device, "host": host, "both": both, "total": both + step, "low": low, "high": high,
            "ratio": ratio,
        }  # fmt: skip
        return np.log(both + step), parts

    def loss(self, theta: Vector, rows: NDArray[np.bool_]) -> tuple[float, Vector]:
        """Loss over some rows, and its gradient."""
        prior, at = self.form.prior, self.columns.at
        logs, part = self._forward(theta)
        wrong = (logs - self.measured) / prior.noise
        chosen = self.weights * rows
        huge = prior.huber
        small = np.abs(wrong) <= huge
        value = float(np.sum(chosen * np.where(small, wrong**2 / 2, huge * (np.abs(wrong) - huge / 2))))
        slope = chosen * np.where(small, wrong, huge * np.sign(wrong)) / prior.noise / part["total"]
        by_both = slope * part["both"] ** (1 - HOST_SHARPNESS)
        by_device, by_host = by_both * part["device"] ** 3, by_both * part["host"] ** 3
        each = by_device[self.owner] * self.count
        power = 1.0 + np.exp(self.sharpness @ theta)
        soft = np.maximum(part["soft"], 1e-30)
        by_compute = each * (part["compute"] / soft) ** (power - 1) * part["compute"]
        by_memory = each * (part["memory"] / soft) ** (power - 1)
        grad = -(self.compute.T @ by_compute) - (self.memory.T @ (by_memory * part["moved"]))
        grad -= self.kept.T @ np.bincount(self.owner, by_memory * part["weights"], len(self.networks))
        by_launch = each * part["launch"]
        grad += self.launch.T @ by_launch
        grad[at["launch",]] += by_launch.sum()
        grad[at["dispatch",]] += float(np.sum(by_host * part["host"]))
        grad[at["step",]] += float(np.sum(slope) * np.exp(theta[at["step",]]))
        ratio = np.maximum(part["ratio"], 1e-300)
        by_power = part["soft"] * (ratio * np.log(ratio) / (1 + ratio) - np.log1p(ratio)) / power**2
        grad += self.sharpness.T @ (each * by_power * (power - 1))
        return self._with_prior(theta, value, grad)

    def _with_prior(self, theta: Vector, value: float, grad: Vector) -> tuple[float, Vector]:
        off = (theta - np.array(self.columns.mean)) / np.array(self.columns.deviation)
        bent = self.bends @ theta / self.form.prior.bend
        value += float(np.sum(off**2) + np.sum(bent**2)) / 2
        return value, grad + off / np.array(self.columns.deviation) + self.bends.T @ bent / self.form.prior.bend

    def fit(self, rows: NDArray[np.bool_], start: Vector | None = None, steps: int = 400) -> Vector:
        """Coefficients that fit some rows best."""
        first = np.array(self.columns.mean) if start is None else start
        done = optimize.minimize(
            self.loss, first, args=(rows,), jac=True, method="L-BFGS-B", options={"maxiter": steps, "maxcor": 30}
        )
        return np.asarray(done.x)

    def profile(self, theta: Vector, like: Profile) -> Profile:
        """Coefficients as a profile."""
        at, classes = self.columns.at, {}
        for kind in [*self.form.memory, "weights"]:
            names = self.form.memory.get(kind, ("resident",))
            priced = kind in self.form.compute
            classes[kind] = WorkClass(
                compute=round(float(theta[at["compute", kind]]), 5) if priced else None,
                memory=round(float(theta[at["memory", kind]]), 5),
                unit="vector" if kind in self.form.vector else "matrix",
                compute_curves=self._curves(theta, "compute", kind, self.form.compute[kind] if priced else ()),
                memory_curves=self._curves(theta, "memory", kind, names),
                sharpness=round(1 + math.exp(theta[at["sharpness", kind]]), 4) if priced else 2.0,
                launch=round(math.exp(theta[at["launch", kind]]), 5) if ("launch", kind) in at else 1.0,
            )
        return replace(
            like,
            classes=classes,
            launch_s=float(f"{math.exp(theta[at['launch',]]):.5g}"),
            dispatch_s=float(f"{math.exp(theta[at['dispatch',]]):.5g}"),
            step_s=float(f"{math.exp(theta[at['step',]]):.5g}"),
        )

    def _curves(self, theta: Vector, part: str, kind: str, names: Sequence[str]) -> dict[str, Curve]:
        found = {}
        for name in names:
            first = self.columns.at[part, kind, name, "0"]
            gains = theta[first : first + len(KNOTS[name])]
            found[name] = Curve(KNOTS[name], tuple(round(float(each), 5) for each in gains))
        return found


class _Entries:
    """A sparse matrix in the making."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.at: list[int] = []
        self.values: list[float] = []

    def row(self, index: int, entries: Sequence[tuple[int, float]]) -> None:
        for at, value in entries:
            self.rows.append(index)
            self.at.append(at)
            self.values.append(value)

    def matrix(self, height: int, width: int) -> sparse.csr_matrix:
        return sparse.csr_matrix((self.values, (self.rows, self.at)), shape=(height, width))


def _weights(knots: Sequence[float], x: float) -> list[tuple[int, float]]:
    """Which knots a value of a curve is made of, and their shares."""
    if x <= knots[0]:
        return [(0, 1.0)]
    if x >= knots[-1]:
        return [(len(knots) - 1, 1.0)]
    left = int(np.searchsorted(knots, x, side="right")) - 1
    part = (x - knots[left]) / (knots[left + 1] - knots[left])
    return [(left, 1 - part), (left + 1, part)]


def _columns(form: Form) -> _Columns:
    columns, prior = _Columns(), form.prior
    start = {"launch": 3e-6, "dispatch": 6e-6, "step": 1e-4, **form.start}
    columns.add(("launch",), math.log(start["launch"]), prior.launch)
    columns.add(("dispatch",), math.log(start["dispatch"]), 0.5)
    columns.add(("step",), math.log(start["step"]), 1.0)
    for kind in form.compute:
        columns.add(("sharpness", kind), math.log(start.get("sharpness", 1.0)), prior.sharpness)
    for kind in form.launches:
        columns.add(("launch", kind), 0.0, 0.4)
    for part, classes in (("compute", form.compute), ("memory", {**form.memory, "weights": ("resident",)})):
        for kind, names in classes.items():
            stream = part == "memory" and kind not in PRODUCTS
            tight = stream or kind in form.tight
            deviation = prior.share if part == "compute" else prior.stream if tight else prior.memory
            usual = start.get(f"{part}.{kind}", 0.5 if part == "compute" else 0.9)
            columns.add((part, kind), math.log(usual), deviation)
            for name in names:
                for knot in range(len(KNOTS[name])):
                    columns.add((part, kind, name, str(knot)), 0.0, prior.stream_curve if stream else prior.curve)
    return columns


def _bends(columns: _Columns) -> sparse.csr_matrix:
    """Second differences of every curve."""
    entries, row = _Entries(), 0
    for key, first in columns.at.items():
        if len(key) == 4 and key[3] == "0":
            for knot in range(len(KNOTS[key[2]]) - 2):
                entries.row(row, [(first + knot, 1.0), (first + knot + 1, -2.0), (first + knot + 2, 1.0)])
                row += 1
    return entries.matrix(max(row, 1), len(columns.mean))
