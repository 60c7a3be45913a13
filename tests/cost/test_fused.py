"""Which layers run as one."""

from __future__ import annotations

from chipwise.core.layer import Layer, Shape
from chipwise.cost.fused import Kernel, kernels

MAP: Shape = (1, 32, 8, 8)


def row(
    name: str, op: str, *after: str, activation: str = "", groups: int = 1, kernel: int = 3, shape: Shape = MAP
) -> Layer:
    window = (kernel, kernel) if op == "Conv" else ()
    shapes = tuple(shape for _ in after or ("",))
    return Layer(
        name, op, shapes, (shape,), flops=1000, activation=activation, kernel=window,
        groups=groups, after=after,
    )  # fmt: skip


def grouped(*rows: Layer) -> list[tuple[str, tuple[str, ...]]]:
    return [(kernel.kind, kernel.names) for kernel in kernels(rows)]


def test_a_residual_block_is_two_kernels() -> None:
    found = grouped(
        row("c1", "Conv"), row("n1", "BatchNormalization", "c1", activation="Relu"),
        row("c2", "Conv", "n1"), row("n2", "BatchNormalization", "c2"),
        row("sum", "Add", "n2", "n1", activation="Relu"),
    )  # fmt: skip
    assert found == [("conv", ("c1", "n1")), ("conv", ("c2", "n2", "sum"))]


def test_what_an_addition_reads_counts() -> None:
    alone = kernels([row("a", "Conv"), row("b", "Conv", "a")])[1]
    added = kernels([row("a", "Conv"), row("b", "Conv", "a"), row("s", "Add", "b", "a")])[1]
    assert added.values == alone.values + 32 * 8 * 8


def test_a_normalization_before_a_convolution_runs_by_itself() -> None:
    found = grouped(
        row("join", "Concat"), row("n", "BatchNormalization", "join", activation="Relu"), row("c", "Conv", "n")
    )
    assert [kind for kind, _ in found] == ["concat", "scale", "conv"]


def test_what_others_read_too_is_not_folded_into() -> None:
    found = grouped(row("c", "Conv"), row("n", "BatchNormalization", "c"), row("p", "MaxPool", "c"))
    assert [kind for kind, _ in found] == ["conv", "scale", "pool"]


def test_nothing_folds_in_behind_an_activation() -> None:
    found = grouped(row("c", "Conv", activation="Relu"), row("n", "BatchNormalization", "c"))
    assert [kind for kind, _ in found] == ["conv", "scale"]


def test_views_cost_nothing_and_are_looked_through() -> None:
    found = grouped(row("c", "Conv"), row("v", "Reshape", "c"), row("r", "Relu", "v"))
    assert found == [("conv", ("c", "r"))]


def test_attention_is_one_kernel() -> None:
    heads = (1, 4, 16, 16)
    found = grouped(
        row("scores", "MatMul", "q", "k", shape=heads),
        row("soft", "Softmax", "scores", shape=heads),
        row("seen", "MatMul", "soft", "v", shape=heads),
    )
    assert found == [("matmul", ("scores", "soft", "seen"))]


def test_classes_of_convolutions() -> None:
    rows = [row("d", "Conv", groups=32), row("g", "Conv", groups=4), row("p", "Conv", kernel=1), row("x", "Strange")]
    assert [kind for kind, _ in grouped(*rows)] == ["depthwise", "grouped", "pointwise", "other"]


def sizes(found: tuple[Kernel, ...]) -> tuple[float, ...]:
    return found[0].sizes


def test_channels_that_leave_lanes_empty_are_told() -> None:
    full = sizes(kernels([row("c", "Conv")]))
    part = sizes(kernels([row("c", "Conv", shape=(1, 20, 8, 8))]))
    assert full == (64.0, 32.0, 32.0, 9.0, 1.0, 1.0)
    assert part[-1] == (32 / 20) ** 2


def test_a_convolution_of_unknown_shapes_is_a_kernel_like_others() -> None:
    (kernel,) = kernels([Layer("c", "Conv", (), (), groups=4, known=False)])
    assert (kernel.kind, kernel.sizes[1]) == ("grouped", 1.0)
