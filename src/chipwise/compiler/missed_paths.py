"""Fast paths that a plan does not take, and what to do about each: one small function a rule.

A rule looks at the graph that ships, at its layers, and at what the search tried; it answers with what it found and
what to do, or with nothing. None of them guesses at a gain: their share is of the time, or of the work, that is
concerned.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chipwise.compiler.blocks import LAYER_OPS
from chipwise.core.plan_sheet import MissedPath
from chipwise.optimize.rewrite import constant, is_op, only_reader, permutation, shape_of, text
from chipwise.runtimes.products import native

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import onnx_ir as ir

    from chipwise.core.plan_sheet import PlanSheet, SheetLayer

_HEAVY, _NOTABLE = 0.03, 0.02  # shares of the time or work from which on something is worth a line
_THIN = 4  # channels of pictures: nobody can choose these
_SLOW = {
    "NonMaxSuppression": "leave it out of the graph: chipwise run finds boxes in raw outputs itself",
    "Resize": "nearest or linear by a whole factor is fast; cubic and other factors are not",
    "Upsample": "export it anew with a newer opset",
    "Loop": "unroll it where its length is known",
    "Scan": "unroll it where its length is known",
    "If": "export the branch that is taken",
    "GridSample": "sample outside of the network where that can be",
    "NonZero": "its result has a free size: mask by a product instead",
    "TopK": "take the best outside of the network where they are only read there",
    "ScatterND": "write by Concat or Where in the place of assignments to slices",
    "Einsum": "write it as MatMul, which every runtime has a kernel for",
}
_NORMS = ("BatchNormalization", "Mul", "Add", "Sub", "Div")
_LAYOUTS = ((0, 2, 3, 1), (0, 3, 1, 2))


@dataclass(frozen=True, slots=True)
class Facts:
    """What rules look at.

    Attributes:
        sheet: the plan with its layers, still without missed paths.
        graph: that ships; its nodes have the names that the layers have.
    """

    sheet: PlanSheet
    graph: ir.Model

    def share(self, layers: Iterable[SheetLayer]) -> float | None:
        """Share of the whole time, or of the work where nothing was timed; None where that is not known."""
        whole_s = self.sheet.layers_s
        if whole_s:
            return sum(each.time_s or 0.0 for each in layers) / whole_s
        flops = sum(each.flops for each in self.sheet.layers)
        return sum(each.flops for each in layers) / flops if flops else None

    def heaviest(self, layers: Iterable[SheetLayer]) -> tuple[SheetLayer, ...]:
        """The same, those that take the longest, or do the most, first."""
        timed = bool(self.sheet.layers_s)
        return tuple(sorted(layers, key=lambda each: -((each.time_s or 0.0) if timed else each.flops)))

    def owners(self, nodes: Iterable[ir.Node]) -> tuple[SheetLayer, ...]:
        """Layers that nodes belong to, the heaviest first."""
        names = {node.name for node in nodes}
        return self.heaviest(each for each in self.sheet.layers if names & {each.name, *each.others})

    def path(self, what: str, todo: str, layers: Iterable[SheetLayer]) -> MissedPath:
        """What was missed in some layers, with their share."""
        found = self.heaviest(layers)
        return MissedPath(what, todo, self.share(found) if found else None, tuple(each.name for each in found))


def missed_paths(facts: Facts) -> tuple[MissedPath, ...]:
    """What every rule finds, the largest share first; rules without a share come last, in their order."""
    found = [path for rule in RULES for path in rule(facts)]
    return tuple(sorted(found, key=lambda path: -1.0 if path.share is None else -1 - path.share))


def layers_in_float(facts: Facts) -> Iterator[MissedPath]:
    """Layers of a quantized plan that could be quantized and are not."""
    choice = facts.sheet.manifest.choice
    if not choice.quantizer:
        return
    found = [each for each in facts.sheet.layers if each.op in LAYER_OPS and each.format != "int8"]
    kept = [each for each in found if {each.name, *each.others} & set(choice.kept)]
    others = [each for each in found if each not in kept]
    if kept:
        todo = "wanted, by --keep or to hold the accuracy; a larger --max-drop or more samples may free some"
        yield facts.path(f"{_layers(kept)} kept in float", todo, kept)
    if others:
        todo = f"{choice.quantizer} left out what multiplies two activations, or has no constant weights"
        yield facts.path(f"{_layers(others)} not quantized", todo, others)


def no_int8(facts: Facts) -> Iterator[MissedPath]:
    """A float plan: why int8 did not win, where that could be changed."""
    manifest = facts.sheet.manifest
    if "int8" in facts.sheet.work:
        return
    tried = [each for each in manifest.candidates if each.choice.quantizer]
    rejected = [each for each in tried if each.status == "rejected"]
    if not tried and manifest.max_drop is None:
        yield MissedPath("no int8 was tried: there were no samples to guard by", "compile it with --data D")
    elif rejected and len(rejected) == len([each for each in tried if each.status != "failed"]):
        more = max((each.accuracy.needed for each in rejected if each.accuracy is not None), default=0)
        todo = f"give at least {more:,} samples, or a larger --max-drop" if more else "a larger --max-drop"
        yield MissedPath("every int8 graph lost too much accuracy, or might have", todo)


def absent_formats(facts: Facts) -> Iterator[MissedPath]:
    """Number formats that the plan's processor has no instructions for, and what it has none of at all."""
    machine = facts.sheet.manifest.machine
    lacking = [name for name in ("bf16", "fp16", "int8") if not native(name, machine)]
    tiles = machine.architecture in ("x86_64", "AMD64") and not any(name.startswith("amx") for name in machine.isa)
    parts = [f"no instructions for {' and '.join(lacking)}"] * bool(lacking)
    parts += ["no AMX, which multiplies bf16 and int8 in tiles"] * tiles
    if parts:
        todo = "nothing here; on a processor that has them: chipwise compile --from X.plan"
        yield MissedPath(f"the processor has {'; and '.join(parts)}", todo)


