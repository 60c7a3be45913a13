"""Segmenters of the zoo: parameters and names as published, maps as large as the picture."""

from __future__ import annotations

from itertools import pairwise

import pytest

from chipwise.core.errors import InputError
from chipwise.networks.load import load

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from zoo_export import assert_runs_like_torch, parameters_and_shapes  # noqa: E402

from chipwise.networks.torch_source import build_module  # noqa: E402
from chipwise.networks.zoo.encoders import MobileNetV2Encoder  # noqa: E402

pytestmark = pytest.mark.runtime

PARAMETERS = {
    # github.com/milesial/Pytorch-UNet, UNet(n_channels=3, n_classes=2, bilinear=False); by arithmetic below.
    "unet": 31_037_698,
    # The tutorial's summary: 4,660,323 trainable values (the decoder), and an encoder of 1,841,984 with its running
    # means, of which 1,811,072 are weights; it ends before block_16's batch-norm (640), which we keep.
    "unet-mobilenet-v2": 4_660_323 + 1_811_072 + 640,
    # torchvision.models.segmentation.deeplabv3_resnet50 says 42,004,074 with its auxiliary classifier.
    "deeplab-v3": 42_004_074 - (1024 * 256 * 9 + 2 * 256 + 256 * 21 + 21),
    "deeplab-v3-mobilenet-v2": 700_245,
}
SMALL = ["unet:width=0.125,size=32", "deeplab-v3:width=0.125,size=64"]


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_and_shapes(name: str) -> None:
    parameters, made, declared = parameters_and_shapes(name)
    assert parameters == PARAMETERS[name]
    assert made == declared


def test_unet_by_arithmetic() -> None:
    channels = [64, 128, 256, 512, 1024]

    def double(given: int, made: int) -> int:
        return 9 * made * (given + made) + 4 * made

    down = sum(double(given, made) for given, made in zip([3, *channels], channels, strict=False))
    up = sum((4 * given + 1) * made + double(given, made) for made, given in pairwise(channels))
    assert PARAMETERS["unet"] == down + up + 65 * 2


def test_published_variants() -> None:
    """torchvision's documentation: 42004074. MobileNetV2's paper, table 7: 2.11 M for V2 at stride 16 without ASPP."""
    assert parameters_and_shapes("deeplab-v3:aux=1")[0] == 42_004_074
    assert parameters_and_shapes("deeplab-v3-mobilenet-v2:width=1")[0] == 2_113_557


def test_names_of_parameters() -> None:
    with torch.device("meta"):
        deeplab = set(build_module(load("deeplab-v3:aux=1").source).state_dict())
        unet = set(build_module(load("unet").source).state_dict())
    assert {
        *("backbone.conv1.weight", "backbone.layer4.2.bn3.running_var", "backbone.layer3.0.downsample.0.weight"),
        *("classifier.0.convs.0.0.weight", "classifier.0.convs.3.1.bias", "classifier.0.convs.4.1.weight"),
        *("classifier.0.project.0.weight", "classifier.1.weight", "classifier.2.bias", "classifier.4.bias"),
        *("aux_classifier.0.weight", "aux_classifier.4.bias"),
    } <= deeplab
    assert {
        *("inc.double_conv.0.weight", "down1.maxpool_conv.1.double_conv.4.running_mean", "up1.up.bias"),
        *("up4.conv.double_conv.3.weight", "outc.conv.bias"),
    } <= unet


@pytest.mark.parametrize("spec", SMALL)
def test_onnx_runtime_gives_what_torch_gives(spec: str) -> None:
    assert_runs_like_torch(spec, limit=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", PARAMETERS)
def test_full_width_in_onnx_runtime(name: str) -> None:
    assert_runs_like_torch(name, batch=2, limit=1e-3)


@pytest.mark.parametrize("spec", ["unet:size=48", "unet-mobilenet-v2:size=96", "deeplab-v3:size=72"])
def test_maps_are_as_large_as_the_picture(spec: str) -> None:
    network = load(f"{spec},num_classes=4,width=0.25")
    _, made, declared = parameters_and_shapes(f"{spec},num_classes=4,width=0.25")
    side = network.inputs[0].shape[2]
    assert made == declared == [(2, 4, side, side)]
    assert network.task.preprocess.height == side
    assert network.task.labels == ()


def test_other_sides_are_refused() -> None:
    with pytest.raises(InputError, match="size=100"):
        load("unet-mobilenet-v2:size=100")


def test_strides_and_dilations_of_deeplab() -> None:
    """torchvision's replace_stride_with_dilation=[False, True, True]."""
    with torch.device("meta"):
        module = build_module(load("deeplab-v3").source)
    found = {
        name: [
            layer.dilation[0] for layer in stage.modules() if isinstance(layer, nn.Conv2d) and layer.kernel_size[0] == 3
        ]
        for name, stage in module.backbone.items()
        if name in {"layer2", "layer3", "layer4"}
    }
    assert found == {"layer2": [1] * 4, "layer3": [1, 2, 2, 2, 2, 2], "layer4": [2, 4, 4]}
    assert [
        part.dilation[0] for part in module.classifier[0].modules() if getattr(part, "kernel_size", 0) == (3, 3)
    ] == [*(12, 24, 36)]


def test_auxiliary_scores_are_for_training_only() -> None:
    module = build_module(load("deeplab-v3:aux=1,width=0.125").source)
    x = torch.rand(2, 3, 64, 64)
    scores, auxiliary = module.train()(x)
    assert scores.shape == auxiliary.shape == (2, 21, 64, 64)
    assert isinstance(module.eval()(x), torch.Tensor)


def test_encoder_reads_widened_maps() -> None:
    """The maps are those that MobileNet v2 itself computes on its way."""
    torch.manual_seed(0)
    encoder = MobileNetV2Encoder((2, 14), 17, 0.25).eval()
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        fine, coarse, last = encoder(x)
        torch.testing.assert_close(last, encoder.features(x))
        torch.testing.assert_close(fine, encoder.features[2].conv[0](encoder.features[:2](x)))
        torch.testing.assert_close(coarse, encoder.features[14].conv[0](encoder.features[:14](x)))
    assert (fine.shape[2], coarse.shape[2], last.shape[2]) == (32, 4, 2)
    assert encoder.channels == (fine.shape[1], coarse.shape[1], last.shape[1])
