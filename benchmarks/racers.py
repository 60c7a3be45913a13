"""Those who race in `training_race.py`: the same network, data, batches, augmentation and schedule, four ways to train.

    python benchmarks/racers.py plain mnist --shared ../shared/data --epochs 2

    chipwise        `chipwise.train`, in bf16 and NHWC where the processor has bf16, as `chipwise tune` finds there
    chipwise-fp32   the same in fp32 and NCHW
    plain           a loop over slices of tensors, fp32, as tutorials write it, with AdamW and OneCycleLR
    lightning       a LightningModule and a DataLoader, as its quick start has them
    keras           `fit` on the torch backend, the network in its TorchModuleWrapper, batches from a PyDataset

All validate after every epoch and test once at the end. Whoever races trains on a few samples first, says "ready",
waits for a line on stdin, and then says every epoch and the end, a JSON document a line on stdout. Lightning and Keras
are imported by those alone who race with them.

The schedule for MNIST was chosen on the validation split (10% of the training images), never on test. Mean validation
accuracy over 4 seeds after 2 epochs: label smoothing 0: 99.07%, 0.05: 99.25%, 0.1: 99.24%; learning rate 0.02: 99.24%;
64 instead of 96 last maps: 99.25% against 99.26%; 3 epochs: 99.28%. Batch-norm after pooling, and no padding, halved
the time of a step at equal accuracy. That for CIFAR-10 is a usual one; nothing was tried.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

import chipwise
from chipwise.datasets import load
from chipwise.datasets.dataset import Dataset, make
from chipwise.devices.detect import detect
from chipwise.networks.load import load as load_network
from chipwise.networks.torch_source import build_module
from chipwise.training.augment import augmented
from chipwise.training.feed import Feed, feed_of
from chipwise.training.seeds import seeded
from cifar_pictures import cifar_to_train

Tell = Callable[[int, float], None]  # the number of an epoch, and its validation accuracy
Run = Callable[["Job", Tell], float]  # trains and gives the test accuracy
PRACTICE = 1280  # samples, so that imports and what libraries do once is not on the clock
NATIVE_BF16 = {"amx_bf16", "avx512_bf16"}


@dataclass(frozen=True)
class Race:
    """What is trained, and how.

    Attributes:
        network: a name of the zoo; data: "mnist" or "cifar"; augment: as in chipwise's settings.
        epochs: None where time decides.
    """

    network: str
    data: str
    learning_rate: float
    augment: str
    epochs: int | None
    batch_size: int = 128
    weight_decay: float = 0.05
    label_smoothing: float = 0.05


RACES = {
    "mnist": Race("convnet-small", "mnist", learning_rate=0.01, augment="none", epochs=2),
    "cifar": Race("resnet20", "cifar", learning_rate=0.005, augment="shift,flip", epochs=None),
}


@dataclass(frozen=True)
class Job:
    """A race with its data, the seed, and how many epochs there are."""

    race: Race
    data: Dataset
    seed: int
    epochs: int
    threads: int

    def module(self) -> nn.Module:
        """The network with the seed's weights."""
        network = load_network(self.race.network)
        assert network.source is not None, "networks of the zoo have a source"
        with seeded(self.seed, "weights"):
            return build_module(network.source)

    def feeds(self) -> tuple[Feed, Feed, Feed]:
        """Tensors to train on, to validate and to test with."""
        splits, network = self.data.split(seed=0), load_network(self.race.network)
        return tuple(feed_of(each, network, what="") for each in (splits.train, splits.validation, splits.test))  # type: ignore[return-value]

    def varied(self, inputs: Tensor) -> Tensor:
        """A batch, augmented."""
        return augmented(inputs, self.race.augment, "NCHW", inputs.shape[1])


