"""The shape of the code: who imports whom, how large things are, and what `--help` costs.

The table is the design. When a test here fails, the code is in the wrong place, or the table is to be changed on
purpose.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import chipwise

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "chipwise"

# Folder: what else of ours it may import. Everything may import core; everything that touches files may import codec.
MAY_IMPORT = {
    "core": set(),
    "codec": {"core"},
    "tasks": {"core", "codec"},
    "networks": {"core", "codec", "tasks"},
    "datasets": {"core", "codec", "tasks"},
    "devices": {"core", "codec"},
    "clock": {"core", "devices"},
    "cost": {"core"},
    "numerics": {"core", "clock"},
    "optimize": {"core"},
    "runtimes": {"core", "codec", "devices"},
    "training": {"core", "codec", "datasets", "tasks", "cost", "clock", "optimize", "runtimes"},
    "compression": {
        "core", "codec", "networks", "datasets", "tasks", "training", "optimize", "runtimes", "clock", "cost",
    },
    "compiler": {"core", "codec", "cost", "datasets", "devices", "tasks", "optimize", "runtimes", "clock"},
    "searching": {
        "core", "codec", "tasks", "datasets", "networks", "devices", "clock", "cost", "training", "runtimes",
    },
    "web": {"core"},
    "serving": {"core", "codec", "devices", "tasks", "runtimes", "compiler", "views", "web"},
    "advising": {"core", "cost", "devices"},
    "views": {"core"},
    "ui": {"core", "cost", "devices", "views", "web"},
    "api": {
        "core", "codec", "tasks", "networks", "datasets", "devices", "clock", "cost", "optimize", "runtimes",
        "training", "compression", "compiler", "searching", "serving", "numerics", "advising", "views", "ui",
    },
    "cli": {"core", "api", "views"},
}  # fmt: skip

# Libraries that cost a quarter of a second or more, or hundreds of megabytes: each at home in these folders only.
AT_HOME = {
    "torch": {"networks", "training", "runtimes", "compression", "searching", "numerics"},
    "jax": {"numerics"},
    "cupy": {"numerics"},
    "numba": {"numerics"},
    "safetensors": {"networks", "training"},
    "tensorboard": {"training"},
    "onnx": {"networks", "optimize", "runtimes", "compiler"},
    "onnx_ir": {"core", "networks", "optimize", "training", "compiler", "compression"},
    "onnxscript": {"networks", "optimize"},
    "onnxruntime": {"runtimes", "compiler", "tasks"},
    "openvino": {"runtimes"},
    "nncf": {"compiler"},
    "matplotlib": {"views"},
    "rich": {"views"},
    "jinja2": {"views"},
    "typer": {"cli"},
    "PIL": {"tasks", "views"},
    "keras": {"networks"},
    "h5py": {"networks"},
    "cv2": {"tasks", "datasets"},
    "platformdirs": {"codec"},
    "constriction": {"codec"},
    "sklearn": {"training", "searching"},
    "optuna": {"searching"},
    "uvicorn": {"web"},
    "uvloop": {"web"},
    "grpc": {"serving"},
    "prometheus_client": {"serving"},
}
HEAVY = {
    "torch", "onnx", "onnx_ir", "onnxscript", "onnxruntime", "openvino", "nncf", "sympy", "sklearn", "scipy", "numpy",
    "matplotlib", "ray", "jax", "cupy", "numba", "pydantic", "keras", "h5py", "cv2",
    "uvicorn", "uvloop", "grpc", "prometheus_client",
}  # fmt: skip
MAX_FUNCTION_LINES, MAX_FILE_LINES = 60, 400
VAGUE = ("manager", "handler", "base", "utils", "common", "helpers")


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def folder_of(path: Path) -> str:
    """The top-level folder of a module, or "" for the package's own files."""
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imported_modules(tree: ast.AST) -> Iterator[str]:
    """Full names of all modules that a file imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def names(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", sources(), ids=names)
def test_imports_follow_the_table(path: Path) -> None:
    here = folder_of(path)
    if not here:
        return
    for module in imported_modules(tree_of(path)):
        root, _, rest = module.partition(".")
        if root == "chipwise":
            there = rest.partition(".")[0]
            assert there == here or there in MAY_IMPORT[here], f"{here} may not import {module}"
        elif root in AT_HOME:
            assert here in AT_HOME[root], f"{root} is not at home in {here}"


def test_every_folder_is_in_the_table() -> None:
    assert {folder_of(path) for path in sources()} - {""} == set(MAY_IMPORT)


def test_no_cycles_between_folders() -> None:
    order: list[str] = []
    left = dict(MAY_IMPORT)
    while left:
        free = [name for name, wants in left.items() if wants <= set(order)]
        assert free, f"a cycle among {sorted(left)}"
        order += free
        left = {name: wants for name, wants in left.items() if name not in free}


@pytest.mark.parametrize("path", sources(), ids=names)
def test_sizes(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= MAX_FILE_LINES, f"{names(path)} is too long"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            doc = ast.get_docstring(node, clean=False)
            lines = (node.end_lineno or 0) - node.lineno + 1 - (doc.count("\n") + 1 if doc else 0)
            assert lines <= MAX_FUNCTION_LINES, f"{node.name} has {lines} lines"


@pytest.mark.parametrize("path", sources(), ids=names)
def test_house_rules(path: Path) -> None:
    tree = tree_of(path)
    assert ast.get_docstring(tree), "every module says what and why"
    assert not any(word in path.stem.split("_") for word in VAGUE), f"{path.stem} says nothing"
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            assert not any(word in node.name.lower() for word in VAGUE[:2]), f"{node.name} says nothing"
        if isinstance(node, ast.ExceptHandler) and folder_of(path) != "cli":
            caught = getattr(node.type, "id", "")
            assert node.type is not None, "a bare except hides our own bugs"
            assert caught not in ("Exception", "BaseException"), "only the command line catches everything"


@pytest.mark.parametrize("path", sources(), ids=names)
def test_late_imports_only_at_the_border(path: Path) -> None:
    """Functions import nothing, except where the heavy stages are loaded on purpose."""
    if folder_of(path) in ("api", "cli"):
        return
    for node in ast.walk(tree_of(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            late = [each for each in ast.walk(node) if isinstance(each, (ast.Import, ast.ImportFrom))]
            assert not late, f"{node.name} imports inside the function"


def test_no_traces_of_a_machine() -> None:
    """No absolute paths of somebody's machine in what is shipped."""
    for path in [*sources(), *(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "Makefile"]:
        text = path.read_text()
        for trace in ("/" + "work/", "/" + "home/", "/" + "root/"):
            assert trace not in text, f"{names(path)} names {trace}"


@pytest.mark.parametrize("arguments", [["--help"], ["compile", "--help"], ["fit", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys, chipwise.cli.app as app\n"
        f"sys.argv = ['chipwise', *{arguments!r}]\n"
        "try:\n    app.main()\nexcept SystemExit as end:\n    assert end.code in (0, None), end.code\n"
        "print('modules:', *sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.rpartition("modules:")[2].split())
    assert "Usage:" in done.stdout
    assert not loaded & HEAVY


def test_import_chipwise_imports_nothing_heavy() -> None:
    code = "import chipwise, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & HEAVY


def test_no_folder_has_the_name_of_a_verb() -> None:
    """Importing `chipwise.show.terminal` would make `chipwise.show` a module, and `chipwise.show(plan)` an error."""
    taken = {path.stem for path in PACKAGE.iterdir()}
    assert taken.isdisjoint(chipwise.__all__)
