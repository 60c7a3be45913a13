"""How many worker processes read pictures that stay in their files: stretches of training, timed in turns.

A stretch begins with nothing read ahead and ends with nothing left over, so that what one number of workers does not
wait for was not read while another had its turn.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from chipwise.training.feed import fed
from chipwise.training.loop import batch_of, learn_batch
from chipwise.training.optimizer import set_rate
from chipwise.training.place import finished
from chipwise.training.stream import reading
from chipwise.training.tuning.search import note_rows, race, winner
from chipwise.training.tuning.steps import GENTLE, use_threads

if TYPE_CHECKING:
    from chipwise.training.settings import Settings
    from chipwise.training.stream import Reader
    from chipwise.training.tuning.search import Search
    from chipwise.training.tuning.steps import Call

WORKERS = "workers"
_UNTIL = 0.63  # of the time is used up then
_STRETCH = 8  # steps: workers are two batches ahead each


def worker_count(search: Search) -> int | None:
    """Write a row for each number of workers, and give the one to keep; as it is where pictures are in memory."""
    current = search.kept
    if search.stand.files is None or "workers" in search.limits.fixed or not search.time_for(WORKERS, _UNTIL):
        return current.workers
    cores = search.limits.cores
    counts = sorted({1, max(1, cores // 2), cores, current.workers or 1})
    ways = {search.named(way): way for way in (replace(current, workers=count) for count in counts)}
    with ExitStack() as stack:
        calls = {}
        for name, way in ways.items():
            search.tell(f"first steps: {name}")
            reader = stack.enter_context(reading(search.stand.files, search.stand.network, way))
            calls[name] = _stretch(search, way, reader)
            calls[name]()
        stretches = race(search, calls, _UNTIL, WORKERS)
    samples = {name: seconds / _STRETCH for name, seconds in stretches.items()}
    note_rows(search, WORKERS, samples, ways, search.named(current))
    return winner(samples, ways, search.named(current)).workers


def keep_workers(search: Search, count: int | None) -> None:
    """Take a number of workers on at the end: what is timed once more has its samples in memory."""
    search.kept = replace(search.kept, workers=count)
    for place, row in enumerate(search.rows):
        if row.stage == WORKERS and row.changes.get("workers", search.plain.workers) == count:
            search.rows[place] = replace(row, kept=True, reason="")


def _stretch(search: Search, way: Settings, reader: Reader | None) -> Call:
    """A call that trains for some steps, on samples from all over the data, from a cold start."""
    assert search.stand.files is not None
    lesson = search.stand.timed(way)
    feed = fed(
        search.stand.files, search.stand.network, what="training", channels_last=way.channels_last, reader=reader,
        device=search.stand.device, feeding="auto" if way.feeding == "device" else way.feeding,
    )  # fmt: skip
    lesson = replace(lesson, feed=feed)
    set_rate(lesson.optimizer, GENTLE * way.learning_rate)
    order = torch.randperm(len(feed), generator=torch.Generator().manual_seed(way.seed))
    rows = torch.split(order, lesson.batch)[: lesson.steps]
    places = [rows[place % len(rows)] for place in range(_STRETCH)]

    def train() -> None:
        use_threads(way)
        for chosen, inputs in zip(places, feed.chosen(places), strict=True):
            labels = feed.labels[chosen].to(lesson.device)
            learn_batch(lesson, batch_of(lesson, inputs, labels), "while workers were timed")()
        finished(lesson.device)

    return train
