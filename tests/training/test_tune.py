"""A tuning on made-up times: what is kept, what is not and why; steps, batches and answers are real."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from chipwise.core.device import Machine
from chipwise.core.errors import GoalMissedError
from chipwise.core.layer import Layer
from chipwise.core.measure import PairedDrop
from chipwise.training.settings import Settings
from chipwise.training.tuning import batch as tune_batch
from chipwise.training.tuning import bound as tune_bound
from chipwise.training.tuning import search as tune_search
from chipwise.training.tuning import steps as tune_steps
from chipwise.training.tuning import tune as tuning
from chipwise.training.tuning.batch import sized
from chipwise.training.tuning.bound import Shares, kind_of
from chipwise.training.tuning.choice import simplest, unsafe
from chipwise.training.tuning.search import Limits
from chipwise.training.tuning.steps import Stand, changes, timed_step, update_of
from chipwise.training.tuning.tune import Tuned, tune

from .tiny import NETWORK, SETTINGS, Tiny, pictures, tiny

pytestmark = pytest.mark.runtime

MACHINE = Machine("Example", "x86_64", (), 2, 2)
ROWS = (Layer("c", "Conv", ((16, 1, 8, 8),), ((16, 6, 6, 6),), 60, 10_000, read_bytes=4000, write_bytes=3000),)
JITTER = 1 + 0.01 * np.sin(np.arange(9))
Samples = dict[str, NDArray[np.float64]]


def stand(module: Tiny | None = None) -> Stand:
    return Stand(module or tiny(), NETWORK, pictures().split(seed=0))


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Milliseconds of a call, by the names in a race (1 where there is none): a race makes each call once."""
    found: dict[str, float] = {}

    def race(calls: Mapping[str, Callable[[], object]], **_: object) -> Samples:
        for call in calls.values():
            call()
        return {name: 1e-3 * found.get(name, 1.0) * JITTER for name in calls}

    monkeypatch.setattr(tune_search, "interleave", race)
    monkeypatch.setattr(tuning, "no_compiling", lambda _: "not in this test")
    monkeypatch.setattr(tune_bound, "_peaks", lambda *_: (1e9, 1e9))
    return found


def tuned(module: Tiny | None = None, settings: Settings = SETTINGS, **limits: object) -> Tuned:
    asked = {"formats": ("bf16",), "cores": 2, "budget_s": 60.0} | limits
    return tune(stand(module), settings, Limits(**asked), lambda _: ROWS, MACHINE)  # type: ignore[arg-type]


def test_what_only_helps_in_pairs_is_found(times: dict[str, float]) -> None:
    times |= {"channels_last": 0.95, "bf16": 1.08, "bf16, channels_last": 0.4, "tuned": 0.4, "plain": 1.0}
    times |= {"bf16, channels_last, for-loop optimizer": 0.5, "bf16, channels_last, foreach optimizer": 0.399}
    found = tuned()
    assert found.changes == {"precision": "bf16", "channels_last": True}
    assert found.speedup is not None
    assert found.speedup.mid == pytest.approx(2.5)
    assert found.complete
    told = {tuple(row.changes): row for row in found.rows}
    assert told["precision",].reason == "slower"
    assert told["channels_last",].reason == "faster, but another is faster or simpler"
    assert told["compiled",].reason == "not tried: not in this test"
    assert "optimizer" in {row.stage for row in found.rows if not row.kept}, "0.3% is not worth a change"
    assert [row.batch_size for row in found.batches if row.kept] == [16]


