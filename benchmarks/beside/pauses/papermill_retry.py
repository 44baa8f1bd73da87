"""papermill: run a notebook whose second cell fails, and run it again. Prints JSON.

python papermill_retry.py FOLDER
"""

import json
import subprocess
import sys
from pathlib import Path

CELLS = [
    "print('first', file=open('log', 'a'))",
    "from pathlib import Path\nis_first = not Path('seen').exists()\nPath('seen').touch()\nassert not is_first",
]


def main() -> None:
    folder = Path(sys.argv[1])
    write(folder / "in.ipynb")
    command = [sys.executable, "-m", "papermill"]
    for code in (1, 0):
        ran = subprocess.run(
            [*command, "in.ipynb", "out.ipynb", "-k", "python3"], cwd=folder, check=False, stderr=subprocess.DEVNULL
        )
        assert ran.returncode == code
    usage = subprocess.run([*command, "--help"], check=True, capture_output=True, text=True).stdout
    print(
        json.dumps(
            {
                "options that mention pause, resume or wait": [
                    word for word in usage.split() if word.startswith("--") and any(w in word for w in WORDS)
                ],
                "runs of each part": {"the cell before the one that failed": len((folder / "log").read_text().split())},
            }
        )
    )


WORDS = ("pause", "resume", "wait", "suspend")


def write(path: Path) -> None:
    cells = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "outputs": [], "execution_count": None, "source": source}
        for n, source in enumerate(CELLS)
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path.write_text(json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))


if __name__ == "__main__":
    main()
