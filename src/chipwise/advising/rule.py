"""CPU, GPU or TPU: the old rule of thumb, with its conditions reckoned from the layers.

Google's guide to TPUs, as lectures quote it: CPUs for prototypes, small models and batches, what waits for its input,
and operators of one's own; GPUs for medium and large models with larger batches; TPUs for what is dominated by matrix
products, trains for weeks with very large batches, and has no operators of its own inside the loop.

>>> reckoned([], 1).matrix_share
0.0
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from chipwise.advising.expected import Rows, expected, obstacle, runs_in, waiting_of, workload_of
from chipwise.core.advice import Candidate, Goal, Guidance, Pace
from chipwise.core.device import Device
from chipwise.core.estimate import Workload
from chipwise.core.layer import Layer
from chipwise.cost import systolic
from chipwise.cost.liveness import input_bytes
from chipwise.cost.ops import PRODUCTS, operations
from chipwise.devices import known

Verdict = Literal["CPU", "GPU", "TPU"]

_KINDS = ("cpu", "gpu", "tpu")
_LOOKED_AT = 3  # devices of a kind, those of the highest peak
_MOSTLY = 0.9  # of FLOPs in products
_FULL = 0.5  # of an array's cycles
_LARGE_BATCH = 256
_WEEK_S = 7 * 86400.0
_WAITS = 0.5  # of a step
_NEAR = 2.0  # times the GPU's step that a CPU may take where the GPU waits for most of it
_FED = 0.5  # of the link
_PASSES = 3.0
_SIDE = 128
_ARRAY = Device(
    "array",
    "tpu",
    peak_flops={"bf16": 2.0 * _SIDE * _SIDE},
    bandwidth_bytes_s=1e30,
    cache_bytes=1,
    array=(_SIDE, _SIDE),
)


@dataclass(frozen=True, slots=True)
class Shares:
    """What layers are made of: shares of FLOPs and of an array's cycles, operators not known, bytes of an item."""

    matrix_share: float
    array_share: float
    unknown_ops: tuple[str, ...]
    item_bytes: float


def reckoned(rows: Sequence[Layer], batch: int) -> Shares:
    """What the rule asks of the layers.

    Args:
        rows: for so many items.
        batch: items.
    """
    ops = operations(rows)
    products = sum(op.flops for op in ops if op.kind in PRODUCTS)
    flops = sum(row.flops for row in rows)
    cycles = sum(row.time_s for row in systolic.seconds(rows, _ARRAY, Workload(batch=batch, precision="bf16")))
    return Shares(
        matrix_share=products / flops if flops else 0.0,
        array_share=min(1.0, products / (cycles * _ARRAY.peak_flops["bf16"])) if cycles else 0.0,
        unknown_ops=tuple(sorted({row.op for row in rows if not row.known})),
        item_bytes=input_bytes(rows) / batch if rows else 0.0,
    )


def guidance(rows_at: Rows, devices: Iterable[Device], goal: Goal, candidates: Sequence[Candidate] = ()) -> Guidance:
    """Say which kind of chip suits, and why.

    Args:
        rows_at: layer rows for so many items.
        devices: all that are known.
        goal: its phase, batch, data and epochs count.
        candidates: ranked; the first of a kind stands for it, else its quickest.
    """
    batch = goal.batch or 1
    rows = rows_at(batch)
    shares = reckoned(rows, batch)
    each = [pace for kind in _KINDS if (pace := _pace(kind, rows, devices, goal, candidates)) is not None]
    paces: dict[str, Pace] = {pace.kind: pace for pace in each}
    fed = _fed(paces.get("gpu"), devices, batch, shares)
    verdict, reasons = _verdict(paces, shares, goal, batch, fed)
    return Guidance(
        verdict, tuple(reasons), batch, sum(row.flops for row in rows) // batch, shares.matrix_share,
        shares.array_share, shares.unknown_ops, fed, tuple(each),
    )  # fmt: skip


def _pace(
    kind: str, rows: Sequence[Layer], devices: Iterable[Device], goal: Goal, candidates: Sequence[Candidate]
) -> Pace | None:
    """What stands for a kind: the first of the ranking, else the quickest of those with the highest peaks."""
    ranked = next((each for each in candidates if each.kind == kind), None)
    if ranked is not None and ranked.count == 1 and ranked.batch == goal.batch:
        return Pace(kind, ranked.device, ranked.step_s, ranked.waiting)
    phase = "inference" if kind == "tpu" else goal.phase
    floor = phase != goal.phase  # of a TPU's training: three passes of what it takes to answer
    chips = [each.one_chip() for each in devices if each.kind == kind]
    if ranked is not None:
        chips = [each for each in chips if each.name == ranked.device] or chips
    named = [(each, runs_in(each, phase, None)) for each in chips if not obstacle(each, phase)]
    able = [(each, name) for each, name in named if name and (not floor or name == "bf16")]
    able.sort(key=lambda pair: -pair[0].peak_flops[pair[1].rpartition(" ")[2]])
    found = [_estimated(kind, rows, each, name, goal, floor=floor) for each, name in able[:_LOOKED_AT]]
    return min((pace for pace in found if _seconds(pace) > 0), key=_seconds, default=None)


