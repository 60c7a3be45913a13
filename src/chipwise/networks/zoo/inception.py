"""Inception v3, Inception v4 and Inception-ResNet v2.

C. Szegedy et al.: Rethinking the Inception Architecture for Computer Vision, arXiv:1512.00567. C. Szegedy et al.:
Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning, arXiv:1602.07261. The names of v3's
parameters are torchvision's, those of the others timm's.

>>> sum(isinstance(part, ConvNorm) for part in inception_v3(width=0.25).modules())
94
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

from chipwise.networks.zoo.blocks import ConvNorm, Mixed, PooledTo, Tapped, chain, initialised, joined, scaled, wired

if TYPE_CHECKING:
    from chipwise.networks.zoo.blocks import Link, Steps

_WIDE, _TALL = (1, 7), (7, 1)
_FLAT, _STEEP = (1, 3), (3, 1)


def inception_v3(num_classes: int = 1000, width: float = 1.0, aux: int = 0) -> nn.Module:
    """Takes [N, 3, H, W] from 75x75 on (299 as published), gives scores [N, K].

    Args:
        num_classes: K.
        width: factor on all channels.
        aux: 1 for the auxiliary head, which only training sees: then it gives two scores [N, K].
    """
    stem = chain(3, width, (32, 3, 2), (32, 3, 1, 0), (64, 3))
    after = chain(scaled(64, width), width, (80,), (192, 3, 1, 0))
    layers: dict[str, nn.Module] = {
        "Conv2d_1a_3x3": stem[0],
        "Conv2d_2a_3x3": stem[1],
        "Conv2d_2b_3x3": stem[2],
        "maxpool1": nn.MaxPool2d(3, 2),
        "Conv2d_3b_1x1": after[0],
        "Conv2d_4a_3x3": after[1],
        "maxpool2": nn.MaxPool2d(3, 2),
    }
    inputs = scaled(192, width)
    for name, make, maps in (
        ("Mixed_5b", _v3_a, 32),
        ("Mixed_5c", _v3_a, 64),
        ("Mixed_5d", _v3_a, 64),
        ("Mixed_6a", _v3_b, 0),
        ("Mixed_6b", _v3_c, 128),
        ("Mixed_6c", _v3_c, 160),
        ("Mixed_6d", _v3_c, 160),
        ("Mixed_6e", _v3_c, 192),
        ("Mixed_7a", _v3_d, 0),
        ("Mixed_7b", _v3_e, 0),
        ("Mixed_7c", _v3_e, 0),
    ):
        layers[name] = block = Mixed(inputs, make(inputs, width, maps))
        inputs = block.maps
    layers |= _top(0.5, "fc", inputs, num_classes)
    read = layers["Mixed_6e"]
    assert isinstance(read, Mixed)
    heads = {"AuxLogits": ("Mixed_6e", _v3_head(read.maps, width, num_classes))} if aux else {}
    return initialised(Tapped(layers, heads))


def inception_v4(num_classes: int = 1000, width: float = 1.0) -> nn.Module:
    """Takes [N, 3, H, W] from 75x75 on (299 as published), gives scores [N, K]."""
    features = chain(3, width, (32, 3, 2), (32, 3, 1, 0), (64, 3))
    inputs = scaled(64, width)
    for make in (_v4_3a, _v4_4a, _v4_5a, *(_v4_a,) * 4, _v4_6a, *(_v4_b,) * 7, _v4_7a, *(_v4_c,) * 3):
        block = Mixed(inputs, make(inputs, width))
        features.append(block)
        inputs = block.maps
    parts = {"features": nn.Sequential(*features), **_top(0.2, "last_linear", inputs, num_classes)}
    return initialised(nn.Sequential(OrderedDict(parts)))


def inception_resnet_v2(num_classes: int = 1000, width: float = 1.0) -> nn.Module:
    """Takes [N, 3, H, W] from 75x75 on (299 as published), gives scores [N, K]."""
    stem = chain(
        *(3, width, (32, 3, 2), (32, 3, 1, 0), (64, 3)),
        *(nn.MaxPool2d(3, 2), (80,), (192, 3, 1, 0), nn.MaxPool2d(3, 2)),
    )
    names = ("conv2d_1a", "conv2d_2a", "conv2d_2b", "maxpool_3a", "conv2d_3b", "conv2d_4a", "maxpool_5a")
    parts: dict[str, nn.Module] = dict(zip(names, stem, strict=True))
    inputs = scaled(192, width)
    for name, repeated, make, block, count, share in (
        ("mixed_5b", "repeat", _res_5b, _res_35, 10, 0.17),
        ("mixed_6a", "repeat_1", _res_6a, _res_17, 20, 0.10),
        ("mixed_7a", "repeat_2", _res_7a, _res_8, 9, 0.20),
    ):
        parts[name] = mixed = Mixed(inputs, make(inputs, width))
        inputs = mixed.maps
        parts[repeated] = nn.Sequential(*(Residual(inputs, block(inputs, width), share) for _ in range(count)))
    parts["block8"] = Residual(inputs, _res_8(inputs, width), 1.0, active=False)
    last = scaled(1536, width)
    parts |= {"conv2d_7b": ConvNorm(inputs, last), **_top(0.2, "classif", last, num_classes)}
    return initialised(nn.Sequential(OrderedDict(parts)))


class Residual(nn.Module):
    """Joined branches, brought back to the input's channels by 1x1, and a share of that added to the input."""

    def __init__(self, inputs: int, steps: Steps, share: float, active: bool = True) -> None:
        super().__init__()
        self.wiring = wired(self, inputs, steps)
        self.conv2d = nn.Conv2d(self.wiring.maps, inputs, 1)
        self.share, self.active = share, active

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] to the same shape."""
        x = x + self.conv2d(joined(self, self.wiring, x)) * self.share
        return functional.relu(x) if self.active else x


def _top(drop: float, name: str, inputs: int, num_classes: int) -> dict[str, nn.Module]:
    last = nn.Linear(inputs, num_classes)
    return {"avgpool": PooledTo(1), "flatten": nn.Flatten(), "dropout": nn.Dropout(drop), name: last}


def _step(name: str, source: str, inputs: int, width: float, link: Link) -> tuple[str, str, nn.Module]:
    (made,) = chain(inputs, width, link)
    return name, source, made


def _row(name: str, inputs: int, width: float, *links: Link) -> Steps:
    """A branch as steps of their own: name_1, name_2, ...; plain `name` where it is a single one."""
    made = chain(inputs, width, *links)
    names = [f"{name}_{index}" for index in range(1, len(made) + 1)] if len(made) > 1 else [name]
    return [*zip(names, ["", *names[:-1]], made, strict=True)]


def _branch(name: str, inputs: int, width: float, *links: Link) -> Steps:
    """A branch as one step, in timm's way."""
    made = chain(inputs, width, *links)
    return [(name, "", made[0] if len(made) == 1 else nn.Sequential(*made))]


