"""The file of a tuning: what was kept comes back, whatever was kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chipwise.codec.recipe_file import read_recipe, settings_of, write_recipe
from chipwise.core.errors import InputError
from chipwise.core.tuning import TUNED, Recipe

KEPT = {
    "precision": st.sampled_from(["fp32", "bf16"]),
    "channels_last": st.booleans(),
    "compiled": st.booleans(),
    "optimizer_form": st.sampled_from(["fused", "foreach", "for-loop"]),
    "threads": st.integers(1, 64),
    "batch_size": st.integers(1, 4096),
    "learning_rate": st.floats(1e-6, 1.0),
}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.fixed_dictionaries({}, optional=KEPT))
def test_there_and_back(tmp_path_factory: pytest.TempPathFactory, kept: dict[str, object]) -> None:
    path = tmp_path_factory.mktemp("recipe") / "recipe.json"
    write_recipe(path, Recipe("net", "0" * 64, "digits", "machine", **kept))  # type: ignore[arg-type]
    assert settings_of(read_recipe(path)) == kept
    assert set(kept) <= set(TUNED)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=60))
def test_anything_else_is_one_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("recipe") / "recipe.json"
    path.write_bytes(data)
    with pytest.raises(InputError):
        read_recipe(path)


def test_a_folder_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it is a folder"):
        read_recipe(tmp_path)
