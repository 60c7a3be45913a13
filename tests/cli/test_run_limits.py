"""`chipwise run`: what is refused rather than left out, what is skipped, and what completion offers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from chipwise import api
from chipwise.api import running
from chipwise.cli import answer

GRAPH = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 3, 4, 4] x) => (float[N, 3] y)
{ [stem] r = Relu(x) y = ReduceMax <axes=[2,3], keepdims=0> (r) }"""


@pytest.fixture
def network(tmp_path: Path) -> Path:
    onnx.save(onnx.parser.parse_model(GRAPH), tmp_path / "small.onnx")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 20, 3), np.uint8)).save(tmp_path / "a.png")
    return tmp_path / "small.onnx"


@pytest.mark.parametrize(
    "words",
    [("--frames", "in"), ("--pipeline", "p.toml"), ("--top", "5"), ("--threshold", "0.5"), ("--overlap", "0.5")],
)
def test_features_refuse_what_they_have_no_use_for(cli, network: Path, words: tuple[str, str]) -> None:
    done = cli("run", network, network.with_name("a.png"), "--features", "stem", *words)
    assert (done.code, done.out) == (2, "")
    assert f"{words[0]} cannot be given with it" in done.err
    several = cli("run", network, "--features", "list", "--top", 2, "--overlap", 0.5)
    assert "--top, --overlap cannot be given" in several.err


def test_a_pipeline_has_no_use_for_top(cli, network: Path) -> None:
    done = cli("run", network, network.with_name("a.png"), "--pipeline", "p.toml", "--top", 2)
    assert done.code == 2
    assert "top has no meaning" in done.err


@pytest.mark.parametrize("frames", [False, True])
def test_a_damaged_picture_is_skipped_and_the_end_says_so(cli, network: Path, tmp_path: Path, frames: bool) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    data = (tmp_path / "a.png").read_bytes()
    for name, content in (("a", data), ("b", data[:500]), ("c", data)):
        (folder / f"{name}.png").write_bytes(content)
    done = cli("run", network, *(("--frames", folder) if frames else sorted(folder.iterdir())))
    assert done.code == 2
    assert "a.png" in done.out
    assert "c.png" in done.out
    assert [line for line in done.err.splitlines() if "skipped" in line and "b.png" in line]


@pytest.mark.parametrize("words", [("absent.png",), ("absent.npy",), ("--frames", "absent")])
def test_what_is_missing_is_found_out_before_a_network_is_loaded(
    cli, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    loaded: list[object] = []
    monkeypatch.setattr(running, "network_from", lambda *given, **_: loaded.append(given))
    done = cli("run", "lenet5", *words)
    assert done.code == 2
    assert "error: no such f" in done.err  # file, or folder or film
    assert not loaded


def test_labels_that_do_not_fit_are_refused_by_compile_too(cli, network: Path, tmp_path: Path) -> None:
    for verb in (("run", network, tmp_path / "a.png"), ("compile", network, "-o", tmp_path / "x.plan")):
        done = cli(*verb, "--labels", "voc-20")
        assert done.code == 2
        assert "20 labels were given; the network tells 3 classes apart" in done.err
    done = cli("compile", network, "-o", tmp_path / "x.plan", "--task", "detection:yolox")
    assert done.code == 2
    assert "do not fit a yolox detector" in done.err
    (tmp_path / "four.txt").write_text("a\nb\nc\nd\n")
    longer = cli("run", network, tmp_path / "a.png", "--labels", tmp_path / "four.txt")
    assert (longer.code, longer.err.splitlines()[0]) == (0, "note: 4 labels for 3 classes: the last ones are not used")


@pytest.mark.runtime
def test_features_warn_of_random_weights(cli, network: Path, tmp_path: Path) -> None:
    done = cli("run", "lenet5", tmp_path / "a.png", "--features", "t1/Tanh", "-o", tmp_path / "out")
    assert done.code == 0
    assert done.err.startswith("warning: no weights")
    assert cli("run", "lenet5", "--features", "list").err == "", "names do not depend on weights"


def test_an_input_shape_is_for_factories(cli, network: Path, tmp_path: Path) -> None:
    for more in ((), ("--features", "list")):
        done = cli("run", network, tmp_path / "a.png", "--input-shape", "3x4x4", *more)
        assert done.code == 2
        assert "says itself what it takes" in done.err


def test_completion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("vocabulary.txt").touch()
    (tmp_path / "in").mkdir()
    assert answer.network_names("lenet5-c") == ["lenet5-caffe"]
    assert answer.network_names("in/../voc") == ["in/../vocabulary.txt"]
    assert answer._label_names("voc") == ["voc-20", "voc-21", "vocabulary.txt"]
    assert answer._task_names("det") == ["detection:corners", "detection:yolox"]
    assert set(api.label_names()) >= {"coco-80", "cifar-10"}
