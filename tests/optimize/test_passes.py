"""Every pass keeps what random networks compute, to the last bit of integer-valued float64."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from random_networks import network, networks, outputs

from chipwise.optimize import pipeline

# Their new weights are quotients of the old ones, which need not be integers.
DIVIDING = ("split_kernels", "split_low_rank")


def same(got: np.ndarray, want: np.ndarray, *, exact: bool) -> None:
    if exact:
        np.testing.assert_array_equal(got, want)
    else:
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9 * float(np.abs(want).max(initial=1.0)))


def name_of(each: ModuleType) -> str:
    return each.__name__.rpartition(".")[2]


@pytest.mark.parametrize("each", pipeline.ALL, ids=name_of)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(made=networks())
def test_a_pass_changes_no_value(each: ModuleType, made: tuple[ir.Model, np.ndarray]) -> None:
    model, x = made
    before, size = outputs(model, x), len(model.graph)
    said = each.apply(model)
    for got, want in zip(outputs(model, x), before, strict=True):
        same(got, want, exact=name_of(each) not in DIVIDING)
    assert said or len(model.graph) == size, "a pass that changed the graph says what it did"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(made=networks())
def test_all_passes_together_change_no_value(made: tuple[ir.Model, np.ndarray]) -> None:
    model, x = made
    before = outputs(model, x)
    optimized, done = pipeline.optimize(model, also=[name_of(each) for each in pipeline.OPTIONAL])
    for got, want in zip(outputs(optimized, x), before, strict=True):
        same(got, want, exact=False)
    assert not any("rolled back" in line for line in done), done


def test_the_harness_would_notice() -> None:
    model, x = network(["conv", "relu"], "image", 0)
    before = outputs(model, x)[0]
    value = next(iter(model.graph.initializers.values()))
    value.const_value = ir.tensor(value.const_value.numpy() + 1)
    assert not np.array_equal(outputs(model, x)[0], before)
