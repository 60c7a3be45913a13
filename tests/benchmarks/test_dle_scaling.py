"""NVIDIA's published scaling: which rows make a pair, and that what is said of held-out ones holds."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from chipwise.cost.together import LOST
from published import dle_scaling
from published.dle_scaling import Row, efficiency

NAMES = "model_dir,mode,device_heading,precision_guess,nodes,gpus,batch,seq_len,metric,value"


def write(folder: Path, *rows: str) -> Path:
    with gzip.open(folder / dle_scaling.FILE, "wt") as file:
        file.write("\n".join([NAMES, *rows]) + "\n")
    return folder


def test_rows_stand_beside_one_gpu_of_the_same(tmp_path: Path) -> None:
    found = dle_scaling.read(write(
        tmp_path,
        "PyTorch/Net,train,DGX-1,mixed,,1,64,,Throughput,100",
        "PyTorch/Net,train,DGX-1,mixed,,8,64,,Throughput,720",
        "PyTorch/Net,train,DGX-1,FP32,,8,64,,Throughput,400",
        "PyTorch/Net,infer,DGX-1,mixed,,4,64,,Throughput,400",
        "PyTorch/Net,train,DGX-1,mixed,2,16,64,,Throughput,1500",
        "PyTorch/Net,train,DGX-1,mixed,,2,64,,Throughput speedup,2.0x",
        "TensorFlow/Net,train,DGX-1,mixed,,1,64,,images/s,100",
        "TensorFlow/Net,train,DGX-1,mixed,,4,64,,images/s,900",
    ))  # fmt: skip
    assert found == [Row("PyTorch/Net", 8, pytest.approx(0.9))]
    assert found[0].held_out


def test_what_a_doubling_loses_is_found_again() -> None:
    rows = [Row("TensorFlow/Net", gpus, efficiency(gpus, 0.05)) for gpus in (2, 4, 8, 16)]
    assert dle_scaling.fit(rows) == (pytest.approx(0.05), pytest.approx(0.05), pytest.approx(0.05))


@pytest.mark.shared
def test_rows_that_are_held_out_lie_inside(shared_data: Path) -> None:
    tables = shared_data.parent / "reference" / "tables"
    if not (tables / dle_scaling.FILE).is_file():
        pytest.skip("no reference tables beside this checkout")
    rows = dle_scaling.read(tables)
    again = dle_scaling.fit([row for row in rows if not row.held_out])
    assert again == pytest.approx(LOST, rel=0.02, abs=1e-4)
    found = dle_scaling.summary([row for row in rows if row.held_out])
    assert found["rows"] > 200
    assert found["inside"] >= 0.8
    assert found["median"] < 0.06 < found["linear_median"]
