"""Layer rows of the zoo and traces of the same networks are priced alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chipwise.core.estimate import Workload
from chipwise.cost.estimate import timed_ops
from chipwise.cost.ops import operations
from chipwise.devices.known import device
from chipwise.devices.profiles import profile_for
from chipwise.networks.layers import layer_rows
from chipwise.networks.load import load
from published.timm import ops_at, read_traces
from published.timm_errors import TRACES

PAIRS = {
    "resnet18": "resnet18@224",
    "resnet50": "resnet50@224",
    "resnet152": "resnet152@224",
    "vgg16": "vgg16@224",
    "mobilenet-v2": "mobilenetv2_100@224",
    "densenet121": "densenet121@224",
    "inception-v3": "inception_v3@299",
    "inception-v4": "inception_v4@299",
    "inception-resnet-v2": "inception_resnet_v2@299",
}
WORKLOADS = (
    ("rtx3090", Workload(batch=64, precision="fp16", techniques=("amp",))),
    ("rtx4090", Workload(batch=64, precision="fp16", techniques=("amp",), compiled=True)),
    ("i9-10940x", Workload(batch=1, compiled=True)),
)


@pytest.fixture(scope="module")
def traces(shared_data: Path) -> dict[str, list[Any]]:
    path = shared_data.parent / "reference" / "timm" / TRACES
    if not path.is_file():
        pytest.skip("no traces beside this checkout")
    return read_traces(path)


@pytest.mark.shared
@pytest.mark.parametrize(("machine", "workload"), WORKLOADS, ids=["eager", "compiled", "cpu"])
@pytest.mark.parametrize(("name", "key"), PAIRS.items())
def test_rows_are_priced_as_traces(
    name: str, key: str, machine: str, workload: Workload, traces: dict[str, list[Any]]
) -> None:
    card = device(machine)
    profile, _ = profile_for(card, workload)
    assert profile is not None
    from_rows, _, _ = timed_ops(operations(layer_rows(load(name), workload.batch)), card, profile)
    from_trace, _, _ = timed_ops(ops_at(traces[key], workload.batch), card, profile)
    assert from_rows.mid == pytest.approx(from_trace.mid, rel=0.06)
