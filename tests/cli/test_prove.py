"""`chipwise prove` from the command line: a proof that holds, one that does not, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.runtime

NET = ("prove", "lenet-300-100")


def test_a_proof(cli: Callable[..., object]) -> None:
    """A batch-norm in two processes: the one process takes the same pieces of each batch, and the answer says so."""
    arguments = ("--mesh", "dp2", "-d", "digits", "--steps", "2", "--reshard", "1", "--json")
    outcome = cli("prove", "convnet-small", *arguments)
    assert outcome.code == 0, outcome.err
    proof = json.loads(outcome.out)
    assert proof["schema"] == "chipwise.proof/1"
    assert proof["holds"]
    assert [leg["mesh"] for leg in proof["legs"]] == ["dp2", "1"]
    assert proof["legs"][0]["ranks"][0]["traffic"]
    assert "batch-norms" in proof["notes"][0]
    assert "proving done" in outcome.err


def test_one_process_and_a_tolerance_that_nothing_meets(cli: Callable[..., object]) -> None:
    """Batches in one piece and one after another are never equal to the last bit for long, unless they are the same."""
    outcome = cli(*NET, "--mesh", "1", "--reshard", "1", "--steps", "1", "--tolerance", "0")
    assert outcome.code == 0, outcome.err
    assert "holds: largest difference 0, tolerance 0" in outcome.out


def test_another_training_is_not_the_same(cli: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> None:
    """The one process learns faster than it was told: the answer is no, with the step and the weight."""
    from chipwise.training.parallel import prove

    train = prove.train_alone
    monkeypatch.setattr(
        prove, "train_alone", lambda module, job, pieces: train(module, replace(job, momentum=0.5), pieces)
    )
    outcome = cli(*NET, "--mesh", "1", "--reshard", "1", "--steps", "2")
    assert outcome.code == 1, outcome.err
    said = " ".join(outcome.out.split())
    assert "does not hold on 1" in said
    assert "first in step 2, most in " in said  # momentum has nothing to say in the first


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--mesh", "dq2"), 2, "did you mean"),
        (("--mesh", "dp64"), 3, "64 processes, too many"),
        (("--mesh", "tp7"), 2, "a hidden width that 7 divides"),
        (("--mesh", "oc2"), 2, "oc2 cuts convolutions by output channels"),
        (("--mesh", "dp3", "--batch-size", "4"), 2, "a multiple of 3"),
        (("--mesh", "pp2", "--schedule", "zigzag"), 2, "unknown pipeline schedule"),
        (("--mesh", "dp2", "--tolerance", "-1"), 2, "tolerance is -1"),
        (("--mesh", "dp2", "-d", "no-such-data"), 2, "no-such-data"),
    ],
)
def test_what_is_refused(cli: Callable[..., object], arguments: tuple[str, ...], code: int, said: str) -> None:
    outcome = cli(*NET, *arguments)
    assert outcome.code == code, outcome.err
    assert said in outcome.err
    assert outcome.err.count("\n") <= 3


def test_a_detector_is_not_for_this(cli: Callable[..., object]) -> None:
    outcome = cli("prove", "yolov3", "--mesh", "dp2")
    assert outcome.code == 2
    assert "cannot be trained here" in outcome.err
