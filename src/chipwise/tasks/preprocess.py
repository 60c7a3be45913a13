"""Pictures to network inputs: `(pixel * scale - mean) / std` after bringing the picture to the right size.

>>> import numpy as np
>>> from chipwise.core.task import Preprocess
>>> prepare(np.full((2, 28, 28, 1), 255, np.uint8), Preprocess(height=32, width=32)).shape
(2, 1, 32, 32)
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from chipwise.core.errors import DataError, InputError, unknown_name
from chipwise.core.task import Preprocess
from chipwise.tasks.pictures import resize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from chipwise.core.network import TensorSpec

_CHUNK = 1024  # pictures turned to float at a time: bounds what is needed besides the result
_MIN_FLAT_SIDE = 8  # a flat input shorter than 8 x 8 (iris has 4 features) is no picture
_LONGEST = 8  # sides beyond this aspect ratio are cut before the resize of "crop", so that it stays bounded
_FITS = ("auto", "pad", "stretch", "crop")
_ORDERS = {1: ("L",), 3: ("RGB", "BGR")}
_OPTIONS = ("scale", "mean", "std", "order", "fit")


def prepare(pictures: NDArray[np.uint8] | Sequence[NDArray[np.uint8]], preprocess: Preprocess) -> NDArray[np.float32]:
    """Turn pictures into the network's input.

    Args:
        pictures: uint8 [N, H, W, C] or [N, H, W], or a sequence of [H, W, C] of any sizes; C is 1 or 3.
        preprocess: size, channels, order, layout and scaling.

    Returns:
        float32 [N, C, H, W], [N, H, W, C] or [N, H * W * C], as `preprocess.layout` says; C-contiguous.

    Raises:
        DataError: when a picture has no pixels, is not uint8, or has other than 1 or 3 channels.
    """
    count, channels = len(pictures), preprocess.channels
    size = (preprocess.height, preprocess.width)
    nchw = preprocess.layout == "NCHW"
    result = np.empty((count, channels, *size) if nchw else (count, *size, channels), np.float32)
    scaled = result.transpose(0, 2, 3, 1) if nchw else result
    mean, std = np.array(preprocess.mean, np.float32), np.array(preprocess.std, np.float32)
    for start in range(0, count, _CHUNK):
        chunk = _sized(pictures[start : start + _CHUNK], preprocess)
        part = scaled[start : start + _CHUNK]
        np.multiply(chunk, np.float32(preprocess.scale), out=part)
        part -= mean
        part /= std
    return result.reshape(count, -1) if preprocess.layout == "flat" else result


def default_preprocess(spec: TensorSpec) -> Preprocess | None:
    """Guess how pictures become this input: pixels 0..255 scaled to 0..1.

    [N, 1|3, H, W] is NCHW, [N, H, W, 1|3] is NHWC, [N, H * H] (at least 8 x 8, as MNIST's 784) is flat grey.

    Returns:
        None when the shape is no picture's, has a free height or width, or the element type is no float.
    """
    if not spec.dtype.startswith(("float", "bfloat")):
        return None
    match spec.shape:
        case (_, 1 | 3 as channels, int(height), int(width)) if min(height, width) > 0:
            return Preprocess(height, width, channels, "RGB" if channels == 3 else "L", "NCHW")
        case (_, int(height), int(width), 1 | 3 as channels) if min(height, width) > 0:
            return Preprocess(height, width, channels, "RGB" if channels == 3 else "L", "NHWC")
        case (_, int(features)) if features >= _MIN_FLAT_SIDE**2 and math.isqrt(features) ** 2 == features:
            return Preprocess(math.isqrt(features), math.isqrt(features), layout="flat")
    return None


def parse_preprocess(text: str, start: Preprocess) -> Preprocess:
    """Change `start` as the text says: "scale=1/255,mean=0.485/0.456/0.406,std=1,order=BGR,fit=crop".

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
    if key == "fit":
        return replace(start, fit=_one_of(key, value.lower(), _FITS))  # type: ignore[arg-type]
    if key == "order":
        return replace(start, order=_one_of(key, value.upper(), _ORDERS[start.channels]))  # type: ignore[arg-type]
    numbers = tuple(_number(key, piece) for piece in value.split("/"))
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


def _number(key: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"cannot read {text!r} in {key} as a number", hint=f"write {key}=0.5 or {key}=0.1/0.2/0.3")
    return number


def _sized(pictures: NDArray[np.uint8] | Sequence[NDArray[np.uint8]], preprocess: Preprocess) -> NDArray[np.uint8]:
    """Pictures to uint8 [N, height, width, channels] in the network's channel order."""
    if isinstance(pictures, np.ndarray):
        stack = _checked(pictures[..., None] if pictures.ndim == 3 else pictures, 4)
        sized = _fitted(_with_channels(stack, preprocess.channels), preprocess)
    else:
        each = (_checked(one[..., None] if one.ndim == 2 else one, 3)[None] for one in pictures)
        sized = np.concatenate([_fitted(_with_channels(one, preprocess.channels), preprocess) for one in each])
    return sized[..., ::-1] if preprocess.order == "BGR" else sized


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
    height, width, target = stack.shape[1], stack.shape[2], (preprocess.height, preprocess.width)
    if (height, width) == target:
        return stack
    fit = preprocess.fit
    if fit == "auto":
        near = 3 * target[0] <= 4 * height <= 4 * target[0] and 3 * target[1] <= 4 * width <= 4 * target[1]
        fit = "pad" if near else "stretch"
    if fit == "stretch":
        return _resized(stack, *target)
    return _padded(stack, *target) if fit == "pad" else _cropped(stack, *target)


def _resized(stack: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    return np.stack([resize(picture, height, width) for picture in stack])


def _padded(stack: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Centre on black; a picture that is too large is made smaller first, its proportions kept."""
    factor = min(height / stack.shape[1], width / stack.shape[2], 1.0)
    if factor < 1:
        smaller = (max(1, round(stack.shape[1] * factor)), max(1, round(stack.shape[2] * factor)))
        stack = _resized(stack, *smaller)
    top, left = (height - stack.shape[1]) // 2, (width - stack.shape[2]) // 2
    result = np.zeros((len(stack), height, width, stack.shape[3]), np.uint8)
    result[:, top : top + stack.shape[1], left : left + stack.shape[2]] = stack
    return result


def _cropped(stack: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Shorter side to 8/7 of the target (256 for 224), then the centre: what ImageNet networks are tested with."""
    shorter = min(stack.shape[1:3])
    stack = _centre(stack, min(stack.shape[1], shorter * _LONGEST), min(stack.shape[2], shorter * _LONGEST))
    factor = max(round(height * 8 / 7) / stack.shape[1], round(width * 8 / 7) / stack.shape[2])
    covering = _resized(stack, max(height, round(stack.shape[1] * factor)), max(width, round(stack.shape[2] * factor)))
    return _centre(covering, height, width)


def _centre(stack: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    top, left = (stack.shape[1] - height) // 2, (stack.shape[2] - width) // 2
    return stack[:, top : top + height, left : left + width]
