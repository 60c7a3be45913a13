"""FLOPs of the zoo against published counts and torch's own counter; every difference has its reason."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from chipwise.core.layer import Layer, totals
from chipwise.networks.layers import layer_rows
from chipwise.networks.load import load
from chipwise.networks.zoo import ZOO

TORCHVISION = "torchvision, weights' meta data, GFLOPS (multiply-adds): docs.pytorch.org/vision/stable/models"
DARKNET = "pjreddie.com/darknet: BFLOPs of `darknet detect` and the imagenet and YOLO pages, 1 multiply-add = 2"
ALEXEY = "github.com/AlexeyAB/darknet, model zoo, BFLOPs"

# Network: published 10^9 multiply-adds, or FLOPs where said, decimals that were printed, source.
MULTIPLY_ADDS = {
    "alexnet": (0.71, 2, TORCHVISION),
    "vgg11": (7.61, 2, TORCHVISION),
    "vgg13": (11.31, 2, TORCHVISION),
    "vgg16": (15.47, 2, TORCHVISION),
    "vgg19": (19.63, 2, TORCHVISION),
    "googlenet": (1.5, 1, TORCHVISION),
    "inception-v3": (5.71, 2, TORCHVISION),
    "resnet18": (1.81, 2, TORCHVISION),
    "resnet34": (3.66, 2, TORCHVISION),
    "resnet50": (4.09, 2, TORCHVISION),
    "resnet101": (7.80, 2, TORCHVISION),
    "resnet152": (11.51, 2, TORCHVISION),
    "densenet121": (2.83, 2, TORCHVISION),
    "squeezenet1.0": (0.82, 2, TORCHVISION),
    "squeezenet1.1": (0.35, 2, TORCHVISION),
    "mobilenet-v2": (0.30, 2, TORCHVISION + "; Sandler et al. 2018: 300M"),
    "mobilenet-v1": (0.569, 3, "Howard et al., arXiv 1704.04861, table 8: 569M multiply-adds"),
    "resnet20": (0.041, 3, "github.com/akamaster/pytorch_resnet_cifar10 and He et al. 2015, 20 layers"),
}
FLOPS = {
    "darknet19": (7.29, 2, DARKNET),
    "darknet53": (18.57, 2, DARKNET + ", at 256"),
    "yolov2": (62.94, 2, DARKNET + ", at 608"),
    "yolov2-tiny": (5.41, 2, DARKNET),
    "yolov3": (140.69, 2, DARKNET + ", at 608"),
    "yolov3-tiny": (5.56, 2, DARKNET),
    "yolov4": (128.4, 1, ALEXEY + ", at 608 (128.459 with its route and shortcut rows)"),
    "yolov4-tiny": (6.9, 1, ALEXEY),
}


def products(row: Layer) -> int:
    """FLOPs of a row's multiply-adds alone: what most publications count. Worked out from shapes, not by `work`."""
    made = math.prod(row.outputs[0]) if row.outputs else 0
    if row.op == "Conv":
        return 2 * made * row.inputs[0][1] // row.groups * math.prod(row.kernel)
    if row.op == "ConvTranspose":
        return 2 * math.prod(row.inputs[0]) * row.outputs[0][1] // row.groups * math.prod(row.kernel)
    if row.op in ("Gemm", "MatMul"):
        return 2 * made * row.inputs[0][-1]
    return 0


def counted(name: str) -> int:
    return sum(map(products, layer_rows(load(name), 1)))


@pytest.mark.parametrize("name", MULTIPLY_ADDS)
def test_multiply_adds_equal_the_published(name: str) -> None:
    value, decimals, source = MULTIPLY_ADDS[name]
    assert round(counted(name) / 2e9, decimals) == value, source


@pytest.mark.parametrize("name", FLOPS)
def test_flops_equal_the_published(name: str) -> None:
    value, decimals, source = FLOPS[name]
    assert round(counted(name) / 1e9, decimals) == value, source


def test_published_counts_that_take_something_else_in() -> None:
    # torchvision prints 178.72 for DeepLab v3 with its auxiliary head (a 3x3 convolution 1024 -> 256 and a 1x1 to 21
    # classes at 65 x 65), which runs in training alone and is not in our rows.
    auxiliary = 65 * 65 * (9 * 1024 * 256 + 256 * 21)
    assert round((counted("deeplab-v3") / 2 + auxiliary) / 1e9, 2) == 178.72
    # Turc et al. and TinyBERT print 22.5 GFLOPs for BERT-base at 128 tokens: with softmax, norms and GELU.
    assert totals(layer_rows(load("bert-base"), 1)).flops / 1e9 == pytest.approx(22.5, rel=0.006)
    # Inception v4 and Inception-ResNet v2 are printed with all operations: 12.28 and 13.18 multiply-adds
    # by fvcore with biases and pooling (github.com/huggingface/pytorch-image-models, benchmark tables).
    assert totals(layer_rows(load("inception-v4"), 1)).flops / 2e9 == pytest.approx(12.28, rel=0.003)
    assert totals(layer_rows(load("inception-resnet-v2"), 1)).flops / 2e9 == pytest.approx(13.18, rel=0.003)


@pytest.mark.parametrize("name", ZOO)
def test_every_operator_of_the_zoo_is_known(name: str) -> None:
    assert totals(layer_rows(load(name), 1)).unknown_ops == ()


