"""The address and the choices say the same."""

from __future__ import annotations

import contextlib
import dataclasses
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chipwise.core.what_if import ChoiceError
from chipwise.ui.choices import AGAINST, LONGEST, Choices, choices_of, query_of

TEXT = st.text(min_size=1, max_size=30)
CHOICES = st.builds(
    Choices,
    network=TEXT, on=TEXT, count=st.none() | st.integers(1, 999), link=st.text(max_size=9), phase=TEXT,
    batch=st.integers(0, 999_999_999), micro_batches=st.integers(0, 99), zero=st.integers(0, 9),
    precision=st.text(max_size=9), pipeline=st.booleans(), compiled=st.booleans(), channels_last=st.booleans(),
    checkpointing=st.booleans(), optimizer=st.text(max_size=9), against=st.sampled_from(AGAINST),
)  # fmt: skip


@given(CHOICES)
def test_there_and_back(choices: Choices) -> None:
    assert choices_of(query_of(choices)) == choices


@given(st.text(max_size=60) | st.lists(st.tuples(st.text(), st.text()), max_size=4).map(urlencode))
def test_any_address_is_read_or_refused(query: str) -> None:
    with contextlib.suppress(ChoiceError):
        choices_of(query)


def test_what_is_not_named_is_as_usual() -> None:
    assert choices_of("") == Choices()
    assert choices_of("batch=8&count=") == dataclasses.replace(Choices(), batch=8)


@pytest.mark.parametrize(
    ("query", "choice"),
    [
        ("batch=-1", "batch"), ("batch=1e3", "batch"), ("batch=", "batch"), ("batch=٣", "batch"),
        ("batch=1&batch=2", "batch"), ("batch=" + "1" * 10, "batch"), ("compiled=yes", "compiled"),
        ("against=time", "against"), ("colour=red", ""), ("network=%ff", ""), ("a=" + "b" * LONGEST, ""),
        ("&".join(f"a{place}=1" for place in range(99)), ""),
    ],
)  # fmt: skip
def test_refusals_name_the_choice(query: str, choice: str) -> None:
    with pytest.raises(ChoiceError) as caught:
        choices_of(query)
    assert caught.value.choice == choice
