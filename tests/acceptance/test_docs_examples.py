"""The examples of the docs, answered through the form of the real page, with nothing typed and with a comment."""

import re
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import nbformat
import pytest
from server.page_form import PageForm

if TYPE_CHECKING:
    from acceptance.command import Ended, Pauseflow, Running

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
#: What the examples use and do not define.
BEFORE = """
from pydantic import BaseModel, Field

def load_table():
    return [1, 2]

def tell_somebody(url):
    pass

def send(table):
    print("sent", table)
"""


def blocks(page: str, *beginnings: str) -> list[str]:
    """The code of a page, as cells: the first block that begins with each of these."""
    found = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    return [next(block for block in found if block.startswith(beginning)) for beginning in beginnings]


def start(pauseflow: "Pauseflow", *cells: str) -> "Running":
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in (BEFORE, *cells)])
    path = pauseflow.folder / "example.ipynb"
    nbformat.write(notebook, path)
    output = pauseflow.folder / "out.ipynb"
    return pauseflow.start("run", path, output, "--json", output=output)


def press(url: str, label: str, **typed: str) -> str:
    """Open the page, type, and press a button; gives the page that follows."""
    accept = {"Accept": "text/html", "User-Agent": "Mozilla/5.0"}
    with urllib.request.urlopen(urllib.request.Request(url, headers=accept), timeout=60) as answer:
        page = PageForm(answer.read().decode())
    decision = next(action for action, words, _ in page.buttons if words == label)
    entries = {**page.entries, **{name: [text] for name, text in typed.items()}, "decision": [decision]}
    request = urllib.request.Request(url, urlencode(entries, doseq=True).encode(), headers=accept)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(answer.read().decode())


def printed(ended: "Ended") -> str:
    outputs = [output for cell in ended.notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.get("text", "") for output in outputs)


FIRST = ("from pauseflow_nb import flow, steps", "%%step ask\ntable", "%%step send")


@pytest.mark.parametrize(("typed", "said"), [({}, "None"), ({"comment": "looks good"}, "looks good")])
def test_the_first_example_goes_on_after_approve(pauseflow: "Pauseflow", typed: dict[str, str], said: str) -> None:
    running = start(pauseflow, *blocks("docs/steps.md", *FIRST))

    assert "Approved by" in press(running.link("approve"), "Approve", **typed)

    ended = running.end()
    assert ended.execution["state"] == "completed"
    assert printed(ended) == f"sent [1, 2]\n{said}\n"


def test_the_first_example_ends_after_cancel(pauseflow: "Pauseflow") -> None:
    running = start(pauseflow, *blocks("docs/steps.md", *FIRST))

    assert "Cancelled by" in press(running.link("approve"), "Cancel the run", comment="not today")

    ended = running.end()
    assert ended.execution["state"] == "cancelled"
    assert "sent" not in printed(ended)


def test_the_example_of_a_schema_gets_an_instance(pauseflow: "Pauseflow") -> None:
    cells = blocks("docs/steps.md", FIRST[0], "class Decision", '%%step ask\nflow.suspend("7d"', "%%step order")
    running = start(pauseflow, *cells, "print(steps.ask.data)")

    press(running.link("approve"), "Submit", **{"answer/approved": "on", "answer/amount": "5"})

    assert printed(running.end()) == "approved=True amount=5\n"


def test_the_example_that_asks_again_ends_when_it_has_its_answer(pauseflow: "Pauseflow") -> None:
    running = start(pauseflow, *blocks("docs/steps.md", FIRST[0], "%%step confirm"), "print('done')")
    first = running.link("approve")

    assert "the run goes on" in press(first, "Submit")
    second = next_link(running, first)
    press(second, "Submit", **{"answer/value": "on"})

    assert printed(running.end()) == "done\n"


def next_link(running: "Running", before: str) -> str:
    """Wait for a link that was not printed before."""
    from acceptance.web import wait_until

    def found() -> str | None:
        links = re.findall(r"http\S+/pauseflow/approve/\S+", running.stderr)
        return links[-1] if links and links[-1] != before else None

    return str(wait_until(found, "the next link"))


@pytest.mark.parametrize(("typed", "said"), [({}, "{}"), ({"comment": "go on"}, "{'comment': 'go on'}")])
def test_the_example_of_the_readme_prints_what_was_typed(
    pauseflow: "Pauseflow", typed: dict[str, str], said: str
) -> None:
    cells = blocks("README.md", "from pauseflow_nb import flow, steps", "%%step ask\nimport random", "%%step report")
    running = start(pauseflow, *cells)

    press(running.link("approve"), "Approve", **typed)

    assert printed(running.end()).startswith(f"{said} and the numbers are still here:")


@pytest.mark.parametrize("name", ["approve_by_link", "custom_timeout", "handler_style"])
def test_an_example_notebook_completes_after_approve_with_nothing_typed(pauseflow: "Pauseflow", name: str) -> None:
    running = pauseflow.start_example(name)

    press(running.link("approve"), "Approve")

    assert running.end().execution["state"] == "completed"


TUTORIAL = ("from pauseflow_nb import flow, steps", "import random", "%%step approve", "%%step publish")


def test_the_tutorial_waits_goes_on_by_command_and_can_be_verified(pauseflow: "Pauseflow") -> None:
    *cells, publish = blocks("docs/tutorial.md", *TUTORIAL)
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in (*cells, f"{publish}\n1 / 0")]
    )
    nbformat.write(notebook, pauseflow.folder / "report.ipynb")
    waits = pauseflow("run", "report.ipynb", "report-done.ipynb", "--until-pause", "--json").execution
    answer = '{"comment": "looks right"}'

    assert pauseflow("resume", waits["id"][:6], "--data", answer, "--wait").code == 1

    notebook.cells[-1].source = publish
    nbformat.write(notebook, pauseflow.folder / "report.ipynb")
    assert pauseflow("retry", waits["id"][:6], "--with", "report.ipynb").code == 0
    done = nbformat.read(pauseflow.folder / "report-done.ipynb", as_version=4)
    assert "published; looks right" in done.cells[-1].outputs[0].text
    assert pauseflow("verify", "report-done.ipynb").code == 0
