"""Single-operator graphs with random attributes: every operator of the zoo's exports and of the reference networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.random import Generator
from onnx import TensorProto, helper, numpy_helper

# Collected from the exports of all zoo networks and from the ONNX files of the reference data. Left out: Affine, Crop
# and ImageScaler, experimental operators that were withdrawn; a network is rewritten without them when it is read.
USED = frozenset(
    [
        "Add",
        "ArgMax",
        "AveragePool",
        "BatchNormalization",
        "Cast",
        "Clip",
        "Concat",
        "Constant",
        "ConstantOfShape",
        "Conv",
        "ConvTranspose",
        "DequantizeLinear",
        "Div",
        "Dropout",
        "Equal",
        "Exp",
        "Expand",
        "Flatten",
        "GRU",
        "Gather",
        "GatherND",
        "Gelu",
        "Gemm",
        "GlobalAveragePool",
        "HardSwish",
        "Identity",
        "If",
        "InstanceNormalization",
        "LRN",
        "LSTM",
        "LayerNormalization",
        "LeakyRelu",
        "MatMul",
        "MaxPool",
        "Mish",
        "Mul",
        "Not",
        "Pad",
        "Pow",
        "QuantizeLinear",
        "ReduceMean",
        "ReduceSum",
        "Relu",
        "Reshape",
        "Resize",
        "Shape",
        "Sigmoid",
        "Size",
        "Slice",
        "Softmax",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Tanh",
        "Transpose",
        "Unsqueeze",
        "Where",
    ]
)


@dataclass(frozen=True, slots=True)
class Case:
    """One node: arrays that are fed, arrays that are constants (None: left out), attributes, operator set, outputs."""

    fed: list[np.ndarray]
    constants: list[np.ndarray | None] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    opset: int = 17
    outputs: int = 1


def single(op: str, case: Case) -> bytes:
    """The graph of one node; the outputs' shapes are left to the runtime."""
    fed = [f"x{number}" for number in range(len(case.fed))]
    constants = {f"c{number}": value for number, value in enumerate(case.constants)}
    names = [*fed, *(name if value is not None else "" for name, value in constants.items())]
    outputs = [f"y{number}" for number in range(case.outputs)]
    return model([helper.make_node(op, names, outputs, **case.attributes)], case, constants, outputs)


def model(
    nodes: list[onnx.NodeProto], case: Case, constants: dict[str, np.ndarray | None], outputs: list[str]
) -> bytes:
    element = helper.np_dtype_to_tensor_dtype
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(f"x{i}", element(x.dtype), x.shape) for i, x in enumerate(case.fed)],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items() if value is not None],
    )
    proto = helper.make_model(made, opset_imports=[helper.make_opsetid("", case.opset)], ir_version=8)
    proto = onnx.shape_inference.infer_shapes(proto)
    for output in proto.graph.output:  # where inference does not know
        if not output.type.tensor_type.elem_type:
            output.type.tensor_type.elem_type = element(case.fed[0].dtype)
    return proto.SerializeToString()


