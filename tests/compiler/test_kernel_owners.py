"""Kernels find their layer by the names that ONNX Runtime and OpenVINO give them."""

from __future__ import annotations

import onnx.parser
import pytest

from chipwise.compiler.kernel_owners import layer_seconds, owner_of, owners

KNOWN = {"Conv_1": 0, "Conv_14": 1, "Relu_3": 0, "logits": 2, "s/fc/Gemm": 2, "Slice_30": 3, "Slice_30_Quantize": None}


@pytest.mark.parametrize(
    ("kernel", "owner"),
    [
        ("Conv_14", 1),
        ("Conv_14_nchwc", 1),
        ("Conv_1_token_16", 0),
        ("Conv_1/WithoutBiases", 0),
        ("Relu_3_nchwc", 0),
        ("logits", 2),
        ("s/fc/Gemm_token_2", 2),
        ("Slice_30_Quantize", None),
        ("Conv_1_abcd_acdb_Conv_14/WithoutBiases", None),
        ("Conv_1_abcd_aBcd16b_Conv_14", 0),  # not the same axes: no change of layout that is known
        ("ReorderOutput_token_50", None),
        ("InsertedPrecisionFreeCast_Conv_14_nchwc", 1),
        ("Conv_15", None),
        ("Transpose_token_98", None),
        ("", None),
    ],
)
def test_owner_of(kernel: str, owner: int | None) -> None:
    assert owner_of(kernel, KNOWN) == owner


def test_nodes_without_a_row_belong_to_what_they_read_and_conversions_to_nobody() -> None:
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[1, 4] x, float s, uint8 z) => (float[4] y) {'
    nodes = "[c] a = Neg(x) [r] b = Relu(a) [q] i = QuantizeLinear(b, s, z) [d] j = DequantizeLinear(i, s, z)"
    graph = onnx.parser.parse_model(f"{text} {nodes} [f] k = Flatten(j) [n] y = Sqrt(k) }}").graph
    found = owners(graph, [("c",), ("n",)])
    assert {name: found[name] for name in ("c", "a", "r", "b", "q", "j", "f", "n", "y")} == {
        "c": 0, "a": 0, "r": 0, "b": 0, "q": None, "j": None, "f": 0, "n": 1, "y": 1,
    }  # fmt: skip


def test_medians_over_rounds() -> None:
    rounds = [{"Conv_1": 1.0, "Relu_3": 1.0, "x": 0.5}, {"Conv_1": 3.0}, {"Conv_1": 9.0, "x": 0.5}]
    assert layer_seconds(rounds, KNOWN, 2) == ([3.0, None], 0.5)
