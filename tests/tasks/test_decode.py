"""Raw heads to boxes: against OpenCV's golden rows, literal transcriptions, and examples made by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from chipwise.core.errors import DataError
from chipwise.core.task import Detection, Head
from chipwise.tasks.decode import decode, yolox_heads

# yolo-fastest-1.1.cfg: pairs of width and height, and the masks of its two heads
ANCHORS = ((12.0, 18.0), (37.0, 49.0), (52.0, 132.0), (115.0, 73.0), (119.0, 199.0), (242.0, 238.0))
YOLO_FASTEST = Detection("yolo", (Head(10, 10, ANCHORS[3:]), Head(20, 20, ANCHORS[:3])))


def logit(share: float) -> float:
    return math.log(share / (1 - share))


@pytest.mark.shared
def test_yolo_equals_opencvs_rows(shared_data: Path) -> None:
    golden = np.load(shared_data / "golden" / "yolo-fastest-1.1.npz")
    heads = [golden["onnx_head0"][0], golden["onnx_head1"][0]]
    boxes, scores = decode(heads, YOLO_FASTEST, 320, 320)
    want = np.concatenate([golden["yolo_121"], golden["yolo_130"]])
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 / 320
    np.testing.assert_allclose(centres, want[:, :2], atol=2e-6)
    np.testing.assert_allclose((boxes[:, 2:] - boxes[:, :2]) / 320, want[:, 2:4], atol=2e-6)
    kept = want[:, 5:] > 0  # OpenCV leaves lower scores out
    assert kept.sum() == 37
    np.testing.assert_allclose(scores[kept], want[:, 5:][kept], atol=2e-6)
    assert scores[~kept].max() < scores[kept].min()


def test_yolov4_lets_centres_leave_their_cell() -> None:
    head = np.zeros((6, 1, 2), np.float32)
    head[:2, 0, 1] = logit(0.9), logit(0.5)
    boxes, _ = decode([head], Detection("yolo", (Head(1, 2, ((8.0, 8.0),), scale_xy=1.2),)), 10, 20)
    left, top, right, bottom = boxes[1]
    assert (left + right) / 2 == pytest.approx((1 + 0.9 * 1.2 - 0.1) * 10, rel=1e-5)
    assert (top + bottom) / 2 == pytest.approx(5)


def test_scaled_yolov4_comes_activated() -> None:
    head = np.array([0.5, 0.5, 0.6, 0.4, 0.8, 0.25], np.float32).reshape(6, 1, 1)
    boxes, scores = decode([head], Detection("yolo", (Head(1, 1, ((10.0, 20.0),), squared=True),)), 32, 32)
    assert boxes[0].tolist() == pytest.approx([16 - 7.2, 16 - 6.4, 16 + 7.2, 16 + 6.4], rel=1e-5)
    assert scores.tolist() == [[pytest.approx(0.2)]]


def test_region_shares_one_probability_among_classes() -> None:
    head = np.array([0, 0, 0, 0, logit(0.5), 1.0, 1.0], np.float32).reshape(7, 1, 1)
    boxes, scores = decode([head], Detection("region", (Head(1, 1, ((8.0, 16.0),)),)), 32, 64)
    assert boxes.tolist() == [[28, 8, 36, 24]]
    assert scores.tolist() == [[pytest.approx(0.25), pytest.approx(0.25)]]


def test_yolo_v1_is_a_vector_of_shares_objectness_and_roots() -> None:
    shares = np.zeros((4, 3))  # 2 x 2 cells, 3 classes
    shares[3, 2] = 0.9
    objectness = np.zeros((4, 2))  # 2 boxes a cell
    objectness[3, 1] = 0.5
    places = np.zeros((4, 2, 4))
    places[3, 1] = 0.5, 0.25, 0.5, 1.0  # of the cell; of the square root of the picture
    vector = np.concatenate([shares.ravel(), objectness.ravel(), places.ravel()]).astype(np.float32)
    boxes, scores = decode([vector], Detection("yolo-v1", (Head(2, 2, ((1.0, 1.0),) * 2),)), 100, 200)
    best = int(scores.max(axis=1).argmax())
    assert (best, int(scores[best].argmax()), scores.max()) == (7, 2, pytest.approx(0.45))
    assert boxes[best].tolist() == pytest.approx([150 - 25, 62.5 - 50, 150 + 25, 62.5 + 50])


def literal_yolox(rows: np.ndarray, height: int, width: int) -> tuple[list[list[float]], list[list[float]]]:
    """Megvii's demo_postprocess and the corners of its multiclass_nms, cell by cell."""
    boxes, scores, index = [], [], 0
    for stride in (8, 16, 32):
        for y in range(height // stride):
            for x in range(width // stride):
                cx, cy = (rows[index, 0] + x) * stride, (rows[index, 1] + y) * stride
                w, h = math.exp(rows[index, 2]) * stride, math.exp(rows[index, 3]) * stride
                boxes.append([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
                scores.append([rows[index, 4] * share for share in rows[index, 5:]])
                index += 1
    return boxes, scores


@pytest.mark.parametrize("heads", [(), yolox_heads(64, 96)])
def test_yolox_equals_a_literal_transcription(heads: tuple[Head, ...]) -> None:
    count = sum((64 // stride) * (96 // stride) for stride in (8, 16, 32))
    rows = np.random.default_rng(0).random((count, 8)).astype(np.float32)
    boxes, scores = decode([rows], Detection("yolox", heads), 64, 96)
    want_boxes, want_scores = literal_yolox(rows, 64, 96)
    np.testing.assert_allclose(boxes, want_boxes, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(scores, want_scores, rtol=1e-6)


@pytest.mark.parametrize("activated", [True, False])
@pytest.mark.parametrize("turned", [True, False])
def test_ssd_moves_and_scales_its_anchors(activated: bool, turned: bool) -> None:
    heads = (Head(1, 2, ((20.0, 10.0), (8.0, 8.0))), Head(1, 1, ((30.0, 30.0),)))
    offsets, scores = np.zeros((5, 4), np.float32), np.zeros((5, 3), np.float32)
    offsets[2] = 1.0, -1.0, math.log(2) / 0.2, 0.0  # the first anchor of the second cell
    scores[2] = (0.1, 0.2, 0.7) if activated else np.log([0.1, 0.2, 0.7])
    outputs = [scores, offsets] if turned else [offsets, scores]
    boxes, shares = decode(outputs, Detection("ssd", heads, activated=activated), 50, 100)
    assert boxes[2].tolist() == pytest.approx([77 - 20, 24 - 5, 77 + 20, 24 + 5], rel=1e-5)
    assert shares[2].tolist() == pytest.approx([0.2, 0.7], rel=1e-5)
    assert boxes[4].tolist() == [35, 10, 65, 40]


def test_corners_are_shares_of_the_input() -> None:
    outputs = [np.array([[0.3, 0.7]], np.float32), np.array([[0.1, 0.2, 0.5, 1.0]], np.float32)]
    boxes, scores = decode(outputs, Detection("corners"), 100, 200)
    assert boxes.tolist() == [pytest.approx([20, 20, 100, 100])]
    assert scores.tolist() == [[pytest.approx(0.7)]]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused(bad: float) -> None:
    with pytest.raises(DataError, match="NaN or infinity"):
        decode([np.full((6, 1, 1), bad, np.float32)], Detection("yolo", (Head(1, 1, ((1.0, 1.0),)),)), 8, 8)


def test_huge_logits_overflow_nothing() -> None:
    head = np.full((6, 1, 1), 1e30, np.float32)
    with np.errstate(all="raise"):
        boxes, scores = decode([head], Detection("yolo", (Head(1, 1, ((10.0, 10.0),)),)), 8, 8)
    assert np.isfinite(boxes).all()
    assert scores.tolist() == [[1.0]]


@pytest.mark.parametrize(
    ("detection", "shapes"),
    [
        (YOLO_FASTEST, [(255, 10, 10)]),
        (YOLO_FASTEST, [(255, 10, 10), (255, 10, 10)]),
        (YOLO_FASTEST, [(256, 10, 10), (255, 20, 20)]),
        (YOLO_FASTEST, [(15, 10, 10), (15, 20, 20)]),
        (YOLO_FASTEST, [(18, 10, 10), (21, 20, 20)]),
        (Detection("yolo"), []),
        (Detection("yolo-v1", (Head(2, 2, ((1.0, 1.0),)),)), [(4 * 5,)]),
        (Detection("yolo-v1", (Head(2, 2, ((1.0, 1.0),)),)), [(4 * 6 + 1,)]),
        (Detection("yolo-v1", (Head(0, 0, ()),)), [(30,)]),
        (Detection("yolox"), [(84, 5)]),
        (Detection("yolox"), [(85, 6)]),
        (Detection("yolox"), [(84, 6), (84, 6)]),
        (Detection("ssd", (Head(1, 1, ((1.0, 1.0),)),)), [(2, 4), (2, 3)]),
        (Detection("ssd"), [(2, 4), (2, 3)]),
        (Detection("corners"), [(2, 5), (2, 3)]),
        (Detection("corners"), [(2, 4), (3, 3)]),
        (Detection("corners"), [(2, 4), (2, 1)]),
    ],
)
def test_outputs_of_another_detector_are_refused(detection: Detection, shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(DataError, match="do not fit"):
        decode([np.zeros(shape, np.float32) for shape in shapes], detection, 64, 64)
