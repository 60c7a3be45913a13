"""The Edge TPU's published latencies beside the model of systolic arrays."""

from __future__ import annotations

import pytest

from published.edge_tpu import PUBLISHED, SPREAD, edge_tpu_rows, summed_up
from published.split import held_out

# Networks whose rows ship with the package: no torch is needed for them.
SHIPPED = tuple(row.network for row in PUBLISHED if ":" not in row.network)
ROWS = edge_tpu_rows(SHIPPED)


def test_every_row_is_predicted_with_an_interval() -> None:
    assert len(ROWS) == 2 * len(SHIPPED)
    for row in ROWS:
        low, mid, high = row.predicted_ms.low, row.predicted_ms.mid, row.predicted_ms.high
        assert low is not None
        assert mid is not None
        assert low * SPREAD == pytest.approx(mid) == (high or 0) / SPREAD
        assert row.held_out is held_out(row.network)


def test_what_runs_on_the_chip_alone_is_within_the_interval() -> None:
    """Rows that were held out from fitting and of which nothing runs elsewhere."""
    plain = [row for row in ROWS if row.held_out and not row.why]
    assert {row.network for row in plain} == {"mobilenet-v1", "mobilenet-v2", "vgg16", "vgg19"}
    seen = summed_up(plain)
    assert seen["median"] <= 0.12
    assert seen["covered"] == 1


@pytest.mark.runtime
def test_weights_beyond_the_chip_are_most_of_a_large_network() -> None:
    rows = edge_tpu_rows(("resnet50:size=299", "resnet152:size=299"))
    assert summed_up(rows)["mean"] <= 0.06


def test_misses_have_a_reason() -> None:
    """Nothing is off by half without a word on why; outside its interval is GoogLeNet on the Dev Board alone."""
    plain = [row for row in ROWS if not row.why]
    assert all(1 / 1.5 < row.error + 1 < 1.5 for row in plain)
    outside = {row.network for row in plain if not row.predicted_ms.covers(row.published_ms)}
    assert outside <= {"googlenet", "squeezenet1.0"}


def test_streaming_explains_the_large_networks() -> None:
    """VGG-19 takes a hundred times MobileNet's time for 35 times its work: its weights come over the link."""
    by_name = {row.network: row.predicted_ms.mid or 0 for row in ROWS if row.host == "Coral Edge TPU"}
    assert 80 <= by_name["vgg19"] / by_name["mobilenet-v1"] <= 150
