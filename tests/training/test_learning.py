"""What a run may be told besides: averages, momentum, dropout, clipping, a teacher. Resumed runs stay bit-identical."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402
from torch import nn  # noqa: E402

from chipwise.core.errors import InputError, NetworkError  # noqa: E402
from chipwise.training import train as trainer  # noqa: E402
from chipwise.training.average import average_of  # noqa: E402
from chipwise.training.dropout import set_dropout  # noqa: E402
from chipwise.training.evaluate import evaluate  # noqa: E402
from chipwise.training.feed import Feed, feed_of  # noqa: E402
from chipwise.training.loop import Lesson, run_epoch  # noqa: E402
from chipwise.training.optimizer import build_optimizer  # noqa: E402
from chipwise.training.settings import Settings, as_json  # noqa: E402
from chipwise.training.teacher import Teacher  # noqa: E402

from . import tiny  # noqa: E402
from .test_resume import STEPS, timeless  # noqa: E402

pytestmark = pytest.mark.runtime


def settings(**given: object) -> Settings:
    return dataclasses.replace(tiny.SETTINGS, **given)


def teacher(seed: int = 0, digest: str = "t" * 64, classes: int = 3) -> Teacher:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
    return Teacher(module.eval(), share=0.5, temperature=2.0, digest=digest)


def taught(folder: Path, master: Teacher | None, module: nn.Module | None = None, **given: object) -> trainer.Training:
    chosen = settings(epochs=3, **given)
    return trainer.train(module or tiny.tiny(), tiny.NETWORK, tiny.pictures(), chosen, folder, teacher=master)


@pytest.mark.parametrize(
    "given",
    [
        {"augment": "affine,shift,crop,flip,cutout,mixup"},
        {"ema": 0.9, "augment": "flip,mixup=1"},
        {"optimizer": "sgd", "momentum": 0.8, "nesterov": False, "clip_norm": 0.5},
        {"optimizer": "sgd", "momentum": 0.0, "dropout": 0.4, "ema": 0.99},
    ],
    ids=["augment", "ema", "clipped", "dropout"],
)
def test_an_interrupted_run_ends_like_one_that_was_not(given: dict[str, object], tmp_path: Path) -> None:
    def interrupt(step: int) -> None:
        if step == 3 * STEPS + 4:
            raise KeyboardInterrupt

    chosen = settings(epochs=4, **given)
    whole = tiny.run(tmp_path / "whole", settings=chosen)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "_CHECKPOINT_SHARE", 1e9)
        with pytest.raises(KeyboardInterrupt):
            tiny.run(tmp_path / "cut", tiny.tiny(interrupt), chosen)
    module = tiny.tiny()
    resumed = tiny.run(tmp_path / "cut", module, chosen)
    assert module.steps == STEPS
    assert timeless(resumed.history) == timeless(whole.history)
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "cut")]
    assert weights[0] == weights[1]
    assert resumed.settings.items() >= as_json(dataclasses.replace(chosen, augment=resumed.settings["augment"])).items()


def test_defaults_are_what_they_were(tmp_path: Path) -> None:
    """Runs from before these settings can be continued: the identity of a default run has none of them."""
    tiny.run(tmp_path, settings=settings(epochs=1))
    state = trainer.checkpoints.load(tmp_path / "checkpoint" / "last.safetensors").state
    new = {"momentum", "nesterov", "clip_norm", "ema", "dropout", "teacher", "teacher_share", "teacher_temperature"}
    assert not new & state.identity.keys()
    assert state.identity["augment"] == "affine"


def test_the_average_follows_its_recurrence_with_a_warm_up_and_counters_are_copied() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = average_of(module, decay=0.3)
    expected: dict[str, torch.Tensor] = {}
    for step in range(8):
        with torch.no_grad():
            module[0].weight.copy_(torch.full((2, 2), float(step)))
            module(torch.randn(16, 2))
        average.update_parameters(module)
        decay = min(0.3, (1 + step) / (10 + step))
        for name, value in module.state_dict().items():
            if name not in expected or not value.is_floating_point():
                expected[name] = value.clone()
            else:
                expected[name] = decay * expected[name] + (1 - decay) * value
    for name, value in average.module.state_dict().items():
        torch.testing.assert_close(value, expected[name])
    assert int(average.module[1].num_batches_tracked) == 8


def test_what_is_validated_and_kept_is_the_average(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "_CHECKPOINT_SHARE", 1e9)
    chosen, module = settings(epochs=3, ema=0.95), tiny.tiny()
    saved = []
    monkeypatch.setattr(
        trainer.checkpoints,
        "save",
        lambda path, checkpoint: saved.append(checkpoint) or (path.parent.mkdir(exist_ok=True)),
    )
    result = tiny.run(tmp_path, module, chosen)
    after_two = saved[2]  # the first is of the beginning
    raw, mean, best = (after_two.part(prefix) for prefix in ("model.", "average.module.", "best."))
    assert not torch.equal(raw["layers.0.weight"], mean["layers.0.weight"])
    assert not torch.equal(raw["layers.1.running_var"], mean["layers.1.running_var"])
    epoch = after_two.state.history[-1]
    assert after_two.state.best_epoch == epoch.number
    assert all(torch.equal(value, best[name]) for name, value in mean.items())
    kept = load_file(tmp_path / "weights.safetensors")
    assert all(torch.equal(value, kept[name]) for name, value in module.state_dict().items())
    other = tiny.tiny()
    other.load_state_dict(mean)
    feed = feed_of(tiny.pictures().split().validation, tiny.NETWORK, what="validation")
    assert evaluate(other, feed.inputs, feed.labels).loss == pytest.approx(epoch.val_loss)
    assert result.settings["ema"] == 0.95


def test_momentum_and_its_kind_are_those_of_the_optimizer() -> None:
    module = nn.Linear(2, 2)

    def built(**given: object) -> tuple[float, bool]:
        group = build_optimizer(module, Settings(optimizer="sgd", **given)).param_groups[0]
        return group["momentum"], group["nesterov"]

    assert built() == (0.9, True)
    assert built(momentum=0.5) == (0.5, True)
    assert built(momentum=0.5, nesterov=False) == (0.5, False)
    assert built(momentum=0.0) == (0.0, False)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"momentum": 0.9}, "momentum=0.9, but adamw has none"),
        ({"nesterov": False, "optimizer": "adam"}, "nesterov=False, but adam has none"),
        ({"optimizer": "sgd", "momentum": 0, "nesterov": True}, "nesterov=True needs momentum, and it is 0"),
        ({"optimizer": "sgd", "momentum": 1.0}, "momentum must be from 0 to 0.9999, not 1.0"),
        ({"clip_norm": 0.0}, "clip_norm must be above 0 and at most 1e9, not 0.0"),
        ({"ema": 1.0}, "ema must be above 0 and at most 0.999999, not 1.0"),
        ({"dropout": 1.0}, "dropout must be from 0 to 0.99, not 1.0"),
        ({"teacher_share": 1.5}, "teacher_share must be above 0 and at most 1, not 1.5"),
        ({"teacher_temperature": 0}, "teacher_temperature must be above 0 and at most 1000, not 0"),
        ({"ema": "yes"}, "ema must be a number or left out, not 'yes'"),
    ],
)
def test_bad_settings_are_named(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Settings(**given)
    assert caught.value.message == message


def test_dropout_sets_every_layer_and_refuses_a_network_without(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Dropout2d(0.1), nn.AlphaDropout(0.2)))
    assert set_dropout(module, 0.25) == 3
    assert {part.p for part in module.modules() if hasattr(part, "p")} == {0.25}
    with pytest.raises(InputError, match=r"dropout=0.25, but the network has no dropout layer"):
        set_dropout(nn.Linear(2, 2), 0.25)
    first, second = (tiny.run(tmp_path / str(rate), settings=settings(epochs=1, dropout=rate)) for rate in (0.0, 0.5))
    assert first.history[0].train_loss != second.history[0].train_loss


def test_a_long_gradient_is_made_as_long_as_was_said() -> None:
    module = nn.Linear(4, 2)
    before = [value.detach().clone() for value in module.parameters()]
    chosen = Settings(
        epochs=1, batch_size=8, augment="none", optimizer="sgd", momentum=0.0, schedule="constant", learning_rate=1.0,
        weight_decay=0.0, clip_norm=0.01,
    )  # fmt: skip
    feed = Feed(100 * torch.randn(8, 4), torch.arange(8) % 2)
    run_epoch(Lesson(module, build_optimizer(module, chosen), feed, chosen), 1, lambda step, loss: None)
    moved = torch.cat([(now - was).flatten() for now, was in zip(module.parameters(), before, strict=True)])
    assert moved.detach().norm().item() == pytest.approx(0.01, rel=1e-3)


def test_a_teacher_is_learned_from_and_part_of_the_run(tmp_path: Path) -> None:
    alone = taught(tmp_path / "alone", None)
    first = taught(tmp_path / "a", teacher())
    assert timeless(first.history) != timeless(alone.history)
    assert taught(tmp_path / "a", teacher()) == first
    with pytest.raises(InputError, match="holds another training run: teacher tttttttttttt there, uuuuuuuuuuuu now"):
        taught(tmp_path / "a", teacher(digest="u" * 64))
    with pytest.raises(InputError, match="teacher tttttttttttt there, not set now"):
        taught(tmp_path / "a", None)
    with pytest.raises(InputError, match=r"teacher_share 0.5 there, 0.25 now"):
        taught(tmp_path / "a", dataclasses.replace(teacher(), share=0.25))


def test_a_teacher_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"the teacher gives \[2, 5\], the network \[2, 3\]"):
        taught(tmp_path, teacher(classes=5))
    flat = Teacher(nn.Linear(7, 3).eval())
    with pytest.raises(NetworkError, match=r"the teacher does not take inputs of shape \[2, 1, 8, 8\]"):
        taught(tmp_path, flat)
    with pytest.raises(InputError, match=r"teacher_share=0.5, but there is no teacher"):
        taught(tmp_path, None, teacher_share=0.5)


def test_a_teacher_stays_as_it_is(tmp_path: Path) -> None:
    master = teacher()

    def digest() -> str:
        state = master.module.state_dict().values()
        return hashlib.sha256(b"".join(value.numpy().tobytes() for value in state)).hexdigest()

    before = digest()
    taught(tmp_path, master, ema=0.9, augment="flip,mixup")
    assert digest() == before
    assert not master.module.training
