"""One tensor of a compressed file: small integers with what they stand for, or values as they are.

>>> tensor = from_values("w", np.array([[0, 0.5], [-0.5, 0]], np.float32))
>>> tensor.kind, tensor.symbols.tolist(), tensor.step
('step', [[0, 1], [-1, 0]], 0.5)
>>> bool((tensor.dense() == np.array([[0, 0.5], [-0.5, 0]])).all())
True
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chipwise.core.errors import InputError

Kind = Literal["codebook", "step", "fixed", "raw"]
Array = NDArray[Any]
LARGEST = 1 << 16  # magnitude of a symbol
_MOST_VALUES = 4096  # of a codebook that is found
# Element types of raw tensors; their place here is their number in the file. "as16" is float32 that float16 holds.
RAW = ("float32", "as16", "float16", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "bool")


@dataclass(frozen=True, slots=True)
class SmallTensor:
    """A tensor as it is stored.

    Attributes:
        name: of the initializer.
        shape: of the dense tensor.
        kind: "codebook" (symbol s > 0 is `positive[s - 1]`, s < 0 is `negative[-s - 1]`, 0 the exact zero), "step"
            (symbol times `step`), "fixed" (symbol times 2^-radix), or "raw".
        symbols: int32, of that shape; None for raw.
        positive, negative: float32 or float16, for a codebook.
        step: float32's value. radix: -64..64.
        scales: float16, one a row (first axis), multiplied in float32; None for none.
        raw: the values, for raw.
    """

    name: str
    shape: tuple[int, ...]
    kind: Kind
    symbols: NDArray[np.int32] | None = None
    positive: Array | None = None
    negative: Array | None = None
    step: float = 0.0
    radix: int = 0
    scales: Array | None = None
    raw: Array | None = None

    def dense(self) -> Array:
        """The values: float32, or the element type of raw ones. Each is one multiplication in float32 at most two."""
        if self.raw is not None:
            return self.raw.reshape(self.shape)
        assert self.symbols is not None
        if self.kind == "codebook":
            assert self.positive is not None
            assert self.negative is not None
            zero = np.zeros(1, np.float32)
            whole = np.concatenate([self.negative[::-1].astype(np.float32), zero, self.positive.astype(np.float32)])
            values = whole[self.symbols + len(self.negative)]
        else:
            step = np.float32(self.step) if self.kind == "step" else np.float32(2.0**-self.radix)
            with np.errstate(over="ignore", invalid="ignore"):  # a damaged step is found by the digest
                values = self.symbols.astype(np.float32) * step
        if self.scales is not None:
            with np.errstate(over="ignore", invalid="ignore"):
                values = values * self.scales.astype(np.float32).reshape(-1, *[1] * (len(self.shape) - 1))
        return values.reshape(self.shape)

    @property
    def count(self) -> int:
        """How many values it has."""
        return int(np.prod(self.shape, dtype=np.int64))


def from_symbols(
    name: str, symbols: Array, *, step: float | None = None, radix: int | None = None,
    positive: Array | None = None, negative: Array | None = None, scales: Array | None = None,
) -> SmallTensor:  # fmt: skip
    """A tensor of symbols with a codebook, a step or a radix: exactly one of the three.

    Args:
        name: of the initializer.
        symbols: integers of the tensor's shape, 0 the exact zero, at most 65536 in magnitude.
        step: value of symbol 1; rounded to float32.
        radix: bits behind the point, -64..64.
        positive: values of the symbols 1, 2, ...; float16 or float32.
        negative: values of the symbols -1, -2, ...; likewise.
        scales: one a row, rounded to float16.

    Raises:
        InputError: none or two of them, a symbol that is no whole number or has no value, a wrong number of scales, or
            a step, scale or value that is not finite in the element type that stores it.
    """
    given = [step is not None, radix is not None, positive is not None or negative is not None]
    if sum(given) != 1:
        raise InputError(f"{name} needs one of step, radix and codebook, and has {sum(given)}")
    whole = _whole(name, symbols)
    low, high = (int(whole.min()), int(whole.max())) if whole.size else (0, 0)
    if scales is not None and (whole.ndim == 0 or np.shape(scales) != (whole.shape[0],)):
        raise InputError(f"{name} has the shape {list(whole.shape)} and scales of shape {np.shape(scales)}")
    held = None if scales is None else _narrowed(name, "scale", scales, np.float16)
    if step is not None:
        narrow = float(_narrowed(name, "step", step, np.float32))
        return SmallTensor(name, whole.shape, "step", whole, step=narrow, scales=held)
    if radix is not None:
        if not -64 <= radix <= 64:
            raise InputError(f"{name} has the radix {radix}; -64 to 64 can be stored")
        return SmallTensor(name, whole.shape, "fixed", whole, radix=radix, scales=held)
    wide = np.float16 if all(each is None or np.asarray(each).dtype == np.float16 for each in (positive, negative)) \
        else np.float32  # fmt: skip
    above, below = (_narrowed(name, "value", [] if each is None else each, wide) for each in (positive, negative))
    if high > len(above) or -low > len(below):
        raise InputError(f"{name} has symbols from {low} to {high}, and values for -{len(below)} to {len(above)}")
    return SmallTensor(name, whole.shape, "codebook", whole, above, below, scales=held)


def _whole(name: str, symbols: Array) -> NDArray[np.int32]:
    """Symbols as int32, once they are found to be whole and not too large."""
    given = np.asarray(symbols, order="C")
    if given.dtype.kind not in "iub" and not bool((np.isfinite(given) & (given == np.rint(given))).all()):
        raise InputError(f"{name} has symbols that are no whole numbers")
    largest = max(abs(int(given.min())), abs(int(given.max()))) if given.size else 0
    if largest > LARGEST:
        raise InputError(f"{name} has the symbol {largest}; at most {LARGEST} can be stored")
    return given.astype(np.int32, copy=False)


def _narrowed(name: str, what: str, values: Any, dtype: Any) -> Array:
    """Values in the element type that is stored."""
    with np.errstate(over="ignore"):
        narrow: Array = np.asarray(np.asarray(values).astype(dtype), order="C")
    if not bool(np.isfinite(narrow).all()):
        raise InputError(f"{name} has a {what} that {np.dtype(dtype).name} cannot hold as a finite number")
    return narrow


def from_values(name: str, values: Array) -> SmallTensor:
    """The smallest form that gives back the same values: a step, a codebook, or the values as they are.

    Every bit is kept but one: where values repeat, zeros lose their sign, which masks leave on weights at random.

    Raises:
        InputError: an element type that no file can hold.
    """
    values = np.asarray(values)
    if values.dtype.name not in RAW:
        raise InputError(f"{name} has the element type {values.dtype}, which a compressed file cannot hold")
    if values.dtype == np.float32 and values.size > 1:
        kinds = np.unique(values) + np.float32(0)  # minus zero becomes zero
        few = len(kinds) <= _MOST_VALUES and 4 * len(kinds) <= 3 * values.size
        if few and bool(np.isfinite(kinds).all()):
            return _in_steps(name, values, kinds) or _in_codebook(name, values, kinds)
    return SmallTensor(name, values.shape, "raw", raw=np.asarray(values, order="C"))


def _in_steps(name: str, values: Array, kinds: Array) -> SmallTensor | None:
    """Multiples of one step; the step is the smallest magnitude or the smallest distance of two values."""
    sizes = np.abs(kinds[kinds != 0])
    gaps = np.diff(kinds)
    for step in dict.fromkeys(float(each.min(initial=np.inf)) for each in (sizes, gaps)):
        if step == np.inf:  # of none
            continue
        with np.errstate(over="ignore"):
            symbols = np.rint(values / np.float32(step))
        if np.abs(symbols).max() <= LARGEST:
            whole = symbols.astype(np.int32)
            if np.array_equal(whole.astype(np.float32) * np.float32(step), values):
                return SmallTensor(name, values.shape, "step", whole, step=step)
    return None


def _in_codebook(name: str, values: Array, kinds: Array) -> SmallTensor:
    with np.errstate(over="ignore"):
        narrow = kinds.astype(np.float16).astype(np.float32)
    wide = np.float16 if np.array_equal(narrow, kinds) else np.float32
    below, above = kinds[kinds < 0][::-1], kinds[kinds > 0]
    places = np.searchsorted(kinds, values)
    symbols = places - len(below)
    if not (kinds == 0).any():
        symbols += symbols >= 0
    return SmallTensor(name, values.shape, "codebook", symbols.astype(np.int32), above.astype(wide), below.astype(wide))
