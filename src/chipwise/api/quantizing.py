"""Quantize: a trained network in fixed point, as QDQ ONNX.

chipwise.quantize("runs/lenet5", "mnist", output="lenet5.onnx", bits=8)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from chipwise.api.given import data_from, need, trained_from, with_graph
from chipwise.api.notebook import drawn
from chipwise.api.settings import check_ranges, gentle_settings
from chipwise.core.errors import InputError, unknown_name
from chipwise.core.events import Progress, silent

if TYPE_CHECKING:
    from chipwise.api.given import DataLike, NetworkLike
    from chipwise.core.fixed_point import Per, Quantization

_BITS = (8, 16)
_RANGES = {"epochs": (0, 10**6), "calibrate": (1, 10**9), "compare": (1, 10**9), "teacher_share": (0.0, 1.0)}
_FINE = 0.1  # of the learning rate that a network is trained with from scratch


@drawn
def quantize(
    network: NetworkLike,
    data: DataLike,
    *,
    output: str | Path,
    bits: int = 8,
    per: Per = "channel",
    epochs: int | None = None,
    calibrate: int = 500,
    compare: int = 200,
    teacher_share: float = 0.9,
    weights: str | Path | None = None,
    preprocess: str | None = None,
    progress: Progress = silent,
    **settings: Any,
) -> Quantization:
    """Turn a trained network into fixed point: whole numbers times powers of two, checked against integers.

    Args:
        network: a trained folder, a model file, or a zoo name with `weights`.
        data: labelled samples; radix points are chosen on the training split, the validation split decides on
            fine-tuning, the test split is used once, at the end.
        output: the `.onnx` file, which every verb takes as a network.
        bits: 8 or 16, of weights and activations.
        per: "channel": a radix point for each output channel of a layer's weights; "tensor": one for all.
        epochs: of fine-tuning with the network itself as teacher, 0 for none; None for three where more than 0.3
            points of the validation accuracy are lost without.
        calibrate: samples that radix points are chosen on, at most.
        compare: samples that the integer reference answers, at most.
        teacher_share: of the network's own answers in what is learned, 0..1.
        weights: a file of trained weights, for a zoo name.
        preprocess: how pictures become inputs, instead of what the network says.
        progress: told what is done.
        settings: of fine-tuning (`chipwise.training.settings.Settings`).

    Raises:
        NetworkError: the network has no trained weights, or an operator without integer arithmetic (it is named).
        DataError: the data do not fit. InputError: a setting that cannot be. StorageError: the file cannot be written.
        MissingExtraError: torch is not installed.
    """
    need("torch", "safetensors", extra="torch")
    from chipwise.compression.quantize import Wanted
    from chipwise.compression.quantize import quantize as quantize_network

    numbers = {"epochs": epochs, "calibrate": calibrate, "compare": compare, "teacher_share": teacher_share}
    path = _checked(output, bits, per, numbers)
    loaded = trained_from(network, weights=weights, preprocess=preprocess)
    chosen = gentle_settings(loaded.name, _FINE, settings)
    wanted = Wanted(bits, per, epochs, calibrate, compare, chosen, teacher_share)
    return quantize_network(with_graph(loaded), data_from(data), path, wanted, progress=progress)


def _checked(output: str | Path, bits: int, per: str, numbers: dict[str, float | None]) -> Path:
    """Refuse settings that cannot be; gives the output's path.

    Raises:
        InputError: naming what was received and what it may be; UnknownNameError: no such kind of radix points.
    """
    from chipwise.core.fixed_point import Per

    path = Path(output)
    if path.suffix.lower() != ".onnx":
        raise InputError(f"cannot quantize to {path}: fixed point is written as QDQ ONNX", hint="-o X.onnx")
    if bits not in _BITS:
        raise InputError(f"bits is {bits}", hint="8 or 16")
    if per not in get_args(Per):
        raise unknown_name("kind of radix points", per, set(get_args(Per)))
    check_ranges(numbers, _RANGES)
    return path
