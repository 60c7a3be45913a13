"""The Darknet family against Darknet's own cfg files: parameters, shapes, work, and the layers that torch has not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from chipwise.networks.load import load

torch = pytest.importorskip("torch")

from zoo_export import assert_runs_like_torch, parameters_and_shapes  # noqa: E402

from chipwise.networks.torch_source import build_module, examples_for  # noqa: E402
from chipwise.networks.zoo.darknet import Reorg, SteadyMaxPool  # noqa: E402

pytestmark = pytest.mark.runtime

# Published: ../shared/reference/published.md, as Darknet itself prints them for darknet19.cfg.
BFLOPS_19 = (
    *(0.113, 0.604, 0.604, 0.067, 0.604, 0.604, 0.067, 0.604, 0.604, 0.067),
    *(0.604, 0.067, 0.604, 0.604, 0.067, 0.604, 0.067, 0.604, 0.131),
)

# Trainable values, and billions of operations by Darknet's formula: both follow from the cfg files of
# github.com/pjreddie/darknet and github.com/AlexeyAB/darknet (yolov4, yolov4-tiny), see `sections` below.
TOTALS = {
    "darknet19": (20_842_376, 7.291),
    "darknet53": (41_609_928, 18.570),
    "yolov2": (50_962_889, 62.938),
    "yolov2-tiny": (11_232_057, 5.406),
    "yolov3": (61_949_149, 140.692),
    "yolov3-tiny": (8_852_366, 5.565),
    # The paper gives 128.459 BFLOPs at 608x608 with the poolings and activations, and "64 M" (Darknet: 64.4 M).
    "yolov4": (64_363_101, 128.389),
    "yolov4-tiny": (6_056_606, 6.908),
}
IN_SHARED = [name for name in TOTALS if name != "yolov4"]


@dataclass(frozen=True)
class Convolution:
    """Filter shape, output height and width, and billions of operations of one convolution."""

    weight: tuple[int, ...]
    pixels: tuple[int, int]
    bflops: float
    normed: bool


def convolutions(name: str) -> list[Convolution]:
    """Those of the zoo's network in the order in which they are registered, each of them run once."""
    network = load(name)
    with torch.device("meta"):
        module = build_module(network.source).eval()
    pixels: dict[int, tuple[int, int]] = {}
    layers = [part for part in module.modules() if isinstance(part, torch.nn.Conv2d)]
    for layer in layers:
        layer.register_forward_hook(lambda part, _, out: pixels.__setitem__(id(part), tuple(out.shape[2:])))
    module(*examples_for(network.inputs, 1, "meta"))
    return [
        Convolution(tuple(layer.weight.shape), pixels[id(layer)], bflops(layer.weight.shape, pixels[id(layer)]), not b)
        for layer in layers
        for b in [layer.bias is not None]
    ]


def bflops(weight: tuple[int, ...], pixels: tuple[int, int]) -> float:
    """Darknet's own formula (src/parser.c: 2 * n * size * size * c / groups * out_h * out_w / 1e9)."""
    return 2 * int(np.prod(weight)) * pixels[0] * pixels[1] / 1e9


def sections(path: Path) -> list[tuple[str, dict[str, str]]]:
    """The sections of a cfg file."""
    found: list[tuple[str, dict[str, str]]] = []
    for line in (raw.split("#")[0].strip() for raw in path.read_text().splitlines()):
        if line.startswith("["):
            found.append((line.strip("[]"), {}))
        elif "=" in line:
            key, _, value = line.partition("=")
            found[-1][1][key.strip()] = value.strip()
    return found


