"""Tensors that lie in files, and safetensors that are written from them one tensor at a time.

What safetensors itself writes must be in memory as a whole. The bytes are those that it would write.

>>> from safetensors.torch import save
>>> here = {"b": torch.ones(2), "a": torch.tensor([1])}
>>> there = {"b": here["b"], "a": Lying((1,), torch.int64, lambda: here["a"])}
>>> b"".join(map(bytes, safetensor_pieces(there))) == save(here)
True
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from chipwise.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

# Names of element types in safetensors, in the order in which it lays tensors out.
_TYPES = {
    torch.int64: "I64", torch.float64: "F64", torch.float32: "F32", torch.int32: "I32", torch.bfloat16: "BF16",
    torch.float16: "F16", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
_ALIGNED = 8  # bytes, to which the header is filled up


@dataclass(frozen=True, slots=True)
class Lying:
    """A tensor that lies in a file; `read` brings it into memory, its numbers in the usual order."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[], Tensor]

    @property
    def nbytes(self) -> int:
        """Of its numbers."""
        return math.prod(self.shape) * self.dtype.itemsize


Somewhere = Tensor | Lying


def in_safetensors(path: Path, name: str, like: Tensor) -> Lying:
    """A tensor of a file, which is opened whenever it is read.

    Args:
        path: of the file.
        name: of the tensor in it.
        like: what it must be like.
    """
    return Lying(tuple(like.shape), like.dtype, partial(_read, path, name, tuple(like.shape), like.dtype))


def bytes_of(value: Somewhere) -> memoryview:
    """The numbers of a tensor, wherever it lies, as safetensors keeps them."""
    here = value.read() if isinstance(value, Lying) else value.detach().contiguous()
    return memoryview(here.reshape(-1).view(torch.uint8).numpy().data)


def safetensor_pieces(
    tensors: Mapping[str, Somewhere], metadata: dict[str, str] | None = None
) -> Iterator[bytes | memoryview]:
    """The content of a safetensors file, of whose tensors one is in memory at a time.

    Args:
        tensors: by name.
        metadata: for its header.
    """
    kinds = list(_TYPES)
    names = sorted(tensors, key=lambda name: (kinds.index(tensors[name].dtype), name))
    about: dict[str, object] = {} if metadata is None else {"__metadata__": dict(sorted(metadata.items()))}
    end = 0
    for name in names:
        value = tensors[name]
        begin, end = end, end + value.nbytes
        about[name] = {"dtype": _TYPES[value.dtype], "shape": list(value.shape), "data_offsets": [begin, end]}
    text = msgspec.json.encode(about)
    text += b" " * (-len(text) % _ALIGNED)
    head = (len(text).to_bytes(_ALIGNED, "little"), text)
    return chain(head, (bytes_of(tensors[name]) for name in names))


def write_safetensors(tensors: Mapping[str, Somewhere], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write tensors straight from where they are: bytes in between would take as much again, twice.

    Args:
        tensors: by name; those that lie in files are in memory one at a time.
        path: of the file.
        metadata: for its header.

    Raises:
        OSError: it cannot be written.
    """
    here = {name: value.detach().contiguous() for name, value in tensors.items() if isinstance(value, Tensor)}
    if len(here) < len(tensors):
        with path.open("wb") as file:
            file.writelines(safetensor_pieces(tensors, metadata))
        return
    try:
        save_file(here, path, metadata)
    except SafetensorError as error:
        raise OSError(str(error).rpartition("I/O error: ")[2]) from error


def _read(path: Path, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    try:
        with safe_open(path, framework="pt") as file:
            found: Tensor = file.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if (tuple(found.shape), found.dtype) != (shape, dtype):
        raise InputError(f"{path} holds {name} of {tuple(found.shape)}, which is {shape} here")
    return found
