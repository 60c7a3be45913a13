"""`chipwise advise` on the command line: light, exit codes, one clear line for what cannot be, prices of a file."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HEAVY = ("torch", "onnxruntime", "openvino", "onnx", "onnx_ir", "numpy", "matplotlib", "keras", "scipy", "sklearn")
Cli = Callable[..., Any]
SMALL = ("lenet5", "--for", "inference", "--by", "time", "--watts", "15")


def test_it_imports_nothing_heavy() -> None:
    code = (
        "import sys, chipwise.cli.app as app\n"
        f"sys.argv = ['chipwise', 'advise', *{SMALL!r}]\n"
        "try:\n    app.main()\nexcept SystemExit as end:\n    assert end.code in (0, None), end.code\n"
        "print('modules:', *sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "take" in done.stdout
    assert not set(done.stdout.rpartition("modules:")[2].split()) & set(HEAVY)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--have", "rtx3081"], "unknown device 'rtx3081'"),
        (["--have", "gtx1070x2"], "no link speed between the devices of 2 x GeForce GTX 1070"),
        (["--budget", "-5eur"], "a budget of -5eur buys nothing"),
        (["--budget", "1500"], "cannot read '1500' as money"),
        (["--deadline", "soon"], "cannot read 'soon' as a duration"),
        (["--deadline", "1day"], "a deadline needs the amount of work"),
        (["--latency", "7ms"], "a latency is a goal of inference"),
        (["--epochs", "3"], "3 epochs of data of unknown size"),
        (["--precision", "fp17"], "unknown precision 'fp17'"),
        (["--memory-limit", "many"], "cannot read 'many' as an amount of memory"),
        (["--watts", "0"], "cannot read '0' as a power"),
        (["--prices", "nowhere.toml"], "cannot read prices nowhere.toml"),
        (["--budget", "2usd/h", "--pay", "buy"], "the budget is an hour, and --pay buy is not"),
    ],
)
def test_bad_input_is_one_clear_line(cli: Cli, arguments: list[str], says: str) -> None:
    done = cli("advise", "lenet5", "--for", "training", *arguments)
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith(f"error: {says}")
    assert len(done.err.splitlines()) <= 2


def test_a_price_without_a_date(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text('[[price]]\ndevice = "rtx3080"\nkind = "used"\neur = [280, 320]\n')
    done = cli("advise", "lenet5", "--for", "training", "--prices", file)
    assert done.code == 2
    assert done.err.splitlines()[0] == "error: my.toml: price of 'rtx3080' has no date"


def test_prices_of_a_file_take_the_catalogues_place(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text(
        '[rate]\nusd_per_eur = 1.2\nvat = 0.2\ndate = "2026-11"\nsource = "my bank"\n'
        '[[price]]\ndevice = "orin nano"\nkind = "street"\neur = 300\ndate = "2026-11"\nsource = "my shop"\n'
        '[[price]]\ndevice = "edge-tpu"\nkind = "street"\nusd = 60\ndate = "2026-11"\n'
    )
    done = cli("advise", "mobilenet-v2", "--for", "inference", "--watts", "15", "--prices", file, "--json")
    answer = json.loads(done.out)
    assert answer["schema"] == "chipwise.advise/1"
    assert answer["candidates"][0]["offer"]["usd"]["mid"] == pytest.approx(300 / 1.2 * 1.2)
    assert answer["rate"]["source"] == "my bank"
    assert any("my shop" in line for line in answer["sources"])


def test_no_device_meets_the_goals(cli: Cli) -> None:
    done = cli("advise", "resnet50", "--for", "inference", "--latency", "0.01ms", "--by", "time", "--watts", "15")
    assert done.code == 1
    assert "nothing that is known meets that" in done.out
    assert "nearest" in done.out
    assert "times what is allowed" in done.out


def test_a_device_of_ones_own(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        '[sources.me]\ntitle = "me"\ndate = "2026"\n[[device]]\nname = "My card"\nkind = "gpu"\n'
        'peak_tflops = { fp32 = [900, "me"], bf16 = [9000, "me"] }\nbandwidth_gb_s = [20000, "me"]\n'
        'power_w = [14, "me"]\n'
    )
    done = cli("advise", "resnet50", "--for", "inference", "--watts", "15", "--catalogue", file)
    assert done.code == 0
    assert re.search(r"^take +My card", done.out, re.MULTILINE)
