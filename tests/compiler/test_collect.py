"""Inputs one by one: what is damaged is left out, what is done is kept, and many have a bar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

import chipwise
from chipwise.compiler.collect import FEW
from chipwise.compiler.run import run_all, run_frames
from chipwise.compiler.runner import Runner
from chipwise.core.errors import DataError, InputError
from chipwise.networks.onnx_file import from_bytes
from chipwise.tasks.frames import open_frames

HEAD = '<ir_version: 8, opset_import: ["": 17]>'
CLASSIFIER = "(float[N,3,4,4] x) => (float[N,3] y) { y = ReduceMax <axes=[2,3], keepdims=0> (x) }"
SUM = "(float[N,2] a, float[N,2] b) => (float[N,2] c) { c = Add(a, b) }"


class Notes:
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.bars: list[tuple[str, float]] = []

    def update(self, stage: str, fraction: float, message: str = "") -> None:
        self.bars.append((stage, fraction))

    def note(self, message: str) -> None:
        self.notes.append(message)


def runner(text: str = CLASSIFIER, **options: Any) -> Runner:
    data = onnx.parser.parse_model(f"{HEAD} g {text}").SerializeToString()
    return chipwise.load(from_bytes(data, "small"), **options)


def pictures(folder: Path, count: int, damaged: tuple[int, ...] = ()) -> list[Path]:
    paths = [folder / f"{number:03d}.png" for number in range(count)]
    rng = np.random.default_rng(0)
    for number, path in enumerate(paths):
        Image.fromarray(rng.integers(0, 255, (20, 20, 3), np.uint8)).save(path)
        if number in damaged:
            path.write_bytes(path.read_bytes()[:500])  # the header is whole
    return paths


@pytest.mark.parametrize("damaged", [(0, 2), (1, 3)])
def test_damaged_pictures_are_left_out_and_named(tmp_path: Path, damaged: tuple[int, ...]) -> None:
    paths, watched = pictures(tmp_path, 4, damaged), Notes()
    whole = [str(path) for number, path in enumerate(paths) if number not in damaged]
    count, frames = open_frames(tmp_path)
    for result in (
        run_all(runner(), paths, progress=watched),
        run_frames(runner(), frames, count, progress=watched),
    ):
        assert [each.input for each in result.predictions] == whole
        assert result.complete
        assert len(result.skipped) == 2
        assert paths[damaged[0]].name in result.skipped[0]
    assert [note.startswith("skipped: ") for note in watched.notes] == [True] * 4


def test_when_nothing_can_be_read_the_first_reason_is_given(tmp_path: Path) -> None:
    paths = pictures(tmp_path, 2, (0, 1))
    with pytest.raises(DataError, match=r"000\.png"):
        run_all(runner(), paths)
    with pytest.raises(DataError, match=r"000\.png"):
        run_frames(runner(), open_frames(tmp_path)[1], 2)


def test_many_inputs_have_a_bar_and_few_none(tmp_path: Path) -> None:
    paths, many, few = pictures(tmp_path, FEW + 1), Notes(), Notes()
    run_all(runner(), paths, progress=many)
    assert many.bars[-1] == ("inputs", 1.0)
    assert len(many.bars) == FEW + 2
    run_all(runner(), paths[:FEW], progress=few)
    assert not few.bars


def test_pictures_are_decoded_when_their_turn_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = pictures(tmp_path, 3)
    ready, order = runner(), []
    read, call = Runner.read, Runner._call
    monkeypatch.setattr(Runner, "read", lambda self, given: order.append("read") or read(self, given))
    monkeypatch.setattr(Runner, "_call", lambda self, arrays: order.append("run") or call(self, arrays))
    run_all(ready, paths)
    assert order == ["read", "run"] * 3


def test_interrupted_inputs_are_kept(tmp_path: Path) -> None:
    paths, watched, drawn = pictures(tmp_path, 3), Notes(), []

    def keep(answer: Any) -> Any:
        if drawn:
            raise KeyboardInterrupt
        drawn.append(answer)
        return answer.prediction

    result = run_all(runner(), paths, keep=keep, progress=watched)
    assert (len(result.predictions), result.complete) == (1, False)
    assert watched.notes == ["interrupted after 1 inputs: these are kept"]


def test_predict_takes_one_item() -> None:
    with pytest.raises(InputError, match="what is in one item; received 2") as caught:
        runner().predict(np.zeros((2, 3, 4, 4), np.float32))
    assert "chipwise.run" in caught.value.hint
    one = np.ones((1, 2), np.float32)
    assert runner(SUM).predict([one, one]).top[0][1] == 0.5
    for top in (0, -1):
        with pytest.raises(InputError, match=f"top is {top}"):
            runner().predict(np.zeros((3, 4, 4), np.float32), top=top)


def test_a_network_without_inputs_is_refused() -> None:
    constant = runner("() => (float[1,2] y) { y = Constant <value = float[1,2] {1.0, 2.0}> () }")
    for given in (np.zeros(3), Path("x.png"), Path("x.wav")):
        with pytest.raises(InputError, match="takes no inputs"):
            constant.predict(given)
    with pytest.raises(InputError, match="takes no inputs"):
        run_frames(constant, [("film[0]", np.zeros((4, 4, 3), np.uint8))], 1)
    assert constant.run()["y"].tolist() == [[1, 2]]


def test_free_sides_are_to_be_said(tmp_path: Path) -> None:
    path = pictures(tmp_path, 1)[0]
    free = "(float[N,3,H,W] x) => (float[N,3] y) { y = ReduceMax <axes=[2,3], keepdims=0> (x) }"
    with pytest.raises(DataError, match="takes arrays, not pictures") as caught:
        runner(free).predict(path)
    assert "--preprocess size=HxW" in caught.value.hint
    assert runner(free, preprocess="size=6x7").predict(path).top


def test_a_picture_is_no_signal(tmp_path: Path) -> None:
    stream = "(float[B,S] sound) => (float[B,1] now) { now = ReduceMax <axes=[1]> (sound) }"
    with pytest.raises(DataError, match="is a picture; the network takes a signal"):
        runner(stream, task="sequence:step=2").predict(pictures(tmp_path, 1)[0])
    (tmp_path / "empty.wav").write_bytes(b"")
    with pytest.raises(DataError, match="empty or cut short"):
        runner(stream, task="sequence:step=2").predict(tmp_path / "empty.wav")
