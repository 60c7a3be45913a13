"""Trials in processes of this machine, as many at once as there are places; each with its memory, its time, one thread.

A process that dies has its trial begun once more; when that kills another one, it was the trial. What takes longer than
it may is ended.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from chipwise.codec.records import decode, encode
from chipwise.searching.job import Outcome
from chipwise.training.parallel.parent import import_paths

if TYPE_CHECKING:
    from chipwise.searching.job import Job

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
_PIECE = 1 << 16
_ATTEMPTS = 2
START_S = 60.0  # that a process may take to load its libraries, which is not the trial's fault


class Executor(Protocol):
    """Where trials run."""

    def free(self) -> int:
        """How many trials could be started now."""

    def start(self, job: Job, limit_s: float) -> None:
        """Start a trial, whose fitting and predicting may take so long."""

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Outcomes of trials that ended; none where none does within that time."""

    def close(self) -> None:
        """End whatever runs."""


@dataclass(slots=True)
class _Place:
    """A process, and what it works on.

    Attributes:
        process: None before it is needed.
        job: None while there is nothing to do; ends: when it has to be done, on the clock of `time.monotonic`.
        attempts: how often it was begun.
        said: bytes of an outcome so far.
    """

    log: Path
    process: subprocess.Popen[bytes] | None = None
    job: Job | None = None
    ends: float = 0.0
    limit_s: float = 0.0
    attempts: int = 0
    said: bytes = b""


class Processes:
    """An `Executor` of this machine.

    Args:
        folder: for what the processes say.
        count: of trials at once.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self._places = [_Place(folder / f"worker-{number}.log") for number in range(count)]

    def free(self) -> int:
        """How many trials could be started now."""
        return sum(place.job is None for place in self._places)

    def start(self, job: Job, limit_s: float) -> None:
        """Start a trial in a process that has nothing to do."""
        place = next(place for place in self._places if place.job is None)
        place.job, place.limit_s, place.attempts = job, limit_s, 0
        self._begin(place)

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Outcomes of trials that ended."""
        busy = [place for place in self._places if place.job is not None]
        if not busy:
            return []
        dead = [place for place in busy if place.process is None or place.process.poll() is not None]
        nearest = min(place.ends for place in busy) - time.monotonic()
        heard = self._heard(busy, 0.0 if dead else min(timeout_s, max(nearest, 0.0)))
        read = [self._read(place) for place in heard]
        read += [self._gone(place) for place in dead if place not in heard]  # a child of it holds its output open
        outcomes = [outcome for outcome in read if outcome is not None]
        for place in busy:
            if place.job is not None and time.monotonic() >= place.ends:
                outcomes.append(Outcome(place.job.id, error=f"it took more than the {place.limit_s:.3g} s it may take"))
                self._end(place)
        return outcomes

    def close(self) -> None:
        """End all processes."""
        for place in self._places:
            self._end(place)

    def _begin(self, place: _Place) -> None:
        assert place.job is not None, "a place with something to do"
        if place.process is None or place.process.poll() is not None:
            self._end(place, keep=True)
            place.process = _process(place.log)
        place.ends, place.said = time.monotonic() + START_S + place.limit_s, b""
        place.attempts += 1
        stdin = place.process.stdin
        assert stdin is not None, "a pipe"
        try:
            stdin.write(encode(place.job) + b"\n")
            stdin.flush()
        except BrokenPipeError:
            return  # it has just died: `_read` meets the end of its output

    @staticmethod
    def _heard(busy: list[_Place], timeout_s: float) -> list[_Place]:
        """Places that have something to say."""
        with selectors.DefaultSelector() as selector:
            for place in busy:
                assert place.process is not None, "a busy place has one"
                assert place.process.stdout is not None, "a pipe"
                selector.register(place.process.stdout, selectors.EVENT_READ, place)
            return [key.data for key, _ in selector.select(timeout_s)]

    def _read(self, place: _Place) -> Outcome | None:
        """Read on; the outcome once it is whole, or the process is gone for good."""
        assert place.process is not None, "a busy place has one"
        assert place.process.stdout is not None, "a pipe"
        assert place.job is not None, "and a job"
        piece = os.read(place.process.stdout.fileno(), _PIECE)
        place.said += piece
        if place.said.startswith(b"\n"):  # its libraries are there, and fitting begins
            place.ends, place.said = time.monotonic() + place.limit_s, place.said[1:]
        if place.said.endswith(b"\n"):
            outcome = decode(place.said, Outcome, "outcome")
            place.job = None
            return outcome
        return None if piece else self._gone(place)

    def _gone(self, place: _Place) -> Outcome | None:
        """Begin once more what killed its process; what became of it where it has done so again."""
        assert place.process is not None, "a busy place has one"
        assert place.job is not None, "and a job"
        code = place.process.wait()
        if place.attempts < _ATTEMPTS:
            self._begin(place)
            return None
        outcome = Outcome(place.job.id, error=_died(code, place.log))
        self._end(place)
        return outcome

    @staticmethod
    def _end(place: _Place, *, keep: bool = False) -> None:
        """End the process with all that it started; forget its job unless that is begun again."""
        if place.process is not None:
            with suppress(ProcessLookupError):  # its children may be there when it is not
                os.killpg(place.process.pid, signal.SIGKILL)
            place.process.wait()
            for pipe in (place.process.stdin, place.process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):  # what it was not told any more
                        pipe.close()
            place.process = None
        if not keep:
            place.job = None


def environment() -> dict[str, str]:
    """What the processes see: our modules, and one thread each."""
    told = {"PYTHONPATH": import_paths(), "PYTHONWARNINGS": "ignore"}
    return os.environ | dict.fromkeys(_THREADS, "1") | told


def _process(log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as said:
        return subprocess.Popen(  # noqa: S603  our own module
            [sys.executable, "-m", "chipwise.searching.worker", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            env=environment(),
            start_new_session=True,  # Ctrl-C is for the parent, which ends them
        )


def _died(code: int, log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return f"its process {how}, twice" + (f": {lines[-1][:200]}" if lines else "")
