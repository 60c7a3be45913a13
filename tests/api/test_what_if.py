"""What several devices do is what one does, added up; every refusal names the choice that it is about."""

from __future__ import annotations

from typing import Any

import pytest

import chipwise
from chipwise.core.what_if import ChoiceError


@pytest.mark.parametrize("phase", ["training", "inference"])
def test_one_device_is_what_estimate_says(phase: str) -> None:
    answer = chipwise.what_if("lenet5", on="rtx3090", phase=phase, batch=64, compiled=True)
    (forecast,) = chipwise.estimate("lenet5", on="rtx3090", phase=phase, batch=64, compiled=True).forecasts
    assert answer.estimation.forecasts == (forecast,)
    assert (answer.step_s, answer.memory, answer.energy_j) == (
        forecast.estimate.time_s, forecast.estimate.memory, forecast.estimate.energy_j,
    )  # fmt: skip
    assert (answer.fits, answer.items_s) == (forecast.estimate.fits, forecast.estimate.items_s)
    assert answer.item == "image"


@pytest.mark.parametrize("phase", ["training", "inference"])
def test_a_system_is_what_estimate_says(phase: str) -> None:
    answer = chipwise.what_if("resnet18", on="dgx-a100", phase=phase, batch=16)
    together = chipwise.estimate("resnet18", on="dgx-a100", phase=phase, batch=16).forecasts[0].together
    assert together is not None
    assert (answer.count, answer.link, answer.batch) == (8, together.link, 128)
    assert (answer.step_s, answer.items_s) == (together.step_s, together.items_s)
    assert [each.count for each in answer.scaling] == [1, 2, 4, 8, 16]
    here = next(each for each in answer.scaling if each.count == 8)
    assert (here.items_s, here.efficiency) == (together.items_s, together.efficiency)


def test_the_system_has_its_own_price() -> None:
    alone, whole = (chipwise.what_if("lenet5", on="dgx-a100", count=count) for count in (1, None))
    assert [each.way for each in alone.money] == ["rent"], "nobody is known to sell one of its devices"
    assert "199,000 USD" in {each.way: each.basis for each in whole.money}["buy"]


def test_rent_and_purchase_are_apart() -> None:
    answer = chipwise.what_if("lenet5", on="rtx4090", batch=64)
    ways = {each.way: each for each in answer.money}
    assert "an hour" in ways["rent"].basis
    assert "to buy it" in ways["buy"].basis
    for each in ways.values():
        assert each.items_usd.mid == pytest.approx(64 / each.step_usd.mid)


def test_micro_batches_trade_time_for_memory() -> None:
    whole = chipwise.what_if("resnet18", on="rtx3090", batch=64)
    cut = chipwise.what_if("resnet18", on="rtx3090", batch=64, micro_batches=4)
    assert cut.batch == whole.batch == 64
    assert cut.memory.saved < whole.memory.saved / 3
    assert cut.step_s.mid > whole.step_s.mid
    micro = chipwise.what_if("resnet18", on="rtx3090", batch=16)
    assert cut.step_s.mid == pytest.approx(4 * micro.step_s.mid)
    assert cut.energy_j.mid == pytest.approx(4 * micro.energy_j.mid)


def test_zero_shares_out_and_may_make_it_fit() -> None:
    plain = chipwise.what_if("vgg16", on="rtx3070", count=8, link="PCIe 4.0 x16", batch=32)
    shared = chipwise.what_if("vgg16", on="rtx3070", count=8, link="PCIe 4.0 x16", batch=32, zero=3)
    assert shared.memory.optimizer == pytest.approx(plain.memory.optimizer / 8, abs=1)
    assert shared.memory_bytes.mid < plain.memory_bytes.mid
    assert shared.step_s.mid > plain.step_s.mid


def test_devices_of_ones_own_number_and_link() -> None:
    quick, slow = (chipwise.what_if("vgg16", on="rtx3090", count=4, link=link) for link in ("NVLink 3", "Ethernet 10G"))
    assert (quick.link, slow.link) == ("NVLink 3", "Ethernet 10G")
    assert slow.items_s.mid < quick.items_s.mid < 4 * chipwise.what_if("vgg16", on="rtx3090").items_s.mid
    assert slow.scaling[-1].communication.mid > quick.scaling[-1].communication.mid


