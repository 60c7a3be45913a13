"""Published tables of others: which rows are read, and that predictions are as good as is said."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from chipwise.cost.ops import Op
from chipwise.devices.known import device
from published import dle, edge, mlperf, neusight, neusight_training, tf2017
from published.choose import KERNELS, chosen
from published.errors import by, summary

LINE = {
    "framework": "PyTorch",
    "model_dir": "PyTorch/Classification/ConvNets/resnet50v1.5",
    "mode": "infer",
    "kind": "offline",
    "device_heading": "Inference performance: NVIDIA DGX-1 (1x V100 16GB)",
    "precision_guess": "FP32",
    "nodes": "",
    "gpus": "",
    "batch": "8",
    "seq_len": "",
    "nearest_text": "",
    "metric": "Throughput Avg",
    "value": "400",
}


@pytest.fixture(scope="session")
def tables(shared_data: Path) -> Path:
    folder = shared_data.parent / "reference" / "tables"
    if not folder.is_dir():
        pytest.skip("no reference tables beside this checkout")
    return folder


def test_dle_reads_a_line() -> None:
    row = dle.read(LINE)
    assert row is not None
    assert (row.network, row.card.name, row.workload.batch) == ("resnet50", "Tesla V100 SXM2 16GB", 8)
    assert (row.workload.precision, row.measured_s) == ("fp32", 0.02)


@pytest.mark.parametrize(
    "other",
    [
        {"model_dir": "TensorFlow/Detection/SSD"},
        {"gpus": "8"},
        {"metric": "Latency Avg"},
        {"batch": ""},
        {"batch": "4096 and 4096"},
        {"device_heading": "Inference performance: something else"},
        {"mode": "train"},
        {"kind": "serving"},
    ],
)
def test_dle_leaves_out_what_it_cannot_compare(other: dict[str, str]) -> None:
    assert dle.read({**LINE, **other}) is None


def test_dle_says_how_it_was_run() -> None:
    row = dle.read({**LINE, "device_heading": "1x A100 40GB", "precision_guess": "FP32"})
    assert row is not None
    assert row.workload.precision == "tf32"
    row = dle.read({**LINE, "precision_guess": "Mixed", "nearest_text": "**Mixed + XLA**", "batch": "12,8"})
    assert row is not None
    assert (row.workload.techniques, row.workload.compiled, row.workload.batch) == (("amp",), True, 12)
    bert = {
        **LINE,
        "model_dir": "TensorFlow2/LanguageModeling/BERT",
        "seq_len": "128",
        "nearest_text": "BERT-Base FP32",
    }
    row = dle.read(bert)
    assert row is not None
    assert (row.network, row.length) == ("bert_base", 128)


def test_one_chip_of_a_board_is_half_of_it() -> None:
    board = device("Tesla K80")
    half = board.one_chip()
    assert half.peak_flops["fp32"] == board.peak_flops["fp32"] / 2
    assert (half.multiprocessors, half.chips) == (13, 1)


def test_cards_with_one_chip_share_a_profile() -> None:
    profile = chosen(device("Tesla P100 SXM2 16GB"), neusight.Workload())
    assert profile.devices == ("Tesla P100 PCIe 16GB", "Tesla P100 SXM2 16GB")
    profile = chosen(device("Tesla V100 SXM2 32GB"), neusight.Workload())
    assert profile.devices == ("Tesla V100 PCIe 32GB", "Tesla V100 SXM2 32GB")


def test_training_and_compiled_code_in_fp32_take_the_profile_of_kernels_as_wide_as_it_is() -> None:
    card = device("Tesla V100 SXM2 32GB")
    eager = chosen(card, neusight.Workload())
    assert eager.name.startswith(KERNELS)
    asked = chosen(card, neusight.Workload(phase="training", compiled=True))
    assert asked == replace(eager, phase="training", fused=True)


@pytest.mark.shared
def test_neusight_is_beaten_on_its_own_rows(tables: Path) -> None:
    """Mean error below NeuSight's on all rows of one device, on inference, on compiled rows, and on most devices."""
    rows = neusight.errors(tables)
    assert len(rows) == 52
    assert all(row.held_out for row in rows)
    found = summary(rows)
    assert found.published is not None
    assert found.mean < 0.085 < found.published
    phases = by(rows, lambda row: "train" if "train" in row.row else "compiled" if "compiled" in row.row else "inf")
    assert phases["inf"].mean < 0.07 < (phases["inf"].published or 0)
    assert phases["compiled"].mean < 0.04 < (phases["compiled"].published or 0)
    assert phases["train"].mean < 0.15
    devices = by(rows, lambda row: row.device)
    better = [name for name, each in devices.items() if each.mean < (each.published or 0)]
    assert len(better) == 5, devices


