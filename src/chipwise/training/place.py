"""The device that a run trains on: which one was asked for, whether it is here, and a module that lies there meanwhile.

One `torch.device` travels from here: tensors are made on it or moved to it, and nothing else asks what it is.

>>> place_of("cpu")
device(type='cpu')
"""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from chipwise.core.errors import InputError
from chipwise.training.settings import ACCEPTED, AUTO, NAMED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from chipwise.training.settings import Settings

Place = torch.device
CPU = torch.device("cpu")


def place_of(asked: str) -> torch.device:
    """The device of that name; "auto" for the first that CUDA has here, else the processor.

    Raises:
        InputError: it is not here, or is none.
    """
    if not NAMED.fullmatch(asked):
        raise InputError(f"device={asked!r} is none", hint=ACCEPTED)
    if asked == AUTO:
        return torch.device("cuda", 0) if torch.cuda.is_available() else CPU
    if asked == "cpu":
        return CPU
    if asked == "mps":
        if not torch.backends.mps.is_available():
            raise _absent(asked)
        return torch.device("mps")
    device = torch.device(asked if ":" in asked else "cuda:0")
    if not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count():
        raise _absent(asked)
    return device


def called(device: torch.device) -> str:
    """The device in words: "cpu", or "cuda:0 (NVIDIA H200)"."""
    name = card_name(device)
    return f"{device} ({name})" if name else str(device)


def card_name(device: torch.device) -> str:
    """What the driver calls a graphics processor; empty where the device is none, or torch does not tell."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else ""


def has_tf32(device: torch.device) -> bool:
    """Whether it multiplies fp32 numbers in tf32 (NVIDIA: compute capability 8.0 or later)."""
    if device.type != "cuda":
        return False
    with current(device):
        return torch.cuda.is_tf32_supported()


def quick_formats(device: torch.device) -> tuple[str, ...]:
    """Formats beside fp32 that a graphics processor multiplies in hardware."""
    if device.type != "cuda":
        return ("fp16",)
    with current(device):
        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return tuple(name for name, has in (("tf32", has_tf32(device)), ("bf16", bf16), ("fp16", True)) if has)


def check_format(precision: str, device: torch.device) -> None:
    """Refuse tf32 where there is none.

    Raises:
        InputError: it is asked for there.
    """
    if precision == "tf32" and not has_tf32(device):
        raise InputError(
            f"precision=tf32 is not to be had on {called(device)}",
            hint="tf32 is of NVIDIA's graphics processors from compute capability 8.0 on; fp32 or bf16 here",
        )


def settled(settings: Settings, device: torch.device) -> Settings:
    """The same with the device's name in it, "auto" for the processor's.

    Raises:
        InputError: they ask for what is not to be had there.
    """
    check_format(settings.precision, device)
    if settings.state_on_host and device == CPU:
        raise InputError("state_on_host=True: the processor has it in main memory already", hint="leave it out")
    if settings.state_on_disk and device != CPU:
        raise InputError(f"state_on_disk=True: the optimizer's state is on {called(device)}", hint="state_on_host=True")
    if settings.weights_on_disk and device != CPU:
        raise InputError(f"weights_on_disk=True: the weights are on {called(device)}", hint="leave it out")
    return replace(settings, device=AUTO if device == CPU else str(device))


@contextmanager
def placed(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Keep a module on a device meanwhile, and make that the one which torch uses; it is in main memory afterwards."""
    if device == CPU:
        yield
        return
    try:
        module.to(device)
        with current(device):
            yield
    finally:
        module.to(CPU)


def current(device: torch.device) -> AbstractContextManager[object]:
    """Make it the device that torch uses where it is told no number."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def finished(device: torch.device) -> None:
    """Wait until the device has done all that it was asked to do; a processor has."""
    if device.type not in ("cpu", "meta"):
        torch.accelerator.synchronize(device)


def free_bytes(device: torch.device) -> int | None:
    """Memory of the device that can be taken now, what torch holds in reserve included; None where it does not tell."""
    if device.type != "cuda":
        return None
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + unused


def forget_device_peak(device: torch.device) -> None:
    """Let the peak of a graphics processor begin anew."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def device_peak_bytes(device: torch.device) -> int | None:
    """The most that torch's allocator has given out there since then; None where it does not tell."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def _absent(asked: str) -> InputError:
    here = ["cpu", *(called(torch.device("cuda", index)) for index in range(torch.cuda.device_count()))]
    here += ["mps"] if torch.backends.mps.is_available() else []
    built = "" if torch.version.cuda or torch.version.hip else "; this build of torch has no CUDA"
    return InputError(
        f"device={asked} is not here: there is {', '.join(here)}{built}",
        hint=f"--device auto, or {here[-1].split()[0]}",
    )
