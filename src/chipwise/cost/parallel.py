"""What a step of training in copies takes: its compute, and the part of its communication that nothing hides.

A message costs a latency and its bytes over a bandwidth (Hockney, "The communication challenge for MPP", Parallel
Computing 20, 1994). Collectives are sums of messages; what of them stays visible depends on when gradients are ready.
Nothing is measured and nothing read here: wires and times come from the caller.

>>> wire = Wire(bytes_s=10e9, latency_s=5e-6)
>>> round(ring_s(100e6, 4, wire), 6)
0.01503
>>> found = Step(compute_s=0.09, communication_s=0.02, exposed_s=0.01)
>>> round(found.step_s, 3), round(found.communication_share, 3), round(efficiency(0.09, found.step_s), 3)
(0.1, 0.1, 0.9)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from chipwise.core.errors import InputError
from chipwise.core.layer import Layer

# A layer's backward pass makes two products of the size of its forward pass: gradients of its inputs and its weights.
_BACKWARD_SHARE = 2 / 3
GRADIENT_BYTES = 4  # float32


@dataclass(frozen=True, slots=True)
class Wire:
    """A connection.

    Attributes:
        bytes_s: each way, both ways at once.
        latency_s: of a message, whatever its size.
    """

    bytes_s: float
    latency_s: float = 0.0

    def message_s(self, size: float, messages: int = 1) -> float:
        """Seconds of so many bytes in so many messages, one after another."""
        return messages * self.latency_s + size / self.bytes_s


@dataclass(frozen=True, slots=True)
class Stretch:
    """A layer, or several in a row.

    Attributes:
        forward_s, backward_s: of its passes.
        size: bytes of its gradients.
    """

    forward_s: float
    backward_s: float
    size: float


@dataclass(frozen=True, slots=True)
class Step:
    """A step of data-parallel training.

    Attributes:
        compute_s: of both passes.
        communication_s: all of it; exposed_s: what neither pass hides.
    """

    compute_s: float
    communication_s: float
    exposed_s: float

    @property
    def step_s(self) -> float:
        """Of the whole."""
        return self.compute_s + self.exposed_s

    @property
    def communication_share(self) -> float:
        """Of the step, as far as it is exposed; 0 where a step takes no time."""
        return self.exposed_s / self.step_s if self.step_s else 0.0


def ring_s(size: float, workers: int, wire: Wire) -> float:
    """Seconds of an all-reduce along a ring: every worker sends and receives 2 (n-1)/n of the bytes, in 2 (n-1) pieces.

    Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations", JPDC 69, 2009.

    Args:
        size: bytes that are reduced.
        workers: how many, 1 or more.
        wire: of each worker to the next.

    Raises:
        InputError: no worker.
    """
    _check(workers=workers)
    return wire.message_s(2 * (workers - 1) / workers * size, 2 * (workers - 1))


def tree_s(size: float, workers: int, wire: Wire, pieces: int = 1) -> float:
    """Seconds of an all-reduce as a reduction up a binary tree and a broadcast down, pieces following each other.

    Chan, Heimlich, Purkayastha and van de Geijn, "Collective communication: theory, practice, and experience",
    Concurrency and Computation 19, 2007. In one piece it takes least latency; in many, the bandwidth is used as by
    Sanders, Speck and Traeff, "Two-tree algorithms for full bandwidth broadcast, reduction and scan", Parallel
    Computing 35, 2009.

    Args:
        size: bytes that are reduced.
        workers: how many, 1 or more.
        wire: of each worker.
        pieces: that the bytes are cut into, 1 or more.

    Raises:
        InputError: no worker, or no piece.
    """
    _check(workers=workers, pieces=pieces)
    if workers == 1:
        return 0.0
    return 2 * (math.ceil(math.log2(workers)) + pieces - 1) * wire.message_s(size / pieces)


def served_s(size: float, workers: int, servers: int, wire: Wire, own: Wire | None = None) -> float:
    """Seconds in which all workers push, or pull, all bytes: one way; a synchronous exchange takes two of them.

    Each of p servers holds 1/p of the bytes, so that its wire carries n/p of them; a worker's own carries all. The
    slower of both is what it takes. Li et al., "Scaling distributed machine learning with the parameter server",
    OSDI 2014; the count is that of Jiang et al., "A unified architecture for accelerating distributed DNN training in
    heterogeneous GPU/CPU clusters", OSDI 2020, section 2.

    Args:
        size: bytes of all weights.
        workers: how many, 1 or more.
        servers: likewise.
        wire: of a server.
        own: of a worker; None for the same kind.

    Raises:
        InputError: no worker or no server.
    """
    _check(workers=workers, servers=servers)
    return max(
        wire.message_s(workers * size / servers, workers),
        (own or wire).message_s(size, servers),
    )


def served_rate(compute_s: float, size: float, workers: int, servers: int, wire: Wire) -> float:
    """Rounds a second, of all workers together, where servers add each delta as it comes and nobody waits for others.

    Workers go round by themselves, until a server's wire, which carries 1/p of the bytes each way in each round, is
    busy all the time: an asymptote of closed queues (Denning and Buzen, "The operational analysis of queueing network
    models", ACM Computing Surveys 10, 1978).

    Args:
        compute_s: of a worker's round.
        size: bytes of all weights.
        workers: how many, 1 or more.
        servers: likewise.
        wire: of a server and of a worker.

    Raises:
        InputError: no worker or no server.
    """
    alone_s = compute_s + 2 * served_s(size, 1, servers, wire)
    _check(workers=workers)
    return min(workers / alone_s, 1 / wire.message_s(size / servers))


def unhidden_s(passes: Sequence[tuple[float, float]]) -> float:
    """Seconds by which communication outlasts a backward pass.

    Gradients go out in the order in which they are made, one after another, while the pass goes on: what
    DistributedDataParallel does with its buckets (Li et al., "PyTorch distributed", VLDB 2020). Fetching weights layer
    by layer before a forward pass waits as long, with the layers the other way round: a flow shop of two machines has
    the same length backwards.

    Args:
        passes: seconds of compute, and then of communication, of each layer in the order in which they run.
    """
    ready = free = 0.0
    for compute_s, transfer_s in passes:
        ready += compute_s
        free = max(free, ready) + transfer_s if transfer_s else free
    return max(free - ready, 0.0)


def data_parallel_step(stretches: Sequence[Stretch], reduce_s: float, fetch_s: float = 0.0) -> Step:
    """Put a step together from its layers and what exchanging all bytes takes.

    Args:
        stretches: in the order of the forward pass.
        reduce_s: of an all-reduce, or of pushing, which the backward pass hides as far as gradients are ready.
        fetch_s: of pulling weights, which the forward pass hides as far as they are not needed yet.
    """
    size = sum(each.size for each in stretches) or 1.0
    backward = [(each.backward_s, each.size / size * reduce_s) for each in reversed(stretches)]
    forward = [(each.forward_s, each.size / size * fetch_s) for each in reversed(stretches)]
    compute_s = sum(each.forward_s + each.backward_s for each in stretches)
    return Step(compute_s, reduce_s + fetch_s, unhidden_s(backward) + unhidden_s(forward))


def stretches_of(layers: Sequence[Layer], compute_s: float) -> list[Stretch]:
    """Share the compute of a step out among layers, by their FLOPs; a third of it is the forward pass.

    Args:
        layers: rows of a network; gradients are float32.
        compute_s: of both passes of all layers.

    Raises:
        InputError: there are no FLOPs in them.
    """
    flops = sum(layer.flops for layer in layers)
    if not flops:
        raise InputError("layers without FLOPs say nothing of when gradients are ready")
    return [
        Stretch(
            compute_s * (1 - _BACKWARD_SHARE) * layer.flops / flops,
            compute_s * _BACKWARD_SHARE * layer.flops / flops,
            layer.parameters * GRADIENT_BYTES,
        )
        for layer in layers
    ]


def efficiency(alone_s: float, step_s: float) -> float:
    """Share of linear scaling where each worker has as many samples as the one had (weak scaling).

    Args:
        alone_s: of a step of one worker.
        step_s: of many.
    """
    return alone_s / step_s


def _check(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise InputError(f"{name} is {count}", hint="1 or more")
