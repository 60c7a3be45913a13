"""What a training run is told: plain JSON values, checked before any work starts.

>>> settings = Settings(learning_rate=0.01, augment=True)
>>> resolve(settings, samples=54_000, pictures=True).epochs
8
"""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args, get_type_hints

from chipwise.core.errors import InputError, unknown_name
from chipwise.core.training_memory import USUAL_EVALUATION
from chipwise.training.augmentations import augmentations, in_order, mixup_alpha

if TYPE_CHECKING:
    from typing import Any

OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine", "one-cycle")
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
LOSSES = ("cross-entropy", "hinge")
FORMS = ("fused", "foreach", "for-loop")
LOADINGS = ("auto", "ram", "workers")
FEEDINGS = ("auto", "device", "pinned", "copied")
BACKBONE = "backbone"
AUTO = "auto"
NAMED = re.compile(r"auto|cpu|mps|cuda(:\d{1,4})?")  # devices
ACCEPTED = "auto, cpu, cuda, cuda:N (the N-th, from 0) or mps"

# Settings of how memory is saved, and what changes nothing.
OF_MEMORY: dict[str, str | int | bool | None] = {
    "micro_batch": None, "recompute": None, "return_memory": False, "evaluation_batch": USUAL_EVALUATION,
    "swapped": None, "state_on_host": False, "state_on_disk": False, "weights_on_disk": False,
}  # fmt: skip

# Settings of how steps are computed, and what is usual.
_OF_SPEED: dict[str, str | bool] = {"compiled": False, "optimizer_form": "fused"}

# Settings of how samples come, which change nothing of what is learned, and what is usual.
OF_READING: dict[str, str | int | None] = {"loading": "auto", "workers": None}

# Settings of where it is trained, which change nothing of what is learned but rounding, and what is usual.
OF_PLACE: dict[str, str | int | None] = {"device": "auto", "feeding": "auto"}

# Samples shown to the network when the number of epochs is not given: enough for the zoo on digits and on MNIST.
_SAMPLES_SHOWN = 120_000
_FEWEST_EPOCHS, _MOST_EPOCHS = 8, 200

# From this many pictures on, "auto" leaves them as they are: the data itself has the variety.
_ENOUGH_PICTURES = 20_000

# One epoch of so many trains the rest alone, when something is frozen.
_FROZEN_SHARE = 3

