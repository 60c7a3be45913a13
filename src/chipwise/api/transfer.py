"""Where training begins: fresh weights, all of somebody's trained weights, or all of them but for the head."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chipwise.api.given import trainable_from
from chipwise.core.errors import NetworkError

if TYPE_CHECKING:
    from chipwise.api.given import NetworkLike
    from chipwise.core.events import Progress
    from chipwise.core.network import Network
    from chipwise.datasets.dataset import Dataset
    from chipwise.training.finish import Kept


@dataclass(frozen=True, slots=True)
class Beginning:
    """What training begins with.

    Attributes:
        network: fitted to the data.
        module: its `torch.nn.Module`.
        kept: how the weights it ends with are written.
    """

    network: Network
    module: Any
    kept: Kept


def network_to_train(
    given: NetworkLike,
    weights: str | Path | None,
    input_shape: tuple[int, ...] | None = None,
    preprocess: str | None = None,
) -> Network:
    """Load what is to be trained, with the weights to begin with as its source's; labels are those it was trained for.

    Args:
        given: a zoo name, a model file, a trained folder, "package.module:callable", or a network.
        weights: a weights file, or a folder that `train` wrote; None for the network's own, if it has any.
        input_shape: for a factory that does not say its own, without the batch dimension.
        preprocess: how pictures become inputs, instead of what the network says.

    Raises:
        NetworkError: it cannot be trained, or the folder holds no trained network.
    """
    from chipwise.networks import run_folder
    from chipwise.training.feed import check_task

    before = run_folder.load(Path(weights)) if weights is not None and Path(weights).is_dir() else None
    if before is not None and before.source is None:
        raise NetworkError(
            f"{weights} holds a graph, whose weights are of no torch source", hint=f"chipwise train {weights}"
        )
    file = weights if before is None or before.source is None else before.source.weights
    network = trainable_from(given, input_shape, file, preprocess)
    if network.source is None:
        from chipwise.training.whole_graph import check_graph

        check_graph(network)
    check_task(network)
    if network.source is not None and file is not None and not isinstance(given, (str, Path)):
        network = replace(network, source=replace(network.source, weights=Path(file)))
    return network if before is None else replace(network, task=replace(network.task, labels=before.task.labels))


def begun(network: Network, dataset: Dataset, seed: int, progress: Progress) -> Beginning:
    """Fit a network with a source to the classes of the data and build its module.

    Trained weights are taken over as they are where the classes are the same, as far as both are known; else the last
    layer keeps its fresh weights. Classes that the data only numbers are taken for the network's own. What is zero in
    the weights of a compressed file stays zero.

    Args:
        network: as `network_to_train` gives it.
        dataset: what it will learn.
        seed: of fresh weights.
        progress: told what is fresh.

    Raises:
        NetworkError: the weights do not fit the network in front of its last layer.
    """
    from chipwise.networks import torch_source
    from chipwise.networks.load import with_classes
    from chipwise.networks.source_digest import source_digest
    from chipwise.networks.weights_file import load_backbone, load_weights
    from chipwise.training.finish import Kept
    from chipwise.training.freeze import head_state, hold_zeros
    from chipwise.training.seeds import seeded

    assert network.source is not None, "graphs begin in graph_training"
    weights, labels = network.source.weights, network.task.labels
    fitted = with_classes(replace(network, source=replace(network.source, weights=None)), dataset.classes)
    fitted = replace(fitted, task=replace(fitted.task, labels=dataset.class_names))
    assert fitted.source is not None
    with seeded(seed, "weights"):
        module = torch_source.build_module(fitted.source)
    if weights is None:
        return Beginning(fitted, module, Kept())
    source = replace(fitted.source, weights=weights)
    fitted = replace(fitted, source=source, digest=source_digest(source))
    fresh: dict[str, Any] = {}
    if labels and labels != dataset.class_names and not dataset.numbered:
        fresh = head_state(module, torch_source.examples_for(fitted.inputs, 1)[0])
    left: tuple[str, ...] = ()
    if network.outputs and fitted.outputs == network.outputs:
        load_weights(module, weights)
    else:
        left = load_backbone(module, weights)
    module.load_state_dict(fresh, strict=False)
    names = sorted({*left, *fresh})
    told = f"; the data have other classes, so {', '.join(names)} begin anew" if names else ""
    progress.note(f"beginning with the weights of {weights}{told}")
    if weights.suffix.lower() == ".cwz":
        tell_zeros(*hold_zeros(module.parameters()), progress)
    return Beginning(fitted, module, Kept())


def tell_zeros(held: int, whole: int, progress: Progress) -> None:
    """Say what becomes of the values of a compressed file."""
    zeros = f"{held:,} of {whole:,} weights are zero and stay zero; " if held else ""
    progress.note(f"{zeros}few values become any again: `compress` rounds them anew")
