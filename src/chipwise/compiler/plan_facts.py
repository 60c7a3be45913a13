"""Whether what a plan says of itself can be true: found out before a vendor's library sees any of it.

Hashes detect damage. What they cannot see is a manifest that was written by other hands, or by a version with a bug:
numbers that no search would try, inputs that the graph has not, pictures of another size than its input.

>>> from chipwise.core.plan import Choice
>>> check_choice(Choice("onnxruntime", batch=0), nodes=3)
Traceback (most recent call last):
chipwise.core.errors.PlanError: the plan says batch 0; 1 to 4096 are possible
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chipwise.core.errors import InputError, PlanError, RuntimeUnavailableError
from chipwise.runtimes.formats import parse
from chipwise.tasks.preprocess import check_preprocess
from chipwise.tasks.task_text import with_limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.core.network import TensorSpec
    from chipwise.core.plan import Choice, Manifest, Plan
    from chipwise.runtimes.engine import Engine

# Far above what a search tries; an engine is prepared for its batch, which takes memory before anything runs.
_MOST = 4096
_LONGEST = 1 << 24  # values of a piece of a signal
_HINT = "compile it again with: chipwise compile"


def check_facts(plan: Plan) -> None:
    """Refuse a plan whose numbers are impossible, or whose sample or preprocessing do not fit its own inputs.

    Raises:
        PlanError: with what does not fit. NetworkError: its graph cannot be read.
    """
    facts = plan.manifest
    check_choice(facts.choice, nodes=len(parse(plan.model).graph.node))
    for specs, arrays in ((facts.inputs, plan.sample_inputs), (facts.outputs, plan.expected_outputs)):
        if len(specs) != len(arrays):
            raise PlanError(f"the plan has {len(arrays)} sample arrays for {_listed(specs)}", hint=_HINT)
    for spec, array in zip(facts.inputs, plan.sample_inputs, strict=True):
        if not spec.admits(array.shape) or array.dtype.name != spec.dtype or not array.dtype.isnative:
            form = f"{array.dtype} [{', '.join(map(str, array.shape))}]"
            raise PlanError(f"the plan's sample has {form} for input {spec.name!r}, {spec.form}", hint=_HINT)
    for array in plan.expected_outputs:  # what graphs declare of their outputs may be wrong
        if array.dtype.kind not in "biuf":
            raise PlanError(f"the plan's sample has an output of {array.dtype}, which are no numbers", hint=_HINT)
    _check_records(facts)
    _check_task(facts)


def check_choice(choice: Choice, *, nodes: int) -> None:
    """Refuse numbers that no machine has a use for.

    Args:
        choice: of a plan.
        nodes: of the plan's graph, which bound its parts.

    Raises:
        PlanError: with the number.
    """
    for name, value in (("batch", choice.batch), ("streams", choice.streams)):
        if not 1 <= value <= _MOST:
            raise PlanError(f"the plan says {name} {value}; 1 to {_MOST} are possible", hint=_HINT)
    if choice.threads < 0:
        raise PlanError(f"the plan says {choice.threads} threads; 0 is all, and fewer are not possible", hint=_HINT)
    if len(choice.parts) > nodes:
        raise PlanError(f"the plan says {len(choice.parts)} parts of a graph of {nodes} nodes", hint=_HINT)


def check_engine(facts: Manifest, engine: Engine) -> None:
    """Refuse a plan whose inputs and outputs are not those of its graph.

    Args:
        facts: what the plan says.
        engine: built from its graph.

    Raises:
        RuntimeUnavailableError: with both.
    """
    for kind, said, found in (("inputs", facts.inputs, engine.inputs), ("outputs", facts.outputs, engine.outputs)):
        if [(spec.name, spec.dtype) for spec in said] != [(spec.name, spec.dtype) for spec in found]:
            raise RuntimeUnavailableError(
                f"the plan says {kind} {_listed(said)}; the engine built here has {_listed(found)}", hint=_HINT
            )


def _listed(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"{spec.name!r} {spec.form}"[:200] for spec in specs[:4]) or "none"


def _check_records(facts: Manifest) -> None:
    """Times have a median, and accuracies are shares."""
    for each in facts.candidates:
        drop, timing = each.accuracy, each.timing
        if timing is not None and len(timing.quantiles_s) % 2 == 0:
            raise PlanError(f"the plan has {len(timing.quantiles_s)} quantiles of a time", hint=_HINT)
        if drop is not None and min(drop.source.count, drop.candidate.count) < 1:
            raise PlanError("the plan has an accuracy on no samples", hint=_HINT)


def _check_task(facts: Manifest) -> None:
    task, stream = facts.task, facts.task.stream
    if stream is not None and (min(stream.step - 1, stream.context) < 0 or stream.context + stream.step > _LONGEST):
        raise PlanError(f"the plan feeds pieces of {stream.step} with {stream.context} before them", hint=_HINT)
    if task.preprocess is not None and not facts.inputs:
        raise PlanError("the plan says how pictures become its input, and has none", hint=_HINT)
    try:
        if task.preprocess is not None:
            check_preprocess(task.preprocess, facts.inputs[0])
        if task.detection is not None:
            with_limits(task, task.detection.threshold, task.detection.overlap)
    except InputError as error:
        raise PlanError(f"the plan's task does not fit: {error.message}", hint=_HINT) from error
