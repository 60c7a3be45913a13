"""Pictures as uint8 give what their preprocessed floats gave, in every layout."""

from __future__ import annotations

import numpy as np
import onnx.reference
import onnx_ir as ir
import pytest
from random_networks import ops, parse

from chipwise.core.errors import NetworkError
from chipwise.core.task import Preprocess
from chipwise.optimize.absorb_preprocessing import absorb
from chipwise.tasks.preprocess import prepare

IMAGENET = {"scale": 1 / 255, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
CENTRED = {"scale": 1.0, "mean": (127.5,), "std": (127.5,)}
PLAIN = {"scale": 1 / 255}


def run(model: ir.Model, x: np.ndarray) -> np.ndarray:
    proto = ir.serde.serialize_model(model)
    onnx.checker.check_model(proto)
    return onnx.reference.ReferenceEvaluator(proto).run(None, {model.graph.inputs[0].name: x})[0]


def network(layout: str, pad: int) -> ir.Model:
    rng = np.random.default_rng(0)
    given = {"NCHW": "N, 3, 8, 9", "NHWC": "N, 8, 9, 3", "flat": "N, 216"}[layout]
    text = {
        "NCHW": f"a = Conv <pads = [{pad}, {pad}, {pad}, {pad}], strides = [2, 2]> (x, w, b)  y = Relu(a)",
        "NHWC": f"t = Transpose <perm = [0, 3, 1, 2]> (x)  a = Conv <pads = [{pad}, {pad}, {pad}, {pad}]> (t, w, b)"
        "  y = Relu(a)",
        "flat": "a = MatMul(x, m)  y = Add(a, v)",
    }[layout]
    weights = {"w": rng.normal(size=(4, 3, 3, 3)), "b": rng.normal(size=4), "m": rng.normal(size=(216, 5)) / 9}
    weights = {name: array.astype(np.float32) for name, array in (weights | {"v": rng.normal(size=5)}).items()}
    rank = 2 if layout == "flat" else 4
    return parse(f"g (float[{given}] x) => (float[{', '.join('ABCD'[:rank])}] y) {{ {text} }}", **weights)


@pytest.mark.parametrize("pad", [0, 1])
@pytest.mark.parametrize("numbers", [IMAGENET, CENTRED, PLAIN], ids=["imagenet", "centred", "plain"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "flat"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_same_answers_from_pictures(layout: str, numbers: dict[str, object], pad: int, channels_last: bool) -> None:
    model = network(layout, pad)
    before = Preprocess(8, 9, 3, "BGR", layout, fit="stretch", **numbers)
    pictures = np.random.default_rng(1).integers(0, 256, (3, 20, 30, 3), dtype=np.uint8)
    made, after, said = absorb(model, before, channels_last=channels_last)
    x = prepare(pictures, after, "uint8")
    assert list(x.shape[1:]) == list(made.graph.inputs[0].shape)[1:]
    assert x.dtype == np.uint8
    assert (after.order, after.fit, after.height) == (before.order, before.fit, before.height)
    want = run(model, prepare(pictures, before))
    np.testing.assert_allclose(run(made, x), want, rtol=1e-6, atol=1e-6 * np.abs(want).max())
    subtracts = "mean" in numbers and pad == 1 and layout != "flat"
    assert ops(made).count("Sub") + ops(made).count("Add") == subtracts + (layout == "flat")
    assert "Mul" not in ops(made)
    assert ("1 of its steps stays" in said) == subtracts
    assert ("all of it in the weights" in said) != subtracts
    assert ops(model)[0] != "Cast", "the model that was given must not change"


def test_channels_last_turns_bytes_not_floats() -> None:
    made, after, _ = absorb(network("NCHW", 1), Preprocess(8, 9, 3, "RGB", **IMAGENET), channels_last=True)
    assert ops(made) == ["Transpose", "Cast", "Sub", "Conv", "Relu"]
    assert after.layout == "NHWC"
    assert list(made.graph.inputs[0].shape)[1:] == [8, 9, 3]
    assert (made.graph.inputs[0].name, made.graph.inputs[0].dtype) == ("x", ir.DataType.UINT8)


def test_a_network_whose_first_layer_takes_no_factor() -> None:
    model = parse("g (float[N, 3, 8, 9] x) => (float[N, 3, 8, 9] y) { y = Tanh(x) }")
    before = Preprocess(8, 9, 3, "RGB", fit="stretch", **IMAGENET)
    pictures = np.random.default_rng(1).integers(0, 256, (1, 8, 9, 3), dtype=np.uint8)
    made, after, said = absorb(model, before)
    assert "2 of its steps stay" in said
    np.testing.assert_allclose(
        run(made, prepare(pictures, after, "uint8")), run(model, prepare(pictures, before)), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    "text",
    [
        "g (float[N, 3, 8, 9] x, float[N, 3, 8, 9] z) => (float[N, 3, 8, 9] y) { y = Add(x, z) }",
        "g (uint8[N, 3, 8, 9] x) => (float[N, 3, 8, 9] y) { y = Cast <to = 1> (x) }",
        "g (float[N, 4, 8, 9] x) => (float[N, 4, 8, 9] y) { y = Neg(x) }",
        "g (float[N, 216] x) => (float[N, 216] y) { y = Neg(x) }",
    ],
)
def test_other_inputs_are_refused(text: str) -> None:
    with pytest.raises(NetworkError, match="network"):
        absorb(parse(text), Preprocess(8, 9, 3, "RGB"))
