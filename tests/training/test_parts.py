"""Schedules, augmentation, evaluation, seeds."""

from __future__ import annotations

import platform
import resource

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from chipwise.training.augment import augmented  # noqa: E402
from chipwise.training.evaluate import evaluate  # noqa: E402
from chipwise.training.optimizer import build_optimizer, rate_share  # noqa: E402
from chipwise.training.process import memory_kept, threads  # noqa: E402
from chipwise.training.seeds import seeded  # noqa: E402
from chipwise.training.settings import Settings  # noqa: E402

pytestmark = pytest.mark.runtime


def test_one_cycle_rises_then_falls_to_nearly_nothing() -> None:
    shares = [rate_share(step, 200, "one-cycle") for step in range(200)]
    assert shares[0] == pytest.approx(0.04)
    assert shares.index(max(shares)) == 50
    assert max(shares) == pytest.approx(1.0)
    assert shares[:51] == sorted(shares[:51])
    assert shares[50:] == sorted(shares[50:], reverse=True)
    assert shares[-1] < 0.001


def test_cosine_only_falls_and_constant_stays() -> None:
    assert [round(rate_share(step, 4, "cosine"), 3) for step in range(4)] == [1.0, 0.854, 0.5, 0.146]
    assert {rate_share(step, 4, "constant") for step in range(4)} == {1.0}


def test_norms_and_biases_do_not_decay() -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    optimizer = build_optimizer(module, Settings(weight_decay=0.3))
    decays = {id(value): group["weight_decay"] for group in optimizer.param_groups for value in group["params"]}
    assert decays[id(module[0].weight)] == 0.3
    assert {decays[id(value)] for value in (module[0].bias, module[1].weight, module[1].bias)} == {0.0}


@pytest.mark.parametrize("kind", ["shift", "affine"])
def test_augmentation_is_seeded_small_and_the_same_in_every_layout(kind: str) -> None:
    pictures = torch.zeros(8, 1, 20, 20)
    pictures[:, :, 6:14, 6:14] = 1
    views = {
        "NCHW": pictures,
        "NHWC": pictures.permute(0, 2, 3, 1).contiguous(),
        "flat": pictures.reshape(8, 400),
    }
    changed = {}
    for layout, view in views.items():
        with seeded(1):
            changed[layout] = augmented(view, kind, layout)
        assert changed[layout].shape == view.shape
    assert torch.equal(changed["NCHW"].reshape(8, 400), changed["flat"])
    assert torch.equal(changed["NCHW"], changed["NHWC"].permute(0, 3, 1, 2))
    assert not torch.equal(changed["NCHW"][0], changed["NCHW"][1])
    same = (changed["NCHW"] * pictures).sum((1, 2, 3)) / pictures.sum((1, 2, 3))
    assert same.min() > 0.5
    with seeded(2):
        assert not torch.equal(augmented(pictures, kind, "NCHW"), changed["NCHW"])


@pytest.mark.parametrize("kind", ["shift", "affine"])
def test_augmentation_repeats_the_border_and_keeps_the_memory_format(kind: str) -> None:
    pictures = torch.full((4, 3, 10, 10), -0.42).contiguous(memory_format=torch.channels_last)
    changed = augmented(pictures, kind, "NCHW")
    torch.testing.assert_close(changed, pictures)
    assert changed.is_contiguous(memory_format=torch.channels_last)


def test_evaluation_in_batches_is_the_mean_over_all() -> None:
    scores, labels = torch.randn(1203, 4), torch.arange(1203) % 4
    module = torch.nn.Identity()
    score = evaluate(module, scores, labels)
    assert score.loss == pytest.approx(functional.cross_entropy(scores, labels).item(), rel=1e-5)
    assert torch.equal(score.predicted, scores.argmax(1))
    assert score.accuracy == pytest.approx((scores.argmax(1) == labels).float().mean().item())
    assert module.training


def test_streams_of_one_seed_differ_and_the_callers_state_comes_back() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    drawn = []
    for stream in ((), ("epoch", 1), ("epoch", 2), ("epoch", 1)):
        with seeded(7, *stream):
            drawn.append(torch.rand(1).item())
    assert drawn[1] == drawn[3]
    assert len(set(drawn)) == 3
    assert torch.equal(torch.get_rng_state(), before)


def faults(bytes_each: int) -> float:
    """Pages mapped anew per block that is taken, filled and freed."""
    for _ in range(5):
        np.empty(bytes_each, np.uint8).fill(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        np.empty(bytes_each, np.uint8).fill(1)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 50


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc")
def test_memory_is_kept_in_training_and_what_runs_afterwards_is_not_slowed_down() -> None:
    with memory_kept():
        assert faults(48 * 2**20) < 10
    assert faults(2 * 2**20) < 10


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    with threads(before + 2):
        assert torch.get_num_threads() == before + 2
    assert torch.get_num_threads() == before