def own_formats(facts: Facts) -> Iterator[MissedPath]:
    """A graph whose weights are stored in a format that the processor has to convert, or that takes twice the room."""
    held: Counter[str] = Counter()
    for value in facts.graph.graph.initializers.values():
        if value.const_value is not None:
            held[value.const_value.dtype.name] += value.const_value.size
    usual = held.most_common(1)[0][0] if held else ""
    if usual == "DOUBLE":
        yield MissedPath("the weights are float64, at half the speed of float32", "export the network in float32")
    elif usual in ("FLOAT16", "BFLOAT16"):
        form = {"FLOAT16": "fp16", "BFLOAT16": "bf16"}[usual]
        if not native(form, facts.sheet.manifest.machine):
            todo = "export the network in float32, and let compile choose the format"
            yield MissedPath(f"the weights are {form}, which is converted in every layer here", todo)


def transposes(facts: Facts) -> Iterator[MissedPath]:
    """Changes of layout in the graph that no pass could take out; those that attention needs are left alone."""
    found = [node for node in facts.graph.graph if is_op(node, "Transpose") and constant(node.inputs[0]) is None]
    found = [node for node in found if permutation(node) in _LAYOUTS and not _of_attention(node)]
    if not found:
        return
    at_input = any(node.inputs[0] is not None and node.inputs[0].is_graph_input() for node in found)
    todo = "export the network with channels first" if not at_input else "feed channels first, and export it so"
    count = f"{len(found)} transpose{'s' if len(found) > 1 else ''}"
    yield facts.path(f"{count} between layouts left in the graph", todo, facts.owners(found))


