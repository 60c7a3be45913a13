"""The network that a plan holds: its portable graph, as it was optimized.

>>> load(Path("none.plan"))
Traceback (most recent call last):
    ...
chipwise.core.errors.PlanError: cannot read plan none.plan: No such file or directory
"""

from __future__ import annotations

from pathlib import Path

from chipwise.codec.plan_file import read_plan
from chipwise.core.network import Network
from chipwise.networks.onnx_file import from_bytes


def load(path: Path) -> Network:
    """Read a plan's graph and task.

    Raises:
        PlanError: when it is no plan, or damaged. NetworkError: when its graph cannot be read.
    """
    plan = read_plan(path)
    return from_bytes(plan.model, path.stem, task=plan.manifest.task, origin=str(path), title=f"the graph in {path}")
