"""Rows of torch modules that torch itself takes apart, or calls by names of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from chipwise.core.layer import totals
from chipwise.core.work import work
from chipwise.networks.load import load

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from chipwise.networks.aten import recurrent  # noqa: E402
from chipwise.networks.layers import layer_rows  # noqa: E402

pytestmark = pytest.mark.runtime

MODULE = """
import torch
from torch import nn

def many():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.SiLU(), nn.Conv2d(8, 8, 1), nn.Hardswish(), nn.Conv2d(8, 8, 1), nn.Mish(),
        nn.GroupNorm(2, 8), nn.ConvTranspose2d(8, 4, 2, 2), nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.ReplicationPad2d(1), nn.PReLU(4), nn.Flatten(2), nn.LayerNorm(900),
    )

def attention():
    return nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "mine_for_aten.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return "mine_for_aten"


def test_every_operator_has_its_onnx_name_and_its_work(mine: str) -> None:
    rows = layer_rows(load(f"{mine}:many", input_shape=(3, 9, 9)))
    assert [(row.op, row.activation, row.parameters) for row in rows] == [
        ("Conv", "Swish", 224),
        ("Conv", "HardSwish", 72),
        ("Conv", "Mish", 72),
        ("GroupNormalization", "", 16),
        ("ConvTranspose", "", 132),
        ("Resize", "", 0),
        ("ReplicationPad2d", "", 0),
        ("PRelu", "", 4),
        ("Reshape", "", 0),
        ("LayerNormalization", "", 1800),
    ]
    pixels = 8 * 7 * 7
    assert rows[0].flops == pixels * (2 * 27 + 1) + pixels
    assert rows[3].flops == 7 * pixels
    assert rows[4].flops == 2 * pixels * 16 + 4 * 14 * 14
    assert rows[5].flops == 2 * 4 * 28 * 28 * 4
    assert totals(rows).unknown_ops == ()


def test_attention_is_known(mine: str) -> None:
    """Two products of 4 heads, 6 x 6 x 4 each, beside the linear layers: nothing in a transformer is unknown."""
    rows = layer_rows(load(f"{mine}:attention", input_shape=(6, 16)))
    found = totals(rows)
    linear = 2 * 6 * 16 * (3 * 16 + 16 + 32 + 32)
    products = 2 * 2 * 4 * 6 * 6 * 4
    assert found.unknown_ops == ()
    assert linear + products < found.flops < 1.2 * (linear + products)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("bias", [True, False])
def test_recurrent_layers_have_the_work_of_the_onnx_operator(kind: type[nn.RNNBase], bias: bool) -> None:
    layer = kind(5, 7, num_layers=2, bidirectional=True, bias=bias)
    rows = layer.weight_ih_l0.shape[0]
    biases = [(2, 2 * rows)] if bias else []
    expected = sum(
        work(kind.__name__, [(6, 3, given), (2, rows, given), (2, rows, 7), *biases], [(6, 2, 3, 7)], {})
        for given in (5, 14)
    )
    found = recurrent(layer, (6, 3, 5))
    assert (found.name, found.flops, found.results) == (kind.__name__, expected, 1)
