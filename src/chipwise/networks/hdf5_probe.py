"""Look through an HDF5 file in a process of its own first: HDF5's C library may hang or crash on a damaged one.

>>> import tempfile
>>> path = Path(tempfile.mkdtemp()) / "good.h5"
>>> with h5py.File(path, "w") as file:
...     file["weights"] = [1.0, 2.0]
>>> require_readable(path, "good.h5")
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]

from chipwise.core.errors import NetworkError
from chipwise.networks.parameters import LIMIT_BYTES

_SECONDS, _BYTES_A_SECOND = 20.0, 50e6  # of a busy machine
_ADDRESS_SPACE_BYTES = 8 << 30  # a chunk may claim any size
_CPU_SECONDS = 120  # should nobody be there to stop it
_HINT = "it was damaged: copy it again, or save the model again"


def require_readable(path: Path, what: str) -> None:
    """Visit every object, attribute and array of a file in another process.

    Raises:
        NetworkError: when that process fails, crashes, or takes longer than reading can take.
    """
    seconds = _SECONDS + path.stat().st_size / _BYTES_A_SECOND
    command = [sys.executable, "-m", "chipwise.networks.hdf5_probe", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)  # noqa: S603 (ourselves)
    except subprocess.TimeoutExpired as error:
        raise NetworkError(f"{what} cannot be read within {seconds:.0f} s", hint=_HINT) from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["the reader crashed"])[-1]
        raise NetworkError(f"{what} is no Keras file, or it was cut short: {said[:200]}", hint=_HINT)


def _visit(name: str, found: Any) -> None:
    del name
    dict(found.attrs)
    small = isinstance(found, h5py.Dataset) and found.shape is not None and found.nbytes <= LIMIT_BYTES
    for part in found.iter_chunks() if small and found.chunks else ():  # larger ones are refused by who reads them
        found[part]


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE_BYTES, _ADDRESS_SPACE_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    with h5py.File(sys.argv[1], "r") as whole:
        dict(whole.attrs)
        whole.visititems(_visit)
