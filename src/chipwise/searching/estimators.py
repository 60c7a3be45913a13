"""Estimators of scikit-learn, and LightGBM's, as contestants: built from a table of known classes, never evaluated.

>>> from chipwise.searching.model_string import parse
>>> estimator_of(parse("make_pipeline(PCA(n_components=9), KNeighborsClassifier(n_neighbors=4))"), seed=0).describe()
'make_pipeline(PCA(n_components=9), KNeighborsClassifier(n_neighbors=4))'
"""

from __future__ import annotations

import importlib
import inspect
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.core.errors import InputError, MissingExtraError, first_line, unknown_name
from chipwise.searching.model_string import Model, written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from chipwise.searching.model_string import Value

PIPELINE = "make_pipeline"
# Name in a model string: the module that has it. What is not here cannot be named.
ESTIMATORS = {
    "KNeighborsClassifier": "sklearn.neighbors",
    "NearestCentroid": "sklearn.neighbors",
    "SVC": "sklearn.svm",
    "LinearSVC": "sklearn.svm",
    "RandomForestClassifier": "sklearn.ensemble",
    "ExtraTreesClassifier": "sklearn.ensemble",
    "HistGradientBoostingClassifier": "sklearn.ensemble",
    "GradientBoostingClassifier": "sklearn.ensemble",
    "AdaBoostClassifier": "sklearn.ensemble",
    "BaggingClassifier": "sklearn.ensemble",
    "DecisionTreeClassifier": "sklearn.tree",
    "LogisticRegression": "sklearn.linear_model",
    "RidgeClassifier": "sklearn.linear_model",
    "SGDClassifier": "sklearn.linear_model",
    "Perceptron": "sklearn.linear_model",
    "PassiveAggressiveClassifier": "sklearn.linear_model",
    "GaussianNB": "sklearn.naive_bayes",
    "MultinomialNB": "sklearn.naive_bayes",
    "BernoulliNB": "sklearn.naive_bayes",
    "LinearDiscriminantAnalysis": "sklearn.discriminant_analysis",
    "QuadraticDiscriminantAnalysis": "sklearn.discriminant_analysis",
    "MLPClassifier": "sklearn.neural_network",
    "DummyClassifier": "sklearn.dummy",
    "LGBMClassifier": "lightgbm",
    PIPELINE: "sklearn.pipeline",
    "PCA": "sklearn.decomposition",
    "StandardScaler": "sklearn.preprocessing",
    "MinMaxScaler": "sklearn.preprocessing",
    "Normalizer": "sklearn.preprocessing",
    "Nystroem": "sklearn.kernel_approximation",
}
_EXTRAS = {"sklearn": "search", "lightgbm": "boosting"}
# What would write to disk, read from there, speak, or start threads beyond the one of a trial.
_NOT_TAKEN = {"memory": "it writes to disk", "verbose": "it prints"}
_REBUILT = ("KDTree", "BallTree")  # indices over arrays that are counted already


class Estimator:
    """An estimator of scikit-learn that takes pictures: flattened, pixels from 0 to 1.

    Attributes:
        fitted: the estimator itself.
    """

    def __init__(self, model: str, fitted: Any) -> None:
        self._model = model
        self.fitted = fitted

    def fit(self, inputs: NDArray[Any], labels: NDArray[Any]) -> None:
        """Learn from [N, ...] and classes [N].

        Raises:
            InputError: the estimator does not take a value of one of its arguments, or these data.
        """
        try:
            self.fitted.fit(flat(inputs), labels)
        except (ValueError, TypeError) as error:
            raise InputError(f"{self._model}: {first_line(error)}") from error

    def predict(self, inputs: NDArray[Any]) -> NDArray[Any]:
        """The class of each sample [N]."""
        return np.asarray(self.fitted.predict(flat(inputs)), np.int64)

    def save(self) -> bytes:
        """Every array of the fitted estimator, once, as a plain .npz; search trees over such arrays are left out."""
        arrays = {str(place): array for place, array in enumerate(_arrays(self.fitted, {}))}
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **arrays)
        return file.getvalue()

    def describe(self) -> str:
        """Its model string."""
        return self._model