def floats(r: Generator, *shape: int) -> np.ndarray:
    return r.standard_normal(shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def image(r: Generator, channels: int | None = None) -> np.ndarray:
    """Odd sizes on purpose."""
    return floats(r, int(r.integers(1, 3)), channels or int(r.integers(1, 6)), *r.integers(7, 13, 2))


def window(r: Generator, *, dilate: bool = True, automatic: bool = True) -> dict[str, Any]:
    kernel = [int(value) for value in r.integers(1, 4, 2)]
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": [int(value) for value in r.integers(1, 4, 2)]}
    if dilate and r.random() < 0.4:
        attributes["dilations"] = [int(value) for value in r.integers(1, 3, 2)]
    if automatic and r.random() < 0.3:
        attributes["auto_pad"] = str(r.choice(["SAME_UPPER", "SAME_LOWER", "VALID"]))
        attributes.pop("dilations", None)
    else:
        low = [int(r.integers(0, size)) for size in kernel]
        attributes["pads"] = low + (low if r.random() < 0.6 else [int(r.integers(0, size)) for size in kernel])
    return attributes


def conv(r: Generator) -> Case:
    group = int(r.choice([1, 1, 2, 4]))
    data, made = image(r, 4), window(r)
    weight = floats(r, 8, 4 // group, *made["kernel_shape"])
    return Case([data], [weight, *([floats(r, 8)] if r.random() < 0.5 else [])], {**made, "group": group})


def conv_transpose(r: Generator) -> Case:
    made = {name: value for name, value in window(r).items() if name in ("kernel_shape", "strides", "dilations")}
    low = [int(r.integers(0, size)) for size in made["kernel_shape"]]
    made["pads"] = low + low
    made["output_padding"] = [int(r.integers(0, stride)) for stride in made["strides"]]
    group = int(r.choice([1, 2]))
    return Case([image(r, 4)], [floats(r, 4, 3, *made["kernel_shape"]), floats(r, 3 * group)], {**made, "group": group})


def pool(r: Generator, **extra: Any) -> Case:
    # The reference evaluator has the wrong size for the automatic padding of pools.
    return Case([image(r)], attributes={**window(r, dilate=False, automatic=False), **extra})


def shape_of(r: Generator, low: int = 2, high: int = 5) -> tuple[int, ...]:
    return tuple(int(value) for value in r.integers(2, 6, int(r.integers(low, high))))


def elementwise(r: Generator, **attributes: Any) -> Case:
    return Case([2 * floats(r, *shape_of(r))], attributes=attributes)


def positive(r: Generator) -> Case:
    return Case([np.abs(floats(r, *shape_of(r))) + np.float32(0.1)])


def broadcast(r: Generator, kind: type = np.float32, *, positive: bool = False) -> Case:
    shape = shape_of(r)
    other = [size if r.random() < 0.6 else 1 for size in shape][int(r.integers(0, len(shape))) :]
    pair = [3 * floats(r, *shape), 3 * floats(r, *other)]
    pair = [np.abs(each) + 0.5 for each in pair] if positive else pair
    if kind is bool:
        return Case([each > 0 for each in pair])
    if kind is np.int64:  # equal ones must occur
        pair = [np.round(each) for each in pair]
    one, two = (each.astype(kind) for each in pair)
    return Case([one], [two]) if r.random() < 0.4 else Case([one, two])


def batch_norm(r: Generator) -> Case:
    parts = [floats(r, 5), floats(r, 5), floats(r, 5), np.abs(floats(r, 5)) + np.float32(0.1)]
    return Case([image(r, 5)], list(parts), {"epsilon": float(r.choice([1e-5, 1e-3]))})


def clip(r: Generator) -> Case:
    low, high = np.float32(-0.5), np.float32(0.7)
    limits: list[Any] = [[low, high], [None, high], [low], [low, high]][int(r.integers(4))]
    return Case([floats(r, 3, 5)], limits, opset=13)


def concat(r: Generator) -> Case:
    shape, axis = list(shape_of(r)), int(r.integers(2))
    second = [*shape[:axis], int(r.integers(1, 4)), *shape[axis + 1 :]]
    return Case(
        [floats(r, *shape), floats(r, *second)], attributes={"axis": axis - (len(shape) if r.random() < 0.5 else 0)}
    )


def gemm(r: Generator) -> Case:
    m, k, n = (int(value) for value in r.integers(1, 9, 3))
    left, right = bool(r.random() < 0.3), bool(r.random() < 0.6)
    data = floats(r, *((k, m) if left else (m, k)))
    weight = floats(r, *((n, k) if right else (k, n)))
    bias = [[floats(r, n)], [floats(r, m, n)], [floats(r, 1)], []][int(r.integers(4))]
    attributes = {"transA": int(left), "transB": int(right), "alpha": float(r.choice([1.0, 0.5])), "beta": 1.5}
    return Case([data], [weight, *bias], attributes)


def matmul(r: Generator) -> Case:
    k = int(r.integers(1, 9))
    return [
        Case([floats(r, 3, k)], [floats(r, k, 4)]),
        Case([floats(r, 2, 3, k), floats(r, 2, k, 5)]),
        Case([floats(r, 2, 3, 4, k)], [floats(r, k, 2)]),
        Case([floats(r, k), floats(r, k, 3)]),
    ][int(r.integers(4))]


def pad(r: Generator) -> Case:
    data, mode = image(r), str(r.choice(["constant", "reflect", "edge"]))
    pads = [0, 0, *(int(v) for v in r.integers(0, 4, 2)), 0, 0, *(int(v) for v in r.integers(0, 4, 2))]
    fill = [np.float32(1.5)] if mode == "constant" and r.random() < 0.7 else []
    return Case([data], [ints(*pads), *fill], {"mode": mode})


def reduction(r: Generator, *, axes_input: bool) -> Case:
    shape = shape_of(r, 3)
    axes = [int(value) for value in r.choice(len(shape), int(r.integers(1, 3)), replace=False)]
    axes = [axis - len(shape) if r.random() < 0.3 else axis for axis in axes]
    keep = {"keepdims": int(r.integers(2))}
    data = np.abs(floats(r, *shape)) + np.float32(0.1)
    return Case([data], [ints(*axes)], keep, 18) if axes_input else Case([data], [], {"axes": axes, **keep}, 13)


def resize(r: Generator) -> Case:
    data, mode = floats(r, 1, 2, 5, 6), str(r.choice(["nearest", "linear", "cubic"]))
    how = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]
    attributes = {"mode": mode, "coordinate_transformation_mode": str(r.choice(how))}
    if mode == "nearest":
        attributes["nearest_mode"] = str(r.choice(["floor", "round_prefer_floor", "round_prefer_ceil", "ceil"]))
    if r.random() < 0.5:
        sizes = ints(1, 2, *r.choice([4, 5, 7, 10, 12, 18], 2))
        return Case([data], [None, None, sizes], attributes, 13)
    scale = [np.float32(value) for value in r.choice([0.5, 1.0, 1.5, 2.0, 3.0], 2)]
    return Case([data], [None, np.array([1, 1, *scale], np.float32)], attributes, 13)


def reshape(r: Generator) -> Case:
    return Case([floats(r, 2, 3, 4)], [[ints(0, -1), ints(4, 6), ints(-1), ints(0, 0, 2, 2)][int(r.integers(4))]])


def slices(r: Generator) -> Case:
    length = 7
    start, stop = sorted(int(value) for value in r.choice(length, 2, replace=False))
    end = stop - length if r.random() < 0.3 else 2**63 - 1 if r.random() < 0.3 else stop
    return Case(
        [floats(r, 3, length, 4)], [ints(start), ints(end), ints(int(r.choice([1, -2]))), ints(int(r.integers(1, 3)))]
    )


def gather(r: Generator) -> Case:
    indices = r.integers(-3, 3, [(), (2,), (2, 2)][int(r.integers(3))])
    data, attributes = floats(r, 3, 4, 3), {"axis": int(r.choice([0, 2, -1]))}
    return (
        Case([data], [indices], attributes) if r.random() < 0.6 else Case([data, np.asarray(indices)], [], attributes)
    )


def squeeze(r: Generator) -> Case:
    return Case(
        [floats(r, 1, 3, 1, 2)], [ints(0)] if r.random() < 0.5 else [ints(-2)] if r.random() < 0.5 else [ints(0, 2)]
    )


def recurrent(r: Generator, gates: int, **attributes: Any) -> Case:
    steps, batch, size, hidden = 4, int(r.integers(1, 3)), 3, 5
    direction = str(r.choice(["forward", "reverse", "bidirectional"]))
    many = 2 if direction == "bidirectional" else 1
    constants: list[np.ndarray | None] = [
        floats(r, many, gates * hidden, size),
        floats(r, many, gates * hidden, hidden),
        floats(r, many, 2 * gates * hidden) if r.random() < 0.7 else None,
    ]
    if r.random() < 0.5:
        constants += [None, floats(r, many, batch, hidden), *([floats(r, many, batch, hidden)] if gates == 4 else [])]
    made = {"hidden_size": hidden, "direction": direction, **attributes}
    return Case([floats(r, steps, batch, size)], constants, made, 14, outputs=3 if gates == 4 else 2)


def gru(r: Generator) -> Case:
    return recurrent(r, 3, linear_before_reset=int(r.integers(2)))


def norm(r: Generator) -> Case:
    axis = int(r.choice([-1, 1]))
    shape = (4, 6)[axis if axis == -1 else 0 :]
    return Case([floats(r, 2, 4, 6)], [floats(r, *shape), floats(r, *shape)], {"axis": axis})


def quantized(r: Generator) -> Case:
    kind = np.uint8 if r.random() < 0.5 else np.int8
    return Case([floats(r, 3, 5)], [np.float32(0.02), kind(3)], opset=13)


def dequantized(r: Generator) -> Case:
    kind = np.uint8 if r.random() < 0.5 else np.int8
    data = r.integers(0, 100, (3, 5)).astype(kind)
    return Case([data], [np.float32(0.02), kind(3)], opset=19)


def topk(r: Generator) -> Case:
    attributes = {"axis": int(r.choice([0, -1])), "largest": int(r.integers(2))}
    return Case([floats(r, 4, 5)], [ints(3)], attributes, outputs=2)


def split(r: Generator) -> Case:
    return Case([floats(r, 2, 6)], [ints(2, 1, 3)], {"axis": int(r.choice([1, -1]))}, outputs=3)


def transpose(r: Generator) -> Case:
    shape = shape_of(r)
    given = {"perm": [int(axis) for axis in r.permutation(len(shape))]} if r.random() < 0.8 else {}
    return Case([floats(r, *shape)], attributes=given)


def cast(r: Generator) -> Case:
    to = [TensorProto.INT32, TensorProto.INT64, TensorProto.DOUBLE, TensorProto.BOOL][int(r.integers(4))]
    return Case([5 * floats(r, 3, 4)], attributes={"to": to})


def einsum(r: Generator) -> Case:
    sizes = dict(zip("bijk", (int(value) for value in r.integers(1, 5, 4)), strict=True))
    equation = str(r.choice(["bij,bjk->bik", "ij,kj->ik", "bij,bij->b"]))
    left, right = equation.partition("->")[0].split(",")
    return Case([floats(r, *(sizes[a] for a in each)) for each in (left, right)], attributes={"equation": equation})


def softmax(r: Generator) -> Case:
    shape = shape_of(r)
    return Case([3 * floats(r, *shape)], [], {"axis": int(r.integers(-1, len(shape)))}, int(r.choice([9, 13, 17])))


def blocks(r: Generator) -> dict[str, Any]:
    return {"blocksize": 2, "mode": str(r.choice(["DCR", "CRD"]))}


def where(r: Generator) -> Case:
    return Case([floats(r, 3, 4) > 0, floats(r, 3, 4), floats(r, 4)])


def local_response(case: Case) -> np.ndarray:
    """Each value divided by a power of the squares of its neighbours among the channels."""
    (data,), given, half = case.fed, case.attributes, case.attributes["size"] // 2
    squares = np.pad(data**2, ((0, 0), (half, half), (0, 0), (0, 0)))
    sums = sum(squares[:, near : near + data.shape[1]] for near in range(given["size"]))
    return data / (given["bias"] + given["alpha"] / given["size"] * sums) ** given["beta"]


def normalized(case: Case) -> np.ndarray:
    (data,) = case.fed
    return data / np.linalg.norm(data, case.attributes["p"], axis=1, keepdims=True)


def group_normalized(case: Case) -> np.ndarray:
    (data,), (scale, bias) = case.fed, case.constants
    assert scale is not None
    assert bias is not None
    groups = data.reshape(data.shape[0], case.attributes["num_groups"], -1)
    spread = np.sqrt(groups.var(-1, keepdims=True) + 1e-5)
    whole = ((groups - groups.mean(-1, keepdims=True)) / spread).reshape(data.shape)
    return whole * scale[:, None, None] + bias[:, None, None]


# Operators that the reference evaluator of onnx 1.23 lacks or computes wrongly, as their definitions read.
DEFINITIONS: dict[str, Callable[[Case], np.ndarray]] = {
    "GroupNormalization": group_normalized,
    "LRN": local_response,
    "LpNormalization": normalized,
}

CASES: dict[str, Callable[[Generator], Case]] = {
    "Abs": elementwise,
    "Add": broadcast,
    "And": lambda r: broadcast(r, bool),
    "ArgMax": lambda r: Case([floats(r, 3, 4)], [], {"axis": int(r.integers(-1, 2)), "keepdims": int(r.integers(2))}),
    "ArgMin": lambda r: Case([floats(r, 3, 4)], [], {"axis": int(r.integers(-1, 2))}),
    "AveragePool": lambda r: pool(r, count_include_pad=int(r.integers(2))),
    "BatchNormalization": batch_norm,
    "Cast": cast,
    "Ceil": elementwise,
    "Celu": lambda r: elementwise(r, alpha=0.7),
    "Clip": clip,
    "Concat": concat,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Cos": elementwise,
    "CumSum": lambda r: Case([floats(r, 3, 4)], [np.int64(r.integers(2))], {"reverse": int(r.integers(2))}),
    "DepthToSpace": lambda r: Case([floats(r, 1, 8, 3, 5)], attributes=blocks(r)),
    "DequantizeLinear": dequantized,
    "Div": lambda r: broadcast(r, positive=True),
    "Dropout": elementwise,
    "Einsum": einsum,
    "Elu": lambda r: elementwise(r, alpha=0.5),
    "Equal": lambda r: broadcast(r, np.int64),
    "Erf": elementwise,
    "Exp": elementwise,
    "Expand": lambda r: Case([floats(r, 3, 1)], [[ints(2, 1, 4), ints(3, 4), ints(1)][int(r.integers(3))]]),
    "Flatten": lambda r: Case([image(r)], [], {"axis": int(r.integers(0, 4))}),
    "Floor": elementwise,
    "GRU": gru,
    "Gather": gather,
    "GatherElements": lambda r: Case([floats(r, 3, 4)], [r.integers(-3, 3, (2, 4))], {"axis": 0}),
    "GatherND": lambda r: Case([floats(r, 3, 4, 2)], [r.integers(0, 3, (5, int(r.integers(1, 3))))]),
    "Gelu": lambda r: Case([floats(r, 3, 5)], [], {"approximate": str(r.choice(["none", "tanh"]))}, 20),
    "Gemm": gemm,
    "GlobalAveragePool": lambda r: Case([image(r)]),
    "GlobalMaxPool": lambda r: Case([image(r)]),
    "Greater": broadcast,
    "GreaterOrEqual": lambda r: broadcast(r, np.int64),
    "GroupNormalization": lambda r: Case([image(r, 6)], [floats(r, 6), floats(r, 6)], {"num_groups": 3}, 21),
    "HardSigmoid": lambda r: elementwise(r, alpha=0.3, beta=0.4),
    "HardSwish": elementwise,
    "Identity": elementwise,
    "InstanceNormalization": lambda r: Case([image(r, 3)], [floats(r, 3), floats(r, 3)]),
    "LRN": lambda r: Case([image(r, 5)], [], {"size": int(r.choice([1, 3])), "alpha": 0.5, "beta": 0.6, "bias": 1.5}),
    "LSTM": lambda r: recurrent(r, 4),
    "LayerNormalization": norm,
    "LeakyRelu": lambda r: elementwise(r, alpha=0.1),
    "Less": broadcast,
    "LessOrEqual": lambda r: broadcast(r, np.int64),
    "Log": positive,
    "LogSoftmax": softmax,
    "LpNormalization": lambda r: Case([floats(r, 3, 4)], [], {"axis": 1, "p": int(r.integers(1, 3))}),
    "MatMul": matmul,
    "Max": broadcast,
    "MaxPool": pool,
    "Mean": broadcast,
    "Min": broadcast,
    "Mish": lambda r: Case([floats(r, 3, 5)], opset=18),
    "Mod": lambda r: Case([r.integers(-9, 9, (3, 4))], [r.integers(1, 5, (4,))]),
    "Mul": broadcast,
    "Neg": elementwise,
    "Not": lambda r: Case([floats(r, 3, 4) > 0]),
    "OneHot": lambda r: Case([r.integers(0, 4, (3, 2))], [np.int64(4), np.array([0.5, 2], np.float32)], {"axis": -1}),
    "Or": lambda r: broadcast(r, bool),
    "PRelu": lambda r: Case([image(r, 4)], [floats(r, 4, 1, 1)]),
    "Pad": pad,
    "Pow": lambda r: Case([np.abs(floats(r, 3, 4)) + 0.5], [np.float32(r.choice([0.5, 2, 3]))]),
    "QuantizeLinear": quantized,
    "RNN": lambda r: recurrent(r, 1),
    "Reciprocal": positive,
    **{f"Reduce{name}": lambda r: reduction(r, axes_input=r.random() < 0.5) for name in (
        "L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")},
    "ReduceSum": lambda r: reduction(r, axes_input=True),
    "Relu": elementwise,
    "Reshape": reshape,
    "Resize": resize,
    "Round": elementwise,
    "ScatterElements": lambda r: Case([floats(r, 3, 3)], [ints(2, 0, 1).reshape(1, 3), floats(r, 1, 3)], {"axis": 0}),
    "ScatterND": lambda r: Case([floats(r, 4, 3)], [ints(3, 1).reshape(2, 1), floats(r, 2, 3)]),
    "Selu": elementwise,
    "Shape": lambda r: Case([image(r)]),
    "Sigmoid": elementwise,
    "Sign": elementwise,
    "Sin": elementwise,
    "Size": lambda r: Case([image(r)]),
    "Slice": slices,
    "Softmax": softmax,
    "Softplus": elementwise,
    "Softsign": elementwise,
    "SpaceToDepth": lambda r: Case([floats(r, 1, 3, 4, 6)], [], {"blocksize": 2}),
    "Split": split,
    "Sqrt": positive,
    "Squeeze": squeeze,
    "Sub": broadcast,
    "Sum": broadcast,
    "Tanh": elementwise,
    "ThresholdedRelu": lambda r: elementwise(r, alpha=0.5),
    "Tile": lambda r: Case([floats(r, 2, 3)], [ints(*r.integers(1, 4, 2))]),
    "TopK": topk,
    "Transpose": transpose,
    "Trilu": lambda r: Case([floats(r, 4, 5)], [np.int64(r.integers(-1, 2))], {"upper": int(r.integers(2))}),
    "Unsqueeze": lambda r: Case([floats(r, 3, 4)], [[ints(0, -1), ints(1), ints(2, 0)][int(r.integers(3))]]),
    "Upsample": lambda r: Case([floats(r, 1, 2, 3, 4)], [np.array([1, 1, 2, 3], np.float32)], {"mode": "nearest"}, 9),
    "Where": where,
    "Xor": lambda r: broadcast(r, bool),
}  # fmt: skip
