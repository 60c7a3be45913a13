"""Plans whose hashes fit and whose contents do not: one field, member or header of a good plan changed to odd values.

Bytes that are flipped stop at the hashes. What is changed here is hashed anew, so that it reaches the loader: types,
numbers, runtimes, cuts, names, another network's graph, other samples, and what the headers of the archive say.
"""

from __future__ import annotations

import copy
import io
import json
import random
import struct
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
from mutate import mutated
from rich.console import Console
from small_graphs import convolution, parsed

from chipwise.codec.hashes import sha256_bytes
from chipwise.codec.plan_file import read_plan, write_plan
from chipwise.compiler.load import open_plan
from chipwise.compiler.oracle import relative_error
from chipwise.compiler.parts import custom_parts, needs
from chipwise.compiler.quantizers import quantize
from chipwise.compiler.runner import Runner, from_plan
from chipwise.compiler.trials import build
from chipwise.core.custom_layers import register
from chipwise.core.device import Machine
from chipwise.core.plan import Choice, Part, Plan
from chipwise.core.task import Detection, Head, Stream, Task
from chipwise.devices.detect import detect
from chipwise.views.as_json import as_json
from chipwise.views.tables import table

Members = dict[str, bytes]
Seeds = list[tuple[str, bytes]]

_FAR = 0.1  # what bf16 and int8 may differ by; what runs wrongly differs by far more
_BELOW = ("choice", "choice", "choice", "inputs", "outputs", "task", "needs", "files", "source", "machine", "versions")
# Not "inductor": its compiler takes seconds for each.
_ODD: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2, 7, 4096, 10**9, 2**31, 2**32, -(2**63), 2**64, 10**30, 0.5, -0.0, 1e-320, 1e308, "",
    " ", "x", "y", "r", "../../../etc/passwd", "/dev/zero", "a/b\\c", "a\nb", "\0", "\u202e", "x" * 100_000,
    "onnxruntime", "openvino", "tensorrt", "onnxruntime-cuda", "reference", "python", "fp32", "fp16", "bf16", "int8",
    "int4", "fp99", "float64", "int64", "object", "batch", "nncf", [], {}, [0], [""], ["x"], [[]], [None], {"x": 1},
    [-1, 1, 8, 8], ["batch", 1, 10**9, 8], ["custom layer doc::Nobody"], ["torch"], [{"runtime": "onnxruntime"}],
    [{"runtime": "onnxruntime", "until": "r"}, {"runtime": "openvino"}],
    [{"runtime": "onnxruntime", "until": "nowhere"}, {"runtime": "openvino"}],
    [{"runtime": "python", "until": "r"}, {"runtime": "onnxruntime"}],
    [{"runtime": "onnxruntime", "until": "r"}] * 2000,
    {"kind": "tensor"}, {"kind": "image", "rendering": {"scale": 1e308}}, {"kind": "segmentation"},
    {"kind": "detection", "detection": {"decoder": "yolo", "heads": [{"rows": 10**6, "columns": 9**6, "anchors": []}]}},
    {"kind": "sequence", "stream": {"step": 0}}, {"kind": "sequence", "stream": {"step": 10**9, "context": 10**9}},
    {"kind": "classification", "preprocess": {"height": 10**6, "width": 10**6}},
)  # fmt: skip


def plan_seeds(folder: Path) -> Seeds:
    """Plans of one engine, of OpenVINO, in parts, quantized in part, and with a custom layer; what each answers."""
    seeds = []
    for name, plan in _plans().items():
        write_plan(folder / f"{name}.plan", plan)
        seeds.append((f"{name}.plan", (folder / f"{name}.plan").read_bytes()))
        rng = np.random.default_rng(2)
        fresh = [rng.random((3, *each.shape[1:])).astype(each.dtype) for each in plan.sample_inputs]
        right = open_plan(plan, detect()).run(fresh)
        names = [spec.name for spec in plan.manifest.outputs]
        np.savez(folder / f"{name}.npz", *fresh, **dict(zip(names, right, strict=True)))
    return seeds


