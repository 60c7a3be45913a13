"""Weights of any file fit by name and shape, or are refused in one line; nothing in a file is executed."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.runtime

from safetensors.torch import save_file  # noqa: E402
from torch import nn  # noqa: E402

import chipwise  # noqa: E402
from chipwise.core.errors import ChipwiseError, NetworkError  # noqa: E402
from chipwise.core.network import Source  # noqa: E402
from chipwise.networks import run_folder  # noqa: E402
from chipwise.networks.load import load  # noqa: E402
from chipwise.networks.source_digest import source_digest  # noqa: E402
from chipwise.networks.torch_source import build_hollow, build_module, check_weights  # noqa: E402
from chipwise.networks.weights_file import load_backbone, load_weights, read_tensors  # noqa: E402


def small(classes: int = 3, width: int = 4) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(1, width, 3),
            norm=nn.BatchNorm2d(width),
            pool=nn.AdaptiveAvgPool2d(1),
            flat=nn.Flatten(),
            head=nn.Linear(width, classes),
        )
    )


def written(path: Path, value: object, **options: bool) -> Path:
    torch.save(value, path, **options)
    return path


def same(one: nn.Module, two: nn.Module) -> bool:
    other = two.state_dict()
    return all(torch.equal(value, other[key]) for key, value in one.state_dict().items())


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".th", ".bin", ".PTH"])
@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoints_of_every_kind(tmp_path: Path, suffix: str, zipped: bool) -> None:
    trained, fresh = small(), small()
    path = written(tmp_path / f"w{suffix}", trained.state_dict(), _use_new_zipfile_serialization=zipped)
    load_weights(fresh, path)
    assert same(trained, fresh)


@pytest.mark.parametrize("nest", ["state_dict", "model", "model_state", "model_state_dict", "net"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model.", "_orig_mod."])
def test_nests_and_prefixes_are_taken_off(tmp_path: Path, nest: str, prefix: str) -> None:
    trained, fresh = small(), small()
    state = {f"{prefix}{key}": value for key, value in trained.state_dict().items()}
    load_weights(fresh, written(tmp_path / "w.pt", {nest: state, "epoch": 3, "optimizer": {"state": {}}}))
    assert same(trained, fresh)


def test_a_prefix_that_the_network_has_too_stays(tmp_path: Path) -> None:
    trained, fresh = nn.Sequential(OrderedDict(model=small())), nn.Sequential(OrderedDict(model=small()))
    load_weights(fresh, written(tmp_path / "w.pt", trained.state_dict()))
    assert same(trained, fresh)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_converted(tmp_path: Path, dtype: torch.dtype) -> None:
    trained, fresh = small(), small()
    state = {
        key: value.to(dtype) if value.is_floating_point() else value for key, value in trained.state_dict().items()
    }
    save_file(state, tmp_path / "w.safetensors")
    load_weights(fresh, tmp_path / "w.safetensors")
    assert fresh.head.weight.dtype == torch.float32
    torch.testing.assert_close(fresh.head.weight, trained.head.weight, rtol=1e-2, atol=1e-2)


def test_counters_may_be_missing(tmp_path: Path) -> None:
    trained, fresh = small(), small()
    state = {key: value for key, value in trained.state_dict().items() if "num_batches" not in key}
    load_weights(fresh, written(tmp_path / "w.pt", state))
    assert same(trained, fresh)
    load_weights(
        nn.Linear(2, 2),
        written(tmp_path / "v.pt", nn.Linear(2, 2).state_dict() | {"num_batches_tracked": torch.tensor(1)}),
    )


def test_tied_weights_are_written_once(tmp_path: Path) -> None:
    tied = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    tied[1].weight = tied[0].weight
    load_weights(tied, written(tmp_path / "w.pt", {"0.weight": torch.ones(2, 2)}))
    assert torch.equal(tied[1].weight, torch.ones(2, 2))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: state.pop("head.bias"), "lacks head.bias"),
        (lambda state: state.update(extra=torch.ones(1)), "has unknown extra"),
        (lambda state: state.update({"head.bias": torch.ones(7)}), r"head.bias \[7\] where the network has \[3\]"),
        (lambda state: state.update({"head.bias": torch.ones(3, dtype=torch.int8)}), r"\[3\] of int8"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, change: object, says: str) -> None:
    state = small().state_dict()
    change(state)
    fresh = small()
    before = {key: value.clone() for key, value in fresh.state_dict().items()}
    with pytest.raises(NetworkError, match=says) as caught:
        load_weights(fresh, written(tmp_path / "w.pt", state))
    assert caught.value.hint
    assert all(torch.equal(before[key], value) for key, value in fresh.state_dict().items())


def test_fit_is_checked_without_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tied_for_weights.py").write_text(
        "from torch import nn\n"
        "def net(classes=2):\n"
        "    module = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False), nn.Linear(2, classes))\n"
        "    module[1].weight = module[0].weight\n"
        "    return module\n"
    )
    monkeypatch.chdir(tmp_path)
    whole = {"0.weight": torch.ones(2, 2), "2.weight": torch.ones(2, 2), "2.bias": torch.ones(2)}
    source = Source("tied_for_weights:net", {}, written(tmp_path / "w.pt", whole))
    assert build_hollow(source)[1] == "meta"
    check_weights(source)
    with pytest.raises(NetworkError, match=r"has 2.weight \[2, 2\] where the network has \[5, 2\]"):
        check_weights(replace(source, arguments={"classes": 5}))
    written(tmp_path / "w.pt", {"0.weight": torch.ones(2, 2)})
    with pytest.raises(NetworkError, match=r"lacks 2.bias, 2.weight(\n|$)"):
        check_weights(source)


def test_inspect_refuses_weights_that_do_not_fit(tmp_path: Path) -> None:
    state = build_module(load("lenet-300-100").source).state_dict()
    path = written(tmp_path / "w.pt", state)
    assert chipwise.inspect("lenet-300-100", weights=path).totals.parameters == 266_610
    with pytest.raises(NetworkError, match="does not fit this network"):
        chipwise.inspect("lenet-300-100:num_classes=5", weights=path)


class Bomb:
    """What a hostile checkpoint does when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_is_never_run(tmp_path: Path, zipped: bool) -> None:
    target = tmp_path / "was_here"
    path = written(tmp_path / "w.pth", {"state_dict": Bomb(target)}, _use_new_zipfile_serialization=zipped)
    with pytest.raises(NetworkError, match="could run any code") as caught:
        read_tensors(path)
    assert "\n" not in str(caught.value)
    assert "safetensors" in caught.value.hint
    path.write_bytes(pickle.dumps(Bomb(target)))
    with pytest.raises(NetworkError):
        read_tensors(path)
    assert not target.exists()


