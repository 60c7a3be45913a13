"""Networks of the zoo as contestants: trained with `chipwise.training`, in the way that is quick here.

Number format and layout are this machine's (bf16 where the processor has it, channels last); the rest is the network's
recipe, and what its model string says.
"""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.core.errors import InputError, unknown_name
from chipwise.datasets.dataset import Dataset, make
from chipwise.devices.detect import detect
from chipwise.networks.load import load, with_classes
from chipwise.networks.torch_source import build_module
from chipwise.searching.model_string import Model, written
from chipwise.training.checkpoint import model_tensors
from chipwise.training.evaluate import evaluate
from chipwise.training.feed import feed_of
from chipwise.training.finish import serialized
from chipwise.training.lesson import lesson_of
from chipwise.training.loop import run_epoch
from chipwise.training.memory import enough_memory
from chipwise.training.process import memory_kept, threads
from chipwise.training.recipes import recipe
from chipwise.training.seeds import seeded
from chipwise.training.settings import Settings, resolve

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chipwise.core.network import Network
    from chipwise.searching.contestant import Given

# Settings that a model string may say; the seed and the threads are the trial's.
SETTINGS = frozenset({
    "optimizer", "learning_rate", "schedule", "batch_size", "epochs", "weight_decay", "l1", "loss", "label_smoothing",
    "augment", "precision", "channels_last", "momentum", "nesterov", "clip_norm", "ema", "dropout",
})  # fmt: skip
_PREDICTED = 512  # samples at a time


class TrainedNetwork:
    """A network of the zoo.

    Attributes:
        network: fitted to the classes; module: its `torch.nn.Module`, which learns.
    """

    def __init__(self, model: Model, name: str, given: Given) -> None:
        settings = {key: value for key, value in model.arguments.items() if key in SETTINGS}
        options = {key: value for key, value in model.arguments.items() if key not in SETTINGS}
        self._model, self._given = written(model), given
        self._settings = _settings(name, settings, given)
        self.network = _network(name, options, given)
        assert self.network.source is not None, "the zoo's networks have one"
        with seeded(given.seed, "weights"):
            self.module: Any = build_module(self.network.source)

    def fit(self, inputs: NDArray[Any], labels: NDArray[Any]) -> None:
        """Train on [N, ...] and classes [N].

        Raises:
            DataError, NetworkError: they do not fit. GoalMissedError: the loss diverges. MachineError: no memory.
        """
        data = self._data(inputs, labels)
        settings = resolve(self._settings, samples=len(data), pictures=data.pictures)
        with threads(self._given.threads), memory_kept(), enough_memory():
            lesson = lesson_of(self.module, self.network, data, settings)
            for number in range(1, (settings.epochs or 1) + 1):
                run_epoch(lesson, number, lambda _step, _loss: None)
        self.module = lesson.taught

    def predict(self, inputs: NDArray[Any]) -> NDArray[Any]:
        """The class of each sample [N], in fp32."""
        data = self._data(inputs, np.zeros(len(inputs), np.int64))
        with threads(self._given.threads), memory_kept(), enough_memory():
            feed = feed_of(data, self.network, what="asked", channels_last=self._settings.channels_last)
            score = evaluate(self.module, feed.inputs, feed.labels, batch=_PREDICTED)
        return np.asarray(score.predicted.numpy(), np.int64)

    def save(self) -> bytes:
        """The weights as safetensors."""
        return serialized(model_tensors(self.module))

    def describe(self) -> str:
        """Its model string."""
        return self._model

    def _data(self, inputs: NDArray[Any], labels: NDArray[Any]) -> Dataset:
        names = self._given.class_names or tuple(str(number) for number in range(self._given.classes))
        return make("data", inputs, labels, names)


def _settings(name: str, said: dict[str, Any], given: Given) -> Settings:
    """The recipe of a network, quick on this machine, with what its string says.

    Raises:
        InputError: a value that cannot be.
    """
    quick = replace(recipe(name), precision=_precision(), channels_last=True, augment="none", epochs=3)
    chosen = replace(quick, **said)
    if chosen.epochs is None or ("epochs" in said and isinstance(said["epochs"], bool)):
        raise InputError(f"epochs={said.get('epochs')}", hint="a whole number")
    return replace(chosen, seed=given.seed, threads=given.threads, epochs=given.epochs or chosen.epochs)


def _network(name: str, options: dict[str, Any], given: Given) -> Network:
    """A network of the zoo with its options, for so many classes.

    Raises:
        UnknownNameError: an argument that is neither a setting nor an option. InputError: a value that is no number.
    """
    wrong = [key for key, value in options.items() if isinstance(value, bool) or not isinstance(value, (int, float))]
    if wrong:
        known = sorted(SETTINGS & {field.name for field in fields(Settings)})
        raise unknown_name(f"argument of {name}", wrong[0], [*known, "width"])
    spec = ",".join(f"{key}={value:g}" for key, value in options.items())
    network = with_classes(load(f"{name}:{spec}" if spec else name), given.classes)
    names = given.class_names or tuple(str(number) for number in range(given.classes))
    return replace(network, task=replace(network.task, labels=names))


@cache
def _precision() -> str:
    """bf16 where the processor has instructions for it."""
    return "bf16" if {"amx_bf16", "avx512_bf16"} & set(detect().isa) else "fp32"
