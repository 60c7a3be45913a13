"""Made-up answers of `train --explain`: without a limit, within one, and where nothing fits; golden text shows them."""

from __future__ import annotations

from dataclasses import replace

from chipwise.core.training_memory import (
    LayerMemory,
    MeasuredMemory,
    ProcessMemory,
    RankMemory,
    Savings,
    TrainingFit,
    TrainingMemory,
    Way,
)

from . import samples

PLAIN = TrainingMemory(
    process=377_000_000, data=138_000_000, weights=44_800_000, best=44_800_000, optimizer=89_600_000,
    gradients=36_000_000, saved=674_000_000, activations=19_300_000, workspace=12_800_000, holes=380_000_000,
    moment="back through layer3.1.conv2", high=2_100_000_000,
)  # fmt: skip
SMALL = replace(
    PLAIN, gradients=44_700_000, saved=108_000_000, copies=21_600_000, activations=11_900_000, workspace=4_700_000,
    holes=96_000_000, moment="back through layer4.1.conv2", high=1_150_000_000,
)  # fmt: skip
SAVINGS = Savings(16, "bf16", (("layer1.0",), ("layer1.1",), ("features.0", "features.1")), False, 31)
LAYERS = (
    LayerMemory("bn1", "BatchNormalization", 512, 205_520_896),
    LayerMemory("layer1.0.bn1", "BatchNormalization", 512, 77_070_336),
    LayerMemory("fc", "Gemm", 2_052_000, 65_536),
)


def plain() -> TrainingFit:
    """Without a limit."""
    notes = (
        "The optimizer's state stays in this machine's memory; processes can share it: --mesh zero1, zero2, fsdp.",
    )
    way = Way(Savings(32), PLAIN, PLAIN, 1.0)
    return TrainingFit("resnet18", "folder:pictures/", 32, "adamw", way, LAYERS, others=49, notes=notes)


def chosen() -> TrainingFit:
    """Within a limit."""
    return replace(plain(), limit_bytes=1_200_000_000, chosen=Way(SAVINGS, SMALL, SMALL, 0.58))


def nothing_fits() -> TrainingFit:
    """A limit that is too small."""
    step = replace(SMALL, holes=0, high=870_000_000)
    most = replace(step, gradients=0, saved=0, copies=0, workspace=200_000_000, moment="evaluation of 31 samples")
    least = Way(replace(SAVINGS, micro_batch=2, returned=True), step, most, 0.76)
    return replace(plain(), limit_bytes=500_000_000, smallest=least)


def on_mesh() -> TrainingFit:
    """Two stages and the process that starts them; and what was chosen, with activations on disk."""
    stages = tuple(
        ProcessMemory(f"stage {number} of 2", step, step)
        for number, step in ((1, replace(PLAIN, messages=12_000_000)), (2, SMALL))
    )
    starter = replace(SMALL, optimizer=0, gradients=0, saved=0, moment="writing the kept weights")
    processes = (*stages, ProcessMemory("starter", starter, starter))
    way = Way(Savings(32), PLAIN, PLAIN, 1.21, "pp2", processes)
    disk = Way(replace(SAVINGS, again=(), swapped=(("layer1.0",),), returned=True), SMALL, SMALL, 1.5)
    return replace(plain(), plain=way, limit_bytes=1_200_000_000, chosen=disk)


def trained_on_mesh() -> object:
    """A run of several processes that had a limit."""
    ranks = (RankMemory(0, "zero20", 300_000_000, 900_000_000), RankMemory(1, "zero21", 300_000_000, 1_000_000_000))
    memory = MeasuredMemory(1_024_000_000, 1_000_000_000, 1_200_000_000, (), 2.1, "zero22", ranks)
    return replace(samples.training(6), memory=memory)


def trained() -> object:
    """A run that had a limit."""
    memory = MeasuredMemory(1_024_000_000, 1_000_000_000, 1_200_000_000, SAVINGS.words(32), 0.58)
    return replace(samples.training(6), memory=memory)


RECORDS = {
    "train_memory": plain, "train_memory_chosen": chosen, "train_memory_too_small": nothing_fits,
    "training_limited": trained, "train_memory_mesh": on_mesh, "training_mesh": trained_on_mesh,
}  # fmt: skip
