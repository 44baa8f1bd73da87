"""The notebooks that papermill and nbclient test themselves with, through `pauseflow run` and `papermill --engine pauseflow`.

What may differ is what the table in docs/papermill.md lists, line for line as `compare` prints it.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from papermill_parity.compare import compared, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

NOTEBOOKS = Path(__file__).with_name("notebooks")

#: What the table in docs/papermill.md lists, line for line: here for every notebook, below for one.
EVERYWHERE = [r'\.cells\[\d+\]\.metadata\.papermill\.status: "(pending|completed)" \| "not run"']
# Papermill leaves OUT as it was when it stopped.
TOO_LONG = [
    r"\.cells: .*",
    r"\.metadata\.papermill\.exception: null \| true",
    r"\.metadata\.language_info.*",
    r"\.cells\[\d+\]\.metadata\.papermill\..*",
]
DIFFERENCES = {
    "Autokill.ipynb": [r"\.exit: 138 \| 1", r"\.cells\[0\]\..*", r"\.metadata\.(language_info|papermill)\..*"],
    "Interrupt.ipynb": TOO_LONG,
    "keyboard_interrupt.ipynb": TOO_LONG,
    "Output.ipynb": [r"\.metadata\.kernelspec\.(name|display_name): .*"],
    "Skip Exceptions with Cell Tags.ipynb": [
        r"\.exit: 1 \| 0",
        r"\.cells: .*",
        r"\.metadata\.papermill\.exception: .*",
    ],
    "Skip Execution with Cell Tag.ipynb": [r"\.cells\[0\]\.metadata\.papermill\.\w+: .*"],
    # Its kernel is not installed.
    "notimplemented_translator.ipynb": [r"\.exit: 1 \| 2", r": .* \| null"],
}
OPTIONS = {name: ["--execution-timeout", "3"] for name in ("Interrupt.ipynb", "keyboard_interrupt.ipynb")}


@pytest.mark.parametrize(
    "notebook", sorted(NOTEBOOKS.glob("*/*.ipynb")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_it_gives_what_papermill_gives(notebook: Path, tmp_path: Path) -> None:
    folder = tmp_path / "with their files"
    shutil.copytree(notebook.parent, folder)
    options = OPTIONS.get(notebook.name, [])
    if not json.loads(notebook.read_text())["metadata"].get("kernelspec", {}).get("name"):
        options = [*options, "-k", "python3"]
    try:
        theirs = run("papermill", folder / notebook.name, folder, *options)
    except subprocess.TimeoutExpired:
        # On a busy machine papermill itself was seen to wait for ever, for a message that nobody sends again.
        theirs = run("papermill", folder / notebook.name, folder, *options)
    found = [
        f"{command} {line}"
        for command in ("run", "engine")
        for line in compared(theirs, run(command, folder / notebook.name, folder, *options))
    ]

    listed = re.compile("(run|engine) (said: .*|" + "|".join(EVERYWHERE + DIFFERENCES.get(notebook.name, [])) + ")")
    assert [line for line in found if not listed.fullmatch(line)] == []
