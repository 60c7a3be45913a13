"""What was kept against the plain loop, in turns once more; and what holds a step back.

>>> kind_of(Shares(0.6, 0.1, 0.1), arithmetic=0.1, traffic=0.2)
'input'
>>> kind_of(Shares(0.0, 0.1, 0.1), arithmetic=0.5, traffic=0.2)
'compute'
"""

from __future__ import annotations

import timeit
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from chipwise.clock.arithmetic import fastest
from chipwise.clock.peaks import measure_peaks
from chipwise.clock.statistics import speedup, summarize
from chipwise.core.formats import ROW_BYTES
from chipwise.core.tuning import TrainingBound, TuneRow
from chipwise.cost.memory import optimizer_values
from chipwise.runtimes.torch_products import gpu_products, gpu_stream_calls, products
from chipwise.training.place import CPU
from chipwise.training.precision import HALF
from chipwise.training.tuning.choice import wins
from chipwise.training.tuning.search import race
from chipwise.training.tuning.steps import input_of, smallest, step_of, timed_step, update_of, use_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    from chipwise.core.device import Machine
    from chipwise.core.layer import Layer
    from chipwise.core.tuning import Kind
    from chipwise.training.settings import Settings
    from chipwise.training.tuning.search import Samples, Search
    from chipwise.training.tuning.steps import Call

_PASSES = 3  # forward, gradients of activations, gradients of weights
_UNTIL, _PEAK_S = 0.97, 0.8
_COPIED_BYTES, _COPIES = 2**28, 10  # of a graphics processor's memory, and how often
_LEAST, _ROUNDS = 0.08, 9  # of the time, and rounds, that are taken even where there is none left
# From these shares of a step on, it is they that hold it back.
_INPUT, _STARTS, _UPDATE = 0.3, 0.4, 0.4
_SLOW = 0.25  # of the best product's rate, below which layers are too narrow for it
_PLAIN, _TUNED, _INPUTS, _OPTIMIZER, _SMALLEST = "plain", "tuned", "input", "optimizer", "smallest"


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of a step: making its batch, the optimizer's pass, and starting operators."""

    input: float
    optimizer: float
    start: float


def confirmed(search: Search, rows_at: Callable[[int], Sequence[Layer]], machine: Machine) -> None:
    """Time what was kept once more beside the plain loop, drop it if it is not faster, and say what holds it back."""
    kept, plain = search.kept, search.plain
    calls: dict[str, Call] = {_PLAIN: timed_step(search.stand, plain)}
    if kept != plain:
        calls[_TUNED] = timed_step(search.stand, kept)
        search.tell(f"first step: {search.named(kept)}")
        calls[_TUNED]()
    calls |= _parts(search, kept)
    least_s = _LEAST * search.limits.budget_s
    samples = race(search, calls, _UNTIL, "what was kept, once more", least_s=least_s, rounds=_ROUNDS)
    tuned = samples.get(_TUNED, samples[_PLAIN])
    search.timings = summarize(samples[_PLAIN]), summarize(tuned)
    if kept != plain:
        search.speedup = speedup(tuned / kept.batch_size, samples[_PLAIN] / plain.batch_size)
        if not wins(search.speedup):
            _taken_back(search)
            return
    search.bound = _bound(search, samples, tuned, rows_at, machine)


def kind_of(shares: Shares, arithmetic: float, traffic: float) -> Kind:
    """What holds a step back.

    Args:
        shares: of its time.
        arithmetic: time of its FLOPs at the peak, over its own.
        traffic: time of its bytes at full bandwidth, over its own.
    """
    if shares.input >= max(_INPUT, shares.start, shares.optimizer):
        return "input"
    if shares.optimizer >= max(_UPDATE, shares.start):
        return "memory"
    if shares.start >= _STARTS:
        return "overhead"
    return "compute" if arithmetic >= traffic else "memory"


def _parts(search: Search, kept: Settings) -> dict[str, Call]:
    """Calls that do a part of a step each."""
    alone = replace(kept, compiled=False)
    return {
        _INPUTS: input_of(search.stand.timed(alone)),
        _OPTIMIZER: update_of(search.stand.fresh(alone)),
        _SMALLEST: step_of(search.stand.timed(smallest(kept))),
    }


def _taken_back(search: Search) -> None:
    """What won a race and not the next had luck."""
    search.notes.append(f"{search.named(search.kept)} was not faster when it was measured again: not kept")
    search.kept, search.speedup = search.plain, None
    assert search.timings is not None
    search.timings = (search.timings[0], search.timings[0])
    search.rows = [_let_go(row) for row in search.rows]
    search.batches = [replace(row, kept=row.speedup is None) for row in search.batches]


