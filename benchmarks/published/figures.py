"""Figures that are published one by one: speed-ups, days of training, a table of three chips; predictions beside them.

They are of talks and data sheets, not of tables, and say little of how they came about. What is assumed stands with
each: nothing was fitted on any of them, and no assumption was chosen by what it gives. Those that no network at hand
stands for are told with no prediction.

* **Mixed precision on a V100** (NVIDIA): pictures or sequences a second over those in fp32, each at the batches of
  NVIDIA's DeepLearningExamples; convolutions in both layouts. fp32 takes the profile of single kernels on a V100, mixed
  precision those of timm's networks on an RTX 3090.
* **P100 to V100** (NVIDIA, ResNet-50): training. Not said is in which number format: both are given for the V100.
  Inference in 7 ms is of a runtime that no profile here knows on these cards.
* **Four M40**, ResNet on ImageNet (fb.resnet.torch's networks): 90 epochs of 1,281,167 pictures, batch 64 a card,
  fp32, gradients along a ring through PCIe. The Maxwell chip takes the profile of the P100, the oldest there is.
* **K80, TPU v1, P40** (Jouppi et al., ISCA 2017; NVIDIA's answer): inferences a second in 10 ms, relative to the TPU:
  MLP0 of the paper (five layers, 20 million weights), by the roofline of data sheets; fp32 on one chip of a K80, int8
  on the others. The published figures are means over several networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from chipwise.core.device import Device, System
from chipwise.core.estimate import Interval, Workload
from chipwise.core.layer import Layer
from chipwise.cost import roofline, systolic
from chipwise.cost.together import copies_of
from chipwise.devices.known import device, link
from chipwise.networks.layers import layer_rows
from chipwise.networks.load import load
from published.choose import chosen
from published.dle import Row, operations
from published.pricing import priced, zoo_kernels

IMAGENET, EPOCHS = 1_281_167, 90
_DAY_S = 86_400.0
_V100, _P100, _M40 = "Tesla V100 SXM2 16GB", "Tesla P100 SXM2 16GB", "Tesla M40 12GB"
_OLDEST = "Tesla P100 PCIe 16GB"
_AMP, _NHWC = ("amp",), ("amp", "channels_last")
_BATCHES = tuple(2**power for power in range(10))
_MLP0 = (5, 2000)  # layers and width: 20 million weights


@dataclass(frozen=True, slots=True)
class Figure:
    """A published figure and what is predicted.

    Attributes:
        table: what it belongs to; name: what was run.
        published: the figure; predicted: None where nothing at hand stands for it.
        note: what is assumed, or why nothing is predicted.
    """

    table: str
    name: str
    published: float
    predicted: Interval | None
    note: str = ""

    @property
    def off(self) -> float | None:
        """Predicted over published, less 1."""
        mid = None if self.predicted is None else self.predicted.mid
        return None if mid is None else mid / self.published - 1


def figures() -> list[Figure]:
    """All of them."""
    return [*mixed_precision(), *generations(), *days(), *three_chips()]


def mixed_precision() -> list[Figure]:
    """NVIDIA's eight speed-ups of training in mixed precision on a V100."""
    table, found = "mixed precision, V100", []
    for name, said, network, length, full, mixed, ways in (
        ("ResNet-50 v1.5", 3.47, "resnet50", 0, 128, 256, (_AMP, _NHWC)),
        ("SSD ResNet-50", 1.32, "ssd-resnet50", 0, 32, 64, (_AMP, _NHWC)),
        ("BERT Q&A", 1.94, "bert_large", 384, 3, 6, (_AMP,)),
    ):
        slow = _rate(_training(_V100, network, full, (), length), full)
        for way in ways:
            fast = _rate(_training(_V100, network, mixed, way, length), mixed)
            note = f"batch {full} in fp32, {mixed} in mixed precision{', channels last' if way == _NHWC else ''}"
            found.append(Figure(table, name, said, over(fast, slow), note))
    absent = (("GNMT", 2.35), ("NCF", 1.81), ("U-Net industrial", 1.10), ("Tacotron2", 1.18), ("WaveGlow", 1.94))
    return [*found, *(Figure(table, name, said, None, "no such network here") for name, said in absent)]


def generations() -> list[Figure]:
    """ResNet-50 on a V100 over a P100."""
    table, found = "V100 over P100, ResNet-50", []
    old = _rate(_training(_P100, "resnet50", 64, ()), 64)
    for way, words in (((), "both in fp32"), (_AMP, "V100 in mixed precision"), (_NHWC, "the same, channels last")):
        new = _rate(_training(_V100, "resnet50", 64, way), 64)
        found.append(Figure(table, f"training, {words}", 2.4, over(new, old), "batch 64"))
    return [*found, Figure(table, "inference in 7 ms", 3.7, None, _in_7_ms())]


