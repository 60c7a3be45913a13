"""Settings are checked before any work starts."""

from __future__ import annotations

import json

import pytest

from chipwise.core.errors import InputError, UnknownNameError
from chipwise.networks.zoo import ZOO
from chipwise.training.recipes import RECIPES, recipe
from chipwise.training.settings import Settings, as_json, resolve


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 0),
        ("learning_rate", float("nan")),
        ("learning_rate", "fast"),
        ("batch_size", 0),
        ("batch_size", 2.5),
        ("batch_size", True),
        ("epochs", 0),
        ("target_accuracy", 99),
        ("patience", 0),
        ("weight_decay", -1),
        ("label_smoothing", 1),
        ("seed", -1),
        ("threads", 0),
        ("channels_last", "yes"),
        ("augment", 3),
    ],
)
def test_bad_values_are_named(name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"{name} must be .*not {value!r}"):
        Settings(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "near"),
    [
        ("optimizer", "adamW", "adamw"),
        ("schedule", "onecycle", "one-cycle"),
        ("precision", "tf23", "tf32"),
        ("augment", "afine", "affine"),
    ],
)
def test_unknown_words_suggest_the_nearest(name: str, value: str, near: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        Settings(**{name: value})
    assert near in caught.value.hint


def test_epochs_follow_the_number_of_samples() -> None:
    assert [resolve(Settings(), samples=count, pictures=True).epochs for count in (10, 1200, 60_000)] == [200, 100, 8]
    assert resolve(Settings(epochs=3), samples=10, pictures=True).epochs == 3


def test_augmentation_follows_the_data() -> None:
    def kind(augment: bool | str, samples: int, pictures: bool) -> object:
        return resolve(Settings(augment=augment), samples=samples, pictures=pictures).augment

    assert kind("auto", 100, True) == "affine"
    assert kind("auto", 50_000, True) == "none"
    assert kind("auto", 100, False) == "none"
    assert (kind(True, 50_000, True), kind(False, 100, True)) == ("affine", "none")


def test_settings_are_json() -> None:
    assert Settings(**json.loads(json.dumps(as_json(Settings(seed=3))))) == Settings(seed=3)


def test_recipes_are_of_zoo_networks_and_leave_seed_and_threads_alone() -> None:
    assert set(RECIPES) <= set(ZOO)
    assert all((settings.seed, settings.split_seed, settings.threads) == (0, 0, None) for settings in RECIPES.values())
    assert recipe("something else") == Settings()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"freeze": 0}, "freeze must be at least 1, not 0"),
        ({"freeze": True}, "freeze must be a word or a whole number or left out, not True"),
        ({"freeze": "head"}, "unknown freeze 'head'"),
        ({"freeze": "a number of layers"}, "unknown freeze 'a number of layers'"),
        ({"freeze": 1, "unfreeze_after": -1}, "unfreeze_after must be at least 0, not -1"),
        ({"unfreeze_after": 3}, "unfreeze_after=3, but nothing is frozen"),
        ({"backbone_rate": 0.0}, "backbone_rate must be above 0 and at most 1, not 0.0"),
        ({"l1": -0.1}, "l1 must be from 0 to 10, not -0.1"),
        ({"loss": "mse"}, "unknown loss 'mse'"),
    ],
)
def test_settings_of_transfer_learning_and_loss(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Settings(**given)
    assert caught.value.message == message
