"""Training by a parameter server, as a function: it learns, leaves weights, and refuses in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("ray")

import chipwise
from chipwise.core.errors import InputError, MissingExtraError, NetworkError

pytestmark = pytest.mark.runtime


@pytest.mark.slow
def test_it_learns_and_leaves_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    file = tmp_path / "new" / "weights.safetensors"
    found = chipwise.train_with_servers(
        "lenet5-caffe", "digits", servers=2, workers=2, rounds=30, learning_rate=0.1, weights=file
    )
    assert found.losses[-1] < 0.5 * found.losses[0]
    assert (found.network, found.data, len(found.losses)) == ("lenet5-caffe", "digits", 30)
    assert file.stat().st_size > 1e6


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"servers": 0}, "servers is 0"),
        ({"local_steps": 0}, "local_steps is 0"),
        ({"batch_size": 9}, "a batch of 9 cannot be shared evenly by 2 workers"),
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        chipwise.train_with_servers("lenet5-caffe", "digits", **wrong)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from chipwise.api import parameter_servers

    def need(*modules: str, extra: str) -> None:
        if "ray" in modules:
            raise MissingExtraError("ray", extra)

    monkeypatch.setattr(parameter_servers, "need", need)
    with pytest.raises(MissingExtraError, match="ray"):
        chipwise.train_with_servers("lenet5-caffe", "digits")


def test_graphs_are_refused(tmp_path: Path) -> None:
    chipwise.export("lenet5-caffe", output=tmp_path / "net.onnx")
    with pytest.raises(NetworkError, match="no torch source"):
        chipwise.train_with_servers(tmp_path / "net.onnx", "digits")
