"""How much memory training takes, said before it begins, and how it is made to fit into a limit.

chipwise.training_memory("resnet18", "folder:pictures/", memory="2GB").chosen
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from chipwise.api.around import around_of, around_on, limit_on, place_for
from chipwise.api.given import need
from chipwise.api.graph_training import beginning
from chipwise.api.mesh_memory import Meshes, candidates, most_processes, quickest, ways_on
from chipwise.api.notebook import drawn
from chipwise.api.reading import data_to_train
from chipwise.api.settings import usual_settings
from chipwise.api.transfer import network_to_train
from chipwise.core.errors import InputError
from chipwise.core.events import silent

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from chipwise.api.given import DataLike, NetworkLike
    from chipwise.api.transfer import Beginning
    from chipwise.core.events import Progress
    from chipwise.core.layer import Layer
    from chipwise.core.training_memory import Savings, TrainingFit, Way
    from chipwise.cost.training_memory import Around, Rows
    from chipwise.datasets.dataset import Dataset
    from chipwise.training.memory import Allowed, Found
    from chipwise.training.place import Place
    from chipwise.training.settings import Settings

_LARGEST = 8  # layers that are named
_WORTH_TELLING = 0.03  # of the peak
_STATE_SHARED = "Processes can share the optimizer's state, which is quicker than the disk: --mesh zero1, zero2, fsdp."
_ON_DEVICE = (
    "Counted is what torch's allocator gives out on {}; the driver's context, and what the allocator holds in reserve, "
    "come on top."
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for.

    Attributes:
        memory: what a process may take; None for any.
        mesh: as in `train`; machines: that share its processes.
    """

    memory: str | int | None = None
    mesh: str | None = None
    machines: int = 1


@drawn
def training_memory(
    network: NetworkLike,
    data: DataLike = "digits",
    *,
    memory: str | int | None = None,
    mesh: str | None = None,
    weights: str | Path | None = None,
    input_shape: tuple[int, ...] | None = None,
    preprocess: str | None = None,
    skip_bad: bool = False,
    progress: Progress = silent,
    **settings: Any,
) -> TrainingFit:
    """Tell what training takes of memory, part by part, and which techniques make it fit; nothing is trained.

    Args:
        network: as in `train`; so are those that are not told here.
        data: a data set or its name.
        memory: what a process may take, as "10GB" or in bytes; "auto" for what is available now; None for any.
        mesh: several processes, as "dp2"; "auto:4" for the quickest mesh of up to four that fits into `memory`.
        weights: trained weights to begin with.
        input_shape: for a factory that does not say its own.
        preprocess: how pictures become inputs.
        skip_bad: leave out pictures that cannot be read.
        progress: told what training would be told.
        settings: fields of `chipwise.training.settings.Settings`.

    Raises:
        NetworkError, DataError, InputError, MissingExtraError: as `train`.
    """
    if settings.get("teacher") is not None:
        raise InputError("what a teacher takes is not predicted", hint="leave --teacher out of --explain")
    need("torch", "safetensors", "tensorboard", extra="torch")
    from pathlib import Path

    from chipwise.training import train as _  # noqa: F401  its libraries are part of the process

    loaded = network_to_train(network, weights, input_shape, preprocess)
    chosen = usual_settings(loaded, settings)
    dataset = data_to_train(data, loaded, chosen, memory=memory, mesh=mesh, skip_bad=skip_bad, progress=progress)
    start = beginning(loaded, dataset, Path(), chosen.seed, progress)
    from chipwise.devices.detect import detect

    chosen = replace(chosen, threads=chosen.threads or detect().cores)
    return fit_of(Wish(memory, mesh), start, dataset, chosen, settings)


