"""Activation checkpointing: segments of a module keep only what enters them, and are computed again on the way back.

Nothing about the module's state or names changes: the forward functions of the chosen parts are wrapped meanwhile.
Dropout draws the same numbers the second time, and running statistics of normalizations move once.

>>> net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
>>> with run_again(net, [("0", "1")]):
...     net(torch.ones(1, 4)).sum().backward()
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.checkpoint import checkpoint

from chipwise.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from chipwise.core.training_memory import Segment

_BETWEEN, _WITHIN = ";", ","


def segments_of(module: nn.Module) -> tuple[tuple[Segment, ...], ...]:
    """Chains of parts that run one after another, from which segments can be cut: those of `nn.Sequential`s.

    Other modules are looked into for such chains; a part of a chain that holds several is a chain of one beside them.

    Returns:
        Each chain as the paths of its links, in order; a link with parts of its own is one unit.
    """
    chains: list[tuple[Segment, ...]] = []
    _collect(module, "", chains)
    return tuple(chains)


def as_text(segments: Iterable[Segment]) -> str | None:
    """Segments as one setting; None for none."""
    return _BETWEEN.join(_WITHIN.join(segment) for segment in segments) or None


def from_text(text: str | None) -> tuple[Segment, ...]:
    """What `as_text` wrote."""
    return tuple(tuple(part.split(_WITHIN)) for part in text.split(_BETWEEN)) if text else ()


@contextmanager
def run_again(module: nn.Module, segments: Sequence[Segment]) -> Iterator[None]:
    """Checkpoint these segments in training meanwhile.

    Args:
        module: what is trained.
        segments: each one module, or neighbours in an `nn.Sequential`, by path.

    Raises:
        InputError: there are no such modules, or they are no neighbours.
    """
    wrapped: list[nn.Module] = []
    try:
        for chain, members in _by_chain(module, segments).items():
            if chain is None:
                for part in (member for group in members for member in group):
                    _wrap(part, partial(_once_more, part, part.forward))
                    wrapped.append(part)
            else:
                _wrap(chain, partial(_through, chain, [frozenset(map(id, group)) for group in members]))
                wrapped.append(chain)
        yield
    finally:
        for part in wrapped:
            del part.forward


def _collect(module: nn.Module, path: str, chains: list[tuple[Segment, ...]]) -> None:
    children = [(f"{path}.{name}" if path else name, child) for name, child in module.named_children()]
    if _in_series(module):
        chain: list[Segment] = []
        for name, child in children:
            if _in_series(child) and any(True for _ in child.children()):  # cut, not taken whole
                if chain:
                    chains.append(tuple(chain))
                    chain = []
                _collect(child, name, chains)
            else:
                chain.append((name,))
        if chain:
            chains.append(tuple(chain))
        return
    for name, child in children:
        if _in_series(child):
            _collect(child, name, chains)
        elif any(True for _ in child.children()):
            chains.append(((name,),))


def _in_series(module: nn.Module) -> bool:
    """Whether its parts run one after another, and nothing else does."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _by_chain(module: nn.Module, segments: Sequence[Segment]) -> dict[nn.Module | None, list[list[nn.Module]]]:
    """The modules of each segment, under the chain whose neighbours they are; None for single ones."""
    found: dict[nn.Module | None, list[list[nn.Module]]] = {}
    for segment in segments:
        try:
            members = [module.get_submodule(path) for path in segment]
            around = module.get_submodule(segment[0].rpartition(".")[0])
        except AttributeError as error:
            raise InputError(f"recompute={','.join(segment)!r}: {error}") from error
        if len(members) == 1:
            found.setdefault(None, []).append(members)
            continue
        places = [list(around.children()).index(member) for member in members if member in set(around.children())]
        if not _in_series(around) or places != list(range(places[0], places[0] + len(members))):
            raise InputError(f"recompute={','.join(segment)!r}: these are no neighbours in an nn.Sequential")
        found.setdefault(around, []).append(members)
    return found


def _wrap(part: nn.Module, forward: Callable[..., Any]) -> None:
    part.forward = forward


def _through(chain: nn.Module, groups: Sequence[frozenset[int]], given: Any) -> Any:
    """Run a chain, its groups of neighbours checkpointed."""
    links = list(chain.children())
    place = 0
    while place < len(links):
        group = next((each for each in groups if id(links[place]) in each), frozenset())
        members = links[place : place + max(len(group), 1)]
        run = partial(_in_turn, members)
        given = _once_more(chain, run, given) if group else run(given)
        place += len(members)
    return given


def _in_turn(members: Sequence[nn.Module], given: Any) -> Any:
    for member in members:
        given = member(given)
    return given


def _once_more(part: nn.Module, forward: Callable[..., Any], *given: Any, **named: Any) -> Any:
    if not torch.is_grad_enabled() or not part.training:
        return forward(*given, **named)
    contexts = partial(_contexts, part)
    return checkpoint(forward, *given, use_reentrant=False, preserve_rng_state=True, context_fn=contexts, **named)


def _contexts(part: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _statistics_held(part)


@contextmanager
def _statistics_held(part: nn.Module) -> Iterator[None]:
    """Leave running statistics as they are: with momentum 0 a batch does not move them, and is not counted."""
    norms = [each for each in part.modules() if isinstance(each, _NormBase) and each.track_running_stats]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
