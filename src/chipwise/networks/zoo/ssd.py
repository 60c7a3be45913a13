"""Single-shot detectors: MobileNet v1 SSD, MobileNet v2 SSDLite, and SSD300 with ResNet-50.

W. Liu et al.: SSD: Single Shot MultiBox Detector, 2016. The first two follow ssd_mobilenet_v1_coco and
ssdlite_mobilenet_v2_coco of TensorFlow's object detection API (extra maps of 512, 256, 256 and 128 channels; M. Sandler
et al. 2018 for SSDLite), the third NVIDIA's DeepLearningExamples (PyTorch/Detection/SSD, whose names of parameters are
kept). All give offsets [N, P, 4] and scores [N, P, K + 1], class 0 the background. P runs over the maps from fine to
coarse, in each over rows, columns, and at last the boxes of one cell.

>>> sum(parameter.numel() for parameter in ssd_resnet50(num_classes=2, width=0.25).parameters())
996258
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn

from chipwise.networks.zoo.blocks import scaled
from chipwise.networks.zoo.encoders import MobileNetV1Encoder, MobileNetV2Encoder, resnet50_stages, unstride

# Channels of the maps behind the backbone, and boxes in each cell of all six.
_EXTRAS = (512, 256, 256, 128)
_BOXES = (3, 6, 6, 6, 6, 6)
_NVIDIA_MAPS, _NVIDIA_INNER = (1024, 512, 512, 256, 256, 256), (256, 256, 128, 128, 128)
_NVIDIA_BOXES = (4, 6, 6, 6, 4, 4)


class Ssd(nn.Module):
    """A backbone, smaller and smaller maps behind it, and two predictors over each map.

    Args:
        backbone: gives a list of maps, fine to coarse.
        extras: each makes a map from the last one.
        boxes: in each cell of each map.
        loc: for each map, a predictor of 4 values a box.
        conf: for each map, a predictor of K + 1 values a box.
    """

    def __init__(
        self,
        backbone: nn.Module,
        extras: Iterable[nn.Module],
        boxes: tuple[int, ...],
        loc: Iterable[nn.Module],
        conf: Iterable[nn.Module],
    ) -> None:
        super().__init__()
        self.boxes = boxes
        self.feature_extractor = backbone
        self.additional_blocks = nn.ModuleList(extras)
        self.loc = nn.ModuleList(loc)
        self.conf = nn.ModuleList(conf)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[N, 3, H, W] to offsets [N, P, 4] and scores [N, P, K + 1]."""
        maps = list(self.feature_extractor(x))
        for block in self.additional_blocks:
            maps.append(block(maps[-1]))
        offsets, scores = (
            torch.cat([_rows(part(each), count) for part, each, count in zip(parts, maps, self.boxes, strict=True)], 1)
            for parts in (self.loc, self.conf)
        )
        return offsets, scores


