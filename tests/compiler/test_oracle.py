"""The oracle: onnx's evaluator where it can be trusted, ONNX Runtime where it cannot."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from chipwise import runtimes
from chipwise.compiler.oracle import reference_outputs, relative_error
from chipwise.compiler.subject import random_inputs
from chipwise.core.network import TensorSpec
from chipwise.core.task import Stream
from chipwise.runtimes.engine import EngineOptions

BATCH_NORM = """<ir_version: 4, opset_import: ["": 9]> g (float[1,2,3] x) => (float[1,2,3] y)
<float[2] s = {1.0, 2.0}, float[2] b = {0.0, 1.0}, float[2] m = {5.0, -5.0}, float[2] v = {4.0, 9.0}>
{ y = BatchNormalization (x, s, b, m, v) }"""
SOFTMAX = """<ir_version: 4, opset_import: ["": 9]> g (float[1,3,2] x) => (float[1,3,2] y) { y = Softmax (x) }"""


@pytest.mark.parametrize("text", [BATCH_NORM, SOFTMAX])
def test_old_rules_are_not_asked_of_the_evaluator(text: str) -> None:
    model = onnx.parser.parse_model(text).SerializeToString()
    kind = onnx.load_model_from_string(model).graph.input[0].type.tensor_type
    shape = [dim.dim_value for dim in kind.shape.dim]
    inputs = [np.arange(6, dtype=np.float32).reshape(shape)]
    runtime = runtimes.load("onnxruntime").build_default(model).run(inputs)
    evaluator = runtimes.load("reference").build(model, EngineOptions()).run(inputs)
    assert relative_error(evaluator, runtime) > 0.01, "were onnx to mend this, the exception could go"
    assert relative_error(reference_outputs(model, inputs, flops=10), runtime) == 0


def test_a_stream_is_sampled_with_one_piece_its_constants_and_no_state() -> None:
    specs = (TensorSpec("input", ("b", "s")), TensorSpec("state", (2, "b", 4)), TensorSpec("sr", (), "int64"))
    stream = Stream(512, 64, (("state", "stateN"),), {"sr": 16000.0})
    sound, state, rate = random_inputs(specs, seed=0, stream=stream)
    assert (sound.shape, state.shape, rate.shape, rate.dtype) == ((1, 576), (2, 1, 4), (), np.int64)
    assert (int(rate), np.count_nonzero(state)) == (16000, 0)
    assert np.count_nonzero(sound) > 500
