"""Training by a parameter server, on Ray: `python -m chipwise.training.parallel.parameter_server LAUNCH.json PARENT`.

Server actors hold a part of the weights each, equal parts in bytes. Workers take steps of their own, push by how much
their weights moved (deltas), and pull the new ones: Dean et al., "Large scale distributed deep networks", NIPS 2012;
Li et al., "Scaling distributed machine learning with the parameter server", OSDI 2014. Synchronous, a server averages
the deltas of all workers before any of them goes on; asynchronous, it adds each as it comes, and counts how many of
others came in between.

Like `agent`, this is a process of its own: Ray takes over signals and output.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import sys
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import numpy as np
import ray
import torch
from ray.exceptions import RayActorError, RayError, RayTaskError
from safetensors.torch import load_file, save_file
from torch import nn, optim
from torch.nn import functional

from chipwise.codec.files import atomic_write
from chipwise.codec.records import decode, encode
from chipwise.core.errors import ChipwiseError, GoalMissedError, first_line
from chipwise.training.parallel.agent import FAILURE, Failure, Launch
from chipwise.training.parallel.assignment import STATUS, Status, refuse
from chipwise.training.parallel.job import DATA, INITIAL
from chipwise.training.parallel.parent import end_with
from chipwise.training.parallel.ray_cluster import join
from chipwise.training.parallel.served import ANSWERS, TRAINED, ServerJob, WorkerAnswer, answers_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    Weights = NDArray[Any]

_LEAST_STORE_BYTES = 80 << 20
_OTHERS_S = 0.5  # within which the one that died first is known, too
_TELL_EVERY_S = 0.2


class Server:
    """A part of the weights.

    Args:
        weights: to begin with.
        workers: how many push.
        asynchronous: whether each delta is added as it comes.
    """

    def __init__(self, weights: Weights, workers: int, *, asynchronous: bool) -> None:
        self._weights, self._workers, self._asynchronous = weights, workers, asynchronous
        self._version = 0
        self._deltas: dict[int, Weights] = {}
        self._together = asyncio.Event()
        self._ages: Counter[int] = Counter()

    async def pull(self) -> tuple[int, Weights]:
        """How many deltas, or rounds of them, are in the weights, and the weights."""
        return self._version, self._weights

    async def exchange(self, rank: int, delta: Weights, version: int) -> tuple[int, Weights]:
        """Push a delta, and pull.

        Args:
            rank: of the worker.
            delta: by how much its weights moved.
            version: of the weights that it started from.
        """
        self._ages[self._version - version] += 1
        if self._asynchronous:
            self._take(delta)
            return await self.pull()
        self._deltas[rank] = delta
        together = self._together
        if len(self._deltas) == self._workers:
            in_order = [self._deltas[each] for each in range(self._workers)]  # so that sums round the same each time
            self._take(np.sum(in_order, axis=0) / self._workers)
            self._deltas, self._together = {}, asyncio.Event()
            together.set()
        await together.wait()
        return await self.pull()

    async def ages(self) -> dict[int, int]:
        """How many deltas were so many behind."""
        return dict(self._ages)

    async def live(self) -> None:
        """Never answer: who waits for it learns when this process dies."""
        await asyncio.Event().wait()

    def _take(self, delta: Weights) -> None:
        self._weights = self._weights + delta  # another array: the old one may still be on its way to a worker
        self._version += 1


class Worker:
    """Learns its share of each batch."""

    def train(self, file: str, rank: int, servers: Sequence[Any]) -> tuple[WorkerAnswer, dict[str, Weights]]:
        """Run all rounds.

        Args:
            file: of the job.
            rank: of this worker, from 0.
            servers: all of them, in the order of their parts.

        Returns:
            how it went, and the buffers of the network (running statistics).

        Raises:
            GoalMissedError: the loss is not finite.
        """
        job = decode(Path(file).read_bytes(), ServerJob, "job")
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        broken: Any = resolve_name(job.twist)(rank) if job.twist else nullcontext()
        with broken:
            return _rounds(job, rank, servers)


def main(path: str, parent: int) -> int:
    """Run a job to its end; 1 when a process died."""
    end_with(parent, lambda: os.kill(os.getpid(), signal.SIGTERM))  # which ends Ray's own processes, too
    launch, folder = decode(Path(path).read_bytes(), Launch, "launch"), Path(path).parent
    job = decode(Path(launch.file).read_bytes(), ServerJob, "job")
    module, weights = built(job)
    store = max(_LEAST_STORE_BYTES, 4 * (job.workers + 1) * weights.nbytes)
    try:
        join(launch.processes, store)
        _run(job, launch.file, module, weights)
    except ChipwiseError as error:
        refuse(folder, error)
        return 1
    except _Died as error:
        atomic_write(folder / FAILURE, encode(error.failure))
        return 1
    finally:
        ray.shutdown()
    return 0


class _Died(Exception):  # noqa: N818  what a process did
    """A process that is gone, or raised."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def built(job: ServerJob) -> tuple[nn.Module, Tensor]:
    """The network with its first weights, for training, and all weights that learn as one vector that it shares."""
    initial = load_file(Path(job.folder) / INITIAL)
    module = resolve_name(job.factory)(**job.arguments)
    learning = [value for value in module.parameters() if value.requires_grad]
    kind = initial[next(name for name, value in module.named_parameters() if value.requires_grad)].dtype
    module.to(kind).load_state_dict(initial)
    module.train()
    flat = torch.cat([value.detach().reshape(-1) for value in learning])
    begin = 0
    for value in learning:
        value.data = flat[begin : begin + value.numel()].view(value.shape)
        begin += value.numel()
    return module, flat


