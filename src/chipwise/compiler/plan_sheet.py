"""Open a plan up: which layers it ships, in which number formats, how long each takes and how long it would have to.

Layers are what runtimes run as one; conversions between number formats are no layers. Times are the runtime's own
profiler's, whose sum is a little more than the whole network takes.
"""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir as ir

from chipwise import runtimes
from chipwise.clock.peaks import measure_peaks
from chipwise.codec.machine_file import cached_machine
from chipwise.compiler.blocks import LAYER_OPS, name_nodes
from chipwise.compiler.kernel_owners import CONVERSIONS, layer_seconds, owners
from chipwise.compiler.missed_paths import Facts, missed_paths
from chipwise.compiler.parts import build_whole
from chipwise.compiler.trials import options_of
from chipwise.core.errors import InputError, MachineError
from chipwise.core.estimate import Workload
from chipwise.core.formats import ROW_BYTES, value_bytes
from chipwise.core.layer import Layer
from chipwise.core.plan_sheet import PlanSheet, SheetLayer
from chipwise.cost.fused import kernels
from chipwise.cost.roofline import floor
from chipwise.devices.ceiling import ceiling
from chipwise.optimize import flush_denormals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from chipwise.core.device import Device, Machine
    from chipwise.core.plan import Manifest, Plan

