"""Files and arrays as what a network takes: pictures prepared, sounds checked, arrays in its element type.

A .npy file holds one batch (its first dimension is the batch) or one item; as uint8 it is taken for pictures where the
network takes pictures and its own input has another shape or element type.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.codec.npy import read_npy
from chipwise.core.errors import DataError, InputError
from chipwise.tasks.audio import read_wave
from chipwise.tasks.pictures import SUFFIXES, open_picture
from chipwise.tasks.preprocess import free_sides, prepare
from chipwise.tasks.streams import pieces, shaped, signal_input

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from chipwise.core.network import TensorSpec
    from chipwise.core.task import Preprocess, Stream, Task

    Specs = tuple[TensorSpec, ...]
    Given = Path | NDArray[Any]


@dataclass(frozen=True, slots=True)
class Feed:
    """One input, ready to run.

    Attributes:
        name: what answers call it.
        arrays: one for each input of the network; empty for a stream.
        pictures: uint8 [H, W, C], what each item was made from; None for the rest.
        signal: [T, ...], fed piece by piece; None where the network takes all at once.
        rate: samples a second of a signal that is sound, else 0.
    """

    name: str
    arrays: tuple[NDArray[Any], ...] = ()
    pictures: tuple[NDArray[np.uint8], ...] | None = None
    signal: NDArray[Any] | None = None
    rate: int = 0

    @property
    def held_bytes(self) -> int:
        """Memory that it holds."""
        kept = (*self.arrays, *(self.pictures or ()), *(() if self.signal is None else (self.signal,)))
        return sum(array.nbytes for array in kept)


def read_feed(given: Given | Sequence[Given], task: Task, specs: Specs) -> Feed:
    """Read one input, or one for each input of a network that has several.

    Raises:
        DataError: a file that cannot be read or holds something else. InputError: a signal that does not fit.
    """
    if isinstance(given, (list, tuple)):
        arrays = [_as_batch(_name(each), _array(each), spec) for each, spec in zip(given, specs, strict=True)]
        return Feed(_name(given[0]), tuple(arrays))
    assert isinstance(given, (Path, np.ndarray)), "one file or array"
    if not specs:
        raise InputError("the network takes no inputs", hint="chipwise.load(NET).run() gives its outputs")
    if task.stream is not None:
        return _signal(given, task.stream, specs)
    if isinstance(given, Path) and given.suffix.lower() == ".wav":
        return _sound(given, specs[0])
    return _pictures_or_array(given, task, specs[0])


def picture_feed(name: str, pictures: Sequence[NDArray[np.uint8]], task: Task, spec: TensorSpec) -> Feed:
    """Pictures in memory as one batch.

    Raises:
        DataError: the network takes none, or one of them is none.
    """
    check_pictures(name, task, (spec,))
    assert task.preprocess is not None, "it takes pictures"
    return Feed(name, (prepare(pictures, task.preprocess, spec.dtype),), tuple(map(_shown, pictures)))


def read_array(path: Path) -> NDArray[Any]:
    """Read a .npy file.

    Raises:
        DataError: when it is missing, holds Python objects, or its header asks for more than the file has.
    """
    try:
        with path.open("rb") as file:
            return read_npy(file, path.stat().st_size, str(path))
    except OSError as error:
        raise DataError(f"cannot read array {path}: {error.strerror or error}") from error


def takes_pictures(path: Path, task: Task) -> bool:
    """True when a file is to be read as a picture, whatever it holds."""
    return task.preprocess is not None and task.stream is None and path.suffix.lower() not in (".npy", ".wav")


def check_pictures(name: str, task: Task, specs: Specs) -> None:
    """Refuse a network that takes no pictures.

    Raises:
        DataError: with what to do about it, for `name`.
    """
    if task.preprocess is not None and task.stream is None:
        return
    what = "scale=1/255,..."
    if task.stream is None and len(specs) == 1 and any(free_sides(specs[0])):
        what = "size=HxW (its input has any size)"
    hint = f"give a .npy file, or say how pictures become its input: --preprocess {what}"
    if task.stream is not None:
        hint = "give a .wav or .npy file"
    elif not specs:
        raise InputError("the network takes no inputs")
    raise DataError(f"{name}: this network takes arrays, not pictures", hint=hint)


def _pictures_or_array(given: Given, task: Task, spec: TensorSpec) -> Feed:
    preprocess = task.preprocess
    if isinstance(given, Path) and given.suffix.lower() != ".npy":
        check_pictures(str(given), task, (spec,))
        assert preprocess is not None, "it takes pictures"
        picture = open_picture(given)
        return Feed(str(given), (prepare([picture], preprocess, spec.dtype),), (picture,))
    name, array = _name(given), _array(given)
    if preprocess is not None and array.dtype == np.uint8 and not (spec.dtype == "uint8" and _fits(array, spec)):
        rank = {2: (None, ..., None), 3: (None, ...)}.get(array.ndim, (...,))
        stack = np.ascontiguousarray(array[rank])
        return Feed(name, (prepare(stack, preprocess, spec.dtype),), tuple(map(_shown, stack)))
    return Feed(name, (_as_batch(name, array, spec),), _seen(array, preprocess, spec))


def _seen(array: NDArray[Any], preprocess: Preprocess | None, spec: TensorSpec) -> tuple[NDArray[np.uint8], ...] | None:
    """The pictures that a uint8 input is, where it is one."""
    if preprocess is None or preprocess.layout != "NHWC" or array.dtype != np.uint8 or spec.dtype != "uint8":
        return None
    return tuple(array if array.ndim == 4 else array[None])


def _signal(given: Given, stream: Stream, specs: Specs) -> Feed:
    target = signal_input(stream, specs)
    rate = 0
    if isinstance(given, Path) and given.suffix.lower() in SUFFIXES:
        raise DataError(f"{given} is a picture; the network takes a signal", hint="give a .wav or .npy file")
    if isinstance(given, Path) and given.suffix.lower() != ".npy":
        signal, rate = read_wave(given)
        if stream.sample_rate and rate != stream.sample_rate:
            hint = f"resample it with: ffmpeg -i {given.name} -ar {stream.sample_rate} -ac 1 OUT.wav"
            raise DataError(f"{given} has {rate} samples a second, the network takes {stream.sample_rate}", hint=hint)
    else:
        signal, rate = _array(given), stream.sample_rate
    if not signal.ndim or not signal.size or signal.dtype.kind not in "fiu":
        raise DataError(f"{_name(given)} is no signal: {signal.dtype} {list(signal.shape)}", hint="numbers along time")
    if signal.dtype.kind == "f" and not np.isfinite(signal).all():
        raise DataError(f"{_name(given)} holds NaN or infinity")
    shaped(next(pieces(signal, stream)), target)
    return Feed(_name(given), signal=signal, rate=rate)


def _sound(path: Path, spec: TensorSpec) -> Feed:
    """A sound that is fed whole, as [1, samples] or [1, 1, samples]."""
    samples, rate = read_wave(path)
    if len(spec.shape) not in (2, 3) or not spec.dtype.startswith("float"):
        hint = "give features as .npy, or feed it piece by piece: --task sequence:step=512,rate=16000,..."
        raise DataError(f"{path}: the network takes {spec.dtype} {list(spec.shape)}, which is no sound", hint=hint)
    shape = (1,) * (len(spec.shape) - 1)
    return Feed(str(path), (samples.reshape(*shape, -1).astype(spec.dtype),), signal=samples, rate=rate)


def _as_batch(name: str, array: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """One item or a batch as the network's element type; only what stays the same kind of number is converted."""
    wanted = np.dtype(spec.dtype)
    whole = wanted.kind in "iu" and array.dtype.kind in "iu"
    if not whole and not np.can_cast(array.dtype, wanted, "same_kind"):
        raise DataError(f"{name} holds {array.dtype}, which is no {spec.dtype}", hint=f"save it as {spec.dtype}")
    if array.ndim == len(spec.shape) - 1:
        array = array[None]
    converted = np.ascontiguousarray(array, dtype=wanted)
    if whole and not np.array_equal(converted, array):
        raise DataError(f"{name} holds numbers that do not fit {spec.dtype}", hint=f"save it as {spec.dtype}")
    return converted.reshape(()) if not spec.shape and converted.size == 1 else converted


