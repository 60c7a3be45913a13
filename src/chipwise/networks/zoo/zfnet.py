"""ZFNet, the winner of ImageNet 2013: AlexNet with a smaller first window and stride.

M. D. Zeiler, R. Fergus: Visualizing and Understanding Convolutional Networks, arXiv:1311.2901, figure 3.

>>> sum(parameter.numel() for parameter in zfnet(num_classes=10, width=0.125).parameters())
921834
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from chipwise.networks.zoo.blocks import PooledTo, ResponseNorm, initialised, scaled


def zfnet(num_classes: int = 1000, width: float = 1.0) -> nn.Module:
    """The network of figure 3; takes [N, 3, 224, 224], gives scores [N, K].

    Maps are 110, 55, 26, 13 and 6 on a side, as drawn; padding, which the paper leaves out, is what gives them. Its
    "contrast normalisation across feature maps" is AlexNet's.
    """
    first, second, third = (scaled(maps, width) for maps in (96, 256, 384))
    hidden = scaled(4096, width)
    return initialised(
        nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(3, first, 7, 2, 1),
                relu1=nn.ReLU(),
                pool1=nn.MaxPool2d(3, 2, 1),
                norm1=ResponseNorm(),
                conv2=nn.Conv2d(first, second, 5, 2),
                relu2=nn.ReLU(),
                pool2=nn.MaxPool2d(3, 2, 1),
                norm2=ResponseNorm(),
                conv3=nn.Conv2d(second, third, 3, padding=1),
                relu3=nn.ReLU(),
                conv4=nn.Conv2d(third, third, 3, padding=1),
                relu4=nn.ReLU(),
                conv5=nn.Conv2d(third, second, 3, padding=1),
                relu5=nn.ReLU(),
                pool5=nn.MaxPool2d(3, 2),
                pooled=PooledTo(6),
                flatten=nn.Flatten(),
                fc6=nn.Linear(second * 6 * 6, hidden),
                relu6=nn.ReLU(),
                drop6=nn.Dropout(),
                fc7=nn.Linear(hidden, hidden),
                relu7=nn.ReLU(),
                drop7=nn.Dropout(),
                fc8=nn.Linear(hidden, num_classes),
            )
        )
    )
