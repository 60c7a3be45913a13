"""Several requests at once: searched for throughput, timed on equal work, and used by plans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from chipwise import runtimes
from chipwise.codec.plan_file import read_plan, write_plan
from chipwise.compiler import load as load_module
from chipwise.compiler.bench import bench_plan
from chipwise.compiler.candidates import neighbours, stream_counts
from chipwise.compiler.choose import PER_STREAM, Samples, decide, measure
from chipwise.compiler.compile import compile_plan
from chipwise.compiler.load import open_plan
from chipwise.compiler.options import CompileOptions
from chipwise.compiler.oracle import relative_error
from chipwise.compiler.race import Raced, affordable, timeable
from chipwise.compiler.run import run_all
from chipwise.compiler.runner import Runner, from_plan
from chipwise.compiler.subject import make_subject
from chipwise.compiler.trials import Trial, build, proven
from chipwise.core.device import Machine
from chipwise.core.errors import InputError, RuntimeUnavailableError
from chipwise.core.events import silent
from chipwise.core.network import Network, TensorSpec
from chipwise.core.plan import Candidate, Choice, Part, Plan
from chipwise.datasets.dataset import Dataset
from chipwise.devices.detect import detect
from chipwise.networks.onnx_file import from_bytes, serialize
from chipwise.runtimes.engine import run_many

TWO = replace(detect(), cores=2, logical_cpus=2)
FOUR = Machine("four cores", "x86_64", ("avx2",), 4, 4)
STREAMS = [name for name in ("onnxruntime", "openvino") if runtimes.status(TWO, (name,))[0].usable]


class Counter:
    """An engine that counts the items it is given, and how many requests come at once."""

    def __init__(self) -> None:
        self.items, self.at_once, self.closed = 0, [1], False
        self.inputs: tuple[TensorSpec, ...] = ()

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.items += len(arrays[0])
        return [np.zeros(1)]

    def run_many(self, batches: Sequence[Sequence[np.ndarray]]) -> list[list[np.ndarray]]:
        self.at_once.append(len(batches))
        return [self.run(arrays) for arrays in batches]

    def close(self) -> None:
        self.closed = True


def trial(engine: Any = None, **choice: Any) -> Trial:
    return Trial(Candidate(Choice("onnxruntime", **choice), "slower", "", label="close"), b"", engine)


@pytest.fixture
def streaming(plan: Plan, source: bytes) -> Plan:
    """The source graph, as a plan with two streams."""
    choice = Choice("onnxruntime", threads=1, streams=2)
    expected = build(choice, source).run(plan.sample_inputs)
    manifest = replace(plan.manifest, choice=choice, label="close")
    return replace(plan, manifest=manifest, model=source, expected_outputs=tuple(expected))


def test_streams_share_the_cores() -> None:
    assert [stream_counts(cores) for cores in (1, 2, 3, 4, 12)] == [(), (2,), (2, 3), (2, 4), (2, 4, 8, 12)]
    start = Choice("onnxruntime", threads=0, batch=32)
    found = [each for each in neighbours(start, FOUR, "throughput", dynamic_batch=True) if each.streams > 1]
    assert {(each.streams, each.threads) for each in found} == {(2, 2), (4, 1)}
    assert {each.batch for each in found} == {1, 8, 32}
    assert all(each.streams * each.batch <= 128 for each in found)
    few = neighbours(start, FOUR, "throughput", dynamic_batch=True, in_flight=4)
    assert {(each.streams, each.batch) for each in few if each.streams > 1} == {(2, 1), (4, 1)}


def test_streams_are_for_throughput_of_one_engine() -> None:
    start = Choice("onnxruntime", threads=0)
    assert all(each.streams == 1 for each in neighbours(start, FOUR, "latency", dynamic_batch=True))
    fixed = neighbours(start, FOUR, "throughput", dynamic_batch=False)
    assert {(each.streams, each.batch) for each in fixed} == {(1, 1), (2, 1), (4, 1)}
    cut = replace(start, parts=(Part("onnxruntime", "fp32", "a"), Part("python")))
    assert all(each.streams == 1 for each in neighbours(cut, FOUR, "throughput", dynamic_batch=True))


def timed(trials: list[Trial], baseline: Counter, monkeypatch: pytest.MonkeyPatch, budget_s: float = 1e9) -> Samples:
    """As if one call of each took a second."""

    def once(contenders: dict[str, Any], **_: object) -> dict[str, np.ndarray]:
        for call in contenders.values():
            call()
        return {name: np.full(5, 1.0) for name in contenders}

    monkeypatch.setattr("chipwise.compiler.choose.interleave", once)
    sample = (np.zeros((1, 2), np.float32),)
    subject = SimpleNamespace(sample=sample, source_sample=sample)
    return measure(trials, baseline, subject, budget_s=budget_s, rounds=(1, 5), progress=silent)  # type: ignore[arg-type]


def test_all_are_timed_on_as_many_items_as_fill_the_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = ({"streams": 2, "batch": 8}, {"streams": 2}, {"batch": 8}, {"batch": 24}, {"batch": 128}, {})
    trials, baseline = [trial(Counter(), **kind) for kind in kinds], Counter()
    found = timed(trials, baseline, monkeypatch)
    assert found.offered == PER_STREAM * 2 * 8 == 64
    items = [64, 64, 64, 72, 128, 64]
    assert [each.engine.items for each in trials] == items
    assert [max(each.engine.at_once) for each in trials] == [8, 64, 8, 3, 1, 64]
    assert [found.trials[each.title][0] for each in trials] == [1 / count for count in items]
    assert (found.baseline_batch, found.baseline[0]) == (128, 1 / 128)
    again = 2 * 64  # of batch 1, which is run twice; two more items tell how long one takes
    assert baseline.items == again + 64 + 72 + 128 + 2


def test_less_is_offered_where_it_would_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    one = trial(Counter(), streams=2, batch=8)
    assert timed([one], Counter(), monkeypatch, budget_s=0.0).offered == 16, "every stream has one"
    assert one.engine.at_once == [1, 2]


def test_nothing_changes_without_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    one = trial(Counter(), batch=8)
    assert timed([one], Counter(), monkeypatch).offered == 1
    assert (one.engine.items, one.engine.at_once) == (8, [1])


def test_a_round_costs_what_is_offered() -> None:
    some = [trial(Counter(), threads=number) for number in (1, 2)]
    samples = Samples({each.title: np.full(3, 1.0) for each in some}, np.full(3, 1.0), offered=8)
    assert affordable(Raced(some, [], samples), "throughput", 100.0)[0] == some[:1]
    assert affordable(Raced(some, [], replace(samples, offered=1)), "throughput", 100.0)[0] == some
    assert some[1].engine.closed


def test_items_in_flight_are_bounded_by_the_time() -> None:
    raced = Raced([], [], Samples({}, np.full(3, 1e-3)))
    assert [timeable(raced, budget_s) for budget_s in (0.0, 1.0, 1e6)] == [2, 10, 128]


def test_of_equals_the_fewest_streams_are_chosen() -> None:
    many, one = trial(streams=2), trial(threads=0)
    times = {many.title: np.full(9, 1.0), one.title: np.full(9, 1.001)}
    assert decide([many, one], Samples(times, np.full(9, 2.0)), [], "throughput", 9).best is one


@pytest.mark.parametrize("runtime", STREAMS)
def test_streams_answer_as_one(runtime: str, source: bytes, classifier: Network, digits: Dataset) -> None:
    subject = make_subject(classifier, source, (), digits, seed=0, machine=TWO)
    one, three = Choice(runtime), Choice(runtime, streams=3)
    alone, several = build(one, source), build(three, source)
    requests = [[np.ascontiguousarray(rows)] for rows in np.split(subject.guard.held_out.inputs[:40], 20)]
    for given, answer in zip(requests, run_many(several, requests), strict=True):
        assert relative_error(answer, alone.run(given)) < 1e-5
    several.close()
    ready = trial(build(three, source), streams=3)
    assert proven(ready, subject) is ready
    ready.engine.close()


@pytest.mark.parametrize(("answers", "reason"), [(None, "no memory"), (1.0, "several requests at once differ")])
def test_streams_that_fail_or_answer_otherwise_are_out(answers: float | None, reason: str) -> None:
    class Wrong(Counter):
        def run_many(self, batches: Sequence[Sequence[np.ndarray]]) -> list[list[np.ndarray]]:
            if answers is None:
                raise RuntimeUnavailableError("no memory")
            return [[np.full(1, answers)] for _ in batches]

    engine = Wrong()
    record = proven(trial(engine, streams=2), SimpleNamespace(sample=(np.zeros((1, 2)),)))  # type: ignore[arg-type]
    assert isinstance(record, Candidate)
    assert (record.status, record.reason.startswith(reason), engine.closed) == ("failed", True, True)


@pytest.mark.parametrize("fixed", [False, True])
def test_the_search_for_throughput_tries_streams(classifier_path: Path, fixed: bool) -> None:
    proto = onnx.load(classifier_path)
    for value in (*proto.graph.input, *proto.graph.output) if fixed else ():
        value.type.tensor_type.shape.dim[0].dim_value = 1
    network = from_bytes(proto.SerializeToString(), "small")
    options = CompileOptions(goal="throughput", budget_s=4, runtimes=("onnxruntime",))
    facts = compile_plan(network, serialize(network), (), options, TWO).manifest
    tried = [each for each in facts.candidates if each.choice.streams > 1]
    assert {(each.choice.streams, each.choice.threads) for each in tried} == {(2, 1)}
    assert all(each.timing is not None for each in tried if each.choice.batch == 1)
    assert any("2 streams" in each.choice.title for each in tried)
    assert (max(each.choice.batch for each in tried) > 1) is not fixed
    assert not any(each.status == "failed" for each in facts.candidates)
    latency = compile_plan(network, serialize(network), (), replace(options, goal="latency", budget_s=1), TWO)
    assert all(each.choice.streams == 1 for each in latency.manifest.candidates)


def test_a_plan_keeps_its_streams(streaming: Plan, tmp_path: Path) -> None:
    write_plan(tmp_path / "x.plan", streaming)
    again = read_plan(tmp_path / "x.plan")
    assert again.manifest.choice == streaming.manifest.choice
    engine = open_plan(again, TWO)
    (first,), (second,) = run_many(engine, [again.sample_inputs] * 2)
    np.testing.assert_allclose(first, again.expected_outputs[0], rtol=1e-5)
    np.testing.assert_array_equal(first, second)
    engine.close()


@pytest.mark.parametrize(("cores", "streams"), [(1, 1), (2, 1), (4, 2), (8, 3), (16, 3)])
def test_fewer_cores_have_fewer_streams(
    streaming: Plan, cores: int, streams: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = replace(streaming.manifest.choice, threads=2, streams=3)
    asked: list[Choice] = []
    monkeypatch.setattr(load_module, "build", lambda choice, model: asked.append(choice) or build(choice, model))
    open_plan(replace(streaming, manifest=replace(streaming.manifest, choice=choice)), replace(TWO, cores=cores))
    assert [(each.threads, each.streams) for each in asked] == [(min(cores, 2), streams)]


def test_many_inputs_run_at_once(streaming: Plan, digits: Dataset, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number:02d}.png" for number in range(19)]
    for path, pixels in zip(paths, digits.inputs, strict=False):
        Image.fromarray(pixels[..., 0]).save(path)
    paths[3].write_bytes(paths[3].read_bytes()[:60])  # the header is whole
    one = replace(streaming, manifest=replace(streaming.manifest, choice=Choice("onnxruntime")))
    alone, several = (from_plan(each, "x.plan", TWO) for each in (one, streaming))
    assert (alone.together, several.together) == (1, 2 * PER_STREAM)
    given = [*paths, np.zeros((5, 1, 8, 8), np.float32)]  # a batch among single ones
    results = [run_all(runner, given) for runner in (alone, several)]
    assert [len(each.predictions) for each in results] == [18 + 5] * 2
    assert [len(each.skipped) for each in results] == [1, 1]
    for left, right in zip(*(each.predictions for each in results), strict=True):
        assert (left.input, left.top[0][0]) == (right.input, right.top[0][0])
        assert left.top[0][1] == pytest.approx(right.top[0][1])
    assert results[1].latency_s > 0
    assert results[1].choice.streams == 2
    several.close()


def test_a_runner_runs_many_calls(streaming: Plan) -> None:
    runner = from_plan(streaming, "x.plan", TWO)
    calls = [[np.full((rows, 1, 8, 8), 0.1 * rows, np.float32)] for rows in (1, 3, 1)]
    for given, got in zip(calls, runner.run_many(calls), strict=True):
        np.testing.assert_allclose(got["y"], runner.run(*given)["y"], rtol=1e-5)
    assert runner.run_many([]) == []
    with pytest.raises(InputError, match="float64"):
        runner.run_many([*calls, [np.zeros((1, 1, 8, 8))]])


def test_interrupted_streams_keep_what_is_done(streaming: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    runner, seen = from_plan(streaming, "x.plan", TWO), []
    answer = Runner.answer_many

    def interrupted(self: Runner, feeds: Any, top: int = 5) -> Any:
        seen.append(len(feeds))
        if len(seen) == 2:
            raise KeyboardInterrupt
        return answer(self, feeds, top)

    monkeypatch.setattr(Runner, "answer_many", interrupted)
    result = run_all(runner, [np.zeros((1, 8, 8), np.float32)] * 12)
    assert (seen, len(result.predictions), result.complete) == ([8, 4], 8, False)


def test_bench_gives_peers_the_same_requests(streaming: Plan, source: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    peer = Counter()
    peer.precision = "fp32"  # type: ignore[attr-defined]
    monkeypatch.setattr("chipwise.compiler.bench.build_default", lambda *_: peer)

    def once(contenders: dict[str, Any], **_: object) -> dict[str, np.ndarray]:
        before = peer.items
        contenders["onnxruntime default"]()
        assert peer.items - before == 2 * PER_STREAM
        assert len(contenders["plan"]()) == 2 * PER_STREAM
        return {name: np.full(9, 8.0) for name in contenders}

    monkeypatch.setattr("chipwise.compiler.bench.interleave", once)
    result = bench_plan(streaming, "x.plan", source, TWO, peers=("onnxruntime",), budget_s=1)
    assert (result.batch, result.requests) == (1, 2 * PER_STREAM)
    assert {row.timing.median_s for row in result.rows if row.timing} == {1.0}
