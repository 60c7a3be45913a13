"""Train by a parameter server: servers hold the weights, workers pull them and push what they learned.

chipwise.train_with_servers("lenet5-caffe", "digits", servers=1, workers=2)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from chipwise.api.given import data_from, need
from chipwise.api.settings import check_ranges
from chipwise.api.transfer import begun, network_to_train
from chipwise.core.errors import NetworkError
from chipwise.core.events import Progress, silent

if TYPE_CHECKING:
    from chipwise.api.given import DataLike, NetworkLike
    from chipwise.core.network import Network
    from chipwise.core.parameter_servers import ServedTraining
    from chipwise.datasets.dataset import Dataset
    from chipwise.training.parallel.served import Serving

_RANGES = {
    "servers": (1, 1 << 10),
    "workers": (1, 1 << 10),
    "local_steps": (1, 1 << 20),
    "rounds": (1, 1 << 20),
    "batch_size": (1, 1 << 20),
    "learning_rate": (1e-12, 1e3),
    "momentum": (0.0, 0.999),
    "timeout_s": (1.0, 1e6),
}


def train_with_servers(
    network: NetworkLike,
    data: DataLike,
    *,
    servers: int = 1,
    workers: int = 2,
    asynchronous: bool = False,
    local_steps: int = 1,
    rounds: int = 100,
    batch_size: int = 64,
    learning_rate: float = 0.05,
    momentum: float = 0.0,
    seed: int = 0,
    weights: str | Path | None = None,
    timeout_s: float = 3600.0,
    progress: Progress = silent,
) -> ServedTraining:
    """Train a classifier by a parameter server on Ray, and measure what that costs.

    Each worker takes `local_steps` of SGD on its share of each batch, pushes by how much its weights moved, and pulls
    the new ones. Synchronous, with one local step and no momentum, that is training in one process with whole batches.

    Args:
        network: a zoo name, a trained folder, or "package.module:callable".
        data: a data set or its name; samples are drawn from its training split.
        servers: that hold equal parts of the weights.
        workers: that learn.
        asynchronous: add each worker's delta as it comes; else average those of all before any goes on.
        local_steps: from a pull to its push.
        rounds: of every worker.
        batch_size: samples a step, all workers together.
        learning_rate: of SGD.
        momentum: of SGD, in each worker for itself.
        seed: of the first weights and of the order of samples.
        weights: file to write the trained weights to (.safetensors); None for none.
        timeout_s: of wall time.
        progress: told round by round.

    Raises:
        InputError: a setting, or a batch that workers cannot share evenly. NetworkError: no torch source, or weights
            of several kinds. DataError: the data do not fit. GoalMissedError: the loss is not finite.
        MachineError: too many processes for this machine; one of them died, or did not end in time.
        MissingExtraError: torch or Ray is not installed. StorageError: weights cannot be written.
    """
    need("torch", "safetensors", extra="torch")
    need("ray", extra="ray")
    from chipwise.codec.files import check_writable
    from chipwise.devices.detect import detect
    from chipwise.training.parallel.served import Serving

    numbers = {
        "servers": servers,
        "workers": workers,
        "local_steps": local_steps,
        "rounds": rounds,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "momentum": momentum,
        "timeout_s": timeout_s,
    }
    check_ranges(numbers, _RANGES)
    if weights is not None:
        check_writable(Path(weights))
    shape = (rounds * local_steps, batch_size)
    rates = (learning_rate, momentum)
    wanted = Serving(servers, workers, asynchronous, local_steps, *rates, detect().cores, timeout_s)
    return _trained(
        network_to_train(network, None),
        data_from(data),
        shape,
        seed=seed,
        wanted=wanted,
        weights=weights,
        progress=progress,
    )


def _trained(
    loaded: Network,
    dataset: Dataset,
    shape: tuple[int, int],
    *,
    seed: int,
    wanted: Serving,
    weights: str | Path | None,
    progress: Progress,
) -> ServedTraining:
    """Fit the network to the data, draw the order of samples, and train."""
    from chipwise.training.parallel.samples import drawn_order
    from chipwise.training.parallel.served import train_served

    if loaded.source is None:
        raise NetworkError(f"{loaded.name} has no torch source, and workers make the network again", hint="a zoo name")
    start = begun(loaded, dataset, seed, progress)
    source = start.network.source
    assert source is not None
    return train_served(
        start.module,
        (source.factory, dict(source.arguments)),
        (loaded.name, dataset.name),
        *drawn_order(dataset, start.network, shape, seed),
        wanted=wanted,
        weights=None if weights is None else Path(weights),
        progress=progress,
    )
