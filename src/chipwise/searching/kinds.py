"""Kinds of contestants: what each is called, its knobs, good values to begin with, and what to expect of it.

A contestant is one function and one entry here. The expectations only order the first trials; what is measured takes
their place at once. They are of MNIST's 54,000 pictures and one thread of a Xeon with AMX.

>>> kinds_for(Facts(samples=54_000, features=784, classes=10, channels=1))[0].usual_model()
'GaussianNB(var_smoothing=0.1)'
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from chipwise.searching.knobs import Choice, Knob, Real, Setting, Whole
from chipwise.searching.model_string import Model, written

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chipwise.searching.model_string import Value

Settings: TypeAlias = "Mapping[str, Setting]"
_SAMPLES, _FEATURES = 54_000, 784  # of what the expectations are of
_MOST_EPOCHS_TIMES = 30.0  # how many times as many epochs few samples get


@dataclass(frozen=True, slots=True)
class Facts:
    """What the search needs to know of the data.

    Attributes:
        samples: of the training split; features: numbers in each; classes: of them.
        channels: of pictures, 1 or 3; None for arrays.
    """

    samples: int
    features: int
    classes: int
    channels: int | None


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of contestant.

    Attributes:
        name: short, for the first knob: which kind.
        model: from the knobs' values to the model.
        knobs: by name; usual: good values to begin with.
        long: what is other than usual in values for more time; empty for none.
        error: expected with the usual ones, of all samples; in_colour: the same of small photographs in colour.
        seconds: of fitting and predicting.
        learns: how the error falls with the share of the samples, as a power; grows: how the seconds rise.
        library: that it is from.
    """

    name: str
    model: Callable[[Settings], Model]
    knobs: Mapping[str, Knob]
    usual: Mapping[str, Setting]
    error: float
    seconds: float
    learns: float = -0.4
    grows: float = 1.0
    library: str = "sklearn"
    epochs: bool = field(default=False)
    long: Mapping[str, Setting] = field(default_factory=dict)
    in_colour: float = 0.5

    def usual_model(self) -> str:
        """The model string of what it begins with."""
        return written(self.model(self.usual))

    def portfolio(self) -> tuple[Settings, ...]:
        """Values to begin with: the usual ones, and those for more time where it has some."""
        return (self.usual, {**self.usual, **self.long}) if self.long else (self.usual,)


def kinds_for(facts: Facts, names: tuple[str, ...] = ()) -> tuple[Kind, ...]:
    """Kinds that can learn such data with the libraries that are installed, the cheapest first.

    Args:
        facts: of the data.
        names: only these; empty for all.
    """
    fitting = [kind for kind in _every(facts) if not names or kind.name in names]
    able = [kind for kind in fitting if importlib.util.find_spec(kind.library) is not None]
    return tuple(sorted((_scaled(kind, facts) for kind in able), key=lambda kind: kind.seconds))


def kind_names() -> tuple[str, ...]:
    """Names of all kinds."""
    return tuple(kind.name for kind in (*_CLASSICAL, *_NETWORKS, *_COLOUR))


def own_kind(for_s: float) -> Kind:
    """What is expected of a model of the user's own in a search of so many seconds: that it is worth its turn."""
    return Kind("own", _plain("Own"), {}, {}, error=0.05, seconds=for_s / 20)


def _every(facts: Facts) -> tuple[Kind, ...]:
    if facts.channels is None:
        return _CLASSICAL
    return (*_CLASSICAL, *_NETWORKS, *(_COLOUR if facts.channels == 3 else ()))


def _scaled(kind: Kind, facts: Facts) -> Kind:
    """Expectations for so many samples; few samples are gone through more often."""
    share = facts.samples / _SAMPLES
    width = 1.0 if kind.library == "torch" else facts.features / _FEATURES
    seconds = kind.seconds * share**kind.grows * width
    kind = replace(kind, error=kind.in_colour) if facts.channels == 3 else kind
    if not kind.epochs:
        return replace(_narrowed(kind, facts.features), seconds=seconds)
    times = min(max(share**-0.75, 1.0), _MOST_EPOCHS_TIMES)
    knobs, usual = dict(kind.knobs), dict(kind.usual)
    epochs = knobs["epochs"]
    assert isinstance(epochs, Whole), "a count"
    knobs["epochs"] = replace(epochs, low=max(1, round(epochs.low * times)), high=round(epochs.high * times))
    usual["epochs"] = round(int(str(usual["epochs"])) * times)
    long = {**kind.long, "epochs": round(int(str(kind.long["epochs"])) * times)} if kind.long else {}
    return replace(kind, knobs=knobs, usual=usual, long=long, seconds=seconds * times)


