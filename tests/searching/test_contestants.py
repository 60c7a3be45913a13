"""Contestants come from their strings and give them back; what is not in the table cannot be built."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")

from chipwise.core.errors import InputError, MissingExtraError, UnknownNameError
from chipwise.datasets import load
from chipwise.searching import estimators
from chipwise.searching.contestant import Given, contestant_of, epochs_of
from chipwise.searching.execute import own_model
from chipwise.searching.kinds import Facts, kinds_for

OWN = """
import numpy as np

class Nearest:
    def fit(self, inputs, labels):
        self.means = np.stack([inputs[labels == each].mean(0) for each in range(10)])
    def predict(self, inputs):
        return np.array([np.square(self.means - each).reshape(10, -1).sum(1).argmin() for each in inputs])
    def save(self):
        return self.means.tobytes()
    def describe(self):
        return "Nearest()"

make = Nearest
broken = lambda: 3
"""
STRINGS = [
    "KNeighborsClassifier(algorithm='ball_tree', n_neighbors=4, weights='distance')",
    "make_pipeline(PCA(n_components=20), SVC(C=5.0))",
    "RandomForestClassifier(n_estimators=10)",
    "GaussianNB()",
    "HistGradientBoostingClassifier(max_iter=3)",
    "make_pipeline(PCA(n_components=20), Nystroem(gamma=0.02, n_components=50), LinearSVC())",
]


@pytest.mark.parametrize("model", STRINGS)
def test_an_estimator_learns_and_gives_its_string_back(model: str) -> None:
    splits = load("digits").split()
    made = contestant_of(model, Given(classes=10))
    assert made.describe() == model
    made.fit(splits.train.inputs, splits.train.labels)
    right = (made.predict(splits.test.inputs) == splits.test.labels).mean()
    assert right > 0.7
    with np.load(io.BytesIO(made.save()), allow_pickle=False) as arrays:  # no object among them
        assert sum(array.size for array in arrays.values()) > 100


def test_what_is_made_to_be_saved_is_all_saved() -> None:
    """Each state is made anew and let go of: the next one may lie at the same address."""

    class State:
        def __init__(self, place: int) -> None:
            self.place = place

        def __getstate__(self) -> dict[str, object]:
            return {"learned": np.full(3, self.place), "parts": [np.full(2, self.place)]}

    State.__module__ = "sklearn.state"
    made = estimators.Estimator("Made()", [State(place) for place in range(50)])
    with np.load(io.BytesIO(made.save()), allow_pickle=False) as arrays:
        assert [int(array[0]) for array in arrays.values()] == [place for place in range(50) for _ in range(2)]


def test_every_kind_begins_with_a_string_that_can_be_built() -> None:
    pytest.importorskip("torch")
    kinds = kinds_for(Facts(samples=1077, features=64, classes=10, channels=1))
    assert {"naive-bayes", "pca-knn", "convnet", "forest"} <= {kind.name for kind in kinds}
    for kind in kinds:
        assert contestant_of(kind.usual_model(), Given(classes=10)).describe() == kind.usual_model()


@pytest.mark.runtime
def test_a_network_learns_and_gives_its_string_back() -> None:
    pytest.importorskip("torch")
    splits = load("digits").split()
    model = "convnet_small(augment='none', batch_size=64, epochs=4, learning_rate=0.01, width=0.5)"
    made = contestant_of(model, Given(classes=10))
    assert made.describe() == model
    assert epochs_of(model) == 4
    made.fit(splits.train.inputs, splits.train.labels)
    assert (made.predict(splits.test.inputs) == splits.test.labels).mean() > 0.7
    again = contestant_of(model, Given(classes=10))
    again.fit(splits.train.inputs, splits.train.labels)
    assert again.save() == made.save()  # the same seed, the same weights


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("NoSuchModel()", "unknown model"),
        ("KNeighborsClassifier(neighbours=4)", "unknown argument"),
        ("make_pipeline(PCA(memory='x'), SVC())", "unknown argument"),
        ("make_pipeline(memory='x')", "no pipeline"),
        ("SVC(verbose=True)", "not taken"),
        ("convnet_small(depth=3)", "unknown"),
        ("convnet_small(width='wide')", "unknown argument"),
        ("convnet_small(learning_rate=-1)", "learning_rate"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(model: str, told: str) -> None:
    pytest.importorskip("torch")
    with pytest.raises(InputError, match=told):
        contestant_of(model, Given(classes=10))


def test_a_value_that_an_estimator_refuses_is_an_input_error() -> None:
    splits = load("digits").split()
    made = contestant_of("KNeighborsClassifier(n_neighbors=-3)", Given(classes=10))
    with pytest.raises(InputError, match="n_neighbors"):
        made.fit(splits.train.inputs, splits.train.labels)


def test_a_library_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(estimators.ESTIMATORS, "LGBMClassifier", "nowhere_to_be_found")
    monkeypatch.setitem(estimators._EXTRAS, "nowhere_to_be_found", "boosting")
    with pytest.raises(MissingExtraError, match="nowhere_to_be_found"):
        contestant_of("LGBMClassifier()", Given(classes=10))


def test_a_model_of_ones_own_in_ten_lines(tmp_path: Path) -> None:
    file = tmp_path / "my_model.py"
    file.write_text(OWN)
    made = own_model(f"{file}:make")
    splits = load("digits").split()
    made.fit(splits.train.inputs, splits.train.labels)
    assert (made.predict(splits.test.inputs) == splits.test.labels).mean() > 0.7
    with pytest.raises(InputError, match="no fit and no predict"):
        own_model(f"{file}:broken")
    with pytest.raises(InputError, match="no model in"):
        own_model(str(tmp_path / "other.py:make"))
    with pytest.raises(InputError, match="no function"):
        own_model(f"{file}:other")


def test_names_are_looked_up_with_the_nearest_as_a_hint() -> None:
    with pytest.raises(UnknownNameError) as caught:
        contestant_of("KNeighborClassifier()", Given(classes=10))
    assert "KNeighborsClassifier" in caught.value.hint
