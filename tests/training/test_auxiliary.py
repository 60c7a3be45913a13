"""Networks that answer several times while they are trained: auxiliary heads."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from chipwise.networks.zoo.googlenet import googlenet  # noqa: E402
from chipwise.training.feed import Feed  # noqa: E402
from chipwise.training.loop import Lesson, run_epoch  # noqa: E402
from chipwise.training.settings import Settings  # noqa: E402

pytestmark = pytest.mark.runtime

SETTINGS = Settings(epochs=1, batch_size=8, learning_rate=0.5, schedule="constant", augment="none", label_smoothing=0.0)


class TwoHeads(torch.nn.Module):
    """Its own scores, and in training those of an auxiliary head."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.other = torch.nn.Linear(4, 3), torch.nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        return (self.own(x), self.other(x)) if self.training else self.own(x)


def test_auxiliary_losses_count_for_three_tenths_and_are_not_reported() -> None:
    torch.manual_seed(0)
    module = TwoHeads()
    feed = Feed(torch.randn(8, 4), torch.arange(8) % 3)
    heads = (module.own, module.other)
    losses = [functional.cross_entropy(head(feed.inputs), feed.labels) for head in heads]
    gradients = [torch.autograd.grad(loss, head.weight)[0] for loss, head in zip(losses, heads, strict=True)]
    before = [head.weight.detach().clone() for head in heads]
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    trained = run_epoch(Lesson(module, optimizer, feed, SETTINGS), 1, lambda step, loss: None)
    assert trained.loss == pytest.approx(losses[0].item())
    torch.testing.assert_close(module.own.weight, before[0] - 0.5 * gradients[0])
    torch.testing.assert_close(module.other.weight, before[1] - 0.5 * 0.3 * gradients[1])


def test_googlenet_trains_its_auxiliary_heads() -> None:
    torch.manual_seed(0)
    module = googlenet(num_classes=3, width=0.125, aux=1)
    before = {name: module.get_parameter(f"{name}.fc2.weight").detach().clone() for name in ("aux1", "aux2")}
    feed = Feed(torch.randn(8, 3, 64, 64), torch.arange(8) % 3)
    run_epoch(Lesson(module, torch.optim.SGD(module.parameters(), lr=0.5), feed, SETTINGS), 1, lambda step, loss: None)
    for name, weight in before.items():
        assert not torch.equal(module.get_parameter(f"{name}.fc2.weight"), weight)
    assert module.eval()(feed.inputs).shape == (8, 3)
