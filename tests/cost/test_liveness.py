"""What is alive at once, worked out by hand: chains, residuals, views, activations, and gaps of a packed block."""

from __future__ import annotations

from chipwise.core.layer import Layer
from chipwise.cost.liveness import input_bytes, most_alive, output_bytes, packed, planned


def row(name: str, size: int, *after: str, op: str = "Conv", activation: str = "") -> Layer:
    """A row that writes `size` bytes."""
    shape = (1, size // 4)
    return Layer(name, op, (shape,), (shape,), write_bytes=size, after=after, activation=activation)


def test_a_chain_holds_what_is_read_and_what_is_made() -> None:
    rows = [row("a", 100), row("b", 40, "a"), row("c", 80, "b"), row("d", 4, "c")]
    assert most_alive(rows) == 140
    assert most_alive(rows[1:]) == 120
    assert most_alive([]) == 0


def test_a_residual_is_held_until_it_is_added() -> None:
    rows = [row("a", 100), row("b", 100, "a"), row("c", 100, "b"), row("sum", 100, "c", "a", op="Add")]
    assert most_alive(rows) == 300
    # Compiled: c is computed on top of a, and the sum lies there too.
    assert most_alive(rows, fused=True) == 200
    assert [buffer.size for buffer in planned(rows, fused=True)] == [100, 100]
    # Where somebody else reads the residual later, nothing may lie on it.
    later = [*rows, row("late", 100, "sum", "a", op="Concat")]
    assert most_alive(later, fused=True) == 300


def test_a_concatenation_holds_all_its_parts() -> None:
    rows = [row("a", 40), row("b", 40, "a"), row("c", 40, "b"), row("all", 120, "a", "b", "c", op="Concat")]
    assert most_alive(rows) == 240


def test_an_activation_is_a_second_tensor_unless_fused() -> None:
    rows = [row("a", 100, activation="Relu"), row("b", 10, "a")]
    assert most_alive(rows) == 200
    assert most_alive(rows, fused=True) == 110


def test_what_was_read_is_gone_when_the_activation_runs() -> None:
    rows = [row("a", 100), row("b", 60, "a", activation="Relu"), row("c", 4, "b")]
    assert most_alive(rows) == 160  # a and b, then b twice


def test_views_keep_what_they_show() -> None:
    rows = [row("a", 100), row("flat", 100, "a", op="Reshape"), row("b", 8, "flat", op="Gemm"), row("c", 200, "b")]
    assert most_alive(rows) == 208
    swapped = [row("a", 100), row("b", 100, "a", op="Transpose"), row("c", 10, "b")]
    assert most_alive(swapped) == 110  # torch: a view
    assert most_alive(swapped, fused=True) == 200  # runtimes copy


def test_a_result_stays_to_the_end() -> None:
    rows = [row("first", 50), row("a", 100), row("b", 100, "a"), row("c", 10, "b")]
    assert most_alive(rows) == 250
    assert output_bytes(rows) == 60


def test_inputs_are_counted_once() -> None:
    image = (1, 3, 8, 8)
    rows = [
        Layer("a", "Conv", (image,), ((1, 8, 8, 8),), write_bytes=2048),
        Layer("b", "Conv", (image,), ((1, 8, 8, 8),), write_bytes=2048),
        Layer("c", "Add", ((1, 8, 8, 8), (1, 8, 8, 8)), ((1, 8, 8, 8),), write_bytes=2048, after=("a", "b")),
    ]
    assert input_bytes(rows) == 4 * 3 * 64


def test_packing_leaves_gaps() -> None:
    """A tensor of 30 does not fit where one of 20 was, although 20 bytes are free: the block has 90 bytes, not 70."""
    rows = [row("a", 20), row("b", 40, "a"), row("c", 30, "b"), row("d", 4, "c")]
    assert most_alive(rows, fused=True) == 70
    assert packed(rows) == 90
