"""Variants of a graph: made once, named in one way, and only those that differ."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
import onnx_ir as ir
import pytest

from chipwise.compiler.graphs import Graphs, joined, variants
from chipwise.core.errors import UnknownNameError
from chipwise.networks.onnx_file import from_bytes, serialize

TEXT = """<ir_version: 8, opset_import: ["" : 17]>
g (float[N, 4] x) => (float[N, 4] y) { a = Identity(x)  y = Relu(a) }"""


@pytest.fixture
def graphs() -> Graphs:
    model = onnx.parser.parse_model(TEXT)
    return Graphs(ir.serde.deserialize_model(model), model.SerializeToString())


def test_the_plain_graph_went_through_the_usual_passes(graphs: Graphs) -> None:
    assert [node.op_type for node in onnx.load_model_from_string(graphs.model()).graph.node] == ["Relu"]
    assert graphs.passes() == ("dropped 1 no-op (exact)",)
    assert graphs.model() is graphs.model(), "made once"


def test_a_graph_that_no_pass_changed_stays_as_it_was() -> None:
    model = onnx.parser.parse_model(TEXT.replace("a = Identity(x)  y = Relu(a)", "y = Relu(x)"))
    data = model.SerializeToString()
    assert Graphs(ir.serde.deserialize_model(model), data).model() is data


def test_weights_that_the_file_lists_as_inputs_are_constants_of_the_plan() -> None:
    text = '<ir_version: 3, opset_import: ["": 7]> g (float[N, 4] x, float[4] w) => (float[N, 4] y) '
    model = onnx.parser.parse_model(text + "<float[4] w = {1, 2, 3, 4}> { y = Mul(x, w) }")
    network = from_bytes(model.SerializeToString(), "old")
    assert network.graph is not None
    made = Graphs(network.graph, serialize(network))
    assert [value.name for value in onnx.load_model_from_string(made.model()).graph.input] == ["x"]
    assert made.passes() == ("froze 1 weight that the file lists as inputs (exact)",)


def test_only_graphs_of_their_own_are_worth_trying(graphs: Graphs) -> None:
    assert graphs.differing(["width8", "width16"]) == [], "nothing is removed, whatever the step"


def test_names_of_variants_have_one_order() -> None:
    assert joined("b", "", "a+b") == "a+b"
    assert joined("") == ""


def test_unknown_passes_are_refused(graphs: Graphs) -> None:
    with pytest.raises(UnknownNameError):
        graphs.model("no_such_pass")


SIBLINGS = """<ir_version: 8, opset_import: ["" : 17]>
g (float[N, 4, 8, 8] x) => (float[N, 6, 8, 8] y) { a = Conv(x, u)  b = Conv(x, v)  y = Concat <axis = 1> (a, b) }"""


def test_what_fires_is_a_variant_and_nothing_after_the_deadline() -> None:
    model = onnx.parser.parse_model(SIBLINGS)
    rng = np.random.default_rng(0)
    for name, outputs in (("u", 2), ("v", 4)):
        weights = rng.normal(size=(outputs, 4, 1, 1)).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(weights, name))
    model = onnx.shape_inference.infer_shapes(model)
    made = Graphs(ir.serde.deserialize_model(model), model.SerializeToString())
    assert made.differing(variants((8,))) == ["merge_siblings"]
    assert made.differing(variants((8,)), "merge_siblings") == []
    assert made.differing(variants((8,)), deadline_s=0.0) == []
