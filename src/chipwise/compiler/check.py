"""Check a plan against its source network on the same held-out samples, pair by pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir

from chipwise.compiler.load import open_plan
from chipwise.compiler.parts import build_default
from chipwise.compiler.pixels import check_pictures, for_source
from chipwise.compiler.subject import class_scores, predicted_classes, require_classes
from chipwise.core.errors import DataError
from chipwise.core.network import Network
from chipwise.core.report import CheckResult, Mistake
from chipwise.datasets.feed import inputs_for
from chipwise.tasks.classify import probabilities
from chipwise.tasks.metrics import confusion, paired_drop

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chipwise.core.device import Machine
    from chipwise.core.plan import Plan
    from chipwise.datasets.dataset import Dataset

_WORST = 24


def check_plan(
    plan: Plan, name: str, source: bytes, data: Dataset, machine: Machine, *, max_drop: float | None
) -> CheckResult:
    """Compare accuracies on the test split, which neither training nor compile has touched.

    Where the plan takes pictures as uint8, the source is given the same pictures as its own preprocessing makes them.

    Args:
        plan: an opened plan file.
        name: what to call it in the answer.
        source: serialized source graph.
        data: labelled samples; its test split is used.
        machine: this machine.
        max_drop: limit for the upper bound of the drop; None takes the plan's own, or 1%.

    Raises:
        DataError: the data does not fit, or has no test samples. InputError: the network gives no classes.
        RuntimeUnavailableError: the plan cannot run here.
    """
    require_classes(plan.manifest.task, name)
    test = data.split().test
    if not len(test.labels):
        raise DataError(f"{data.name} has no test samples")
    task, seen = plan.manifest.task, plan.manifest.source.preprocess
    if seen is not None:
        check_pictures(test)
    inputs = inputs_for(test, as_network(plan))
    engine, before = open_plan(plan, machine), build_default("onnxruntime", source)
    (given,) = for_source([inputs], task.preprocess, seen, before.inputs[0].dtype)
    right = predicted_classes(before, given) == test.labels
    scores = class_scores(engine, inputs)
    predicted = scores.argmax(axis=1)
    limit = max_drop if max_drop is not None else plan.manifest.max_drop
    limit = 0.01 if limit is None else limit
    drop = paired_drop(right, predicted == test.labels, limit)
    ok = drop.upper <= limit or (drop.lost == 0 and plan.manifest.label != "lossy")
    return CheckResult(
        plan=name,
        data=data.name,
        split="test",
        drop=drop,
        limit=limit,
        ok=ok,
        reason=_reason(drop.upper, limit, drop.lost, drop.needed, plan.manifest.label),
        class_names=test.class_names,
        confusion=confusion(test.labels, predicted, len(test.class_names)),
        mistakes=_mistakes(scores, test.labels, test.class_names),
    )


def as_network(plan: Plan) -> Network:
    """The plan as a network, for preparing inputs the way it wants them."""
    facts = plan.manifest
    model = onnx_ir.serde.deserialize_model(onnx.load_model_from_string(plan.model))
    return Network(facts.source.name, facts.inputs, facts.outputs, facts.task, graph=model)


def _reason(upper: float, limit: float, lost: int, needed: int, label: str) -> str:
    if upper <= limit:
        return f"with 95% confidence the accuracy dropped by at most {upper:.2%}, within {limit:.2%}"
    if lost == 0 and label != "lossy":
        return f"the plan is {label} and lost no sample; {needed} samples would prove {limit:.2%} by counting alone"
    more = f"; with {needed} samples and none lost it would be shown" if needed else ""
    return f"the accuracy may have dropped by up to {upper:.2%} (95% bound), more than {limit:.2%}{more}"


def _mistakes(scores: NDArray[np.generic], labels: NDArray[np.int64], names: tuple[str, ...]) -> tuple[Mistake, ...]:
    """Wrong answers, the most confident first."""
    chances = probabilities(scores)
    predicted = chances.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    confident = chances[wrong, predicted[wrong]]
    return tuple(
        Mistake(int(i), names[int(labels[i])], names[int(predicted[i])], float(chances[i, predicted[i]]))
        for i in wrong[np.argsort(-confident, kind="stable")][:_WORST]
    )