def _fits(array: NDArray[Any], spec: TensorSpec) -> bool:
    """True when it is one item or a batch of just this input."""
    shape = array.shape if array.ndim == len(spec.shape) else (1, *array.shape)
    return len(shape) == len(spec.shape) and all(
        isinstance(want, str) or want == got for want, got in zip(spec.shape, shape, strict=True)
    )


def _shown(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return picture[..., None] if picture.ndim == 2 else picture


def _name(given: Given) -> str:
    return str(given) if isinstance(given, Path) else "array"


def _array(given: Given) -> NDArray[Any]:
    return read_array(given) if isinstance(given, Path) else given


def check_count(given: Sequence[Any], task: Task, specs: Specs) -> bool:
    """True when all that is given is one item: an array for each input of a network that has several.

    Raises:
        InputError: nothing is given, or not one for each.
    """
    if not given:
        raise InputError("no input was given", hint="name pictures, sounds or .npy files")
    several = len(specs) > 1 and task.stream is None
    if several and len(given) != len(specs):
        wanted = ", ".join(spec.name for spec in specs)
        each = ", ".join(f"{spec.name} {spec.dtype} [{', '.join(map(str, spec.shape))}]" for spec in specs)
        hint = f"give one .npy file or array for each, in this order: {each}"
        raise InputError(f"the network takes {len(specs)} inputs ({wanted}); received {len(given)}", hint=hint)
    return several
