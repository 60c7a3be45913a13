"""Recurrent networks, BERT and NCF: parameters, names, rows, and what ONNX Runtime makes of them."""

from __future__ import annotations

import pytest

from chipwise.core.errors import InputError
from chipwise.core.layer import totals
from chipwise.networks.load import load

torch = pytest.importorskip("torch")

from zoo_export import assert_runs_like_torch, parameters_and_shapes  # noqa: E402

from chipwise.networks.layers import layer_rows  # noqa: E402
from chipwise.networks.torch_source import build_module  # noqa: E402

pytestmark = pytest.mark.runtime

SMALL_BERT = "bert-base:layers=2,hidden=64,heads=4,length=16,vocabulary=99"
SMALL = ["gru-forecaster:length=9,features=3,horizon=4,layers=1", SMALL_BERT]


def recurrent(gates: int, features: int, hidden: int, layers: int) -> int:
    """Values of torch's recurrent layers, which have two biases a gate."""
    return sum(gates * hidden * ((features if layer == 0 else hidden) + hidden + 2) for layer in range(layers))


PARAMETERS = {
    "lstm-classifier": recurrent(4, 10, 128, 1) + 129 * 12,
    "gru-classifier": recurrent(3, 10, 128, 1) + 129 * 12,
    "lstm-forecaster": recurrent(4, 1, 64, 2) + 65 * 24,
    "gru-forecaster": recurrent(3, 1, 64, 2) + 65 * 24,
    # Hugging Face: BertModel.from_pretrained("bert-base-uncased").num_parameters(), pooler included.
    "bert-base": 109_482_240,
    # NVIDIA DeepLearningExamples, PyTorch/Recommendation/NCF/neumf.py with MovieLens-20M's 138,493 users and 26,744
    # items: embeddings of 64 and 128, layers 256-256-128-64 with biases, and 128 + 1 at the end: 31.8 M.
    "ncf": (138_493 + 26_744) * 192 + 256 * 257 + 128 * 257 + 64 * 129 + 129,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_and_shapes(name: str) -> None:
    parameters, made, declared = parameters_and_shapes(name)
    assert parameters == PARAMETERS[name]
    assert made == declared


@pytest.mark.parametrize("spec", [*SMALL, "ncf:users=20,items=10"])
def test_onnx_runtime_gives_what_torch_gives(spec: str) -> None:
    assert_runs_like_torch(spec)


@pytest.mark.slow
@pytest.mark.parametrize("name", PARAMETERS)
def test_full_width_in_onnx_runtime(name: str) -> None:
    assert_runs_like_torch(name, batch=2)


def test_bert_has_hugging_faces_keys() -> None:
    with torch.device("meta"):
        keys = set(build_module(load("bert-base").source).state_dict())
    layer = "encoder.layer.11."
    linear = (
        *("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"),
        *("attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm"),
    )
    assert {key for key in keys if key.startswith(layer)} == {
        f"{layer}{part}.{kind}" for part in linear for kind in ("weight", "bias")
    }
    assert {key for key in keys if not key.startswith("encoder")} == {
        *(f"embeddings.{kind}_embeddings.weight" for kind in ("word", "position", "token_type")),
        *("embeddings.LayerNorm.weight", "embeddings.LayerNorm.bias", "pooler.dense.weight", "pooler.dense.bias"),
    }


def test_bert_does_not_see_padding() -> None:
    torch.manual_seed(0)
    module = build_module(load(SMALL_BERT).source).eval()
    words, segments, mask = torch.randint(1, 99, (1, 16)), torch.zeros(1, 16, dtype=torch.int64), torch.ones(1, 16)
    mask[:, 10:] = 0
    other = words.clone()
    other[:, 10:] = 5
    with torch.no_grad():
        (one, _), (two, _) = module(words, mask, segments), module(other, mask, segments)
        free, _ = module(other, torch.ones(1, 16), segments)
    torch.testing.assert_close(one[:, :10], two[:, :10])
    assert (free - two)[:, :10].abs().max() > 1e-3
    empty = module(words, torch.zeros(1, 16), segments)[0]  # a row without a token is no reason for not-a-number
    assert empty.isfinite().all()


@pytest.mark.parametrize(("kind", "gates", "others"), [("lstm", 4, 9), ("gru", 3, 8)])
def test_a_recurrent_layer_is_one_row(kind: str, gates: int, others: int) -> None:
    rows = layer_rows(load(f"{kind}-classifier:length=11,features=5,hidden=8,layers=2"), 3)
    assert [row.op for row in rows] == [kind.upper(), "Gather", "Gemm"]
    steps = 3 * 11
    first, second = (2 * gates * 8 * (features + 8) + gates * 8 + others * 8 for features in (5, 8))
    assert rows[0].flops == steps * (first + second)
    assert rows[0].parameters == recurrent(gates, 5, 8, 2)
    assert (rows[0].inputs, rows[0].outputs) == (((3, 11, 5),), ((3, 11, 8),))
    assert rows[0].read_bytes == 4 * (3 * 11 * 5 + rows[0].parameters)
    assert rows[0].write_bytes == 4 * 3 * 11 * 8
    assert [row.after for row in rows] == [(), ("recurrent",), ("Gather",)]
    assert rows[0].saved_bytes
    assert totals(rows).unknown_ops == ()


def test_attention_is_known() -> None:
    """Per layer and head: Q times K' and scores times V, 2 * T * T * d each, in MatMul rows; no operator is unknown."""
    rows = layer_rows(load(SMALL_BERT))
    products = [row.flops for row in rows if row.op == "MatMul"]
    assert products == [4 * 2 * 16 * 16 * 16] * 4
    assert totals(rows).unknown_ops == ()
    assert {"Gather", "LayerNormalization", "Gemm"} <= {row.op for row in rows}
    assert sum(row.activation == "Softmax" for row in rows) == 2


def test_an_embedding_reads_only_what_it_looks_up() -> None:
    row = next(row for row in layer_rows(load("ncf")) if row.name == "mlp_user_embed")
    assert row.op == "Gather"
    assert row.parameters == 138_493 * 128
    assert row.flops == 0
    assert row.read_bytes == 128 * 4 + 8
    assert row.write_bytes == 128 * 4


def test_forget_gates_start_open() -> None:
    module = build_module(load("lstm-classifier:hidden=8,layers=2").source)
    for layer in (0, 1):
        bias = getattr(module.recurrent, f"bias_ih_l{layer}") + getattr(module.recurrent, f"bias_hh_l{layer}")
        assert bias.tolist() == [0.0] * 8 + [1.0] * 8 + [0.0] * 16
        weight = getattr(module.recurrent, f"weight_hh_l{layer}")
        for gate in weight.split(8):
            torch.testing.assert_close(gate @ gate.T, torch.eye(8))


def test_a_fresh_forecast_is_the_last_value() -> None:
    torch.manual_seed(0)
    module = build_module(load("lstm-forecaster:features=2,horizon=3").source).eval()
    x = torch.randn(4, 20, 2)
    assert (module(x) - x[:, -1:]).abs().max() < 0.1


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_forecaster_learns_a_sine(kind: str) -> None:
    torch.manual_seed(0)
    module = build_module(load(f"{kind}-forecaster:hidden=16,layers=1,horizon=5").source)
    start = torch.rand(64, 1) * 6.28
    wave = torch.sin(start + torch.arange(25) * 0.5).unsqueeze(2)
    past, future = wave[:, :20], wave[:, 20:]
    optimizer = torch.optim.Adam(module.parameters(), 0.01)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(module(past), future)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 10


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("bert-base:hidden=100", "heads"),
        ("bert-base:length=513", "512 positions"),
        ("bert-base:num_classes=3", "no classes"),
        ("ncf:num_classes=3", "no classes"),
        ("gru-forecaster:num_classes=3", "no classes"),
        ("lstm-classifier:hidden=1.5", "hidden=1.5"),
    ],
)
def test_impossible_options_are_refused(spec: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        load(spec)
