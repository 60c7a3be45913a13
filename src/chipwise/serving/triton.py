"""A plan as a model of NVIDIA's Triton Inference Server: its ONNX graph, and a configuration that says how to run it.

Triton's ONNX Runtime backend runs the graph, whatever runtime the plan runs on: its OpenVINO backend answers batches
of the largest size only unless it pads them. The configuration has the threads, instances and batch sizes that were
measured, and is what `chipwise serve` says of the same plan, but for who runs it.

Source: Triton's "model repository" and "model configuration", and the README of its ONNX Runtime backend.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from google.protobuf import text_format  # type: ignore[import-untyped]
from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped]

from chipwise.compiler.plan_facts import check_engine, check_facts
from chipwise.compiler.trials import build
from chipwise.core.errors import PlanError
from chipwise.serving.batching import SIZES
from chipwise.serving.documents import configured
from chipwise.serving.grpc_messages import message
from chipwise.serving.joining import joinable
from chipwise.serving.model_facts import facts_of

if TYPE_CHECKING:
    from chipwise.core.network import TensorSpec
    from chipwise.core.plan import Choice, Plan
    from chipwise.core.task import Task

CONFIG, MODEL, LABELS = "config.pbtxt", "1/model.onnx", "labels.txt"
_BACKEND = {"platform": "onnxruntime_onnx", "backend": "onnxruntime"}
_CUSTOM = "python"  # the runtime of parts that are custom layers


def triton_config(plan: Plan, name: str) -> str:
    """The text of a model's config.pbtxt; the graph is built and tried here, as Triton's backend will.

    Args:
        plan: whose graph is to be run.
        name: of the model, and of its folder.

    Raises:
        PlanError: what it says of itself cannot be true, or it has custom layers. RuntimeUnavailableError: ONNX Runtime
            refuses the graph.
    """
    check_facts(plan)
    choice = plan.manifest.choice
    if any(part.runtime == _CUSTOM for part in choice.parts):
        raise PlanError("the plan has custom layers, which Triton knows nothing of")
    sizes = measured_sizes(plan)
    most = max((*SIZES, *sizes)) if _joined(plan) else 1
    document = configured(name, facts_of(plan), most, sizes if most > 1 else (), choice.streams) | _BACKEND
    for tensor in (*document["input"], *document["output"]):
        if not tensor["dims"]:  # Triton has no tensor without dimensions
            tensor |= {"dims": [1], "reshape": {}}
    for tensor, spec in zip(document["output"], plan.manifest.outputs, strict=True):
        if _labelled(spec, plan.manifest.task):
            tensor["label_filename"] = LABELS
    if choice.threads:
        threads = {"intra_op_thread_count": choice.threads, "inter_op_thread_count": 1}
        document["parameters"] = {key: {"string_value": str(value)} for key, value in threads.items()}
    return str(text_format.MessageToString(ParseDict(document, message("ModelConfig")())))


def triton_labels(plan: Plan) -> bytes:
    """The text of labels.txt, one class a line; empty where no output has the scores of classes with names."""
    task = plan.manifest.task
    if not any(_labelled(spec, task) for spec in plan.manifest.outputs):
        return b""
    return "".join(f"{' '.join(label.split())}\n" for label in task.labels).encode()


def measured_sizes(plan: Plan) -> tuple[int, ...]:
    """Batches that were measured when the plan was made, and took less time an item than every smaller one."""
    quickest: dict[int, float] = {}
    for each in plan.manifest.candidates:
        if each.timing is not None and not each.choice.source:
            size = each.choice.batch
            quickest[size] = min(each.timing.median_s, quickest.get(size, float("inf")))
    smaller, found = float("inf"), []
    for size, item_s in sorted(quickest.items()):
        if item_s < smaller:
            smaller = item_s
            found.append(size)
    return tuple(size for size in found if size > 1)


def _joined(plan: Plan) -> bool:
    engine = build(_in_onnxruntime(plan.manifest.choice), plan.model)
    try:
        check_engine(plan.manifest, engine)
        return joinable(plan, engine)
    finally:
        engine.close()


def _in_onnxruntime(choice: Choice) -> Choice:
    """The same graph as Triton's backend runs it: quantized layers in int8, the others in float32."""
    return replace(choice, runtime="onnxruntime", precision="int8" if choice.quantizer else "fp32", parts=(), streams=1)


def _labelled(spec: TensorSpec, task: Task) -> bool:
    """Whether an output has one value for each label."""
    return task.kind == "classification" and bool(task.labels) and spec.shape[-1:] == (len(task.labels),)
