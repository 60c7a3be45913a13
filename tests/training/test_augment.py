"""Augmentations that combine: read by name, made in one order, the same in every layout, with the right loss."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from chipwise.core.errors import InputError, UnknownNameError  # noqa: E402
from chipwise.core.network import Network, Source, TensorSpec  # noqa: E402
from chipwise.datasets.dataset import make  # noqa: E402
from chipwise.training.augment import augmented, mixed  # noqa: E402
from chipwise.training.augmentations import KINDS, augmentations, in_order, mixup_alpha  # noqa: E402
from chipwise.training.feed import Feed  # noqa: E402
from chipwise.training.loop import Lesson, run_epoch  # noqa: E402
from chipwise.training.optimizer import build_optimizer  # noqa: E402
from chipwise.training.seeds import seeded  # noqa: E402
from chipwise.training.settings import Settings, resolve  # noqa: E402
from chipwise.training.train import train  # noqa: E402

pytestmark = pytest.mark.runtime

ALL = "affine,shift,crop,flip,cutout,mixup"


def views(pictures: torch.Tensor) -> dict[str, torch.Tensor]:
    return {
        "NCHW": pictures,
        "NHWC": pictures.permute(0, 2, 3, 1).contiguous(),
        "flat": pictures.reshape(len(pictures), -1),
    }


def back(batch: torch.Tensor, layout: str, like: torch.Tensor) -> torch.Tensor:
    return batch.permute(0, 3, 1, 2) if layout == "NHWC" else batch.reshape(like.shape)


def test_lists_are_read_in_one_order_whatever_order_they_are_given_in() -> None:
    assert [each.kind for each in augmentations("mixup, cutout,flip,crop,shift,affine")] == list(KINDS)
    assert in_order("mixup=0.4,flip") == in_order(" flip , mixup=0.40") == "flip,mixup=0.4"
    assert in_order("mixup") == "mixup=0.2"
    assert (augmentations("none"), in_order("none"), mixup_alpha("flip")) == ((), "none", None)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("flip,crap", "did you mean crop"),
        ("flop", "did you mean flip"),
        ("flip,", "known:"),
        ("flip,flip", "names flip twice"),
        ("auto,flip", "auto stands alone"),
        ("none,mixup", "none stands alone"),
        ("flip=2", "flip takes no number"),
        ("cutout=1.5", "above 0 and at most 1"),
        ("mixup=0", "above 0"),
        ("mixup=much", "above 0"),
        ("mixup=nan", "above 0"),
    ],
)
def test_what_cannot_be_is_one_clear_error(text: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        Settings(augment=text)
    assert told in f"{caught.value.message} {caught.value.hint}"
    assert isinstance(caught.value, UnknownNameError) == ("mean" in told or told == "known:")


def test_mixup_refuses_hinge_and_arrays_take_mixup_alone() -> None:
    with pytest.raises(InputError, match="mixes labels"):
        Settings(augment="flip,mixup", loss="hinge")
    assert resolve(Settings(augment="mixup"), samples=10, pictures=False).augment == "mixup=0.2"
    with pytest.raises(InputError, match="needs pictures"):
        resolve(Settings(augment="flip,mixup"), samples=10, pictures=False)


@pytest.mark.parametrize("kinds", ["crop", "flip", "cutout", "crop,flip,cutout", "affine,flip"])
def test_the_same_in_every_layout_and_memory_format(kinds: str) -> None:
    pictures = torch.rand(16, 3, 12, 12)
    changed = {}
    for layout, view in views(pictures).items():
        with seeded(1):
            changed[layout] = augmented(view, kinds, layout, channels=3)
        assert changed[layout].shape == view.shape
        torch.testing.assert_close(back(changed[layout], layout, pictures), changed["NCHW"], rtol=0, atol=0)
    with seeded(1):
        last = augmented(pictures.contiguous(memory_format=torch.channels_last), kinds, "NCHW")
    torch.testing.assert_close(last, changed["NCHW"])
    assert last.is_contiguous(memory_format=torch.channels_last)
    with seeded(2):
        assert not torch.equal(augmented(pictures, kinds, "NCHW"), changed["NCHW"])


def test_flip_swaps_left_and_right_of_about_half() -> None:
    pictures = torch.rand(400, 1, 4, 6)
    with seeded(0):
        changed = augmented(pictures, "flip", "NCHW")
    same = (changed == pictures).flatten(1).all(1)
    turned = (changed == pictures.flip(3)).flatten(1).all(1)
    assert bool((same ^ turned).all())
    assert 150 < int(turned.sum()) < 250


def test_crop_moves_by_at_most_an_eighth_of_the_side() -> None:
    pictures = torch.zeros(2000, 1, 32, 32)
    pictures[:, 0, 16, 16] = 1
    with seeded(0):
        changed = augmented(pictures, "crop", "NCHW")
    assert bool((changed.flatten(1).sum(1) == 1).all())
    places = changed[:, 0].flatten(1).argmax(1)
    rows, columns = places // 32 - 16, places % 32 - 16
    assert {int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())} == {-4, 4}
    assert len(set(zip(rows.tolist(), columns.tolist(), strict=True))) == 81  # each corner is as likely as the middle


def test_cutout_is_a_square_that_may_lie_partly_outside() -> None:
    pictures = torch.ones(500, 2, 20, 20)
    with seeded(0):
        cut = augmented(pictures, "cutout=0.25", "NCHW") == 0
    assert torch.equal(cut[:, 0], cut[:, 1])
    high, wide = cut[:, 0].any(2).sum(1), cut[:, 0].any(1).sum(1)
    assert (int(high.max()), int(wide.max())) == (5, 5)
    assert int(high.min()) == 3  # a middle on the border leaves two rows outside
    assert torch.equal(cut[:, 0].flatten(1).sum(1), high * wide)
    assert 0.5 < float((high * wide == 25).float().mean()) < 0.9


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_mixed_samples_is_that_of_mixed_targets(smoothing: float) -> None:
    inputs, labels = torch.randn(32, 5), torch.arange(32) % 3
    module = torch.nn.Linear(5, 3)
    settings = Settings(
        epochs=1, batch_size=32, augment="mixup=1", label_smoothing=smoothing, schedule="constant", learning_rate=1e-6
    )
    with seeded(settings.seed, "epoch", 1):
        order = torch.randperm(32)
        together, blend = mixed(inputs[order], 1.0)
    one_hot = functional.one_hot(labels[order], 3).float()
    targets = blend.share * one_hot + (1 - blend.share) * one_hot[blend.others]
    wanted = functional.cross_entropy(module(together), targets, label_smoothing=smoothing).item()
    lesson = Lesson(module, build_optimizer(module, settings), Feed(inputs, labels), settings)
    assert run_epoch(lesson, 1, lambda step, loss: None).loss == pytest.approx(wanted, rel=1e-5)
    assert 0.02 < blend.share < 0.98


def test_mixing_is_between_samples_and_seeded() -> None:
    inputs = torch.randn(8, 3, 4, 4)
    with seeded(3):
        together, blend = mixed(inputs, 0.4)
    torch.testing.assert_close(together, blend.share * inputs + (1 - blend.share) * inputs[blend.others])
    assert sorted(blend.others.tolist()) == list(range(8))
    with seeded(3):
        assert torch.equal(mixed(inputs, 0.4)[0], together)
    shares = [mixed(inputs, 1e-3)[1].share for _ in range(50)]
    assert all(0 <= share <= 1 for share in shares)


@pytest.mark.parametrize("kinds", [ALL, "affine", "mixup"])
def test_pictures_of_whole_numbers_stay_whole(kinds: str) -> None:
    feed = Feed(torch.randint(0, 256, (32, 1, 8, 8), dtype=torch.uint8), torch.arange(32) % 2)
    seen = []

    class Seeing(torch.nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return super().forward(x.flatten(1).float() / 255)

    module, settings = Seeing(64, 2), Settings(epochs=1, batch_size=16, augment=kinds)
    run_epoch(Lesson(module, build_optimizer(module, settings), feed, settings), 1, lambda step, loss: None)
    assert [x.dtype for x in seen] == [torch.uint8, torch.uint8]
    assert int(seen[0].max()) > 200


def test_words_are_not_mixed(tmp_path: Path) -> None:
    words = make("words", np.arange(120, dtype=np.float32).reshape(60, 2) % 7, np.arange(60) % 3)
    network = Network("words", (TensorSpec("x", ("batch", 2), "int64"),), source=Source("tests.words:Words"))
    module = torch.nn.Sequential(torch.nn.Embedding(7, 4), torch.nn.Flatten(), torch.nn.Linear(8, 3))
    with pytest.raises(InputError, match="augment=mixup mixes inputs, and words takes int64 arrays"):
        train(module, network, words, Settings(epochs=1, augment="mixup"), tmp_path)
    assert train(module, network, words, Settings(epochs=1, augment="none"), tmp_path).stopped == "epochs done"
