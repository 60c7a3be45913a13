"""Runtimes by name, and what happens when their libraries are missing or broken."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from chipwise import runtimes
from chipwise.core.device import Machine
from chipwise.core.errors import MissingExtraError, RuntimeUnavailableError, UnknownNameError

MACHINE = Machine("example", "x86_64", ("amx_bf16", "avx512f"), cores=2, logical_cpus=2)
PLAIN = Machine("example", "x86_64", ("avx2",), cores=2, logical_cpus=2)


def break_import(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(name: str) -> None:
        raise error

    monkeypatch.setattr(importlib, "import_module", fail)


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        runtimes.load("openvin")
    assert "did you mean openvino?" in caught.value.hint


def test_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    break_import(monkeypatch, ModuleNotFoundError("No module named 'torch'", name="torch"))
    with pytest.raises(MissingExtraError) as caught:
        runtimes.load("inductor")
    assert caught.value.hint == "pip install 'chipwise[torch]'"


@pytest.mark.parametrize(
    "error",
    [
        ImportError("libfoo.so.1: cannot open shared object file"),
        OSError("wrong ELF class"),
        RuntimeError("no plugin"),
        ValueError("numpy.dtype size changed"),
        AttributeError("partially initialized module"),
        ModuleNotFoundError("No module named 'sympy'", name="sympy"),
    ],
)
def test_a_broken_library_disables_itself_and_says_why(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    break_import(monkeypatch, error)
    with pytest.raises(RuntimeUnavailableError, match=str(error).split(":", maxsplit=1)[0]):
        runtimes.load("openvino")
    found = runtimes.status(MACHINE)
    assert [status.name for status in found] == list(runtimes.RUNTIMES)
    assert not any(status.usable for status in found)
    assert all(str(error) in status.reason for status in found)


def test_status_of_what_is_always_there() -> None:
    found = {status.name: status for status in runtimes.status(PLAIN)}
    assert found["onnxruntime"].usable
    assert found["onnxruntime"].version.count(".") >= 1
    assert found["onnxruntime"].precisions == ("fp32",)
    assert found["reference"].usable


def test_status_of_some_looks_at_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    load = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", lambda name: (asked.append(name), load(name))[1])
    assert [status.name for status in runtimes.status(PLAIN, ["reference"])] == ["reference"]
    assert asked == ["chipwise.runtimes.reference"]
    with pytest.raises(UnknownNameError):
        runtimes.status(PLAIN, ["nonesuch"])


def test_only_the_reference_is_an_oracle() -> None:
    usable = [status.name for status in runtimes.status(PLAIN) if status.usable]
    assert [name for name in usable if runtimes.load(name).ORACLE] == ["reference"]


@pytest.mark.runtime
@pytest.mark.parametrize("name", ["openvino", "inductor"])
def test_bf16_only_where_it_is_native(name: str) -> None:
    pytest.importorskip({"inductor": "torch"}.get(name, name))
    adapter = runtimes.load(name)
    assert adapter.precisions(MACHINE) == ("fp32", "bf16")
    assert adapter.precisions(PLAIN) == ("fp32",)


@pytest.mark.runtime
def test_inductor_without_a_compiler_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setenv("CXX", "no-such-compiler")
    (status,) = [status for status in runtimes.status(PLAIN) if status.name == "inductor"]
    assert not status.usable
    assert "no-such-compiler" in status.reason


def test_importing_the_folder_imports_no_vendor() -> None:
    code = (
        "import sys, chipwise.runtimes, chipwise.clock, chipwise.devices, chipwise.cost\n"
        "print([name for name in ('torch', 'onnx', 'onnxruntime', 'openvino') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