def _estimated(kind: str, rows: Sequence[Layer], device: Device, name: str, goal: Goal, *, floor: bool) -> Pace:
    made = expected(rows, device, workload_of(device, "inference" if floor else goal.phase, goal.batch or 1, name))
    step_s = made.time_s.times(_PASSES) if floor else made.time_s
    return Pace(kind, device.name, step_s, waiting_of(made) if kind == "gpu" else 0.0, floor)


def _seconds(pace: Pace) -> float:
    return pace.step_s.mid or 0.0


def _fed(gpu: Pace | None, devices: Iterable[Device], batch: int, shares: Shares) -> float | None:
    """Share of the GPU's link to its host that float32 inputs need at its pace."""
    found = next((each for each in devices if gpu is not None and each.name == gpu.name), None)
    if gpu is None or found is None or not found.host_link or not _seconds(gpu):
        return None
    return batch * shares.item_bytes / _seconds(gpu) / known.link(found.host_link).bandwidth_bytes_s


def _verdict(
    paces: dict[str, Pace], shares: Shares, goal: Goal, batch: int, fed: float | None
) -> tuple[Verdict, list[str]]:
    cpu, gpu = paces.get("cpu"), paces.get("gpu")
    reasons = [_tpu_words(paces, shares, goal, batch)]
    if fed is not None and fed > _FED:
        reasons.insert(0, f"input-bound: at that pace float32 inputs alone take {fed:.0%} of the link to the host")
    if gpu is None:
        return "CPU", reasons
    if cpu is not None and gpu.waiting >= _WAITS and _seconds(cpu) <= _NEAR * _seconds(gpu):
        said = f"small: of a step of {batch:,} items the GPU waits {gpu.waiting:.0%} for its host and its starts"
        return "CPU", [f"{said}, and a CPU takes {_seconds(cpu) / _seconds(gpu):.2g} times as long", *reasons]
    times = "" if cpu is None else f", {_seconds(cpu) / _seconds(gpu):,.0f} times as quick as a CPU"
    said = f"the GPU works for {1 - gpu.waiting:.0%} of a step of {batch:,} items{times}"
    if _suits_tpu(paces, shares, goal, batch):
        return "TPU", reasons
    return "GPU", [said, *reasons]


def _weeks(paces: dict[str, Pace], goal: Goal) -> float | None:
    """Weeks of all the training on the quickest GPU."""
    gpu = paces.get("gpu")
    return None if gpu is None or goal.steps is None else goal.steps * _seconds(gpu) / _WEEK_S


def _suits_tpu(paces: dict[str, Pace], shares: Shares, goal: Goal, batch: int) -> bool:
    weeks = _weeks(paces, goal)
    matrix = shares.matrix_share >= _MOSTLY and shares.array_share >= _FULL and not shares.unknown_ops
    return goal.phase == "training" and matrix and batch >= _LARGE_BATCH and weeks is not None and weeks >= 1


def _tpu_words(paces: dict[str, Pace], shares: Shares, goal: Goal, batch: int) -> str:
    """What speaks for and against a TPU."""
    speaks = f"{shares.matrix_share:.1%} of the FLOPs are matrix products, which fill {shares.array_share:.0%} of a "
    speaks += f"{_SIDE} x {_SIDE} array"
    against = []
    if shares.unknown_ops:
        against.append(f"operators of its own ({', '.join(shares.unknown_ops)})")
    if shares.matrix_share < _MOSTLY:
        against.append("too few products")
    elif shares.array_share < _FULL:
        against.append("products too small for it")
    if batch < _LARGE_BATCH:
        against.append(f"a batch of {batch:,}, where TPUs want {_LARGE_BATCH} and more")
    weeks = _weeks(paces, goal)
    if goal.phase == "training" and weeks is not None and weeks < 1:
        against.append("less than a week of work for one GPU")
    return f"for a TPU: {speaks}" + (f"; against it: {', '.join(against)}" if against else "")
