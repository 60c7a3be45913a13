"""Convolutions by output channels: each process holds, and computes, a share of the channels that a layer gives.

Where two convolutions follow each other in a Sequential, with nothing between them but what works on each channel
alone, the second is cut by its input channels, and one sum ends the pair (Megatron-LM's scheme for matrices, arXiv
1909.08053, section 3). The channels of any other convolution are gathered behind it. Layers compute on plain tensors;
weights, and what goes between processes, are torch's DTensor, whose convolution gives wrong shapes in 2.13 and is never
called.

>>> channel_cuts(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.Conv2d(3, 2, 3)), 2)
{'0': 'first', '2': 'last', '3': 'gathered'}
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.func import functional_call

from chipwise.core.errors import NetworkError
from chipwise.training.parallel.likeness import drops
from chipwise.training.parallel.norms import NORMS, JoinedNorm

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch.distributed.device_mesh import DeviceMesh

# What is done with a layer: cut by output channels, which are gathered behind it, or go on as they are (`FIRST`);
# cut by channels on the way through a pair (`BETWEEN`); cut by input channels, and added up (`LAST`).
GATHERED, FIRST, BETWEEN, LAST = "gathered", "first", "between", "last"
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRIED = 16  # rows and columns of the pictures that layers are tried out on
Chain = list[tuple[str, nn.Module]]
Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d


class ChannelShare(nn.Module):
    """A layer that computes this process's share of the channels; its values keep their names.

    Args:
        layer: a convolution or batch-norm, the same on all processes; its values are taken over, and it keeps none.
        role: one of those above.
        grid: the dimension of the mesh along which it is cut.
    """

    def __init__(self, layer: nn.Module, role: str, grid: DeviceMesh) -> None:
        super().__init__()
        for name, weight in layer.named_parameters():
            self.register_parameter(name, nn.Parameter(_cut(weight.detach(), name, role, grid), weight.requires_grad))
        for name, value in layer.named_buffers():
            self.register_buffer(name, _cut(value, name, role, grid))
        if role == LAST:
            layer.register_parameter("bias", None)  # which is added once, to the sum
        self._groups = getattr(layer, "groups", 1)
        if self._groups > 1:
            layer.groups = self._groups // grid.size()  # type: ignore[assignment]
        self._layer = (layer.to("meta"),)  # in a tuple it is no child, whose name would stand before those of values
        self._role, self._grid = role, grid
        self.train(layer.training)

    def train(self, mode: bool = True) -> ChannelShare:
        """Tell the layer, too."""
        self._layer[0].train(mode)
        return super().train(mode)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        """[N, C, ...] to [N, K, ...]; either may be this process's share of the channels, as the role says."""
        own = {name: _local(value) for name, value in (*self.named_parameters(), *self.named_buffers())}
        bias = own.pop("bias", None) if self._role == LAST else None
        if self._role in (FIRST, GATHERED):
            input = taken(input, self._grid, self._groups)  # noqa: A001
        made: Tensor = functional_call(self._layer[0], own, (input,))
        if self._role == GATHERED:
            return gathered(made, self._grid)
        if self._role != LAST:
            return made
        made = added_up(made, self._grid)
        return made if bias is None else made + bias.view(-1, *[1] * (made.ndim - 2))


def channel_cuts(module: nn.Module, parts: int) -> dict[str, str]:
    """Names of the layers that can be cut, each with what is done with it, in order of the network.

    Args:
        module: is not changed.
        parts: how many each is cut into; a convolution with a number of output channels, or of groups, that it does not
            divide is left whole.
    """
    found = {name: GATHERED for name, layer in module.named_modules() if _splits(layer, parts)}
    for chain in _chains(module):
        for first, *between, last in _pairs(chain, parts):
            found |= {first: FIRST, last: LAST} | dict.fromkeys(between, BETWEEN)
    return {name: found[name] for name, _ in module.named_modules() if name in found}


