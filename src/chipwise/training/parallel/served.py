"""Training by a parameter server, seen from the process that wants it: what servers and workers are told, and answer.

wanted = Serving(servers=2, workers=2, rounds=100)
made = ("chipwise.networks.zoo.lenet:lenet5_caffe", {})
training = train_served(module, made, ("lenet5-caffe", "digits"), (inputs, labels), order, wanted=wanted)
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file, save_file

from chipwise.codec.files import atomic_write
from chipwise.codec.records import decode, encode
from chipwise.core.errors import InputError, MachineError, NetworkError
from chipwise.core.events import Progress, silent
from chipwise.core.parameter_servers import ServedTraining, Staleness
from chipwise.training.parallel.agent import Launch
from chipwise.training.parallel.assignment import STATUS, Status, refusal_in
from chipwise.training.parallel.job import DATA, INITIAL
from chipwise.training.parallel.launch import run_processes
from chipwise.training.parallel.likeness import drops, normalizes_batches

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

TRAINED, ANSWERS = "trained.safetensors", "ages.json"
_PROCESSES_PER_CORE, _ALWAYS = 4, 8
_NORMS = "batch-norms see the samples of their own worker; running statistics are those of the first"
_DROPS = "each worker drops at random by itself"


@dataclass(frozen=True, slots=True)
class Serving:
    """How a network is trained by a parameter server.

    Attributes:
        servers: that hold a part of the weights each; workers: that learn a share of each batch.
        asynchronous: whether a delta is added as it comes; else those of all workers are averaged.
        local_steps: of a worker from a pull to its push.
        learning_rate, momentum: of SGD in a worker.
        cores: of this machine, shared by the workers.
        timeout_s: of wall time.
        twist: "package.module:callable" that takes a worker's rank and breaks something on purpose; only tests set it.
    """

    servers: int = 1
    workers: int = 2
    asynchronous: bool = False
    local_steps: int = 1
    learning_rate: float = 0.05
    momentum: float = 0.0
    cores: int = 1
    timeout_s: float = 600.0
    twist: str = ""


@dataclass(frozen=True, slots=True)
class ServerJob:
    """What servers and workers are told; see `Serving`.

    Attributes:
        factory, arguments: "package.module:callable" that makes the network, and JSON values for it.
        folder: where first weights and samples lie, and answers go.
    """

    factory: str
    arguments: dict[str, Any]
    folder: str
    servers: int
    workers: int
    asynchronous: bool
    local_steps: int
    learning_rate: float
    momentum: float
    twist: str = ""


@dataclass(frozen=True, slots=True)
class WorkerAnswer:
    """What a worker says: for each round its loss, the time of its steps, and of its push and pull."""

    rank: int
    losses: tuple[float, ...]
    compute_s: tuple[float, ...]
    exchange_s: tuple[float, ...]


def answers_file(rank: int) -> str:
    """Where a worker's answer lies in the folder of a job."""
    return f"worker-{rank}.json"


def train_served(
    module: nn.Module,
    made: tuple[str, dict[str, object]],
    names: tuple[str, str],
    samples: tuple[Tensor, Tensor],
    order: Tensor,
    *,
    wanted: Serving,
    weights: Path | None = None,
    progress: Progress = silent,
) -> ServedTraining:
    """Train a network by a parameter server.

    Args:
        module: with the weights to begin with, in float32 or float64; has the trained ones at the end.
        made: the factory that makes it again, "package.module:callable", and its arguments.
        names: of the network and the data.
        samples: inputs float [n, ...], of the kind of the weights, and labels int64 [n].
        order: int64 [steps, batch], samples of each step; each worker learns an equal share of each batch.
        wanted: how.
        weights: where the trained ones are written, too; None for nowhere.
        progress: told round by round.

    Raises:
        InputError: batches or steps that cannot be shared evenly. NetworkError: weights of several kinds, or none.
        GoalMissedError: the loss is not finite. MachineError: a process died (it is named), or time ran out; too many.
        StorageError: weights cannot be written.
    """
    size = _checked(module, order, wanted)
    with tempfile.TemporaryDirectory(prefix="chipwise-servers-") as name:
        folder = Path(name)
        job = ServerJob(
            *made,
            name,
            wanted.servers,
            wanted.workers,
            wanted.asynchronous,
            wanted.local_steps,
            wanted.learning_rate,
            wanted.momentum,
            wanted.twist,
        )
        save_file({key: value.clone() for key, value in module.state_dict().items()}, folder / INITIAL)
        save_file({"inputs": samples[0].contiguous(), "labels": samples[1], "order": order}, folder / DATA)
        atomic_write(folder / "job.json", encode(job))
        _launch(folder, wanted, progress)
        module.load_state_dict(load_file(folder / TRAINED))
        if weights is not None:
            atomic_write(weights, (folder / TRAINED).read_bytes())
        counts = decode((folder / ANSWERS).read_bytes(), tuple[int, ...], "the servers' answer")
        answers = [
            decode((folder / answers_file(rank)).read_bytes(), WorkerAnswer, f"the answer of worker {rank + 1}")
            for rank in range(wanted.workers)
        ]
    notes = (_NORMS,) * normalizes_batches(module) + (_DROPS,) * drops(module)
    return replace(
        _summed(answers, wanted, (order.shape[1], size)),
        network=names[0],
        data=names[1],
        notes=notes,
        staleness=Staleness(counts),
    )


