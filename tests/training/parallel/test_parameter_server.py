"""A parameter server on Ray learns what one process learns, counts how old weights were, and says who died."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from unittest.mock import patch

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("ray")

from torch import nn, optim  # noqa: E402
from torch.nn import functional  # noqa: E402

from chipwise.core.errors import GoalMissedError, InputError, MachineError, NetworkError  # noqa: E402
from chipwise.core.parameter_servers import ServedTraining, Staleness  # noqa: E402
from chipwise.training.parallel.parameter_server import Server, parts_of  # noqa: E402
from chipwise.training.parallel.served import Serving, train_served  # noqa: E402
from training.parallel import nets  # noqa: E402

pytestmark = pytest.mark.runtime

STEPS, BATCH = 6, 8


@pytest.fixture(autouse=True)
def _no_other_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def problem(net: str = "mlp") -> tuple[nn.Module, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A network in float64, samples, and which of them each step learns."""
    torch.manual_seed(3)
    module = getattr(nets, net)().double()
    inputs = torch.randn(40, *nets.SHAPES[net], dtype=torch.float64)
    return module, inputs, torch.randint(0, 3, (40,)), torch.randint(0, 40, (STEPS, BATCH))


def served(net: str = "mlp", **wanted: object) -> tuple[nn.Module, ServedTraining]:
    module, inputs, labels, order = problem(net)
    settings = Serving(**{"learning_rate": 0.2, "timeout_s": 120.0, **wanted})
    made = (f"training.parallel.nets:{net}", {})
    return module, train_served(module, made, (net, "random"), (inputs, labels), order, wanted=settings)


def alone(momentum: float = 0.0) -> tuple[nn.Module, list[float]]:
    """The same steps with whole batches in this process, by torch's own SGD."""
    module, inputs, labels, order = problem()
    optimizer = optim.SGD(module.parameters(), lr=0.2, momentum=momentum)
    losses = []
    for rows in order:
        optimizer.zero_grad()
        loss = functional.cross_entropy(module(inputs[rows]), labels[rows])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return module, losses


def apart(one: nn.Module, other: nn.Module) -> float:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return max((a - b).abs().max().item() for a, b in pairs)


def dies(rank: int) -> AbstractContextManager[None]:
    """A context manager: the second worker is killed in its third step."""
    return _each_step(rank, lambda: os.kill(os.getpid(), signal.SIGKILL))


def raises(rank: int) -> AbstractContextManager[None]:
    """A context manager: the second worker raises in its third step."""

    def act() -> None:
        raise ValueError("no such\nthing")

    return _each_step(rank, act)


@contextmanager
def _each_step(rank: int, act: Callable[[], None]) -> Iterator[None]:
    count = 0
    step = optim.SGD.step

    def counted(self: optim.SGD, *rest: object) -> object:
        nonlocal count
        count += 1
        if rank == 1 and count == 3:
            act()
        return step(self, *rest)

    with patch.object(optim.SGD, "step", counted):
        yield


def test_synchronous_is_one_process_with_the_whole_batch() -> None:
    """To rounding in float64: the mean of the workers' deltas is the step of the mean gradient."""
    module, training = served(servers=2, workers=2)
    wanted, losses = alone()
    assert apart(module, wanted) < 1e-12
    assert training.losses == pytest.approx(losses, abs=1e-12)
    assert training.staleness == Staleness((2 * 2 * STEPS,))  # each of two servers, nothing in between
    assert training.weight_bytes == 8 * sum(value.numel() for value in module.parameters())
    assert training.samples_per_s > 0
    assert 0 < training.communication_share < 1


def test_asynchronous_of_one_worker_is_one_process_and_many_are_counted() -> None:
    module, training = served(servers=1, workers=1, asynchronous=True, momentum=0.9)
    assert apart(module, alone(0.9)[0]) < 1e-12
    assert training.staleness == Staleness((STEPS,))
    module, training = served(servers=2, workers=2, asynchronous=True, local_steps=2)
    assert sum(training.staleness.counts) == 2 * 2 * STEPS / 2
    assert apart(module, problem()[0]) > 1e-3  # it learned
    assert len(training.losses) == STEPS / 2


@pytest.mark.parametrize("asynchronous", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_worker_that_is_killed_is_named(asynchronous: bool) -> None:
    with pytest.raises(MachineError, match=r"worker 2 of 2 is gone: killed") as caught:
        served(asynchronous=asynchronous, twist=f"{__name__}:dies")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_worker_that_raises_is_named_with_what_it_said() -> None:
    with pytest.raises(MachineError, match="worker 2 of 2 raised no such") as caught:
        served(twist=f"{__name__}:raises")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_loss_that_breaks_is_told_as_such() -> None:
    with pytest.raises(GoalMissedError, match="the loss is"):
        served(learning_rate=1e200)


def test_what_cannot_be_shared_is_refused_before_anything_starts() -> None:
    with pytest.raises(InputError, match="a batch of 8 cannot be shared evenly by 3 workers"):
        served(workers=3)
    with pytest.raises(InputError, match="6 steps are no rounds of 4 local steps"):
        served(local_steps=4)
    with pytest.raises(MachineError, match="8 workers and 1 servers are too many for 1 cores"):
        served(workers=8)
    module, *rest = problem()
    module[0].half()
    with pytest.raises(NetworkError, match="float16, float64"):
        train_served(module, ("a:b", {}), ("a", "b"), (rest[0], rest[1]), rest[2], wanted=Serving())


def test_parts_are_equal_in_bytes() -> None:
    parts = parts_of(np.arange(11.0), 3)
    assert [len(part) for part in parts] == [4, 4, 3]
    assert np.array_equal(np.concatenate(parts), np.arange(11.0))


def test_server_waits_for_all_or_for_none() -> None:
    async def synchronous() -> None:
        server = Server(np.zeros(2), 2, asynchronous=False)
        first = asyncio.ensure_future(server.exchange(1, np.array([2.0, 0.0]), 0))
        await asyncio.sleep(0)
        assert not first.done()
        version, weights = await server.exchange(0, np.array([0.0, 4.0]), 0)
        assert (version, weights.tolist()) == (1, [1.0, 2.0])
        assert (await first)[1] is weights
        assert await server.ages() == {0: 2}

    async def asynchronous() -> None:
        server = Server(np.zeros(1), 2, asynchronous=True)
        assert [(await server.exchange(0, np.ones(1), 0))[0] for _ in range(3)] == [1, 2, 3]
        assert (await server.pull())[1].tolist() == [3.0]
        assert await server.ages() == {0: 1, 1: 1, 2: 1}

    asyncio.run(synchronous())
    asyncio.run(asynchronous())


def test_staleness() -> None:
    assert (Staleness((1, 2, 1, 0)).mean, Staleness((1, 2, 1, 0)).most) == (1.0, 2)
    assert (Staleness(()).mean, Staleness(()).most) == (0.0, 0)
