"""Number formats of training: torch's mixed precision, and for fp16 its scaling of the loss.

Weights, their gradients and the optimizer's state are float32 whatever the format: the 2-byte values are copies that
autocast makes. fp16 has 5 bits of exponent, so that small gradients would be 0: the loss is multiplied by a scale
before the backward pass, and the gradients are divided by it afterwards (P. Micikevicius and others, "Mixed precision
training", 2018, arXiv 1710.03740, section 3.2). Where they overflow, the step is not taken and the scale is halved.

>>> scaler = scaler_of("fp16")
>>> tell_scaling(scaler, skipped=0)
Scaling(scale=65536.0, skipped=0, steady=0)
>>> tell_scaling(scaler_of("bf16"), skipped=0)
UNSET
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from msgspec import UNSET, UnsetType
from torch.amp import GradScaler

from chipwise.core.epoch import Scaling
from chipwise.core.errors import MachineError, first_line

if TYPE_CHECKING:
    from torch import Tensor, nn

    from chipwise.core.epoch import Epoch

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
# What a gradient is multiplied by at least: where it overflows at that, it does so by itself.
LEAST_SCALE = 1.0


def autocast(precision: str) -> torch.autocast:
    """The context in which a network is run with its products in 2-byte values; "fp32" leaves it as it is."""
    return torch.autocast("cpu", dtype=HALF.get(precision, torch.bfloat16), enabled=precision in HALF)


def scaler_of(precision: str) -> GradScaler:
    """What scales the loss and the gradients; of formats other than fp16 it changes nothing."""
    return GradScaler("cpu", enabled=precision == "fp16")


def stepped(scaler: GradScaler, optimizer: torch.optim.Optimizer) -> bool:
    """Take the optimizer's step unless a gradient overflowed, and let the scale follow; whether it was taken.

    Args:
        scaler: that scaled the loss.
        optimizer: whose gradients it has divided by the scale again.
    """
    if scaler.is_enabled():
        # Left to itself, torch's fused SGD makes momentum of whatever lies in memory when its first step is left out.
        optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]  # noqa: SLF001
    before = scaler.get_scale()
    scaler.step(optimizer)
    scaler.update()
    return scaler.get_scale() >= before


def tell_scaling(scaler: GradScaler, skipped: int) -> Scaling | UnsetType:
    """What a history says of the scale at the end of an epoch; nothing where nothing is scaled.

    Args:
        scaler: of the run.
        skipped: steps of the epoch that were not taken.
    """
    if not scaler.is_enabled():
        return UNSET
    state = scaler.state_dict()
    return Scaling(state["scale"], skipped, state["_growth_tracker"])


def resume_scaling(scaler: GradScaler, history: tuple[Epoch, ...]) -> None:
    """Go on from the scale at the end of a history."""
    last = history[-1].scaling if history else UNSET
    if last is not UNSET:
        scaler.load_state_dict(scaler.state_dict() | {"scale": last.scale, "_growth_tracker": last.steady})


def check_computes(module: nn.Module, sample: Tensor, precision: str) -> None:
    """Run a small batch forward and back in fp16: for some layers torch has kernels on some processors only.

    Args:
        module: gives scores; ends without gradients and in the mode in which it was.
        sample: a batch that it takes.
        precision: of training; formats other than fp16 are not tried.

    Raises:
        MachineError: with torch's own reason.
    """
    if precision != "fp16":
        return
    before = module.training
    module.eval()
    try:
        with autocast(precision):
            scores = module(sample)
        scores.float().sum().backward()
    except RuntimeError as error:
        raise MachineError(
            f"torch cannot train this network in fp16 on this processor: {first_line(error)}", hint="--precision bf16"
        ) from error
    finally:
        module.train(before)
        module.zero_grad(set_to_none=True)
