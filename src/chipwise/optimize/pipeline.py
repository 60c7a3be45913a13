"""The whole optimization of a graph, named pass after named pass.

Each pass is a module with `LABEL` and `apply(model) -> str`, which changes the model it is given and says what it did,
or "" for nothing. Labels: "exact": every value is the same in exact arithmetic, in the same order of operations;
"close": the same in exact arithmetic; "lossy": an approximation, for a guard to judge. `PASSES` never make a network
slower; those in `OPTIONAL` sometimes do, and are kept where that was measured.

>>> [name_of(each) for each in PASSES][:3]
['freeze_initializers', 'drop_noops', 'fold_constants']
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import onnx_ir as ir
import onnx_ir.passes.common as ir_passes

from chipwise.core.errors import first_line, unknown_name
from chipwise.optimize import (
    collapse_branches,
    collapse_chains,
    drop_concats,
    drop_copies,
    drop_noops,
    drop_unused,
    factor_low_rank,
    flush_denormals,
    fold_batch_norm,
    fold_constants,
    fold_scales,
    freeze_initializers,
    fuse_activations,
    fuse_hard_sigmoid,
    merge_siblings,
    move_transposes,
    remove_dead_channels,
    share_equal,
    spell_out_activations,
    split_kernels,
    split_low_rank,
    trim_kernels,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

PASSES: tuple[ModuleType, ...] = (
    freeze_initializers,
    drop_noops,
    fold_constants,
    drop_copies,
    share_equal,  # before what needs a value to have one reader
    fuse_activations,  # a normalization over the last axis is to stay one
    move_transposes,  # before what folds along channels
    fold_batch_norm,
    fold_scales,
    flush_denormals,  # before channels that are zero are looked for
    remove_dead_channels,
    trim_kernels,  # before multiply-adds are compared, as are dead channels
    collapse_branches,
    collapse_chains,
    split_low_rank,  # after what makes one layer of several
    drop_unused,
)
# Kept only where they were measured to be faster, after the others and before what is unused is dropped.
OPTIONAL: tuple[ModuleType, ...] = (
    drop_concats,
    fuse_hard_sigmoid,
    merge_siblings,
    spell_out_activations,
    split_kernels,
)
# Approximations: run only by name, and kept only where a guard has judged them on data.
LOSSY: tuple[ModuleType, ...] = (factor_low_rank,)
ALL = (*PASSES, *OPTIONAL)
_STEPPED = "remove_dead_channels"  # the pass that leaves widths in steps


def name_of(each: ModuleType) -> str:
    """What a pass is called."""
    return each.__name__.rpartition(".")[2]


def optimize(
    model: ir.Model, also: Iterable[str] = (), without: Iterable[str] = (), step: int = 1
) -> tuple[ir.Model, tuple[str, ...]]:
    """Run passes over a copy of the model; a pass that fails is rolled back and the line says so.

    Args:
        model: is not changed.
        also: names of optional and lossy passes.
        without: names of passes to leave out.
        step: the widths that are left where channels are removed are multiples of this.

    Returns:
        the optimized copy, and one line for each pass that changed something or was rolled back. Outputs keep their
        names; inputs are the ones a caller must give.

    Raises:
        UnknownNameError: no such pass.
    """
    chosen = _chosen(set(also), set(without))
    with names_kept(model):
        return _applied(model, chosen, step)


@contextmanager
def names_kept(model: ir.Model) -> Iterator[None]:
    """Give tensors their names back in the end: copies share them, and onnx_ir renames them as it writes a copy."""
    tensors = [value.const_value for value in model.graph.initializers.values() if value.const_value is not None]
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        tensors += [each.as_tensor() for each in node.attributes.values() if each.type == ir.AttributeType.TENSOR]
    names = [tensor.name for tensor in tensors]
    try:
        yield
    finally:
        for tensor, name in zip(tensors, names, strict=True):
            tensor.name = name


def _applied(model: ir.Model, passes: Iterable[ModuleType], step: int) -> tuple[ir.Model, tuple[str, ...]]:
    done = []
    for each in passes:
        attempt = model.clone()
        try:
            report = each.apply(attempt, step) if name_of(each) == _STEPPED else each.apply(attempt)
            attempt.graph.sort()  # a new node may stand before what it reads
            attempt = attempt.clone() if report else attempt  # refuses what reads a node that is gone
        except (ValueError, RuntimeError) as error:  # what the graph library raises where a rewrite does not fit
            done.append(f"rolled back {name_of(each)}: {first_line(error)[:120]}")
            continue
        if [v.name for v in attempt.graph.outputs] != [v.name for v in model.graph.outputs]:
            # onnx_ir does so to an Identity between two outputs
            done.append(f"rolled back {name_of(each)}: it renamed an output")
            continue
        if report:
            ir_passes.ShapeInferencePass(check_type=False, strict_mode=False)(attempt)  # passes after it read shapes
            model = attempt
            done.append(f"{report} ({each.LABEL})")
    return model, tuple(done)


def _chosen(also: set[str], without: set[str]) -> list[ModuleType]:
    known = [name_of(each) for each in (*ALL, *LOSSY)]
    for name in sorted(also | without):
        if name not in known:
            raise unknown_name("pass", name, known)
    *first, last = PASSES
    chosen = [*first, *(each for each in (*OPTIONAL, *LOSSY) if name_of(each) in also), last]
    return [each for each in chosen if name_of(each) not in without]
