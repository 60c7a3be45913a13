"""Made-up estimates: a sweep on one card, several devices, training with epochs, a floor, and a scored prediction."""

from __future__ import annotations

from dataclasses import replace

from chipwise.core.device import Device
from chipwise.core.estimate import Estimate, EstimateRow, Interval, MemoryUse, Workload
from chipwise.core.estimation import Cost, Estimation, Forecast, Knee, Score, Together
from chipwise.core.measure import Timing

MIB = 2**20
CARD = Device(
    "Example Card 4090", "gpu", peak_flops={"fp32": 82.6e12, "fp16": 165e12}, bandwidth_bytes_s=1.008e12,
    memory_bytes=24 * 2**30, source="made up",
)  # fmt: skip
METHOD = (
    "sum over layers of max(FLOPs / reached FLOP/s, bytes / reached bandwidth) + launch, with efficiencies fitted to "
    "published timings of Example Card 3090 (same family)"
)


def rows(batch: int, speed: float = 1.0) -> tuple[EstimateRow, ...]:
    """A dozen layers as in a small residual network, some of them without arithmetic."""
    made = []
    for place in range(12):
        flops, moved = batch * 4e7 * (place + 1), batch * 3e6 * (13 - place) + 1e6
        times = {"compute": flops / 4e13 / speed, "memory": moved / 7e11 / speed, "launch": 9e-6 / speed}
        bound = max(times, key=lambda name: times[name])
        op, kind = ("Conv", "conv") if place % 3 else ("BatchNormalization", "elementwise")
        made.append(
            EstimateRow(f"stage{place // 4}.conv{place % 4}", sum(times.values()), bound, op, kind, flops, moved)
        )
    made.append(EstimateRow("flatten", 2e-6 / speed, "launch", "Flatten", "shape", 0.0, 2048.0 * batch))
    made.append(EstimateRow("fc", 8e-6 / speed, "memory", "Gemm", "matmul", 4.1e6 * batch, 8.2e6))
    return tuple(made)


def interval(mid: float, below: float = 0.85, above: float = 1.2) -> Interval:
    """An 80% interval around a middle."""
    return Interval(mid * below, mid, mid * above, 0.8)


def memory(batch: int, *, training: bool = False) -> MemoryUse:
    """Weights of 97.5 MiB and what grows with the batch."""
    weights = round(97.5 * MIB)
    if not training:
        return MemoryUse(
            weights, 12 * MIB * batch, workspace=64 * MIB, rounding=7 * MIB + batch * MIB, context=498 * MIB
        )
    return MemoryUse(
        weights, 4 * MIB * batch, saved=85 * MIB * batch, gradients=weights, optimizer=2 * weights,
        copies=weights // 2, workspace=256 * MIB, rounding=3 * MIB * batch, context=498 * MIB,
    )  # fmt: skip


def forecast(
    batch: int = 1, *, device: str = CARD.name, speed: float = 1.0, capacity: int = 24 * 2**30, **more
) -> Forecast:
    """One workload on one card."""
    layers = rows(batch, speed)
    time = interval(sum(row.time_s for row in layers))
    workload = Workload(batch=batch, **more)
    used = memory(batch, training=workload.phase == "training")
    energy = interval(210.0 * (time.mid or 0.0), 0.6, 1.3)
    expected = Estimate(
        device, workload, layers, time, used, max(layers, key=lambda row: row.time_s).bound, METHOD,
        fits=used.device_bytes <= capacity, energy_j=energy, price_usd=time.times(0.35 / 3600),
    )  # fmt: skip
    cost = Cost(time, expected.energy_j, expected.price_usd)
    return Forecast(expected, capacity, cost.times(1000 / batch))


def sweep() -> Estimation:
    """Batches 1 to 256 on one card; the last one does not fit."""
    made = (*(forecast(batch) for batch in (1, 2, 4, 8, 16, 32, 64, 128)), forecast(256, capacity=3 * 2**30))
    knee = Knee(CARD.name, 32, 9210.0, 128, 9905.0)
    note = (
        "Example Card 4090 itself was never timed: the efficiencies of Example Card 3090 stand in, and bounds are wider"
    )
    made = tuple(replace(each, estimate=replace(each.estimate, notes=(note,))) for each in made)
    return Estimation("resnet50", "resnet50", 25_557_032, 8_220_000_000, made, (knee,))


