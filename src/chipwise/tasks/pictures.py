"""Picture files to uint8 arrays and back; the one module that knows Pillow.

Grey stays grey (one channel), everything else becomes RGB. Transparent parts are shown on white, as a viewer does;
the EXIF orientation is applied; of a moving picture the first frame is taken; 16-bit grey keeps its upper 8 bits.

>>> import numpy as np, pathlib, tempfile
>>> path = pathlib.Path(tempfile.mkdtemp()) / "dot.png"
>>> _ = path.write_bytes(png_bytes(np.full((2, 3, 1), 7, np.uint8)))
>>> open_picture(path).shape
(2, 3, 1)
"""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from chipwise.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # of SUFFIXES; Pillow knows stranger ones
_GREY = frozenset({"1", "L", "I", "I;16", "I;16B", "I;16L"})
# What Pillow's decoders raise on damaged files; Image.open alone documents only some of them.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, KeyError, struct.error, zlib.error)
_SIDEWAYS = range(5, 9)
_ORIENTATION_TAG = 0x0112


def open_picture(path: Path | str) -> NDArray[np.uint8]:
    """Read one picture file.

    Returns:
        uint8 [height, width, channels] with 1 (grey) or 3 (RGB) channels.

    Raises:
        DataError: when it does not exist, is no picture, is damaged or cut short, has no pixels, or more than
            Pillow's limit against decompression bombs (89 million).
    """
    return _opened(Path(path))


def picture_from_bytes(data: bytes, name: str) -> NDArray[np.uint8]:
    """Read a picture file that is in memory, as `open_picture`; only the formats of `SUFFIXES` are tried.

    Args:
        data: the file, from anybody.
        name: what errors call it.

    Raises:
        DataError: as `open_picture`.
    """
    return _opened(Path(name), data)


def _opened(path: Path, data: bytes | None = None) -> NDArray[np.uint8]:
    with _reading(path, data) as image:
        image.verify()
    with _reading(path, data) as image:
        array = _to_array(image, path)
    if array.size == 0:
        raise DataError(f"{path} is a picture of zero size", hint="remove it, or save it again")
    return array


def moving_picture(path: Path) -> tuple[int, Iterator[NDArray[np.uint8]]]:
    """The number of frames of a picture file, and each as `open_picture` gives it, read when it is wanted.

    Raises:
        DataError: as `open_picture`.
    """
    with _reading(path) as image:
        count = int(getattr(image, "n_frames", 1))
    return count, _each_frame(path, count)


def picture_shape(path: Path | str) -> tuple[int, int, int]:
    """Height, width and channels that `open_picture` would give, from the file's header alone.

    Raises:
        DataError: when the header cannot be read.
    """
    with _reading(Path(path)) as image:
        width, height = image.size
        if image.getexif().get(_ORIENTATION_TAG) in _SIDEWAYS:
            width, height = height, width
        return height, width, 1 if image.mode in _GREY | {"LA"} else 3


def check_header(path: Path) -> None:
    """Find out from a picture's first bytes whether it can be one; `picture_shape` may decode a whole PNG.

    Raises:
        DataError: as `open_picture`, as far as the header says so.
    """
    with _reading(path):
        pass


def png_bytes(picture: NDArray[np.uint8]) -> bytes:
    """Encode a uint8 picture [H, W, 1], [H, W, 3] or [H, W] as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(_squeezed(picture)).save(buffer, format="PNG")
    return buffer.getvalue()


def resize(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize a uint8 picture [H, W, C] to [height, width, C], bilinear with antialiasing (Pillow's)."""
    if picture.shape[:2] == (height, width):
        return picture
    image = Image.fromarray(_squeezed(picture)).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8).reshape(height, width, picture.shape[2])


def resize_bicubic(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize each channel of a uint8 picture [H, W, C] to [height, width, C], bicubic (Pillow's)."""
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(picture, 2, 0)]
    return np.stack([np.asarray(plane.resize((width, height), Image.Resampling.BICUBIC)) for plane in planes], axis=2)


def to_ycbcr(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB [H, W, 3] as luma and two colour differences (JPEG's), uint8."""
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).convert("YCbCr"), np.uint8)


def with_colours(luma: NDArray[np.uint8], colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luma [H, W, 1] and colour differences [H, W, 2] as RGB [H, W, 3]."""
    planes = [np.ascontiguousarray(plane) for plane in np.moveaxis(np.concatenate([luma, colours], axis=2), 2, 0)]
    return np.asarray(Image.merge("YCbCr", [Image.fromarray(plane) for plane in planes]).convert("RGB"), np.uint8)


class _Quiet:
    """Pillow's warnings are errors, where a picture is too large, or nothing, while any thread reads a picture.

    Filters are the process's: a thread that put back those that it found would put back another's.
    """

    def __init__(self) -> None:
        self._lock, self._readers, self._before = threading.Lock(), 0, warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._readers += 1
            if self._readers == 1:
                self._before = warnings.catch_warnings()
                self._before.__enter__()
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", Image.DecompressionBombWarning)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._readers -= 1
            if not self._readers:
                self._before.__exit__(None, None, None)


_quiet = _Quiet()


@contextmanager
def _reading(path: Path, data: bytes | None = None) -> Iterator[Image.Image]:
    """Open an image file, or what one holds; everything that goes wrong meanwhile becomes a DataError that names it."""
    try:
        file = path if data is None else io.BytesIO(data)
        with _quiet, Image.open(file, formats=None if data is None else _FORMATS) as image:
            yield image
    except FileNotFoundError as error:
        raise DataError(f"no such picture: {path}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        hint = f"pictures may have {Image.MAX_IMAGE_PIXELS:,} pixels; make it smaller"
        raise DataError(f"{path} has too many pixels", hint=hint) from error
    except _DAMAGE as error:
        if path.is_dir():
            hint = f"name the pictures in it, or run them all: --frames {path}"
            raise DataError(f"{path} is a folder", hint=hint) from error
        reason = f"is no picture, or damaged: {_one_line(error)}"
        raise DataError(f"{path} {reason}", hint=f"known formats: {', '.join(sorted(SUFFIXES))}") from error


def _each_frame(path: Path, count: int) -> Iterator[NDArray[np.uint8]]:
    with _reading(path) as image:
        for number in range(count):
            yield _to_array(image, path, number)


def _to_array(image: Image.Image, path: Path, frame: int = 0) -> NDArray[np.uint8]:
    image.seek(frame)
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "F":
        raise DataError(f"{path} holds floating-point pixels", hint="save it with 8 bits a channel")
    if upright.mode.startswith("I"):
        wide = np.asarray(upright).astype(np.int64)
        return (wide >> 8).clip(0, 255).astype(np.uint8)[:, :, None]
    if "A" in upright.getbands() or "transparency" in upright.info:
        upright = _on_white(upright)
    array = np.asarray(upright.convert("L" if upright.mode in _GREY else "RGB"), dtype=np.uint8)
    return array.reshape(*array.shape[:2], -1) if array.size else np.empty((*array.shape[:2], 1), np.uint8)


def _on_white(image: Image.Image) -> Image.Image:
    colour = image.convert("RGBA")
    shown = Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour)
    return shown.convert("L" if image.mode in ("LA", "L", "1") else "RGB")


def _squeezed(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return picture[:, :, 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
