"""Every error that chipwise raises on purpose.

    ChipwiseError                 exit code  2   (catch this one to catch all)
    ├── InputError                           2   what was given cannot be used
    │   ├── UnknownNameError                 2   no such network, data set, device, runtime, ...
    │   ├── NetworkError                     2   a network that cannot be read, built or exported
    │   ├── DataError                        2   a data set or picture that cannot be read
    │   └── PlanError                        2   a plan file that is damaged or not a plan
    ├── MachineError                         3   the input is fine; this machine cannot do it
    │   ├── MissingExtraError                3   an optional library is not installed
    │   ├── StorageError                     3   a file cannot be written (permissions, full disk)
    │   └── RuntimeUnavailableError          3   a runtime is missing, broken or refuses the graph
    └── GoalMissedError                      1   all went well and the answer is no

Anything else that escapes is a bug of ours: the command line prints it and exits with 101.

>>> unknown_name("network", "lenet", ["lenet5", "mlp-4096"]).hint
'did you mean lenet5? Known: lenet5, mlp-4096'
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MOST_LISTED = 20  # names beside a guess


class ChipwiseError(Exception):
    """An error for the person who called, not for us: one line on what was received, one on what to do.

    Args:
        message: what was received and why it cannot be used; made one line where a name in it has several.
        hint: what to do instead; empty when there is nothing to add.
    """

    exit_code = 2

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message = " ".join(message.splitlines())
        super().__init__(self.message)
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")  # tracebacks and notebooks show it; str() is the message alone


class InputError(ChipwiseError):
    """What was given cannot be used."""


class UnknownNameError(InputError):
    """A name that is not in the list it was looked up in."""


class NetworkError(InputError):
    """A network that cannot be read, built, traced or exported."""


class DataError(InputError):
    """A data set or a picture that cannot be read."""


class PlanError(InputError):
    """A plan file that is damaged, of another schema, or not a plan."""


class MachineError(ChipwiseError):
    """The input is fine, but this machine cannot do it."""

    exit_code = 3


class MissingExtraError(MachineError):
    """An optional library is not installed."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"this needs {module}, which is not installed", hint=f"pip install 'chipwise[{extra}]'")
        self.module = module
        self.extra = extra


class StorageError(MachineError):
    """A file cannot be written: no permission, no such folder, no space left."""


class RuntimeUnavailableError(MachineError):
    """A runtime is not installed, is broken, or refuses this graph."""


class GoalMissedError(ChipwiseError):
    """Everything ran and the answer is no (a check failed, a target was missed)."""

    exit_code = 1


def first_line(error: BaseException) -> str:
    """The first line of a library's error, at most 300 characters; its class where it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]


def unknown_name(kind: str, given: str, known: Iterable[str]) -> UnknownNameError:
    """Build the error for a name that is not known, with the nearest known names as the hint.

    Args:
        kind: what was looked up ("network", "data set", ...), for the message.
        given: the name received.
        known: every name that would have been accepted.
    """
    names = sorted(known)
    spelled = {name.lower(): name for name in names}
    near = [spelled[name] for name in difflib.get_close_matches(given.lower(), spelled, n=2, cutoff=0.5)]
    guess = f"did you mean {' or '.join(near)}?"
    known_names = f"nown: {', '.join(names)}"
    hint = f"k{known_names}" if not near else f"{guess} K{known_names}" if len(names) <= _MOST_LISTED else guess
    return UnknownNameError(f"unknown {kind} {given!r}", hint=hint)
