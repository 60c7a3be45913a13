"""Classifiers of pictures: published counts of parameters and work, torchvision's names, options."""

from __future__ import annotations

import hashlib

import pytest

from chipwise.core.errors import ChipwiseError
from chipwise.core.layer import totals
from chipwise.networks.layers import _family_files, layer_rows
from chipwise.networks.load import load
from chipwise.networks.zoo.entries.cifar import CIFAR
from chipwise.networks.zoo.entries.photos import PHOTOS

torch = pytest.importorskip("torch")

from zoo_export import parameters_and_shapes  # noqa: E402

from chipwise.networks.torch_source import build_module  # noqa: E402
from chipwise.networks.zoo.blocks import PooledTo, ResponseNorm, initialised, scaled  # noqa: E402

pytestmark = pytest.mark.runtime

# Trainable values, and billions of multiply-adds of convolutions and dense layers (None where no source was found).
# "tv": `num_params` and `_ops` of the weights in torchvision 0.29, which its documentation lists.
PUBLISHED: dict[str, tuple[int, float | None]] = {
    "alexnet": (61_100_840, 0.714),  # tv
    "alexnet-2012": (60_965_224, None),  # Caffe's bvlc_alexnet: the paper's "60 million"
    # Zeiler & Fergus 2013, figure 3: 96*3*49 + 256*96*25 + 384*256*9 + 384*384*9 + 256*384*9 + 9216*4096 + 4096*4096 +
    # 4096*1000, and a bias for each output.
    "zfnet": (62_357_608, None),
    "vgg11": (132_863_336, 7.609),  # tv
    "vgg13": (133_047_848, 11.308),  # tv
    "vgg16": (138_357_544, 15.47),  # tv
    "vgg19": (143_667_240, 19.632),  # tv
    "googlenet": (6_624_904, 1.498),  # tv
    "googlenet:aux=1": (13_004_888, None),  # torchvision's googlenet(aux_logits=True)
    "inception-v3": (23_834_568, 5.713),  # torchvision's inception_v3(aux_logits=False)
    "inception-v3:aux=1": (27_161_264, None),  # tv
    "inception-v4": (42_679_816, 12.3),  # timm's inception_v4 (its model card: 42.7 M, 12.3 GMACs)
    "inception-resnet-v2": (55_843_464, None),  # timm's inception_resnet_v2 (its model card: 55.8 M)
    "resnet18": (11_689_512, 1.814),  # tv
    "resnet34": (21_797_672, 3.664),  # tv
    "resnet50": (25_557_032, 4.089),  # tv
    "resnet101": (44_549_160, 7.801),  # tv
    "resnet152": (60_192_808, 11.514),  # tv
    "densenet121": (7_978_856, 2.834),  # tv
    "squeezenet1.0": (1_248_424, 0.819),  # tv
    "squeezenet1.1": (1_235_496, 0.349),  # tv
    "mobilenet-v1": (4_231_976, 0.569),  # Howard et al. 2017, table 4: 4.2 M and 569 M
    "mobilenet-v1:width=0.75": (2_585_560, None),  # table 6: 2.6 M
    "mobilenet-v1:width=0.5": (1_331_592, 0.149),  # 1.3 M and 149 M
    "mobilenet-v1:width=0.25": (470_072, None),  # 0.5 M
    "mobilenet-v2": (3_504_872, 0.301),  # tv
    # Ding et al. 2021, table 4, has 8.30, 12.78 and 14.33 M for the deployed forms.
    "repvgg-a0": (9_108_968, None),  # 8,309,384 and what batch-norms and 1x1 branches add
    "repvgg-a0:deploy=1": (8_309_384, 1.3643),  # Open Model Zoo's repvgg-a0: 8.3094 M and 2.7286 GFLOPs
    "repvgg-a1": (14_092_264, 2.6),  # timm's repvgg_a1 (its model card: 14.1 M, 2.6 GMACs)
    "repvgg-a1:deploy=1": (12_789_864, None),
    "repvgg-b0": (15_817_960, None),
    "repvgg-b0:deploy=1": (14_339_048, None),
    "resnet20": (269_722, None),  # He et al. 2015, table 6: 0.27 M; "Total number of params" of akamaster's script
    "resnet32": (464_154, None),  # 0.46 M
    "resnet44": (658_586, None),  # 0.66 M
    "resnet56": (853_018, None),  # 0.85 M
    "resnet110": (1_727_962, None),  # 1.7 M
}

