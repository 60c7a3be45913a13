"""Networks that read sequences, words, or pairs of numbers.

>>> SEQUENCES["bert-base"].inputs[0].dtype
'int64'
"""

from __future__ import annotations

from functools import partial

from chipwise.core.errors import InputError
from chipwise.core.network import TensorSpec
from chipwise.core.task import Task
from chipwise.networks.zoo.entry import ZooEntry


def _whole(options: dict[str, int | float]) -> dict[str, int]:
    """Options that count something."""
    broken = [f"{key}={value}" for key, value in options.items() if not isinstance(value, int)]
    if broken:
        raise InputError(f"{', '.join(broken)} is no whole number")
    return {key: int(value) for key, value in options.items()}


def _classifier(kind: str, **options: int | float) -> ZooEntry:
    given = _whole(options)
    length, features = given.pop("length", 49), given.get("features", 10)
    return ZooEntry(
        f"recurrent:{kind}_classifier",
        (TensorSpec("input", ("batch", length, features)),),
        (TensorSpec("scores", ("batch", given.get("num_classes", 12))),),
        Task("classification"),
        f"{kind.upper()} classifier of sequences [N, T, F]: 49x10 speech features, 12 classes, 128 units",
        dict(given),
        options=("length", "features", "hidden", "layers"),
        rebuilt=partial(_classifier, kind),
    )


def _forecaster(kind: str, **options: int | float) -> ZooEntry:
    _without_classes(f"{kind}-forecaster", options, "horizon")
    given = _whole(options)
    length, features, horizon = given.pop("length", 96), given.get("features", 1), given.get("horizon", 24)
    return ZooEntry(
        f"recurrent:{kind}_forecaster",
        (TensorSpec("input", ("batch", length, features)),),
        (TensorSpec("forecast", ("batch", horizon, features)),),
        Task("sequence"),
        f"{kind.upper()} forecaster: the next 24 values after 96, two layers of 64 units",
        dict(given),
        options=("length", "features", "horizon", "hidden", "layers"),
        rebuilt=partial(_forecaster, kind),
    )


def _bert(**options: int | float) -> ZooEntry:
    _without_classes("bert-base", options, "vocabulary")
    given = _whole(options)
    length, hidden, heads = given.pop("length", 128), given.get("hidden", 768), given.get("heads", 12)
    if length > _BERT_POSITIONS:
        raise InputError(f"length={length}: BERT knows {_BERT_POSITIONS} positions")
    if hidden % heads:
        raise InputError(f"hidden={hidden} cannot be shared out among {heads} heads")
    return ZooEntry(
        "bert:bert",
        tuple(
            TensorSpec(name, ("batch", length), "int64") for name in ("input_ids", "attention_mask", "token_type_ids")
        ),
        (TensorSpec("last_hidden_state", ("batch", length, hidden)), TensorSpec("pooled", ("batch", hidden))),
        Task("tensor"),
        "BERT-base's encoder with pooler, 128 tokens",
        dict(given),
        options=("length", "layers", "hidden", "heads", "vocabulary"),
        rebuilt=_bert,
    )


def _ncf(**options: int | float) -> ZooEntry:
    _without_classes("ncf", options, "items")
    given = _whole(options)
    return ZooEntry(
        "ncf:ncf",
        (TensorSpec("user", ("batch",), "int64"), TensorSpec("item", ("batch",), "int64")),
        (TensorSpec("score", ("batch", 1)),),
        Task("tensor"),
        "NCF (NeuMF): scores of users and items of MovieLens-20M",
        dict(given),
        options=("users", "items"),
        rebuilt=_ncf,
    )


def _without_classes(name: str, options: dict[str, int | float], instead: str) -> None:
    if "num_classes" in options:
        raise InputError(f"{name} has no classes", hint=f"another option: {instead}")


_BERT_POSITIONS = 512

SEQUENCES: dict[str, ZooEntry] = {
    "lstm-classifier": _classifier("lstm"),
    "gru-classifier": _classifier("gru"),
    "lstm-forecaster": _forecaster("lstm"),
    "gru-forecaster": _forecaster("gru"),
    "bert-base": _bert(),
    "ncf": _ncf(),
}