def layered() -> Estimation:
    """One batch, layer by layer, with an operator that is not known."""
    one = forecast(8)
    expected = replace(one.estimate, unknown_ops=("MyAttention", "NonMaxSuppressionPlus"))
    cases = (replace(one, estimate=expected),)
    return Estimation("net", "net.onnx", 25_557_032, 8_220_000_000, cases, layered=True, picture="roofline.svg")


def devices() -> Estimation:
    """Four devices at two batches; of one only a floor is known, and one runs another format."""
    made = [
        forecast(batch, device=name, speed=speed, capacity=capacity * 2**30)
        for name, speed, capacity in (("Tesla K80", 0.05, 24), (CARD.name, 1.0, 24), ("H100 SXM5 80GB", 2.1, 80))
        for batch in (1, 32)
    ]
    for batch in (1, 32):
        one = forecast(batch, device="Edge TPU", speed=0.2, capacity=1, precision="int8", compiled=True)
        time = Interval(3.1e-3 * batch, None, None)
        method = "roofline floor: sum over layers of max(FLOPs / peak, bytes / bandwidth); no overheads, no cache reuse"
        expected = replace(one.estimate, time_s=time, energy_j=None, price_usd=None, method=method, fits=None)
        made.append(replace(one, estimate=expected, capacity_bytes=None, thousand=Cost(time.times(1000 / batch))))
    knees = tuple(
        Knee(each.estimate.device, 32, 9000.0, 32, 9000.0, floor=each.capacity_bytes is None) for each in made[::2]
    )
    notes = ("Edge TPU has no peak for fp32: int8 is what it runs",)
    return Estimation("mobilenet-v2", "mobilenet-v2", 3_504_872, 600_000_000, tuple(made), knees, notes=notes)


def training() -> Estimation:
    """Training with mixed precision; epochs over a data set."""
    made = []
    for batch in (32, 64):
        one = forecast(
            batch, speed=0.3, phase="training", precision="fp16", techniques=("amp", "channels_last"), compiled=True,
            runtime="torch",
        )  # fmt: skip
        epoch = Cost(one.estimate.time_s, one.estimate.energy_j, one.estimate.price_usd).times(1_281_167 / batch)
        step = one.estimate.time_s.times(1.1)
        pass_s = step.times(1_281_167 // (8 * batch))
        together = Together(
            "DGX-1 (V100)", 8, "NVLink 2", 8 * batch, step, Interval(0.7, 0.91, 0.99), pass_s, pass_s.times(90)
        )
        made.append(replace(one, epoch=epoch, training=epoch.times(90), together=together))
    return Estimation(
        "resnet50", "resnet50", 25_557_032, 8_220_000_000, tuple(made), data_size=1_281_167, epochs=90,
        notes=("DGX-1 (V100) is 8 x Tesla V100 SXM2 16GB: this is one of them",),
    )  # fmt: skip


def measured() -> Estimation:
    """A prediction put to the test: inside, outside, and one that could not be run."""
    made = []
    for batch, factor in ((1, 1.04), (8, 1.4), (32, None)):
        one = forecast(batch, device="this machine", speed=0.01, compiled=True, runtime="openvino")
        mid = one.estimate.time_s.mid or 0.0
        if factor is None:
            score = Score("openvino", "fp32", 2, None, None, None, "openvino could not build this graph")
        else:
            steps = [mid * factor * (0.97 + 0.004 * place) for place in range(21)]
            timing = Timing(40, tuple(steps))
            inside = one.estimate.time_s.covers(timing.median_s)
            score = Score("openvino", "fp32", 2, timing, mid / timing.median_s - 1, inside)
        made.append(replace(one, score=score))
    return Estimation("resnet50", "resnet50", 25_557_032, 8_220_000_000, tuple(made))


RECORDS = {
    "estimate_sweep": sweep, "estimate_layers": layered, "estimate_devices": devices, "estimate_training": training,
    "estimate_measured": measured,
}  # fmt: skip