def _narrowed(kind: Kind, features: int) -> Kind:
    """No more principal components than there are features."""
    knob = kind.knobs.get("n_components")
    if not isinstance(knob, Whole):
        return kind
    high = min(knob.high, features)
    knobs = {**kind.knobs, "n_components": replace(knob, low=min(knob.low, high), high=high)}
    usual = int(str(kind.usual["n_components"]))
    return replace(kind, knobs=knobs, usual={**kind.usual, "n_components": min(usual, high)})


def _plain(name: str, **fixed: Setting) -> Callable[[Settings], Model]:
    """A model that takes the knobs as its arguments."""
    return lambda values: Model(name, (), {**fixed, **values})


def _after_pca(name: str) -> Callable[[Settings], Model]:
    """A model behind the projection on the largest components."""

    def made(values: Settings) -> Model:
        rest: dict[str, Value] = {key: value for key, value in values.items() if key != "n_components"}
        projection = Model("PCA", (), {"n_components": values["n_components"]})
        return Model("make_pipeline", (projection, Model(name, (), rest)), {})

    return made


def _kernels(values: Settings) -> Model:
    """A linear classifier over random features of an RBF kernel."""
    projected = ("n_components", "gamma", "kernel_size")
    rest: dict[str, Value] = {key: value for key, value in values.items() if key not in projected}
    projection = Model("PCA", (), {"n_components": values["n_components"]})
    kernel = Model("Nystroem", (), {"gamma": values["gamma"], "n_components": values["kernel_size"]})
    return Model("make_pipeline", (projection, kernel, Model("LinearSVC", (), rest)), {})


_NEIGHBOURS: dict[str, Knob] = {
    "n_neighbors": Whole(1, 15),
    "weights": Choice(("distance", "uniform")),
}
_FOREST: dict[str, Knob] = {
    "n_estimators": Whole(30, 500, log=True),
    "max_features": Choice(("sqrt", "log2", 0.1, 0.2)),
    "min_samples_leaf": Whole(1, 5),
    "criterion": Choice(("gini", "entropy")),
}
_FOREST_USUAL: dict[str, Setting] = {
    "n_estimators": 100, "max_features": "sqrt", "min_samples_leaf": 1, "criterion": "gini",
}  # fmt: skip
_BOOST: dict[str, Knob] = {
    "learning_rate": Real(0.03, 0.3, log=True),
    "min_child_samples": Whole(5, 50, log=True),
    "n_estimators": Whole(30, 300, log=True),
    "num_leaves": Whole(15, 127, log=True),
}
_TRAINED: dict[str, Knob] = {
    "batch_size": Choice((64, 128, 256)),
    "epochs": Whole(1, 12, log=True),
    "label_smoothing": Choice((0.0, 0.05, 0.1)),
    "learning_rate": Real(0.001, 0.03, log=True),
}
_AUGMENTED: dict[str, Knob] = {**_TRAINED, "augment": Choice(("none", "shift", "affine"))}
_WIDTH = Choice((0.25, 0.5, 1.0, 1.5, 2.0))

