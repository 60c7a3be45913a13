"""The size of the batch: samples a second against what is learned of as many samples, and the accuracy of what is kept.

A larger batch is not free: it takes fewer steps for as many samples. The learning rate is scaled with it: by the root
of the factor for Adam's kin (Malladi et al. 2022, "On the SDEs and scaling rules for adaptive gradient algorithms",
arXiv 2205.10287), by the factor for SGD (Goyal et al. 2017, "Accurate, large minibatch SGD", arXiv 1706.02677).

>>> from chipwise.training.settings import Settings
>>> sized(Settings(batch_size=64, learning_rate=0.01), 256).learning_rate
0.02
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from chipwise.clock.statistics import speedup, summarize
from chipwise.core.errors import GoalMissedError
from chipwise.core.tuning import BatchRow
from chipwise.tasks.metrics import paired_drop
from chipwise.training.evaluate import evaluate_fed
from chipwise.training.feed import Feed, feed_of, sent_to
from chipwise.training.loop import run_epoch
from chipwise.training.place import CPU
from chipwise.training.tuning.choice import simplest, unsafe, wins, worse
from chipwise.training.tuning.search import race
from chipwise.training.tuning.steps import begun, changes, timed_step

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chipwise.training.settings import Settings
    from chipwise.training.tuning.search import Search

    Right = NDArray[np.bool_]

_FACTORS = (0.5, 1, 2, 4)
_FEWEST_STEPS = 8  # in an epoch of the largest batch
# Steps of the largest batch below which nothing can be said of what it learns, unless the whole run has no more.
_FEWEST_LEARNED = 16
_RACED, _LEARNED = 0.68, 0.90  # shares of the time that are used up then
_MOST_EPOCHS, _MOST_SEEDS = 4, 3
# ResNet-20 in batches of 128 was as good as in 64 after an epoch, and 3 points worse after the three of its run.
_PART = "a part of a run does not tell what a whole one learns: --for more"
_EVALUATION = 0.4  # of a training step, a sample


def sized(settings: Settings, batch_size: int) -> Settings:
    """The same with another batch size, and the learning rate that goes with it."""
    factor = batch_size / settings.batch_size
    rate = settings.learning_rate * (factor if settings.optimizer == "sgd" else math.sqrt(factor))
    return replace(settings, batch_size=batch_size, learning_rate=float(f"{rate:.4g}"))


def batches(search: Search) -> None:
    """Time steps of several sizes in turns, and write a row for each."""
    if not search.time_for("sizes of the batch", _RACED):
        return
    kept, samples = search.kept, len(search.stand.splits.train)
    usual = min(kept.batch_size, samples)
    most = max(usual, samples // _FEWEST_STEPS)
    wanted = sorted({round(usual * factor) for factor in _FACTORS if 2 <= usual * factor <= most} | {usual})
    if kept.compiled and (len(wanted) - 1) * search.compile_s > search.left_s(_RACED):
        search.notes.append("sizes of the batch were timed without torch.compile, as there was no time for each")
        kept = replace(kept, compiled=False)
    calls = {}
    for size in wanted:
        way = sized(kept, size)
        search.tell(f"first step: batch {size}")
        call, _, reason = begun(partial(timed_step, search.stand, way))
        if call is None:
            search.batches.append(BatchRow(size, way.learning_rate, reason=f"failed: {reason}"))
        else:
            calls[str(size)] = call
    if str(usual) not in calls:
        return
    rounds = race(search, calls, _RACED, "sizes of the batch")
    search.sample_s = {int(name): values / int(name) for name, values in rounds.items()}
    for name, values in rounds.items():
        each = search.sample_s[int(name)]
        ratio = None if name == str(usual) else speedup(each, search.sample_s[usual])
        rate = sized(kept, int(name)).learning_rate
        search.batches.append(BatchRow(int(name), rate, summarize(values), ratio, kept=ratio is None))
    search.batches.sort(key=lambda row: row.batch_size)


def learned(search: Search) -> None:
    """Let the plain loop and every size learn as many samples, compare answers in pairs, and keep what is as good."""
    usual = min(search.kept.batch_size, len(search.stand.splits.train))
    timed = [row for row in search.batches if row.step is not None]
    if not timed:
        return
    ways: dict[str, Settings] = {}
    if search.kept.precision != search.plain.precision:
        ways["plain"] = search.plain
    ways |= {str(row.batch_size): sized(search.kept, row.batch_size) for row in timed}
    ways = {name: replace(way, compiled=False) for name, way in ways.items()}
    if not _planned(search, ways):
        search.notes.append("there was no time to compare what is learned: the batch stays, --for more")
        return
    answers = _answers(search, ways)
    _guarded(search, answers, str(usual))
    _batch_chosen(search, answers, usual)


def _planned(search: Search, ways: dict[str, Settings]) -> bool:
    """Find how many samples there is time for, in how many epochs and how often; False where it is too few."""
    train, validation = len(search.stand.splits.train), len(search.stand.splits.validation)
    sample_s = [1 / row.samples_s for row in search.batches if row.samples_s]
    plain = next((row.step for row in search.rows if not row.changes and row.step is not None), None)
    if "plain" in ways and plain is not None:
        sample_s.append(plain.median_s / search.plain.batch_size)
    affordable = int(max(0.0, search.left_s(_LEARNED)) / sum(sample_s)) - int(_EVALUATION * validation)
    largest = max(way.batch_size for way in ways.values())
    enough = max(_MOST_EPOCHS, math.ceil(_FEWEST_LEARNED * largest / train))
    whole = search.plain.epochs or 1
    epochs = whole if affordable >= whole * train else max(1, min(affordable // train, enough))
    search.shown = min(train, affordable) * epochs
    search.seeds = max(1, min(_MOST_SEEDS, affordable // max(1, epochs * train)))
    if search.shown < min(_FEWEST_LEARNED * largest, train * (search.plain.epochs or 1)):
        search.shown = search.seeds = 0
    return search.shown > 0


def _answers(search: Search, ways: dict[str, Settings]) -> dict[str, Right]:
    """Whether each answer on the validation split is right, of all seeds one after another; without ways that break."""
    found: dict[str, list[Right]] = {name: [] for name in ways}
    for seed in range(search.seeds):
        for name, way in ways.items():
            if name not in found:
                continue
            search.tell(f"learning: {search.named(way)}")
            try:
                found[name].append(_learn(search, replace(way, seed=search.plain.seed + seed)))
            except GoalMissedError:
                del found[name]
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _learn(search: Search, settings: Settings) -> Right:
    """Train from the initial weights for as many samples as were planned; which answers are right afterwards."""
    whole = search.stand.feed(channels_last=settings.channels_last)
    count = min(len(whole), search.shown)
    epochs = max(1, search.shown // len(whole))
    feed = whole if count == len(whole) else _part(whole, count, search.plain.seed)
    device = search.stand.device
    given = feed if device == CPU else sent_to(device, feed, settings.feeding)
    lesson = search.stand.fresh(replace(settings, epochs=epochs), given)
    for number in range(1, epochs + 1):
        run_epoch(lesson, number, _unheard)
    held = search.stand.splits.validation
    judged = feed_of(held, search.stand.network, what="validation", channels_last=settings.channels_last)
    batch = settings.evaluation_batch
    seen = judged if device == CPU else sent_to(device, judged, "auto")
    predicted = evaluate_fed(lesson.taught, seen, settings.loss, batch=batch).predicted
    return np.asarray(predicted.numpy() == held.labels)


def _unheard(_step: int, _loss: float) -> None:
    """Nobody watches."""


def _part(feed: Feed, count: int, seed: int) -> Feed:
    """So many of the samples, from all over the data, the same each time."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(feed))[:count])
    return Feed(feed.inputs[rows], feed.labels[rows])


