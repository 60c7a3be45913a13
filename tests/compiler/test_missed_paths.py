"""Every rule: a plan in which it finds something, and the nearest one in which it must not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import onnx_ir as ir
import pytest

from chipwise.compiler import missed_paths as rules
from chipwise.compiler.missed_paths import Facts, missed_paths
from chipwise.core.device import Machine
from chipwise.core.measure import Accuracy, PairedDrop
from chipwise.core.network import TensorSpec
from chipwise.core.plan import PLAN_SCHEMA, Candidate, Choice, Manifest, SourceFacts
from chipwise.core.plan_sheet import MissedPath, PlanSheet, SheetLayer
from chipwise.core.task import Task

VNNI = Machine("Chip", "x86_64", ("avx512_vnni", "avx512f"), cores=2, logical_cpus=2)
FLOAT = Choice("onnxruntime")
EMPTY = "[n] y = Neg(x)"


def graph(nodes: str, weights: dict[str, np.ndarray] | None = None, shape: str = "1, 4, 8, 8") -> ir.Model:
    text = f'<ir_version: 8, opset_import: ["": 17]> g (float[{shape}] x) => (float[] y) {{ {nodes} }}'
    proto = onnx.parser.parse_model(text)
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(a, name) for name, a in (weights or {}).items())
    return ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(proto))


def layer(name: str, op: str = "Conv", form: str = "fp32", time_s: float | None = 1e-3, **more: Any) -> SheetLayer:
    return SheetLayer(name, op, form, 1e6, 1e4, time_s=time_s, **more)


def facts(
    model: ir.Model | None = None,
    layers: tuple[SheetLayer, ...] = (layer("n"),),
    *,
    choice: Choice = FLOAT,
    machine: Machine = VNNI,
    sheet: dict[str, Any] | None = None,
    **manifest: Any,
) -> Facts:
    given = Manifest(
        PLAN_SCHEMA, SourceFacts("net", "net", "", 1, 1, 1), Task(), (TensorSpec("x", ("batch", 4, 8, 8)),),
        (TensorSpec("y", ("batch", 4)),), "latency", 0.01, 0, choice, "", None, "close", (), (), machine, {}, "",
    )  # fmt: skip
    work = {each.format: 1e6 for each in layers}
    made = PlanSheet("x.plan", replace(given, **manifest), layers, work, **({"beside_s": 0.0} | (sheet or {})))
    return Facts(made, model or graph(EMPTY))


def found(rule: Any, given: Facts) -> list[MissedPath]:
    return list(rule(given))


def weights(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def test_layers_of_an_int8_plan_left_in_float_are_named() -> None:
    layers = (layer("a", form="int8"), layer("b", time_s=3e-3), layer("c", "Gemm"), layer("p", "MaxPool"))
    given = facts(layers=layers, choice=Choice("onnxruntime", "int8", quantizer="nncf", kept=("b",)))
    kept, other = found(rules.layers_in_float, given)
    assert (kept.layers, kept.share, other.layers) == (("b",), 0.5, ("c",))
    assert not found(rules.layers_in_float, facts(layers=layers))  # a float plan
    assert not found(rules.layers_in_float, facts(layers=layers[:1], choice=given.sheet.manifest.choice))


def test_why_there_is_no_int8() -> None:
    (untried,) = found(rules.no_int8, facts(max_drop=None))
    assert "--data" in untried.todo
    share = Accuracy(90, 100, 0.8, 0.95)
    drop = PairedDrop(share, share, 0, 0, 0.0, 0.05, needed=1500)
    lost = Candidate(Choice("openvino", "int8", quantizer="nncf"), "rejected", "", accuracy=drop)
    (rejected,) = found(rules.no_int8, facts(candidates=(lost,)))
    assert "1,500 samples" in rejected.todo
    assert not found(rules.no_int8, facts(candidates=(lost, replace(lost, status="slower"))))
    assert not found(rules.no_int8, facts(layers=(layer("a", form="int8"),), max_drop=None))


def test_formats_that_the_processor_lacks() -> None:
    (none,) = found(rules.absent_formats, facts(machine=replace(VNNI, isa=("avx2",))))
    assert "bf16 and fp16 and int8" in none.what
    assert "AMX" in none.what
    (some,) = found(rules.absent_formats, facts())
    assert "int8;" not in some.what
    assert not found(
        rules.absent_formats,
        facts(machine=replace(VNNI, isa=("amx_bf16", "amx_fp16", "amx_int8", "avx512_fp16", "avx512_vnni"))),
    )
    arm = replace(VNNI, architecture="aarch64", isa=("asimddp", "asimdhp", "bf16"))
    assert not found(rules.absent_formats, facts(machine=arm))


@pytest.mark.parametrize(("dtype", "says"), [(np.float64, "float64"), (np.float16, "fp16"), (np.float32, "")])
def test_formats_of_the_weights(dtype: Any, says: str) -> None:
    given = facts(graph(EMPTY, {"w": np.ones(9, dtype), "axes": np.ones(2, np.int64)}))
    assert [says in path.what for path in found(rules.own_formats, given)] == [True] * bool(says)
    native = facts(graph(EMPTY, {"w": np.ones(9, np.float16)}), machine=replace(VNNI, isa=("avx512_fp16",)))
    assert not found(rules.own_formats, native)


def test_transposes_between_layouts_but_not_those_of_attention() -> None:
    (path,) = found(rules.transposes, facts(graph("[n] t = Transpose<perm=[0, 3, 1, 2]>(x) [r] y = Relu(t)")))
    assert path.what.startswith("1 transpose ")
    assert path.todo.startswith("feed channels first")
    for nodes in (
        "[n] y = Transpose<perm=[0, 2, 1, 3]>(x)",
        "[n] k = Transpose<perm=[0, 2, 3, 1]>(x) [m] y = MatMul(x, k)",
    ):
        assert not found(rules.transposes, facts(graph(nodes)))


def test_widths_that_do_not_fill_vectors() -> None:
    nodes = "[n] a = Conv(x, w) [m] b = Conv(a, v) [k] y = Conv(b, u)"
    given = {"w": weights(20, 4, 1, 1), "v": weights(32, 20, 1, 1), "u": weights(10, 32, 1, 1)}
    model = graph(nodes, given)
    heavy = (layer("n", time_s=1.0), layer("m", time_s=2.0), layer("k", time_s=4.0))
    (path,) = found(rules.odd_channels, facts(model, heavy))
    assert path.layers == ("m", "n")  # 4 are a picture's, 10 are the answers
    assert path.share == pytest.approx(3 / 7)
    assert "multiple of 16 (20)" in path.what
    assert not found(rules.odd_channels, facts(model, (layer("n", time_s=1e-3), layer("x", time_s=1.0))))
    even = graph(nodes, {"w": weights(24, 4, 1, 1), "v": weights(32, 24, 1, 1), "u": given["u"]})
    assert found(rules.odd_channels, facts(even, heavy))
    assert not found(rules.odd_channels, facts(even, heavy, machine=replace(VNNI, isa=("avx2",))))  # in steps of 8


def test_factors_behind_a_layer() -> None:
    scale = weights(1, 8, 1, 1)
    nodes, kernel = "[n] a = Conv(x, w) [f] y = Mul(a, s)", weights(8, 4, 1, 1)
    (path,) = found(rules.loose_factors, facts(graph(nodes, {"w": kernel, "s": scale}), (layer("n", others=("f",)),)))
    assert path.what.startswith("1 Mul ")
    assert path.layers == ("n",)
    model = graph(nodes, {"w": kernel, "s": scale})
    assert not found(rules.loose_factors, facts(model, choice=Choice("onnxruntime", source=True)))
    shared = "[n] a = Conv(x, w) [f] b = Mul(a, s) [g] y = Add(a, b)"
    assert not found(rules.loose_factors, facts(graph(shared, {"w": kernel, "s": scale})))
    wide = graph(nodes, {"w": kernel, "s": weights(1, 8, 8, 8)})
    assert not found(rules.loose_factors, facts(wide))


def test_free_sizes_and_shapes_that_are_computed() -> None:
    (path,) = found(rules.free_sizes, facts(inputs=(TensorSpec("x", ("batch", 3, "h", "w")),)))
    assert path.what.endswith(": x")
    computed = graph("[n] s = Shape(x) [r] y = Reshape(x, s)", shape="N, 4, 8, 8")
    (path,) = found(rules.free_sizes, facts(computed))
    assert "1 time while" in path.what
    assert not found(rules.free_sizes, facts(computed, inputs=(TensorSpec("x", (1, 4, 8, 8)),)))
    assert not found(rules.free_sizes, facts())


def test_slow_operators_that_take_time() -> None:
    cubic = graph('[n] y = Resize<mode="cubic">(x, , s)', {"s": np.array([1, 1, 2, 2], np.float32)})
    linear = graph('[n] y = Resize<mode="linear">(x, , s)', {"s": np.array([1, 1, 2, 2], np.float32)})
    (path,) = found(rules.slow_operators, facts(cubic))
    assert path.what == "1 Resize"
    assert path.share == 1.0
    assert not found(rules.slow_operators, facts(linear))
    cheap = (layer("n", "Resize", time_s=1e-6), layer("m", time_s=1.0))
    assert not found(rules.slow_operators, facts(cubic, cheap))
    assert found(rules.slow_operators, facts(cubic, cheap, sheet={"beside_s": None}))  # not timed: it is there


def test_conversions_that_take_time() -> None:
    (path,) = found(rules.conversions, facts(sheet={"beside_s": 1e-3}))
    assert path.share == 0.5
    assert not found(rules.conversions, facts(sheet={"beside_s": 1e-6}))
    assert not found(rules.conversions, facts(sheet={"beside_s": None}))


def test_denormals() -> None:
    both = found(rules.denormals, facts(sheet={"denormal_weights": 3, "denormal_values": {"a": 1, "b": 9}}))
    assert both[0].what == "3 weights are denormal"
    assert both[1].layers == ("b", "a")
    assert not found(rules.denormals, facts(sheet={"denormal_values": {}}))


def test_passes_that_were_rolled_back_and_searches_cut_short() -> None:
    (path,) = found(rules.rolled_back, facts(passes=("folded 2 (close)", "rolled back fold_scales: no")))
    assert path.what == "a pass was rolled back fold_scales: no"
    left = Candidate(Choice("openvino"), "skipped", "the time budget was used up; give more with --budget")
    assert found(rules.short_search, facts(candidates=(left,)))[0].what == "no time was left for 1 candidate"
    assert found(rules.short_search, facts(complete=False))
    assert not found(rules.short_search, facts(candidates=(replace(left, reason="slower"),)))


def test_the_largest_share_comes_first() -> None:
    given = facts(max_drop=None, sheet={"beside_s": 1e-3}, choice=Choice("onnxruntime", "int8", quantizer="nncf"))
    shares = [path.share for path in missed_paths(given)]
    known = [share for share in shares if share is not None]
    assert known == sorted(known, reverse=True) != []
    assert shares[len(known) :] == [None] * (len(shares) - len(known)) != []


def test_every_rule_is_used() -> None:
    text = Path(rules.__file__).read_text()
    made = {line[4:].partition("(")[0] for line in text.splitlines() if line.endswith("-> Iterator[MissedPath]:")}
    assert made == {rule.__name__ for rule in rules.RULES}
