"""Count layers as published counts of fusion do; they are no measure of time, and the answer says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chipwise.api.given import network_from, with_graph
from chipwise.api.notebook import drawn

if TYPE_CHECKING:
    from pathlib import Path

    from chipwise.api.given import NetworkLike
    from chipwise.core.layer_counts import LayerCounts


@drawn
def count_layers(
    network: NetworkLike, *, input_shape: tuple[int, ...] | None = None, weights: str | Path | None = None
) -> LayerCounts:
    """Count a network's layers before the passes, after them, and where runtimes fuse what follows a layer.

    Args:
        network: a zoo name, a model file, a trained folder, "package.module:callable", or a live `nn.Module`.
        input_shape: for a factory that does not say its own, without the batch dimension.
        weights: a file of trained weights, for what does not hold its own.

    Raises:
        UnknownNameError: no such network. NetworkError: it cannot be read, built or exported.
    """
    from chipwise.core.layer_counts import LayerCounts
    from chipwise.optimize.count_layers import count, fused
    from chipwise.optimize.pipeline import optimize

    loaded = with_graph(network_from(network, input_shape=input_shape, weights=weights))
    assert loaded.graph is not None
    passed = optimize(loaded.graph)[0]
    source, after = count(loaded.graph), count(passed)
    unwritten = loaded.task.kind == "classification" and not source["softmax"]
    if unwritten:
        source["softmax"] = after["softmax"] = 1
    return LayerCounts(loaded.name, dict(source), dict(after), fused(passed) + unwritten)
