"""The whole optimization of a graph, named pass after named pass.

Each pass is a module with `LABEL` ("exact": equal in exact arithmetic and in order of operations; "close": equal up to
rounding) and `apply(model) -> str`, which changes the model it is given and says what it did, or "" for nothing.

>>> from chipwise.optimize.pipeline import PASSES
>>> [each.__name__.rpartition(".")[2] for each in PASSES]
['freeze_initializers', 'drop_noops', 'fold_constants', 'fold_batch_norm', 'fold_scales', 'drop_unused']
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chipwise.core.errors import first_line
from chipwise.optimize import drop_noops, drop_unused, fold_batch_norm, fold_constants, fold_scales, freeze_initializers

if TYPE_CHECKING:
    import onnx_ir as ir

PASSES = (freeze_initializers, drop_noops, fold_constants, fold_batch_norm, fold_scales, drop_unused)


def optimize(model: ir.Model) -> tuple[ir.Model, tuple[str, ...]]:
    """Run every pass over a copy of the model; a pass that fails is rolled back and the line says so.

    Returns:
        the optimized copy, and one line for each pass that changed something or was rolled back. Outputs keep their
        names; inputs are the ones a caller must give.
    """
    done = []
    for each in PASSES:
        attempt = model.clone()
        try:
            report = each.apply(attempt)
        except (ValueError, RuntimeError) as error:  # what the graph library raises where a rewrite does not fit
            done.append(f"rolled back {each.__name__.rpartition('.')[2]}: {first_line(error)[:120]}")
            continue
        if [v.name for v in attempt.graph.outputs] != [v.name for v in model.graph.outputs]:
            # onnx_ir does so to an Identity between two outputs
            done.append(f"rolled back {each.__name__.rpartition('.')[2]}: it renamed an output")
            continue
        if report:
            model = attempt
            done.append(f"{report} ({each.LABEL})")
    return model, tuple(done)
