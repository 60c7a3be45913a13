"""The layers that int8 breaks are found, named and kept in float, and no others."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from outliers import outlier_network, pictures
from test_quantizers import graph_of, matrices, reads_int8

from chipwise import runtimes
from chipwise.compiler import quantizers, sensitivity
from chipwise.compiler.sensitivity import Group, Mixed, noise, ranking
from chipwise.core.device import Machine
from chipwise.core.errors import RuntimeUnavailableError, UnknownNameError
from chipwise.runtimes.engine import EngineOptions

MACHINE = Machine(cpu="a", architecture="x86_64", isa=("avx2", "avx512_vnni"), cores=2, logical_cpus=2)
CALIBRATION, TUNING, GUARD = pictures(48, seed=1)[:, None], pictures(200, seed=2), pictures(200, seed=3)


def answers(model: bytes, x: np.ndarray, runtime: str = "onnxruntime") -> np.ndarray:
    return runtimes.load(runtime).build(model, EngineOptions(precision="int8")).run([x])[0]


def near(source: bytes, x: np.ndarray = TUNING, limit: float = 1e-3) -> Callable[[bytes], bool]:
    want = answers(source, x)
    return lambda model: noise([want], [answers(model, x)]) < limit


def search(model: bytes, accept: Callable[[bytes], bool], **options: object) -> Mixed:
    settings = {"quantizer": "onnxruntime", "samples": CALIBRATION, "budget_s": 60} | options
    return sensitivity.mixed(
        model, settings.pop("quantizer"), settings.pop("samples"), MACHINE, accept=accept, **settings
    )


@pytest.mark.parametrize(
    ("quantizer", "place"),
    [
        ("onnxruntime", 0),
        ("onnxruntime", 2),
        ("onnxruntime-s8s8", 2),
        pytest.param("nncf", 2, marks=pytest.mark.runtime),
    ],
)
def test_a_network_that_breaks_comes_back_mixed_with_the_layer_named(quantizer: str, place: int) -> None:
    pytest.importorskip(quantizers.QUANTIZERS[quantizer].library or "onnxruntime")
    model = outlier_network(1000.0, place)
    want = answers(model, GUARD)
    broken = quantizers.quantize(quantizer, model, CALIBRATION, MACHINE)
    assert noise([want], [answers(broken, GUARD)]) > 0.1
    found = search(model, near(model, limit=5e-3), quantizer=quantizer)
    # The outlier is what `place` writes and the next one reads; NNCF rounds only what is read.
    assert {f"conv{place + 1}"} <= set(found.kept) <= {f"conv{place}", f"conv{place + 1}"}
    assert f"conv{place + 1}" in found.why
    assert found.errors[f"conv{place + 1}"] > 0.01
    assert noise([want], [answers(found.model, GUARD)]) < 5e-3
    assert all(reads_int8(found.model, f"conv{number}") for number in range(5) if f"conv{number}" not in found.kept)


@pytest.mark.runtime
def test_a_mixed_graph_runs_on_openvino_too() -> None:
    pytest.importorskip("openvino")
    model = outlier_network(1000.0)
    found = search(model, near(model))
    assert noise([answers(model, GUARD)], [answers(found.model, GUARD, "openvino")]) < 1e-3


def test_nothing_is_kept_where_int8_is_good_enough() -> None:
    model = outlier_network(1.0)
    found = search(model, near(model))
    assert (found.kept, found.tried) == ((), 1)
    assert found.model == quantizers.quantize("onnxruntime", model, CALIBRATION, MACHINE)


def test_what_the_caller_keeps_is_kept() -> None:
    model = outlier_network(1000.0)
    found = search(model, near(model), keep=("fc",))
    assert found.kept[0] == "fc"
    assert {"conv2", "conv3"} <= set(found.kept)
    both = search(model, near(model), keep=("conv2", "conv3"))
    assert (both.kept, both.tried) == (("conv2", "conv3"), 1)


def test_nothing_good_enough_is_said() -> None:
    found = search(outlier_network(1000.0), lambda model: False)
    assert (found.model, found.kept) == (b"", ())
    assert found.why == "no mix of int8 and float was good enough"
    assert found.tried == 1 + 4  # all in int8, then 1, 2, 4 and 5 of 6 layers in float


def test_time_is_kept() -> None:
    cache = {}
    found = search(outlier_network(1000.0), lambda model: False, budget_s=0, cache=cache)
    assert "ranking" not in cache  # there was no time for it
    assert (found.model, found.tried) == (b"", 1)
    assert "time" in found.why


def test_a_search_goes_on_where_it_stopped_and_finds_the_same() -> None:
    model = outlier_network(1000.0)
    whole, cache = search(model, near(model)), {}
    judged = []

    def interrupted(graph: bytes) -> bool:
        judged.append(graph)
        if len(judged) == 3:
            raise KeyboardInterrupt
        return near(model)(graph)

    with pytest.raises(KeyboardInterrupt):
        search(model, interrupted, cache=cache)
    resumed = search(model, near(model), cache=cache)
    assert (resumed.model, resumed.kept, resumed.errors) == (whole.model, whole.kept, whole.errors)
    assert resumed.tried == whole.tried - 2
    again = search(model, lambda graph: pytest.fail("everything is known"), cache=cache)
    assert (again.model, again.tried) == (whole.model, 0)


def test_weights_alone_are_mixed_too() -> None:
    """A matrix of which one weight is huge: those that share its scale are lost, in 4 bits."""
    proto = onnx.load_model_from_string(matrices())
    weight = next(tensor for tensor in proto.graph.initializer if tensor.name == "w1")
    array = numpy_helper.to_array(weight).copy()
    array[::16] *= 100
    weight.CopyFrom(numpy_helper.from_array(array, "w1"))
    x = np.random.default_rng(1).normal(size=(32, 1, 96)).astype(np.float32)
    model = proto.SerializeToString()
    found = search(model, near(model, x[:, 0], 4e-3), quantizer="weights-int4", samples=x)
    assert len(found.kept) == 1
    assert sum(node.op_type == "MatMulNBits" for node in graph_of(found.model).node) == 1


def test_layers_are_ranked_by_what_they_do_to_the_answers() -> None:
    model = outlier_network(100.0, 1, seed=4)
    prepared = quantizers.prepare("onnxruntime", model, CALIBRATION, MACHINE)
    want = answers(model, TUNING)
    names = [f"conv{number}" for number in range(5)] + ["fc"]
    groups = ranking(prepared, lambda graph: [answers(graph, TUNING)], [want], names)
    assert {group.names[0] for group in groups[:2]} == {"conv1", "conv2"}
    for group in (groups[0], groups[-1]):
        others = [name for name in names if name not in group.names]
        assert group.error == noise([want], [answers(prepared(others), TUNING)])
    left = {name: noise([want], [answers(prepared((name,)), TUNING)]) for name in ("conv2", "conv4", "fc")}
    assert min(left, key=left.__getitem__) == "conv2"  # left out of a graph that is quantized otherwise


def test_many_layers_are_ranked_in_groups_of_neighbours() -> None:
    names = [f"layer{number}" for number in range(150)]
    asked = []

    def quantize(keep: Collection[str]) -> bytes:
        asked.append([name for name in names if name not in keep])
        return b""

    groups = ranking(quantize, lambda graph: [np.ones(1)], [np.ones(1)], names)
    assert len(groups) == len(asked) == 50
    assert asked[1] == ["layer3", "layer4", "layer5"]


def test_what_a_quantizer_cannot_do_counts_as_no_error_and_late_groups_are_last() -> None:
    def quantize(keep: Collection[str]) -> bytes:
        if "b" not in keep:
            raise RuntimeUnavailableError("nothing left")
        return b""

    groups = ranking(quantize, lambda graph: [np.zeros(1)], [np.ones(1)], ["a", "b"])
    assert groups == (Group(("a",), 1.0), Group(("b",), 0.0))
    assert ranking(quantize, lambda graph: [], [], ["a"], deadline_s=-math.inf) == (Group(("a",), 0.0),)


def test_outputs_that_are_no_numbers_are_the_most_sensitive() -> None:
    def run(graph: bytes) -> list[np.ndarray]:
        return [np.array([np.nan if b"b" in graph else 1.5])]

    groups = ranking(lambda keep: ",".join({"a", "b", "c"} - {*keep}).encode(), run, [np.ones(1)], ["a", "b", "c"])
    assert groups[0] == Group(("b",), math.inf)
    assert {group.error for group in groups[1:]} == {0.25}


def test_noise() -> None:
    assert noise([np.array([3.0, 4.0]), np.array([1])], [np.array([3.0, 4.0]), np.array([2])]) == 0.5
    assert noise([np.zeros(2)], [np.array([0.0, 2.0])]) == 4
    assert noise([np.ones(2)], [np.array([np.nan, 1])]) == math.inf


def test_refusals() -> None:
    model = outlier_network(1.0)
    with pytest.raises(UnknownNameError, match="conv9"):
        search(model, lambda graph: True, keep=("conv9",))
    with pytest.raises(RuntimeUnavailableError, match="refuses"):
        search(model, lambda graph: True, samples=np.zeros((4, 1, 1, 8, 8), np.float32))
    with pytest.raises(RuntimeUnavailableError, match="calibration"):
        search(model, lambda graph: True, samples=None)
