"""What training by a parameter server answers: losses, how old the weights were, and what exchanging them took.

>>> Staleness((3, 1)).mean
0.25
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Staleness:
    """How many deltas of others came to a server between a worker's pull of weights and its push of a delta.

    Attributes:
        counts: of deltas that were so many behind, from 0.
    """

    counts: tuple[int, ...]

    @property
    def mean(self) -> float:
        """Over all deltas; 0 where there is none."""
        return sum(age * count for age, count in enumerate(self.counts)) / max(sum(self.counts), 1)

    @property
    def most(self) -> int:
        """Of the oldest."""
        return max((age for age, count in enumerate(self.counts) if count), default=0)


@dataclass(frozen=True, slots=True)
class ServedTraining:
    """What `train_with_servers` did.

    Attributes:
        network, data: what was trained.
        servers: that each hold a part of the weights; workers: that pull weights and push deltas.
        asynchronous: whether each delta was added as it came.
        local_steps: of a worker from a pull to its push; batch_size: samples a step, all workers together.
        weight_bytes: of all weights that learn.
        losses: mean over the workers, one a round, of the batches before their steps.
        staleness: of the deltas.
        compute_s: of a round in a worker, median; exchange_s: its push and the pull that follows, with what it waits
            for others, median.
        samples_per_s: of all workers together, from the median round of each.
        notes: what is not as in one process.
    """

    network: str
    data: str
    servers: int
    workers: int
    asynchronous: bool
    local_steps: int
    batch_size: int
    weight_bytes: int
    losses: tuple[float, ...]
    staleness: Staleness
    compute_s: float
    exchange_s: float
    samples_per_s: float
    notes: tuple[str, ...] = ()
    schema: str = "chipwise.served-training/1"

    @property
    def communication_share(self) -> float:
        """Of a round."""
        return self.exchange_s / (self.compute_s + self.exchange_s)
