"""What three 3x3 kernels and 2x2 pooling do to a photograph: one sheet with the picture before and after.

    python recipes/kernels_on_a_photograph.py [PHOTO] [-o sheet.png]

Without a photograph the recipe draws a scene of its own. Negative results are dark, positive ones light, grey is 0.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from chipwise.cli.ending import errors_said
from chipwise.codec.files import atomic_write
from chipwise.tasks.pictures import open_picture, png_bytes

Plane = NDArray[np.float64]
KERNELS = (
    ((-0.2, 0, 0.5), (1, 0.3, -0.6), (0, 0, 0.8)),
    ((0, 0, 0), (0.8, -0.5, 0.8), (0, -0.2, 0)),
    ((0, 0.4, 0.2), (-0.8, 0, 0.8), (0, -0.5, 0.2)),
)
SIDE, CAPTION = 256, 64


def main(arguments: Sequence[str] | None = None) -> dict[str, Plane]:
    """Draw the sheet; returns each plane by its caption."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", nargs="?", type=Path, help="any picture; it is made grey and 256 pixels wide")
    parser.add_argument("-o", "--output", type=Path, default=Path("sheet.png"))
    options = parser.parse_args(arguments)
    plane = grey(Image.fromarray(open_picture(options.photo).squeeze()) if options.photo else scene())
    planes = {"the picture": plane}
    for kernel in KERNELS:
        planes["\n".join("  ".join(f"{weight:4.1f}" for weight in row) for row in kernel)] = convolved(plane, kernel)
    planes["2x2 max pooling"] = pooled(plane, np.max)
    planes["2x2 average pooling"] = pooled(plane, np.mean)
    atomic_write(options.output, png_bytes(np.asarray(sheet(planes))))
    print(options.output)
    return planes


def grey(picture: Image.Image) -> Plane:
    """A picture as brightness 0..255 [H, W], with even sides."""
    height = max(2, round(picture.height * SIDE / picture.width) // 2 * 2)
    return np.asarray(picture.convert("L").resize((SIDE, height)), dtype=np.float64)


def scene() -> Image.Image:
    """A house, a tree, a sun and a fence, with a little noise."""
    sky = np.linspace((120, 170, 230), (225, 235, 245), SIDE)
    picture = Image.fromarray(np.repeat(sky[:, None, :], SIDE, axis=1).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((190, 20, 235, 65), fill=(255, 220, 90))
    draw.rectangle((0, 180, SIDE, SIDE), fill=(95, 140, 70))
    draw.rectangle((40, 110, 140, 205), fill=(190, 120, 90))
    draw.polygon(((30, 110), (90, 60), (150, 110)), fill=(120, 50, 45))
    draw.rectangle((80, 150, 105, 205), fill=(70, 45, 35))
    draw.rectangle((115, 130, 133, 150), fill=(240, 235, 180))
    draw.rectangle((198, 140, 208, 205), fill=(95, 65, 45))
    draw.ellipse((170, 85, 236, 155), fill=(50, 105, 55))
    for left in range(0, SIDE, 16):
        draw.rectangle((left, 205, left + 5, 240), fill=(235, 230, 220))
    noise = np.random.default_rng(0).normal(0, 4, (SIDE, SIDE, 1))
    return Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))


def convolved(plane: Plane, kernel: Sequence[Sequence[float]]) -> Plane:
    """Slide a 3x3 kernel over a plane with zeros around it, as networks do it: without turning the kernel."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(plane, 1), (3, 3))
    result: Plane = np.einsum("hwij,ij->hw", windows, np.asarray(kernel))
    return result


def pooled(plane: Plane, take: Callable[..., Plane]) -> Plane:
    """The largest, or the mean, of every 2x2 square."""
    squares = plane.reshape(plane.shape[0] // 2, 2, plane.shape[1] // 2, 2)
    return take(squares, axis=(1, 3))


def sheet(planes: dict[str, Plane]) -> Image.Image:
    """Three pictures a row, each with what was done to it."""
    height = max(plane.shape[0] for plane in planes.values())
    rows = -(-len(planes) // 3)
    page = Image.new("L", (3 * (SIDE + 12) + 12, rows * (height + CAPTION) + 12), 255)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(13)
    for place, (caption, plane) in enumerate(planes.items()):
        left, top = 12 + place % 3 * (SIDE + 12), 12 + place // 3 * (height + CAPTION)
        page.paste(visible(plane), (left, top))
        draw.multiline_text((left, top + height + 4), caption, fill=0, font=font, spacing=2)
    return page


def visible(plane: Plane) -> Image.Image:
    """Brightness as it is; what lies outside 0..255 stretched around middle grey; what was pooled at its old size."""
    if plane.min() < 0 or plane.max() > 255:
        plane = 127.5 + 127.5 * plane / np.abs(plane).max()
    factor = SIDE // plane.shape[1]
    return Image.fromarray(np.clip(plane, 0, 255).round().astype(np.uint8)).resize(
        (SIDE, plane.shape[0] * factor), Image.Resampling.NEAREST
    )


if __name__ == "__main__":
    with errors_said():
        main()
