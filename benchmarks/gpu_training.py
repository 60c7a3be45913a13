"""What a graphics processor does for training: ResNet-50's images a second in each format, and from which size it pays.

    python benchmarks/gpu_training.py --output results/h200_gpu_training.json
    python benchmarks/gpu_training.py --device cpu --batch 2 --steps 1 --side 32 --widths 8 16 --ways fp32 bf16

The second line is the processor's half, at the smallest size.

ResNet-50 learns random pictures that lie on the device, with SGD and momentum, by the training loop of `chipwise train`
itself (`run_epoch`): fp32, then tf32, bf16, bf16 with channels_last, and that compiled, one after another; those that
the device has not are left out, with the reason. Each takes a stretch of steps that is thrown away, then three, of
which the middle one counts; the device has done all its work before the clock is read. The published yardstick is
NVIDIA's own ResNet-50 v1.5 for PyTorch: 938 images a second in tf32 and 2,470 in mixed precision, on one A100 of 80 GB
(NVIDIA DeepLearningExamples, PyTorch/Classification/ConvNets/resnet50v1.5/README.md, "Training performance: NVIDIA DGX
A100", container 21.03), reading pictures included.

A multi-layer perceptron of three layers (784, w, w, 10) on pictures of MNIST's size, batch 128, is timed in fp32 on the
processor and on the device for widths w: below some number of trainable parameters starting operators on the device
takes longer than computing on the processor. Where the two lines cross is interpolated between widths, in logarithms.

The last line on stdout is one JSON document. Exit code 3 where there is no graphics processor and none was left out.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from chipwise.core.errors import ChipwiseError
from chipwise.networks.load import load
from chipwise.networks.torch_source import build_module
from chipwise.training.compiled import compiled
from chipwise.training.feed import Feed, as_fed
from chipwise.training.loop import Lesson, run_epoch
from chipwise.training.optimizer import build_optimizer
from chipwise.training.place import CPU, called, check_format, current, place_of
from chipwise.training.precision import scaler_of
from chipwise.training.process import memory_kept
from chipwise.training.settings import Settings
from chipwise.training.watch import watch_of
from document import command_line, give, here

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

PLAIN = Settings(epochs=1, optimizer="sgd", learning_rate=1e-3, schedule="constant", augment="none")
WAYS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "tf32": {"precision": "tf32"},
    "bf16": {"precision": "bf16"},
    "bf16, channels_last": {"precision": "bf16", "channels_last": True},
    "bf16, channels_last, compile": {"precision": "bf16", "channels_last": True, "compiled": True},
}
STRETCHES, CLASSES = 3, 10


@dataclass(frozen=True)
class Pace:
    """Steps of a stretch, and the samples of each."""

    batch: int
    steps: int


def main() -> int:
    """Measure; 3 without a graphics processor."""
    parser = command_line(__doc__)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu for the processor's half")
    parser.add_argument("--batch", type=int, default=256, help="ResNet-50's pictures a step")
    parser.add_argument("--steps", type=int, default=20, help="of a stretch")
    parser.add_argument("--side", type=int, default=224, help="of ResNet-50's pictures")
    parser.add_argument("--ways", nargs="+", choices=tuple(WAYS), default=tuple(WAYS), help="of ResNet-50")
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32, 64, 128, 256, 512, 1024, 2048, 4096])
    options = parser.parse_args()
    try:
        device = place_of(options.device)
    except ChipwiseError as error:
        print(f"{error.message}: the processor's half is --device cpu", file=sys.stderr)
        return 3
    with memory_kept(), current(device):
        ways, sizes = resnet(device, options), mlps(device, options)
    crossing = None if device == CPU else crossover([(row["parameters"], row["speedup"]) for row in sizes])
    found = {"device": called(device), "batch": options.batch, "side": options.side, "resnet50": ways}
    give("gpu_training", {**here(), **found, "mlp": sizes, "crossover_parameters": crossing}, options.output)
    return 0


def resnet(device: torch.device, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Images a second of each way, or why it was left out."""
    pace = Pace(options.batch, options.steps)
    network = load("resnet50")
    assert network.source is not None
    rows: dict[str, dict[str, Any]] = {}
    for name in options.ways:
        settings = replace(PLAIN, batch_size=pace.batch, **WAYS[name])
        try:
            check_format(settings.precision, device)
            seconds = timed(build_module(network.source), (3, options.side, options.side), settings, device, pace)
        except (ChipwiseError, torch.OutOfMemoryError) as error:
            rows[name] = {"left_out": str(error).splitlines()[0]}
        else:
            rows[name] = {"images_s": pace.batch * pace.steps / seconds, "step_s": seconds / pace.steps}
        print(name, rows[name], file=sys.stderr, flush=True)
    return rows


def mlps(device: torch.device, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Steps of perceptrons of several widths, on the processor and on the device."""
    settings, pace = replace(PLAIN, batch_size=128), Pace(128, options.steps)
    rows = []
    for width in options.widths:
        step_s = {}
        for each in dict.fromkeys((CPU, device)):
            module = nn.Sequential(
                nn.Flatten(), nn.Linear(784, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)
            )
            step_s[str(each)] = timed(module, (1, 28, 28), settings, each, pace) / pace.steps
        parameters = 784 * width + width + width * width + width + 10 * width + 10
        row = {"width": width, "parameters": parameters, "step_s": step_s}
        row["speedup"] = step_s["cpu"] / step_s[str(device)]
        print(row, file=sys.stderr, flush=True)
        rows.append(row)
    return rows


def timed(module: nn.Module, shape: Sequence[int], settings: Settings, device: torch.device, pace: Pace) -> float:
    """Seconds of a stretch of training steps, the middle one of some, after one that is thrown away.

    Raises:
        MachineError: it cannot be compiled.
    """
    inputs = torch.randn(pace.batch, *shape, device=device).repeat(pace.steps, *(1 for _ in shape))
    if settings.channels_last:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    built = as_fed(module.to(device), channels_last=settings.channels_last)
    optimizer = build_optimizer(built, settings)
    lesson = Lesson(
        built,
        optimizer,
        Feed(inputs, torch.arange(len(inputs)) % CLASSES),
        settings,
        compiled=compiled(built, device) if settings.compiled else None,
        scaler=scaler_of(settings.precision, device),
        watch=watch_of(optimizer, settings, device),
    )
    seconds = [run_epoch(lesson, 1, lambda _step, _loss: None).seconds for _ in range(1 + STRETCHES)]
    return median(seconds[1:])


def crossover(sizes: Sequence[tuple[int, float]]) -> float | None:
    """Parameters at which the device is as fast as the processor: None where one is faster throughout.

    Args:
        sizes: parameters, and the device's speed-up over the processor, by size.

    >>> crossover([(10, 0.5), (1000, 2.0)])
    100.0
    """
    for (small, below), (large, above) in pairwise(sizes):
        if below < 1 <= above:
            share = -math.log(below) / (math.log(above) - math.log(below))
            return round(math.exp(math.log(small) + share * (math.log(large) - math.log(small))), 6)
    return None


if __name__ == "__main__":
    sys.exit(main())
