"""Networks side by side as the picture moves: why convolution.

chipwise.check_moved(["runs/mlp", "runs/cnn", "knn"], "digits", shift=4, pictures="moved.svg")
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chipwise.api.given import data_from, is_plan, need, plan_from, trained_from, with_graph
from chipwise.api.notebook import drawn
from chipwise.api.pictures import check_picture
from chipwise.core.errors import InputError
from chipwise.core.events import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.api.given import DataLike, NetworkLike, PlanLike
    from chipwise.compiler.moved import Classify
    from chipwise.core.motion import MotionKind, MovedCheck
    from chipwise.datasets.dataset import Dataset

NEIGHBOURS = "knn"
_LIMITS = {"shift": (1.0, 512.0), "rotate": (0.0, 180.0), "scale": (1.0, 4.0)}


@drawn
def check_moved(
    networks: Sequence[NetworkLike | PlanLike],
    data: DataLike = "digits",
    *,
    shift: int | None = None,
    rotate: float | None = None,
    scale: float | None = None,
    samples: int = 2000,
    pictures: str | Path | None = None,
    progress: Progress = silent,
) -> MovedCheck:
    """Tell how well networks know pictures that are shifted, turned or scaled, all of them the same pictures.

    The pictures of the test split are moved before they become anybody's input, bilinearly, on a canvas of their own
    size; what comes in has the median value of their edges.

    Args:
        networks: plans, trained folders, model files, and "knn" for the nearest training pictures.
        data: labelled pictures.
        shift: by up to so many whole pixels; the mean of left, right, up and down.
        rotate: by up to so many degrees; the mean of both ways.
        scale: up to so many times as large, and as small.
        samples: at most so many pictures, evenly spread over the test split.
        pictures: an .svg or .html file for the curves.
        progress: told after each motion.

    Raises:
        InputError: no motion, one that cannot be, or no classifier. DataError: the data do not fit, or are no pictures.
        NetworkError: a network is not trained. MissingExtraError: scikit-learn or torch is not installed.
    """
    most = _asked(shift=shift, rotate=rotate, scale=scale)
    path = None if pictures is None else check_picture(Path(pictures), "curves")
    if samples < 1:
        raise InputError(f"{samples} samples; at least 1 is wanted")
    if not networks:
        raise InputError("no network to check", hint="a plan, a trained folder, a model file, or knn")
    if NEIGHBOURS in networks:
        need("sklearn", extra="knn")
    from chipwise.compiler.moved import check_moved as measured

    dataset = data_from(data, progress)
    if shift is not None and dataset.pictures and shift >= min(dataset.inputs.shape[1:3]):
        high, wide = dataset.inputs.shape[1:3]
        raise InputError(f"shift {shift} moves pictures of {high} x {wide} pixels out of sight")
    contestants: dict[str, Classify] = {}
    for given in networks:
        name, classify = _contestant(given, dataset)
        if name in contestants:
            raise InputError(f"{name} was given twice")
        contestants[name] = classify
    record = measured(contestants, dataset, most, samples=samples, progress=progress)
    return record if path is None else _with_picture(record, path)


def _asked(**given: float | None) -> dict[MotionKind, float]:
    """How far each motion goes that was asked for.

    Raises:
        InputError: none was, or one cannot be.
    """
    most: dict[Any, float] = {name: value for name, value in given.items() if value is not None}
    if not most:
        raise InputError("nothing moves", hint="shift=4, rotate=30 or scale=1.3")
    for name, value in most.items():
        low, high = _LIMITS[name]
        if not low <= value <= high or (name != "shift" and value == low):
            unit = {"shift": "whole pixels from 1", "rotate": "degrees above 0", "scale": "times, above 1"}[name]
            raise InputError(f"{name} {value:g} is not possible", hint=f"{unit} to {high:g}")
    return most


def _contestant(given: NetworkLike | PlanLike, dataset: Dataset) -> tuple[str, Classify]:
    """Its name, and what gives the classes of pictures."""
    if isinstance(given, str) and given == NEIGHBOURS:
        from chipwise.training.neighbours import nearest_neighbours

        return NEIGHBOURS, nearest_neighbours(dataset.split().train)
    from chipwise.compiler.moved import network_classifier, plan_classifier

    if is_plan(given):
        from chipwise.devices.detect import detect

        opened, name = plan_from(given)
        return name, plan_classifier(opened, name, detect())
    from chipwise.networks.onnx_file import check_runnable, serialize

    graphed = with_graph(trained_from(given, weights=None, preprocess=None))
    check_runnable(graphed)
    name = str(given) if isinstance(given, (str, Path)) else graphed.name
    return name, network_classifier(graphed, serialize(graphed))


def _with_picture(record: MovedCheck, path: Path) -> MovedCheck:
    from chipwise.codec.files import atomic_write

    if path.suffix.lower() == ".html":
        from chipwise.views.curve_page import moved_html

        text = moved_html(record)
    else:
        from chipwise.views.moved_charts import moved_curves

        text = moved_curves(record, ".svg")
    atomic_write(path, text.encode())
    return replace(record, pictures=str(path))
