"""Check that the notebooks here are a course, and that none holds outputs, run numbers or links."""

import json
import re
import sys
from pathlib import Path

LINK = re.compile(r"/pauseflow/(?:resume|cancel|approve|start)/[\w.-]{16,}")


def problems(notebook: Path) -> list[str]:
    """Name everything in a notebook that must not be committed, and what is missing."""
    text = notebook.read_text(encoding="utf-8")
    document = json.loads(text)
    found = ["holds a link that acts"] if LINK.search(text) else []
    if (document["nbformat"], document["nbformat_minor"]) < (4, 5):
        found.append("is older than nbformat 4.5: its cells have no ids")
    for number, cell in enumerate(document["cells"], start=1):
        if cell.get("outputs"):
            found.append(f"cell {number} holds outputs")
        if cell.get("execution_count") is not None:
            found.append(f"cell {number} holds a run number")
    return [*found, *problems_of_course(notebook, "".join(document["cells"][0]["source"]))]


def problems_of_course(notebook: Path, about: str) -> list[str]:
    """Name what the first cell does not say: its number, what one learns, how to run it, and which comes next."""
    course = sorted(notebook.parent.glob("*.ipynb"))
    number = course.index(notebook) + 1
    wanted = [f"# {number}. ", "*You learn ", "- By hand: ", "- As a job: `pauseflow ", f" {notebook.name} "]
    wanted.append(f"({course[number].name})" if number < len(course) else "(README.md)")
    found = [f"its first cell has no {text!r}" for text in wanted if text not in about]
    return found if notebook.name.startswith(f"{number:02d}_") else [*found, f"is not named {number:02d}_…"]


def main() -> int:
    """Print what is wrong with the notebooks beside this file."""
    notebooks = sorted(Path(__file__).parent.glob("*.ipynb"))
    wrong = [f"{notebook.name}: {problem}" for notebook in notebooks for problem in problems(notebook)]
    print("\n".join(wrong) or f"{len(notebooks)} notebooks hold no outputs and no links")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