# First 16 hex digits of the sha256 of the sorted lines "key (shape)" of a state_dict. Made by importing the source of
# torchvision 0.29.2 (and timm's for the last two) beside this project and building each network on the meta device.
LAYOUTS = {
    "alexnet": "935c1ea73a7869ee",
    "vgg11": "b11acd4f90d9643f",
    "vgg13": "79ca8fd7a1480aa7",
    "vgg16": "ba63c2556d912509",
    "vgg19": "393fac8b08b63fbe",
    "googlenet": "545eb1baab91f5d8",
    "googlenet:aux=1": "de3745733576b3b1",
    "inception-v3": "fafa341565705812",
    "inception-v3:aux=1": "4c9e13f64584de74",
    "resnet18": "5191d63ec3989592",
    "resnet34": "f8de2a1812ef85e4",
    "resnet50": "a87e91cd6bd1f939",
    "resnet101": "dbc3ca74fffafc72",
    "resnet152": "7d486dbdc941506e",
    "densenet121": "9c659ec278435e95",
    "squeezenet1.0": "142983e4c19c76ad",
    "squeezenet1.1": "3fbd2a746421cada",
    "mobilenet-v2": "e3eb10f890f74c6e",
    "inception-v4": "3802c76b5597c75d",
    "inception-resnet-v2": "dda8091d0fca7040",
}


def on_meta(spec: str) -> torch.nn.Module:
    with torch.device("meta"):
        return build_module(load(spec).source)


def multiply_adds(spec: str) -> float:
    """Billions, of convolutions and dense layers."""
    return sum(row.flops for row in layer_rows(load(spec)) if row.op in {"Conv", "Gemm"}) / 2e9


def test_every_classifier_has_a_published_count() -> None:
    assert {spec.partition(":")[0] for spec in PUBLISHED} == {*PHOTOS, *CIFAR}


@pytest.mark.parametrize("spec", PUBLISHED)
def test_parameters_and_scores(spec: str) -> None:
    parameters, shapes, declared = parameters_and_shapes(spec)
    assert parameters == PUBLISHED[spec][0]
    assert shapes == declared == [(2, 10 if spec in CIFAR else 1000)]


@pytest.mark.parametrize("name", [*PHOTOS, *CIFAR])
def test_rows_have_all_parameters_and_known_work(name: str) -> None:
    found = totals(layer_rows(load(name)))
    assert found.parameters == PUBLISHED[name][0]
    assert found.unknown_ops == ()


def test_rows_name_whole_operators() -> None:
    """Response norm and pooling to 1 x 1 are several operators to torch."""
    assert [row.op for row in layer_rows(load("alexnet-2012"))].count("LRN") == 2
    assert [row.op for row in layer_rows(load("resnet20"))][-3:] == ["GlobalAveragePool", "Reshape", "Gemm"]


def test_shipped_rows_follow_what_a_family_imports() -> None:
    assert set(_family_files("cifar_resnet")) == {"cifar_resnet", "resnet", "blocks"}
    assert set(_family_files("lenet")) == {"lenet", "blocks"}
    assert set(_family_files("ncf")) == {"ncf"}


@pytest.mark.parametrize("spec", [spec for spec in PUBLISHED if PUBLISHED[spec][1] is not None])
def test_multiply_adds(spec: str) -> None:
    assert multiply_adds(spec) == pytest.approx(PUBLISHED[spec][1], rel=0.02)


@pytest.mark.parametrize("spec", LAYOUTS)
def test_weights_of_torchvision_and_timm_fit(spec: str) -> None:
    lines = sorted(f"{key} {tuple(value.shape)}" for key, value in on_meta(spec).state_dict().items())
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] == LAYOUTS[spec]


def test_names_of_repvgg_are_its_authors() -> None:
    keys = {key.rpartition(".")[0] for key in on_meta("repvgg-a0").state_dict() if key.startswith("stage1.1.")}
    branches = {"rbr_identity", "rbr_dense.conv", "rbr_dense.bn", "rbr_1x1.conv", "rbr_1x1.bn"}
    assert keys == {f"stage1.1.{branch}" for branch in branches}
    assert "stage4.0.rbr_reparam.bias" in on_meta("repvgg-a0:deploy=1").state_dict()


@pytest.mark.parametrize("name", [*PHOTOS, *CIFAR])
def test_options_change_classes_size_and_width(name: str) -> None:
    side = 96 if PHOTOS.get(name) else 40
    small = load(f"{name}:num_classes=7,size={side},width=0.25")
    assert small.inputs[0].shape == ("batch", 3, side, side)
    parameters, shapes, declared = parameters_and_shapes(f"{name}:num_classes=7,size={side},width=0.25")
    assert shapes == declared == [(2, 7)]
    assert parameters < PUBLISHED[name][0] / 3
    picture = small.task.preprocess
    assert picture is not None
    assert (picture.height, picture.width) == (side, side)
    with pytest.raises(ChipwiseError):
        load(f"{name}:depth=3")


