"""A board with all that one may hold, made up."""

from __future__ import annotations

from chipwise.core.board import Leaderboard
from chipwise.core.trial import Claim, Rung, Score, Trial, identity
from chipwise.searching.ranking import ranked
from chipwise.tasks.metrics import wilson


def score(value: float, samples: int = 6000) -> Score:
    """A share of so many samples."""
    low, high = wilson(value, samples)
    return Score(value, low, high, samples)


def trial(model: str, value: float | None = None, **facts: object) -> Trial:
    """A row that finished."""
    rung = facts.get("rung", Rung())
    known: dict[str, object] = {
        "data": "mnist", "data_digest": "d", "model": model, "state": "finished", "group": "search",
        "when": "2026-11-30T10:20:30+00:00", "id": identity("d", model, 0, rung), "host": "a processor", "cores": 1,
        "score": None if value is None else score(value),
    }  # fmt: skip
    return Trial(**(known | facts))  # type: ignore[arg-type]


def costs(fit_s: float, predict_s: float, size_bytes: int) -> dict[str, object]:
    """What a model costs, on a machine of 40 W and 0.05 USD an hour."""
    return {
        "fit_s": fit_s, "predict_s_per_item": predict_s, "size_bytes": size_bytes, "energy_j": 40 * fit_s,
        "price_usd": 0.05 * fit_s / 3600,
    }  # fmt: skip


PIPELINE = "make_pipeline(PCA(n_components=40), SVC(C=10, gamma='scale'))"
KNN = "KNeighborsClassifier(algorithm='ball_tree', n_neighbors=4, weights='distance')"


def board() -> Leaderboard:
    """Seven trials, four claims, two failures."""
    trials = [
        trial("lenet5(epochs=8, learning_rate=0.003)", 0.9912, **costs(171.0, 41e-6, 177_000), rung=Rung(1.0, 8),
              test=score(0.9921, 10_000)),
        trial("convnet_small(epochs=4)", 0.9905, **costs(64.0, 38e-6, 90_000), rung=Rung(1.0, 4)),
        trial(PIPELINE, 0.9838, **costs(48.3, 310e-6, 4_100_000)),
        trial("ExtraTreesClassifier(n_estimators=300)", 0.9721, **costs(61.0, 45e-6, 310_000_000)),
        trial(KNN, 0.9714, **costs(0.031, 7.9e-3, 188_000_000)),
        trial("LogisticRegression(C=0.1)", 0.9203, **costs(9.0, 1.1e-6, 63_000), rung=Rung(0.25)),
        trial("GaussianNB()", 0.5606, **costs(0.42, 21e-6, 126_000)),
    ]  # fmt: skip
    measured = Score(0.9714, 0.9668, 0.9753, 10_000)
    claims = (
        _claim(KNN, 0.97369, "ITMALGrp28", Claim("best: ...", (), "confirmed", measured, "a"), **costs(0.03, 8e-3, 9)),
        _claim("KNeighborsClassifier(n_neighbors=3)", 0.4709, "ITMALGrp17",
               Claim("...", ("score given twice",), "refuted", measured, "b")),
        _claim("KNeighborsClassifier(p=4)", 0.97206, "", Claim("...", ("'dat mnist' without '='",), "not run"),
               reason="more than 300 s"),
        _claim("RandomForestClassifier(n_estimators=1000)", 0.9681, "ITMALGrp02",
               Claim("...", ("more after its end: '*'",))),
    )  # fmt: skip
    others = (
        trial("SVC(C=100)", state="failed", reason="took more than the 2.00 GiB that a trial may"),
        trial("MLPClassifier(hidden_layer_sizes=(4000, 4000))", state="refused", reason="cannot end in the 41 s left"),
    )
    notes = ("left out the last line, which has no end: its writer ended in the midst of it, or writes it now",)
    rows = ranked(trials, "score", ("score", "fit_s"))
    return Leaderboard(
        "runs/board.jsonl", "mnist", "accuracy", "score", ("score", "fit_s"), rows, claims, others, notes
    )


def _claim(model: str, value: float, group: str, claim: Claim, **facts: object) -> Trial:
    said = {"state": "claimed", "score": Score(value), "group": group, "when": "10/10 10:01", "claim": claim}
    return trial(model, **(said | facts))


def empty() -> Leaderboard:
    """A ledger that has no rows yet."""
    return Leaderboard("runs/board.jsonl", "", "accuracy", "score", ("score", "fit_s"), ())


RECORDS = {"leaderboard": board, "leaderboard_empty": empty}
