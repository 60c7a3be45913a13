"""The documentation says what is so: examples run, the command reference is current, links lead somewhere."""

from __future__ import annotations

import doctest
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / "src" / "chipwise"
WITH_EXAMPLES = sorted(path for path in PACKAGE.rglob("*.py") if ">>> " in path.read_text())
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
EXTRAS = (
    "torch",
    "openvino",
    "nncf",
    "safetensors",
    "tensorboard",
    "keras",
    "h5py",
    "cv2",
    "sklearn",
    "uvicorn",
    "grpc",
    "prometheus_client",
    "jax",
    "cupy",
    "numba",
)


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=module_name)
def test_examples_in_docstrings(path: Path) -> None:
    try:
        module = importlib.import_module(module_name(path))
    except ModuleNotFoundError as error:
        if error.name in EXTRAS:
            pytest.skip(f"needs {error.name}")
        raise
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL)
    assert result.attempted
    assert not result.failed


def test_command_reference_is_current(tmp_path: Path) -> None:
    """To renew it: typer chipwise.cli.app utils docs --name chipwise --output docs/cli.md."""
    written = tmp_path / "cli.md"
    command = [
        sys.executable,
        "-m",
        "typer",
        "chipwise.cli.app",
        "utils",
        "docs",
        "--name",
        "chipwise",
        "--output",
        written,
    ]
    subprocess.run(command, check=True, capture_output=True)
    assert written.read_text().strip() == (ROOT / "docs" / "cli.md").read_text().strip()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "cli.md"], ids=lambda page: page.name)
def test_commands_in_the_pages_exist(page: Path) -> None:
    """Every `chipwise VERB --option` that a page shows is one that the command line has."""
    reference = (ROOT / "docs" / "cli.md").read_text()
    for line in re.findall(r"^(?:\$ )?chipwise (.+?)(?:\s+#.*)?$", page.read_text(), re.MULTILINE):
        verb, *words = line.split()
        section = re.search(rf"## `chipwise {verb}`(.*?)(?=\n## |\Z)", reference, re.DOTALL)
        assert section, f"no command {verb}"
        for word in words:
            if word.startswith("--") or re.fullmatch(r"-[a-z]", word):
                assert f"`{word}" in section[1] or f", {word}" in section[1], f"{verb} has no {word}"