def parts_of(weights: Weights, servers: int) -> list[Weights]:
    """Equal parts in order, the first ones a value longer where it does not divide."""
    return np.array_split(weights, servers)


def _run(job: ServerJob, file: str, module: nn.Module, weights: Tensor) -> None:
    """Start servers and workers, wait for the workers, and write what was learned."""
    serve, work = ray.remote(num_cpus=0)(Server), ray.remote(num_cpus=1, max_restarts=0)(Worker)
    servers = [
        serve.options(max_concurrency=2 * job.workers + 2).remote(part, job.workers, asynchronous=job.asynchronous)
        for part in parts_of(weights.numpy(), job.servers)
    ]
    lives = [each.live.remote() for each in servers]
    runs = [work.remote() for _ in range(job.workers)]
    answers = [each.train.remote(file, rank, servers) for rank, each in enumerate(runs)]
    found = _wait(answers, lives)
    weights.copy_(torch.from_numpy(np.concatenate([part for _, part in _pulled(servers)])))
    module.load_state_dict(
        dict(module.state_dict()) | {name: torch.from_numpy(value.copy()) for name, value in found[0][1].items()}
    )
    ages: Counter[int] = Counter()
    for each in ray.get([each.ages.remote() for each in servers]):
        ages.update(each)
    folder = Path(job.folder)
    save_file({name: value.clone() for name, value in module.state_dict().items()}, folder / TRAINED)
    counts = [ages[age] for age in range(max(ages, default=-1) + 1)]
    atomic_write(folder / ANSWERS, encode(counts))
    for rank, (answer, _) in enumerate(found):
        atomic_write(folder / answers_file(rank), encode(answer))


def _pulled(servers: Sequence[Any]) -> list[tuple[int, Weights]]:
    return list(ray.get([each.pull.remote() for each in servers]))


def _wait(answers: list[Any], lives: list[Any]) -> list[tuple[WorkerAnswer, dict[str, Weights]]]:
    """Answers of all workers.

    Raises:
        _Died: a process is gone, or raised what was not meant. ChipwiseError: what a worker raised on purpose.
    """
    left = [*answers]
    while left:
        ready, _ = ray.wait([*left, *lives], num_returns=1)
        failed = _failures([*answers, *lives], ready)
        if failed:
            _, later = ray.wait([*left, *lives], num_returns=len(left) + len(lives), timeout=_OTHERS_S)
            every = [each for each in (*left, *lives) if each not in later]
            raise _first(_failures([*answers, *lives], every), len(answers), len(lives))
        left = [each for each in left if each not in ready]
    return list(ray.get(answers))