_ROUNDS, _TIMED_S = (5, 30), 2.0
_INTEGER_OPS = ("QLinearConv", "QLinearMatMul", "QGemm", "ConvInteger", "MatMulInteger", "MatMulNBits")
_EIGHT_BITS = (ir.DataType.INT8, ir.DataType.UINT8)
_ABOVE = 1.1  # times the peak: beyond what clocks and noise explain
# Beyond this, looking into every layer's result takes seconds.
_MOST_FLOPS, _MOST_VALUES = 20e9, 1 << 26


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What a machine was measured to reach, and how; `device` is None where that is not known."""

    device: Device | None = None
    source: str = ""


def named(model: bytes) -> bytes:
    """The same graph with a name for every node, so that rows, kernels and sentences call it alike."""
    proto = onnx.load_model_from_string(model)
    name_nodes(proto)
    return bytes(proto.SerializeToString(deterministic=True))


def plan_sheet(plan: Plan, name: str, model: bytes, rows: Sequence[Layer], machine: Machine) -> PlanSheet:
    """Describe a plan; its layers are timed where this machine is like the one it was compiled on.

    Args:
        plan: an opened plan file.
        name: what to call it.
        model: its graph as `named` gives it.
        rows: layer rows of that at the plan's batch.
        machine: this one.
    """
    manifest = plan.manifest
    here = manifest.machine.fingerprint == machine.fingerprint
    proto = onnx.load_model_from_string(model)
    graph = ir.serde.deserialize_model(proto)
    ceilings = _ceilings(manifest.machine, here=here)
    layers = _layers(rows, formats(graph, manifest.choice.precision), ceilings.device)
    notes = [_unknown(rows)]
    if here:
        layers, beside_s, problem = _timed(plan, model, proto.graph, layers)
        notes.append(problem)
    else:
        beside_s = None
        notes.append(f"layers are not timed: it was compiled on another machine ({manifest.machine.cpu})")
    device = ceilings.device
    sheet = PlanSheet(
        plan=name,
        manifest=manifest,
        layers=layers,
        work=_work(layers, manifest.choice.batch),
        beside_s=beside_s,
        peaks=dict(device.peak_flops) if device else {},
        bandwidth_bytes_s=device.bandwidth_bytes_s if device else None,
        peaks_from=ceilings.source,
        item_s=_item_s(manifest),
        denormal_weights=flush_denormals.count(graph),
        denormal_values=_denormal_values(plan, model, graph, layers),
        notes=tuple(note for note in notes if note),
    )
    sheet = replace(sheet, notes=(*sheet.notes, *_doubts(sheet)))
    return replace(sheet, missed=missed_paths(Facts(sheet, graph)))


def _doubts(sheet: PlanSheet) -> Iterator[str]:
    """A layer that is faster than the peak shows that the peak was measured while others used the processor."""
    shares = [share for each in sheet.layers if (share := sheet.peak_share_of(each)) is not None]
    if max(shares, default=0.0) > _ABOVE:
        yield (
            f"a layer reaches {max(shares):.1f}x the measured peak, so that was disturbed: measure anew with doctor "
            "--measure, while nothing else runs"
        )


def _item_s(manifest: Manifest) -> float | None:
    """Median time of one item, as it was measured when the plan was made."""
    chosen = (each.timing for each in manifest.candidates if each.status == "chosen")
    return next((timing.median_s for timing in chosen if timing is not None), None)


def formats(model: ir.Model, usual: str) -> dict[str, str]:
    """The number format in which each node multiplies, by its name.

    Args:
        model: whose nodes have names.
        usual: of what is not quantized, where the plan is not int8 as a whole.
    """
    wide = "fp32" if usual == "int8" else usual
    found = {}
    for node in model.graph:
        whole = node.op_type in _INTEGER_OPS or (
            node.op_type in LAYER_OPS and all(_from_int8(value) for value in node.inputs[:2])
        )
        found[node.name or ""] = "int8" if whole else wide
    return found


def _from_int8(value: ir.Value | None) -> bool:
    maker = value.producer() if value is not None else None
    if maker is None or maker.op_type != "DequantizeLinear":
        return False
    held = maker.inputs[0]
    zero = maker.inputs[2] if len(maker.inputs) > 2 else None
    return any(each is not None and each.dtype in _EIGHT_BITS for each in (held, zero))


def _unknown(rows: Sequence[Layer]) -> str:
    names = sorted({row.op for row in rows if not row.known})
    return f"the work of {', '.join(names)} is not known and not counted" if names else ""


def _ceilings(machine: Machine, *, here: bool) -> Ceilings:
    """Measured peaks: by `doctor --measure` where that was run, else by a quick look where that can be had."""
    found = cached_machine(machine)
    if found is not None:
        return Ceilings(found.device, f"doctor --measure on {found.date}")
    if here:
        best, basis = ceiling(measure_peaks(machine), machine)
        return Ceilings(best, f"{basis or 'a quick look at fp32'}; doctor --measure knows more")
    return Ceilings()


def _layers(rows: Sequence[Layer], form: dict[str, str], device: Device | None) -> tuple[SheetLayer, ...]:
    """Rows by what runs as one, each against the roofline."""
    by_name = {row.name: row for row in rows}
    made = []
    for kernel in kernels(_without_conversions(rows)):
        first = by_name[kernel.names[0]]
        own = form.get(first.name, "fp32")
        flops = float(sum(by_name[name].flops for name in kernel.names))
        moved = kernel.values * value_bytes(own)
        layer = SheetLayer(first.name, first.op, own, flops, moved, others=kernel.names[1:])
        made.append(_against_roofline(layer, device))
    return tuple(made)


def _against_roofline(layer: SheetLayer, device: Device | None) -> SheetLayer:
    if device is None:
        return layer
    scale = value_bytes(layer.format) / ROW_BYTES
    row = Layer(layer.name, layer.op, (), (), flops=int(layer.flops), read_bytes=int(layer.moved_bytes / scale))
    try:
        (found,), _ = floor([row], device, Workload(precision=layer.format))
    except InputError:  # no peak is known for this format
        return layer
    return replace(layer, bound=found.bound, floor_s=found.time_s)


def _without_conversions(rows: Sequence[Layer]) -> list[Layer]:
    """Rows less those between number formats: who read them reads what they read."""
    through: dict[str, tuple[str, ...]] = {}
    kept = []
    for row in rows:
        after = tuple(dict.fromkeys(name for each in row.after for name in through.get(each, (each,))))
        if row.op in CONVERSIONS:
            through[row.name] = after
        else:
            kept.append(replace(row, after=after))
    return kept


def _work(layers: Iterable[SheetLayer], batch: int) -> dict[str, float]:
    """FLOPs of one item by number format."""
    found: dict[str, float] = {}
    for layer in layers:
        found[layer.format] = found.get(layer.format, 0.0) + layer.flops / batch
    return {name: flops for name, flops in found.items() if flops} or found


def _timed(
    plan: Plan, model: bytes, graph: onnx.GraphProto, layers: tuple[SheetLayer, ...]
) -> tuple[tuple[SheetLayer, ...], float | None, str]:
    """Layers with their times, what the profiler saw beside them, and what to know of them or why there are none."""
    choice = plan.manifest.choice
    try:
        adapter = runtimes.load(choice.runtime)
        if adapter.node_times is None:
            return layers, None, f"layers are not timed: {choice.runtime} has no times of kernels"
        arrays = _batched(plan)
        rounds = adapter.node_times(model, options_of(replace(choice, streams=1)), arrays, _rounds(plan.manifest))
    except MachineError as error:
        return layers, None, f"layers are not timed: {error.message}"
    known = owners(graph, [(layer.name, *layer.others) for layer in layers])
    times, beside_s = layer_seconds(rounds, known, len(layers))
    if not any(times):
        return layers, None, f"layers are not timed: {choice.runtime} named no kernel after them"
    timed = (replace(layer, time_s=time_s) for layer, time_s in zip(layers, times, strict=True))
    alone = f"layers are timed in one request alone; the plan keeps {choice.streams} in flight"
    return tuple(timed), beside_s, alone if choice.streams > 1 else ""


def _batched(plan: Plan) -> list[NDArray[Any]]:
    batch = plan.manifest.choice.batch
    if batch == 1:
        return [np.ascontiguousarray(array) for array in plan.sample_inputs]
    return [np.ascontiguousarray(np.repeat(array, batch, axis=0)) for array in plan.sample_inputs]


def _rounds(manifest: Manifest) -> int:
    """As many as fit into a short time."""
    call_s = (_item_s(manifest) or 0.1) * manifest.choice.batch * manifest.choice.streams
    return int(min(max(_TIMED_S / call_s, _ROUNDS[0]), _ROUNDS[1]))


def _denormal_values(plan: Plan, model: bytes, graph: ir.Model, layers: Sequence[SheetLayer]) -> dict[str, int] | None:
    """Denormal numbers among what float layers give on the sample, by layer; None where looking would take long."""
    wanted = {name: layer.name for layer in layers if layer.format == "fp32" for name in (layer.name, *layer.others)}
    places = {
        node.outputs[0].name or "": wanted[node.name or ""]
        for node in graph.graph
        if node.name in wanted and _plain(node.outputs[0])
    }
    size = sum(math.prod(_dims(value)) for node in graph.graph for value in node.outputs if value.name in places)
    if not places or size > _MOST_VALUES or sum(layer.flops for layer in layers) > _MOST_FLOPS:
        return None
    proto = onnx.load_model_from_string(model)
    given = {value.name for value in proto.graph.output}
    options = options_of(replace(plan.manifest.choice, streams=1))
    types = {value.name: ir.serde.serialize_value(value) for value in _values(graph) if value.name in places}
    proto.graph.output.extend(types[name] for name in places if name not in given)
    try:
        with closing(build_whole("onnxruntime", proto.SerializeToString(), options)) as engine:
            names = [value.name for value in engine.outputs]
            results = dict(zip(names, engine.run(list(plan.sample_inputs)), strict=True))
    except MachineError:
        return None
    found: dict[str, int] = {}
    for name, layer in places.items():
        array = results[name]
        small = int(np.count_nonzero((np.abs(array) < np.finfo(array.dtype).tiny) & (array != 0)))
        if small:
            found[layer] = found.get(layer, 0) + small
    return found


def _values(graph: ir.Model) -> Iterable[ir.Value]:
    return (value for node in graph.graph for value in node.outputs)


def _plain(value: ir.Value) -> bool:
    """A float32 tensor of known rank, whose free dimensions have names."""
    if value.dtype != ir.DataType.FLOAT or value.shape is None:
        return False
    return all(isinstance(dim, int) or dim.value for dim in value.shape)


def _dims(value: ir.Value) -> tuple[int, ...]:
    """Free dimensions count as one."""
    return tuple(dim if isinstance(dim, int) else 1 for dim in value.shape or ())
