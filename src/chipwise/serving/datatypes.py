r"""Element types of the Open Inference Protocol: their names, their NumPy types, and arrays to bytes and back.

Source: "Open Inference Protocol v2", tensor data types, and Triton's "binary tensor data extension": numbers are
little-endian and row-major, a BOOL is one byte, and each element of BYTES has its length in front of it, 4 bytes.

>>> of_array("float32"), to_bytes(np.array([b"ab"], object))
('FP32', b'\x02\x00\x00\x00ab')
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from chipwise.serving.request_error import TOO_LARGE, RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from chipwise.serving.limits import Limits

BYTES = "BYTES"
NUMBERS: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
BINARY_ONLY = ("FP16", "BF16")  # JSON has no such numbers: Triton refuses them there, too
_NAMES: dict[str | np.dtype[Any], str] = {dtype.name: name for name, dtype in NUMBERS.items()}
_NAMES |= {dtype: name for name, dtype in NUMBERS.items()}
_LENGTH = struct.Struct("<I")
_KINDS = {"b": "b", "u": "iu", "i": "iu", "f": "fiu"}  # of JSON values, by the kind that is wanted


def of_array(dtype: str | np.dtype[Any]) -> str:
    """The protocol's name of a NumPy type; arrays of objects hold bytes."""
    return _NAMES.get(dtype, BYTES)


def check_shape(name: str, datatype: str, shape: Sequence[int], limits: Limits) -> int:
    """How many elements a tensor has.

    Raises:
        RequestError: no such datatype, a negative dimension, or more of either than the limits.
    """
    if datatype != BYTES and datatype not in NUMBERS:
        raise RequestError(f"tensor '{name}' has datatype '{datatype[:20]}'; known: {', '.join(NUMBERS)}, {BYTES}")
    if len(shape) > limits.dims or any(not 0 <= dim <= limits.elements for dim in shape):
        raise RequestError(f"tensor '{name}' has shape {_shown(shape)}: a dimension cannot be that, or there are many")
    spanned = math.prod(dim or 1 for dim in shape)  # NumPy has no shape that overflows, not even beside a 0
    if spanned > limits.elements:
        shown = f"shape {_shown(shape)}, which spans {spanned} elements"
        raise RequestError(f"tensor '{name}' has {shown}; at most {limits.elements}", TOO_LARGE)
    return math.prod(shape)


def from_bytes(name: str, datatype: str, shape: Sequence[int], data: memoryview, limits: Limits) -> NDArray[Any]:
    """A tensor from its bytes; the array shares the memory of `data`, and cannot be written.

    Raises:
        RequestError: the bytes are not as many as the shape says, or a string is too long.
    """
    count = check_shape(name, datatype, shape, limits)
    if datatype == BYTES:
        return _strings(name, count, data, limits).reshape(shape)
    dtype = NUMBERS[datatype]
    if len(data) != count * dtype.itemsize:
        wanted = f"{datatype} {_shown(shape)} takes {count * dtype.itemsize}"
        raise RequestError(f"tensor '{name}' has {len(data)} bytes; {wanted}")
    if datatype == "BOOL" and count and int(np.frombuffer(data, np.uint8).max()) > 1:
        raise RequestError(f"tensor '{name}' holds a BOOL that is neither 0 nor 1")
    return np.frombuffer(data, dtype).reshape(shape)


def to_bytes(array: NDArray[Any]) -> bytes:
    """The bytes of a tensor, as `from_bytes` takes them."""
    if array.dtype == object:
        return b"".join(_LENGTH.pack(len(each)) + each for each in array.ravel().tolist())
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def from_values(name: str, datatype: str, shape: Sequence[int], data: Any, limits: Limits) -> NDArray[Any]:
    """A tensor from JSON values, flat or nested as its shape is.

    Raises:
        RequestError: they are of another kind, do not fit the type, or are not as many as the shape says.
    """
    count = check_shape(name, datatype, shape, limits)
    if datatype in BINARY_ONLY:
        raise RequestError(f"tensor '{name}' is {datatype}, which JSON cannot hold; send it as binary data")
    if not isinstance(data, list):
        raise RequestError(f"tensor '{name}' has data that is no list")
    array = _encoded(name, data, limits) if datatype == BYTES else _numbers(name, datatype, data)
    if array.ndim != 1 and array.shape != tuple(shape):
        raise RequestError(f"tensor '{name}' has data of shape {_shown(array.shape)}; its shape is {_shown(shape)}")
    if array.size != count:
        raise RequestError(f"tensor '{name}' has {array.size} values; shape {_shown(shape)} takes {count}")
    return array.reshape(shape)


