"""How training fits: techniques in the order of what they cost, and bytes that follow from arithmetic."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chipwise.advising.expected import obstacle, runs_in
from chipwise.advising.fitting import Fit, Held, cut_fits, fits
from chipwise.advising.hardware import Hardware, copies
from chipwise.advising.training import alone_s, trained
from chipwise.core.advice import Candidate, Goal, Miss
from chipwise.core.device import Device
from chipwise.core.estimate import Interval
from chipwise.devices.known import device

from .samples import LINK, gpu, transformer

BATCH = 16
WEIGHTS = 4 * sum(row.parameters for row in transformer(1))


def held(fit: Fit, count: int = 1) -> float:
    return Held(transformer, gpu(), "amp bf16", count).copies(fit).mid or 0.0


def test_the_plain_way_is_the_only_one_where_it_fits() -> None:
    assert [fit.words for fit in fits(transformer, gpu(), "amp bf16", BATCH, capacity=10**15)] == [()]
    assert [fit.words for fit in fits(transformer, gpu(), "amp bf16", BATCH, capacity=None)] == [()]


def test_every_technique_takes_less_than_what_it_saves_on() -> None:
    plain = held(Fit(BATCH))
    assert held(Fit(BATCH // 4, 4)) < plain
    many = Held(lambda batch: transformer(batch, 512), gpu(), "amp bf16", 1)  # where activations are most of it
    assert (many.copies(Fit(BATCH, checkpointed=True)).mid or 0) < 0.7 * (many.copies(Fit(BATCH)).mid or 0)
    # AdamW keeps two values of each weight, which are the host's then.
    assert plain - held(Fit(BATCH, offloaded=True)) == pytest.approx(2 * WEIGHTS, rel=1e-6)


def test_zero_leaves_each_copy_its_share() -> None:
    plain, one, two, three = (held(Fit(BATCH, stage=stage), 4) for stage in range(4))
    assert plain - one == pytest.approx(0.75 * 2 * WEIGHTS, rel=1e-6)
    assert three < two <= one < plain
    assert two - three == pytest.approx(0.75 * 1.5 * WEIGHTS, rel=1e-6)  # and 2-byte copies beside the weights


def test_what_no_card_holds_alone_is_cut() -> None:
    small = gpu(memory_gb=8.0)
    capacity = small.memory_bytes
    assert not fits(transformer, small, "amp bf16", BATCH, capacity=capacity)
    ways = cut_fits(transformer, small, "amp bf16", BATCH, capacity=capacity, count=8)
    assert {fit.layout for fit in ways} == {"tensor", "pipeline"}
    pipeline = next(fit for fit in ways if fit.layout == "pipeline")
    assert pipeline.parts >= 8  # or stages would stand still


def test_the_quickest_way_that_fits_is_taken() -> None:
    # Room for weights, gradients and state in fp32 with a quarter of the activations.
    room = int(held(Fit(BATCH // 4, 4)) * 1.001)
    found = trained(Hardware("Chip", gpu(memory_gb=room / 2**30)), transformer, Goal("training", BATCH))
    assert isinstance(found, Candidate)
    assert found.techniques == (f"{BATCH // found.each} micro-batches of {found.each}",)
    assert (found.memory_bytes.mid or 0) <= room


def test_zero_and_cuts_are_found_on_several_devices() -> None:
    goal = Goal("training", BATCH)
    one, *_, eight = copies(gpu(memory_gb=14.0), (1, 2, 8))
    assert isinstance(trained(one, transformer, goal), Miss) or "host" in str(trained(one, transformer, goal))
    found = trained(replace(eight, link=LINK), transformer, goal)
    assert isinstance(found, Candidate)
    assert any("ZeRO" in words or "parallel" in words or "pipeline" in words for words in found.techniques)
    assert found.step_s.low is not None
    assert found.step_s.high is not None
    assert found.step_s.low <= (found.step_s.mid or 0) <= found.step_s.high


def test_checkpointing_is_a_third_more_and_the_host_more_still() -> None:
    from chipwise.advising.expected import at_batches

    hardware = Hardware("Chip", gpu())
    made = at_batches(transformer, gpu(), "training", "amp bf16")(BATCH)
    plain, again, host = (
        alone_s(hardware, fit, made, transformer).mid or 0.0
        for fit in (Fit(BATCH), Fit(BATCH, checkpointed=True), Fit(BATCH, offloaded=True))
    )
    assert again / plain == pytest.approx(4 / 3)
    assert host > plain + 2 * WEIGHTS / 31.5e9  # gradients there and weights back over PCIe 4.0


@pytest.mark.parametrize(
    ("name", "phase", "asked", "runs"),
    [
        ("p40", "training", None, "fp32"),  # its fp16 is a 64th of fp32
        ("p40", "training", "fp16", ""),
        ("p100", "training", None, "fp32"),  # no matrix units
        ("p100", "inference", None, "amp fp16"),
        ("rtx2080ti", "training", None, "amp fp16"),
        ("k80", "training", "amp", ""),
        ("mi100", "training", None, "amp fp16"),  # its bf16 is half as fast
        ("edge-tpu", "inference", None, "int8"),
        ("tpu-v4", "inference", None, "bf16"),
        ("tpu-v4", "inference", "fp32", ""),
        ("ryzen95950x", "training", None, "fp32"),
        ("a100", "inference", "int8", "int8"),
    ],
)
def test_formats_that_pay(name: str, phase: str, asked: str | None, runs: str) -> None:
    assert runs_in(device(name).one_chip(), phase, asked) == runs


def test_what_cannot_be_told_of() -> None:
    assert obstacle(device("u50"), "inference")
    assert obstacle(device("myriad-x"), "inference")
    assert "answers" in obstacle(device("tpu-v1"), "training")
    assert "answers" in obstacle(device("edge-tpu"), "training")
    assert "TPU" in obstacle(device("tpu-v3"), "training")
    assert not obstacle(device("tpu-v1"), "inference")
    assert obstacle(Device("x", "gpu", peak_flops={"fp32": 1e12}), "inference")


def test_fewer_items_than_devices_and_no_link_are_out() -> None:
    eight = Hardware("8 x Chip", gpu(), 8, LINK)
    assert isinstance(trained(eight, transformer, Goal("training", 4)), Miss)
    alone = trained(replace(eight, link=None), transformer, Goal("training", BATCH))
    assert isinstance(alone, Miss)
    assert "link" in alone.reason


def test_intervals_hold_together() -> None:
    found = trained(Hardware("Chip", gpu()), transformer, Goal("training", 2, data_size=100, epochs=2))
    assert isinstance(found, Candidate)
    assert found.work_s is not None
    assert found.work_s.mid == pytest.approx(100 * (found.step_s.mid or 0))
    assert found.memory_bytes.covers(found.memory_bytes.mid or 0)
    assert isinstance(found.items_s, Interval)
