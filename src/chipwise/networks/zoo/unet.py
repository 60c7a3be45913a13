"""U-Net, and a U-Net whose encoder is MobileNet v2.

O. Ronneberger, P. Fischer, T. Brox: U-Net: Convolutional Networks for Biomedical Image Segmentation, 2015. `unet` is
the variant in use today: pictures are padded so that the map that comes out is as large as the picture, and there is
batch-norm; names of parameters are those of github.com/milesial/Pytorch-UNet. `unet_mobilenet_v2` is the network of
TensorFlow's tutorial "Image segmentation" (tensorflow.org/tutorials/images/segmentation).

>>> sum(parameter.numel() for parameter in unet(width=0.125).parameters())
486562
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from chipwise.networks.zoo.blocks import scaled
from chipwise.networks.zoo.encoders import MobileNetV2Encoder

_CHANNELS = (64, 128, 256, 512, 1024)
_UP = (512, 256, 128, 64)
# Blocks of MobileNet v2 whose widened maps are read: the tutorial's block_1, 3, 6 and 13; it ends with block_16.
_EXPANDED, _LAST = (2, 4, 7, 14), 17


class DoubleConvolution(nn.Module):
    """3x3 convolution, batch-norm, relu, twice."""

    def __init__(self, given: int, made: int) -> None:
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv2d(given, made, 3, padding=1, bias=False),
            nn.BatchNorm2d(made),
            nn.ReLU(),
            nn.Conv2d(made, made, 3, padding=1, bias=False),
            nn.BatchNorm2d(made),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[N, given, H, W] to [N, made, H, W]."""
        result: Tensor = self.double_conv(x)
        return result


class Up(nn.Module):
    """The coarse map enlarged by a 2x2 transposed convolution, beside the encoder's; then two convolutions."""

    def __init__(self, given: int, made: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(given, given // 2, 2, 2)
        self.conv = DoubleConvolution(given // 2 + made, made)

    def forward(self, coarse: Tensor, beside: Tensor) -> Tensor:
        """[N, given, H, W] and [N, made, 2H, 2W] to [N, made, 2H, 2W]."""
        result: Tensor = self.conv(torch.cat((beside, self.up(coarse)), 1))
        return result


class UNet(nn.Module):
    """Four halvings, and four doublings that see the map of their own size from the way down."""

    def __init__(self, num_classes: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.inc = DoubleConvolution(3, channels[0])
        for place in range(1, len(channels)):
            down = DoubleConvolution(channels[place - 1], channels[place])
            self.add_module(
                f"down{place}", nn.Sequential(OrderedDict(maxpool_conv=nn.Sequential(nn.MaxPool2d(2), down)))
            )
        for place in range(1, len(channels)):
            self.add_module(f"up{place}", Up(channels[-place], channels[-place - 1]))
        self.outc = nn.Sequential(OrderedDict(conv=nn.Conv2d(channels[0], num_classes, 1)))
        self.depth = len(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] (multiples of 16) to scores [N, K, H, W]."""
        maps = [self.inc(x)]
        for place in range(1, self.depth):
            maps.append(self.get_submodule(f"down{place}")(maps[-1]))
        x = maps[-1]
        for place in range(1, self.depth):
            x = self.get_submodule(f"up{place}")(x, maps[-place - 1])
        result: Tensor = self.outc(x)
        return result


class UNetMobileNetV2(nn.Module):
    """MobileNet v2 up to its sixteenth block, then doublings by 3x3 transposed convolutions."""

    def __init__(self, num_classes: int, width: float) -> None:
        super().__init__()
        self.encoder = MobileNetV2Encoder(_EXPANDED, _LAST, width)
        given = self.encoder.channels[-1]
        self.up = nn.ModuleList()
        for wanted, beside in zip(_UP, reversed(self.encoder.channels[:-1]), strict=True):
            made = scaled(wanted, width)
            self.up.append(nn.Sequential(_doubling(given, made, bias=False), nn.BatchNorm2d(made), nn.ReLU()))
            given = made + beside
        self.scores = _doubling(given, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] (multiples of 32) to scores [N, K, H, W]."""
        *beside, x = self.encoder(x)
        for step, other in zip(self.up, reversed(beside), strict=True):
            x = torch.cat((step(x), other), 1)
        result: Tensor = self.scores(x)
        return result


def unet(num_classes: int = 2, width: float = 1.0) -> nn.Module:
    """U-Net with padding and batch-norm; takes [N, 3, H, W] (multiples of 16), gives scores [N, K, H, W]."""
    return _initialised(UNet(num_classes, tuple(scaled(each, width) for each in _CHANNELS)))


def unet_mobilenet_v2(num_classes: int = 3, width: float = 1.0) -> nn.Module:
    """U-Net over MobileNet v2; takes [N, 3, H, W] (multiples of 32), gives scores [N, K, H, W]."""
    module = UNetMobileNetV2(num_classes, width)
    for part in (module.up, module.scores):
        for layer in part.modules():
            if isinstance(layer, nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, std=0.02)  # as in tensorflow_examples' pix2pix.upsample
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
    return module


def _doubling(given: int, made: int, *, bias: bool = True) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(given, made, 3, 2, 1, 1, bias=bias)


def _initialised(module: nn.Module) -> nn.Module:
    """The paper's section 3: a standard deviation of sqrt(2 / N) for N incoming values; biases 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        elif isinstance(layer, nn.ConvTranspose2d):  # windows do not overlap: every pixel has `in_channels` values
            nn.init.normal_(layer.weight, std=(2 / layer.in_channels) ** 0.5)
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return module
