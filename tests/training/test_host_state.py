"""The optimizer's state in main memory while the network is on a device, and what that saves there.

`cpu` stands for the device: its weights are copied, stepped and sent back like any others.
"""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from chipwise.core.errors import InputError  # noqa: E402
from chipwise.core.layer import Layer  # noqa: E402
from chipwise.core.training_memory import Savings  # noqa: E402
from chipwise.cost.training_memory import Around, Rows, process_memory, step_memory  # noqa: E402
from chipwise.training.checkpoint import optimizer_tensors, restore_optimizer  # noqa: E402
from chipwise.training.loop import Lesson, run_epoch  # noqa: E402
from chipwise.training.memory import Allowed, fit_into, way_of  # noqa: E402
from chipwise.training.optimizer import build_optimizer  # noqa: E402
from chipwise.training.settings import Settings  # noqa: E402
from chipwise.training.watch import watch_of  # noqa: E402

from . import tiny  # noqa: E402
from .test_device import CPU, CUDA, META, lesson_on  # noqa: E402

pytestmark = pytest.mark.runtime

HOST = dataclasses.replace(tiny.SETTINGS, state_on_host=True)


def learned(settings: Settings, epochs: int = 2) -> Lesson:
    lesson = lesson_on(CPU, settings)
    for number in range(1, epochs + 1):
        run_epoch(lesson, number, lambda step, loss: None)
    return lesson


@pytest.mark.parametrize(
    "given", [{}, {"optimizer": "sgd", "clip_norm": 0.5}, {"optimizer_form": "foreach", "micro_batch": 5}]
)
def test_the_same_is_learned_bit_for_bit(given: dict[str, object]) -> None:
    plain, host = (learned(dataclasses.replace(each, **given)) for each in (tiny.SETTINGS, HOST))
    assert all(
        torch.equal(one, two)
        for one, two in zip(plain.module.state_dict().values(), host.module.state_dict().values(), strict=True)
    )
    assert all(value.grad is None for value in host.module.parameters()), "their room is given back"


@pytest.mark.parametrize(("before", "after"), [(tiny.SETTINGS, HOST), (HOST, tiny.SETTINGS)])
def test_a_run_goes_on_with_its_state_elsewhere(before: Settings, after: Settings) -> None:
    whole, begun = learned(tiny.SETTINGS), learned(before, epochs=1)
    other = lesson_on(CPU, after)
    other.module.load_state_dict(begun.module.state_dict())
    restore_optimizer(other.optimizer, optimizer_tensors(begun.optimizer))
    run_epoch(other, 2, lambda step, loss: None)
    for one, two in zip(whole.module.parameters(), other.module.parameters(), strict=True):
        assert torch.equal(one, two)


def test_state_lies_in_main_memory() -> None:
    module = tiny.tiny().to(META)
    optimizer = torch.optim.AdamW(module.parameters())
    assert {value.device for group in optimizer.param_groups for value in group["params"]} == {META}
    built = tiny.tiny()
    held = build_optimizer(built, HOST)
    stepped = {id(value) for group in held.param_groups for value in group["params"]}
    assert stepped.isdisjoint(map(id, built.parameters()))
    assert [group["share"] for group in held.param_groups] == [1.0, 1.0]
    assert watch_of(held, HOST, CUDA) is None


def test_it_is_for_another_device_and_not_for_fp16(tmp_path: object) -> None:
    with pytest.raises(InputError, match="the processor has it in main memory already"):
        tiny.run(tmp_path, settings=HOST)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="does not go with fp16"):
        Settings(state_on_host=True, precision="fp16")


def rows(count: int) -> list[Layer]:
    size = 4 * count * 1000
    names = "abc"
    return [
        Layer(
            name,
            "Gemm",
            ((count, 1000),),
            ((count, 1000),),
            1_000_000,
            flops=2 * count * 1_000_000,
            write_bytes=size,
            saved_bytes=size,
            after=(names[place - 1],) if place else (),
        )
        for place, name in enumerate(names)
    ]


THERE = Around("adamw", process_bytes=100, evaluated=32, batch=32, on_device=True, batches=2)


def test_what_lies_on_a_device_is_counted_without_the_process() -> None:
    found = step_memory(rows, THERE, Savings(32))
    assert (found.process, found.best, found.holes) == (100, 0, 0)
    assert (found.weights, found.optimizer) == (12 * 10**6, 24 * 10**6)
    assert found.data == 2 * 32 * 4000
    assert process_memory(rows, THERE, Savings(32)).moment == found.moment, "nothing is kept or written there"
    host = step_memory(rows, THERE, Savings(32, state_on_host=True))
    assert host.total == found.total - found.optimizer


def test_state_goes_to_main_memory_only_where_it_must() -> None:
    plain = Savings(32)
    whole, host = (way_of(rows, THERE, each) for each in (plain, replace(plain, state_on_host=True)))
    allowed = Allowed(host=True)
    assert fit_into(whole.memory.high, rows, THERE, plain, allowed).chosen == whole
    small: Rows = lambda count: [replace(row, parameters=1000) for row in rows(count)]  # noqa: E731
    found = fit_into(way_of(small, THERE, plain).memory.high - 1, small, THERE, plain, allowed).chosen
    assert found is not None
    assert not found.savings.state_on_host, "a smaller batch at a time costs less"
    assert found.savings.micro_batch == 16
    found = fit_into(host.memory.high, rows, THERE, plain, allowed).chosen
    assert found is not None
    assert found.savings.state_on_host
    assert "optimizer's state in main memory" in found.words(32)
    assert fit_into(host.memory.high, rows, THERE, plain, Allowed()).chosen is None
