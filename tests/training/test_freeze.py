"""What is frozen, in which order layers come, and that a run that freezes can be killed and continued."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402
from torch import nn  # noqa: E402

from chipwise.core.errors import InputError, NetworkError  # noqa: E402
from chipwise.core.task import Task  # noqa: E402
from chipwise.training import train as trainer  # noqa: E402
from chipwise.training.evaluate import Score  # noqa: E402
from chipwise.training.feed import feed_of  # noqa: E402
from chipwise.training.freeze import frozen_part, head_state, layers_in_order, phase_at  # noqa: E402
from chipwise.training.loop import Lesson, run_epoch  # noqa: E402
from chipwise.training.objective import l1_penalty, loss_of  # noqa: E402
from chipwise.training.optimizer import build_optimizer, set_rate  # noqa: E402
from chipwise.training.settings import Settings, resolve  # noqa: E402

from . import tiny  # noqa: E402

pytestmark = pytest.mark.runtime

FROZEN = dataclasses.replace(tiny.SETTINGS, freeze="backbone", unfreeze_after=2)
BACKBONE = ("layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias")
STATISTICS = ("layers.1.running_mean", "layers.1.running_var")


class Branches(nn.Module):
    """Registered in another order than it runs, with an auxiliary head for training only and a layer used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 2)
        self.auxiliary = nn.Linear(4, 2)
        self.twice = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.first = nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.twice(self.norm(self.twice(self.first(x))))
        return self.last(x) + (self.auxiliary(x) if self.training else 0)


def state(module: nn.Module, names: tuple[str, ...]) -> list[torch.Tensor]:
    return [module.state_dict()[name].clone() for name in names]


def same(before: list[torch.Tensor], after: list[torch.Tensor]) -> list[bool]:
    return [torch.equal(*pair) for pair in zip(before, after, strict=True)]


def test_layers_come_in_the_order_of_the_pass() -> None:
    module = Branches()
    sample = torch.zeros(2, 3)
    layers = layers_in_order(module, sample)
    assert layers == [(module.first,), (module.twice, module.norm), (module.last,)]
    assert all(part.training for part in module.modules())
    assert set(head_state(module, sample)) == {"last.weight", "last.bias"}
    held = frozen_part(module, sample, "backbone")
    assert {id(value) for value in held.weights} == {
        id(value) for part in (module.first, module.twice, module.norm) for value in part.parameters()
    }
    assert held.norms == (module.norm,)
    assert [id(value) for value in frozen_part(module, sample, 1).weights] == [
        id(value) for value in module.first.parameters()
    ]


def test_attention_is_one_layer_with_its_output_projection() -> None:
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    module = nn.Sequential(block, nn.Flatten(), nn.Linear(24, 2))
    layers = layers_in_order(module, torch.zeros(1, 3, 8))
    attention = block.self_attn
    assert layers[0][:2] == (attention, attention.out_proj)
    assert [sum(isinstance(part, nn.Linear) for part in layer) for layer in layers] == [1, 1, 1, 1]


def test_shared_weights_learn_where_one_of_their_layers_does() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3))
    module[2].weight = module[0].weight
    held = frozen_part(module, torch.zeros(1, 3), "backbone")
    assert id(module[2].weight) not in {id(value) for value in held.weights}


@pytest.mark.parametrize("freeze", [3, 9, "backbone"])
def test_nothing_left_to_learn_or_to_freeze_is_refused(freeze: str | int) -> None:
    module = nn.Sequential(nn.Linear(3, 2)) if freeze == "backbone" else Branches()
    with pytest.raises(InputError, match=r"freeze=.* the network has [13] layers"):
        frozen_part(module, torch.zeros(1, 3), freeze)


def test_phases_and_the_default_share() -> None:
    chosen = resolve(Settings(epochs=9, freeze="backbone"), samples=10, pictures=True)
    assert chosen.unfreeze_after == 3
    assert [phase_at(chosen, number).frozen for number in range(1, 10)] == [True] * 3 + [False] * 6
    assert {(phase_at(chosen, number).first, phase_at(chosen, number).epochs) for number in range(1, 10)} == {
        (1, 3),
        (4, 6),
    }
    never = resolve(dataclasses.replace(chosen, unfreeze_after=0), samples=10, pictures=True)
    assert all(phase_at(never, number).frozen for number in range(1, 10))
    assert not phase_at(Settings(epochs=3), 1).frozen
    assert resolve(Settings(epochs=1, freeze=2), samples=10, pictures=True).unfreeze_after == 0
    with pytest.raises(InputError, match="unfreeze_after=9 leaves none of 9 epochs"):
        resolve(dataclasses.replace(chosen, unfreeze_after=9), samples=10, pictures=True)


@pytest.mark.parametrize("changes", [{}, {"optimizer": "sgd", "l1": 1e-4}, {"optimizer": "adam", "precision": "bf16"}])
def test_frozen_epochs_change_the_head_alone_and_no_statistics(changes: dict[str, object], tmp_path: Path) -> None:
    module = tiny.tiny()
    held, head = state(module, BACKBONE + STATISTICS), state(module, ("layers.5.weight",))
    settings = dataclasses.replace(FROZEN, unfreeze_after=0, epochs=2, **changes)
    result = tiny.run(tmp_path, module, settings)
    assert all(same(held, state(module, BACKBONE + STATISTICS)))
    assert not any(same(head, state(module, ("layers.5.weight",))))
    assert [epoch.frozen for epoch in result.history] == [True, True]
    assert all(value.requires_grad for value in module.parameters())
    assert result.parameters == sum(value.numel() for value in module.parameters())


