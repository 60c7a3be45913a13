"""TensorFlow's published scaling: which rows are read as what, and that the cost model is as near as is said."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import pytest

import published_scaling
from chipwise.cost.parallel import Wire, ring_s
from published import nccl, tf_scaling
from published.tf_scaling import Row, predicted

EC2, DGX = "Amazon EC2 p2.8xlarge", "NVIDIA DGX-1"
SEVERAL = f"{EC2} distributed (n/8 instances)"
HEADER = "platform,gpu,model,gpus,batch_per_gpu,data,throughput,unit,source"


def row(platform: str, model: str, gpus: int, data: str = "synthetic", batch: int = 64) -> Row:
    return Row(platform, model, gpus, batch, data, 1.0, 1.25)


def test_rows_stand_beside_one_gpu_of_the_same(tmp_path: Path) -> None:
    lines = [
        f"{DGX},P100,ResNet-50,1,64,synthetic,200,images/s,x",
        f"{DGX},P100,ResNet-50,1,32,synthetic,160,images/s,x",
        f"{DGX},P100,ResNet-50,4,64,synthetic,640,images/s,x",
    ]
    (tmp_path / tf_scaling.FILE).write_text("\n".join([HEADER, *lines]) + "\n")
    (found,) = tf_scaling.read(tmp_path)
    assert (found.gpus, found.alone_s, found.step_s, found.efficiency) == (4, 0.32, 0.4, pytest.approx(0.8))


def test_what_is_held_out_and_how_variables_were_updated() -> None:
    assert row(DGX, "VGG16", 8).fitted
    assert not row(DGX, "VGG16", 8, "real").fitted
    assert not row(SEVERAL, "InceptionV3", 16).fitted
    assert not any(row(EC2, model, 8).fitted for model in ("ResNet-50", "ResNet-152", "AlexNet"))
    assert [row(DGX, model, 8).way for model in ("VGG16", "ResNet-50")] == ["ring", "host"]
    assert [row(EC2, model, 8).way for model in ("InceptionV3", "VGG16")] == ["host", "gpus"]
    assert row(SEVERAL, "InceptionV3", 16).way == "machines"


def test_predictions_move_as_they_must() -> None:
    """Slower links and more bytes for the time cost more; a ring of fast links costs nothing that shows."""
    vgg = row("GCE n1-standard-32-k80x8", "VGG16", 8)
    assert predicted(vgg, share=0.05) < predicted(vgg, share=0.2) <= predicted(vgg, share=1.0) <= 1
    assert predicted(vgg, board=0.1) < predicted(vgg, board=0.0)
    assert predicted(row(DGX, "InceptionV3", 8)) == pytest.approx(1.0, abs=0.01)
    slow, fast = (row(SEVERAL, model, 64) for model in ("ResNet-152", "InceptionV3"))
    assert predicted(slow) < predicted(fast)


def test_picture_and_groups() -> None:
    rows = [row(place, "ResNet-50", gpus) for place in (DGX, EC2, SEVERAL) for gpus in (2, 8)]
    assert b"<svg" in published_scaling.picture(rows, lambda each: each.efficiency, ".svg")
    found = published_scaling.summaries(rows, lambda each: 1.1 * each.efficiency, 0.8)
    assert found["held out, DGX-1, P100"]["median"] == pytest.approx(0.1)
    assert found["held out, all with synthetic data"]["linear_mean"] == pytest.approx(0.25)
    assert found["held out, all with synthetic data"]["usual_mean"] == pytest.approx(0)


def test_a_ring_is_found_again() -> None:
    wire = Wire(50e9, 8e-6)
    rows = [(gpus, size, ring_s(size, gpus, wire)) for gpus in (2, 4) for size in (1 << 20, 1 << 28)]
    found = nccl.fit(rows[2:])
    assert (found.bytes_s, found.latency_s) == (pytest.approx(50e9), pytest.approx(8e-6))
    assert nccl.errors(rows, found) == {2: pytest.approx(0, abs=1e-9), 4: pytest.approx(0, abs=1e-9)}


@pytest.mark.shared
def test_nccl_through_a_switch_is_a_ring(shared_data: Path) -> None:
    tables = shared_data.parent / "reference" / "tables"
    if not (tables / nccl.FILE).is_file():
        pytest.skip("no reference tables beside this checkout")
    rows = nccl.read(tables)["A100"]
    off = nccl.errors(rows, nccl.fit([row for row in rows if row[0] == nccl.FITTED]))
    assert max(off.values()) < 0.15


@pytest.mark.shared
def test_published_curves(shared_data: Path) -> None:
    """The median error of the efficiency is far below 15% on rows that nothing was fitted on."""
    tables = shared_data.parent / "reference" / "tables"
    if not tables.is_dir():
        pytest.skip("no reference tables beside this checkout")
    rows = tf_scaling.read(tables)
    assert (len(rows), sum(each.fitted for each in rows)) == (156, 30)
    held = [each for each in rows if not each.fitted and each.data == "synthetic"]
    off = [abs(predicted(each) / each.efficiency - 1) for each in held]
    assert len(off) == 59
    assert median(off) < 0.05
    assert sum(each > 0.15 for each in off) <= 9
