"""PyTorch's code compiled ahead of time: kept, loaded without compiling, made again, and what takes its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.runtime

from chipwise.runtimes import EngineOptions, inductor, torch_native  # noqa: E402

if inductor.obstacle():
    pytest.skip(inductor.obstacle(), allow_module_level=True)

WEIGHT = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
GIVEN = np.random.default_rng(1).standard_normal((2, 5)).astype(np.float32)


def model() -> bytes:
    """A product, an input passed through, and a constant."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        helper.make_node("Relu", ["p"], ["y"]),
        helper.make_node("Identity", ["x"], ["same"]),
        helper.make_node("Identity", ["w"], ["constant"]),
    ]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 5])],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4]),
            helper.make_tensor_value_info("same", TensorProto.FLOAT, ["batch", 5]),
            helper.make_tensor_value_info("constant", TensorProto.FLOAT, [5, 4]),
        ],
        [numpy_helper.from_array(WEIGHT, "w")],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def check(engine: inductor.TorchEngine) -> None:
    given = GIVEN.copy()
    product, same, constant = engine.run([given])
    given[...] = 0
    same_again, constant_again = engine.run([given])[1:]
    np.testing.assert_allclose(product, np.maximum(GIVEN @ WEIGHT, 0), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(same, GIVEN)
    np.testing.assert_array_equal(same_again, given)
    constant[...] = 9
    np.testing.assert_array_equal(constant_again, WEIGHT)
    np.testing.assert_array_equal(engine.run([given])[2], WEIGHT)


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise RuntimeError("AOTInductor says no")

    monkeypatch.setattr(torch_native, "aoti_compile_and_package", refuse)


def test_compiled_once_kept_and_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIPWISE_CACHE", str(tmp_path))
    options = EngineOptions(batch=2)
    engine = inductor.build(model(), options)
    check(engine)
    engine.close()
    (package,) = (tmp_path / "engines").glob("*.pt2")
    with monkeypatch.context() as patch:
        forbid(patch)
        engine = inductor.build(model(), options)
        check(engine)
        engine.close()
    whole = package.read_bytes()
    package.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    compiled = []

    def restore(program: object, *, package_path: str, **options: object) -> None:
        compiled.append(package_path)
        Path(package_path).write_bytes(whole)

    monkeypatch.setattr(torch_native, "aoti_compile_and_package", restore)
    check(inductor.build(model(), options))
    assert len(compiled) == 1


def test_what_cannot_be_compiled_ahead_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIPWISE_CACHE", str(tmp_path))
    monkeypatch.setattr(torch, "compile", lambda module, **options: module)
    forbid(monkeypatch)
    with pytest.warns(UserWarning, match="ahead of time: AOTInductor says no; torch.compile takes its place"):
        engine = inductor.build(model(), EngineOptions(batch=2))
    check(engine)


@pytest.mark.slow
def test_torch_compile_takes_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIPWISE_CACHE", str(tmp_path))
    forbid(monkeypatch)
    with pytest.warns(UserWarning, match="torch.compile takes its place"):
        engine = inductor.build(model(), EngineOptions(batch=2))
    check(engine)
    check(inductor.build_default(model()))


@pytest.mark.parametrize("change", ["graph", "precision", "threads", "shape", "type", "machine"])
def test_whatever_decides_the_code_is_in_the_key(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {"graph": "a", "precision": "fp32", "threads": 1}
    example = torch.zeros(2, 3)
    before = torch_native._key(torch_native.Wanted(**facts), [example])
    if change in facts:
        facts[change] = 2 if change == "threads" else "other"
    example = {"shape": torch.zeros(3, 3), "type": example.int()}.get(change, example)
    if change == "machine":
        monkeypatch.setattr(torch_native, "machine_digest", lambda: "other")
    assert torch_native._key(torch_native.Wanted(**facts), [example]) != before


def test_code_that_does_not_load_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIPWISE_CACHE", str(tmp_path))
    made: list[str] = []

    def write(program: object, *, package_path: str, **options: object) -> None:
        made.append(package_path)
        Path(package_path).write_bytes(b"no package")

    monkeypatch.setattr(torch_native, "aoti_compile_and_package", write)
    monkeypatch.setattr(torch, "compile", lambda module, **options: module)
    with pytest.warns(UserWarning, match="torch.compile takes its place"):
        check(inductor.build(model(), EngineOptions(batch=2)))
    assert len(made) == 2
