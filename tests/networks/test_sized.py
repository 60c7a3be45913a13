"""Networks of any number of parameters: as many as were asked for, and what their formula says."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chipwise.networks import sized
from chipwise.networks.layers import layer_rows


@pytest.mark.parametrize("net", sized.INPUTS)
@pytest.mark.parametrize("width", [1, 7, 64])
def test_the_formula_counts_what_there_is(net: str, width: int) -> None:
    module = getattr(sized, net)(width)
    assert sum(value.numel() for value in module.parameters()) == sized.parameters_of(net, width)
    rows = layer_rows(sized.sized(net, width), 3)
    assert sum(row.parameters for row in rows) == sized.parameters_of(net, width)
    assert rows[-1].outputs[0] == (3, sized.CLASSES)


@given(st.sampled_from(sorted(sized.INPUTS)), st.floats(1e3, 1e10), st.floats(1.0, 1e3))
def test_widths_grow_with_parameters_and_hit_them(net: str, parameters: float, more: float) -> None:
    width = sized.width_for(net, parameters)
    assert width <= sized.width_for(net, parameters * more)
    around = [sized.parameters_of(net, each) for each in (max(1, width - 1), width, width + 1)]
    assert all(left <= right for left, right in pairwise(around))
    gaps = [max(count / parameters, parameters / count) for count in around]
    assert gaps[1] <= min(gaps) * (1 + 1e-9)
