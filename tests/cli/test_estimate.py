"""`chipwise estimate` on the command line: light, one clear line for what cannot be, completion."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HEAVY = (
    "torch", "onnxruntime", "openvino", "onnx", "onnx_ir", "numpy", "matplotlib", "keras", "scipy", "sklearn", "jinja2",
    "PIL", "cv2", "nncf",
)  # fmt: skip
Cli = Callable[..., Any]


@pytest.mark.parametrize(
    "arguments",
    [
        ["resnet50", "--on", "rtx4090"],
        ["vgg16", "--on", "dgx-1", "--phase", "train", "--batch", "8"],
        ["bert-base", "--on", "tpu-v3", "--on", "a100", "--batch", "sweep", "--layers"],
    ],
)
def test_it_imports_nothing_heavy(arguments: list[str]) -> None:
    """Which is what keeps it under half a second, and what the light install has."""
    code = (
        "import sys, chipwise.cli.app as app\n"
        f"sys.argv = ['chipwise', 'estimate', *{arguments!r}]\n"
        "try:\n    app.main()\nexcept SystemExit as end:\n    assert end.code in (0, None), end.code\n"
        "print('modules:', *sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "items/s" in done.stdout
    assert not set(done.stdout.rpartition("modules:")[2].split()) & set(HEAVY)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["resnet50", "--on", "rtx4091"], "unknown device 'rtx4091'"),
        (["resnet51", "--on", "rtx4090"], "unknown network 'resnet51'"),
        (["resnet50", "--on", "rtx4090", "--batch", "0"], "cannot read '0' in --batch"),
        (["resnet50", "--on", "rtx4090", "--batch", "-1"], "cannot read '-1' in --batch"),
        (["resnet50", "--on", "rtx4090", "--batch", "1e9"], "cannot read '1e9' in --batch"),
        (["resnet50", "--on", "rtx4090", "--batch", "1,x"], "cannot read 'x' in --batch"),
        (["resnet50", "--on", "rtx4090", "--precision", "fp17"], "unknown precision 'fp17'"),
        (["resnet50", "--on", "rtx4090", "--epochs", "2"], "2 epochs of data of unknown size"),
        (["resnet50", "--on", "rtx4090", "--data-size", "0"], "the data has 0 items"),
        (["resnet50", "--on", "rtx4090", "--catalogue", "nowhere.toml"], "nowhere.toml"),
        (["resnet50", "--on", "tpu-v1", "--phase", "train"], "training on TPU v1 is not estimated"),
        (["resnet50", "--on", "edge-tpu", "--phase", "train"], "training on Coral Edge TPU is not estimated"),
        (["resnet50", "--on", "edge-tpu", "--precision", "fp32"], "Coral Edge TPU does not compute in fp32"),
        (["resnet50", "--on", "p100", "--precision", "int8"], "the peak for int8 of Tesla P100"),
        (["resnet50", "--on", "k80", "--precision", "amp"], "amp needs a 16-bit format, and Tesla K80"),
        (["resnet50", "--on", "a100", "--precision", "int8", "--phase", "train"], "nothing is trained in int8"),
        (["resnet50", "--on", "a100", "--runtime", "openvino"], "openvino does not run on A100"),
        (["resnet50", "--on", "a100", "--technique", "adamw"], "adamw is a matter of training"),
        (["resnet50", "--on", ""], "unknown device ''"),
        (["resnet50", "--on", "\u65e5\u672c"], "unknown device '\u65e5\u672c'"),
    ],
)
def test_bad_input_is_one_clear_line(cli: Cli, arguments: list[str], says: str) -> None:
    outcome = cli("estimate", *arguments)
    lines = outcome.err.strip().splitlines()
    assert outcome.code == 2, outcome
    assert lines[0].startswith("error: ")
    assert says in lines[0]
    assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("hint: ")), outcome.err
    assert outcome.out == ""


def test_a_damaged_catalogue_names_its_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[[device]\n")
    outcome = cli("estimate", "lenet5", "--on", "rtx4090", "--catalogue", tmp_path / "mine.toml")
    assert outcome.code == 2
    assert outcome.err.startswith("error: ")
    assert "mine.toml" in outcome.err.splitlines()[0]


def test_json_is_one_document(cli: Cli) -> None:
    outcome = cli("estimate", "lenet5", "--on", "rtx4090", "--batch", "sweep", "--json")
    document = json.loads(outcome.out)
    assert document["schema"] == "chipwise.estimate/1"
    assert [each["estimate"]["workload"]["batch"] for each in document["forecasts"]][:3] == [1, 2, 4]
    assert document["knees"][0]["device"] == "GeForce RTX 4090"


def test_layers_and_picture(cli: Cli, tmp_path: Path) -> None:
    outcome = cli("estimate", "lenet5", "--on", "rtx4090", "--layers", "--roofline", tmp_path / "roof.html")
    assert outcome.code == 0, outcome.err
    assert "Layers at batch 1" in outcome.out
    assert (tmp_path / "roof.html").read_text().startswith("<!doctype html>")


def test_completion() -> None:
    from chipwise.cli.estimate import complete_device, complete_precision, complete_technique

    assert "rtx4090" in complete_device("RTX40")
    assert complete_device("her") == ["here"]
    assert complete_precision("fp1") == ["fp16"]
    assert complete_technique("ch") == ["channels_last", "checkpointing"]


def test_what_is_no_model_is_told_what_is(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Read me\n")
    outcome = cli("estimate", tmp_path / "README.md")
    assert outcome.code == 2
    assert "give an .onnx, .cfg, .prototxt" in outcome.err


def test_meshes_of_a_system(cli: Cli) -> None:
    """Copies of bert-base at batch 512 need more than a V100 has: they take micro-batches."""
    asked = ["estimate", "bert-base", "--on", "dgx-1", "--phase", "train", "--precision", "amp"]
    found = json.loads(cli(*asked, "--batch", "512", "--json").out)["forecasts"][0]
    assert found["estimate"]["fits"] is False
    meshes = found["meshes"]
    assert meshes[0]["mesh"] == "dp8"
    assert meshes[0]["fits"]
    assert (meshes[0]["micro_batches"], meshes[0]["micro"], meshes[0]["batch"]) == (2, 256, 4096)
    assert {each["mesh"] for each in meshes} >= {"dp8", "fsdp8", "tp8", "pp8", "dp2,tp2,pp2"}
    shown = cli(*asked, "--batch", "512").out
    assert "Meshes of 8 Tesla V100 SXM2 16GB, batch 4,096" in shown
    assert "and 7 more with --json" in shown
    assert not json.loads(cli(*asked, "--batch", "8,16", "--json").out)["forecasts"][0].get("meshes")
    assert not json.loads(cli("estimate", "bert-base", "--on", "v100", "--phase", "train", "--json").out)["forecasts"][
        0
    ].get("meshes")
