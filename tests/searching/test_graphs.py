"""Estimators as graphs answer as the estimators do, and take pictures as networks take them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chipwise.core.errors import InputError
from chipwise.datasets import load
from chipwise.datasets.feed import inputs_for
from chipwise.networks.load import load as load_network
from chipwise.networks.onnx_file import serialize
from chipwise.searching.contestant import Given, contestant_of, late
from chipwise.searching.estimators import Estimator

pytestmark = pytest.mark.runtime


@pytest.mark.parametrize(
    "model",
    [
        "make_pipeline(PCA(n_components=30), KNeighborsClassifier(n_neighbors=4, weights='distance'))",
        "make_pipeline(PCA(n_components=30), SVC(C=5.0))",
        "RandomForestClassifier(n_estimators=20)",
        "SGDClassifier()",
    ],
)
def test_a_graph_answers_as_its_estimator(model: str, tmp_path: Path) -> None:
    pytest.importorskip("skl2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    data = load("digits")
    splits = data.split()
    made = contestant_of(model, Given(classes=10))
    assert isinstance(made, Estimator)
    made.fit(splits.train.inputs, splits.train.labels)
    late("graphs").write_graph(made.fitted, "winner", splits.test.inputs.shape[1:], data.class_names, tmp_path)
    network = load_network(str(tmp_path / "network.onnx"))
    assert network.task.labels == data.class_names
    session = onnxruntime.InferenceSession(serialize(network))
    (scores,) = session.run(None, {session.get_inputs()[0].name: inputs_for(splits.test, network)})
    assert scores.shape == (360, 10)
    assert (scores.argmax(1) == made.predict(splits.test.inputs)).mean() > 0.99


def test_what_cannot_be_a_graph_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("skl2onnx")
    write = late("graphs").write_graph
    made = contestant_of("GaussianNB()", Given(classes=2))
    assert isinstance(made, Estimator)
    made.fit(np.eye(4, 12, dtype=np.float32), np.array([0, 1, 0, 1]))
    with pytest.raises(InputError, match="colour"):
        write(made.fitted, "winner", (2, 2, 3), ("a", "b"), tmp_path)
    with pytest.raises(InputError, match="cannot become a graph"):
        write(object(), "winner", (12,), ("a", "b"), tmp_path)
