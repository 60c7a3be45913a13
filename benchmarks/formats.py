"""Latencies of one network in every number format that a runtime has here, against every runtime's default.

For networks whose weights are drawn by seed: int8 is calibrated with random pictures, and nothing is said of accuracy.

>>> LARGE[0]
'resnet18'
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise import runtimes
from chipwise.clock.interleave import interleave
from chipwise.clock.statistics import speedup
from chipwise.compiler.candidates import first_choices, usable_runtimes
from chipwise.compiler.graphs import Graphs
from chipwise.compiler.options import CompileOptions
from chipwise.compiler.parts import build_default
from chipwise.compiler.quantizers import quantize, usable, weights_of
from chipwise.compiler.trials import build
from chipwise.core.errors import ChipwiseError
from chipwise.devices.detect import detect
from chipwise.networks.onnx_file import load
from suite import zoo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from chipwise.core.device import Machine
    from chipwise.core.plan import Choice
    from chipwise.runtimes.engine import Engine

LARGE = ("resnet18", "resnet50", "mobilenet-v2", "googlenet", "densenet121")
_CALLS = 8  # to calibrate by: ranges of random pictures are known after a few
_FEWEST_ROUNDS, _MOST_ROUNDS = 9, 60


def latencies(name: str, folder: Path, timing_s: float) -> dict[str, Any]:
    """Time a network of the zoo in every format, interleaved with its peers.

    Args:
        name: of the zoo.
        folder: where its graph is written.
        timing_s: wall time to time in; building engines comes on top.
    """
    path, machine = zoo(name, folder), detect()
    source, network = path.read_bytes(), load(path)
    assert network.graph is not None, "an ONNX file is its graph"
    graph = Graphs(network.graph, source).model()
    shape = network.inputs[0].concrete(1)
    samples = np.random.default_rng(0).random((_CALLS, *shape), np.float32)
    contenders, failed = _contenders(graph, samples, machine)
    usual = [each.name for each in runtimes.status(machine) if each.usable and each.name != "reference"]
    peers = {f"{each} default": build_default(each, source) for each in usual}
    engines = {**contenders, **peers}
    calls = {title: _call(engine, samples[0]) for title, engine in engines.items()}
    seconds = interleave(calls, budget_s=timing_s, min_rounds=_FEWEST_ROUNDS, max_rounds=_MOST_ROUNDS)
    for engine in engines.values():
        engine.close()
    best = min(contenders, key=lambda title: float(np.median(seconds[title])))
    over = {peer: speedup(of=seconds[best], over=seconds[peer]) for peer in peers}
    fastest = min(over, key=lambda peer: over[peer].mid)
    return {
        "network": name,
        "median_s": {title: float(np.median(each)) for title, each in seconds.items()},
        "failed": failed,
        "best": best,
        "best_is_faster_by": {peer: asdict(ratio) for peer, ratio in over.items()},
        "fastest_peer": fastest,
        "over_fastest": asdict(over[fastest]),
    }


def _call(engine: Engine, sample: NDArray[np.float32]) -> Callable[[], object]:
    engine.run([sample])  # what compiles late has compiled
    return lambda: engine.run([sample])


def _contenders(
    graph: bytes, samples: NDArray[np.float32], machine: Machine
) -> tuple[dict[str, Engine], dict[str, str]]:
    """Engines of the choices that a search begins with, by title, and why others are none."""
    names = usable_runtimes(CompileOptions(), machine)
    quantizers = usable(machine, True, weights_of(graph))
    engines: dict[str, Engine] = {}
    failed: dict[str, str] = {}
    quantized: dict[str, bytes] = {"": graph}
    for choice in first_choices(names, machine, "latency", quantizers, dynamic_batch=True):
        try:
            if choice.quantizer not in quantized:
                quantized[choice.quantizer] = quantize(choice.quantizer, graph, samples, machine)
            engines[_title(choice)] = build(choice, quantized[choice.quantizer])
        except ChipwiseError as error:
            failed[_title(choice)] = error.message
    return engines, failed


def _title(choice: Choice) -> str:
    return choice.title if choice.threads else f"{choice.title} all threads"