def _checked(module: nn.Module, order: Tensor, wanted: Serving) -> int:
    """Refuse what cannot be done before anything starts; gives the bytes of all weights that learn."""
    learning = [value for value in module.parameters() if value.requires_grad]
    kinds = {value.dtype for value in learning}
    if len(kinds) != 1:
        found = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds)) or "none"
        raise NetworkError(f"servers share weights of one kind, and the network has {found}", hint="module.float()")
    count = sum(value.numel() for value in learning)
    if wanted.servers > count:
        raise InputError(f"{wanted.servers} servers for {count} weights", hint=f"{count} at most")
    steps, batch = order.shape
    if batch % wanted.workers:
        raise InputError(
            f"a batch of {batch} cannot be shared evenly by {wanted.workers} workers", hint="a multiple of them"
        )
    if steps % wanted.local_steps:
        raise InputError(f"{steps} steps are no rounds of {wanted.local_steps} local steps", hint="a multiple of them")
    most = max(_PROCESSES_PER_CORE * wanted.cores, _ALWAYS)
    if wanted.workers + wanted.servers > most:
        raise MachineError(
            f"{wanted.workers} workers and {wanted.servers} servers are too many for {wanted.cores} cores",
            hint=f"{most} processes at most here",
        )
    return sum(value.nbytes for value in learning)


def _launch(folder: Path, wanted: Serving, progress: Progress) -> None:
    processes = wanted.workers + wanted.servers
    launch = Launch("", str(folder / "job.json"), processes, on="servers")
    threads = max(wanted.cores // wanted.workers, 1)
    message = f"{wanted.workers} workers and {wanted.servers} servers"
    tell = _teller(folder / STATUS, progress, message)
    try:
        run_processes(launch, folder, threads=threads, timeout_s=wanted.timeout_s, message=message, tell=tell)
    except MachineError:
        refused = refusal_in(folder)
        if refused is not None:
            raise refused from None
        raise


def _teller(status: Path, progress: Progress, message: str) -> Callable[[], None]:
    def tell() -> None:
        if status.exists():
            found = decode(status.read_bytes(), Status, "the status")
            progress.update("training", found.fraction, found.message)
        else:
            progress.update("training", 0.0, f"starting {message}")

    return tell


def _summed(answers: list[WorkerAnswer], wanted: Serving, sizes: tuple[int, int]) -> ServedTraining:
    """What all workers say together; the first round, in which all begin, is not timed where there are others."""
    skip = 1 if len(answers[0].losses) > 1 else 0
    computed = [value for each in answers for value in each.compute_s[skip:]]
    exchanged = [value for each in answers for value in each.exchange_s[skip:]]
    share = sizes[0] // wanted.workers * wanted.local_steps
    rounds = (zip(each.compute_s[skip:], each.exchange_s[skip:], strict=True) for each in answers)
    return ServedTraining(
        "",
        "",
        wanted.servers,
        wanted.workers,
        wanted.asynchronous,
        wanted.local_steps,
        *sizes,
        tuple(sum(found) / len(found) for found in zip(*(each.losses for each in answers), strict=True)),
        Staleness(()),
        median(computed),
        median(exchanged),
        sum(share / median(sum(pair) for pair in each) for each in rounds),
    )
