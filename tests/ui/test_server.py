"""The page's server: its answers are those of the Python functions, and nobody else than this machine gets one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, urlencode

import msgspec
import pytest

import chipwise
from chipwise.cli.app import main

from .conftest import Shown, begin

pytestmark = pytest.mark.runtime
pytest.importorskip("uvicorn", reason="needs the extra serve")


def test_answers_are_those_of_the_functions(shown: Shown) -> None:
    chosen = {"network": "resnet18", "on": "dgx-1", "batch": 16, "micro_batches": 2, "zero": 2, "checkpointing": 1}
    found = shown.document(f"/api/estimate?{urlencode(chosen | {'optimizer': 'sgd', 'precision': 'amp'})}")
    answer = chipwise.what_if(
        "resnet18", on="dgx-1", batch=16, micro_batches=2, zero=2, precision="amp", techniques=("checkpointing", "sgd")
    )
    assert found == json.loads(msgspec.json.encode(answer, enc_hook=str))
    (forecast,) = chipwise.estimate(
        "resnet18", on="dgx-1", batch=8, phase="training", precision="amp", techniques=("checkpointing", "sgd")
    ).forecasts
    same = json.loads(msgspec.json.encode(forecast.estimate, enc_hook=str))
    assert found["estimation"]["forecasts"][0]["estimate"] == same


def test_offers_are_those_of_the_function(shown: Shown) -> None:
    found = shown.document("/api/offers?network=lenet5&batch=64&micro_batches=2&on=dgx-1&against=buy")
    assert found == json.loads(msgspec.json.encode(chipwise.offers("lenet5", batch=32), enc_hook=str))


def test_the_network_that_was_given_is_there(shown: Shown, network: Path) -> None:
    found = shown.document("/api/estimate?network=mine&phase=inference&batch=4&on=rtx3090")
    (forecast,) = chipwise.estimate(network, on="rtx3090", batch=4).forecasts
    assert found["step_s"]["mid"] == forecast.estimate.time_s.mid
    assert b'<option value="mine" selected>' in shown.ask("/")[2]


@pytest.mark.parametrize("name", ["nowhere.onnx", "os:system", "/etc/passwd", "lenet5:num_classes=x"])
def test_no_file_and_no_code_is_named_by_an_address(shown: Shown, network: Path, name: str) -> None:
    for named in (name, str(network)):
        status, _, body = shown.ask(f"/api/estimate?network={quote(named)}")
        assert status == 400
        assert json.loads(body)["choice"] == "network"


@pytest.mark.parametrize(
    ("query", "choice"), [("batch=x", "batch"), ("batch=0", "batch"), ("on=rtx9999", "on"), ("zero=1", "zero")]
)
def test_what_cannot_be_is_said(shown: Shown, query: str, choice: str) -> None:
    status, headers, body = shown.ask(f"/api/estimate?network=lenet5&{query}")
    found = json.loads(body)
    assert (status, headers["content-type"]) == (400, "application/json")
    assert found["choice"] == choice
    assert found["error"]
    assert found["hint"]


@pytest.mark.parametrize("host", ["example.org", "127.0.0.1", "127.0.0.1:1", "evil.localhost", ""])
def test_another_host_is_refused(shown: Shown, host: str) -> None:
    for path in ("/", "/api/estimate"):
        status, _, body = shown.ask(path, Host=host)
        assert status == 403
        assert set(json.loads(body)) == {"error", "hint"}
    for named in ("127.0.0.1", "localhost", "LocalHost"):
        assert shown.ask("/", Host=f"{named}:{shown.port}")[0] == 200


def test_another_sites_page_is_refused(shown: Shown) -> None:
    assert shown.ask("/api/estimate?network=lenet5", Sec_Fetch_Site="cross-site")[0] == 403
    assert shown.ask("/api/estimate?network=lenet5", Sec_Fetch_Site="same-origin")[0] == 200
    assert shown.ask("/", Sec_Fetch_Site="cross-site")[0] == 200, "a link leads there"


def test_headers(shown: Shown) -> None:
    status, headers, body = shown.ask("/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert len(body) > 10_000
    assert shown.ask("/", "HEAD")[2] == b""


def test_other_methods_and_pages(shown: Shown) -> None:
    status, headers, _ = shown.ask("/api/estimate", "POST")
    assert (status, headers["allow"]) == (405, "GET, HEAD")
    assert shown.ask("/etc/passwd")[0] == 404
    assert shown.ask("/api/estimate?" + "a" * 3000)[0] == 400


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_told(number: int) -> None:
    found = begin()
    assert found.ask("/")[0] == 200
    assert found.stop(number) == 0


def test_a_port_that_is_taken(shown: Shown) -> None:
    command = [sys.executable, "-m", "chipwise", "ui", "--no-open", "--port", str(shown.port)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (3, "")
    assert f"cannot listen on 127.0.0.1 port {shown.port}" in done.stderr


def test_a_network_that_there_is_not(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["chipwise", "ui", "nowhere.onnx", "--no-open"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "nowhere.onnx" in capsys.readouterr().err