def test_everything_learns_afterwards_and_the_backbone_more_slowly(tmp_path: Path) -> None:
    seen: dict[int, list[torch.Tensor]] = {}
    module = tiny.tiny(lambda step: seen.setdefault(step, state(module, BACKBONE + STATISTICS)))
    result = tiny.run(tmp_path, module, FROZEN)
    steps = 9
    assert [epoch.frozen for epoch in result.history] == [True, True, False, False, False, False]
    assert all(same(seen[1], seen[2 * steps + 1]))
    assert not any(same(seen[2 * steps + 1], seen[3 * steps]))
    rows = [json.loads(line)["frozen"] for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert rows == [epoch.frozen for epoch in result.history]
    rates = [epoch.learning_rate for epoch in result.history]
    assert rates[1] < rates[2] > rates[5], "the schedule runs anew after unfreezing"

    optimizer = build_optimizer(module, FROZEN, [module.layers[0].weight, module.layers[1].weight])
    set_rate(optimizer, 0.5)
    by_value = {id(value): group["lr"] for group in optimizer.param_groups for value in group["params"]}
    assert by_value[id(module.layers[0].weight)] == by_value[id(module.layers[1].weight)] == pytest.approx(0.05)
    assert by_value[id(module.layers[5].weight)] == 0.5


@pytest.mark.parametrize("killed_in", [1, 2, 3, 4])
def test_interrupted_run_continues_exactly(killed_in: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "_CHECKPOINT_SHARE", 1e9)
    whole = tiny.run(tmp_path / "whole", settings=FROZEN)

    def interrupt(step: int) -> None:
        if step == 9 * killed_in + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny.run(tmp_path / "cut", tiny.tiny(interrupt), FROZEN)
    result = tiny.run(tmp_path / "cut", settings=FROZEN)
    assert [dataclasses.replace(row, seconds=0.0, wait_s=None) for row in result.history] == [
        dataclasses.replace(row, seconds=0.0, wait_s=None) for row in whole.history
    ]
    files = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "cut")]
    assert files[0] == files[1]


def test_patience_waits_for_the_whole_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([0.9, 0.5, 0.5, 0.5, 0.5, 0.5])
    monkeypatch.setattr(trainer, "evaluate_fed", lambda *_, **__: Score(0.1, next(values), torch.zeros(0)))
    settings = dataclasses.replace(FROZEN, unfreeze_after=3, patience=2)
    result = tiny.run(tmp_path, settings=settings)
    assert (result.stopped, len(result.history)) == ("no improvement for 2 epochs", 5)


def test_notes_say_what_is_frozen_and_that_the_run_is_short(tmp_path: Path) -> None:
    notes: list[str] = []

    class Told:
        def update(self, stage: str, fraction: float, message: str = "") -> None: ...

        def note(self, message: str) -> None:
            notes.append(message)

    trainer.train(tiny.tiny(), tiny.NETWORK, tiny.pictures(), FROZEN, tmp_path, Told())
    assert notes[0] == "freeze backbone: 72 of 723 parameters stay as they are for 2 of 6 epochs"
    assert notes[1].startswith("only 54 steps in all")
    notes.clear()
    long = dataclasses.replace(tiny.SETTINGS, epochs=23)
    trainer.train(tiny.tiny(), tiny.NETWORK, tiny.pictures(), long, tmp_path / "long", Told())
    assert notes == []


def test_networks_for_other_tasks_are_refused_by_their_kind(tmp_path: Path) -> None:
    network = dataclasses.replace(tiny.NETWORK, task=Task("detection"))
    with pytest.raises(NetworkError, match="tiny is for detection, which cannot be trained here") as caught:
        trainer.train(tiny.tiny(), network, tiny.pictures(), tiny.SETTINGS, tmp_path)
    assert "classification" in caught.value.hint


def test_hinge_is_the_mean_violated_margin() -> None:
    scores = torch.tensor([[2.0, 1.5, -1.0], [0.0, 0.0, 3.0]], requires_grad=True)
    loss = loss_of(scores, torch.tensor([0, 2]), "hinge")
    assert loss.item() == pytest.approx((0.5 / 3 + 0.0) / 2)
    loss.backward()
    torch.testing.assert_close(scores.grad, torch.tensor([[-1 / 6, 1 / 6, 0], [0, 0, 0]]))


def test_l1_counts_matrices_that_learn_and_its_gradient_is_the_sign() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1.0, -2.0], [0.5, 3.0]]))
    module[1].weight.requires_grad_(False)
    penalty = l1_penalty(module, 0.1)
    assert penalty.item() == pytest.approx(0.65)
    penalty.backward()
    torch.testing.assert_close(module[0].weight.grad, torch.tensor([[0.1, -0.1], [0.1, 0.1]]))
    assert module[0].bias.grad is None


def test_l1_makes_weights_smaller_and_hinge_learns(tmp_path: Path) -> None:
    sizes = []
    for weight in (0.0, 0.01):
        settings = dataclasses.replace(tiny.SETTINGS, l1=weight, loss="hinge")
        result = tiny.run(tmp_path / str(weight), settings=settings)
        assert result.history[-1].val_accuracy > 0.8
        assert result.history[-1].val_loss < 0.5
        sizes.append(load_file(tmp_path / str(weight) / "weights.safetensors")["layers.5.weight"].abs().sum())
    assert sizes[1] < 0.8 * sizes[0]


def test_schedule_without_freezing_is_one_cycle_over_all_epochs() -> None:
    feed = feed_of(tiny.pictures().split().train, tiny.NETWORK, what="training")
    settings = resolve(tiny.SETTINGS, samples=len(feed), pictures=True)
    module = tiny.tiny()
    lesson = Lesson(module, build_optimizer(module, settings), feed, settings)
    assert run_epoch(lesson, 6, lambda *_: None).learning_rate < 0.01 * 0.01