def fit_of(wish: Wish, start: Beginning, dataset: Dataset, chosen: Settings, given: Collection[str]) -> TrainingFit:
    """What training takes, and the quickest way that fits into the memory, where that is limited.

    Args:
        wish: what was asked for.
        start: the network, fitted to the data, and its module.
        dataset: what is learned.
        chosen: settings, as they would be used.
        given: names of settings that were asked for, which are kept.

    Raises:
        InputError: the mesh cannot be had or predicted, or is to be chosen without a limit. NetworkError: the network
        cannot be cut so.
    """
    from chipwise.networks.layers import layer_rows
    from chipwise.training.memory import fit_into, way_of
    from chipwise.training.place import CPU

    rows_at: Rows = cache(partial(layer_rows, start.network))
    device = place_for(wish.mesh, chosen)
    around = around_of(start, dataset, chosen) if device == CPU else around_on(device, start, dataset, chosen)
    plain = way_of(rows_at, around, savings_of(chosen, around))
    rows = rows_at(around.batch)
    limit = None if wish.memory is None else limit_on(wish.memory, device)
    allowed = _allowed(start.module, chosen, given, device)
    if wish.mesh is None or wish.mesh.strip() == "1":
        found = None if limit is None else fit_into(limit, rows_at, around, plain.savings, allowed)
    else:
        fed, samples = (
            around.data_bytes - 2 * int(dataset.inputs.nbytes),
            len(dataset.split(seed=chosen.split_seed).train),
        )
        meshes = Meshes(start, chosen, rows_at, around, samples, fed, bf16=allowed.bf16, returned=allowed.returned)
        plain, found = _on_mesh(wish, meshes, limit, plain, allowed)
    best = None if found is None else found.chosen
    named = _largest(rows)
    from chipwise.core.training_memory import TrainingFit

    return TrainingFit(
        network=start.network.name,
        data=dataset.name,
        batch_size=around.batch,
        optimizer=chosen.optimizer,
        plain=plain,
        layers=named,
        others=len(rows) - len(named),
        limit_bytes=limit,
        chosen=best,
        smallest=found.smallest if found is not None and best is None else None,
        notes=(*_notes(rows, chosen, plain, best, device, bf16=allowed.bf16), *_besides(around, dataset, chosen)),
    )


def _on_mesh(wish: Wish, meshes: Meshes, limit: int | None, alone: Way, allowed: Allowed) -> tuple[Way, Found | None]:
    """What a mesh takes as it is, and the quickest way that fits; of "auto" one process is a way, too."""
    from chipwise.training.dropout import set_dropout
    from chipwise.training.memory import Found, fit_into
    from chipwise.training.parallel.mesh import parse_mesh
    from chipwise.training.parallel.takes import check_network

    mesh, machines = str(wish.mesh), wish.machines
    if meshes.settings.dropout is not None:  # tp cuts only what drops nothing
        set_dropout(meshes.start.module, meshes.settings.dropout)
    most = most_processes(mesh, meshes.settings.threads or 1)
    if most is None:
        wanted = parse_mesh(mesh)
        size = [side for side in meshes.start.network.inputs[0].shape[1:] if isinstance(side, int)]
        check_network(meshes.start.module, meshes.settings, wanted, meshes.samples, size)
        ways = ways_on(meshes, wanted, alone.savings, limit)
        if limit is None:
            return ways[0], None
        return ways[0], Found(quickest(ways, limit), min(ways, key=lambda way: way.memory.high))
    if limit is None:
        raise InputError(f"mesh={mesh} is chosen by what fits", hint="--memory SIZE, or a mesh as dp2")
    one = fit_into(limit, meshes.rows_at, meshes.around, alone.savings, allowed)
    if one.chosen is not None and one.chosen.time_factor <= 1 and machines == 1:
        return alone, one
    first = [one.chosen or one.smallest] if machines == 1 else []
    several = (ways_on(meshes, each, alone.savings, limit) for each in candidates(meshes, most, machines))
    ways = first + [way for group in several for way in group]
    return alone, Found(quickest(ways, limit), min(ways, key=lambda way: way.memory.high, default=one.smallest))


def savings_of(settings: Settings, around: Around) -> Savings:
    """The techniques that settings name."""
    from chipwise.core.training_memory import Savings
    from chipwise.training.checkpointed import from_text

    return Savings(
        micro_batch=min(settings.micro_batch or around.batch, around.batch),
        precision=settings.precision,
        again=from_text(settings.recompute),
        swapped=from_text(settings.swapped),
        state_on_disk=settings.state_on_disk,
        weights_on_disk=settings.weights_on_disk,
        returned=settings.return_memory,
        state_on_host=settings.state_on_host,
        evaluation_batch=settings.evaluation_batch,
    )


