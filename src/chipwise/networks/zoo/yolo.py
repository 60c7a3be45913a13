"""YOLOv2, v3 and v4 and their tiny forms, which give their raw head maps.

Shapes follow yolov2.cfg, yolov2-tiny.cfg, yolov3.cfg and yolov3-tiny.cfg of github.com/pjreddie/darknet, and yolov4.cfg
and yolov4-tiny.cfg of github.com/AlexeyAB/darknet (A. Bochkovskiy, C.-Y. Wang, H.-Y. M. Liao: YOLOv4: Optimal Speed
and Accuracy of Object Detection, 2020). Convolutions are registered in the order of the cfg. Each head is a map
[N, A * (5 + K), H, W]: for each of A anchors x, y, w, h, objectness and K class scores, nothing activated.

>>> sum(parameter.numel() for parameter in yolov3_tiny().parameters())
8852366
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from chipwise.networks.zoo.darknet import ConvUnit, Reorg, Residual, SteadyMaxPool, scaled, stages_19, stages_53

# At first one anchor in a hundred holds an object: the loss is not swamped by empty cells (T.-Y. Lin et al.: Focal Loss
# for Dense Object Detection, 2017, section 4.1).
_PRIOR = 0.01


class YoloHead(nn.Module):
    """The last 1x1 convolution before a [yolo] or [region] section.

    Args:
        channels: of its input; anchors: boxes a cell; classes: K.
        logistic: classes are independent (yolo) rather than shares of one (region).
    """

    def __init__(self, channels: int, anchors: int, classes: int, *, logistic: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, anchors * (5 + classes), 1)
        nn.init.normal_(self.conv.weight, std=0.01)
        bias = torch.zeros(anchors, 5 + classes)
        bias[:, 4] = -math.log(1 / _PRIOR - 1)
        if logistic and classes > 1:
            bias[:, 5:] = -math.log(classes - 1)
        self.conv.bias = nn.Parameter(bias.flatten())

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to [N, A * (5 + K), H, W]."""
        result: Tensor = self.conv(x)
        return result


class YoloV2(nn.Module):
    """Darknet-19 without its classifier, two 3x3 convolutions, and the map of stride 16 through [reorg]."""

    def __init__(self, num_classes: int, width: float) -> None:
        super().__init__()
        stages, last = stages_19(width)
        fine, passed = scaled(512, width), scaled(64, width)
        self.stages = nn.ModuleList(stages)
        self.pool = nn.MaxPool2d(2)
        self.coarse = nn.Sequential(ConvUnit(last, last, 3), ConvUnit(last, last, 3))
        self.passed = nn.Sequential(ConvUnit(fine, passed, 1), Reorg())
        self.merged = ConvUnit(4 * passed + last, last, 3)
        self.head = YoloHead(last, 5, num_classes, logistic=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] to [N, 5 * (5 + K), H / 32, W / 32]."""
        fine = x
        for index, stage in enumerate(self.stages):
            fine, x = x, stage(self.pool(x) if index else x)
        # `fine` is what the last stage's pooling read.
        coarse = self.coarse(x)  # first, as in the cfg
        result: Tensor = self.head(self.merged(torch.cat((self.passed(fine), coarse), 1)))
        return result


class PyramidLevel(nn.Module):
    """One level of YOLOv3's feature pyramid: the coarser level enlarged beside the backbone's map, and a head."""

    def __init__(self, backbone: int, coarse: int, narrow: int, wide: int, num_classes: int) -> None:
        super().__init__()
        beside = narrow if coarse else 0
        self.lateral = nn.Sequential(ConvUnit(coarse, narrow, 1), nn.Upsample(scale_factor=2)) if coarse else None
        self.body = nn.Sequential(*_alternating(beside + backbone, narrow, wide, 5))
        self.head = nn.Sequential(ConvUnit(narrow, wide, 3), YoloHead(wide, 3, num_classes))

    def forward(self, backbone: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        """[N, C, H, W] and the coarser [N, D, H / 2, W / 2] to what the finer level reads, and the head's map."""
        if self.lateral is not None:
            backbone = torch.cat((self.lateral(coarse), backbone), 1)
        x = self.body(backbone)
        return x, self.head(x)


