"""Choosing: nothing wins inside the noise, the least change wins a tie, and every candidate gets its reason."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from chipwise.compiler.choose import Samples, decide, measure
from chipwise.compiler.trials import Trial, _compared
from chipwise.core.events import silent
from chipwise.core.plan import Candidate, Choice, Part


def trial(runtime: str, precision: str, label: str, *, threads: int = 1, size: int = 1000) -> Trial:
    choice = Choice(runtime, precision, threads)
    return Trial(Candidate(choice, "slower", "", label=label), b"x" * size, engine=None)  # type: ignore[arg-type]


def times(rng: np.random.Generator, **medians: float) -> dict[str, np.ndarray]:
    """Forty rounds around each median with 3% noise, in units of a microsecond."""
    return {name: median * 1e-6 * rng.normal(1, 0.03, 40) for name, median in medians.items()}


FP32, FP32X2 = trial("onnxruntime", "fp32", "close"), trial("onnxruntime", "fp32", "close", threads=2)
BF16, INT8 = trial("openvino", "bf16", "lossy"), trial("onnxruntime", "int8", "lossy", size=300)


SOURCE_BYTES = 2000


def samples(baseline: float, **medians: float) -> Samples:
    named = {"fp32": FP32, "fp32x2": FP32X2, "bf16": BF16, "int8": INT8}
    drawn = times(np.random.default_rng(0), baseline=baseline, **medians)
    return Samples({named[k].candidate.choice.title: drawn[k] for k in medians}, drawn["baseline"])


def test_the_fastest_wins_beyond_the_noise() -> None:
    outcome = decide([FP32, BF16], samples(100, fp32=90, bf16=50), [], "latency", SOURCE_BYTES)
    assert outcome.best is BF16
    assert outcome.speedup is not None
    assert outcome.speedup.mid == pytest.approx(2, rel=0.05)
    assert [c.status for c in outcome.candidates] == ["chosen", "slower", "slower"]
    assert "x the time of the chosen one" in outcome.candidates[1].reason


def test_a_tie_goes_to_the_least_change() -> None:
    outcome = decide([FP32X2, BF16, FP32], samples(100, fp32=50.2, fp32x2=50.1, bf16=50), [], "latency", SOURCE_BYTES)
    assert outcome.best is FP32


@pytest.mark.parametrize(("wide", "narrow"), [("fp32", "fp16"), ("fp16", "bf16"), ("bf16", "int8"), ("int8", "int4")])
def test_of_formats_that_tie_the_widest_wins(wide: str, narrow: str) -> None:
    first, second = trial("openvino", narrow, "lossy"), trial("openvino", wide, "lossy")
    drawn = times(np.random.default_rng(0), baseline=100, narrow=50, wide=50.2)
    timed = Samples({first.title: drawn["narrow"], second.title: drawn["wide"]}, drawn["baseline"])
    assert decide([first, second], timed, [], "latency", SOURCE_BYTES).best is second


def test_a_tie_leaves_what_is_not_quantized_in_fp32() -> None:
    int8, both = (
        replace(INT8, candidate=replace(INT8.candidate, choice=Choice("openvino", precision, 1, quantizer="nncf")))
        for precision in ("int8", "bf16")
    )
    drawn = times(np.random.default_rng(0), baseline=100, int8=50.1, both=50)
    found = Samples(
        {int8.title: drawn["int8"], both.title: drawn["both"]},
        drawn["baseline"],
    )
    assert decide([both, int8], found, [], "latency", SOURCE_BYTES).best is int8


def test_nothing_beats_the_baseline() -> None:
    outcome = decide([FP32, BF16], samples(50, fp32=50, bf16=60), [], "latency", SOURCE_BYTES)
    assert outcome.best is None
    assert outcome.why.startswith("ONNX Runtime's default on the source graph")
    chosen, *others = outcome.candidates
    assert chosen is outcome.baseline
    assert (chosen.status, chosen.choice.source, chosen.size_bytes) == ("chosen", True, SOURCE_BYTES)
    assert chosen.timing is not None
    assert all(c.status == "slower" and c.reason for c in others)


@pytest.mark.parametrize(("goal", "best"), [("latency", FP32), ("size", INT8)])
def test_the_best_trial_ships_where_the_source_may_not(goal: str, best: Trial) -> None:
    timed = samples(50, fp32=55, int8=60)
    assert decide([FP32, INT8], timed, [], goal, source_bytes=1).best is None
    outcome = decide([FP32, INT8], timed, [], goal, source_bytes=1, may_ship_source=False)
    assert outcome.best is best
    assert outcome.speedup.mid < 1
    assert "0.9" in outcome.why or "0.8" in outcome.why


def test_baseline_plan_claims_no_speed_of_another() -> None:
    assert decide([FP32, BF16], samples(50, fp32=50, bf16=60), [], "latency", SOURCE_BYTES).speedup is None


def test_noisy_tie_does_not_take_the_gain_away() -> None:
    drawn = samples(100, fp32=100, bf16=80)
    drawn.trials[FP32.candidate.choice.title] = 1e-6 * np.random.default_rng(1).choice([50, 150], 40)
    assert decide([FP32, BF16], drawn, [], "latency", SOURCE_BYTES).best is BF16


def test_baseline_runs_at_the_batches_of_the_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    def same_time_for_any_batch(contenders: dict[str, object], **_: object) -> dict[str, np.ndarray]:
        return {name: np.full(5, 8.0) for name in contenders}

    monkeypatch.setattr("chipwise.compiler.choose.interleave", same_time_for_any_batch)
    trials = [Trial(Candidate(Choice("onnxruntime", batch=size), "slower", ""), b"", None) for size in (1, 8)]  # type: ignore[arg-type]
    sample = (np.zeros((1, 2), np.float32),)
    subject = SimpleNamespace(sample=sample, source_sample=sample)
    timed = measure(trials, None, subject, budget_s=1, rounds=(1, 5), progress=silent)  # type: ignore[arg-type]
    assert {name: seconds[0] for name, seconds in timed.trials.items()} == {
        trial.candidate.choice.title: 8 / trial.candidate.choice.batch for trial in trials
    }
    assert (timed.baseline[0], timed.baseline_batch) == (1, 8)


def test_size_prefers_bytes_even_when_slower() -> None:
    outcome = decide([FP32, INT8], samples(50, fp32=50, int8=80), [], "size", SOURCE_BYTES)
    assert outcome.best is INT8
    assert "smallest" in outcome.why
    assert [c.reason.split(",")[0] for c in outcome.candidates[:2]] == ["smallest", "3.33x the size of the chosen one"]


def test_size_keeps_the_source_when_nothing_is_smaller() -> None:
    outcome = decide([FP32, INT8], samples(50, fp32=50, int8=80), [], "size", source_bytes=200)
    assert outcome.best is None
    assert "nothing was smaller" in outcome.why


def test_records_of_the_rest_are_kept() -> None:
    failed = Candidate(Choice("openvino", "int8"), "failed", "refused")
    outcome = decide([FP32], samples(100, fp32=50), [failed], "latency", SOURCE_BYTES)
    assert outcome.candidates[-1] is failed


def test_what_the_baseline_gains_over_itself_is_no_gain() -> None:
    drawn = samples(100, fp32=95)
    quiet = replace(drawn, again=drawn.baseline * 1.001)
    assert decide([FP32], quiet, [], "latency", SOURCE_BYTES).best is FP32
    noisy = replace(drawn, again=drawn.baseline * 0.9)
    outcome = decide([FP32], noisy, [], "latency", SOURCE_BYTES)
    assert outcome.best is None
    assert "differed from itself by 1.11x" in outcome.why
    assert outcome.noise is not None
    assert outcome.noise.mid == pytest.approx(1 / 0.9)


def test_joules_decide_where_energy_is_the_goal() -> None:
    seconds, joules = samples(100, fp32=50, fp32x2=60), samples(3, fp32=2.5, fp32x2=1)
    outcome = decide([FP32, FP32X2], seconds, [], "energy", SOURCE_BYTES, energy=joules)
    assert outcome.best is FP32X2
    chosen, other = outcome.candidates[:2]
    assert chosen.energy_j == pytest.approx(1e-6, rel=0.02)
    assert chosen.timing is not None
    assert chosen.timing.median_s == pytest.approx(60e-6, rel=0.02)
    assert "x the energy of the chosen one" in other.reason
    assert "of the energy of ONNX Runtime's default" in outcome.why


@pytest.mark.parametrize(
    ("choice", "label"),
    [
        (Choice("onnxruntime", "fp32"), "exact"),
        (Choice("openvino", "bf16"), "lossy"),
        (Choice("onnxruntime", "int8", quantizer="nncf"), "lossy"),
        (Choice("openvino", "fp32", parts=(Part("openvino", "bf16", "a"), Part("openvino"))), "lossy"),
    ],
)
def test_fewer_bits_are_lossy_whatever_one_sample_shows(choice: Choice, label: str) -> None:
    """The softmax of a sample may be saturated: then any format gives the same answer."""
    answer = [np.array([0.0, 1.0])]
    subject = SimpleNamespace(sample=(), expected=answer, guard=None)
    kind = _compared(
        choice, SimpleNamespace(run=lambda _: answer), subject, 0.01, model=b"", workspace=None, limit_s=1.0,  # type: ignore[arg-type]
    )  # fmt: skip
    assert kind.label == label
    assert ("--data" in kind.refusal) == (label == "lossy")


def test_rounds_with_another_baseline_do_not_belong_together() -> None:
    """One late round must not decide in the place of many."""
    many = Samples({"a": np.ones(9), "b": np.ones(9)}, np.ones(9), baseline_batch=1)
    one = Samples({"a": np.full(1, 2.0)}, np.ones(1), baseline_batch=8)
    kept = many.followed_by(one)
    assert (list(kept.trials), len(kept.trials["a"]), kept.baseline_batch) == (["a"], 9, 1)
    assert one.followed_by(Samples({"a": np.ones(3)}, np.ones(3))).baseline_batch == 1
    assert len(one.followed_by(one).trials["a"]) == 2


def test_rounds_are_compared_in_pairs() -> None:
    slow = np.array([1.0] * 5 + [2.0] * 4)  # somebody else had a core for four rounds
    # The median of its own times is smaller, and yet it is slower in eight rounds of nine.
    steady, quick = np.array([0.69] * 9) * slow, np.array([0.5, 0.5, 0.5, 0.5, 0.7, 0.5, 0.5, 0.5, 0.5]) * slow
    found = Samples({FP32.candidate.choice.title: steady, BF16.candidate.choice.title: quick}, slow)
    assert np.median(steady) < np.median(quick)
    assert decide([FP32, BF16], found, [], "latency", SOURCE_BYTES).best is BF16
