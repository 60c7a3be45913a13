"""The plan file: round trip, and every kind of damage ends in one PlanError."""

from __future__ import annotations

import json
import os
import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chipwise.codec.hashes import sha256_bytes
from chipwise.codec.plan_file import read_plan, write_plan
from chipwise.core.device import Machine
from chipwise.core.errors import PlanError, StorageError
from chipwise.core.network import TensorSpec
from chipwise.core.plan import PLAN_SCHEMA, Choice, Manifest, Plan, SourceFacts
from chipwise.core.task import Task


def make_plan() -> Plan:
    manifest = Manifest(
        schema=PLAN_SCHEMA,
        source=SourceFacts("net", "net.onnx", "0" * 64, 10, 20, 30),
        task=Task(labels=("a", "b")),
        inputs=(TensorSpec("x", ("batch", 4)),),
        outputs=(TensorSpec("y", ("batch", 2)),),
        goal="latency",
        max_drop=0.01,
        seed=0,
        choice=Choice("onnxruntime"),
        why="fastest",
        speedup=None,
        label="close",
        candidates=(),
        passes=("folded 2 batch-norms",),
        machine=Machine("cpu", "x86_64", ("avx2",), 2, 2),
        versions={"numpy": np.__version__},
        created="2026-01-01T00:00:00Z",
    )
    inputs = (np.arange(4, dtype=np.float32).reshape(1, 4),)
    return Plan(manifest, b"onnx bytes " * 20, inputs, (np.ones((1, 2), np.float32),))


@pytest.fixture(scope="module")
def plan_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("plan") / "net.plan"
    write_plan(path, make_plan())
    return path.read_bytes()


def same(a: Plan, b: Plan) -> bool:
    arrays = zip(a.sample_inputs + a.expected_outputs, b.sample_inputs + b.expected_outputs, strict=True)
    return (
        replace(a.manifest, files={}) == replace(b.manifest, files={})
        and a.model == b.model
        and all(np.array_equal(x, y) and x.dtype == y.dtype for x, y in arrays)
    )


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "net.plan"
    write_plan(path, make_plan())
    assert same(read_plan(path), make_plan())
    assert not list(tmp_path.glob("*.part*"))


def test_same_plan_gives_same_bytes(tmp_path: Path, plan_bytes: bytes) -> None:
    write_plan(tmp_path / "again.plan", make_plan())
    assert (tmp_path / "again.plan").read_bytes() == plan_bytes


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_flipped_bits_are_refused_or_harmless(data: st.DataObject, plan_bytes: bytes, tmp_path_factory) -> None:
    path = tmp_path_factory.getbasetemp() / "flipped.plan"
    damaged = bytearray(plan_bytes)
    for position in data.draw(st.lists(st.integers(0, len(damaged) * 8 - 1), min_size=1, max_size=3)):
        damaged[position // 8] ^= 1 << position % 8
    path.write_bytes(damaged)
    try:
        read = read_plan(path)
    except PlanError:
        return
    assert same(read, make_plan()), "a flipped bit changed what was read without an error"


@settings(max_examples=100, deadline=None)
@given(cut=st.integers(0, 10_000))
def test_truncated_is_refused(cut: int, plan_bytes: bytes, tmp_path_factory) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.plan"
    path.write_bytes(plan_bytes[: cut % len(plan_bytes)])
    with pytest.raises(PlanError):
        read_plan(path)


def rewrite(plan_bytes: bytes, path: Path, change, compression: int = zipfile.ZIP_STORED) -> None:
    """Write the same members again after `change(members)`, with a manifest hash that fits."""
    original = path.with_suffix(".original")
    original.write_bytes(plan_bytes)
    with zipfile.ZipFile(original) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    if "manifest.json" in members:
        members["manifest.sha256"] = sha256_bytes(members["manifest.json"]).encode()
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, body in members.items():
            archive.writestr(name, body)


def edit_manifest(**fields):
    def change(members: dict[str, bytes]) -> None:
        members["manifest.json"] = json.dumps(json.loads(members["manifest.json"]) | fields).encode()

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.update({"../evil.py": b"x"}), "holds '../evil.py'"),
        (lambda m: m.update({"/etc/passwd": b"x"}), "holds"),
        (lambda m: m.update({"extra.bin": b"x"}), "holds 'extra.bin'"),
        (lambda m: m.pop("model.onnx"), "model.onnx is missing"),
        (lambda m: m.update({"model.onnx": b"other"}), "does not match its hash"),
        (edit_manifest(schema="chipwise.plan/9"), 'schema "chipwise.plan/9"'),
        (edit_manifest(schema=None), "schema null"),
        (edit_manifest(seed="zero"), "Expected `int`"),
        (edit_manifest(goal="speed"), "goal"),
        (edit_manifest(inputs=[]), "1 sample inputs for 0 inputs"),
        (lambda m: m.update({"manifest.json": b"[" * 100_000}), "cannot be read"),
    ],
)
def test_hostile_archives_are_refused(plan_bytes: bytes, tmp_path: Path, change, says: str) -> None:
    path = tmp_path / "hostile.plan"
    rewrite(plan_bytes, path, change)
    with pytest.raises(PlanError) as caught:
        read_plan(path)
    assert says in caught.value.message
    assert "\n" not in caught.value.message


def test_zip_bomb_is_refused_unread(plan_bytes: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bomb.plan"
    rewrite(plan_bytes, path, lambda m: m.update({"model.onnx": bytes(200 << 20)}), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(PlanError, match="compressed"):
        read_plan(path)


def test_sample_header_cannot_ask_for_memory(plan_bytes: bytes, tmp_path: Path) -> None:
    path = tmp_path / "huge.plan"

    def change(members: dict[str, bytes]) -> None:
        body = members["sample/input_0.npy"].replace(b"(1, 4), }       ", b"(1099511627776,)")
        assert body != members["sample/input_0.npy"]
        members["sample/input_0.npy"] = body
        manifest = json.loads(members["manifest.json"])
        manifest["files"]["sample/input_0.npy"] = {"size_bytes": len(body), "sha256": sha256_bytes(body)}
        members["manifest.json"] = json.dumps(manifest).encode()

    rewrite(plan_bytes, path, change)
    with pytest.raises(PlanError, match="input_0"):
        read_plan(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"\x89PNG\r\n\x1a\n" + b"0" * 100, b"PK\x05\x06" + bytes(18)])
def test_not_a_plan(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.plan").write_bytes(content)
    with pytest.raises(PlanError, match="not a plan file"):
        read_plan(tmp_path / "x.plan")


def test_missing_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.plan", tmp_path):
        with pytest.raises(PlanError, match="cannot read plan"):
            read_plan(path)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="POSIX only")
def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.plan"
    write_plan(path, make_plan())
    before = path.read_bytes()

    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        write_plan(path, make_plan())
    assert path.read_bytes() == before
    assert stat.S_ISREG(path.stat().st_mode)
    assert list(tmp_path.iterdir()) == [path]
