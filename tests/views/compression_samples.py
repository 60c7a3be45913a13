"""Compressed networks for golden tables: one made small, and one made fast."""

from __future__ import annotations

from chipwise.core.compression import CompressedLayer, Compression, Speed, Stage
from chipwise.core.ledger import Ledger
from chipwise.core.measure import Accuracy, PairedDrop, Ratio, Timing


def _drop() -> PairedDrop:
    before, after = Accuracy(356, 360, 0.97, 0.997), Accuracy(354, 360, 0.96, 0.99)
    return PairedDrop(source=before, candidate=after, lost=3, won=1, drop=0.0056, upper=0.0149, p_value=0.6)


def _ledger() -> Ledger:
    return Ledger(8000, values=7000, indices=0, codebooks=0, biases=400, graph=200, task=100, headers=300, dense=90_000)


def small() -> Compression:
    """A file of the size that was asked for."""
    return Compression(
        network="lenet-300-100",
        data="digits",
        path="small.cwz",
        target="40x",
        met=True,
        dense_bytes=1_066_440,
        file_bytes=8000,
        stages=(
            Stage("prune", "8.0% of the weights", 21_000, 0.98, 4.0),
            Stage("round", "3-bit steps", 20_100, 0.97, 4),
        ),
        layers=(CompressedLayer("w", (300, 784), 235_200, 15_000, 3, 5, 70_000, 15_000, 9_000, 6_500),),
        validation=_drop(),
        test=None,
        ledger=_ledger(),
    )


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
        validation=_drop(),
        test=_drop(),
        ledger=_ledger(),
        speed=Speed(2.0, "onnxruntime fp32 x1", 16, 330e-6, before, after, Ratio(2.04, 2.01, 2.08, 40)),
    )


RECORDS = {"compression": small, "compression_fast": fast}
