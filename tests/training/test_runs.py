"""The ledger: one row for each run that ended, however it ended."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from chipwise.codec.records import decode  # noqa: E402
from chipwise.core.errors import GoalMissedError  # noqa: E402
from chipwise.devices import known  # noqa: E402
from chipwise.training import runs  # noqa: E402
from chipwise.training import train as trainer  # noqa: E402
from chipwise.training.runs import Host, RunRow  # noqa: E402

from . import tiny  # noqa: E402

pytestmark = pytest.mark.runtime


def rows(folder: Path) -> list[RunRow]:
    return [decode(line, RunRow, "row") for line in (folder / "runs.jsonl").read_bytes().splitlines()]


def run(folder: Path, host: Host | None = None, *, fresh: bool = False, **given: object) -> trainer.Training:
    chosen = dataclasses.replace(tiny.SETTINGS, **given)
    return trainer.train(tiny.tiny(), tiny.NETWORK, tiny.pictures(), chosen, folder, host=host, fresh=fresh)


def test_a_finished_run_has_one_row_with_all_that_made_it(tmp_path: Path) -> None:
    done = run(tmp_path, Host(versions={"torch": "1"}), epochs=2)
    assert run(tmp_path, epochs=2) == done
    (row,) = rows(tmp_path)
    assert (row.schema, row.outcome, row.error, row.network, row.network_digest) == (
        "chipwise.run/1", "epochs done", None, "tiny", tiny.NETWORK.digest,
    )  # fmt: skip
    assert (row.data_digest, row.samples) == (
        tiny.pictures().digest,
        {"train": 144, "validation": 48, "test": 48},
    )
    assert (row.settings, row.seed, row.history, row.best_epoch, row.test) == (
        done.settings, 5, done.history, done.best_epoch, done.test,
    )  # fmt: skip
    assert row.test is not None
    assert row.test.low <= row.test.value <= row.test.high
    assert row.wall_s is not None
    assert row.wall_s >= row.steps_s > 0
    assert row.versions == {"torch": "1"}
    raw = json.loads((tmp_path / "runs.jsonl").read_text())
    assert (raw["energy_j"], raw["device"]) == (None, None)


def test_rows_stay_when_a_run_is_begun_anew_and_a_lost_one_is_made_up_for(tmp_path: Path) -> None:
    run(tmp_path, epochs=1, target_accuracy=0.01)
    run(tmp_path, epochs=1, fresh=True)
    assert [row.outcome for row in rows(tmp_path)] == ["target reached", "epochs done"]
    (tmp_path / "runs.jsonl").unlink()
    run(tmp_path, epochs=1)
    assert [row.outcome for row in rows(tmp_path)] == ["epochs done"]


def test_a_run_that_diverged_has_a_row_and_keeps_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "_CHECKPOINT_SHARE", 1e9)
    path = tmp_path / "checkpoint" / "last.safetensors"
    seen = []

    def spoil(step: int) -> None:
        if step == 20:  # in the third epoch
            seen.append(path.read_bytes())
            with torch.no_grad():
                module.layers[0].weight.fill_(float("inf"))

    for _ in range(2):
        module = tiny.tiny()
        module.before = spoil
        module.steps = 18 if seen else 0  # the second time it goes on from the checkpoint, and breaks there again
        with pytest.raises(GoalMissedError, match="training diverged: the loss became nan in epoch 3, step 2 of 9"):
            tiny.run(tmp_path, module)
    assert path.read_bytes() == seen[0]
    assert len(trainer.checkpoints.load(path).state.history) == 2
    (row,) = rows(tmp_path)
    assert (row.outcome, row.test, len(row.history)) == ("diverged", None, 2)
    assert row.error is not None
    assert "layers.0 (Conv2d)" in row.error


def test_energy_is_an_interval_where_the_device_is_known_and_none_elsewhere() -> None:
    card = known.device("rtx-3090")
    taken = runs._energy_j(card, tiny.SETTINGS, 100.0)
    assert taken is not None
    assert card.power_w is not None
    assert 0 < taken.low < taken.mid < taken.high == pytest.approx(100 * card.power_w)
    assert runs._energy_j(dataclasses.replace(card, power_w=None), tiny.SETTINGS, 100.0) is None
    assert runs._energy_j(card, tiny.SETTINGS, None) is None
    assert runs._energy_j(None, tiny.SETTINGS, 100.0) is None


def test_wall_time_goes_on_over_resumed_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "_CHECKPOINT_SHARE", 1e9)

    def interrupt(step: int) -> None:
        if step == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny.run(tmp_path, tiny.tiny(interrupt))
    path = tmp_path / "checkpoint" / "last.safetensors"
    found = trainer.checkpoints.load(path)
    assert found.state.wall_s is not None
    later = dataclasses.replace(found.state, wall_s=found.state.wall_s + 1000)
    trainer.checkpoints.save(path, dataclasses.replace(found, state=later))
    tiny.run(tmp_path)
    (row,) = rows(tmp_path)
    assert row.wall_s is not None
    assert 1000 < row.wall_s < 2000
