"""What a strategy cannot do with a network is said before any process is started, and how networks are cut."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from chipwise.core.errors import ChipwiseError, InputError, NetworkError, UnknownNameError  # noqa: E402
from chipwise.training.parallel.likeness import classes_of, made_repeatable  # noqa: E402
from chipwise.training.parallel.mesh import parse_mesh  # noqa: E402
from chipwise.training.parallel.pipeline import check_schedule, cut_chain, stages_wrong  # noqa: E402
from chipwise.training.parallel.prove import Wanted, check_wanted, least_batch, prove  # noqa: E402
from chipwise.training.parallel.tensor_parallel import linear_pairs  # noqa: E402
from training.parallel import nets  # noqa: E402

pytestmark = pytest.mark.runtime


@pytest.mark.parametrize(
    ("name", "mesh", "batch", "said"),
    [
        ("mlp", "dp4", 6, "cannot be cut into 4 equal pieces"),
        ("mlp", "pp2,dp2", 12, "8 equal pieces"),
        ("mlp", "tp8", 8, ""),
        ("mlp", "tp5", 8, "none with a hidden width that 5 divides"),
        ("mlp", "pp5", 10, "4 layers with weights, too few for 5 stages"),
        ("tied", "fsdp2", 8, "2.weight is the weight of another layer"),
        ("tied", "dp2", 8, ""),
        ("mlp", "dp16", 16, "too many for 2 cores"),
    ],
)
def test_what_does_not_go_is_refused(name: str, mesh: str, batch: int, said: str) -> None:
    module = getattr(nets, name)()
    wanted = Wanted(parse_mesh(mesh), 2, reshard=())
    if not said:
        check_wanted(module, wanted, batch)
        return
    with pytest.raises(ChipwiseError, match=said):
        check_wanted(module, wanted, batch)


def test_pipelines_cut_chains_only() -> None:
    with pytest.raises(NetworkError, match=r"a Branch, not a torch\.nn\.Sequential"):
        cut_chain(nets.Branch(), 2)


@pytest.mark.parametrize(
    ("schedule", "pieces", "kind"),
    [("1f1c", 4, UnknownNameError), ("interleaved", 3, InputError), ("1f1b", 1, InputError)],
)
def test_schedules_that_do_not_fit(schedule: str, pieces: int, kind: type[ChipwiseError]) -> None:
    with pytest.raises(kind):
        check_schedule(schedule, 2, pieces)
    check_schedule("gpipe", 2, 1)


def test_zero1_without_momentum_spreads_nothing() -> None:
    with pytest.raises(InputError, match="momentum is 0"):
        check_wanted(nets.mlp(), Wanted(parse_mesh("zero12"), 2, reshard=(), momentum=0.0), 4)


def test_networks_that_cannot_be_equal_are_refused() -> None:
    with pytest.raises(NetworkError, match="other scores each time"):
        classes_of(made_repeatable(nets.dice())[0], torch.zeros(2, 12).double())
    with pytest.raises(NetworkError, match="does not take"):
        classes_of(made_repeatable(nets.mlp())[0], torch.zeros(2, 11).double())
    with pytest.raises(NetworkError, match=r"scores \[batch, classes\]"):
        classes_of(made_repeatable(nn.Linear(3, 3))[0], torch.zeros(2, 5, 3).double())


def test_dropout_is_turned_off_and_said() -> None:
    module, notes = made_repeatable(nets.transformer())
    assert classes_of(module, torch.ones(2, 4, 5).double()) == 3
    assert "dropout is off" in notes[0]


@pytest.mark.parametrize(
    ("between", "pairs"),
    [
        ([nn.ReLU()], [("0", "2")]),
        ([], [("0", "1")]),
        ([nn.GELU(), nn.Identity()], [("0", "3")]),
        ([nn.Softmax(-1)], []),
        ([nn.LayerNorm(8, elementwise_affine=False)], []),
        ([nn.BatchNorm1d(8)], []),
        ([nn.BatchNorm1d(8, affine=False)], []),
        ([nn.Flatten()], [("0", "2")]),
        ([nn.Unflatten(1, (2, 4)), nn.Flatten()], []),
    ],
)
def test_pairs_have_nothing_between_that_mixes_features(between: list[nn.Module], pairs: list) -> None:
    assert linear_pairs(nn.Sequential(nn.Linear(4, 8), *between, nn.Linear(8, 3)), 2) == pairs


def test_a_layer_is_of_one_pair() -> None:
    assert linear_pairs(nets.mlp(), 2) == [("0", "2"), ("4", "6")]
    assert linear_pairs(nets.transformer(), 2) == [("1.linear1", "1.linear2"), ("2.linear1", "2.linear2")]


def test_stages_hold_consecutive_layers() -> None:
    stages = cut_chain(nets.mlp(), 3)
    names = [[name for name, _ in stage.named_children()] for stage in stages]
    assert names == [["0", "1", "2", "3"], ["4", "5"], ["6"]]
    held = [name for name, _ in stages[1].named_parameters()]
    assert not stages_wrong(held, held, {})
    assert stages_wrong([*held, "0.weight"], held, {}) == ["pp: holds 0.weight of other stages"]
    assert stages_wrong(held[:1], held, {}) == ["pp: lacks 4.bias"]


def test_batches_that_all_meshes_divide() -> None:
    wanted = Wanted(parse_mesh("dp2,pp2,tp2"), 2)
    assert wanted.pieces == 4
    assert [str(mesh) for mesh in wanted.meshes] == ["pp2,dp2,tp2", "1", "dp2,tp2"]
    check_wanted(nets.mlp(), wanted, least_batch(wanted))


def test_shared_weights_are_written_once_for_each_name() -> None:
    inputs, labels = torch.randn(1, 4, 4), torch.randint(0, 3, (1, 4))
    wanted = Wanted(parse_mesh("1"), 2, reshard=(), steps=1)
    made = ("training.parallel.nets:tied", {})
    assert prove(nets.tied(), made, ("tied", "noise"), inputs, labels, wanted=wanted).holds


def test_one_process_alone_needs_no_launch() -> None:
    """Against itself: what is left is what the record says; whole batches need no word on batch-norms."""
    module = nets.cnn()
    inputs, labels = torch.randn(6, 4, 1, 6, 6), torch.randint(0, 3, (6, 4))
    wanted = Wanted(parse_mesh("1"), 2, reshard=(parse_mesh("1"),))
    proof = prove(module, ("training.parallel.nets:cnn", {}), ("cnn", "noise"), inputs, labels, wanted=wanted)
    assert proof.holds
    assert [leg.largest for leg in proof.legs] == [0.0, 0.0]
    assert not proof.notes
    assert proof.legs[1].loaded == "1"
    assert [len(leg.steps) for leg in proof.legs] == [4, 2]