def _fork(names: tuple[str, str], source: str, inputs: int, width: float, maps: int) -> Steps:
    """1x3 beside 3x1 over the same step of `inputs` channels (at width 1)."""
    windows = zip(names, (_FLAT, _STEEP), strict=True)
    return [_step(name, source, scaled(inputs, width), width, (maps, window)) for name, window in windows]


def _v3_pool(inputs: int, width: float, maps: int) -> Steps:
    return [("pool", "", nn.AvgPool2d(3, 1, 1)), _step("branch_pool", "pool", inputs, width, (maps,))]


def _v3_a(inputs: int, width: float, pooled: int) -> Steps:
    return [
        *_row("branch1x1", inputs, width, (64,)),
        *_row("branch5x5", inputs, width, (48,), (64, 5)),
        *_row("branch3x3dbl", inputs, width, (64,), (96, 3), (96, 3)),
        *_v3_pool(inputs, width, pooled),
    ]


def _v3_b(inputs: int, width: float, _: int) -> Steps:
    return [
        *_row("branch3x3", inputs, width, (384, 3, 2)),
        *_row("branch3x3dbl", inputs, width, (64,), (96, 3), (96, 3, 2)),
        ("pool", "", nn.MaxPool2d(3, 2)),
    ]


def _v3_c(inputs: int, width: float, inner: int) -> Steps:
    double = ((inner,), (inner, _TALL), (inner, _WIDE), (inner, _TALL), (192, _WIDE))
    return [
        *_row("branch1x1", inputs, width, (192,)),
        *_row("branch7x7", inputs, width, (inner,), (inner, _WIDE), (192, _TALL)),
        *_row("branch7x7dbl", inputs, width, *double),
        *_v3_pool(inputs, width, 192),
    ]


def _v3_d(inputs: int, width: float, _: int) -> Steps:
    return [
        *_row("branch3x3", inputs, width, (192,), (320, 3, 2)),
        *_row("branch7x7x3", inputs, width, (192,), (192, _WIDE), (192, _TALL), (192, 3, 2)),
        ("pool", "", nn.MaxPool2d(3, 2)),
    ]


def _v3_e(inputs: int, width: float, _: int) -> Steps:
    return [
        *_row("branch1x1", inputs, width, (320,)),
        _step("branch3x3_1", "", inputs, width, (384,)),
        *_fork(("branch3x3_2a", "branch3x3_2b"), "branch3x3_1", 384, width, 384),
        *_row("branch3x3dbl", inputs, width, (448,), (384, 3)),
        *_fork(("branch3x3dbl_3a", "branch3x3dbl_3b"), "branch3x3dbl_2", 384, width, 384),
        *_v3_pool(inputs, width, 192),
    ]


