"""Inspect, train, compile, check, bench: one function a verb.

Stages are imported inside the verb that needs them, so that importing chipwise costs nothing and the light install
never meets torch.

>>> inspect("lenet5-keras").totals.parameters
81194
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chipwise.api.fitting import fitted_settings, measured
from chipwise.api.given import (
    assumed_pixels,
    bench_from,
    data_from,
    graph_told,
    is_small,
    need,
    network_from,
    plan_from,
    source_bytes,
    source_of,
    warn,
)
from chipwise.api.graph_training import beginning
from chipwise.api.memory import Wish
from chipwise.api.meshes import machine_count, take_over, ways_of
from chipwise.api.notebook import drawn
from chipwise.api.reading import data_to_train
from chipwise.api.settings import usual_settings
from chipwise.api.transfer import network_to_train
from chipwise.api.tuning import RECIPE, found_settings, recipe_asked, tuned
from chipwise.core.errors import InputError
from chipwise.core.events import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.api.given import DataLike, NetworkLike, PlanLike
    from chipwise.api.transfer import Beginning
    from chipwise.core.network import Network
    from chipwise.core.plan import Plan
    from chipwise.core.report import BenchResult, CheckResult, Inspection, Training
    from chipwise.core.training_memory import RankMemory
    from chipwise.datasets.dataset import Dataset
    from chipwise.training.settings import Settings


@drawn
def inspect(
    network: NetworkLike,
    *,
    batch: int = 1,
    example_input: Any = None,
    input_shape: tuple[int, ...] | None = None,
    weights: str | Path | None = None,
    graph: str | Path | None = None,
) -> Inspection:
    """Tell what a network is: its layers with shapes, parameters, FLOPs and bytes moved.

    Args:
        network: a zoo name, a model file, a trained folder, "package.module:callable", or a live `nn.Module`.
        batch: items for which work and bytes are counted.
        example_input: for a live module, one input (with its batch dimension).
        input_shape: for a factory that does not say its own, without the batch dimension.
        weights: a file of trained weights, for what does not hold its own.
        graph: an .svg or .html file to draw the network into; a module of at most 40 operations on small tensors that
            carries an `example_input` is drawn with the value and the gradient at every operation.

    Raises:
        UnknownNameError: no such network. NetworkError: it cannot be read or built. InputError: no such picture.
    """
    from chipwise.api.pictures import check_picture, draw
    from chipwise.core.layer import totals
    from chipwise.core.report import Inspection
    from chipwise.networks.layers import layer_rows
    from chipwise.networks.lazy import late

    if batch < 1:
        raise InputError(f"batch is {batch}; at least 1 is wanted")
    picture = None if graph is None else check_picture(Path(graph))
    ledger = None
    if is_small(network) and weights is None and input_shape is None:
        loaded, ledger = late("small_file").with_ledger(Path(network))
    else:
        loaded = network_from(network, example_input, input_shape=input_shape, weights=weights)
    if weights is not None and loaded.source is not None:
        late("torch_source").check_weights(loaded.source)
    rows = layer_rows(loaded, batch)
    kind = loaded.task.kind + (f":{loaded.task.detection.decoder}" if loaded.task.detection else "")
    record = Inspection(
        loaded.name, loaded.origin, batch, loaded.inputs, loaded.outputs, rows, totals(rows), kind, ledger=ledger
    )
    return record if picture is None else draw(record, loaded, picture)


@drawn
def train(
    network: NetworkLike,
    data: DataLike = "digits",
    *,
    folder: str | Path,
    fresh: bool = False,
    weights: str | Path | None = None,
    input_shape: tuple[int, ...] | None = None,
    preprocess: str | None = None,
    teacher: NetworkLike | None = None,
    teacher_weights: str | Path | None = None,
    skip_bad: bool = False,
    memory: str | int | None = None,
    tune_s: float | None = None,
    recipe: str | Path | None = None,
    mesh: str | None = None,
    machines: str | None = None,
    on: str | None = None,
    progress: Progress = silent,
    **settings: Any,
) -> Training:
    """Train a network on this machine and keep the weights that do best on the validation split.

    A run that was interrupted goes on where it stopped; a finished one with the same settings is not run again.
    Trained weights, its own or those given, are where it begins; where the data have other classes than these were
    trained for, the last layer begins anew. `freeze="backbone"` trains only that layer at first. A graph without a
    torch source is trained as it is, for the classes that it has; of a compressed one, zeros stay zero.

    Args:
        network: a zoo name, a trained folder, "package.module:callable", or a model file (.onnx, .cwz, .cfg, ...).
        data: a data set or its name ("digits", "idx:DIR", "npz:FILE", "folder:DIR", "mnist", "fashion-mnist").
        folder: where weights, checkpoints, history, events and the picture of the curves go.
        fresh: forget what an earlier run left in `folder`.
        weights: trained weights to begin with: .safetensors, .pth, .pt, .th, or a folder that `train` wrote.
        input_shape: for a factory that does not say its own, without the batch dimension.
        preprocess: how pictures become inputs, as "scale=1,mean=...,order=BGR", instead of what the network says.
        teacher: a trained network whose answers are learned besides the labels: a folder, a model file, a zoo name.
        teacher_weights: a file of its weights, for a zoo name.
        skip_bad: leave out pictures of "folder:DIR" that cannot be read, and say which.
        memory: what the process may take, as "10GB" or in bytes, or "auto" for what is available: techniques that save
            memory are chosen until it fits, the quickest ones; the record then has the measured peak, too.
        tune_s: seconds to find out first how steps are fastest here, as `tune` does; what it finds is kept in
            `recipe.json` in the folder, and a run that goes on uses that.
        recipe: a file of settings that `tune` wrote.
        mesh: several processes that share the work, as "dp2" or "fsdp2,tp2" (see `prove`): the same curve up to
            rounding. A run goes on with any mesh, or none. "auto:4" for the quickest of up to four processes of which
            each fits into `memory`.
        machines: "1/2@HOST:PORT" on the first of two machines, which all see `folder`, "2/2@HOST:PORT" on the other.
        on: "ray" runs the processes on a Ray cluster: the one that RAY_ADDRESS names, or one of this machine.
        progress: told about epochs.
        settings: fields of `chipwise.training.settings.Settings`; what is not given comes from the network's recipe.

    Raises:
        NetworkError: the network cannot be trained. DataError: the data does not fit. StorageError: no space.
        MissingExtraError: torch is not installed. GoalMissedError: the loss diverges (the layer is named), or nothing
        fits into `memory`. MachineError: there is not enough.
    """
    file = recipe_asked(tune_s, recipe, Path(folder), {"memory": memory, "teacher": teacher, "mesh": mesh}, fresh=fresh)
    need("torch", "safetensors", "tensorboard", extra="torch")
    from chipwise.api.host import check_place, host_of
    from chipwise.api.teaching import taught_by
    from chipwise.devices.detect import detect
    from chipwise.training.memory import enough_memory
    from chipwise.training.train import train as train_module

    home = Path(folder)
    loaded = network_to_train(network, weights, input_shape, preprocess)
    machine = detect()
    found = {} if file is None else found_settings(file, loaded, machine, progress)
    chosen = usual_settings(loaded, settings, found)
    chosen = replace(chosen, threads=chosen.threads or machine.cores)  # torch does not know of quotas
    check_place(chosen, mesh)
    dataset = data_to_train(data, loaded, chosen, memory=memory, mesh=mesh, skip_bad=skip_bad, progress=progress)
    assumed = assumed_pixels(loaded) if preprocess is None else ""
    if assumed:
        progress.note(assumed)
    start = _beginning(loaded, dataset, home, chosen, progress)
    module, fitted, kept = start.module, start.network, start.kept
    if tune_s is not None and file is None:
        found = tuned(start, dataset, chosen, settings, budget_s=tune_s, file=home / RECIPE, progress=progress)
        chosen = replace(chosen, **found)
    chosen, master = taught_by(teacher, teacher_weights, fitted, dataset, chosen)
    wish, begun = Wish(memory, mesh, machine_count(machines)), None if fresh else home
    ranks: list[RankMemory] = []
    way = fitted_settings(wish, start, dataset, chosen, settings, folder=begun, progress=progress)
    ways = ways_of(way.mesh, machines, start, machine, on=on, take=ranks.extend)
    device = "cpu" if "epochs" in ways else way.settings.device
    ways |= {"fresh": fresh, "kept": kept, "teacher": master, "host": host_of(machine, device), "mesh": way.chosen}
    if "epochs" not in ways and not fresh:
        take_over(start, home, way.settings)
    with enough_memory():
        result = train_module(module, fitted, dataset, way.settings, home, progress, **ways)
        result = measured(result, way.fit, tuple(ranks), device)
    _save(home, fitted, kept.file, result)
    return result


def _save(home: Path, fitted: Network, file: str, result: Training) -> None:
    """Write what makes the folder a network, beside the weights in `file`, and the picture of its curves."""
    from chipwise.codec.files import atomic_write
    from chipwise.networks import run_folder
    from chipwise.views import charts

    if fitted.source is None:
        run_folder.save_graph(home, fitted, file)
    else:
        run_folder.save(home, fitted, home / file)
    atomic_write(home / "curves.png", charts.training_png(result))


def _beginning(loaded: Network, dataset: Dataset, home: Path, chosen: Settings, progress: Progress) -> Beginning:
    """Where training begins; a warning where what is frozen is random."""
    start = beginning(loaded, dataset, home, chosen.seed, progress)
    if chosen.freeze is not None and loaded.source is not None and loaded.source.weights is None:
        warn("no weights were given, so what is frozen is random: --weights W", progress)
    return start


@drawn
def compile(
    network: NetworkLike | None = None,
    example_input: Any = None,
    *,
    from_plan: PlanLike | None = None,
    output: str | Path | None = None,
    data: DataLike | None = None,
    goal: str | None = None,
    max_drop: float | None = None,
    budget_s: float = 60.0,
    seed: int = 0,
    runtimes: Sequence[str] = (),
    allow: Sequence[str] = (),
    keep: Sequence[str] = (),
    uint8: bool = False,
    input_shape: tuple[int, ...] | None = None,
    weights: str | Path | None = None,
    preprocess: str | None = None,
    task: str | None = None,
    labels: str | Path | None = None,
    progress: Progress = silent,
) -> Plan:
    """Find the fastest way to run a network on this machine within the limits, and write it as one plan file.

    Args:
        network: a zoo name, an .onnx file, a trained folder, "package.module:callable", or a live `nn.Module`.
        example_input: for a live module, one input (with its batch dimension).
        from_plan: a plan of another machine or an older one, in the place of a network: its source is compiled anew,
            for its goal and limits unless others are given.
        output: the plan file to write; None returns the plan only.
        data: labelled samples; without them only plans that equal the source up to rounding are considered.
        goal: "latency" (which is usual), "latency=10ms", "throughput", "size", or "energy" where joules are counted.
        max_drop: upper 95% bound of the accuracy that may be lost, 0..1; 0.01 where there is `data`, which it needs.
        budget_s: wall time, reading and exporting included; the search has half of it in any case.
        seed: of every random choice.
        runtimes: adapters to try; empty for all usable ones.
        allow: adapters to try only on request ("inductor").
        keep: layers that stay in float where the rest is quantized, as "fp32:conv1,fc".
        uint8: the plan takes pictures as uint8 and scales pixels itself; as a plan that it starts from did.
        input_shape: for a factory that does not say its own, without the batch dimension.
        weights: a file of trained weights, for what does not hold its own.
        preprocess: how pictures become inputs, as "scale=1,mean=...,order=BGR", instead of what the network says.
        task: what the network is for, where it does not say.
        labels: a text file with one class name a line.
        progress: told what is tried.

    Raises:
        NetworkError, DataError: what was given cannot be used. RuntimeUnavailableError: nothing here can run it.
        StorageError: the plan cannot be written.
    """
    started = time.monotonic()
    from chipwise.compiler.compile import compile_plan
    from chipwise.compiler.options import CompileOptions, parse_goal, parse_keep
    from chipwise.devices.detect import detect
    from chipwise.networks.layers import layer_rows
    from chipwise.networks.onnx_file import check_runnable, serialize

    _check_start(network, from_plan)
    if from_plan is not None:
        network, older = source_of(from_plan)
        goal = goal or (older.goal if older.limit_s is None else f"{older.goal}={older.limit_s}s")
        max_drop = older.max_drop if max_drop is None and data is not None else max_drop
        uint8 = uint8 or older.source.preprocess is not None
    if max_drop is not None and data is None:
        raise InputError(f"max_drop {max_drop:.2%} cannot be guarded without data", hint="--data D, or leave it out")
    limit = 0.01 if max_drop is None else max_drop
    kept = tuple(name for each in keep for name in parse_keep(each))
    wanted, limit_s = parse_goal(goal or "latency")
    options = CompileOptions(wanted, limit, budget_s, seed, tuple(runtimes), tuple(allow), limit_s, kept, uint8)
    dataset = data_from(data) if data is not None else None
    said = {"preprocess": preprocess, "task": task, "labels": None if labels is None else Path(labels)}
    graphed = graph_told(network, example_input, weights, input_shape, said, progress=progress, random=True)
    check_runnable(graphed)
    assumed = assumed_pixels(graphed) if preprocess is None else ""
    if assumed:  # the plan keeps it
        progress.note(assumed)
    return compile_plan(
        graphed,
        serialize(graphed),
        layer_rows(graphed),
        options.after(time.monotonic() - started),
        detect(),
        data=dataset,
        output=None if output is None else Path(output),
        progress=progress,
    )


@drawn
def check(
    plan: PlanLike, data: DataLike = "digits", *, max_drop: float | None = None, source: NetworkLike | None = None
) -> CheckResult:
    """Compare a plan's accuracy with its source network's, on the same held-out samples.

    Args:
        plan: a plan or its path.
        data: labelled samples; the test split is used.
        max_drop: how far the accuracy may drop (95% bound); None takes the plan's own limit.
        source: the source network, where its cached copy is gone.

    Raises:
        PlanError, DataError, InputError: what was given cannot be used. RuntimeUnavailableError: not here.
    """
    from chipwise.compiler.check import check_plan
    from chipwise.devices.detect import detect

    opened, name = plan_from(plan)
    return check_plan(opened, name, source_bytes(opened, source), data_from(data), detect(), max_drop=max_drop)


@drawn
def bench(
    plan: PlanLike,
    *,
    vs: Sequence[str] = ("all",),
    budget_s: float = 20.0,
    baseline: str | Path | None = None,
    fail_slower: float = 0.05,
    source: NetworkLike | None = None,
    progress: Progress = silent,
) -> BenchResult:
    """Time a plan against what every installed runtime does by default with the source network, interleaved.

    Args:
        plan: a plan or its path.
        vs: runtimes to compare with, or "all".
        budget_s: wall time for timing.
        baseline: JSON of an earlier `bench` of this plan.
        fail_slower: how much slower than that it may be, 0.05 for 5%.
        source: the source network, where its cached copy is gone.
        progress: told what is timed.

    Raises:
        PlanError, InputError: what was given cannot be used. RuntimeUnavailableError: not here.
    """
    from chipwise.compiler.bench import bench_plan
    from chipwise.compiler.regression import Baseline
    from chipwise.devices.detect import detect

    opened, name = plan_from(plan)
    before = None if baseline is None else Baseline(bench_from(Path(baseline)), fail_slower)
    return bench_plan(
        opened,
        name,
        source_bytes(opened, source),
        detect(),
        peers=tuple(vs),
        budget_s=budget_s,
        baseline=before,
        progress=progress,
    )


def _check_start(network: NetworkLike | None, from_plan: PlanLike | None) -> None:
    """Refuse a plan in the place of a network, and both or neither."""
    if isinstance(network, (str, Path)) and Path(network).suffix.lower() == ".plan":
        raise InputError(f"{network} is compiled already", hint="to compile its network anew: --from X.plan")
    if (network is None) == (from_plan is None):
        hint = "chipwise compile NET, or --from X.plan"
        raise InputError("compile takes a network or a plan to start from", hint=hint)
