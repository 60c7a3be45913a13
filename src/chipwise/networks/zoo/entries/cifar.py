"""ResNets for CIFAR-10's pictures of 32x32.

>>> CIFAR["resnet20"].outputs[0].shape
('batch', 10)
"""

from __future__ import annotations

from dataclasses import replace

from chipwise.networks.zoo.entry import ZooEntry, classifier, photo

# The pretrained networks of akamaster/pytorch_resnet_cifar10 take ImageNet's mean and deviation, not CIFAR's.
_PICTURE = replace(photo(32), fit="stretch")


def _entry(layers: int) -> ZooEntry:
    description = f"ResNet with {layers} layers for 32x32 pictures, 2015"
    entry = classifier(f"cifar_resnet:resnet{layers}", (3, 32, 32), _PICTURE, description)
    return replace(entry, options=("width",), sizing="free")


CIFAR: dict[str, ZooEntry] = {f"resnet{layers}": _entry(layers) for layers in (20, 32, 44, 56, 110)}