@pytest.mark.shared
def test_training_misses_are_the_drivers_time(tables: Path) -> None:
    passes = neusight_training.pass_errors(tables)
    assert {name: len(rows) for name, rows in passes.items()} == {"forward": 13, "backward": 13}
    assert summary(passes["backward"]).mean < 0.07 < summary(passes["forward"]).mean
    rows = neusight_training.errors(tables)
    held = summary([row for row in rows if row.held_out])
    assert (len(rows), held.rows) == (10, 8)
    assert held.mean < 0.08 < (held.published or 0)


def test_requests_for_memory() -> None:
    large, middle = Op("ew", write_bytes=10 * 2**20), Op("ew", write_bytes=2 * 2**20)  # in 2-byte values
    assert neusight_training.requests([large, large]) == 2
    assert neusight_training.requests([middle] * 5) == 1
    assert neusight_training.requests([Op("ew", write_bytes=2**17)] * 8) == 1


@pytest.mark.shared
def test_fp32_rows_of_dle_follow_from_single_kernels(tables: Path) -> None:
    rows = [row for row in dle.errors(tables) if " fp32" in row.row]
    assert len(rows) > 90
    found = summary(rows)
    assert found.median < 0.11
    assert found.mean < 0.16
    assert (found.rank or 0) > 0.97


@pytest.mark.shared
def test_a_younger_profile_reaches_tensorflow_of_2017_within_its_interval(tables: Path) -> None:
    found = by(tf2017.errors(tables), lambda row: row.device)
    assert found["Tesla P100 SXM2 16GB"].mean < 0.2
    assert found["Tesla K80, one chip"].bias < -0.4  # half as fast as stated peaks say: see the module


def test_edge_rows_are_split_by_rule(tmp_path: Path) -> None:
    lines = [
        "device,framework,model,input,value,unit,source",
        "Desktop CPU,TFLite,VGG16,224x224,867,ms,coral.ai/docs",
        "Desktop CPU,TFLite,SqueezeNet,224x224,55,ms,coral.ai/docs",
        "Desktop CPU,TFLite,EfficientNet-EdgeTpu-S,,1,ms,coral.ai/docs",
        "Raspberry Pi 5,TensorFlow,SSD MobileNet v1 0.75,300x300,66.2,ms,aallan",
        "Raspberry Pi 5,TensorFlow,SSD MobileNet v2,300x300,148.9,ms,aallan",
    ]
    file = tmp_path / "edge_latency.csv"
    file.write_text("\n".join(lines) + "\n")
    rows = edge.read(file)
    assert [(row.model, row.fitted) for row in rows] == [
        ("VGG16", False),
        ("SqueezeNet", True),
        ("SSD MobileNet v1 0.75", True),
        ("SSD MobileNet v2", False),
    ]


@pytest.mark.shared
@pytest.mark.runtime
def test_edge_rows(tables: Path) -> None:
    pytest.importorskip("torch")  # rows of networks at other sizes are traced
    rows = edge.errors(tables)
    held = [row for row in rows if row.held_out]
    processors = summary([row for row in held if "G/s" in row.note])
    assert processors.rows >= 30
    assert processors.median < 0.22
    tpu = summary([row for row in held if not row.note])
    assert tpu.median < 0.12


def test_mlperf_takes_the_median_of_single_cards(tmp_path: Path) -> None:
    names = "accelerator,accels_per_node,nodes,division,framework,model,scenario,perf"
    lines = [
        "NVIDIA L4,1,1,closed,TensorRT 9,resnet50,Offline,10000",
        "NVIDIA L4,1,1,closed,TensorRT 9,resnet50,Offline,12500",
        "NVIDIA L4,1,1,closed,TensorRT 9,resnet50,Offline,20000",
        "NVIDIA L4,8,1,closed,TensorRT 9,resnet50,Offline,90000",
        "NVIDIA L4,1,1,open,TensorRT 9,resnet50,Offline,90000",
        "Something else,1,1,closed,TensorRT 9,resnet50,Offline,1",
        "NVIDIA L4,1,1,closed,TensorRT 9,resnet50,SingleStream,0.5",
    ]
    file = tmp_path / mlperf.FILE
    with gzip.open(file, "wt") as out:
        out.write("\n".join([names, *lines]) + "\n")
    offline, single = mlperf.read(file)
    assert (offline.card.name, offline.measured_s, single.measured_s) == ("L4", 1 / 12500, 0.5e-3)
    peak = device("L4").peak_flops["int8"]
    assert offline.floor_s >= 2 * 4.08e9 / peak


@pytest.mark.shared
def test_a_roofline_carries_from_card_to_card(tables: Path) -> None:
    rows = mlperf.errors(tables)
    held = summary([row for row in rows if row.held_out])
    assert held.rows >= 14
    assert held.median < 0.3
    assert (held.rank or 0) > 0.95
