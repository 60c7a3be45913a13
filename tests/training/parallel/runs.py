"""A training in several processes that takes seconds, for tests; run as a script it is killed on the way.

python tests/training/parallel/runs.py FOLDER TWIST
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chipwise.core.events import Progress, silent
from chipwise.core.network import Network, Source, TensorSpec
from chipwise.core.report import Training
from chipwise.core.task import Preprocess, Task
from chipwise.core.training_memory import ChosenMesh
from chipwise.training import train as trainer
from chipwise.training.parallel.mesh import parse_mesh
from chipwise.training.parallel.on_mesh import Placement, epochs_on
from chipwise.training.seeds import seeded
from chipwise.training.settings import Settings
from training.parallel import nets
from training.tiny import pictures

SETTINGS = Settings(epochs=5, batch_size=16, learning_rate=0.01, threads=1, seed=5, augment="affine,mixup")
STEPS = 9  # an epoch: 144 training pictures in batches of 16
# Largest difference of a loss, which is of the order of 1, from that of one process: rounding of float32 in 45 steps.
TOLERANCE = 2e-5


def run(
    folder: Path,
    mesh: str = "",
    twist: str = "",
    *,
    net: str = "normed",
    settings: Settings = SETTINGS,
    progress: Progress = silent,
    before: Callable[[], None] | None = None,
    chosen: ChosenMesh | None = None,
    **placed: object,
) -> Training:
    """Train in one process, or on a mesh; `before` is called before each step of one process."""
    factory = f"training.parallel.nets:{net}"
    spec = TensorSpec("input", ("batch", 1, 8, 8))
    network = Network(
        net, (spec,), task=Task(preprocess=Preprocess(8, 8)), source=Source(factory), digest=net.ljust(64, "0")
    )
    with seeded(1):
        module = getattr(nets, net)()
    if before is not None:
        module.register_forward_pre_hook(lambda part, _: before() if part.training else None)
    ways: dict[str, Any] = {"mesh": chosen}
    if mesh:
        told = f"training.parallel.twists:{twist}" if twist else ""
        placement = Placement(parse_mesh(mesh), 2, twist=told, **placed)
        ways["epochs"] = epochs_on(placement, (factory, {}))
    return trainer.train(module, network, pictures(), settings, folder, progress, **ways)


def difference(one: Training, other: Training) -> float:
    """The largest of losses and accuracies, over all epochs."""
    assert len(one.history) == len(other.history)
    names = ("train_loss", "val_loss", "val_accuracy", "learning_rate")
    pairs = zip(one.history, other.history, strict=True)
    return max(abs(getattr(a, name) - getattr(b, name)) for a, b in pairs for name in names)


def short(epochs: int) -> Settings:
    return dataclasses.replace(SETTINGS, epochs=epochs)


if __name__ == "__main__":
    os.environ["TEST_PARENT"] = str(os.getpid())
    run(Path(sys.argv[1]), "dp2", sys.argv[2])
