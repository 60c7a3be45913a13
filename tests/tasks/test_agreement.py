"""Tasks and labels against the shapes of the outputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from chipwise.core.errors import InputError
from chipwise.core.network import TensorSpec
from chipwise.core.task import Detection, Head, Preprocess, Stream, Task
from chipwise.tasks.agreement import class_count, surplus_labels
from chipwise.tasks.describe import told
from chipwise.tasks.guess import guess_task

PHOTO = (TensorSpec("x", (1, 3, 416, 416)),)
SEEN = Preprocess(416, 416, 3, "RGB")
YOLOX = (TensorSpec("y", (1, 3549, 85)),)
HEADS = (Head(13, 13, ((8, 8), (16, 16), (32, 32))), Head(26, 26, ((8, 8),) * 3))


def outputs(*shapes: tuple[int | str, ...], dtype: str = "float32") -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(f"y{place}", shape, dtype) for place, shape in enumerate(shapes))


@pytest.mark.parametrize(
    ("task", "given", "classes"),
    [
        (Task(), outputs(("N", 10)), 10),
        (Task(), outputs(("N", 10, 1, 1)), 10),
        (Task(), outputs(("N", "K")), None),
        (Task("segmentation", preprocess=SEEN), outputs((1, 21, 416, 416)), 21),
        (Task("segmentation", preprocess=Preprocess(9, 9, 3, "RGB", "NHWC")), outputs((1, 9, 9, 21)), 21),
        (Task("segmentation", preprocess=SEEN), outputs((1, 1, 416, 416)), None),
        (Task("segmentation", preprocess=SEEN), outputs((1, 416, 416), dtype="int64"), None),
        (Task("detection", detection=Detection("yolox")), YOLOX, 80),
        (Task("detection", detection=Detection("yolo", HEADS)), outputs((1, 75, 13, 13), (1, 75, 26, 26)), 20),
        (Task("detection", detection=Detection("yolo-v1", (Head(7, 7, ((1, 1),) * 2),))), outputs((1, 1470)), 20),
        (Task("detection", detection=Detection("ssd")), outputs((1, 9, 4), (1, 9, 21)), 20),
        (Task("detection", detection=Detection("corners")), outputs((1, 9, 4), (1, 9, 4)), 3),
        (Task("tensor"), outputs((1, 10)), None),
    ],
)
def test_classes_that_outputs_imply(task: Task, given: tuple[TensorSpec, ...], classes: int | None) -> None:
    assert class_count(task, given) == classes


def test_lists_that_are_too_short_or_of_another_data_set_are_refused(tmp_path: Path) -> None:
    yolox = guess_task(PHOTO, YOLOX)
    with pytest.raises(InputError, match="20 labels were given; the network tells 80 classes apart"):
        told(yolox, PHOTO, YOLOX, labels=Path("voc-20"))
    with pytest.raises(InputError, match="80 labels were given; the network tells 10 classes apart"):
        told(Task(), PHOTO, outputs((1, 10)), labels=Path("coco-80"))
    path = tmp_path / "names.txt"
    path.write_text("one\n" * 79)
    with pytest.raises(InputError, match="79 labels were given"):
        told(yolox, PHOTO, YOLOX, labels=path)


def test_a_table_may_leave_classes_out(tmp_path: Path) -> None:
    path = tmp_path / "names.csv"
    path.write_text("class_index,name\n16,dog\n")
    assert told(guess_task(PHOTO, YOLOX), PHOTO, YOLOX, labels=path).labels == ("",) * 16 + ("dog",)


def test_longer_lists_from_a_file_are_told_of(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("one\n" * 90)
    longer = told(guess_task(PHOTO, YOLOX), PHOTO, YOLOX, labels=path)
    assert surplus_labels(longer, YOLOX) == "note: 90 labels for 80 classes: the last ones are not used"
    assert surplus_labels(guess_task(PHOTO, YOLOX), YOLOX) == ""


def test_a_background_may_be_named_or_not() -> None:
    ssd = Task("detection", preprocess=SEEN, detection=Detection("ssd"))
    given = outputs((1, 9, 4), (1, 9, 21))
    for name in ("voc-20", "voc-21"):
        assert surplus_labels(told(ssd, PHOTO, given, labels=Path(name)), given) == ""


def test_another_kind_forgets_what_the_old_one_was_fed_by() -> None:
    stream = Task("sequence", stream=Stream(512))
    for kind in ("tensor", "classification"):
        assert told(stream, PHOTO, outputs((1, 2)), task=kind).stream is None
    assert told(stream, PHOTO, outputs((1, 2)), task="sequence").stream == Stream(512)
    assert told(guess_task(PHOTO, YOLOX), PHOTO, YOLOX, task="tensor").detection is None


@pytest.mark.parametrize(
    ("task", "seen", "given", "says"),
    [
        ("detection:yolox", None, YOLOX, "a detector takes pictures"),
        ("detection:yolox", SEEN, outputs((1, 1)), r"outputs y0 \[1, 1\] do not fit a yolox detector"),
        ("detection:yolox", SEEN, outputs((1, 3548, 85)), "do not fit a yolox detector"),
        ("detection:yolox", SEEN, outputs((1, 3549, 5)), "do not fit a yolox detector"),
        ("detection:corners", SEEN, YOLOX, "do not fit a corners detector"),
        ("image", SEEN, outputs((1, 9)), r"image needs an output with 4 dimensions; this network gives y0 \[1, 9\]"),
        (
            "classification",
            SEEN,
            YOLOX,
            r"classification needs scores \[N, K\] or \[N, K, 1, 1\]; this net",
        ),
        ("classification", SEEN, outputs(("N", 21, 9, 9)), "classification needs scores"),
        ("segmentation", SEEN, outputs((1, 9)), "segmentation needs an output with 3 or 4 dimensions"),
    ],
)
def test_tasks_that_outputs_rule_out_are_refused(
    task: str, seen: Preprocess | None, given: tuple[TensorSpec, ...], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        told(Task(preprocess=seen), PHOTO, given, task=task)


@pytest.mark.parametrize("shape", [("N", 9), ("N", 1), (1, 9, 1, 1), (1, 1, 1, 9), (1, 9, "H", "W"), ()])
def test_scores_of_classes_may_have_axes_of_one(shape: tuple[int | str, ...]) -> None:
    assert told(Task("tensor"), PHOTO, outputs(shape), task="classification").kind == "classification"


def test_each_side_is_compared_with_its_own_axis() -> None:
    half = (TensorSpec("x", ("N", 3, "H", 32)),)
    said = told(Task(), half, (), preprocess="size=48x32")
    assert said.preprocess == Preprocess(48, 32, 3, "RGB")
    with pytest.raises(InputError, match="takes any x 32 only; received 48x64") as caught:
        told(Task(), half, (), preprocess="size=48x64")
    assert caught.value.hint == "write size=HxW with any x 32"
    with pytest.raises(InputError, match="pictures of any size") as caught:
        told(Task(), half, (), preprocess="scale=1")
    assert "--preprocess size=HxW" in caught.value.hint
