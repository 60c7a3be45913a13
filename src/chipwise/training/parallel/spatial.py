"""Convolutions by regions of their outputs: each process has a band of rows, of columns, or a tile of both.

Weights are whole everywhere, and their gradients are averaged by DistributedDataParallel. Batch-norms see the whole
picture. Where a layer mixes what is far apart (Flatten, Linear, global pooling), all processes get the whole picture
and compute the rest alike. torch's DTensor has a convolution of its own; in torch 2.13 it gives wrong shapes
without an error (3x3 with padding 1 over 12 rows in two processes: 6 rows), so none of it is used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

from chipwise.core.errors import NetworkError
from chipwise.training.parallel.halo import Band, Window, around, bands, exchange, gather, within
from chipwise.training.parallel.norms import normalized

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch.distributed import ProcessGroup
    from torch.distributed.device_mesh import DeviceMesh

AXES = {"sph": 2, "spw": 3}  # dimension of the mesh: of an NCHW picture
_POINTWISE = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Hardtanh, nn.Hardswish,
    nn.Hardsigmoid, nn.Softplus, nn.Mish, nn.Identity, nn.Dropout, nn.Dropout2d,
)  # fmt: skip


@dataclass
class _Axis:
    """One dimension along which pictures are cut."""

    dim: int
    group: ProcessGroup
    index: int
    have: list[Band] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Of the whole picture."""
        return self.have[-1][1]


class Regions(nn.Sequential):
    """A chain of layers that takes this process's region of pictures and gives scores.

    Args:
        chain: the network, an nn.Sequential; its layers keep their names.
        grid: torch's mesh, with the dimensions of `AXES` that there are.
        size: height and width of the pictures.
    """

    def __init__(self, chain: nn.Module, grid: DeviceMesh, size: Sequence[int]) -> None:
        super().__init__()
        for name, layer in chain.named_children():
            self.add_module(name, layer)
        self._axes_named = [name for name in AXES if name in (grid.mesh_dim_names or ())]
        self._grid, self._size = grid, tuple(size)

    def region(self, pictures: Tensor) -> Tensor:
        """Cut this process's part out of whole pictures [..., H, W]."""
        for axis in self._axes():
            first, end = axis.have[axis.index]
            pictures = pictures.narrow(axis.dim - 4, first, end - first)
        return pictures

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        """[N, C, rows, columns] of this process to scores [N, K], the same on all."""
        axes: list[_Axis] = self._axes()
        value = input
        for layer in leaves(self):
            if axes and not _stays_cut(layer, axes):
                for axis in axes:
                    value = gather(value, axis.dim, axis.have, axis.group)
                axes = []
            value = _applied(layer, value, axes) if axes else layer(value)
        return value

    def _axes(self) -> list[_Axis]:
        return [
            _Axis(
                AXES[name],
                self._grid[name].get_group(),
                self._grid.get_local_rank(name),
                bands(self._size[AXES[name] - 2], self._grid[name].size()),
            )
            for name in self._axes_named
        ]


def check_regions(module: nn.Module, size: Sequence[int], parts: dict[str, int]) -> int:
    """Refuse a network whose first layer cannot be computed by regions; gives how many layers can.

    Args:
        module: the network.
        size: of one input, without the batch.
        parts: by dimension of the mesh.

    Raises:
        NetworkError: saying what is needed.
    """
    told = ",".join(f"{name}{count}" for name, count in parts.items())
    if type(module).forward is not nn.Sequential.forward or len(size) != 3:
        raise NetworkError(
            f"{told} cuts pictures in a chain of layers, and the network is a {type(module).__name__} on inputs of "
            f"shape {list(size)}",
            hint="a torch.nn.Sequential on [channels, height, width]",
        )
    rows = {name: size[AXES[name] - 2 + 1] for name in parts}
    count = 0
    for layer in leaves(module):
        if not _can_be_cut(layer):
            break
        for name in parts:
            windows = _windows(layer)
            rows[name] = windows[AXES[name] - 2].outputs(rows[name]) if windows else rows[name]
        if any(rows[name] < parts[name] for name in parts):
            break
        count += bool(_windows(layer))
    if not count:
        raise NetworkError(f"{told} cuts pictures, and the network does not begin with a convolution or pooling "
                           "whose output has a row for each process")  # fmt: skip
    return count


def regions_wrong(module: nn.Module, count: int) -> list[str]:
    """What is not as it should be: the wrapped network computes regions, and has so many processes."""
    inner = getattr(module, "module", module)
    if not isinstance(inner, Regions):
        return [f"sp: the network is a {type(inner).__name__}, and computes whole pictures"]
    group = getattr(module, "process_group", None)
    found = group.size() if group is not None else 1
    return [] if found == count else [f"sp: {found} processes average gradients, not {count}"]


