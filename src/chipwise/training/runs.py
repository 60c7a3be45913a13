"""The ledger of runs: one line of JSON for each run that ended, in `runs.jsonl` of its folder.

It lies in the folder that was named, so that nothing is written beside it and a row goes where its run goes; all runs
below a folder are `runs/*/runs.jsonl`. Lines are added and never changed: a run that is begun anew with `fresh` leaves
the row of the one before.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from chipwise.codec.append import append_line
from chipwise.codec.records import encode
from chipwise.core.epoch import Epoch
from chipwise.core.estimate import Interval, Workload
from chipwise.core.measure import Accuracy
from chipwise.cost.energy import energy_of
from chipwise.training.settings import AUTO, as_json

if TYPE_CHECKING:
    from pathlib import Path

    from chipwise.core.device import Device
    from chipwise.core.network import Network
    from chipwise.datasets.dataset import Dataset, Splits
    from chipwise.training.checkpoint import State
    from chipwise.training.settings import Settings

RUNS = "runs.jsonl"
DIVERGED = "diverged"


@dataclass(frozen=True, slots=True)
class Host:
    """Where a run is: facts of its device where the catalogue has them, and versions of libraries."""

    device: Device | None = None
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run. What is not known is None.

    Attributes:
        id: of what was done, 32 hex digits; no two rows of a file have the same.
        outcome: why it ended: "epochs done", "target reached", "no improvement for 10 epochs" or "diverged".
        ended: when this was written, UTC.
        network, network_digest, parameters: what was trained; all parameters count.
        data, data_digest, samples: what it learned from, and how many samples each split has.
        skipped: files of the data that could not be read and were left out.
        teacher: digest of the network whose answers were learned too.
        settings, seed: as used.
        history, best_epoch: one row an epoch, and the one that was kept.
        test: accuracy on the test split with its 95% interval.
        error: what broke, of a run that diverged.
        steps_s: time spent in training steps; wall_s: in all of it, as far as it was checkpointed; both over all
            resumed runs, seconds.
        device: the name in the catalogue of what it ended on; energy_j: what all of it takes in that time, joules, by
            its data sheet.
        versions: of the libraries that matter.
        trained_on: the device that it ended on, as torch calls it: "cpu", "cuda:0".
    """

    id: str
    outcome: str
    ended: str
    network: str
    network_digest: str
    parameters: int
    data: str
    data_digest: str
    samples: dict[str, int]
    skipped: tuple[str, ...]
    teacher: str | None
    settings: dict[str, str | int | float | bool | None]
    seed: int
    history: tuple[Epoch, ...]
    best_epoch: int | None
    test: Accuracy | None
    error: str | None
    steps_s: float
    wall_s: float | None
    device: str | None
    energy_j: Interval | None
    versions: dict[str, str]
    trained_on: str = "cpu"
    schema: str = "chipwise.run/1"


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is known of a run from its beginning on."""

    network: Network
    data: Dataset
    splits: Splits
    settings: Settings
    host: Host


def note_run(
    folder: Path, facts: RunFacts, state: State, *, test: Accuracy | None = None, error: str | None = None
) -> bool:
    """Add the row of a run that ended to the ledger in its folder, unless it is there already; whether it was added.

    Args:
        folder: of the run.
        facts: what was trained, on what.
        state: at its end.
        test: what it reached.
        error: why it broke off; None where it did not.

    Raises:
        StorageError: when it cannot be written.
    """
    row = _row(facts, state, test, error)
    return append_line(folder / RUNS, encode(row), unless=f'"id":"{row.id}"'.encode())


def _row(facts: RunFacts, state: State, test: Accuracy | None, error: str | None) -> RunRow:
    settings, splits, device = facts.settings, facts.splits, facts.host.device
    teacher, parameters = state.identity.get("teacher"), state.identity.get("parameters")
    assert isinstance(parameters, int), "it is part of every identity"
    return RunRow(
        id=_id(state, error),
        outcome=state.stopped if error is None else DIVERGED,
        ended=datetime.now(UTC).isoformat(timespec="seconds"),
        network=facts.network.name,
        network_digest=facts.network.digest,
        parameters=parameters,
        data=facts.data.name,
        data_digest=facts.data.digest,
        samples={"train": len(splits.train), "validation": len(splits.validation), "test": len(splits.test)},
        skipped=facts.data.skipped,
        teacher=None if teacher is None else str(teacher),
        settings=as_json(settings),
        seed=settings.seed,
        history=state.history,
        best_epoch=state.best_epoch or None,
        test=test,
        error=error,
        steps_s=sum(epoch.seconds for epoch in state.history),
        wall_s=state.wall_s,
        device=None if device is None else device.name,
        energy_j=_energy_j(device, settings, state.wall_s),
        versions=facts.host.versions,
        trained_on="cpu" if settings.device == AUTO else settings.device,
    )


def _id(state: State, error: str | None) -> str:
    """What was done: the identity, and each epoch with its time, which no other run shares."""
    return hashlib.sha256(encode((state.identity, state.history, error))).hexdigest()[:32]


def _energy_j(device: Device | None, settings: Settings, wall_s: float | None) -> Interval | None:
    """What the device takes in that time; None where it, its power or the time is not known."""
    if device is None or not wall_s:
        return None
    workload = Workload("training", settings.batch_size, settings.precision)
    return energy_of((), device, workload, Interval(wall_s, wall_s, wall_s))