def estimator_of(model: Model, *, seed: int) -> Estimator:
    """Build an estimator.

    Args:
        model: as `model_string.parse` reads it.
        seed: becomes `random_state` wherever one is taken and none is said.

    Raises:
        UnknownNameError: a class or an argument that there is not. InputError: an argument that is not taken.
        MissingExtraError: the library is not installed.
    """
    return Estimator(written(model), _built(model, seed))


def flat(inputs: NDArray[Any]) -> NDArray[np.float32]:
    """Samples as rows [N, D] of float32; pixels from 0 to 1."""
    rows = inputs.reshape(len(inputs), -1)
    return rows.astype(np.float32) / np.float32(255) if rows.dtype == np.uint8 else rows.astype(np.float32, copy=False)


def _built(model: Model, seed: int) -> Any:
    made = _class(model.name)
    if model.name == PIPELINE:
        if model.arguments or not model.parts:
            raise InputError(f"{model} is no pipeline", hint=f"{PIPELINE}(PCA(n_components=40), SVC())")
        return made(*(_built(part, seed) for part in model.parts))
    if model.parts:
        raise InputError(f"{model.name} takes no model by position", hint=f"say which argument, or use {PIPELINE}")
    known = inspect.signature(made).parameters
    arguments: dict[str, Any] = {}
    for name, value in model.arguments.items():
        if name not in known or known[name].kind is inspect.Parameter.VAR_KEYWORD:
            raise unknown_name(f"argument of {model.name}", name, known)
        if name in _NOT_TAKEN:
            raise InputError(f"{model.name}({name}=...) is not taken: {_NOT_TAKEN[name]}", hint="leave it out")
        arguments[name] = _value(value, seed)
    if "random_state" in known:
        arguments.setdefault("random_state", seed)
    if "n_jobs" in known:
        arguments["n_jobs"] = 1  # the same answer, by the one thread of a trial
    if model.name == "LGBMClassifier":
        arguments |= {"verbose": -1}
    return made(**arguments)


def _value(value: Value, seed: int) -> Any:
    if isinstance(value, Model):
        return _built(value, seed)
    if isinstance(value, (list, tuple)):
        return type(value)(_value(each, seed) for each in value)
    if isinstance(value, dict):
        return {key: _value(each, seed) for key, each in value.items()}
    return value


def _class(name: str) -> Any:
    if name not in ESTIMATORS:
        raise unknown_name("model", name, ESTIMATORS)
    library = ESTIMATORS[name].partition(".")[0]
    try:
        return getattr(importlib.import_module(ESTIMATORS[name]), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != library:
            raise
        raise MissingExtraError(library, _EXTRAS[library]) from error
    except AttributeError as error:
        raise InputError(f"this version of {library} has no {name}") from error


def _arrays(thing: Any, seen: dict[int, Any]) -> Iterator[NDArray[Any]]:
    """Arrays in a fitted estimator, in the order of its attributes; what is shared comes once.

    What was seen is kept: the id of a state that was made to be looked at would be that of the next one, too.
    """
    if id(thing) in seen or type(thing).__name__ in _REBUILT:
        return
    seen[id(thing)] = thing
    if isinstance(thing, np.ndarray):
        if thing.dtype.kind != "O":
            yield thing
        else:
            for each in thing.flat:
                yield from _arrays(each, seen)
    elif isinstance(thing, (list, tuple)):
        for each in thing:
            yield from _arrays(each, seen)
    elif isinstance(thing, dict):
        for each in thing.values():
            yield from _arrays(each, seen)
    elif hasattr(thing, "model_to_string"):  # LightGBM's own form
        yield np.frombuffer(thing.model_to_string().encode(), np.uint8)
    elif type(thing).__module__.startswith(("sklearn.", "lightgbm.")):
        state = thing.__getstate__() if hasattr(thing, "__getstate__") else vars(thing)
        yield from _arrays(list(state.values()) if isinstance(state, dict) else state, seen)
