"""The gRPC messages are those of the published protocol, field by field; requests in them are read or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from chipwise.serving.grpc_messages import message
from chipwise.serving.grpc_service import read_message
from chipwise.serving.limits import Limits
from chipwise.serving.request_error import RequestError

LIMITS = Limits(elements=1 << 12)


def request(**fields: Any) -> Any:
    tensor = {"name": "x", "datatype": "FP32", "shape": [2], "contents": {"fp32_contents": [1, 2]}} | fields
    return message("ModelInferRequest")(inputs=[tensor])


def test_every_field_is_as_published() -> None:
    service = pytest.importorskip("tritonclient.grpc").service_pb2
    config = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    ours = message("ModelInferRequest").DESCRIPTOR.file

    def compare(mine: Any, theirs: Any) -> int:
        for field in mine.fields:
            other = theirs.fields_by_name[field.name]
            assert (field.number, field.type, field.is_repeated) == (other.number, other.type, other.is_repeated)
            if field.message_type is not None:
                assert field.message_type.full_name == other.message_type.full_name
            if field.enum_type is not None:
                known = {value.name: value.number for value in other.enum_type.values}
                assert {value.name: value.number for value in field.enum_type.values} == known
        nested = [(each, theirs.nested_types_by_name[each.name]) for each in mine.nested_types]
        return len(mine.fields) + sum(compare(*each) for each in nested)

    published = dict(
        [*service.DESCRIPTOR.message_types_by_name.items(), *config.DESCRIPTOR.message_types_by_name.items()]
    )
    assert sum(compare(each, published[name]) for name, each in ours.message_types_by_name.items()) > 100


def test_typed_contents_are_read() -> None:
    for datatype, field, values in (
        ("BOOL", "bool_contents", [True, False]),
        ("INT8", "int_contents", [-128, 127]),
        ("INT64", "int64_contents", [-(2**63), 2**63 - 1]),
        ("UINT16", "uint_contents", [0, 65535]),
        ("UINT64", "uint64_contents", [0, 2**64 - 1]),
        ("FP64", "fp64_contents", [1e300, -0.5]),
        ("BYTES", "bytes_contents", [b"\xff", b""]),
    ):
        read = read_message(request(datatype=datatype, contents={field: values}), LIMITS)
        assert read.inputs["x"].tolist() == values
    found = read_message(request(contents={"fp32_contents": [np.nan, np.inf]}), LIMITS).inputs["x"]
    assert np.isnan(found[0])


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (request(shape=[3]), "has 2 values in fp32_contents; its shape takes 3"),
        (request(shape=[-2]), "a dimension cannot be that"),
        (request(shape=[1 << 62, 0]), "a dimension cannot be that"),
        (request(datatype="FP16"), "is sent raw only"),
        (request(datatype="what"), "datatype 'what'"),
        (request(datatype="INT8", contents={"int_contents": [1, 200]}), "do not fit INT8"),
        (request(parameters={"shared_memory_region": {"string_param": "r"}}), "shared_memory_region"),
    ],
)
def test_what_is_refused(sent: Any, says: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_message(sent, LIMITS)
    assert says in caught.value.message
    both = message("ModelInferRequest")(inputs=sent.inputs, raw_input_contents=[b"12345678"])
    with pytest.raises(RequestError):
        read_message(both, LIMITS)


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    whole = request().SerializeToString()
    for body in (data, whole[: len(data)] + data, whole + data):
        try:
            sent = message("ModelInferRequest").FromString(body)
        except DecodeError:
            continue
        try:
            read_message(sent, LIMITS)
        except RequestError:
            continue
