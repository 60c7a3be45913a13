"""Convolutions that are cut by channels learn what whole ones do; which are cut, and what is broken is found."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from chipwise.core.errors import InputError, NetworkError  # noqa: E402
from chipwise.core.proof import ProofLeg  # noqa: E402
from chipwise.training.parallel.answers import leg_of  # noqa: E402
from chipwise.training.parallel.channels import (  # noqa: E402
    channel_cuts,
    channels_told,
    check_channels,
    whole_convolutions,
)
from chipwise.training.parallel.cuts import check_cuts  # noqa: E402
from chipwise.training.parallel.job import Leg  # noqa: E402
from chipwise.training.parallel.leg import run_leg  # noqa: E402
from chipwise.training.parallel.mesh import parse_mesh  # noqa: E402
from training.parallel import nets  # noqa: E402
from training.parallel.grounds import STEPS, TOLERANCE, Ground, check_holds, ground  # noqa: E402

pytestmark = pytest.mark.runtime

FOUR = ("oc4", "oc2,tp2")
COMBINED = ("dp2,oc2", "fsdp2,oc2", "zero22,oc2", "pp2,oc2")  # a batch-norm would see a part of the batch
# Twist: whether the numbers differ, and what is said to be missing.
BROKEN = {
    "gathered_backwards": (True, ""),
    "gathered_gradients_added": (True, ""),
    "inputs_learn_apart": (True, ""),
    "channels_not_added": (True, ""),
    "channels_whole": (False, "oc: 0 is a whole Conv2d"),
}


@pytest.fixture(scope="module")
def normed(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return ground(tmp_path_factory.mktemp("normed"), "normed_channels", steps=7)


@pytest.fixture(scope="module")
def four(normed: Ground) -> list[ProofLeg]:
    return normed.run([*(Leg(mesh, 0, STEPS) for mesh in FOUR), Leg("oc4", 0, STEPS, save="of-four")], 4)


@pytest.fixture(scope="module")
def one(normed: Ground, four: list[ProofLeg]) -> ProofLeg:
    leg = Leg("1", STEPS, 2, load="of-four", save="of-one")
    return leg_of(leg, "oc4", normed.losses, [run_leg(normed.job, leg, 0)])


@pytest.fixture(scope="module")
def two(normed: Ground, one: ProofLeg) -> SimpleNamespace:
    broken = [Leg("oc2", 0, STEPS, twist=f"training.parallel.twists:{name}") for name in BROKEN]
    whole, read, *rest = normed.run([Leg("oc2", 0, STEPS), Leg("oc2", 5, 2, load="of-one"), *broken], 2)
    return SimpleNamespace(whole=whole, read=read, broken=dict(zip(BROKEN, rest, strict=True)))


@pytest.fixture(scope="module")
def combined(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ProofLeg]:
    made = ground(tmp_path_factory.mktemp("channels"), "channels")
    found = made.run([Leg(mesh, 0, STEPS, microbatches=4) for mesh in COMBINED], 4)
    return dict(zip(COMBINED, found, strict=True))


def test_two_processes(two: SimpleNamespace) -> None:
    """Running statistics of batch-norms are compared, too."""
    check_holds(two.whole)
    for (
        rank
    ) in two.whole.ranks:  # of [16, 4, 4, 3] twice and of [16, 8, 3, 2], and of the gradient of its groups' input
        assert [(row.kind, row.calls, row.sent_bytes) for row in rank.traffic] == [
            ("all_gather", 4, 8 * (3 * 768 + 768)),
            ("all_reduce", 3, 8 * 3 * 768),  # the sum of the pair, gradients of two inputs
        ]
    said = "oc: 0 by output channels, 4 by input channels; 1, 3.0, 3.1 between them by channels; "
    assert two.whole.running == (said + "6.first, 6.second, 7 by output channels, gathered; 9 whole",)


@pytest.mark.parametrize("index", range(len(FOUR)), ids=FOUR)
def test_four_processes(four: list[ProofLeg], index: int) -> None:
    check_holds(four[index])


@pytest.mark.parametrize("mesh", COMBINED)
def test_with_other_dimensions(combined: dict[str, ProofLeg], mesh: str) -> None:
    check_holds(combined[mesh])


def test_a_checkpoint_of_four_goes_on_in_one_and_in_two(one: ProofLeg, two: SimpleNamespace) -> None:
    check_holds(one)
    check_holds(two.read)


def test_each_process_holds_its_share(two: SimpleNamespace) -> None:
    module = nets.normed_channels()
    whole = {name: value.numel() * 8 for name, value in module.named_parameters()}
    stay = ("4.bias", "5.weight", "5.bias", *(name for name in whole if name[:2] in ("9.", "11", "13")))
    wanted = sum(size if name in stay else size // 2 for name, size in whole.items())
    for rank in two.whole.ranks:
        assert rank.weight_bytes == rank.forward_bytes == rank.gradient_bytes == rank.optimizer_bytes == wanted


@pytest.mark.parametrize("twist", BROKEN)
def test_what_is_broken_is_found(two: SimpleNamespace, twist: str) -> None:
    leg, (differs, missing) = two.broken[twist], BROKEN[twist]
    assert (leg.largest > 1e-6) is differs, leg.steps
    assert any(missing in line for line in leg.missing) if missing else not leg.missing
    if twist in ("inputs_learn_apart", "gathered_gradients_added"):
        assert leg.steps[0].loss_difference < TOLERANCE  # the forward pass is right


@pytest.mark.parametrize(
    ("between", "last"),
    [
        ([], True),
        ([nn.ReLU(), nn.MaxPool2d(2)], True),
        ([nn.BatchNorm2d(8), nn.ReLU()], True),
        ([nn.Conv2d(8, 8, 3, groups=8), nn.BatchNorm2d(8)], True),
        ([nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Upsample(scale_factor=2))], True),
        ([nn.Dropout2d(0.0)], True),
        ([nn.Dropout2d(0.5)], False),  # each process would drop the same of its share
        ([nn.Softmax(1)], False),
        ([nn.LocalResponseNorm(2)], False),
        ([nn.ChannelShuffle(2)], False),
        ([nn.GroupNorm(1, 8)], False),
        ([nn.PReLU()], False),
        ([nn.MaxPool2d(30)], False),  # cannot be tried out
    ],
)
def test_pairs_have_nothing_between_that_mixes_channels(between: list[nn.Module], last: bool) -> None:
    chain = nn.Sequential(nn.Conv2d(1, 8, 3), *between, nn.Conv2d(8, 3, 3))
    cuts = channel_cuts(chain, 2)
    assert cuts["0"] == ("first" if last else "gathered")
    assert cuts.get(str(len(chain) - 1)) == ("last" if last else None)


def test_groups_are_cut_whole() -> None:
    wide = nn.Sequential(nn.Conv2d(6, 12, 3, groups=3), nn.Softmax(1), nn.Conv1d(4, 4, 3, groups=4))
    assert channel_cuts(wide, 2) == {"2": "gathered"}
    assert channel_cuts(wide, 3) == {"0": "gathered"}
    assert whole_convolutions(wide, {"2": "gathered"}) == ["0"]
    assert channel_cuts(nn.Conv3d(2, 4, 1), 2) == {"": "gathered"}


def test_a_convolution_is_of_one_pair() -> None:
    chain = nn.Sequential(*(nn.Conv2d(4, 4, 1) for _ in range(3)), nn.ConvTranspose2d(4, 4, 1))
    cuts = channel_cuts(chain, 2)
    assert cuts == {"0": "first", "1": "last", "2": "gathered"}
    told = channels_told(cuts, whole_convolutions(chain, cuts))
    assert told == "0 by output channels, 1 by input channels; 2 by output channels, gathered; 3 whole"
    assert channels_told({}, []) == "nothing to cut here"


@pytest.mark.parametrize(
    ("module", "parts"),
    [(nets.mlp(), 2), (nets.cnn(), 3), (nn.Conv2d(4, 4, 3, groups=2), 4), (nn.ConvTranspose2d(2, 4, 3), 2)],
)
def test_a_network_with_nothing_to_cut_is_refused(module: nn.Module, parts: int) -> None:
    with pytest.raises(NetworkError, match=f"oc{parts} cuts convolutions by output channels, and the network has none"):
        check_channels(module, parts)


def test_weights_that_are_shared_are_not_cut() -> None:
    chain = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1))
    chain[1].weight = chain[0].weight
    with pytest.raises(NetworkError, match=r"1\.weight is the weight of another layer"):
        check_cuts(chain, parse_mesh("oc2"), 2, ())


@pytest.mark.parametrize("mesh", ["oc2,sph2", "zero12,oc2"])
def test_what_is_not_combined(mesh: str) -> None:
    with pytest.raises(InputError, match="combined with"):
        parse_mesh(mesh)
