"""Number formats of training: torch's mixed precision, and for fp16 its scaling of the loss.

Weights, their gradients and the optimizer's state are float32 whatever the format: the 2-byte values are copies that
autocast makes. fp16 has 5 bits of exponent, so that small gradients would be 0: the loss is multiplied by a scale
before the backward pass, and the gradients are divided by it afterwards (P. Micikevicius and others, "Mixed precision
training", 2018, arXiv 1710.03740, section 3.2). Where they overflow, the step is not taken and the scale is halved.

tf32 is fp32 of which products take 10 bits of the mantissa, on graphics processors that have it; torch's own default,
tf32 in convolutions and not in matrix products, is neither format, and is put away while steps are computed.

>>> scaler = scaler_of("fp16")
>>> tell_scaling(scaler, skipped=0)
Scaling(scale=65536.0, skipped=0, steady=0)
>>> tell_scaling(scaler_of("bf16"), skipped=0)
UNSET
"""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from msgspec import UNSET, UnsetType
from torch.amp import GradScaler

from chipwise.core.epoch import Scaling
from chipwise.core.errors import MachineError, first_line
from chipwise.training.place import CPU, check_format

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from chipwise.core.epoch import Epoch

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
# What a gradient is multiplied by at least: where it overflows at that, it does so by itself.
LEAST_SCALE = 1.0


def autocast(precision: str, device: torch.device = CPU) -> AbstractContextManager[object]:
    """The context in which a network is run with its products in 2-byte values; others leave it as it is."""
    return torch.autocast(device.type, dtype=HALF[precision]) if precision in HALF else nullcontext()


@contextmanager
def fp32_products(precision: str, device: torch.device = CPU) -> Iterator[None]:
    """Compute products of fp32 numbers in tf32 meanwhile where that is the format, else in fp32; as before afterwards.

    Both of torch's names for it (2.9 has new ones) are set alike: where they differ, it refuses to read either.

    Args:
        precision: of training.
        device: only CUDA's have the choice.
    """
    if device.type != "cuda":
        yield
        return
    backends: Any = torch.backends
    whole, convolutions = torch.get_float32_matmul_precision(), backends.cudnn.allow_tf32
    named = [each.fp32_precision for each in (backends.cuda.matmul, backends.mkldnn.matmul)]
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    backends.cudnn.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(whole)
        backends.cuda.matmul.fp32_precision, backends.mkldnn.matmul.fp32_precision = named
        backends.cudnn.allow_tf32 = convolutions


def scaler_of(precision: str, device: torch.device = CPU) -> GradScaler:
    """What scales the loss and the gradients; of formats other than fp16 it changes nothing."""
    return GradScaler(device.type, enabled=precision == "fp16")


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
        MachineError: with torch's own reason. InputError: tf32 is asked for where there is none.
    """
    check_format(precision, sample.device)
    if precision != "fp16":
        return
    before = module.training
    module.eval()
    try:
        with autocast(precision, sample.device):
            scores = module(sample)
        scores.float().sum().backward()
    except RuntimeError as error:
        where = "this processor" if sample.device == CPU else str(sample.device)
        raise MachineError(
            f"torch cannot train this network in fp16 on {where}: {first_line(error)}", hint="--precision bf16"
        ) from error
    finally:
        module.train(before)
        module.zero_grad(set_to_none=True)
