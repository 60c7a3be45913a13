"""`chipwise export --triton`: a model repository that Triton reads, and that agrees with the server."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from google.protobuf import json_format, text_format

from chipwise import api
from chipwise.codec.plan_file import read_plan
from chipwise.core.errors import InputError, PlanError
from chipwise.core.measure import Timing
from chipwise.core.plan import Candidate, Choice, Part, Plan
from chipwise.serving.triton import measured_sizes, triton_config

from .conftest import HEAD, Start, make_plan

pbtxt = pytest.importorskip("tritonclient.grpc.model_config_pb2")


def parsed(text: str) -> Any:
    return text_format.Parse(text, pbtxt.ModelConfig())


def with_choice(plan: Plan, **changes: object) -> Plan:
    return replace(plan, manifest=replace(plan.manifest, choice=replace(plan.manifest.choice, **changes)))


def test_the_repository_is_one_that_triton_reads(plans: Path, tmp_path: Path, pixels: np.ndarray) -> None:
    done = api.export(plans / "digits.plan", triton=tmp_path)
    names = [str(Path(name).relative_to(tmp_path)) for name, _ in done.files]
    assert names == ["digits/1/model.onnx", "digits/labels.txt", "digits/config.pbtxt"]
    config = parsed((tmp_path / "digits" / "config.pbtxt").read_text())
    assert (config.name, config.backend, config.platform) == ("digits", "onnxruntime", "onnxruntime_onnx")
    assert config.output[0].label_filename == "labels.txt"
    assert (tmp_path / "digits" / "labels.txt").read_text().splitlines()[2:4] == ["two", "three"]
    assert (config.instance_group[0].count, config.instance_group[0].kind) == (1, pbtxt.ModelInstanceGroup.KIND_CPU)
    path = tmp_path / "digits" / "1" / "model.onnx"
    onnx.checker.check_model(str(path), full_check=True)
    (scores,) = onnxruntime.InferenceSession(path).run(None, {config.input[0].name: pixels})
    wanted = api.load(plans / "digits.plan").run(pixels)["y"]
    np.testing.assert_allclose(scores, wanted, rtol=1e-5, atol=1e-5)


def test_the_configuration_agrees_with_the_server(start: Start, plans: Path, tmp_path: Path) -> None:
    server = start(plans, "--max-latency", "1s")
    for name in ("digits", "half", "detector", "segmenter", "mean"):
        api.export(plans / f"{name}.plan", triton=tmp_path)
        made = parsed((tmp_path / name / "config.pbtxt").read_text())
        with urllib.request.urlopen(f"http://{server.url}/v2/models/{name}/config") as response:
            told = json_format.ParseDict(json.load(response), pbtxt.ModelConfig())
        for output in made.output:
            output.label_filename = ""  # the server names classes itself
        for field in ("name", "version_policy", "input", "output"):
            assert getattr(made, field) == getattr(told, field), name
        assert made.HasField("dynamic_batching") == told.HasField("dynamic_batching"), name
        assert (made.max_batch_size > 0) == (told.max_batch_size > 0), name


def test_what_cannot_be_joined_is_not(plans: Path, tmp_path: Path) -> None:
    for name, dims in (("mean", [-1, 4]), ("detector", [1, 3, 32, 32])):
        config = parsed(triton_config(read_plan(plans / f"{name}.plan"), name))
        assert config.max_batch_size == 0
        assert not config.HasField("dynamic_batching")
        assert list(config.input[0].dims) == dims


def test_sizes_threads_and_instances_are_what_was_measured(plans: Path) -> None:
    plan = read_plan(plans / "digits.plan")
    timed = {1: 3.0, 8: 1.0, 32: 2.0, 128: 0.5}  # seconds an item
    rows = [Candidate(Choice("x", batch=size), "slower", "", timing=Timing(1, (s,))) for size, s in timed.items()]
    rows += [Candidate(Choice("x", batch=256), "skipped", "")]
    plan = replace(plan, manifest=replace(plan.manifest, candidates=tuple(rows)))
    assert measured_sizes(plan) == (8, 128)
    config = parsed(triton_config(with_choice(plan, threads=2, streams=3), "digits"))
    assert config.max_batch_size == 128
    assert list(config.dynamic_batching.preferred_batch_size) == [8, 128]
    assert config.instance_group[0].count == 3
    assert config.parameters["intra_op_thread_count"].string_value == "2"
    assert not parsed(triton_config(with_choice(plan, threads=0), "digits")).parameters


def test_no_dimensions_but_the_batch(tmp_path: Path) -> None:
    text = HEAD + "(float[N,4] x) => (float[N] y) { y = ReduceSum <keepdims = 0> (x, axes) }"
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1], np.int64), "axes"))
    config = parsed(triton_config(read_plan(make_plan(tmp_path / "sum.plan", model, task="tensor")), "sum"))
    assert list(config.output[0].dims) == [1]
    assert config.output[0].HasField("reshape")
    assert not config.output[0].reshape.shape


def test_what_is_refused(plans: Path, tmp_path: Path) -> None:
    plan = plans / "digits.plan"
    with pytest.raises(InputError, match="one place to write to"):
        api.export(plan)
    with pytest.raises(InputError, match="one place to write to"):
        api.export(plan, output=tmp_path / "x.onnx", triton=tmp_path)
    with pytest.raises(InputError, match="only a plan"):
        api.export(plans / "digits.onnx", triton=tmp_path)
    with pytest.raises(InputError, match="holds its weights"):
        api.export(plan, triton=tmp_path, weights="w.safetensors")
    with pytest.raises(PlanError, match="custom layers"):
        triton_config(with_choice(read_plan(plan), parts=(Part("python"),)), "digits")
    assert not list(tmp_path.iterdir())
    (tmp_path / "digits" / "2").mkdir(parents=True)
    with pytest.raises(InputError, match="another version of the model already: 2"):
        api.export(plan, triton=tmp_path)
    assert not (tmp_path / "digits" / "1").exists()


def test_old_files_are_written_over(plans: Path, tmp_path: Path) -> None:
    (tmp_path / "half" / "1").mkdir(parents=True)
    (tmp_path / "half" / "config.pbtxt").write_text("name: 'another'")
    assert len(api.export(plans / "half.plan", triton=tmp_path).files) == 2  # its task has no classes
    assert parsed((tmp_path / "half" / "config.pbtxt").read_text()).name == "half"
