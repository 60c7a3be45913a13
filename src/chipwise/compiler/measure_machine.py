"""Measure this machine: arithmetic, streams, overheads, copies, and what layers take on its runtimes.

>>> round(sum(_SHARES.values()), 6)
1.0
"""

from __future__ import annotations

import datetime as dt
import importlib
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chipwise import runtimes
from chipwise.clock.arithmetic import fastest
from chipwise.clock.streams import measure_streams
from chipwise.clock.sustained import Watch, sustained
from chipwise.compiler.layer_times import measure_layers
from chipwise.core.device import Device, Machine
from chipwise.core.errors import MachineError
from chipwise.core.events import Part, Progress
from chipwise.core.measured import Arithmetic, Copy, Dispatch, MeasuredMachine, Stream
from chipwise.devices.detect import versions
from chipwise.devices.theory import theory
from chipwise.devices.topology import clock_hz, is_guest, nominal_hz, threads_per_core
from chipwise.runtimes.arithmetic import Product
from chipwise.runtimes.engine import EngineOptions
from chipwise.runtimes.products import chain, native, products, scaling

# Shares of the time that is given.
_SHARES = {"arithmetic": 0.24, "streams": 0.08, "overheads": 0.03, "copies": 0.02, "layers": 0.63}
_ROOT = Path("/")
_OPERATORS = 33
_COPY_BYTES = 64 << 20
_LAYERS = (("onnxruntime", "fp32"), ("openvino", "fp32"), ("openvino", "bf16"))
# Two threads that do more than this much of the work of one are on cores of their own.
_WHOLE_CORE = 1.5

Report = Callable[[float], None]
Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class _Run:
    """What all stages need: the machine, where time comes from, and when each must end."""

    machine: Machine
    watch: Watch
    progress: Progress
    start_s: float
    budget_s: float

    def deadline_s(self, stage: str) -> float:
        names = list(_SHARES)
        share = sum(_SHARES[name] for name in names[: names.index(stage) + 1])
        return self.start_s + share * self.budget_s

    def report(self, stage: str, message: str) -> Report:
        names = list(_SHARES)
        low = sum(_SHARES[name] for name in names[: names.index(stage)])
        part = Part(self.progress, "measuring", low, low + _SHARES[stage])
        return lambda fraction: part.update(stage, min(fraction, 0.999), message)


def measure_machine(
    machine: Machine,
    *,
    budget_s: float,
    progress: Progress,
    keep: Callable[[MeasuredMachine], object],
    watch: Watch | None = None,
) -> MeasuredMachine:
    """Measure everything that this machine and the installed libraries allow.

    Args:
        machine: the one that this runs on.
        budget_s: wall time; what does not fit is left out and said.
        progress: told how far it is.
        keep: given what there is after each stage, so that an interruption loses only the stage that it hits.
        watch: where time comes from.
    """
    watch = watch or Watch()
    run = _Run(machine, watch, progress, watch.timer.now(), budget_s)
    found = MeasuredMachine(
        machine,
        Device(machine.cpu, "cpu", source="measured here"),
        dt.datetime.now(tz=dt.UTC).date().isoformat(),
        versions(),
        complete=False,
    )
    for stage in (_arithmetic, _streams, _overheads, _copies, _layers):
        found = replace(stage(run, found), seconds=watch.timer.now() - run.start_s)
        found = replace(found, device=_device(found), complete=stage is _layers)
        keep(found)
    progress.update("measuring", 1.0)
    return found


def _arithmetic(run: _Run, found: MeasuredMachine) -> MeasuredMachine:
    machine, now = run.machine, run.watch.timer.now
    jobs: list[Product] = [*(scaling(count) for count in _fewer(machine.cores)), *products(machine)]
    done: list[Arithmetic] = []
    clocks: list[float] = []
    for number, product in enumerate(jobs):
        run.report("arithmetic", f"{product.format} {product.work}, {product.through}")(number / len(jobs))
        share = (run.deadline_s("arithmetic") - now()) / (len(jobs) - number)
        if share <= 0:
            break
        made = fastest(product.make, product.operations, product.work, deadline_s=share, watch=run.watch)
        clocks += [hz for hz in (clock_hz(_ROOT),) if hz]
        if made is not None:
            size, best = made
            is_native = product.threads == 0 or native(product.format, machine)
            done.append(
                Arithmetic(product.work, product.format, product.through, size, product.threads, best, is_native)
            )
    under_load = max(clocks, default=None)
    peaks, basis = theory(machine.isa, cores=_cores(machine), clock_hz=under_load or nominal_hz(machine.cpu))
    notes = (*found.notes, *_core_notes(machine, done))
    return replace(found, arithmetic=tuple(done), clock_hz=under_load, theory=peaks, theory_basis=basis, notes=notes)


def _fewer(cores: int) -> list[int]:
    """Powers of two below the number of cores."""
    return [2**power for power in range(cores.bit_length()) if 2**power < cores]