def settings_with(settings: Settings, way: Way) -> Settings:
    """Settings with the techniques of a way."""
    from chipwise.training.checkpointed import as_text

    savings = way.savings
    whole = bool(way.processes) or savings.micro_batch >= settings.batch_size
    return replace(
        settings,
        micro_batch=settings.micro_batch if whole else savings.micro_batch,
        precision=savings.precision,
        recompute=as_text(savings.again),
        swapped=as_text(savings.swapped),
        state_on_disk=savings.state_on_disk,
        weights_on_disk=savings.weights_on_disk,
        return_memory=savings.returned,
        state_on_host=savings.state_on_host,
        evaluation_batch=savings.evaluation_batch,
    )


def _allowed(module: Any, settings: Settings, given: Collection[str], device: Place) -> Allowed:
    from chipwise.devices.detect import detect
    from chipwise.training.checkpointed import segments_of
    from chipwise.training.memory import Allowed
    from chipwise.training.place import CPU, quick_formats
    from chipwise.training.process import can_return_memory
    from chipwise.training.settings import needing_weights
    from chipwise.training.swapped import swappable
    from chipwise.training.weights_on_disk import large_weights

    chosen = settings.recompute is not None or settings.swapped is not None
    chains = () if chosen or settings.compiled else segments_of(module)
    here = device == CPU
    quick = any("bf16" in name for name in detect().isa) if here else "bf16" in quick_formats(device)
    return Allowed(
        bf16=quick and "precision" not in given and settings.precision == "fp32",
        returned=here and can_return_memory(),
        host=not here and settings.precision != "fp16",
        chains=chains,
        swappable=swappable(module, chains) if chains and here else (),
        state=here and settings.momentum != 0,
        weights=here and not needing_weights(settings) and bool(large_weights(module)),
    )


def _largest(rows: Collection[Layer]) -> tuple[Any, ...]:
    from chipwise.core.training_memory import LayerMemory
    from chipwise.cost.step_memory import saved_bytes

    told = [LayerMemory(row.name, row.op, 4 * row.parameters, saved_bytes(row)) for row in rows]
    return tuple(sorted(told, key=lambda row: -(row.weight_bytes + row.saved_bytes))[:_LARGEST])


def _besides(around: Around, dataset: Dataset, settings: Settings) -> tuple[str, ...]:
    """What is beside the process, where workers read pictures."""
    if not around.read_bytes:
        return ()
    from chipwise.training.stream import AHEAD, with_loading

    workers = with_loading(settings, dataset).workers or 1
    ready = workers * AHEAD * around.batch * around.read_bytes / 1e6
    told = f"{workers} workers, processes of their own, read them, and have up to {ready:,.0f} MB of batches ready"
    return (f"Pictures stay in their files: beside this process, {told}.",)


def _notes(
    rows: Collection[Layer], settings: Settings, plain: Way, chosen: Way | None, device: Place, *, bf16: bool
) -> tuple[str, ...]:
    from chipwise.devices.detect import detect
    from chipwise.runtimes.products import native
    from chipwise.training.place import CPU, called

    here = device == CPU
    notes = [_STATE_SHARED] if here else [_ON_DEVICE.format(called(device))]
    if settings.optimizer != "sgd" and plain.memory.optimizer / 2 > _WORTH_TELLING * plain.memory.total:
        saved = plain.memory.optimizer // 2 / 1e6
        notes.append(f"--optimizer sgd would keep {saved:,.0f} MB less, but learns differently: not done unasked.")
    if settings.precision == "fp32" and not bf16 and here:
        notes.append("bf16 autocast was not tried: asked otherwise, or this processor has no instructions for it.")
    if settings.precision == "fp16" and here and not native("fp16", detect()):
        notes.append(
            "This processor has no instructions for fp16: steps take longer than in fp32, whatever is predicted."
        )
    if plain.processes or (chosen is not None and chosen.processes):
        notes.append("The starter is the process that starts the others, tests what was learned, and writes it.")
    if settings.freeze is not None:
        notes.append("Counted as if everything learned; while a part is frozen, training takes less.")
    parts = (
        chosen is not None
        and not chosen.processes
        and chosen.savings.micro_batch < min(settings.batch_size, plain.savings.micro_batch)
    )
    if parts and chosen is not None and any(row.op == "BatchNormalization" for row in rows):
        notes.append(
            f"Batch normalizations see {chosen.savings.micro_batch} samples at a time: not the same as whole batches."
        )
    return tuple(notes)