def check_channels(module: nn.Module, parts: int) -> None:
    """Refuse a network with nothing to cut.

    Raises:
        NetworkError: saying what is looked for.
    """
    if not channel_cuts(module, parts):
        raise NetworkError(
            f"oc{parts} cuts convolutions by output channels, and the network has none with a number of them, and of "
            f"groups, that {parts} divides",
            hint="fsdp takes any network",
        )


def cut_channels(module: nn.Module, cuts: Mapping[str, str], grid: DeviceMesh) -> nn.Module:
    """Cut layers, in place; the module itself where it is one.

    Args:
        module: the network, or a stage of it.
        cuts: of its layers, as `channel_cuts` finds them.
        grid: the dimension of the mesh along which they are cut.
    """
    for name, role in cuts.items():
        made = ChannelShare(module.get_submodule(name), role, grid)
        if not name:
            return made
        owner, _, own = name.rpartition(".")
        module.get_submodule(owner).add_module(own, made)
    return module


def whole_convolutions(module: nn.Module, cuts: Mapping[str, str]) -> list[str]:
    """Names of the convolutions, transposed ones included, that are not cut."""
    kinds = nn.modules.conv._ConvNd  # noqa: SLF001  (what all of torch's have in common)
    return [name for name, layer in module.named_modules() if isinstance(layer, kinds) and name not in cuts]


def channels_told(cuts: Mapping[str, str], whole: list[str]) -> str:
    """Which layers are cut how, in words."""
    alone = [name for name, role in cuts.items() if role == GATHERED]
    firsts, lasts = ([name for name, role in cuts.items() if role == each] for each in (FIRST, LAST))
    between = [name for name, role in cuts.items() if role == BETWEEN]
    lines = [f"{first} by output channels, {last} by input channels" for first, last in zip(firsts, lasts, strict=True)]
    lines += [f"{', '.join(between)} between them by channels"] if between else []
    lines += [f"{', '.join(alone)} by output channels, gathered"] if alone else []
    lines += [f"{', '.join(whole)} whole"] if whole else []
    return "; ".join(lines) or "nothing to cut here"


def channels_wrong(module: nn.Module, cuts: Mapping[str, str], parts: int) -> list[str]:
    """What is not cut as it should be; empty when all is.

    Args:
        module: after `cut_channels`, and whatever else was done to it.
        cuts: of its layers.
        parts: how many each is cut into.
    """
    found, layers = [], dict(module.named_modules())
    for name, role in cuts.items():
        layer = layers[name]
        if not isinstance(layer, ChannelShare):
            found.append(f"oc: {name} is a whole {type(layer).__name__}")
            continue
        for own, value in layer.named_parameters():
            dim = _dim(value, own, role)
            if dim is not None and not _lies_so(value, dim, parts):
                found.append(f"oc: {name}.{own} is not cut along {dim} into {parts}")
    return found


def taken(value: Tensor, grid: DeviceMesh, groups: int) -> Tensor:
    """What this process's layer takes of [N, C, ...], the same on all processes; gradients of it are put together.

    Where there are several groups of channels, it takes its groups; else all channels, and gradients are added up.
    """
    whole = DTensor.from_local(value, grid, [Replicate()])
    if groups > 1:
        return whole.redistribute(placements=[Shard(1)]).to_local()
    return whole.to_local(grad_placements=[Partial()])


def gathered(value: Tensor, grid: DeviceMesh) -> Tensor:
    """All channels, of this process's [N, C, ...], on all processes; each takes the gradients of its own."""
    return DTensor.from_local(value, grid, [Shard(1)]).redistribute(placements=[Replicate()]).to_local()


def added_up(value: Tensor, grid: DeviceMesh) -> Tensor:
    """The sum over processes, on all of them; each takes the gradient of the sum."""
    return DTensor.from_local(value, grid, [Partial()]).redistribute(placements=[Replicate()]).to_local()


def _cut(value: Tensor, name: str, role: str, grid: DeviceMesh) -> Tensor:
    """Give this process's share of a value, as a DTensor; the value itself where it is not cut."""
    dim = _dim(value, name, role)
    return value if dim is None else distribute_tensor(value, grid, [Shard(dim)])


