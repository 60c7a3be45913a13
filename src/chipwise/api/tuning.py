"""Tune: how training steps are computed fastest on this machine, measured on the user's own network and data.

chipwise.tune("resnet20", "folder:pictures/", output="recipe.json").changes
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chipwise.api.given import need
from chipwise.api.graph_training import beginning
from chipwise.api.notebook import drawn
from chipwise.api.reading import data_to_train, stand_on
from chipwise.api.settings import usual_settings
from chipwise.api.transfer import network_to_train
from chipwise.core.errors import InputError
from chipwise.core.events import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from chipwise.api.given import DataLike, NetworkLike
    from chipwise.api.transfer import Beginning
    from chipwise.core.device import Machine
    from chipwise.core.network import Network
    from chipwise.core.tuning import Tuning
    from chipwise.datasets.dataset import Dataset
    from chipwise.training.place import Place
    from chipwise.training.settings import Settings

RECIPE = "recipe.json"
_LEAST_S = 5.0
_HALVES = ("bf16", "fp16")
_NO_INSTRUCTIONS = "{} was not tried: this processor has no instructions for it"
_NOT_HEEDED = ("teacher_share", "teacher_temperature")


@drawn
def tune(
    network: NetworkLike,
    data: DataLike = "digits",
    *,
    budget_s: float = 120.0,
    output: str | Path | None = None,
    weights: str | Path | None = None,
    input_shape: tuple[int, ...] | None = None,
    preprocess: str | None = None,
    skip_bad: bool = False,
    progress: Progress = silent,
    **settings: Any,
) -> Tuning:
    """Find the fastest way to train a network on this machine at equal accuracy; only wins beyond the noise are kept.

    Number format, layout and torch.compile are timed together, then the optimizer's form, threads, and sizes of the
    batch, whose accuracy after as many samples is shown. What is kept is compared with the plain fp32 loop. An
    interruption (Ctrl-C) gives the best so far.

    Args:
        network: as in `train`; so are those that are not told here.
        data: a data set or its name.
        budget_s: wall time, about.
        output: a file to write what was kept into, for `train(recipe=...)`.
        weights: trained weights to begin with.
        input_shape: for a factory that does not say its own.
        preprocess: how pictures become inputs.
        skip_bad: leave out pictures that cannot be read.
        progress: told what is timed.
        settings: fields of `chipwise.training.settings.Settings`; what is given is kept as it is.

    Raises:
        NetworkError, DataError, InputError, MissingExtraError, GoalMissedError, MachineError: as `train`.
        StorageError: the file cannot be written.
    """
    from chipwise.api.host import check_place
    from chipwise.codec.files import check_writable

    _check_asked(budget_s, settings)
    if output is not None:
        check_writable(Path(output))
    need("torch", "safetensors", "tensorboard", extra="torch")
    loaded = network_to_train(network, weights, input_shape, preprocess)
    chosen = usual_settings(loaded, settings)
    check_place(chosen)
    dataset = data_to_train(data, loaded, chosen, skip_bad=skip_bad, progress=progress)
    start = beginning(loaded, dataset, Path(), chosen.seed, progress)
    record = _tuning(start, dataset, chosen, settings, budget_s=budget_s, progress=progress)
    if output is not None:
        _write(Path(output), record)
    return record


def recipe_asked(
    tune_s: float | None, recipe: str | Path | None, folder: Path, others: Mapping[str, object], *, fresh: bool
) -> Path | None:
    """The file whose settings are to be used: the one that is given, or what an earlier tuning left in the folder.

    Args:
        tune_s: seconds to tune; None where nobody asks for it.
        recipe: a file.
        folder: of the run.
        others: what tuning does not go together with, by name.
        fresh: an earlier tuning counts for nothing.

    Raises:
        InputError: both are asked for, or what tuning does not go together with.
    """
    if tune_s is None:
        return None if recipe is None else Path(recipe)
    if recipe is not None:
        raise InputError("a recipe stands in the place of a tuning", hint="give --tune or --recipe, not both")
    for name, value in others.items():
        if value is not None:
            raise InputError(
                f"--tune does not measure with --{name}",
                hint="chipwise tune NET -o FILE, then train with --recipe FILE",
            )
    _check_asked(tune_s, {})
    left = folder / RECIPE
    return left if left.is_file() and not fresh else None


def found_settings(file: Path, network: Network, machine: Machine, progress: Progress) -> dict[str, Any]:
    """Settings of a file that `tune` wrote, and a note where they were found on something else.

    Raises:
        InputError: it cannot be read, or is none.
    """
    from chipwise.codec.recipe_file import read_recipe, settings_of
    from chipwise.core.tuning import PLAIN_LOOP, in_words

    recipe = read_recipe(file)
    settings = settings_of(recipe)
    elsewhere = [
        what
        for what, differs in (
            (f"network ({recipe.network})", recipe.network != network.name),
            ("machine", recipe.machine != machine.fingerprint),
        )
        if differs
    ]
    told = f"; it was found on another {' and another '.join(elsewhere)}" if elsewhere else ""
    said = in_words({name: value for name, value in settings.items() if PLAIN_LOOP.get(name) != value})
    progress.note(f"recipe {file}: {said}{told}")
    return settings


def tuned(
    start: Beginning,
    dataset: Dataset,
    chosen: Settings,
    given: Collection[str],
    *,
    budget_s: float,
    file: Path,
    progress: Progress,
) -> dict[str, Any]:
    """Tune what is about to be trained, and keep what was found in a file.

    Args:
        start: the network, fitted to the data, and its module.
        dataset: what is learned.
        chosen: settings, as they would be used.
        given: names of settings that were asked for.
        budget_s: wall time.
        file: to write.
        progress: told what is timed, and what was found.

    Raises:
        KeyboardInterrupt: it was interrupted; no file is written.
    """
    from chipwise.codec.recipe_file import recipe_of, settings_of
    from chipwise.core.tuning import in_words
    from chipwise.views.units import format_ratio

    record = _tuning(start, dataset, chosen, given, budget_s=budget_s, progress=progress)
    if not record.complete:
        raise KeyboardInterrupt
    _write(file, record)
    gain = "" if record.speedup is None else f", {format_ratio(record.speedup)} as fast as plain fp32"
    progress.note(f"tuned: {in_words(record.changes)}{gain}")
    return settings_of(recipe_of(record))


def _check_asked(budget_s: float, settings: Mapping[str, Any]) -> None:
    if not budget_s >= _LEAST_S:
        raise InputError(
            f"{budget_s:g} s is too short to measure anything", hint="2min is usual; 30s will do for a look"
        )
    for name in _NOT_HEEDED:
        if settings.get(name) is not None:
            raise InputError(f"{name} is for train alone", hint="leave it out")


def _write(path: Path, record: Tuning) -> None:
    from chipwise.codec.recipe_file import recipe_of, write_recipe

    write_recipe(path, recipe_of(record))


def _tuning(
    start: Beginning,
    dataset: Dataset,
    chosen: Settings,
    given: Collection[str],
    *,
    budget_s: float,
    progress: Progress,
) -> Tuning:
    """Measure, and put what was found together with where."""
    from chipwise.core.tuning import Tuning
    from chipwise.devices.detect import detect, versions
    from chipwise.networks.layers import layer_rows
    from chipwise.training.dropout import set_dropout
    from chipwise.training.memory import enough_memory
    from chipwise.training.place import place_of
    from chipwise.training.settings import as_json
    from chipwise.training.tuning.search import Limits
    from chipwise.training.tuning.steps import Stand
    from chipwise.training.tuning.tune import tune as tune_module

    machine = detect()
    chosen = replace(chosen, threads=chosen.threads or machine.cores)
    if chosen.dropout is not None:
        set_dropout(start.module, chosen.dropout)
    device = place_of(chosen.device)
    formats, untried = _formats(device, machine)
    limits = Limits(budget_s, frozenset(given), formats, machine.cores)
    splits, files, told = stand_on(dataset, start.network, chosen)
    stand = Stand(start.module, start.network, splits, files, device)
    rows_at = cache(partial(layer_rows, start.network))
    with enough_memory():
        found = tune_module(stand, chosen, limits, rows_at, machine, progress)
    notes = (*found.notes, told, *untried)
    if chosen.freeze is not None:
        notes = (*notes, "measured as if everything learned; while a part is frozen, steps are shorter")
    plain, tuned_step = found.timings or (None, None)
    return Tuning(
        network=start.network.name,
        network_digest=start.network.digest,
        data=dataset.name,
        batch_size=found.plain.batch_size,
        settings=as_json(found.plain),
        changes=found.changes,
        rows=found.rows,
        batches=found.batches,
        shown=found.shown,
        seeds=found.seeds,
        guard=found.guard,
        plain=plain,
        tuned=tuned_step,
        speedup=found.speedup,
        bound=found.bound,
        notes=notes,
        complete=found.complete,
        seconds=found.seconds,
        seed=chosen.seed,
        machine=machine,
        versions=versions(),
    )


def _formats(device: Place, machine: Machine) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Number formats that are tried beside fp32, and a sentence on each that is not."""
    from chipwise.runtimes.products import native
    from chipwise.training.place import CPU, quick_formats

    here = device == CPU
    formats = tuple(each for each in _HALVES if native(each, machine)) if here else quick_formats(device)
    wanted = _HALVES if here else ("tf32", *_HALVES)
    return formats, tuple(_NO_INSTRUCTIONS.format(each) for each in wanted if each not in formats)
