"""torch to ONNX: names, batch-norm, free batch, cache, silence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from chipwise.codec.cache import cache_folder
from chipwise.core.errors import NetworkError
from chipwise.networks.load import load, with_classes
from chipwise.networks.onnx_file import check_runnable, serialize
from chipwise.networks.zoo.entries.digits import DIGITS

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.runtime

if True:  # these need torch
    from chipwise.networks.export import with_graph
    from chipwise.networks.torch_source import build_module, from_module


@pytest.mark.parametrize("name", DIGITS)
def test_zoo_exports_and_computes_the_same(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    network = with_graph(load(name))
    assert capfd.readouterr().out == ""
    assert network.inputs[0].dynamic_batch
    assert network.outputs[0].name == "scores"
    assert network.outputs[0].shape == ("batch", 10)
    check_runnable(network)
    assert network.graph is not None
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = build_module(load(name).source).eval()
    state = {key for key, value in module.state_dict().items() if value.is_floating_point()}
    tensors = network.graph.graph.initializers
    assert state <= set(tensors)
    loose = {key for key, value in tensors.items() if value.dtype.is_floating_point() and value.shape.rank()} - state
    assert not loose  # every array of floats in the graph is the module's; only single numbers are the formula's
    arrays = np.random.default_rng(0).normal(size=network.inputs[0].concrete(3)).astype(np.float32)
    session = onnxruntime.InferenceSession(serialize(network), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"input": arrays})
    with torch.no_grad():
        expected = module(torch.from_numpy(arrays)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_batch_norm_stays_visible() -> None:
    network = with_graph(load("convnet-small"))
    assert network.graph is not None
    kinds = [node.op_type for node in network.graph.graph]
    assert kinds.count("BatchNormalization") == kinds.count("Conv") > 0
    assert not {"Shape", "Expand", "CastLike"} & set(kinds)


def test_cache_is_used_and_mended() -> None:
    network = with_classes(load("lenet-300-100"), 3)
    folder = cache_folder("export")
    before = set(folder.iterdir())
    first = with_graph(network)
    (path,) = set(folder.iterdir()) - before
    stamp = path.stat().st_mtime_ns
    assert with_graph(network).digest == first.digest
    assert path.stat().st_mtime_ns == stamp
    path.write_bytes(b"damaged")
    assert with_graph(network).digest == first.digest


def test_a_network_with_a_graph_is_returned_as_it_is() -> None:
    network = with_graph(load("lenet-300-100"))
    assert with_graph(network) is network


class Pair(torch.nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return a + b, (a * b).sum(1)


def test_live_module_with_two_inputs() -> None:
    network = from_module(Pair(), (torch.zeros(1, 3), torch.zeros(1, 3)), "pair")
    assert [spec.name for spec in network.inputs] == ["input_0", "input_1"]
    assert [spec.name for spec in network.outputs] == ["output_0", "output_1"]
    assert all(spec.dynamic_batch for spec in (*network.inputs, *network.outputs))
    assert network.source is None


def test_live_module_is_left_as_it_was() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout()).train()
    from_module(module, torch.zeros(1, 4))
    assert module.training
    assert module[1].training


class Fixed(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(2, 6) * 2


def test_module_with_a_fixed_batch() -> None:
    network = from_module(Fixed(), torch.zeros(2, 2, 3))
    assert network.inputs[0].shape == (2, 2, 3)


class Branching(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.sum() > 0 else x


def test_what_cannot_be_exported() -> None:
    with pytest.raises(NetworkError, match="cannot export Branching") as caught:
        from_module(Branching(), torch.ones(1, 3))
    assert len(caught.value.message.splitlines()) == 1
    with pytest.raises(NetworkError, match="example_input"):
        from_module(Fixed(), [1, 2])


def test_weights_must_fit(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    source = load("lenet-300-100").source
    path = tmp_path / "weights.safetensors"
    state = build_module(source).state_dict()
    save_file({**state, "4.bias": torch.zeros(7)}, path)
    with pytest.raises(NetworkError, match=r"4\.bias"):
        build_module(replace(source, weights=path))
    state.pop("4.bias")
    save_file({**state, "9.bias": torch.zeros(7)}, path)
    with pytest.raises(NetworkError, match=r"lacks 4\.bias and has unknown 9\.bias"):
        build_module(replace(source, weights=path))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(NetworkError, match="cannot read the weights"):
        build_module(replace(source, weights=path))


def test_lenet5_trains_its_60000_values_and_knows_more_classes() -> None:
    module = build_module(load("lenet5").source)
    assert sum(value.numel() for value in module.parameters()) == 60_000  # LeCun et al. 1998, section II-B
    scores = build_module(with_classes(load("lenet5"), 26).source)(torch.zeros(2, 1, 32, 32))
    assert scores.shape == (2, 26)
    assert (scores <= 0).all()  # minus distances
