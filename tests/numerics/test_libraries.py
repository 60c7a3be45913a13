"""Every library that is installed here computes what NumPy computes, at any size; CuPy's file stands on a stand-in."""

from __future__ import annotations

import importlib
import sys
import types

import numpy as np
import pytest

from chipwise.core.array_race import LIBRARY_NAMES, OPERATION_NAMES
from chipwise.core.errors import MachineError, MissingExtraError, RuntimeUnavailableError, UnknownNameError
from chipwise.numerics import numpy as first
from chipwise.numerics.operations import OPERATIONS, difference
from chipwise.numerics.table import LIBRARIES, load


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("size", [4, 5, 1000, 20_011])
def test_every_library_agrees_with_numpy(name: str, size: int) -> None:
    try:
        library = load(name)
    except MachineError as error:
        pytest.skip(error.message)
    for operation, call in library.CALLS.items():
        arrays = OPERATIONS[operation].arrays(size, np.random.default_rng(size))
        expected = first.get(first.CALLS[operation](*arrays))
        for device in library.devices():
            result = call(*(library.put(array, device) for array in arrays))
            wait = library.waiter(device)
            if wait is not None:
                wait(result)
            assert difference(library.get(result), expected) <= OPERATIONS[operation].tolerance, operation


def test_names_for_completion_are_those_of_the_tables() -> None:
    assert tuple(LIBRARIES) == LIBRARY_NAMES
    assert tuple(OPERATIONS) == OPERATION_NAMES
    assert set(first.CALLS) == set(OPERATIONS)


def test_difference_sees_shapes_kinds_and_what_is_not_finite() -> None:
    ones = np.ones(3, np.float32)
    assert difference(ones, ones) == 0
    assert difference(ones * np.float32(1.5), ones) == 0.5
    assert difference(ones, np.ones(4, np.float32)) == np.inf
    assert difference(ones, np.ones(3, np.int64)) == np.inf
    assert difference(np.array([np.nan], np.float32), np.ones(1, np.float32)) == np.inf
    assert difference(np.zeros(2, np.complex64), np.array([1j, 2j], np.complex64)) == 1.0
    assert difference(np.zeros(0, np.float32), np.zeros(0, np.float32)) == 0.0


def test_a_library_that_is_not_known_or_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match="library of arrays 'touch'") as unknown:
        load("touch")
    assert "torch" in unknown.value.hint
    told = {"numba": (MissingExtraError, "chipwise[arrays]"), "jax": (RuntimeUnavailableError, "pip install jax")}
    for name, (kind, hint) in told.items():
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules, LIBRARIES[name], raising=False)
        with pytest.raises(MachineError) as missing:
            load(name)
        assert isinstance(missing.value, kind)
        assert hint in missing.value.hint


def stand_in(devices: int) -> types.ModuleType:
    """CuPy's names, as its documentation has them, over NumPy: says that our file calls them, not that CuPy works."""
    made = types.ModuleType("cupy")
    made.__dict__.update({name: getattr(np, name) for name in ("array", "sqrt", "sort", "fft")})
    made.__version__ = "14.0"
    made.waited = 0

    def synchronize() -> None:
        made.waited += 1

    stream = types.SimpleNamespace(synchronize=synchronize)
    runtime = types.SimpleNamespace(getDeviceCount=lambda: devices)
    made.cuda = types.SimpleNamespace(runtime=runtime, get_current_stream=lambda: stream)
    made.asarray, made.asnumpy = np.array, np.asarray
    return made


def test_cupy_is_called_by_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = stand_in(devices=1)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.delitem(sys.modules, LIBRARIES["cupy"], raising=False)
    library = load("cupy")
    assert (library.version(), library.devices(), library.threads()) == ("14.0", ("cuda",), 1)
    for operation, call in library.CALLS.items():
        arrays = OPERATIONS[operation].arrays(1000, np.random.default_rng(0))
        result = call(*(library.put(array, "cuda") for array in arrays))
        wait = library.waiter("cuda")
        assert wait is not None
        wait(result)
        assert difference(library.get(result), first.get(first.CALLS[operation](*arrays))) == 0
    assert cupy.waited == len(OPERATIONS)
    sys.modules.pop(LIBRARIES["cupy"])


def test_cupy_without_a_device_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", stand_in(devices=0))
    monkeypatch.delitem(sys.modules, LIBRARIES["cupy"], raising=False)
    with pytest.raises(RuntimeUnavailableError, match="no device"):
        load("cupy")
    sys.modules.pop(LIBRARIES["cupy"])


def test_a_library_that_breaks_on_import_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> types.ModuleType:
        raise OSError("libcudart.so: cannot open shared object file\nmore")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(RuntimeUnavailableError, match=r"torch does not import: OSError: libcudart\.so"):
        load("torch")
