"""Classifiers of photographs: ImageNet's 1000 classes, unless told otherwise.

>>> PHOTOS["inception-v3"].inputs[0].shape
('batch', 3, 299, 299)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from chipwise.networks.zoo.entry import ZooEntry, classifier, photo

# Pixels from -1 to 1, as the networks that Google published take them. torchvision's GoogLeNet and Inception v3 have
# Google's weights and turn ImageNet's mean and deviation into this one inside: here preprocessing gives it at once.
_SIGNED: dict[str, Any] = {"mean": (0.5,) * 3, "std": (0.5,) * 3}


def _entry(
    factory: str, description: str, side: int = 224, options: tuple[str, ...] = ("width",), **colours: Any
) -> ZooEntry:
    entry = classifier(factory, (3, side, side), photo(side, **colours), description, classes=1000)
    return replace(entry, options=options, sizing="free")


PHOTOS: dict[str, ZooEntry] = {
    "alexnet": _entry("alexnet:alexnet", "AlexNet in one column, 2014, as in torchvision"),
    "alexnet-2012": _entry("alexnet:alexnet_2012", "AlexNet of 2012: grouped convolutions, response norm", 227),
    "zfnet": _entry("zfnet:zfnet", "ZFNet of 2013: AlexNet with 7x7 windows of stride 2"),
    "vgg11": _entry("vgg:vgg11", "VGG with 11 layers, 2014"),
    "vgg13": _entry("vgg:vgg13", "VGG with 13 layers, 2014"),
    "vgg16": _entry("vgg:vgg16", "VGG with 16 layers, 2014"),
    "vgg19": _entry("vgg:vgg19", "VGG with 19 layers, 2014"),
    "googlenet": _entry(
        "googlenet:googlenet",
        "GoogLeNet (Inception v1), 2014, batch-normed; 13,004,888 parameters with aux=1",
        options=("width", "aux"),
        **_SIGNED,
    ),
    "inception-v3": _entry(
        "inception:inception_v3",
        "Inception v3, 2015; 27,161,264 parameters with aux=1",
        299,
        ("width", "aux"),
        **_SIGNED,
    ),
    "inception-v4": _entry("inception:inception_v4", "Inception v4, 2016", 299, ("width",), **_SIGNED),
    "inception-resnet-v2": _entry("inception:inception_resnet_v2", "Inception-ResNet v2, 2016", 299, **_SIGNED),
    "resnet18": _entry("resnet:resnet18", "ResNet with 18 layers, 2015"),
    "resnet34": _entry("resnet:resnet34", "ResNet with 34 layers, 2015"),
    "resnet50": _entry("resnet:resnet50", "ResNet with 50 layers, 2015"),
    "resnet101": _entry("resnet:resnet101", "ResNet with 101 layers, 2015"),
    "resnet152": _entry("resnet:resnet152", "ResNet with 152 layers, 2015"),
    "densenet121": _entry("densenet:densenet121", "DenseNet with 121 layers, 2016"),
    "squeezenet1.0": _entry("squeezenet:squeezenet1_0", "SqueezeNet 1.0, 2016"),
    "squeezenet1.1": _entry("squeezenet:squeezenet1_1", "SqueezeNet 1.1, 2016"),
    "mobilenet-v1": _entry("mobilenet:mobilenet_v1", "MobileNet v1, 2017: depthwise separable", **_SIGNED),
    "mobilenet-v2": _entry("mobilenet:mobilenet_v2", "MobileNet v2, 2018: inverted residuals"),
    "repvgg-a0": _entry(
        "repvgg:repvgg_a0",
        "RepVGG-A0, 2021, as trained; 8,309,384 parameters with deploy=1",
        options=("width", "deploy"),
    ),
    "repvgg-a1": _entry(
        "repvgg:repvgg_a1",
        "RepVGG-A1, 2021, as trained; 12,789,864 parameters with deploy=1",
        options=("width", "deploy"),
    ),
    "repvgg-b0": _entry(
        "repvgg:repvgg_b0",
        "RepVGG-B0, 2021, as trained; 14,339,048 parameters with deploy=1",
        options=("width", "deploy"),
    ),
}
