"""Expectations: power laws that learn, and the contestant that improves most per second."""

from __future__ import annotations

import pytest

from chipwise.searching.kinds import Facts, Kind, kinds_for
from chipwise.searching.laws import PowerLaw, expected_gain
from chipwise.searching.standing import Entry, Forecast, Seen, ladder, rung_of

SHARES = (1 / 16, 1 / 4, 1.0)


def entry(kind: Kind, number: int = 0, epochs: int | None = None) -> Entry:
    return Entry(number, kind, kind.usual_model(), epochs)


def kind(name: str) -> Kind:
    return next(each for each in kinds_for(Facts(54_000, 784, 10, 1)) if each.name == name)


def test_a_law_turns_to_what_is_measured() -> None:
    law = PowerLaw(slope=1.0)
    assert law.at(2.0, share=0.25, wanted=1.0) == pytest.approx(8.0)
    for _ in range(20):
        law.see(0.25, 1.0, 1.0, 16.0)  # squares
    assert law.at(2.0, share=0.25, wanted=1.0) == pytest.approx(32.0, rel=0.1)


def test_gain_is_certain_where_nothing_is_uncertain() -> None:
    assert expected_gain(0.1, 0.04, 1e-9) == pytest.approx(0.06)
    assert expected_gain(0.1, 0.2, 1e-9) == 0.0
    assert 0 < expected_gain(0.1, 0.2, 1.0) < 0.1


def test_rungs_have_fewer_samples_and_fewer_epochs() -> None:
    assert ladder(54_000, 10) == SHARES
    assert ladder(100, 10) == (1.0,)
    assert rung_of(1 / 16, 8).epochs == 2
    assert rung_of(1 / 16, 1).epochs == 1
    assert rung_of(0.25, None).epochs is None


def test_the_cheap_and_good_come_first() -> None:
    forecast = Forecast(SHARES)
    gains = {name: forecast.gain(entry(kind(name)), best=0.1) for name in ("pca-knn", "hist-boosting", "pca-svc")}
    assert max(gains, key=lambda name: gains[name]) == "pca-knn"


def test_seconds_of_the_top_follow_from_smaller_rungs_of_the_kind() -> None:
    forecast, first, second = Forecast(SHARES), entry(kind("forest")), entry(kind("forest"), 1)
    forecast.see(first, Seen(1 / 16, 0.1, 2.0))
    assert forecast.seconds(first, 2) == pytest.approx(2.0 * 16**1.1, rel=0.01)
    forecast.see(first, Seen(1 / 4, 0.06, 4.0))  # it grows by less than was assumed
    forecast.see(first, Seen(1.0, 0.03, 8.0))
    assert forecast.seconds(second, 2) < 20
    error, spread = forecast.error(second)
    assert error == pytest.approx(0.03, rel=0.5)
    assert spread > 0


def test_a_slow_machine_is_slow_for_kinds_that_were_not_seen_yet() -> None:
    forecast, seen = Forecast(SHARES), entry(kind("forest"))
    before = forecast.seconds(entry(kind("pca-svc")), 2)
    forecast.see(seen, Seen(1.0, 0.03, 10 * seen.kind.seconds))
    assert forecast.seconds(entry(kind("pca-svc")), 2) > 3 * before


def test_more_epochs_are_expected_to_be_better_whatever_was_seen() -> None:
    forecast, usual = Forecast(SHARES), kind("convnet")
    short, long = (entry(usual, epochs=epochs) for epochs in (2, 10))
    assert forecast.error(long)[0] < forecast.error(short)[0]
    for number in range(3):
        forecast.see(entry(usual, number, 2), Seen(1.0, 0.01, 8.0))
    assert forecast.error(long)[0] < 0.8 * forecast.error(short)[0]
    forecast.see(entry(usual, 3, 10), Seen(1.0, 0.006, 40.0))
    assert forecast.error(short)[0] == pytest.approx(0.01, rel=0.1)


def test_what_is_dear_improves_most_and_what_is_cheap_most_per_second() -> None:
    forecast, colour = Forecast(SHARES), kinds_for(Facts(18_000, 3072, 10, 3))
    cheap, dear = (entry(next(each for each in colour if each.name == name)) for name in ("convnet", "resnet20"))
    assert forecast.improvement(dear, best=0.45) > forecast.improvement(cheap, best=0.45)
    assert forecast.gain(dear, best=0.45) < forecast.gain(cheap, best=0.45)


def test_the_portfolio_has_long_runs_where_there_are_some() -> None:
    usual, long = kind("convnet").portfolio()
    assert long["epochs"] == 5 * usual["epochs"]  # type: ignore[operator]
    few = next(each for each in kinds_for(Facts(1077, 64, 10, 1)) if each.name == "convnet")
    assert few.portfolio()[1]["epochs"] > long["epochs"]  # type: ignore[operator]
    assert few.portfolio()[1]["epochs"] <= few.knobs["epochs"].high  # type: ignore[union-attr, operator]
    assert len(kind("pca-knn").portfolio()) == 1


def test_photographs_are_expected_to_be_harder() -> None:
    colour = {each.name: each for each in kinds_for(Facts(18_000, 3072, 10, 3))}
    assert colour["resnet20"].error < colour["convnet"].error < colour["knn"].error
    assert kind("knn").error < 0.05


def test_few_samples_are_gone_through_more_often() -> None:
    few = next(each for each in kinds_for(Facts(1077, 64, 10, 1)) if each.name == "convnet")
    many = kind("convnet")
    assert few.usual["epochs"] > 10 * many.usual["epochs"]  # type: ignore[operator]
    assert few.knobs["epochs"].high > many.knobs["epochs"].high  # type: ignore[union-attr]


def test_kinds_suit_the_data() -> None:
    arrays = {each.name for each in kinds_for(Facts(1000, 20, 3, None))}
    assert "convnet" not in arrays
    assert "knn" in arrays
    colour = {each.name for each in kinds_for(Facts(16_000, 3072, 10, 3))}
    assert "resnet20" in colour
    narrow = next(each for each in kinds_for(Facts(1000, 4, 3, None)) if each.name == "pca-knn")
    assert narrow.usual["n_components"] == 4
