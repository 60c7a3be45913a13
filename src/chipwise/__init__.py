"""chipwise: give it a neural network and a machine; it makes the network fast there and proves it.

>>> import chipwise
>>> chipwise.inspect("lenet-300-100").totals.parameters
266610
"""

from chipwise.api import (
    bench,
    check,
    check_moved,
    compile,
    compress,
    count_layers,
    custom_layer,
    doctor,
    estimate,
    export,
    features,
    fit,
    formats,
    hardware,
    inspect,
    learning_curve,
    load,
    prove,
    quantize,
    report,
    run,
    sensitivity,
    show,
    train,
    training_memory,
    tune,
    zoo,
)
from chipwise.core.errors import ChipwiseError

__all__ = [
    "ChipwiseError",
    "bench",
    "check",
    "check_moved",
    "compile",
    "compress",
    "count_layers",
    "custom_layer",
    "doctor",
    "estimate",
    "export",
    "features",
    "fit",
    "formats",
    "hardware",
    "inspect",
    "learning_curve",
    "load",
    "prove",
    "quantize",
    "report",
    "run",
    "sensitivity",
    "show",
    "train",
    "training_memory",
    "tune",
    "zoo",
]
