"""A small real classifier without torch: nearest class mean on the digits, as an ONNX graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from chipwise.compiler.compile import compile_plan
from chipwise.compiler.options import CompileOptions
from chipwise.core.network import Network
from chipwise.core.plan import Plan
from chipwise.datasets import load as load_data
from chipwise.datasets.dataset import Dataset
from chipwise.devices.detect import detect
from chipwise.networks.onnx_file import load as load_onnx
from chipwise.networks.onnx_file import serialize


def classifier_bytes(seed: int = 0) -> bytes:
    """Scores are x.mean_k - |mean_k|^2 / 2 on 8x8 pixels of 0..1: about 90% on the digits."""
    train = load_data("digits").split(seed).train
    pixels = train.inputs.reshape(len(train.labels), 64).astype(np.float32) / 255
    means = np.stack([pixels[train.labels == digit].mean(axis=0) for digit in range(10)])
    bias = -0.5 * (means**2).sum(axis=1)
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("Gemm", ["flat", "w", "b"], ["y"], transB=1)],
        "nearest_mean",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(means, "w"), numpy_helper.from_array(bias.astype(np.float32), "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return load_data("digits")


@pytest.fixture(scope="session")
def classifier_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("classifier") / "nearest.onnx"
    path.write_bytes(classifier_bytes())
    onnx.checker.check_model(str(path))
    return path


@pytest.fixture(scope="session")
def classifier(classifier_path: Path) -> Network:
    return load_onnx(classifier_path)


@pytest.fixture(scope="session")
def source(classifier: Network) -> bytes:
    return serialize(classifier)


@pytest.fixture(scope="session")
def plan(classifier: Network, source: bytes, digits: Dataset) -> Plan:
    """A plan from ONNX Runtime alone, quickly."""
    options = CompileOptions(budget_s=5, runtimes=("onnxruntime",))
    return compile_plan(classifier, source, (), options, detect(), data=digits)
