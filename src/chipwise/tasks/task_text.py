"""What a network is for, as the user says it: a kind, perhaps a variant, and options.

    classification
    detection:yolox                         yolox, corners; any decoder with threshold=0.3,overlap=0.5
    image:order=BGR,scale=255,offset=0
    sequence:step=512,context=64,rate=16000,state=stateN,sr=16000

In the last one `state=stateN` says that the input "state" gets what the output "stateN" gave, and `sr=16000` that the
input "sr" is always that.

>>> from chipwise.core.network import TensorSpec
>>> said = parse_task("detection:corners,threshold=0.5", Task(), (), ())
>>> said.detection.decoder, said.detection.threshold
('corners', 0.5)
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from chipwise.core.errors import InputError, unknown_name
from chipwise.core.task import Decoder, Detection, Kind, Rendering, Stream, Task
from chipwise.core.units import parse_number, parse_whole
from chipwise.tasks.decode import yolox_heads
from chipwise.tasks.guess import guess_rendering

if TYPE_CHECKING:
    from chipwise.core.network import TensorSpec

    Specs = tuple[TensorSpec, ...]

# What these need besides the outputs (grids and their anchors) is more than a line can say.
_FROM_FILE = ("yolo", "region", "yolo-v1", "ssd")
_ORDERS = ("L", "RGB", "BGR")
_LONGEST_STEP = 1 << 24


def parse_task(text: str, before: Task, inputs: Specs, outputs: Specs) -> Task:
    """Change a task as the text says; what it does not mention stays.

    Args:
        text: as the module's docstring shows.
        before: what was guessed or stored.
        inputs: of the network, for streams.
        outputs: likewise.

    Raises:
        InputError: when the kind, the variant or an option is unknown, a value cannot be read, or a detector needs
            more than a line can say.
    """
    kind, _, rest = (piece.strip() for piece in text.partition(":"))
    if kind not in get_args(Kind):
        raise unknown_name("task", kind, get_args(Kind))
    words = [word.strip() for word in rest.split(",")] if rest else []
    variant = words.pop(0) if words and "=" not in words[0] else ""
    options = _pairs(words, text)
    if variant and kind != "detection":
        raise InputError(
            f"task {kind!r} has no variants; received {variant!r}", hint=f"write {kind}, or {kind}:KEY=VALUE"
        )
    if kind != before.kind:  # what the old kind was fed and read by says nothing of the new one
        before = replace(before, detection=None, rendering=None, stream=None)
    task = replace(before, kind=kind)  # type: ignore[arg-type]
    match kind:
        case "detection":
            return replace(task, detection=_detection(variant, options, before))
        case "image":
            return replace(task, rendering=_rendering(options, before, outputs))
        case "sequence":
            return replace(task, stream=_stream(options, before, inputs, outputs))
    if options:
        raise InputError(f"task {kind!r} has no options; received {next(iter(options))!r}", hint=f"write {kind}")
    return task


def with_limits(task: Task, threshold: float | None, overlap: float | None) -> Task:
    """Change the limits of a detector; None leaves one as it is.

    Raises:
        InputError: when the network is no detector, or a limit does not lie between 0 and 1.
    """
    given: dict[str, Any] = {
        key: value for key, value in (("threshold", threshold), ("overlap", overlap)) if value is not None
    }
    if not given:
        return task
    if task.kind != "detection" or task.detection is None:
        raise InputError(f"{next(iter(given))} is for detectors; this network is for {task.kind}")
    for key, value in given.items():
        if not 0 <= value <= 1:
            raise InputError(f"{key} {value} does not lie between 0 and 1")
    return replace(task, detection=replace(task.detection, **given))


def _pairs(words: list[str], text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for word in words:
        key, equals, value = (piece.strip() for piece in word.partition("="))
        if not key or not equals or not value:
            raise InputError(f"cannot read {word!r} in task {text!r}", hint="write KEY=VALUE, separated by commas")
        if key in pairs:
            raise InputError(f"task {text!r} says {key!r} twice")
        pairs[key] = value
    return pairs


def _detection(variant: str, options: dict[str, str], before: Task) -> Detection:
    known = before.detection
    decoder = variant or (known.decoder if known is not None else "")
    if not decoder or decoder not in get_args(Decoder):
        raise unknown_name("detector", decoder, ("yolox", "corners")) if decoder else _needs_variant()
    if known is None or known.decoder != decoder:
        if decoder in _FROM_FILE:
            hint = "load it from its .cfg or by its zoo name; --task can say detection:yolox and detection:corners"
            raise InputError(f"a {decoder} detector needs its anchors, which a line cannot say", hint=hint)
        known = Detection(decoder, _heads(decoder, before))  # type: ignore[arg-type]
    for key, value in options.items():
        if key not in ("threshold", "overlap"):
            raise unknown_name("option of a detector", key, ("overlap", "threshold"))
        number = parse_number(key, value)
        if not 0 <= number <= 1:
            raise InputError(f"{key}={value} does not lie between 0 and 1")
        change: dict[str, Any] = {key: number}
        known = replace(known, **change)
    return known


def _heads(decoder: str, before: Task) -> tuple[Any, ...]:
    seen = before.preprocess
    return yolox_heads(seen.height, seen.width) if decoder == "yolox" and seen is not None else ()


def _needs_variant() -> InputError:
    return InputError("a detector's outputs may mean many things", hint="write detection:yolox or detection:corners")


def _rendering(options: dict[str, str], before: Task, outputs: Specs) -> Rendering:
    made = before.rendering or guess_rendering(before.preprocess, outputs)
    for key, value in options.items():
        if key == "order":
            if value.upper() not in _ORDERS:
                raise InputError(f"order={value!r} is not possible here", hint=f"one of {', '.join(_ORDERS)}")
            made = replace(made, order=value.upper())  # type: ignore[arg-type]
        elif key == "scale":
            made = replace(made, scale=parse_number(key, value))
        elif key == "offset":
            made = replace(made, offset=parse_number(key, value))
        else:
            raise unknown_name("option of an image task", key, ("offset", "order", "scale"))
    return made


def _stream(options: dict[str, str], before: Task, inputs: Specs, outputs: Specs) -> Stream | None:
    if not options:
        return before.stream
    start = before.stream or Stream(1)
    names, gives = [spec.name for spec in inputs], [spec.name for spec in outputs]
    changes: dict[str, Any] = {}
    states, constants = dict(start.states), dict(start.constants)
    for key, value in options.items():
        if key in names:
            if value in gives:
                states[key] = value
            else:
                constants[key] = parse_number(key, value)
        elif key in _STREAM_NUMBERS:
            field, least = _STREAM_NUMBERS[key]
            changes[field] = parse_whole(key, value, least, _LONGEST_STEP)
        else:
            raise unknown_name("option of a sequence", key, [*_STREAM_NUMBERS, *names])
    return replace(start, states=tuple(states.items()), constants=constants, **changes)


# Option: the field of Stream, and the smallest value.
_STREAM_NUMBERS = {"step": ("step", 1), "context": ("context", 0), "rate": ("sample_rate", 0)}
