"""Pictures to network inputs: `(pixel * scale - mean) / std` after bringing the picture to the right size.

>>> import numpy as np
>>> from chipwise.core.task import Preprocess
>>> prepare(np.full((2, 28, 28, 1), 255, np.uint8), Preprocess(height=32, width=32)).shape
(2, 1, 32, 32)
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.core.errors import DataError, InputError, unknown_name
from chipwise.core.task import Preprocess
from chipwise.core.units import parse_number, parse_whole
from chipwise.tasks.pictures import resize
from chipwise.tasks.placement import place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from chipwise.core.network import TensorSpec
    from chipwise.tasks.placement import Region

_CHUNK = 1024  # pictures turned to float at a time: bounds what is needed besides the result
_MIN_FLAT_SIDE = 8  # a flat input shorter than 8 x 8 (iris has 4 features) is no picture
_LARGEST_SIDE = 4096  # of what "crop" resizes to: bounds what is allocated for one picture
_FITS = ("auto", "pad", "letterbox", "stretch", "crop")
_WHOLE = {"uint8": (1.0, (0.0,)), "int8": (1.0, (128.0,))}  # scale and mean of inputs that are whole numbers
_ORDERS = {1: ("L",), 3: ("RGB", "BGR")}
_OPTIONS = ("scale", "mean", "std", "order", "fit", "fill", "corner", "resize", "crop", "size")


def prepare(
    pictures: NDArray[np.uint8] | Sequence[NDArray[np.uint8]], preprocess: Preprocess, dtype: str = "float32"
) -> NDArray[Any]:
    """Turn pictures into the network's input.

    Args:
        pictures: uint8 [N, H, W, C] or [N, H, W], or a sequence of [H, W, C] of any sizes; C is 1 or 3.
        preprocess: size, channels, order, layout and scaling.
        dtype: element type of the input; for an integer one values are rounded and clipped to its range.

    Returns:
        [N, C, H, W], [N, H, W, C] or [N, H * W * C], as `preprocess.layout` says; C-contiguous.

    Raises:
        DataError: when a picture has no pixels, is not uint8, or has other than 1 or 3 channels.
    """
    count, channels, kind = len(pictures), preprocess.channels, np.dtype(dtype)
    size = (preprocess.height, preprocess.width)
    nchw = preprocess.layout == "NCHW"
    result = np.empty((count, channels, *size) if nchw else (count, *size, channels), kind)
    scaled = result.transpose(0, 2, 3, 1) if nchw else result
    mean, std = np.array(preprocess.mean, np.float32), np.array(preprocess.std, np.float32)
    as_they_are = kind == np.uint8 and preprocess.scale == 1 and not mean.any() and bool((std == 1).all())
    for start in range(0, count, _CHUNK):
        chunk = sized(pictures[start : start + _CHUNK], preprocess)
        target = scaled[start : start + _CHUNK]
        if as_they_are:
            target[...] = chunk
            continue
        part = target if kind == np.float32 else np.empty(chunk.shape, np.float32)
        np.multiply(chunk, np.float32(preprocess.scale), out=part)  # in place: pictures are large
        part -= mean
        part /= std
        if kind.kind in "iu":
            limits = np.iinfo(kind)
            np.clip(np.rint(part, out=part), limits.min, limits.max, out=part)
        if part is not target:
            target[...] = part
    return result.reshape(count, -1) if preprocess.layout == "flat" else result


def from_pixels(
    pixels: NDArray[np.uint8], taken: Preprocess, wanted: Preprocess, dtype: str = "float32"
) -> NDArray[Any]:
    """What `prepare` gives for `wanted` of the pictures that it gave for `taken`, of which it left pixels as they were.

    Args:
        pixels: uint8, as `taken` lays them out.
        taken: how they were made; may differ from `wanted` in scale, mean, std and layout only.
        wanted: how the result is made.
        dtype: element type of the result.
    """
    sides = (taken.height, taken.width)
    nchw = taken.layout == "NCHW"
    stack = pixels.transpose(0, 2, 3, 1) if nchw else pixels.reshape(len(pixels), *sides, taken.channels)
    pictures = stack[..., ::-1] if taken.order == "BGR" else stack
    return prepare(pictures, replace(wanted, fit="stretch"), dtype)


def default_preprocess(spec: TensorSpec) -> Preprocess | None:
    """Guess how pictures become this input: pixels 0..255 scaled to 0..1, as they are for uint8, minus 128 for int8.

    [N, 1|3, H, W] is NCHW, [N, H, W, 1|3] is NHWC, [N, H * H] (at least 8 x 8, as MNIST's 784) is flat grey.

    Returns:
        None when the shape is no picture's, has a free height or width, or the element type is no float, uint8 or int8.
    """
    if spec.dtype not in _WHOLE and not spec.dtype.startswith(("float", "bfloat")):
        return None
    scale, mean = _WHOLE.get(spec.dtype, (1 / 255, (0.0,)))
    match spec.shape:
        case (_, 1 | 3 as channels, int(height), int(width)) if min(height, width) > 0:
            order = "RGB" if channels == 3 else "L"
            return Preprocess(height, width, channels, order, "NCHW", scale=scale, mean=mean)  # type: ignore[arg-type]
        case (_, int(height), int(width), 1 | 3 as channels) if min(height, width) > 0:
            order = "RGB" if channels == 3 else "L"
            return Preprocess(height, width, channels, order, "NHWC", scale=scale, mean=mean)  # type: ignore[arg-type]
        case (_, int(features)) if (
            spec.dtype not in _WHOLE and features >= _MIN_FLAT_SIDE**2 and math.isqrt(features) ** 2 == features
        ):
            return Preprocess(math.isqrt(features), math.isqrt(features), layout="flat")
    return None


def check_preprocess(preprocess: Preprocess, spec: TensorSpec) -> None:
    """Refuse preprocessing that is no input's, or not this one's; sides are bounded where the input's are free.

    Raises:
        InputError: with what does not fit.
    """
    channels, (height, width) = preprocess.channels, (preprocess.height, preprocess.width)
    shape: tuple[int, ...] = (1, height * width * channels)
    if preprocess.layout != "flat":
        shape = (1, channels, height, width) if preprocess.layout == "NCHW" else (1, height, width, channels)
    if not replace(spec, shape=("batch", *spec.shape[1:])).admits(shape) or min(height, width) < 1:
        raise InputError(f"{preprocess.layout} pictures of {height} x {width} x {channels} are no input {spec.form}")
    if any(free_sides(spec)) and max(height, width) > _LARGEST_SIDE:
        raise InputError(f"pictures of {height} x {width}; at most {_LARGEST_SIDE} pixels a side are possible")
    for name in ("resize", "crop"):
        if not 0 <= getattr(preprocess, name) <= _LARGEST_SIDE:
            raise InputError(f"{name} is {getattr(preprocess, name)}; 0 to {_LARGEST_SIDE} pixels are possible")
    if not 0 <= preprocess.fill <= 255:
        raise InputError(f"fill is {preprocess.fill}; 0 to 255 are possible")
    if not {len(preprocess.mean), len(preprocess.std)} <= {1, channels} or 0.0 in preprocess.std:
        raise InputError(f"mean and std have one value or {channels}, and no std is 0")


def side_axes(spec: TensorSpec) -> tuple[int, ...]:
    """Axes of height and width of an input for pictures; none of any other input."""
    if len(spec.shape) != 4:
        return ()
    return (1, 2) if spec.shape[3] in (1, 3) and spec.shape[1] not in (1, 3) else (2, 3)


def free_sides(spec: TensorSpec) -> tuple[bool, ...]:
    """Whether height and width of an input for pictures are free; both are not of any other input."""
    return tuple(isinstance(spec.shape[axis], str) for axis in side_axes(spec)) or (False, False)


def parse_preprocess(text: str, start: Preprocess) -> Preprocess:
    """Change `start` as the text says: "scale=1/255,mean=0.485/0.456/0.406,std=1,order=BGR,fit=crop,resize=256".

    The keys are fields of `Preprocess`; `corner` is yes or no, `size` is height x width of a network that takes any.

    Raises:
        InputError: when an option is unknown, a value cannot be read, or the number of values fits neither one nor
            the number of channels.
    """
    changed = start
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if key not in _OPTIONS:
            raise unknown_name("preprocessing option", key, _OPTIONS)
        if not equals or not value:
            raise InputError(f"preprocessing option {key!r} has no value", hint=f"write {key}=...")
        changed = _with_option(changed, key, value)
    return changed


def _with_option(start: Preprocess, key: str, value: str) -> Preprocess:
    change: dict[str, Any] = {}
    match key:
        case "fit":
            change[key] = _one_of(key, value.lower(), _FITS)
        case "order":
            change[key] = _one_of(key, value.upper(), _ORDERS[start.channels])
        case "corner":
            change[key] = _one_of(key, value.lower(), ("yes", "no")) == "yes"
        case "fill":
            change[key] = parse_whole(key, value, 0, 255)
        case "resize" | "crop":
            change[key] = parse_whole(key, value, 0, _LARGEST_SIDE)
        case "size":
            height, _, width = value.lower().partition("x")
            change["height"], change["width"] = (parse_whole(key, side, 1, _LARGEST_SIDE) for side in (height, width))
        case _:
            return _with_numbers(start, key, value)
    return replace(start, **change)


def _with_numbers(start: Preprocess, key: str, value: str) -> Preprocess:
    numbers = tuple(parse_number(key, piece, f"0.5 or {key}=0.1/0.2/0.3") for piece in value.split("/"))
    if key == "scale":
        if len(numbers) > 2 or 0.0 in numbers:
            raise InputError(f"cannot read scale={value!r}", hint="write a number or a fraction such as 1/255, not 0")
        return replace(start, scale=numbers[0] / numbers[1] if len(numbers) == 2 else numbers[0])
    if len(numbers) not in {1, start.channels}:
        hint = f"give one value, or {start.channels} separated by /"
        raise InputError(f"{key}={value!r} has {len(numbers)} values for {start.channels} channels", hint=hint)
    if key == "mean":
        return replace(start, mean=numbers)
    if 0.0 in numbers:
        raise InputError(f"std={value!r} would divide by zero", hint="give values above 0")
    return replace(start, std=numbers)


def _one_of(key: str, value: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise InputError(f"{key}={value!r} is not possible here", hint=f"one of {', '.join(allowed)}")
    return value


def sized(pictures: NDArray[np.uint8] | Sequence[NDArray[np.uint8]], preprocess: Preprocess) -> NDArray[np.uint8]:
    """Fit pictures: uint8 [N, height, width, channels] in the network's channel order, not yet scaled.

    Raises:
        DataError: as `prepare`.
    """
    if isinstance(pictures, np.ndarray):
        stack = _checked(pictures[..., None] if pictures.ndim == 3 else pictures, 4)
        fitted = _fitted(_with_channels(stack, preprocess.channels), preprocess)
    else:
        each = (_checked(one[..., None] if one.ndim == 2 else one, 3)[None] for one in pictures)
        fitted = np.concatenate([_fitted(_with_channels(one, preprocess.channels), preprocess) for one in each])
    return fitted[..., ::-1] if preprocess.order == "BGR" else fitted


def _checked(array: NDArray[np.uint8], dimensions: int) -> NDArray[np.uint8]:
    if array.dtype != np.uint8 or array.ndim != dimensions or array.shape[-1] not in (1, 3):
        received = f"{array.dtype} {list(array.shape)}"
        raise DataError(f"this is no picture: {received}", hint="pictures are uint8 [height, width, 1 or 3]")
    if 0 in array.shape:
        raise DataError(f"a picture of zero size: {list(array.shape)}", hint="it needs at least one pixel")
    return array


def _with_channels(stack: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    if stack.shape[-1] == channels:
        return stack
    if channels == 3:
        return np.repeat(stack, 3, axis=-1)
    # ITU-R 601-2 luma in the same fixed point as Pillow's convert("L")
    weighted = stack.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
    return ((weighted + 0x8000) >> 16).astype(np.uint8)[..., None]


def _fitted(stack: NDArray[np.uint8], preprocess: Preprocess) -> NDArray[np.uint8]:
    """Bring [N, H, W, C] to the wanted height and width."""
    placement = place(stack.shape[1], stack.shape[2], preprocess)
    cut, window = placement.cut, placement.window
    part = stack[:, cut.top : cut.top + cut.height, cut.left : cut.left + cut.width]
    return _resized(_seen_through(window, _resized(part, *placement.resized), preprocess.fill), *placement.target)


def _resized(stack: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    if stack.shape[1:3] == (height, width):
        return stack
    return np.stack([resize(picture, height, width) for picture in stack])


def _seen_through(window: Region, stack: NDArray[np.uint8], fill: int) -> NDArray[np.uint8]:
    """What a window shows of pictures [N, H, W, C]; `fill` where it reaches beyond them."""
    top, left = max(window.top, 0), max(window.left, 0)
    inside = stack[:, top : window.top + window.height, left : window.left + window.width]
    if inside.shape[1:3] == window.size:
        return inside
    result = np.full((len(stack), *window.size, stack.shape[3]), fill, np.uint8)
    down, right = top - window.top, left - window.left
    result[:, down : down + inside.shape[1], right : right + inside.shape[2]] = inside
    return result
