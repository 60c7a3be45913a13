"""GoogLeNet, with batch-norm and torchvision's names of parameters.

C. Szegedy et al.: Going Deeper with Convolutions, arXiv:1409.4842. As in torchvision, the "5x5" windows are 3x3.

>>> sum(parameter.numel() for parameter in googlenet(num_classes=10, width=0.25).parameters())
370234
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from chipwise.networks.zoo.blocks import ConvNorm, Mixed, PooledTo, Tapped, chain, initialised, scaled

# Table 1 of the paper: 1x1; 3x3 reduce, 3x3; 5x5 reduce, 5x5; pool projection.
_BLOCKS: dict[str, tuple[int, ...]] = {
    "inception3a": (64, 96, 128, 16, 32, 32),
    "inception3b": (128, 128, 192, 32, 96, 64),
    "maxpool3": (),
    "inception4a": (192, 96, 208, 16, 48, 64),
    "inception4b": (160, 112, 224, 24, 64, 64),
    "inception4c": (128, 128, 256, 24, 64, 64),
    "inception4d": (112, 144, 288, 32, 64, 64),
    "inception4e": (256, 160, 320, 32, 128, 128),
    "maxpool4": (),
    "inception5a": (256, 160, 320, 32, 128, 128),
    "inception5b": (384, 192, 384, 48, 128, 128),
}


def googlenet(num_classes: int = 1000, width: float = 1.0, aux: int = 0) -> nn.Module:
    """Takes [N, 3, H, W], gives scores [N, K].

    Args:
        num_classes: K.
        width: factor on all channels.
        aux: 1 for the two auxiliary heads, which only training sees: then it gives three scores [N, K].
    """
    return _googlenet(_BLOCKS, num_classes, width, aux)


def _googlenet(blocks: dict[str, tuple[int, ...]], num_classes: int, width: float, aux: int) -> nn.Module:
    first, second = scaled(64, width), scaled(192, width)
    layers: dict[str, nn.Module] = {
        "conv1": ConvNorm(3, first, 7, 2, 3),
        "maxpool1": _halved(3),
        "conv2": ConvNorm(first, first),
        "conv3": ConvNorm(first, second, 3),
        "maxpool2": _halved(3),
    }
    inputs, given = second, {}
    for name, maps in blocks.items():
        if maps:
            layers[name] = block = _inception(inputs, width, maps)
            inputs = given[name] = block.maps
        else:
            layers[name] = _halved(3 if name == "maxpool3" else 2)
    layers |= {
        "avgpool": PooledTo(1),
        "flatten": nn.Flatten(),
        "dropout": nn.Dropout(0.2),
        "fc": nn.Linear(inputs, num_classes),
    }
    taps = {"aux1": "inception4a", "aux2": "inception4d"} if aux else {}
    heads = {
        name: (source, _head(given[source], width, num_classes)) for name, source in taps.items() if source in given
    }
    return initialised(Tapped(layers, heads))


def _halved(window: int) -> nn.Module:
    return nn.MaxPool2d(window, 2, ceil_mode=True)


def _inception(inputs: int, width: float, maps: tuple[int, ...]) -> Mixed:
    single, reduce3, wide3, reduce5, wide5, pooled = maps
    steps = (
        ("branch1", "", ConvNorm(inputs, scaled(single, width))),
        ("branch2", "", nn.Sequential(*chain(inputs, width, (reduce3,), (wide3, 3)))),
        ("branch3", "", nn.Sequential(*chain(inputs, width, (reduce5,), (wide5, 3)))),
        ("branch4", "", nn.Sequential(*chain(inputs, width, nn.MaxPool2d(3, 1, 1), (pooled,)))),
    )
    return Mixed(inputs, steps)


def _head(inputs: int, width: float, num_classes: int) -> nn.Module:
    maps, hidden = scaled(128, width), scaled(1024, width)
    parts = {
        "pool": PooledTo(4),
        "conv": ConvNorm(inputs, maps),
        "flatten": nn.Flatten(),
        "fc1": nn.Linear(maps * 4 * 4, hidden),
        "relu": nn.ReLU(),
        "dropout": nn.Dropout(0.7),
        "fc2": nn.Linear(hidden, num_classes),
    }
    return nn.Sequential(OrderedDict(parts))
