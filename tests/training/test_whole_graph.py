"""A graph without a torch source as something to train: what learns, what is refused, what is held."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

torch = pytest.importorskip("torch")

from chipwise.core.errors import InputError, NetworkError  # noqa: E402
from chipwise.core.network import Network  # noqa: E402
from chipwise.networks.onnx_file import from_bytes  # noqa: E402
from chipwise.training.feed import Feed  # noqa: E402
from chipwise.training.freeze import frozen_part, hold_zeros  # noqa: E402
from chipwise.training.loop import Lesson, run_epoch  # noqa: E402
from chipwise.training.optimizer import build_optimizer  # noqa: E402
from chipwise.training.settings import Settings  # noqa: E402
from chipwise.training.whole_graph import WholeGraph, check_graph, whole_graph  # noqa: E402

pytestmark = pytest.mark.runtime

QUICK = Settings(epochs=1, batch_size=16, learning_rate=0.05, augment="none", threads=1)
NORMED = (
    "c = Conv(x, k, b) n = BatchNormalization(c, scale, offset, mean, variance) e = Add(n, tiny) r = Relu(e) "
    "p = GlobalAveragePool(r) f = Flatten(p) m = MatMul(f, w) y = Add(m, last)"
)
NORMED_SHAPES = {
    "k": (4, 1, 3, 3), "b": (4,), "scale": (4,), "offset": (4,), "mean": (4,), "variance": (4,), "tiny": (),
    "w": (4, 3), "last": (3,),
}  # fmt: skip


def network(body: str, shapes: dict[str, tuple[int, ...]], takes: str = "N, 1, 5, 5", gives: str = "N, 3") -> Network:
    """A graph with initializers drawn at random; all are positive, so that they may be variances."""
    told = ", ".join(f"float[{','.join(map(str, shape))}] {name}" for name, shape in shapes.items())
    model = ir.from_onnx_text(
        f'<ir_version: 8, opset_import: ["": 18]> g (float[{takes}] x, {told}) => (float[{gives}] y) {{ {body} }}'
    )
    random = np.random.default_rng(0)
    for value in list(model.graph.inputs)[1:]:
        array = random.uniform(0.1, 1.0, shapes[str(value.name)]).astype(np.float32)
        value.const_value = ir.tensor(array, name=value.name)
        model.graph.inputs.remove(value)
        model.graph.register_initializer(value)
    return from_bytes(ir.to_proto(model).SerializeToString(), "tiny")


def computed(graph: ir.Model, x: np.ndarray) -> np.ndarray:
    return np.asarray(ReferenceEvaluator(ir.to_proto(graph)).run(None, {"x": x})[0])


def scores(made: WholeGraph, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return made.module.eval()(torch.from_numpy(x)).numpy()


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def learn(made: WholeGraph, x: np.ndarray, settings: Settings = QUICK) -> None:
    feed = Feed(torch.from_numpy(x), torch.arange(len(x)) % 3)
    run_epoch(Lesson(made.module, build_optimizer(made.module, settings), feed, settings), 1, lambda step, loss: None)


def values(graph: ir.Model) -> dict[str, np.ndarray]:
    return {str(name): value.const_value.numpy() for name, value in graph.graph.initializers.items()}  # type: ignore[union-attr]


def test_weights_biases_and_scales_learn_and_statistics_do_not() -> None:
    given = network(NORMED, NORMED_SHAPES)
    made, x = whole_graph(given), draw(48, 1, 5, 5)
    assert (made.layers, made.matrices, made.norms) == (
        (("k", "b", "scale", "offset"), ("w", "last")),
        ("k", "w"),
        1,
    )
    np.testing.assert_allclose(scores(made, x), computed(given.graph, x), rtol=1e-4, atol=1e-5)
    learn(made, x)
    after = made.with_state(made.module.state_dict())
    np.testing.assert_allclose(scores(made, x), computed(after, x), rtol=1e-4, atol=1e-5)
    before, now = values(given.graph), values(after)
    moved = {name for name in before if (before[name] != now[name]).any()}
    assert moved == {"k", "b", "scale", "offset", "w", "last"}, "neither statistics nor what is added as one number"
    assert [node.op_type for node in after.graph] == [node.op_type for node in given.graph.graph]


def test_weights_from_constant_nodes_and_behind_reshapes_learn() -> None:
    body = "s = Constant<value_ints = [4, 3]>() w = Reshape(flat, s) f = Flatten(x) y = MatMul(f, w)"
    made = whole_graph(network(body, {"flat": (12,)}, takes="N, 1, 2, 2"))
    assert len(made.matrices) == 1
    learn(made, draw(16, 1, 2, 2))
    (name,) = made.matrices
    state = made.with_state(made.module.state_dict())
    assert (values(state)[name].ravel() != values(made.graph)[name].ravel()).all()


def test_a_softmax_at_the_end_is_no_second_one_in_the_loss() -> None:
    given = network("f = Flatten(x) h = MatMul(f, w) y = Softmax(h)", {"w": (25, 3)})
    made, x = whole_graph(given), draw(8, 1, 5, 5)
    found = torch.from_numpy(scores(made, x))
    np.testing.assert_allclose(found.softmax(1).numpy(), computed(given.graph, x), rtol=1e-4, atol=1e-6)
    assert made.graph.graph[-1].op_type == "Softmax", "what is written ends as before"


def test_a_fixed_batch_becomes_free() -> None:
    body = "p = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x) f = Reshape(p, to) y = MatMul(f, w)"
    for dims in ((1, 4), (1, -1)):
        given = network(body, {"w": (4, 3), "to": (2,)}, takes="1, 1, 4, 4", gives="1, 3")
        target = given.graph.graph.initializers["to"]
        target.const_value = ir.tensor(np.array(dims, np.int64), name="to")
        target.dtype = ir.DataType.INT64
        made, x = whole_graph(given), draw(5, 1, 4, 4)
        one_by_one = np.concatenate([computed(given.graph, row[None]) for row in x])
        np.testing.assert_allclose(scores(made, x), one_by_one, rtol=1e-5)
        assert values(made.with_state(made.module.state_dict()))["to"].tolist() == list(dims)


def test_a_fixed_batch_that_mixes_samples_is_refused() -> None:
    body = "m = ReduceMean<keepdims = 1>(x, axes) d = Sub(x, m) f = Flatten(d) y = MatMul(f, w)"
    given = network(body, {"w": (25, 3), "axes": (2,)}, takes="1, 1, 5, 5", gives="1, 3")
    axes = given.graph.graph.initializers["axes"]
    axes.const_value, axes.dtype = ir.tensor(np.array([0, 1], np.int64), name="axes"), ir.DataType.INT64
    with pytest.raises(NetworkError, match="batches of 1, and mixes samples"):
        whole_graph(given)


@pytest.mark.parametrize(
    ("check", "text", "said"),
    [
        (
            check_graph,
            "(float[N, 2] x, float[N, 2] z) => (float[N, 2] y) { y = Add(x, z) }",
            r"2 inputs \(x float32 \[N, 2\], z",
        ),
        (check_graph, "(float16[N, 2] x) => (float16[N, 2] y) { y = Relu(x) }", r"takes float16 \[N, 2\]"),
        (
            check_graph,
            "(float[N, 2] x) => (int64[N] y) { y = ArgMax<axis = 1, keepdims = 0>(x) }",
            r"gives int64 \[N\]",
        ),
        (whole_graph, "(float[N, 2] x) => (float[N, 2] y) { y = Relu(x) }", "no layer with float32 weights"),
        (
            whole_graph,
            "(float[N, 2] x) => (float[N, 2] y) <float[2, 2] w = {1, 2, 3, 4}> { h = MatMul(x, w) y = Det(h) }",
            "Det",
        ),
    ],
    ids=["two inputs", "float16", "no scores", "no weights", "an operator without translation"],
)
def test_what_cannot_be_trained_is_refused_in_one_line(
    check: Callable[[Network], object], text: str, said: str
) -> None:
    model = ir.from_onnx_text(f'<ir_version: 8, opset_import: ["": 18]> g {text}')
    given = from_bytes(ir.to_proto(model).SerializeToString(), "tiny")
    with pytest.raises(NetworkError, match=said) as caught:
        check(given)
    assert caught.value.exit_code == 2


def test_layers_are_frozen_in_the_order_of_the_graph() -> None:
    made = whole_graph(network(NORMED, NORMED_SHAPES))
    x = draw(48, 1, 5, 5)
    settings = dataclasses.replace(QUICK, freeze="backbone", unfreeze_after=0)
    frozen = frozen_part(made.module, torch.from_numpy(x[:2]), "backbone")
    assert [tuple(value.shape) for value in frozen.weights] == [(4, 1, 3, 3), (4,), (4,), (4,)]
    feed = Feed(torch.from_numpy(x), torch.arange(len(x)) % 3)
    optimizer = build_optimizer(made.module, settings, frozen.weights)
    run_epoch(Lesson(made.module, optimizer, feed, settings, frozen=frozen), 1, lambda step, loss: None)
    before, now = values(made.graph), values(made.with_state(made.module.state_dict()))
    assert {name for name in before if (before[name] != now[name]).any()} == {"w", "last"}
    with pytest.raises(InputError, match="the network has 2 layers"):
        frozen_part(made.module, torch.from_numpy(x[:2]), 2)


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_zeros_are_held_whatever_moves_the_rest(optimizer: str) -> None:
    given = network(
        "f = Flatten(x) h = Gemm(f, v, b) r = Relu(h) y = MatMul(r, w)", {"v": (25, 8), "b": (8,), "w": (8, 3)}
    )
    assert given.graph is not None
    for name, value in given.graph.graph.initializers.items():
        array = value.const_value.numpy().copy()  # type: ignore[union-attr]
        array[np.random.default_rng(2).random(array.shape) < 0.5] = -0.0
        value.const_value = ir.tensor(array, name=name)
    made = whole_graph(given)
    before = values(made.graph)
    held, whole = hold_zeros(made.parameters())
    assert (held, whole) == (int((before["v"] == 0).sum() + (before["w"] == 0).sum()), 224)
    learn(made, draw(64, 1, 5, 5), dataclasses.replace(QUICK, optimizer=optimizer, weight_decay=0.1, l1=0.01))
    now = values(made.with_state(made.module.state_dict()))
    for name in ("v", "w"):
        np.testing.assert_array_equal(now[name] == 0, before[name] == 0)
        assert not np.signbit(now[name][now[name] == 0]).any()
    assert (now["b"] != 0).any(where=before["b"] == 0), "a bias that is zero may learn"
