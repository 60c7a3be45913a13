"""Activations on disk: the same weights, bit for bit; weights and small tensors stay; a full disk is one clear line."""

from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from chipwise.core.errors import InputError, StorageError  # noqa: E402
from chipwise.core.training_memory import Savings  # noqa: E402
from chipwise.cost.training_memory import Around  # noqa: E402
from chipwise.networks.layers import layer_rows  # noqa: E402
from chipwise.networks.load import load  # noqa: E402
from chipwise.networks.torch_source import build_module  # noqa: E402
from chipwise.training import swapped  # noqa: E402
from chipwise.training.checkpointed import segments_of  # noqa: E402
from chipwise.training.memory import Allowed, fit_into  # noqa: E402
from chipwise.training.seeds import seeded  # noqa: E402
from chipwise.training.swapped import SMALLEST, Scratch, swappable, swapped_out  # noqa: E402

from . import tiny  # noqa: E402

pytestmark = pytest.mark.runtime
NO_WEIGHTS: frozenset[int] = frozenset()


@pytest.fixture
def everything(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Tensors of any size are swapped; gives the shapes of those that came back."""
    monkeypatch.setattr(swapped, "SMALLEST", 1)
    shapes: list[tuple[int, ...]] = []
    get = Scratch.get

    def noted(self: Scratch, given: object) -> torch.Tensor:
        shapes.extend([] if torch.is_tensor(given) else [tuple(get(self, given).shape)])
        return get(self, given)

    monkeypatch.setattr(Scratch, "get", noted)
    return shapes


@pytest.mark.parametrize("changes", [{}, {"channels_last": True}, {"micro_batch": 8, "recompute": "layers.3,layers.4"}])
def test_the_same_weights_bit_for_bit(
    changes: dict[str, object], everything: list[tuple[int, ...]], tmp_path: Path
) -> None:
    found = []
    for segments in (None, "layers.0,layers.1;layers.2"):
        module = tiny.tiny()
        settings = dataclasses.replace(tiny.SETTINGS, epochs=2, swapped=segments, **changes)
        tiny.run(tmp_path / str(segments), module, settings)
        found.append(module.state_dict())
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())
    assert everything, "something was read back"


def test_what_is_saved_is_gone_from_memory_and_comes_back(everything: list[tuple[int, ...]], tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(40, 50), nn.Tanh(), nn.Linear(50, 3)).train()
    with swapped_out(module, [("0", "1")], tmp_path):
        module(torch.ones(7, 40)).sum().backward()
    assert sorted(everything) == [(7, 40), (7, 50)], "neither weights, nor what the last layer saves"
    assert "forward" not in vars(module[0])
    assert not list(tmp_path.iterdir()), "the file has no name"


def test_layouts_and_slices_come_back_as_they_were(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    with seeded(1):
        whole = torch.randn(2, 8, 128, 128)
    last = whole.contiguous(memory_format=torch.channels_last)
    for value in (whole, last, whole[1], whole.transpose(0, 1).contiguous(), (whole > 0), whole.bfloat16()):
        back = scratch.get(scratch.put(NO_WEIGHTS, value))
        assert torch.equal(back, value)
        assert (back.stride(), back.dtype) == (value.stride(), value.dtype)
    holes = whole[:, ::2]
    assert scratch.put(NO_WEIGHTS, holes) is holes
    small = torch.ones(SMALLEST // 4 - 1)
    assert scratch.put(NO_WEIGHTS, small) is small
    scratch.close()


def test_one_tensor_has_one_place_until_it_changes(tmp_path: Path) -> None:
    scratch, value = Scratch(tmp_path), torch.zeros(SMALLEST)
    first = scratch.put(NO_WEIGHTS, value)
    assert scratch.put(NO_WEIGHTS, value.detach()) is first
    value.add_(1)
    other = scratch.put(NO_WEIGHTS, value)
    assert other is not first
    assert scratch.get(first).sum() == 0 < scratch.get(other).sum()
    del first, other
    assert scratch.put(NO_WEIGHTS, torch.ones(SMALLEST)).begin == 0, "the room is used again"
    scratch.close()


def test_views_of_one_storage_have_a_place_each(everything: list[tuple[int, ...]], tmp_path: Path) -> None:
    whole = torch.arange(24.0).view(2, 3, 4)
    scratch = Scratch(tmp_path)
    places = [scratch.put(NO_WEIGHTS, each) for each in whole]
    assert [scratch.get(place).tolist() for place in places] == whole.tolist()
    scratch.close()


def test_a_part_that_is_computed_again_and_swapped_is_itself_afterwards(tmp_path: Path) -> None:
    settings = dataclasses.replace(tiny.SETTINGS, epochs=1, swapped="layers.3", recompute="layers.3")
    module = tiny.tiny()
    tiny.run(tmp_path, module, settings)
    assert not any("forward" in vars(part) for part in module.modules())


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    scratch = Scratch(tmp_path)
    with pytest.raises(StorageError, match="No space left"):
        scratch.put(NO_WEIGHTS, torch.zeros(SMALLEST))
    with pytest.raises(StorageError):
        Scratch(tmp_path / "nowhere")


def test_parts_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="swapped='nowhere'"), swapped_out(nn.Linear(1, 1), [("nowhere",)], tmp_path):
        pass


def test_what_is_in_no_chain_can_be_swapped_as_one(tmp_path: Path) -> None:
    class Stem(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)
            self.blocks = nn.Sequential(nn.ReLU(), nn.Conv2d(2, 2, 3))

    module = Stem()
    chains = segments_of(module)
    assert swappable(module, chains) == ((("blocks.0",), ("blocks.1",)), (("conv", "norm"),))
    whole: Callable[[], nn.Module] = lambda: nn.Sequential(nn.Linear(1, 1))  # noqa: E731
    assert swappable(whole(), segments_of(whole())) == ((("0",),),)


def test_what_else_is_refused_fits_with_the_disk() -> None:
    network = load("densenet121")
    assert network.source is not None
    rows, module = cache(partial(layer_rows, network)), build_module(network.source)
    chains, around = segments_of(module), Around("sgd", process_bytes=300 * 10**6, batch=2)
    limit = 570 * 10**6
    refused = fit_into(limit, rows, around, Savings(2), Allowed(returned=True, chains=chains))
    assert refused.chosen is None
    allowed = Allowed(returned=True, chains=chains, swappable=swappable(module, chains))
    chosen = fit_into(limit, rows, around, Savings(2), allowed).chosen
    assert chosen is not None
    assert chosen.savings.swapped
    assert chosen.memory.high <= limit < refused.smallest.memory.high
