"""Pipelines in files: what is written is what is read, and everything else is one clear error."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chipwise.codec.pipeline_file import read_pipeline
from chipwise.core.errors import InputError
from chipwise.core.pipeline import STAGES, Channel, Classify, Keep, Pipeline, Regions, Threshold

TEXT = """
[[stages]]
kind = "channel"
channel = "red"

[[stages]]
kind = "threshold"
method = "value"
value = 90

[[stages]]
kind = "regions"
min_area = 20
longest = 3

[[stages]]
kind = "classify"

[[stages]]
kind = "keep"
labels = ["mite"]
score = 0.5
"""
PIPELINE = Pipeline(
    (Channel("red"), Threshold("value", value=90), Regions(20, longest=3.0), Classify(), Keep(("mite",), 0.5))
)


def test_toml_and_json_say_the_same() -> None:
    assert read_pipeline(TEXT.encode(), "mites.toml") == PIPELINE
    stages = [
        {"kind": "channel", "channel": "red"},
        {"kind": "threshold", "method": "value", "value": 90},
        {"kind": "regions", "min_area": 20, "longest": 3},
        {"kind": "classify"},
        {"kind": "keep", "labels": ["mite"], "score": 0.5},
    ]
    assert read_pipeline(json.dumps({"stages": stages}).encode(), "mites.json") == PIPELINE


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[[stages]]", "[[stages]", "cannot be read"),
        ("[[stages]]", "[[steps]]", "holds 'steps', not a list of stages"),
        ('kind = "threshold"', 'kind = "treshold"', "unknown kind of stage 2 'treshold'"),
        ('kind = "threshold"', "", "stage 2 has no kind"),
        ("min_area = 20", "minarea = 20", r"unknown field of stage 3 \(regions\) 'minarea'"),
        ("min_area = 20", "min_area = 2.5", r"stage 3 \(regions\): Expected `int`, got `float`"),
        ("min_area = 20", "min_area = true", r"stage 3 \(regions\): Expected `int`, got `bool`"),
        ("min_area = 20", "min_area = 0", "stage 3 .*: min_area is 0"),
        ('"red"', '"rot"', r"stage 1 \(channel\): Invalid enum value 'rot'"),
        ('labels = ["mite"]', 'labels = "mite"', "stage 5 .*Expected `array`, got `str`"),
        ('kind = "classify"', 'kind = "expand"', r"stage 5 \(keep\) takes answers"),
    ],
)
def test_mistakes_are_named(old: str, new: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_pipeline(TEXT.replace(old, new).encode(), "mites.toml")
    assert caught.value.message.startswith(("mites.toml", "unknown")) or "mites.toml" in caught.value.message


def test_files_that_are_something_else() -> None:
    for data in (b"", b"\xff\xfe", b"stages = 3", b"x" * 1_000_001):
        with pytest.raises(InputError, match=r"mites\.toml"):
            read_pipeline(data, "mites.toml")
    for data in (b"[]", b"3", b'{"stages": {}}', b"[" * 100_000):
        with pytest.raises(InputError, match=r"mites\.json"):
            read_pipeline(data, "mites.json")


VALUES = st.one_of(
    st.integers(-3, 300),
    st.floats(-1, 300),
    st.booleans(),
    st.sampled_from(["otsu", "dark", "grey", "median", ""]),
    st.lists(st.text("ab.µ", max_size=3), max_size=2),
)
FIELDS = sorted({name for kind in STAGES.values() for name in kind.__slots__})
STAGE = st.fixed_dictionaries({"kind": st.sampled_from(sorted(STAGES))}) | st.dictionaries(
    st.sampled_from(["kind", *FIELDS]), VALUES | st.sampled_from(sorted(STAGES)), max_size=4
)


@given(st.lists(STAGE, max_size=6))
def test_any_tables_are_a_pipeline_or_an_input_error(stages: list[dict[str, object]]) -> None:
    try:
        read = read_pipeline(json.dumps({"stages": stages}).encode(), "a.json")
    except InputError:
        return
    assert len(read.stages) == len(stages)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_input_error(data: bytes) -> None:
    for name in ("a.toml", "a.json"):
        with pytest.raises(InputError):
            read_pipeline(data, name)
