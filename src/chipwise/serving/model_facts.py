"""What is known of a plan that it is served by: all that the server knows of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from chipwise.core.network import TensorSpec
from chipwise.serving.datatypes import of_array
from chipwise.serving.request_error import RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from chipwise.core.plan import Plan
    from chipwise.serving.request import InferRequest

_HALF = (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))  # every one of their values is one of float32


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model.

    Attributes:
        inputs, outputs: what it takes and gives.
        kind: of its task, as "classification"; labels: its class names.
        pictures: whether it takes pictures, prepared as the plan says.
        runtime, title: what runs it.
        batches: (items, seconds a call) as measured by the worker; empty where requests cannot be joined.
        item_s: seconds an item took when the plan was made, 0 where that is not known; item_values: its inputs' values.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    kind: str
    labels: tuple[str, ...]
    pictures: bool
    runtime: str
    title: str
    batches: tuple[tuple[int, float], ...] = ()
    item_s: float = 0.0
    item_values: int = 1

    def items(self, arrays: Sequence[NDArray[Any]]) -> float:
        """Items of a call by how many values they have: one that is larger than those measured counts as several."""
        return max(sum(array.size for array in arrays) / self.item_values, 1.0)


def facts_of(plan: Plan, batches: tuple[tuple[int, float], ...] = ()) -> ModelFacts:
    """What a plan says of itself, with the batches that were measured."""
    facts = plan.manifest
    return ModelFacts(
        inputs=facts.inputs,
        outputs=facts.outputs,
        kind=facts.task.kind,
        labels=facts.task.labels,
        pictures=facts.task.preprocess is not None and facts.task.stream is None and len(facts.inputs) == 1,
        runtime=facts.choice.runtime,
        title=facts.choice.title,
        batches=batches,
        item_s=next(
            (each.timing.median_s for each in facts.candidates if each.status == "chosen" and each.timing), 0.0
        ),
        item_values=max(sum(array.size for array in plan.sample_inputs), 1),
    )


def fitted(request: InferRequest, facts: ModelFacts) -> tuple[NDArray[Any], ...]:
    """The request's tensors in the model's order; FP16 and BF16 are widened for a model that takes FP32.

    Raises:
        RequestError: one is missing, unknown, or has another type or shape than the model takes.
    """
    names = [spec.name for spec in facts.inputs]
    unknown = [name for name in request.inputs if name not in names]
    if unknown or len(request.inputs) != len(names):
        received = ", ".join(name[:40] for name in list(request.inputs)[:20]) or "none"
        raise RequestError(f"the model's inputs are {', '.join(names) or 'none'}; received {received}")
    known = {spec.name for spec in facts.outputs}
    absent = next((each.name for each in request.outputs if each.name not in known), None)
    if absent is not None:  # before anything runs
        raise RequestError(f"there is no output '{absent[:100]}'; the outputs are {', '.join(known)}")
    return tuple(_fitted(request.inputs[spec.name], spec) for spec in facts.inputs)


def _fitted(array: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    wanted = np.dtype(spec.dtype)
    if wanted == np.float32 and array.dtype in _HALF:
        array = array.astype(np.float32)
    if array.dtype != wanted or not spec.admits(array.shape):
        received = f"{of_array(array.dtype)} {list(array.shape)}"
        raise RequestError(f"input '{spec.name}' takes {of_array(spec.dtype)} {shape_of(spec)}; received {received}")
    if 0 in array.shape:
        raise RequestError(f"input '{spec.name}' is empty: received shape {list(array.shape)}")
    return array


def shape_of(spec: TensorSpec) -> list[int]:
    """A shape as the protocol writes it: -1 for a free dimension."""
    return [dim if isinstance(dim, int) else -1 for dim in spec.shape]
