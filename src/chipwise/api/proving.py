"""Prove: training in several processes learns what training in one does, shown step by step.

chipwise.prove("lenet5-caffe", "fsdp2,tp2")
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from chipwise.api.given import data_from, need
from chipwise.api.notebook import drawn
from chipwise.api.settings import check_ranges
from chipwise.api.transfer import begun, network_to_train
from chipwise.core.errors import NetworkError
from chipwise.core.events import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.api.given import DataLike, NetworkLike
    from chipwise.core.network import Network
    from chipwise.core.proof import Proof
    from chipwise.datasets.dataset import Dataset

_RANGES = {
    "batch_size": (1, 1 << 20),
    "steps": (1, 1000),
    "microbatches": (1, 1 << 20),
    "learning_rate": (1e-12, 1e3),
    "momentum": (0.0, 0.999),
    "tolerance": (0.0, 1.0),
    "timeout_s": (1.0, 1e6),
}


@drawn
def prove(
    network: NetworkLike,
    mesh: str,
    data: DataLike | None = None,
    *,
    reshard: Sequence[str] | None = None,
    batch_size: int | None = None,
    steps: int = 4,
    schedule: str = "1f1b",
    microbatches: int | None = None,
    learning_rate: float = 0.05,
    momentum: float = 0.9,
    tolerance: float = 1e-10,
    seed: int = 0,
    timeout_s: float = 600.0,
    input_shape: tuple[int, ...] | None = None,
    preprocess: str | None = None,
    progress: Progress = silent,
) -> Proof:
    """Train a network in several processes on this machine and in one, with the same samples, and compare the two.

    Both learn in float64 with SGD, so that what differs by more than rounding is wrong. Then a distributed checkpoint
    is written, read by other numbers of processes, and training goes on, compared again.

    Args:
        network: a zoo name, a trained folder, or "package.module:callable", for classification.
        mesh: how the processes are laid out, as "dp2,tp2": sizes of dp, zero1, zero2, fsdp, tp, pp, sph, spw, oc.
        data: a data set or its name; None for random samples of the network's input shape.
        reshard: meshes that go on from each other's checkpoints; None for "1" and then half of the processes,
            empty for none.
        batch_size: samples a step over all processes; None for the least that all meshes divide.
        steps: from the initial weights; from each checkpoint half as many.
        schedule: of a pipeline: "gpipe", "1f1b" or "interleaved".
        microbatches: of a pipeline; None for twice as many as it has stages.
        learning_rate: of SGD.
        momentum: of SGD.
        tolerance: the largest difference of a loss or a weight that is taken for rounding.
        seed: of weights and samples.
        timeout_s: of each launch, of wall time.
        input_shape: for a factory that does not say its own, without the batch dimension.
        preprocess: how pictures become inputs, instead of what the network says.
        progress: told which leg runs.

    Raises:
        InputError: a mesh, a batch or a setting that cannot be. NetworkError: a strategy has nothing to cut in this
            network, or it has no torch source. DataError: the data do not fit.
        MachineError: too many processes for this machine; one of them died, or did not end in time.
        MissingExtraError: torch is not installed.
    """
    need("torch", "safetensors", extra="torch")
    from chipwise.devices.detect import detect
    from chipwise.training.parallel.mesh import parse_mesh
    from chipwise.training.parallel.prove import Wanted, least_batch
    from chipwise.training.parallel.prove import prove as prove_module

    numbers = {
        "batch_size": batch_size,
        "steps": steps,
        "microbatches": microbatches,
        "learning_rate": learning_rate,
        "momentum": momentum,
        "tolerance": tolerance,
        "timeout_s": timeout_s,
    }
    check_ranges(numbers, _RANGES)
    wanted = Wanted(
        parse_mesh(mesh),
        detect().cores,
        None if reshard is None else tuple(parse_mesh(each) for each in reshard),
        steps=steps,
        resumed=max(steps // 2, 1),
        learning_rate=learning_rate,
        momentum=momentum,
        schedule=schedule,
        microbatches=microbatches,
        tolerance=tolerance,
        timeout_s=timeout_s,
    )
    loaded = network_to_train(network, None, input_shape, preprocess)
    if loaded.source is None:
        raise NetworkError(f"{loaded.name} has no torch source, and strategies cut modules", hint="a zoo name")
    shape = (wanted.batches, batch_size or least_batch(wanted))
    dataset = None if data is None else data_from(data)
    fitted, module, inputs, labels = _begun(loaded, dataset, shape, seed, progress)
    assert fitted.source is not None
    made = (fitted.source.factory, dict(fitted.source.arguments))
    names = (fitted.name, "random samples" if dataset is None else dataset.name)
    return prove_module(module, made, names, inputs, labels, wanted=wanted, seed=seed, progress=progress)


def _begun(
    network: Network, dataset: Dataset | None, shape: tuple[int, int], seed: int, progress: Progress
) -> tuple[Network, Any, Any, Any]:
    """The network with its module, and samples [steps, batch, ...] with labels."""
    from chipwise.networks import torch_source
    from chipwise.training.parallel.samples import drawn_samples, random_samples
    from chipwise.training.seeds import seeded

    if dataset is None:
        assert network.source is not None
        with seeded(seed, "weights"):
            module = torch_source.build_module(network.source)
        return network, module, *random_samples(module, network.inputs, shape, seed)
    beginning = begun(network, dataset, seed, progress)
    fitted = replace(beginning.network, name=network.name)
    return fitted, beginning.module, *drawn_samples(dataset, fitted, shape, seed)