def leaves(module: nn.Module) -> Iterator[nn.Module]:
    """Layers of nested chains, in order."""
    for layer in module.children():
        if type(layer) is nn.Sequential:
            yield from leaves(layer)
        else:
            yield layer


def _can_be_cut(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Conv2d):
        return layer.padding_mode == "zeros"
    if isinstance(layer, nn.MaxPool2d):
        return not layer.ceil_mode and not layer.return_indices
    if isinstance(layer, nn.AvgPool2d):
        return not layer.ceil_mode and (layer.count_include_pad or _pair(layer.padding) == (0, 0))
    return isinstance(layer, (nn.BatchNorm2d, nn.PixelUnshuffle, *_POINTWISE))


def _stays_cut(layer: nn.Module, axes: Sequence[_Axis]) -> bool:
    """Whether a layer can be computed by regions, and leaves every process at least a row."""
    windows = _windows(layer)
    return _can_be_cut(layer) and all(
        not windows or windows[axis.dim - 2].outputs(axis.rows) >= len(axis.have) for axis in axes
    )


def _windows(layer: nn.Module) -> tuple[Window, Window] | None:
    """What a layer looks at in height and width; None for one that looks at each pixel alone."""
    if isinstance(layer, nn.PixelUnshuffle):
        each = Window(layer.downscale_factor, layer.downscale_factor, after=0)
        return each, each
    if not isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
        return None
    kernel, stride = _pair(layer.kernel_size), _pair(layer.stride)
    dilation = (1, 1) if isinstance(layer, nn.AvgPool2d) else _pair(layer.dilation)
    if layer.padding == "same":
        spare = [each * (size - 1) for each, size in zip(dilation, kernel, strict=True)]
        before, after = [each // 2 for each in spare], [each - each // 2 for each in spare]
    else:
        before = after = [0, 0] if layer.padding == "valid" else list(_pair(layer.padding))
    made = [
        Window(kernel[dim], stride[dim], before[dim], dilation[dim], after[dim])
        for dim in range(2)
    ]  # fmt: skip
    return made[0], made[1]


def _applied(layer: nn.Module, value: Tensor, axes: Sequence[_Axis]) -> Tensor:
    """One layer by regions; moves the bands of the axes on to those of its output."""
    if isinstance(layer, nn.BatchNorm2d):
        return _normalized(layer, value, axes)
    windows = _windows(layer)
    if windows is None:
        return layer(value)  # type: ignore[no-any-return]
    padding = [side for window in reversed(windows) for side in (window.padding, window.after or 0)]
    for axis in axes:
        window = windows[axis.dim - 2]
        out = bands(window.outputs(axis.rows), len(axis.have))
        needed = [window.rows(band) for band in out]
        value = exchange(value, axis.dim, axis.have, [within(rows, axis.rows) for rows in needed], axis.group)
        place = 0 if axis.dim == 3 else 2
        padding[place : place + 2] = around(needed[axis.index], axis.rows)
        axis.have = out
    return _computed(layer, value, padding)


def _computed(layer: nn.Module, value: Tensor, padding: list[int]) -> Tensor:
    """A convolution or pooling of a region with its halo; all padding that it needs is put on here."""
    fill = -math.inf if isinstance(layer, nn.MaxPool2d) else 0.0
    padded = functional.pad(value, padding, value=fill) if any(padding) else value
    if isinstance(layer, nn.Conv2d):
        return functional.conv2d(padded, layer.weight, layer.bias, layer.stride, 0, layer.dilation, layer.groups)
    if isinstance(layer, nn.MaxPool2d):
        return functional.max_pool2d(padded, layer.kernel_size, layer.stride, 0, layer.dilation)
    if isinstance(layer, nn.PixelUnshuffle):
        return functional.pixel_unshuffle(padded, layer.downscale_factor)
    assert isinstance(layer, nn.AvgPool2d)
    return functional.avg_pool2d(padded, layer.kernel_size, layer.stride, divisor_override=layer.divisor_override)


def _normalized(layer: nn.BatchNorm2d, value: Tensor, axes: Sequence[_Axis]) -> Tensor:
    """Batch-norm over the whole pictures of the batch: sums over regions are added up, and so are their gradients."""
    if not layer.training and layer.track_running_stats:
        return layer(value)  # type: ignore[no-any-return]
    count = len(value) * math.prod(axis.rows for axis in axes)
    if len(axes) == 1:
        count *= value.shape[5 - axes[0].dim]
    return normalized(layer, value, count, [axis.group for axis in axes])


def _pair(value: object) -> tuple[int, int]:
    if isinstance(value, tuple):
        return int(value[0]), int(value[1])
    assert isinstance(value, int)
    return value, value
