"""timm's tables: how they are read, what is held out, and that the fit computes what the product computes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chipwise.core.errors import DataError
from chipwise.core.profile import Profile
from chipwise.cost.execution import planned
from chipwise.cost.model import prices, rates, step_s
from chipwise.devices.known import device
from published.fit import Network, Problem
from published.fit_timm import GPUS, RECIPES
from published.split import family, fold, held_out
from published.timm import added_weights, biases, ops_at, read_table, without_batch

# A stem, a standardized and a depthwise convolution, attention with a copied bias of its own, a layer norm.
TRACE: list[Any] = [
    ["bn", 0, 18816, 18816, None],
    ["ck", 240844800, 326016, 1638400, [12800, 64, 147, 1]],
    ["bn", 0, 1638400, 1638400, None],
    ["ew", 0, 1638400, 1638400, None],
    ["dw", 14745600, 1639552, 1638400, [12800, 1, 9, 64]],
    ["cp", 0, 4096, 131072, None],
    ["sdpa", 1e8, 400000, 100000, [8, 128, 128, 64]],
    ["ln", 0, 1638400, 1638400, None],
    ["mm", 104857600, 1646592, 1638400, [12800, 64, 64, 1]],
    ["ew", 0, 3276800, 1638400, None],
    ["red", 0, 1638400, 256, None],
]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("tf_efficientnet_b0.ns_jft_in1k", "efficientnet"),
        ("vit_base_patch16_224", "vit"),
        ("ssl_resnet50", "resnet"),
        ("gluon_resnext50_32x4d", "resnext"),
        ("ConvNeXt_tiny", "convnext"),
    ],
)
def test_families(name: str, found: str) -> None:
    assert family(name) == found


def test_families_are_whole_on_one_side() -> None:
    assert held_out("resnet18") == held_out("resnet152.tv_in1k") == held_out("ig_resnet50") is True
    assert not held_out("vit_tiny_patch16_224")
    assert all(0 <= fold(name, 5) < 5 for name in ("resnet18", "vit", ""))


def test_only_what_is_of_the_batch_grows() -> None:
    fixed = without_batch(TRACE)
    assert [at for at, still in enumerate(fixed) if still] == [0, 5]
    small, large = ops_at(TRACE, 2), ops_at(TRACE, 8)
    assert large[0] == small[0]
    assert large[1].weight_bytes == small[1].weight_bytes == 2 * 64 * 147
    assert large[1].read_bytes == 4 * small[1].read_bytes
    assert large[1].dims == (51200, 64, 147, 1)
    assert large[6].dims == (128, 128, 64, 32)
    assert sum(op.flops for op in large) == 4 * sum(op.flops for op in small)


def test_biases_and_added_weights_are_told_from_what_was_written_before() -> None:
    trace = [
        ["c1", 0, 2 * 80 + 2 * 32 + 2 * 8, 160, [20, 8, 4, 1]],  # image, weights, a value a channel
        ["c1", 0, 2 * 160 + 2 * 32, 160, [40, 8, 4, 1]],
        ["ck", 0, 160 + 2 * 8 * 36 + 2 * 8, 40, [5, 8, 36, 1]],  # the image was written before
        ["ew", 0, 168, 160, None],  # a weight
        ["ew", 0, 24, 24, None],
        ["ew", 0, 184, 160, None],  # a gate, made just before
        ["ew", 0, 240, 160, None],  # a position: as much as one item of two
        ["ew", 0, 320, 160, None],
    ]
    assert biases(trace)[:3] == [16, 0, 16]
    assert added_weights(trace) == [0, 0, 0, 8, 0, 0, 80, 0]
    small, large = ops_at(trace, 2), ops_at(trace, 4)
    assert (small[3].read_bytes, small[3].weight_bytes) == (160, 8)
    assert (large[3].read_bytes, large[3].weight_bytes) == (320, 8)
    assert small[0].weight_bytes == 2 * 32 + 16


@pytest.mark.parametrize("recipe", [RECIPES[0], RECIPES[4], RECIPES[5], RECIPES[-1]], ids=lambda each: each.like.name)
def test_the_fit_computes_what_the_product_computes(recipe: Any) -> None:
    machine = device("i9-10940x" if recipe.like.kind == "cpu" else "rtx3090")
    run = planned(ops_at(TRACE, 16), recipe.like)
    problem = Problem([Network(run, rates(machine, recipe.like), 1e-3)], recipe.form)
    theta = np.array(problem.columns.mean) + np.random.default_rng(0).normal(size=len(problem.columns.mean)) * 0.2
    profile = problem.profile(theta, recipe.like)
    found = step_s(prices(run, rates(machine, profile), profile), profile)
    assert math.log(found) == pytest.approx(float(problem.predict(theta)[0]), abs=2e-4)


def test_the_gradient_is_the_slope() -> None:
    like = replace(RECIPES[0].like)
    run = planned(ops_at(TRACE, 4), like)
    problem = Problem([Network(run, rates(device("rtx3090"), like), 1e-3)], GPUS)
    theta = np.array(problem.columns.mean) + np.random.default_rng(1).normal(size=len(problem.columns.mean)) * 0.1
    rows = np.ones(1, dtype=bool)
    _, slope = problem.loss(theta, rows)
    for at in range(0, len(theta), 17):
        step = np.zeros_like(theta)
        step[at] = 1e-5
        rise = (problem.loss(theta + step, rows)[0] - problem.loss(theta - step, rows)[0]) / 2e-5
        assert slope[at] == pytest.approx(rise, rel=1e-3, abs=1e-4)


def test_a_table_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "benchmark-infer-amp-nchw-pt291-cu130-5090-dynamo.csv"
    path.write_text(
        "model,infer_img_size,infer_samples_per_sec,infer_step_time,infer_batch_size\n"
        "resnet18,224,1000.0,256.0,256\nbroken,224,,,\n"
    )
    table = read_table(path)
    assert (table.device, table.torch, table.compiled, table.layout) == ("5090", "291", True, "nchw")
    assert [(row.key, row.measured_s) for row in table.rows] == [("resnet18@224", 0.256)]


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("model,top1\nresnet18,70\n")
    with pytest.raises(DataError, match="not named"):
        read_table(path)
    with pytest.raises(DataError, match="no column"):
        read_table(path, "rtx3090")


def test_profiles_are_frozen_records() -> None:
    assert all(isinstance(recipe.like, Profile) for recipe in RECIPES)