def to_values(name: str, array: NDArray[Any]) -> list[Any]:
    """A tensor as JSON values, flat.

    Raises:
        RequestError: it holds what JSON cannot say: NaN, infinity, half precision, bytes that are no UTF-8.
    """
    if array.dtype == object:
        try:
            return [each.decode() for each in array.ravel().tolist()]
        except UnicodeDecodeError as error:
            raise RequestError(f"output '{name}' holds bytes that are no UTF-8; ask for binary data") from error
    if of_array(array.dtype) in BINARY_ONLY:
        raise RequestError(f"output '{name}' is {of_array(array.dtype)}; ask for binary data")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise RequestError(f"output '{name}' holds NaN or infinity, which JSON cannot hold; ask for binary data")
    values: list[Any] = array.ravel().tolist()
    return values


def _shown(shape: Sequence[int]) -> str:
    shown = ", ".join(str(dim)[:24] for dim in shape[:20])
    return f"[{shown}{', ...' if len(shape) > 20 else ''}]"


def _strings(name: str, count: int, data: memoryview, limits: Limits) -> NDArray[Any]:
    if count * _LENGTH.size > len(data):  # before anything is reserved for them
        raise RequestError(f"tensor '{name}' has {len(data)} bytes, too few for {count} strings")
    array = np.empty(count, object)
    at = 0
    for index in range(count):
        start = at + _LENGTH.size
        size = _LENGTH.unpack_from(data, at)[0] if start <= len(data) else 0
        if size > limits.string_bytes:
            raise RequestError(
                f"tensor '{name}' has a string of {size} bytes; at most {limits.string_bytes}", TOO_LARGE
            )
        at = start + size
        if at > len(data):
            raise RequestError(f"tensor '{name}' ends within string {index} of {count}")
        array[index] = bytes(data[start:at])
    if at != len(data):
        raise RequestError(f"tensor '{name}' has {len(data) - at} bytes after its last string")
    return array


def _numbers(name: str, datatype: str, data: list[Any]) -> NDArray[Any]:
    dtype = NUMBERS[datatype]
    try:
        array = np.asarray(data)
    except (ValueError, OverflowError) as error:
        raise RequestError(f"tensor '{name}' has data that is no array: its lists differ in length") from error
    if not array.size:
        return np.empty(array.shape, dtype)
    exact = None
    if datatype == "UINT64" and array.dtype.kind == "f":  # NumPy's choice for whole numbers of both halves of the range
        exact = np.asarray(data, object)
        array = exact if all(type(each) is int for each in exact.ravel()) else array
    whole = array.dtype.kind in "iu" and datatype == "BOOL" and array.min() >= 0 and array.max() <= 1
    if array.dtype.kind not in _KINDS[dtype.kind] and not whole and array is not exact:
        raise RequestError(f"tensor '{name}' is {datatype}, and its data holds something else")
    if dtype.kind in "iu":
        span = np.iinfo(dtype)
        if int(array.min()) < span.min or int(array.max()) > span.max:
            raise RequestError(f"tensor '{name}' holds numbers that do not fit {datatype}")
    with np.errstate(over="ignore"):
        made = array.astype(dtype)
    if dtype.kind == "f" and not np.isfinite(made).all():
        raise RequestError(f"tensor '{name}' holds numbers that do not fit {datatype}")
    return made


def _encoded(name: str, data: list[Any], limits: Limits) -> NDArray[Any]:
    """Strings, flat or nested, as a flat array of bytes."""
    flat, shape = data, [len(data)]
    while flat and all(isinstance(each, list) for each in flat):
        if len({len(each) for each in flat}) > 1 or len(shape) >= limits.dims:
            raise RequestError(f"tensor '{name}' has data that is no array: its lists differ in length")
        shape.append(len(flat[0]))
        flat = [value for each in flat for value in each]
    array = np.empty(len(flat), object)
    for index, value in enumerate(flat):
        if not isinstance(value, str):
            raise RequestError(f"tensor '{name}' is {BYTES}, and its data holds something that is no string")
        array[index] = value.encode()
        if len(array[index]) > limits.string_bytes:
            raise RequestError(f"tensor '{name}' has a string longer than {limits.string_bytes} bytes", TOO_LARGE)
    return array.reshape(shape)
