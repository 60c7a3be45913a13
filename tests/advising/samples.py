"""A chip, a network and a goal to advise on, small enough to reckon by hand."""

from __future__ import annotations

from collections.abc import Sequence

from chipwise.core.device import Device, Link, Price, System
from chipwise.core.layer import Layer

LINK = Link("wire", 100e9)


def gpu(name: str = "Chip", memory_gb: float = 24.0, **facts: object) -> Device:
    """A GPU with matrix units, a host link, and a rent of today."""
    usual: dict[str, object] = {
        "peak_flops": {"fp32": 20e12, "fp16": 80e12, "bf16": 80e12},
        "bandwidth_bytes_s": 800e9,
        "memory_bytes": int(memory_gb * 2**30),
        "power_w": 300.0,
        "host_link": "PCIe 4.0 x16",
        "prices": (Price("hour", 1.0, 1.0, "USD", "2026-11"),),
    }
    return Device(name, "gpu", **{**usual, **facts})  # type: ignore[arg-type]


def system(device: Device, count: int = 4, link: Link | None = LINK, **facts: object) -> System:
    return System(f"{count} of {device.name}", device, count, link, **facts)  # type: ignore[arg-type]


def transformer(batch: int, width: int = 4096, blocks: int = 12, length: int = 1024) -> Sequence[Layer]:
    """Pairs of products with weights, as the blocks of a transformer have."""
    rows = []
    for block in range(blocks):
        for part, (wide_in, wide_out) in enumerate(((width, 4 * width), (4 * width, width))):
            parameters = wide_in * wide_out
            tokens = batch * length
            rows.append(
                Layer(
                    f"b{block}.{part}",
                    "MatMul",
                    ((batch, length, wide_in),),
                    ((batch, length, wide_out),),
                    parameters=parameters,
                    flops=2 * tokens * parameters,
                    read_bytes=4 * (tokens * wide_in + parameters),
                    write_bytes=4 * tokens * wide_out,
                    saved_bytes=4 * tokens * wide_in,
                    after=(f"b{block}.0",) if part else (f"b{block - 1}.1",) if block else (),
                )
            )
    return rows
