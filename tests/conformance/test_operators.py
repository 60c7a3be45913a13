"""Every operator in every runtime, with random attributes, against the reference evaluator."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import onnx
import pytest
from graphs import N, data
from onnx import TensorProto, helper
from operators import CASES, DEFINITIONS, USED, Case, model, single

from chipwise import runtimes
from chipwise.runtimes import Adapter, Engine, EngineOptions

# By runtime: what it cannot do, or does wrongly. Strict: an entry that passes fails, so that progress shows.
CANNOT: dict[str, dict[str, str]] = {
    "onnxruntime": {},
    "openvino": {
        "LRN": "2026.4 ignores the bias: it computes with 1",
        "ReduceL1": "2026.4 ignores axes that are an input (operator set 18) and reduces all",
        "ReduceLogSum": "as ReduceL1",
        "ReduceLogSumExp": "as ReduceL1",
    },
    "inductor": {
        "DequantizeLinear": "float graphs only",
        "QuantizeLinear": "float graphs only",
    },
}
DRAWS = 3


def build(adapter: Adapter, graph: bytes) -> Engine:
    """PyTorch's operators without compiling each, which takes seconds: the slow test below compiles all at once."""
    return adapter.build_eager(graph) if adapter.NAME == "inductor" else adapter.build(graph, EngineOptions())


def reference(graph: bytes, fed: list[np.ndarray]) -> list[np.ndarray]:
    return runtimes.load("reference").build_default(graph).run(fed)


def agree(results: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    for result, want in zip(results, wanted, strict=True):
        assert (result.shape, result.dtype) == (want.shape, want.dtype)
        np.testing.assert_allclose(result, want, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("op", CASES)
def test_operator(adapter: Adapter, op: str, request: pytest.FixtureRequest) -> None:
    if adapter.ORACLE:
        pytest.skip("it is what the others are compared with")
    reason = CANNOT.get(adapter.NAME, {}).get(op)
    if reason:
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    for seed in range(DRAWS):
        case = CASES[op](np.random.default_rng([seed, *op.encode()]))
        graph = single(op, case)
        wanted = [DEFINITIONS[op](case).astype(np.float32)] if op in DEFINITIONS else reference(graph, case.fed)
        engine = build(adapter, graph)
        agree(engine.run(case.fed), wanted)
        engine.close()


def test_constants_and_shapes_inside_a_graph(adapter: Adapter) -> None:
    """What exporters leave of a reshape: shape, gather, unsqueeze, concat, a filled tensor."""
    nodes = [
        N("Shape", ["x0"], ["shape"]),
        N("Constant", [], ["first"], value_ints=[0]),
        N("Gather", ["shape", "first"], ["batch"], axis=0),
        N("Constant", [], ["rest"], value=helper.make_tensor("rest", TensorProto.INT64, [1], [-1])),
        N("Concat", ["batch", "rest"], ["target"], axis=0),
        N("Reshape", ["x0", "target"], ["flat"]),
        N("ConstantOfShape", ["batch"], ["filled"], value=helper.make_tensor("v", TensorProto.FLOAT, [1], [2.0])),
        N("Unsqueeze", ["filled", "rest"], ["column"]),
        N("Mul", ["flat", "column"], ["y0"]),
    ]
    case = Case([data(3, 2, 5)])
    graph = model(nodes, case, {}, ["y0"])
    agree(build(adapter, graph).run(case.fed), [2 * case.fed[0].reshape(3, 10)])


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_branches(adapter: Adapter, sign: float) -> None:
    """An If whose branches read outer values and have constants of the same name."""
    element = helper.make_tensor_value_info("r", TensorProto.FLOAT, None)

    def branch(op: str, value: float) -> onnx.GraphProto:
        constant = helper.make_tensor("c", TensorProto.FLOAT, [], [value])
        return helper.make_graph([N(op, ["x0", "c"], ["r"])], op, [], [element], [constant])

    nodes = [
        N("ReduceSum", ["x0"], ["total"], keepdims=0),
        N("Greater", ["total", "zero"], ["up"]),
        N("If", ["up"], ["y0"], then_branch=branch("Add", 1.0), else_branch=branch("Mul", 3.0)),
    ]
    case = Case([sign * np.abs(data(2, 3)).astype(np.float32)])
    graph = model(nodes, case, {"zero": np.float32(0)}, ["y0"])
    wanted = case.fed[0] + 1 if sign > 0 else case.fed[0] * 3
    agree(build(adapter, graph).run(case.fed), [wanted])


def test_every_operator_in_use_has_a_case() -> None:
    elsewhere = {"Constant", "ConstantOfShape", "If"}  # below
    assert not USED - set(CASES) - elsewhere


@pytest.mark.runtime
def test_every_translated_operator_has_a_case() -> None:
    pytest.importorskip("torch")
    table = importlib.import_module("chipwise.runtimes.torch_operators").OPERATORS
    elsewhere = {"ConstantOfShape", "Range", "LogSoftmax of old", "Softmax of old"}
    assert not set(table) - set(CASES) - elsewhere


@pytest.mark.slow
@pytest.mark.runtime
def test_all_translated_operators_compiled_ahead_at_once() -> None:
    torch = pytest.importorskip("torch")
    inductor = runtimes.load("inductor")
    if inductor.obstacle():
        pytest.skip(inductor.obstacle())
    translate = importlib.import_module("chipwise.runtimes.onnx_to_torch").translate
    native = importlib.import_module("chipwise.runtimes.torch_native")
    cases = {op: make(np.random.default_rng([0, *op.encode()])) for op, make in CASES.items()}
    cases = {op: case for op, case in cases.items() if op not in CANNOT["inductor"]}
    parts = [translate(onnx.load_model_from_string(single(op, case))) for op, case in cases.items()]
    counts = [len(case.fed) for case in cases.values()]

    class All(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.parts = torch.nn.ModuleList(parts)

        def forward(self, *inputs: Any) -> tuple[Any, ...]:
            given = iter(inputs)
            return tuple(
                result
                for part, count in zip(self.parts, counts, strict=True)
                for result in part(*(next(given) for _ in range(count)))
            )

    tensors = [torch.from_numpy(np.array(array)) for case in cases.values() for array in case.fed]
    call = native.native(native.Wanted("all operators", "fp32", 1), All, tensors)
    results, wanted = call([*tensors]), All()(*tensors)
    for result, want in zip(results, wanted, strict=True):
        agree([result.contiguous().numpy()], [want.contiguous().numpy()])
