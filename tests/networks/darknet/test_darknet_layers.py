"""Every layer type gives what Darknet's own loops give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from files import network, numbers, picture, run, written
from literal import FUNCTIONS, Net, shapes
from onnx.reference import ReferenceEvaluator

from chipwise.core.errors import NetworkError
from chipwise.networks.darknet.activations import ACTIVATIONS
from chipwise.networks.darknet.build import LAYERS, build
from chipwise.networks.darknet.cfg import parse
from chipwise.networks.darknet_file import load
from chipwise.networks.layers import layer_rows
from chipwise.networks.onnx_file import serialize

CONV = "[convolutional]\nfilters={n}\nsize=1\nactivation=linear\n"
LINEAR = CONV.format(n=4)

CASES = {
    "conv": "[convolutional]\nfilters=4\nsize=3\nstride=2\npad=1\nbatch_normalize=1\nactivation=leaky",
    "conv-bias": "[conv]\nfilters=2\nsize=2\npadding=1\nactivation=relu",
    "conv-groups": LINEAR + "[convolutional]\nfilters=6\nsize=3\ngroups=2\npad=1\nactivation=linear",
    "conv-uneven": "[convolutional]\nfilters=2\nsize=3\nstride_x=1\nstride_y=2\npad=1",
    "conv-dilated": "[convolutional]\nfilters=2\nsize=3\npad=1\ndilation=2\nactivation=swish",
    "max-2": "[maxpool]\nsize=2\nstride=2",
    "max-2-1": "[maxpool]\nsize=2\nstride=1",
    "max-3-2": "[max]\nsize=3\nstride=2",
    "max-5-1": "[maxpool]\nsize=5\nstride=1",
    "max-padded": "[maxpool]\nsize=3\nstride=2\npadding=1",
    "max-bare": "[maxpool]\nsize=3\nstride=3\npadding=0",
    "avg": LINEAR + "[avgpool]",
    "route": LINEAR + CONV.format(n=2) + "[route]\nlayers=-1, 0",
    "route-back": LINEAR + CONV.format(n=2) + "[route]\nlayers=-2",
    "route-groups": LINEAR + CONV.format(n=6) + "[route]\nlayers=-1,-2\ngroups=2\ngroup_id=1",
    "shortcut": LINEAR + LINEAR + "[shortcut]\nfrom=-2\nactivation=leaky",
    "shortcut-several": LINEAR * 3 + "[shortcut]\nfrom=-2,-3",
    "shortcut-fewer": LINEAR + CONV.format(n=6) + "[shortcut]\nfrom=0\nactivation=relu",
    "shortcut-more": CONV.format(n=6) + LINEAR + "[shortcut]\nfrom=-2",
    "shortcut-larger": LINEAR + "[maxpool]\nsize=2\nstride=2\n" + CONV.format(n=6) + "[shortcut]\nfrom=0",
    "scale-channels": LINEAR + "[avgpool]\n" + LINEAR + "[scale_channels]\nfrom=-3",
    "scale-pixels": LINEAR + CONV.format(n=1) + "[scale_channels]\nfrom=-2\nscale_wh=1\nactivation=relu",
    "sam": LINEAR + LINEAR + "[sam]\nfrom=-2",
    "activation": "[activation]\nactivation=mish",
    "upsample": "[upsample]\nstride=2",
    "upsample-scaled": "[upsample]\nstride=3\nscale=0.5",
    "reorg": LINEAR + "[reorg]\nstride=2",
    "reorg-reverse": LINEAR + "[reorg]\nstride=2\nreverse=1",
    "crop": "[crop]\ncrop_height=5\ncrop_width=4\nflip=1\nangle=7",
    "crop-plain": "[crop]\ncrop_height=3\ncrop_width=8\nnoadjust=1",
    "local": "[local]\nfilters=2\nsize=3\nstride=1\npad=1\nactivation=leaky",
    "local-bare": "[local]\nfilters=2\nsize=2\nstride=2\nactivation=linear",
    "local-5": "[local]\nfilters=2\nsize=5\nstride=3\npad=1",
    "connected": "[connected]\noutput=5\nactivation=ramp",
    "connected-norm": "[connected]\noutput=5\nbatch_normalize=1\nactivation=relu\n[dropout]\n[connected]\noutput=3",
    "connected-conv": "[connected]\noutput=5\n[convolutional]\nfilters=2\nactivation=linear",
    "softmax": "[connected]\noutput=6\nactivation=linear\n[softmax]\n[cost]",
    "softmax-groups": "[conn]\noutput=6\nactivation=linear\n[soft]\ngroups=2\ntemperature=3",
}


def literal_text(text: str) -> str:
    """The cfg with the long names of its layers, which the loops know."""
    for short, long in (("conv", "convolutional"), ("max", "maxpool"), ("conn", "connected"), ("soft", "softmax")):
        text = text.replace(f"[{short}]", f"[{long}]")
    return text


@pytest.mark.parametrize("name", CASES)
def test_layers_equal_darknets_loops(name: str, tmp_path: Path) -> None:
    text = picture(CASES[name], h=9 if name.startswith("max") else 8)
    values = numbers(text)
    net = network(tmp_path, text, values)
    onnx.checker.check_model(onnx.load_from_string(serialize(net)), full_check=True)
    x = np.random.default_rng(2).normal(size=(2, *net.inputs[0].shape[1:]))
    (got,) = run(net, x)
    reference = Net(literal_text(text), values)
    wanted = [reference.step(item.astype(np.float32))[-1] for item in x]
    assert got.shape[1:] == net.outputs[0].shape[1:]
    np.testing.assert_allclose(got.reshape(2, -1), np.reshape(wanted, (2, -1)), rtol=1e-4, atol=1e-5)
    if "uneven" not in name and "dilated" not in name and "reverse" not in name:
        assert [flow.shape for flow in build(parse(text)).flows] == shapes(literal_text(text))


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations_equal_darknets(name: str, tmp_path: Path) -> None:
    x = np.concatenate([np.linspace(-9, 9, 120), [-4, -2, -1, 0, 1, 2, 4, 6]]).astype(np.float32)
    (got,) = run(network(tmp_path, picture(f"[activation]\nactivation={name}", 1, 8, 16)), x.reshape(1, 1, 8, 16))
    np.testing.assert_allclose(got.reshape(-1), [FUNCTIONS[name](float(each)) for each in x], rtol=1e-4, atol=2e-5)


RECURRENT = {
    "rnn": "[rnn]\noutput=3\nhidden=4\nactivation=leaky\nbatch_normalize=1",
    "rnn-shortcut": "[rnn]\noutput=4\nactivation=tanh\nshortcut=1\nlogistic=1",
    "rnn-loggy": "[rnn]\noutput=2\nlogistic=2",
    "gru": "[gru]\noutput=4",
    "gru-tanh": "[gru]\noutput=3\ntanh=1\nbatch_normalize=1",
    "lstm": "[lstm]\noutput=4",
    "lstm-norm": "[lstm]\noutput=3\nbatch_normalize=1",
    "two": "[gru]\noutput=4\n[lstm]\noutput=3\n[connected]\noutput=2\nactivation=linear\n[softmax]",
}


@pytest.mark.parametrize("name", RECURRENT)
@pytest.mark.parametrize("version", [(0, 2, 0), (0, 2, 5)], ids=["pjreddie", "AlexeyAB"])
def test_recurrent_layers_remember_as_darknet_does(name: str, version: tuple[int, int, int], tmp_path: Path) -> None:
    text = "[net]\ninputs=5\ntime_steps=576\n" + RECURRENT[name]
    values = np.random.default_rng(3).uniform(0.1, 1, numbers(text).size).astype(np.float32)
    net = load(*written(tmp_path, text, values, version))
    stream = net.task.stream
    assert net.task.kind == "sequence"
    assert stream is not None
    assert [spec.name for spec in net.inputs[1:]] == [before for before, _ in stream.states]
    assert [spec.name for spec in net.outputs[1:]] == [after for _, after in stream.states]
    reference = Net(text, values, forked=version[2] == 5)
    states = [np.zeros((1, *spec.shape[1:])) for spec in net.inputs[1:]]
    for x in np.random.default_rng(4).normal(size=(4, 1, 5)).astype(np.float32):
        answer, *states = run(net, x, *states)
        np.testing.assert_allclose(answer.reshape(-1), reference.step(x[0])[-1].reshape(-1), rtol=1e-4, atol=1e-5)


def test_the_tests_know_every_layer_type() -> None:
    drawn = {kind for text in (*CASES.values(), *RECURRENT.values()) for kind in LAYERS if f"[{kind}]" in text}
    heads = {"yolo", "region", "detection"}  # they draw nothing: test_darknet_task.py
    assert set(LAYERS) - drawn - heads == {"avg", "reorg3d"}
    assert LAYERS["avg"] is LAYERS["avgpool"]


@pytest.mark.parametrize("reverse", [0, 1])
def test_reorg3d_is_space_to_depth(reverse: int, tmp_path: Path) -> None:
    net = network(tmp_path, picture(f"[reorg3d]\nstride=2\nreverse={reverse}", c=4, h=4, w=6))
    x = np.random.default_rng(5).normal(size=(1, 4, 4, 6)).astype(np.float32)
    op, size = ("DepthToSpace", (1, 1, 8, 12)) if reverse else ("SpaceToDepth", (1, 16, 2, 3))
    node = onnx.helper.make_node(op, ["x"], ["y"], blocksize=2)
    (wanted,) = ReferenceEvaluator(node).run(None, {"x": x})
    (got,) = run(net, x)
    assert got.shape == size
    assert np.array_equal(got, wanted)


def test_softmax_over_each_pixel(tmp_path: Path) -> None:
    (got,) = run(network(tmp_path, picture("[softmax]\nspatial=1")), np.random.default_rng(6).normal(size=(1, 3, 8, 8)))
    assert got.shape == (1, 3, 8, 8)
    np.testing.assert_allclose(got.sum(axis=1), 1, rtol=1e-6)


def test_rows_are_named_after_darknets_layers(tmp_path: Path) -> None:
    text = picture(CASES["conv"] + "\n[dropout]\n" + LINEAR + "[shortcut]\nfrom=0\n[upsample]\n[route]\nlayers=-1,4")
    rows = layer_rows(network(tmp_path, text))
    assert [(row.name, row.op) for row in rows] == [
        ("000_convolutional", "Conv"),
        ("000_batchnorm", "BatchNormalization"),
        ("002_convolutional", "Conv"),
        ("003_shortcut", "Add"),
        ("004_upsample", "Resize"),
        ("005_route", "Concat"),
    ]
    assert rows[0].kernel == (3, 3)
    assert rows[0].stride == (2, 2)
    assert rows[3].after == ("002_convolutional", "000_batchnorm")
    assert all(row.known for row in rows)


def test_initializers_are_named_after_layers(tmp_path: Path) -> None:
    graph = network(tmp_path, picture(CASES["conv"] + "\n[connected]\noutput=2")).graph
    assert graph is not None
    assert list(graph.graph.initializers) == [
        *("000.bn.bias", "000.bn.scale", "000.bn.mean", "000.bn.var", "000.conv.weight"),
        *("001.connected.bias", "001.connected.weight"),
    ]


REFUSED = [
    ("[gaussian_yolo]", "[gaussian_yolo] (line 5) is not supported"),
    ("[convolutional]\nxnor=1", "xnor=1 (line 6) is not supported"),
    ("[convolutional]\nshare_index=0", "share_index"),
    ("[convolutional]\nactivation=normalize_channels", "activation normalize_channels"),
    ("[convolutional]\nfilters=4\ngroups=2", "2 groups"),
    ("[convolutional]\nsize=9", "leaves nothing: its output would be 1 x 0 x 0"),
    ("[convolutional]\nsize=3\ndilation=2", "dilation=2"),
    ("[maxpool]\nmaxpool_depth=1", "maxpool_depth=1 (line 6)"),
    ("[maxpool]\nsize=2\npadding=9", "some windows see nothing"),
    ("[route]\nlayers=0", "names layer 0"),
    ("[route]\nlayers=-1", "names layer -1"),
    ("[route]", "names 0 layers"),
    ("[maxpool]\nsize=2\nstride=2\n[upsample]\n[route]\nlayers=0,1", "different sizes: 3 x 4 x 4, 3 x 8 x 8"),
    ("[maxpool]\n[route]\nlayers=0\ngroups=2", "2 groups"),
    ("[maxpool]\nsize=2\nstride=2\n[upsample]\n[shortcut]\nfrom=0", "adds 3 x 4 x 4 to 3 x 8 x 8"),
    ("[maxpool]\n[shortcut]\nfrom=0\nweights_type=per_channel", "weights_type=per_channel"),
    ("[maxpool]\n[shortcut]\nfrom=0\nalpha=0.5", "alpha"),
    ("[maxpool]\n[scale_channels]\nfrom=-1", "needs factors of 3 x 1 x 1"),
    ("[maxpool]\n[sam]\nfrom=-1,0", "names 2 layers"),
    ("[crop]\ncrop_height=9\ncrop_width=2", "keeps 9 x 2 of 8 x 8"),
    ("[reorg]\nstride=2", "does not divide 3 x 8 x 8"),
    ("[reorg]\nflatten=1", "flatten=1"),
    ("[local]\nsize=2\npad=1", "pads a window of 2"),
    ("[local]\nsize=9", "window of 9 x 9 on 8 x 8"),
    ("[upsample]\nstride=40\n[local]\nsize=5\npad=1\n", "102400 places"),
    ("[softmax]\ntree=9k.tree", "tree"),
    ("[softmax]\ngroups=5", "5 groups"),
    ("[upsample]\nstride=-2", "stride=-2 cannot be used"),
    ("[region]\ntree=9k.tree\nsoftmax=1", "tree"),
    ("[region]\nsoftmax=0", "softmax=1"),
    ("[yolo]\nnum=1\nanchors=1,2\nclasses=80", "takes 85 channels"),
    ("[yolo]\nnum=2\nanchors=1,2", "2 numbers in anchors="),
    ("[yolo]\nnum=1\nmask=1\nanchors=1,2", "mask=1 and num=1"),
    ("[detection]\nsqrt=0", "sqrt=1"),
    ("[detection]\nsqrt=1\ncoords=4\nside=7", "takes 294 values, 192 come in"),
    ("[connected]\noutput=0", "output=0 cannot be used"),
    ("[connected]\noutput=1000000\n[connected]\noutput=1000000", "brings the weights to"),
    ("[upsample]\nstride=64\n[upsample]\nstride=64\n[upsample]\nstride=64", "values"),
    ("[convolutional]\nfilters=1.5", "filters=1.5 cannot be used"),
]


@pytest.mark.parametrize(("layers", "problem"), REFUSED, ids=[problem for _, problem in REFUSED])
def test_what_cannot_be_built_is_refused_by_name(layers: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "net.cfg"
    path.write_text(picture(layers))
    with pytest.raises(NetworkError) as caught:
        load(path, None)
    assert problem in caught.value.message
    assert caught.value.message.startswith(str(path))
    assert "line" in caught.value.message
    assert caught.value.hint
