"""How others would search, with the contestants of `chipwise search`: one process of them.

    python benchmarks/search_peers.py optuna --data digits --seed 0 --place 0 --jobs 2 --folder SHARED_BY_BOTH
    python benchmarks/search_peers.py list --data digits --seed 0 --place 1 --jobs 2 --folder SHARED_BY_BOTH
    python benchmarks/search_peers.py test --data digits --seed 0 --model "GaussianNB()" --folder SHARED_BY_BOTH

optuna  `optuna.create_study(sampler=TPESampler(seed))` over the same kinds and knobs, each trial fitted on the whole
        training split, in as many processes as there are cores, over one `JournalStorage`. No share of the data, no
        portfolio, no look at the time.
list    strong usual configurations, one after another, in AutoGluon's order of priority for many classes (`LISTED`).
        AutoGluon gives each model all cores; contestants have one thread, so that as many are fitted at once as there
        are cores: no core is idle.
test    one model learns from training and validation samples together, and is asked for the test split, once.

Contestants are built, fitted and asked by the same code as in a search (`chipwise.searching.execute`), so that only
the choice differs. Each trial is a line of JSON; the process goes on until it is ended, or its list is.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import optuna
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from chipwise.api.searching import memory_of_each
from chipwise.datasets import load
from chipwise.datasets.dataset import Splits
from chipwise.searching import arrays
from chipwise.searching.contest import facts_of
from chipwise.searching.execute import execute
from chipwise.searching.job import Job, Outcome
from chipwise.searching.kinds import Kind, kinds_for
from chipwise.searching.knobs import suggested
from chipwise.searching.metrics import score_of
from chipwise.searching.model_string import written

# AutoGluon's key and priority for many classes (autogluon/tabular/trainer/model_presets/presets.py:
# DEFAULT_MODEL_PRIORITY and PROBLEM_TYPE_MODEL_PRIORITY), the highest first, and what it fits by default
# (hyperparameters "default": KNN with both weights, RF and XT by Gini and entropy with 300 trees, GBM at a learning
# rate of 0.05, and GBMLarge). What has no brackets is a kind of `searching/kinds.py` with its usual values. What
# differs: boosting has LightGBM's own 100 rounds, as it cannot end early here; GBM with `extra_trees` is no contestant;
# CAT and XGB are scikit-learn's boosting, once; FASTAI, its first network, is the networks of pictures, and NN_TORCH
# the fully connected one. What AutoGluon does not have comes last, as its custom models do.
LISTED: tuple[tuple[str, str], ...] = (
    ("KNN 100", "KNeighborsClassifier(weights='uniform')"),
    ("KNN 100", "KNeighborsClassifier(weights='distance')"),
    ("FASTAI 95", "convnet"),
    ("FASTAI 95", "resnet20"),
    ("FASTAI 95", "lenet5"),
    ("GBM 90", "LGBMClassifier(learning_rate=0.05)"),
    ("RF 80", "RandomForestClassifier(criterion='gini', n_estimators=300)"),
    ("RF 80", "RandomForestClassifier(criterion='entropy', n_estimators=300)"),
    ("CAT 70", "HistGradientBoostingClassifier()"),
    ("XT 60", "ExtraTreesClassifier(criterion='gini', n_estimators=300)"),
    ("XT 60", "ExtraTreesClassifier(criterion='entropy', n_estimators=300)"),
    ("LR 30", "LogisticRegression()"),
    ("NN_TORCH 25", "mlp"),
    ("GBM 0", "LGBMClassifier(colsample_bytree=0.9, learning_rate=0.03, min_child_samples=3, num_leaves=128)"),
    *(("custom 0", kind) for kind in ("pca-knn", "pca-svc", "kernel-svm", "sgd", "perceptron", "naive-bayes")),
)


@dataclass(frozen=True)
class Bench:
    """Where a process runs its trials: its data, kinds, and what was asked for."""

    splits: Splits
    kinds: dict[str, Kind]
    folder: Path
    asked: argparse.Namespace

    def run(self, model: str, *, test: bool = False) -> Outcome:
        """Run a model on all samples of the training split, or of all but the test split."""
        rows = "" if test else arrays.rows_file(1.0)
        job = Job(
            id=model, model=model, seed=self.asked.seed, epochs=None, folder=str(self.folder), rows=rows,
            asks="test" if test else "validation", class_names=self.splits.train.class_names,
            memory_bytes=self.asked.memory,
        )  # fmt: skip
        return execute(job)


def main() -> None:
    """Search, or test."""
    asked = parsed()
    data = load(asked.data)
    splits = data.split()
    kinds = {kind.name: kind for kind in kinds_for(facts_of(data, splits))}
    with TemporaryDirectory() as folder:
        arrays.written(Path(folder), splits, (1.0,), asked.seed)
        bench = Bench(splits, kinds, Path(folder), asked)
        if asked.way == "test":
            tell(tested(bench))
        elif asked.way == "optuna":
            plain_optuna(bench)
        else:
            for model in mine(listed(kinds), asked.folder):
                tell(row_of(model, bench.run(model)))


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=("optuna", "list", "test"))
    parser.add_argument("--data", required=True, help="as `chipwise search` takes it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--place", type=int, default=0, help="which of the processes this is")
    parser.add_argument("--jobs", type=int, default=1, help="how many there are")
    parser.add_argument("--memory", type=int, default=memory_of_each(1), help="bytes that this process may have")
    parser.add_argument("--folder", type=Path, required=True, help="that the processes share")
    parser.add_argument("--model", default="", help="of test")
    return parser.parse_args()


def plain_optuna(bench: Bench) -> None:
    """As a user writes it: every trial is fitted on all there is."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seed = bench.asked.seed * bench.asked.jobs + bench.asked.place  # two of one seed would try the same
    study = optuna.create_study(
        study_name="plain",
        storage=JournalStorage(JournalFileBackend(str(bench.asked.folder / "optuna.jsonl"))),
        sampler=TPESampler(seed=seed),
        direction="maximize",
        load_if_exists=True,
    )

    def objective(trial: optuna.Trial) -> float:
        kind = bench.kinds[str(trial.suggest_categorical("kind", list(bench.kinds)))]
        model = written(kind.model({name: suggested(trial, f"{kind.name}.{name}", kind.knobs[name])
                                    for name in kind.knobs}))  # fmt: skip
        outcome = bench.run(model)
        tell(row_of(model, outcome))
        if outcome.value is None:
            raise optuna.TrialPruned(outcome.error)
        return outcome.value

    study.optimize(objective)


