"""From what the user types to a data set. Only the module that is needed is imported.

>>> len(load("digits"))
1797
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from chipwise.core.errors import DataError, InputError, unknown_name
from chipwise.core.events import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Callable

    from chipwise.datasets.dataset import Dataset
    from chipwise.datasets.picture_files import PictureFiles

# What is typed before the colon -> the module that reads it.
SOURCES = {
    "digits": "chipwise.datasets.digits",
    "mnist": "chipwise.datasets.mnist",
    "fashion-mnist": "chipwise.datasets.fashion_mnist",
    "idx": "chipwise.datasets.idx",
    "npz": "chipwise.datasets.npz",
    "folder": "chipwise.datasets.folder",
}
_ARGUMENTS = {"idx": "DIR", "npz": "FILE", "folder": "DIR"}


class _Source(Protocol):
    def load(self, argument: str, progress: Progress) -> Dataset: ...


def load(
    spec: str,
    *,
    progress: Progress = silent,
    skip_bad: bool = False,
    lazily: Callable[[PictureFiles], bool] | None = None,
) -> Dataset:
    """Read the data set that `spec` names.

    Args:
        spec: "digits", "mnist", "fashion-mnist", "idx:DIR", "npz:FILE" or "folder:DIR".
        progress: told about downloads and long reading.
        skip_bad: leave out pictures of a folder that cannot be read, and name them in `Dataset.skipped`.
        lazily: whether the pictures of a folder stay in their files; None for no. Other data is read into memory.

    Raises:
        UnknownNameError: when there is no such data set; the nearest names are the hint.
        DataError: when the files are missing, damaged, or do not fit together.
        InputError: when `skip_bad` is asked of what is no folder of pictures.
        MachineError: when a download fails, or the data does not fit into memory.
    """
    name, colon, argument = spec.partition(":")
    if name not in SOURCES:
        raise _unknown(spec, name)
    if name in _ARGUMENTS and not argument:
        raise DataError(f"{spec!r} names no place", hint=f"write {name}:{_ARGUMENTS[name]}")
    if name not in _ARGUMENTS and colon:
        raise DataError(f"{spec!r}: {name} takes nothing after the colon", hint=f"write {name}")
    if name == "folder":
        folder = importlib.import_module(SOURCES[name])
        return cast("Dataset", folder.load(argument, progress, skip_bad=skip_bad, lazily=lazily))
    if skip_bad:
        raise InputError(
            f"{spec!r} is no folder of pictures, so none can be left out", hint="--skip-bad is for folder:DIR"
        )
    source = cast("_Source", importlib.import_module(SOURCES[name]))
    return source.load(argument, progress)


def _unknown(spec: str, name: str) -> InputError:
    path = Path(spec)
    if path.is_dir():
        hint = f"write folder:{spec} for pictures in class folders, idx:{spec} for MNIST files"
        return DataError(f"{spec!r} is a folder: say what is in it", hint=hint)
    if path.is_file() and path.suffix == ".npz":
        return DataError(f"{spec!r} is a file: say what it is", hint=f"write npz:{spec}")
    error = unknown_name("data set", name, SOURCES)
    error.hint += " (idx and folder take :DIR, npz takes :FILE)"
    return error