def test_heads_answer_in_training_only() -> None:
    torch.manual_seed(0)
    for spec, count in (("googlenet:num_classes=5,width=0.125,aux=1", 3), ("inception-v3:width=0.125,aux=1", 2)):
        module = build_module(load(spec).source)
        pictures = torch.randn(2, 3, 299, 299)
        answers = module.train()(pictures)
        assert isinstance(answers, tuple)
        assert len(answers) == count
        assert len({tuple(answer.shape) for answer in answers}) == 1
        assert torch.is_tensor(module.eval()(pictures))


@pytest.mark.parametrize(
    "spec", ["vgg16:width=0.25", "resnet50:width=0.25", "mobilenet-v2:width=0.5", "zfnet:width=0.25"]
)
def test_fresh_weights_keep_the_signal(spec: str) -> None:
    """Features neither vanish nor grow over all layers, and the first scores are small."""
    torch.manual_seed(0)
    module = build_module(load(f"{spec},size=128").source).train()
    last = [part for part in module.modules() if isinstance(part, torch.nn.Linear)][-1]
    seen: list[torch.Tensor] = []
    last.register_forward_hook(lambda _, given, made: seen.extend((*given, made)))
    with torch.no_grad():
        module(torch.randn(4, 3, 128, 128))
    assert 0.02 < seen[0].std().item() < 20
    assert seen[1].abs().max().item() < 5


def test_depthwise_weights_are_drawn_by_their_own_fan() -> None:
    torch.manual_seed(0)
    convolution = torch.nn.Conv2d(4096, 4096, 3, groups=4096)
    initialised(torch.nn.Sequential(convolution, torch.nn.Conv2d(1, 1, 1)))
    assert convolution.weight.std().item() == pytest.approx((2 / 9) ** 0.5, rel=0.02)


def test_the_paper_s_ones_among_alexnet_s_biases() -> None:
    module = build_module(load("alexnet-2012:width=0.125").source)
    ones = {key for key, value in module.named_parameters() if key.endswith("bias") and bool((value == 1).all())}
    assert ones == {f"{name}.bias" for name in ("conv2", "conv4", "conv5", "fc6", "fc7")}


def test_response_norm_is_the_paper_s_formula() -> None:
    """Section 3.3 of Krizhevsky et al. 2012, written out."""
    torch.manual_seed(0)
    x = torch.randn(2, 9, 3, 3) * 30
    expected = torch.empty_like(x)
    for channel in range(9):
        near = x[:, max(0, channel - 2) : channel + 3]
        expected[:, channel] = x[:, channel] / (2 + 1e-4 * (near**2).sum(1)) ** 0.75
    torch.testing.assert_close(ResponseNorm()(x), expected)


@pytest.mark.parametrize("side", [1, 4, 6, 7])
@pytest.mark.parametrize("size", [(1, 1), (2, 13), (6, 6), (7, 14), (8, 5), (24, 12)])
def test_pooling_to_any_size(side: int, size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size)
    torch.testing.assert_close(PooledTo(side)(x), torch.nn.functional.adaptive_avg_pool2d(x, side))


def test_widths_are_mobilenet_s() -> None:
    """torchvision's MobileNet v2 has these at 0.35: `_make_divisible(c * 0.35, 8)` of 16, 24, 32, 64, 96, 160, 320."""
    assert [scaled(maps, 0.35) for maps in (16, 24, 32, 64, 96, 160, 320)] == [8, 8, 16, 24, 32, 56, 112]
    # Sandler et al. 2018, and the table in Keras' documentation: 97 M multiply-adds.
    assert multiply_adds("mobilenet-v2:width=0.5") == pytest.approx(0.097, rel=0.02)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("lenet-300-100", 784 * 150 + 150 + 150 * 50 + 50 + 50 * 10 + 10),
        ("mlp-4096", 784 * 2048 + 2048 + 2048 * 2048 + 2048 + 2048 * 10 + 10),
        ("lenet5-caffe", 25 * 10 + 10 + 10 * 25 * 25 + 25 + 25 * 16 * 250 + 250 + 250 * 10 + 10),
        ("convnet-small", 9 * (4 * 8 + 8 * 16 + 16 * 48) + 2 * (8 + 16 + 48) + 48 * 9 * 10 + 10),
    ],
)
def test_networks_for_digits_take_a_width(name: str, count: int) -> None:
    module = build_module(load(f"{name}:width=0.5").source)
    assert sum(value.numel() for value in module.parameters()) == count
