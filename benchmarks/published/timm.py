"""timm's published throughput tables, and the operations of the networks in them.

Tables: huggingface/pytorch-image-models, results/ (Apache-2.0). A row is a network at an image size, its batch, and how
many images a second a device did. Traces: one JSON object a line, `key` = network@image size, `ops` = list of [class,
FLOPs, input bytes, output bytes, dimensions] at batch 2 in fp16; input bytes include weights.

>>> op_at(["c1", 64.0, 40, 16, [4, 2, 4, 1]], batch=4)
Op(kind='c1', flops=128.0, read_bytes=48.0, weight_bytes=16.0, write_bytes=32.0, dims=(8.0, 2, 4, 1), ...
"""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chipwise.core.errors import DataError
from chipwise.cost.ops import Op

TRACE_BATCH = 2
_BYTES = 2
_WEIGHTED = {"c1", "ck", "grp", "dw", "mm"}
_BIASED = {"c1", "ck", "grp"}
_STREAMS = {"bn", "ln", "sm", "ew", "cp"}
_BATCHED = {"bmm", "sdpa"}
# File names say what was run: benchmark-infer-amp-nchw-pt240-cu124-rtx3090[-dynamo].csv
_NAME = re.compile(
    r"benchmark-(?P<phase>infer|train)-(?P<format>amp|fp32)-(?P<layout>nchw|nhwc)-pt(?P<torch>\d+)-"
    r"(?:cu\d+-)?(?:cpu-)?(?P<device>[a-z0-9_]+?)(?P<compiled>-dynamo)?$"
)


@dataclass(frozen=True)
class Row:
    """One published measurement: seconds of a step of `batch` images."""

    model: str
    size: int
    batch: int
    measured_s: float

    @property
    def key(self) -> str:
        """As traces are keyed."""
        return f"{self.model}@{self.size}"


@dataclass(frozen=True)
class Table:
    """A published table and what its file name says."""

    name: str
    device: str
    phase: str
    precision: str
    layout: str
    torch: str
    compiled: bool
    rows: tuple[Row, ...]


def read_table(path: Path, device: str = "") -> Table:
    """Read one CSV file of timm's; `device` replaces the one in its name.

    Raises:
        DataError: the name or the columns are not those of timm's tables.
    """
    found = _NAME.match(path.stem)
    if not found and not device:
        raise DataError(f"{path.name} is not named as timm's tables are", hint="say which device with --device")
    said = found.groupdict() if found else {}
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    columns = set(lines[0]) if lines else set()
    prefix = next((each for each in ("infer", "train") if f"{each}_samples_per_sec" in columns), None)
    if prefix is None or "model" not in columns:
        raise DataError(f"{path.name} has no column model, infer_samples_per_sec or train_samples_per_sec")
    rows = [row for line in lines if (row := _row(line, prefix))]
    return Table(
        name=path.stem.removeprefix("benchmark-"),
        device=device or said["device"],
        phase="training" if prefix == "train" else "inference",
        precision="fp32" if said.get("format") == "fp32" else "amp",
        layout=said.get("layout") or "nchw",
        torch=said.get("torch") or "",
        compiled=bool(said.get("compiled")) or "dynamo" in path.stem,
        rows=tuple(rows),
    )


def _row(line: dict[str, str], prefix: str) -> Row | None:
    try:
        batch = int(float(line[f"{prefix}_batch_size"]))
        rate = float(line[f"{prefix}_samples_per_sec"])
        size = int(float(line[f"{prefix}_img_size"]))
    except (ValueError, TypeError, KeyError):
        return None
    return Row(line["model"], size, batch, batch / rate) if rate > 0 else None


def read_traces(path: Path) -> dict[str, list[Any]]:
    """Traces by network@image size."""
    opener = gzip.open if path.suffix == ".gz" else open
    traces: dict[str, list[Any]] = {}
    with opener(path, "rt") as file:
        for line in file:
            record = json.loads(line)
            traces[record["key"]] = record["ops"]
    return traces


