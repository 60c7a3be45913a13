"""The tuning benchmark's arithmetic: differences seed by seed, and data of the size that is asked for."""

from __future__ import annotations

import argparse

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.runtime

import tune as benchmark  # noqa: E402  needs torch


def test_differences_are_seed_by_seed() -> None:
    found = {"plain": [0.90, 0.92, 0.91], "tuned": [0.91, 0.93, 0.92], "checklist": [0.90, 0.90, 0.93]}
    ours = benchmark.difference(found["tuned"], found)
    assert ours["difference"] == pytest.approx(0.01)
    assert ours["difference_low"] == pytest.approx(ours["difference_high"]), "all seeds agree"
    theirs = benchmark.difference(found["checklist"], found)
    assert theirs["difference_low"] < 0 < theirs["difference_high"]
    alone = benchmark.difference([0.8], {"plain": [0.9]})
    assert alone["difference_low"] < alone["difference"] < alone["difference_high"]


def test_the_digits_stand_in_for_all_of_mnist() -> None:
    options = argparse.Namespace(shared=None, samples=100)
    assert benchmark.data_of(benchmark.CASES["lenet5-caffe"], options).name == "digits"
    with pytest.raises(SystemExit, match="need --shared"):
        benchmark.data_of(benchmark.CASES["resnet20"], options)
