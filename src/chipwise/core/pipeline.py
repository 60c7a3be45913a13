"""A staged image pipeline as data: find candidate regions in a large picture, and let a network judge each of them.

Every stage is a few numbers; what they do is in `chipwise.tasks.regions`, how they are written in a file in
`chipwise.codec.pipeline_file`. Lengths are in pixels of the picture as it was given.

>>> pipeline = Pipeline((Channel("red"), Threshold("otsu"), Regions(min_area=20), Classify(), Keep(("mite",))))
>>> [stage_name(stage) for stage in pipeline.stages]
['channel', 'threshold', 'regions', 'classify', 'keep']
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from chipwise.core.errors import InputError

Form = Literal["a picture", "a grey picture", "a mask", "boxes", "answers"]


@dataclass(frozen=True, slots=True)
class Crop:
    """Look only at a part; 0 for `right` and `bottom` is the picture's edge."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0


@dataclass(frozen=True, slots=True)
class Channel:
    """One value a pixel, 0..255: luma, a colour, or hue, saturation and value (the largest of the three colours)."""

    channel: Literal["grey", "red", "green", "blue", "hue", "saturation", "value"] = "grey"


@dataclass(frozen=True, slots=True)
class Blur:
    """Smooth noise away: over a square of `2 * radius + 1` pixels."""

    radius: int = 1
    method: Literal["gaussian", "median"] = "gaussian"


@dataclass(frozen=True, slots=True)
class Threshold:
    """Keep the dark or the light pixels.

    Attributes:
        method: "otsu" (the value that divides the histogram best), "adaptive" (the mean around each pixel), "value".
        keep: which side of it.
        value: for "value": dark pixels are below it, light ones from it on.
        window: for "adaptive": side of the square around a pixel, odd.
        offset: for "adaptive": how much darker or lighter than the mean a pixel must be.
    """

    method: Literal["otsu", "adaptive", "value"] = "otsu"
    keep: Literal["dark", "light"] = "dark"
    value: int = 128
    window: int = 51
    offset: int = 10


@dataclass(frozen=True, slots=True)
class Open:
    """Remove specks and thin lines: erode by a disc of this radius, then dilate."""

    radius: int = 1


@dataclass(frozen=True, slots=True)
class Close:
    """Fill gaps: dilate by a disc of this radius, then erode."""

    radius: int = 1


@dataclass(frozen=True, slots=True)
class Regions:
    """Connected pixels (also over corners) become boxes.

    Attributes:
        min_area: pixels of the region, not of its box; max_area: 0 for no limit.
        longest: how many times longer than wide a box may be; 0 for no limit.
        border: keep regions that touch the edge of what is looked at.
    """

    min_area: int = 1
    max_area: int = 0
    longest: float = 0.0
    border: bool = True


@dataclass(frozen=True, slots=True)
class Expand:
    """Let boxes show what is around: `pixels` on each side, and the shorter side made as long as the longer one."""

    pixels: int = 0
    square: bool = True


@dataclass(frozen=True, slots=True)
class Classify:
    """Give each box the network's most likely class; so many boxes at a time."""

    batch: int = 32


@dataclass(frozen=True, slots=True)
class Keep:
    """Keep the boxes of these classes (all when none is named) with at least this score, 0..1."""

    labels: tuple[str, ...] = ()
    score: float = 0.0


Stage = Crop | Channel | Blur | Threshold | Open | Close | Regions | Expand | Classify | Keep
STAGES: dict[str, type[Stage]] = {kind.__name__.lower(): kind for kind in get_args(Stage)}

# What a stage takes and gives. A blur gives what it takes.
_FORMS: dict[type[Stage], tuple[tuple[Form, ...], Form | None]] = {
    Crop: (("a picture",), "a picture"),
    Channel: (("a picture",), "a grey picture"),
    Blur: (("a picture", "a grey picture"), None),
    Threshold: (("a grey picture",), "a mask"),
    Open: (("a mask",), "a mask"),
    Close: (("a mask",), "a mask"),
    Regions: (("a mask",), "boxes"),
    Expand: (("boxes",), "boxes"),
    Classify: (("boxes",), "answers"),
    Keep: (("answers",), "answers"),
}
# Field: the least and the most that makes sense.
_LIMITS: dict[str, tuple[float, float]] = {
    "left": (0, 1e6),
    "top": (0, 1e6),
    "right": (0, 1e6),
    "bottom": (0, 1e6),
    "value": (0, 255),
    "window": (3, 999),
    "offset": (0, 255),
    "min_area": (1, 1e9),
    "max_area": (0, 1e9),
    "longest": (0, 1e6),
    "pixels": (0, 1e4),
    "batch": (1, 1024),
    "score": (0, 1),
}
_MOST_RADIUS = {Blur: 50, Open: 50, Close: 50}
_MOST_STAGES = 64


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Stages in the order in which they work; the first takes the picture, the last gives boxes or answers."""

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        """Check the order and every number.

        Raises:
            InputError: naming the stage by its place, from 1.
        """
        if not 0 < len(self.stages) <= _MOST_STAGES:
            raise InputError(f"a pipeline of {len(self.stages)} stages", hint=f"give 1 to {_MOST_STAGES}")
        form: Form = "a picture"
        before = "the picture"
        for place, stage in enumerate(self.stages, 1):
            takes, gives = _FORMS[type(stage)]
            here = f"stage {place} ({stage_name(stage)})"
            if form not in takes:
                raise InputError(f"{here} takes {takes[-1]}, and {before} gives {form}", hint=_ORDER)
            _check_numbers(stage, here)
            form, before = gives or form, here
        if form not in ("boxes", "answers"):
            raise InputError(f"the pipeline ends with {form}", hint=_ORDER)


_ORDER = "crop, channel, blur, threshold, open or close, regions, expand, classify, keep is the usual order"


def stage_name(stage: Stage) -> str:
    """What a stage is called in a file."""
    return type(stage).__name__.lower()


def _check_numbers(stage: Stage, here: str) -> None:
    for name in stage.__slots__:
        value = getattr(stage, name)
        low, high = (1, _MOST_RADIUS[type(stage)]) if name == "radius" else _LIMITS.get(name, (0, 0))
        if (name == "radius" or name in _LIMITS) and not low <= value <= high:
            raise InputError(f"{here}: {name} is {value}; it may be from {low:g} to {high:g}")
    if isinstance(stage, Threshold) and stage.window % 2 == 0:
        raise InputError(f"{here}: window is {stage.window}; it must be odd", hint=f"window = {stage.window + 1}")
    if isinstance(stage, Regions) and 0 < stage.max_area < stage.min_area:
        raise InputError(f"{here}: max_area {stage.max_area} is below min_area {stage.min_area}")
    if isinstance(stage, Crop) and (0 < stage.right <= stage.left or 0 < stage.bottom <= stage.top):
        raise InputError(f"{here}: nothing is left between {stage.left}, {stage.top} and {stage.right}, {stage.bottom}")
