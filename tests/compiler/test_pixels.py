"""Plans that take uint8 pictures: judged and timed against a source that is given the same pictures as floats."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx.parser
import pytest

from chipwise.compiler.bench import bench_plan
from chipwise.compiler.check import check_plan
from chipwise.compiler.compile import compile_plan
from chipwise.compiler.load import open_plan
from chipwise.compiler.options import CompileOptions
from chipwise.compiler.pixels import taking_pixels
from chipwise.compiler.runner import from_plan
from chipwise.compiler.subject import make_subject, predicted_classes
from chipwise.core.errors import DataError, NetworkError
from chipwise.core.network import Network
from chipwise.core.plan import Plan
from chipwise.core.task import Preprocess, Task
from chipwise.datasets.dataset import Dataset, make
from chipwise.devices.detect import detect
from chipwise.networks.onnx_file import from_bytes, serialize
from chipwise.tasks.preprocess import prepare

OPTIONS = CompileOptions(budget_s=4, runtimes=("onnxruntime",), uint8=True)


@pytest.fixture(scope="module")
def pixels(classifier: Network, source: bytes, digits: Dataset) -> Plan:
    return compile_plan(classifier, source, (), OPTIONS, detect(), data=digits)


@pytest.fixture(scope="module")
def alike(classifier: Network, source: bytes, digits: Dataset) -> tuple[Plan, Plan]:
    """Plans with uint8 and with floats that may give up nothing; with the usual limit a quicker int8 ships."""
    exact = replace(OPTIONS, max_drop=0.0)
    both = (exact, replace(exact, uint8=False))
    first, second = (compile_plan(classifier, source, (), each, detect(), data=digits) for each in both)
    return first, second


def test_the_plan_takes_uint8_and_says_so(pixels: Plan, classifier: Network, source: bytes) -> None:
    facts = pixels.manifest
    assert [(spec.dtype, spec.shape[1:]) for spec in facts.inputs] == [("uint8", (1, 8, 8))]
    assert pixels.sample_inputs[0].dtype == np.uint8
    assert facts.task.preprocess == replace(classifier.task.preprocess, scale=1.0)
    assert facts.source.preprocess == classifier.task.preprocess
    assert facts.source.size_bytes == len(source)
    assert facts.passes[0] == "took preprocessing of uint8 pictures into the network, all of it in the weights"
    assert "prepared beforehand" in facts.why
    assert not facts.choice.source, "the source takes floats"
    int8 = [each for each in facts.candidates if each.choice.quantizer and each.accuracy is not None]
    assert int8, "quantizers calibrate with uint8 pictures, and the guard judges what they make"
    assert all(each.accuracy.candidate.value > 0.8 for each in int8)


def test_same_classes_as_the_source(alike: tuple[Plan, Plan], digits: Dataset) -> None:
    pixels, plan = alike
    test = digits.split().test
    answered = predicted_classes(open_plan(pixels, detect()), prepare(test.inputs, Preprocess(8, 8, scale=1), "uint8"))
    wanted = predicted_classes(open_plan(plan, detect()), prepare(test.inputs, Preprocess(8, 8)))
    np.testing.assert_array_equal(answered, wanted)
    pictures = [from_plan(each, "x.plan", detect()).predict(test.inputs[0], top=3) for each in (pixels, plan)]
    assert [name for name, _ in pictures[0].top] == [name for name, _ in pictures[1].top]


@pytest.mark.parametrize("with_data", [True, False])
def test_the_source_sees_the_same_pictures(
    classifier: Network, source: bytes, digits: Dataset, *, with_data: bool
) -> None:
    data = digits if with_data else None
    subject = make_subject(classifier, source, (), data, seed=0, machine=detect(), uint8=True)
    (sample,), (given,) = subject.sample, subject.source_sample
    assert (sample.dtype, given.dtype) == (np.uint8, np.float32)
    assert sample.max() > 100, "pixels, not zeros and ones"
    np.testing.assert_allclose(given, sample / 255, rtol=1e-6)
    before = make_subject(classifier, source, (), data, seed=0, machine=detect())
    if with_data:
        np.testing.assert_array_equal(given, before.sample[0])
        np.testing.assert_array_equal(subject.expected[0], before.expected[0])
        np.testing.assert_array_equal(subject.guard.held_out.source_right, before.guard.held_out.source_right)
        assert subject.guard.held_out.inputs.dtype == subject.guard.calibration.dtype == np.uint8


def test_check_compares_with_the_source_on_floats(alike: tuple[Plan, Plan], source: bytes, digits: Dataset) -> None:
    found, usual = (check_plan(each, "x", source, digits, detect(), max_drop=None) for each in alike)
    assert found.drop.source == usual.drop.source
    assert found.drop.source.value > 0.8
    assert (found.drop.lost, found.drop.won) == (0, 0)


def test_bench_says_that_peers_had_less_to_do(pixels: Plan, source: bytes) -> None:
    result = bench_plan(pixels, "x", source, detect(), peers=("onnxruntime",), budget_s=0.5)
    assert [row.note for row in result.rows] == ["", "its floats prepared beforehand"]
    assert all(row.timing is not None for row in result.rows)


def test_arrays_are_refused(classifier: Network, source: bytes, pixels: Plan) -> None:
    arrays = make("arrays", np.zeros((40, 1, 8, 8), np.float32), np.arange(40) % 10, tuple("0123456789"))
    with pytest.raises(DataError, match="arrays holds arrays"):
        make_subject(classifier, source, (), arrays, seed=0, machine=detect(), uint8=True)
    with pytest.raises(DataError, match="arrays holds arrays"):
        check_plan(pixels, "x", source, arrays, detect(), max_drop=None)


@pytest.mark.parametrize(
    ("text", "seen", "says"),
    [
        ("g (float[N, 1, 8, 8] x, float[N, 1, 8, 8] z) => (float[N, 1, 8, 8] y) { y = Add(x, z) }", None, "2 inputs"),
        ("g (float[N, 5] x) => (float[N, 5] y) { y = Relu(x) }", None, "takes arrays, not pictures"),
        (
            "g (float[N, 4, 8, 8] x) => (float[N, 4, 8, 8] y) { y = Relu(x) }",
            Preprocess(8, 8, 3, "RGB"),
            "(?s)cannot take uint8 pictures: .*4,8,8.*hint: it should be float, NCHW with 3 at axis 1",
        ),
    ],
)
def test_networks_that_cannot_take_it(text: str, seen: Preprocess | None, says: str) -> None:
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {text}')
    network = from_bytes(model.SerializeToString(), "net", task=Task("tensor", preprocess=seen))
    with pytest.raises(NetworkError, match=says) as raised:
        taking_pixels(network)
    assert "leave uint8 out" in raised.value.hint


def test_a_network_that_takes_uint8_stays_as_it_is(digits: Dataset) -> None:
    text = "g (uint8[N, 1, 8, 8] x) => (float[N, 64] y) { f = Cast <to = 1> (x)  y = Flatten(f) }"
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {text}')
    network = from_bytes(model.SerializeToString(), "net", task=Task("tensor", preprocess=Preprocess(8, 8, scale=1)))
    subject = make_subject(network, serialize(network), (), None, seed=0, machine=detect(), uint8=True)
    assert subject.source_preprocess is None
    assert subject.source_sample == subject.sample