def test_stages_of_a_pipeline() -> None:
    copies = chipwise.what_if("vgg16", on="dgx-a100", batch=16, micro_batches=2, precision="amp")
    stages = chipwise.what_if("vgg16", on="dgx-a100", batch=16, micro_batches=2, precision="amp", pipeline=True)
    assert stages.batch == copies.batch
    assert stages.memory.weights < copies.memory.weights
    assert stages.items_s.mid < copies.items_s.mid, "16 micro-batches through 8 stages wait"
    assert [each.count for each in stages.scaling] == [1, 2, 4, 8, 16]
    short = chipwise.what_if("lenet5", on="dgx-a100", count=4, batch=16, pipeline=True)
    assert [each.count for each in short.scaling] == [1, 2, 4], "there are no 8 layers"


def test_gradients_stay_between_micro_batches() -> None:
    """With one micro-batch gradients come as saved tensors go; with more they are there already."""
    once, twice = (chipwise.what_if("vgg16", on="rtx3090", batch=2 * times, micro_batches=times) for times in (1, 2))
    assert twice.memory == once.memory
    assert twice.memory_bytes.mid > once.memory_bytes.mid


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("network", {"network": "lenet6"}),
    ("on", {"on": "rtx9999"}),
    ("on", {"on": "tpu-v3"}),
    ("count", {"count": 0}),
    ("count", {"count": 10**6}),
    ("link", {"count": 2, "link": "string"}),
    ("link", {"count": 2, "on": "Apple M1"}),
    ("batch", {"batch": 0}),
    ("micro_batches", {"batch": 10, "micro_batches": 3}),
    ("micro_batches", {"phase": "inference", "micro_batches": 2}),
    ("zero", {"zero": 4, "count": 2}),
    ("zero", {"zero": 1}),
    ("zero", {"zero": 1, "count": 2, "phase": "inference"}),
    ("zero", {"zero": 1, "count": 2, "pipeline": True}),
    ("pipeline", {"pipeline": True}),
    ("pipeline", {"pipeline": True, "count": 2, "phase": "inference"}),
    ("count", {"pipeline": True, "count": 64}),
    ("phase", {"phase": "dreaming"}),
    ("precision", {"precision": "fp9"}),
    ("precision", {"precision": "amp", "on": "tesla k40"}),
    ("techniques", {"techniques": ("adam", "sgd")}),
    ("techniques", {"phase": "inference", "techniques": ("checkpointing",)}),
]


@pytest.mark.parametrize(("choice", "chosen"), WRONG, ids=[f"{name}-{place}" for place, (name, _) in enumerate(WRONG)])
def test_every_refusal_names_its_choice(choice: str, chosen: dict[str, Any]) -> None:
    with pytest.raises(ChoiceError) as caught:
        chipwise.what_if(**{"network": "lenet5", "on": "rtx3090"} | chosen)
    assert caught.value.choice == choice
    assert caught.value.message


def test_every_device_is_offered_or_left_out() -> None:
    from chipwise.devices import known

    found = chipwise.offers("resnet18", phase="inference", batch=8)
    assert {each.device for each in found.left_out}.isdisjoint(each.device for each in found.offers)
    assert len(found.offers) + len(found.left_out) == len(known.devices())
    times = [each.item_s.mid for each in found.offers]
    assert times == sorted(times)
    for against, field in (("energy", "thousand_j"), ("rent", "rent_usd"), ("buy", "buy_usd")):
        known_costs = [each for each in found.offers if getattr(each, field)]
        assert against in known_costs[0].best, "nothing is quicker than the first"
        assert against in min(known_costs, key=lambda each: getattr(each, field).mid).best, "nor cheaper than the last"
    own = next(each for each in found.offers if each.device == "GeForce RTX 4090")
    (forecast,) = chipwise.estimate("resnet18", on="rtx4090", batch=8).forecasts
    assert own.item_s.mid == pytest.approx(forecast.estimate.time_s.mid / 8)
    assert own.thousand_j == forecast.thousand.energy_j


def test_what_does_not_fit_is_left_out() -> None:
    found = chipwise.offers("vgg16", batch=512)
    reasons = {each.device: each.reason for each in found.left_out}
    assert "does not fit" in reasons["GeForce RTX 3070"]
    assert "training" in reasons["TPU v3"]


@pytest.mark.parametrize(
    "chosen",
    [{"phase": "dreaming"}, {"precision": "fp9"}, {"batch": 0}, {"phase": "inference", "techniques": ("adam",)}],
)
def test_what_no_device_can_run_is_refused(chosen: dict[str, Any]) -> None:
    with pytest.raises(ChoiceError):
        chipwise.offers("lenet5", **chosen)
