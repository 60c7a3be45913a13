"""Layer rows as operations: classes, dimensions, and what running them changes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chipwise.core.layer import Layer
from chipwise.core.profile import Profile
from chipwise.cost.execution import attention_parts, merged, mixed, planned, refined, trained
from chipwise.cost.ops import Op, operations


def conv(groups: int = 1, side: int = 3, channels: int = 32) -> Layer:
    weights = side * side * channels * 64 // groups
    return Layer(
        "c",
        "Conv",
        ((2, channels, 8, 8),),
        ((2, 64, 8, 8),),
        weights,
        flops=2 * 2 * 64 * weights,
        read_bytes=4 * (2 * channels * 64 + weights),
        write_bytes=4 * 2 * 64 * 64,
        kernel=(side, side),
        groups=groups,
    )


@pytest.mark.parametrize(
    ("layer", "kind", "dims"),
    [
        (conv(), "ck", (128, 64, 288, 1)),
        (conv(side=1), "c1", (128, 64, 32, 1)),
        (conv(groups=4), "grp", (128, 16, 72, 4)),
        (conv(groups=32), "dw", (128, 2, 9, 32)),
    ],
)
def test_convolutions(layer: Layer, kind: str, dims: tuple[float, ...]) -> None:
    (op,) = operations([layer])
    assert (op.kind, op.dims) == (kind, dims)
    assert op.flops == layer.flops
    assert op.read_bytes + op.weight_bytes == layer.read_bytes / 2
    assert op.weight_bytes == 2 * layer.parameters


def test_products_with_and_without_weights() -> None:
    linear = Layer("l", "Gemm", ((2, 7, 16),), ((2, 7, 32),), 512, read_bytes=4 * (224 + 512), write_bytes=4 * 448)
    scores = Layer("s", "MatMul", ((2, 3, 7, 16), (2, 3, 16, 7)), ((2, 3, 7, 7),), activation="Softmax")
    assert [(op.kind, op.dims) for op in operations([linear, scores])] == [
        ("mm", (14, 32, 16, 1)),
        ("bmm", (7, 7, 16, 6)),
        ("sm", (0, 0, 0, 0)),
    ]


@pytest.mark.parametrize(
    ("given", "made"),
    [((2, 49, 10), (2, 49, 128)), ((49, 2, 10), (49, 1, 2, 128))],
    ids=["torch: items first", "ONNX: steps first"],
)
def test_recurrences_take_one_step_after_another(given: tuple[int, ...], made: tuple[int, ...]) -> None:
    (op,) = operations([Layer("r", "LSTM", (given,), (made,), 71680, 10**6, 4000, 4000)])
    assert (op.kind, op.dims, op.launches) == ("mm", (2, 4 * 128, 128, 1), 2 * 49)


def test_views_cost_nothing_and_the_unknown_is_flagged() -> None:
    rows = [
        Layer("r", "Reshape", ((2, 8),), ((16,),), read_bytes=64, write_bytes=64),
        Layer("x", "Mystery", ((2, 8),), ((2, 8),), read_bytes=64, write_bytes=64, known=False),
    ]
    (op,) = operations(rows)
    assert (op.kind, op.known, op.read_bytes) == ("ew", False, 32)


def test_attention_in_parts_does_the_same_work() -> None:
    whole = Op("sdpa", flops=4.0 * 6 * 10 * 12 * 8, dims=(10, 12, 8, 6))
    parts = attention_parts(whole)
    assert [part.kind for part in parts] == ["bmm", "ew", "sm", "bmm"]
    assert sum(part.flops for part in parts) == whole.flops
    assert parts[2].write_bytes == 2 * 10 * 12 * 6


def test_mixed_precision_casts_weights_and_around_norms() -> None:
    ops = [
        Op("mm", 1.0, 100, 50, 100, (1, 1, 1, 1)),
        Op("ln", read_bytes=100, write_bytes=100),
        Op("mm", 1.0, 100, 0, 100, (1, 1, 1, 1)),
    ]
    found = mixed(ops)
    assert [op.kind for op in found] == ["cast", "mm", "cast", "ln", "cast", "mm"]
    assert found[3].read_bytes == 200
    assert found[4].read_bytes == 200


def test_mixed_precision_leaves_networks_without_norms_narrow() -> None:
    found = mixed([Op("c1", 1.0, 100, 0, 100), Op("ew2", read_bytes=200, write_bytes=100)])
    assert [op.read_bytes for op in found] == [100, 200]


def test_streams_merge_after_a_product() -> None:
    ops = [
        Op("ck", 1.0, 100, 10, 100),
        Op("bn", read_bytes=100, write_bytes=100),
        Op("ew2", read_bytes=200, write_bytes=100),
        Op("ew", read_bytes=100, write_bytes=100),
        Op("c1", 1.0, 100, 10, 100),
    ]
    found = merged(ops)
    assert [op.kind for op in found] == ["ck", "bn", "c1"]
    assert (found[1].read_bytes, found[1].write_bytes) == (200, 100)  # the result, the other branch; written once


def test_a_sum_before_a_norm_is_written_too() -> None:
    found = merged([Op("ew2", read_bytes=200, write_bytes=100), Op("ln", read_bytes=100, write_bytes=100)])
    assert (found[0].kind, found[0].read_bytes, found[0].write_bytes) == ("ln", 200, 200)


def test_pooling_and_concatenations_stay_alone() -> None:
    ops = [Op("ck", 1.0, 9, 9, 9), Op("ew", read_bytes=9, write_bytes=9), Op("cp", read_bytes=9, write_bytes=9)]
    assert [op.kind for op in merged([*ops, Op("red", read_bytes=9, write_bytes=1)])] == ["ck", "ew", "cp", "red"]


def test_training_does_three_times_the_work_and_updates_weights() -> None:
    found = trained([Op("mm", 10.0, 8.0, 4.0, 2.0)], 2.0)
    assert (found[0].flops, found[0].read_bytes, found[0].launches) == (30, 24, 3)
    assert (found[1].kind, found[1].read_bytes) == ("opt", 40)


@pytest.mark.parametrize("widths", [(2.0, 2.0), (4.0, 4.0), (2.0, 4.0), (8.0, 8.0)])
def test_the_optimizer_updates_each_weight_once_whatever_it_is_kept_in(widths: tuple[float, float]) -> None:
    ops = [
        Op("ck", 1e4, 100, 2 * (1152 + 64), 128, (32, 64, 18, 1)),
        Op("ln", read_bytes=128, weight_bytes=2 * 128, write_bytes=128),
    ]
    profile = Profile("p", "gpu", "torch", "training", "fp32", False, {}, widths=widths)
    assert planned(ops, profile)[-1].read_bytes == 20 * (1152 + 64 + 128)


def test_classes_by_context() -> None:
    ops = [
        Op("ck", 1.0, 100, 10, 128, (32, 2, 9, 1)),
        Op("ln", read_bytes=128, write_bytes=128),
        Op("ew", read_bytes=256, write_bytes=128),
        Op("ew", read_bytes=160, write_bytes=128),
        Op("ew", read_bytes=9999, write_bytes=9999),
    ]
    found = refined(ops)
    assert [op.kind for op in found] == ["ck", "lnc", "ew2", "ewb", "ew"]
    assert found[1].dims == (32, 2, 0, 1)
    assert found[4].dims == (0, 0, 0, 0)


def test_a_compiler_puts_channels_last_unless_groups_do_the_work() -> None:
    profile = Profile("p", "gpu", "torch", "inference", "fp16", True, {}, widths=(2, 2), fused=True)
    plain, grouped = Op("ck", 1e9, 1, 1, 1), Op("grp", 1e9, 1, 1, 1)
    assert [op.kind for op in planned([plain], profile)] == ["ckl"]
    assert [op.kind for op in planned([plain, grouped], profile)] == ["ck", "grp"]


def test_a_weight_makes_what_follows_wide_until_the_next_product() -> None:
    scale = Op("ewb", read_bytes=100, weight_bytes=8, write_bytes=100)
    addition, gate = Op("ew2", read_bytes=200, write_bytes=100), Op("ewb", read_bytes=104, write_bytes=100)
    conv = Op("c1", 1.0, 100, 0, 100)
    found = mixed([conv, gate, scale, addition, conv, addition])
    assert [op.kind for op in found] == ["c1", "ewb", "ewb", "ew2", "cast", "c1", "ew2"]
    assert (found[1].read_bytes, found[1].write_bytes) == (104, 100)  # a gate is no weight
    assert (found[2].read_bytes, found[2].weight_bytes, found[2].write_bytes) == (100, 16, 200)
    assert (found[3].read_bytes, found[3].write_bytes) == (300, 200)  # wide and narrow
    assert (found[6].read_bytes, found[6].write_bytes) == (300, 200)  # what is carried on stays wide


EAGER = Profile("p", "gpu", "torch", "inference", "fp16", False, {}, widths=(2, 2))


def test_norms_over_groups_leave_the_layout_alone() -> None:
    product = Op("ck", 1.0, 100, 18, 100, (50, 1, 9, 1))
    norm, activation = Op("ln", read_bytes=100, write_bytes=100), Op("ew", read_bytes=100, write_bytes=100)
    grouped = planned([product, norm, activation, product], EAGER)
    assert [op.kind for op in grouped] == ["ck", "gn", "ew", "ck"]
    assert [op.kind for op in planned([product, norm, product], EAGER)] == ["ck", "lnc", "ckl"]


def test_biases_of_convolutions_are_kernels_of_their_own_on_gpus_unless_compiled() -> None:
    biased = replace(conv(), read_bytes=conv().read_bytes + 4 * 64)
    depthwise = replace(conv(groups=32), read_bytes=conv(groups=32).read_bytes + 4 * 64)
    ops = operations([biased, conv(), depthwise])
    eager = planned(ops, EAGER)
    assert [op.kind for op in eager] == ["ck", "ewb", "ck", "dw"]
    assert (eager[1].weight_bytes, eager[1].read_bytes, eager[1].write_bytes) == (128, 16384, 16384)
    assert len(planned(ops, replace(EAGER, compiled=True, fused=True))) == 3
    assert len(planned(ops, replace(EAGER, kind="cpu"))) == 3
    (bias,) = [op for op in mixed(eager) if op.kind == "ewb"]
    assert (bias.read_bytes, bias.write_bytes) == (16384, 16384)  # it is cast as weights are, so nothing gets wider
