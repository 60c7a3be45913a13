"""Open a plan on this machine: check that it can run here, build its engine, and see that it answers as it should.

The plan holds a portable graph, so another machine builds its own engine from it. What it may not do is answer
differently or fall back in silence: then loading is refused with the reason.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from chipwise import runtimes
from chipwise.compiler.oracle import relative_error
from chipwise.compiler.parts import missing_layer, runtimes_of
from chipwise.compiler.plan_facts import check_engine, check_facts
from chipwise.compiler.trials import build
from chipwise.core.errors import RuntimeUnavailableError

if TYPE_CHECKING:
    from chipwise.core.device import Machine
    from chipwise.core.plan import Plan
    from chipwise.runtimes.engine import Engine

# How far the engine built here may be from the stored output, relative to its largest value. Reduced precision differs
# more between processors: one multiplies in bf16, another in fp32.
_TOLERANCE = {"fp32": 1e-4, "bf16": 5e-2, "fp16": 1e-2, "int8": 1e-1, "int4": 1e-1}
_HALF = ("bf16", "fp16")  # where a processor lacks them, OpenVINO computes in fp32 without a word


def open_plan(plan: Plan, machine: Machine) -> Engine:
    """Build the engine of a plan and try it on the stored sample.

    Raises:
        PlanError: what it says of itself cannot be true.
        RuntimeUnavailableError: the runtime or number format is not available here, or the answer is another.
    """
    check_facts(plan)
    choice = plan.manifest.choice
    layer = missing_layer(plan.manifest.needs)
    if layer:
        raise RuntimeUnavailableError(
            f"the plan needs the custom layer {layer}, which is not registered",
            hint=f'chipwise.custom_layer("{layer}", function)',
        )
    for part in runtimes_of(choice):
        adapter = runtimes.load(part.runtime)
        obstacle = adapter.obstacle()
        if obstacle:
            raise RuntimeUnavailableError(f"the plan needs {part.runtime}: {obstacle}", hint="compile it here")
        if part.precision in _HALF and part.precision not in adapter.precisions(machine):
            raise RuntimeUnavailableError(
                f"the plan runs in {part.precision} on {part.runtime}, which this processor does not have natively",
                hint="compile it here",
            )
    threads = min(choice.threads, machine.cores)
    streams = min(choice.streams, max(1, machine.cores // max(1, threads)))
    engine = build(replace(choice, threads=threads, streams=streams), plan.model)
    with ExitStack() as unless_kept:
        unless_kept.callback(engine.close)
        _check_answer(plan, engine)
        unless_kept.pop_all()
    return engine


def _check_answer(plan: Plan, engine: Engine) -> None:
    """Try the engine on the stored sample.

    Raises:
        RuntimeUnavailableError: it takes or gives something else, or its answer is another.
    """
    check_engine(plan.manifest, engine)
    choice = plan.manifest.choice
    error = relative_error(engine.run(plan.sample_inputs), plan.expected_outputs)
    formats = [part.precision for part in runtimes_of(choice)] + ["int8"] * bool(choice.quantizer)
    tolerance = max(_TOLERANCE.get(each, 1e-4) for each in formats)
    if error > tolerance:
        raise RuntimeUnavailableError(
            f"the engine built here differs from the plan's stored output by {error:.1e} (at most {tolerance:.0e})",
            hint="compile it here",
        )
