"""Proofs of parallel training: one that holds, and one in which everything is wrong that can be."""

from __future__ import annotations

import sys

from chipwise.core.proof import Proof, ProofLeg, ProofRank, ProofStep, Traffic


def _ranks(places: tuple[str, ...]) -> tuple[ProofRank, ...]:
    said = (Traffic("all_gather", 6, 4_266_000), Traffic("reduce_scatter", 3, 2_132_880))
    return tuple(
        ProofRank(number, place, 533_220, 533_220, 533_220, 533_220, said) for number, place in enumerate(places)
    )


def proof() -> Proof:
    steps = tuple(ProofStep(step, 2.3 - step / 10, 2.3 - step / 10, 2.8e-17 * step, "1.weight") for step in range(1, 5))
    four = ProofLeg(
        "fsdp2,tp2",
        4,
        "",
        0.0,
        steps,
        _ranks(("fsdp0,tp0", "fsdp0,tp1", "fsdp1,tp0", "fsdp1,tp1")),
        ("fsdp: FSDP2, 2 parts; weights are whole only while they are used", "tp: 1 by columns, 3 by rows"),
    )
    one = ProofLeg("1", 1, "fsdp2,tp2", 1.1e-16, (ProofStep(5, 1.8, 1.8, 1.4e-16, "3.bias"),), _ranks(("",)))
    two = ProofLeg("tp2", 2, "1", 1.4e-16, (ProofStep(6, 1.7, 1.7, 1.9e-16, "3.bias"),), _ranks(("tp0", "tp1")))
    notes = ("dropout is off in both: its masks are random in each process",)
    return Proof(
        "lenet-300-100", "random samples", "fsdp2,tp2", 266_610, 4, 0.05, 0.9, 0, "", 1, 1e-10, (four, one, two), notes,
        holds=True,
    )  # fmt: skip


def broken_proof() -> Proof:
    steps = (ProofStep(1, 2.2, 2.2, 3.1e-3, "1.weight"), ProofStep(2, 2.1, 2.15, sys.float_info.max, "1.weight", 0.2))
    leg = ProofLeg("pp2,dp2", 4, "", 0.0, steps, _ranks(("pp0,dp0",)), (), ("dp: the network is a Sequential",))
    return Proof(
        "[red]net[/red]", "digits", "pp2,dp2", 266_610, 8, 0.05, 0.0, 1, "1f1b", 4, 1e-10, (leg,), (), holds=False
    )


RECORDS = {"proof": proof, "proof_broken": broken_proof}