def _dim(value: Tensor, name: str, role: str) -> int | None:
    """Along which dimension a value is cut; None for one that stays whole."""
    if role == LAST:
        return 1 if name == "weight" else None
    return 0 if value.ndim else None  # batch-norms count batches


def _local(value: Tensor) -> Tensor:
    return value.to_local() if isinstance(value, DTensor) else value


def _lies_so(value: Tensor, dim: int, parts: int) -> bool:
    if not isinstance(value, DTensor) or "oc" not in (value.device_mesh.mesh_dim_names or ()):
        return False
    place = (value.device_mesh.mesh_dim_names or ()).index("oc")
    # Under FSDP it may be a strided one of the same dimension.
    return getattr(value.placements[place], "dim", None) == dim and value.device_mesh.size(place) == parts


def _chains(module: nn.Module, prefix: str = "") -> Iterator[Chain]:
    """Layers that follow each other, with their names; nested chains are one."""
    if _is_chain(module):
        inner = list(_leaves(module, prefix))
        yield inner
    else:
        inner = [(prefix + name, child) for name, child in module.named_children()]
    for name, child in inner:
        yield from _chains(child, f"{name}.")


def _leaves(chain: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    for name, layer in chain.named_children():
        if _is_chain(layer):
            yield from _leaves(layer, f"{prefix}{name}.")
        else:
            yield prefix + name, layer


def _is_chain(module: nn.Module) -> bool:
    return type(module).forward is nn.Sequential.forward


def _pairs(chain: Chain, parts: int) -> Iterator[list[str]]:
    """Names of the layers of each pair that are cut: a convolution, what has values between, a convolution."""
    row: list[str] = []
    width = dims = 0
    for name, layer in chain:
        convolution = _convolution(layer)
        if row and convolution and convolution.groups == 1 and convolution.in_channels % parts == 0:
            yield [*row, name]
            row = []
            continue
        width = _width_behind(layer, width, parts, dims) if row else 0
        if width and any(True for _ in (*layer.parameters(), *layer.buffers())):
            row.append(name)
        elif not width:
            row = []
            if convolution and _splits(convolution, parts):
                row, width, dims = [name], convolution.out_channels, len(convolution.kernel_size)


def _convolution(layer: nn.Module) -> Convolution | None:
    """The layer where it is a convolution of torch's, and nobody's kind of one that may compute otherwise."""
    return layer if isinstance(layer, _CONVOLUTIONS) and type(layer) in _CONVOLUTIONS else None


def _splits(layer: nn.Module, parts: int) -> bool:
    """Whether a layer is a convolution whose output channels, by whole groups, can be shared evenly."""
    found = _convolution(layer)
    if found is None:
        return False
    return found.out_channels % parts == 0 and (found.groups == 1 or found.groups % parts == 0)


def _width_behind(layer: nn.Module, width: int, parts: int, dims: int) -> int:
    """Channels behind a layer that works on each alone, or on a few of a part; 0 for one that mixes parts.

    Args:
        layer: what has no values is tried out.
        width: channels in front of it.
        parts: that they are cut into.
        dims: of each channel.
    """
    if type(layer) in (*NORMS, JoinedNorm):
        return width
    convolution = _convolution(layer)
    if convolution is not None:
        return convolution.out_channels if convolution.groups > 1 and _splits(convolution, parts) else 0
    if drops(layer) or any(True for _ in (*layer.parameters(), *layer.buffers())):
        return 0  # of a share of the channels it would drop the same as of another
    values = torch.linspace(-3.0, 3.0, 2 * width * _TRIED**dims, dtype=torch.float64)
    values = values.view(2, width, *[_TRIED] * dims)
    with torch.no_grad():
        try:
            whole: Tensor = layer(values)
            pieces = [layer(piece) for piece in values.chunk(parts, dim=1)]
            together = torch.cat(pieces, dim=1)
        except (RuntimeError, ValueError, TypeError, IndexError):
            return 0
    alike = together.ndim == values.ndim and together.shape == whole.shape
    return whole.shape[1] if alike and torch.allclose(whole, together, rtol=1e-9) else 0
