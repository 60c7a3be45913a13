"""Classifiers as ONNX graphs: ONNX Runtime gives what torch gives, and real weights give the published outputs."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from chipwise.networks.load import load
from chipwise.networks.zoo.entries.cifar import CIFAR
from chipwise.networks.zoo.entries.photos import PHOTOS

torch = pytest.importorskip("torch")

import onnxruntime  # noqa: E402

from chipwise.core.network import Network  # noqa: E402
from chipwise.networks import onnx_file  # noqa: E402
from chipwise.networks.export import with_graph  # noqa: E402
from chipwise.networks.export_module import export_module  # noqa: E402
from chipwise.networks.torch_source import build_module  # noqa: E402
from chipwise.networks.zoo.blocks import Mixed, PooledTo  # noqa: E402
from chipwise.networks.zoo.densenet import _densenet  # noqa: E402
from chipwise.networks.zoo.googlenet import _BLOCKS, _googlenet  # noqa: E402
from chipwise.networks.zoo.inception import Residual, _res_8, _v3_e  # noqa: E402
from chipwise.networks.zoo.mobilenet import _mobilenet_v2  # noqa: E402
from chipwise.networks.zoo.repvgg import _repvgg  # noqa: E402
from chipwise.networks.zoo.resnet import _resnet  # noqa: E402

pytestmark = pytest.mark.runtime


def warmed(module: torch.nn.Module, shape: tuple[int, ...]) -> torch.nn.Module:
    """A seeded batch gives batch-norms statistics of their own, so that none is the identity."""
    with torch.no_grad():
        for _ in range(3):
            module.train()(torch.randn(4, *shape))
    return module.eval()


def assert_same(graph: bytes, module: torch.nn.Module, shape: tuple[int, ...]) -> Network:
    """ONNX Runtime and torch agree on a batch of 3 within 1e-4 of the largest value."""
    arrays = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"input": arrays})
    with torch.no_grad():
        expected = module(torch.from_numpy(arrays)).numpy()
    assert np.ptp(expected) > 0
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
    return onnx_file.from_bytes(graph, "exported")


def kinds_of(network: Network) -> Counter[str]:
    assert network.graph is not None
    return Counter(node.op_type for node in network.graph.graph)


# One small member of each family; fewer blocks where torch would export for a long time.
SMALL = {
    "pooled": (lambda: torch.nn.Sequential(PooledTo(6), PooledTo(3)), (3, 7, 8)),
    "alexnet-2012": (lambda: build_module(load("alexnet-2012:width=0.125,num_classes=9").source), (3, 227, 227)),
    "zfnet": (lambda: build_module(load("zfnet:width=0.125,num_classes=9").source), (3, 224, 224)),
    "vgg11": (lambda: build_module(load("vgg11:width=0.125,num_classes=9").source), (3, 224, 224)),
    "googlenet": (lambda: _googlenet(dict(islice(_BLOCKS.items(), 4)), 9, 0.25, 1), (3, 64, 64)),
    "inception": (
        lambda: torch.nn.Sequential(Mixed(16, _v3_e(16, 0.125, 0)), Residual(256, _res_8(256, 0.125), 0.2)),
        (16, 8, 8),
    ),
    "resnet": (lambda: _resnet((1, 1), True, 9, 0.125), (3, 64, 64)),
    "densenet": (lambda: _densenet((2, 1, 1, 1), 9, 0.25), (3, 64, 64)),
    "squeezenet": (lambda: build_module(load("squeezenet1.1:width=0.25,num_classes=9").source), (3, 64, 64)),
    "mobilenet": (lambda: _mobilenet_v2(((1, 16, 1, 1), (6, 24, 2, 2)), 9, 0.5), (3, 64, 64)),
    "repvgg": (lambda: _repvgg((2, 1, 1), (0.75, 2.5), 9, 0.25, 0), (3, 64, 64)),
}


@pytest.mark.parametrize("name", SMALL)
def test_small_members_export(name: str) -> None:
    make, shape = SMALL[name]
    torch.manual_seed(0)
    module = warmed(make(), shape)
    graph = export_module(module, (torch.zeros(2, *shape),))
    network = assert_same(graph, module, shape)
    assert network.inputs[0].dynamic_batch
    kinds = kinds_of(network)
    assert not {"Shape", "Expand", "CastLike", "Where", "GatherND", "ReduceMean"} & set(kinds)
    norms = sum(isinstance(part, torch.nn.BatchNorm2d) for part in module.modules())
    heads = 1 if name == "googlenet" else 0  # with a batch-norm each; they are no part of what is used
    assert kinds["BatchNormalization"] == norms - heads
    assert kinds["LRN"] == {"alexnet-2012": 2, "zfnet": 2}.get(name, 0)


def test_graph_of_a_zoo_name_with_options() -> None:
    network = with_graph(load("resnet20:num_classes=4,width=0.5,size=24"))
    assert network.inputs[0].shape == ("batch", 3, 24, 24)
    assert network.outputs[0].shape == ("batch", 4)
    assert network.outputs[0].name == "scores"
    onnx_file.check_runnable(network)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = build_module(network.source).eval()
    assert_same(onnx_file.serialize(network), module, (3, 24, 24))
    kinds = kinds_of(network)
    assert (kinds["Conv"], kinds["Add"], kinds["GlobalAveragePool"], kinds["Gemm"]) == (19, 9, 1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*PHOTOS, *CIFAR])
def test_every_member_exports_at_full_width(name: str) -> None:
    network = load(name)
    graph = with_graph(network)
    assert graph.outputs == network.outputs
    onnx_file.check_runnable(graph)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = build_module(network.source).eval()
    assert_same(onnx_file.serialize(graph), module, network.inputs[0].concrete(1)[1:])


@pytest.mark.shared
def test_pretrained_resnet20_gives_the_published_output(shared_data: Path) -> None:
    saved = torch.load(shared_data / "cifar10/models/resnet20-12fca82f.th", map_location="cpu", weights_only=True)
    module = build_module(load("resnet20").source).eval()
    module.load_state_dict({key.removeprefix("module."): value for key, value in saved["state_dict"].items()})
    golden = np.load(shared_data / "golden/derived_resnet20.npz")
    with torch.no_grad():
        found = module(torch.from_numpy(golden["input"])).numpy()
    np.testing.assert_allclose(found, golden["output"], atol=1e-4)
