"""MobileNet v1 and v2; the names of v2's parameters are torchvision's.

A. G. Howard et al.: MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications,
arXiv:1704.04861. M. Sandler et al.: MobileNetV2: Inverted Residuals and Linear Bottlenecks, arXiv:1801.04381.

>>> sum(parameter.numel() for parameter in mobilenet_v1(width=0.5).parameters())
1331592
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from chipwise.networks.zoo.blocks import PooledTo, initialised, scaled

# Table 1 of the paper: channels and stride of the 13 depthwise separable convolutions.
_SEPARABLE = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1),) * 5,
    *((1024, 2), (1024, 1)),
)
# Table 2 of the second paper: expansion, channels, repetitions, stride of the first.
_INVERTED = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v1(num_classes: int = 1000, width: float = 1.0) -> nn.Module:
    """Depthwise separable convolutions; takes [N, 3, H, W], gives scores [N, K]; `width` is the paper's alpha."""
    inputs = scaled(32, width)
    features: list[nn.Module] = [_unit(3, inputs, nn.ReLU(), kernel=3, stride=2)]
    for maps, stride in _SEPARABLE:
        outputs = scaled(maps, width)
        depthwise = _unit(inputs, inputs, nn.ReLU(), kernel=3, stride=stride, groups=inputs)
        features.append(nn.Sequential(depthwise, _unit(inputs, outputs, nn.ReLU())))
        inputs = outputs
    return _classifier(features, inputs, num_classes, drop=0.001)


def mobilenet_v2(num_classes: int = 1000, width: float = 1.0) -> nn.Module:
    """Inverted residuals; takes [N, 3, H, W], gives scores [N, K]; the last features are never fewer than 1280."""
    return _mobilenet_v2(_INVERTED, num_classes, width)


def _mobilenet_v2(stages: tuple[tuple[int, ...], ...], num_classes: int, width: float) -> nn.Module:
    inputs = scaled(32, width)
    features: list[nn.Module] = [_unit(3, inputs, nn.ReLU6(), kernel=3, stride=2)]
    for expansion, maps, count, stride in stages:
        outputs = scaled(maps, width)
        for place in range(count):
            features.append(InvertedResidual(inputs, outputs, stride if place == 0 else 1, expansion))
            inputs = outputs
    last = scaled(1280, max(1.0, width))
    features.append(_unit(inputs, last, nn.ReLU6()))
    return _classifier(features, last, num_classes, drop=0.2)


class InvertedResidual(nn.Module):
    """Channels widened by 1x1, a depthwise 3x3, narrowed by a linear 1x1; added to the input where it fits."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.conv = nn.Sequential(
            *([_unit(inputs, inner, nn.ReLU6())] if expansion > 1 else []),
            _unit(inner, inner, nn.ReLU6(), kernel=3, stride=stride, groups=inner),
            nn.Conv2d(inner, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] to [N, outputs, H / stride, W / stride]."""
        made: Tensor = self.conv(x)
        return x + made if self.adds else made


def _unit(
    inputs: int, maps: int, activation: nn.Module, *, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, maps, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(maps), activation)


def _classifier(features: list[nn.Module], inputs: int, num_classes: int, drop: float) -> nn.Module:
    parts = {
        "features": nn.Sequential(*features),
        "pool": PooledTo(1),
        "flatten": nn.Flatten(),
        "classifier": nn.Sequential(nn.Dropout(drop), nn.Linear(inputs, num_classes)),
    }
    return initialised(nn.Sequential(OrderedDict(parts)))
