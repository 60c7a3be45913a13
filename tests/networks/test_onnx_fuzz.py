"""Whatever bytes come in, only a NetworkError comes out."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import onnx
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_graphs import convolution, parsed

from chipwise.core.errors import NetworkError
from chipwise.networks import onnx_file
from chipwise.networks.layers import layer_rows

_BODY = """g (float[N, 4, 6] x, bool c) => (float[N, k] y) <float[2] w = {1.0, 2.0}>
{ s = Shape(x) i = Constant<value_ints=[0]>() n = Gather(s, i) m = Constant<value_ints=[-1]>()
  t = Concat<axis=0>(n, m) r = Reshape(x, t)
  q = If(c) <then_branch = a () => (float[N, j] u) { u = Tanh(r) },
             else_branch = b () => (float[N, j] v) { v = Exp(r) }>
  y = Softmax<axis=-1>(q) }"""
_OLD = """g (float[N, 4, 6, 6] x) => (float[N, k] y) <float[4] b = {1.0, 2.0, 3.0, 4.0}>
{ a = Affine<alpha=2.0, beta=1.0>(x) c = Crop<border=[1, 1, 1, 1]>(a) s = Add<broadcast=1, axis=1>(c, b)
  p = PRelu(s, b) d = Dropout<is_test=1>(p) r = Reshape<shape=[0, -1]>(d) t = Cast<to="FLOAT">(r)
  i = ImageScaler<bias=[0.5], scale=2.0>(x) u = Concat(t, r) y = Relu<consumed_inputs=[0]>(u) }"""
_FUNCTION = """<ir_version: 8, opset_import: ["": 17, "own": 1]>
g (float[N, 4] x) => (float[N, 2] y) <float[4, 2] w = {1,2,3,4,5,6,7,8}> { h = own.twice(x, w) y = Relu(h) }
<opset_import: ["": 17], domain: "own"> twice (a, b) => (c) { m = MatMul(a, b) c = Add(m, m) }"""
_SEEDS = (convolution(), convolution(9, 4), parsed(_BODY), parsed(_OLD, 1), onnx.parser.parse_model(_FUNCTION))
_NUMBERS = (0, 1, -1, 2, 3, 7, 255, 10**6, 10**12, 2**31 - 1, -(2**31), 2**62, -(2**63))
_WORDS = ("", "x", "Conv", "If", "LSTM", "Reshape", "ConstantOfShape", "Expand", "NoSuchOp", "ai.onnx.ml", "\n", "../a")


def survive(data: bytes) -> None:
    try:
        network = onnx_file.from_bytes(data, "fuzzed")
        layer_rows(network)
        onnx_file.serialize(network)
        onnx_file.check_runnable(network)
    except NetworkError as error:
        lines = len(str(error).splitlines())
    else:
        lines = 1
    assert lines == 1


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_mutated_bytes(data: st.DataObject) -> None:
    seed = bytearray(data.draw(st.sampled_from(_SEEDS)).SerializeToString())
    places = st.tuples(st.integers(0, len(seed) - 1), st.integers(0, 255))
    for place, value in data.draw(st.lists(places, max_size=6)):
        seed[place] = value
    cut = data.draw(st.integers(0, len(seed)) | st.just(len(seed)))
    survive(bytes(seed[:cut]))


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_mutated_fields(data: st.DataObject) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(data.draw(st.sampled_from(_SEEDS)))
    for _ in range(data.draw(st.integers(1, 3))):
        fields = list(_fields(model))
        message, field = fields[data.draw(st.integers(0, len(fields) - 1))]
        _change(data, message, field)
    survive(model.SerializeToString())


def _fields(message: Message) -> Iterator[tuple[Message, Any]]:
    for field, value in message.ListFields():
        yield message, field
        if field.type == field.TYPE_MESSAGE:
            for part in value if field.is_repeated else (value,):
                yield from _fields(part)


def _change(data: st.DataObject, message: Message, field: Any) -> None:
    if field.type == field.TYPE_MESSAGE or data.draw(st.integers(0, 4)) == 0:
        message.ClearField(field.name)
        return
    kinds = {field.TYPE_STRING: _WORDS, field.TYPE_BYTES: (b"", b"\0", b"abc"), field.TYPE_FLOAT: (0.0, 1e30)}
    value = data.draw(st.sampled_from(kinds.get(field.type, _NUMBERS)))
    change = functools.partial(setattr, message, field.name, value)
    if field.is_repeated:
        values = getattr(message, field.name)
        change = functools.partial(values.__setitem__, data.draw(st.integers(0, len(values) - 1)), value)
    try:
        change()
    except (ValueError, TypeError):  # out of the field's range: protobuf itself cannot carry it
        return
