"""PyTorch's matrix products, transforms, copies and launches, on the processor and on a graphics processor.

>>> product = next(each for each in products(threads=1) if each.format == "bf16")
>>> product.make(32)() is not None
True
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal

import torch

from chipwise.runtimes.arithmetic import FFT_VALUES, Product

_TYPES = {
    "fp64": torch.float64,
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
_COMPLEX = {"fp64": torch.complex128, "fp32": torch.complex64}


def products(threads: int) -> list[Product]:
    """What PyTorch offers here: on the processor, and on the first graphics processor where there is one."""
    found = [
        Product("product", format_, "torch", threads, partial(_product, format_, "cpu"))
        for format_ in _TYPES
        if format_ != "tf32"
    ]
    found += [Product("fft", format_, "torch", threads, partial(_fft, format_, "cpu")) for format_ in _COMPLEX]
    if torch.cuda.is_available():
        found += gpu_products("cuda")
    return found


def gpu_products(device: str) -> Iterator[Product]:
    """Products on a graphics processor; each call ends when the work is done."""
    for format_ in (*_TYPES, "int8"):
        yield Product("product", format_, "torch", 0, partial(_product, format_, device))
    for format_ in _COMPLEX:
        yield Product("fft", format_, "torch", 0, partial(_fft, format_, device))


def launch_calls(device: str, operators: int = 33) -> tuple[Callable[[], object], Callable[[], object]]:
    """One tiny operator, and `operators` of them, each call ending when the work is done."""
    tensor = torch.zeros(8, device=device)

    def run(count: int) -> None:
        for _ in range(count):
            tensor.add_(1.0)
        _wait(device)

    return partial(run, 1), partial(run, operators)


def copy_calls(
    device: str, size_bytes: int, *, pinned: bool
) -> tuple[tuple[Literal["to device", "to host"], Callable[[], object]], ...]:
    """Copies between the host and a device, both ways; the host's memory pinned or not."""
    host = torch.empty(size_bytes, dtype=torch.uint8, pin_memory=pinned)
    there = torch.empty(size_bytes, dtype=torch.uint8, device=device)

    def copy(target: torch.Tensor, source: torch.Tensor) -> None:
        target.copy_(source, non_blocking=pinned)
        _wait(device)

    return ("to device", partial(copy, there, host)), ("to host", partial(copy, host, there))


def gpu_stream_calls(device: str, size_bytes: int) -> tuple[tuple[str, Callable[[], object], float], ...]:
    """Copy and add in a graphics processor's memory, with the bytes that each moves."""
    one, two, three = (torch.ones(size_bytes // 4, device=device) for _ in range(3))

    def copy() -> None:
        one.copy_(two)
        _wait(device)

    def add() -> None:
        torch.add(two, three, out=one)
        _wait(device)

    return ("copy", copy, 2.0 * one.nbytes), ("add", add, 3.0 * one.nbytes)


def gpu_name() -> str:
    """Name of the first graphics processor; empty where there is none."""
    return str(torch.cuda.get_device_name(0)) if torch.cuda.is_available() else ""


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def _product(format_: str, device: str, size: int) -> Callable[[], object]:
    if format_ == "int8":
        left, right = (torch.randint(-63, 63, (size, size), dtype=torch.int8, device=device) for _ in range(2))
        return _done(device, partial(torch._int_mm, left, right.t()))  # noqa: SLF001 (there is no public one)
    one, two = (torch.randn(size, size, device=device).to(_TYPES[format_]) for _ in range(2))
    out = torch.empty_like(one)
    call = partial(torch.mm, one, two, out=out)
    if device == "cpu":
        return call

    def with_format() -> object:
        # The setting belongs to the process: it is what tells fp32 from tf32.
        torch.backends.cuda.matmul.allow_tf32 = format_ == "tf32"
        call()
        torch.cuda.synchronize()
        return out

    return with_format


def _fft(format_: str, device: str, size: int) -> Callable[[], object]:
    rows = torch.randn(FFT_VALUES // size, size, dtype=_COMPLEX[format_], device=device)
    return _done(device, partial(torch.fft.fft, rows))


def _done(device: str, call: Callable[[], object]) -> Callable[[], object]:
    def run() -> object:
        result = call()
        _wait(device)
        return result

    return run