class YoloV3(nn.Module):
    """Darknet-53 and a feature pyramid with three heads, coarse to fine."""

    def __init__(self, num_classes: int, width: float) -> None:
        super().__init__()
        stages, channels = stages_53(width)
        self.stages = nn.ModuleList(stages)
        self.levels = nn.ModuleList()
        coarse = 0
        for backbone, filters in zip(reversed(channels[-3:]), (512, 256, 128), strict=True):
            narrow = scaled(filters, width)
            self.levels.append(PyramidLevel(backbone, coarse, narrow, scaled(2 * filters, width), num_classes))
            coarse = narrow

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """[N, 3, H, W] to three maps [N, 3 * (5 + K), ...] at strides 32, 16 and 8."""
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        heads = []
        for level, feature in zip(self.levels, reversed(features[-3:]), strict=True):
            x, head = level(feature, x)
            heads.append(head)
        return tuple(heads)


class TinyHeads(nn.Module):
    """The two heads of YOLOv3-tiny and YOLOv4-tiny, at strides 32 and 16."""

    def __init__(self, coarse: int, fine: int, num_classes: int, width: float) -> None:
        super().__init__()
        narrow, wide, lateral = (scaled(filters, width) for filters in (256, 512, 128))
        self.narrow = ConvUnit(coarse, narrow, 1)
        self.coarse = nn.Sequential(ConvUnit(narrow, wide, 3), YoloHead(wide, 3, num_classes))
        self.lateral = nn.Sequential(ConvUnit(narrow, lateral, 1), nn.Upsample(scale_factor=2))
        self.fine = nn.Sequential(ConvUnit(lateral + fine, narrow, 3), YoloHead(narrow, 3, num_classes))

    def forward(self, coarse: Tensor, fine: Tensor) -> tuple[Tensor, ...]:
        """[N, C, H, W] and [N, D, 2H, 2W] to maps [N, 3 * (5 + K), ...] of the same sizes."""
        x = self.narrow(coarse)
        return self.coarse(x), self.fine(torch.cat((self.lateral(x), fine), 1))


class YoloV3Tiny(nn.Module):
    """Seven 3x3 convolutions with poolings between them, and two heads."""

    def __init__(self, num_classes: int, width: float) -> None:
        super().__init__()
        fine, coarse = scaled(256, width), scaled(1024, width)
        self.fine = nn.Sequential(*_plain(3, (16, 32, 64, 128, 256), width))
        self.coarse = nn.Sequential(
            nn.MaxPool2d(2),
            ConvUnit(fine, scaled(512, width), 3),
            SteadyMaxPool(),
            ConvUnit(scaled(512, width), coarse, 3),
        )
        self.heads = TinyHeads(coarse, fine, num_classes, width)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """[N, 3, H, W] to maps [N, 3 * (5 + K), ...] at strides 32 and 16."""
        fine = self.fine(x)
        heads: tuple[Tensor, ...] = self.heads(self.coarse(fine), fine)
        return heads


class CrossStage(nn.Module):
    """A cross-stage-partial stage of CSPDarknet-53: halves the picture; residual blocks see one of two branches."""

    def __init__(self, given: int, made: int, branch: int, inner: int, blocks: int) -> None:
        super().__init__()
        self.down = ConvUnit(given, made, 3, 2, "mish")
        self.kept = ConvUnit(made, branch, 1, activation="mish")
        self.worked = nn.Sequential(
            ConvUnit(made, branch, 1, activation="mish"),
            *(Residual(branch, inner, "mish") for _ in range(blocks)),
            ConvUnit(branch, branch, 1, activation="mish"),
        )
        self.merged = ConvUnit(2 * branch, made, 1, activation="mish")

    def forward(self, x: Tensor) -> Tensor:
        """[N, given, H, W] to [N, made, H / 2, W / 2]."""
        x = self.down(x)
        kept = self.kept(x)
        result: Tensor = self.merged(torch.cat((self.worked(x), kept), 1))
        return result


