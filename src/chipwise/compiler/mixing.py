"""Where int8 loses too much, the layers that lose it stay in float.

They are found on samples that neither calibrate nor guard; the guard then judges the mixed graph like any other.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from chipwise.compiler.blocks import matching
from chipwise.compiler.candidates import rest_in_bf16
from chipwise.compiler.opset import quantizable
from chipwise.compiler.parts import build_whole
from chipwise.compiler.sensitivity import mixed
from chipwise.compiler.subject import predicted_classes
from chipwise.core.errors import ChipwiseError
from chipwise.runtimes.engine import EngineOptions
from chipwise.tasks.metrics import paired_drop

if TYPE_CHECKING:
    from chipwise.compiler.search import Search
    from chipwise.core.plan import Choice

_SHARE_OF_DROP = 0.5  # of the limit: the samples are the network's own training data, which forgives more
_NAME = "mixing"


def kept_layers(model: bytes, patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the layers of a serialized graph that are to stay in float.

    Raises:
        UnknownNameError: a pattern fits none of them.
    """
    return matching(quantizable(model), patterns) if patterns else ()


def mixes(search: Search, rejected: list[Choice], budget_s: float) -> list[Choice]:
    """Choices like those that lost too much accuracy, with the fewest layers in float that keep it.

    Args:
        search: whose subject has data.
        rejected: quantized choices; one of each quantizer and graph is looked into, others take its layers.
        budget_s: wall time for all.
    """
    found: list[Choice] = []
    kept: dict[tuple[str, str], tuple[str, ...]] = {}
    makers = list(dict.fromkeys((choice.quantizer, choice.graph) for choice in rejected))
    for choice in rejected:
        key = (choice.quantizer, choice.graph)
        if key not in kept:
            kept[key] = _layers(search, choice, budget_s / len(makers))
        if kept[key]:
            mixed_choice = replace(choice, kept=kept[key])
            found += [mixed_choice, *rest_in_bf16(mixed_choice, search.machine)]
    return found


def _layers(search: Search, choice: Choice, budget_s: float) -> tuple[str, ...]:
    """Names of the layers to keep; empty where no mix was good enough, or none was found in time."""
    guard = search.subject.guard
    if guard is None or not len(guard.tuning.labels):
        return ()
    cache: dict[str, Any] = search.workspace.read(_file(choice), dict) or {}

    def accept(model: bytes) -> bool:
        with closing(build_whole(choice.runtime, model, EngineOptions("int8", threads=0))) as engine:
            right = predicted_classes(engine, guard.tuning.inputs) == guard.tuning.labels
        return paired_drop(guard.tuning.source_right, right).drop <= search.options.max_drop * _SHARE_OF_DROP

    try:
        graph = search.subject.graphs.model(choice.graph)
        made = mixed(
            graph, choice.quantizer, search.calibration(), search.machine,
            accept=accept, budget_s=budget_s, keep=choice.kept, cache=cache,
        )  # fmt: skip
    except ChipwiseError as error:
        search.progress.note(f"no mix of int8 and float was looked for: {error.message}")
        return ()
    search.workspace.write(_file(choice), cache)
    return made.kept if made.model and made.kept != choice.kept else ()


def _file(choice: Choice) -> str:
    return f"{_NAME}-{choice.runtime}-{choice.quantizer}-{choice.graph or 'plain'}.json"