def main() -> None:
    """Load, wait for the word, train, test."""
    options = parse()
    race = RACES[options.race]
    torch.set_num_threads(options.threads)
    data = fewer(data_of(race, options.shared), options.samples)
    job = Job(race, data, options.seed, options.epochs, options.threads)
    run = RACERS[options.racer]
    run(replace(job, data=fewer(data, PRACTICE), epochs=1), lambda *_: None)
    torch.manual_seed(job.seed)
    say(at="ready")
    sys.stdin.readline()
    accuracy = run(job, lambda number, found: say(at="epoch", number=number, validation=found))
    say(at="end", accuracy=accuracy, samples=data.test_count)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("racer", choices=RACERS)
    parser.add_argument("race", choices=RACES)
    parser.add_argument("--shared", type=Path, required=True, help="folder of the reference data")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=detect().cores)
    parser.add_argument("--samples", type=int, help="to train on; default: all")
    return parser.parse_args()


def say(**found: object) -> None:
    """One document, at once."""
    print(json.dumps(found), flush=True)


def data_of(race: Race, shared: Path) -> Dataset:
    """The data in three parts."""
    return cifar_to_train(shared) if race.data == "cifar" else load(f"idx:{shared / 'mnist'}")


def fewer(data: Dataset, samples: int | None) -> Dataset:
    """The same with so many samples to train on."""
    if samples is None:
        return data
    splits = data.split(seed=0)
    parts = [(splits.train.inputs[:samples], splits.train.labels[:samples])]
    parts += [(each.inputs, each.labels) for each in (splits.validation, splits.test)]
    inputs, labels = (np.concatenate(each) for each in zip(*parts, strict=True))
    counts = {"test_count": len(splits.test), "validation_count": len(splits.validation)}
    return make(data.name, inputs, labels, data.class_names, **counts)


def chipwise_run(job: Job, tell: Tell, *, tuned: bool = True) -> float:
    """As `chipwise.train` does it."""
    quick = tuned and bool(NATIVE_BF16 & set(detect().isa))
    race = job.race
    how: dict[str, Any] = {
        "learning_rate": race.learning_rate,
        "weight_decay": race.weight_decay,
        "label_smoothing": race.label_smoothing,
        "batch_size": race.batch_size,
        "augment": race.augment,
        "epochs": job.epochs,
        "seed": job.seed,
        "threads": job.threads,
        "precision": "bf16" if quick else "fp32",
        "channels_last": tuned,
    }
    with tempfile.TemporaryDirectory() as folder:
        found = chipwise.train(race.network, job.data, folder=folder, progress=Watching(tell), **how)
    assert found.test is not None
    return float(found.test.value)


class Watching:
    """Progress that tells the epochs that are over, as its messages say them."""

    def __init__(self, tell: Tell) -> None:
        self._tell, self._told = tell, 0

    def update(self, stage: str, fraction: float, message: str = "") -> None:
        """Tell the epoch before, where a new one has begun or all are done."""
        word = message.partition("/")[0].removeprefix("epoch ")
        if stage != "training" or not word.isdigit():
            return
        over = int(word) if fraction >= 1 else int(word) - 1
        if over > self._told:
            self._tell(over, float(message.partition("accuracy ")[2].partition("%")[0]) / 100)
            self._told = over

    def note(self, message: str) -> None:
        """On stderr."""
        print(message, file=sys.stderr)


def plain_run(job: Job, tell: Tell) -> float:
    """The loop that tutorials show."""
    train, validation, test = job.feeds()
    race, module = job.race, job.module()
    steps = len(train) // race.batch_size
    optimizer = torch.optim.AdamW(module.parameters(), lr=race.learning_rate, weight_decay=race.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, race.learning_rate, total_steps=job.epochs * steps)
    criterion = nn.CrossEntropyLoss(label_smoothing=race.label_smoothing)
    for number in range(1, job.epochs + 1):
        module.train()
        for rows in torch.tensor_split(torch.randperm(len(train))[: steps * race.batch_size], steps):
            optimizer.zero_grad()
            criterion(module(job.varied(train.inputs[rows])), train.labels[rows]).backward()
            optimizer.step()
            schedule.step()
        tell(number, accuracy_of(module, validation))
    return accuracy_of(module, test)


def accuracy_of(module: nn.Module, feed: Feed) -> float:
    """Share of right answers."""
    module.eval()
    with torch.inference_mode():
        parts = zip(torch.split(feed.inputs, 256), torch.split(feed.labels, 256), strict=True)
        return sum(int((module(inputs).argmax(1) == labels).sum()) for inputs, labels in parts) / len(feed)


