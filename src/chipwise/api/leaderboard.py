"""The board of a search: who is best at what price, what others claim, and whether it is so.

chipwise.leaderboard("runs/search", imports=["messages.txt"], verify=True, data="mnist", samples=1000)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from chipwise.api.given import data_from, need
from chipwise.api.notebook import drawn
from chipwise.api.pictures import check_picture
from chipwise.api.searching import memory_of_each
from chipwise.core.board import FIELDS, Field, Leaderboard
from chipwise.core.errors import InputError, unknown_name
from chipwise.core.events import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.api.given import DataLike
    from chipwise.datasets.dataset import Dataset
    from chipwise.searching.ledger import Board
    from chipwise.searching.verify import Bench

HOME = Path("runs") / "search"
PARETO: tuple[Field, Field] = ("score", "fit_s")
_PAGES = (".html", ".svg", ".png")
_LARGEST_BYTES = 1 << 28  # of a file of claims


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which rows are ranked, and how; as `leaderboard` takes them."""

    by: Field
    pareto: tuple[Field, Field]
    metric: str | None
    data: str | None
    group: str | None


@dataclass(frozen=True, slots=True)
class _Run:
    """How claims are run; as `leaderboard` takes it."""

    data: DataLike | None
    samples: int | None
    each_s: float
    seed: int
    group: str | None


@drawn
def leaderboard(
    ledger: str | Path = HOME,
    *,
    metric: str | None = None,
    by: str = "score",
    pareto: Sequence[str] = PARETO,
    data: DataLike | None = None,
    group: str | None = None,
    imports: Sequence[str | Path] = (),
    verify: bool = False,
    samples: int | None = None,
    each_s: float = 600.0,
    seed: int = 0,
    most: int | None = None,
    output: str | Path | None = None,
    progress: Progress = silent,
) -> Leaderboard:
    """Show the board of a ledger; take in what others claim, and verify it.

    Args:
        ledger: a file of rows, or the folder of a search.
        metric: of the rows that are ranked; that of the last one where nothing is said.
        by: what ranks them.
        pareto: two fields, of which the front is marked and drawn.
        data: rows of this data set alone, that of the last one where nothing is said; with `verify` the data itself.
        group: rows and claims of this group alone; of what is imported, who says so where nobody is named.
        imports: files of score messages, or of others' rows.
        verify: fit what is claimed, and ask for the test split: a claim inside the 99% interval is confirmed.
        samples: of the test split to ask, drawn at random; None for all.
        each_s: wall time that one model may take.
        seed: of every random choice while verifying.
        most: rows that a terminal shows.
        output: an .html file for the page, or .svg or .png for the front.
        progress: told about models that are verified.

    Raises:
        InputError: no such ledger, field or metric; nothing to verify on. DataError: the data cannot be read.
        StorageError: the ledger or the page cannot be written.
        MissingExtraError: scikit-learn is not installed, which verifies.
    """
    from chipwise.searching.ledger import ledger_file, read

    ranking, (first, second) = _field(by), pareto
    front = _field(first), _field(second)
    page = None if output is None else check_picture(Path(output), "a board", _PAGES)
    path = ledger_file(Path(ledger))
    if not path.is_file() and not imports:
        raise InputError(f"there is no ledger {path}", hint="chipwise search makes one; so does --import FILE")
    notes = [note for file in imports for note in _imported(path, Path(file), group)]
    if verify:
        notes += _verified(path, _Run(data, samples, each_s, seed, group), progress)
    board = read(path)
    name = data if data is None or isinstance(data, str) else str(data.name)
    record = _ranked(board, path, _Choice(ranking, front, metric, name, group))
    record = replace(record, notes=(*board.notes, *notes, *record.notes), most=most)
    return record if page is None else _with_page(record, page)


def _field(name: str) -> Field:
    """A field of the board.

    Raises:
        UnknownNameError: there is no such field.
    """
    if name not in FIELDS:
        raise unknown_name("field", name, FIELDS)
    return name


def _imported(path: Path, file: Path, group: str | None) -> list[str]:
    """Append claims that the ledger does not have."""
    from chipwise.codec.files import read_bounded
    from chipwise.searching.claims import read_claims
    from chipwise.searching.ledger import append, key_of, read

    text = read_bounded(file, _LARGEST_BYTES, "claims").decode(errors="replace")
    try:
        found = read_claims(text, group or "")
    except InputError as error:
        raise InputError(f"{file}: {error.message}", hint=error.hint) from error
    known = {key_of(row) for row in read(path).trials}
    new = [claim for claim in found.claims if key_of(claim) not in known]
    for claim in new:
        append(path, claim)
    again = len(found.claims) - len(new)
    had = f", {again} of which the ledger had" if again else ""
    return [f"{file}: {len(found.claims)} claims{had}", *(f"{file}: {note}" for note in found.notes)]


