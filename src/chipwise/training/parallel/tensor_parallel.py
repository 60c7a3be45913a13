"""Tensor parallelism: pairs of consecutive Linear layers, the first cut by columns, the second by rows.

Megatron-LM's scheme (arXiv 1909.08053, section 3): what lies between the two works on each feature alone, so that a
process computes its features of the hidden layer without hearing of the others, and one sum ends the pair.

>>> linear_pairs(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)), 2)
[('0', '2')]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

from chipwise.core.errors import NetworkError

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.tensor.placement_types import Placement

Pair = tuple[str, str]


def linear_pairs(module: nn.Module, parts: int) -> list[Pair]:
    """Names of the Linear layers that can be cut together, in order.

    Pairs stand in a Sequential, with nothing between them but layers without weights that work on each feature alone
    (which is tried out), or are the two of torch's own transformer layers.

    Args:
        module: is not changed.
        parts: how many each is cut into; what it does not divide is left whole.
    """
    found: list[Pair] = []
    for name, inner in module.named_modules():
        prefix = f"{name}." if name else ""
        if isinstance(inner, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer):
            if inner.linear1.out_features % parts == 0:
                found.append((f"{prefix}linear1", f"{prefix}linear2"))
        elif isinstance(inner, nn.Sequential):
            found += [(prefix + first, prefix + second) for first, second in _in_chain(inner, parts)]
    return found


def check_pairs(module: nn.Module, parts: int) -> None:
    """Refuse a network with nothing to cut.

    Raises:
        NetworkError: saying what is looked for.
    """
    if not linear_pairs(module, parts):
        raise NetworkError(
            f"tp{parts} cuts pairs of consecutive Linear layers, and the network has none with a hidden width that "
            f"{parts} divides",
            hint="fsdp takes any network",
        )


def cut_pairs(module: nn.Module, pairs: list[Pair], grid: DeviceMesh) -> nn.Module:
    """Cut the pairs that this module has, in place; all other parameters stay whole.

    Args:
        module: the network, or a stage of it.
        pairs: as `linear_pairs` finds them.
        grid: the dimension of the mesh along which they are cut.
    """
    plan: dict[str, ColwiseParallel | RowwiseParallel] = {}
    for first, second in pairs:
        plan |= {first: ColwiseParallel(), second: RowwiseParallel()}
    return parallelize_module(module, grid, plan) if plan else module  # type: ignore[arg-type]


def pairs_within(module: nn.Module, pairs: list[Pair]) -> list[Pair]:
    """The pairs that a stage has both layers of."""
    names = {name for name, _ in module.named_modules()}
    return [pair for pair in pairs if names.issuperset(pair)]


def found_wrong(module: nn.Module, pairs: list[Pair], dimension: str) -> list[str]:
    """What of the pairs is not cut as it should be; empty when all is.

    Args:
        module: after `cut_pairs`, and whatever else was done to it.
        pairs: that it has.
        dimension: name of the mesh's dimension.
    """
    wanted: dict[str, Placement] = {}
    for first, second in pairs:
        wanted |= {f"{first}.weight": Shard(0), f"{first}.bias": Shard(0)}
        wanted |= {f"{second}.weight": Shard(1), f"{second}.bias": Replicate()}
    values = dict(module.named_parameters())
    return [
        f"tp: {name} should be {placement} over {dimension} and is {_placement(values[name], dimension)}"
        for name, placement in wanted.items()
        if name in values and not _lies_so(values[name], placement, dimension)
    ]


def _lies_so(value: Tensor, placement: Placement, dimension: str) -> bool:
    found = _placement(value, dimension)
    if isinstance(placement, Shard):  # under FSDP it may be a strided one of the same dimension
        return found is not None and getattr(found, "dim", None) == placement.dim
    return found == placement


def _placement(value: Tensor, dimension: str) -> Placement | None:
    if not isinstance(value, DTensor) or dimension not in (value.device_mesh.mesh_dim_names or ()):
        return None
    return value.placements[(value.device_mesh.mesh_dim_names or ()).index(dimension)]


def _in_chain(chain: nn.Sequential, parts: int) -> list[Pair]:
    """Pairs of one Sequential; a layer is of one pair at most."""
    found: list[Pair] = []
    first: tuple[str, nn.Linear] | None = None
    between: list[nn.Module] = []
    for name, layer in chain.named_children():
        if isinstance(layer, nn.Linear):
            width = first[1].out_features if first is not None else 0
            if first is not None and width % parts == 0 and _on_features(between, width, parts):
                found.append((first[0], name))
                first = None
            else:
                first = (name, layer)
            between = []
        elif any(True for _ in (*layer.parameters(), *layer.buffers())):
            first, between = None, []
        else:
            between.append(layer)
    return found


def _on_features(layers: list[nn.Module], width: int, parts: int) -> bool:
    """Whether layers give for a part of the features the same as for all of them."""
    values = torch.linspace(-3.0, 3.0, 2 * width, dtype=torch.float64).view(2, width)
    whole, pieces = values, list(values.chunk(parts, dim=-1))
    with torch.no_grad():
        try:
            for layer in layers:
                whole, pieces = layer(whole), [layer(piece) for piece in pieces]
        except (RuntimeError, ValueError, TypeError, IndexError):
            return False
        together = torch.cat(pieces, dim=-1)
        return together.shape == whole.shape and torch.allclose(whole, together, rtol=1e-9)  # vectors and their tails
