"""Compress: a trained network in a small file that runs.

chipwise.compress("runs/lenet5", "mnist", output="lenet5.cwz", target="100x")
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from chipwise.api.given import data_from, need, trained_from, with_graph
from chipwise.api.notebook import drawn
from chipwise.api.settings import check_ranges, gentle_settings
from chipwise.api.shrunk_pictures import check_pictures, draw_compression
from chipwise.core.errors import InputError, unknown_name
from chipwise.core.events import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chipwise.api.given import DataLike, NetworkLike
    from chipwise.compression.codebooks import Start
    from chipwise.compression.faster import Faster
    from chipwise.compression.pruning import Schedule, Scope
    from chipwise.compression.stages import Kind
    from chipwise.core.compression import Compression

_RANGES = {
    "bits": (2, 8),
    "density": (1e-6, 1.0),
    "narrow_to": (1, 1 << 40),
    "teacher_share": (0.0, 1.0),
    "max_drop": (0.0, 1.0),
}
_USUAL_BITS = 3  # where density or width is said, and bits are not
FINE = 0.7  # of the learning rate that a network is trained with from scratch


@drawn
def compress(
    network: NetworkLike,
    data: DataLike,
    *,
    output: str | Path,
    target: str | None = None,
    max_drop: float | None = None,
    faster: str | None = None,
    folder: str | Path | None = None,
    rounding: Kind = "steps",
    start: Start | None = None,
    bits: int | Literal["auto"] | None = None,
    density: float | None = None,
    narrow_to: int | None = None,
    scope: Scope = "adaptive",
    pruning: Schedule = "gradual",
    pictures: str | Path | None = None,
    teacher_share: float = 0.9,
    weights: str | Path | None = None,
    preprocess: str | None = None,
    progress: Progress = silent,
    **settings: Any,
) -> Compression:
    """Make a trained network small: channels go, weights become zero, the rest gets few values, and all is coded.

    Each stage trains with the network itself as its teacher. An interrupted compression goes on where it stopped.

    Args:
        network: a trained folder, a model file, or a zoo name with `weights`.
        data: labelled samples; the validation split decides, the test split is used once, at the end.
        output: the `.cwz` file; `run`, `compile` and `inspect` take it as a network.
        target: how small: "100x" smaller than the float32 parameters, or "50KB".
        max_drop: with a target left out: as small as loses no more of the validation accuracy, 0..1, with 95%
            confidence; 0 for no more answers lost than won.
        faster: with both left out: "2x" as fast in float32 on ONNX Runtime and one thread of this machine. Channels go
            by a measured table of latencies; values of weights are kept.
        folder: of what each stage leaves; beside the output where nothing is said.
        rounding: "steps" (whole numbers times a learned step) or "codebook" (k-means, learned values).
        start: of k-means, for codebooks: "linear" (usual), "density" or "random".
        bits: of a weight; given one of these three, the target only decides whether it was reached. "auto" chooses for
            each layer: as little loss as fits the target; where density or narrow_to are given, as few bytes as lose no
            more than 3 bits in every layer.
        density: share of weights that stay, 0..1.
        narrow_to: weights that are left once channels are gone.
        scope: of pruning: one threshold for all layers on magnitudes that are made comparable ("adaptive") or as they
            are ("global"), the same share of each ("layer"), or each until the loss has risen as much ("sensitivity").
        pruning: "gradual" while it trains, or "iterative": prune, retrain at a tenth of the rate, again.
        pictures: "X.html", or a folder for SVG files: where weights lie stage by stage, and accuracy as they go. With
            the same settings as before, only they are made.
        teacher_share: of the network's own answers in what is learned, 0..1.
        weights: a file of trained weights, for a zoo name.
        preprocess: how pictures become inputs, instead of what the network says.
        progress: told what is done.
        settings: of training (`chipwise.training.settings.Settings`), for each stage.

    Raises:
        NetworkError: the network has no trained weights, or cannot be trained. DataError: the data do not fit.
        InputError: a target, or another setting, that cannot be. StorageError: a file cannot be written.
        MissingExtraError: torch is not installed.
    """
    need("torch", "safetensors", extra="torch")
    from chipwise.compression.compress import Work
    from chipwise.compression.compress import compress as compress_network
    from chipwise.compression.ladder import RATIOS, smallest
    from chipwise.compression.pruning import Pruning
    from chipwise.compression.recipe import Recipe, Target, parse_target

    if sum(each is not None for each in (target, max_drop, faster)) != 1:
        hint = "--target 20x, or --max-drop 0.5%, or --faster 2x"
        raise InputError("compress needs --target, --max-drop or --faster, one of them", hint=hint)
    number = None if bits == "auto" else bits
    by_hand = {"bits": number, "density": density, "narrow_to": narrow_to}
    _check(rounding, {**by_hand, "teacher_share": teacher_share, "max_drop": max_drop})
    _check_ways(scope, pruning, start, rounding)
    album = check_pictures(pictures)
    wanted = Target(ratio=RATIOS[0]) if target is None else parse_target(target)
    ways = {"scope": scope != "adaptive", "pruning": pruning != "gradual", "pictures": pictures is not None}
    pace = None if faster is None else _pace(faster, rounding, {**by_hand, "bits": bits, **ways})
    loaded = trained_from(network, weights=weights, preprocess=preprocess)
    given = None
    if any(value is not None for value in by_hand.values()):
        given = Recipe(narrow_to, 1.0 if density is None else density, number or _USUAL_BITS)
    path, place = Path(output), Path(folder) if folder is not None else Path(f"{output}.stages")
    how, begun, by_layer = Pruning(scope, pruning), start or "linear", bits == "auto"
    train = gentle_settings(loaded.name, FINE, settings)
    work = Work(wanted, train, given, rounding, teacher_share, how, begun, bits_by_layer=by_layer, faster=pace)
    dataset = data_from(data)
    if max_drop is not None:
        record = smallest(with_graph(loaded), dataset, path, place, work, max_drop, progress=progress)
    else:
        record = compress_network(with_graph(loaded), dataset, path, place, work, progress=progress)
    if album is not None:
        draw_compression(record, album)
    return record


def _check_ways(scope: str, pruning: str, start: str | None, rounding: str) -> None:
    """Refuse ways of pruning and of k-means that there are not.

    Raises:
        UnknownNameError: no such way. InputError: a start of k-means where nothing is clustered.
    """
    from chipwise.compression.codebooks import Start
    from chipwise.compression.pruning import Schedule, Scope

    for name, value, known in (("scope", scope, Scope), ("pruning", pruning, Schedule), ("start", start, Start)):
        if value is not None and value not in get_args(known):
            raise unknown_name(name, value, set(get_args(known)))
    if start is not None and rounding != "codebook":
        raise InputError(f"{start!r} is a start of k-means, and {rounding} has none", hint="--rounding codebook")


def _pace(faster: str, rounding: str, by_hand: Mapping[str, object]) -> Faster:
    """What `faster` asks for, on this machine.

    Raises:
        InputError: it cannot be, or values of weights were asked for as well.
    """
    from chipwise.compiler.subject import width_step
    from chipwise.compression.faster import Faster, parse_faster
    from chipwise.compression.stopwatch import stopwatch
    from chipwise.devices.detect import detect

    times = parse_faster(faster)
    said = ["rounding"] if rounding != "steps" else [name for name, value in by_hand.items() if value]
    if said:
        raise InputError(f"with faster, {said[0]} is not yours to choose", hint="give a target in its place")
    return Faster(times, width_step(detect().isa), stopwatch())


def _check(rounding: str, numbers: dict[str, float | None]) -> None:
    """Refuse settings that cannot be.

    Raises:
        InputError: naming what was received and what it may be; UnknownNameError: no such rounding.
    """
    from chipwise.compression.stages import Kind

    if rounding not in get_args(Kind):
        raise unknown_name("rounding", rounding, set(get_args(Kind)))
    check_ranges(numbers, _RANGES)
    said = next((name for name in ("bits", "density", "narrow_to") if numbers[name] is not None), None)
    if numbers["max_drop"] is not None and said is not None:
        raise InputError(f"with max_drop, {said} is not yours to choose", hint="give a target in its place")
