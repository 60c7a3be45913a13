"""The answers of all processes of a leg as one record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chipwise.core.proof import ProofLeg, ProofRank, ProofStep
from chipwise.training.parallel.mesh import parse_mesh

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.training.parallel.job import Leg, RankAnswer
    from chipwise.training.parallel.mesh import Mesh


def leg_of(leg: Leg, loaded: str, losses: Sequence[float], ranks: Sequence[RankAnswer]) -> ProofLeg:
    """Put together what the processes say.

    Args:
        leg: what they did.
        loaded: the mesh whose checkpoint they began with; empty for none.
        losses: of the one process, all steps.
        ranks: answers in order.
    """
    mesh = parse_mesh(leg.mesh)
    steps = tuple(_step(leg, index, losses, ranks) for index in range(leg.steps))
    running = tuple(dict.fromkeys(line for rank in ranks for line in rank.running))
    missing = tuple(dict.fromkeys(line for rank in ranks for line in rank.missing))
    missing += wrong_together(mesh, ranks)
    rows = tuple(
        ProofRank(
            rank.rank,
            rank.place,
            rank.weight_bytes,
            rank.forward_bytes,
            rank.gradient_bytes,
            rank.optimizer_bytes,
            rank.traffic,
        )
        for rank in ranks
    )
    return ProofLeg(leg.mesh, mesh.processes, loaded, max(rank.loaded for rank in ranks), steps, rows, running, missing)


def wrong_together(mesh: Mesh, ranks: Sequence[RankAnswer], moments: int = 1) -> tuple[str, ...]:
    """What no process sees alone: parameters that none trains, and bytes that are not those of the strategy.

    Args:
        mesh: that was asked for.
        ranks: what all processes say, in order.
        moments: numbers that the optimizer keeps for each weight.
    """
    return _names_wrong(ranks) + _bytes_wrong(mesh, ranks, moments)


def _step(leg: Leg, index: int, losses: Sequence[float], ranks: Sequence[RankAnswer]) -> ProofStep:
    worst = max((rank.steps[index] for rank in ranks), key=lambda step: (step.weights != step.weights, step.weights))
    shares: dict[int, list[float]] = {}
    for rank in ranks:
        loss = rank.steps[index].loss
        if loss is not None:
            shares.setdefault(rank.share, []).append(loss)
    parallel = sum(sum(found) / len(found) for found in shares.values()) / len(shares)
    spread = max(max(found) - min(found) for found in shares.values())
    step = leg.first + index
    return ProofStep(step + 1, losses[step], parallel, worst.weights, worst.worst, spread)


def _names_wrong(ranks: Sequence[RankAnswer]) -> tuple[str, ...]:
    """Parameters that no process trains, and those of two stages."""
    stages: dict[str, set[str]] = {}
    for rank in ranks:
        stage = rank.place.partition(",")[0] if rank.place.startswith("pp") else ""
        for name in rank.names:
            stages.setdefault(name, set()).add(stage)
    lost = [name for name in ranks[0].everything if name not in stages]
    twice = [name for name, found in stages.items() if len(found) > 1]
    return (*(f"no process trains {name}" for name in lost), *(f"pp: two stages have {name}" for name in twice))


def _bytes_wrong(mesh: Mesh, ranks: Sequence[RankAnswer], moments: int) -> tuple[str, ...]:
    """What the bytes held say against the strategy: parts must be parts."""
    whole = ranks[0].whole_bytes
    found = []
    if mesh.has("zero2", "fsdp") and not mesh.has("pp", "oc", "tp"):
        held = sum(rank.weight_bytes for rank in ranks) // mesh.size("dp")
        if held != whole:
            found.append(f"fsdp: the parts have {held:,} bytes together, the network {whole:,}")
        between = {rank.forward_bytes for rank in ranks}
        if mesh.has("zero2") and between != {whole}:
            found.append("zero2: weights are not whole between forward and backward")
        if mesh.has("fsdp") and max(between) >= whole and mesh.size("fsdp") > 1:
            found.append("fsdp: weights stay whole between forward and backward")
    if mesh.has("zero1") and mesh.size("zero1") > 1:
        state, gradients = sum(rank.optimizer_bytes for rank in ranks), moments * ranks[0].gradient_bytes
        if state != gradients:
            found.append(f"zero1: the optimizer's state has {state:,} bytes over all processes, not {gradients:,}")
    if mesh.has("pp"):
        held = sum(rank.weight_bytes for rank in ranks) // mesh.shares
        if not mesh.has("oc", "tp", "zero2", "fsdp") and held != whole:
            found.append(f"pp: the stages have {held:,} bytes together, the network {whole:,}")
    return tuple(found)
