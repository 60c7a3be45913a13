"""Ten worked questions, as they are answered at a width of 100. CHIPWISE_UPDATE_GOLDEN=1 rewrites the files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.views.test_tables import text_of

import chipwise
from chipwise.core.advice import Advice
from chipwise.views import tables

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
IMAGENET = {"data_size": 1_281_167}
# Name of the file: the network, and what is asked.
QUESTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "student": ("resnet50", {"phase": "training", "batch": 64, "data_size": 50_000, "epochs": 90, "budget": "1500eur"}),
    "too_large": ("resnet152", {"phase": "training", "batch": 128, "precision": "fp32", "have": "rtx3080"}),
    "rate": ("resnet50", {"phase": "inference", "latency_s": 7e-3, "rate_s": 1000.0}),
    "edge": ("mobilenet-v2", {"phase": "inference", "power_w": 15.0}),
    "month_to_day": (
        "resnet152",
        {"phase": "training", "batch": 1024, "epochs": 200, "deadline_s": 86400.0, "have": "t4", **IMAGENET},
    ),
    "small_mlp": ("lenet-300-100", {"phase": "training", "batch": 32, "data_size": 60_000, "epochs": 20}),
    "eight_gb": ("resnet50", {"phase": "training", "batch": 256, "memory_bytes": 8 * 10**9, "have": "rtx3070"}),
    "rent": ("resnet50", {"phase": "training", "epochs": 90, "pay": "rent", **IMAGENET}),
    "eight_v100": ("resnet50", {"phase": "training", "epochs": 90, "have": "v100x8", **IMAGENET}),
    "joules": ("mobilenet-v2", {"phase": "inference", "by": "energy"}),
}


@pytest.fixture(scope="module")
def answers() -> dict[str, Advice]:
    return {}


def asked(name: str, answers: dict[str, Advice]) -> Advice:
    """Each question is reckoned once."""
    network, question = QUESTIONS[name]
    return answers.setdefault(name, chipwise.advise(network, **question)) if name not in answers else answers[name]


@pytest.mark.parametrize("name", QUESTIONS)
def test_golden(name: str, answers: dict[str, Advice]) -> None:
    made = text_of(tables.table(asked(name, answers)), 100)
    assert max(map(len, made.splitlines())) <= 100
    path = GOLDEN / f"advise_{name}_100.txt"
    if os.environ.get("CHIPWISE_UPDATE_GOLDEN"):
        path.write_text(made, encoding="utf-8")
    assert made == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [40, 60, 80, 160])
def test_no_line_is_wider_than_the_terminal(width: int, answers: dict[str, Advice]) -> None:
    made = text_of(tables.table(asked("student", answers)), width)
    assert max(map(len, made.splitlines())) <= width
    assert "take" in made


def test_a_student_is_told_of_no_card_for_servers(answers: dict[str, Advice]) -> None:
    found = asked("student", answers)
    assert found.candidates[0].device == "GeForce RTX 3080 10GB"
    assert not any(word in each.name for each in found.candidates for word in ("Tesla", "A100", "H100", "Titan"))
    assert found.rate is not None
    assert all(each.offer is not None and each.offer.pay == "buy" for each in found.candidates)
    (more,) = [each for each in found.changes if each.kind == "budget"]
    assert found.rate.eur(more.value) > 1500
    assert more.factor is not None
    assert more.factor > 1


def test_what_needs_22_gib_trains_in_ten(answers: dict[str, Advice]) -> None:
    found = asked("too_large", answers)
    best, plain = found.candidates[0], next(each for each in found.ladder if not each.techniques)
    assert best.offer is not None
    assert best.offer.pay == "own"
    assert not plain.fits
    assert (plain.memory_bytes.mid or 0) > 20 * 2**30
    assert (best.memory_bytes.mid or 0) <= 10 * 2**30
    rates = [each.items_s.mid or 0 for each in found.ladder]
    assert rates == sorted(rates, reverse=True)


def test_the_rate_is_kept_behind_the_batch_before_it(answers: dict[str, Advice]) -> None:
    for each in asked("rate", answers).candidates:
        assert (each.step_s.mid or 1) + (each.step_s.high or 1) <= 7e-3
        assert (each.items_s.low or 0) >= 1000


def test_fifteen_watts_are_not_passed(answers: dict[str, Advice]) -> None:
    found = asked("edge", answers)
    assert all(each.power_w is not None and each.power_w <= 15 for each in found.candidates)
    assert next(each.name for each in found.changes if each.kind == "energy") == "Coral Edge TPU"


def test_a_month_becomes_a_day(answers: dict[str, Advice]) -> None:
    found = asked("month_to_day", answers)
    (own,) = found.own
    assert own.value is not None
    assert 20 * 86400 < own.value < 40 * 86400
    assert all((each.work_s.mid or 1e9) <= 86400 for each in found.candidates if each.work_s is not None)
    assert any(each.count > 1 for each in found.candidates)


def test_a_small_mlp_belongs_on_a_cpu(answers: dict[str, Advice]) -> None:
    found = asked("small_mlp", answers)
    assert found.guidance.verdict == "CPU"
    assert found.candidates[0].kind == "cpu"


def test_nothing_is_trained_on_what_only_answers(answers: dict[str, Advice]) -> None:
    for name in ("rent", "eight_gb", "eight_v100"):
        found = asked(name, answers)
        assert all(each.kind in ("cpu", "gpu") for each in found.candidates)
        assert all(each.precision == "fp32" for each in found.candidates if each.device in ("Tesla P40", "Tesla P4"))


def test_rents_are_of_the_last_years(answers: dict[str, Advice]) -> None:
    for each in asked("rent", answers).candidates:
        assert each.offer is not None
        assert each.offer.price is not None
        assert each.offer.price.date >= "2024"
