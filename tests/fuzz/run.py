"""Feed thousands of damaged files to everything that reads files: `python tests/fuzz/run.py --examples 20000`.

Each kind of file is read in a process of its own with a limit on memory, watched from outside: a crash, a hang of more
than a minute, any exception but chipwise's own, an error of several lines, or more than 1.5 GiB of growth is a
finding, printed with the number that makes it again. The last thing printed is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import queue
import resource
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "networks")]

from kinds import KINDS, Kind, Seeds  # noqa: E402 (beside this file)

from chipwise.core.errors import ChipwiseError  # noqa: E402

_HANG_S = 60
_GROWTH_BYTES = 3 << 29
_ADDRESS_SPACE_BYTES = 24 << 30


def read_all(
    kind: Kind, seeds: Seeds, numbers: range, folder: Path, said: multiprocessing.Queue[tuple[str, int, str]]
) -> None:
    """Read mutations of a kind's seeds; tell each number before it, and what went wrong after it."""
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE_BYTES, _ADDRESS_SPACE_BYTES))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in numbers:
        said.put(("at", number, ""))
        name, seed = seeds[number % len(seeds)]
        path = folder / name
        path.write_bytes(kind.damaged(seed, number))
        try:
            kind.read(path)
        except ChipwiseError as error:
            if len(str(error).splitlines()) > 1:
                said.put(("finding", number, f"an error of several lines: {error!r}"))
        except Exception:  # noqa: BLE001 (what else escapes is what is looked for)
            said.put(("finding", number, traceback.format_exc(limit=-3)))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if (peak - before) * 1024 > _GROWTH_BYTES:
            said.put(("finding", number, f"memory grew by {(peak - before) / 2**20:.2f} GiB"))
            before = peak
    said.put(("done", numbers.stop, ""))


def watch(kind: Kind, numbers: range, folder: Path) -> list[str]:
    """Run `read_all` in a process, start it anew after whatever killed it, and gather the findings."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["kinds"])  # what reads the files takes seconds to import
    findings: list[str] = []
    seeds = kind.seeds(folder)
    start = numbers.start
    while start < numbers.stop:
        said: multiprocessing.Queue[tuple[str, int, str]] = context.Queue()
        reader = context.Process(target=read_all, args=(kind, seeds, range(start, numbers.stop), folder, said))
        reader.start()
        at, done = start, False
        deadline = time.monotonic() + 2 * _HANG_S  # importing what it reads with takes a while
        while not done:
            try:
                what, number, text = said.get(timeout=0.5)
            except queue.Empty:
                if reader.is_alive() and time.monotonic() < deadline:
                    continue
                ended = "hangs" if reader.is_alive() else f"kills the process ({reader.exitcode})"
                findings.append(f"{kind.name} {at}: {ended}")
                break
            deadline = time.monotonic() + _HANG_S
            at, done = number, what == "done"
            if what == "finding":
                findings.append(f"{kind.name} {number}: {text}")
        reader.kill() if not done else None
        reader.join()
        start = numbers.stop if done else at + 1
    return findings


def main() -> int:
    """Fuzz, and return 1 when there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=20_000, help="of all kinds together")
    parser.add_argument("--kind", action="append", choices=[kind.name for kind in KINDS], help="only this one")
    parser.add_argument("--first", type=int, default=0, help="number of the first mutation")
    asked = parser.parse_args()
    kinds = [kind for kind in KINDS if not asked.kind or kind.name in asked.kind]
    shares = sum(kind.share for kind in kinds)
    counts: dict[str, int] = {}
    findings: list[str] = []
    started = time.monotonic()
    for kind in kinds:
        counts[kind.name] = max(1, round(asked.examples * kind.share / shares))
        with tempfile.TemporaryDirectory() as folder:
            found = watch(kind, range(asked.first, asked.first + counts[kind.name]), Path(folder))
        print(f"{kind.name}: {counts[kind.name]} files, {len(found)} findings", file=sys.stderr)
        findings += found
    seconds = round(time.monotonic() - started, 1)
    print(
        json.dumps({"schema": "chipwise.fuzz/1", "files": counts, "seconds": seconds, "findings": findings}, indent=2)
    )
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
