"""Draw f(w, x) = 1 / (1 + exp(-(w0 x0 + w1 x1 + w2))) with the value and the gradient at every node.

python recipes/computational_graph.py [f.svg]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from chipwise.cli.ending import errors_said
from chipwise.codec.files import atomic_write
from chipwise.core.computation import Computation
from chipwise.networks.computation import trace_computation
from chipwise.views.computation_picture import computation_svg

INPUTS = {"w0": 2.0, "x0": -1.0, "w1": -3.0, "x1": -2.0, "w2": -3.0}


def neuron(w0: Tensor, x0: Tensor, w1: Tensor, x1: Tensor, w2: Tensor) -> Tensor:
    """A neuron with two inputs, in elementary operations."""
    return 1 / (1 + torch.exp(-(w0 * x0 + w1 * x1 + w2)))


def main(arguments: Sequence[str] | None = None) -> Computation:
    """Compute forward and backward, draw, and print each step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", nargs="?", type=Path, default=Path("f.svg"), metavar="f.svg")
    options = parser.parse_args(arguments)
    inputs = {name: torch.tensor(value, dtype=torch.float64) for name, value in INPUTS.items()}
    computation = trace_computation(neuron, inputs, "f(w, x) = 1 / (1 + exp(−(w0 x0 + w1 x1 + w2)))")
    atomic_write(options.output, computation_svg(computation).encode())
    for step in computation.steps:
        print(f"{step.label:>6}  value {step.value[0]:6.2f}  gradient {step.gradient[0]:6.2f}")
    print(options.output)
    return computation


if __name__ == "__main__":
    with errors_said():
        main()
