"""Single kernels: reading, and a fit that finds a made-up machine again."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from chipwise.core.device import Device
from chipwise.core.errors import DataError
from chipwise.cost.model import prices, rates
from chipwise.cost.ops import Op
from chipwise.devices.profiles import profiles
from published.fit_kernels import fitted
from published.kernels import LAUNCH_S, Kernel, Table, operation, read

CARD = Device(
    "made up", "gpu", peak_flops={"fp32": 1e13}, bandwidth_bytes_s=5e11, cache_bytes=4 * 2**20, multiprocessors=40
)


def write(folder: Path, kind: str, device: str, rows: list[dict[str, object]]) -> None:
    with gzip.open(folder / f"train__{kind}__{device}.csv.gz", "wt", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_calls_cost_is_taken_off_and_short_rows_left_out(tmp_path: Path) -> None:
    rows = [{"Latency": ms, "B": 1024, "H": 1024} for ms in (*[0.05] * 50, 0.1, 1.0)]
    write(tmp_path, "add", "Tesla_T4", rows)
    table = read(tmp_path, "Tesla_T4", "add")
    assert table.floor_s == pytest.approx(50e-6)
    (kernel,) = table.kernels
    assert kernel.device_s == pytest.approx(1e-3 - 50e-6 + LAUNCH_S)
    assert (kernel.op.read_bytes, kernel.op.write_bytes) == (2 * 4 * 2**20, 4 * 2**20)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train__bmm__Tesla_T4\.csv\.gz"):
        read(tmp_path, "Tesla_T4", "bmm")


def test_convolution_has_the_work_of_its_sizes() -> None:
    row = {"B": "2", "Input_Channel": "3", "Output_Channel": "8", "Kernel_Szie": "3", "Input_Size": "16"}
    op = operation("conv", {**row, "Stride": "2", "Padding": "1"})
    assert op.dims == (2 * 8 * 8, 8, 27, 1)
    assert op.flops == 2 * 2 * 8 * 8 * 8 * 27
    assert op.weight_bytes == 4 * 8 * 27


def test_fit_finds_a_made_up_machine() -> None:
    """Products at half of the peak, streams at 80% of the bandwidth."""
    dice = np.random.default_rng(1)

    def table(kind: str, ops: list[Op], seconds: list[float]) -> Table:
        return Table(kind, 20e-6, tuple(Kernel(op, s) for op, s in zip(ops, seconds, strict=True)))

    def products(kind: str, name: str) -> Table:
        sizes = np.exp2(dice.uniform(7, 12, (300, 3))).round()
        ops = [
            Op(name, 2 * m * n * k, 4 * m * k, 4 * n * k, 4 * m * n, (float(m), float(n), float(k), 1.0))
            for m, n, k in sizes
        ]
        return table(kind, ops, [op.flops / 5e12 + LAUNCH_S for op in ops])

    def streams(kind: str, name: str) -> Table:
        sizes = np.exp2(dice.uniform(23, 28, 100))
        ops = [Op(name, read_bytes=float(each), write_bytes=float(each)) for each in sizes]
        return table(kind, ops, [2 * op.read_bytes / 4e11 + LAUNCH_S for op in ops])

    tables = [products("linear", "mm"), products("bmm", "bmm"), products("conv", "ck"), streams("add", "ew")]
    tables += [streams("tanh", "ew"), streams("softmax", "sm"), streams("ln", "ln")]
    found = fitted(CARD, tables)
    assert all(mean < 0.05 for _, mean in found.errors.values()), found.errors
    peaks = rates(CARD, found.profile)
    product = Op("mm", 2 * 2048**3, 4 * 2048**2, 4 * 2048**2, 4 * 2048**2, (2048.0, 2048.0, 2048.0, 1.0))
    stream = Op("ew", read_bytes=1e8, write_bytes=1e8)
    first, second = prices([product, stream], peaks, found.profile)
    assert first.total_s == pytest.approx(product.flops / 5e12, rel=0.05)
    assert second.total_s == pytest.approx(2e8 / 4e11, rel=0.05)
    assert found.profile.dispatch_s == pytest.approx(20e-6)


def test_curves_are_flat_beyond_what_was_measured() -> None:
    profile = next(each for each in profiles() if "tesla-v100" in each.name)
    deepest = profile.classes["mm_nn"].compute_curves["k"]
    assert deepest.at[-1] == pytest.approx(10.0, abs=0.01)
    assert deepest(20.0) == deepest.gain[-1]