def _v3_head(inputs: int, width: float, num_classes: int) -> nn.Module:
    first, second = chain(inputs, width, (128,), (768, 5, 1, 0))
    last = nn.Linear(scaled(768, width), num_classes)
    parts = {"pool": nn.AvgPool2d(5, 3), "conv0": first, "conv1": second, "one": PooledTo(1)}
    return nn.Sequential(OrderedDict(parts | {"flatten": nn.Flatten(), "fc": last}))


def _mean() -> nn.Module:
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False)


def _v4_3a(inputs: int, width: float) -> Steps:
    return [("maxpool", "", nn.MaxPool2d(3, 2)), *_branch("conv", inputs, width, (96, 3, 2))]


def _v4_4a(inputs: int, width: float) -> Steps:
    return [
        *_branch("branch0", inputs, width, (64,), (96, 3, 1, 0)),
        *_branch("branch1", inputs, width, (64,), (64, _WIDE), (64, _TALL), (96, 3, 1, 0)),
    ]


def _v4_5a(inputs: int, width: float) -> Steps:
    return [*_branch("conv", inputs, width, (192, 3, 2)), ("maxpool", "", nn.MaxPool2d(3, 2))]


def _v4_a(inputs: int, width: float) -> Steps:
    return [
        *_branch("branch0", inputs, width, (96,)),
        *_branch("branch1", inputs, width, (64,), (96, 3)),
        *_branch("branch2", inputs, width, (64,), (96, 3), (96, 3)),
        *_branch("branch3", inputs, width, _mean(), (96,)),
    ]


def _v4_6a(inputs: int, width: float) -> Steps:
    return [
        *_branch("branch0", inputs, width, (384, 3, 2)),
        *_branch("branch1", inputs, width, (192,), (224, 3), (256, 3, 2)),
        ("branch2", "", nn.MaxPool2d(3, 2)),
    ]


def _v4_b(inputs: int, width: float) -> Steps:
    return [
        *_branch("branch0", inputs, width, (384,)),
        *_branch("branch1", inputs, width, (192,), (224, _WIDE), (256, _TALL)),
        *_branch("branch2", inputs, width, (192,), (192, _TALL), (224, _WIDE), (224, _TALL), (256, _WIDE)),
        *_branch("branch3", inputs, width, _mean(), (128,)),
    ]


def _v4_7a(inputs: int, width: float) -> Steps:
    return [
        *_branch("branch0", inputs, width, (192,), (192, 3, 2)),
        *_branch("branch1", inputs, width, (256,), (256, _WIDE), (320, _TALL), (320, 3, 2)),
        ("branch2", "", nn.MaxPool2d(3, 2)),
    ]


def _v4_c(inputs: int, width: float) -> Steps:
    first, second, third = chain(inputs, width, (384,), (448, _STEEP), (512, _FLAT))
    return [
        *_branch("branch0", inputs, width, (256,)),
        _step("branch1_0", "", inputs, width, (384,)),
        *_fork(("branch1_1a", "branch1_1b"), "branch1_0", 384, width, 256),
        ("branch2_0", "", first),
        ("branch2_1", "branch2_0", second),
        ("branch2_2", "branch2_1", third),
        *_fork(("branch2_3a", "branch2_3b"), "branch2_2", 512, width, 256),
        *_branch("branch3", inputs, width, _mean(), (256,)),
    ]


def _res_5b(inputs: int, width: float) -> Steps:
    return [
        *_branch("branch0", inputs, width, (96,)),
        *_branch("branch1", inputs, width, (48,), (64, 5)),
        *_branch("branch2", inputs, width, (64,), (96, 3), (96, 3)),
        *_branch("branch3", inputs, width, _mean(), (64,)),
    ]


def _res_35(inputs: int, width: float) -> Steps:
    return [
        *_branch("branch0", inputs, width, (32,)),
        *_branch("branch1", inputs, width, (32,), (32, 3)),
        *_branch("branch2", inputs, width, (32,), (48, 3), (64, 3)),
    ]


def _res_6a(inputs: int, width: float) -> Steps:
    return [
        *_branch("branch0", inputs, width, (384, 3, 2)),
        *_branch("branch1", inputs, width, (256,), (256, 3), (384, 3, 2)),
        ("branch2", "", nn.MaxPool2d(3, 2)),
    ]


def _res_17(inputs: int, width: float) -> Steps:
    return [
        *_branch("branch0", inputs, width, (192,)),
        *_branch("branch1", inputs, width, (128,), (160, _WIDE), (192, _TALL)),
    ]


def _res_7a(inputs: int, width: float) -> Steps:
    return [
        *_branch("branch0", inputs, width, (256,), (384, 3, 2)),
        *_branch("branch1", inputs, width, (256,), (288, 3, 2)),
        *_branch("branch2", inputs, width, (256,), (288, 3), (320, 3, 2)),
        ("branch3", "", nn.MaxPool2d(3, 2)),
    ]


def _res_8(inputs: int, width: float) -> Steps:
    return [
        *_branch("branch0", inputs, width, (192,)),
        *_branch("branch1", inputs, width, (192,), (224, _FLAT), (256, _STEEP)),
    ]
