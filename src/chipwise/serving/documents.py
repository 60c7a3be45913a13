"""What a server says of itself and of its models, as plain values: REST writes them as JSON, gRPC as messages.

Source: "Open Inference Protocol v2", and Triton's extensions "model configuration", "statistics" and "model
repository"; the names of fields are theirs.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import msgspec

from chipwise.serving.datatypes import BYTES, of_array
from chipwise.serving.model_facts import shape_of
from chipwise.serving.pictures import VERBS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.core.network import TensorSpec
    from chipwise.serving.model import Serving
    from chipwise.serving.model_facts import ModelFacts
    from chipwise.serving.shelf import Shelf
    from chipwise.serving.tally import Sum, Tally

EXTENSIONS = (
    "classification",
    "model_configuration",
    "statistics",
    "model_repository",
    "binary_tensor_data",
    "parameters",
)
_TYPES = {BYTES: "TYPE_STRING"}
_NANO = 1_000_000_000


def server_metadata() -> dict[str, Any]:
    """Name, version, and which extensions are spoken."""
    return {"name": "chipwise", "version": version("chipwise"), "extensions": list(EXTENSIONS)}


def model_metadata(serving: Serving) -> dict[str, Any]:
    """What a model takes and gives."""
    return {
        "name": serving.name,
        "versions": [serving.version],
        "platform": f"chipwise_{serving.facts.runtime}",
        "inputs": [_tensor(spec) for spec in serving.facts.inputs],
        "outputs": [_tensor(spec) for spec in serving.facts.outputs],
    }


def model_config(serving: Serving, workers: int) -> dict[str, Any]:
    """How a model is run here, in the words of Triton's configuration."""
    most = serving.most
    document = configured(serving.name, serving.facts, most, (most,) if most > 1 else (), workers)
    own = {"platform": f"chipwise_{serving.facts.runtime}", "backend": "chipwise"}
    parameters = {name: {"string_value": value} for name, value in _parameters(serving.facts).items()}
    return document | own | {"parameters": parameters}


def configured(name: str, facts: ModelFacts, most: int, preferred: Sequence[int], count: int) -> dict[str, Any]:
    """Triton's configuration of a model, whatever runs it.

    Where requests are joined, the batch is no dimension of the tensors; elsewhere `max_batch_size` is 0 and all
    dimensions are said.

    Args:
        name: of the model.
        facts: on it.
        most: items that may be joined; 1 where none are.
        preferred: sizes that are worth waiting for.
        count: calls at the same time.
    """
    joined = most > 1
    sizes = {"preferred_batch_size": list(preferred)} if preferred else {}
    return {
        "name": name,
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": most if joined else 0,
        "input": [_configured(spec, joined) for spec in facts.inputs],
        "output": [_configured(spec, joined) for spec in facts.outputs],
        "instance_group": [{"name": name, "kind": "KIND_CPU", "count": count}],
        **({"dynamic_batching": sizes} if joined else {}),
    }


def _parameters(facts: ModelFacts) -> dict[str, str]:
    """What Triton's configuration has no field for.

    "runs": what runs the model; "task"; "picture_route": what it can be asked to do with a picture; "labels": names of
    the classes in a segmenter's picture, as JSON.
    """
    said = {"runs": facts.title, "task": facts.kind}
    if facts.pictures and facts.kind in VERBS:
        said["picture_route"] = VERBS[facts.kind]
    if facts.kind == "segmentation" and facts.labels:
        said["labels"] = msgspec.json.encode(facts.labels).decode()
    return said


def _model_statistics(serving: Serving) -> dict[str, Any]:
    """What became of a model's requests; copying, both ways, stands under `compute_input`."""
    tally = serving.tally
    return {
        "name": serving.name,
        "version": serving.version,
        "last_inference": int(tally.last_s * 1000),
        "inference_count": tally.items,
        "execution_count": sum(copy.count for copy, _ in tally.calls.values()),
        "inference_stats": _durations(tally),
        "batch_stats": [
            {
                "batch_size": size,
                "compute_input": _duration(copy),
                "compute_infer": _duration(compute),
                "compute_output": {"count": copy.count, "ns": 0},
            }
            for size, (copy, compute) in sorted(tally.calls.items())
        ],
    }


def statistics(shelf: Shelf, model: str = "", version: str = "") -> dict[str, Any]:
    """What became of a model's requests, or of all models'.

    Raises:
        RequestError: there is no such model or version, or it is not open.
    """
    servings = [place.serving for _, place in sorted(shelf.places.items()) if place.serving is not None]
    asked = [shelf.find(model, version)] if model else servings
    return {"model_stats": [_model_statistics(each) for each in asked]}


def repository_index(shelf: Shelf, *, ready: bool = False) -> list[dict[str, Any]]:
    """Every model by name; with `ready` only those that answer."""
    lines = []
    for name, place in sorted(shelf.places.items()):
        serving = place.serving
        state = "READY" if serving is not None and not serving.broken else "UNAVAILABLE"
        if state == "READY" or not ready:
            known = {} if serving is None else {"version": serving.version}
            reason = serving.broken if serving is not None and serving.broken else place.reason
            lines.append({"name": name, **known, "state": state, "reason": reason})
    return lines


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": of_array(spec.dtype), "shape": shape_of(spec)}


def _configured(spec: TensorSpec, joined: bool) -> dict[str, Any]:
    datatype = of_array(spec.dtype)
    return {
        "name": spec.name,
        "data_type": _TYPES.get(datatype, f"TYPE_{datatype}"),
        "dims": shape_of(spec)[1:] if joined else shape_of(spec),
    }


def _durations(tally: Tally) -> dict[str, Any]:
    none = {"count": 0, "ns": 0}
    return {
        "success": _duration(tally.success),
        "fail": _duration(tally.fail),
        "queue": _duration(tally.queue),
        "compute_input": _duration(tally.copy),
        "compute_infer": _duration(tally.compute),
        "compute_output": {"count": tally.copy.count, "ns": 0},
        "cache_hit": none,
        "cache_miss": none,
    }


def _duration(total: Sum) -> dict[str, int]:
    return {"count": total.count, "ns": int(total.seconds * _NANO)}