# What a row does beside its multiply-adds, per output element unless said; see chipwise.core.work. Publications and
# torch's counter leave all of it out.
EXTRAS = {
    "Add": "one addition",
    "AveragePool": "one addition an element of the window",
    "BatchNormalization": "scale and shift",
    "Conv": "bias",
    "ConvTranspose": "bias",
    "Gemm": "bias",
    "GlobalAveragePool": "one addition an input",
    "GRU": "torch counts the products, we count the gates' functions and biases as well",
    "LRN": "square, sum over the window, power, quotient",
    "LSTM": "torch counts the products, we count the gates' functions and biases as well",
    "LayerNormalization": "mean, variance, scale and shift",
    "MatMul": "the LeNet-5 of 1998 measures distances to its targets: a difference and a square",
    "MaxPool": "one comparison an element of the window",
    "Mul": "one product",
    "Resize": "two multiply-adds an axis",
    "Sub": "one subtraction",
}


@pytest.mark.parametrize("name", ZOO)
def test_where_we_count_more_there_is_a_reason(name: str) -> None:
    """Every row is at least its products; what is beyond is a named, small function of its elements."""
    more: Counter[str] = Counter()
    for row in layer_rows(load(name), 1):
        extra = row.flops - products(row)
        assert extra >= 0, row
        if extra and not (row.activation and row.op not in EXTRAS):
            more[row.op] += extra
    assert set(more) <= set(EXTRAS)


def test_bias_and_batch_normalization_are_the_whole_difference_of_a_plain_network() -> None:
    """ResNet-50: 8,217,632,232 FLOPs here, 8,178,368,512 by products; the rest to the last FLOP."""
    rows = layer_rows(load("resnet50"), 1)
    elements = {
        op: sum(math.prod(row.outputs[0]) for row in rows if row.op == op) for op in ("BatchNormalization", "Add")
    }
    activations = sum(math.prod(row.outputs[0]) for row in rows if row.activation == "Relu")
    pools = 64 * 56 * 56 * 9 + 2048 * 7 * 7
    bias = 1000
    assert totals(rows).flops - counted("resnet50") == (
        2 * elements["BatchNormalization"] + elements["Add"] + activations + pools + bias
    )


@pytest.mark.runtime
@pytest.mark.parametrize(
    "name",
    [
        *(
            "lenet5-keras",
            "alexnet",
            "googlenet",
            "mobilenet-v2",
            "squeezenet1.1",
            "resnet18",
            "darknet19",
            "repvgg-a0",
        ),
        *("unet-mobilenet-v2", "mobilenet-v2-ssd", "bert-base", "ncf", "yolov3-tiny"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in (
                "vgg16",
                "resnet50",
                "inception-v3",
                "inception-v4",
                "densenet121",
                "unet",
                "deeplab-v3",
                "yolov4",
            )
        ),
    ],
)
def test_products_equal_those_of_torch(name: str) -> None:
    """torch's FlopCounterMode on the meta device, where nothing is fused away."""
    assert torch_count(name) == counted(name)


@pytest.mark.runtime
@pytest.mark.parametrize("name", ["lstm-classifier", "gru-classifier", "lstm-forecaster", "gru-forecaster"])
def test_recurrences_equal_those_of_torch(name: str) -> None:
    """The products of all gates; what we count beyond is 2% of it at most: biases and gates' functions."""
    rows = layer_rows(load(name), 1)
    torch_flops = torch_count(name)
    assert torch_flops <= totals(rows).flops <= 1.02 * torch_flops


@pytest.mark.runtime
def test_where_torchs_counter_is_wrong() -> None:
    """On the CPU torch counts no attention and no recurrence: it does not know the kernels that they become there."""
    torch = pytest.importorskip("torch")
    counter = pytest.importorskip("torch.utils.flop_counter").FlopCounterMode

    def count(module: object, *arrays: object) -> int:
        with torch.no_grad(), counter(display=False) as seen:
            module(*arrays)  # type: ignore[operator]
        return int(seen.get_total_flops())

    attention = 4 * (2 * 4 * 16 * 16 * 8)
    gates = 2 * 4 * 20 * (10 + 20) * 3 * 7
    for device, seen in (("meta", (attention, gates)), ("cpu", (0, 0))):
        query = torch.zeros(2, 4, 16, 8, device=device)
        recurrence = torch.nn.LSTM(10, 20, batch_first=True, device=device)
        steps = torch.zeros(3, 7, 10, device=device)
        assert count(torch.nn.functional.scaled_dot_product_attention, query, query, query) == seen[0]
        assert count(recurrence, steps) == seen[1]


@pytest.mark.runtime
def test_attention_is_two_products_and_a_softmax() -> None:
    """As ours counts it, beside the 4 x heads x queries x keys x width of its products."""
    torch = pytest.importorskip("torch")
    aten = pytest.importorskip("chipwise.networks.aten")
    query, key = torch.zeros(2, 4, 16, 8, device="meta"), torch.zeros(2, 4, 32, 8, device="meta")
    func = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
    operation = aten.describe(func, (query, key, key), [query])
    scores = 2 * 4 * 16 * 32
    assert operation.name == "Attention"
    assert operation.flops == 4 * scores * 8 + 5 * scores


def torch_count(name: str) -> int:
    torch = pytest.importorskip("torch")
    counter = pytest.importorskip("torch.utils.flop_counter").FlopCounterMode
    source = pytest.importorskip("chipwise.networks.torch_source")
    network = load(name)
    module, device = source.build_hollow(network.source)
    with torch.no_grad(), counter(display=False) as seen:
        module.eval()(*source.examples_for(network.inputs, 1, device))
    return int(seen.get_total_flops())
