"""What competes: anything that can be fitted, asked, saved and described; and how one is built from its model string.

A model of your own meets the contract in ten lines; `chipwise search --with my_model.py:make` lets it take part:

    import numpy as np

    class Nearest:
        def fit(self, inputs, labels):
            self.means = np.stack([inputs[labels == each].mean(0) for each in range(10)])
        def predict(self, inputs):
            return np.array([np.square(self.means - each).reshape(10, -1).sum(1).argmin() for each in inputs])
        def save(self):
            return self.means.tobytes()
        def describe(self):
            return "Nearest()"

    make = Nearest

>>> contestant_of("GaussianNB()", Given(classes=10)).describe()
'GaussianNB()'
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from chipwise.core.errors import MissingExtraError, unknown_name
from chipwise.networks.zoo import ZOO
from chipwise.searching.estimators import ESTIMATORS, estimator_of
from chipwise.searching.model_string import parse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chipwise.searching.model_string import Model

USUAL_EPOCHS = 3
# A network's name in a model string, which takes no dashes: its name in the zoo.
NETWORKS = {name.replace("-", "_"): name for name in ZOO if name.replace("-", "_").isidentifier()}
_EXTRAS = {"torch": "torch", "safetensors": "torch", "skl2onnx": "search", "ray": "ray"}


class Contestant(Protocol):
    """A model that is not fitted yet, or is."""

    def fit(self, inputs: NDArray[Any], labels: NDArray[Any]) -> object:
        """Learn from uint8 pictures [N, H, W, 1 or 3] or float32 arrays [N, ...], and int64 classes [N]."""

    def predict(self, inputs: NDArray[Any]) -> NDArray[Any]:
        """The class of each sample, [N]."""

    def save(self) -> bytes:
        """All that was learned; its length is the contestant's size."""

    def describe(self) -> str:
        """The model string that `contestant_of` builds it from."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a contestant is told besides its model string.

    Attributes:
        classes: of the data.
        seed: of every random choice.
        threads: that it may use.
        epochs: instead of those that its string says; None for these.
        class_names: in the order of the labels; empty for numbers.
    """

    classes: int
    seed: int = 0
    threads: int = 1
    epochs: int | None = None
    class_names: tuple[str, ...] = ()


def contestant_of(model: str, given: Given) -> Contestant:
    """Build a contestant from its model string; nothing in the string is executed.

    Args:
        model: an estimator of scikit-learn (or LightGBM) that is in the table, a pipeline of such, or a network of the
            zoo with settings of training and its own options: `convnet_small(epochs=2, learning_rate=0.01)`.
        given: what the string does not say.

    Raises:
        InputError: the string is none, or an argument is none of the model's. UnknownNameError: no such model.
        MissingExtraError: the library that it is from is not installed.
    """
    parsed = parse(model)
    if parsed.name in NETWORKS:
        return _network(parsed, given)
    if parsed.name not in ESTIMATORS:
        raise unknown_name("model", parsed.name, (*ESTIMATORS, *NETWORKS))
    return estimator_of(parsed, seed=given.seed)


def epochs_of(model: str) -> int | None:
    """How many epochs a model string asks for; None for models that have none.

    >>> epochs_of("convnet_small(epochs=2)"), epochs_of("GaussianNB()")
    (2, None)

    Raises:
        InputError: it is no model string.
    """
    parsed = parse(model)
    if parsed.name not in NETWORKS:
        return None
    asked = parsed.arguments.get("epochs", USUAL_EPOCHS)
    return asked if isinstance(asked, int) else USUAL_EPOCHS


def _network(parsed: Model, given: Given) -> Contestant:
    """Networks bring torch, which is imported for them alone."""
    made: Contestant = late("trained").TrainedNetwork(parsed, NETWORKS[parsed.name], given)
    return made


def late(module: str) -> ModuleType:
    """Import a module of this folder that brings a heavy library.

    Raises:
        MissingExtraError: the library is not installed.
    """
    try:
        return importlib.import_module(f"chipwise.searching.{module}")
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library in _EXTRAS:
            raise MissingExtraError(library, _EXTRAS[library]) from error
        raise
