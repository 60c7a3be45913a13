"""One training step in several processes: each learns its share of the batch that one process would learn."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from chipwise.core.errors import MachineError
from chipwise.training.divergence import diverged
from chipwise.training.loop import Batch, losses_of
from chipwise.training.objective import l1_penalty
from chipwise.training.optimizer import groups_of, optimizer_of
from chipwise.training.parallel.answers import wrong_together
from chipwise.training.parallel.grid import place_of, share_of
from chipwise.training.parallel.held import Held
from chipwise.training.parallel.job import RankAnswer
from chipwise.training.parallel.likeness import drops
from chipwise.training.parallel.strategy import Method, names_of
from chipwise.training.precision import LEAST_SCALE, scaler_of, stepped
from chipwise.training.seeds import seeded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn
    from torch.distributed.device_mesh import DeviceMesh

    from chipwise.training.loop import Lesson
    from chipwise.training.parallel.mesh import Mesh
    from chipwise.training.parallel.strategy import Strategy
    from chipwise.training.settings import Settings

ELSEWHERE = "which layer broke is told by training in one process, without --mesh"
_MOMENTS = {"sgd": 1}  # numbers that the optimizer keeps for each weight; two for Adam and its kin


@dataclass
class Blend:
    """How the batch of this step is mixed: the share of each sample itself, which losses need."""

    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Whole:
    """What a process knows of the whole network before it is cut.

    Attributes:
        names: of all parameters; whole_bytes: of their values.
        drops: whether something is dropped at random.
    """

    names: tuple[str, ...]
    whole_bytes: int
    drops: bool


def whole_of(module: nn.Module) -> Whole:
    """Look at a network before it is cut."""
    values = dict(module.named_parameters())
    return Whole(tuple(values), sum(value.nbytes for value in values.values()), drops(module))


def method_of(module: nn.Module, settings: Settings, mesh: Mesh, blend: Blend, microbatches: int) -> Method:
    """How a network learns with these settings.

    Args:
        module: the network, for penalties on its weights.
        settings: of training.
        mesh: for what an optimizer can take in one pass.
        blend: of the batch; set before each step.
        microbatches: of a pipeline.
    """
    penalized = [module] if settings.l1 else []  # else nothing of it may stay: a pipeline forgets other stages

    def losses(given: Any, wanted: Tensor) -> tuple[Tensor, Tensor]:
        batch = Batch(wanted, wanted[:, 0], wanted[:, 1], blend.share)
        loss, whole = losses_of(given, batch, settings)
        return loss, sum((l1_penalty(each, settings.l1) for each in penalized), whole)

    kind, options = optimizer_of(settings)
    plain = not mesh.has("oc", "tp", "zero2", "fsdp")  # one pass takes either whole tensors or cut ones
    options |= {"fused": True} if plain else {"foreach": False}
    return Method(
        losses,
        kind,
        lambda part: ([*groups_of(part, settings)], options),
        microbatches=microbatches,
        precision=settings.precision,
        scaler=scaler_of(settings.precision),
    )


class Learner:
    """Takes steps, all processes together, and looks in the first one whether what was asked for is what runs.

    Args:
        strategy: this process's part.
        mesh, grid: of all processes.
        whole: of the network.
        blend: what the strategy's losses look at.
    """

    def __init__(self, strategy: Strategy, mesh: Mesh, grid: DeviceMesh, whole: Whole, blend: Blend) -> None:
        self._strategy, self._mesh, self._grid, self._share = strategy, mesh, grid, share_of(mesh, grid)
        self._whole, self._blend, self._looked = whole, blend, False

    def __call__(self, lesson: Lesson, batch: Batch, where: str) -> Callable[[], float]:
        """Learn this process's share of a batch; what it returns gives the mean loss of all of it.

        Raises:
            GoalMissedError: loss or, where it is clipped, the gradient is not finite. MachineError: another strategy
            runs than was asked for.
        """
        lesson.optimizer.zero_grad(set_to_none=True)
        own = batch.part(self._share, self._mesh.shares)
        self._blend.share = own.share
        held = None if self._looked else Held(self._strategy)
        # Without dropout nothing is random here, and the batches that follow are those of one process.
        masks = seeded(lesson.settings.seed, where, self._share) if self._whole.drops else nullcontext()
        with masks:
            found = self._strategy.learn(own.inputs, torch.stack((own.labels, own.others), 1))
        total, count = summed([0.0, 0.0] if found is None else [found.item(), 1.0])
        loss = total / count
        if not math.isfinite(loss):
            raise diverged(loss, where, lesson.settings, ELSEWHERE)
        lesson.scaler.unscale_(lesson.optimizer)
        if lesson.settings.clip_norm is not None:
            self._clip(lesson, lesson.settings.clip_norm, where)
        # Gradients are the same in all processes by now, and so is what overflowed.
        if not stepped(lesson.scaler, lesson.optimizer) and lesson.scaler.get_scale() < LEAST_SCALE:
            raise diverged(math.inf, where, lesson.settings, ELSEWHERE, what="gradient")
        if held is not None:
            held.close()
            self._look(held, lesson.settings)
        return lambda: loss

    def _clip(self, lesson: Lesson, most: float, where: str) -> None:
        """Make the gradient of all weights together no longer than that."""
        learning = [value for value in self._strategy.parts[0].parameters() if value.grad is not None]
        norm = get_total_norm([value.grad for value in learning if value.grad is not None])
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        if math.isfinite(norm):
            clip_grads_with_norm_(learning, most, norm)
        elif not lesson.scaler.is_enabled():
            raise diverged(float(norm), where, lesson.settings, ELSEWHERE, what="norm of the gradient")

    def _look(self, held: Held, settings: Settings) -> None:
        """Compare what runs with what was asked for.

        Raises:
            MachineError: they differ.
        """
        self._looked = True
        mine = RankAnswer(
            dist.get_rank(),
            place_of(self._mesh, self._grid),
            self._share,
            0.0,
            (),
            *held.now(),
            self._whole.whole_bytes,
            tuple(names_of(self._strategy.parts)),
            self._whole.names,
            (),
            self._strategy.running,
            tuple(self._strategy.check()),
        )
        ranks: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(ranks, mine)
        missing = [line for rank in ranks for line in rank.missing]
        missing += wrong_together(self._mesh, ranks, _MOMENTS.get(settings.optimizer, 2))
        if missing:
            raise MachineError(
                f"{self._mesh} was asked for, and something else runs: {'; '.join(dict.fromkeys(missing))}",
                hint=f"chipwise prove NET --mesh {self._mesh} compares it with one process, step by step",
            )


def summed(values: Sequence[float]) -> list[float]:
    """Sums over all processes, the same on all of them."""
    found = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(found)
    return [float(value) for value in found]
