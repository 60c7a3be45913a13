"""Ways of computing a step learn the same: compiled or not, whatever the form of the optimizer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from chipwise.core.errors import InputError, MachineError
from chipwise.runtimes.cpp_compiler import no_compiler
from chipwise.training import compiled
from chipwise.training.checkpoint import state_of
from chipwise.training.optimizer import build_optimizer
from chipwise.training.settings import Settings, as_json
from chipwise.training.train import train

from .tiny import NETWORK, SETTINGS, pictures, run, tiny

pytestmark = pytest.mark.runtime
ONE = replace(SETTINGS, epochs=1)


def weights_after(folder: Path, settings: Settings) -> torch.Tensor:
    module = tiny().layers  # without what counts steps, which would be compiled anew at each
    train(module, NETWORK, pictures(), settings, folder)
    return torch.cat([value.flatten() for value in module.state_dict().values()])


def stepped(settings: Settings) -> tuple[dict[str, object], torch.Tensor]:
    """The optimizer's own words for its form, and all weights after three steps with gradients that are given."""
    module = tiny()
    optimizer = build_optimizer(module, settings)
    for step in range(1, 4):
        for value in module.parameters():
            value.grad = torch.linspace(-1, step, value.numel()).reshape(value.shape)
        optimizer.step()
    return optimizer.defaults, torch.cat([value.detach().flatten() for value in module.parameters()])


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_forms_of_the_optimizer_learn_alike(optimizer: str) -> None:
    words, usual = stepped(Settings(optimizer=optimizer))
    assert words["fused"]
    for form in ("foreach", "for-loop"):
        words, other = stepped(Settings(optimizer=optimizer, optimizer_form=form))
        assert (words["fused"], words["foreach"]) == (False, form == "foreach")
        assert torch.allclose(usual, other, atol=1e-6), form


@pytest.mark.skipif(no_compiler() != "", reason="no C++ compiler")
def test_compiled_steps_learn_alike(tmp_path: Path) -> None:
    """Dropout has other masks in compiled code, so it is off; Adam makes steps of roundings of small gradients."""
    usual = weights_after(tmp_path / "plain", replace(ONE, optimizer="sgd", dropout=0.0, augment="none"))
    quick = weights_after(
        tmp_path / "compiled", replace(ONE, optimizer="sgd", dropout=0.0, augment="none", compiled=True)
    )
    assert torch.allclose(usual, quick, atol=1e-4)
    assert not torch.equal(
        usual, weights_after(tmp_path / "other", replace(ONE, optimizer="sgd", dropout=0.0, augment="none", seed=6))
    )


def test_without_a_compiler_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "no_compiler", lambda: "it needs a C++ compiler, and g++ is not there")
    with pytest.raises(MachineError, match=r"cannot be used: it needs a C\+\+ compiler"):
        run(tmp_path, settings=replace(ONE, compiled=True))


def test_what_cannot_be_compiled_is_said() -> None:
    def torn(inputs: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no kernel\nfor this")

    class Torn(torch.nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return torn(inputs)

    if not no_compiler():
        with pytest.raises(MachineError, match="cannot compile this network"):
            compiled.compiled(Torn())(torch.ones(2))


def test_usual_ways_leave_settings_and_checkpoints_as_they_were(tmp_path: Path) -> None:
    assert not {"compiled", "optimizer_form"} & as_json(ONE).keys()
    assert as_json(replace(ONE, compiled=True, optimizer_form="foreach"))["optimizer_form"] == "foreach"
    assert Settings(**json.loads(json.dumps(as_json(replace(ONE, compiled=True))))).compiled
    run(tmp_path, settings=ONE)
    state = state_of(tmp_path / "checkpoint" / "last.safetensors")
    assert state is not None
    assert "compiled" not in state.identity


def test_compiled_and_recomputed_do_not_go_together() -> None:
    with pytest.raises(InputError, match="compiled=True"):
        Settings(compiled=True, recompute="layer1")
