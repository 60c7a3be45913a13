"""What can be said of a zoo network without torch, and how the tables of entries are written.

>>> photo(224).mean
(0.485, 0.456, 0.406)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from chipwise.core.errors import InputError, unknown_name
from chipwise.core.network import Source, TensorSpec
from chipwise.core.task import Preprocess, Task

_WHOLE = ("num_classes", "size")
_LARGEST = 100_000  # of any option: beyond it is a slip of the finger
# Mean and standard deviation of ImageNet's training pixels on the 0..1 scale, as torchvision's networks expect.
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


PACKAGE = "chipwise.networks.zoo."


def from_zoo(source: Source) -> bool:
    """Whether a source is one of chipwise's own networks, whose code is known, rather than a user's."""
    return source.factory.startswith(PACKAGE)


@dataclass(frozen=True, slots=True)
class ZooEntry:
    """One zoo network.

    Attributes:
        factory: "family:function" in `chipwise.networks.zoo`; the function returns a `torch.nn.Module`.
        inputs: what the network takes.
        outputs: what it gives.
        task: what it is for, and how a picture becomes its input.
        description: one line.
        arguments: keyword arguments of the function.
        options: names that may be given after the zoo name ("resnet18:width=0.5"), besides `num_classes` and `size`;
            each becomes a keyword argument.
        sizing: "fixed" (one input size only) or "free" (the module takes any square picture, by the option `size`).
        rebuilt: makes the entry for other options where outputs or boxes depend on them; it takes `num_classes`,
            `size` and `options` as keyword arguments. None where the rules above are enough.
    """

    factory: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    task: Task
    description: str
    arguments: dict[str, int | float] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    sizing: Literal["fixed", "free"] = "fixed"
    rebuilt: Callable[..., ZooEntry] | None = None


def classifier(
    factory: str,
    shape: tuple[int, ...],
    preprocess: Preprocess | None,
    description: str,
    classes: int = 10,
    *,
    options: tuple[str, ...] = (),
) -> ZooEntry:
    """An entry of a network that gives scores [N, classes] for an input [N, *shape]."""
    return ZooEntry(
        factory,
        (TensorSpec("input", ("batch", *shape)),),
        (TensorSpec("scores", ("batch", classes)),),
        Task("classification", preprocess=preprocess),
        description,
        options=options,
    )


def photo(
    side: int,
    *,
    resize: int = 0,
    mean: tuple[float, ...] = _IMAGENET_MEAN,
    std: tuple[float, ...] = _IMAGENET_STD,
) -> Preprocess:
    """Preprocessing of networks for photographs: shorter side to `resize`, centre crop, colours normalised."""
    return Preprocess(side, side, 3, "RGB", "NCHW", "crop", mean=mean, std=std, resize=resize)


def with_options(name: str, entry: ZooEntry, text: str) -> ZooEntry:
    """Change an entry as the user wrote after its name: "num_classes=5,size=96,width=0.5".

    Raises:
        InputError: when an option does not exist for this network, or its value is no number above 0.
    """
    given = dict(_option(name, entry, part) for part in text.split(","))
    if entry.rebuilt is not None:
        return entry.rebuilt(**given)
    size, classes = given.get("size"), given.get("num_classes")
    arguments = {key: value for key, value in given.items() if key != "size"}
    changed = replace(entry, arguments={**entry.arguments, **arguments})
    if size is not None:
        changed = _resized(changed, int(size))
    if classes is not None:
        outputs = tuple(replace(spec, shape=(*spec.shape[:-1], int(classes))) for spec in changed.outputs)
        changed = replace(changed, outputs=outputs)
    return changed


def _option(name: str, entry: ZooEntry, part: str) -> tuple[str, int | float]:
    key, _, value = (piece.strip() for piece in part.partition("="))
    sizes = () if entry.sizing == "fixed" else ("size",)
    known = ("num_classes", *sizes, *entry.options)
    if key not in known:
        raise unknown_name(f"option of {name}", key, known)
    try:
        number = int(value) if value.lstrip("+-").isdigit() else float(value)
    except ValueError:
        number = 0
    if not 0 < number < _LARGEST:  # NaN is neither
        least = "a whole number from 1" if key in _WHOLE else "a number above 0"
        raise InputError(f"{name}: {key}={value!r} is no number that is possible here", hint=f"{key} is {least}")
    if key in _WHOLE and not isinstance(number, int):
        raise InputError(f"{name}: {key}={value!r} is no whole number")
    return key, number


def _resized(entry: ZooEntry, size: int) -> ZooEntry:
    inputs = tuple(replace(spec, shape=(*spec.shape[:-2], size, size)) for spec in entry.inputs)
    before = entry.task.preprocess
    after = None if before is None else replace(before, height=size, width=size, resize=0)
    return replace(entry, inputs=inputs, task=replace(entry.task, preprocess=after))
