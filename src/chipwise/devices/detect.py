"""Find out what this machine is: processor, instruction sets, cores that may really be used, caches, memory, GPUs.

Nothing here fails because a machine is unusual: what cannot be found out is None, empty, or left out. The parts that
read files live in `processor` and `limits` and take text or a root folder, so that tests can show them any machine.

>>> detect().logical_cpus >= detect().cores
True
"""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from chipwise.core.device import Gpu, Machine
from chipwise.devices import limits, processor

_ROOT = Path("/")
_LIBRARIES = ("chipwise", "numpy", "onnx", "onnx-ir", "onnxruntime", "openvino", "nncf", "torch")
_GPU_QUERY = ("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits")
_GPU_TIMEOUT_S = 5.0


def detect() -> Machine:
    """Describe this machine. Takes milliseconds, or as long as `nvidia-smi` does where there is one (5 s at most)."""
    cpuinfo = _read(_ROOT / "proc/cpuinfo")
    logical = os.cpu_count() or 1
    return Machine(
        cpu=processor.model(cpuinfo) or _model_from_system(),
        architecture=platform.machine() or "unknown",
        isa=processor.isa(cpuinfo) if cpuinfo else _isa_from_system(),
        cores=limits.usable_cores(_affinity(logical), limits.cpu_quota(_ROOT)),
        logical_cpus=logical,
        cache_bytes=processor.caches(_ROOT),
        memory_bytes=limits.memory_bytes(_ROOT, _physical_bytes()),
        gpus=_gpus(),
        os=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
    )


def versions() -> dict[str, str]:
    """Installed versions of the libraries that matter to a measurement, read from their metadata: imports nothing."""
    found: dict[str, str] = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def parse_gpus(text: str) -> tuple[Gpu, ...]:
    """Read the answer of `nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader,nounits`.

    Memory is in MiB there. Lines of any other form (an error message) are left out.
    """
    gpus = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) == 3 and fields[0]:
            memory = int(fields[1]) << 20 if fields[1].isdigit() else None
            gpus.append(Gpu(name=fields[0], memory_bytes=memory, driver=fields[2]))
    return tuple(gpus)


def _gpus() -> tuple[Gpu, ...]:
    try:
        answer = subprocess.run(  # noqa: S603 (a constant command)
            _GPU_QUERY, capture_output=True, text=True, timeout=_GPU_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ()
    return parse_gpus(answer.stdout) if answer.returncode == 0 else ()


def _affinity(logical: int) -> int:
    # Not on macOS and Windows.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else logical


def _physical_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _model_from_system() -> str:
    return _sysctl("machdep.cpu.brand_string") or platform.processor() or platform.machine() or "unknown"


def _isa_from_system() -> tuple[str, ...]:
    features = " ".join((_sysctl("machdep.cpu.features"), _sysctl("machdep.cpu.leaf7_features")))
    arm = platform.machine() in ("arm64", "aarch64")
    return ("asimd",) if arm else processor.isa(f"flags : {features.lower().replace('.', '_')}")


def _sysctl(name: str) -> str:
    if platform.system() != "Darwin":
        return ""
    try:
        answer = subprocess.run(  # noqa: S603 (a constant command; the name is ours)
            ("/usr/sbin/sysctl", "-n", name), capture_output=True, text=True, timeout=_GPU_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
