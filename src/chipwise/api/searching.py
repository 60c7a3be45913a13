"""Search: many models compete on score, time, size and money, and every trial is a row of one board.

chipwise.api.search("digits", for_s=60).winner
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from chipwise.api.given import data_from, need, warn
from chipwise.api.notebook import drawn
from chipwise.core.errors import InputError, unknown_name
from chipwise.core.events import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.api.given import DataLike
    from chipwise.core.contest import Contest
    from chipwise.datasets.dataset import Dataset

LEDGER = "runs/search"
_PLACES = ("", "ray")
_THEN = ("", "compile")
_MEMORY_SHARE, _LEAST_MEMORY = 0.8, 1 << 30
_DIFFERENT = 0.005  # of the test samples


@drawn
def search(
    data: DataLike = "digits",
    *,
    for_s: float = 60.0,
    ledger: str | Path = LEDGER,
    metric: str = "accuracy",
    max_predict_s: float | None = None,
    max_size_bytes: int | None = None,
    max_cost_usd: float | None = None,
    usd_an_hour: float | None = None,
    own: Sequence[str] = (),
    kinds: Sequence[str] = (),
    sampler: str = "tpe",
    seed: int = 0,
    jobs: int | None = None,
    memory_bytes: int | None = None,
    group: str = "",
    on: str = "",
    then: str = "",
    output: str | Path | None = None,
    skip_bad: bool = False,
    progress: Progress = silent,
) -> Contest:
    """Find the best model for labelled samples in the time there is: classical ones and networks in one contest.

    Models are chosen on the validation split. The test split is looked at once, at the end, for the leaders, which then
    have learned from training and validation samples. What the ledger has already is not run again, so that the same
    call goes on where it was killed.

    Args:
        data: a data set or its name.
        for_s: wall time for all of it.
        ledger: file for the rows, or a folder for it; others may write to it at the same time.
        metric: "accuracy" or "balanced-accuracy".
        max_predict_s: most time to predict one item.
        max_size_bytes: most bytes of the saved model.
        max_cost_usd: most dollars for fitting it, at `usd_an_hour`.
        usd_an_hour: price of one thread for an hour; that of a usual cloud machine by default.
        own: models of your own that take part, "my_model.py:make" each; the function's result has the methods
            `fit(inputs, labels)`, `predict(inputs)`, `save()` and `describe()`.
        kinds: names of kinds that may compete; empty for all.
        sampler: "tpe", "random" or "grid".
        seed: of samplers and models.
        jobs: trials at once, of one thread each; None for as many as there are cores.
        memory_bytes: that one trial may have; None for an equal part of what is available.
        group: who asks, for the board.
        on: "ray" runs trials on a Ray cluster: the one that RAY_ADDRESS names, or one of this machine.
        then: "compile" makes a plan of the winner.
        output: file of that plan.
        skip_bad: leave out pictures that cannot be read.
        progress: told how far it is.

    Raises:
        InputError, DataError: what was given cannot be used. MissingExtraError: Optuna or scikit-learn is missing.
        StorageError: the ledger cannot be written.
    """
    _check_places(on, then, output)
    need("optuna", "sklearn", extra="search")
    need(*(["ray"] if on == "ray" else []), extra="ray")
    need(*(["skl2onnx"] if then else []), extra="search")
    from chipwise.devices.detect import detect
    from chipwise.searching.contest import hold
    from chipwise.searching.contestant import late
    from chipwise.searching.ledger import ledger_file
    from chipwise.searching.wanted import USD_AN_HOUR, Limits, Wanted

    dataset = data_from(data, progress, skip_bad=skip_bad)
    count = detect().cores if jobs is None else jobs
    wanted = Wanted(
        for_s=for_s,
        metric=metric,
        seed=seed,
        sampler=sampler,
        jobs=count,
        on=on,
        group=group,
        own=tuple(own),
        kinds=tuple(kinds),
        usd_an_hour=USD_AN_HOUR if usd_an_hour is None else usd_an_hour,
        memory_bytes=memory_bytes or memory_of_each(count),
        graph=then == "compile",
        limits=Limits(max_predict_s, max_size_bytes, max_cost_usd),
    )
    place = late("on_ray").place(count) if on == "ray" else None
    held = hold(dataset, wanted, ledger_file(Path(ledger)), progress, place)
    return _compiled(held, dataset, output, progress) if then and held.complete else held


def kind_names() -> list[str]:
    """Names of kinds of contestants, for completion."""
    from chipwise.searching.kinds import kind_names as known

    return sorted(known())


def _check_places(on: str, then: str, output: str | Path | None) -> None:
    if on not in _PLACES:
        raise unknown_name("place to run trials on", on, _PLACES[1:])
    if then not in _THEN:
        raise unknown_name("thing to do then", then, _THEN[1:])
    if output is not None and not then:
        raise InputError("there is no plan to write", hint="--then compile -o X.plan")


def memory_of_each(jobs: int) -> int:
    """Bytes of one of so many trials at once: an equal part of the memory that is available now."""
    from chipwise.devices.detect import detect

    whole = detect().memory_bytes or (4 << 30)
    return max(_LEAST_MEMORY, int(_MEMORY_SHARE * whole / max(jobs, 1)))


def _compiled(held: Contest, dataset: Dataset, output: str | Path | None, progress: Progress) -> Contest:
    """Make a plan of the winner."""
    from chipwise.api.verbs import check, compile
    from chipwise.searching.contest import model_folder
    from chipwise.searching.execute import network_in

    winner = held.winner
    if winner is None or winner.test is None:
        warn(f"there is nothing to compile: {winner.reason if winner else 'no contestant came to the end'}", progress)
        return held
    source = network_in(model_folder(Path(held.ledger), winner.trial))
    if source is None:
        why = next((note for note in held.notes if note.startswith(winner.model)), "the winner was not kept")
        warn(f"there is nothing to compile: {why}", progress)
        return held
    plan = Path(output) if output is not None else Path(held.ledger).with_suffix(".plan")
    compile(source, output=plan, progress=progress)
    checked = check(plan, dataset)
    notes = list(held.notes)
    if held.metric == "accuracy" and abs(checked.drop.candidate.value - winner.test.value) > _DIFFERENT:
        notes.append(
            f"the plan is right on {checked.drop.candidate.value:.2%} of the test samples, the winner on "
            f"{winner.test.value:.2%}: its graph computes in float32"
        )
    return replace(held, plan=str(plan), notes=tuple(notes))
