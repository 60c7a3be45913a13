"""Transformers from their sizes: parameters and FLOPs as published, backward passes, the published roofline."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from published.transformers import NETWORKS, forward, parameters, training

_PRODUCTS = {"mm", "mm_nn", "bmm"}


def flops(ops: list) -> float:
    return sum(op.flops for op in ops)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("bert_base", 109_482_240 - 590_592),  # without the pooler, 768 x 769
        ("bert_large", 335_141_888 - 1_049_600),  # without the pooler, 1024 x 1025
        ("gpt2_large", 774_030_080),
        ("opt_13", 1_315_758_080),
        ("gpt3_27", 2_651_553_280),
    ],
)
def test_parameters(name: str, published: int) -> None:
    assert parameters(NETWORKS[name]) == published


def test_switch_has_the_parameters_of_the_paper() -> None:
    assert parameters(NETWORKS["switchxl4"]) == pytest.approx(5.3e9, rel=0.02)


@pytest.mark.parametrize("name", ["bert_large", "gpt2_large", "opt_13"])
def test_flops_are_those_of_the_usual_formula(name: str) -> None:
    """2 FLOPs a weight of the products and token, and 4 x length^2 x width a layer for attention."""
    net, batch, length = NETWORKS[name], 2, 256
    weights = net.layers * (4 * net.hidden**2 + 2 * net.hidden * net.inner)
    head = 0 if net.style == "bert" else net.hidden * net.vocabulary
    expected = 2 * batch * length * (weights + head) + 4 * batch * net.layers * length**2 * net.hidden
    assert flops(forward(net, batch, length)) == expected


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_backward_pass_is_twice_the_products(name: str) -> None:
    net = NETWORKS[name]
    once = flops(forward(net, 1, 128, head=True, dropout=True))
    assert flops(training(net, 1, 128)) == pytest.approx(3 * once)


def test_batch_scales_activations_and_not_weights() -> None:
    one, four = (forward(NETWORKS["bert_base"], batch, 128) for batch in (1, 4))
    assert len(one) == len(four)
    for small, large in zip(one, four, strict=True):
        assert large.weight_bytes == small.weight_bytes
        assert large.write_bytes == 4 * small.write_bytes


def test_dimensions_give_the_flops() -> None:
    for op in training(NETWORKS["gpt2_large"], 1, 1024):
        if op.kind in _PRODUCTS:
            assert 2 * math.prod(op.dims) == op.flops


def test_dropout_and_head_are_on_request() -> None:
    net = NETWORKS["bert_large"]
    plain = forward(net, 1, 128)
    assert len(forward(net, 1, 128, dropout=True)) > len(plain)
    assert flops(forward(net, 1, 128, head=True)) - flops(plain) == 2 * 128 * net.hidden * (net.hidden + net.vocabulary)


@pytest.mark.shared
def test_plain_roofline_is_the_one_that_neusight_prints(shared_data: Path) -> None:
    """Sizes that are inferred (GPT-3 XL, Switch) are right when the published roofline of the A100 comes out."""
    table = shared_data.parent / "reference" / "tables" / "neusight_models_e2e.csv"
    if not table.is_file():
        pytest.skip("no reference tables beside this checkout")
    with table.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["roofline_e2e_ms"] and row["mode"] == "inf"]
    rows = [row for row in rows if "A100-PCIE-40GB" in row["device"]]
    assert len(rows) >= 10
    for row in rows:
        ops = forward(NETWORKS[row["model"]], int(row["batch"]), int(row["seqlen"]))
        moved = [2 * (op.read_bytes + op.weight_bytes + op.write_bytes) for op in ops]
        floor = sum(max(op.flops / 19.5e12, each / 1555e9) for op, each in zip(ops, moved, strict=True))
        assert 1e3 * floor == pytest.approx(float(row["roofline_e2e_ms"]), rel=0.06), row["model"]
