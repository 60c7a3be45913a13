"""`chipwise devices` as it is typed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chipwise.cli.answer import hardware_names

MINE = """
[sources.mine]
title = "My own data sheet"
date = "2026-01"
[[device]]
name = "Mine 9000"
kind = "gpu"
aliases = ["m9"]
year = [2026, "mine"]
peak_tflops = { fp32 = [1000, "mine"] }
power_w = [500, "mine"]
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(MINE)
    return path


def test_the_list_and_its_order(cli: Callable[..., Any]) -> None:
    assert "P40 " in cli("devices").out
    found = json.loads(cli("devices", "--sort", "flops-per-watt", "--json").out)
    assert found["schema"] == "chipwise.devices/1"
    etas = [line["flops_per_watt"] for line in found["lines"]]
    known = [eta for eta in etas if eta is not None]
    assert known == sorted(known, reverse=True)
    assert etas[: len(known)] == known, "unknown comes last"
    assert None in etas


@pytest.mark.parametrize(
    ("order", "key", "sign"), [("power", "power_w", 1), ("price", "price_usd", 1), ("year", "year", -1)]
)
def test_orders(cli: Callable[..., Any], order: str, key: str, sign: int) -> None:
    lines = json.loads(cli("devices", "--kind", "gpu", "--sort", order, "--json").out)["lines"]
    assert {line["kind"] for line in lines} == {"gpu"}
    values = [sign * line[key] for line in lines if line[key] is not None]
    assert values == sorted(values)


def test_one_name_gives_the_whole_sheet(cli: Callable[..., Any]) -> None:
    shown = cli("devices", "rtx4090").out
    for part in ("GeForce RTX 4090 (NVIDIA, GPU, 2022)", "ridge", "[1]", "1,599 USD"):
        assert part in shown
    assert "tensor cores" in cli("devices", "V100").out, "its misprints are told"


def test_what_others_measured_stands_beside_the_data_sheet(cli: Callable[..., Any]) -> None:
    said = cli("devices", "v100").out
    assert "STREAM triad 855 of 900 GB/s (95%)" in " ".join(said.split())
    assert "Microway" in said
    rows = json.loads(cli("devices", "v100", "--json").out)["measured"]
    assert [(row["format"], row["gemm_flops"]) for row in rows] == [("fp32", 13.48e12), ("fp64", 5.92e12)]
    assert json.loads(cli("devices", "rtx4090", "--json").out)["measured"] == []


@pytest.mark.parametrize("words", [("v100", "a100"), ("--compare", "v100", "a100"), ("v100", "--compare", "a100")])
def test_several_names_stand_side_by_side(cli: Callable[..., Any], words: tuple[str, ...]) -> None:
    shown = cli("devices", *words).out
    assert next(line for line in shown.splitlines() if line.startswith("fp16,")).split() == [
        "fp16,",
        "TFLOP/s",
        "125",
        "312",
        "2.50",
    ]


def test_ridge_and_eta_are_for_a_format_that_all_have(cli: Callable[..., Any]) -> None:
    assert "eta and mu for int8" in " ".join(cli("devices", "tpu-v1", "edge-tpu").out.split())
    assert json.loads(cli("devices", "tpu-v3", "rtx4090", "--json").out)["precision"] == "bf16"
    assert json.loads(cli("devices", "tpu-v3", "rtx4090", "--precision", "fp32", "--json").out)["precision"] == "fp32"


def test_systems_and_links_are_found(cli: Callable[..., Any]) -> None:
    assert "8 x Tesla V100" in cli("devices", "dgx-1").out
    assert "300 GB/s" in cli("devices", "nvlink-3").out
    assert "DGX A100" in cli("devices", "--kind", "system").out
    assert "PCIe 4.0 x16" in cli("devices", "--kind", "link").out


def test_errata_name_the_printed_and_the_right_figure(cli: Callable[..., Any]) -> None:
    assert cli("devices", "--errata").out.count("right ") >= 10
    of_one = cli("devices", "v100", "--errata").out
    assert "620" in of_one
    assert "640" in of_one
    assert "H100" not in of_one
    alone = json.loads(cli("devices", "--errata", "--json").out)
    assert len(alone["errata"]) >= 10
    assert alone["lines"] == [], "the question is not what all devices can do"


def test_the_top500_beside_cards(cli: Callable[..., Any]) -> None:
    shown = cli("devices", "--top500", "rtx4090").out
    assert "281         367  1,433" in shown
    assert "BlueGene/L's peak takes 285 GeForce RTX 4090" in shown


def test_pictures(cli: Callable[..., Any], tmp_path: Path) -> None:
    roofs, years = tmp_path / "r.svg", tmp_path / "h.png"
    done = cli("devices", "a100", "v100", "--roofline", roofs, "--history", years)
    assert done.out.split() == [str(roofs), str(years)]
    assert "ridge 612" in roofs.read_text()
    assert years.read_bytes().startswith(b"\x89PNG")


def test_a_catalogue_of_ones_own(cli: Callable[..., Any], mine: Path) -> None:
    assert "My own data sheet" in cli("devices", "m9", "--catalogue", mine).out
    assert (
        json.loads(cli("devices", "--sort", "flops", "--catalogue", mine, "--json").out)["lines"][0]["name"]
        == "Mine 9000"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("rtx4091",), "GeForce RTX 4090"),
        (("nvlnk-3",), "NVLink 3"),
        (("--sort", "speed"), "flops-per-watt"),
        (("--precision", "fp31"), "fp32"),
        (("--compare", "a100"), "two or more"),
        (("a100", "--kind", "gpu"), "names are given too"),
        (("a100", "nvlink-3"), "cannot be compared"),
        (("a100", "--roofline", "x.pdf"), ".svg or .png"),
        (("a100", "--roofline", "no-such-folder/x.svg"), "no such folder"),
        (("--roofline", "x.svg"), "do not fit"),
        (("edge-tpu", "--roofline", "x.svg"), "bandwidth of Coral Edge TPU"),
        (("--errata", "--top500"), "one of them"),
        (("--errata", "--kind", "gpu"), "kind is a matter of lists"),
        (("--errata", "--history", "x.svg"), "history is a matter of lists"),
        (("--top500", "--sort", "flops"), "sort is a matter of lists"),
        (("a100", "v100", "--compare", "--sort", "year"), "sort is a matter of lists"),
        (("nvlink-3", "--top500"), "cannot be compared"),
        (("--catalogue", "no-such.toml"), "no-such.toml"),
    ],
)
def test_what_cannot_be_answered_is_said_in_two_lines(
    cli: Callable[..., Any], words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli("devices", *words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert len(done.err.splitlines()) <= 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "broken",
    [
        "[[device",
        MINE.replace("500", '"many"'),
        MINE.replace('year = [2026, "mine"]', "year = 2026"),
        "\0\1\2",
        "device = 3",
    ],
)
def test_a_broken_catalogue_is_one_clear_error(cli: Callable[..., Any], mine: Path, broken: str) -> None:
    mine.write_text(broken)
    done = cli("devices", "--catalogue", mine)
    assert (done.code, done.out) == (2, "")
    assert "mine.toml" in done.err
    assert "Traceback" not in done.err


def test_completion() -> None:
    assert "rtx4090" in hardware_names("rtx4")
    assert "dgx-1" in hardware_names("DGX")
    assert "nvlink-3" in hardware_names("nvl")


def test_the_list_needs_no_heavy_library() -> None:
    code = (
        "import sys, chipwise\nprint(chipwise.hardware('a100'))\n"
        "print([m for m in ('matplotlib', 'numpy', 'torch', 'onnx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
