"""Knowledge distillation: a network learns another one's answers besides the labels.

G. Hinton, O. Vinyals, J. Dean, "Distilling the knowledge in a neural network", 2015 (arXiv 1503.02531).

>>> teacher = Teacher(torch.nn.Identity(), share=1.0)
>>> scores = torch.tensor([[2.0, 0.0]])
>>> float(teacher.loss(scores, scores, torch.tensor(9.0)))
0.0
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from chipwise.core.errors import InputError, NetworkError, first_line
from chipwise.training.precision import autocast

if TYPE_CHECKING:
    from torch import Tensor, nn

    from chipwise.training.settings import Settings


@dataclass(frozen=True, slots=True)
class Teacher:
    """A network whose answers count.

    Attributes:
        module: gives scores [N, K], in evaluation mode.
        share: of its answers in the loss, 0..1; the rest is the labels'.
        temperature: what scores are divided by before the softmax.
        precision: in which its answers are computed, as in the settings of training.
        digest: of the network, by which a run knows its teacher again; empty where nobody asks.
    """

    module: nn.Module
    share: float = 0.9
    temperature: float = 3.0
    precision: str = "fp32"
    digest: str = ""

    def loss(self, inputs: Tensor, scores: Tensor, labels_loss: Tensor) -> Tensor:
        """The loss of a batch: Kullback-Leibler divergence from the teacher, times T squared, and the labels' loss.

        Args:
            inputs: float [N, ...], as the network got them.
            scores: float [N, K], the network's.
            labels_loss: of the same batch, a scalar.
        """
        return self.share * self.apart(scores, self.answers(inputs)) + (1 - self.share) * labels_loss

    def answers(self, inputs: Tensor) -> Tensor:
        """Logarithms of its softened answers [N, K] to inputs [N, ...]."""
        with torch.no_grad(), autocast(self.precision, inputs.device):
            return functional.log_softmax(self.module(inputs).float() / self.temperature, dim=1)

    def apart(self, scores: Tensor, answers: Tensor) -> Tensor:
        """Kullback-Leibler divergence of scores [N, K] from `answers`, times T squared; a scalar."""
        given = functional.log_softmax(scores / self.temperature, dim=1)
        return self.temperature**2 * functional.kl_div(given, answers, reduction="batchmean", log_target=True)


def check_taught(settings: Settings, teacher: Teacher | None) -> None:
    """Refuse settings of a teacher that is not there.

    Raises:
        InputError: there is one.
    """
    for name in ("teacher_share", "teacher_temperature"):
        value = getattr(settings, name)
        if value is not None and teacher is None:
            raise InputError(f"{name}={value:g}, but there is no teacher", hint="--teacher NET")


def check_teacher(teacher: Teacher, module: nn.Module, sample: Tensor) -> None:
    """Run both on a batch: the teacher must take what the network takes, and give as many scores.

    Args:
        teacher: in evaluation mode.
        module: what learns; its training mode is restored.
        sample: a batch that it takes.

    Raises:
        NetworkError: saying what each gives.
    """
    before = module.training
    module.eval()
    hint = "a teacher takes the same inputs and has the same classes as what it teaches"
    try:
        with torch.inference_mode():
            given, wanted = teacher.module(sample), module(sample)
    except (RuntimeError, TypeError, ValueError) as error:
        shape = list(sample.shape)
        raise NetworkError(
            f"the teacher does not take inputs of shape {shape}: {first_line(error)}", hint=hint
        ) from error
    finally:
        module.train(before)
    if not torch.is_tensor(given) or given.shape != wanted.shape:
        told = list(given.shape) if torch.is_tensor(given) else type(given).__name__
        raise NetworkError(f"the teacher gives {told}, the network {list(wanted.shape)}", hint=hint)