def _cores(machine: Machine) -> int:
    return max(1, machine.cores // (threads_per_core(_ROOT) or 1))


def _core_notes(machine: Machine, done: list[Arithmetic]) -> Iterator[str]:
    shown = threads_per_core(_ROOT)
    if shown is not None and shown > 1:
        yield f"the {machine.cores} processors are hardware threads, {shown} of them a core"
    if is_guest(_ROOT):
        yield "this is a virtual machine: its host may share cores and caches with others, and hide the real clock"
    rates = {each.threads: each.best.rate for each in done if (each.through, each.format) == ("onnxruntime", "fp32")}
    if machine.cores > 1 and 1 in rates and machine.cores in rates:
        gain = rates[machine.cores] / rates[1]
        whole = gain > _WHOLE_CORE * machine.cores / 2
        what = "so they are cores of their own" if whole else "so they share cores, or others used them meanwhile"
        yield f"{machine.cores} threads multiply {gain:.2f} times as fast as one, {what}"


def _streams(run: _Run, found: MeasuredMachine) -> MeasuredMachine:
    run.report("streams", "copies in caches and memory")(0.0)
    machine = run.machine
    streams = measure_streams(
        machine.cache_bytes,
        cores=machine.cores,
        memory_bytes=machine.memory_bytes,
        deadline_s=run.deadline_s("streams") - run.watch.timer.now(),
        watch=run.watch,
    )
    return replace(found, streams=streams)


def _overheads(run: _Run, found: MeasuredMachine) -> MeasuredMachine:
    dispatch = []
    for name in ("onnxruntime", "openvino"):
        run.report("overheads", f"a call of {name}")(0.0)
        try:
            calls = _chained(name, 1), _chained(name, _OPERATORS)
        except MachineError:
            continue
        dispatch.append(_dispatch(name, calls, run))
    torch = _torch()
    if torch is not None:
        dispatch.append(_dispatch("torch", torch.launch_calls("cpu", _OPERATORS), run))
        if torch.gpu_name():
            dispatch.append(_dispatch("torch on GPU", torch.launch_calls("cuda", _OPERATORS), run))
    return replace(found, dispatch=tuple(dispatch))


def _chained(name: str, count: int) -> Callable[[], object]:
    model, array = chain(count)
    engine = runtimes.load(name).build(model, EngineOptions(threads=0))
    return lambda: engine.run([array])


def _dispatch(name: str, calls: tuple[Call, Call], run: _Run) -> Dispatch:
    """From a call with one operator and a call with many."""
    short, long = (1 / sustained(call, 1.0, deadline_s=0.5, watch=run.watch).rate for call in calls)
    return Dispatch(name, short, max(0.0, (long - short) / (_OPERATORS - 1)))


def _copies(run: _Run, found: MeasuredMachine) -> MeasuredMachine:
    torch = _torch()
    if torch is None or not torch.gpu_name():
        return found
    run.report("copies", "host and GPU")(0.0)
    copies = [
        Copy(direction, pinned, _COPY_BYTES, sustained(call, _COPY_BYTES, deadline_s=0.5, watch=run.watch))
        for pinned in (False, True)
        for direction, call in torch.copy_calls("cuda", _COPY_BYTES, pinned=pinned)
    ]
    streams = [
        Stream("GPU memory", kernel, 0, 8 * _COPY_BYTES, sustained(call, moved, deadline_s=0.5, watch=run.watch))
        for kernel, call, moved in torch.gpu_stream_calls("cuda", 8 * _COPY_BYTES)
    ]
    return replace(found, copies=tuple(copies), streams=(*found.streams, *streams))


def _torch() -> Any:
    return importlib.import_module("chipwise.runtimes.torch_products") if importlib.util.find_spec("torch") else None


def _layers(run: _Run, found: MeasuredMachine) -> MeasuredMachine:
    jobs = [(name, EngineOptions(precision, 0)) for name, precision in _LAYERS if _usable(name)]
    report = run.report("layers", "layers on " + ", ".join(dict.fromkeys(name for name, _ in jobs)))
    report(0.0)
    layers, problems = measure_layers(
        jobs, run.machine, deadline_s=run.deadline_s("layers"), watch=run.watch, report=report
    )
    return replace(found, layers=layers, notes=(*found.notes, *problems))


def _usable(name: str) -> bool:
    try:
        return not runtimes.load(name).obstacle()
    except MachineError:
        return False


def _device(found: MeasuredMachine) -> Device:
    """What was measured of the processor, as a device: the best product of each format, and the memory's best rate."""
    machine = found.machine
    peaks: dict[str, float] = {}
    for each in found.arithmetic:
        if each.work == "product" and each.threads:
            peaks[each.format] = max(peaks.get(each.format, 0.0), each.best.rate)
    memory = [each.best.rate for each in found.streams if each.level == "memory"]
    return Device(
        name=machine.cpu,
        kind="cpu",
        peak_flops=peaks,
        bandwidth_bytes_s=max(memory, default=None),
        memory_bytes=machine.memory_bytes,
        cache_bytes=machine.cache_bytes.get("L3") or machine.cache_bytes.get("L2"),
        cores=machine.cores,
        sustained_clock_hz=found.clock_hz,
        source="measured here",
    )
