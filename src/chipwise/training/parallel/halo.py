"""Pictures cut into bands: which rows a layer's output needs, and the exchange of those that other processes have.

A process computes a band of each layer's output, and needs the rows under it and a few of its neighbours', the halo,
which is sent both ways: values forward, gradients back. Rows stand for columns, too: one call a dimension.

>>> bands(10, 3)
[(0, 3), (3, 6), (6, 10)]
>>> Window(kernel=3, stride=2, padding=1).rows((0, 3))
(-1, 6)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

Band = tuple[int, int]  # the first row, and the one after the last


@dataclass(frozen=True, slots=True)
class Window:
    """What a convolution or pooling looks at along one dimension.

    Attributes:
        kernel, stride, dilation: as torch has them.
        padding: rows of padding at the beginning; after: at the end, None for as many.
    """

    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    after: int | None = None

    def outputs(self, rows: int) -> int:
        """Rows of the output for so many of the input."""
        padded = rows + self.padding + (self.padding if self.after is None else self.after)
        return (padded - self.dilation * (self.kernel - 1) - 1) // self.stride + 1

    def rows(self, band: Band) -> Band:
        """Rows of the input that a band of the output needs; what lies outside of the picture is padding."""
        first, end = band
        return (
            first * self.stride - self.padding,
            (end - 1) * self.stride - self.padding + self.dilation * (self.kernel - 1) + 1,
        )


def bands(rows: int, processes: int) -> list[Band]:
    """Cut so many rows into bands of the same height, or one more."""
    ends = [rows * index // processes for index in range(processes + 1)]
    return [(ends[index], ends[index + 1]) for index in range(processes)]


def within(band: Band, rows: int) -> Band:
    """The part of a band that lies in the picture; without a row where none does."""
    first = min(max(band[0], 0), rows)
    return first, max(min(band[1], rows), first)


def around(band: Band, rows: int) -> tuple[int, int]:
    """Rows of a band that lie before the picture, and after it."""
    return max(min(band[1], 0) - band[0], 0), max(band[1] - max(band[0], rows), 0)


def exchange(value: Tensor, dim: int, have: Sequence[Band], want: Sequence[Band], group: dist.ProcessGroup) -> Tensor:
    """Give every process the rows that it wants of those that all have together; gradients go the same way back.

    Args:
        value: this process's rows along `dim`.
        dim: along which pictures are cut.
        have: the rows of each process in the group: all of the picture, none twice.
        want: what each is to get, within the picture.
        group: of the processes.
    """
    if list(have) == list(want):
        return value
    return _Exchange.apply(value, dim, (tuple(have), tuple(want)), group)  # type: ignore[no-any-return,no-untyped-call]


def gather(value: Tensor, dim: int, have: Sequence[Band], group: dist.ProcessGroup) -> Tensor:
    """Give every process all rows, for layers that all of them compute whole.

    Each then has the same gradient of the whole, of which its own rows are what it needs: nothing is sent back. They
    come times the number of processes, so that weights in front of here, whose gradients are sums over bands, and
    those after it, whose gradients are the same everywhere, are both right once they are averaged.
    """
    return _Gather.apply(value, dim, tuple(have), group)  # type: ignore[no-any-return,no-untyped-call]


class _Exchange(torch.autograd.Function):
    """`exchange` with its gradient."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, dim: int, both: Any, group: Any) -> Tensor:
        """Send what others want, receive what is wanted here."""
        have, want = both
        ctx.dim, ctx.have, ctx.want, ctx.group = dim, have, want, group
        return torch.cat(_sent(value, dim, have, want, group) or [value.narrow(dim, 0, 0)], dim)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Send gradients of rows to those that have the rows, and add up what comes for those here."""
        rank = dist.get_rank(ctx.group)
        pieces = _sent(gradients[0], ctx.dim, ctx.want, ctx.have, ctx.group)
        first, end = ctx.have[rank]
        shape = list(gradients[0].shape)
        shape[ctx.dim] = end - first
        summed = gradients[0].new_zeros(shape)
        places = [_common(ctx.have[rank], band) for band in ctx.want]
        for piece, (start, stop) in zip(pieces, [place for place in places if place[0] < place[1]], strict=True):
            summed.narrow(ctx.dim, start - first, stop - start).add_(piece)
        return summed, None, None, None


class _Gather(torch.autograd.Function):
    """`gather` with its gradient."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, dim: int, have: Any, group: Any) -> Tensor:
        """Send the rows here to all."""
        ctx.dim, ctx.band, ctx.count = dim, have[dist.get_rank(group)], len(have)
        whole = [(0, have[-1][1])] * len(have)
        return torch.cat(_sent(value, dim, have, whole, group), dim)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Take the gradients of the rows here."""
        first, end = ctx.band
        return gradients[0].narrow(ctx.dim, first, end - first) * ctx.count, None, None, None


def _sent(value: Tensor, dim: int, have: Sequence[Band], want: Sequence[Band], group: Any) -> list[Tensor]:
    """Pieces of the wanted rows in the order of the processes that have them, where there are some."""
    rank = dist.get_rank(group)
    pieces: list[Tensor] = []
    calls: list[dist.P2POp] = []
    for peer in range(len(have)):
        coming, going = _common(have[peer], want[rank]), _common(have[rank], want[peer])
        if peer == rank:
            if coming[0] < coming[1]:
                pieces.append(value.narrow(dim, coming[0] - have[rank][0], coming[1] - coming[0]))
            continue
        other = dist.get_global_rank(group, peer)
        if going[0] < going[1]:
            piece = value.narrow(dim, going[0] - have[rank][0], going[1] - going[0]).contiguous()
            calls.append(dist.P2POp(dist.isend, piece, other, group))
        if coming[0] < coming[1]:
            shape = list(value.shape)
            shape[dim] = coming[1] - coming[0]
            pieces.append(value.new_empty(shape))
            calls.append(dist.P2POp(dist.irecv, pieces[-1], other, group))
    for call in dist.batch_isend_irecv(calls) if calls else []:
        call.wait()
    return pieces


def _common(one: Band, other: Band) -> Band:
    return max(one[0], other[0]), min(one[1], other[1])
