"""Complete records of compressions and of what layers can lose, made from formulas, the same every time."""

from __future__ import annotations

import math
from collections.abc import Callable

from chipwise.core.compression import CompressedLayer, Compression, Histogram, LayerWeights, Speed, Stage, StageEpoch
from chipwise.core.ledger import Ledger
from chipwise.core.measure import Ratio, Timing
from chipwise.core.sensitivity import LayerSensitivity, Sensitivity, SensitivityPoint

from .samples import accuracy, drop

DENSITIES = (0.8, 0.6, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05, 0.02)
LAYERS = (("conv1.weight", 500), ("conv2.weight", 25_000), ("ip1.weight", 400_000), ("ip2.weight", 5000))


def histogram(size: int, width: float, hollow: float = 0.0) -> Histogram:
    """A bell over 51 bins from -1 to 1, without what lies nearer to zero than `hollow`."""
    middles = [(place + 0.5) / 25.5 - 1 for place in range(51)]
    bell = [0.0 if abs(x) < hollow else math.exp(-((x / width) ** 2) / 2) for x in middles]
    whole = sum(math.exp(-((x / width) ** 2) / 2) for x in middles)
    counts = tuple(round(size * each / whole) for each in bell)
    return Histogram(counts, max(size - sum(counts), 0))


def weights() -> tuple[LayerWeights, ...]:
    """Four layers, the first denser than the others."""
    rows = []
    for place, (name, size) in enumerate(LAYERS):
        before, hollow = histogram(size, 0.3), 0.3 if place else 0.1
        masked, trained = histogram(size, 0.3, hollow), histogram(size, 0.35, hollow)
        kept = sum(trained.counts)
        values = tuple(each / 7 for each in range(-7, 8) if each)
        counts = tuple(round(kept * (8 - abs(each)) / 56) for each in range(-7, 8) if each)
        rows.append(LayerWeights(name, 1.0, before, masked, trained, values, counts, size - sum(counts)))
    return tuple(rows)


def stages() -> tuple[Stage, ...]:
    """Pruning with masks that grow, then rounding with bits by layer."""
    densities = [1 - 0.92 * (1 - (1 - min(epoch / 6, 1.0)) ** 3) for epoch in range(1, 11)]
    pruning = tuple(
        StageEpoch(each, 0.98 - 0.02 * (1 - each) - 0.04 * (epoch == 5) + 0.001 * epoch)
        for epoch, each in enumerate(densities)
    )
    rounding = tuple(StageEpoch(0.08, 0.95 + 0.003 * epoch) for epoch in range(10))
    bits = {"conv1.weight": 5, "conv2.weight": 4, "ip1.weight": 3, "ip2.weight": 4}
    return (
        Stage("prune", "8.0% of the weights", 34_486, pruning[-1].accuracy, 12.3, pruning, 10),
        Stage("round", "steps, bits by layer", 34_102, rounding[-1].accuracy, 13.1, rounding, 10, bits),
    )


def compression() -> Compression:
    """LeNet-5 (Caffe), a fortieth of its size."""
    bits = stages()[-1].bits
    layers = tuple(
        CompressedLayer(name, (size,), size, size // 12, bits[name], 5, size // 3, size // 12, size // 20, size // 24)
        for name, size in LAYERS
    )
    columns = {"values": 7000, "indices": 9000, "codebooks": 20, "biases": 560, "graph": 150, "task": 80, "headers": 90}
    return Compression(
        network="lenet5-caffe", data="digits", path="lenet5.cwz", target="100x", met=True, dense_bytes=1_724_320,
        file_bytes=16_900, stages=stages(), layers=layers, validation=drop(3, 1, 0.02), test=drop(2, 2, 0.015),
        ledger=Ledger(total=16_900, dense=1_724_320, **columns), seconds=25.4, weights=weights(),
    )  # fmt: skip


def curve(settings: tuple[float, ...], worst: float, steep: float) -> tuple[SensitivityPoint, ...]:
    """Accuracy that falls from 98% to `worst` along the settings."""
    found = []
    for place, setting in enumerate(settings):
        part = (place / (len(settings) - 1)) ** steep
        found.append(SensitivityPoint(setting, 0.98 + (worst - 0.98) * part, 0.06 + 2 * part))
    return tuple(found)


def sensitivity(many: int = 0) -> Sensitivity:
    """Four layers, or so many."""
    names = LAYERS if not many else tuple((f"stage{each}.block.conv.weight", 9216) for each in range(many))
    rows = tuple(
        LayerSensitivity(
            name, size, curve(DENSITIES, 0.2 + 0.7 * place / len(names), 3 + place),
            curve((8, 7, 6, 5, 4, 3, 2), 0.3 + 0.6 * place / len(names), 6),
            curve((8, 7, 6, 5, 4, 3, 2), 0.5 + 0.4 * place / len(names), 8),
        )
        for place, (name, size) in enumerate(names)
    )  # fmt: skip
    return Sensitivity("lenet5-caffe", "digits", accuracy(353), 0.06, 360 if not many else 5000, rows)


def fast() -> Compression:
    """A network of the speed that was asked for."""
    before, after = (Timing(5, tuple(each * scale * 1e-6 for each in (660, 680, 690, 700, 900))) for scale in (1, 0.49))
    return Compression(
        network="resnet20",
        data="cifar-10",
        path="fast.cwz",
        target="2x as fast on onnxruntime fp32 x1",
        met=True,
        dense_bytes=1_078_968,
        file_bytes=300_000,
        stages=(
            Stage("narrow", "75.0% of the time", 170_000, 0.908, 35.0),
            Stage("narrow", "50.0% of the time", 81_712, 0.9, 33.0),
            Stage("train", "8 epochs", 81_712, 0.901, 160.0),
        ),
        layers=(
            CompressedLayer("stem", (16, 3, 3, 3), 432, 432, 32, 0, 1728, 1728, 1728, 1600),
            CompressedLayer("narrowed_40", (48, 32, 3, 3), 0, 13_824, 32, 0, 55_296, 55_296, 55_296, 50_000),
        ),
        validation=drop(3, 1, 0.0149),
        test=drop(3, 1, 0.0149),
        ledger=Ledger(
            8000, values=7000, indices=0, codebooks=0, biases=400, graph=200, task=100, headers=300, dense=90_000
        ),
        speed=Speed(2.0, "onnxruntime fp32 x1", 16, 330e-6, before, after, Ratio(2.04, 2.01, 2.08, 40)),
    )


RECORDS: dict[str, Callable[[], object]] = {
    "compression": compression,
    "compression_fast": fast,
    "sensitivity": sensitivity,
}
