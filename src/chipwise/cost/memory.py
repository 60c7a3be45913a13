"""Memory that a workload takes, part by part.

Inference: weights, the activations alive at once (`chipwise.cost.liveness`), scratch memory, and what the software
itself takes. Training: beside them what is saved for the backward pass, gradients and the optimizer's state. Automatic
mixed precision keeps the weights in 4 bytes, and 2-byte copies beside them.

>>> from chipwise.core.device import Device
>>> from chipwise.core.estimate import Workload
>>> from chipwise.core.layer import Layer
>>> rows = [Layer("fc", "Gemm", ((8, 1000),), ((8, 1000),), 1_000_000, write_bytes=32_000, saved_bytes=32_000)]
>>> use = memory_of(rows, Device("example", "gpu"), Workload("training", 8, techniques=("adam",)))
>>> use.weights, use.gradients, use.optimizer, use.saved
(4000000, 4000000, 8000000, 32000)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from chipwise.core.device import Device
from chipwise.core.estimate import Interval, MemoryUse, Workload
from chipwise.core.formats import ROW_BYTES, value_bytes
from chipwise.core.layer import Layer
from chipwise.cost import runtime_memory
from chipwise.cost.liveness import input_bytes, most_alive
from chipwise.cost.step_memory import AMP_BYTES, fullest_moment, kept_scale, read_values, saved_bytes
from chipwise.cost.torch_memory import context_bytes, rounding_bytes, workspace_bytes

# Values of state per weight: of SGD without and with momentum (as `train --optimizer sgd` has), of Adam and AdamW.
_OPTIMIZERS = {"plain-sgd": 0, "sgd": 1, "momentum": 1, "adam": 2, "adamw": 2}
_USUAL_OPTIMIZER = "adamw"


def memory_of(layers: Sequence[Layer], device: Device, workload: Workload) -> MemoryUse:
    """Bytes of each part at the peak.

    Args:
        layers: rows for `workload.batch` items, float32 bytes.
        device: a CPU runs ONNX Runtime or OpenVINO by their own rules (`workload.runtime`), everything else torch's.
        workload: techniques may name the optimizer ("sgd", "adam", "adamw" (usual), "plain-sgd"), "amp" and
            "checkpointing" (of segments of equal length; `workload.again` names others).

    Returns:
        In training, gradients and saved tensors are each counted in full. They are not at their most at the same
        moment, unless gradients are kept between steps: `memory_interval` follows the step.

    Raises:
        InputError: unknown precision.
    """
    if workload.phase == "training":
        return _training(layers, device, workload)
    if device.kind == "cpu" and workload.runtime in runtime_memory.RUNTIMES:
        return runtime_memory.of_runtime(layers, workload)
    mixed = "amp" in workload.techniques
    scale = value_bytes(workload.precision) / ROW_BYTES
    given = 1.0 if mixed else scale  # of weights and input, which autocast is handed in float32
    weights = math.ceil(given * weight_bytes(layers))
    activations = math.ceil(scale * most_alive(layers, fused=workload.compiled) + given * input_bytes(layers))
    copies = _copies(layers) if mixed else 0
    return MemoryUse(
        weights=weights,
        activations=activations,
        copies=copies,
        workspace=workspace_bytes(layers, device, scale),
        rounding=rounding_bytes(layers, device, weights + activations + copies, given),
        context=context_bytes(device, workload.runtime),
    )


def memory_interval(
    layers: Sequence[Layer], device: Device, workload: Workload, use: MemoryUse | None = None
) -> Interval:
    """Bytes that are gone from the device, as an interval.

    Inference: low is tensors alone, mid `memory_of`, high wider by what was seen against measured peaks
    (benchmarks/peak_memory.py) or, on accelerators, by a guess. Training: gradients come as saved tensors go, so mid
    follows a step backwards, low is weights, state and the larger of the two, and high is everything in full.

    `use` is what `memory_of` told, where that was asked before.
    """
    use = use or memory_of(layers, device, workload)
    if workload.phase == "inference":
        spread = runtime_memory.SPREAD if device.kind == "cpu" else _SPREAD
        tensors = use.weights + use.activations + (0 if device.kind == "cpu" else use.copies)
        return Interval(tensors, use.device_bytes, (1 + spread) * use.device_bytes)
    held = use.weights + use.optimizer + use.copies
    mid = held + _step_peak(layers, workload, use) + use.workspace + use.rounding + use.context
    return Interval(held + max(use.saved, use.gradients), min(mid, use.device_bytes), use.device_bytes)


def optimizer_values(optimizer: str) -> int:
    """Values of state that an optimizer keeps of each weight."""
    return _OPTIMIZERS[optimizer]


def weight_bytes(layers: Sequence[Layer]) -> int:
    """Float32 bytes of parameters, and of the running mean and variance of batch normalizations."""
    running = sum(layer.parameters for layer in layers if layer.op == "BatchNormalization")
    return ROW_BYTES * (sum(layer.parameters for layer in layers) + running)


# Kernels' scratch memory and fragmentation beyond what is counted; a guess, nothing was measured on an accelerator.
_SPREAD = 0.25


def _step_peak(layers: Sequence[Layer], workload: Workload, use: MemoryUse) -> int:
    """Most bytes of saved tensors, gradients and working set together, with the inputs of the batch."""
    if "checkpointing" in workload.techniques:  # segments of equal length, which no rows are named of
        return use.saved + use.gradients + use.activations
    moment = fullest_moment(layers, workload)
    return math.ceil(max(moment.bytes - moment.copies, use.gradients) + kept_scale(workload) * input_bytes(layers))


def _training(layers: Sequence[Layer], device: Device, workload: Workload) -> MemoryUse:
    values = sum(layer.parameters for layer in layers)
    mixed = "amp" in workload.techniques
    scale = (ROW_BYTES if mixed else value_bytes(workload.precision)) / ROW_BYTES
    kept = kept_scale(workload)
    optimizer = next((name for name in workload.techniques if name in _OPTIMIZERS), _USUAL_OPTIMIZER)
    weights = math.ceil(scale * weight_bytes(layers))
    trained = math.ceil(scale * ROW_BYTES * values)
    saved = [math.ceil(kept * saved_bytes(layer)) for layer in layers]
    # In the backward pass of one row its result's gradient and its inputs' are alive together.
    largest = max((kept * (layer.write_bytes + read_values(layer)) for layer in layers), default=0)
    held = _checkpointed(saved) if "checkpointing" in workload.techniques else sum(saved)
    activations = math.ceil(largest + scale * input_bytes(layers))
    state = optimizer_values(optimizer) * trained
    copies = _copies(layers) if mixed else 0
    tensors = weights + activations + held + trained + state + copies
    return MemoryUse(
        weights=weights,
        activations=activations,
        saved=held,
        gradients=trained,
        optimizer=state,
        copies=copies,
        workspace=workspace_bytes(layers, device, kept),
        rounding=rounding_bytes(layers, device, tensors, scale),
        context=context_bytes(device, workload.runtime),
    )


def _copies(layers: Sequence[Layer]) -> int:
    """Bytes of the 2-byte weights that autocast keeps beside the full ones."""
    return AMP_BYTES * sum(layer.parameters for layer in layers)


def _checkpointed(saved: Sequence[int]) -> int:
    """Saved bytes where only the border of each of sqrt(n) segments is kept and one segment is run again at a time.

    Chen et al., "Training deep nets with sublinear memory cost", arXiv 1604.06174.
    """
    segments = max(1, math.isqrt(len(saved)))
    length = math.ceil(len(saved) / segments)
    parts = [saved[start : start + length] for start in range(0, len(saved), length)]
    return sum(part[0] for part in parts if part) + max((sum(part) for part in parts), default=0)