@cache  # two kinds of damage begin with them, and they take seconds to make
def _plans() -> dict[str, Plan]:
    _custom()
    whole, custom, stream, boxes = (
        _compiled(graph.SerializeToString()) for graph in (convolution(), _TWICE, _REMEMBERING, _BOXES)
    )
    rows = np.random.default_rng(1).random((40, 1, 1, 8, 8)).astype(np.float32)
    int8 = quantize("onnxruntime", whole.model, rows, detect(), ("dense",))
    head = Head(8, 8, ((3.0, 4.0),))
    mixed = Choice("onnxruntime", "int8", quantizer="onnxruntime", kept=("dense",))
    parts = (Part("onnxruntime", until="r"), Part("openvino"))
    return {
        "whole": whole,
        "openvino": _as(whole, Choice("openvino", threads=0)),
        "parts": _as(whole, Choice("openvino", parts=parts, streams=2)),
        "mixed": _as(replace(whole, model=int8), mixed),
        "custom": _as(custom, Choice("onnxruntime", parts=custom_parts(custom.model, "onnxruntime", "fp32"))),
        "stream": _for(stream, Task("sequence", stream=Stream(3, 1, (("s", "t"),)))),
        "boxes": _for(boxes, replace(boxes.manifest.task, kind="detection", detection=Detection("yolo", (head,)))),
    }


def _compiled(model: bytes) -> Plan:
    from chipwise.api import compile

    quick = (patch("chipwise.compiler.race._PAUSE_S", 0.0), patch("chipwise.clock.interleave._BLOCK_S", 0.002))
    with TemporaryDirectory() as folder, quick[0], quick[1]:
        path = Path(folder) / "seed.onnx"
        path.write_bytes(model)
        return compile(path, budget_s=0.2, runtimes=("onnxruntime",))


def _as(plan: Plan, choice: Choice) -> Plan:
    """The plan by another choice, with the answers of that."""
    engine = build(choice, plan.model)
    facts = replace(plan.manifest, choice=choice, needs=needs(choice, plan.model), limit_s=0.01, unmet="too slow")
    return replace(plan, manifest=facts, expected_outputs=tuple(engine.run(plan.sample_inputs)))


def _for(plan: Plan, task: Task) -> Plan:
    return replace(plan, manifest=replace(plan.manifest, task=task))


_TWICE = parsed(
    "g (float[batch, 6] x) => (float[batch, 6] y) <float[batch, 6] a, float[batch, 6] b>"
    "{ a = Neg(x) b = doc.Twice(a) y = Abs(b) }"
)
_REMEMBERING = parsed(
    "g (float[batch, 4] x, float[batch, 4] s) => (float[batch, 4] y, float[batch, 4] t) { t = Add(x, s) y = Tanh(t) }"
)
_BOXES = parsed(
    "g (float[batch, 3, 8, 8] x) => (float[batch, 6, 8, 8] y) <float[6, 3, 1, 1] w = {1, 0, 2, -1, 0, 1, 3, 1, 0, "
    "-2, 1, 1, 0, 0, 5, 1, 2, 3}> { y = Conv(x, w) }"
)
_TWICE.opset_import.add(domain="doc", version=1)


def _custom() -> None:
    register("doc::Twice", lambda x: x + x)


@cache
def _here() -> Machine:
    return detect()