def _verified(path: Path, run: _Run, progress: Progress) -> list[str]:
    """Run what is claimed."""
    if run.data is None:
        raise InputError("claims are verified on data", hint="--verify --data mnist")
    need("sklearn", extra="search")
    from tempfile import TemporaryDirectory

    from chipwise.searching.ledger import read
    from chipwise.searching.processes import Processes
    from chipwise.searching.verify import Place, to_verify, verified

    dataset = data_from(run.data, progress)
    bench = _bench(dataset, run)
    said = [row for row in read(path).trials if row.state == "claimed" and run.group in (None, row.group)]
    claims = to_verify(said, bench)
    if not claims:
        return [f"no claim on {dataset.name} is left to verify"]
    jobs = min(bench.cores, len(claims))
    bench = replace(bench, memory_bytes=memory_of_each(jobs))
    with TemporaryDirectory() as folder:
        place = Place(Processes(Path(folder), jobs), Path(folder), path)
        try:
            verified(claims, bench, place, partial(progress.update, "verify"))
        finally:
            place.executor.close()
    part = "official test split" if dataset.test_count else "held-out fifth"
    return [
        f"verified on {len(bench.splits.test):,} samples of the {part} of {dataset.name}, after learning from all "
        "others; whoever claims may have measured on another split"
    ]


def _bench(dataset: Dataset, run: _Run) -> Bench:
    from chipwise.devices.detect import detect, versions
    from chipwise.searching.verify import Bench, parts_of

    machine = detect()
    splits, digest = parts_of(dataset, run.samples, run.seed)
    return Bench(
        dataset.name,
        digest,
        splits,
        run.seed,
        run.each_s,
        memory_of_each(machine.cores),
        host=machine.cpu,
        cores=machine.cores,
        versions=versions(),
    )


def _ranked(board: Board, path: Path, choice: _Choice) -> Leaderboard:
    """Choose the rows and put them in their order."""
    from chipwise.searching.claims import same_data
    from chipwise.searching.ranking import one_each, ranked

    finished = [row for row in board.trials if row.state == "finished"]
    metrics = list(dict.fromkeys(row.metric for row in reversed(finished)))
    if choice.metric is not None and finished and choice.metric not in metrics:
        raise unknown_name("metric", choice.metric, metrics)
    metric = choice.metric or (metrics[0] if metrics else "accuracy")
    data = choice.data or (finished[-1].data if finished else "")
    theirs = [row for row in board.trials if choice.group in (None, row.group)]
    mine = [row for row in theirs if same_data(data, row.data)]
    own = [row for row in mine if row.state == "finished" and row.metric == metric]
    kept = one_each(own)
    notes = []
    lower = sum(row.score is not None for row in own) - sum(row.score is not None for row in kept)
    if lower:
        notes.append(f"not shown: {lower} rows of the same models on less data or with fewer epochs")
    elsewhere = sorted({row.data for row in finished if not same_data(data, row.data)})
    if elsewhere:
        notes.append(f"rows of other data sets are not shown: {', '.join(elsewhere)}; --data says which")
    return Leaderboard(
        str(path),
        data,
        metric,
        choice.by,
        choice.pareto,
        ranked(kept, choice.by, choice.pareto),
        tuple(row for row in theirs if row.state == "claimed"),
        tuple(row for row in mine if row.state in ("failed", "refused")),
        tuple(notes),
    )


def _with_page(record: Leaderboard, path: Path) -> Leaderboard:
    from chipwise.codec.files import atomic_write
    from chipwise.views.leaderboard_charts import drawable, pareto_chart, pareto_png
    from chipwise.views.leaderboard_page import leaderboard_html

    suffix = path.suffix.lower()
    if suffix != ".html" and not drawable(record.rows, record.pareto):
        raise InputError(f"no trial has {' and '.join(record.pareto)}: there is nothing to draw", hint="an .html file")
    if suffix == ".png":
        atomic_write(path, pareto_png(record.rows, record.pareto))
    else:
        text = leaderboard_html(record) if suffix == ".html" else pareto_chart(record.rows, record.pareto, suffix)
        atomic_write(path, text.encode())
    return replace(record, page=str(path))
