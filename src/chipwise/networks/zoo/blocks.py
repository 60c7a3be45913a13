"""Parts that several families are built from: widths, units, joined branches, auxiliary heads, fresh weights.

Where torchvision or timm has the same network, the names of its parameters are kept, so that its weight files load.

>>> scaled(64, 0.5), scaled(24, 0.25)
(32, 8)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    # Channels, window, stride and padding of a `ConvNorm`; or a pooling.
    Link = tuple[object, ...] | nn.Module
    Steps = Sequence[tuple[str, str, nn.Module]]


def scaled(maps: int, width: float, step: int = 8) -> int:
    """Channels at another width: the nearest multiple of `step`, but at least 0.9 of what was asked.

    The rule is MobileNet v2's; at width 1 all the zoo's networks keep their published channels.
    """
    wanted = maps * width
    near = max(step, int(wanted + step / 2) // step * step)
    return near + step if near < 0.9 * wanted else near


class ConvNorm(nn.Module):
    """Convolution without bias, batch-norm with the Inception family's epsilon 0.001, relu."""

    def __init__(
        self, inputs: int, maps: int, kernel: int | tuple[int, int] = 1, stride: int = 1, padding: int | None = None
    ) -> None:
        super().__init__()
        window = (kernel, kernel) if isinstance(kernel, int) else kernel
        # The Inception papers pad so that the size stays, except where the stride is 2.
        same = (window[0] // 2, window[1] // 2) if stride == 1 else (0, 0)
        edge = same if padding is None else (padding, padding)
        self.conv = nn.Conv2d(inputs, maps, window, stride, edge, bias=False)
        self.bn = nn.BatchNorm2d(maps, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] to [N, maps, H', W']."""
        return functional.relu(self.bn(self.conv(x)))


def chain(inputs: int, width: float, *links: Link) -> list[nn.Module]:
    """Units that read each other: `ConvNorm`s of channels (at width 1), window, stride and padding; or poolings."""
    made: list[nn.Module] = []
    for link in links:
        if isinstance(link, nn.Module):
            made.append(link)
        else:
            maps = scaled(int(link[0]), width)  # type: ignore[call-overload]
            made.append(ConvNorm(inputs, maps, *link[1:]))  # type: ignore[arg-type]
            inputs = maps
    return made


@dataclass(frozen=True, slots=True)
class Wiring:
    """Which step of a module reads which; "" is the module's input. What nobody reads is joined: the `ends`."""

    steps: tuple[tuple[str, str], ...]
    ends: tuple[str, ...]
    maps: int


def wired(module: nn.Module, inputs: int, steps: Steps) -> Wiring:
    """Give a module its steps: (name, name of the step that it reads, what it does), in the order in which they run."""
    for name, _, step in steps:
        module.add_module(name, step)
    read = {source for _, source, _ in steps}
    ends = tuple(name for name, _, _ in steps if name not in read)
    maps = sum(maps_of(step, inputs) for name, _, step in steps if name in ends)
    return Wiring(tuple((name, source) for name, source, _ in steps), ends, maps)


def joined(module: nn.Module, wiring: Wiring, x: Tensor) -> Tensor:
    """Run a module's steps on [N, inputs, H, W] and join their ends along the channels."""
    done = {"": x}
    for name, source in wiring.steps:
        done[name] = module.get_submodule(name)(done[source])
    return torch.cat([done[name] for name in wiring.ends], 1)


class Mixed(nn.Module):
    """Branches over one input, joined along the channels; `maps` are the channels of what it gives."""

    def __init__(self, inputs: int, steps: Steps) -> None:
        super().__init__()
        self.wiring = wired(self, inputs, steps)
        self.maps = self.wiring.maps

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] to [N, maps, H', W']."""
        return joined(self, self.wiring, x)


def maps_of(step: nn.Module, inputs: int) -> int:
    """Channels that a step gives: those of its last convolution, or of its input where it has none."""
    return next((part.out_channels for part in reversed([*step.modules()]) if isinstance(part, nn.Conv2d)), inputs)


class PooledTo(nn.Module):
    """Adaptive average pooling to `side` x `side`; nothing is done, and nothing exported, where the map has that size.

    Windows of different sizes have no operator in ONNX: they are two products with a matrix of shares.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to [N, C, side, side]."""
        height, width = x.shape[-2:]
        if (height, width) == (self.side, self.side):
            return x
        if height % self.side == 0 and width % self.side == 0:
            return functional.adaptive_avg_pool2d(x, self.side)
        return self._shares(x, height) @ x @ self._shares(x, width).T

    def _shares(self, like: Tensor, size: int) -> Tensor:
        """How much of each of `size` places every window takes, [side, size]; all the windows touch or overlap."""
        bounds = [(place * size // self.side, -((place + 1) * size // -self.side)) for place in range(self.side)]
        rows = [[(start <= at < end) / (end - start) for at in range(size)] for start, end in bounds]
        return torch.tensor(rows, dtype=like.dtype, device=like.device)


class ResponseNorm(nn.Module):
    """AlexNet's normalisation over 5 neighbouring channels (section 3.3): k = 2, alpha = 1e-4, beta = 0.75."""

    onnx_operator = "LRN"

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to the same shape."""
        alpha, beta, k = 5 * 1e-4, 0.75, 2.0  # torch and ONNX divide alpha by the 5, the paper does not
        if torch.onnx.is_in_onnx_export():  # torch would write ten operators for this one
            return torch.onnx.ops.symbolic(
                self.onnx_operator,
                (x,),
                {"size": 5, "alpha": alpha, "beta": beta, "bias": k},
                dtype=x.dtype,
                shape=x.shape,
            )
        return functional.local_response_norm(x, 5, alpha, beta, k)


class Tapped(nn.Module):
    """Layers one after the other, and auxiliary heads that read some of them, in training only.

    Args:
        layers: by name, in order.
        heads: name of a head: the layer that it reads, and the head; they give scores [N, K] as the last layer does.
    """

    def __init__(self, layers: Mapping[str, nn.Module], heads: Mapping[str, tuple[str, nn.Module]]) -> None:
        super().__init__()
        for name, (_, head) in heads.items():
            self.add_module(name, head)
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.order = tuple(layers)
        self.taps = {source: name for name, (source, _) in heads.items()}

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """[N, C, H, W] to scores [N, K]; in training with heads, to a tuple of the scores and each head's."""
        extra = []
        for name in self.order:
            x = self.get_submodule(name)(x)
            if self.training and name in self.taps:
                extra.append(self.get_submodule(self.taps[name])(x))
        return (x, *extra) if extra else x


def initialised(module: nn.Module) -> nn.Module:
    """Draw a network's weights so that signals keep their size at any depth (He et al. 2015); biases become 0.

    The standard deviation is sqrt(2 / fan), over the outputs of a convolution and the inputs of a dense layer. The
    last layer's is 0.01, so that the first scores say nothing.
    """
    layers = [part for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    for layer in layers:
        outputs, inputs = layer.weight.shape[:2]
        fan = inputs if isinstance(layer, nn.Linear) else outputs // layer.groups * math.prod(layer.kernel_size)
        nn.init.normal_(layer.weight, std=0.01 if layer is layers[-1] else math.sqrt(2 / fan))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return module