def test_compiled_where_that_pays(times: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled ways are tried after the others, and kept where they beat these and compiling does not take longer."""

    def slowly(module: torch.nn.Module, _device: torch.device) -> torch.nn.Module:
        time.sleep(0.1)
        return module

    monkeypatch.setattr(tuning, "no_compiling", lambda _: "")
    monkeypatch.setattr(tune_steps, "compiled", slowly)
    times |= {"channels_last": 0.8, "channels_last, compile": 0.4, "tuned": 0.4}
    found = tuned(fixed=frozenset({"precision"}), settings=replace(SETTINGS, epochs=10**6))
    assert found.changes == {"channels_last": True, "compiled": True}
    assert [row.changes for row in found.rows if row.kept] == [found.changes]
    short = tuned(fixed=frozenset({"precision"}), settings=replace(SETTINGS, epochs=1))
    assert short.changes == {"channels_last": True}
    assert any("compiling takes" in note for note in short.notes)


def test_what_only_graphics_processors_have_is_tried_where_there_is_one(times: dict[str, float]) -> None:
    """`cpu:0` is equal to no `cpu`, and so is another device, which computes alike."""
    times |= {"samples on the device": 0.5, "pinned memory": 0.8, "tuned": 0.5, "batches copied when used": 1.0}
    there = replace(stand(), device=torch.device("cpu:0"))
    found = tune(there, SETTINGS, Limits(60.0, formats=("bf16",), cores=2), lambda _: ROWS, MACHINE)
    rows = {row.changes.get("feeding"): row for row in found.rows if row.stage == "feed"}
    assert rows["device"].kept
    assert rows.keys() == {"device", "pinned"}
    assert found.plain.feeding == "copied"
    assert found.changes == {"feeding": "device"}
    assert "threads" not in {row.stage for row in found.rows}, "one thread starts everything"
    assert not any("graphics processors" in note for note in found.notes)
    here = tuned()
    assert "feed" not in {row.stage for row in here.rows}
    assert any("graphics processors" in note for note in here.notes)
    assert here.plain.feeding == "auto"


def test_nothing_is_kept_that_does_not_win(times: dict[str, float]) -> None:
    times |= {"bf16": 0.99, "channels_last": 0.985, "bf16, channels_last": 1.0}
    found = tuned()
    assert (found.changes, found.speedup, found.guard) == ({}, None, None)
    assert [row.changes for row in found.rows if row.kept] == [{}]
    assert found.timings is not None
    assert found.bound is not None


def test_luck_in_one_race_is_taken_back(times: dict[str, float]) -> None:
    times |= {"channels_last": 0.5, "tuned": 1.0}
    found = tuned()
    assert found.changes == {}
    assert "not faster when it was measured again" in " ".join(found.notes)
    assert not any(row.kept for row in found.rows if row.changes)


def test_what_is_asked_for_stays(times: dict[str, float]) -> None:
    times |= {"bf16": 0.1, "1 thread": 0.1, "bf16, 1 thread": 0.1}
    found = tuned(fixed=frozenset({"precision", "threads", "optimizer_form"}))
    assert {name for row in found.rows for name in row.changes} == {"channels_last", "compiled"}
    assert found.plain.precision == "fp32"


def test_fewer_threads_where_they_are_faster(times: dict[str, float]) -> None:
    times |= {"1 thread": 0.5, "tuned": 0.5}
    assert tuned(settings=replace(SETTINGS, threads=2)).changes == {"threads": 1}


def test_a_format_that_learns_worse_is_not_kept(times: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the plain loop's answers all are right, of bf16's none: the best fp32 way takes its place."""
    times |= {"bf16": 0.4, "channels_last": 0.8, "tuned": 0.8}
    right = np.ones(48, dtype=np.bool_)
    monkeypatch.setattr(tune_batch, "_learn", lambda _, way: right & (way.precision == "fp32"))
    found = tuned()
    assert found.changes == {"channels_last": True}
    assert found.guard is not None
    assert found.guard.lost == 3 * 48
    assert "bf16 loses 100.0 points: not kept" in found.notes
    assert [row.changes for row in found.rows if row.kept] == [{"channels_last": True}]


@pytest.mark.parametrize(
    ("right", "epochs", "kept", "reason"),
    [
        (3000, 12, 32, ""),
        (0, 12, 16, "faster, but accuracy falls by 100.0 points"),
        (3000, 9999, 16, f"faster, but {tune_batch._PART}"),
    ],
)
def test_a_batch_is_changed_where_accuracy_allows_it(
    times: dict[str, float], monkeypatch: pytest.MonkeyPatch, right: int, epochs: int, kept: int, reason: str
) -> None:
    times |= {"8": 0.6, "16": 1.0, "32": 1.2, "64": 3.0, "tuned": 1.2}
    answers = np.arange(3000) < 3000

    def learn(_: object, way: Settings) -> NDArray[np.bool_]:
        return answers if way.batch_size <= 16 else np.arange(3000) < right

    monkeypatch.setattr(tune_batch, "_learn", learn)
    monkeypatch.setattr(tune_batch, "_FEWEST_STEPS", 2)
    found = tuned(settings=replace(SETTINGS, epochs=epochs))
    rows = {row.batch_size: row for row in found.batches}
    assert sorted(rows) == [8, 16, 32, 64]
    assert [size for size, row in rows.items() if row.kept] == [kept]
    if kept == 32:
        assert found.changes == {"batch_size": 32, "learning_rate": 0.01414}
        assert found.speedup is not None
        assert found.speedup.mid == pytest.approx(2 / 1.2), "samples a second, not steps"
    else:
        assert found.changes == {}
        assert rows[32].reason == reason


def test_sizes_learn_as_many_samples(times: dict[str, float]) -> None:
    found = tuned()
    train = len(pictures().split(seed=0).train)
    assert found.shown % train == 0, "whole epochs, as there is time"
    assert found.seeds == 3
    assert all(row.accuracy is not None and row.accuracy.count == 3 * 48 for row in found.batches)
    assert all(row.accuracy.value > 0.5 for row in found.batches if row.accuracy), "they do learn"


def test_an_interruption_gives_the_best_so_far(times: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    times |= {"channels_last": 0.5}

    def press(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tuning, "batches", press)
    found = tuned()
    assert not found.complete
    assert found.changes == {"channels_last": True}
    assert found.bound is None


def test_a_plain_loop_that_breaks_is_the_users_error(times: dict[str, float]) -> None:
    module = tiny()
    torch.nn.init.constant_(module.layers[0].weight, 3e38)
    with pytest.raises(GoalMissedError, match="while steps were timed"):
        tuned(module)


def test_the_module_that_is_given_stays_as_it_is(times: dict[str, float]) -> None:
    module = tiny()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    tuned(module)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_no_time_is_said(times: dict[str, float]) -> None:
    found = tuned(budget_s=1e-6)
    assert sum("no time left" in note for note in found.notes) == 3
    assert found.batches == ()


def test_the_learning_rate_is_scaled_by_the_root_or_the_factor() -> None:
    assert sized(Settings(learning_rate=0.01, batch_size=16), 64).learning_rate == 0.02
    assert sized(Settings(learning_rate=0.01, batch_size=16, optimizer="sgd"), 64).learning_rate == 0.04


def test_of_ways_that_are_alike_the_simplest_is_kept() -> None:
    samples = {"a": JITTER, "b": 0.99 * JITTER, "c": 0.5 * JITTER, "d": 0.495 * JITTER}
    assert simplest(samples, {"a": 0, "b": 1, "c": 2, "d": 3}) == "c"
    noisy = {"a": np.array([1.0, 1.0, 1.0, 1.0, 1.0]), "b": np.array([0.5, 0.5, 0.5, 2.0, 2.0])}
    assert simplest(noisy, {"a": 0, "b": 1}) == "a", "beyond the noise"


@pytest.mark.parametrize(
    ("drop", "p_value", "upper", "said"),
    [
        (-0.01, 0.01, 0.0, ""),
        (0.004, 0.3, 0.008, ""),
        (0.004, 0.3, 0.02, "a fall of up to 2.0 points is not excluded"),
        (0.004, 0.04, 0.006, "accuracy falls by 0.4 points"),
    ],
)
def test_which_falls_of_accuracy_are_safe(drop: float, p_value: float, upper: float, said: str) -> None:
    paired = PairedDrop(None, None, 0, 0, drop, upper, p_value=p_value)  # type: ignore[arg-type]
    assert unsafe(paired) == said


@pytest.mark.parametrize(
    ("shares", "arithmetic", "traffic", "kind"),
    [
        (Shares(0.5, 0.1, 0.1), 0.3, 0.1, "input"),
        (Shares(0.0, 0.6, 0.1), 0.3, 0.1, "memory"),
        (Shares(0.0, 0.1, 0.6), 0.3, 0.1, "overhead"),
        (Shares(0.0, 0.1, 0.1), 0.3, 0.1, "compute"),
        (Shares(0.0, 0.1, 0.1), 0.1, 0.3, "memory"),
    ],
)
def test_what_holds_a_step_back(shares: Shares, arithmetic: float, traffic: float, kind: str) -> None:
    assert kind_of(shares, arithmetic, traffic) == kind


@pytest.mark.parametrize(
    ("arithmetic", "said"), [(0.1, "at 10% of the rate"), (0.6, "more cores"), (0.0, "more cores")]
)
def test_layers_that_are_too_narrow_are_told(arithmetic: float, said: str) -> None:
    assert said in tune_bound._advice("compute", Shares(0.0, 0.1, 0.1), SETTINGS, arithmetic)


def test_steps_learn_and_updates_change_nothing() -> None:
    place = stand()
    settings = replace(SETTINGS, augment="none")
    module = place.timed(settings).module
    before = module.layers[0].weight.clone()
    timed_step(place, settings)()
    assert not torch.equal(before, module.layers[0].weight)
    alone = place.fresh(settings)
    update = update_of(alone)
    held = alone.module.layers[0].weight.clone()
    update()
    assert torch.equal(held, alone.module.layers[0].weight)


def test_changes_name_what_differs() -> None:
    assert changes(replace(SETTINGS, precision="bf16", seed=9), SETTINGS) == {"precision": "bf16"}
