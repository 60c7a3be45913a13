"""AlexNet: as published in 2012, and the single-column variant that is meant by the name today.

A. Krizhevsky, I. Sutskever, G. E. Hinton: ImageNet Classification with Deep Convolutional Neural Networks, NIPS 2012.
A. Krizhevsky: One weird trick for parallelizing convolutional neural networks, arXiv:1404.5997.

>>> sum(parameter.numel() for parameter in alexnet(num_classes=10, width=0.125).parameters())
899378
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from chipwise.networks.zoo.blocks import PooledTo, ResponseNorm, initialised, scaled


def alexnet(num_classes: int = 1000, width: float = 1.0) -> nn.Module:
    """The variant of 2014 with torchvision's names; takes [N, 3, H, W] from 63x63 on, gives scores [N, K]."""
    first, second, third, fourth = (scaled(maps, width) for maps in (64, 192, 384, 256))
    features = nn.Sequential(
        nn.Conv2d(3, first, 11, 4, 2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(first, second, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(second, third, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(third, fourth, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(fourth, fourth, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
    )
    hidden = scaled(4096, width)
    classifier = nn.Sequential(
        nn.Dropout(),
        nn.Linear(fourth * 6 * 6, hidden),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, num_classes),
    )
    parts = {"features": features, "avgpool": PooledTo(6), "flatten": nn.Flatten(), "classifier": classifier}
    return initialised(nn.Sequential(OrderedDict(parts)))


def alexnet_2012(num_classes: int = 1000, width: float = 1.0) -> nn.Module:
    """The network of 2012, its two halves as grouped convolutions; takes [N, 3, 227, 227], gives scores [N, K].

    Response normalisation comes before pooling, as in the paper. Biases are 1 where the paper has them so.
    """
    first, second, third = (scaled(maps, width) for maps in (96, 256, 384))
    hidden = scaled(4096, width)
    module = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, first, 11, 4),
            relu1=nn.ReLU(),
            norm1=ResponseNorm(),
            pool1=nn.MaxPool2d(3, 2),
            conv2=nn.Conv2d(first, second, 5, padding=2, groups=2),
            relu2=nn.ReLU(),
            norm2=ResponseNorm(),
            pool2=nn.MaxPool2d(3, 2),
            conv3=nn.Conv2d(second, third, 3, padding=1),
            relu3=nn.ReLU(),
            conv4=nn.Conv2d(third, third, 3, padding=1, groups=2),
            relu4=nn.ReLU(),
            conv5=nn.Conv2d(third, second, 3, padding=1, groups=2),
            relu5=nn.ReLU(),
            pool5=nn.MaxPool2d(3, 2),
            pooled=PooledTo(6),
            flatten=nn.Flatten(),
            drop6=nn.Dropout(),
            fc6=nn.Linear(second * 6 * 6, hidden),
            relu6=nn.ReLU(),
            drop7=nn.Dropout(),
            fc7=nn.Linear(hidden, hidden),
            relu7=nn.ReLU(),
            fc8=nn.Linear(hidden, num_classes),
        )
    )
    initialised(module)
    for name in ("conv2", "conv4", "conv5", "fc6", "fc7"):
        nn.init.ones_(module.get_parameter(f"{name}.bias"))
    return module
