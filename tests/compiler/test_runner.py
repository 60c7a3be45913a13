"""Networks and plans as objects to call: every task on a small graph, frames, and what does not fit."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import chipwise
from chipwise.compiler.run import run_all, run_frames
from chipwise.compiler.runner import from_graph
from chipwise.core.errors import ChipwiseError, DataError, InputError, RuntimeUnavailableError
from chipwise.core.network import Network
from chipwise.core.task import Stream, Task
from chipwise.networks.onnx_file import from_bytes, serialize
from chipwise.tasks.pictures import open_picture, png_bytes

HEAD = '<ir_version: 8, opset_import: ["": 17]>'
PICTURE = np.zeros((6, 8, 3), np.uint8)


def network(text: str, task: Task | None = None) -> Network:
    return from_bytes(onnx.parser.parse_model(f"{HEAD} g {text}").SerializeToString(), "small", task=task)


def say(text: str, given: Any, **options: Any) -> chipwise.core.report.Prediction:
    (prediction,) = chipwise.run(network(text), [given], **options).predictions
    return prediction


CLASSIFIER = "(float[N,3,4,4] x) => (float[N,3] y) { y = ReduceMax <axes=[2,3], keepdims=0> (x) }"


def test_classes() -> None:
    orange = PICTURE + np.array([255, 51, 0], np.uint8)
    powers = np.exp([1, 0.2, 0])
    best = say(CLASSIFIER, orange, top=2).top
    assert [name for name, _ in best] == ["class 0", "class 1"]
    assert [share for _, share in best] == pytest.approx(powers[:2] / powers.sum())


DETECTOR = """(float[1,3,32,32] x) => (float[1,2,4] boxes, float[1,2,2] scores)
{ m = ReduceMax <keepdims=0> (x)
  boxes = Constant <value = float[1,2,4] {0.0,0.0,0.5,1.0, 0.5,0.0,1.0,0.5}> ()
  s = Constant <value = float[1,2,2] {0.1,0.9, 0.8,0.2}> ()
  scores = Add(s, m) }"""


def test_boxes_in_pixels_of_the_picture() -> None:
    (box,) = say(DETECTOR, PICTURE, threshold=0.5).boxes
    assert (box.label, box.left, box.top, box.right, box.bottom) == ("class 1", 0, 0, 4, 6)
    assert len(say(DETECTOR, PICTURE, task="detection:corners,threshold=0.1").boxes) == 2


def test_areas() -> None:
    text = "(float[N,3,6,8] x) => (int64[N,6,8] y) { y = ArgMax <axis=1, keepdims=0> (x) }"
    half = PICTURE.copy()
    half[:, 4:, 2] = 255
    assert say(text, half).areas == (("class 0", 0.5), ("class 2", 0.5))


def test_a_picture_comes_out(tmp_path: Path) -> None:
    text = "(float[N,3,6,8] x) => (float[N,3,6,8] y) { one = Constant <value_float=1.0> () y = Sub(one, x) }"
    said = say(text, PICTURE, output=tmp_path)
    assert said.outputs[0].shape == (1, 3, 6, 8)
    assert (open_picture(said.drawn) == 255).all()


def test_values_of_a_sequence_fed_whole() -> None:
    text = "(float[N,5,2] x) => (float[N,5,2] y) { y = Neg(x) }"
    rows = np.arange(10, dtype=np.float32).reshape(5, 2)
    assert say(text, rows, task="sequence").values == (-1, -3, -5, -7, -9)


STREAM = """(float[B,S] sound, float[1,1] sum) => (float[B,1] now, float[1,1] next)
{ s = ReduceSum <keepdims=1> (sound, axes)  next = Add(s, sum)  now = Identity(next) }""".replace(
    "{ s", "{ axes = Constant <value_ints=[1]> ()  s"
)


def write_wave(path: Path, samples: list[int], rate: int) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(np.array(samples, "<i2").tobytes())
    return path


def test_a_sound_is_fed_piece_by_piece(tmp_path: Path) -> None:
    path = write_wave(tmp_path / "x.wav", [16384, 16384, 0, 16384], 8000)
    task = "sequence:step=2,sum=next,rate=8000"
    (said,) = chipwise.run(network(STREAM), [path], task=task).predictions
    assert said.values == (1.0, 1.5)
    with pytest.raises(DataError, match=r"8000 samples a second, the network takes 16000") as caught:
        chipwise.run(network(STREAM), [path], task="sequence:step=2,sum=next,rate=16000")
    assert "ffmpeg" in caught.value.hint


@pytest.mark.parametrize("signal", [np.array([np.nan]), np.zeros(0), np.array("x"), np.zeros((3, 2))])
def test_what_is_no_signal_is_refused(signal: np.ndarray) -> None:
    with pytest.raises(ChipwiseError):
        chipwise.run(network(STREAM), [signal], task="sequence:step=2,sum=next")


def test_raw_outputs_by_name() -> None:
    runner = chipwise.load(
        network("(float[N,2] a, float[N,2] b) => (float[N,2] c, float[N,2] d) { c = Add(a, b) d = Sub(a, b) }")
    )
    a, b = np.array([[5, 6]], np.float32), np.array([[1, 2]], np.float32)
    assert [spec.name for spec in runner.inputs] == ["a", "b"]
    for got in (runner.run(a, b), runner.run(b=b, a=a)):
        assert (got["c"].tolist(), got["d"].tolist()) == ([[6, 8]], [[4, 4]])
    for wrong in ({"a": a}, {"a": a, "x": b}):
        with pytest.raises(InputError) as caught:
            runner.run(**wrong)
        assert "a, b" in caught.value.hint
    with pytest.raises(InputError, match="takes 2 inputs"):
        runner.run(a)
    with pytest.raises(InputError, match="float64"):
        runner.run(a, b.astype(np.float64))
    with pytest.raises(InputError, match="takes 2 inputs"):
        runner.predict(a)


def test_predict_says_what_it_sees(tmp_path: Path) -> None:
    (tmp_path / "blue.png").write_bytes(png_bytes(PICTURE + np.array([0, 0, 200], np.uint8)))
    runner = chipwise.load(network(CLASSIFIER), labels=None)
    assert runner.predict(tmp_path / "blue.png", top=1).top[0][0] == "class 2"
    assert runner.predict(str(tmp_path / "blue.png")).input.endswith("blue.png")


def test_a_uint8_input_takes_its_own_arrays_and_pictures() -> None:
    text = "(uint8[1,4,4,3] x) => (float[1,3] y) { f = Cast <to=1> (x) y = ReduceMax <axes=[1,2], keepdims=0> (f) }"
    own = np.zeros((1, 4, 4, 3), np.uint8)
    own[..., 1] = 9
    for given in (own, own[0], np.repeat(np.repeat(own[0], 2, axis=0), 3, axis=1)):
        assert say(text, given, top=1).top[0][0] == "class 1"


def test_inputs_are_checked_before_anything_runs(tmp_path: Path) -> None:
    runner = chipwise.load(network(CLASSIFIER))
    (tmp_path / "good.png").write_bytes(png_bytes(PICTURE))
    kept: list[object] = []
    with pytest.raises(DataError, match=r"absent\.png"):
        run_all(runner, [tmp_path / "good.png", tmp_path / "absent.png"], keep=kept.append)  # type: ignore[arg-type]
    assert not kept
    assert not runner.seconds


def test_outputs_of_another_task_are_refused() -> None:
    with pytest.raises(InputError, match="segmentation needs an output with 3 or 4 dimensions"):
        say(CLASSIFIER, PICTURE, task="segmentation")
    with pytest.raises(InputError, match="do not fit a corners detector"):
        say(CLASSIFIER, PICTURE, task="detection:corners")
    with pytest.raises(InputError, match="image needs an output with 4 dimensions"):
        say(CLASSIFIER, PICTURE, task="image")
    with pytest.raises(InputError, match="cannot be fed piece by piece"):
        say("(float[N,2] a, float[N,2] b) => (float[N,2] c) { c = Add(a, b) }", PICTURE, task="sequence:step=2")


def test_frames_are_counted_and_kept_on_interrupt() -> None:
    runner = chipwise.load(network(CLASSIFIER))

    def frames(end: BaseException | None) -> Any:
        for number in range(3):
            yield f"film[{number}]", PICTURE
        if end is not None:
            raise end

    whole = run_frames(runner, frames(None), 3)
    assert (len(whole.predictions), whole.complete) == (3, True)
    assert whole.frames_per_second is not None
    assert whole.frames_per_second > 0
    notes: list[str] = []

    class Notes:
        def update(self, stage: str, fraction: float, message: str = "") -> None:
            pass

        def note(self, message: str) -> None:
            notes.append(message)

    cut = run_frames(runner, frames(KeyboardInterrupt()), 9, progress=Notes())
    assert (len(cut.predictions), cut.complete) == (3, False)
    assert notes == ["interrupted after 3 frames: these are kept"]
    with pytest.raises(InputError, match="no frames"):
        run_frames(runner, iter(()), 0)


def test_frames_need_a_network_that_takes_pictures() -> None:
    runner = chipwise.load(network("(float[N,5] x) => (float[N,5] y) { y = Neg(x) }"))
    with pytest.raises(DataError, match="takes arrays, not pictures"):
        run_frames(runner, [("film[0]", PICTURE)], 1)


def test_what_no_runtime_takes_is_refused_with_the_first_reason() -> None:
    model = onnx.parser.parse_model(f"{HEAD} g (float[2] x) => (float[2] y) {{ y = Relu(x) }}")
    model.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(RuntimeUnavailableError, match="onnxruntime could not build"):
        from_graph("x", model.SerializeToString(), Task("tensor"))


def test_plans_of_every_kind_run(tmp_path: Path) -> None:
    said = chipwise.compile(network(DETECTOR), output=tmp_path / "d.plan", budget_s=1, runtimes=("onnxruntime",))
    assert said.manifest.task.kind == "detection"
    assert len(chipwise.run(tmp_path / "d.plan", [PICTURE], threshold=0.5).predictions[0].boxes) == 1
    task = Task("sequence", stream=Stream(2, 0, (("sum", "next"),)))
    plan = chipwise.compile(network(STREAM, task), budget_s=1, runtimes=("onnxruntime",))
    signal = np.array([1, 2, 3], np.float32)
    assert chipwise.run(plan, [signal]).predictions[0].values == (3.0, 6.0)
    with pytest.raises(InputError, match="holds its weights"):
        chipwise.load(tmp_path / "d.plan", weights="x.safetensors")


@pytest.mark.parametrize(("name", "shown"), [("nets/yolo.onnx", "yolo"), ("squeezenet1.1", "squeezenet1.1")])
def test_a_runner_shows_what_it_is(name: str, shown: str) -> None:
    runner = from_graph(name, serialize(network(CLASSIFIER)), Task())
    assert repr(runner) == f"<Runner {shown}: classification, onnxruntime fp32>"


def test_accuracy_is_counted_for_classes_only(tmp_path: Path) -> None:
    onnx.save(onnx.parser.parse_model(f"{HEAD} g {DETECTOR}"), tmp_path / "d.onnx")
    plan = chipwise.compile(tmp_path / "d.onnx", budget_s=1, runtimes=("onnxruntime",))
    says = "is for detection; accuracy is counted for classification only"
    with pytest.raises(InputError, match=says):
        chipwise.compile(tmp_path / "d.onnx", data="digits")
    with pytest.raises(InputError, match=says):
        chipwise.check(plan, "digits", source=tmp_path / "d.onnx")


def test_compiling_leaves_the_network_as_it_was() -> None:
    found = network(DETECTOR)  # its constants become initializers of the optimized graph
    before = serialize(found)
    chipwise.compile(found, budget_s=1, runtimes=("onnxruntime",))
    assert serialize(found) == before
