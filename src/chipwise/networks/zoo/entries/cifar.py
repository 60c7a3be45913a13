"""ResNets for CIFAR-10's pictures of 32x32.

>>> CIFAR["resnet20"].outputs[0].shape
('batch', 10)
"""

from __future__ import annotations

from dataclasses import replace

from chipwise.networks.zoo.entry import ZooEntry, classifier, photo

# The pretrained networks of akamaster/pytorch_resnet_cifar10 take ImageNet's mean and deviation, not CIFAR's.
_PICTURE = replace(photo(32), fit="stretch")


def _entry(layers: int, parameters: str) -> ZooEntry:
    description = f"ResNet with {layers} layers for 32x32 pictures, 2015 ({parameters} parameters)"
    entry = classifier(f"cifar_resnet:resnet{layers}", (3, 32, 32), _PICTURE, description)
    return replace(entry, options=("width",), sizing="free")


CIFAR: dict[str, ZooEntry] = {
    "resnet20": _entry(20, "269,722"),
    "resnet32": _entry(32, "464,154"),
    "resnet44": _entry(44, "658,586"),
    "resnet56": _entry(56, "853,018"),
    "resnet110": _entry(110, "1,727,962"),
}