def _guarded(search: Search, answers: dict[str, Right], usual: str) -> None:
    """Go back to the plain loop's number format where the kept one learns worse."""
    if "plain" not in answers:
        return
    search.guard = None if usual not in answers else paired_drop(answers["plain"], answers[usual])
    if search.guard is None or worse(search.guard):
        why = "does not learn" if search.guard is None else f"loses {100 * search.guard.drop:.1f} points"
        search.notes.append(f"{search.kept.precision} {why}: not kept")
        search.kept = search.fallback
        search.rows = [
            replace(row, kept=row.changes == changes(search.kept, search.plain), reason=row.reason or "it learns worse")
            for row in search.rows
        ]


def _batch_chosen(search: Search, answers: dict[str, Right], usual: int) -> None:
    """Write what each size learned, and keep another where it is quicker and as good."""
    reference = answers.get("plain", answers.get(str(usual)))
    fixed, back = "batch_size" in search.limits.fixed, search.guard is not None and worse(search.guard)
    part = search.shown < len(search.stand.splits.train) * (search.plain.epochs or 1)
    safe: list[BatchRow] = []
    for place, row in enumerate(search.batches):
        right = answers.get(str(row.batch_size))
        if row.step is None or right is None or reference is None:
            reason = row.reason or "it does not learn"
            search.batches[place] = replace(row, reason=reason)
            continue
        drop = paired_drop(reference, right)
        danger = unsafe(drop) or (_PART if part else "")
        reason = "" if row.speedup is None else _refusal(row, danger, fixed=fixed, back=back)
        search.batches[place] = replace(row, accuracy=drop.candidate, drop=drop, reason=reason)
        if not reason:
            safe.append(search.batches[place])
    samples = {str(row.batch_size): search.sample_s[row.batch_size] for row in safe}
    if str(usual) not in samples:
        return
    sizes = [row.batch_size for row in search.batches]
    cost = {name: abs(sizes.index(int(name)) - sizes.index(usual)) for name in samples}
    best = int(simplest(samples, cost))
    search.kept = sized(search.kept, best) if best != usual else search.kept
    for place, row in enumerate(search.batches):
        left = "" if row.reason or row.batch_size in (best, usual) else "faster, but no more than what was kept"
        search.batches[place] = replace(row, kept=row.batch_size == best, reason=row.reason or left)


def _refusal(row: BatchRow, danger: str, *, fixed: bool, back: bool) -> str:
    assert row.speedup is not None
    if not wins(row.speedup):
        return "slower" if row.speedup.high < 1 else "not faster beyond the noise"
    if fixed:
        return "faster, but the size was asked for"
    return "faster, but in a number format that was not kept" if back else f"faster, but {danger}" if danger else ""