def open_and_ask(path: Path) -> None:
    """Read a plan, print it, open it, and ask it: whoever answers must answer what the good plan does."""
    _custom()
    plan = read_plan(path)
    as_json(plan.manifest)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of overflows in odd numbers
        Console(file=io.StringIO(), width=100).print(table(plan.manifest))
        runner = from_plan(plan, path.name, _here())
        with np.load(path.with_suffix(".npz")) as stored:
            fresh = [stored[name] for name in stored.files if name.startswith("arr_")]
            right = {name: stored[name] for name in stored.files if not name.startswith("arr_")}
        got = runner.run(*fresh)
        assert got.keys() == right.keys(), f"outputs {list(got)}"
        far = relative_error(list(got.values()), list(right.values()))
        assert far <= _FAR, f"it runs wrongly: differs by {far:.1e}"
        runner.run(**dict(zip((spec.name for spec in runner.inputs), fresh, strict=True)))
        runner.predict(_something(runner, fresh))
    runner.close()


def _something(runner: Runner, fresh: list[Any]) -> Any:
    """A picture, a signal, or one item, as the task takes it."""
    if runner.task.stream is not None:
        return np.arange(10, dtype=np.float32)
    if runner.task.preprocess is not None:
        return np.full((9, 7, runner.task.preprocess.channels), 99, np.uint8)
    return [array[:1] for array in fresh] if len(fresh) > 1 else fresh[0][:1]


def changed_plan(seed: bytes, number: int) -> bytes:
    """Change a plan in one to three places and hash it anew; always the same bytes for the same number."""
    chance = random.Random(number)
    with zipfile.ZipFile(io.BytesIO(seed)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members.pop("manifest.json"))
    members.pop("manifest.sha256")
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        _one_change(manifest, members, chance)
    facts = manifest.get("files")
    if isinstance(facts, dict) and chance.random() < 0.95:
        for name in (*facts, *members):
            if name in members:
                facts[name] = {"size_bytes": len(members[name]), "sha256": sha256_bytes(members[name])}
            else:
                facts.pop(name)
    text = json.dumps(manifest, ensure_ascii=False).encode(errors="surrogatepass")
    whole = {"manifest.json": text, "manifest.sha256": sha256_bytes(text).encode()} | members
    return _archive(whole, chance)


def _one_change(manifest: dict[str, Any], members: Members, chance: random.Random) -> None:
    match chance.randrange(20):
        case 0 | 1:
            members["model.onnx"] = _graph(members["model.onnx"], chance)
        case 2 | 3 | 4:
            _change_sample(members, chance)
        case _:
            _change_field(manifest, chance)


def _change_field(manifest: dict[str, Any], chance: random.Random) -> None:
    start = chance.choice(_BELOW) if chance.random() < 0.7 else None
    places = [place for place in _places(manifest) if start is None or place[0] == start]
    if not places:
        return
    *way, last = chance.choice(places)
    holder: Any = manifest
    for step in way:
        holder = holder[step]
    match chance.randrange(10):
        case 0:
            del holder[last]
        case 1 if isinstance(holder, list):
            holder[:] = holder * chance.choice((2, 100))
        case 2 if isinstance(holder[last], (int, float)) and not isinstance(holder[last], bool):
            holder[last] = holder[last] * chance.choice((-1, 2, 10**6)) + chance.choice((-1, 0, 1))
        case 3 if isinstance(holder[last], str):
            holder[last] = holder[last] + chance.choice(("x", "\n", "/", "0", " "))
        case 4:
            *other, end = chance.choice(places)
            source: Any = manifest
            for step in other:
                source = source[step]
            holder[last] = copy.deepcopy(source[end])
        case 5 if isinstance(holder, dict):
            holder[f"new {last}"] = chance.choice(_ODD)
        case _:
            holder[last] = chance.choice(_ODD)


def _places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [each for key, inner in inside for each in ((*way, key), *_places(inner, (*way, key)))]


