"""Models by name, opened and replaced: with workers that only keep count of themselves."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chipwise.core.errors import PlanError, StorageError
from chipwise.serving.logs import Log
from chipwise.serving.server import _reload
from chipwise.serving.settings import Settings
from chipwise.serving.shelf import Shelf

from .test_queue import Scripted, run, settle


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Scripted]]:
    """All that were started."""
    started: list[Scripted] = []

    async def start(path: Path, *_bounds: float | None) -> Scripted:
        if b"damaged" in await asyncio.to_thread(path.read_bytes):
            raise PlanError("damaged")
        started.append(Scripted())
        return started[-1]

    monkeypatch.setattr("chipwise.serving.shelf.open_runner", start)
    yield started
    assert all(each.closed for each in started)


def shelf_of(folder: Path, *names: str) -> Shelf:
    for name in names:
        (folder / f"{name}.plan").write_bytes(b"plan")
    return Shelf(Settings((folder,)), Log(io.StringIO()))


def copies(shelf: Shelf) -> list[str]:
    return sorted(path.name for path in Path(shelf._copies.name).iterdir())


async def retired(shelf: Shelf) -> None:
    while len(shelf.turns.servings) > sum(place.serving is not None for place in shelf.places.values()):
        await asyncio.sleep(0.001)
    await settle()


def test_a_new_name_is_opened_once_at_a_time(tmp_path: Path, workers: list[Scripted]) -> None:
    async def story() -> None:
        shelf = shelf_of(tmp_path, "a")
        (tmp_path / "b.plan").write_bytes(b"damaged")
        with pytest.raises(PlanError):
            await shelf.load("b")
        assert "b" not in shelf.places
        (tmp_path / "b.plan").write_bytes(b"plan")
        await asyncio.gather(shelf.load("b"), shelf.load("b"))
        await retired(shelf)
        assert shelf.find("b").version == "2"
        assert [each.closed for each in workers] == [True, False]
        assert copies(shelf) == ["b-2.plan"], "a copy goes with its version"
        await shelf.unload("b")
        assert copies(shelf) == []
        await shelf.close()

    run(story)


def test_what_cannot_be_copied_ends_no_reload(tmp_path: Path, workers: list[Scripted]) -> None:
    async def story() -> None:
        shelf = shelf_of(tmp_path, "a", "b")
        await asyncio.gather(shelf.load("a"), shelf.load("b"))
        folder, full = shelf._copies, tmp_path / "full"
        full.touch()
        shelf._copies = SimpleNamespace(name=str(full))  # type: ignore[assignment]
        with pytest.raises(StorageError, match="cannot write"):
            await shelf.load("a")
        await _reload(shelf, Log(io.StringIO()))
        shelf._copies = folder
        assert [shelf.find(name).version for name in ("a", "b")] == ["1", "1"]
        assert len(workers) == 2
        await shelf.close()

    run(story)


def test_what_is_cancelled_while_it_opens_leaves_nothing(
    tmp_path: Path, workers: list[Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        shelf = Shelf(Settings((tmp_path,), workers=2), Log(io.StringIO()))
        begun: list[Any] = []

        async def slow(*_: Any) -> Any:
            begun.append(Scripted())
            if len(begun) == 2:
                await asyncio.Event().wait()
            return begun[0]

        monkeypatch.setattr("chipwise.serving.shelf.open_runner", slow)
        opening = asyncio.create_task(shelf.load("a"))
        while len(begun) < 2:
            await asyncio.sleep(0.001)
        await settle()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert begun[0].closed
        assert copies(shelf) == []
        await shelf.close()

    (tmp_path / "a.plan").write_bytes(b"plan")
    run(story)
    assert workers == []
