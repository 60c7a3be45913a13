"""What a mesh does not take is said before a process is started; and batch-norms that add up over processes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import chipwise  # noqa: E402
from chipwise.api import meshes  # noqa: E402
from chipwise.core import errors  # noqa: E402
from chipwise.core.errors import GoalMissedError, InputError  # noqa: E402
from chipwise.training.parallel.assignment import forget_refusal, refusal_in, refuse  # noqa: E402
from chipwise.training.parallel.norms import joined  # noqa: E402
from training.parallel import runs  # noqa: E402

pytestmark = pytest.mark.runtime


@pytest.mark.parametrize(
    ("mesh", "net", "changes", "said"),
    [
        ("dp2", "normed", {"freeze": "backbone"}, "freeze=backbone cannot be had with dp2"),
        ("dp2", "normed", {"ema": 0.9}, "ema=0.9 cannot be had with dp2"),
        ("dp2", "normed", {"micro_batch": 4}, "micro_batch=4 cannot be had with dp2"),
        ("dp2", "normed", {"swapped": "0"}, "swapped=0 cannot be had with dp2"),
        ("dp2", "normed", {"state_on_disk": True}, "state_on_disk=True cannot be had with dp2"),
        (
            "dp2",
            "normed",
            {"weights_on_disk": True, "optimizer": "sgd", "momentum": 0.0},
            "weights_on_disk=True cannot be had with dp2",
        ),
        ("fsdp2", "normed", {"l1": 0.1}, "l1=0.1 cannot be had with fsdp2"),
        ("tp2", "normed", {"precision": "bf16"}, "precision=bf16 cannot be had with tp2"),
        ("fsdp2", "normed", {"precision": "fp16"}, "precision=fp16 cannot be had with fsdp2"),
        ("pp2", "plain", {"clip_norm": 1.0}, "clip_norm=1.0 cannot be had with pp2"),
        ("zero12", "normed", {"optimizer": "sgd", "momentum": 0.0}, "zero12 spreads momentum"),
        ("tp2", "dropped", {}, "the network has dropout, and with tp2"),
        ("pp2", "normed", {}, "batch-norms, which with pp2 would see parts of a batch"),
        ("dp2,sph2", "normed", {}, "batch-norms, which with dp2,sph2 would see parts"),
        ("oc2", "normed", {"clip_norm": 1.0}, "clip_norm=1.0 cannot be had with oc2"),
        ("oc2", "normed", {"l1": 0.1}, "l1=0.1 cannot be had with oc2"),
        ("oc4", "normed", {}, "oc4 cuts convolutions by output channels"),
        ("dp3", "normed", {}, "a batch of 16 cannot be cut into 3 equal pieces for dp3"),
        ("tp7", "normed", {}, "tp7 cuts pairs of consecutive Linear layers"),
    ],
)
def test_refused_in_one_line(mesh: str, net: str, changes: dict[str, object], said: str, tmp_path: Path) -> None:
    settings = dataclasses.replace(runs.SETTINGS, **changes)
    with pytest.raises(InputError, match=said) as caught:
        runs.run(tmp_path, mesh, net=net, settings=settings)
    assert caught.value.hint
    assert not (tmp_path / "processes").exists()


@pytest.mark.parametrize(
    ("ways", "said"),
    [
        ({"mesh": "sph2", "memory": "8GB"}, "what sph2 takes is not predicted"),
        ({"mesh": "auto:2"}, "mesh=auto:2 is chosen by what fits"),
        ({"mesh": "auto:0", "memory": "8GB"}, "'auto:0' has 0 processes"),
        ({"machines": "1/2@here:29500"}, "is for several processes"),
        ({"mesh": "dp3", "machines": "1/2@here:29500"}, "2 machines cannot share evenly"),
        ({"mesh": "dp2", "machines": "3/2@here:29500"}, "is machine 3 of 2"),
        ({"mesh": "dp2", "machines": "0/2@here:29500"}, "is machine 0 of 2"),
        ({"mesh": "dp2", "machines": "1/2@here:99999"}, "no such port"),
        ({"mesh": "dp2", "machines": "1@here:29500"}, "does not say which machine this is"),
        ({"mesh": "up2"}, "unknown dimension of processes"),
    ],
)
def test_refused_by_the_verb(ways: dict[str, object], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        chipwise.train("lenet5-caffe", "digits", folder=tmp_path, **ways)


@given(st.text(max_size=30))
def test_any_text_is_a_machine_or_one_error(text: str) -> None:
    try:
        number, count, meet = meshes._machines(text)
    except InputError:
        return
    assert 1 <= number <= count
    assert ":" in meet


@pytest.mark.parametrize(
    ("norm", "shape"),
    [
        (nn.BatchNorm1d, (6, 4)),
        (nn.BatchNorm1d, (6, 4, 5)),
        (nn.BatchNorm2d, (3, 4, 5, 2)),
        (nn.BatchNorm3d, (2, 4, 3, 2, 2)),
    ],
)
@pytest.mark.parametrize("options", [{}, {"momentum": None}, {"affine": False}, {"track_running_stats": False}])
def test_joined_norm_is_a_batch_norm(norm: type[nn.Module], shape: tuple[int, ...], options: dict[str, object]) -> None:
    torch.manual_seed(0)
    plain = norm(4, **options).double()
    ours = joined(nn.Sequential(norm(4, **options).double()), ())
    ours.load_state_dict({f"0.{name}": value for name, value in plain.state_dict().items()})
    for _ in range(3):
        given = torch.randn(shape, dtype=torch.float64)
        first, second = (given.clone().requires_grad_() for _ in range(2))
        plain(first).square().mul(torch.arange(4).view(-1, *[1] * (len(shape) - 2))).sum().backward()
        ours(second).square().mul(torch.arange(4).view(-1, *[1] * (len(shape) - 2))).sum().backward()
        torch.testing.assert_close(first.grad, second.grad, rtol=1e-9, atol=1e-9)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[f"0.{name}"], value)
    torch.testing.assert_close(ours.eval()(given), plain.eval()(given))


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_joined_norm_of_two_byte_values_is_a_batch_norm(half: torch.dtype) -> None:
    """As mixed precision gives them: weights and statistics are float32."""
    torch.manual_seed(0)
    given = (torch.randn(64, 4, 5, 5) + 3).to(half)
    plain, ours = nn.BatchNorm2d(4), joined(nn.Sequential(nn.BatchNorm2d(4)), ())
    made = ours(given)
    assert made.dtype == half
    torch.testing.assert_close(made, plain(given), rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(ours[0].running_var, plain.running_var, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours[0].running_mean, plain.running_mean, rtol=1e-4, atol=1e-4)


def test_refusals_keep_their_kind(tmp_path: Path) -> None:
    assert refusal_in(tmp_path) is None
    for kind in (GoalMissedError, errors.StorageError, InputError):
        refuse(tmp_path, kind("no", hint="later"))
        found = refusal_in(tmp_path)
        assert (type(found), found.message, found.hint) == (kind, "no", "later")
    forget_refusal(tmp_path)
    assert refusal_in(tmp_path) is None
