"""Which ways to run a network are worth trying on this machine: runtime x precision x threads x batch.

>>> thread_counts(6)
(1, 2, 4, 0)
"""

from __future__ import annotations

from chipwise import runtimes
from chipwise.compiler.options import CompileOptions
from chipwise.core.device import Machine
from chipwise.core.errors import RuntimeUnavailableError, unknown_name
from chipwise.core.plan import Choice, Goal

# An engine of these is native code that needs its library where it runs: a candidate only when asked for.
ON_REQUEST = ("inductor",)
THROUGHPUT_BATCHES = (1, 8, 32, 128)


def usable_runtimes(options: CompileOptions, machine: Machine) -> tuple[str, ...]:
    """Names of the adapters to try.

    Raises:
        UnknownNameError: when `options` names an adapter that does not exist.
        RuntimeUnavailableError: when it names one that is not usable here, or none is.
    """
    for name in (*options.runtimes, *options.allow):
        if name not in runtimes.RUNTIMES or name == "reference":
            raise unknown_name("runtime", name, set(runtimes.RUNTIMES) - {"reference"})
    asked = (*options.runtimes, *options.allow)
    usual = [name for name in runtimes.RUNTIMES if name not in (*ON_REQUEST, "reference")]
    states = {status.name: status for status in runtimes.status(machine, (*usual, *asked))}
    for name in asked:
        if not states[name].usable:
            raise RuntimeUnavailableError(f"{name} is not usable here: {states[name].reason}", hint="chipwise doctor")
    names = tuple(
        dict.fromkeys((*(options.runtimes or [each for each in usual if states[each].usable]), *options.allow))
    )
    if not names:
        raise RuntimeUnavailableError("no runtime is usable on this machine", hint="chipwise doctor says why")
    return names


def thread_counts(cores: int) -> tuple[int, ...]:
    """Powers of two below the number of cores, and 0: all of them, as the runtime itself places them."""
    return (*(2**power for power in range(cores.bit_length()) if 2**power < cores), 0)


def choices(
    names: tuple[str, ...], machine: Machine, goal: Goal, quantizers: tuple[str, ...], dynamic_batch: bool
) -> list[Choice]:
    """Every choice to try: most faithful precision first, so that a time limit cuts the riskiest ones."""
    batches = THROUGHPUT_BATCHES if goal == "throughput" and dynamic_batch else (1,)
    precisions = {name: runtimes.load(name).precisions(machine) for name in names}
    kinds: list[tuple[str, str, str]] = [
        (name, precision, "") for precision in ("fp32", "bf16") for name in names if precision in precisions[name]
    ]
    kinds += [(name, "int8", quantizer) for quantizer in quantizers for name in names if name not in ON_REQUEST]
    return [
        Choice(runtime=name, precision=precision, threads=threads, batch=batch, quantizer=quantizer)
        for name, precision, quantizer in kinds
        for threads in thread_counts(machine.cores)
        for batch in batches
    ]
