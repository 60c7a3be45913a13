"""The order and the numbers of a pipeline are checked before any picture is read."""

from __future__ import annotations

import pytest

from chipwise.core.errors import InputError
from chipwise.core.pipeline import (
    STAGES,
    Blur,
    Channel,
    Classify,
    Close,
    Crop,
    Expand,
    Keep,
    Open,
    Pipeline,
    Regions,
    Stage,
    Threshold,
)

USUAL: tuple[Stage, ...] = (
    Crop(),
    Blur(),
    Channel(),
    Blur(),
    Threshold(),
    Open(),
    Close(),
    Regions(),
    Expand(),
    Classify(),
    Keep(),
)


def test_every_stage_has_a_name_and_the_usual_order_is_accepted() -> None:
    assert {type(stage) for stage in USUAL} == set(STAGES.values())
    assert Pipeline(USUAL).stages == USUAL


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ((), "a pipeline of 0 stages"),
        ((Crop(),) * 65, "a pipeline of 65 stages"),
        ((Threshold(),), r"stage 1 \(threshold\) takes a grey picture, and the picture gives a picture"),
        ((Channel(), Open()), r"stage 2 \(open\) takes a mask, and stage 1 \(channel\) gives a grey picture"),
        ((*USUAL, Classify()), r"stage 12 \(classify\) takes boxes, and stage 11 \(keep\) gives answers"),
        ((Channel(), Threshold()), "the pipeline ends with a mask"),
        ((*USUAL[:7], Regions(), Keep()), r"stage 9 \(keep\) takes answers"),
    ],
)
def test_orders_that_make_no_sense_are_refused(stages: tuple[Stage, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Pipeline(stages)


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (Crop(left=-1), "left is -1; it may be from 0 to 1e\\+06"),
        (Crop(left=9, right=9), "nothing is left between 9, 0 and 9, 0"),
        (Blur(radius=51), "radius is 51; it may be from 1 to 50"),
        (Threshold(value=256), "value is 256"),
        (Threshold(window=4), "window is 4; it must be odd"),
        (Open(radius=0), "radius is 0"),
        (Regions(min_area=0), "min_area is 0"),
        (Regions(min_area=9, max_area=8), "max_area 8 is below min_area 9"),
        (Regions(longest=float("nan")), "longest is nan"),
        (Classify(batch=0), "batch is 0"),
        (Keep(score=1.5), "score is 1.5"),
    ],
)
def test_numbers_out_of_range_are_named(stage: Stage, message: str) -> None:
    stages = tuple(stage if type(stage) is type(usual) else usual for usual in USUAL)
    with pytest.raises(InputError, match=f"stage [0-9]+ .*: {message}"):
        Pipeline(stages)
