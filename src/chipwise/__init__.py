"""chipwise: give it a neural network and a machine; it makes the network fast there and proves it.

>>> import chipwise
>>> chipwise.inspect("lenet-300-100").totals.parameters
266610
"""

# Before the verb of its name: whoever imports a package for the first time puts it in the place of what is called so.
import chipwise.show as _package  # noqa: F401
from chipwise.api import (
    bench,
    check,
    compile,
    custom_layer,
    doctor,
    estimate,
    export,
    features,
    fit,
    hardware,
    inspect,
    load,
    report,
    run,
    show,
    train,
    zoo,
)
from chipwise.core.errors import ChipwiseError

__all__ = [
    "ChipwiseError",
    "bench",
    "check",
    "compile",
    "custom_layer",
    "doctor",
    "estimate",
    "export",
    "features",
    "fit",
    "hardware",
    "inspect",
    "load",
    "report",
    "run",
    "show",
    "train",
    "zoo",
]
