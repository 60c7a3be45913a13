"""Put a prediction to the test: run the network here, and say how far off it was.

>>> from chipwise.core.estimate import Interval
>>> from chipwise.core.measure import Timing
>>> scored(Interval(0.8, 1.1, 1.5), Timing(3, (0.9, 1.0, 1.2)), "onnxruntime", "fp32", 2).inside
True
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from chipwise.core.errors import InputError, MachineError, unknown_name
from chipwise.core.estimation import Score
from chipwise.core.events import Part, Progress, silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.core.estimate import Interval, Workload
    from chipwise.core.estimation import Forecast
    from chipwise.core.measure import Timing
    from chipwise.core.network import Network

_RUNTIMES = ("onnxruntime", "openvino")
_LEAST_S = 0.5  # of timing, for one batch
_MOST_ROUNDS = 60


def check_measurable(workload: Workload, *, here: bool) -> None:
    """Refuse what cannot be measured on this machine.

    Raises:
        InputError: another device, training, or software that is not timed here.
    """
    if not here:
        raise InputError("what is measured runs on this machine", hint="--measure goes with --on here alone")
    if workload.phase != "inference":
        raise InputError("training steps are not measured", hint="leave --measure out, or ask for --phase infer")
    if workload.runtime not in _RUNTIMES:
        raise unknown_name("runtime to measure with", workload.runtime, _RUNTIMES)


def measured(
    network: Network, forecasts: Sequence[Forecast], *, budget_s: float = 20.0, progress: Progress = silent
) -> tuple[Forecast, ...]:
    """Run a network here at each forecast's batch, and score the forecasts.

    Args:
        network: with its graph.
        forecasts: for this machine.
        budget_s: wall time for all timing; building comes on top.
        progress: told which batch it is.

    Returns:
        the forecasts with their scores; one that cannot be built has the runtime's reason.
    """
    from chipwise.devices.detect import detect
    from chipwise.networks.onnx_file import check_runnable, serialize

    check_runnable(network)
    model, machine, made = serialize(network), detect(), []
    each_s = max(budget_s / max(len(forecasts), 1), _LEAST_S)
    for place, forecast in enumerate(forecasts):
        part = Part(progress, "measuring", place / len(forecasts), (place + 1) / len(forecasts))
        part.update("batch", 0.01, f"batch {forecast.estimate.workload.batch}")
        workload = forecast.estimate.workload
        timed = _timed(network, model, workload, each_s, part)
        if isinstance(timed, MachineError):
            lost = Score(workload.runtime, workload.precision, machine.cores, None, None, None, timed.message)
            made.append(replace(forecast, score=lost))
            continue
        score = scored(forecast.estimate.time_s, timed[0], workload.runtime, timed[1], machine.cores)
        made.append(replace(forecast, score=score))
    return tuple(made)


def scored(expected: Interval, timing: Timing, runtime: str, precision: str, threads: int) -> Score:
    """Compare an interval with what was measured."""
    median = timing.median_s
    error = None if expected.mid is None else expected.mid / median - 1
    return Score(runtime, precision, threads, timing, error, expected.covers(median))


def _timed(
    network: Network, model: bytes, workload: Workload, budget_s: float, progress: Progress
) -> tuple[Timing, str] | MachineError:
    """Time one batch, with the number format that really ran; or why it cannot run here."""
    from chipwise import runtimes
    from chipwise.clock.interleave import interleave
    from chipwise.clock.statistics import summarize
    from chipwise.compiler.subject import random_inputs
    from chipwise.runtimes.engine import EngineOptions

    try:
        # 0: all cores, which the runtime then pins.
        options = EngineOptions(workload.precision, threads=0, batch=workload.batch)
        engine = runtimes.load(workload.runtime).build(model, options)
        arrays = random_inputs(engine.inputs, 0, workload.batch, network.task.stream)
        samples = interleave(
            {"it": lambda: engine.run(arrays)}, budget_s=budget_s, max_rounds=_MOST_ROUNDS, progress=progress
        )
    except MachineError as error:
        return error
    precision = engine.precision
    engine.close()
    return summarize(samples["it"]), precision