_CLASSICAL = (
    Kind("naive-bayes", _plain("GaussianNB"), {"var_smoothing": Real(1e-9, 1.0, log=True)}, {"var_smoothing": 0.1},
         error=0.2, seconds=1.5, learns=-0.02),
    Kind("perceptron", _plain("Perceptron", early_stopping=True), {
        "alpha": Real(1e-7, 1e-3, log=True), "penalty": Choice((None, "l2", "l1", "elasticnet")),
    }, {"alpha": 1e-4, "penalty": None}, error=0.12, seconds=8.0, learns=-0.1),
    Kind("sgd", _plain("SGDClassifier", early_stopping=True), {
        "alpha": Real(1e-6, 1e-2, log=True), "loss": Choice(("hinge", "log_loss", "modified_huber")),
    }, {"alpha": 1e-4, "loss": "hinge"}, error=0.09, seconds=12.0, learns=-0.15),
    Kind("logistic", _plain("LogisticRegression"), {
        "C": Real(1e-3, 10.0, log=True), "max_iter": Whole(20, 200, log=True),
    }, {"C": 0.1, "max_iter": 50}, error=0.08, seconds=25.0, learns=-0.2),
    Kind("knn", _plain("KNeighborsClassifier"), {
        **_NEIGHBOURS, "algorithm": Choice(("auto", "ball_tree", "kd_tree", "brute")),
        "leaf_size": Whole(10, 60), "p": Choice((2, 1, 3, 4)),
    }, {"n_neighbors": 4, "weights": "distance", "algorithm": "auto", "leaf_size": 30, "p": 2}, error=0.028,
         seconds=25.0),
    Kind("pca-knn", _after_pca("KNeighborsClassifier"), {**_NEIGHBOURS, "n_components": Whole(10, 60, log=True)},
         {"n_neighbors": 4, "weights": "distance", "n_components": 40}, error=0.018, seconds=3.0),
    Kind("pca-svc", _after_pca("SVC"), {
        "C": Real(0.3, 100.0, log=True), "gamma": Real(0.003, 0.1, log=True),
        "n_components": Whole(15, 100, log=True),
    }, {"C": 8.0, "gamma": 0.02, "n_components": 50}, error=0.015, seconds=60.0, grows=1.6),
    Kind("kernel-svm", _kernels, {
        "C": Real(0.03, 30.0, log=True), "gamma": Real(0.005, 0.08, log=True),
        "kernel_size": Whole(200, 2000, log=True), "n_components": Whole(30, 100, log=True),
    }, {"C": 1.0, "gamma": 0.02, "kernel_size": 500, "n_components": 50}, error=0.03, seconds=40.0, learns=-0.3),
    Kind("forest", _plain("RandomForestClassifier"), _FOREST, _FOREST_USUAL, error=0.033, seconds=45.0, grows=1.1),
    Kind("extra-trees", _plain("ExtraTreesClassifier"), _FOREST, _FOREST_USUAL, error=0.03, seconds=40.0, grows=1.1),
    Kind("hist-boosting", _plain("HistGradientBoostingClassifier"), {
        "learning_rate": Real(0.03, 0.3, log=True), "max_iter": Whole(20, 200, log=True),
        "max_leaf_nodes": Whole(15, 63, log=True),
    }, {"learning_rate": 0.2, "max_iter": 40, "max_leaf_nodes": 31}, error=0.03, seconds=120.0),
    Kind("lightgbm", _plain("LGBMClassifier"), _BOOST, {
        "learning_rate": 0.15, "min_child_samples": 20, "n_estimators": 60, "num_leaves": 31,
    }, error=0.025, seconds=90.0, library="lightgbm"),
)  # fmt: skip
# Seconds of networks are of one thread of an EPYC with AVX-512's bf16.
_NETWORKS = (
    Kind("convnet", _plain("convnet_small"), {**_AUGMENTED, "width": _WIDTH}, {
        "batch_size": 128, "epochs": 2, "label_smoothing": 0.05, "learning_rate": 0.01, "augment": "none", "width": 1.0,
    }, error=0.01, seconds=8.0, learns=-0.7, library="torch", epochs=True, long={"epochs": 10, "augment": "shift"},
         in_colour=0.4),
    Kind("mlp", _plain("lenet_300_100"), {**_TRAINED, "width": _WIDTH}, {
        "batch_size": 128, "epochs": 4, "label_smoothing": 0.05, "learning_rate": 0.003, "width": 1.0,
    }, error=0.02, seconds=5.0, learns=-0.5, library="torch", epochs=True),
    Kind("lenet5", _plain("lenet5_caffe"), {**_AUGMENTED, "width": _WIDTH}, {
        "batch_size": 128, "epochs": 3, "label_smoothing": 0.05, "learning_rate": 0.003, "augment": "none",
        "width": 0.5,
    }, error=0.011, seconds=13.0, learns=-0.6, library="torch", epochs=True, long={"epochs": 8, "width": 1.0},
         in_colour=0.4),
)  # fmt: skip
_COLOUR = (
    # One epoch of 18,000 pictures takes 25 s at this width.
    Kind("resnet20", _plain("resnet20"), {
        **_AUGMENTED, "augment": Choice(("none", "flip", "crop,flip")), "width": Choice((0.5, 1.0)),
    }, {
        "batch_size": 128, "epochs": 5, "label_smoothing": 0.05, "learning_rate": 0.005, "augment": "flip",
        "width": 1.0,
    }, error=0.3, seconds=380.0, learns=-0.3, library="torch", epochs=True, in_colour=0.3),
)  # fmt: skip
