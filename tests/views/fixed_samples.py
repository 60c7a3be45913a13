"""Answers of `quantize` for golden tables: all integers, and one that was fine-tuned, ends in float and is apart."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from chipwise.core.fixed_point import FixedTensor, IntegerAgreement, Quantization
from chipwise.core.measure import Accuracy, PairedDrop

SOURCE = Accuracy(352, 360, 0.9568, 0.9887)
DROP = PairedDrop(SOURCE, Accuracy(351, 360, 0.9532, 0.9868), 2, 1, 1 / 360, 0.0143)
TENSORS = (
    FixedTensor("input", "activations", 0.0, 255.0, 8, False, (0,), 0.0, math.inf),
    FixedTensor("conv1.weight", "weights", -0.2607, 0.2473, 8, True, (9, 8, 10), 0.0066, 41.55),
    FixedTensor("relu", "activations", 0.0, 12.43, 8, False, (4,), 0.0212, 38.27),
    FixedTensor("fc.weight", "weights", -2.0, 2.0, 8, True, (5,), 0.00001, 39.9),
    FixedTensor("offset", "constants", -0.034, 0.042, 8, True, (11,), 0.0, 45.63),
)


def all_integers() -> Quantization:
    return Quantization(
        network="lenet5",
        data="digits",
        path="lenet5-int8.onnx",
        bits=8,
        per="channel",
        calibrated=500,
        tensors=TENSORS,
        floating=(),
        epochs=0,
        kept=0,
        untuned=None,
        validation=DROP,
        test=DROP,
        agreement=IntegerAgreement("onnxruntime", 200, 2000, 2000, 0.0, 24, True),
        seconds=1.7,
    )


def tuned() -> Quantization:
    worse = replace(DROP, lost=9, won=1, drop=8 / 360, upper=0.0384)
    apart = IntegerAgreement("onnxruntime", 200, 2000, 1987, 1.0, 41, False)
    return replace(
        all_integers(), floating=("Softmax",), epochs=3, kept=2, untuned=worse, test=None, agreement=apart, bits=16
    )


RECORDS: dict[str, Callable[[], Quantization]] = {"quantization": all_integers, "quantization_tuned": tuned}