def _graph(model: bytes, chance: random.Random) -> bytes:
    """Another network's graph, or this one with something else in it."""
    others = (
        "g (float[batch, 1, 8, 8] x) => (float[batch, 3] y) <float[3, 64] w, int64[2] s> { f = Flatten(x) "
        "t = Transpose(w) y = MatMul(f, t) }",
        "g (float[batch, 1, 8, 8] x) => (float[batch, 1, 8, 8] y) { y = Neg(x) }",
        "g (float[batch, 6] x) => (float[batch, 6] y) { y = Neg(x) }",
        "g (float[batch, 6] x, float[batch, 6] z) => (float[batch, 6] y, float[batch, 6] u) "
        "{ y = Add(x, z) u = Neg(x) }",
        "g (int64[batch, 6] x) => (int64[batch, 6] y) { y = Neg(x) }",
    )
    match chance.randrange(4):
        case 0:
            return chance.choice((b"", b"\0" * 100, model + model, model[: len(model) // 2]))
        case 1:
            return parsed(chance.choice(others)).SerializeToString()
        case 2:
            proto = convolution()
            proto.graph.initializer[chance.randrange(4)].raw_data = bytes(4)
            return proto.SerializeToString()
        case _:
            names = ((b"x", b"z"), (b"y", b"z"), (b"batch", b"butch"), (b"Relu", b"Rexu"), (b"Abs", b"Neg"))
            return model.replace(*chance.choice(names))


def _change_sample(members: Members, chance: random.Random) -> None:
    names = sorted(name for name in members if name.startswith("sample/"))
    if not names:
        return
    name = chance.choice(names)
    try:
        array = np.load(io.BytesIO(members[name])) if chance.random() < 0.8 else None
    except ValueError:  # an earlier change left what is no array
        return
    changes: tuple[Callable[[Any], Any], ...] = (
        lambda a: a + 1, lambda a: a * np.nan, lambda a: a.astype(np.float64), lambda a: a.astype(np.int64),
        lambda a: a.astype("S4"), lambda a: a.astype(">f4"), lambda a: a.reshape(-1), lambda a: a[:0],
        lambda a: np.repeat(a, 3, axis=0), lambda a: np.zeros((4, 10), np.float32), lambda a: np.float32(1.0),
        lambda a: a.astype(bool), lambda a: np.zeros(2, [("a", "f4")]), lambda a: a.astype("M8[s]"), lambda a: a.T,
    )  # fmt: skip
    if array is None:
        match chance.randrange(4):
            case 0:
                del members[name]
            case 1:
                more = ("sample/input_1.npy", "sample/output_1.npy", "sample/output_00.npy")
                members[chance.choice(more)] = members[name]
            case 2:
                members[name] = members[chance.choice(names)]
            case _:
                members[name] = mutated(members[name], chance.randrange(1 << 30), text=False)
        return
    stream = io.BytesIO()
    try:
        np.save(stream, chance.choice(changes)(array))
    except (ValueError, TypeError, IndexError, RuntimeError):  # as above: there are arrays that have no such change
        return
    members[name] = stream.getvalue()


def _archive(members: Members, chance: random.Random) -> bytes:
    """A zip of the members; now and then one whose headers lie."""
    kind = chance.randrange(40)
    compression = zipfile.ZIP_DEFLATED if kind == 0 else zipfile.ZIP_STORED
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", compression) as archive:
        warnings.simplefilter("ignore")  # of names that come twice
        for name, data in members.items():
            archive.writestr(name, data)
        if kind == 1:
            name = chance.choice(list(members))
            archive.writestr(name, members[name] if chance.random() < 0.5 else b"other")
        if kind == 2:
            more = ("../x", "/x", "a\\b", "sample/", "sample/input_9999.npy", "model.onnx/")
            archive.writestr(chance.choice(more), b"")
        if kind == 3:
            archive.comment = b"PK\x05\x06" * 20
    data = bytearray(stream.getvalue())
    if kind in (4, 5):  # sizes, offsets and names in one of the headers
        mark = chance.choice((b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"))
        starts = [at for at in range(len(data) - 46) if data[at : at + 4] == mark] or [0]
        at = chance.choice(starts) + chance.choice((6, 8, 10, 14, 18, 20, 22, 24, 26, 28, 30, 32, 42))
        data[at : at + 4] = struct.pack("<I", chance.choice((0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)))
    return bytes(data)
