"""Non-maximum suppression against the algorithm written out, and what becomes of its answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chipwise.core.errors import DataError
from chipwise.core.task import Detection, Preprocess, Task
from chipwise.tasks.detect import detected
from chipwise.tasks.placement import place
from chipwise.tasks.suppress import suppress


def overlap_of(a: list[int], b: list[int]) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(wide, 0) * max(high, 0)
    whole = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - shared
    return shared / whole if whole > 0 else 0.0


def plain(boxes: list[list[int]], scores: list[list[float]], threshold: float, overlap: float) -> set[tuple[int, int]]:
    kept = set()
    for kind in range(len(scores[0])):
        order = sorted((i for i in range(len(boxes)) if scores[i][kind] > threshold), key=lambda i: -scores[i][kind])
        chosen: list[int] = []
        for index in order:
            if all(overlap_of(boxes[index], boxes[other]) <= overlap for other in chosen):
                chosen.append(index)
        kept |= {(index, kind) for index in chosen}
    return kept


BOX = st.tuples(*(st.integers(0, 20) for _ in range(2)), *(st.integers(1, 12) for _ in range(2))).map(
    lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]
)


@settings(max_examples=150, deadline=None)
@given(st.data(), st.lists(BOX, min_size=1, max_size=12), st.integers(1, 3))
def test_equals_the_algorithm_written_out(data: st.DataObject, boxes: list[list[int]], classes: int) -> None:
    ranks = data.draw(st.permutations(range(1, len(boxes) * classes + 1)))  # no two scores are equal
    scores = (np.array(ranks) / (len(ranks) + 1)).reshape(len(boxes), classes).astype(np.float32)
    found = suppress(np.array(boxes, np.float32), scores, threshold=0.3, overlap=0.4)
    assert set(found) == plain(boxes, scores.tolist(), float(np.float32(0.3)), 0.4)
    ordered = [scores[pair] for pair in found]
    assert ordered == sorted(ordered, reverse=True)


def test_a_network_that_finds_everything_is_bounded() -> None:
    rng = np.random.default_rng(0)
    corners = rng.random((30_000, 2), np.float32) * 1000
    boxes = np.concatenate([corners, corners + 3], axis=1)
    assert len(suppress(boxes, rng.random((30_000, 80), np.float32), threshold=0.0, overlap=0.5)) == 300


def test_nothing_above_the_threshold_is_nothing() -> None:
    assert suppress(np.zeros((3, 4), np.float32), np.zeros((3, 2), np.float32), threshold=0.1, overlap=0.5) == []
    assert suppress(np.zeros((0, 4), np.float32), np.zeros((0, 2), np.float32), threshold=0.1, overlap=0.5) == []


SEEN = Preprocess(100, 100, 3, "RGB", fit="letterbox")
FACES = Task("detection", ("background", "face"), SEEN, Detection("corners", threshold=0.5, overlap=0.5))


def outputs(*boxes: tuple[float, ...]) -> list[np.ndarray]:
    """One picture's boxes, each with a score for the second class."""
    return [
        np.array([[box[:4] for box in boxes]], np.float32),
        np.array([[(1 - box[4], box[4]) for box in boxes]], np.float32),
    ]


def test_boxes_are_in_pixels_of_the_picture() -> None:
    found = detected(outputs((0.25, 0.5, 0.75, 1.0, 0.9)), FACES, [place(200, 100, SEEN)])
    (box,) = found[0]
    assert (box.label, box.score) == ("face", pytest.approx(0.9))
    assert (box.left, box.top, box.right, box.bottom) == pytest.approx((0, 100, 100, 200))


def test_boxes_beside_the_picture_are_left_out() -> None:
    found = detected(outputs((0.0, 0.0, 0.2, 1.0, 0.9), (0.3, 0.3, 0.6, 0.6, 0.8)), FACES, [place(200, 100, SEEN)])
    assert [round(box.score, 1) for box in found[0]] == [0.8]


def test_labels_may_leave_the_background_out() -> None:
    task = Task("detection", ("face",), SEEN, FACES.detection)
    (box,) = detected(outputs((0.3, 0.3, 0.6, 0.6, 0.8)), task, [None])[0]
    assert box.label == "face"
    unnamed = Task("detection", (), SEEN, FACES.detection)
    assert detected(outputs((0.3, 0.3, 0.6, 0.6, 0.8)), unnamed, [None])[0][0].label == "class 1"


def test_a_detector_must_say_how() -> None:
    with pytest.raises(DataError, match="does not say how"):
        detected([], Task("detection"), [])
    with pytest.raises(DataError, match="not one row for each of 2"):
        detected(outputs((0.3, 0.3, 0.6, 0.6, 0.8)), FACES, [None, None])
