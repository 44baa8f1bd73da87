"""The tree stays as easy to read as docs/design.md promises."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pauseflow_nb"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if "migrations" not in path.parts
}
PANEL = sorted(path for path in (ROOT / "labextension" / "src").rglob("*") if path.suffix in {".ts", ".tsx"})

LONGEST = 450
SHORTEST = 40

#: Short files with one importer, or none, that stand alone for a reason.
SEAMS = {
    "pauseflow_nb.__main__": "`python -m pauseflow_nb`",
    "pauseflow_nb.runner.kernels.launch_ipykernel": "a script that the kernel's own interpreter runs",
    "pauseflow_nb.papermill": "the former place of compat.papermill",
    "pauseflow_nb.prefect": "the former place of compat.prefect",
    "pauseflow_nb.scheduler": "the former place of compat.scheduler",
}

#: Files that share a name and mean the same thing in two places.
SAME_NAME = {
    "__init__": "packages",
    "papermill": "the former place and the new one",
    "prefect": "the former place and the new one",
    "scheduler": "the former place and the new one",
}


def imports_of(path: Path) -> set[str]:
    """Modules of the package that a file imports, also for typing and inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found & MODULES.keys()


def docstring_of(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


@pytest.mark.parametrize("path", [*MODULES.values(), *PANEL], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_has_more_than_450_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


def test_a_short_file_has_several_importers_or_a_reason() -> None:
    importers = defaultdict(set)
    for name, path in MODULES.items():
        for imported in imports_of(path) - {name}:
            importers[imported].add(name)
    short = {
        name
        for name, path in MODULES.items()
        if path.name != "__init__.py"
        and len(path.read_text(encoding="utf-8").splitlines()) < SHORTEST
        and len(importers[name]) <= 1
    }

    assert short == SEAMS.keys()


def test_no_two_files_share_a_name() -> None:
    stems = [path.stem for path in MODULES.values()]

    assert {stem for stem in stems if stems.count(stem) > 1} == SAME_NAME.keys()


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_in_its_first_line_what_it_is_for(name: str) -> None:
    first, *rest = docstring_of(MODULES[name]).split("\n")

    assert first.endswith("."), f"{name}: {first!r}"
    assert len(first) <= 120
    assert not rest or rest[0] == ""


def test_the_drawing_in_the_docs_shows_the_layers_that_are_checked() -> None:
    command = [sys.executable, str(ROOT / "docs" / "draw_layers.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert result.returncode == 0, result.stderr


def test_the_ten_files_to_read_first_are_there_and_have_the_lines_that_matter() -> None:
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    listed = re.findall(
        r"^\d+\. \[`(\S+)`\]\(\.\./pauseflow_nb/(\S+)\).*?\n\n   ```python\n(.*?)\n   ```",
        page,
        re.MULTILINE | re.DOTALL,
    )

    assert len(listed) == 10
    for name, path, line in listed:
        assert name == path
        assert line.strip() in (PACKAGE / path).read_text(encoding="utf-8"), f"{path} has no line {line.strip()!r}"
