"""DeepLab v3 with ResNet-50, and with MobileNet v2 for small machines.

L.-C. Chen, G. Papandreou, F. Schroff, H. Adam: Rethinking Atrous Convolution for Semantic Image Segmentation, 2017.
`deeplab_v3` has the shapes and the names of parameters of torchvision's deeplabv3_resnet50; `deeplab_v3_mobilenet_v2`
is mobilenetv2_coco_voc_trainaug of TensorFlow's model garden (research/deeplab): no dilated convolutions in its head.

>>> sum(parameter.numel() for parameter in deeplab_v3_mobilenet_v2(width=1.0).parameters())
2113557
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chipwise.networks.zoo.blocks import scaled
from chipwise.networks.zoo.encoders import MobileNetV2Encoder, enlarged, resnet50_stages, unstride

_RATES = (12, 24, 36)
_LAST_BLOCK = 17  # of MobileNet v2: 320 channels


class PyramidPooling(nn.Module):
    """ASPP: a 1x1 convolution, dilated 3x3 ones and the mean of the whole map, side by side, then mixed."""

    def __init__(self, given: int, made: int, rates: tuple[int, ...], drop: float) -> None:
        super().__init__()
        dilated = (_unit(given, made, 3, dilation=rate) for rate in rates)
        pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), *_unit(given, made, 1))
        self.convs = nn.ModuleList((_unit(given, made, 1), *dilated, pooled))
        self.project = nn.Sequential(*_unit((len(rates) + 2) * made, made, 1), nn.Dropout(drop))

    def forward(self, x: Tensor) -> Tensor:
        """[N, given, H, W] to [N, made, H, W]."""
        *local, pooled = (part(x) for part in self.convs)
        everywhere = pooled.expand(-1, -1, x.shape[2], x.shape[3])
        result: Tensor = self.project(torch.cat((*local, everywhere), 1))
        return result


class DeepLab(nn.Module):
    """A backbone at stride 8, pyramid pooling, and scores enlarged to the size of the picture."""

    def __init__(self, num_classes: int, width: float, aux: int) -> None:
        super().__init__()
        stages = resnet50_stages(4, width)
        unstride(stages["layer3"], 1, 2)
        unstride(stages["layer4"], 2, 4)
        self.backbone = nn.ModuleDict(stages)
        made = scaled(256, width)
        self.classifier = nn.Sequential(
            PyramidPooling(4 * scaled(512, width), made, _RATES, 0.5),
            *_unit(made, made, 3),
            nn.Conv2d(made, num_classes, 1),
        )
        given = 4 * made
        inner = given // 4
        head = (*_unit(given, inner, 3), nn.Dropout(0.1), nn.Conv2d(inner, num_classes, 1))
        self.aux_classifier = nn.Sequential(*head) if aux else None

    def forward(self, picture: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """[N, 3, H, W] to scores [N, K, H, W]; in training with `aux`, to those and the auxiliary ones."""
        x, third = picture, picture
        for name, stage in self.backbone.items():
            x = stage(x)
            third = x if name == "layer3" else third
        scores = enlarged(self.classifier(x), picture)
        if self.aux_classifier is None or not self.training:
            return scores
        return scores, enlarged(self.aux_classifier(third), picture)


class DeepLabMobileNetV2(nn.Module):
    """MobileNet v2 at stride 16, the mean of the map beside it, and scores enlarged to the size of the picture."""

    def __init__(self, num_classes: int, width: float) -> None:
        super().__init__()
        self.backbone = MobileNetV2Encoder((), _LAST_BLOCK, width)
        _keep_size(list(self.backbone.features)[14:])
        self.pooling = PyramidPooling(self.backbone.channels[-1], 256, (), 0.1)
        self.scores = nn.Conv2d(256, num_classes, 1)

    def forward(self, picture: Tensor) -> Tensor:
        """[N, 3, H, W] (multiples of 16, and one more) to scores [N, K, H, W]."""
        (x,) = self.backbone(picture)
        return enlarged(self.scores(self.pooling(x)), picture, aligned=True)


def deeplab_v3(num_classes: int = 21, width: float = 1.0, aux: int = 0) -> nn.Module:
    """DeepLab v3 with ResNet-50; takes [N, 3, H, W] (multiples of 8), gives scores [N, K, H, W].

    Args:
        num_classes: with the background.
        width: factor on all channels.
        aux: 1 for torchvision's auxiliary classifier, which only training reads.
    """
    module = DeepLab(num_classes, width, aux)
    return _initialised(module, (module.classifier, module.aux_classifier))


def deeplab_v3_mobilenet_v2(num_classes: int = 21, width: float = 0.5) -> nn.Module:
    """DeepLab v3 with MobileNet v2; takes [N, 3, 513, 513] (16 n + 1), gives scores [N, K, 513, 513]."""
    module = DeepLabMobileNetV2(num_classes, width)
    return _initialised(module, (module.pooling, module.scores))


def _unit(given: int, made: int, size: int, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (size // 2)
    window = nn.Conv2d(given, made, size, padding=padding, dilation=dilation, bias=False)
    return nn.Sequential(window, nn.BatchNorm2d(made), nn.ReLU())


def _keep_size(blocks: list[nn.Module]) -> None:
    """The first of these blocks no longer halves the picture; the 3x3 windows behind it are dilated by 2 instead."""
    for place, block in enumerate(blocks):
        for part in block.modules():
            if isinstance(part, nn.Conv2d) and part.kernel_size == (3, 3):
                part.stride = (1, 1)
                if place:
                    part.dilation = part.padding = (2, 2)


def _initialised(module: nn.Module, heads: tuple[nn.Module | None, ...]) -> nn.Module:
    for head in heads:
        for layer in () if head is None else head.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:  # the last: first scores say nothing
                    nn.init.normal_(layer.weight, std=0.01)
                    nn.init.zeros_(layer.bias)
    return module
