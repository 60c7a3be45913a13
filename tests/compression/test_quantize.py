"""A trained network in fixed point, end to end; and the module that is fine-tuned computes what the file computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

pytest.importorskip("torch")
import torch

import chipwise
from chipwise.compression.fixed_layout import lay_out
from chipwise.compression.fixed_point import Fixed
from chipwise.compression.fixed_training import formats_of, round_in_place, seen
from chipwise.compression.qdq import fitting, written
from chipwise.compression.quantize import scores_in_runtime
from chipwise.core.errors import DataError, InputError, NetworkError, UnknownNameError
from chipwise.core.fixed_point import Per
from chipwise.networks.onnx_file import from_model, serialize
from chipwise.training.trainable import trainable

from .fixed_graphs import random_network
from .graphs import two_layers

pytestmark = pytest.mark.runtime
QUICK = {"threads": 1, "augment": "none"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    chipwise.train("lenet-300-100", "digits", folder=folder, epochs=4, **QUICK)
    return folder


@pytest.mark.parametrize("per", ["channel", "tensor"])
def test_eight_bits_lose_no_more_than_three_tenths_of_a_point(trained: Path, tmp_path: Path, per: Per) -> None:
    made = chipwise.quantize(trained, "digits", output=tmp_path / "x.onnx", per=per, **QUICK)
    print(f"{per}: {made.test}")
    assert made.test is not None
    assert made.test.drop <= 0.003
    assert made.floating == ()
    assert made.agreement.exact
    assert (made.agreement.compared, made.agreement.equal) == (2000, 2000)
    assert {each.role for each in made.tensors} == {"activations", "weights"}
    several = {len(each.radix) for each in made.tensors if each.role == "weights"}
    assert several == ({300, 100, 10} if per == "channel" else {1})


def test_the_file_holds_integers_and_powers_of_two_and_is_a_network(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    made = chipwise.quantize(trained, "digits", output=path, **QUICK)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    arrays = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    steps = [node.input for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert len(steps) == 12
    assert all((np.frexp(arrays[scale])[0] == 0.5).all() for _, scale, _ in steps)
    assert {int(zero) for _, _, name in steps for zero in np.ravel(arrays[name])} <= {0, 128}
    assert chipwise.inspect(path).name == "x"
    again = chipwise.quantize(trained, "digits", output=path, **QUICK)
    assert again.tensors == made.tensors


def test_fine_tuning_is_done_where_it_is_asked_for(trained: Path, tmp_path: Path) -> None:
    made = chipwise.quantize(trained, "digits", output=tmp_path / "x.onnx", epochs=1, **QUICK)
    assert made.epochs == 1
    assert made.untuned is not None
    assert made.kept == (1 if made.validation.drop < made.untuned.drop else 0)
    assert made.agreement.equal == made.agreement.compared


@pytest.mark.parametrize("bits", [8, 16])
def test_the_module_that_is_trained_computes_what_the_file_computes(bits: int) -> None:
    layout = lay_out(random_network(5, ["Conv", "Relu", "MaxPool"]), keep_sums=bits == 8)
    made, inputs = trainable(layout.graph), torch.randn(20, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for name in made.biases:  # the only thing that is not rounded in training: their steps are the accumulator's
            getattr(made.module.inner, made.place(name)).zero_()
    found, values = seen(made, layout, inputs, bits)
    arrays = made.values()
    formats = formats_of(layout, values, arrays, bits, "channel")
    scores = scores_in_runtime(serialize(from_model(written(layout, formats, arrays), "x")), inputs.numpy())
    floats = made.module(inputs).detach().numpy()
    round_in_place(made, layout, formats)
    assert np.abs(made.module(inputs).detach().numpy() - scores).max() < (1e-6 if bits == 8 else 1e-3)
    assert bits == 16 or np.abs(floats - scores).max() > 1e-2
    made.module(inputs).sum().backward()
    gradients = [each.grad for each in made.module.parameters()]
    assert all(each is not None and each.abs().sum() > 0 for each in gradients)
    assert found["x"].count == inputs.numel()
    assert found["x"].low == inputs.min()


def test_radix_points_of_a_calibration_are_the_best_for_all_of_it() -> None:
    layout = lay_out(two_layers())
    made, inputs = trainable(layout.graph), torch.randn(350, 8, generator=torch.Generator().manual_seed(0))
    found, values = seen(made, layout, inputs, 8)
    errors = found["x"].errors
    assert values["x"].signed
    assert errors[values["x"].radix] == min(errors.values())
    for radix, error in errors.items():  # in batches as in one piece
        whole = (inputs.numpy().astype(np.float64) * 2.0**radix).round().clip(-128, 127)
        assert error == pytest.approx(((whole * 2.0**-radix - inputs.numpy()) ** 2).sum(), rel=1e-6)
    with pytest.raises(DataError, match="is not finite"):
        seen(made, layout, inputs.index_fill(0, torch.tensor([3]), torch.inf), 8)


def test_weights_are_coarser_where_a_bias_would_not_fit() -> None:
    forms = (Fixed(8, True, 20), Fixed(8, True, 20))
    bias = np.array([0.5, 200.0], np.float32)
    assert [form.radix for form in fitting(forms, bias, 10)] == [20, 12]
    assert [form.radix for form in fitting(forms[:1], bias, 10)] == [12]
    assert fitting(forms, None, 10) == forms


def test_bad_input_is_refused(trained: Path, tmp_path: Path) -> None:
    for wrong, error, says in (
        ({"bits": 7}, InputError, "bits is 7"),
        ({"per": "row"}, UnknownNameError, "unknown kind of radix points 'row'"),
        ({"epochs": -1}, InputError, "epochs is -1"),
        ({"calibrate": 0}, InputError, "calibrate is 0"),
        ({"output": tmp_path / "x.plan"}, InputError, "cannot quantize to"),
    ):
        with pytest.raises(error, match=says):
            chipwise.quantize(trained, "digits", **{"output": tmp_path / "x.onnx", **wrong})
    with pytest.raises(NetworkError, match="is not trained"):
        chipwise.quantize("lenet5", "digits", output=tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()


def test_a_fixed_batch_is_filled_up() -> None:
    """Seven samples through a graph that takes four: the last batch lacks one."""
    text = '<ir_version: 8, opset_import: ["": 18]> g (float[4, 2] x) => (float[4, 2] y) { y = Neg(x) }'
    inputs = np.arange(14, dtype=np.float32).reshape(7, 2)
    file = serialize(from_model(ir.from_onnx_text(text), "fixed"))
    assert np.array_equal(scores_in_runtime(file, inputs), -inputs)
