"""The models of a server by name: opened, replaced by a new version, taken away.

A new version is opened beside the old one, which serves until the new one can; the old one's requests are answered
before its workers end. A plan that cannot be opened changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chipwise.codec.files import atomic_write, read_bounded
from chipwise.core.errors import ChipwiseError, InputError, PlanError
from chipwise.core.served import ServedModel
from chipwise.serving.inside import Runner, open_runner
from chipwise.serving.model import Serving
from chipwise.serving.refusals import Refusals
from chipwise.serving.request_error import ABSENT, UNAVAILABLE, RequestError, absent_model
from chipwise.serving.room import Room
from chipwise.serving.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from chipwise.serving.logs import Log
    from chipwise.serving.settings import Settings

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127}", re.ASCII)
_PLAN_BYTES = 4 << 30
_SUFFIX = ".plan"
_UNLOADED = "it was unloaded"


@dataclass(slots=True)
class Place:
    """A name on the shelf.

    Attributes:
        path: of its plan file.
        serving: the version that answers; None while there is none.
        versions: opened so far.
        reason: why the last plan was not opened; empty where it was.
        changing: held by whoever opens or takes away a version.
        answered, failed: requests of versions that are gone.
    """

    path: Path
    serving: Serving | None = None
    versions: int = 0
    reason: str = "not opened yet"
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    answered: int = 0
    failed: int = 0


class Shelf:
    """The models of a server.

    Args:
        settings: where plans are, and bounds.
        log: told of what is opened and refused.

    Attributes:
        numbers: gives what `/metrics` answers, where other servers' numbers belong to it; None for its own alone.
    """

    def __init__(self, settings: Settings, log: Log) -> None:
        self.settings, self.stopped = settings, asyncio.Event()
        self.turns, self.room = Turns(settings.workers, settings.timeout_s), Room(settings.limits.held_bytes)
        self.refusals = Refusals()
        self.numbers: Callable[[], Awaitable[bytes]] | None = None
        self.places = {name: Place(path) for name, path in named_plans(settings.plans).items()}
        self._opening: dict[str, Place] = {}  # of names that were never open
        self._log = log
        self._folders = [path for path in settings.plans if path.is_dir()]
        self._copies = tempfile.TemporaryDirectory(prefix="chipwise-serve-")

    @property
    def stopping(self) -> bool:
        """Whether the server was told to stop."""
        return self.stopped.is_set()

    @property
    def ready(self) -> bool:
        """Whether requests for every model are taken, but for those that were taken away."""
        wanted = [place for place in self.places.values() if place.reason != _UNLOADED]
        return not self.stopping and all(place.serving and not place.serving.broken for place in wanted)

    def find(self, name: str, version: str = "") -> Serving:
        """The version that answers.

        Raises:
            RequestError: there is no such model or version, or it is not open.
        """
        place = self.places.get(name)
        if place is None:
            raise absent_model(name)
        if place.serving is None:
            raise RequestError(f"model '{name}' is not available: {place.reason}", UNAVAILABLE)
        if version and version != place.serving.version:
            raise RequestError(f"model '{name}' has version {place.serving.version}, not '{version[:40]}'", ABSENT)
        return place.serving

    def counts(self) -> tuple[ServedModel, ...]:
        """What became of the requests of each model, by all its versions."""
        return tuple(
            ServedModel(
                name,
                place.serving.version if place.serving else "",
                place.answered + (place.serving.tally.success.count if place.serving else 0),
                place.failed + (place.serving.tally.fail.count if place.serving else 0),
            )
            for name, place in sorted(self.places.items())
        )

    async def load_all(self) -> None:
        """Open every model.

        Raises:
            ChipwiseError: of the first that cannot be opened.
        """
        found = await asyncio.gather(*map(self.load, list(self.places)), return_exceptions=True)
        problem = next((each for each in found if isinstance(each, BaseException)), None)
        if problem is not None:
            raise problem

    async def load(self, name: str) -> None:
        """Open a model's plan, or its new version; the old one answers until the new one can.

        Raises:
            RequestError: there is no such plan. ChipwiseError: it cannot be opened; the old version goes on.
        """
        place = self._place(name)
        if place.versions or name not in self.places:
            self._check_changes()
        async with place.changing:
            if self.stopping:
                raise RequestError("the server is stopping", UNAVAILABLE)
            try:
                serving = await self._opened(name, place)
            except ChipwiseError as error:
                place.reason = error.message
                self._log.event("refused", model=name, reason=error.message)
                raise
            self.places[name] = place
            self._opening.pop(name, None)
            place.versions += 1
            old, place.serving, place.reason = place.serving, serving, ""
            self.turns.servings.append(serving)
            self._log.event("opened", model=name, version=serving.version, runs=serving.facts.title)
            if old is not None:
                self.turns.begin(self._retire(place, old))

    async def unload(self, name: str) -> None:
        """Take a model away, once what it was asked is answered.

        Raises:
            RequestError: there is no such model.
        """
        place = self.places.get(name)
        if place is None:
            raise absent_model(name)
        self._check_changes()
        async with place.changing:
            old, place.serving, place.reason = place.serving, None, _UNLOADED
            self._log.event("unloaded", model=name)
            if old is not None:
                await self._retire(place, old)

    async def close(self) -> None:
        """End all workers and remove the copies of plans."""
        self.stopped.set()
        await self.turns.close()
        self._copies.cleanup()

    def _check_changes(self) -> None:
        if self.settings.replica:
            raise RequestError(
                "one replica of several neither opens nor takes away a model; the server does, on SIGHUP"
            )

    def _place(self, name: str) -> Place:
        """A name that is known, or one in a folder that was given.

        Raises:
            RequestError: there is none.
        """
        if name in self.places:
            return self.places[name]
        if _NAME.fullmatch(name):  # no name leads out of the folder
            for folder in self._folders:
                path = folder / f"{name}{_SUFFIX}"
                if path.is_file():
                    place = self._opening.setdefault(name, Place(path))  # one lock for all who open it
                    place.path = path
                    return place
        raise absent_model(name)

    async def _opened(self, name: str, place: Place) -> Serving:
        version = str(place.versions + 1)
        copy = Path(self._copies.name) / f"{name}-{version}{_SUFFIX}"
        data = await asyncio.to_thread(read_bounded, place.path, _PLAN_BYTES, "plan", PlanError)
        with contextlib.ExitStack() as failed:
            failed.callback(_remove, copy)
            await _finished(asyncio.to_thread(atomic_write, copy, data))
            workers = await self._crew(copy)
            failed.pop_all()
        return Serving(name, version, copy, workers, settings=self.settings, freed=self.turns.pump)

    async def _crew(self, copy: Path) -> list[Runner]:
        """All workers of a version, or none."""
        starting = [asyncio.ensure_future(open_runner(copy, self.settings)) for _ in range(self.settings.workers)]
        async with contextlib.AsyncExitStack() as failed:
            failed.push_async_callback(_given_up, starting)
            workers = await asyncio.gather(*starting)
            failed.pop_all()
        return workers

    async def _retire(self, place: Place, old: Serving) -> None:
        await old.drained()
        place.answered += old.tally.success.count
        place.failed += old.tally.fail.count
        await old.close()
        self.turns.servings.remove(old)
        _remove(old.path)


def _remove(copy: Path) -> None:
    with contextlib.suppress(OSError):  # it was never written, or goes with its folder
        copy.unlink()


async def _given_up(starting: Sequence[asyncio.Future[Runner]]) -> None:
    """End workers that start, and those that have started."""
    for each in starting:
        each.cancel()
    found = await asyncio.gather(*starting, return_exceptions=True)
    await asyncio.gather(*(each.close() for each in found if not isinstance(each, BaseException)))


async def _finished(work: Coroutine[Any, Any, None]) -> None:
    """Wait for what a thread does, also where that is cancelled: it would go on, and write what nobody removes."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    finally:
        await asyncio.wait((task,))


def model_name(path: Path) -> str:
    """The name of a plan's model: the file's without the suffix.

    Raises:
        InputError: it cannot stand in a URL.
    """
    name = path.stem if path.suffix == _SUFFIX else path.name
    if not _NAME.fullmatch(name):
        hint = "letters, digits, '_', '-' and '.' may be in it; rename the file"
        raise InputError(f"{path} gives a model no name that can stand in a URL", hint=hint)
    return name


def named_plans(paths: Sequence[Path]) -> dict[str, Path]:
    """The plan of each model by name: the file's name without the suffix; of a folder all plans in it.

    Raises:
        InputError: there are none, two have one name, or a name cannot stand in a URL.
    """
    named: dict[str, Path] = {}
    for path in paths:
        for each in sorted(path.glob(f"*{_SUFFIX}")) if path.is_dir() else [path]:
            name = model_name(each)
            if name in named:
                raise InputError(f"{each} and {named[name]} would be one model, '{name}'", hint="rename one of them")
            named[name] = each
    if not named:
        raise InputError("there is no plan to serve", hint="make one with: chipwise compile")
    return named