def days() -> list[Figure]:
    """Days of training on ImageNet on four M40."""
    machine = System("4 M40", device(_M40), count=4, link=link("PCIe 3.0 x16"))
    found = []
    for name, said in (("resnet18", 2.5), ("resnet50", 5.0), ("resnet101", 7.0), ("resnet152", 10.5)):
        alone = _training(_M40, name, 64, ())
        rows = layer_rows(load(name), 64)
        together = copies_of(Workload(phase="training", batch=64), alone, rows, machine)
        assert together is not None, "the link is known"
        predicted = times(together.step_s, EPOCHS * IMAGENET / together.batch / _DAY_S)
        found.append(Figure("days on four M40", name, said, predicted, f"{EPOCHS} epochs, batch 64 a card"))
    return found


def three_chips() -> list[Figure]:
    """Inferences a second in 10 ms over those of TPU v1."""
    half = device("Tesla K80").one_chip()
    rates = {
        "K80": max(_floor_rate(half, size, "fp32") for size in _BATCHES),
        "P40": max(_floor_rate(device("Tesla P40"), size, "int8") for size in _BATCHES),
    }
    tpu = max(_tpu_rate(size) for size in _BATCHES)
    note = "at most, by data sheets; MLP0 of the paper"
    said = {"K80": 1 / 13, "P40": 2.0}
    return [Figure("over TPU v1 in 10 ms", name, said[name], Interval(None, rate / tpu, None), note)
            for name, rate in rates.items()]  # fmt: skip


def over(fast: Interval, slow: Interval) -> Interval:
    """The ratio of two rates that err on their own.

    >>> over(Interval(8.0, 10.0, 12.0), Interval(4.0, 5.0, 8.0))
    Interval(low=1.0, mid=2.0, high=3.0, coverage=None)
    """
    ends = [None if a is None or not b else a / b for a, b in
            ((fast.low, slow.high), (fast.mid, slow.mid), (fast.high, slow.low))]  # fmt: skip
    return Interval(*ends)


def times(old: Interval, factor: float) -> Interval:
    """An interval in another unit."""
    return Interval(*(None if value is None else value * factor for value in (old.low, old.mid, old.high)))


def _training(card: str, network: str, batch: int, way: tuple[str, ...], length: int = 0) -> Interval:
    """Seconds of a step of training; with techniques in mixed precision, else in fp32."""
    workload = Workload(phase="training", batch=batch, precision="fp16" if way else "fp32", techniques=way)
    asked = replace(workload, phase="inference") if length else workload  # its operations hold the backward pass
    profile = chosen(device(_OLDEST if card == _M40 else card), asked)
    row = Row("", network, device(card), workload, length, 0.0)
    return priced(operations(row, profile), row.card, profile)


def _rate(step: Interval, batch: int) -> Interval:
    """Items a second."""
    return Interval(*(None if s is None else batch / s for s in (step.high, step.mid, step.low)))


def _in_7_ms() -> str:
    """Why nothing is predicted there."""
    profile = chosen(device(_P100), Workload())
    first = priced(zoo_kernels("resnet50", 1), device(_P100), profile).mid or 0.0
    return f"it is of TensorRT; eager calls take {first * 1e3:.1f} ms at batch 1 on the P100"


@cache
def _mlp0(batch: int) -> Sequence[Layer]:
    """Rows of the paper's MLP0, float32 bytes."""
    count, width = _MLP0
    moved = 4 * batch * width
    return [
        Layer(f"fc{i}", "Gemm", ((batch, width),), ((batch, width),), width * width, 2 * batch * width * width,
              4 * width * width + moved, moved, after=(f"fc{i - 1}",) if i else ())
        for i in range(count)
    ]  # fmt: skip


def _floor_rate(card: Device, batch: int, precision: str) -> float:
    _, step = roofline.floor(_mlp0(batch), card, Workload(batch=batch, precision=precision))
    assert step.low, "a floor is low"
    return batch / step.low if step.low <= 10e-3 else 0.0


def _tpu_rate(batch: int) -> float:
    rows = systolic.seconds(_mlp0(batch), device("TPU v1"), Workload(batch=batch, precision="int8"))
    step_s = sum(row.time_s for row in rows)
    return batch / step_s if step_s <= 10e-3 else 0.0