def op_at(traced: Sequence[Any], batch: int) -> Op:
    """A traced operation at another batch; weights do not grow with it."""
    kind, flops, read, write, dims = traced
    scale = batch / TRACE_BATCH
    m, n, k, groups = dims or (0, 0, 0, 0)
    weights = 0.0
    if kind in _WEIGHTED:
        m, weights = m * scale, min(float(_BYTES * n * k * groups), float(read))
    elif kind in _BATCHED:
        m, n, k, groups = (n, k, groups, m * scale) if kind == "sdpa" else (m, n, k, groups * scale)
    return Op(kind, flops * scale, (read - weights) * scale, weights, write * scale, (m, n, k, groups))


def ops_at(trace: Sequence[Any], batch: int) -> list[Op]:
    """All operations of a trace at another batch, in 2-byte values."""
    fixed = without_batch(trace)
    ops = [op_at(traced, TRACE_BATCH if still else batch) for traced, still in zip(trace, fixed, strict=True)]
    beside = zip(ops, added_weights(trace), biases(trace), strict=True)
    return [_with_bias(_with_weight(op, weight), bias) for op, weight, bias in beside]


def biases(trace: Sequence[Any]) -> list[float]:
    """Bytes of the bias of each convolution; 0 where it has none, or where it cannot be told.

    A convolution reads its image, which an operation before has written, its weights, and perhaps a value a channel.
    """
    found = []
    for at, (kind, _, read, _, dims) in enumerate(trace):
        bias = 0.0
        if kind in _BIASED and dims:
            m, n, k, groups = dims
            image, rest = read - _BYTES * n * k * groups, _BYTES * n * groups
            written = {before[3] for before in trace[max(at - 12, 0) : at]} | {_BYTES * m * k * groups}
            bias = float(rest) if image not in written and image - rest in written else 0.0
        found.append(bias)
    return found


def _with_bias(op: Op, bias: float) -> Op:
    return replace(op, weight_bytes=op.weight_bytes + bias) if bias else op


def added_weights(trace: Sequence[Any]) -> list[float]:
    """Bytes of the weight that an elementwise operation reads beside a tensor; 0 for most.

    What is read beyond what is written is a weight where no operation just before made something of that size, as the
    gate of a squeeze-and-excitation does.
    """
    found = []
    for at, (kind, _, read, write, _) in enumerate(trace):
        extra = read - write
        made = any(before[3] == extra for before in trace[max(at - 4, 0) : at])
        found.append(float(extra) if kind == "ew" and 0 < extra <= write / TRACE_BATCH and not made else 0.0)
    return found


def _with_weight(op: Op, weight: float) -> Op:
    return replace(op, read_bytes=op.write_bytes, weight_bytes=weight) if weight else op


def without_batch(trace: Sequence[Any]) -> list[bool]:
    """Which operations do not grow with the batch: those on weights, and biases of attention.

    Weights are standardized before a convolution of just that size, biases copied before an attention of as many
    scores as one item has. What holds an odd number of values at batch 2 cannot be of the batch either.
    """
    fixed = [False] * len(trace)
    for at, (kind, _, read, write, dims) in enumerate(trace):
        if kind in _WEIGHTED and dims:
            _, n, k, groups = dims
            if at and trace[at - 1][0] in _STREAMS and trace[at - 1][2] == trace[at - 1][3] == _BYTES * n * k * groups:
                fixed[at - 1] = True
                gain = at > 1 and trace[at - 2][0] in _STREAMS and trace[at - 2][3] == _BYTES * n * groups
                fixed[at - 2] = fixed[at - 2] or gain
        elif kind == "sdpa":
            items, queries, keys, _ = dims
            for before in range(max(at - 3, 0), at):
                fixed[before] |= trace[before][3] == _BYTES * queries * keys * items / TRACE_BATCH
        elif kind in _STREAMS and (read // _BYTES) % TRACE_BATCH and (write // _BYTES) % TRACE_BATCH:
            fixed[at] = True
    return fixed