def _let_go(row: TuneRow) -> TuneRow:
    return replace(row, kept=not row.changes, reason="not faster when measured again") if row.kept else row


def _bound(
    search: Search,
    samples: Samples,
    tuned: np.ndarray[tuple[int], np.dtype[np.float64]],
    rows_at: Callable[[int], Sequence[Layer]],
    machine: Machine,
) -> TrainingBound:
    settings = search.kept
    step_s = float(np.median(tuned))

    def share(name: str) -> float:
        return min(1.0, float(np.median(samples[name])) / step_s)

    shares = Shares(share(_INPUTS), share(_OPTIMIZER), max(0.0, share(_SMALLEST) - share(_OPTIMIZER)))
    batch = min(settings.batch_size, len(search.stand.splits.train))
    flops, moved = _work(rows_at(batch), settings)
    peak, bandwidth = _peaks(settings, machine, search.stand.device)
    arithmetic = flops / peak / step_s if peak else 0.0
    traffic = moved / bandwidth / step_s if bandwidth else 0.0
    kind = kind_of(shares, arithmetic, traffic)
    return TrainingBound(
        kind=kind,
        input_share=shares.input,
        optimizer_share=shares.optimizer,
        start_share=shares.start,
        format=settings.precision,
        flops_s=flops / step_s,
        peak_flops_s=peak,
        bytes_s=moved / step_s,
        bandwidth_bytes_s=bandwidth,
        advice=_advice(kind, shares, settings, arithmetic),
    )


def _work(rows: Sequence[Layer], settings: Settings) -> tuple[float, float]:
    """FLOPs and bytes of a step: of the layers in three passes, and of the optimizer once."""
    scale = 0.5 if settings.precision in HALF else 1.0
    flops = _PASSES * sum(row.flops for row in rows)
    trained = sum(row.parameters for row in rows)
    state = optimizer_values(settings.optimizer)
    update = ROW_BYTES * trained * (3 + 2 * state)  # weights and state read and written, gradients read
    return float(flops), _PASSES * scale * sum(row.moved_bytes for row in rows) + update


def _peaks(settings: Settings, machine: Machine, device: torch.device) -> tuple[float | None, float | None]:
    """FLOP/s of the best matrix product in the number format, and bytes/s of a copy, measured now."""
    here = device == CPU
    known = products(settings.threads or machine.cores) if here else gpu_products(str(device))
    fitting = (each for each in known if each.work == "product" and bool(each.threads) == here)
    product = next((each for each in fitting if each.format == settings.precision), None)
    found = None
    if product is not None:
        use_threads(settings)
        found = fastest(product.make, product.operations, "product", deadline_s=_PEAK_S)
    bandwidth = measure_peaks(machine).bandwidth_bytes_s if here else _copied_bytes_s(str(device))
    return None if found is None else found[1].rate, bandwidth


def _copied_bytes_s(device: str) -> float:
    """Bytes/s of a copy in a graphics processor's memory, the fastest of some."""
    _, copy, moved = gpu_stream_calls(device, _COPIED_BYTES)[0]
    copy()
    return moved / min(timeit.repeat(copy, number=1, repeat=_COPIES))


def _advice(kind: Kind, shares: Shares, settings: Settings, arithmetic: float) -> str:
    """What to do, in a sentence; `arithmetic` is as of `kind_of`, 0 where no peak was measured."""
    if kind == "input":
        return (
            f"making batches takes {shares.input:.0%} of a step: fewer or cheaper augmentations would shorten it most"
        )
    if kind == "overhead":
        return (
            f"starting operators takes {shares.start:.0%} of a step, whatever is in it: a larger batch, or fewer and "
            "wider layers, cost little more"
        )
    if kind == "memory" and shares.optimizer >= _UPDATE:
        return (
            f"the optimizer's pass over the weights takes {shares.optimizer:.0%} of a step: a larger batch does it "
            "less often, --optimizer sgd moves less"
        )
    if kind == "memory":
        less = "" if settings.precision in HALF else ", bf16"
        return f"moving bytes holds it back: fewer values between layers (pooling earlier{less}), or faster memory"
    if 0 < arithmetic < _SLOW:
        return (
            f"layers compute at {arithmetic:.0%} of the rate of the best product, too narrow or too small for its "
            "vectors: more channels (multiples of 16) in fewer layers cost little more"
        )
    faster = "" if settings.precision != "fp32" else "a processor with bf16 instructions, "
    return f"arithmetic holds it back: {faster}more cores, smaller pictures or fewer channels are what is left"
