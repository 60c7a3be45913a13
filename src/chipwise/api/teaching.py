"""Who teaches a network that is trained: another one, trained already, for the same inputs and classes.

chipwise.train("lenet-300-100", "mnist", folder="runs/small", teacher="runs/large", teacher_share=0.7)
"""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chipwise.api.given import trained_from
from chipwise.core.errors import DataError, InputError, NetworkError

if TYPE_CHECKING:
    from chipwise.api.given import NetworkLike
    from chipwise.core.network import Network
    from chipwise.datasets.dataset import Dataset
    from chipwise.training.settings import Settings
    from chipwise.training.teacher import Teacher

_HINT = "a teacher takes the same inputs and has the same classes as what it teaches"


def taught_by(
    given: NetworkLike | None, weights: str | Path | None, network: Network, dataset: Dataset, settings: Settings
) -> tuple[Settings, Teacher | None]:
    """Load the teacher, where one is given, and check that it fits.

    Args:
        given: a trained folder, a model file (.onnx, .cwz, ...), or a zoo name or factory with `weights`.
        weights: a file of trained weights, for what does not hold its own.
        network: what it teaches, fitted to the data.
        dataset: what both see.
        settings: the share of its answers, the temperature, and the precision.

    Returns:
        the settings with the share and the temperature that hold, and the teacher.

    Raises:
        NetworkError: it is not trained, is no classifier, or takes other inputs or classes.
        InputError: a live module, which could not be known again, or weights of no teacher.
    """
    from chipwise.training.teacher import Teacher

    if given is None:
        if weights is not None:
            raise InputError(f"weights of a teacher ({weights}), but there is no teacher", hint="--teacher NET")
        return settings, None
    if callable(getattr(given, "state_dict", None)):
        raise InputError("a live module cannot teach: an interrupted run could not know it again", hint="give a file")
    module, digest = _built(given, weights, network, dataset)
    teacher = Teacher(module, precision=settings.precision, digest=digest)
    share, temperature = settings.teacher_share or teacher.share, settings.teacher_temperature or teacher.temperature
    taught = replace(settings, teacher_share=share, teacher_temperature=temperature)
    return taught, replace(teacher, share=share, temperature=temperature)


def _built(given: NetworkLike, weights: str | Path | None, network: Network, dataset: Dataset) -> tuple[Any, str]:
    """The teacher's module, in evaluation mode, and its digest."""
    from chipwise.networks import torch_source
    from chipwise.networks.untrained import is_untrained
    from chipwise.training.feed import check_task
    from chipwise.training.whole_graph import check_graph, scores_of

    found = trained_from(given, weights=weights, preprocess=None)
    if is_untrained(found):
        raise NetworkError(f"the teacher {found.name} is not trained", hint="give its weights: --teacher-weights W")
    check_task(found)
    _check_inputs(found, network, pictures=dataset.pictures)
    _check_classes(found, dataset)
    if found.source is not None:
        return torch_source.build_module(found.source).eval(), found.digest
    check_graph(found)
    return scores_of(found).eval(), found.digest


def _check_inputs(teacher: Network, network: Network, *, pictures: bool) -> None:
    """Refuse a teacher that wants other numbers than the network gets.

    Raises:
        NetworkError: saying what each takes.
    """
    takes, given = teacher.inputs, network.inputs
    if len(takes) != 1 or takes[0].shape[1:] != given[0].shape[1:] or takes[0].dtype != given[0].dtype:
        told = ", ".join(spec.form for spec in takes)
        raise NetworkError(f"the teacher {teacher.name} takes {told}, the network {given[0].form}", hint=_HINT)
    theirs, ours = teacher.task.preprocess, network.task.preprocess
    if not pictures or theirs == ours:
        return
    if theirs is None or ours is None:
        raise NetworkError(f"the teacher {teacher.name} and {network.name} do not both take pictures", hint=_HINT)
    differ = [each.name for each in fields(theirs) if getattr(theirs, each.name) != getattr(ours, each.name)]
    told = ", ".join(f"{name}={getattr(theirs, name)} (not {getattr(ours, name)})" for name in differ)
    raise NetworkError(
        f"the teacher {teacher.name} makes inputs of pictures in another way: {told}",
        hint="give the network the teacher's way: --preprocess",
    )


def _check_classes(teacher: Network, dataset: Dataset) -> None:
    """Refuse a teacher for other classes, as far as its are known.

    Raises:
        NetworkError: naming what differs.
    """
    from chipwise.datasets.feed import check_classes

    try:
        check_classes(dataset, teacher)
    except DataError as error:
        raise NetworkError(f"the teacher has other classes: {error.message}", hint=_HINT) from error
    labels, names = teacher.task.labels, dataset.class_names
    if not labels or labels == names or dataset.numbered or labels == tuple(map(str, range(len(labels)))):
        return
    place = next((place for place, pair in enumerate(zip(labels, names, strict=False)) if len({*pair}) > 1), 0)
    raise NetworkError(
        f"the teacher {teacher.name} has other classes: class {place} is {labels[place]!r}, not {names[place]!r}",
        hint=_HINT,
    )
