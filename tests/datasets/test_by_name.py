"""What a user types for a data set."""

from __future__ import annotations

import importlib

import pytest

from chipwise import datasets
from chipwise.core.errors import DataError, InputError, UnknownNameError
from chipwise.datasets.by_name import SOURCES


@pytest.mark.parametrize(
    ("given", "near"),
    [("digit", "digits"), ("fashion_mnist", "fashion-mnist"), ("MNIST", "mnist"), ("folders:x", "folder"),
     ("npy:x", "npz")],
)  # fmt: skip
def test_unknown_names_suggest_the_nearest(given, near):
    with pytest.raises(UnknownNameError) as caught:
        datasets.load(given)
    assert f"did you mean {near}" in caught.value.hint


@pytest.mark.parametrize(("given", "message"), [("idx", "no place"), ("npz:", "no place"), ("digits:x", "colon")])
def test_arguments_where_they_belong(given, message):
    with pytest.raises(DataError, match=message):
        datasets.load(given)


def test_a_bare_path_is_told_what_to_write(tmp_path):
    with pytest.raises(DataError) as caught:
        datasets.load(str(tmp_path))
    assert f"idx:{tmp_path}" in caught.value.hint
    (tmp_path / "a.npz").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        datasets.load(str(tmp_path / "a.npz"))
    assert caught.value.hint == f"write npz:{tmp_path / 'a.npz'}"


def test_every_source_has_the_one_verb():
    assert all(callable(importlib.import_module(module).load) for module in SOURCES.values())


def test_only_pictures_of_a_folder_can_be_left_out():
    with pytest.raises(InputError, match="'digits' is no folder of pictures"):
        datasets.load("digits", skip_bad=True)
