"""Where the training of a graph begins, which came without a torch source, and how what it learned is written.

chipwise.train("lenet5.cwz", "digits", folder="runs/finer")   # runs/finer/network.cwz: its zeros stay zero
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chipwise.api.given import warn
from chipwise.api.transfer import Beginning, begun, tell_zeros
from chipwise.core.errors import InputError, NetworkError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chipwise.core.events import Progress
    from chipwise.core.network import Network
    from chipwise.datasets.dataset import Dataset
    from chipwise.training.whole_graph import WholeGraph

_COPIES = 2  # of the weights, while the file of a graph is made: the graph's own, and bytes


def beginning(network: Network, dataset: Dataset, folder: Path, seed: int, progress: Progress) -> Beginning:
    """Where training begins: with a module of torch, or with a graph that has no torch source.

    Args:
        network: as `network_to_train` gives it.
        dataset: what it will learn.
        folder: of the run.
        seed: of weights that are drawn.
        progress: told what does not learn.

    Raises:
        NetworkError, InputError: as `begun_with_graph` and `begun`.
    """
    if network.source is None:
        return begun_with_graph(network, dataset, folder, progress)
    return begun(network, dataset, seed, progress)


def begun_with_graph(network: Network, dataset: Dataset, folder: Path, progress: Progress) -> Beginning:
    """Build the module of a graph. What comes out is of the kind that went in: a compressed file, or ONNX.

    Args:
        network: as `network_to_train` gives it, with a graph.
        dataset: what it will learn: as many classes as it has.
        folder: of the run.
        progress: told what does not learn.

    Raises:
        NetworkError: it has other classes, or cannot be trained. InputError: its file would be written over.
    """
    from chipwise.networks.untrained import is_untrained
    from chipwise.training.finish import GRAPH, SMALL_GRAPH, Kept
    from chipwise.training.freeze import hold_zeros
    from chipwise.training.whole_graph import whole_graph

    small = _is_small(network)
    file = SMALL_GRAPH if small else GRAPH
    if (folder / file).is_file() and Path(network.origin).is_file() and (folder / file).samefile(network.origin):
        raise InputError(f"what is trained would be written over {network.origin}", hint="-o another folder")
    fitted = _fitted(network, dataset)
    whole = whole_graph(fitted)
    if is_untrained(network):
        warn("no weights were given: training begins with random ones (seed 0)", progress)
    elif network.origin:
        progress.note(f"beginning with the weights of {network.origin}")
    if whole.norms:
        progress.note(_norms_told(whole.norms))
    if small:
        tell_zeros(*hold_zeros(whole.parameters()), progress)
    return Beginning(fitted, whole.module, Kept(file, partial(_write, fitted, whole, small), _COPIES))


def _fitted(network: Network, dataset: Dataset) -> Network:
    """The network with the names of the data's classes; where these are only numbered, with its own.

    Raises:
        NetworkError: the data has other classes.
    """
    shape = network.outputs[0].shape
    known = shape[-1] if len(shape) == 2 else None
    if isinstance(known, int) and known != dataset.classes:
        raise NetworkError(
            f"{network.name} gives {list(shape)}, the data has {dataset.classes} classes",
            hint="a graph without a torch source keeps its classes: give data with as many, a zoo name or a factory",
        )
    if dataset.numbered and len(network.task.labels) == dataset.classes:
        return network
    return replace(network, task=replace(network.task, labels=dataset.class_names))


def _write(network: Network, whole: WholeGraph, small: bool, state: Mapping[str, Any], path: Path) -> None:
    """Make the file of a trained graph, with what the network is for."""
    from chipwise.codec.small_file import encode_small
    from chipwise.networks import onnx_file, small_file

    trained = replace(network, graph=whole.with_state(state))
    data = encode_small(small_file.to_small(trained)) if small else onnx_file.serialize(trained, with_task=True)
    path.write_bytes(data)


def _is_small(network: Network) -> bool:
    from chipwise.networks import run_folder

    origin = Path(network.origin)
    return origin.suffix.lower() == ".cwz" or (network.origin != "" and run_folder.is_small(origin))


def _norms_told(norms: int) -> str:
    many = "normalizations keep their statistics; their scales and offsets learn"
    one = "normalization keeps its statistics; its scale and offset learn"
    return f"{norms} batch {one if norms == 1 else many}"
