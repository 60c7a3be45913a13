"""Engines of choices: one for the whole graph, or one for each part where it is cut.

A graph with custom layers is always cut: these run in Python, and the runtime never sees them.

>>> import numpy as np
>>> import onnx.parser
>>> from chipwise.core.custom_layers import forget, register
>>> text = '<ir_version: 8, opset_import: ["": 17, "doc": 1]> g (float[N] x) => (float[N] y) <float[N] a> { '
>>> model = onnx.parser.parse_model(text + "a = Neg (x)  y = doc.Twice (a) }").SerializeToString()
>>> register("doc::Twice", lambda x: 2 * x)
>>> [part.title for part in custom_parts(model, "onnxruntime", "fp32")]
['onnxruntime fp32 to a', 'python']
>>> build_default("onnxruntime", model).run([np.ones(2, np.float32)])
[array([-2., -2.], dtype=float32)]
>>> forget("doc::Twice")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import onnx_ir as ir

from chipwise import runtimes
from chipwise.compiler.graphs import serialized
from chipwise.core import custom_layers
from chipwise.core.errors import RuntimeUnavailableError, first_line
from chipwise.core.plan import Part
from chipwise.optimize.split_graph import GraphPart, split
from chipwise.runtimes.custom_operators import is_custom, needed
from chipwise.runtimes.formats import declared, parse
from chipwise.runtimes.parts import PartedEngine, Step

if TYPE_CHECKING:
    from chipwise.core.plan import Choice
    from chipwise.runtimes.engine import Engine, EngineOptions

CUSTOM = "python"  # the runtime of custom layers
_NEED = "custom layer "


def build_parts(choice: Choice, model: bytes, options: EngineOptions) -> Engine:
    """Build what runs a choice, in one part or several.

    Args:
        choice: says runtimes, number formats and where to cut.
        model: serialized graph.
        options: of every part, but for the number format where the choice has parts.

    Raises:
        RuntimeUnavailableError: a runtime refuses its part, or the graph cannot be cut so.
    """
    if not choice.parts:
        return build_whole(choice.runtime, model, options)

    def build(part: Part, graph: bytes) -> Engine:
        precision = asked_precision(part.precision, choice.quantizer)
        return runtimes.load(part.runtime).build(graph, replace(options, precision=precision))

    return joined(model, choice.parts, build)


def asked_precision(precision: str, quantizer: str) -> str:
    """What to ask a runtime for: a quantized graph says its own formats, but for what is not quantized in bf16."""
    return "int8" if quantizer and precision != "bf16" else precision


def build_whole(runtime: str, model: bytes, options: EngineOptions) -> Engine:
    """Build one engine, or one around each custom layer of the graph.

    Raises:
        RuntimeUnavailableError: as `build_parts`.
    """
    parts = custom_parts(model, runtime, options.precision)
    if not parts:
        return runtimes.load(runtime).build(model, options)
    return joined(model, parts, lambda part, graph: runtimes.load(part.runtime).build(graph, options))


def build_default(runtime: str, model: bytes, way: str = "") -> Engine:
    """Build what a user gets who gives no options; custom layers run between calls of it.

    Args:
        runtime: adapter name.
        model: serialized graph.
        way: another way that people call the runtime, one of its adapter's `WAYS`.

    Raises:
        RuntimeUnavailableError: as `build_parts`.
    """
    parts = custom_parts(model, runtime, "fp32")
    if not parts:
        return _plainly(runtime, way)(model)
    return joined(model, parts, lambda part, graph: _plainly(part.runtime, way)(graph))


def _plainly(runtime: str, way: str) -> Callable[[bytes], Engine]:
    adapter = runtimes.load(runtime)
    return adapter.WAYS[way] if way and runtime != CUSTOM else adapter.build_default


def custom_parts(model: bytes, runtime: str, precision: str) -> tuple[Part, ...]:
    """Where a graph is to be cut for the sake of its registered custom layers; empty without any."""
    if not custom_layers.registered():
        return ()
    proto = parse(model)
    known = set(needed(proto))
    if not known:
        return ()
    kinds: list[tuple[str, str]] = []  # a runtime, and the last value that it makes
    for node in proto.graph.node:
        if node.op_type == "Constant" and not node.domain:
            continue  # in whatever part reads it
        kind, made = CUSTOM if is_custom(node, known) else runtime, [name for name in node.output if name][-1]
        if kinds and kinds[-1][0] == kind:
            kinds.pop()
        kinds.append((kind, made))
    last = len(kinds) - 1
    return tuple(
        Part(kind, "fp32" if kind == CUSTOM else precision, made if number < last else "")
        for number, (kind, made) in enumerate(kinds)
    )


def cut(model: bytes, parts: Sequence[Part]) -> list[GraphPart]:
    """Cut a serialized graph as parts say.

    Raises:
        RuntimeUnavailableError: it cannot be cut so.
    """
    if parts[-1].until:
        raise RuntimeUnavailableError("the graph cannot be cut: its last part does not reach the end")
    try:
        return split(ir.serde.deserialize_model(parse(model)), [part.until for part in parts[:-1]])
    except (ValueError, RuntimeError) as error:  # what the graph library raises
        raise RuntimeUnavailableError(f"the graph cannot be cut: {first_line(error)}") from error


def joined(model: bytes, parts: Sequence[Part], build: Callable[[Part, bytes], Engine]) -> PartedEngine:
    """Cut a graph, build every part, and join them.

    Raises:
        RuntimeUnavailableError: as `build_parts`; it names the part.
    """
    inputs, outputs = declared(parse(model))
    steps: list[Step] = []
    for number, (part, graph) in enumerate(zip(parts, cut(model, parts), strict=True)):
        name = f"part {number + 1} of {len(parts)} ({part.title})"
        try:
            steps.append(Step(name, build(part, serialized(graph.model)), graph.inputs, graph.outputs))
        except RuntimeUnavailableError as error:
            for step in steps:
                step.engine.close()
            raise RuntimeUnavailableError(f"{name}: {error.message}", hint=error.hint) from error
    return PartedEngine(steps, inputs, outputs)


def runtimes_of(choice: Choice) -> tuple[Part, ...]:
    """The parts of a choice; the whole of it where it has none."""
    return choice.parts or (Part(choice.runtime, choice.precision),)


def needs(choice: Choice, model: bytes) -> tuple[str, ...]:
    """What opening a plan takes beyond the light install: libraries, and functions of custom layers."""
    libraries = (name for part in runtimes_of(choice) for name in runtimes.load(part.runtime).NEEDS)
    return (*dict.fromkeys(libraries), *(f"{_NEED}{name}" for name in needed(parse(model))))


def missing_layer(wanted: Sequence[str]) -> str:
    """Name of the first custom layer among a plan's needs that nobody registered; empty where there is none."""
    return next(_missing(wanted), "")


def _missing(wanted: Sequence[str]) -> Iterator[str]:
    for each in wanted:
        name = each.removeprefix(_NEED)
        if name != each and name not in custom_layers.registered():
            yield name
