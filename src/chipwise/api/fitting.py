"""A run that fits into a limit: settings with the techniques that make it so, and what it began with where it goes on.

chipwise.train("resnet18", "folder:pictures/", folder="runs/small", memory="2GB").memory.measured_bytes
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from chipwise.api.around import limit_on, place_for, sent
from chipwise.api.memory import Wish, fit_of, settings_with
from chipwise.api.mesh_memory import most_processes
from chipwise.api.reading import AVAILABLE
from chipwise.core.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from chipwise.api.transfer import Beginning
    from chipwise.core.events import Progress
    from chipwise.core.report import Training
    from chipwise.core.training_memory import ChosenMesh, RankMemory, TrainingFit
    from chipwise.datasets.dataset import Dataset
    from chipwise.training.checkpoint import State
    from chipwise.training.settings import Settings


@dataclass(frozen=True, slots=True)
class Fitted:
    """How a run is to go.

    Attributes:
        settings: with techniques.
        mesh: as asked for, or as it was chosen; None for this process.
        fit: what it takes; None where neither memory is limited nor a mesh is to be chosen.
        chosen: the mesh, and what it was chosen for; None where it was not.
    """

    settings: Settings
    mesh: str | None
    fit: TrainingFit | None = None
    chosen: ChosenMesh | None = None


def fitted_settings(
    wish: Wish,
    start: Beginning,
    dataset: Dataset,
    usual: Settings,
    given: Collection[str],
    *,
    folder: Path | None,
    progress: Progress,
) -> Fitted:
    """Settings with the techniques that make training fit, or those of a run that goes on, and its mesh.

    The peak of the process is measured from here on. Where neither memory is limited nor a mesh is to be chosen,
    all is as it was asked for.

    Args:
        wish: what was asked for.
        start: the network, fitted to the data, and its module.
        dataset: what is learned.
        usual: settings, as they would be used.
        given: names of settings that were asked for.
        folder: of a run that goes on with what it began with; None for none.
        progress: told what was chosen.

    Raises:
        GoalMissedError: nothing fits. MachineError: the same, into what is available.
    """
    from chipwise.training.place import CPU, forget_device_peak
    from chipwise.training.process import forget_peak
    from chipwise.views.units import format_bytes

    asked = _asked_for(wish, usual)
    if wish.memory is None and asked is None:
        return Fitted(usual, wish.mesh)
    device = place_for(wish.mesh, usual)
    usual = usual if device == CPU else sent(usual)
    before = None if folder is None else _state_in(folder)
    settings = _going_on(usual, before)
    kept = None if asked is None else _kept(asked, before, settings, progress)
    if kept is not None:  # the process is a little larger by now, which changes nothing
        fit = fit_of(replace(wish, mesh=kept, memory=None), start, dataset, settings, given)
        fit = replace(fit, chosen=fit.plain, limit_bytes=None if wish.memory is None else limit_on(wish.memory, device))
    else:
        one = asked is not None and _alone(settings)
        fit = fit_of(replace(wish, mesh=None) if one else wish, start, dataset, usual, given)
    way = fit.chosen
    if way is None:
        raise _none_fits(fit, available=wish.memory == AVAILABLE)
    how = ", ".join(way.words(fit.batch_size)) or "no techniques needed"
    progress.note(
        f"memory: {how}; {format_bytes(way.memory.total)} predicted, at most {format_bytes(way.memory.high)}, "
        f"{way.time_factor:.2f} times as long"
    )
    forget_peak()
    forget_device_peak(device)
    chosen = None if asked is None else replace(asked, mesh=way.mesh)
    return Fitted(_going_on(settings_with(usual, way), before), way.mesh, fit, chosen)


def measured(
    result: Training, fit: TrainingFit | None, ranks: tuple[RankMemory, ...] = (), device: str = "cpu"
) -> Training:
    """The record of a run with the peak of its fullest process, or device, beside the prediction, if it had a limit."""
    if fit is None:
        return result
    from chipwise.core.training_memory import MeasuredMemory
    from chipwise.training.place import CPU, device_peak_bytes, place_of
    from chipwise.training.process import peak_bytes

    way, place = fit.chosen or fit.plain, place_of(device)
    own = peak_bytes() if place == CPU else device_peak_bytes(place)
    words = way.savings.words(way.savings.micro_batch if way.processes else fit.batch_size)
    peaks = [peak for peak in (own, *(rank.peak_bytes for rank in ranks)) if peak is not None]
    most = max(peaks, default=None)
    found = MeasuredMemory(way.memory.total, most, fit.limit_bytes, words, way.time_factor, way.mesh, ranks)
    return replace(result, memory=found)


def _asked_for(wish: Wish, settings: Settings) -> ChosenMesh | None:
    """What a mesh is to be chosen for; None where it is not to be chosen."""
    from chipwise.core.training_memory import ChosenMesh

    most = most_processes(wish.mesh, settings.threads or 1)
    return None if most is None else ChosenMesh("", most, wish.machines, str(wish.memory))


def _kept(asked: ChosenMesh, before: State | None, settings: Settings, progress: Progress) -> str | None:
    """The mesh that the run was given for the same; None where it has none, or it was for something else."""
    found = None if before is None else before.mesh
    if found is None:
        return None
    if found == replace(asked, mesh=found.mesh):
        return found.mesh
    if not _alone(settings):
        progress.note(f"mesh: {found.mesh} was chosen for {found.words}; chosen again for {asked.words}")
    return None


def _none_fits(fit: TrainingFit, *, available: bool) -> Exception:
    from chipwise.training.memory import none_fits
    from chipwise.views.units import format_bytes

    assert fit.smallest is not None
    assert fit.limit_bytes is not None
    error = none_fits(fit, format_bytes(fit.limit_bytes), format_bytes(fit.smallest.memory.high))
    return MachineError(error.message, hint=error.hint) if available else error


def _alone(settings: Settings) -> bool:
    """Whether a run has techniques of one process."""
    techniques = (settings.micro_batch, settings.recompute, settings.swapped)
    return settings.state_on_disk or settings.weights_on_disk or any(each is not None for each in techniques)


def _state_in(folder: Path) -> State | None:
    """Where the run in a folder stands; None where there is none."""
    from chipwise.training.checkpoint import state_of
    from chipwise.training.parallel import shards

    kept = folder / "checkpoint"
    several = shards.newest(kept)
    return state_of(kept / "last.safetensors") or (None if several is None else shards.state_of(several))


def _going_on(settings: Settings, state: State | None) -> Settings:
    """The same command goes on with the techniques it began with, although the process is a little larger by now."""
    from chipwise.training.settings import OF_MEMORY

    if state is None:
        return settings
    before = {name: state.identity.get(name, usual) for name, usual in OF_MEMORY.items()}
    before["precision"] = state.identity.get("precision", settings.precision)
    known = {field.name for field in fields(settings)}
    return replace(settings, **{name: value for name, value in before.items() if name in known})  # type: ignore[arg-type]