def _of_attention(node: ir.Node) -> bool:
    made = node.inputs[0].producer() if node.inputs[0] is not None else None
    readers = [reader for reader, _ in node.outputs[0].uses()]
    return is_op(made, "Reshape", "Split") or any(is_op(reader, "MatMul", "Reshape") for reader in readers)


def odd_channels(facts: Facts) -> Iterator[MissedPath]:
    """Heavy layers whose channels do not fill the processor's vectors."""
    isa = facts.sheet.manifest.machine.isa
    step = 16 if any(name.startswith("avx512") for name in isa) else 8
    odd: dict[str, str] = {}
    for node in facts.graph.graph:
        if not is_op(node, "Conv", "Gemm", "MatMul", "ConvTranspose"):
            continue
        wrong = [count for count in _channels(node) if count > _THIN and count % step]
        if wrong:
            odd[node.name or ""] = " and ".join(map(str, wrong))
    found = [each for each in facts.sheet.layers if each.name in odd and (facts.share([each]) or 0.0) >= _HEAVY]
    if found:
        heavy = facts.heaviest(found)
        widths = ", ".join(dict.fromkeys(odd[each.name] for each in heavy[:3]))
        what = f"{_layers(found)} of widths that are no multiple of {step} ({widths})"
        yield facts.path(what, f"train it with widths in steps of {step}: a part of a vector costs a whole one", found)


def _channels(node: ir.Node) -> tuple[int, ...]:
    """Channels that a layer reads, where it is not grouped, and gives, where these are not the network's answers."""
    shapes = [shape_of(node.inputs[0]), *([] if node.outputs[0].is_graph_output() else [shape_of(node.outputs[0])])]
    axis = 1 if is_op(node, "Conv", "ConvTranspose") else -1
    if "group" in node.attributes and node.attributes["group"].as_int() > 1:
        shapes = shapes[1:]
    known = (shape[axis] for shape in shapes if shape and len(shape) > 1)
    return tuple(dict.fromkeys(count for count in known if count))


def loose_factors(facts: Facts) -> Iterator[MissedPath]:
    """Normalizations, factors and offsets behind a layer that passes left; in a source graph, runtimes fold most."""
    found = [node for node in facts.graph.graph if is_op(node, *_NORMS) and _foldable(node)]
    if found and not facts.sheet.manifest.choice.source:
        names = ", ".join(f"{count} {op}" for op, count in Counter(node.op_type for node in found).items())
        layers = tuple(each.name for each in facts.owners(found))
        what = f"{names} with constants behind a layer, not folded into its weights"
        yield MissedPath(what, "report it, with the network: a pass should have folded them", None, layers)


def _foldable(node: ir.Node) -> bool:
    """Reads a layer that nobody else reads, and else only constants."""
    layers = [value for value in node.inputs if value is not None and constant(value) is None]
    if len(layers) != 1 or not only_reader(layers[0]):
        return False
    maker = layers[0].producer()
    if not is_op(maker, "Conv", "ConvTranspose", "Gemm") or maker is None:
        return False
    sizes = [held.size for value in node.inputs[1:] if (held := constant(value)) is not None]
    channels = (shape_of(maker.outputs[0]) or (None, None))[1:2]
    return constant(maker.inputs[1]) is not None and all(size == 1 or (size,) == channels for size in sizes)


def free_sizes(facts: Facts) -> Iterator[MissedPath]:
    """Free dimensions: those beyond the batch, and shapes that are computed while the network runs."""
    manifest = facts.sheet.manifest
    free = [spec.name for spec in manifest.inputs if any(isinstance(dim, str) for dim in spec.shape[1:])]
    if free:
        todo = "export it with fixed sizes where they do not change: buffers and kernels are then chosen beforehand"
        yield MissedPath(f"free dimensions beside the batch: {', '.join(free)}", todo)
    batched = any(isinstance(dim, str) for spec in manifest.inputs for dim in spec.shape[:1])
    counted = sum(is_op(node, "Shape", "Size") for node in facts.graph.graph)
    if counted and batched and not free:
        times = f"{counted} time{'s' if counted > 1 else ''}"
        todo = f"export it with a fixed batch of {manifest.choice.batch} where that is all you run"
        yield MissedPath(f"shapes are computed {times} while it runs, because the batch is free", todo)


