"""Ranking, what is out, and the numbers at which the answer would be another one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chipwise.advising import advise, completed
from chipwise.advising.advise import Subject
from chipwise.advising.answering import answered, quick_enough
from chipwise.advising.hardware import Hardware, copies, of_system, owned
from chipwise.advising.rule import guidance, reckoned
from chipwise.core.advice import Advice, Candidate, Goal, Miss
from chipwise.core.device import Device, Price, System
from chipwise.core.errors import InputError, UnknownNameError
from chipwise.core.estimate import Interval
from chipwise.core.layer import Layer
from chipwise.core.units import Money
from chipwise.devices import known

from .samples import LINK, gpu, system, transformer

WORK = Goal("training", 8, data_size=8000, epochs=2)


def asked(goal: Goal, *devices: Device, systems: tuple[System, ...] = (), have: tuple[str, ...] = ()) -> Advice:
    subject = Subject("net", "", 1, 1, lambda batch: transformer(batch, width=1024, blocks=4))
    return advise(subject, goal, devices, systems, have=have)


def priced(name: str, usd_hour: float, speed: float = 1.0) -> Device:
    peaks = {"fp32": 20e12 * speed, "fp16": 80e12 * speed, "bf16": 80e12 * speed}
    prices = (Price("hour", usd_hour, usd_hour, "USD", "2026-11"),)
    return gpu(name, peak_flops=peaks, bandwidth_bytes_s=800e9 * speed, prices=prices)


def test_the_price_at_which_the_runner_up_wins_makes_it_win() -> None:
    found = asked(WORK, priced("A", 1.0), priced("B", 1.5))
    assert [each.name for each in found.candidates] == ["A", "B"]
    assert found.runner_up == 1
    (change,) = [each for each in found.changes if each.kind == "price"]
    assert change.name == "B"
    assert change.hourly
    below, above = (asked(WORK, priced("A", 1.0), priced("B", change.value * share)) for share in (0.99, 1.01))
    assert below.candidates[0].name == "B"
    assert above.candidates[0].name == "A"


def test_so_does_a_price_to_buy() -> None:
    def bought(name: str, usd: float) -> Device:
        return gpu(name, prices=(Price("street", usd, usd, "USD", "2026-11"),))

    goal = replace(WORK, pay="buy", data_size=None, epochs=1)
    found = asked(goal, bought("A", 1000), bought("B", 1500))
    (change,) = [each for each in found.changes if each.kind == "price"]
    assert change.value == pytest.approx(1000, rel=0.01)


def test_the_deadline_decides_how_many() -> None:
    plain = asked(WORK, priced("A", 1.0))
    assert plain.candidates[0].count == 1
    assert plain.candidates[0].work_s is not None
    alone_s = plain.candidates[0].work_s.mid or 0.0
    halved = asked(replace(WORK, deadline_s=0.7 * alone_s), priced("A", 1.0))
    assert halved.candidates[0].count in (2, 4)
    hopeless = asked(replace(WORK, deadline_s=alone_s / 1000), priced("A", 1.0))
    assert not hopeless.candidates
    assert hopeless.nearest[0].goal == "deadline"
    assert hopeless.nearest[0].ratio > 1
    assert not hopeless.changes


def test_the_budget_that_buys_something_quicker_does() -> None:
    def bought(name: str, usd: float, speed: float) -> Device:
        return replace(priced(name, 1.0, speed), prices=(Price("street", usd, usd, "USD", "2026-11"),))

    devices = (bought("A", 500, 1.0), bought("B", 1500, 3.0))
    goal = replace(WORK, budget=Money(1000.0, "USD"), by="time")
    found = asked(goal, *devices)
    assert found.candidates[0].device == "A"
    (change,) = [each for each in found.changes if each.kind == "budget"]
    assert change.value == 1500
    more = asked(replace(goal, budget=Money(change.value, "USD")), *devices)
    assert more.candidates[0].device == "B"
    rate = (more.candidates[0].items_s.mid or 0) / (found.candidates[0].items_s.mid or 1)
    assert change.factor == pytest.approx(rate, rel=1e-6)


def test_an_hourly_budget_bounds_the_rent_of_all() -> None:
    found = asked(replace(WORK, budget=Money(2.0, "USD", True), by="time"), priced("A", 1.0))
    assert [(each.name, each.count) for each in found.candidates] == [("2 x A", 2)]


def test_what_is_there_costs_its_electricity() -> None:
    found = asked(WORK, priced("A", 1.0), have=("A",))
    best = found.candidates[0]
    assert best.offer is not None
    assert best.offer.pay == "own"
    assert best.usd is not None
    assert best.usd.mid == pytest.approx(0.3 * 0.15 / 3600 * (best.step_s.mid or 0) / best.batch)


def test_a_system_with_a_price_is_paid_as_a_whole() -> None:
    box = system(gpu("A", prices=()), 4, power_w=2000.0, prices=(Price("launch", 50000.0, 50000.0, "USD", "2026"),))
    found = asked(replace(WORK, pay="buy"), gpu("A", prices=()), systems=(box,))
    (best,) = found.candidates
    assert best.whole
    assert best.power_w == 2000.0
    assert best.offer is not None
    assert best.offer.usd is not None
    assert best.offer.usd.mid == 50000.0
    assert best.link == "wire"


def test_who_is_out_is_grouped_and_named_once() -> None:
    unpriced = [gpu(name, prices=()) for name in ("A", "B")]
    found = asked(WORK, *unpriced, priced("C", 1.0), Device("D", "fpga"))
    reasons = {each.names: each.reason for each in found.ruled_out}
    assert ("A", "B") in reasons
    assert ("D",) in reasons
    assert not any("C" in names for names in reasons)


def test_power_bounds_and_says_what_more_would_give() -> None:
    devices = (replace(priced("A", 1.0), power_w=10.0), replace(priced("B", 1.0, 3.0), power_w=20.0))
    found = asked(Goal("inference", power_w=15.0, by="time"), *devices)
    assert [each.name for each in found.candidates] == ["A"]
    (change,) = [each for each in found.changes if each.kind == "power"]
    assert (change.name, change.value) == ("B", 20.0)


def test_what_is_there_is_read_by_name_and_number() -> None:
    devices, systems = known.devices(), known.systems()

    def read(text: str, *, training: bool = True) -> Hardware:
        return owned(text, devices, systems, training=training)

    assert (read("rtx3080x2").count, read("rtx3080 x 2").link) == (2, known.link("PCIe 4.0 x16"))
    assert read("v100x8").link == known.link("NVLink 2")
    assert read("dgx-1").count == 8
    assert read("k80").count == 2  # a board of two chips
    assert read("a100-pcie-40gb x4").link == known.link("PCIe 4.0 x16")  # bridges join two
    assert read("gtx1070x2", training=False).count == 2
    with pytest.raises(UnknownNameError, match="unknown device 'rtx3081'") as error:
        read("rtx3081")
    assert "RTX 3080" in error.value.hint
    with pytest.raises(UnknownNameError, match="unknown device 'rtx3081'"):
        read("rtx3081x2")
    with pytest.raises(InputError, match="no link speed"):
        read("gtx1070x2")
    with pytest.raises(InputError, match="several systems"):
        read("dgx-1 x2")
    with pytest.raises(InputError, match="no accelerators"):
        read("jaguar")
    with pytest.raises(InputError, match="0 devices"):
        read("rtx3080x0")


def test_a_system_with_no_link_speed_is_one_clear_line() -> None:
    with pytest.raises(InputError, match="no link speed between the devices of 4 of A is known"):
        of_system(system(gpu("A"), 4, None))
    found = asked(WORK, priced("A", 1.0), systems=(system(gpu("A"), 4, None),))
    assert any("no link speed" in each.reason and each.names == ("4 of A",) for each in found.ruled_out)


@pytest.mark.parametrize(
    ("goal", "says"),
    [
        (Goal("training", latency_s=1.0), "latency is a goal of inference"),
        (Goal("training", rate_s=1.0), "rate is a goal of inference"),
        (Goal("inference", deadline_s=1.0), "goals of training"),
        (Goal("inference", data_size=10), "goals of training"),
        (Goal("training", deadline_s=1.0), "needs the amount of work"),
        (Goal("training", budget=Money(1.0, "USD", True), pay="buy"), "--pay buy is not"),
    ],
)
def test_goals_that_do_not_go_together(goal: Goal, says: str) -> None:
    with pytest.raises(InputError, match=says):
        completed(goal)


def test_a_budget_says_how_it_is_paid() -> None:
    assert completed(Goal("training", budget=Money(5.0, "USD", True))).pay == "rent"
    assert completed(Goal("training", budget=Money(5.0, "USD"))).pay == "buy"
    assert completed(Goal("training", data_size=10)).batch == 10


def test_a_graph_of_one_batch_answers_with_it_and_is_not_trained() -> None:
    subject = Subject("net", "", 1, 1, lambda batch: transformer(batch, 256, 2), fixed=4)
    found = advise(subject, Goal("inference", by="time"), (gpu(),), ())
    assert found.candidates[0].each == 4
    with pytest.raises(InputError, match="fixed batch of 4"):
        advise(subject, Goal("training"), (gpu(),), ())


def test_the_rate_takes_as_many_as_the_lower_bound_says() -> None:
    one = Hardware("A", gpu("A"))
    free = answered(one, transformer, Goal("inference", latency_s=1.0))
    assert isinstance(free, Candidate)
    rate = 3.5 * (free.items_s.low or 0.0)
    found = answered(one, transformer, Goal("inference", latency_s=1.0, rate_s=rate))
    assert isinstance(found, Candidate)
    assert (found.items_s.low or 0) >= rate
    assert found.name == f"{found.count} x A"
    assert quick_enough(found.step_s, Goal(latency_s=1.0, rate_s=rate))
    slow = answered(one, transformer, Goal("inference", latency_s=1e-9))
    assert isinstance(slow, Miss)
    assert slow.goal == "latency"


def test_the_rule_counts_what_it_speaks_of() -> None:
    full = reckoned(transformer(8, 1024, 1), 8)
    assert full.matrix_share == 1.0
    assert full.array_share > 0.9
    own = Layer("x", "MyOp", ((8, 4),), ((8, 4),), known=False)
    assert reckoned([own], 8).unknown_ops == ("MyOp",)
    narrow = Layer("n", "Gemm", ((8, 8),), ((8, 8),), parameters=64, flops=1024, read_bytes=512, write_bytes=256)
    assert reckoned([narrow], 8).array_share < 0.01


def test_weeks_of_large_products_are_for_a_tpu() -> None:
    devices = (gpu("A", host_link="PCIe 4.0 x16"), known.device("tpu-v3"), known.device("ryzen95950x"))
    goal = Goal("training", 256, data_size=10**9, epochs=90)
    found = guidance(lambda batch: transformer(batch, 2048, 2, 128), devices, goal)
    assert found.verdict == "TPU"
    assert guidance(lambda batch: transformer(batch, 2048, 2, 128), devices, replace(goal, epochs=1)).verdict in (
        "TPU",
        "GPU",
    )
    small = guidance(lambda batch: transformer(batch, 2048, 2, 128), devices, replace(goal, batch=8))
    assert small.verdict == "GPU"
    assert any("a batch of 8" in reason for reason in small.reasons)


def test_copies_are_joined_by_their_own_link_where_they_have_one() -> None:
    assert copies(gpu("X", links=("NVLink 3",)), (2,))[0].link == known.link("NVLink 3")
    assert copies(gpu("X", host_link=""), (2,))[0].link is None
    assert Hardware("X", gpu("X"), 2, LINK).power_w == 600.0


def test_floors_are_not_ranked() -> None:
    odd = Device("O", "edge", peak_flops={"fp16": 1e12}, bandwidth_bytes_s=1e11, power_w=5.0)
    found = asked(Goal("inference", by="time"), odd)
    assert not found.candidates
    assert found.guidance.paces == ()
    assert Interval(None, None, None).mid is None
