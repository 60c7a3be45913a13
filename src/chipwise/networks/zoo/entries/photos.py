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
    "alexnet": _entry("alexnet:alexnet", "AlexNet in one column, 2014, as in torchvision (61,100,840 parameters)"),
    "alexnet-2012": _entry(
        "alexnet:alexnet_2012", "AlexNet of 2012: grouped convolutions, response norm (60,965,224 parameters)", 227
    ),
    "zfnet": _entry("zfnet:zfnet", "ZFNet of 2013: AlexNet with 7x7 windows of stride 2 (62,357,608 parameters)"),
    "vgg11": _entry("vgg:vgg11", "VGG with 11 layers, 2014 (132,863,336 parameters)"),
    "vgg13": _entry("vgg:vgg13", "VGG with 13 layers, 2014 (133,047,848 parameters)"),
    "vgg16": _entry("vgg:vgg16", "VGG with 16 layers, 2014 (138,357,544 parameters)"),
    "vgg19": _entry("vgg:vgg19", "VGG with 19 layers, 2014 (143,667,240 parameters)"),
    "googlenet": _entry(
        "googlenet:googlenet",
        "GoogLeNet (Inception v1), 2014, batch-normed (6,624,904 parameters; 13,004,888 with aux=1)",
        options=("width", "aux"),
        **_SIGNED,
    ),
    "inception-v3": _entry(
        "inception:inception_v3",
        "Inception v3, 2015 (23,834,568 parameters; 27,161,264 with aux=1)",
        299,
        ("width", "aux"),
        **_SIGNED,
    ),
    "inception-v4": _entry(
        "inception:inception_v4", "Inception v4, 2016 (42,679,816 parameters)", 299, ("width",), **_SIGNED
    ),
    "inception-resnet-v2": _entry(
        "inception:inception_resnet_v2", "Inception-ResNet v2, 2016 (55,843,464 parameters)", 299, **_SIGNED
    ),
    "resnet18": _entry("resnet:resnet18", "ResNet with 18 layers, 2015 (11,689,512 parameters)"),
    "resnet34": _entry("resnet:resnet34", "ResNet with 34 layers, 2015 (21,797,672 parameters)"),
    "resnet50": _entry("resnet:resnet50", "ResNet with 50 layers, 2015 (25,557,032 parameters)"),
    "resnet101": _entry("resnet:resnet101", "ResNet with 101 layers, 2015 (44,549,160 parameters)"),
    "resnet152": _entry("resnet:resnet152", "ResNet with 152 layers, 2015 (60,192,808 parameters)"),
    "densenet121": _entry("densenet:densenet121", "DenseNet with 121 layers, 2016 (7,978,856 parameters)"),
    "squeezenet1.0": _entry("squeezenet:squeezenet1_0", "SqueezeNet 1.0, 2016 (1,248,424 parameters)"),
    "squeezenet1.1": _entry("squeezenet:squeezenet1_1", "SqueezeNet 1.1, 2016 (1,235,496 parameters)"),
    "mobilenet-v1": _entry(
        "mobilenet:mobilenet_v1", "MobileNet v1, 2017: depthwise separable (4,231,976 parameters)", **_SIGNED
    ),
    "mobilenet-v2": _entry("mobilenet:mobilenet_v2", "MobileNet v2, 2018: inverted residuals (3,504,872 parameters)"),
    "repvgg-a0": _entry(
        "repvgg:repvgg_a0",
        "RepVGG-A0, 2021 (9,108,968 parameters in training; 8,309,384 with deploy=1)",
        options=("width", "deploy"),
    ),
    "repvgg-a1": _entry(
        "repvgg:repvgg_a1",
        "RepVGG-A1, 2021 (14,092,264 parameters in training; 12,789,864 with deploy=1)",
        options=("width", "deploy"),
    ),
    "repvgg-b0": _entry(
        "repvgg:repvgg_b0",
        "RepVGG-B0, 2021 (15,817,960 parameters in training; 14,339,048 with deploy=1)",
        options=("width", "deploy"),
    ),
}