_YOUNGER = frozenset({
    "momentum", "nesterov", "clip_norm", "ema", "dropout", "teacher_share", "teacher_temperature",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train. The defaults give a good result without tuning.

    Attributes:
        optimizer: "adamw", "adam" or "sgd" (with momentum).
        learning_rate: the highest of the schedule.
        schedule: "one-cycle" (linear rise, then cosine to nearly 0), "cosine" or "constant".
        batch_size: samples a step; the last incomplete batch of an epoch is left out (other samples each time).
        epochs: passes over the training split; None for as many as show about 120,000 samples (8 to 200).
        target_accuracy: stop once the validation accuracy (0..1) reaches it.
        patience: stop after so many epochs without a better validation accuracy; None never.
        weight_decay: on matrices and kernels, not on biases and norms.
        l1: weight of the sum of absolute values of matrices and kernels that is added to the loss.
        loss: "cross-entropy", or "hinge" (multi-class; label smoothing is of cross-entropy alone).
        freeze: "backbone" to train only the last layer at first, a number to hold so many of the first layers (norms
            count with the layer before them and keep their statistics), None to train everything from the start.
        unfreeze_after: epochs until everything is trained; None for a third of them, 0 for never. The schedule of the
            learning rate runs once before and once after.
        backbone_rate: learning rate of what was frozen, once it is trained, as a share of the others'.
        label_smoothing: share of the target spread over all classes, 0..1.
        augment: "affine" (or True: small shifts, rotation, scale), "shift", "crop", "flip", "cutout" and "mixup", or
            several between commas, made in this order; "none" (or False); or "auto": affine where there are few
            pictures. "cutout=0.25" is the side of the square over the picture's, "mixup=1" its alpha.
        precision: "fp32", "tf32" where the device has it, or "bf16" or "fp16" for automatic mixed precision, with
            weights in fp32; for fp16 the loss is scaled, and a step whose gradient overflows is left out.
        channels_last: keep pictures and kernels in NHWC order in memory.
        micro_batch: most samples that go through the network at a time, in about equal parts of the batch, whose
            gradients add up; None for all of them. Batch normalizations see one part at a time.
        recompute: segments that are computed again in the backward pass rather than kept, as
            `checkpointed.as_text` writes them; None for none.
        swapped: segments whose saved activations lie in a file beside the run until the backward pass, written as those
            of `recompute`; None for none.
        state_on_host: the optimizer's state is in main memory, and its step done there, while the network is on another
            device.
        state_on_disk: the optimizer's state lies in a file beside the run, of which steps read and write a piece at a
            time.
        weights_on_disk: weights of 1 MiB or more lie in a file beside the run, with their gradients and the best ones
            so far; those of a layer are in memory while it runs. Goes with `state_on_disk`.
        return_memory: freed memory goes back to the system at once: less of it is held, and steps take longer.
        evaluation_batch: samples that are evaluated at a time.
        seed: of order, dropout and augmentation (and of the initial weights when built inside `seeds.seeded`).
        split_seed: of the train / validation / test split; kept apart so that another `seed` never moves a test
            sample into training.
        threads: torch threads; None for torch's own choice.
        momentum: of "sgd", 0 for none; None for 0.9.
        nesterov: whether the momentum of "sgd" is Nesterov's; None for yes, where there is momentum.
        clip_norm: the largest 2-norm of the whole gradient: a longer one is made as long; None for any.
        ema: decay of an average of the weights over the steps, which is then validated and kept; None for none.
        dropout: rate of every dropout layer of the network, 0..1; None for its own.
        teacher_share: of a teacher's answers in the loss, 0..1, the rest being the labels'; None without a teacher.
        teacher_temperature: what scores are divided by before both are compared; None without a teacher.
        compiled: run the training steps through `torch.compile`; evaluation runs the module as it is.
        optimizer_form: how the optimizer goes through the weights: "fused" (one pass over each), "foreach" (operators
            on lists of weights) or "for-loop" (weight by weight, operator by operator).
        loading: where pictures are while it trains: "ram", "workers" (processes read them from their files), or "auto"
            for memory where they fit.
        workers: how many processes read them; None for half of the threads.
        device: that it trains on: "cpu", "cuda", "cuda:1", "mps", or "auto" for CUDA's first where there is one.
        feeding: how samples reach a device that is no processor: "device" (all of them lie there), "pinned" (a batch at
            a time, sent ahead from pinned memory), "copied" (a batch at a time, when it is used), or "auto" for
            "device" where they fit, else "pinned".
    """

    optimizer: str = "adamw"
    learning_rate: float = 3e-3
    schedule: str = "one-cycle"
    batch_size: int = 64
    epochs: int | None = None
    target_accuracy: float | None = None
    patience: int | None = None
    weight_decay: float = 0.01
    l1: float = 0.0
    loss: str = "cross-entropy"
    freeze: str | int | None = None
    unfreeze_after: int | None = None
    backbone_rate: float = 0.1
    label_smoothing: float = 0.0
    augment: bool | str = "auto"
    precision: str = "fp32"
    channels_last: bool = False
    micro_batch: int | None = None
    recompute: str | None = None
    swapped: str | None = None
    state_on_disk: bool = False
    weights_on_disk: bool = False
    return_memory: bool = False
    evaluation_batch: int = USUAL_EVALUATION
    seed: int = 0
    split_seed: int = 0
    threads: int | None = None
    momentum: float | None = None
    nesterov: bool | None = None
    clip_norm: float | None = None
    ema: float | None = None
    dropout: float | None = None
    teacher_share: float | None = None
    teacher_temperature: float | None = None
    compiled: bool = False
    optimizer_form: str = "fused"
    loading: str = "auto"
    workers: int | None = None
    device: str = "auto"
    feeding: str = "auto"
    state_on_host: bool = False

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            InputError: naming the setting, what was received and what it may be.
        """
        hints = get_type_hints(type(self))
        for field in dataclasses.fields(self):
            _check_type(field.name, getattr(self, field.name), hints[field.name])
        _check_choices(self)
        _check_augment(self)
        _check_ranges(self)
        _check_freezing(self)
        _check_momentum(self)
        _check_on_disk(self)
        if not NAMED.fullmatch(self.device):
            raise InputError(f"device={self.device!r} is none", hint=ACCEPTED)
        if self.compiled and (self.recompute or self.swapped) is not None:
            raise InputError(
                "compiled=True leaves no segments to compute again or to swap", hint="leave compiled out, or the other"
            )
        if self.state_on_host and self.precision == "fp16":
            raise InputError("state_on_host=True does not go with fp16, whose scaling looks at gradients", hint="bf16")
        if self.loading == "ram" and self.workers is not None:
            raise InputError(f"workers={self.workers} have nothing to read with loading=ram", hint="one of them")


def needing_weights(settings: Settings) -> dict[str, Any]:
    """Those settings that need all weights, or all gradients, in memory."""
    needing = {
        "ema": settings.ema, "freeze": settings.freeze, "l1": settings.l1 or None,
        "compiled": settings.compiled or None, "precision": "fp16" if settings.precision == "fp16" else None,
    }  # fmt: skip
    return {name: value for name, value in needing.items() if value is not None}


def as_json(settings: Settings) -> dict[str, str | int | float | bool | None]:
    """The settings as a plain dict, in the order of their definition.

    Those that are younger than the first checkpoints are left out where they were not given or change nothing, so that
    runs from before can be continued.
    """
    values = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    usual: dict[str, Any] = dict.fromkeys(_YOUNGER) | OF_MEMORY | _OF_SPEED | OF_READING | OF_PLACE
    return {name: value for name, value in values.items() if name not in usual or value != usual[name]}


def resolve(settings: Settings, *, samples: int, pictures: bool) -> Settings:
    """Fill in what was left to chipwise: the number of epochs, the augmentation, and how long a part stays frozen.

    Args:
        settings: as given.
        samples: size of the training split.
        pictures: True when the data are pictures (arrays are never augmented).

    Raises:
        InputError: when arrays are to be augmented, or no epoch is left after the frozen ones.
    """
    epochs = settings.epochs or max(_FEWEST_EPOCHS, min(_MOST_EPOCHS, round(_SAMPLES_SHOWN / max(samples, 1))))
    augment = _words(settings)
    if augment == "auto":
        augment = "affine" if pictures and samples < _ENOUGH_PICTURES else "none"
    if not pictures and any(each.kind != "mixup" for each in augmentations(augment)):
        raise InputError(
            f"augment={settings.augment!r} needs pictures, and these data are arrays", hint="augment=none, or mixup"
        )
    return dataclasses.replace(settings, epochs=epochs, augment=augment, unfreeze_after=_held(settings, epochs))


def _words(settings: Settings) -> str:
    """The augmentation in words, in order."""
    if isinstance(settings.augment, bool):
        return "affine" if settings.augment else "none"
    return in_order(settings.augment)


def _held(settings: Settings, epochs: int) -> int | None:
    """Epochs with a frozen part; None without one, 0 for all of them."""
    if settings.freeze is None:
        return None
    if settings.unfreeze_after is None:
        return max(1, round(epochs / _FROZEN_SHARE)) if epochs > 1 else 0
    if settings.unfreeze_after >= epochs:
        raise InputError(
            f"unfreeze_after={settings.unfreeze_after} leaves none of {epochs} epochs to train everything",
            hint="give fewer, or 0 to keep it frozen to the end",
        )
    return settings.unfreeze_after


def _check_type(name: str, value: Any, hint: Any) -> None:
    allowed = get_args(hint) or (hint,)
    if isinstance(value, bool) and bool not in allowed:
        raise InputError(f"{name} must be {_names(allowed)}, not {value!r}")
    if isinstance(value, allowed) or (float in allowed and isinstance(value, int)):
        return
    raise InputError(f"{name} must be {_names(allowed)}, not {value!r}")


def _names(allowed: tuple[type, ...]) -> str:
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a word", type(None): "left out"}
    return " or ".join(words[kind] for kind in allowed)


def _check_choices(settings: Settings) -> None:
    choices = {"optimizer": OPTIMIZERS, "schedule": SCHEDULES, "precision": PRECISIONS, "loss": LOSSES}
    choices |= {"freeze": (BACKBONE,), "optimizer_form": FORMS, "loading": LOADINGS, "feeding": FEEDINGS}
    for name, known in choices.items():
        value = getattr(settings, name)
        if isinstance(value, str) and value not in known:
            raise unknown_name(name, value, (*known, "a number of layers") if name == "freeze" else known)


def _check_augment(settings: Settings) -> None:
    if mixup_alpha(_words(settings)) is not None and settings.loss == "hinge":
        raise InputError(
            f"augment={settings.augment!r} mixes labels, and loss='hinge' takes one label a sample",
            hint="loss=cross-entropy, or leave mixup out",
        )


def _check_ranges(settings: Settings) -> None:
    rules: tuple[tuple[str, float, float, str], ...] = (
        ("learning_rate", 0.0, 1e3, "above 0 and at most 1000"),
        ("batch_size", 0, 2**20, "at least 1"),
        ("micro_batch", 0, 2**20, "at least 1"),
        ("evaluation_batch", 0, 2**20, "at least 1"),
        ("epochs", 0, 10**6, "at least 1"),
        ("target_accuracy", 0.0, 1.0, "above 0 and at most 1"),
        ("patience", 0, 10**6, "at least 1"),
        ("threads", 0, 1024, "at least 1"),
        ("workers", 0, 1024, "at least 1"),
        ("backbone_rate", 0.0, 1.0, "above 0 and at most 1"),
        ("clip_norm", 0.0, 1e9, "above 0 and at most 1e9"),
        ("ema", 0.0, 0.999999, "above 0 and at most 0.999999"),
        ("teacher_share", 0.0, 1.0, "above 0 and at most 1"),
        ("teacher_temperature", 0.0, 1e3, "above 0 and at most 1000"),
    )
    for name, above, most, words in rules:
        value = getattr(settings, name)
        if value is not None and not (math.isfinite(value) and above < value <= most):
            raise InputError(f"{name} must be {words}, not {value!r}")
    for name, most in (
        ("weight_decay", 10.0),
        ("l1", 10.0),
        ("label_smoothing", 0.999),
        ("seed", 2**63 - 1),
        ("split_seed", 2**32 - 1),
        ("momentum", 0.9999),
        ("dropout", 0.99),
    ):
        value = getattr(settings, name)
        if value is not None and not (math.isfinite(value) and 0 <= value <= most):
            raise InputError(f"{name} must be from 0 to {most:g}, not {value!r}")


def _check_freezing(settings: Settings) -> None:
    for name in ("freeze", "unfreeze_after"):
        value = getattr(settings, name)
        least = 1 if name == "freeze" else 0
        if isinstance(value, int) and not least <= value <= 10**6:
            raise InputError(f"{name} must be at least {least}, not {value!r}")
    if settings.unfreeze_after is not None and settings.freeze is None:
        raise InputError(
            f"unfreeze_after={settings.unfreeze_after}, but nothing is frozen", hint="freeze=backbone, or a number"
        )


def _check_on_disk(settings: Settings) -> None:
    """Refuse what needs all weights, or all gradients, in memory."""
    if not settings.weights_on_disk:
        return
    if not settings.state_on_disk and (settings.optimizer != "sgd" or settings.momentum != 0):
        raise InputError("weights_on_disk=True: the optimizer's state must be there, too", hint="state_on_disk=True")
    for name, value in needing_weights(settings).items():
        raise InputError(f"weights_on_disk=True does not go with {name}={value}", hint="leave one of them out")


def _check_momentum(settings: Settings) -> None:
    given = {"momentum": settings.momentum, "nesterov": settings.nesterov}
    for name, value in given.items():
        if value is not None and settings.optimizer != "sgd":
            raise InputError(f"{name}={value}, but {settings.optimizer} has none", hint="optimizer=sgd")
    if settings.state_on_disk and settings.momentum == 0:
        raise InputError("state_on_disk=True, but without momentum there is no state", hint="leave it out")
    if settings.nesterov and settings.momentum == 0:
        raise InputError("nesterov=True needs momentum, and it is 0", hint="momentum=0.9")
