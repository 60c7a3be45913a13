"""A pipeline finds the drawn blocks, and a network that knows colours names them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

pytest.importorskip("cv2")

import chipwise
from chipwise.compiler.answers import Answer
from chipwise.compiler.pipeline import run_pipeline
from chipwise.compiler.runner import Runner, from_graph
from chipwise.core.errors import DataError, InputError
from chipwise.core.pipeline import Channel, Classify, Expand, Keep, Pipeline, Regions, Stage, Threshold
from chipwise.core.report import Box, Prediction
from chipwise.core.task import Preprocess, Task
from chipwise.tasks.pictures import open_picture, png_bytes

pytestmark = pytest.mark.runtime

# Scores are the mean of each colour, sharpened: the class is the strongest colour.
GRAPH = """<ir_version: 8, opset_import: ["": 17]> colours (float[%s, 3, 4, 4] picture) => (float[%s, 3] scores)
<float ten = {20.0}> { mean = ReduceMean<axes = [2, 3], keepdims = 0>(picture) scores = Mul(mean, ten) }"""
TASK = Task("classification", ("red", "green", "blue"), Preprocess(4, 4, 3, "RGB", fit="stretch"))
FIND: tuple[Stage, ...] = (Channel("saturation"), Threshold("value", "light", 100), Regions(min_area=9))
BLOCKS = {"red": [5, 5, 15, 12], "green": [30, 8, 36, 20], "blue": [50, 30, 60, 36]}


def colours(batch: int | str = "N") -> Runner:
    model = onnx.parser.parse_model(GRAPH % (batch, batch))
    return from_graph("colours", model.SerializeToString(), TASK)


def board() -> np.ndarray:
    picture = np.full((50, 70, 3), 200, np.uint8)
    for channel, (left, top, right, bottom) in enumerate(BLOCKS.values()):
        picture[top:bottom, left:right] = 40
        picture[top:bottom, left:right, channel] = 220
    return picture


def found(result: Prediction) -> dict[str, list[int]]:
    return {box.label: [int(box.left), int(box.top), int(box.right), int(box.bottom)] for box in result.boxes}


@pytest.mark.parametrize("batch", ["N", 1, 2])
@pytest.mark.parametrize("together", [1, 2, 32])
def test_every_block_is_named_whatever_the_batch(batch: int | str, together: int) -> None:
    pipeline = Pipeline((*FIND, Classify(together)))
    result = run_pipeline(colours(batch), pipeline, [board()])
    assert found(result.predictions[0]) == BLOCKS
    assert all(box.score > 0.9 for box in result.predictions[0].boxes)
    assert result.latency_s > 0


def test_keep_chooses_by_label_and_score() -> None:
    runner = colours()
    two = run_pipeline(runner, Pipeline((*FIND, Classify(), Keep(("blue", "red"), 0.5))), [board()])
    assert found(two.predictions[0]) == {name: BLOCKS[name] for name in ("red", "blue")}
    none = run_pipeline(runner, Pipeline((*FIND, Expand(20), Classify(), Keep(score=0.99))), [board()])
    assert none.predictions[0].boxes == ()


def test_without_classify_regions_are_the_answer() -> None:
    boxes = run_pipeline(colours(), Pipeline(FIND), [board()]).predictions[0].boxes
    assert boxes[0] == Box("region", 1.0, *map(float, BLOCKS["red"]))
    assert len(boxes) == 3


def test_best_scores_come_first_and_pictures_keep_their_names(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_bytes(board()))
    (tmp_path / "blank.png").write_bytes(png_bytes(np.full((9, 9, 3), 200, np.uint8)))
    kept: list[Answer] = []

    def keep(answer: Answer) -> Prediction:
        kept.append(answer)
        return answer.prediction

    files = [tmp_path / "a.png", tmp_path / "blank.png"]
    result = run_pipeline(colours(), Pipeline((*FIND, Expand(2), Classify())), files, keep=keep)
    assert [each.input for each in result.predictions] == [str(path) for path in files]
    scores = [box.score for box in result.predictions[0].boxes]
    assert scores == sorted(scores, reverse=True)
    assert result.predictions[1].boxes == ()
    assert kept[0].picture is not None
    assert kept[0].picture.shape == (50, 70, 3)


def test_what_does_not_fit_is_refused() -> None:
    pipeline = Pipeline((*FIND, Classify(), Keep(("yellow",))))
    with pytest.raises(InputError, match="the pipeline keeps 'yellow'") as caught:
        run_pipeline(colours(), pipeline, [board()])
    assert "red, green, blue" in caught.value.hint
    with pytest.raises(InputError, match="no input was given"):
        run_pipeline(colours(), Pipeline(FIND), [])
    with pytest.raises(DataError, match=r"float64 \[3, 3\] is no picture"):
        run_pipeline(colours(), Pipeline(FIND), [np.zeros((3, 3))])
    tensor = from_graph("colours", onnx.parser.parse_model(GRAPH % ("N", "N")).SerializeToString(), Task("tensor"))
    with pytest.raises(InputError, match="colours is for tensor, and a pipeline classifies pictures"):
        run_pipeline(tensor, Pipeline(FIND), [board()])


TOML = """
stages = [
    {kind = "channel", channel = "saturation"},
    {kind = "threshold", method = "value", keep = "light", value = 100},
    {kind = "regions", min_area = 9},
    {kind = "classify"},
    {kind = "keep", labels = ["green"]},
]
"""


def test_verb_reads_the_file_and_draws(tmp_path: Path) -> None:
    onnx.save(onnx.parser.parse_model(GRAPH % ("N", "N")), tmp_path / "colours.onnx")
    (tmp_path / "labels.txt").write_text("red\ngreen\nblue\n")
    (tmp_path / "green.toml").write_text(TOML)
    (tmp_path / "board.png").write_bytes(png_bytes(board()))
    usual = {"task": "classification", "labels": tmp_path / "labels.txt", "preprocess": "fit=stretch"}
    result = chipwise.run(
        tmp_path / "colours.onnx",
        tmp_path / "board.png",
        pipeline=tmp_path / "green.toml",
        output=tmp_path / "out",
        **usual,
    )
    assert found(result.predictions[0]) == {"green": BLOCKS["green"]}
    assert open_picture(result.predictions[0].drawn).shape[2] == 3
    with pytest.raises(InputError, match=r"cannot read .*none\.toml"):
        chipwise.run(tmp_path / "colours.onnx", tmp_path / "board.png", pipeline=tmp_path / "none.toml", **usual)
    with pytest.raises(InputError, match="not at frames"):
        chipwise.run(tmp_path / "colours.onnx", pipeline=tmp_path / "green.toml", frames=tmp_path, **usual)


def test_classes_without_names_are_known_by_their_number() -> None:
    model = onnx.parser.parse_model(GRAPH % ("N", "N")).SerializeToString()
    unnamed = from_graph("colours", model, Task("classification", preprocess=TASK.preprocess))
    kept = run_pipeline(unnamed, Pipeline((*FIND, Classify(), Keep(("class 2",)))), [board()])
    assert [box.label for box in kept.predictions[0].boxes] == ["class 2"]
    for wrong in ("class 3", "nosuch"):
        with pytest.raises(InputError, match=f"the pipeline keeps '{wrong}'") as caught:
            run_pipeline(unnamed, Pipeline((*FIND, Classify(), Keep((wrong,)))), [board()])
        assert "class 0, class 1, class 2" in caught.value.hint


def test_arrays_in_files_and_damaged_pictures(tmp_path: Path) -> None:
    np.save(tmp_path / "board.npy", board())
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    (tmp_path / "damaged.png").write_bytes(png_bytes(noise)[:500])
    result = run_pipeline(colours(), Pipeline(FIND), [tmp_path / "board.npy", tmp_path / "damaged.png"])
    assert [len(each.boxes) for each in result.predictions] == [3]
    assert "damaged.png" in result.skipped[0]
    with pytest.raises(DataError, match="no such picture"):
        run_pipeline(colours(), Pipeline(FIND), [tmp_path / "board.npy", tmp_path / "absent.png"])
