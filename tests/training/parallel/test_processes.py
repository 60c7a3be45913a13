"""Several processes learn what one does, by every strategy; and whatever is broken on purpose is found.

Processes are started as seldom as can be: one launch of two, one of four, and one of each that is to fail. All legs of
a launch run one after another in the same processes.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from chipwise.core.errors import MachineError  # noqa: E402
from chipwise.core.proof import ProofLeg  # noqa: E402
from chipwise.training.parallel import launch as launching  # noqa: E402
from chipwise.training.parallel.answers import leg_of  # noqa: E402
from chipwise.training.parallel.job import Job, Leg  # noqa: E402
from chipwise.training.parallel.leg import run_leg  # noqa: E402
from chipwise.training.parallel.mesh import parse_mesh  # noqa: E402
from training.parallel import nets  # noqa: E402
from training.parallel.grounds import STEPS, TOLERANCE, Ground, check_holds, ground  # noqa: E402

pytestmark = pytest.mark.runtime

# Mesh, and schedule of a pipeline with its microbatches.
TWO = [
    ("dp2",), ("zero12",), ("zero22",), ("fsdp2",), ("tp2",), ("pp2", "gpipe", 3), ("pp2", "1f1b", 4),
    ("pp2", "interleaved", 4),
]  # fmt: skip
FOUR = [("fsdp2,tp2",), ("dp2,fsdp2",), ("dp2,tp2",), ("pp2,tp2", "1f1b", 4), ("dp2,pp2", "1f1b", 4), ("tp4",)]
EIGHT = [
    ("dp8",), ("fsdp8",), ("tp8",), ("pp8", "1f1b", 8), ("fsdp4,tp2",), ("dp2,pp2,tp2", "1f1b", 4),
    ("fsdp2,pp2,tp2", "gpipe", 4), ("dp2,fsdp2,tp2",),
]  # fmt: skip

# Twist: the mesh, whether the numbers differ, and what is said to be missing.
BROKEN = {
    "gradients_not_averaged": ("dp2", True, ""),
    "same_samples": ("dp2", True, ""),
    "not_wrapped": ("dp2", True, "dp: the network is a Sequential"),
    "another_seed": ("fsdp2", True, ""),
    "never_sharded": ("fsdp2", True, "fully_shard was never called"),
    "not_reduced": ("fsdp2", True, ""),
    "kept_whole": ("fsdp2", False, "fsdp: weights stay whole"),
    "plain_optimizer": ("zero12", False, "zero1: the optimizer's state has"),
    "weights_not_sent": ("zero12", True, ""),
    "sum_left_out": ("tp2", True, ""),
    "nothing_cut": ("tp2", False, "tp: 0.weight should be"),
    "microbatch_dropped": ("pp2", True, ""),
    "microbatches_summed": ("pp2", True, ""),
    "stages_kept": ("pp2", False, "of other stages in memory"),
    "stage_frozen": ("pp2", True, "no process trains 0.weight"),
    "not_a_number": ("dp2", True, ""),
}
REGIONS = ("sph2,spw2", "sph4", "spw4")
BROKEN_REGIONS = ("halo_left_out", "halo_learns_nothing", "statistics_apart")
STALE = ("stale_shard", "momentum_lost")  # of a checkpoint that is read


def legs_of(rows: list[tuple]) -> list[Leg]:
    made = []
    for mesh, *pipeline in rows:
        schedule, pieces = pipeline or ("1f1b", 1)
        pieces = 4 if pieces == 3 else pieces
        made.append(Leg(mesh, 0, STEPS, schedule=schedule, microbatches=pieces))
    return made


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return ground(tmp_path_factory.mktemp("mlp"), "mlp", steps=7)


@pytest.fixture(scope="module")
def four(tiny: Ground) -> list[ProofLeg]:
    return tiny.run([*legs_of(FOUR), Leg("fsdp2,tp2", 0, STEPS, save="of-four")], 4)


@pytest.fixture(scope="module")
def one(tiny: Ground, four: list[ProofLeg]) -> ProofLeg:
    leg = Leg("1", STEPS, 2, load="of-four", save="of-one")
    return leg_of(leg, "fsdp2,tp2", tiny.losses, [run_leg(tiny.job, leg, 0)])


@pytest.fixture(scope="module")
def two(tiny: Ground, one: ProofLeg) -> SimpleNamespace:
    read = [Leg(mesh, 5, 2, load="of-one", microbatches=4) for mesh in ("fsdp2", "zero12", "pp2", "tp2")]
    stale = [Leg("fsdp2", 5, 2, load="of-one", twist=f"training.parallel.twists:{name}") for name in STALE]
    broken = [
        Leg(mesh, 0, STEPS, microbatches=4, twist=f"training.parallel.twists:{name}")
        for name, (mesh, _, _) in BROKEN.items()
    ]
    found = iter(tiny.run([*legs_of(TWO), *read, *stale, *broken], 2))
    return SimpleNamespace(
        whole=[next(found) for _ in TWO],
        read=[next(found) for _ in read],
        stale=dict(zip(STALE, found, strict=False)),
        broken={name: next(found) for name in BROKEN},
    )


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ProofLeg]:
    """Convolutions with strides, dilation and uneven sizes, poolings and a batch-norm, on four processes."""
    pictures = ground(tmp_path_factory.mktemp("pictures"), "pictures")
    broken = [Leg(REGIONS[0], 0, STEPS, twist=f"training.parallel.twists:{name}") for name in BROKEN_REGIONS]
    found = pictures.run([*(Leg(mesh, 0, STEPS) for mesh in REGIONS), *broken], 4)
    return dict(zip((*REGIONS, *BROKEN_REGIONS), found, strict=True))


@pytest.mark.parametrize("index", range(len(TWO)), ids=["-".join(map(str, row)) for row in TWO])
def test_two_processes(two: SimpleNamespace, index: int) -> None:
    leg = two.whole[index]
    check_holds(leg)
    assert all(rank.traffic for rank in leg.ranks)
    said = {traffic.kind for rank in leg.ranks for traffic in rank.traffic}
    assert said <= {"all_gather", "all_reduce", "broadcast", "reduce_scatter", "send"}, "each by one name"


@pytest.mark.parametrize("index", range(len(FOUR)), ids=["-".join(map(str, row)) for row in FOUR])
def test_four_processes(four: list[ProofLeg], index: int) -> None:
    check_holds(four[index])


def test_bytes_are_those_of_the_strategy(two: SimpleNamespace, four: list[ProofLeg]) -> None:
    rows = {(leg.mesh, index): leg for index, leg in enumerate(two.whole)}
    whole = sum(value.numel() * 8 for value in nets.mlp().parameters())
    dp, zero1, zero2, fsdp, tp = (rows[key].ranks[0] for key in [(row[0], place) for place, row in enumerate(TWO)][:5])
    assert (dp.weight_bytes, dp.gradient_bytes, dp.optimizer_bytes) == (whole, whole, whole)
    assert zero1.weight_bytes == whole
    assert zero1.optimizer_bytes < 0.7 * whole
    assert zero2.forward_bytes == whole
    assert fsdp.forward_bytes == fsdp.weight_bytes < 0.7 * whole
    assert fsdp.optimizer_bytes == fsdp.gradient_bytes == fsdp.weight_bytes
    assert 0.5 * whole <= tp.weight_bytes < 0.7 * whole
    assert four[0].ranks[0].weight_bytes < 0.4 * whole
    assert {rank.place for rank in four[0].ranks} == {"fsdp0,tp0", "fsdp0,tp1", "fsdp1,tp0", "fsdp1,tp1"}


def test_a_checkpoint_of_four_goes_on_in_one_and_in_two(one: ProofLeg, two: SimpleNamespace) -> None:
    check_holds(one)
    for leg in two.read:
        check_holds(leg)


@pytest.mark.parametrize("twist", STALE)
def test_what_a_checkpoint_lost_is_found(two: SimpleNamespace, twist: str) -> None:
    leg = two.stale[twist]
    assert leg.largest > 1e-6
    if twist == "stale_shard":
        assert leg.loaded_difference > 1e-6
    else:
        assert leg.loaded_difference < TOLERANCE  # weights are right, and the first step shows it


@pytest.mark.parametrize("twist", BROKEN)
def test_what_is_broken_is_found(two: SimpleNamespace, twist: str) -> None:
    leg = two.broken[twist]
    _, differs, missing = BROKEN[twist]
    assert (leg.largest > 1e-6) is differs, leg.steps
    assert any(missing in line for line in leg.missing) if missing else not leg.missing


@pytest.mark.parametrize("mesh", REGIONS)
def test_regions_of_pictures(regions: dict[str, ProofLeg], mesh: str) -> None:
    """Running statistics of the batch-norm are compared, too."""
    check_holds(regions[mesh])
    assert {traffic.kind for rank in regions[mesh].ranks for traffic in rank.traffic} >= {"send", "all_reduce"}


@pytest.mark.parametrize("twist", BROKEN_REGIONS)
def test_broken_regions_are_found(regions: dict[str, ProofLeg], twist: str) -> None:
    assert regions[twist].largest > 1e-6
    if twist == "halo_learns_nothing":
        assert regions[twist].steps[0].loss_difference < TOLERANCE  # the forward pass is right


@pytest.mark.parametrize(
    ("twist", "said"),
    [
        ("killed", "process 1 of 2 was ended by SIGKILL"),
        pytest.param("raising", "ended with exit code 1: ValueError: twisted", marks=pytest.mark.slow),
    ],
)
def test_a_process_that_dies_is_named(tiny: Ground, twist: str, said: str) -> None:
    with pytest.raises(MachineError, match="process 1 of 2") as caught:
        tiny.run([Leg("dp2", 0, 1, twist=f"training.parallel.twists:{twist}")], 2)
    assert said in caught.value.message


def test_nothing_hangs(tiny: Ground, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text("import time\ntime.sleep(1000)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(launching._AGENTS, "", "sleeper")
    ended = []
    end = launching._end
    monkeypatch.setattr(launching, "_end", lambda agent: (end(agent), ended.append(agent.returncode)))
    job = Job(tiny.job.factory, {}, str(tmp_path), (Leg("dp2", 0, 1),))
    with pytest.raises(MachineError, match="did not end within 1 s"):
        launching.launch(job, 2, cores=2, timeout_s=1)
    assert ended[0] is not None


def test_an_agent_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(launching._AGENTS, "", "no.such.module")
    with pytest.raises(MachineError, match=r"could not be started: .*no\.such"):
        launching.launch(Job("a:b", {}, str(tmp_path), (Leg("dp2", 0, 1),)), 2, cores=2, timeout_s=60)


def test_nothing_is_left_of_a_job_but_json_and_safetensors(tiny: Ground, two: SimpleNamespace) -> None:
    endings = {path.suffix for path in Path(tiny.job.folder).glob("*") if path.is_file()}
    assert endings == {".json", ".safetensors", ".log"}
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert tiny.job.folder not in listed  # no process goes on


@pytest.mark.slow
def test_eight_processes(tmp_path: Path) -> None:
    deep = ground(tmp_path, "deep", steps=STEPS)
    for leg in deep.run(legs_of(EIGHT), 8):
        check_holds(leg)


def test_schedules_are_those_of_the_mesh() -> None:
    assert all(parse_mesh(row[0]).processes == 8 for row in EIGHT)