@pytest.mark.parametrize(
    "value", [nn.Linear(2, 2), [1, 2], {}, {"weight": "text"}, {"a": torch.ones(2, 2).to_sparse()}, {1: torch.ones(1)}]
)
def test_what_is_no_state_dict(tmp_path: Path, value: object) -> None:
    with pytest.raises(NetworkError) as caught:
        read_tensors(written(tmp_path / "w.pth", value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors", "w.txt"])
@pytest.mark.parametrize("data", [b"", b"text", b"PK\x03\x04cut", b"\x80\x02cut", b"\xff" * 100])
def test_damaged_files(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(NetworkError) as caught:
        read_tensors(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_missing_files_and_compressed_archives(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="cannot read"):
        read_tensors(tmp_path / "none.pth")
    path = written(tmp_path / "w.pth", small().state_dict())
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "z.pth", "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))
    with pytest.raises(NetworkError, match="compressed"):
        read_tensors(tmp_path / "z.pth")


def test_cut_and_changed_bytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for zipped in (True, False):
        data = written(tmp_path / "w.pth", small().state_dict(), _use_new_zipfile_serialization=zipped).read_bytes()
        for _ in range(60):
            broken = bytearray(data[: rng.integers(1, len(data) + 1)])
            for place in rng.integers(0, len(broken), 4):
                broken[place] = rng.integers(0, 256)
            (tmp_path / "b.pth").write_bytes(broken)
            try:
                load_weights(small(), tmp_path / "b.pth")
            except NetworkError as error:
                lines = str(error).splitlines()
            else:
                lines = []
            assert len(lines) <= 1


def test_backbone_of_another_number_of_classes(tmp_path: Path) -> None:
    trained, fresh = small(5), small(3)
    head = fresh.head.weight.clone()
    left = load_backbone(fresh, written(tmp_path / "w.pt", {"state_dict": trained.state_dict()}))
    assert left == ("head.weight", "head.bias")
    assert torch.equal(fresh.conv.weight, trained.conv.weight)
    assert torch.equal(fresh.head.weight, head)
    assert load_backbone(small(5), tmp_path / "w.pt") == ()


def test_backbone_with_another_head(tmp_path: Path) -> None:
    trained, fresh = small(), small()
    state = {key.replace("head.", "fc."): value for key, value in trained.state_dict().items()}
    assert load_backbone(fresh, written(tmp_path / "w.pt", state)) == ("head.weight", "head.bias")
    assert torch.equal(fresh.norm.weight, trained.norm.weight)


@pytest.mark.parametrize(
    "state",
    [
        small(width=8).state_dict(),
        {key: value for key, value in small().state_dict().items() if not key.startswith("conv")},
        small().state_dict() | {"other.weight": torch.ones(1), "third.weight": torch.ones(1)},
        {"head.weight": torch.ones(3, 4)},
    ],
    ids=["wider", "no-conv", "deeper", "too-little"],
)
def test_backbone_refuses_other_networks(tmp_path: Path, state: dict[str, object]) -> None:
    with pytest.raises(NetworkError, match="before its last layer"):
        load_backbone(small(), written(tmp_path / "w.pt", state))


def test_sources_take_checkpoints_by_content(tmp_path: Path) -> None:
    network = load("lenet-300-100")
    assert network.source is not None
    path = written(tmp_path / "w.pth", build_module(network.source).state_dict())
    (tmp_path / "copy.th").write_bytes(path.read_bytes())
    one, two = load("lenet-300-100", weights=path), load("lenet-300-100", weights=tmp_path / "copy.th")
    assert one.digest == two.digest != network.digest
    assert one.source is not None
    assert source_digest(one.source) == one.digest
    state = build_module(one.source).state_dict()
    assert all(torch.equal(state[key], value) for key, value in read_tensors(path).items())


@pytest.mark.shared
def test_published_weights_that_do_not_fit(shared_data: Path) -> None:
    for name in ("cifar10/models/resnet20-12fca82f.th", "onnx/silero_vad_16k.safetensors"):
        network = load("lenet-300-100", weights=shared_data / name)
        with pytest.raises(ChipwiseError, match="does not fit this network: it lacks") as caught:
            build_module(network.source)
        assert "more" in str(caught.value)
        assert "num_classes" in caught.value.hint


@pytest.mark.shared
def test_published_weights_of_resnet20(shared_data: Path) -> None:
    """The checkpoint of 2019 (a pickle, keys behind "module.") in the zoo's network, against its ONNX conversion."""
    path = shared_data / "cifar10" / "models" / "resnet20-12fca82f.th"
    golden = np.load(shared_data / "golden" / "derived_resnet20.npz")
    network = load("resnet20", weights=path)
    module = build_module(network.source).eval()
    with torch.inference_mode():
        given = module(torch.from_numpy(golden["input"])).numpy()
    assert np.abs(given - golden["output"]).max() < 1e-4
    assert (given.argmax(1) == golden["output"].argmax(1)).all()


@pytest.mark.shared
def test_a_run_folder_of_published_weights_holds_safetensors(shared_data: Path, tmp_path: Path) -> None:
    network = load("resnet20", weights=shared_data / "cifar10" / "models" / "resnet20-12fca82f.th")
    module = build_module(network.source)
    save_file(module.state_dict(), tmp_path / "w.safetensors")
    again = run_folder.load(
        run_folder.save(tmp_path / "run", network, tmp_path / "w.safetensors").source.weights.parent
    )
    assert again.source.weights.suffix == ".safetensors"
    assert same(module, build_module(again.source))


@pytest.mark.shared
def test_the_backbone_of_published_weights(shared_data: Path) -> None:
    path = shared_data / "cifar10" / "models" / "resnet20-12fca82f.th"
    network = load("resnet20:num_classes=7")
    module = build_module(network.source)
    left = load_backbone(module, path)
    assert left == ("linear.weight", "linear.bias")
    with pytest.raises(NetworkError, match="does not fit"):
        load_weights(module, path)
    with pytest.raises(NetworkError, match="before its last layer"):
        load_backbone(build_module(load("resnet20:width=2").source), path)


def test_old_keys_of_densenet_fit(tmp_path: Path) -> None:
    module = build_module(load("densenet121:width=0.25,num_classes=3").source)
    old = {
        key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): value
        for key, value in module.state_dict().items()
    }
    assert any(".denselayer1.norm.1." in key for key in old)
    again = build_module(load("densenet121:width=0.25,num_classes=3").source)
    load_weights(again, written(tmp_path / "old.pth", old))
    assert same(module, again)
