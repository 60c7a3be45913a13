"""A network whose parts run one after the other, each on an engine of its own, behind the verbs of one engine.

>>> import numpy as np
>>> import onnx.parser
>>> from chipwise.runtimes.reference import build_default
>>> head = '<ir_version: 8, opset_import: ["": 17]> g '
>>> texts = ["(float[N] x) => (float[N] a) { a = Neg (x) }", "(float[N] a) => (float[N] y) { y = Abs (a) }"]
>>> first, last = (build_default(onnx.parser.parse_model(head + text).SerializeToString()) for text in texts)
>>> steps = (Step("first", first, ("x",), ("a",)), Step("last", last, ("a",), ("y",)))
>>> PartedEngine(steps, first.inputs, last.outputs).run([np.array([1, -2], np.float32)])
[array([1., 2.], dtype=float32)]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipwise.core.errors import RuntimeUnavailableError
from chipwise.core.network import TensorSpec
from chipwise.runtimes.engine import Arrays, Engine


@dataclass(frozen=True, slots=True)
class Step:
    """One part.

    Attributes:
        name: for messages.
        engine: of the part.
        inputs: names of the values that it takes; outputs: of those that it gives, in the engine's order.
    """

    name: str
    engine: Engine
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class PartedEngine:
    """Engines in a row; a value is let go of after the last part that reads it.

    Args:
        steps: at least one, in order.
        inputs: what the whole takes; outputs: what it gives. Both may be values of any part.
    """

    def __init__(self, steps: Sequence[Step], inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
        self.inputs, self.outputs = inputs, outputs
        self.precision = "+".join(dict.fromkeys(step.engine.precision for step in steps))
        self._names = tuple(spec.name for spec in inputs)
        self._results = tuple(spec.name for spec in outputs)
        self._steps = tuple(zip(steps, _last_reads(steps, self._results), strict=True))

    def run(self, arrays: Arrays) -> list[NDArray[Any]]:
        """Run once; see `chipwise.runtimes.engine.Engine`."""
        values = dict(zip(self._names, arrays, strict=True))
        for step, done in self._steps:
            try:
                # Vendors' engines take contiguous memory only, which NumPy's functions do not always give.
                made = step.engine.run([np.asarray(values[name], order="C") for name in step.inputs])
            except RuntimeUnavailableError as error:
                raise RuntimeUnavailableError(f"{step.name}: {error.message}", hint=error.hint) from error
            values.update(zip(step.outputs, made, strict=True))
            for name in done:
                del values[name]
        given = {id(array) for array in arrays}  # an output that is an input is a copy: results belong to the caller
        results = (values[name] for name in self._results)
        return [array.copy() if id(array) in given else array for array in results]

    def close(self) -> None:
        """Let go of every part."""
        for step, _ in self._steps:
            step.engine.close()
        self._steps = ()


def _last_reads(steps: Sequence[Step], results: tuple[str, ...]) -> list[tuple[str, ...]]:
    """For each part, the values that nobody reads after it."""
    seen, done = set(results), []
    for step in reversed(steps):
        names = tuple(dict.fromkeys(name for name in (*step.inputs, *step.outputs) if name not in seen))
        seen.update(names)
        done.append(names)
    return done[::-1]
