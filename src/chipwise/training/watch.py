"""Whether the numbers of a step are finite, found out without waiting for the device in every step.

Losses are sent to main memory as soon as the device has them, and looked at a step later. Until then the device takes
no step by itself: from the first number on that is not finite, its optimizer leaves everything as it is, so that the
weights are those that gave that number, as where each step is waited for.

>>> weight = torch.nn.Parameter(torch.ones(1))
>>> weight.grad, optimizer = torch.ones(1), torch.optim.SGD([weight], lr=1.0, fused=True)
>>> watch = Watch(optimizer, torch.device("cpu"))
>>> read = watch.see([torch.tensor(float("nan"))])
>>> optimizer.step(), read(), float(weight.detach())
(None, [nan], 1.0)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from chipwise.training.settings import Settings

LAG = 1  # steps after which numbers are looked at


class Watch:
    """Sees the numbers of all steps of a run, and stops its optimizer where one is not finite.

    Args:
        optimizer: a fused one: torch's others do not heed what only the device knows.
        device: of its weights.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, device: torch.device) -> None:
        # Names that torch.amp.GradScaler sets, too: a fused step is left out where this is 1.
        self._broken = torch.zeros((), device=device)
        optimizer.grad_scale, optimizer.found_inf = None, self._broken  # type: ignore[attr-defined]

    def see(self, numbers: Sequence[Tensor]) -> Callable[[], list[float]]:
        """Look at scalars before the step that follows of them.

        Returns:
            what gives them; it waits until the device has come so far, and no further.
        """
        row = torch.stack([each.detach().float() for each in numbers])
        self._broken.copy_(torch.maximum(self._broken, 1.0 - torch.isfinite(row).all().float()))
        if row.device.type != "cuda":
            return row.tolist
        there = torch.empty(row.shape, pin_memory=True).copy_(row, non_blocking=True)
        done = torch.cuda.current_stream(row.device).record_event()

        def read() -> list[float]:
            done.synchronize()
            return there.tolist()

        return read


def watch_of(optimizer: torch.optim.Optimizer, settings: Settings, device: torch.device) -> Watch | None:
    """What watches a run; None where every step is looked at before the next begins.

    That is on a processor, where it costs nothing; for forms of the optimizer that cannot be stopped so; and in fp16,
    whose scale torch reads in every step anyway, or where the step is done in main memory, which waits for gradients.
    """
    return Watch(optimizer, device) if is_late(settings, device) else None


def is_late(settings: Settings, device: torch.device) -> bool:
    """Whether losses are looked at a step later."""
    fused = settings.optimizer_form == "fused" and not settings.state_on_host
    return device.type == "cuda" and fused and settings.precision != "fp16"
