"""Whether a network has been given weights, or begins at random.

>>> from chipwise.networks.load import load
>>> is_untrained(load("lenet5"))
True
"""

from __future__ import annotations

import onnx_ir as ir

from chipwise.core.network import Network


def is_untrained(network: Network) -> bool:
    """True for a source without weights, and a graph whose weights are drawn when somebody looks (cfg, prototxt)."""
    if network.source is not None:
        return network.source.weights is None
    if network.graph is None:
        return False
    return any(isinstance(value.const_value, ir.LazyTensor) for value in network.graph.graph.initializers.values())
