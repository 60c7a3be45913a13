"""ONNX Resize and Upsample as PyTorch calls: PyTorch's own interpolation where it is the same, else axis by axis.

Source of the coordinates: the specification of Resize in ONNX operator set 19.

>>> import torch
>>> RESIZING["Upsample"]([torch.tensor([[[1.0, 2.0]]]), (1.0, 1.0, 2.0)], {}).tolist()
[[[1.0, 1.0, 2.0, 2.0]]]
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the name that everyone knows it by)

from chipwise.runtimes.torch_values import Attributes, Operator, UnsupportedError, Values, text

_Floats = NDArray[np.float64]


def _resize(values: Values, attributes: Attributes) -> Tensor:
    data, _, scales, sizes = (*values, None, None, None)[:4]
    axes = [axis % data.dim() for axis in attributes.get("axes", range(data.dim()))]
    if text(attributes, "keep_aspect_ratio_policy", "stretch") != "stretch" or attributes.get("antialias", 0):
        raise UnsupportedError("Resize with antialias or an aspect ratio to keep")
    if sizes:
        factors = [wanted / data.shape[axis] for axis, wanted in zip(axes, sizes, strict=True)]
    else:
        factors = list(scales)
        sizes = [int(np.floor(data.shape[axis] * factor)) for axis, factor in zip(axes, factors, strict=True)]
    changed = [each for each in zip(axes, sizes, factors, strict=True) if data.shape[each[0]] != each[1]]
    return (
        _own(data, changed, attributes) if _is_own(data, changed, attributes) else _by_axis(data, changed, attributes)
    )


def _upsample(values: Values, attributes: Attributes) -> Tensor:
    scales = values[1] if len(values) > 1 else attributes["scales"]
    as_resize = {
        "mode": attributes.get("mode", b"nearest"),
        "coordinate_transformation_mode": b"asymmetric",
        "nearest_mode": b"floor",
    }
    return _resize([values[0], None, scales], as_resize)


def _is_own(data: Tensor, changed: list[tuple[int, int, float]], attributes: Attributes) -> bool:
    """Whether PyTorch's interpolation of two axes computes the same."""
    mode = text(attributes, "mode", "nearest")
    how = text(attributes, "coordinate_transformation_mode", "half_pixel")
    if data.dim() != 4 or [axis for axis, _, _ in changed] != [2, 3]:
        return False
    if any(abs(size / data.shape[axis] - factor) > 1e-6 for axis, size, factor in changed):
        return False
    if mode == "nearest":
        whole = all(size % data.shape[axis] == 0 for axis, size, _ in changed)
        rule = text(attributes, "nearest_mode", "round_prefer_floor")
        squares = how in ("half_pixel", "pytorch_half_pixel") and rule.startswith("round")
        return whole and (squares or (how == "asymmetric" and rule == "floor"))
    larger = all(size > 1 for _, size, _ in changed)
    return mode == "linear" and how in ("half_pixel", "pytorch_half_pixel", "align_corners") and larger


def _own(data: Tensor, changed: list[tuple[int, int, float]], attributes: Attributes) -> Tensor:
    size = [wanted for _, wanted, _ in changed]
    if text(attributes, "mode", "nearest") == "nearest":
        return F.interpolate(data, size=size, mode="nearest")
    corners = text(attributes, "coordinate_transformation_mode", "half_pixel") == "align_corners"
    return F.interpolate(data, size=size, mode="bilinear", align_corners=corners)


def _by_axis(data: Tensor, changed: list[tuple[int, int, float]], attributes: Attributes) -> Tensor:
    for axis, size, factor in changed:
        places = _places(size, data.shape[axis], factor, attributes)
        if text(attributes, "mode", "nearest") == "nearest":
            index = _nearest(places, data.shape[axis], text(attributes, "nearest_mode", "round_prefer_floor"))
            data = data.index_select(axis, torch.from_numpy(index))
        else:
            weights = torch.from_numpy(_weights(places, data.shape[axis], attributes)).to(data.dtype)
            data = torch.movedim(torch.movedim(data, axis, -1) @ weights, -1, axis)
    return data


def _places(size: int, length: int, factor: float, attributes: Attributes) -> _Floats:
    """Where each new element lies among the old ones."""
    how, at = text(attributes, "coordinate_transformation_mode", "half_pixel"), np.arange(size, dtype=np.float64)
    if how == "asymmetric":
        return at / factor
    if how == "align_corners":
        return at * (length - 1) / max(1, size - 1)
    if how == "pytorch_half_pixel" and size == 1:
        return np.zeros(1)
    if how in ("half_pixel", "pytorch_half_pixel"):
        return (at + 0.5) / factor - 0.5
    if how == "half_pixel_symmetric":
        shift = length / 2 * (1 - size / (factor * length))
        return shift + (at + 0.5) / factor - 0.5
    raise UnsupportedError(f"Resize with the coordinates {how}")


def _nearest(places: _Floats, length: int, rule: str) -> NDArray[np.int64]:
    rounded = {
        "round_prefer_floor": np.ceil(places - 0.5),
        "round_prefer_ceil": np.floor(places + 0.5),
        "floor": np.floor(places),
        "ceil": np.ceil(places),
    }[rule]
    return np.clip(rounded, 0, length - 1).astype(np.int64)


def _weights(places: _Floats, length: int, attributes: Attributes) -> _Floats:
    """How much of each old element (row) goes into each new one (column)."""
    start = np.floor(places)
    part = places - start
    taps: tuple[int, ...] = (0, 1)
    shares: tuple[_Floats, ...] = (1 - part, part)
    if text(attributes, "mode", "nearest") == "cubic":
        a = attributes.get("cubic_coeff_a", -0.75)
        taps = (-1, 0, 1, 2)
        shares = (
            ((a * (part + 1) - 5 * a) * (part + 1) + 8 * a) * (part + 1) - 4 * a,
            ((a + 2) * part - (a + 3)) * part**2 + 1,
            ((a + 2) * (1 - part) - (a + 3)) * (1 - part) ** 2 + 1,
            ((a * (2 - part) - 5 * a) * (2 - part) + 8 * a) * (2 - part) - 4 * a,
        )
    weights = np.zeros((length, len(places)))
    for tap, share in zip(taps, shares, strict=True):
        row = start + tap
        inside = (row >= 0) & (row < length) | (not attributes.get("exclude_outside", 0))
        np.add.at(weights, (np.clip(row, 0, length - 1).astype(int), np.arange(len(places))), share * inside)
    result: _Floats = weights / weights.sum(0)
    return result


RESIZING: dict[str, Operator] = {"Resize": _resize, "Upsample": _upsample}
