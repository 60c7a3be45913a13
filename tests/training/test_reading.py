"""Pictures that stay in their files: a run learns the same, bit for bit, as with all of them in memory."""

from __future__ import annotations

import dataclasses
import multiprocessing
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from chipwise.core.errors import DataError, InputError, MachineError  # noqa: E402
from chipwise.core.events import silent  # noqa: E402
from chipwise.core.report import Training  # noqa: E402
from chipwise.datasets.dataset import Dataset  # noqa: E402
from chipwise.datasets.folder import load  # noqa: E402
from chipwise.tasks.pictures import png_bytes  # noqa: E402
from chipwise.training import stream  # noqa: E402
from chipwise.training import train as trainer  # noqa: E402
from chipwise.training.feed import Feed, fed, feed_of  # noqa: E402
from chipwise.training.settings import Settings, as_json  # noqa: E402
from chipwise.training.stream import Reader, Stream  # noqa: E402

from . import tiny  # noqa: E402

pytestmark = pytest.mark.runtime

SETTINGS = dataclasses.replace(tiny.SETTINGS, epochs=3, workers=2)
NHWC = {"channels_last": True, "evaluation_batch": 21}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny pictures as files, some of another size, some in colour."""
    folder, data = tmp_path_factory.mktemp("pictures"), tiny.pictures(150)
    for index, (picture, label) in enumerate(zip(data.arrays, data.labels, strict=True)):
        path = folder / data.class_names[label] / f"{index:03d}.png"
        path.parent.mkdir(exist_ok=True)
        shown = np.repeat(np.repeat(picture, 2, 0), 3, 1) if index % 7 == 0 else picture
        path.write_bytes(png_bytes(np.repeat(shown, 3, 2) if index % 5 == 0 else shown))
    return folder


def lazy(root: Path) -> Dataset:
    return load(str(root), silent, lazily=lambda files: True)


def run(data: Dataset, folder: Path, settings: Settings = SETTINGS, module: tiny.Tiny | None = None) -> Training:
    return trainer.train(module or tiny.tiny(), tiny.NETWORK, data, settings, folder)


def timeless(result: Training) -> list[object]:
    return [dataclasses.replace(epoch, seconds=0.0, wait_s=None) for epoch in result.history]


def same(one: tuple[Training, Path], other: tuple[Training, Path]) -> bool:
    weights = [(folder / "weights.safetensors").read_bytes() for _, folder in (one, other)]
    tested = [(result.test, result.confusion, timeless(result)) for result, _ in (one, other)]
    return weights[0] == weights[1] and tested[0] == tested[1]


@pytest.mark.parametrize("how", [{}, NHWC, {"augment": "crop,flip,mixup=1", "ema": 0.9, "workers": 1}])
def test_a_run_learns_the_same_wherever_its_pictures_are(root: Path, tmp_path: Path, how: dict[str, object]) -> None:
    settings = dataclasses.replace(SETTINGS, **how)
    here = run(load(str(root), silent), tmp_path / "ram", settings), tmp_path / "ram"
    there = run(lazy(root), tmp_path / "workers", settings), tmp_path / "workers"
    assert same(here, there)
    assert here[0].settings.get("loading") is None
    assert there[0].settings["loading"] == "workers"
    assert there[0].settings["workers"] == settings.workers
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("first", ["ram", "workers"])
def test_a_run_goes_on_with_its_pictures_elsewhere(
    root: Path, tmp_path: Path, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "_CHECKPOINT_SHARE", 1e9)
    whole = run(lazy(root), tmp_path / "whole"), tmp_path / "whole"

    def interrupt(step: int) -> None:
        if step == 8:
            raise KeyboardInterrupt

    begun, then = (load(str(root), silent), lazy(root))[:: 1 if first == "ram" else -1]
    with pytest.raises(KeyboardInterrupt):
        run(begun, tmp_path / "cut", module=tiny.tiny(interrupt))
    module = tiny.tiny()
    again = run(then, tmp_path / "cut", module=module)
    assert 0 < module.steps < sum(epoch.steps or 0 for epoch in again.history)
    assert same(whole, (again, tmp_path / "cut"))


def test_the_digest_and_the_splits_are_those_of_pictures_in_memory(root: Path) -> None:
    there, here = lazy(root), load(str(root), silent)
    assert (there.digest, there.class_names, there.pictures) == (here.digest, here.class_names, True)
    for one, other in (
        (there.split(seed=3).train, here.split(seed=3).train),
        (there.split().test, here.split().test),
    ):
        assert one.digest == other.digest
        assert one.inputs.nbytes < other.inputs.nbytes
        assert np.array_equal(one.arrays, other.arrays)


def test_parts_in_order_are_whatever_blocks_they_are_read_in(root: Path) -> None:
    data = lazy(root)
    whole = feed_of(data, tiny.NETWORK, what="test")
    with Reader(data.inputs, tiny.NETWORK, workers=2, batch=16) as reader:
        feed = fed(data, tiny.NETWORK, what="test", channels_last=True, reader=reader)
        assert isinstance(feed, Stream)
        parts = [part.clone() for part in feed.in_order(40)]
        rows = [torch.tensor([3, 1, 149]), torch.tensor([0])]
        chosen = list(feed.chosen(rows))
    assert [len(part) for part in parts] == [40, 40, 40, 30]
    assert torch.equal(torch.cat(parts), whole.inputs)
    assert [torch.equal(one, whole.inputs[each]) for one, each in zip(chosen, rows, strict=True)] == [True, True]


def test_reading_takes_no_number_from_the_run(root: Path) -> None:
    data = lazy(root)
    with Reader(data.inputs, tiny.NETWORK, workers=1, batch=16) as reader:
        before = torch.get_rng_state()
        list(fed(data, tiny.NETWORK, what="test", reader=reader).in_order(64))
        assert torch.equal(torch.get_rng_state(), before)


def test_a_picture_that_breaks_meanwhile_is_named(root: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for index in range(8):
        (tmp_path / "a" / f"{index}.png").write_bytes(png_bytes(np.full((8, 8, 1), index, np.uint8)))
    data = lazy(tmp_path)
    (tmp_path / "a" / "5.png").write_bytes(b"no picture")
    with Reader(data.inputs, tiny.NETWORK, workers=1, batch=4) as reader:
        stream_ = Stream(data.inputs, torch.from_numpy(data.labels), reader)
        with pytest.raises(DataError, match=r"5\.png") as found:
            list(stream_.in_order(4))
        assert "\n" not in found.value.message
        assert len(next(iter(stream_.chosen([torch.tensor([0, 1])])))) == 2  # what was on its way is left behind


def test_steps_wait_for_what_workers_have_not_read(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = stream.prepare

    def slow(*arguments: object) -> object:
        time.sleep(0.02)
        return whole(*arguments)

    monkeypatch.setattr(stream, "prepare", slow)  # the processes that read are forked after that
    result = run(lazy(root), tmp_path, dataclasses.replace(SETTINGS, epochs=1, workers=1))
    (epoch,) = result.history
    assert epoch.wait_s is not None
    assert 0.02 < epoch.wait_s <= epoch.seconds


# torch raises in a signal handler, wherever Python is just then: in a callback of the garbage collector it is no error.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_worker_that_dies_is_no_riddle(root: Path, tmp_path: Path) -> None:
    def kill(step: int) -> None:
        if step == 2:
            multiprocessing.active_children()[0].kill()

    with pytest.raises(MachineError, match="a process that reads pictures died"):
        run(lazy(root), tmp_path, module=tiny.tiny(kill))


def test_too_little_memory_to_share_means_fewer_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    free = {"free": 64_000_000}
    monkeypatch.setattr(stream.shutil, "disk_usage", lambda path: type("Usage", (), free))
    assert [stream._shareable(8, size) for size in (1_000_000, 6_000_000, 20_000_000)] == [8, 4, 1]
    with pytest.raises(MachineError, match="64 MB"):
        stream._shareable(8, 30_000_000)


def test_what_cannot_be_had_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown loading"):
        Settings(loading="disk")
    with pytest.raises(InputError, match="nothing to read"):
        Settings(loading="ram", workers=2)
    with pytest.raises(InputError, match="at least 1"):
        Settings(workers=0)
    with pytest.raises(InputError, match="in memory already"):
        run(tiny.pictures(), tmp_path, dataclasses.replace(SETTINGS, loading="workers"))
    assert "loading" not in as_json(Settings())


def test_in_memory_nothing_is_read_twice(root: Path) -> None:
    data = load(str(root), silent)
    assert isinstance(fed(data, tiny.NETWORK, what="test"), Feed)
    assert stream.usual_workers(1) == 1
    assert stream.usual_workers(8) == 4