class NvidiaBackbone(nn.Module):
    """ResNet-50 up to its third stage, which keeps the picture's size: [N, 1024, H / 8, W / 8]."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self.feature_extractor = nn.Sequential(*resnet50_stages(3, width).values())
        unstride(self.feature_extractor[-1], 1, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        """[N, 3, H, W] to one map."""
        return [self.feature_extractor(x)]


def mobilenet_v1_ssd(num_classes: int = 90, width: float = 1.0) -> nn.Module:
    """MobileNet v1 SSD; takes [N, 3, 300, 300] (other sizes will do), gives 1,917 boxes."""
    backbone = MobileNetV1Encoder(width)
    extras, channels = _extras(backbone.channels, width, depthwise=False)
    loc, conf = (
        [nn.Conv2d(given, count * values, 1) for given, count in zip(channels, _BOXES, strict=True)]
        for values in (4, num_classes + 1)
    )
    return _as_in_tensorflow(Ssd(backbone, extras, _BOXES, loc, conf))


def mobilenet_v2_ssd(num_classes: int = 90, width: float = 1.0) -> nn.Module:
    """MobileNet v2 SSDLite; takes [N, 3, 300, 300] (other sizes will do), gives 1,917 boxes."""
    backbone = MobileNetV2Encoder((14,), width=width)
    extras, channels = _extras(backbone.channels, width, depthwise=True)
    loc, conf = (
        [_separable(given, count * values) for given, count in zip(channels, _BOXES, strict=True)]
        for values in (4, num_classes + 1)
    )
    return _as_in_tensorflow(Ssd(backbone, extras, _BOXES, loc, conf))


def ssd_resnet50(num_classes: int = 80, width: float = 1.0) -> nn.Module:
    """SSD300 with ResNet-50; takes [N, 3, 300, 300], gives 8,732 boxes."""
    channels = [scaled(maps, width) for maps in _NVIDIA_MAPS]
    channels[0] = 4 * scaled(256, width)
    extras = []
    for place, ((given, made), maps) in enumerate(zip(pairwise(channels), _NVIDIA_INNER, strict=True)):
        inner = scaled(maps, width)
        window = nn.Conv2d(inner, made, 3, 2, 1, bias=False) if place < 3 else nn.Conv2d(inner, made, 3, bias=False)
        narrow = (nn.Conv2d(given, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU())
        extras.append(nn.Sequential(*narrow, window, nn.BatchNorm2d(made), nn.ReLU()))
    loc, conf = (
        [nn.Conv2d(given, count * values, 3, padding=1) for given, count in zip(channels, _NVIDIA_BOXES, strict=True)]
        for values in (4, num_classes + 1)
    )
    module = Ssd(NvidiaBackbone(width), extras, _NVIDIA_BOXES, loc, conf)
    return _initialised(module, nn.init.xavier_uniform_)


def _rows(x: Tensor, boxes: int) -> Tensor:
    """[N, V * A, H, W] to [N, H * W * A, V]: the first A channels are the first value of all A boxes of a cell."""
    values, (height, width) = x.shape[1] // boxes, x.shape[2:]
    apart = x.reshape(-1, values, boxes, height, width)
    return apart.permute(0, 3, 4, 2, 1).reshape(-1, height * width * boxes, values)


def _extras(maps: tuple[int, ...], width: float, *, depthwise: bool) -> tuple[list[nn.Module], list[int]]:
    """TensorFlow's extra maps, each half as large as the one before; and the channels of all maps."""
    channels = list(maps)
    extras: list[nn.Module] = []
    for wanted in _EXTRAS:
        made, inner = scaled(wanted, width), scaled(wanted // 2, width)
        window = [nn.Conv2d(inner, made, 3, 2, 1, bias=False), nn.BatchNorm2d(made), nn.ReLU6()]
        if depthwise:
            across = nn.Conv2d(inner, inner, 3, 2, 1, groups=inner, bias=False)
            mixed = nn.Conv2d(inner, made, 1, bias=False)
            window = [across, nn.BatchNorm2d(inner), nn.ReLU6(), mixed, nn.BatchNorm2d(made), nn.ReLU6()]
        narrow = (nn.Conv2d(channels[-1], inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU6())
        extras.append(nn.Sequential(*narrow, *window))
        channels.append(made)
    return extras, channels


def _separable(given: int, made: int) -> nn.Module:
    across = nn.Conv2d(given, given, 3, padding=1, groups=given, bias=False)
    return nn.Sequential(across, nn.BatchNorm2d(given), nn.ReLU6(), nn.Conv2d(given, made, 1))


def _as_in_tensorflow(module: Ssd) -> Ssd:
    """Fresh weights of the API's pipeline.config: truncated normal, 0.03."""
    return _initialised(module, lambda weight: nn.init.trunc_normal_(weight, std=0.03, a=-0.06, b=0.06))


def _initialised(module: Ssd, draw: Callable[[Tensor], Tensor]) -> Ssd:
    """Draw the weights of all that is not the backbone; biases become 0."""
    for part in (module.additional_blocks, module.loc, module.conf):
        for layer in part.modules():
            if isinstance(layer, nn.Conv2d):
                draw(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
    return module