def _failures(every: list[Any], ready: list[Any]) -> dict[int, RayError]:
    """What was raised, by number of the process."""
    found: dict[int, RayError] = {}
    for each in ready:
        try:
            ray.get(each)
        except RayError as error:
            found[every.index(each)] = error
    return found


def _first(failures: dict[int, RayError], workers: int, servers: int) -> Exception:
    """The error to tell: of a process that is gone, before those that noticed."""

    def gone(number: int) -> bool:
        return isinstance(failures[number], RayActorError) and not isinstance(failures[number], RayTaskError)

    number = min(failures, key=lambda each: (not gone(each), each))
    cause = getattr(failures[number], "cause", None)
    if isinstance(cause, ChipwiseError):
        return cause
    who = f"worker {number + 1} of {workers}" if number < workers else f"server {number - workers + 1} of {servers}"
    said = (
        "is gone: killed, or its machine was lost"
        if gone(number)
        else f"raised {first_line(cause or failures[number])}"
    )
    return _Died(Failure(number, 1, f"{who} {said}"))


def _rounds(job: ServerJob, rank: int, servers: Sequence[Any]) -> tuple[WorkerAnswer, dict[str, Weights]]:
    """Pull, learn, push, again and again."""
    module, weights = built(job)
    data = load_file(Path(job.folder) / DATA)
    orders = data["order"].chunk(job.workers, dim=1)[rank]
    learning = [value for value in module.parameters() if value.requires_grad]
    optimizer = optim.SGD(learning, lr=job.learning_rate, momentum=job.momentum, foreach=False)
    tell = _teller(job, len(orders) // job.local_steps) if rank == 0 else lambda *_: None
    losses, computed, exchanged = [], [], []
    pulled = _pulled(servers)
    for first in range(0, len(orders), job.local_steps):
        started = np.concatenate([part for _, part in pulled])
        weights.copy_(torch.from_numpy(started))
        began = time.perf_counter()
        loss = 0.0
        for rows in orders[first : first + job.local_steps]:
            loss += _step(module, optimizer, data["inputs"][rows], data["labels"][rows]) / job.local_steps
        halfway = time.perf_counter()
        deltas = parts_of(weights.numpy() - started, job.servers)
        pushed = [
            each.exchange.remote(rank, delta, version)
            for each, delta, (version, _) in zip(servers, deltas, pulled, strict=True)
        ]
        pulled = ray.get(pushed)
        computed.append(halfway - began)
        exchanged.append(time.perf_counter() - halfway)
        losses.append(loss)
        tell(len(losses), loss)
    kept = module.state_dict().keys()
    buffers = {name: value.numpy() for name, value in module.named_buffers() if rank == 0 and name in kept}
    return WorkerAnswer(rank, tuple(losses), tuple(computed), tuple(exchanged)), buffers


def _step(module: nn.Module, optimizer: optim.Optimizer, inputs: Tensor, labels: Tensor) -> float:
    """Learn a batch; its mean loss before that."""
    optimizer.zero_grad(set_to_none=True)
    loss = functional.cross_entropy(module(inputs), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    found = loss.item()
    if not math.isfinite(found):
        raise GoalMissedError(f"the loss is {found:g}", hint="a smaller learning rate, or fewer local steps")
    optimizer.step()
    return found


def _teller(job: ServerJob, rounds: int) -> Any:
    """A function that writes after a round how far training is, a few times a second at most."""
    last = 0.0

    def tell(done: int, loss: float) -> None:
        nonlocal last
        now = time.perf_counter()
        if now - last >= _TELL_EVERY_S:
            last = now
            message = f"round {done} of {rounds}, loss {loss:.3f}"
            atomic_write(Path(job.folder) / STATUS, encode(Status(done / rounds, message, 0, ())))

    return tell


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
