"""Open a plan on this machine: check that it can run here, build its engine, and see that it answers as it should.

The plan holds a portable graph, so another machine builds its own engine from it. What it may not do is answer
differently or fall back in silence: then loading is refused with the reason.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from chipwise import runtimes
from chipwise.compiler.oracle import relative_error
from chipwise.compiler.parts import missing_layer, runtimes_of
from chipwise.compiler.trials import build
from chipwise.core.errors import RuntimeUnavailableError

if TYPE_CHECKING:
    from chipwise.core.device import Machine
    from chipwise.core.plan import Plan
    from chipwise.runtimes.engine import Engine

# How far the engine built here may be from the stored output, relative to its largest value. Reduced precision differs
# more between processors: one multiplies in bf16, another in fp32.
_TOLERANCE = {"fp32": 1e-4, "fp16": 1e-2, "bf16": 5e-2, "int8": 1e-1, "int4": 1e-1}
_NATIVE_ONLY = ("bf16", "fp16")  # elsewhere a runtime refuses them, or computes in fp32 without a word


def open_plan(plan: Plan, machine: Machine) -> Engine:
    """Build the engine of a plan and try it on the stored sample.

    Raises:
        RuntimeUnavailableError: the runtime or number format is not available here, or the answer is another.
    """
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
        if part.precision in _NATIVE_ONLY and part.precision not in adapter.precisions(machine):
            raise RuntimeUnavailableError(
                f"the plan runs in {part.precision} on {part.runtime}, which this processor does not have natively",
                hint="compile it here",
            )
    engine = build(replace(choice, threads=min(choice.threads, machine.cores)), plan.model)
    error = relative_error(engine.run(plan.sample_inputs), plan.expected_outputs)
    formats = [part.precision for part in runtimes_of(choice)] + ["int8"] * bool(choice.quantizer)
    tolerance = max(_TOLERANCE.get(each, 1e-4) for each in formats)
    if error > tolerance:
        raise RuntimeUnavailableError(
            f"the engine built here differs from the plan's stored output by {error:.1e} (at most {tolerance:.0e})",
            hint="compile it here",
        )
    return engine