def listed(kinds: dict[str, Kind]) -> list[str]:
    """Model strings of the list that these kinds, and the libraries that are installed, make possible."""
    models = [kinds[said].usual_model() if said in kinds else said for _, said in LISTED]
    known = {kind.usual_model().partition("(")[0] for kind in kinds.values()}
    return [model for model in models if model.partition("(")[0] in known and "(" in model]


def mine(models: list[str], folder: Path) -> Iterator[str]:
    """Models that no other process has taken."""
    for place, model in enumerate(models):
        try:
            (folder / f"taken-{place}").touch(exist_ok=False)
        except FileExistsError:
            continue
        yield model


def tested(bench: Bench) -> dict[str, Any]:
    """The accuracy on the test split."""
    outcome = bench.run(bench.asked.model, test=True)
    if outcome.error:
        return {"error": outcome.error}
    test = bench.splits.test
    value = score_of("accuracy", test.labels, np.frombuffer(outcome.answers, "<i4"), test.classes)
    return {"value": value, "samples": len(test), "fit_s": outcome.fit_s}


def row_of(model: str, outcome: Outcome) -> dict[str, Any]:
    """A trial as it is told."""
    return {"model": model, "score": outcome.value, "fit_s": outcome.fit_s, "error": outcome.error}


def tell(found: dict[str, Any]) -> None:
    """A line, at once."""
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