class PyramidPool(nn.Module):
    """SPP: maxima over 13x13, 9x9 and 5x5 squares beside the map itself, finest last."""

    def __init__(self) -> None:
        super().__init__()
        self.pools = nn.ModuleList(nn.MaxPool2d(size, 1, size // 2) for size in (5, 9, 13))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to [N, 4C, H, W]."""
        pooled = [pool(x) for pool in self.pools]
        return torch.cat((*reversed(pooled), x), 1)


class PathUp(nn.Module):
    """One step of PANet towards finer maps: the coarse map enlarged, beside the backbone's, then five convolutions."""

    def __init__(self, coarse: int, backbone: int, narrow: int) -> None:
        super().__init__()
        self.lateral = nn.Sequential(ConvUnit(coarse, narrow, 1), nn.Upsample(scale_factor=2))
        self.backbone = ConvUnit(backbone, narrow, 1)
        self.body = nn.Sequential(*_alternating(2 * narrow, narrow, 2 * narrow, 5))

    def forward(self, coarse: Tensor, backbone: Tensor) -> Tensor:
        """[N, C, H, W] and [N, D, 2H, 2W] to [N, narrow, 2H, 2W]."""
        result: Tensor = self.body(torch.cat((self.backbone(backbone), self.lateral(coarse)), 1))
        return result


class PathDown(nn.Module):
    """One step of PANet back towards coarser maps."""

    def __init__(self, fine: int, narrow: int) -> None:
        super().__init__()
        self.down = ConvUnit(fine, narrow, 3, 2)
        self.body = nn.Sequential(*_alternating(2 * narrow, narrow, 2 * narrow, 5))

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """[N, C, 2H, 2W] and [N, narrow, H, W] to [N, narrow, H, W]."""
        result: Tensor = self.body(torch.cat((self.down(fine), coarse), 1))
        return result


class YoloV4(nn.Module):
    """CSPDarknet-53 with Mish, a spatial pyramid pooling, PANet, and three heads, fine to coarse."""

    def __init__(self, num_classes: int, width: float) -> None:
        super().__init__()
        c32, c64, c128, c256, c512, c1024 = (scaled(32 * 2**power, width) for power in range(6))
        self.stem = ConvUnit(3, c32, 3, activation="mish")
        self.stages = nn.ModuleList(
            (
                CrossStage(c32, c64, c64, c32, 1),
                CrossStage(c64, c128, c64, c64, 2),
                CrossStage(c128, c256, c128, c128, 8),
                CrossStage(c256, c512, c256, c256, 8),
                CrossStage(c512, c1024, c512, c512, 4),
            )
        )
        self.before = nn.Sequential(*_alternating(c1024, c512, c1024, 3))
        self.pyramid = PyramidPool()
        self.after = nn.Sequential(*_alternating(4 * c512, c512, c1024, 3))
        self.up16 = PathUp(c512, c512, c256)
        self.up8 = PathUp(c256, c256, c128)
        self.head8 = nn.Sequential(ConvUnit(c128, c256, 3), YoloHead(c256, 3, num_classes))
        self.down16 = PathDown(c128, c256)
        self.head16 = nn.Sequential(ConvUnit(c256, c512, 3), YoloHead(c512, 3, num_classes))
        self.down32 = PathDown(c256, c512)
        self.head32 = nn.Sequential(ConvUnit(c512, c1024, 3), YoloHead(c1024, 3, num_classes))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """[N, 3, H, W] to three maps [N, 3 * (5 + K), ...] at strides 8, 16 and 32."""
        features = []
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        coarse = self.after(self.pyramid(self.before(x)))
        middle = self.up16(coarse, features[-2])
        fine = self.up8(middle, features[-3])
        middle = self.down16(fine, middle)
        return self.head8(fine), self.head16(middle), self.head32(self.down32(middle, coarse))


class HalvedStage(nn.Module):
    """The stage of YOLOv4-tiny: only the second half of the channels is worked on ([route] with groups=2)."""

    def __init__(self, given: int, made: int) -> None:
        super().__init__()
        self.branch = made // 2
        self.first = ConvUnit(given, made, 3)
        self.second = ConvUnit(self.branch, self.branch, 3)
        self.third = ConvUnit(self.branch, self.branch, 3)
        self.merged = ConvUnit(made, made, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[N, given, H, W] to [N, 2 * made, H, W], and its later half."""
        first = self.first(x)
        second = self.second(first.narrow(1, self.branch, self.branch))
        merged = self.merged(torch.cat((self.third(second), second), 1))
        return torch.cat((first, merged), 1), merged


class YoloV4Tiny(nn.Module):
    """Two strided convolutions, three cross-stage-partial stages, and the heads of YOLOv3-tiny."""

    def __init__(self, num_classes: int, width: float) -> None:
        super().__init__()
        c32, c64, c128, c256, c512 = (scaled(32 * 2**power, width) for power in range(5))
        self.stem = nn.Sequential(ConvUnit(3, c32, 3, 2), ConvUnit(c32, c64, 3, 2))
        self.stages = nn.ModuleList((HalvedStage(c64, c64), HalvedStage(2 * c64, c128), HalvedStage(2 * c128, c256)))
        self.pool = nn.MaxPool2d(2)
        self.last = ConvUnit(2 * c256, c512, 3)
        self.heads = TinyHeads(c512, c256, num_classes, width)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """[N, 3, H, W] to maps [N, 3 * (5 + K), ...] at strides 32 and 16."""
        x = self.stem(x)
        fine = x
        for stage in self.stages:
            whole, fine = stage(x)
            x = self.pool(whole)
        heads: tuple[Tensor, ...] = self.heads(self.last(x), fine)
        return heads


def yolov2(num_classes: int = 80, width: float = 1.0) -> nn.Module:
    """YOLOv2; takes [N, 3, H, W] (multiples of 32), gives [N, 5 * (5 + K), H / 32, W / 32]."""
    return YoloV2(num_classes, width)


def yolov2_tiny(num_classes: int = 80, width: float = 1.0) -> nn.Module:
    """YOLOv2-tiny; takes [N, 3, H, W] (multiples of 32), gives [N, 5 * (5 + K), H / 32, W / 32]."""
    c512, c1024 = scaled(512, width), scaled(1024, width)
    return nn.Sequential(
        *_plain(3, (16, 32, 64, 128, 256), width),
        nn.MaxPool2d(2),
        ConvUnit(scaled(256, width), c512, 3),
        SteadyMaxPool(),
        ConvUnit(c512, c1024, 3),
        ConvUnit(c1024, c512, 3),
        YoloHead(c512, 5, num_classes, logistic=False),
    )


def yolov3(num_classes: int = 80, width: float = 1.0) -> nn.Module:
    """YOLOv3; takes [N, 3, H, W] (multiples of 32), gives maps [N, 3 * (5 + K), ...] at strides 32, 16, 8."""
    return YoloV3(num_classes, width)


def yolov3_tiny(num_classes: int = 80, width: float = 1.0) -> nn.Module:
    """YOLOv3-tiny; takes [N, 3, H, W] (multiples of 32), gives maps [N, 3 * (5 + K), ...] at strides 32 and 16."""
    return YoloV3Tiny(num_classes, width)


def yolov4(num_classes: int = 80, width: float = 1.0) -> nn.Module:
    """YOLOv4; takes [N, 3, H, W] (multiples of 32), gives maps [N, 3 * (5 + K), ...] at strides 8, 16, 32."""
    return YoloV4(num_classes, width)


def yolov4_tiny(num_classes: int = 80, width: float = 1.0) -> nn.Module:
    """YOLOv4-tiny; takes [N, 3, H, W] (multiples of 32), gives maps [N, 3 * (5 + K), ...] at strides 32 and 16."""
    return YoloV4Tiny(num_classes, width)


def _alternating(given: int, narrow: int, wide: int, count: int) -> Iterator[ConvUnit]:
    """1x1 convolutions to `narrow` and 3x3 ones to `wide` take turns."""
    for place in range(count):
        made, size = (wide, 3) if place % 2 else (narrow, 1)
        yield ConvUnit(given, made, size)
        given = made


def _plain(given: int, filters: Sequence[int], width: float) -> Iterator[nn.Module]:
    """3x3 convolutions with a pooling between each two."""
    for place, count in enumerate(filters):
        if place:
            yield nn.MaxPool2d(2)
        yield ConvUnit(given, scaled(count, width), 3)
        given = scaled(count, width)
