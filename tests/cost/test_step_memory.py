"""A step's moments by hand: what piles up, what comes back, and what segments that are run again change."""

from __future__ import annotations

import pytest

from chipwise.core.estimate import Workload
from chipwise.core.layer import Layer
from chipwise.core.training_memory import Savings
from chipwise.cost.step_memory import belongs, fullest_moment
from chipwise.cost.training_memory import Around, evaluation_memory, process_memory

KIB = 1024


def row(
    name: str, op: str, after: tuple[str, ...] = (), *, saved: int = 0, parameters: int = 0, act: str = ""
) -> Layer:
    """A layer that reads and writes one KiB."""
    shape = ((1, 256),)
    return Layer(name, op, shape, shape, parameters, 10, 0, KIB, KIB * saved, act, after=after)


CHAIN = [
    row("a", "Conv", saved=1, parameters=256),
    row("b", "Conv", ("a",), saved=1, parameters=256),
    row("c", "Conv", ("b",), saved=1, parameters=256),
    row("d", "Conv", ("c",), saved=1, parameters=256),
]


def training(*techniques: str, again: tuple[tuple[str, ...], ...] = ()) -> Workload:
    return Workload("training", 1, techniques=techniques, again=again)


def test_a_chain() -> None:
    moment = fullest_moment(CHAIN, training())
    # At any row on the way back: as much saved is gone as gradients have come.
    assert (moment.saved + moment.gradients, moment.activations, moment.workspace) == (5 * KIB, 2 * KIB, 0)
    assert fullest_moment(CHAIN, training(), copied=True).workspace == 2 * KIB


def test_gradients_that_add_up_are_there_all_the_time() -> None:
    moment = fullest_moment(CHAIN, training("accumulation"))
    assert (moment.saved, moment.gradients, moment.activations) == (4 * KIB, 4 * KIB, 3 * KIB)


def test_mixed_precision_halves_values_and_keeps_copies_of_weights() -> None:
    moment = fullest_moment(CHAIN, training("amp"))
    assert moment.saved + moment.copies + moment.gradients == 5 * KIB
    assert moment.activations == KIB


def test_a_segment_keeps_its_border_and_comes_back_whole() -> None:
    again = (("a", "b"), ("c", "d"))
    moment = fullest_moment(CHAIN, training(again=again))
    # The result of b is the border and stays while all that a and b save has come back; gradients of b, c, d are there.
    assert (moment.row, moment.saved, moment.gradients) == ("b", 3 * KIB, 3 * KIB)
    heavy = [row("a", "Conv", saved=1), row("b", "Conv", ("a",), saved=9), row("c", "Conv", ("b",), saved=9)]
    assert fullest_moment(heavy, training()).saved == 19 * KIB
    assert fullest_moment(heavy, training(again=(("a", "b"), ("c",)))).saved == 11 * KIB


def test_a_sum_hands_its_gradient_on() -> None:
    rows = [
        row("a", "Conv", saved=1, parameters=256),
        row("b", "Conv", ("a",), saved=1, parameters=256),
        row("sum", "Add", ("b", "a")),
        row("c", "Conv", ("sum",), saved=1, parameters=256),
    ]
    moment = fullest_moment(rows, training())
    assert moment.activations <= 3 * KIB, "one gradient for the sum and both that it adds"


def test_places_of_maxima_stay_eight_bytes_wide() -> None:
    pooled = row("p", "MaxPool", saved=3)
    assert fullest_moment([pooled], training()).saved == 3 * KIB
    assert fullest_moment([pooled], training("amp")).saved == 2.5 * KIB


def test_rows_of_a_module() -> None:
    assert belongs(row("layer1.0.conv", "Conv"), ("layer1.0",))
    assert belongs(row("layer1.0/Add", "Add"), ("layer1.0",))
    assert not belongs(row("layer1.01", "Conv"), ("layer1.0",))


def test_the_process_is_fullest_where_it_is_most() -> None:
    def rows_at(count: int) -> list[Layer]:
        shape = ((count, 256),)
        return [Layer("a", "Gemm", shape, shape, 10, 0, 0, KIB * count, KIB * count)]

    many = Around("sgd", 0, evaluated=10**6)
    assert process_memory(rows_at, many, Savings(1, evaluation_batch=10**5)).moment == "evaluation of 100000 samples"
    assert evaluation_memory(rows_at, many, Savings(1)).activations == 500 * KIB
    few = Around("sgd", 0, evaluated=1)
    assert process_memory(rows_at, few, Savings(64)).moment == "back through a"

    def heavy(count: int) -> list[Layer]:
        return [Layer("a", "Gemm", ((count, 1),), ((count, 1),), 10**6, 0, 0, 4, 4)]

    written = process_memory(heavy, Around("adamw", 0, written_copies=2), Savings(1))
    assert written.moment == "writing the kept weights"
    assert written.workspace == 8 * 10**6
    weights_alone = process_memory(heavy, Around("sgd", 0), Savings(1, state_on_disk=True, returned=True))
    assert weights_alone.moment == "back through a", "a file of weights is written from where they lie"


@pytest.mark.parametrize("returned", [False, True])
def test_parts_are_the_whole(returned: bool) -> None:
    memory = process_memory(lambda _: CHAIN, Around("adamw", 1000, 10), Savings(1, returned=returned))
    assert memory.total == memory.process + memory.data + memory.held + memory.moving + memory.holes
    assert memory.total < memory.high
