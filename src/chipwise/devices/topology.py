"""What the processors of a machine share, and the clock they run at, as the system tells.

>>> from pathlib import Path
>>> threads_per_core(Path("/nowhere")) is None
True
"""

from __future__ import annotations

import re
from pathlib import Path


def threads_per_core(root: Path) -> int | None:
    """Hardware threads of one core, as the system shows them below `root`; None where it does not.

    A guest is shown what its host chooses: one thread a core there may still share a core with another guest.
    """
    try:
        text = (root / "sys/devices/system/cpu/cpu0/topology/thread_siblings_list").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    count = 0
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if not (first.isdigit() and (last or first).isdigit()):
            return None
        count += int(last or first) - int(first) + 1
    return count or None


def clock_hz(root: Path) -> float | None:
    """The fastest processor's present clock: from cpufreq, else from /proc/cpuinfo; None where neither says.

    A guest's /proc/cpuinfo has the nominal clock whatever the host does.
    """
    found = [_number(path) for path in sorted((root / "sys/devices/system/cpu").glob("cpu*/cpufreq/scaling_cur_freq"))]
    kilohertz = max((number for number in found if number is not None), default=None)
    if kilohertz is not None:
        return 1e3 * kilohertz
    try:
        text = (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    megahertz = [float(each) for each in re.findall(r"^cpu MHz\s*:\s*(\d+(?:\.\d+)?)\s*$", text, re.MULTILINE)]
    return 1e6 * max(megahertz) if megahertz else None


def is_guest(root: Path) -> bool:
    """Whether the processor says that it belongs to a virtual machine."""
    try:
        text = (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return re.search(r"^flags\s*:.*\bhypervisor\b", text, re.MULTILINE) is not None


def nominal_hz(cpu: str) -> float | None:
    """The clock that a processor's name states ("... @ 2.80GHz"); None where it states none."""
    match = re.search(r"@ ?(\d+(?:\.\d+)?) ?GHz", cpu)
    return None if match is None else 1e9 * float(match[1])


def _number(path: Path) -> float | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return float(text) if text.isdigit() else None
