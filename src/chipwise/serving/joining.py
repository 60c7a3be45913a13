"""Whether requests for a plan can be joined to a batch and split again: found out by trying."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from chipwise.compiler.oracle import relative_error
from chipwise.core.errors import RuntimeUnavailableError

if TYPE_CHECKING:
    from chipwise.core.plan import Plan
    from chipwise.runtimes.engine import Engine

_SAME = 1e-3  # that an answer may differ when another item is in the batch, relative to the largest value


def joinable(plan: Plan, engine: Engine) -> bool:
    """Whether an item's answer is its own, whatever else is in the batch: tried with the sample beside zeros.

    Args:
        plan: with its sample.
        engine: built from its graph.

    Raises:
        RuntimeUnavailableError: the engine refuses the sample itself.
    """
    facts = plan.manifest
    if not facts.inputs or not all(spec.dynamic_batch for spec in (*facts.inputs, *facts.outputs)):
        return False
    count = len(plan.sample_inputs[0])
    if any(len(each) != count for each in (*plan.sample_inputs, *plan.expected_outputs)):
        return False
    beside = [np.concatenate([each, np.zeros_like(each)]) for each in plan.sample_inputs]
    try:
        outputs = engine.run(beside)
    except RuntimeUnavailableError:
        return False
    if any(len(each) != 2 * count for each in outputs):
        return False
    return relative_error([each[:count] for each in outputs], engine.run(plan.sample_inputs)) <= _SAME
