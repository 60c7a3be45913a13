"""Networks that give a class to every pixel.

>>> SEGMENTERS["deeplab-v3"].task.labels[3]
'bird'
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from chipwise.core.errors import InputError
from chipwise.core.network import TensorSpec
from chipwise.core.task import Preprocess, Task
from chipwise.networks.zoo.entry import ZooEntry, photo
from chipwise.tasks.class_names import VOC_21


@dataclass(frozen=True, slots=True)
class _Segmenter:
    """What distinguishes one network from the others.

    Attributes:
        factory: as in `ZooEntry`; labels: of its classes, or how many there are.
        preprocess: at its usual size.
        step: by how many pixels the side of a picture may change.
        description: one line; options: besides `num_classes` and `size`.
    """

    factory: str
    labels: tuple[str, ...] | int
    preprocess: Preprocess
    step: int
    description: str
    options: tuple[str, ...] = ("width",)


def _entry(network: _Segmenter, num_classes: int = 0, size: int = 0, **options: int | float) -> ZooEntry:
    """The entry for other classes, another side of the picture, or another width."""
    usual = network.preprocess.height
    classes = len(network.labels) if isinstance(network.labels, tuple) else network.labels
    wanted, side = num_classes or classes, size or usual
    if (side - usual) % network.step or side < network.step:
        sides = f"{usual - network.step}, {usual} or {usual + network.step}"
        raise InputError(f"size={side}: pictures change by {network.step} pixels", hint=f"as {sides}")
    named = wanted == classes and isinstance(network.labels, tuple)
    return ZooEntry(
        network.factory,
        (TensorSpec("input", ("batch", 3, side, side)),),
        (TensorSpec("scores", ("batch", wanted, side, side)),),
        Task(
            "segmentation",
            network.labels if named and isinstance(network.labels, tuple) else (),
            replace(network.preprocess, height=side, width=side),
        ),
        network.description,
        ({"num_classes": wanted} if num_classes else {}) | options,
        options=network.options,
        sizing="free",
        rebuilt=partial(_entry, network),
    )


def _stretched(side: int) -> Preprocess:
    return Preprocess(side, side, 3, "RGB", "NCHW", "stretch")


_NETWORKS = {
    "unet": _Segmenter("unet:unet", 2, _stretched(512), 16, "U-Net of 2015, padded, with batch-norm, 2 classes"),
    "unet-mobilenet-v2": _Segmenter(
        "unet:unet_mobilenet_v2",
        ("pet", "border", "surroundings"),  # the tutorial's data: Oxford-IIIT Pet
        _stretched(128),
        32,
        "U-Net over MobileNet v2 as in TensorFlow's tutorial",
    ),
    "deeplab-v3": _Segmenter(
        "deeplab:deeplab_v3",
        VOC_21,
        replace(photo(520), fit="stretch", resize=0),
        8,
        "DeepLab v3 with ResNet-50 at stride 8, 21 Pascal VOC classes",
        ("width", "aux"),
    ),
    "deeplab-v3-mobilenet-v2": _Segmenter(
        "deeplab:deeplab_v3_mobilenet_v2",
        VOC_21,
        # -1..1; research/deeplab pads to the right and below, with the mean of its pixels.
        Preprocess(513, 513, 3, "RGB", "NCHW", "letterbox", 1 / 127.5, (1.0,), fill=128, corner=True),
        16,
        "DeepLab v3 with half of MobileNet v2 at stride 16, 21 Pascal VOC classes",
    ),
}

SEGMENTERS: dict[str, ZooEntry] = {name: _entry(network) for name, network in _NETWORKS.items()}
