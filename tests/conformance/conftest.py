"""Every runtime that is usable here, one after another; the others are skipped with the reason."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from chipwise import runtimes
from chipwise.devices.detect import detect
from chipwise.runtimes import Adapter

sys.path.insert(0, str(Path(__file__).parent))  # for `graphs`, which is no test


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "runtime_name" in metafunc.fixturenames:
        quick = metafunc.module.__name__ == "test_operators"  # it compiles no PyTorch
        names = [pytest.param(name, marks=_marks(name, quick=quick)) for name in runtimes.RUNTIMES]
        metafunc.parametrize("runtime_name", names, scope="session")


def _marks(name: str, *, quick: bool) -> list[pytest.MarkDecorator]:
    if name in ("onnxruntime", "reference"):
        return []
    # PyTorch's compiler takes many seconds a graph; tests/runtimes/test_inductor.py has the one that always runs.
    return [pytest.mark.runtime, *([pytest.mark.slow] if name == "inductor" and not quick else [])]


@pytest.fixture(scope="session")
def statuses() -> dict[str, runtimes.table.RuntimeStatus]:
    return {status.name: status for status in runtimes.status(detect())}


@pytest.fixture
def adapter(runtime_name: str, statuses: dict[str, runtimes.table.RuntimeStatus]) -> Adapter:
    if not statuses[runtime_name].usable:
        pytest.skip(f"{runtime_name}: {statuses[runtime_name].reason}")
    return runtimes.load(runtime_name)
