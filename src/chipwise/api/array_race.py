"""Arrays: what NumPy and other libraries take for the operations that people use, and from which size another pays.

>>> from chipwise.api.array_race import arrays
>>> arrays(operations=["sum"], sizes=[1000], libraries=["numpy"], budget_s=0).rows[0].way.title
'numpy'
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from chipwise.api.notebook import drawn
from chipwise.api.pictures import check_picture
from chipwise.core.errors import InputError, MachineError, unknown_name
from chipwise.core.events import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.core.array_race import ArrayLibrary, ArrayRace, ArrayRow
    from chipwise.numerics.library import Library

ARRAY_SIZES = (4, 10**8)
_USUAL = (10**3, 10**4, 10**5, 10**6, 10**7)
_PICTURES = (".svg", ".png")


@drawn
def arrays(
    *,
    operations: Sequence[str] = (),
    sizes: Sequence[int] = _USUAL,
    libraries: Sequence[str] = (),
    budget_s: float = 120.0,
    picture: str | Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> ArrayRace:
    """Time operations on arrays in NumPy and other libraries, in turns, once their answers are known to be equal.

    Args:
        operations: names ("slice", "matmul", ...); all where none are given.
        sizes: values of the largest array of an operation, 4 to 10**8.
        libraries: beside NumPy ("torch", "jax", "cupy", "numba"); all that are installed where none are given.
        budget_s: wall time for timing.
        picture: an .svg or .png file to draw times against sizes into.
        seed: of the arrays, and of the order of turns.
        progress: told which operation it is.

    Returns:
        what was timed; after Ctrl-C, what there was by then.

    Raises:
        UnknownNameError: no such operation or library. InputError: a size that cannot be, or a picture of another kind.
        MissingExtraError, RuntimeUnavailableError: a library that was asked for is not installed, or does not work.
    """
    from chipwise.core.array_race import ArrayOperation, ArrayRace
    from chipwise.devices.detect import detect
    from chipwise.numerics.operations import OPERATIONS
    from chipwise.numerics.race import race_rows
    from chipwise.numerics.turns import turns_of

    path = None if picture is None else check_picture(Path(picture), "times of arrays", _PICTURES)
    names = _known_operations(operations)
    places = _sizes(sizes)
    found, notes = _libraries(libraries)
    rows: list[ArrayRow] = []
    complete = True
    try:
        rows.extend(race_rows(found, names, places, budget_s=budget_s, seed=seed, progress=progress))
    except KeyboardInterrupt:
        complete = False
    record = ArrayRace(
        operations=tuple(ArrayOperation(name, OPERATIONS[name].what) for name in names),
        libraries=_lines(found),
        sizes=places,
        rows=tuple(rows),
        turns=turns_of(rows),
        machine=detect(),
        seed=seed,
        complete=complete,
        notes=notes,
    )
    return record if path is None else _draw(record, path)


def array_operations() -> list[str]:
    """Names of operations on arrays, for completion."""
    from chipwise.core.array_race import OPERATION_NAMES

    return list(OPERATION_NAMES)


def array_libraries() -> list[str]:
    """Names of libraries, for completion."""
    from chipwise.core.array_race import LIBRARY_NAMES

    return list(LIBRARY_NAMES)


def _known_operations(asked: Sequence[str]) -> list[str]:
    known = array_operations()
    for name in asked:
        if name not in known:
            raise unknown_name("operation", name, known)
    return [name for name in known if name in asked or not asked]


def _sizes(asked: Sequence[int]) -> tuple[int, ...]:
    low, high = ARRAY_SIZES
    if not asked:
        raise InputError("no size was given", hint="as 1e3..1e7, or 1000,50000")
    for size in asked:
        if not low <= size <= high:
            raise InputError(f"an array of {size:,} values", hint=f"from {low:,} to {high:,}")
    return tuple(sorted(set(asked)))


def _libraries(asked: Sequence[str]) -> tuple[dict[str, Library], tuple[str, ...]]:
    """NumPy and those that were asked for; else all that work here, and a note on the others."""
    from chipwise.core.array_race import BASELINE, LIBRARY_NAMES
    from chipwise.numerics.table import load

    found, notes = {BASELINE: load(BASELINE)}, []
    for name in dict.fromkeys(asked or LIBRARY_NAMES):
        try:
            found[name] = load(name)
        except MachineError as error:
            if asked:
                raise
            notes.append("; ".join(filter(None, (error.message, error.hint))))
    return found, tuple(notes)


def _lines(found: dict[str, Library]) -> tuple[ArrayLibrary, ...]:
    from chipwise.core.array_race import ArrayLibrary

    return tuple(
        ArrayLibrary(name, library.version(), library.devices(), library.threads()) for name, library in found.items()
    )


def _draw(record: ArrayRace, path: Path) -> ArrayRace:
    from chipwise.codec.files import atomic_write
    from chipwise.views.array_charts import array_times

    atomic_write(path, array_times(record, path.suffix.lower()))
    return replace(record, picture=str(path))
