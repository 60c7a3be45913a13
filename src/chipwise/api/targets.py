"""Which devices an estimate is for: names of the catalogue, this machine, systems, and a device's own number format.

>>> target("rtx4090").device.name
'GeForce RTX 4090'
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chipwise.core.errors import InputError, UnknownNameError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.core.device import Device, Machine, System
    from chipwise.core.estimate import Workload
    from chipwise.core.measured import MeasuredMachine

HERE = "here"
PHASES = {"infer": "inference", "inference": "inference", "train": "training", "training": "training"}
PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "fp8", "int8", "int4", "fp64", "amp")
# How a step is run: layout, what is recomputed, and in training whose state the optimizer keeps (adamw is usual).
_CHECKPOINTING, OPTIMIZERS = "checkpointing", ("adamw", "adam", "sgd", "momentum", "plain-sgd")
TECHNIQUES = ("channels_last", _CHECKPOINTING, *OPTIMIZERS)
# What a device runs where it has no float32 and nothing was asked for.
_INSTEAD = ("bf16", "fp16", "int8", "fp64")
# Formats that no gradient is computed in.
_INFERENCE_ONLY = ("int8", "int4")
# Formats that GPUs have, and PyTorch has no layers of.
_COMPILED_ONLY = ("int8", "int4", "fp8")
# Who makes what OpenVINO runs on, beside every CPU; "" for a device of one's own.
_OPENVINO_VENDORS = ("Intel", "")
# What a measurement that ended too soon leads to.
_MEASURE_LONGER = "its measurement ended too soon: chipwise doctor --measure, with a longer --budget"
# Software that fuses layers whatever it is told, and what runs on this machine unless something else is named.
_FUSING = ("onnxruntime", "openvino", "tensorrt", "tflite")
_USUAL_HERE = "onnxruntime"


@dataclass(frozen=True, slots=True)
class Target:
    """One device, whether it is this machine, what was measured of it, and what to know about how it was found.

    `system` is what it was found in; None for a device by itself.
    """

    device: Device
    here: bool = False
    measured: MeasuredMachine | None = None
    notes: tuple[str, ...] = ()
    system: System | None = None


def target(name: str | Device | System | Target, catalogue: Path | None = None) -> Target:
    """Find a device by name; of a system one of its devices, of a board with several chips one of them.

    Args:
        name: of the catalogue ("rtx4090", "tpu-v3", "dgx-1"), "here", or a device of your own; what was found is kept.
        catalogue: a TOML file or folder with more devices.

    Raises:
        UnknownNameError: with the nearest names. InputError: a system without accelerators, or a damaged catalogue.
    """
    from chipwise.core.device import Device, System

    if isinstance(name, Target):
        return name
    if isinstance(name, str) and name.strip().lower() == HERE:
        return _here()
    found = _find(name, catalogue) if isinstance(name, str) else name
    if isinstance(found, Device):
        board = f"{found.name} is a board of {found.chips} chips: this is one of them, which is what a program sees"
        notes = (_others(name, found, catalogue) if isinstance(name, str) else "", board if found.chips > 1 else "")
        return Target(found.one_chip(), notes=tuple(filter(None, notes)))
    if not isinstance(found, System):
        raise InputError(f"a {type(found).__name__} is no device", hint='give a name, "here" or a chipwise Device')
    if found.device is None:
        raise InputError(
            f"{found.name} has no accelerators to estimate for", hint="chipwise devices shows what is known of it"
        )
    return Target(found.device.one_chip(), notes=(_one_of(found, found.device),), system=found)


def _one_of(system: System, device: Device) -> str:
    """What of a system is estimated."""
    if system.count == 1:
        return f"{system.name} has one {device.name}"
    several = f"{system.name} is {system.count} x {device.name}: this is one of them"
    return several if system.link else f"{several}; no link between them is known, to tell how they train together"


def device_names() -> list[str]:
    """Short names of devices and systems, for completion."""
    from chipwise.devices import known

    return [HERE, *known.names()]


def workload_on(
    on: Target,
    *,
    phase: str,
    batch: int,
    precision: str | None,
    compiled: bool,
    runtime: str,
    techniques: tuple[str, ...] = (),
) -> tuple[Workload, tuple[str, ...]]:
    """What is asked of one device, with the number format that it has; and a note where that is not the usual one.

    Raises:
        UnknownNameError: no such phase, number format or technique. InputError: they do not go together, or not with
        the device.
    """
    from chipwise.core.estimate import Workload

    check_asked(phase, precision, techniques)
    _check_device(on.device, PHASES[phase], runtime)
    runs, notes = _format(on.device, precision)
    if runs in _COMPILED_ONLY and on.device.kind == "gpu" and not (compiled or runtime in _FUSING):
        notes += (
            f"PyTorch runs no network layer by layer in {runs} on {on.device.name}: that takes a compiler such as "
            "TensorRT (ask for --compiled), and nothing measured stands behind these times",
        )
    if precision == "amp":
        techniques = ("amp", *techniques)
    runtime = runtime or (_USUAL_HERE if (on.here or on.measured) and PHASES[phase] == "inference" else "")
    made = Workload(
        phase="training" if PHASES[phase] == "training" else "inference",
        batch=batch,
        precision=runs,
        compiled=compiled or runtime in _FUSING,
        runtime=runtime,
        techniques=techniques,
    )
    return made, notes


def check_asked(phase: str, precision: str | None, techniques: Sequence[str]) -> None:
    """Refuse what is not known, and what would be passed over in silence, whatever the device is.

    Raises:
        UnknownNameError: no such phase, number format or technique. InputError: they do not go together.
    """
    if phase not in PHASES:
        raise unknown_name("phase", phase, PHASES)
    if precision is not None and precision not in PRECISIONS:
        raise unknown_name("precision", precision, PRECISIONS)
    for technique in techniques:
        if technique not in TECHNIQUES:
            raise unknown_name("technique", technique, TECHNIQUES)
    phase = PHASES[phase]
    training = [each for each in techniques if each in (_CHECKPOINTING, *OPTIMIZERS)]
    if phase == "inference" and training:
        raise InputError(f"{training[0]} is a matter of training", hint="ask for --phase train, or leave it out")
    optimizers = [each for each in techniques if each in OPTIMIZERS]
    if len(set(optimizers)) > 1:
        raise InputError(f"{' and '.join(optimizers)} are several optimizers", hint="name one")
    if phase == "training" and precision in _INFERENCE_ONLY:
        raise InputError(f"nothing is trained in {precision}", hint="ask for fp32, tf32, bf16, fp16 or amp")


def _check_device(device: Device, phase: str, runtime: str) -> None:
    _check_facts(device)
    if phase == "training" and (device.array is not None or device.kind in ("tpu", "edge", "fpga")):
        raise InputError(
            f"training on {device.name} is not estimated",
            hint="GPUs and CPUs are; of this device ask for --phase infer",
        )
    if runtime == "openvino" and device.kind != "cpu" and device.vendor not in _OPENVINO_VENDORS:
        raise InputError(f"openvino does not run on {device.name}", hint="it runs on CPUs and on Intel's devices")


def _check_facts(device: Device) -> None:
    """Refuse what no time can be told of, whatever the number format is."""
    missing = "peak" if not device.peak_flops else "memory bandwidth"
    if device.peak_flops and (device.bandwidth_bytes_s or device.array is not None):
        return
    own = "a TOML file of yours may state one, under another name (--catalogue FILE)"
    measured = "; a CPU can be measured: chipwise doctor --measure --save FILE there, then --profile FILE here"
    raise InputError(
        f"no {missing} of {device.name} is known: nothing can be estimated for it",
        hint=_MEASURE_LONGER if device.source == "measured here" else own + (measured if device.kind == "cpu" else ""),
    )


def _format(device: Device, asked: str | None) -> tuple[str, tuple[str, ...]]:
    if asked == "amp":  # half of GPUs' matrix units; elsewhere the format with float32's range
        half = "fp16" if device.kind == "gpu" and "fp16" in device.peak_flops else "bf16"
        if half not in device.peak_flops:
            known = ", ".join(sorted(device.peak_flops)) or "none"
            raise InputError(
                f"amp needs a 16-bit format, and {device.name} is not known to have one",
                hint=f"formats with a known peak: {known}",
            )
        return half, ()
    if asked is not None:
        return asked, ()
    instead = next((each for each in _INSTEAD if each in device.peak_flops), "")
    if "fp32" in device.peak_flops or not instead:
        return "fp32", ()
    return instead, (f"{device.name} has no stated peak for fp32: {instead} is what it is estimated for",)


def profiled(path: Path, on: object = None) -> Target:
    """The machine that a profile was measured on, which `doctor --measure` wrote here or elsewhere.

    Args:
        path: the profile.
        on: where the estimate was asked for, to be checked; None for the machine of the profile.

    Raises:
        InputError: the file is no profile, or `on` is another machine.
    """
    from chipwise.codec.machine_file import read_machine
    from chipwise.devices.detect import detect

    found, here = read_machine(path), detect()
    same = found.machine.fingerprint == here.fingerprint
    asked = HERE if isinstance(on, str) and on.strip().lower() == HERE else ""
    other = here.cpu if asked and not same else "" if asked or on is None else str(getattr(on, "name", on))
    if other:
        raise InputError(
            f"profile {path} was measured on {_machine(found.machine)}, not on {other}",
            hint="leave --on out: the estimate is for the machine of the profile then",
        )
    note = "" if same else f"as measured on another machine, {_machine(found.machine)}, on {found.date}"
    return Target(found.device, same, found, tuple(filter(None, (note, _incomplete(found)))))


def _here() -> Target:
    """The machine this runs on, by what was measured of it; else by a quick look at its peaks, which gives a floor."""
    from chipwise.codec.machine_file import cached_machine
    from chipwise.devices.detect import detect

    machine = detect()
    found = cached_machine(machine)
    if found is not None:
        return Target(found.device, True, found, tuple(filter(None, (_incomplete(found),))))
    from chipwise.clock.peaks import measure_peaks

    ceiling, note = _ceiling(measure_peaks(machine), machine)
    return Target(ceiling, here=True, notes=(note,))


def _ceiling(quick: Device, machine: Machine) -> tuple[Device, str]:
    """What the machine can do at most, and the note that says so."""
    from chipwise.devices.ceiling import ceiling

    best, basis = ceiling(quick, machine)
    arithmetic = f"arithmetic at {basis}, memory" if basis else "arithmetic and memory"
    said = (
        f"this machine was never measured, so this is a floor: {arithmetic} as in a quick look, which is less than "
        "there is while others use the machine; run chipwise doctor --measure first"
    )
    return best, said


def _others(asked: str, found: Device, catalogue: Path | None) -> str:
    """Say which of several a short name was taken for."""
    from chipwise.devices import known

    others = known.namesakes(asked, catalogue)
    return f"{asked} is taken for {found.name}; there is {', '.join(others)} too" if others else ""


def _machine(machine: Machine) -> str:
    return f"{machine.cpu} ({machine.cores} {'core' if machine.cores == 1 else 'cores'})"


def _incomplete(found: MeasuredMachine) -> str:
    return "" if found.complete else "the measurement of the machine was interrupted: what is missing is estimated"


def _find(name: str, catalogue: Path | None) -> Device | System:
    from chipwise.devices import known

    try:
        return known.find(name, catalogue)
    except UnknownNameError as error:
        raise UnknownNameError(f"unknown device {name!r}", hint=f"{error.hint} (this machine is {HERE!r})") from error
