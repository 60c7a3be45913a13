"""What every family's test does: build on the meta device, export, and run in ONNX Runtime beside torch."""

from __future__ import annotations

import numpy as np
import onnxruntime
import torch

from chipwise.core.network import TensorSpec
from chipwise.networks.export_module import export_module
from chipwise.networks.load import load
from chipwise.networks.torch_source import build_module, examples_for


def parameters_and_shapes(spec: str, batch: int = 2) -> tuple[int, list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Trainable values, shapes that come out on the meta device, and shapes that the entry declares."""
    network = load(spec)
    with torch.device("meta"):
        module = build_module(network.source).eval()
    made = _several(module(*examples_for(network.inputs, batch, "meta")))
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return parameters, [tuple(each.shape) for each in made], [each.concrete(batch) for each in network.outputs]


def assert_runs_like_torch(spec: str, batch: int = 3, limit: float = 1e-5) -> None:
    """Exported with a free batch, ONNX Runtime gives what torch gives: `limit` is relative to the largest value."""
    network = load(spec)
    torch.manual_seed(0)
    module = build_module(network.source).eval()
    names = [each.name for each in network.inputs]
    exported = export_module(module, examples_for(network.inputs, 1), names)
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    given = [_values(each, batch) for each in network.inputs]
    made = session.run(None, {name: value.numpy() for name, value in zip(names, given, strict=True)})
    with torch.no_grad():
        expected = [each.numpy() for each in _several(module(*given))]
    assert len(made) == len(expected) == len(network.outputs)
    for one, other, declared in zip(made, expected, network.outputs, strict=True):
        assert one.shape == declared.concrete(batch)
        assert np.isfinite(other).all()
        assert np.abs(one - other).max() <= limit * np.abs(other).max()


def _values(spec: TensorSpec, batch: int) -> torch.Tensor:
    shape = spec.concrete(batch)
    if spec.dtype.startswith("int"):
        return torch.randint(0, 2, shape, dtype=getattr(torch, spec.dtype))
    return torch.rand(shape)


def _several(result: object) -> list[torch.Tensor]:
    return list(result) if isinstance(result, tuple | list) else [result]
