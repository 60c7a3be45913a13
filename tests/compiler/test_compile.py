"""The search: a proven plan, guarded on data, resumable, and never worse than what was there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from chipwise import runtimes
from chipwise.codec.hashes import sha256_bytes
from chipwise.codec.plan_file import read_plan, write_plan
from chipwise.compiler import compile as compile_module
from chipwise.compiler import race as race_module
from chipwise.compiler import search as search_module
from chipwise.compiler.candidates import first_choices, neighbours, thread_counts, usable_runtimes
from chipwise.compiler.check import check_plan
from chipwise.compiler.choose import Samples
from chipwise.compiler.compile import compile_plan
from chipwise.compiler.load import open_plan
from chipwise.compiler.options import CompileOptions
from chipwise.compiler.oracle import relative_error
from chipwise.compiler.subject import make_subject
from chipwise.compiler.trials import Trial, examine, make_trial, options_of
from chipwise.compiler.workspace import Workspace
from chipwise.core.device import Machine
from chipwise.core.errors import InputError, RuntimeUnavailableError, StorageError, UnknownNameError
from chipwise.core.network import Network
from chipwise.core.plan import Candidate, Choice, Plan
from chipwise.datasets.dataset import Dataset
from chipwise.devices.detect import detect
from chipwise.networks.onnx_file import from_bytes, serialize


def test_plan_is_complete_and_every_candidate_has_its_reason(plan: Plan) -> None:
    facts = plan.manifest
    assert facts.complete
    assert facts.label in ("exact", "close", "lossy")
    assert {c.choice.precision for c in facts.candidates} == {"fp32", "int8"}
    assert all(c.reason for c in facts.candidates)
    assert sum(c.status == "chosen" for c in facts.candidates) == 1
    assert sum(c.choice.source for c in facts.candidates) == 1, "the baseline is listed with its time"
    assert facts.why


def test_plan_file_round_trip_gives_the_stored_output(plan: Plan, tmp_path: Path) -> None:
    write_plan(tmp_path / "x.plan", plan)
    again = read_plan(tmp_path / "x.plan")
    engine = open_plan(again, detect())
    got = engine.run(again.sample_inputs)
    np.testing.assert_allclose(got[0], plan.expected_outputs[0], rtol=1e-5)


def test_plan_runs_where_torch_cannot_be_imported(plan: Plan, tmp_path: Path) -> None:
    write_plan(tmp_path / "x.plan", plan)
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['nncf'] = None\n"
        "from pathlib import Path; import numpy as np\n"
        "from chipwise.codec.plan_file import read_plan; from chipwise.compiler.load import open_plan\n"
        "from chipwise.devices.detect import detect\n"
        "plan = read_plan(Path(sys.argv[1])); out = open_plan(plan, detect()).run(plan.sample_inputs)\n"
        "np.testing.assert_allclose(out[0], plan.expected_outputs[0], rtol=1e-5); print('equal')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "x.plan"], capture_output=True, text=True, check=False
    )
    assert done.stdout == "equal\n", done.stderr


def test_without_data_nothing_lossy_ships(classifier: Network, source: bytes) -> None:
    plan = compile_plan(classifier, source, (), CompileOptions(budget_s=5), detect())
    assert plan.manifest.label != "lossy"
    assert plan.manifest.max_drop is None
    assert not any(c.choice.precision == "int8" for c in plan.manifest.candidates)
    lossy = [c for c in plan.manifest.candidates if c.label == "lossy"]
    assert all(c.status == "rejected" and "--data" in c.reason for c in lossy)


def test_where_nothing_answers_closely_enough_the_source_ships_as_it_is(
    classifier: Network, source: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("chipwise.compiler.trials.CLOSE", -1.0)
    plan = compile_plan(classifier, source, (), CompileOptions(budget_s=5), detect(), output=tmp_path / "x.plan")
    assert read_plan(tmp_path / "x.plan").model == plan.model == source
    facts = plan.manifest
    assert facts.choice.source
    assert "nothing else was close enough" in facts.why
    assert "differs by" in facts.why
    assert sum(each.status == "chosen" for each in facts.candidates) == 1
    broken = replace(classifier, name="broken")
    monkeypatch.setattr(compile_module, "build_default", refuse)
    with pytest.raises(RuntimeUnavailableError, match="no runtime here can run broken"):
        compile_plan(broken, source, (), CompileOptions(budget_s=5), detect())


def refuse(*_: object) -> None:
    raise RuntimeUnavailableError("it does not run")


def test_guard_says_how_many_samples_are_needed(classifier: Network, source: bytes, digits: Dataset) -> None:
    subject = make_subject(classifier, source, (), digits, seed=0, machine=detect())
    workspace = Workspace("guard test")
    int8 = Choice("onnxruntime", "int8", 1, quantizer="onnxruntime")
    kind, engine = examine(int8, subject, 0.001, detect(), workspace)
    assert engine is None
    assert kind.label == "lossy"
    assert kind.accuracy is not None
    assert kind.accuracy.upper > 0.001
    assert kind.refusal
    assert kind.accuracy.source.count == len(digits.split(0).validation.labels)
    roomy, engine = examine(int8, subject, 0.2, detect(), Workspace("roomy"))
    assert not roomy.refusal
    assert engine is not None
    with closing(engine):
        trial = make_trial(int8, roomy, engine)
        assert isinstance(trial, Trial)
        assert trial.engine is engine


def test_what_is_slow_is_not_guarded(
    classifier: Network, source: bytes, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chipwise.compiler.trials._CHEAP_GUARD_S", 0.0)
    subject = make_subject(classifier, source, (), digits, seed=0, machine=detect())
    int8 = Choice("onnxruntime", "int8", 1, quantizer="onnxruntime")
    kind, engine = examine(int8, subject, 0.2, detect(), Workspace("slow"), limit_s=0.0)
    assert engine is None
    assert (kind.label, kind.accuracy, kind.slow) == ("lossy", None, True)
    record = make_trial(int8, kind)
    assert isinstance(record, Candidate)
    assert record.status == "slower"
    assert "accuracy was not counted" in record.reason
    faithful, engine = examine(Choice("onnxruntime"), subject, 0.2, detect(), Workspace("slow"), limit_s=0.0)
    assert not faithful.refusal, "what is close needs no guard, and the race says how slow it is"
    assert engine is not None
    engine.close()


def test_calibration_and_guard_are_different_samples(classifier: Network, source: bytes, digits: Dataset) -> None:
    guard = make_subject(classifier, source, (), digits, seed=0, machine=detect()).guard
    assert guard is not None
    calibrating = {row.tobytes() for row in guard.calibration}
    overlap = sum(row.tobytes() in calibrating for row in guard.held_out.inputs)
    assert overlap <= 2, "equal pictures exist, shared rows must not"


def test_guard_shares_no_sample_with_training_whatever_the_seed(
    classifier: Network, source: bytes, digits: Dataset
) -> None:
    guard = make_subject(classifier, source, (), digits, seed=5, machine=detect()).guard
    assert guard is not None
    np.testing.assert_array_equal(guard.held_out.labels, digits.split().validation.labels)


def test_network_with_a_fixed_batch_is_compiled_and_checked(classifier_path: Path, digits: Dataset) -> None:
    proto = onnx.load(classifier_path)
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 7
    network = from_bytes(proto.SerializeToString(), "seven")
    source = serialize(network)
    options = CompileOptions(budget_s=2, runtimes=("onnxruntime",), max_drop=0.5)
    plan = compile_plan(network, source, (), options, detect(), data=digits)
    assert plan.sample_inputs[0].shape[0] == 7
    assert not any(c.status == "failed" for c in plan.manifest.candidates)
    count = len(digits.split().test)
    assert check_plan(plan, "x", source, digits, detect(), max_drop=None).drop.source.count == count


def test_other_preprocessing_is_guarded_anew(classifier: Network, source: bytes, digits: Dataset) -> None:
    assert classifier.task.preprocess is not None
    usual = classifier.task.preprocess
    negative = replace(classifier.task, preprocess=replace(usual, scale=-usual.scale))
    options = CompileOptions(budget_s=10, runtimes=("onnxruntime",), seed=11, max_drop=0.9)
    plans = [
        compile_plan(network, source, (), options, detect(), data=digits)
        for network in (classifier, replace(classifier, task=negative))
    ]
    shares = [{c.accuracy.source.value for c in p.manifest.candidates if c.accuracy} for p in plans]
    assert min(shares[0]) > 0.8
    assert max(shares[1]) < 0.5


def test_finished_plan_of_another_network_is_replaced(
    plan: Plan, classifier: Network, source: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(plan, manifest=replace(plan.manifest, source=replace(plan.manifest.source, digest="0" * 64)))
    write_plan(tmp_path / "x.plan", other)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("chipwise.compiler.compile.race", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compile_plan(classifier, source, (), CompileOptions(budget_s=3), detect(), output=tmp_path / "x.plan")
    left = read_plan(tmp_path / "x.plan").manifest
    assert left.source.digest == sha256_bytes(source)
    assert not left.complete


def test_second_search_reuses_the_first(classifier: Network, source: bytes, digits: Dataset) -> None:
    notes: list[str] = []

    class Watch:
        def update(self, stage: str, fraction: float, message: str = "") -> None: ...

        def note(self, message: str) -> None:
            notes.append(message)

    options = CompileOptions(budget_s=3, runtimes=("onnxruntime",), seed=7)
    for _ in range(2):
        compile_plan(classifier, source, (), options, detect(), data=digits, progress=Watch())
    assert len(notes) == 1
    assert "used again" in notes[0]


def test_unwritable_output_is_found_out_first(
    classifier: Network, source: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.delattr(compile_module, "make_subject")  # whoever starts to work before looking fails on this
    with pytest.raises(StorageError, match="cannot write"):
        compile_plan(classifier, source, (), CompileOptions(), detect(), output=tmp_path / "file" / "x.plan")


def test_killed_search_leaves_a_plan_that_works(classifier_path: Path, tmp_path: Path) -> None:
    output = tmp_path / "x.plan"
    command = [sys.executable, "-m", "chipwise", "compile", str(classifier_path), "-d", "digits", "-o", str(output)]
    process = subprocess.Popen([*command, "--budget", "60s"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not output.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    best_so_far = read_plan(output)
    assert not best_so_far.manifest.complete
    open_plan(best_so_far, detect())
    done = subprocess.run([*command, "--budget", "5s"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert read_plan(output).manifest.complete


def test_interrupt_keeps_the_best_of_the_screening(
    classifier: Network, source: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "x.plan"

    def interrupted(*arguments: object, **options: object) -> object:
        raise KeyboardInterrupt

    times: dict[str, np.ndarray] = {}  # of these, each is faster than all before it

    def told(trials: Sequence[Trial], *arguments: object, **options: object) -> Samples:
        for trial in trials:
            times.setdefault(trial.title, np.full(3, 0.9 ** len(times)))
        return Samples({trial.title: times[trial.title] for trial in trials}, np.ones(3))

    monkeypatch.setattr(race_module, "measure", told)
    monkeypatch.setattr(compile_module, "settle", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compile_plan(classifier, source, (), CompileOptions(budget_s=5), detect(), output=output)
    kept = read_plan(output).manifest
    assert not kept.complete
    timed = [c for c in kept.candidates if c.timing is not None]
    assert len(timed) > 2, "the screening's times are in it"
    chosen = next(c for c in timed if c.status == "chosen")
    assert chosen.timing.median_s == min(c.timing.median_s for c in timed)


def test_engines_are_bounded_by_memory(classifier: Network, source: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "_MEMORY_SHARE", 0.0)
    plan = compile_plan(classifier, source, (), CompileOptions(budget_s=5, runtimes=("onnxruntime",)), detect())
    skipped = [c for c in plan.manifest.candidates if c.status == "skipped"]
    assert skipped
    assert all("memory" in c.reason for c in skipped)


def test_finished_plan_is_not_replaced_by_a_first_guess(
    plan: Plan, classifier: Network, source: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "x.plan"
    write_plan(output, plan)
    before = output.read_bytes()

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("chipwise.compiler.compile.race", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compile_plan(classifier, source, (), CompileOptions(budget_s=3), detect(), output=output)
    assert output.read_bytes() == before


def test_another_answer_is_refused(plan: Plan) -> None:
    wrong = replace(plan, expected_outputs=tuple(array + 1 for array in plan.expected_outputs))
    with pytest.raises(RuntimeUnavailableError, match="differs from the plan's stored output"):
        open_plan(wrong, detect())


@pytest.mark.parametrize("choice", [Choice("openvino", "bf16"), Choice("openvino", "fp16")])
def test_a_plan_is_refused_without_its_number_format(plan: Plan, choice: Choice) -> None:
    elsewhere = replace(plan, manifest=replace(plan.manifest, choice=choice))
    old = Machine("an old one", "x86_64", ("avx2",), 4, 4)
    if not {each.name: each.usable for each in runtimes.status(old)}["openvino"]:
        pytest.skip("openvino is not installed")
    with pytest.raises(RuntimeUnavailableError, match=choice.precision):
        open_plan(elsewhere, old)


def test_a_missed_latency_keeps_the_best_plan_and_says_so(classifier: Network, source: bytes) -> None:
    options = CompileOptions(budget_s=2, runtimes=("onnxruntime",), limit_s=1e-9)
    missed = compile_plan(classifier, source, (), options, detect()).manifest
    assert missed.complete
    assert "1e-06 ms were asked for" in missed.unmet
    met = compile_plan(classifier, source, (), replace(options, limit_s=10.0), detect()).manifest
    assert met.unmet == ""
    assert met.noise is not None


def test_energy_needs_a_counter(classifier: Network, source: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing() -> None:
        raise RuntimeUnavailableError("no energy counter is readable here")

    monkeypatch.setattr(compile_module, "energy_counter", nothing)
    monkeypatch.delattr(compile_module, "make_subject")  # found out before any work
    with pytest.raises(RuntimeUnavailableError, match="energy counter"):
        compile_plan(classifier, source, (), CompileOptions(goal="energy"), detect())


def test_choices_cover_the_machine() -> None:
    assert thread_counts(1) == (0,)
    assert thread_counts(2) == (1, 0)
    assert thread_counts(8) == (1, 2, 4, 0)
    old = Machine("an old one", "x86_64", ("avx2",), 4, 4)
    latency = first_choices(("onnxruntime",), old, "latency", ("onnxruntime",), dynamic_batch=True)
    assert {c.batch for c in latency} == {1}
    assert {c.precision for c in latency} == {"fp32", "int8"}
    assert {c.threads for c in latency} == {1, 0}
    assert len({c.title for c in latency}) == len(latency)
    throughput = first_choices(("onnxruntime",), old, "throughput", (), dynamic_batch=True)
    assert max(c.batch for c in throughput) > 1
    fixed = first_choices(("onnxruntime",), old, "throughput", (), dynamic_batch=False)
    assert {c.batch for c in fixed} == {1}


def test_neighbours_differ_in_one_thing() -> None:
    old = Machine("an old one", "x86_64", ("avx2",), 4, 4)
    start = Choice("onnxruntime", threads=0, graph="b")
    found = neighbours(start, old, "latency", graphs=("a",), dynamic_batch=True)
    assert {(c.threads, c.graph, c.batch) for c in found} == {(1, "b", 1), (2, "b", 1), (0, "a+b", 1)}
    many = neighbours(start, old, "throughput", dynamic_batch=True)
    assert {c.batch for c in many} == {1, 8, 32, 128}


def test_what_is_not_quantized_may_run_in_bf16_where_it_is_native() -> None:
    old, new = (Machine("a machine", "x86_64", isa, 2, 2) for isa in (("avx2",), ("avx512f", "amx_bf16")))
    start = Choice("openvino", "int8", quantizer="onnxruntime")
    if not {each.name: each.usable for each in runtimes.status(new)}["openvino"]:
        pytest.skip("openvino is not installed")
    assert {c.format for c in neighbours(start, new, "latency")} == {"int8", "int8+bf16"}
    assert {c.format for c in neighbours(start, old, "latency")} == {"int8"}
    assert {c.format for c in neighbours(replace(start, runtime="onnxruntime"), new, "latency")} == {"int8"}
    asked = [options_of(replace(start, precision=each)).precision for each in ("int8", "bf16", "int4")]
    assert asked == ["int8", "bf16", "int8"]


def test_unknown_and_oracle_runtimes_are_no_candidates() -> None:
    for name in ("onnxruntim", "reference"):
        with pytest.raises(UnknownNameError):
            usable_runtimes(CompileOptions(runtimes=(name,)), detect())
    assert "reference" not in usable_runtimes(CompileOptions(), detect())
    assert "inductor" not in usable_runtimes(CompileOptions(), detect())


@pytest.mark.parametrize("fields", [{"goal": "speed"}, {"max_drop": -0.1}, {"max_drop": 2}, {"budget_s": 0}])
def test_options_are_checked(fields: dict[str, object]) -> None:
    with pytest.raises(InputError):
        CompileOptions(**fields)  # type: ignore[arg-type]


def test_relative_error() -> None:
    a = np.array([1.0, -4.0], np.float32)
    assert relative_error([a], [a]) == 0
    assert relative_error([a + np.float32(0.4)], [a]) == pytest.approx(0.1, rel=1e-5)
    assert relative_error([a[:1]], [a]) == float("inf")
    assert relative_error([np.array([np.nan, 1])], [a]) == float("inf")
    assert relative_error([np.array([np.inf, 1.0])], [np.array([np.inf, 1.0])]) == 0
    assert relative_error([np.zeros(3)], [np.zeros(3)]) == 0