def lightning_run(job: Job, tell: Tell) -> float:
    """Lightning, as its quick start has it."""
    import lightning  # noqa: PLC0415 (only who races with it needs it)
    from torch.utils.data import DataLoader, TensorDataset  # noqa: PLC0415

    race = job.race
    train, validation, test = (TensorDataset(each.inputs, each.labels) for each in job.feeds())
    steps = len(train) // race.batch_size

    class Lit(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.module = job.module()

        def training_step(self, batch: list[Tensor]) -> Tensor:
            scores = self.module(job.varied(batch[0]))
            return functional.cross_entropy(scores, batch[1], label_smoothing=race.label_smoothing)

        def validation_step(self, batch: list[Tensor]) -> None:
            self.log("right", (self.module(batch[0]).argmax(1) == batch[1]).float().mean(), on_epoch=True)

        test_step = validation_step

        def on_validation_epoch_end(self) -> None:
            tell(self.current_epoch + 1, float(self.trainer.callback_metrics["right"]))

        def configure_optimizers(self) -> dict[str, Any]:
            ours = torch.optim.AdamW(self.parameters(), lr=race.learning_rate, weight_decay=race.weight_decay)
            rate = torch.optim.lr_scheduler.OneCycleLR(ours, race.learning_rate, total_steps=job.epochs * steps)
            return {"optimizer": ours, "lr_scheduler": {"scheduler": rate, "interval": "step"}}

    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    with tempfile.TemporaryDirectory() as folder:
        lit = Lit()
        trainer = lightning.Trainer(
            accelerator="cpu", devices=1, max_epochs=job.epochs, default_root_dir=folder, **quiet
        )
        learned = DataLoader(train, race.batch_size, shuffle=True, drop_last=True)
        trainer.fit(lit, learned, DataLoader(validation, 256))
        return float(trainer.test(lit, DataLoader(test, 256), verbose=False)[0]["right"])


def keras_run(job: Job, tell: Tell) -> float:
    """Keras on torch; the learning rate rises and falls as that of the others."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras  # type: ignore[import-untyped]  # noqa: PLC0415 (only who races with it needs it)

    race = job.race
    train, *others = job.feeds()
    classes, steps = int(train.labels.max()) + 1, len(train) // race.batch_size
    rise = int(0.3 * job.epochs * steps)

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.on_epoch_end()

        def __len__(self) -> int:
            return steps

        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            rows = self.order[index * race.batch_size : (index + 1) * race.batch_size]
            return job.varied(train.inputs[rows]), functional.one_hot(train.labels[rows], classes).float()

        def on_epoch_end(self) -> None:
            self.order = torch.randperm(len(train))

    highest = race.learning_rate
    rate = keras.optimizers.schedules.CosineDecay(
        highest / 25, job.epochs * steps - rise, warmup_target=highest, warmup_steps=rise
    )
    inputs = keras.Input(tuple(train.inputs.shape[1:]))
    model = keras.Model(inputs, keras.layers.TorchModuleWrapper(job.module(), output_shape=(None, classes))(inputs))
    model.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=race.weight_decay),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=race.label_smoothing),
        metrics=["accuracy"],
    )
    told = keras.callbacks.LambdaCallback(on_epoch_end=lambda done, logs: tell(done + 1, float(logs["val_accuracy"])))
    validation, test = ((each.inputs, functional.one_hot(each.labels, classes).float()) for each in others)
    batches: dict[str, Any] = {"validation_data": validation, "validation_batch_size": 256}
    model.fit(Batches(), epochs=job.epochs, verbose=0, callbacks=[told], **batches)
    return float(model.evaluate(*test, batch_size=256, verbose=0, return_dict=True)["accuracy"])


RACERS: dict[str, Run] = {
    "chipwise": chipwise_run,
    "chipwise-fp32": partial(chipwise_run, tuned=False),
    "plain": plain_run,
    "lightning": lightning_run,
    "keras": keras_run,
}


if __name__ == "__main__":
    main()
