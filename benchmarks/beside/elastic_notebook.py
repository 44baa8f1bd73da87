"""ElasticNotebook: `%Checkpoint` stores variables, or leaves it to `%LoadCheckpoint` to run their cells again.

It is no package, and asks for numpy 1.22; its clone runs here with the versions that everybody has.
"""

import importlib
import os
import shutil
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from beside import environments
from beside.cases import CASES, Names

#: First line of a cell that it is to know of.
MARK = "%%RecordEvent\n"
_ORIGIN = "https://github.com/illinoisdata/ElasticNotebook"
_SOURCE = Path(__file__).parents[2] / ".venv" / "elastic" / "source"
#: What its code imports, but for torch: see `_open`.
_PACKAGES = ["dill", "ipykernel", "lightgbm", "matplotlib", "networkx", "pympler", "scipy", "seaborn", "xxhash"]


def environment(origin: str | None) -> Path | None:
    """Give the Python of its environment, which has a clone in it; None where either cannot be had.

    Args:
        origin: Folder or address of its repository; GitHub's if None.
    """
    python = environments.environment("elastic", "ElasticNotebook", [*_PACKAGES, *environments.same()])
    if python is None or _clone(origin or _ORIGIN):
        return python
    print("ElasticNotebook could not be cloned, and is left out; --elastic takes a clone", file=sys.stderr)
    return None


def _clone(origin: str) -> bool:
    if shutil.which("git") is None:
        return False
    if not _SOURCE.exists():
        subprocess.run(["git", "clone", "-q", "--depth", "1", "--no-checkout", origin, str(_SOURCE)], check=False)
    # The code alone: the notebooks of its experiments are much larger, and no clone of ours needs them.
    code = ["ElasticNotebook.py", "elastic/__init__.py", "elastic/algorithm", "elastic/core"]
    return not subprocess.run(
        ["git", "-C", str(_SOURCE), "checkout", "-q", "HEAD", "--", *code], check=False
    ).returncode


def saver(shell: Any, folder: str) -> Callable[[], tuple[str, int]]:
    _open(shell)
    path = Path(folder, "saved")

    def save() -> tuple[str, int]:
        shell.run_line_magic("Checkpoint", str(path))
        with path.open("rb") as file:
            os.fsync(file.fileno())
        return str(path), path.stat().st_size

    return save


def storing_saver(shell: Any, folder: str) -> Callable[[], tuple[str, int]]:
    save = saver(shell, folder)
    # With a disk as quick as this, nothing is quicker to make again.
    shell.run_line_magic("SetMigrationSpeed", "1e18")
    return save


def watching(shell: Any) -> float:
    """Give the seconds that it has spent after cells, finding out what they changed."""
    seconds: float = shell.magics_manager.registry["ElasticNotebook"].total_recordevent_time
    return seconds


def restorer(shell: Any, _folder: str, token: str) -> Callable[[], None]:
    _open(shell)
    return lambda: shell.run_line_magic("LoadCheckpoint", token)


def _open(shell: Any) -> None:
    # Large, and all that is asked of it is `isinstance(value, torch.Tensor)`.
    torch = types.ModuleType("torch")
    torch.Tensor = type("Tensor", (), {})  # type: ignore[attr-defined]
    sys.modules["torch"] = torch
    sys.path.insert(0, str(_SOURCE))
    _patch()
    shell.extension_manager.load_extension("ElasticNotebook")


def _patch() -> None:
    # Variables that share an object, as `i` and `n99` do a number, are gathered in a tuple, and it adds to it.
    module = importlib.import_module("elastic.core.io.migrate")
    code = Path(str(module.__file__)).read_text(encoding="utf-8")
    exec(code.replace("new_set = (vs1, vs2)", "new_set = {vs1, vs2}"), vars(module))


def about(results: dict[tuple[str, str], list[Names]]) -> list[str]:
    """Say for the table what was measured, and what was not."""
    measured = {case: one[0] for (case, contender), one in results.items() if contender == "elasticnotebook"}
    if not measured:
        return []
    commit = ["git", "-C", str(_SOURCE), "rev-parse", "--short", "HEAD"]
    version = subprocess.run(commit, check=True, capture_output=True, text=True).stdout.strip()
    again = [
        f"{CASES[case][0]} ({which} save)"
        for case, one in measured.items()
        for which, what in (("first", "bytes"), ("second", "bytes_again"))
        # A file of a hundredth of the values' bytes has none of them.
        if what in one and one[what] * 100 < results[case, "cloudpickle"][0][what]
    ]
    watched = [f"{CASES[case][0]} {one['watching']:.2f} s" for case, one in measured.items() if "watching" in one]
    return [
        f"ElasticNotebook, commit {version}, asks for numpy 1.22, and runs here with the versions above. One line of it is",
        "patched: it gathers variables that share an object, as `i` and `n99` do a number, in a tuple, to which it then",
        "adds, so that it saved nothing. A module with an empty `Tensor` stands in for torch, of which it only asks",
        "whether a value is a tensor. Its save is `%Checkpoint` with an fsync, its restore `%LoadCheckpoint`. Each",
        "`%Checkpoint` first writes 800 MB to see how quick the disk is, and leaves out what promises to be made again in",
        "less time than it is written; a restore then runs those cells again. In this run it stored",
        f"{'nothing of ' + ' and '.join(again) if again else 'everything'}.",
        "For `elasticnotebook-storing`, the disk was said to be endlessly quick (`%SetMigrationSpeed`), so that it tries no",
        "disk, and stores everything. What it does after each recorded cell, to see what changed, is not counted; for both",
        f"cells: {', '.join(watched)}.",
        "",
    ]
