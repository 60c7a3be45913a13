"""Systolic arrays: tile fill by hand, TPU v1 as published, and the cache of the Edge TPU."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chipwise.core.device import Device
from chipwise.core.errors import InputError
from chipwise.core.estimate import Workload
from chipwise.core.layer import Layer
from chipwise.cost.roofline import floor
from chipwise.cost.systolic import seconds
from chipwise.devices.known import device

TPU = device("TPU v1")


def dense(name: str, batch: int, inputs: int, outputs: int) -> Layer:
    """A fully connected layer without bias."""
    return Layer(
        name,
        "Gemm",
        ((batch, inputs),),
        ((batch, outputs),),
        inputs * outputs,
        flops=2 * batch * inputs * outputs,
        read_bytes=4 * (batch * inputs + inputs * outputs),
        write_bytes=4 * batch * outputs,
    )


def convolution(name: str, batch: int, channels: int, filters: int, side: int, kernel: int) -> Layer:
    """A convolution that keeps the size of its input, without bias."""
    weights = channels * filters * kernel**2
    return Layer(
        name,
        "Conv",
        ((batch, channels, side, side),),
        ((batch, filters, side, side),),
        weights,
        flops=2 * batch * side**2 * weights,
        read_bytes=4 * (batch * channels * side**2 + weights),
        write_bytes=4 * batch * filters * side**2,
        kernel=(kernel, kernel),
    )


# Jouppi et al., ISCA 2017, table 1 gives layers, weights, multiply-adds per byte of weights and batch of each. Widths
# are not published. MLP0: 5 equal layers are 2,000 wide. LSTM0: its 52M weights in 24 equal products. CNN0: 2,888
# multiply-adds per weight at batch 8 are 361 = 19 x 19 positions; 16 layers of 240 filters 3x3 have its 8M weights.
MLP0 = [dense(f"fc{index}", 200, 2000, 2000) for index in range(5)]
MLP1 = [dense(f"fc{index}", 168, 1118, 1118) for index in range(4)]
LSTM0 = [dense(f"gates{index}", 64, 1472, 1472) for index in range(24)]
LSTM1 = [dense(f"gates{index}", 96, 959, 959) for index in range(37)]
CNN0 = [convolution(f"conv{index}", 8, 240, 240, 19, 3) for index in range(16)]


def tera_operations(layers: list[Layer], batch: int, chip: Device = TPU) -> float:
    rows = seconds(layers, chip, Workload(batch=batch, precision="int8"))
    return 1e-12 * sum(row.flops for row in rows) / sum(row.time_s for row in rows)


@pytest.mark.parametrize(
    ("layers", "batch", "weights", "per_byte", "published", "most"),
    [
        # Table 1 (weights, multiply-adds per byte) and table 3 (TOPS of 92). The model streams weights at full DRAM
        # speed and knows no host, so it may be above what was measured; LSTM1 and MLP1 fill the array worse than
        # equal layers do, and lose 32% and 10% of their cycles elsewhere, as table 3 says.
        (MLP0, 200, 20e6, 200, 12.3, 1.15),
        (MLP1, 168, 5e6, 168, 9.7, 1.20),
        (LSTM0, 64, 52e6, 64, 3.7, 1.20),
        (LSTM1, 96, 34e6, 96, 2.8, 2.35),
        (CNN0, 8, 8e6, 2888, 86.0, 1.10),
    ],
    ids=["MLP0", "MLP1", "LSTM0", "LSTM1", "CNN0"],
)
def test_tpu_v1_is_as_published(
    layers: list[Layer], batch: int, weights: float, per_byte: float, published: float, most: float
) -> None:
    held = sum(layer.parameters for layer in layers)
    assert held == pytest.approx(weights, rel=0.05)
    assert sum(layer.flops for layer in layers) / 2 / held == pytest.approx(per_byte, rel=0.001)
    assert 0.9 <= tera_operations(layers, batch) / published <= most


def test_tpu_v1_is_bound_by_memory_but_for_convolutions() -> None:
    def bounds(layers: list[Layer], batch: int) -> set[str]:
        return {row.bound for row in seconds(layers, TPU, Workload(batch=batch, precision="int8"))}

    assert bounds(MLP0, 200) == bounds(LSTM0, 64) == {"memory"}
    assert bounds(CNN0, 8) == {"compute"}
    # The paper's "GDDR5 instead of DDR3" would have tripled its performance (section 7: 180 GB/s).
    quicker = replace(TPU, bandwidth_bytes_s=180e9)
    assert 2.5 <= tera_operations(MLP0, 200, quicker) / tera_operations(MLP0, 200) <= 6


def test_tpu_v1_between_k80_and_p40() -> None:
    """Published: inferences a second under 10 ms are 1/13, 1 and 2 (published.md; NVIDIA's blog of 2017-04)."""
    tpu_s = sum(row.time_s for row in seconds(MLP0, TPU, Workload(batch=200, precision="int8"))) / 200
    # A K80 keeps the latency with 16 items only (table 4), in float32, on one of its two chips: 2.8 TFLOP/s without
    # boost and 160 GB/s with error correction (table 2). The roofline is a floor of its time, so it is a little better.
    k80 = Device("K80, one chip", "gpu", peak_flops={"fp32": 2.8e12}, bandwidth_bytes_s=160e9)
    small = [dense(layer.name, 16, 2000, 2000) for layer in MLP0]
    k80_s = (floor(small, k80, Workload(batch=16))[1].low or 0) / 16
    assert tpu_s / k80_s == pytest.approx(1 / 13, rel=0.25)
    # A P40 is bound by its 47 TOPS; twice the TPU is half of what they allow.
    p40 = (floor(MLP0, device("P40"), Workload(batch=200, precision="int8"))[1].low or 0) / 200
    assert 2 <= tpu_s / p40 <= 4


@pytest.mark.parametrize(
    ("m", "n", "k", "share"),
    [
        (1024, 128, 128, 1),
        (1024, 129, 128, 129 / 256),
        (64, 128, 128, 0.5),  # shifting the next weights in takes longer than the rows
        (1024, 128, 9, 9 / 128),
    ],
)
def test_the_share_of_the_peak_is_tile_fill(m: int, n: int, k: int, share: float) -> None:
    chip = Device("x", "tpu", peak_flops={"int8": 1e12}, bandwidth_bytes_s=1e18, array=(128, 128))
    (row,) = seconds([dense("fc", m, k, n)], chip, Workload(precision="int8"))
    assert row.flops / row.time_s / 1e12 == pytest.approx(share)


@pytest.mark.parametrize("name", ["TPU v2", "TPU v3", "TPU v4", "TPU v5e", "TPU v5p", "TPU v6e"])
def test_large_products_reach_the_peak_of_every_generation(name: str) -> None:
    chip, layer = device(name), dense("fc", 8192, 8192, 8192)
    (row,) = seconds([layer], chip, Workload(batch=8192, precision="bf16"))
    assert row.bound == "compute"
    assert row.flops / row.time_s == pytest.approx(chip.peak_flops["bf16"], rel=1e-6)


def test_edge_tpu_streams_what_does_not_fit() -> None:
    """Of 12 MB of weights some 4 MB come over the link at every inference."""
    chip = device("Coral Edge TPU")
    layers = [dense(f"fc{index}", 1, 1000, 1000) for index in range(12)]
    rows = seconds(layers, chip, Workload(precision="int8"))
    assert rows[0].name == "invocation"
    assert rows[0].bound == "launch"
    assert [row.moved_bytes for row in rows[1:]] == [0.0] * 8 + [1e6] * 4
    few = seconds(layers[:8], chip, Workload(precision="int8"))
    assert all(row.moved_bytes == 0 for row in few[1:])


@pytest.mark.parametrize(("given", "made"), [((8, 50, 64), (8, 50, 256)), ((50, 8, 64), (50, 1, 8, 256))])
def test_recurrences_use_all_their_weights_at_every_step(given: tuple[int, ...], made: tuple[int, ...]) -> None:
    """4 gates of 256 from 64 + 256 values: 2 x 4 tiles of 256 x 256 at each of 50 steps, 256 cycles each at 700 MHz."""
    layer = Layer("r", "LSTM", (given,), (made,), 4 * 256 * (64 + 256), 10**9, 4000, 4000)
    (row,) = seconds([layer], replace(TPU, bandwidth_bytes_s=1e15), Workload(batch=8, precision="int8"))
    assert row.bound == "compute"
    assert row.time_s == pytest.approx(50 * 8 * 256 * 2 * 256**2 / TPU.peak_flops["int8"])
    (row,) = seconds([layer], TPU, Workload(batch=8, precision="int8"))
    assert row.moved_bytes == 50 * 4 * 256 * (64 + 256)
    # The Edge TPU keeps them, whatever the steps.
    row = seconds([layer], device("Coral Edge TPU"), Workload(batch=8, precision="int8"))[-1]
    assert row.moved_bytes == 0


def test_what_cannot_be_estimated_is_refused() -> None:
    layers = [dense("fc", 1, 8, 8)]
    with pytest.raises(InputError, match="inference"):
        seconds(layers, TPU, Workload("training", precision="int8"))
    with pytest.raises(InputError, match="does not compute in fp32"):
        seconds(layers, TPU, Workload())
    with pytest.raises(InputError, match="systolic array"):
        seconds(layers, Device("x", "gpu", peak_flops={"int8": 1e12}), Workload(precision="int8"))
    with pytest.raises(InputError, match="host link"):
        seconds(layers, Device("x", "edge", peak_flops={"int8": 1e12}, array=(8, 8)), Workload(precision="int8"))
