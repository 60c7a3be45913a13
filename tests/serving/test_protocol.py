"""The protocol as pure functions: what is read, what is refused, and that nothing in a request brings it down."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from chipwise.serving.answer import Reply, best, write_answer
from chipwise.serving.datatypes import BYTES, NUMBERS, from_bytes, from_values, of_array, to_bytes, to_values
from chipwise.serving.inflate import accepted, deflate, inflate
from chipwise.serving.limits import Limits
from chipwise.serving.request import InferRequest, Wanted, header_bytes, read_request
from chipwise.serving.request_error import RequestError

LIMITS = Limits(body_bytes=1 << 20, json_bytes=1 << 16, elements=1 << 12, string_bytes=1 << 10)
JSON_TYPES = [name for name in NUMBERS if name not in ("FP16", "BF16")]
SHAPES = array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


def request(**fields: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2]} | fields]}


def read(document: Any, tail: bytes = b"") -> InferRequest:
    head = json.dumps(document).encode()
    return read_request(head + tail, len(head) if tail else None, LIMITS)


def numbers(datatype: str) -> st.SearchStrategy[Any]:
    dtype = NUMBERS[datatype]
    if datatype == "BF16":
        return arrays(np.float16, SHAPES).map(lambda array: array.astype(dtype))
    return arrays(dtype, SHAPES)


@given(st.sampled_from(list(NUMBERS)).flatmap(numbers))
def test_numbers_survive_binary(array: np.ndarray) -> None:
    datatype = of_array(array.dtype.name)
    again = from_bytes("x", datatype, array.shape, memoryview(to_bytes(array)), LIMITS)
    assert again.dtype == array.dtype
    assert again.tobytes() == array.tobytes()


@given(st.sampled_from(JSON_TYPES).flatmap(numbers), st.booleans())
def test_numbers_survive_json_flat_and_nested(array: np.ndarray, nested: bool) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        with pytest.raises(RequestError, match="NaN or infinity"):
            to_values("x", array)
        return
    values = array.tolist() if nested and array.ndim and 0 not in array.shape else to_values("x", array)
    again = from_values("x", of_array(array.dtype.name), array.shape, msgspec.json.decode(json.dumps(values)), LIMITS)
    assert again.dtype == array.dtype
    assert again.tobytes() == array.tobytes()


@given(st.lists(st.binary(max_size=9), max_size=6))
def test_strings_survive_binary(strings: list[bytes]) -> None:
    array = np.empty(len(strings), object)
    array[:] = strings
    again = from_bytes("x", BYTES, (len(strings),), memoryview(to_bytes(array)), LIMITS)
    assert again.tolist() == strings


@given(st.lists(st.text(max_size=9), min_size=1, max_size=6))
def test_strings_survive_json(strings: list[str]) -> None:
    for data in (strings, [[each] for each in strings]):
        array = from_values("x", BYTES, (len(strings), 1), data, LIMITS)
        assert to_values("x", array) == strings


@settings(max_examples=300)
@given(st.binary(max_size=200), st.none() | st.integers(-5, 220))
def test_any_bytes_are_read_or_refused(body: bytes, size: int | None) -> None:
    with pytest.raises(RequestError):
        read_request(body, size, LIMITS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
FIELDS = ("name", "shape", "datatype", "data", "parameters")


@settings(max_examples=400)
@given(st.sampled_from(FIELDS), JSON, st.sampled_from([*NUMBERS, BYTES]), st.binary(max_size=12))
def test_any_field_is_read_or_refused(field: str, value: Any, datatype: str, tail: bytes) -> None:
    document = request(datatype=datatype)
    if tail:
        document["inputs"][0]["parameters"] = {"binary_data_size": len(tail)}
        del document["inputs"][0]["data"]
    document["inputs"][0][field] = value
    try:
        array = read(document, tail).inputs[document["inputs"][0]["name"]]
    except RequestError:
        return
    assert list(array.shape) == document["inputs"][0]["shape"]


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ([], "cannot be read"),
        ({}, "missing required field `inputs`"),
        (request(datatype="FLOAT"), "datatype 'FLOAT'; known: BOOL"),
        (request(datatype="FP16"), "FP16, which JSON cannot hold"),
        (request(shape=[3]), "2 values; shape [3] takes 3"),
        (request(shape=[-1]), "a dimension cannot be that"),
        (request(shape=[1] * 17), "or there are many"),
        (request(shape=[64, 65]), "4160 elements; at most 4096"),
        (request(shape=[1 << 40, 0]), "a dimension cannot be that"),
        (request(shape=[0, 4096, 4096], data=[]), "spans 16777216 elements; at most 4096"),
        (request(data=[1, "2"]), "holds something else"),
        (request(data=[1, None]), "holds something else"),
        (request(data=[[1], [2, 3]]), "differ in length"),
        (request(data=[[1, 2]]), "data of shape [1, 2]"),
        (request(data=1), "no list"),
        (request(data=[1e39, 0]), "do not fit FP32"),
        (request(datatype="UINT8", data=[256, 0]), "do not fit UINT8"),
        (request(datatype="UINT8", data=[1.0, 0]), "holds something else"),
        (request(datatype="INT64", data=[2**64, 0]), "INT64"),
        (request(datatype="BOOL", data=[2, 0]), "holds something else"),
        (request(datatype="BYTES", data=[2, "a"]), "no string"),
        (request(datatype="BYTES", data=["a" * 1025, "a"]), "longer than 1024"),
        (request(parameters={"shared_memory_region": "r"}), "shared_memory_region"),
        (request(parameters={"binary_data_size": 3}), "0 are left"),
        (request() | {"id": "a" * 1025}, "the id is longer"),
        (request() | {"parameters": {"sequence_id": 3}}, "sequence_id"),
        (request() | {"parameters": {"timeout": "soon"}}, "timeout"),
        ({"inputs": request()["inputs"] * 2}, "twice"),
        ({"inputs": request()["inputs"] * 257}, "names 257 inputs"),
        (request() | {"outputs": [{"name": "y", "parameters": {"classification": -1}}]}, "no number of classes"),
        (request() | {"outputs": [{"name": "y", "parameters": {"classification": 1001}}]}, "1001, which is no number"),
    ],
)
def test_what_is_refused(document: Any, says: str) -> None:
    with pytest.raises(RequestError) as caught:
        read(document)
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("datatype", "size", "tail", "says"),
    [
        ("FP32", 8, b"1234567", "7 are left"),
        ("FP32", 7, b"1234567", "7 bytes; FP32 [2] takes 8"),
        ("FP32", 8, b"123456789", "1 bytes of binary data belong to no input"),
        ("BOOL", 2, b"\x01\x02", "neither 0 nor 1"),
        ("BYTES", 7, b"\0\0\0\0\0\0\0", "too few for 2 strings"),
        ("BYTES", 8, b"\x02\0\0\0abcd", "ends within string 1"),
        ("BYTES", 8, b"\0\x05\0\0\0\0\0\0", "string of 1280 bytes"),
        ("BYTES", 9, b"\0\0\0\0\0\0\0\0a", "1 bytes after its last string"),
    ],
)
def test_binary_that_is_refused(datatype: str, size: int, tail: bytes, says: str) -> None:
    document = request(datatype=datatype, parameters={"binary_data_size": size})
    del document["inputs"][0]["data"]
    with pytest.raises(RequestError) as caught:
        read(document, tail)
    assert says in caught.value.message


def test_a_long_string_among_numbers_takes_no_memory() -> None:
    document = request(data=["a" * 50_000] + [1] * 5000)
    tracemalloc.start()
    with pytest.raises(RequestError):
        read(document)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 << 20, "NumPy would take 50,000 x 5,000 x 4 bytes"


@pytest.mark.parametrize("value", ["-1", "1.0", "", "a", "9" * 19, "١"])
def test_header_lengths_that_are_none(value: str) -> None:
    with pytest.raises(RequestError, match="Inference-Header-Content-Length"):
        header_bytes(value)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"inputs":' * 50_000])
def test_depth_is_bounded(text: str) -> None:
    with pytest.raises(RequestError):
        read_request(text.encode(), None, Limits())
    with pytest.raises(RequestError):
        read_request(f'{{"inputs": [{{"name":"x","shape":[1],"datatype":"FP32","data":{text}'.encode(), None, Limits())


def test_an_answer_is_read_back() -> None:
    reply = Reply("m", "3", {"y": np.float32([[0.25, 0.5]]), "n": np.int64([[7]])}, ("cat", "dog"))
    made = write_answer(
        reply, InferRequest({}, (Wanted("n", binary=True), Wanted("y"), Wanted("y", classes=1)), id="q")
    )
    head = json.loads(made.body[: made.header_bytes])
    assert (head["model_name"], head["model_version"], head["id"]) == ("m", "3", "q")
    assert [each["name"] for each in head["outputs"]] == ["n", "y", "y"]
    assert head["outputs"][0] == {
        "name": "n", "datatype": "INT64", "shape": [1, 1], "parameters": {"binary_data_size": 8},
    }  # fmt: skip
    assert head["outputs"][1]["data"] == [0.25, 0.5]
    assert head["outputs"][2] == {"name": "y", "datatype": "BYTES", "shape": [1, 1], "data": ["0.500000:1:dog"]}
    assert made.body[made.header_bytes :] == (7).to_bytes(8, "little")
    with pytest.raises(RequestError, match="no output 'z'; its outputs are y, n"):
        write_answer(reply, InferRequest({}, (Wanted("z"),)))


def test_what_json_cannot_hold_is_asked_for_as_binary() -> None:
    strings = np.empty(1, object)
    strings[0] = b"\xff"
    for array in (np.float32([np.nan]), np.float16([1]), strings):
        with pytest.raises(RequestError, match="ask for binary data"):
            write_answer(Reply("m", "1", {"y": array}), InferRequest({}))
        assert write_answer(Reply("m", "1", {"y": array}), InferRequest({}, binary=True)).header_bytes


def test_classes_need_a_batch_and_numbers() -> None:
    with pytest.raises(RequestError, match="no classes"):
        best("y", np.float32([1.0]), 1, ())
    with pytest.raises(RequestError, match="would have 11000 classes; at most 10000"):
        best("y", np.zeros((11, 2000), np.float32), 1000, ())
    assert best("y", np.zeros((20, 10), np.float32), 1000, ()).shape == (20, 10)
    assert best("y", np.zeros((0, 10), np.float32), 3, ()).shape == (0, 3)


def test_an_empty_shape_that_numpy_cannot_hold() -> None:
    shape = [0, 1 << 26, 1 << 26, 1 << 26]
    with pytest.raises(RequestError, match="spans"):
        from_bytes("x", "FP32", shape, memoryview(b""), Limits())
    assert from_bytes("x", "FP32", [0, 3], memoryview(b""), Limits()).shape == (0, 3)


@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate"]))
def test_bodies_are_inflated(data: bytes, encoding: str) -> None:
    assert inflate(deflate(data, encoding), encoding, LIMITS) == data
    with pytest.raises(RequestError):
        inflate(deflate(data, encoding)[:-1], encoding, LIMITS)
    with pytest.raises(RequestError):
        inflate(deflate(data, encoding) + b"x", encoding, LIMITS)


def test_a_bomb_is_refused_before_it_takes_memory() -> None:
    bomb = gzip.compress(bytes(64 << 20))
    tracemalloc.start()
    with pytest.raises(RequestError, match="inflates to more than") as caught:
        inflate(bomb, "gzip", Limits(inflated_ratio=20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.status == 413
    assert peak < 8 << 20
    with pytest.raises(RequestError, match="unknown"):
        inflate(bomb, "br", LIMITS)
    assert inflate(zlib.compress(bytes(1 << 20)), "deflate", Limits()) == bytes(1 << 20)


def test_the_encoding_of_an_answer() -> None:
    assert accepted("br, gzip;q=0.5") == "gzip"
    assert accepted("gzip;q=0, deflate") == "deflate"
    assert not accepted("gzip; q=0.0")
    assert not accepted(None)