def expected(path: Path) -> list[Convolution]:
    """Every convolution of a cfg file, by arithmetic on its sections alone."""
    (_, net), *rest = sections(path)
    shapes: list[tuple[int, int, int]] = []
    found = []
    for kind, options in rest:
        depth, height, width = shapes[-1] if shapes else (3, int(net["height"]), int(net["width"]))
        stride, size = int(options.get("stride", 1)), int(options.get("size", 1))
        if kind == "convolutional":
            filters, border = int(options["filters"]), size // 2 if options.get("pad") == "1" else 0
            height, width = ((side + 2 * border - size) // stride + 1 for side in (height, width))
            weight = (filters, depth, size, size)
            found.append(
                Convolution(weight, (height, width), bflops(weight, (height, width)), "batch_normalize" in options)
            )
            depth = filters
        elif kind == "maxpool":
            height, width = ((side - 1) // stride + 1 for side in (height, width))
        elif kind == "avgpool":
            height = width = 1
        elif kind == "upsample":
            height, width = height * stride, width * stride
        elif kind == "reorg":
            depth, height, width = depth * stride**2, height // stride, width // stride
        elif kind == "route":
            places = [int(place) for place in options["layers"].split(",")]
            read = [shapes[place] for place in places]  # a negative place counts from here in Python too
            depth = sum(shape[0] for shape in read) // int(options.get("groups", 1))
            height, width = read[0][1:]
        else:
            assert kind in {"shortcut", "yolo", "region", "softmax"}, kind
        shapes.append((depth, height, width))
    return found


@pytest.mark.parametrize("name", TOTALS)
def test_parameters_and_work(name: str) -> None:
    found = convolutions(name)
    parameters = sum(int(np.prod(each.weight)) + each.weight[0] * (2 if each.normed else 1) for each in found)
    assert (parameters, round(sum(each.bflops for each in found), 3)) == TOTALS[name]


@pytest.mark.parametrize("name", TOTALS)
def test_module_gives_what_the_entry_says(name: str) -> None:
    parameters, made, declared = parameters_and_shapes(name)
    assert parameters == TOTALS[name][0]
    assert made == declared


def test_onnx_runtime_gives_what_torch_gives() -> None:
    assert_runs_like_torch("darknet19:width=0.25,size=64,num_classes=7")


@pytest.mark.slow
@pytest.mark.parametrize("name", TOTALS)
def test_full_width_in_onnx_runtime(name: str) -> None:
    assert_runs_like_torch(name, batch=2, limit=1e-4)


def test_darknet19_is_the_published_table() -> None:
    assert tuple(round(each.bflops, 3) for each in convolutions("darknet19")) == BFLOPS_19


@pytest.mark.shared
@pytest.mark.parametrize("name", IN_SHARED)
def test_convolutions_are_those_of_the_cfg_in_its_order(name: str, shared_data: Path) -> None:
    path = shared_data / "darknet" / "cfg" / f"{name}.cfg"
    net = sections(path)[0][1]
    assert load(name).inputs[0].shape[2:] == (int(net["height"]), int(net["width"]))
    assert convolutions(name) == expected(path)


@pytest.mark.shared
@pytest.mark.parametrize("name", [name for name in IN_SHARED if name.startswith("yolo")])
def test_anchors_are_those_of_the_cfg(name: str, shared_data: Path) -> None:
    found = sections(shared_data / "darknet" / "cfg" / f"{name}.cfg")
    heads = [options for kind, options in found if kind in {"yolo", "region"}]
    task = load(name).task
    assert task.detection is not None
    assert len(task.detection.heads) == len(heads)
    for head, options in zip(task.detection.heads, heads, strict=True):
        values = [float(value) for value in options["anchors"].split(",")]
        anchors = list(zip(values[::2], values[1::2], strict=True))
        if "mask" in options:
            anchors = [anchors[int(place)] for place in options["mask"].split(",")]
        cell = 1 if "mask" in options else 32
        np.testing.assert_allclose(head.anchors, np.array(anchors) * cell)
        assert head.scale_xy == float(options.get("scale_x_y", 1))
        assert len(task.labels) == int(options["classes"])


def test_yolov4_has_the_shapes_of_its_paper() -> None:
    """CSPDarknet-53 has 72 convolutions up to the pyramid pooling, and 110 in all are those of yolov4.cfg."""
    found = convolutions("yolov4")
    assert len(found) == 110
    assert [each.weight[0] for each in found if not each.normed] == [255] * 3
    assert sum(each.weight[2] == 3 and each.pixels == (19, 19) for each in found) == 11


def test_state_is_in_the_order_of_a_weights_file() -> None:
    """The order of registration is that of the cfg (above); within a unit the convolution comes first."""
    from chipwise.networks.zoo.yolo import yolov3_tiny

    with torch.device("meta"):
        keys = list(yolov3_tiny().state_dict())
    kept = [key.rpartition(".")[2] for key in keys if not key.endswith("num_batches_tracked")]
    assert kept[:5] == ["weight", "weight", "bias", "running_mean", "running_var"]
    assert kept[-2:] == ["weight", "bias"]


def test_batch_norm_has_darknets_epsilon() -> None:
    with torch.device("meta"):
        module = build_module(load("darknet19").source)
    assert {part.eps for part in module.modules() if isinstance(part, torch.nn.BatchNorm2d)} == {1e-6}


def test_reorg_is_darknets_loop() -> None:
    """src/blas.c, reorg_cpu, with forward=0 and stride 2, index by index."""
    channels, height, width, stride = 8, 4, 6, 2
    x = np.random.default_rng(0).normal(size=(2, channels, height, width)).astype(np.float32)
    out = np.empty(x.size, np.float32)
    flat = x.reshape(-1)
    deep = channels // stride**2
    for b, k, j, i in np.ndindex(2, channels, height, width):
        c2, offset = k % deep, k // deep
        w2, h2 = i * stride + offset % stride, j * stride + offset // stride
        out[i + width * (j + height * (k + channels * b))] = flat[
            w2 + width * stride * (h2 + height * stride * (c2 + deep * b))
        ]
    made = Reorg()(torch.from_numpy(x)).numpy()
    assert made.shape == (2, channels * 4, height // 2, width // 2)
    np.testing.assert_array_equal(made.reshape(-1), out)


def test_steady_pool_adds_its_border_right_and_below() -> None:
    x = torch.tensor([[[[-5.0, -1.0], [-2.0, -3.0]]]])
    assert SteadyMaxPool()(x).tolist() == [[[[-1.0, -1.0], [-2.0, -3.0]]]]


@pytest.mark.parametrize("name", ["darknet19", "darknet53"])
def test_classifier_starts_in_range(name: str) -> None:
    """He's initialisation: what comes out of a fresh network is neither nothing nor huge."""
    torch.manual_seed(0)
    module = build_module(load(f"{name}:width=0.25,num_classes=7").source).train()
    scores = module(torch.rand(2, 3, 64, 64))
    assert scores.shape == (2, 7)
    assert 1e-3 < scores.abs().max() < 10
