"""The example notebooks are a course, and hold nothing of a run."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, folder / "check.py"], capture_output=True, text=True, check=False)


def test_they_are_numbered_and_each_leads_to_the_next() -> None:
    checked = check(NOTEBOOKS)

    assert checked.returncode == 0, checked.stdout


def test_outputs_a_missing_number_and_a_missing_purpose_are_noticed(tmp_path: Path) -> None:
    shutil.copytree(NOTEBOOKS, tmp_path / "notebooks", ignore=shutil.ignore_patterns(".*", "__pycache__"))
    first, second, *_ = sorted((tmp_path / "notebooks").glob("*.ipynb"))
    document = json.loads(first.read_text())
    document["cells"][0]["source"] = "# No number"
    document["cells"][1]["execution_count"] = 7
    first.write_text(json.dumps(document))
    second.rename(second.with_name("03_renamed.ipynb"))
    checked = check(tmp_path / "notebooks")

    assert checked.returncode == 1
    for problem in ("cell 2 holds a run number", "its first cell has no '*You learn '", "is not named 02_"):
        assert problem in checked.stdout