def slow_operators(facts: Facts) -> Iterator[MissedPath]:
    """Operators that runtimes are slow at."""
    for op, todo in _SLOW.items():
        nodes = [node for node in facts.graph.graph if is_op(node, op) and not _fast_resize(node)]
        layers = facts.owners(nodes)
        share = facts.share(layers) if facts.sheet.layers_s else None
        if nodes and (share is None or share >= _NOTABLE):
            yield MissedPath(f"{len(nodes)} {op}", todo, share, tuple(each.name for each in layers))


def _fast_resize(node: ir.Node) -> bool:
    """By a whole factor, to the nearest or linear."""
    if not is_op(node, "Resize") or text(node, "mode", "nearest") == "cubic":
        return False
    before, after = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    pairs = list(zip(before or (), after or (), strict=False))[2:]
    return bool(pairs) and all(a and b and b % a == 0 for a, b in pairs)


def conversions(facts: Facts) -> Iterator[MissedPath]:
    """Time that goes into changes of layout and number format."""
    sheet = facts.sheet
    share = sheet.beside_s / sheet.layers_s if sheet.beside_s and sheet.layers_s else 0.0
    if share < _NOTABLE:
        return
    choice = sheet.manifest.choice
    if choice.quantizer:
        todo = "layers in float between quantized ones cost two conversions: keep whole blocks in float, or none"
    else:
        todo = f"{choice.runtime} puts them around operators that have no kernel in its own layout"
    yield MissedPath("changes of layout or number format between layers", todo, share)


def denormals(facts: Facts) -> Iterator[MissedPath]:
    """Numbers so small that products with them take a hundred times as long."""
    sheet = facts.sheet
    slow = " (OpenVINO takes them for zero)" if sheet.manifest.choice.runtime == "openvino" else ""
    if sheet.denormal_weights:
        what = f"{sheet.denormal_weights:,} weights are denormal{slow}"
        yield MissedPath(what, "compile it anew: a pass sets them to zero")
    if sheet.denormal_values:
        count = sum(sheet.denormal_values.values())
        layers = tuple(sorted(sheet.denormal_values, key=lambda name: -sheet.denormal_values[name]))  # type: ignore[index]
        todo = "prune channels that died, and compile it anew; or run it on OpenVINO"
        yield MissedPath(f"layers give {count:,} denormal numbers on the sample{slow}", todo, None, layers)


def rolled_back(facts: Facts) -> Iterator[MissedPath]:
    """Passes that did not fit the graph."""
    for line in facts.sheet.manifest.passes:
        if line.startswith("rolled back "):
            yield MissedPath(f"a pass was {line}", "report it, with the network")


def short_search(facts: Facts) -> Iterator[MissedPath]:
    """Candidates that no time was left for."""
    manifest = facts.sheet.manifest
    left = [each for each in manifest.candidates if "no time" in each.reason or "time budget" in each.reason]
    if left or not manifest.complete:
        count = f"{len(left)} candidate{'s' if len(left) != 1 else ''}"
        what = f"no time was left for {count}" if left else "the search did not finish"
        yield MissedPath(what, "chipwise compile --from X.plan with a larger --budget")


def _layers(found: list[SheetLayer]) -> str:
    return f"{len(found)} layer{'s' if len(found) != 1 else ''}"


RULES: tuple[Callable[[Facts], Iterable[MissedPath]], ...] = (
    layers_in_float,
    no_int8,
    conversions,
    slow_operators,
    transposes,
    odd_channels,
    loose_factors,
    free_sizes,
    denormals,
    own_formats,
    rolled_back,
    short_search,
    absent_formats,
)
